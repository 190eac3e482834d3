//! Reads `[python FLAGS…] SCRIPT ARGS…`, or a launcher's command line, and finds the interpreter.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::engine::Error;
use crate::engine::record::launcher;

/// A script and how to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub python: PathBuf,
    pub flags: Vec<String>,
    /// The program that starts the script's processes, with what stands before the script; empty where Python runs it.
    pub launcher: Vec<OsString>,
    /// What `python -m` is asked for; then `script` is its file.
    pub module: Option<String>,
    /// As the user wrote it.
    pub script: PathBuf,
    pub args: Vec<OsString>,
}

/// Flags of the interpreter that take a value as the next word.
const WITH_VALUE: [&str; 2] = ["-X", "-W"];

/// Reads the words after `run`.
///
/// # Errors
/// If no interpreter is found, no script is named, the script is not there, or Python is asked for something other than
/// a script.
pub fn parse(words: &[OsString], cwd: &Path) -> Result<Command, Error> {
    if let Some(command) = launcher::parse(words, cwd)? {
        return Ok(command);
    }
    let mut words = words.iter().peekable();
    let explicit = words.next_if(|word| is_python(word));
    let python = find_python(explicit.map(OsString::as_os_str))?;
    let mut flags = Vec::new();
    while let Some(flag) = words.next_if(|word| word.to_str().is_some_and(|word| word.starts_with('-'))) {
        let flag = flag.to_string_lossy().into_owned();
        refuse(&flag)?;
        if let Some((before, joined)) = asks_for_module(&flag) {
            flags.extend(before);
            let name = joined.or_else(|| words.next().map(|word| word.to_string_lossy().into_owned()));
            let (module, script) = module(&name.unwrap_or_default(), cwd)?;
            let args = words.cloned().collect();
            return Ok(Command { python, flags, launcher: Vec::new(), module: Some(module), script, args });
        }
        let value = WITH_VALUE.contains(&flag.as_str()).then(|| words.next()).flatten();
        flags.push(flag);
        flags.extend(value.map(|value| value.to_string_lossy().into_owned()));
    }
    let script = PathBuf::from(words.next().ok_or_else(|| Error::Unsupported {
        what: "no script is named".into(),
        instead: "afterlog run train.py".into(),
    })?);
    let path = cwd.join(&script);
    if !path.is_file() {
        return Err(Error::NoScript { near: near(&path), path: script });
    }
    Ok(Command { python, flags, launcher: Vec::new(), module: None, script, args: words.cloned().collect() })
}

/// Letters may be joined, and the rest after -m is its value: of `-um` and `-umNAME` the flag `-u`, and the name.
fn asks_for_module(flag: &str) -> Option<(Option<String>, Option<String>)> {
    if flag.starts_with("--") || WITH_VALUE.iter().any(|with_value| flag.starts_with(with_value)) {
        return None;
    }
    let (before, name) = flag.split_once('m')?;
    Some(((before.len() > 1).then(|| before.to_owned()), (!name.is_empty()).then(|| name.to_owned())))
}

/// What `python -m NAME` runs, where it is found from the current folder: its name and its file.
pub(super) fn module(name: &str, cwd: &Path) -> Result<(String, PathBuf), Error> {
    let path = PathBuf::from(name.replace('.', "/"));
    let package = path.join("__main__.py");
    let found = [(format!("{name}.__main__"), package), (name.to_owned(), path.with_extension("py"))];
    let is_name = !name.is_empty() && name.split('.').all(|part| !part.is_empty() && !part.contains('/'));
    found.into_iter().find(|(_, file)| is_name && cwd.join(file).is_file()).ok_or_else(|| Error::Unsupported {
        what: format!("no file of this folder is the module '{name}'"),
        instead: "start it from the folder that holds its package, or name the script file".into(),
    })
}

/// Refuses flags with which Python runs something other than a script file, or does not see the runtime's variables.
fn refuse(flag: &str) -> Result<(), Error> {
    let unsupported = |what, instead: &str| Err(Error::Unsupported { what, instead: instead.to_owned() });
    if flag == "-" {
        return unsupported(
            "a script from standard input cannot be recorded".into(),
            "save it to a file: afterlog run path/to/train.py",
        );
    }
    if flag.starts_with("--") || WITH_VALUE.iter().any(|with_value| flag.starts_with(with_value)) {
        return Ok(());
    }
    // Letters may be joined, and the rest after -m and -c is their value: -um module, -cCODE.
    for letter in flag.chars().skip(1) {
        match letter {
            'm' => return Ok(()),
            'c' => {
                return unsupported(
                    "python -c cannot be recorded".into(),
                    "name the script file: afterlog run path/to/train.py",
                );
            }
            'E' | 'I' => {
                return unsupported(
                    format!("python -{letter} cannot be recorded: it ignores the variables that recording needs"),
                    "leave it out; -s and PYTHONPATH= do most of the same",
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a word means a Python interpreter: `python`, `python3`, `python3.11`, with or without a folder.
pub(super) fn is_python(word: &OsStr) -> bool {
    let name = Path::new(word).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let version = name.strip_prefix("pypy").or_else(|| name.strip_prefix("python"));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.')) && !name.ends_with(".py")
}

/// The interpreter that was named, else the active environment's, else the one on PATH.
///
/// # Errors
/// If there is none.
pub fn find_python(explicit: Option<&OsStr>) -> Result<PathBuf, Error> {
    if let Some(word) = explicit {
        let missing = || Error::NoPython { looked_for: format!("there is no {}", Path::new(word).display()) };
        return find_on_path(word).ok_or_else(missing);
    }
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os);
    environments
        .map(|folder| Path::new(&folder).join("bin/python"))
        .find(|path| runs(path))
        .or_else(|| ["python3", "python"].into_iter().find_map(|name| find_on_path(OsStr::new(name))))
        .ok_or_else(|| Error::NoPython {
            looked_for: "no virtual environment is active, and there is no python3 or python on PATH".into(),
        })
}

/// The program that a shell would start for this word.
pub(super) fn find_on_path(word: &OsStr) -> Option<PathBuf> {
    let named = Path::new(word);
    if named.components().count() > 1 {
        return std::path::absolute(named).ok().filter(|path| runs(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(named)).find(|path| runs(path))
}

fn runs(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The Python file beside a missing one whose name is most like it.
fn near(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| {
            Path::new(name).extension().is_some_and(|extension| extension == "py")
                && path.with_file_name(name).is_file()
        })
        .map(|name| (difference(&wanted, &name), name))
        .filter(|(difference, _)| *difference <= 1 + wanted.len() / 3)
        .min()
        .map(|(_, name)| name)
}

/// How many letters two names do not share, in whatever order they stand.
fn difference(a: &str, b: &str) -> usize {
    let mut rest: Vec<char> = b.chars().collect();
    let mut alone = 0;
    for letter in a.chars() {
        match rest.iter().position(|other| *other == letter) {
            Some(at) => drop(rest.remove(at)),
            None => alone += 1,
        }
    }
    alone + rest.len()
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use super::{is_python, parse};
    use crate::engine::Error;

    #[test]
    fn interpreters_are_told_from_scripts() {
        for word in ["python", "python3", "python3.11", "/opt/venv/bin/python"] {
            assert!(is_python(OsStr::new(word)), "{word}");
        }
        for word in ["python.py", "train.py", "pythonic", "python_train"] {
            assert!(!is_python(OsStr::new(word)), "{word}");
        }
    }

    #[test]
    fn flags_script_and_arguments_are_told_apart() {
        let dir = tempfile::tempdir().expect("folder");
        crate::base::files::write_atomic(&dir.path().join("train.py"), b"").expect("script");
        std::fs::create_dir(dir.path().join("pkg")).expect("folder");
        for name in ["train.py", "__main__.py"] {
            crate::base::files::write_atomic(&dir.path().join("pkg").join(name), b"").expect("module");
        }
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let command = parse(&words("python3 -u -X dev train.py -u lr=1"), dir.path()).expect("parses");
        assert_eq!(command.flags, ["-u", "-X", "dev"]);
        assert_eq!(command.script.to_str(), Some("train.py"));
        assert_eq!(command.args, words("-u lr=1"));
        let missing = parse(&words("trian.py"), dir.path());
        assert!(matches!(missing, Err(Error::NoScript { near: Some(near), .. }) if near == "train.py"));
        for (asked, flags) in [("-m pkg.train", &[][..]), ("-mpkg.train", &[]), ("-um pkg.train", &["-u".to_owned()])] {
            let command = parse(&words(&format!("python3 {asked} -u")), dir.path()).expect("parses");
            assert_eq!((command.module.as_deref(), command.flags), (Some("pkg.train"), flags.to_vec()), "{asked}");
            assert_eq!((command.script.to_str(), command.args), (Some("pkg/train.py"), words("-u")), "{asked}");
        }
        let command = parse(&words("python3 -m pkg"), dir.path()).expect("parses");
        assert_eq!(command.script.to_str(), Some("pkg/__main__.py"));
        for refused in [
            "-m x",
            "-mx",
            "-um x",
            "-m",
            "-m pkg/train",
            "-m .train",
            "-c 1",
            "-cprint(1)",
            "-",
            "-I train.py",
            "-E train.py",
            "-uE train.py",
        ] {
            let parsed = parse(&words(&format!("python3 {refused}")), dir.path());
            assert!(matches!(parsed, Err(Error::Unsupported { .. })), "{refused}");
        }
        for accepted in ["-Ximporttime train.py", "-Werror::ImportWarning train.py", "-B train.py - -m -c"] {
            assert!(parse(&words(&format!("python3 {accepted}")), dir.path()).is_ok(), "{accepted}");
        }
    }
}
