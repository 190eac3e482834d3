//! How an error reaches the user: heading, message, hint and exit code. Classified here and nowhere else.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::files::FileError;
use crate::cli::output::Output;
use crate::engine;
use crate::tui::TuiError;

/// The user can put it right.
pub const USER: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// Something in the store is damaged.
pub const CORRUPT: u8 = 3;
/// The command did its work, but some values diverged or could not be replayed.
pub const DIVERGED: u8 = 4;
/// Ctrl-C: 128 and the signal's number, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Interface(#[from] TuiError),
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// A combination of arguments that clap cannot reject by itself.
    #[error("{0}")]
    Usage(String),
    #[error("there is no file {}", path.display())]
    NoFile { path: PathBuf, near: Option<PathBuf> },
    #[error("{}:{line}: no statement starts here", path.display())]
    NoStatement { path: PathBuf, line: u32 },
    #[error("{place}: nothing is logged here under a literal name")]
    NothingLogged { place: String, lines: Vec<u32> },
    #[error("{} is not UTF-8, and names no encoding of one byte a character at its head", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("{} is not in the encoding of the other file, and what is inserted is not ASCII", path.display())]
    OtherEncoding { path: PathBuf },
    #[error("neither version has the file {0}")]
    NoSuchFile(String),
    /// Something that needs the user's word first.
    #[error("{0}")]
    Refused(String),
}

/// Tells the user about an error and returns the exit code.
///
/// `command` is what was asked for: `afterlog checkpoint export`.
pub fn tell(error: &Error, command: &str, output: &mut Output) -> ExitCode {
    let (heading, code) = match error {
        // Whoever read our output has seen enough (`afterlog runs | head`).
        Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Error::Usage(_) => ("usage error", USAGE),
        Error::Output(_)
        | Error::File(_)
        | Error::Refused(_)
        | Error::NoFile { .. }
        | Error::NoStatement { .. }
        | Error::NothingLogged { .. }
        | Error::NotUtf8 { .. }
        | Error::OtherEncoding { .. }
        | Error::NoSuchFile(_)
        | Error::Interface(_) => ("error", USER),
        Error::Engine(error) => match error.kind() {
            engine::Kind::User => ("error", USER),
            engine::Kind::Usage => ("usage error", USAGE),
            engine::Kind::Corrupt => ("damaged data", CORRUPT),
            engine::Kind::Internal => ("internal error", USER),
        },
    };
    let hint = match error {
        Error::Engine(error) => error.hint(),
        Error::Usage(_) => Some(format!("see `{command} --help`")),
        Error::NoFile { near, .. } => near.as_ref().map(|near| format!("did you mean {}?", near.display())),
        Error::NoStatement { .. } => Some("give the line on which a statement begins".into()),
        Error::NothingLogged { lines, .. } if lines.is_empty() => {
            Some("add one to the script: afterlog.log(\"NAME\", …)".into())
        }
        Error::NothingLogged { lines, .. } => {
            let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
            Some(format!("its log statements begin on lines {}", lines.join(", ")))
        }
        Error::NotUtf8 { .. }
        | Error::OtherEncoding { .. }
        | Error::NoSuchFile(_)
        | Error::File(_)
        | Error::Output(_) => None,
        Error::Interface(TuiError::NotATerminal | TuiError::Dumb) => {
            Some("without one, `afterlog runs`, `afterlog grid NAME` and `afterlog replay NAME` do the same".into())
        }
        Error::Interface(TuiError::Terminal(_)) => None,
        Error::Refused(_) => Some("`--yes` replays without asking, `--dry-run` shows the plan only".into()),
    };
    // What was written before the error comes first; if it cannot be written, the error still can.
    let _ = output.finish();
    output.error(heading, &error.to_string());
    if let Some(hint) = hint {
        output.hint(&hint);
    }
    ExitCode::from(code)
}

/// Prints clap's message (help and version to standard output, mistakes to standard error).
pub fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { USAGE } else { 0 };
    // Nobody left to tell if even this cannot be printed.
    let _ = error.print();
    ExitCode::from(code)
}
