//! Which runs a selection means: ids, unique prefixes, names, `last`, `last:5`, `a..b`, and comma lists of these.

use std::collections::BTreeSet;

use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::run::RunSummary;

impl Project {
    /// The runs that a selection means, oldest first, each once.
    ///
    /// # Errors
    /// If a part of it means no run, or several where one is meant.
    pub fn select(&self, selection: &str) -> Result<Vec<RunId>, Error> {
        select(&self.runs()?, selection)
    }

    /// The one run that a selection means.
    ///
    /// # Errors
    /// As [`Project::select`], and if it means several.
    pub fn select_one(&self, selection: &str) -> Result<RunId, Error> {
        let mut runs = self.select(selection)?;
        match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => Ok(run),
            (None, _) => Err(Error::UnknownRun(selection.to_owned())),
            (Some(last), false) => {
                if selection.contains([':', ',']) || selection.contains("..") {
                    let reason = format!("it means {} runs, and one is wanted", runs.len() + 1);
                    return Err(Error::BadSelection { text: selection.to_owned(), reason });
                }
                let candidates = runs.iter().chain([&last]).map(RunId::to_string).collect();
                Err(Error::AmbiguousRun { text: selection.to_owned(), candidates })
            }
        }
    }
}

/// `runs` are oldest first.
fn select(runs: &[RunSummary], selection: &str) -> Result<Vec<RunId>, Error> {
    let mut chosen = BTreeSet::new();
    for part in selection.split(',').map(str::trim) {
        chosen.extend(one_part(runs, part)?);
    }
    Ok(chosen.into_iter().map(|at| runs[at].id.clone()).collect())
}

fn one_part(runs: &[RunSummary], part: &str) -> Result<Vec<usize>, Error> {
    let bad = |reason: &str| Error::BadSelection { text: part.to_owned(), reason: reason.to_owned() };
    if part.is_empty() {
        return Err(bad("it is empty"));
    }
    if part == "last" || part.starts_with("last:") {
        let count: usize = match part.strip_prefix("last:") {
            Some(count) => count.parse().map_err(|_| bad("after 'last:' stands a number"))?,
            None => 1,
        };
        if runs.is_empty() {
            return Err(Error::UnknownRun(part.to_owned()));
        }
        return Ok((runs.len().saturating_sub(count)..runs.len()).collect());
    }
    if let Some((first, last)) = part.split_once("..") {
        let first = if first.is_empty() { 0 } else { single(runs, first)? };
        let last = if last.is_empty() { runs.len().saturating_sub(1) } else { single(runs, last)? };
        return if first <= last { Ok((first..=last).collect()) } else { Err(bad("it ends before it begins")) };
    }
    named(runs, part)
}

/// One end of a range.
fn single(runs: &[RunSummary], text: &str) -> Result<usize, Error> {
    if text == "last" && !runs.is_empty() {
        return Ok(runs.len() - 1);
    }
    match named(runs, text)?[..] {
        [at] => Ok(at),
        ref several => Err(ambiguous(runs, text, several)),
    }
}

/// Runs by id, by name, or by unique prefix of an id, in this order.
fn named(runs: &[RunSummary], text: &str) -> Result<Vec<usize>, Error> {
    let matching = |test: &dyn Fn(&RunSummary) -> bool| -> Vec<usize> {
        runs.iter().enumerate().filter(|(_, run)| test(run)).map(|(at, _)| at).collect()
    };
    let exact = matching(&|run| run.id.as_str() == text);
    if !exact.is_empty() {
        return Ok(exact);
    }
    let names = matching(&|run| run.name.as_deref() == Some(text));
    if !names.is_empty() {
        return Ok(names);
    }
    let prefixed = matching(&|run| run.id.as_str().starts_with(text));
    match prefixed.len() {
        0 => Err(Error::UnknownRun(text.to_owned())),
        1 => Ok(prefixed),
        _ => Err(ambiguous(runs, text, &prefixed)),
    }
}

fn ambiguous(runs: &[RunSummary], text: &str, found: &[usize]) -> Error {
    let candidates = found.iter().map(|at| runs[*at].id.to_string()).collect();
    Error::AmbiguousRun { text: text.to_owned(), candidates }
}

#[cfg(test)]
mod tests {
    use super::select;
    use crate::engine::Error;
    use crate::model::run::{RunStatus, RunSummary};
    use crate::model::source::VersionId;

    fn run(id: &str, name: Option<&str>) -> RunSummary {
        RunSummary {
            id: id.parse().expect("an id"),
            name: name.map(str::to_owned),
            started_ms: 0,
            duration_ms: 0,
            status: RunStatus::Finished,
            exit_code: Some(0),
            script: "train.py".into(),
            args: Vec::new(),
            command: Vec::new(),
            version: VersionId(String::new()),
            iterations: 0,
            checkpoints: 0,
            checkpoint_bytes: 0,
            names: Vec::new(),
            last_metric: None,
            last_values: Default::default(),
            spark: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn selections_mean_what_they_say() {
        let runs = [
            run("aa00000000", Some("base")),
            run("ab00000000", None),
            run("b000000000", Some("base")),
            run("c000000000", None),
        ];
        let check = |selection: &str, expected: &[usize]| {
            let ids: Vec<_> = expected.iter().map(|at| runs[*at].id.clone()).collect();
            assert_eq!(select(&runs, selection).expect(selection), ids, "{selection}");
        };
        check("aa00000000", &[0]);
        check("c", &[3]);
        check("base", &[0, 2]);
        check("last", &[3]);
        check("last:2", &[2, 3]);
        check("last:99", &[0, 1, 2, 3]);
        check("ab..b0", &[1, 2]);
        check("ab..", &[1, 2, 3]);
        check("c,aa,c", &[0, 3]);
        assert!(matches!(select(&runs, "a"), Err(Error::AmbiguousRun { candidates, .. }) if candidates.len() == 2));
        assert!(matches!(select(&runs, "zz"), Err(Error::UnknownRun(_))));
        for bad in ["", "c..aa", "last:x", "c,,aa"] {
            assert!(matches!(select(&runs, bad), Err(Error::BadSelection { .. })), "{bad}");
        }
    }
}
