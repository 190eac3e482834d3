//! The user's editor.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::{SpawnError, start};

/// Opens a file at a line in the user's editor (`VISUAL`, `EDITOR`, else `vi`), in this terminal, and waits for its end.
///
/// # Errors
/// If it cannot be started.
pub fn editor(path: &Path, line: u32) -> Result<(), SpawnError> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let wanted = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut words = wanted.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let mut command = Command::new(program);
    command.args(words);
    let name = Path::new(program).file_stem().and_then(OsStr::to_str).unwrap_or("");
    let at_line = || {
        let mut place = path.as_os_str().to_owned();
        place.push(format!(":{line}"));
        place
    };
    match name {
        "code" | "codium" | "cursor" => command.arg("--goto").arg(at_line()),
        "hx" | "helix" | "subl" | "zed" => command.arg(at_line()),
        _ => command.arg(format!("+{line}")).arg(path),
    };
    let mut child = start(&mut command)?;
    child.wait().map_err(|source| SpawnError::Start { program: program.into(), source })?;
    Ok(())
}
