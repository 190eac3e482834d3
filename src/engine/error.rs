//! The engine's one error: what happened, to what; beside it how it is classed and what to do next.

use std::path::PathBuf;

use crate::analysis::propagate::Misfit;
use crate::analysis::query::QueryError;
use crate::base::files::FileError;
use crate::base::ids::{BadId, RunId};
use crate::engine::portable::Moment;
use crate::engine::spawn::SpawnError;
use crate::store::chunks::ChunkError;
use crate::store::db::DbError;
use crate::store::journal::JournalError;
use crate::store::layout::LayoutError;
use crate::store::versions::VersionError;

/// Why an operation of the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("nothing was recorded here: no .afterlog in {} or above it", start.display())]
    NoProject { start: PathBuf },
    /// Nobody waits any more for what was asked.
    #[error("stopped")]
    Stopped,
    #[error("there is no run '{0}'")]
    UnknownRun(String),
    #[error("there is no replay job '{0}'")]
    UnknownJob(String),
    #[error("'{text}' could be {}", candidates.join(", "))]
    AmbiguousRun { text: String, candidates: Vec<String> },
    #[error("'{text}' cannot be used here: {reason}")]
    BadSelection { text: String, reason: String },
    #[error("no run logged '{name}'")]
    UnknownName { name: String, similar: Vec<String> },
    #[error("no run logged '{name}', but some printed it")]
    OnlyPrinted { name: String },
    #[error(transparent)]
    BadCondition(#[from] QueryError),
    #[error("no run printed a number as '{name}'")]
    NotPrinted { name: String, similar: Vec<String> },
    #[error("{} does not hold what it should: {what}", path.display())]
    BadFile { path: PathBuf, what: String },
    #[error("no log statement of the working tree's scripts logs '{name}'")]
    UnknownStatement { name: String, similar: Vec<String> },
    #[error("there is no probe '{name}'")]
    UnknownProbe { name: String, similar: Vec<String> },
    #[error("no run of {script} was recorded")]
    NotRecorded { script: String, known: Vec<String> },
    #[error("'{name}' cannot stand there in {run}: {reason}")]
    NoPlace { name: String, run: RunId, reason: String },
    #[error("'{name}' cannot be logged in {script}: {}", misfit.what)]
    CannotLog { name: String, script: String, misfit: Misfit },
    #[error("there is a probe '{name}' already")]
    ProbeExists { name: String },
    #[error("'{name}' is logged by {} statements: lines {}", lines.len(), lines.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]
    WhichStatement { name: String, lines: Vec<u32> },
    #[error("{}", not_a_main_loop(name, *is_inner))]
    NotAMainLoop { name: String, is_inner: bool, main: Vec<String> },
    #[error("replay cannot be isolated from your files here: {reason}")]
    NoIsolation { reason: String },
    #[error("no Python was found: {looked_for}")]
    NoPython { looked_for: String },
    #[error("there is no script {}", path.display())]
    NoScript { path: PathBuf, near: Option<String> },
    #[error("{} is no Python that can be parsed: {what}", script.display())]
    Syntax { script: PathBuf, what: String },
    #[error("{} lies outside the project {}", path.display(), root.display())]
    OutsideProject { path: PathBuf, root: PathBuf },
    #[error("there is a file {} already", path.display())]
    FileExists { path: PathBuf },
    #[error("{}", no_checkpoint(run, *moment))]
    NoCheckpoint { run: RunId, moment: Moment, nearest: Vec<u64> },
    #[error("{what}")]
    Unsupported { what: String, instead: String },
    #[error("shared memory cannot be read: {source}")]
    SharedMemory { source: std::io::Error },
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error(transparent)]
    BadId(#[from] BadId),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Versions(#[from] VersionError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// How an error is classed; the command line derives heading and exit code from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The user can put it right: a missing file, an unknown run.
    User,
    /// The command line itself makes no sense.
    Usage,
    /// Something in the store is damaged.
    Corrupt,
    /// A fault of afterlog or of the machine.
    Internal,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::BadSelection { .. } | Self::BadCondition(_) | Self::BadId(_) | Self::FileExists { .. } => Kind::Usage,
            Self::NoProject { .. }
            | Self::Stopped
            | Self::UnknownRun(_)
            | Self::UnknownJob(_)
            | Self::AmbiguousRun { .. }
            | Self::UnknownName { .. }
            | Self::OnlyPrinted { .. }
            | Self::NotPrinted { .. }
            | Self::UnknownStatement { .. }
            | Self::UnknownProbe { .. }
            | Self::NotRecorded { .. }
            | Self::NoPlace { .. }
            | Self::CannotLog { .. }
            | Self::ProbeExists { .. }
            | Self::WhichStatement { .. }
            | Self::NotAMainLoop { .. }
            | Self::NoIsolation { .. }
            | Self::NoPython { .. }
            | Self::NoScript { .. }
            | Self::Syntax { .. }
            | Self::OutsideProject { .. }
            | Self::NoCheckpoint { .. }
            | Self::Unsupported { .. }
            | Self::SharedMemory { .. }
            | Self::File(_)
            | Self::Chunk(ChunkError::File(_))
            | Self::Layout(LayoutError::TooNew { .. } | LayoutError::NotAFolder { .. } | LayoutError::File(_))
            | Self::Db(DbError::TooNew { .. } | DbError::Sqlite { .. })
            | Self::Journal(JournalError::TooNew { .. } | JournalError::File(_))
            | Self::Spawn(_)
            | Self::Versions(_) => Kind::User,
            Self::BadFile { .. }
            | Self::Chunk(_)
            | Self::Layout(LayoutError::BadFormat { .. })
            | Self::Db(DbError::Damaged { .. })
            | Self::Journal(JournalError::NotAJournal { .. }) => Kind::Corrupt,
        }
    }

    /// What the user can do about it, as a sentence without a full stop.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProject { .. } => {
                Some("record a run with `afterlog run SCRIPT`, or say where with `-C DIR`".into())
            }
            Self::UnknownRun(_) => Some("`afterlog runs` lists all runs".into()),
            Self::UnknownJob(_) => Some("`afterlog jobs` lists all of them".into()),
            Self::AmbiguousRun { .. } => Some("give more characters of the id".into()),
            Self::BadSelection { .. } => Some(
                "runs are selected as ID, a unique prefix, a name, last, last:5, FIRST..LAST, or a comma list".into(),
            ),
            Self::BadCondition(error) => error.hint.clone(),
            Self::UnknownStatement { name, similar } if similar.is_empty() => {
                Some(format!("add it to the script as it is today: afterlog.log(\"{name}\", …)"))
            }
            Self::UnknownProbe { name, similar } if similar.is_empty() => {
                Some(format!("`afterlog probe add {name}` makes it of the statement in today's script"))
            }
            Self::NotRecorded { known, .. } => {
                Some(format!("probes are log statements of the scripts that were recorded: {}", known.join(", ")))
            }
            Self::NoPlace { name, run, .. } => {
                Some(format!("`afterlog probe preview {name} --runs {run} --diff` shows the code around it"))
            }
            Self::CannotLog { misfit, .. } => {
                misfit.at.map(|at| format!("it is about what begins at character {} of the expression", at + 1))
            }
            Self::ProbeExists { name } => {
                Some(format!("`--replace` takes the new statement; `afterlog probe show {name}` shows the old one"))
            }
            Self::WhichStatement { .. } => Some("`--statement N` says which, counted from 1".into()),
            Self::NotAMainLoop { main, .. } => {
                Some(format!("iterations are chosen by the main loop: {}", main.join(" or ")))
            }
            Self::NoPython { .. } => Some("put python3 on PATH or activate a virtual environment".into()),
            Self::NoScript { near, .. } => near.as_ref().map(|name| format!("did you mean {name}?")),
            Self::Syntax { script, .. } => {
                Some(format!("`python3 -m py_compile {}` says what Python makes of it", script.display()))
            }
            Self::OutsideProject { .. } => Some("start afterlog in the folder that holds the script".into()),
            Self::FileExists { .. } => Some("`--force` replaces it".into()),
            Self::NoCheckpoint { nearest, .. } if nearest.is_empty() => {
                Some("`afterlog checkpoint ls` lists them; `--at blocks` writes what an iteration's blocks left".into())
            }
            Self::NoCheckpoint { nearest, .. } => {
                let nearest: Vec<String> = nearest.iter().map(u64::to_string).collect();
                Some(format!(
                    "there is one of {}; `--at blocks` writes what an iteration's blocks left",
                    nearest.join(" and ")
                ))
            }
            Self::Unsupported { instead, .. } => Some(instead.clone()),
            Self::NoIsolation { .. } => Some("a scratch copy needs no permission: AFTERLOG_ISOLATION=scratch".into()),
            Self::BadFile { .. } | Self::Chunk(_) => Some("`afterlog fsck` tells what else is damaged".into()),
            Self::OnlyPrinted { name } => Some(format!("printed numbers are columns of their own: --printed='{name}'")),
            Self::UnknownName { similar, .. } | Self::NotPrinted { similar, .. } if similar.is_empty() => None,
            Self::UnknownName { similar, .. }
            | Self::NotPrinted { similar, .. }
            | Self::UnknownProbe { similar, .. }
            | Self::UnknownStatement { similar, .. } => Some(format!("did you mean {}?", similar.join(" or "))),
            Self::Db(DbError::Damaged { .. }) => Some("`afterlog rebuild` makes it anew from the journals".into()),
            Self::Layout(LayoutError::TooNew { .. }) | Self::Db(DbError::TooNew { .. }) => {
                Some("install the newer afterlog; nothing was changed".into())
            }
            Self::BadId(_)
            | Self::Stopped
            | Self::SharedMemory { .. }
            | Self::Spawn(_)
            | Self::File(_)
            | Self::Db(_)
            | Self::Layout(_)
            | Self::Journal(_)
            | Self::Versions(_) => None,
        }
    }
}

fn no_checkpoint(run: &RunId, moment: Moment) -> String {
    match moment {
        Moment::Start(iteration) => format!("{run} has no checkpoint before iteration {iteration}"),
        Moment::End(iteration) => format!("{run} has no checkpoint after iteration {iteration}"),
        Moment::Blocks(iteration) => format!("{run} has no checkpoint of a block of iteration {iteration}"),
        Moment::Sequence(seq) => format!("{run} has no checkpoint #{seq}"),
    }
}

fn not_a_main_loop(name: &str, is_inner: bool) -> String {
    if is_inner {
        format!("'{name}' is a loop inside the main loop, whose iterations are replayed whole")
    } else {
        format!("no version has a main loop '{name}'")
    }
}
