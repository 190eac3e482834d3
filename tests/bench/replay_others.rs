//! FlorDB's replays of the same statement over the same runs, and whether its values are those that the runs would have logged.

use std::io::Write;
use std::process::Stdio;

use crate::Row;
use crate::env::TestProject;
use crate::measure::{median, time};
use crate::replay::{self, OUTER, Size};
use crate::workloads::flordb_python;

const NAME: &str = "norm";
const SCRIPT: &str = include_str!("../fixtures/scripts/torch_mlp.py");

/// FlorDB 3.4.12 starts each epoch from its checkpoint, 4.0.1 executes runs as a whole.
pub(crate) fn flordb() -> Vec<Row> {
    let Size { versions, epochs, rounds, .. } = replay::size();
    let truth = truth(versions);
    let project = replay::recorded();
    let others: Vec<Other> =
        ["3.4.12", "4.0.1"].into_iter().map(|version| Other::recorded(version, versions)).collect();
    let (mut ratios, mut equal) = (vec![Vec::new(); others.len()], vec![(0, 0); others.len()]);
    let (mut took, mut ours_equal) = (Vec::new(), usize::MAX);
    for round in 0..rounds {
        let name = format!("{NAME}{round}");
        let two = replay::replay(&project, &name, OUTER, false, &[]).as_secs_f64();
        let one = format!("single{round}");
        let one = replay::replay(&project, &one, OUTER, false, &["--jobs", "1"]).as_secs_f64();
        let csv = project.afterlog(&["grid", &name, "--no-verdicts", "--format", "csv"]).ok();
        ours_equal = ours_equal.min(among(&truth, csv.lines().filter_map(|line| line.rsplit(',').next())));
        took.push(two);
        for (at, other) in others.iter().enumerate() {
            let theirs = other.replay(&format!("{NAME}{round}")).as_secs_f64();
            ratios[at].push((theirs / two, theirs / one));
            let values = other.values(&format!("{NAME}{round}"));
            equal[at] = (among(&truth, values.iter().map(String::as_str)), values.len());
        }
    }
    let over = format!("outer statement, {versions} versions × {epochs} epochs");
    let ours = Row {
        what: format!("replay: {over}: values equal to the true ones ({:.1} s)", median(took)),
        figure: format!("{ours_equal} of {}", truth.len()),
        target: crate::target("all", ours_equal == truth.len()),
    };
    let mut rows = vec![ours];
    for ((other, ratios), (equal, given)) in others.iter().zip(ratios).zip(equal) {
        let (two, one): (Vec<f64>, Vec<f64>) = ratios.into_iter().unzip();
        rows.push(Row {
            what: format!("  FlorDB {} ÷ ours on 2 workers, on 1; values that are true", other.version),
            figure: format!("{:.1}, {:.1}; {equal} of {given}", median(two), median(one)),
            target: None,
        });
    }
    rows
}

/// Runs recorded by a version of FlorDB.
struct Other {
    version: &'static str,
    project: TestProject,
}

impl Other {
    fn recorded(version: &'static str, versions: usize) -> Self {
        let project = TestProject::git().with_torch();
        project.write("train.py", with_flordb(SCRIPT));
        project.commit("start");
        let other = Self { version, project };
        for seed in 0..versions {
            let mut command = other.command(&["train.py", "--kwargs"]);
            let output = command.args(replay::arguments(seed)).output().expect("starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        other
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let python = flordb_python(self.version);
        let mut command = self.project.command(&python);
        // It starts `python` for each run.
        let folder = python.parent().expect("a folder").display().to_string();
        command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        command.args(arguments);
        command
    }

    fn replay(&self, name: &str) -> std::time::Duration {
        self.project.write("train.py", with_flordb(&replay::with(name, OUTER, false)));
        let mut command = self.command(&["-m", "flordb", "replay", name]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (took, output) = time(|| {
            let mut child = command.spawn().expect("starts");
            child.stdin.take().expect("piped").write_all(b"y\n").expect("answered");
            child.wait_with_output().expect("ends")
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        took
    }

    fn values(&self, name: &str) -> Vec<String> {
        let code = format!(
            "import flordb\nfor value in flordb.dataframe('{name}')['{name}'].dropna():\n    print('value', repr(float(value)))"
        );
        let output = self.command(&["-c", &code]).output().expect("starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text.lines().filter_map(|line| line.strip_prefix("value ")).map(str::to_owned).collect()
    }
}

/// FlorDB's checkpoints take what is restored by `load_state_dict` where it is a module or an optimizer, and no schedulers.
fn with_flordb(script: &str) -> String {
    assert!(script.contains(", scheduler=scheduler)"), "the script's checkpoints");
    let script = script.replace(", scheduler=scheduler)", ")");
    script.replace("import afterlog", "import flordb as flor").replace("afterlog.", "flor.")
}

/// What the runs would have logged: executed as a whole, by themselves.
fn truth(versions: usize) -> Vec<String> {
    let project = TestProject::git().with_torch();
    let call = format!("afterlog.log(\"{NAME}\", {OUTER})");
    let script = replay::with(NAME, OUTER, false).replace(&call, &format!("print('value', repr({OUTER}))"));
    project.write("train.py", &script);
    let ran = |seed| {
        let seed = replay::arguments(seed);
        let arguments: Vec<&str> =
            ["run", "--checkpoints", "off", "train.py"].into_iter().chain(seed.iter().map(String::as_str)).collect();
        project.afterlog(&arguments).ok()
    };
    let texts: Vec<String> = (0..versions).map(ran).collect();
    let values: Vec<String> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("value "))
        .map(str::to_owned)
        .collect();
    assert_eq!(values.len(), versions * replay::size().epochs, "{texts:?}");
    values
}

/// How many of the true values are among these, which are numbers as Python or Rust write them.
fn among<'a>(truth: &[String], values: impl Iterator<Item = &'a str>) -> usize {
    let mut found: Vec<f64> = values.filter_map(|value| value.parse().ok()).collect();
    truth
        .iter()
        .filter_map(|value| value.parse::<f64>().ok())
        .filter(|value| {
            let at = found.iter().position(|found| found.to_bits() == value.to_bits());
            at.map(|at| found.swap_remove(at)).is_some()
        })
        .count()
}
