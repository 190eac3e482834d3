//! Looks at the store now and then, cheaply, and posts a survey when something changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use crate::base::ids::{JobId, RunId};
use crate::engine::project::Project;
use crate::model::run::RunStatus;
use crate::store::layout::{Layout, names};
use crate::tui::background::{from_journals, in_words, survey};
use crate::tui::event::{Event, Survey};

/// How often the store is looked at while something is going on, and otherwise.
const ACTIVE: Duration = Duration::from_millis(250);
const QUIET: Duration = Duration::from_secs(1);
/// A run that was killed writes nothing more: while any is running, look closely once in so many times.
const CLOSER_LOOK: u32 = 8;

/// What was seen last.
#[derive(Default)]
pub(super) struct Watch {
    seen: Vec<(u64, Option<SystemTime>)>,
    known: Survey,
    /// Whether that was posted: an empty list, too, is news at first.
    is_posted: bool,
    /// Folders of runs and jobs that are being made: what is put into them does not show in the folder above.
    unfinished: Vec<PathBuf>,
    trouble: Option<String>,
    round: u32,
}

impl Watch {
    pub(super) fn run(&mut self, project: &Project, events: &Sender<Event>, taken: &AtomicBool) {
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
            let had_database = !project.reads_journals_only();
            let refreshed = project.refresh();
            // What cannot be taken in keeps nobody from what can be read.
            let looked = survey(project);
            let trouble = looked.as_ref().err().or(refreshed.as_ref().err()).map(|error| {
                let cause = if had_database { project.read_journals_instead() } else { None };
                match (cause, project.layout().runs().is_dir()) {
                    // The next look is at them.
                    (Some(cause), _) => from_journals(cause).to_owned(),
                    (None, true) => in_words(error),
                    (None, false) => {
                        format!("{} is gone: what was read of it is shown", project.layout().store().display())
                    }
                }
            });
            // It is told once, until there is another; what was read stays, and the watcher looks again.
            let is_new = trouble.is_some() && trouble != self.trouble;
            self.trouble.clone_from(&trouble);
            if let Some(trouble) = trouble {
                self.seen.clear();
                if is_new && events.send(Event::Trouble(trouble)).is_err() {
                    return;
                }
            }
            let Some(mut survey) = looked.ok().filter(|_| project.layout().runs().is_dir()) else { continue };
            project.note_gone(&mut survey.runs);
            self.unfinished = unfinished(project.layout(), &survey);
            // What a run prints is no part of the survey, but of its detail.
            if survey != self.known || printing || !self.is_posted {
                self.is_posted = true;
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
