//! What can happen to the interface and what it can ask for. Closed enums: every case is handled or does not compile.

use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};

use crate::analysis::compare::Comparison;
use crate::analysis::propagate::Wish;
use crate::base::ids::{JobId, RunId};
use crate::engine::progress::Progress;
use crate::engine::propagate::Written;
use crate::model::grid::Grid;
use crate::model::job::JobStatus;
use crate::model::plan::ReplayPlan;
use crate::model::probe::{LogStatement, Propagation};
use crate::model::run::{Checkpoint, RunDetail, RunSummary};
use crate::model::source::ChangedFile;
use crate::tui::ansi::Painted;
use crate::tui::app::document::Document;
use crate::tui::app::editor::Draft;
use crate::tui::app::plot::curves::{Curves, Wanted};
use crate::tui::app::table::{Arranged, Arrangement, Column, Found, Hunt, Statistics};
use crate::tui::highlight::Highlighted;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize(u16, u16),
    /// A background effect ended.
    Answered {
        slot: Slot,
        generation: u64,
        result: Result<Answer, String>,
    },
    /// A request is taking its time.
    Slow {
        slot: Slot,
        generation: u64,
    },
    /// How far it is.
    Progress {
        slot: Slot,
        generation: u64,
        progress: Progress,
    },
    /// Data at rest changed: the watcher looked again.
    Changed(Box<Survey>),
    /// The watcher could not look.
    Trouble(String),
}

/// What the surroundings must do after an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Work for a background thread.
    Ask(Ask),
    /// Nobody waits any more for what was asked for in a slot before this generation.
    Stop {
        slot: Slot,
        generation: u64,
    },
    /// Put text into the clipboard of the user's terminal.
    Copy(String),
    /// Open a file, relative to the project, in the user's editor.
    Edit {
        path: PathBuf,
        line: u32,
    },
    /// Draw every cell anew.
    Redraw,
    /// Stop as if the shell had been asked to (`Ctrl-z`).
    Suspend,
    Quit,
}

/// One request. An answer of an older generation than the slot's newest is dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub generation: u64,
    pub request: Request,
}

/// A line of work: in each, only the newest request counts, and its answer replaces the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    Survey,
    Changes,
    Courses,
    Detail,
    Diff,
    Highlight,
    Statements,
    /// A log statement being written.
    Draft,
    Preview,
    Plan,
    Log,
    Grid,
    Arrange,
    Statistics,
    Hunt,
    Curves,
    Compare,
    Export,
    /// Things done rather than asked: every one counts.
    Action,
}

/// How many slots there are.
pub const SLOTS: usize = Slot::Action as usize + 1;

/// What can be asked of the background.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Ingest what is new and list runs, names and jobs.
    Survey,
    /// What changed in the code between pairs of runs, older first.
    Changes(Vec<(RunId, RunId)>),
    /// How a value went in each of these runs.
    Courses {
        name: String,
        runs: Vec<RunId>,
    },
    Detail(RunId),
    /// Two versions, with every hindsight log statement placed into both; the same one twice for its script alone.
    Diff {
        left: RunId,
        right: RunId,
    },
    /// Colours for one file of a document.
    Highlight {
        document: Arc<Document>,
        file: usize,
    },
    /// Log statements of the working tree and of probes that some run lacks.
    Statements,
    /// Whether a statement can stand where it is being written.
    Draft {
        written: Written,
        /// As typed.
        iterations: String,
    },
    /// The same for one that is rewritten for one version of a script; its choice is a `Rewrite`.
    Redraft {
        correction: Correction,
        script: String,
    },
    /// Keep it as a probe, in place of one of its name.
    Keep(Written),
    /// Decide about one placement.
    Correct(Correction),
    Preview {
        names: Vec<String>,
        runs: Option<Vec<RunId>>,
    },
    Plan(PlanRequest),
    Start(Arc<ReplayPlan>),
    Cancel(JobId),
    SegmentLog(JobId, u32),
    Grid {
        names: Vec<String>,
        runs: Option<Vec<RunId>>,
    },
    Arrange {
        grid: Arc<Grid>,
        arrangement: Arrangement,
        /// The grid is new: a condition is read anew, for the states of its runs have gone on.
        renew: bool,
    },
    Statistics {
        grid: Arc<Grid>,
        order: Option<Arc<Vec<u32>>>,
        column: Column,
    },
    Hunt {
        grid: Arc<Grid>,
        order: Option<Arc<Vec<u32>>>,
        hunt: Hunt,
    },
    Curves {
        grid: Arc<Grid>,
        order: Option<Arc<Vec<u32>>>,
        wanted: Wanted,
    },
    Compare {
        grid: Arc<Grid>,
        runs: [RunId; 2],
        tolerance: Option<f64>,
    },
    Export {
        path: PathBuf,
        /// Whether a file that is there is written over.
        replace: bool,
        grid: Arc<Grid>,
        order: Option<Arc<Vec<u32>>>,
        columns: Vec<Column>,
    },
}

/// What a plan is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRequest {
    pub names: Vec<String>,
    pub runs: Option<Vec<RunId>>,
    /// `LOOP=SPEC`, as on the command line.
    pub iterations: Vec<String>,
    /// As `--where` on the command line; empty for none.
    pub condition: String,
    /// `None`: as many as the plan finds good.
    pub workers: Option<usize>,
}

/// A decision about where a statement stands in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    pub run: RunId,
    pub name: String,
    /// Which of the statements that log the name, from 0.
    pub statement: usize,
    pub choice: Choice,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Up,
    Down,
    /// One of the other places, from 1.
    Other(usize),
    /// It logs this there; a place of `None` was none.
    Rewrite {
        expression: String,
        place: Option<Wish>,
    },
    Exclude,
    /// As it was found.
    Reset,
}

/// The background's answer.
#[derive(Debug, Clone)]
pub enum Answer {
    Survey(Box<Survey>),
    /// `None` where a version is gone.
    Changes(Vec<(RunId, RunId, Option<Vec<ChangedFile>>)>),
    Courses {
        name: String,
        courses: Vec<(RunId, Vec<f64>)>,
    },
    Detail(Box<Detail>),
    Diff(Arc<Document>),
    Highlight {
        file: usize,
        colours: Arc<Highlighted>,
    },
    Statements(Vec<LogStatement>),
    Draft(Arc<Draft>),
    /// A statement is kept as it was written.
    Kept(Written),
    /// The version's placements after a decision, and how many other runs it holds for.
    Corrected {
        correction: Correction,
        propagation: Box<Propagation>,
        others: usize,
    },
    Preview(Vec<(RunId, Propagation)>),
    Plan(Arc<ReplayPlan>),
    Started(JobId),
    Cancelled(JobId),
    SegmentLog(JobId, u32, Vec<String>),
    Grid(Arc<Grid>),
    Arranged(Arranged),
    Statistics(Box<Statistics>),
    Found(Option<Found>),
    Curves(Arc<Curves>),
    /// `None`: one of the runs is not in the grid.
    Compared(Option<Arc<Comparison>>),
    /// Nobody waits for the answer any more.
    Nothing,
    Exported {
        path: PathBuf,
        rows: usize,
    },
}

/// All that lists show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// Oldest first.
    pub runs: Vec<RunSummary>,
    pub names: Vec<String>,
    pub jobs: Vec<JobStatus>,
    /// What the user should know of the store, said once.
    pub notice: Option<String>,
}

/// One run, as its detail shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    pub run: RunDetail,
    /// Checkpoints of the ranks beside the first.
    pub ranks: Vec<(u64, Vec<Checkpoint>)>,
    /// Checkpoints that were given up to save space.
    pub given_up: usize,
    /// Numbers of those whose bytes are not there.
    pub unreadable: Vec<u64>,
    /// The end of what it printed, safe to draw.
    pub output: Vec<Painted>,
}

impl Slot {
    /// Whether its work can take so long that it is said, and that stopping it is worth a key.
    pub fn takes_its_time(self) -> bool {
        matches!(
            self,
            Self::Diff
                | Self::Preview
                | Self::Plan
                | Self::Grid
                | Self::Arrange
                | Self::Statistics
                | Self::Hunt
                | Self::Curves
                | Self::Compare
                | Self::Export
        )
    }
}

impl Request {
    /// The line of work that a request belongs to.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Survey => Slot::Survey,
            Self::Changes(_) => Slot::Changes,
            Self::Courses { .. } => Slot::Courses,
            Self::Detail(_) => Slot::Detail,
            Self::Diff { .. } => Slot::Diff,
            Self::Highlight { .. } => Slot::Highlight,
            Self::Statements => Slot::Statements,
            Self::Draft { .. } | Self::Redraft { .. } => Slot::Draft,
            Self::Preview { .. } => Slot::Preview,
            Self::Plan(_) => Slot::Plan,
            Self::SegmentLog(..) => Slot::Log,
            Self::Grid { .. } => Slot::Grid,
            Self::Arrange { .. } => Slot::Arrange,
            Self::Statistics { .. } => Slot::Statistics,
            Self::Hunt { .. } => Slot::Hunt,
            Self::Curves { .. } => Slot::Curves,
            Self::Compare { .. } => Slot::Compare,
            Self::Export { .. } => Slot::Export,
            Self::Start(_) | Self::Cancel(_) | Self::Keep(_) | Self::Correct(_) => Slot::Action,
        }
    }
}
