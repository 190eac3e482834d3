//! Reads `LAUNCHER ARGS… SCRIPT ARGS…`: programs that start the script's processes themselves, such as torchrun.
//!
//! The script's word is the first one that names a Python file; the recorder puts the runtime before it, so that whatever
//! the launcher starts with Python is recorded. Where a launcher is asked for a module instead, the runtime takes its
//! place with the module's file. Nothing else of the command line is understood or changed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::engine::Error;
use crate::engine::record::interpreter::{self, Command, find_on_path, find_python, is_python};

/// Modules that `python -m` runs and that start a script.
const MODULES: [&str; 4] =
    ["torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch", "deepspeed.launcher.runner"];

/// Launchers that run a module in a script's place, as Python does, if they are asked with one of these flags.
const WITH_MODULES: [&str; 3] = ["torchrun", "accelerate", "deepspeed"];
const MODULE_FLAGS: [&str; 2] = ["-m", "--module"];

/// Reads a launcher's command line; `None` where the words begin with a script, or with Python that runs one itself.
///
/// # Errors
/// If the launcher is there but no script file is named after it.
pub(super) fn parse(words: &[OsString], cwd: &Path) -> Result<Option<Command>, Error> {
    let Some(first) = words.first() else { return Ok(None) };
    let python = is_python(first).then_some(first.as_os_str());
    let program = match python {
        Some(_) if launcher_module(&words[1..]).is_none() => return Ok(None),
        Some(python) => find_python(Some(python))?,
        // What a user may have meant as a script is one, or is missing.
        None if is_script(first) || cwd.join(first).is_file() && !is_path(first) => return Ok(None),
        None => match find_on_path(first) {
            Some(program) => program,
            None => return Ok(None),
        },
    };
    let at = words.iter().position(|word| is_script(word) && cwd.join(word).is_file());
    let name = first.to_string_lossy();
    if let Some(flag) = module_flag(words).filter(|flag| at.is_none_or(|at| *flag < at)) {
        let asked = words.get(flag + 1).map(|word| word.to_string_lossy().into_owned());
        let (module, script) = interpreter::module(&asked.unwrap_or_default(), cwd)?;
        let mut launcher = vec![program.clone().into_os_string()];
        launcher.extend_from_slice(&words[1..flag]);
        let python = find_python(python).unwrap_or(program);
        let args = words[flag + 2..].to_vec();
        return Ok(Some(Command { python, flags: Vec::new(), launcher, module: Some(module), script, args }));
    }
    let Some(at) = at else {
        return Err(Error::Unsupported {
            what: format!("no script file is named after {name}"),
            instead: format!("name it as {name} is to run it, for example: afterlog run -- {name} … train.py"),
        });
    };
    let without_python = ["--no-python", "--no_python"].iter().any(|flag| words[..at].iter().any(|word| word == flag));
    if without_python && !is_python(&words[at - 1]) {
        return Err(Error::Unsupported {
            what: format!("a script that {name} runs without Python cannot be recorded"),
            instead: "leave --no-python out".into(),
        });
    }
    let python = find_python(python).or_else(|_| Ok::<_, Error>(program.clone()))?;
    let mut launcher = vec![program.into_os_string()];
    launcher.extend_from_slice(&words[1..at]);
    let args = words[at + 1..].to_vec();
    Ok(Some(Command { python, flags: Vec::new(), launcher, module: None, script: PathBuf::from(&words[at]), args }))
}

/// Where Python's words are those of a launcher (flags, then `-m` and one of its modules), the place of the module.
fn launcher_module(words: &[OsString]) -> Option<usize> {
    let flags = words.iter().take_while(|word| word.to_str().is_some_and(|word| word.starts_with('-'))).count();
    let joined = flags.checked_sub(1).and_then(|last| words[last].to_str());
    let asks = joined.is_some_and(|flag| !flag.starts_with("--") && flag.ends_with('m'));
    let is_known = words.get(flags).is_some_and(|module| MODULES.iter().any(|known| module == known));
    (asks && is_known).then_some(flags)
}

/// The place of the flag by which a launcher is asked for a module.
fn module_flag(words: &[OsString]) -> Option<usize> {
    let name = Path::new(&words[0]).file_name()?;
    let after = match launcher_module(&words[1..]) {
        Some(module) => module + 2,
        None if WITH_MODULES.iter().any(|known| name == *known) => 1,
        None => return None,
    };
    let found = words[after..].iter().position(|word| MODULE_FLAGS.iter().any(|flag| word == flag))?;
    Some(after + found)
}

fn is_script(word: &OsStr) -> bool {
    Path::new(word).extension().is_some_and(|extension| extension == "py")
}

fn is_path(word: &OsStr) -> bool {
    Path::new(word).components().count() > 1
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::parse;
    use crate::engine::Error;

    #[test]
    fn the_script_of_a_launcher_is_found_and_all_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("folder");
        crate::base::files::write_atomic(&dir.path().join("train.py"), b"").expect("script");
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in ["env A=1 python3 -u train.py --x 1", "python3 -um torch.distributed.run --n 2 train.py --x 1"] {
            let command = parse(&words(line), dir.path()).expect("parses").expect("a launcher");
            assert_eq!(command.script.to_str(), Some("train.py"), "{line}");
            assert_eq!(command.args, words("--x 1"), "{line}");
            assert_eq!(command.launcher[1..], words(line)[1..words(line).len() - 3], "{line}");
        }
        for line in ["train.py", "python3 -m train", "python3 train.py", "trian.py", "no-such-program train.py"] {
            assert_eq!(parse(&words(line), dir.path()).expect("parses"), None, "{line}");
        }
        for line in [
            "python3 -m torch.distributed.run --n 2 -m train --x 1",
            "python3 -m accelerate.commands.launch --module train",
        ] {
            let command = parse(&words(line), dir.path()).expect("parses").expect("a launcher");
            assert_eq!(
                (command.module.as_deref(), command.script.to_str()),
                (Some("train"), Some("train.py")),
                "{line}"
            );
            assert!(!command.launcher[3..].iter().any(|word| word == "-m" || word == "--module"), "{line}");
        }
        for line in ["env train.sh", "env --no-python train.py", "python3 -m torch.distributed.run -m trian"] {
            assert!(matches!(parse(&words(line), dir.path()), Err(Error::Unsupported { .. })), "{line}");
        }
    }
}
