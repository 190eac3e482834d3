//! Runs effects on threads and posts their answers as events; watches the store for news.
//!
//! A thread a slot: of several requests waiting in a slot only the newest is answered. Nothing here knows the screen.

mod hindsight;
mod watch;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::analysis::compare::compare;
use crate::base::files::write_atomic_unless;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::export::{csv_unless, json_unless};
use crate::engine::progress::Waiting;
use crate::engine::project::{GridQuery, Project, Unusable};
use crate::model::source::FileChange;
use crate::tui::ansi::painted_lines;
use crate::tui::app::document::{Document, FileDiff, Sides};
use crate::tui::app::metric::courses;
use crate::tui::app::plot::curves::curves;
use crate::tui::app::table::{self, Arranged, RowFilter};
use crate::tui::background::watch::Watch;
use crate::tui::event::{Answer, Ask, Detail, Event, Request, Slot, Survey};
use crate::tui::highlight::{Highlighted, highlight};
use crate::tui::panics;
use crate::tui::text::output_lines;

/// How much of a run's output the detail holds.
const OUTPUT_BYTES: u64 = 256 << 10;
/// So long nothing is said of a request.
const SLOW: Duration = Duration::from_millis(200);
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
            if (0..WATCHES).all(|_| once().is_err()) {
                // Nobody is there any more who could hear it, if this fails.
                let _ = posted.send(Event::Trouble(format!("nothing new is shown any more; {}", panics::words())));
            }
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
        let told = Mutex::new(Instant::now());
        let tell = |progress| {
            // Whoever finds it taken has nothing to say that another does not.
            if let Ok(mut last) = told.try_lock()
                && last.elapsed() >= SLOW
            {
                *last = Instant::now();
                // Whoever does not hear of it does not get the answer either.
                let _ = events.send(Event::Progress { slot, generation, progress });
            }
        };
        let waiting = Waiting::new(&outdated, &tell);
        let answer = catch_unwind(AssertUnwindSafe(|| with_journals(project, events, ask.request, waiting)));
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

/// Does what a request asks; where the database turns out to be of no use, from the journals.
fn with_journals(
    project: &Project,
    events: &Sender<Event>,
    request: Request,
    waiting: Waiting<'_>,
) -> Result<Answer, String> {
    let had_database = !project.reads_journals_only();
    let answer = perform(project, request.clone(), waiting);
    if answer.is_ok() || !had_database {
        return answer;
    }
    let Some(cause) = project.read_journals_instead() else { return answer };
    // Whoever does not hear of it does not get the answer either.
    let _ = events.send(Event::Trouble(from_journals(cause).to_owned()));
    perform(project, request, waiting)
}

fn from_journals(cause: Unusable) -> &'static str {
    match cause {
        Unusable::Damaged => {
            "the database is damaged: what the journals say is shown; `afterlog rebuild` makes it anew from them"
        }
        Unusable::TooNew => "this store is of a newer afterlog: what its journals say is shown",
    }
}

/// Does what a request asks. Errors are told in words, with what to do next.
fn perform(project: &Project, request: Request, waiting: Waiting<'_>) -> Result<Answer, String> {
    let outdated: &(dyn Fn() -> bool + Sync) = &|| waiting.is_over();
    match request {
        Request::Survey => {
            let refreshed = project.refresh();
            // A store that cannot be written can still be read.
            let survey = survey(project).map_err(told)?;
            let notice = match refreshed {
                // Nothing to show: the list says why.
                Err(error) if survey.runs.is_empty() => return Err(told(error)),
                refreshed => refreshed.err().map(told),
            };
            Ok(Answer::Survey(Box::new(Survey { notice, ..survey })))
        }
        Request::Changes(pairs) => {
            let mut changes = Vec::with_capacity(pairs.len());
            for (older, newer) in pairs {
                if outdated() {
                    break;
                }
                // One that is gone keeps nobody from the others; its detail and its diff say why.
                let files = project.changed_files(&older, &newer).ok();
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
            let unreadable = project.checkpoints_unreadable(&id);
            let output = painted_lines(&output);
            Ok(Answer::Detail(Box::new(Detail { run, ranks, given_up, unreadable, output })))
        }
        Request::Diff { left, right } => {
            let document = document(project, left, right, waiting)?;
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
        | Request::Cancel(_) => hindsight::perform(project, request, waiting),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn told(error: Error) -> String {
    in_words(&error)
}

fn in_words(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    }
}

fn survey(project: &Project) -> Result<Survey, Error> {
    Ok(Survey { runs: project.runs()?, names: project.all_names()?, jobs: project.jobs()?, notice: None })
}

/// Two versions file by file, with the log statements that they lack placed into the scripts. `None` when nobody waits for
/// them any more.
fn document(project: &Project, left: RunId, right: RunId, waiting: Waiting<'_>) -> Result<Option<Document>, String> {
    let changed = project.changed_files(&left, &right).map_err(told)?;
    let placed = hindsight::placements(project, &left, &right, waiting)?;
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
        if waiting.is_over() {
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
