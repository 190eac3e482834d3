//! The arguments in which runs differ: what tells them apart where their code does not.

use crate::model::run::RunSummary;
use crate::model::value::Value;
use crate::tui::app::timeline::Timeline;
use crate::tui::text::short;

impl Timeline {
    /// A run by what its id says.
    pub fn run(&self, id: &str) -> Option<&RunSummary> {
        self.runs.binary_search_by(|run| run.id.as_str().cmp(id)).ok().map(|at| &self.runs[at])
    }
}

fn argument<'r>(run: &'r RunSummary, wanted: &str) -> Option<&'r Value> {
    run.args.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

/// The names of those arguments that are not the same in all of these runs.
fn differing<'r>(runs: &[&'r RunSummary]) -> Vec<&'r str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in runs.iter().flat_map(|run| &run.args) {
        let same = |run: &&RunSummary| argument(run, name).is_some_and(|other| other.same_bits(value));
        if !names.contains(&name.as_str()) && !runs.iter().all(same) {
            names.push(name);
        }
    }
    names
}

/// `lr=0.1 width=8` for each run: what these do not have in common. Of a run alone, all.
pub fn tell_apart(runs: &[Option<&RunSummary>]) -> Vec<String> {
    let known: Vec<&RunSummary> = runs.iter().flatten().copied().collect();
    let names = match &known[..] {
        [one] => one.args.iter().map(|(name, _)| name.as_str()).collect(),
        several => differing(several),
    };
    let said = |run: &RunSummary| {
        let given = names.iter().filter_map(|name| Some(format!("{name}={}", short(argument(run, name)?))));
        given.collect::<Vec<_>>().join(" ")
    };
    runs.iter().map(|run| run.map(said).unwrap_or_default()).collect()
}

/// `lr  0.1 → 0.2` for every argument in which the newer of two runs differs from the older.
pub fn changes(older: &RunSummary, newer: &RunSummary, arrow: &str) -> Vec<String> {
    let value = |run, name: &str| argument(run, name).map_or_else(|| "not given".to_owned(), short);
    let change = |name: &str| format!("{name}  {} {arrow} {}", value(older, name), value(newer, name));
    differing(&[older, newer]).into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::run::RunStatus;
    use crate::tui::app::fixture::run;

    fn with(args: &[(&str, f64)]) -> RunSummary {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), Value::Float(*value))).collect();
        RunSummary { args, ..run(1, RunStatus::Finished) }
    }

    #[test]
    fn runs_are_told_apart_by_what_they_do_not_have_in_common() {
        let (a, b) = (with(&[("lr", 0.1), ("width", 8.0)]), with(&[("lr", 0.2), ("width", 8.0), ("decay", 0.5)]));
        assert_eq!(tell_apart(&[Some(&a), None, Some(&b)]), ["lr=0.1", "", "lr=0.2 decay=0.5"]);
        assert_eq!(tell_apart(&[Some(&a)]), ["lr=0.1 width=8.0"]);
        assert_eq!(changes(&a, &b, "→"), ["lr  0.1 → 0.2", "decay  not given → 0.5"]);
        assert!(changes(&a, &a, "→").is_empty());
    }
}
