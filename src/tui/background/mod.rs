//! Runs effects on threads and posts their answers as events; watches the store for news.
//!
//! A thread a slot: of several requests waiting in a slot only the newest is answered. Nothing here knows the screen.

mod hindsight;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use crate::analysis::compare::compare;
use crate::base::files::write_atomic_unless;
use crate::base::ids::{JobId, RunId};
use crate::engine::Error;
use crate::engine::export::{csv_unless, json_unless};
use crate::engine::project::{GridQuery, Project};
use crate::model::run::RunStatus;
use crate::model::source::FileChange;
use crate::store::db::DbError;
use crate::store::layout::{Layout, names};
use crate::tui::ansi::painted_lines;
use crate::tui::app::document::{Document, FileDiff, Sides};
use crate::tui::app::metric::courses;
use crate::tui::app::plot::curves::curves;
use crate::tui::app::table::{self, Arranged, RowFilter};
use crate::tui::event::{Answer, Ask, Detail, Event, Request, Slot, Survey};
use crate::tui::highlight::{Highlighted, highlight};
use crate::tui::panics;
use crate::tui::text::output_lines;

/// How much of a run's output the detail holds.
const OUTPUT_BYTES: u64 = 256 << 10;
/// So long nothing is said of a request.
const SLOW: Duration = Duration::from_millis(200);
/// How often the store is looked at while something is going on, and otherwise.
const ACTIVE: Duration = Duration::from_millis(250);
const QUIET: Duration = Duration::from_secs(1);
/// A run that was killed writes nothing more: while any is running, look closely once in so many times.
const CLOSER_LOOK: u32 = 8;
/// How often the watcher is started.
const WATCHES: u32 = 3;

/// The threads that work for the interface.
pub struct Background {
    project: Project,
    events: Sender<Event>,
    slots: HashMap<Slot, Lane>,
    slow: Sender<Watched>,
    /// Whether what the watcher posted last has been taken: it posts nothing before, so that nothing piles up while the
    /// terminal is slow.
    taken: Arc<AtomicBool>,
}

/// A slot's thread.
struct Lane {
    asks: Sender<Ask>,
    /// The generation that counts: what works on an older one stops.
    newest: Arc<AtomicU64>,
    /// The last one that is over.
    over: Arc<AtomicU64>,
}

/// A request that will be spoken of if it is not over by then.
struct Watched {
    at: Instant,
    slot: Slot,
    generation: u64,
    over: Arc<AtomicU64>,
}

/// Tells of what takes its time.
fn tell_slow(watched: &Receiver<Watched>, events: &Sender<Event>) {
    while let Ok(Watched { at, slot, generation, over }) = watched.recv() {
        // All wait equally long, so that the next one's time is never before this one's.
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let is_over = over.load(Ordering::Relaxed) >= generation;
        if !is_over && events.send(Event::Slow { slot, generation }).is_err() {
            return;
        }
    }
}

impl Background {
    /// Starts watching; slots get their threads when first used.
    pub fn new(project: Project, events: Sender<Event>) -> Self {
        let (watched, posted, taken) = (project.clone(), events.clone(), Arc::new(AtomicBool::new(true)));
        let seen_by_user = Arc::clone(&taken);
        std::thread::spawn(move || {
            let mut watch = Watch::default();
            // One that ends by a mistake of ours begins anew, but not for ever.
            let mut once = || catch_unwind(AssertUnwindSafe(|| watch.run(&watched, &posted, &seen_by_user)));
            (0..WATCHES).find(|_| once().is_ok());
        });
        let (slow, watched) = channel();
        let posted = events.clone();
        std::thread::spawn(move || tell_slow(&watched, &posted));
        Self { project, events, slots: HashMap::new(), slow, taken }
    }

    /// Says that the last change that was posted is on its way to the screen.
    pub fn survey_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Takes a request; its answer comes as an event.
    pub fn ask(&mut self, ask: Ask) {
        let slot = ask.request.slot();
        let lane = self.slots.entry(slot).or_insert_with(|| {
            let (asks, requests) = channel();
            let (newest, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (project, events) = (self.project.clone(), self.events.clone());
            let (current, ended) = (Arc::clone(&newest), Arc::clone(&over));
            std::thread::spawn(move || serve(&project, &events, slot, &requests, (&current, &ended)));
            Lane { asks, newest, over }
        });
        lane.newest.store(ask.generation, Ordering::Relaxed);
        if slot.takes_its_time() {
            let over = Arc::clone(&lane.over);
            // The thread ends only when this sender does.
            let _ = self.slow.send(Watched { at: Instant::now() + SLOW, slot, generation: ask.generation, over });
        }
        // So does this one.
        let _ = lane.asks.send(ask);
    }

    /// Stops what a slot works on: it counts no more.
    pub fn stop(&mut self, slot: Slot, generation: u64) {
        if let Some(lane) = self.slots.get(&slot) {
            lane.newest.store(generation, Ordering::Relaxed);
        }
    }
}

fn serve(
    project: &Project,
    events: &Sender<Event>,
    slot: Slot,
    requests: &Receiver<Ask>,
    (newest, over): (&AtomicU64, &AtomicU64),
) {
    while let Ok(mut ask) = requests.recv() {
        if slot != Slot::Action {
            while let Ok(newer) = requests.try_recv() {
                ask = newer;
            }
        }
        let generation = ask.generation;
        let outdated = || newest.load(Ordering::Relaxed) != generation;
        let answer = catch_unwind(AssertUnwindSafe(|| perform(project, ask.request, &outdated)));
        let mut result = answer.unwrap_or_else(|_| Err(panics::words()));
        if let (Ok(Answer::Survey(survey)), 2..) = (&mut result, generation) {
            // Not the first time: nothing must keep the list from being there at once, and the watcher looks soon.
            project.note_gone(&mut survey.runs);
        }
        over.store(generation, Ordering::Relaxed);
        if slot != Slot::Action && outdated() {
            continue;
        }
        if events.send(Event::Answered { slot, generation, result }).is_err() {
            return;
        }
    }
}

/// Does what a request asks. Errors are told in words, with what to do next.
fn perform(project: &Project, request: Request, outdated: &(dyn Fn() -> bool + Sync)) -> Result<Answer, String> {
    match request {
        Request::Survey => {
            let mut refreshed = project.refresh();
            let mut notice = None;
            if let Err(Error::Db(DbError::TooNew { .. })) = &refreshed {
                notice = Some("this store is of a newer afterlog: what its journals say is shown".to_owned());
                project.read_journals_only();
                refreshed = project.refresh();
            }
            // A store that cannot be written can still be read.
            let survey = survey(project);
            refreshed.map_err(told)?;
            Ok(Answer::Survey(Box::new(Survey { notice, ..survey? })))
        }
        Request::Changes(pairs) => {
            let mut changes = Vec::with_capacity(pairs.len());
            for (older, newer) in pairs {
                if outdated() {
                    break;
                }
                let files = project.changed_files(&older, &newer).map_err(told)?;
                changes.push((older, newer, files));
            }
            Ok(Answer::Changes(changes))
        }
        Request::Courses { name, runs } => {
            let query = GridQuery { names: vec![name.clone()], runs: Some(runs), ..GridQuery::default() };
            let courses = courses(&project.grid(&query).map_err(told)?);
            Ok(Answer::Courses { name, courses })
        }
        Request::Detail(id) => {
            let run = project.run_detail(&id).map_err(told)?;
            let output = project.output(&id, OUTPUT_BYTES).map_err(told)?;
            let ranks = project.checkpoints_of_others(&id);
            let given_up = project.checkpoints_given_up(&id);
            Ok(Answer::Detail(Box::new(Detail { run, ranks, given_up, output: painted_lines(&output) })))
        }
        Request::Diff { left, right } => {
            let document = document(project, left, right, outdated)?;
            Ok(document.map_or(Answer::Nothing, |document| Answer::Diff(Arc::new(document))))
        }
        Request::Highlight { document, file } => {
            let diff = &document.files[file];
            let colours = Highlighted {
                left: highlight(&diff.path, &diff.left, outdated),
                right: highlight(&diff.path, &diff.right, outdated),
            };
            Ok(Answer::Highlight { file, colours: Arc::new(colours) })
        }
        Request::Grid { names, runs } => {
            let query = GridQuery { names, runs, ..GridQuery::default() };
            let grid = project.grid_unless(&query, outdated).map_err(told)?;
            Ok(grid.map_or(Answer::Nothing, |grid| Answer::Grid(Arc::new(grid))))
        }
        Request::Arrange { grid, mut arrangement, renew } => {
            let renewed = match &arrangement.filter {
                // One that no longer fits, say because its column is gone, stays as it was read.
                Some(RowFilter::Condition(_)) if renew => {
                    let text = arrangement.filter.as_ref().map_or("", RowFilter::text);
                    RowFilter::parse(text, &grid, &project.runs().map_err(told)?).ok().flatten()
                }
                _ => None,
            };
            if renewed.is_some() {
                arrangement.filter.clone_from(&renewed);
            }
            let arranged = table::arrange(&grid, &arrangement, outdated);
            Ok(arranged.map_or(Answer::Nothing, |arranged| Answer::Arranged(Arranged { renewed, ..arranged })))
        }
        Request::Statistics { grid, order, column } => {
            let statistics = table::statistics(&grid, order.as_ref(), column, outdated);
            Ok(statistics.map_or(Answer::Nothing, |statistics| Answer::Statistics(Box::new(statistics))))
        }
        Request::Curves { grid, order, wanted } => {
            let curves = curves(&grid, order.as_ref(), &wanted, outdated);
            Ok(curves.map_or(Answer::Nothing, |curves| Answer::Curves(Arc::new(curves))))
        }
        Request::Hunt { grid, order, hunt } => Ok(Answer::Found(table::hunt(&grid, order.as_ref(), &hunt, outdated))),
        Request::Compare { grid, runs, tolerance } => {
            let [a, b] = &runs;
            Ok(Answer::Compared(compare(&grid, [a, b], tolerance, outdated).map(Arc::new)))
        }
        Request::Export { path, replace, grid, order, columns } => {
            if !replace && path.exists() {
                return Err(format!("{} is there already: the same again replaces it", path.display()));
            }
            let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            let Some(shown) = table::selection(&grid, order.as_ref(), &columns, outdated) else {
                return Ok(Answer::Nothing);
            };
            let text = if json { json_unless(&shown, true, outdated) } else { csv_unless(&shown, true, outdated) };
            let Some(text) = text else { return Ok(Answer::Nothing) };
            // What was stopped is said to be: it replaces no file in the end.
            let written = write_atomic_unless(&path, text.as_bytes(), outdated).map_err(|error| error.to_string())?;
            Ok(if written { Answer::Exported { path, rows: shown.len() } } else { Answer::Nothing })
        }
        Request::SegmentLog(job, segment) => {
            let log = project.segment_log(&job, segment).map_err(told)?;
            Ok(Answer::SegmentLog(job, segment, output_lines(&log)))
        }
        Request::Draft { written, iterations } => hindsight::draft(project, &written, &iterations),
        Request::Redraft { correction, script } => hindsight::redraft(project, &correction, &script),
        Request::Correct(correction) => hindsight::correct(project, correction),
        Request::Statements
        | Request::Keep(_)
        | Request::Preview { .. }
        | Request::Plan(_)
        | Request::Start(_)
        | Request::Cancel(_) => hindsight::perform(project, request, outdated),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn told(error: Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    }
}

fn survey(project: &Project) -> Result<Survey, String> {
    let runs = project.runs().map_err(told)?;
    Ok(Survey { runs, names: project.all_names().map_err(told)?, jobs: project.jobs().map_err(told)?, notice: None })
}

/// Two versions file by file, with the log statements that they lack placed into the scripts. `None` when nobody waits for
/// them any more.
fn document(
    project: &Project,
    left: RunId,
    right: RunId,
    outdated: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Document>, String> {
    let changed = project.changed_files(&left, &right).map_err(told)?;
    let placed = hindsight::placements(project, &left, &right, outdated)?;
    let script = project.run_detail(&right).map_err(told)?.meta.script;
    let mut paths: Vec<(String, Option<FileChange>)> =
        changed.into_iter().map(|file| (file.path, Some(file.change))).collect();
    // The script comes first: it is what the user came for.
    match paths.iter().position(|(path, _)| *path == script) {
        Some(at) => paths[..=at].rotate_right(1),
        None if left == right || placed.iter().any(|(_, p)| p.placements.iter().any(|p| p.status.is_placed())) => {
            paths.insert(0, (script.clone(), None));
        }
        None => {}
    }
    let mut files = Vec::with_capacity(paths.len());
    for (path, change) in paths {
        if outdated() {
            return Ok(None);
        }
        let text = |run: &RunId| -> Result<String, String> {
            let text = project.source(run, &path).map_err(told)?.unwrap_or_default();
            Ok(if text.contains('\0') { format!("(a binary file, as in {run})\n") } else { text })
        };
        let (old, new) = (text(&left)?, text(&right)?);
        let into = |run: &RunId| placed.iter().find(|(id, _)| id == run && path == script).map(|(_, p)| p);
        let sides = Sides { left: &old, right: &new, into_left: into(&left), into_right: into(&right) };
        let is_script = path == script;
        files.push(FileDiff { is_script, ..FileDiff::new(path.clone(), change, sides) });
    }
    Ok(Some(Document { left, right, files }))
}

/// Looks at the store now and then, cheaply, and posts a survey when something changed.
#[derive(Default)]
struct Watch {
    seen: Vec<(u64, Option<SystemTime>)>,
    known: Survey,
    /// Folders of runs and jobs that are being made: what is put into them does not show in the folder above.
    unfinished: Vec<PathBuf>,
    trouble: Option<String>,
    round: u32,
}

impl Watch {
    fn run(&mut self, project: &Project, events: &Sender<Event>, taken: &AtomicBool) {
        loop {
            let active: Vec<&RunId> =
                self.known.runs.iter().filter(|run| run.status == RunStatus::Running).map(|run| &run.id).collect();
            let replaying = self.known.jobs.iter().any(|job| job.active);
            let busy = !active.is_empty() || replaying;
            std::thread::sleep(if busy { ACTIVE } else { QUIET });
            if !taken.load(Ordering::Relaxed) {
                continue;
            }
            self.round = self.round.wrapping_add(1);
            let now = self.footprint(project, &active, replaying);
            let grown = now != self.seen;
            if !(grown || busy && self.round.is_multiple_of(CLOSER_LOOK)) {
                continue;
            }
            let printing = grown && !active.is_empty();
            self.seen = now;
            // Trouble is told once, until there is another; what was read stays, and the watcher looks again.
            let trouble = project.refresh().err().map(|error| match project.layout().runs().is_dir() {
                true => told(error),
                false => format!("{} is gone: what was read of it is shown", project.layout().store().display()),
            });
            let is_new = trouble.is_some() && trouble != self.trouble;
            self.trouble.clone_from(&trouble);
            if let Some(trouble) = trouble {
                self.seen.clear();
                if is_new && events.send(Event::Trouble(trouble)).is_err() {
                    return;
                }
                continue;
            }
            let Ok(mut survey) = survey(project) else {
                self.seen.clear();
                continue;
            };
            project.note_gone(&mut survey.runs);
            self.unfinished = unfinished(project.layout(), &survey);
            // What a run prints is no part of the survey, but of its detail.
            if survey != self.known || printing {
                self.known = survey.clone();
                taken.store(false, Ordering::Relaxed);
                if events.send(Event::Changed(Box::new(survey))).is_err() {
                    return;
                }
            }
        }
    }

    /// Sizes and times of what grows: the folders, and the journals of what is going on.
    fn footprint(&self, project: &Project, active: &[&RunId], replaying: bool) -> Vec<(u64, Option<SystemTime>)> {
        let look = |path: &Path| {
            let meta = std::fs::metadata(path).ok();
            (meta.as_ref().map_or(0, std::fs::Metadata::len), meta.and_then(|m| m.modified().ok()))
        };
        let layout = project.layout();
        // What others took in or gave up (a collection of checkpoints, say) is in the database, or in its log.
        let database = layout.database();
        let mut prints = vec![look(&layout.runs()), look(&layout.jobs()), look(&database)];
        prints.push(look(&database.with_extension("sqlite-wal")));
        prints.extend(self.unfinished.iter().map(|folder| look(folder)));
        for id in active {
            let run = layout.run(id);
            prints.extend(["events.aflj", "recorder.aflj", names::OUTPUT].map(|name| look(&run.join(name))));
        }
        if replaying {
            for job in self.known.jobs.iter().filter(|job| job.active) {
                prints.push(look(&layout.job(&job.id).join("job.aflj")));
                let segments = job.segments.iter().map(|s| layout.segment(&job.id, s.id).join("events.aflj"));
                prints.extend(segments.map(|path| look(&path)));
            }
        }
        prints
    }
}

/// Folders of runs and jobs that are not known yet.
fn unfinished(layout: &Layout, survey: &Survey) -> Vec<PathBuf> {
    let runs: HashSet<&RunId> = survey.runs.iter().map(|run| &run.id).collect();
    let jobs: HashSet<&JobId> = survey.jobs.iter().map(|job| &job.id).collect();
    let new_runs = layout.run_ids().unwrap_or_default().into_iter().filter(|id| !runs.contains(id));
    let new_jobs = layout.job_ids().unwrap_or_default().into_iter().filter(|id| !jobs.contains(id));
    new_runs.map(|id| layout.run(&id)).chain(new_jobs.map(|id| layout.job(&id))).collect()
}
