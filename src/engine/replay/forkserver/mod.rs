//! Start-up paid once: a Python that has imported what several segments import at their top, and forks one for each.
//!
//! A server lives as long as segments of its job may ask it. It runs in a user namespace that those of the segments are
//! inside, since only so may what it forks join them, and in a view of the file system that nothing can be written to
//! (`assets/runtime/serve.py`).
//! Whatever does not work here only costs time: the segment's Python is then started afresh.

mod ask;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;

pub(super) use ask::{Asked, Forked, NotShared, Started};

use crate::analysis::python;
use crate::base::files::{self, at};
use crate::base::ids::{JobId, RunId};
use crate::engine::replay::{isolation, worker};
use crate::engine::spawn::fork::{self, Order, Server};
use crate::engine::{Error, runtime, sources};
use crate::model::job::Imports;
use crate::model::plan::{Isolation, ReplayPlan, RunPlan};
use crate::model::run::RunMeta;
use crate::store::layout::{Layout, names};
use crate::store::versions::Versions;

/// `off` has every segment's Python started afresh.
const CHOICE: &str = "AFTERLOG_FORK";
/// `always` has what comes before the main loop shared also where it takes less than that takes.
const ALWAYS: &str = "always";
/// What is forked shows its own command line in place of the server's, which must be as long. Blanks after JSON are nothing.
const ROOM: usize = 4096;

/// The servers of a job. They end when this is dropped.
pub(super) struct Servers<'a> {
    layout: &'a Layout,
    job: &'a JobId,
    shared: Vec<Shared>,
    /// Which of them serves a run's segments.
    of: HashMap<&'a RunId, usize>,
    /// So many may be there at once: each takes the memory of a process that has everything imported.
    most: usize,
}

/// A start-up that several segments share.
struct Shared {
    key: Key,
    /// Segments that have not ended.
    left: usize,
    /// Whether one of them has ended: then all is imported.
    is_ready: bool,
    server: State,
}

enum State {
    NotStarted,
    Running(Server),
    /// It could not be started, or is not needed any more.
    Gone,
}

/// All that a fresh start of a run's Python depends on before the script's first statement that is no import.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
struct Key {
    python: PathBuf,
    flags: Vec<String>,
    script: String,
    module: bool,
    cwd: PathBuf,
    hash_seed: String,
    environment: BTreeMap<String, String>,
    without: Vec<String>,
    imports: Vec<(String, Vec<String>)>,
    /// What the script has imported later, by other modules.
    later: Option<&'static str>,
}

/// What torch imports when a script makes its first optimizer; it takes as long as torch itself.
const OF_OPTIMIZERS: &str = "torch._dynamo";
/// Words in a script after which that may not be done beforehand: what it imports heeds variables and settings.
const MATTERS: [&str; 6] = ["environ", "putenv", "compile", "_dynamo", "_inductor", "set_default_"];

impl<'a> Servers<'a> {
    /// Finds what is shared by at least two segments of the plan. Starts nothing yet.
    pub(super) fn of(layout: &'a Layout, plan: &'a ReplayPlan) -> Self {
        let mut servers =
            Self { layout, job: &plan.job, shared: Vec::new(), of: HashMap::new(), most: plan.workers.max(1) };
        for (key, (runs, left)) in sharing(layout, plan) {
            servers.of.extend(runs.into_iter().map(|run| (run, servers.shared.len())));
            servers.shared.push(Shared { key, left, is_ready: false, server: State::NotStarted });
        }
        servers
    }

    /// The server for a segment of a run that is about to start, if there is to be one.
    pub(super) fn serving(&mut self, run: &RunId) -> Option<&Server> {
        let number = *self.of.get(run)?;
        let running = self.shared.iter().filter(|shared| matches!(shared.server, State::Running(_))).count();
        let shared = self.shared.get_mut(number)?;
        if matches!(shared.server, State::NotStarted) && shared.left > 1 && running < self.most {
            let started = start(self.layout, self.job, number, &shared.key);
            shared.server = started.map_or(State::Gone, State::Running);
        }
        match &shared.server {
            State::Running(server) => Some(server),
            State::NotStarted | State::Gone => None,
        }
    }

    /// Who imports for a segment that [`Self::serving`] gave a server.
    pub(super) fn imports(&self, run: &RunId) -> Imports {
        let shared = self.of.get(run).and_then(|number| self.shared.get(*number));
        if shared.is_some_and(|shared| shared.is_ready) { Imports::Shared } else { Imports::Awaited }
    }

    /// Told of each segment that has ended.
    pub(super) fn ended(&mut self, run: &RunId) {
        if let Some(shared) = self.of.get(run).and_then(|number| self.shared.get_mut(*number)) {
            shared.left = shared.left.saturating_sub(1);
            shared.is_ready = true;
            if shared.left == 0 {
                shared.server = State::Gone;
            }
        }
    }
}

/// The runs of which several segments have the same imported, for each such start-up; how many segments.
fn sharing<'p>(layout: &Layout, plan: &'p ReplayPlan) -> Vec<(Key, (Vec<&'p RunId>, usize))> {
    if is_off() || plan.isolation != Isolation::Namespace || plan.segments.len() < 2 {
        return Vec::new();
    }
    let Ok(versions) = Versions::open(layout) else { return Vec::new() };
    let mut segments: HashMap<&RunId, usize> = HashMap::new();
    for segment in &plan.segments {
        *segments.entry(&segment.run).or_default() += 1;
    }
    let mut sharing: BTreeMap<Key, (Vec<&RunId>, usize)> = BTreeMap::new();
    for run in &plan.runs {
        if let Some(segments) = segments.get(&run.run)
            && let Ok(key) = key(layout, &versions, run)
            && !key.imports.is_empty()
        {
            let (runs, left) = sharing.entry(key).or_default();
            runs.push(&run.run);
            *left += segments;
        }
    }
    sharing.into_iter().filter(|(_, (_, left))| *left > 1).collect()
}

/// For each run whose imports another process does, the number of that process among them.
pub(super) fn importing<'p>(layout: &Layout, plan: &'p ReplayPlan) -> HashMap<&'p RunId, usize> {
    let numbered = (0..).zip(sharing(layout, plan));
    numbered.flat_map(|(number, (_, (runs, _)))| runs.into_iter().map(move |run| (run, number))).collect()
}

/// Whether nothing is to be forked.
pub(super) fn is_off() -> bool {
    std::env::var(CHOICE).is_ok_and(|choice| choice == "off")
}

/// Whether everything is to be shared that can be.
pub(super) fn is_always() -> bool {
    std::env::var(CHOICE).is_ok_and(|choice| choice == ALWAYS)
}

fn start(layout: &Layout, job: &JobId, number: usize, key: &Key) -> Result<Server, Error> {
    let runtime = &runtime::unpack(layout)?;
    let what = serde_json::json!({
        "job": job,
        "parent": std::process::id(),
        "root": layout.root(),
        "script": key.script,
        "module": key.module,
        "imports": key.imports,
        "later": key.later,
    });
    let what = format!("{what}{}", " ".repeat(ROOM));
    let log = layout.job(job).join(format!("fork-server-{number}.log"));
    let file = OpenOptions::new().create(true).append(true).open(&log).map_err(at("open", &log))?;
    let order = Order {
        python: &key.python,
        flags: &key.flags,
        runtime,
        cwd: &key.cwd,
        hash_seed: &key.hash_seed,
        environment: &key.environment,
        without: &key.without,
        what: &what,
    };
    Ok(fork::server(&order, &file)?)
}

/// Becomes a server: isolates this process, says so and gives it to Python. Returns only if that fails.
///
/// # Errors
/// Why it could not.
pub fn serve(what: &str, python: &[OsString]) -> Result<(), Error> {
    isolation::read_only().map_err(|source| Error::NoIsolation { reason: source.to_string() })?;
    Err(fork::become_server(what, python).into())
}

fn key(layout: &Layout, versions: &Versions, run: &RunPlan) -> Result<Key, Error> {
    let path = layout.run(&run.run).join(names::META);
    let mut meta: RunMeta = serde_json::from_slice(&files::read(&path)?)
        .map_err(|error| Error::BadFile { path, what: error.to_string() })?;
    if let Some(environment) = &run.environment {
        meta.python.clone_from(&environment.python);
    }
    let here = versions.list_files(&run.version)?;
    // Wherever in the project a file or folder has the name: which folders the script searches cannot be seen from here.
    let is_own =
        |name: &str| here.iter().flat_map(|path| path.split('/')).any(|part| part.split('.').next() == Some(name));
    let text = run.probed_source.as_deref().unwrap_or_default();
    let script = layout.root().join(&meta.script);
    let script = script.strip_prefix(&meta.cwd).unwrap_or(&script);
    let imports = python::leading_imports(text, is_own);
    let has_torch = imports.iter().any(|(module, _)| module.split('.').next() == Some("torch"));
    let later = if has_torch {
        let sources = sources::of_version(versions, &run.version, &run.script, Some(text))?;
        let says = |word: &str| sources.iter().any(|source| source.text.contains(word));
        (says("optim") && !MATTERS.iter().any(|word| says(word))).then_some(OF_OPTIMIZERS)
    } else {
        None
    };
    Ok(Key {
        imports,
        later,
        script: script.to_string_lossy().into_owned(),
        module: meta.module.is_some(),
        environment: worker::environment(&meta, run.environment.as_ref()),
        without: worker::without(&meta, run.environment.as_ref()),
        python: meta.python,
        flags: meta.python_flags,
        cwd: meta.cwd,
        hash_seed: meta.hash_seed,
    })
}
