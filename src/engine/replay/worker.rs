//! Performs one segment: puts the version in place, isolates itself, runs the script and serves it its states.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, SystemTime};

use crate::analysis::{planner, python};
use crate::base::files::{self, at};
use crate::base::ids::JobId;
use crate::base::units::counted;
use crate::engine::record::not_in_replays;
use crate::engine::replay::forkserver::{Asked, Forked, NotShared, Started};
use crate::engine::replay::isolation::{self, View};
use crate::engine::replay::prefix;
use crate::engine::replay::states::States;
use crate::engine::replay::{AFRESH, Lacking};
use crate::engine::replay::{protocol, read_plan};
use crate::engine::spawn::{self, Channels, Descriptors, Handover, Invocation, Mode, Session, Streams};
use crate::engine::{Error, machine, replay, runtime, sources};
use crate::model::plan::{Environment, GivenVariable, Isolation, ReplayPlan, RunPlan, Segment, SegmentOrder, Stop};
use crate::model::run::{Held, RunMeta};
use crate::model::source::LeftOut;
use crate::model::value::Value;
use crate::store::journal::{self, Event, Writer};
use crate::store::layout::{Layout, is_held, names};
use crate::store::versions::Versions;

/// Variables that keep well-known trackers from sending a replay's values anywhere.
pub(in crate::engine) const TRACKERS_OFF: [(&str, &str); 6] = [
    ("WANDB_MODE", "disabled"),
    ("COMET_MODE", "DISABLED"),
    ("NEPTUNE_MODE", "debug"),
    ("MLFLOW_TRACKING_URI", "file:///tmp/afterlog-replay-mlflow"),
    // Newer versions refuse files otherwise.
    ("MLFLOW_ALLOW_FILE_STORE", "true"),
    ("CLEARML_OFFLINE_MODE", "1"),
];

/// The exit code of a worker whose segment is begun anew by another.
const BEGIN_ANEW: i32 = 70;

/// Performs a segment of a job; gives the exit code of its script.
///
/// # Errors
/// If the segment cannot be prepared or its process fails. The process must have a single thread when this is called.
pub fn run(layout: &Layout, job: &JobId, segment: u32, is_prefix: bool) -> Result<i32, Error> {
    spawn::die_with_parent();
    if !is_held(&layout.job(job).join(names::LOCK)) {
        // The coordinator was gone before that took effect: nobody wants this any more.
        return Ok(1);
    }
    let plan = read_plan(layout, job)?;
    let missing = |what: &str| Error::BadFile { path: layout.job(job).join(names::PLAN), what: what.to_owned() };
    let segment = plan.segments.iter().find(|s| s.id == segment).ok_or_else(|| missing("no such segment"))?;
    let run_plan = plan.runs.iter().find(|run| run.run == segment.run).ok_or_else(|| missing("no such run"))?;
    if is_prefix {
        // It ends where the main loop begins, whatever the segment does there.
        let bare = Segment { steps: Vec::new(), stop: Stop::AtMainLoop, ..segment.clone() };
        return Worker::prepare(layout, &plan, &bare, run_plan, Some(prefix::number(&plan, &segment.run)))?.perform();
    }
    Worker::prepare(layout, &plan, segment, run_plan, None)?.perform()
}

/// Everything that is opened before the process isolates itself.
struct Worker<'a> {
    layout: &'a Layout,
    isolation: &'a Isolation,
    folder: PathBuf,
    scratch: PathBuf,
    temporary: PathBuf,
    meta: RunMeta,
    computes: Option<Environment>,
    order: SegmentOrder,
    absent: Vec<String>,
    states: States,
    runtime: PathBuf,
    sharing: Shared,
}

/// What this worker's process has to do with others of its run.
enum Shared {
    Nothing,
    /// It is forked where the main loop begins, and its view has what was written until then.
    From(Asked),
    /// It forks others there.
    By(OwnedFd),
}

impl<'a> Worker<'a> {
    /// `serves` is the number of a process that executes only what comes before the main loop, for others.
    fn prepare(
        layout: &'a Layout,
        plan: &'a ReplayPlan,
        segment: &Segment,
        run_plan: &RunPlan,
        serves: Option<u32>,
    ) -> Result<Self, Error> {
        let number = serves.unwrap_or(segment.id);
        let folder = layout.segment(&plan.job, number);
        let mut meta = read_meta(layout, segment)?;
        if let Some(environment) = &run_plan.environment {
            meta.python.clone_from(&environment.python);
        }
        let probed = run_plan.probed_source.as_deref();
        let versions = Versions::open(layout)?;
        let [scratch, temporary] = leftovers(layout, &plan.job, number);
        let tree = scratch.join(isolation::TREE);
        files::create_dir_all(&tree)?;
        let sources = sources::of_version(&versions, &run_plan.version, &run_plan.script, probed)?;
        let instrumentation = python::instrument(&run_plan.script, &sources, &run_plan.inserted);
        write_json(&folder.join(names::INSTRUMENTATION), &instrumentation)?;
        let mut states = States::open(layout, &segment.run)?;
        let lacking = lacking(&folder)?;
        states.forget(&lacking);
        let planned = segment;
        let segment = &planner::again(segment, &instrumentation, &run_plan.reach, &states.checkpoints());
        if segment.steps != planned.steps {
            let gone: Vec<u64> = planner::needs(planned).difference(&planner::needs(segment)).copied().collect();
            note(&folder, &fell_back(planned, segment, &gone, lacking.contains(&Lacking::Any)))?;
        }
        states.hold(&planner::needs(segment));
        for given in plan.given(&segment.run) {
            note(&folder, &given.words())?;
        }
        let order = SegmentOrder {
            run: segment.run.clone(),
            args: recorded_arguments(layout, segment)?,
            entropy_seed: meta.entropy_seed,
            started_ms: meta.started_ms,
            training_ms: plan.training_ms.clone(),
            held: held(layout, segment),
            moved: moved(plan.given(&segment.run)),
            steps: segment.steps.clone(),
            stop: segment.stop,
            watches: serves.is_some() || segment.restores(),
            inserted: run_plan.inserted.clone(),
        };
        write_json(&folder.join(names::ORDER), &order)?;
        let sharing = match spawn::given_prefix() {
            Some(socket) if serves.is_some() => Shared::By(socket.map_err(at("serve", &folder))?),
            Some(socket) if prefix::may_share(segment, run_plan) => share(socket, layout, plan, segment)?,
            _ => Shared::Nothing,
        };
        if !matches!(sharing, Shared::From(_)) {
            // They were there when the run began.
            let before = Duration::from_millis(u64::try_from(meta.started_ms).unwrap_or(0).saturating_sub(1000));
            versions.check_out(&run_plan.version, &tree, SystemTime::UNIX_EPOCH + before)?;
            if let Some(probed) = probed {
                let script = tree.join(&run_plan.script);
                fs::remove_file(&script).map_err(at("replace", &script))?;
                files::write_atomic(&script, probed.as_bytes())?;
            }
        }
        let here: HashSet<String> = versions.list_files(&run_plan.version)?.into_iter().collect();
        let absent = versions
            .worktree_paths_kept(&layout.job(&plan.job).join(names::WORKTREE))?
            .into_iter()
            .filter(|path| !here.contains(path));
        // Of what a version left out the user's own file is the best there is; whatever has changed since is marked.
        let (folders, files): (Vec<&LeftOut>, Vec<&LeftOut>) =
            meta.left_out.iter().partition(|left| left.path.ends_with(['/', '*']));
        let files: HashSet<&str> = files.into_iter().map(|left| left.path.as_str()).collect();
        let absent = absent.filter(|path| !files.contains(path.as_str()));
        let absent = absent.filter(|path| !folders.iter().any(|left| left.holds(path))).collect();
        let runtime = runtime::unpack(layout)?;
        let isolation = &plan.isolation;
        let computes = run_plan.environment.clone();
        Ok(Self {
            layout,
            isolation,
            folder,
            scratch,
            temporary,
            meta,
            computes,
            order,
            absent,
            states,
            runtime,
            sharing,
        })
    }

    fn perform(self) -> Result<i32, Error> {
        let (mut descriptors, channels) = Descriptors::open(&self.folder, None)?;
        let output = descriptors.output.try_clone().map_err(at("open", &self.folder.join(names::OUTPUT)))?;
        // What is forked can join a view only that is made inside the server's own.
        let (server, absent) = match self.sharing {
            // Files that the version does not have are hidden in what was copied.
            Shared::From(asked) => (Some(Ok(asked)), &[][..]),
            Shared::By(socket) => {
                descriptors.asked = Some(socket);
                (Asked::join(), &self.absent[..])
            }
            Shared::Nothing => (Asked::join(), &self.absent[..]),
        };
        let view = View { root: self.layout.root(), scratch: &self.scratch, temporary: &self.temporary, absent };
        let place = isolation::enter(self.isolation, &view)
            .map_err(|source| Error::NoIsolation { reason: source.to_string() })?;
        // Entering a user namespace undoes it.
        spawn::die_with_parent();
        // The run's folder was the project's or one inside it.
        let cwd = self.meta.cwd.strip_prefix(self.layout.root()).map_or_else(
            |_| self.meta.cwd.clone(),
            |inside| if inside.as_os_str().is_empty() { place.root.clone() } else { place.root.join(inside) },
        );
        std::env::set_current_dir(&cwd).map_err(at("enter", &cwd))?;

        let script = place.root.join(&self.meta.script);
        let script = script.strip_prefix(&cwd).unwrap_or(&script).to_owned();
        let args: Vec<OsString> = self.meta.args.iter().map(OsString::from).collect();
        let mut environment = environment(&self.meta, self.computes.as_ref());
        environment.extend(spawn::given_devices().map(|devices| (machine::VISIBLE.to_owned(), devices)));
        if place.guard.is_some() {
            let temporary = self.temporary.to_string_lossy().into_owned();
            environment.insert("MLFLOW_TRACKING_URI".into(), format!("file://{temporary}/mlflow"));
            environment.insert("TMPDIR".into(), temporary);
        }
        let invocation = Invocation {
            python: &self.meta.python,
            flags: &self.meta.python_flags,
            launcher: &[],
            module: self.meta.module.as_deref(),
            script: &script,
            args: &args,
        };
        let session = Session {
            mode: Mode::Replay { order: &self.folder.join(names::ORDER) },
            runtime: &self.runtime,
            directory: &self.folder,
            project_root: &place.root,
            hash_seed: &self.meta.hash_seed,
            entropy_seed: self.meta.entropy_seed,
            environment: &environment,
            without: &without(&self.meta, self.computes.as_ref()),
            streams: Streams::AppendedTo(&output),
            guard: place.guard.as_deref(),
        };
        let path = self.folder.join(names::EVENTS);
        let mut journal = Writer::of(descriptors.events.try_clone().map_err(at("write", &path))?, &path);
        let Some(mut process) = begin(server, &invocation, &session, &cwd, descriptors, &mut journal)? else {
            return Ok(BEGIN_ANEW);
        };
        let Channels { control, buffers } = channels;
        let ours = control.try_clone().map_err(at("serve", &self.folder))?;
        let (status, served) = std::thread::scope(|scope| {
            // Closes the channel when it fails: then the script ends too, since it cannot have its states.
            let server = scope.spawn(|| protocol::serve(control, &buffers, &self.states, &self.order));
            let status = process.wait();
            // A process that the script forked may hold its end open.
            let _ = ours.shutdown(Shutdown::Both);
            (status, server.join().unwrap_or_else(|_| Err(io::Error::other("the server of states panicked"))))
        });
        let Some(status) = status.map_err(at("wait for", &self.meta.python))? else {
            begin_anew(
                &mut journal,
                "it is executed from the beginning: the process that had forked its own was killed",
            )?;
            return Ok(BEGIN_ANEW);
        };
        let (code, signal) = spawn::outcome(status);
        // A killed script may have left half a message.
        if signal.is_none() {
            served.map_err(at("serve", &self.folder))?;
        }
        Ok(code)
    }
}

/// A segment's Python.
enum Process {
    Forked(Forked),
    Fresh(Child),
}

impl Process {
    /// `None` if it was killed for no reason of its own.
    fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Forked(forked) => forked.wait(),
            Self::Fresh(child) => child.wait().map(Some),
        }
    }
}

/// Has a segment's Python forked, or starts it afresh and notes in its journal why it was not. `None` if that cannot be
/// done in this process.
fn begin(
    server: Option<Result<Asked, String>>,
    invocation: &Invocation<'_>,
    session: &Session<'_>,
    cwd: &Path,
    descriptors: Descriptors,
    journal: &mut Writer,
) -> Result<Option<Process>, Error> {
    let is_prefix = matches!(&server, Some(Ok(server)) if server.is_prefix);
    let started = server.map(|server| match server {
        Ok(server) => server.start(invocation, session, cwd, &descriptors),
        Err(reason) => Started::Afresh(reason),
    });
    match started {
        Some(Started::Forked(forked)) => return Ok(Some(Process::Forked(forked))),
        Some(Started::Afresh(reason)) if is_prefix => {
            // Its view holds what was written before the main loop.
            begin_anew(journal, &not_shared(&reason))?;
            return Ok(None);
        }
        Some(Started::Afresh(reason)) => {
            journal.append(&[Event::Note(format!("{AFRESH}: {reason}"))])?;
        }
        None => {}
    }
    Ok(Some(Process::Fresh(spawn::session(invocation, session, Handover::Inherited(descriptors))?)))
}

/// Has the coordinator begin the segment anew, with nothing of what was written, in a process that shares nothing.
fn begin_anew(journal: &mut Writer, reason: &str) -> Result<(), Error> {
    let end = serde_json::json!({ "exit_code": BEGIN_ANEW, "exception": reason, "traceback": null, "unshared": true });
    // What was noted before an end does not count any more.
    Ok(journal.append(&[Event::End(end.to_string()), Event::Note(reason.to_owned())])?)
}

/// Waits until what comes before the main loop is executed; notes in the segment's journal why nothing is forked there.
fn share(socket: io::Result<OwnedFd>, layout: &Layout, plan: &ReplayPlan, segment: &Segment) -> Result<Shared, Error> {
    let (shared, own) = (prefix::number(plan, &segment.run), segment.id);
    let [to, _] = leftovers(layout, &plan.job, own);
    let copies = || -> Result<(), Error> {
        let [from, _] = leftovers(layout, &plan.job, shared);
        isolation::copy_layers(&from, &to)?;
        // What was printed until then was printed by each.
        let of = |number| layout.segment(&plan.job, number).join(names::OUTPUT);
        let (from, to) = (of(shared), of(own));
        let mut printed = fs::File::open(&from).map_err(at("open", &from))?;
        let output = fs::OpenOptions::new().create(true).append(true).open(&to);
        io::copy(&mut printed, &mut output.map_err(at("open", &to))?).map_err(at("write", &to))?;
        Ok(())
    };
    match Asked::at_main_loop(socket, copies) {
        Ok(asked) => Ok(Shared::From(asked)),
        Err(NotShared { reason, is_scripts }) => {
            note(&layout.segment(&plan.job, own), &not_shared(&reason))?;
            if is_scripts {
                // The next replay does not wait for nothing.
                files::write_atomic(&layout.run(&segment.run).join(names::UNSHARED), reason.as_bytes())?;
            }
            // Half a copy is none.
            isolation::clear(&to)?;
            files::create_dir_all(&to.join(isolation::TREE))?;
            Ok(Shared::Nothing)
        }
    }
}

fn not_shared(reason: &str) -> String {
    format!("what comes before the main loop is executed for this segment alone: {reason}")
}

/// What is known of a run's data; nothing of runs that ended before it was kept.
fn held(layout: &Layout, segment: &Segment) -> BTreeMap<String, Held> {
    let json = files::read(&layout.run(&segment.run).join(names::DATA)).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

fn moved(given: &[GivenVariable]) -> Vec<(String, String)> {
    given.iter().filter_map(|given| Some((given.recorded.clone()?, given.value.clone()))).collect()
}

/// Those of this process's variables that a run's replay does not inherit.
pub(super) fn without(meta: &RunMeta, computes: Option<&Environment>) -> Vec<String> {
    let mut names = not_in_replays(meta);
    names.retain(|name| !computes.iter().flat_map(|computes| &computes.given).any(|given| given.name == *name));
    names
}

/// The variables that a run's replay sets: as recorded, what keeps trackers quiet, what has it compute as the run did, and
/// what the user sets instead.
pub(super) fn environment(meta: &RunMeta, computes: Option<&Environment>) -> BTreeMap<String, String> {
    let own = TRACKERS_OFF.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let recorded = meta.environment.iter().chain(meta.others.iter().flat_map(|others| &others.kept));
    let recorded = recorded.map(|(name, value)| (name.clone(), value.clone()));
    let mut variables: BTreeMap<String, String> = recorded.chain(own).collect();
    if let Some(threads) = computes.and_then(|computes| computes.threads) {
        variables.insert("OMP_NUM_THREADS".into(), threads.to_string());
    }
    if computes.is_some_and(|computes| computes.devices == Some(0)) {
        variables.insert(machine::VISIBLE.into(), String::new());
    }
    let given = computes.iter().flat_map(|computes| &computes.given);
    variables.extend(given.map(|given| (given.name.clone(), given.value.clone())));
    variables
}

/// The folders that a segment's process leaves behind: its scratch folder and its temporary one. The latter is short,
/// since the addresses of sockets made in it must be.
pub(super) fn leftovers(layout: &Layout, job: &JobId, segment: u32) -> [PathBuf; 2] {
    let temporary = std::env::temp_dir().join(format!("afterlog-{job}-{segment}"));
    [layout.segment(job, segment).join("scratch"), temporary]
}

fn read_meta(layout: &Layout, segment: &Segment) -> Result<RunMeta, Error> {
    let path = layout.run(&segment.run).join(names::META);
    serde_json::from_slice(&files::read(&path)?).map_err(|error| Error::BadFile { path, what: error.to_string() })
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let json =
        serde_json::to_vec(value).map_err(|error| Error::BadFile { path: path.to_owned(), what: error.to_string() })?;
    Ok(files::write_atomic(path, &json)?)
}

/// The values that `arg` gave in the run, from its journal.
fn recorded_arguments(layout: &Layout, segment: &Segment) -> Result<Vec<(String, Value)>, Error> {
    let path = layout.run(&segment.run).join(names::EVENTS);
    let mut known: BTreeMap<u32, String> = BTreeMap::new();
    let mut arguments: Vec<(String, Value)> = Vec::new();
    let mut offset = 0;
    loop {
        let batch = journal::read_from(&path, offset)?;
        for event in batch.events {
            match event {
                Event::Name { id, text } => drop(known.insert(id, text)),
                Event::Argument { name, value } => {
                    let name = known.get(&name).cloned().unwrap_or_default();
                    if !arguments.iter().any(|(known, _)| *known == name) {
                        arguments.push((name, value));
                    }
                }
                _ => {}
            }
        }
        offset = batch.next_offset;
        if !batch.more {
            return Ok(arguments);
        }
    }
}

/// Notes in the segment's journal why its script was never started, for its state.
///
/// # Errors
/// If the journal cannot be written.
pub fn note_failure(layout: &Layout, job: &JobId, segment: u32, reason: &str) -> Result<(), Error> {
    let folder = layout.segment(job, segment);
    files::create_dir_all(&folder)?;
    let end = serde_json::json!({ "exit_code": 70, "exception": reason, "traceback": null }).to_string();
    Ok(Writer::open(&folder.join(names::EVENTS))?.append(&[Event::End(end)])?)
}

/// Notes something in the segment's journal that the user should know.
fn note(folder: &Path, text: &str) -> Result<(), Error> {
    Ok(Writer::open(&folder.join(names::EVENTS))?.append(&[Event::Note(text.to_owned())])?)
}

/// What the segment cannot have, as its journal says of earlier attempts.
fn lacking(folder: &Path) -> Result<Vec<Lacking>, Error> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let batch = journal::read_from(&folder.join(names::EVENTS), offset)?;
        let ends = batch.events.iter().filter_map(|event| if let Event::End(json) = event { Some(json) } else { None });
        found.extend(ends.filter_map(|json| replay::lacking(json)));
        offset = batch.next_offset;
        if !batch.more {
            return Ok(found);
        }
    }
}

/// That a segment begins earlier than it was planned to, in words.
fn fell_back(planned: &Segment, segment: &Segment, gone: &[u64], all: bool) -> String {
    let restored = segment.steps.first().and_then(|step| step.restore.map(|_| step.iteration));
    let from = restored.map_or("the script's beginning".to_owned(), |iteration| format!("iteration {iteration}"));
    let gone: Vec<String> = gone.iter().map(|seq| format!("#{seq}")).collect();
    let more = counted(segment.steps.len().saturating_sub(planned.steps.len()) as u64, "iteration");
    let which = if gone.len() == 1 { "checkpoint" } else { "checkpoints" };
    let why = match all {
        true => "it needed what it was to skip".to_owned(),
        false => format!("{which} {} cannot be restored", gone.join(", ")),
    };
    format!("{why}: it is executed from {from} on, {more} more than planned")
}
