//! Variables that a user sets for a replay instead of what its run had: which may be set.

use crate::engine::Error;
use crate::engine::machine::VISIBLE;
use crate::engine::record::may_be_secret;
use crate::engine::replay::worker::TRACKERS_OFF;
use crate::model::plan::GivenVariable;
use crate::model::run::RunMeta;

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given(Vec<(String, String)>);

impl Given {
    /// Reads `NAME=VALUE` texts; of a name that is there twice the later counts.
    ///
    /// # Errors
    /// If one is none, or names a variable that decides what a replay is.
    pub fn read(texts: &[String]) -> Result<Self, Error> {
        let mut read: Vec<(String, String)> = Vec::new();
        for text in texts {
            // What follows may be a secret: no error shows it.
            let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                let name = text.split('=').next().unwrap_or_default();
                return Err(bad(name, "is no NAME=VALUE", "--env DATA_DIR=/new/place"));
            };
            if text.contains('\0') {
                return Err(bad(name, "cannot have a value with a zero byte in it", "leave it out"));
            }
            if name.starts_with("AFTERLOG_") {
                let instead = format!("{name}=… afterlog replay …");
                return Err(bad(name, "is afterlog's own, and the replayed script does not see it", &instead));
            }
            match name {
                "PYTHONHASHSEED" => {
                    return Err(bad(
                        name,
                        "stays what the run had: sets come in another order otherwise",
                        "leave it out",
                    ));
                }
                VISIBLE => {
                    let instead = "set it in the shell, to say which GPUs replays may have";
                    return Err(bad(name, "is set for each segment anew", instead));
                }
                _ if TRACKERS_OFF.iter().any(|(tracker, _)| *tracker == name) => {
                    return Err(bad(name, "keeps what replays log from being uploaded", "leave it out"));
                }
                // What is set is written down with the plan.
                _ if may_be_secret(name, value) => {
                    let instead = format!("set it in the shell, where replays find it: {name}=… afterlog replay …");
                    return Err(bad(name, "may be a secret", &instead));
                }
                _ => {}
            }
            read.retain(|(known, _)| known != name);
            read.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(read))
    }

    /// What was given when this was kept.
    pub(in crate::engine) fn again(kept: &[GivenVariable]) -> Self {
        Self(kept.iter().map(|given| (given.name.clone(), given.value.clone())).collect())
    }

    /// What is written down with a plan.
    pub(in crate::engine) fn kept(&self) -> Vec<GivenVariable> {
        let kept = |(name, value): &(String, String)| GivenVariable {
            name: name.clone(),
            value: value.clone(),
            recorded: None,
        };
        self.0.iter().map(kept).collect()
    }

    /// The same, with what a run had.
    pub(in crate::engine) fn of_run(&self, meta: &RunMeta) -> Vec<GivenVariable> {
        let others = meta.others.as_ref().map(|others| &others.kept);
        let mut kept = self.kept();
        for given in &mut kept {
            let recorded = meta.environment.get(&given.name);
            given.recorded = recorded.or_else(|| others?.get(&given.name)).cloned();
        }
        kept
    }
}

fn bad(name: &str, what: &str, instead: &str) -> Error {
    Error::Unsupported { what: format!("--env: {name} {what}"), instead: instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Given;

    #[test]
    fn of_a_name_that_is_given_twice_the_later_value_counts() {
        let texts = ["DATA_DIR=/new=1", "GAIN=2", "DATA_DIR=/newer"].map(str::to_owned);
        let kept = Given::read(&texts).expect("variables").kept();
        let kept: Vec<_> = kept.iter().map(|given| (given.name.as_str(), given.value.as_str())).collect();
        assert_eq!(kept, [("GAIN", "2"), ("DATA_DIR", "/newer")]);
    }

    #[test]
    fn what_may_be_a_secret_is_refused_and_no_error_shows_it() {
        for secret in ["MY_TOKEN=abc9", "DB=postgres://a:abc9@c", "AFTERLOG_KEY=abc9"] {
            let error = Given::read(&[secret.to_owned()]).expect_err(secret).to_string();
            assert!(error.starts_with("--env: ") && !error.contains("abc9"), "{error}");
        }
    }

    #[test]
    fn what_is_no_assignment_or_decides_what_a_replay_is_cannot_be_given() {
        for bad in [
            "DATA_DIR",
            "=x",
            "",
            "AFTERLOG_FORK=off",
            "PYTHONHASHSEED=1",
            "CUDA_VISIBLE_DEVICES=0",
            "WANDB_MODE=online",
        ] {
            let error = Given::read(&[bad.to_owned()]).expect_err(bad).to_string();
            assert!(error.starts_with("--env: "), "{error}");
        }
        assert_eq!(Given::read(&["EMPTY=".to_owned()]).expect("empty").kept()[0].value, "");
    }
}
