//! Panics: the terminal is given back before one is told, and what is known of it is kept in a file.

use std::backtrace::Backtrace;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::files::{create_dir_all, write_atomic};
use crate::tui::terminal::give_back;

/// Where the newest report lies.
static NEWEST: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on, a panic of this thread gives the terminal back and is told; one in the background only leaves its report,
/// since whoever catches it shows a message: more would spoil the screen. Reports go into `folder`, or where that cannot be
/// written, among the system's temporary files.
pub fn guard(folder: Option<PathBuf>) {
    let here = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let is_here = std::thread::current().id() == here;
        if is_here {
            give_back();
        }
        let report = report(info);
        let folders = folder.iter().cloned().chain([std::env::temp_dir()]);
        let kept = folders.into_iter().find_map(|folder| keep(&folder, &report));
        newest().clone_from(&kept);
        if is_here {
            let place = kept.map_or(report, |path| format!("what is known of it is in {}\n", path.display()));
            // Nobody reads this if it fails.
            let _ = write!(std::io::stderr(), "afterlog: internal error: {}\n{place}", message(info));
        }
    }));
}

/// What to say of a panic that was caught.
pub fn words() -> String {
    match &*newest() {
        Some(path) => format!("internal error: what is known of it is in {}", path.display()),
        None => "internal error, of which no report could be kept".to_owned(),
    }
}

fn newest() -> std::sync::MutexGuard<'static, Option<PathBuf>> {
    NEWEST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or(String::new(), |place| format!(" ({place})"));
    format!("{}{place}", info.payload_as_str().unwrap_or("no message"))
}

fn report(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    format!(
        "afterlog {} {}\nthread {}\n{}\n\n{}",
        env!("CARGO_PKG_VERSION"),
        arguments.join(" "),
        thread.name().unwrap_or("of the background"),
        message(info),
        Backtrace::force_capture()
    )
}

fn keep(folder: &Path, report: &str) -> Option<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = folder.join(format!("afterlog-panic-{}-{}.txt", now.as_millis(), std::process::id()));
    create_dir_all(folder).ok()?;
    write_atomic(&path, report.as_bytes()).ok()?;
    Some(path)
}
