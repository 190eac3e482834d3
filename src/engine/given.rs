//! Variables that a user sets for a replay instead of what its run had: which may be set, and which of them are written down.

use crate::engine::Error;
use crate::engine::machine::VISIBLE;
use crate::engine::record::may_be_secret;
use crate::model::plan::{GivenVariable, Unwritten};
use crate::model::run::RunMeta;

/// Names and values, those that may be secret among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given(Unwritten);

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
                _ => {}
            }
            read.retain(|(known, _)| known != name);
            read.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(Unwritten(read)))
    }

    /// What was given when this was kept; secrets have to be given again, in the environment.
    ///
    /// # Errors
    /// If a secret is not there.
    pub(in crate::engine) fn again(kept: &[GivenVariable]) -> Result<Self, Error> {
        let value = |given: &GivenVariable| match &given.value {
            Some(value) => Ok((given.name.clone(), value.clone())),
            None => match std::env::var(&given.name) {
                Ok(value) => Ok((given.name.clone(), value)),
                Err(_) => {
                    let instead = format!("set it in the shell: {}=… afterlog jobs retry", given.name);
                    Err(bad(&given.name, "was set by --env, and its value was not kept", &instead))
                }
            },
        };
        Ok(Self(Unwritten(kept.iter().map(value).collect::<Result<_, _>>()?)))
    }

    /// What may be written down of them.
    pub(in crate::engine) fn kept(&self) -> Vec<GivenVariable> {
        let kept = |(name, value): &(String, String)| GivenVariable {
            name: name.clone(),
            value: (!may_be_secret(name, value)).then(|| value.clone()),
            recorded: None,
        };
        self.0.0.iter().map(kept).collect()
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

    /// What may not.
    pub(in crate::engine) fn secrets(&self) -> Unwritten {
        let secret = self.0.0.iter().filter(|(name, value)| may_be_secret(name, value));
        Unwritten(secret.cloned().collect())
    }
}

fn bad(name: &str, what: &str, instead: &str) -> Error {
    Error::Unsupported { what: format!("--env: {name} {what}"), instead: instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Given;

    #[test]
    fn what_may_be_a_secret_is_handed_on_and_not_kept() {
        let texts = ["DATA_DIR=/new=1", "MY_TOKEN=abc", "DB=postgres://a:b@c", "DATA_DIR=/newer"].map(str::to_owned);
        let given = Given::read(&texts).expect("variables");
        let kept: Vec<_> = given.kept().into_iter().map(|kept| (kept.name, kept.value)).collect();
        let expected = [("MY_TOKEN", None), ("DB", None), ("DATA_DIR", Some("/newer"))];
        assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        let secrets = given.secrets().0;
        assert_eq!(secrets.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["abc", "postgres://a:b@c"]);
        assert!(!format!("{given:?}").contains("abc"));
    }

    #[test]
    fn what_is_no_assignment_or_decides_what_a_replay_is_cannot_be_given() {
        for bad in ["DATA_DIR", "=x", "", "AFTERLOG_FORK=off", "PYTHONHASHSEED=1", "CUDA_VISIBLE_DEVICES=0"] {
            let error = Given::read(&[bad.to_owned()]).expect_err(bad).to_string();
            assert!(error.starts_with("--env: "), "{error}");
        }
        let error = Given::read(&["AFTERLOG_KEY=abc".to_owned()]).expect_err("ours").to_string();
        assert!(!error.contains("abc"), "{error}");
        assert_eq!(Given::read(&["EMPTY=".to_owned()]).expect("empty").kept()[0].value.as_deref(), Some(""));
    }
}
