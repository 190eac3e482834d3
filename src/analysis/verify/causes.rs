//! What a difference or a failure may come from: what is known of the run and of its replay, compared.
//!
//! Nothing is guessed: a cause is named only with something that was seen, and beside it what was seen.

use crate::analysis::python::{Chance, ChanceCall};
use crate::base::units::bytes;
use crate::model::job::{Cause, CauseKind, Difference};
use crate::model::position::Position;
use crate::model::run::Facts;

/// What is known of a segment and of its run.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    pub recorded: Facts,
    pub replayed: Facts,
    /// Names of the machines, where both are known.
    pub hosts: Option<(&'a str, &'a str)>,
    /// Files that the replay read and that were changed after the run began, with who did.
    pub files: Vec<ChangedFile>,
    /// What restored states lacked: iteration, variable, reason.
    pub uncaptured: Vec<(u64, String, String)>,
    /// What the added statement itself calls, and where it logged first.
    pub statement: Vec<ChanceCall>,
    pub first_logged: Option<Position>,
    /// What the rest of the script calls.
    pub script: Vec<ChanceCall>,
    /// Bytes that are free where replays write.
    pub free_bytes: Option<u64>,
}

/// A file that is not what the run read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    pub path: String,
    /// Whether a run wrote it, and not the user.
    pub by_a_run: bool,
    /// Whether it is known by its hash that it holds something else.
    pub differs: bool,
}

/// At most so many packages, files or calls are named in one cause.
const NAMED: usize = 4;

/// What a first difference may come from, what says most first.
pub fn of_difference(difference: &Difference, evidence: &Evidence<'_>) -> Vec<Cause> {
    let found = [
        python(evidence),
        packages(evidence),
        machine(evidence),
        threads(evidence),
        files(evidence),
        statement(difference, evidence),
        uncaptured(difference, evidence),
        devices(evidence),
        unseeded(evidence),
    ];
    found.into_iter().flatten().collect()
}

fn cause(kind: CauseKind, evidence: String, follows: &str) -> Option<Cause> {
    let sentence = format!("{evidence}: {follows}");
    Some(Cause { kind, evidence, sentence })
}

/// `a, b, c and 3 more`.
fn listed(items: &[String]) -> String {
    let first = items[..items.len().min(NAMED)].join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn python(evidence: &Evidence<'_>) -> Option<Cause> {
    let (recorded, replayed) = (evidence.recorded.python_version(), evidence.replayed.python_version());
    if recorded.is_empty() || replayed.is_empty() || recorded == replayed {
        return None;
    }
    let seen = format!("the run had Python {recorded}, the replay {replayed}");
    cause(CauseKind::Python, seen, "`--python PATH` replays with another one")
}

fn packages(evidence: &Evidence<'_>) -> Option<Cause> {
    let changed: Vec<String> = evidence
        .recorded
        .packages
        .iter()
        .filter_map(|(name, recorded)| {
            let now = evidence.replayed.packages.get(name).filter(|now| *now != recorded)?;
            Some(format!("{name} {recorded} is {now} now"))
        })
        .collect();
    if changed.is_empty() {
        return None;
    }
    cause(CauseKind::Package, listed(&changed), "an environment with the run's versions may replay it: `--python PATH`")
}

fn machine(evidence: &Evidence<'_>) -> Option<Cause> {
    let seen = match (&evidence.recorded.cpu, &evidence.replayed.cpu) {
        (Some(recorded), Some(replayed)) if recorded != replayed => {
            format!("the run computed on {recorded}, the replay on {replayed}")
        }
        (Some(_), Some(_)) => return None,
        _ => {
            let (recorded, replayed) = evidence.hosts.filter(|(recorded, replayed)| recorded != replayed)?;
            format!("the run was made on {recorded}, the replay on {replayed}")
        }
    };
    cause(CauseKind::Machine, seen, "another processor may round in another order")
}

fn threads(evidence: &Evidence<'_>) -> Option<Cause> {
    let (recorded, replayed) = (evidence.recorded.threads?, evidence.replayed.threads?);
    if recorded == replayed {
        return None;
    }
    let seen = format!("torch computed with {recorded} threads in the run, and with {replayed} in the replay");
    cause(CauseKind::Threads, seen, "sums are rounded in another order")
}

fn files(evidence: &Evidence<'_>) -> Option<Cause> {
    if evidence.files.is_empty() {
        return None;
    }
    let named = |file: &ChangedFile| {
        let who = match (file.by_a_run, file.differs) {
            (true, _) => " (written by a run)",
            (false, true) => " (by its hash it holds something else)",
            (false, false) => "",
        };
        format!("{}{who}", file.path)
    };
    let named: Vec<String> = evidence.files.iter().map(named).collect();
    let changed = if named.len() == 1 { "was changed after the run began" } else { "were changed after the run began" };
    cause(CauseKind::DataFile, format!("{} {changed}", listed(&named)), "the replay read what is there now")
}

/// Whether a difference stands where the statement had logged already.
fn is_behind(difference: &Position, first: &Position) -> bool {
    for (here, there) in difference.0.iter().zip(&first.0) {
        if here.name != there.name {
            return false;
        }
        if here.index != there.index {
            return here.index > there.index;
        }
    }
    true
}

fn statement(difference: &Difference, evidence: &Evidence<'_>) -> Option<Cause> {
    let first = evidence.first_logged.as_ref().filter(|first| is_behind(&difference.position, first))?;
    let draws: Vec<String> = evidence
        .statement
        .iter()
        .filter(|call| call.chance == Chance::Draws)
        .map(|call| format!("{} (line {})", call.name.trim_start_matches('.'), call.line))
        .collect();
    let at = if first.0.is_empty() { "before the main loop".to_owned() } else { format!("at {first}") };
    let is_generator = difference.name.starts_with("rng:");
    let seen = match (draws.is_empty(), is_generator) {
        (false, _) => {
            format!("the added statement calls {} and first logged {at}, before the difference", listed(&draws))
        }
        (true, true) => format!("the generators differ after the added statement first logged {at}"),
        (true, false) => return None,
    };
    cause(
        CauseKind::Statement,
        seen,
        "what it draws is missing from what training draws; a generator of its own would not be",
    )
}

fn uncaptured(difference: &Difference, evidence: &Evidence<'_>) -> Option<Cause> {
    let at = difference.position.0.first().map_or(0, |step| step.index);
    let lacking = evidence.uncaptured.iter().filter(|(iteration, _, _)| *iteration <= at);
    let mut named: Vec<String> = Vec::new();
    for (iteration, variable, reason) in lacking {
        let text = format!("'{variable}' ({reason}; restored at iteration {iteration})");
        if !named.iter().any(|known| known.starts_with(&format!("'{variable}'"))) {
            named.push(text);
        }
    }
    if named.is_empty() {
        return None;
    }
    let seen = format!("the restored state was without {}", listed(&named));
    cause(CauseKind::NotCaptured, seen, "what it stood for may have been needed after all")
}

fn devices(evidence: &Evidence<'_>) -> Option<Cause> {
    let (recorded, replayed) = (&evidence.recorded.devices, &evidence.replayed.devices);
    if recorded.is_empty() {
        return None;
    }
    if recorded != replayed {
        let now = if replayed.is_empty() { "none".to_owned() } else { replayed.join(", ") };
        let seen = format!("the run computed on {}, the replay on {now}", recorded.join(", "));
        return cause(CauseKind::Device, seen, "another device rounds in another order");
    }
    let seen = format!("the run computed on {}", recorded.join(", "));
    cause(
        CauseKind::Device,
        seen,
        "some CUDA kernels add in an order of their own each time; torch.use_deterministic_algorithms(True) forbids them",
    )
}

fn unseeded(evidence: &Evidence<'_>) -> Option<Cause> {
    let fresh = evidence.script.iter().filter(|call| call.chance == Chance::Fresh);
    let calls: Vec<String> = fresh.map(|call| format!("{} (line {})", call.name, call.line)).collect();
    if calls.is_empty() {
        return None;
    }
    let seen = format!("the script calls {}", listed(&calls));
    cause(
        CauseKind::Unseeded,
        seen,
        "it gives something else at each execution; what it seeds or decides cannot be replayed",
    )
}

/// What a segment's failure may come from, by its message.
pub fn of_failure(message: &str, python: &str, evidence: &Evidence<'_>) -> Vec<Cause> {
    let found = [
        no_room(message, evidence),
        no_interpreter(message, python),
        missing_package(message, python, evidence),
        no_device(message, evidence),
        missing_file(message),
    ];
    found.into_iter().flatten().collect()
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once('\'').map(|(inside, _)| inside)
}

fn no_room(message: &str, evidence: &Evidence<'_>) -> Option<Cause> {
    /// What does not suffice for a journal's next pieces.
    const LITTLE: u64 = 2_000_000;
    let free = evidence.free_bytes.filter(|free| *free < LITTLE);
    let seen = match free {
        Some(free) => format!("the store's disk has {} left", bytes(free)),
        None if message.contains("No space left on device") => "no space was left on a disk".into(),
        None => return None,
    };
    cause(CauseKind::Disk, seen, "make room (`afterlog gc` frees some); the same command computes what is left")
}

fn no_interpreter(message: &str, python: &str) -> Option<Cause> {
    let said = message.contains(&format!("cannot start {python}")).then(|| format!("{python} does not start"))?;
    cause(CauseKind::Python, said, "`--python PATH` replays with another interpreter")
}

fn missing_package(message: &str, python: &str, evidence: &Evidence<'_>) -> Option<Cause> {
    let module = quoted(message, "No module named '")?;
    let top = module.split('.').next().unwrap_or(module);
    let project = distribution(top);
    let version = evidence.recorded.packages.get(top);
    let had = version.map(|version| format!(", and the run had {version} of it")).unwrap_or_default();
    let exact = version.map(|version| format!("=={version}")).unwrap_or_default();
    let seen = format!("{python} has no module '{module}'{had}");
    cause(CauseKind::Package, seen, &format!("`{python} -m pip install {project}{exact}`, or `--python PATH`"))
}

/// What is installed for a module, where that has another name.
fn distribution(module: &str) -> &str {
    const OTHERS: [(&str, &str); 7] = [
        ("sklearn", "scikit-learn"),
        ("skimage", "scikit-image"),
        ("cv2", "opencv-python"),
        ("PIL", "Pillow"),
        ("yaml", "PyYAML"),
        ("pytorch_lightning", "pytorch-lightning"),
        ("dateutil", "python-dateutil"),
    ];
    OTHERS.iter().find(|(name, _)| *name == module).map_or(module, |(_, distribution)| distribution)
}

fn no_device(message: &str, evidence: &Evidence<'_>) -> Option<Cause> {
    const SAID: [&str; 5] = [
        "not compiled with CUDA",
        "No CUDA GPUs are available",
        "no NVIDIA driver",
        "no CUDA-capable device",
        "torch.cuda.is_available() is False",
    ];
    let said = SAID.iter().find(|said| message.contains(*said))?;
    let had = match &evidence.recorded.devices[..] {
        [] => String::new(),
        devices => format!(", and the run computed on {}", devices.join(", ")),
    };
    cause(
        CauseKind::Device,
        format!("torch says: {said}{had}"),
        "replay it on a machine with a GPU, with a torch built for it",
    )
}

fn missing_file(message: &str) -> Option<Cause> {
    let path = quoted(message, "No such file or directory: '")?;
    cause(CauseKind::DataFile, format!("there is no {path}"), "put back what the run read there")
}

#[cfg(test)]
mod tests {
    use super::{ChangedFile, Evidence, of_difference, of_failure};
    use crate::analysis::python::chance_calls;
    use crate::model::job::{CauseKind, Difference};
    use crate::model::position::{Position, Step};
    use crate::model::run::Facts;

    fn at(epoch: u64) -> Position {
        Position(vec![Step { name: "epoch".into(), index: epoch }])
    }

    fn difference(name: &str, epoch: u64) -> Difference {
        Difference { name: name.into(), position: at(epoch), recorded: None, replayed: None }
    }

    fn facts(python: u32, packages: &[(&str, &str)], threads: u32) -> Facts {
        let packages = packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        Facts {
            python: vec![3, python, 0],
            packages,
            threads: Some(threads),
            cpu: Some("a".into()),
            ..Facts::default()
        }
    }

    #[test]
    fn without_evidence_nothing_is_said() {
        let same = || facts(11, &[("torch", "2.5")], 2);
        let evidence = Evidence {
            recorded: same(),
            replayed: same(),
            hosts: Some(("a", "b")),
            script: chance_calls("import random\nrandom.seed(1)\nx = random.random()\n"),
            statement: chance_calls("import torch\nlog(torch.rand(1))\n"),
            first_logged: Some(at(5)),
            ..Evidence::default()
        };
        // The statement draws, but the difference was there before it ran.
        assert_eq!(of_difference(&difference("loss", 3), &evidence), []);
        assert_eq!(of_difference(&difference("loss", 3), &Evidence::default()), []);
        assert_eq!(of_failure("ValueError: x", "python3", &evidence), []);
    }

    #[test]
    fn each_thing_that_was_seen_to_differ_is_a_cause_of_its_own() {
        let evidence = Evidence {
            recorded: Facts { devices: vec!["H".into()], ..facts(10, &[("torch", "2.4"), ("gone", "1")], 4) },
            replayed: Facts { cpu: Some("b".into()), ..facts(11, &[("torch", "2.5"), ("new", "1")], 2) },
            files: vec![ChangedFile { path: "d.csv".into(), by_a_run: false, differs: true }],
            uncaptured: vec![(0, "lock".into(), "cannot be pickled".into()), (9, "late".into(), "no".into())],
            statement: chance_calls("import torch\nlog(torch.rand(1))\n"),
            first_logged: Some(at(1)),
            script: chance_calls("import time\ntime.time()\n"),
            ..Evidence::default()
        };
        let causes = of_difference(&difference("loss", 3), &evidence);
        let kinds: Vec<CauseKind> = causes.iter().map(|cause| cause.kind).collect();
        use CauseKind::{DataFile, Device, Machine, NotCaptured, Package, Python, Statement, Threads, Unseeded};
        assert_eq!(kinds, [Python, Package, Machine, Threads, DataFile, Statement, NotCaptured, Device, Unseeded]);
        assert_eq!(causes[1].evidence, "torch 2.4 is 2.5 now", "what one of the two did not import is no difference");
        assert!(!causes[6].evidence.contains("late"), "what was restored later is no cause: {}", causes[6].evidence);
        assert!(causes.iter().all(|cause| cause.sentence.starts_with(&cause.evidence)));
    }

    #[test]
    fn a_failure_for_want_of_something_says_what_to_install_or_put_back() {
        let evidence = Evidence { recorded: facts(11, &[("sklearn", "1.5.1")], 1), ..Evidence::default() };
        let said = |message: &str| of_failure(message, "/usr/bin/python3", &evidence).pop().map(|cause| cause.sentence);
        let missing = said("ModuleNotFoundError: No module named 'sklearn.svm'").expect("a cause");
        assert!(missing.contains("`/usr/bin/python3 -m pip install scikit-learn==1.5.1`"), "{missing}");
        assert!(said("AssertionError: Torch not compiled with CUDA enabled").is_some_and(|text| text.contains("GPU")));
        let file = said("FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'");
        assert!(file.is_some_and(|text| text.contains("no data.csv")));
    }
}
