//! The test of every replay: a value equals, to the bit, what a full run with the statement in place logs.

use crate::env::TestProject;

/// A log statement to be added: after the line that holds `after`, with that line's own or `deeper` indentation.
pub(crate) struct Added<'a> {
    pub(crate) after: &'a str,
    pub(crate) statement: &'a str,
    /// Levels of indentation beyond that of the line it follows.
    pub(crate) deeper: usize,
}

impl Added<'_> {
    pub(crate) fn to(&self, script: &str) -> String {
        let mut out = String::new();
        let mut done = false;
        for line in script.lines() {
            out.push_str(line);
            out.push('\n');
            if !done && line.contains(self.after) {
                let indent = line.len() - line.trim_start().len() + 4 * self.deeper;
                out.push_str(&format!("{}{}\n", " ".repeat(indent), self.statement));
                done = true;
            }
        }
        assert!(done, "no line holds {:?}", self.after);
        out
    }
}

/// The rows of a grid of these names without the run's id.
pub(crate) fn values(project: &TestProject, names: &[&str]) -> Vec<String> {
    let csv = project.afterlog(&[&["grid"][..], names, &["--no-verdicts", "--format", "csv"]].concat()).ok();
    csv.lines().skip(1).map(|line| line.split_once(',').expect("a run's id").1.to_owned()).collect()
}

/// A script as it ran, and as it is with the statement.
pub(crate) struct Case<'a> {
    pub(crate) torch: bool,
    /// Other files of the project: path and text.
    pub(crate) others: &'a [(&'a str, &'a str)],
    pub(crate) script: &'a str,
    pub(crate) with_statement: &'a str,
}

impl Case<'_> {
    pub(crate) fn project(&self) -> TestProject {
        let project = if self.torch { TestProject::git().with_torch() } else { TestProject::git() };
        self.others.iter().for_each(|(path, text)| project.write(path, text));
        project
    }

    /// Records the script with the arguments of `afterlog run`, adds the statement, replays `name` and compares with a
    /// full run. Gives the grid with its verdicts, as CSV.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, run: &[&str]) -> String {
        let full = self.project();
        full.write("train.py", self.with_statement);
        let output = full.afterlog(&[&["run"][..], run].concat()).ok();
        let expected = values(&full, &[name]);
        assert!(!expected.is_empty(), "the full run logs {name}");

        let project = self.project();
        project.write("train.py", self.script);
        project.commit("start");
        assert_eq!(project.afterlog(&[&["run"][..], run].concat()).ok(), output);
        project.write("train.py", self.with_statement);
        let before = project.fingerprint();
        let replayed = project.afterlog(&["replay", name, "--yes"]);
        assert_eq!(replayed.code, Some(0), "{name}: {replayed:?}");
        assert_eq!(before, project.fingerprint(), "the project is untouched");
        assert_eq!(values(&project, &[name]), expected, "{name} {replayed:?}");
        // What is known is not computed again.
        let again = project.afterlog(&["replay", name, "--yes"]);
        assert!(again.stdout.contains("Nothing to replay"), "{again:?}");
        project.afterlog(&["grid", name, "--verdicts", "--format", "csv"]).ok()
    }
    /// Records the script, enters its main loop at iteration 3 to replay `name`, then replays the rest: what either gives
    /// must be what a full run logs. Gives the grid with its verdicts, as CSV.
    #[track_caller]
    pub(crate) fn check_entered(&self, what: &str, name: &str) -> String {
        let all = ["run", "--checkpoints", "all", "train.py"];
        let full = self.project();
        full.write("train.py", self.with_statement);
        full.afterlog(&all).ok();
        let expected = values(&full, &[name]);
        assert!(!expected.is_empty(), "the full run logs {name}");

        let project = self.project();
        project.write("train.py", self.script);
        project.afterlog(&all).ok();
        project.write("train.py", self.with_statement);
        project.afterlog(&["replay", name, "--iters", "epoch=3", "--yes"]).ok();
        let entered = values(&project, &[name]);
        assert!(entered.iter().any(|row| row.starts_with("3,")), "{what}: {entered:?}");
        assert!(entered.iter().all(|row| expected.contains(row)), "{what}: {entered:?} of {expected:?}");
        project.afterlog(&["replay", name, "--yes"]).ok();
        assert_eq!(values(&project, &[name]), expected, "{what}");
        project.afterlog(&["grid", name, "--verdicts", "--format", "csv"]).ok()
    }
}
