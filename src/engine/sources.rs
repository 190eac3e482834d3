//! The Python files that a script consists of: itself and the project's modules that it imports, transitively.

use std::collections::BTreeMap;
use std::path::Path;

use crate::analysis::python;
use crate::base::files::at;
use crate::engine::Error;
use crate::engine::project::root_of;
use crate::model::instrument::InstrumentationPlan;
use crate::model::source::{SourceFile, VersionId};
use crate::store::versions::Versions;

/// More modules than any training script imports from its own project.
const MAX_FILES: usize = 500;

/// A file's path in the project.
///
/// # Errors
/// If it is not there or lies outside.
pub fn relative_to(root: &Path, path: &Path) -> Result<String, Error> {
    let outside = || Error::OutsideProject { path: path.to_owned(), root: root.to_owned() };
    let real = path.canonicalize().map_err(at("find", path))?;
    let root = root.canonicalize().map_err(at("find", root))?;
    let relative = real.strip_prefix(&root).map_err(|_| outside())?;
    relative.to_str().map(str::to_owned).ok_or_else(outside)
}

/// What recording a script would do: its sources, itself first, and the plan.
///
/// # Errors
/// If it is not there, cannot be parsed, or lies outside the project that `start` lies in.
pub fn explain(start: &Path, script: &Path) -> Result<(Vec<SourceFile>, InstrumentationPlan), Error> {
    let root = root_of(start);
    let relative = relative_to(&root, &start.join(script))?;
    let files = of_worktree(&root, &relative);
    if files.is_empty() {
        return Err(Error::NoScript { path: script.to_owned(), near: None });
    }
    if let Some(what) = python::Source::parse(&files[0].text).problems.first() {
        return Err(Error::Syntax { script: script.to_owned(), what: what.clone() });
    }
    let plan = python::instrument(&relative, &files, &[]);
    Ok((files, plan))
}

/// The sources of a script as they are in the project now.
pub fn of_worktree(root: &Path, script: &str) -> Vec<SourceFile> {
    collect(script, |path| {
        std::fs::read(root.join(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// The sources of a script in a version; with `text` in the script's place if given.
///
/// # Errors
/// If the version cannot be read.
pub fn of_version(
    versions: &Versions,
    version: &VersionId,
    script: &str,
    text: Option<&str>,
) -> Result<Vec<SourceFile>, Error> {
    // Fails here where the version is gone; a single missing file is no error.
    versions.list_files(version)?;
    Ok(collect(script, |path| match text {
        Some(text) if path == script => Some(text.to_owned()),
        _ => versions.read_file(version, path).ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    }))
}

fn collect(script: &str, read: impl Fn(&str) -> Option<String>) -> Vec<SourceFile> {
    let folder = script.rsplit_once('/').map(|(folder, _)| folder);
    let mut found: BTreeMap<String, SourceFile> = BTreeMap::new();
    let mut waiting = vec![script.to_owned()];
    while let Some(path) = waiting.pop() {
        if found.contains_key(&path) || found.len() >= MAX_FILES {
            continue;
        }
        let Some(text) = read(&path) else { continue };
        let file = SourceFile { path: path.clone(), text };
        for module in python::imports(&file) {
            let relative = module.replace('.', "/");
            // A script's own folder is first on its path; a package's modules are found from the root too.
            for start in [folder, Some("")].into_iter().flatten() {
                let base = if start.is_empty() { relative.clone() } else { format!("{start}/{relative}") };
                waiting.push(format!("{base}.py"));
                waiting.push(format!("{base}/__init__.py"));
            }
        }
        found.insert(path, file);
    }
    let script = found.remove(script);
    script.into_iter().chain(found.into_values()).collect()
}

#[cfg(test)]
mod tests {
    use super::of_worktree;

    #[test]
    fn a_script_brings_the_modules_it_imports_and_theirs() {
        let dir = tempfile::tempdir().expect("folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            crate::base::files::write_atomic(&path, text.as_bytes()).expect("written");
        };
        write("src/train.py", "import torch\nimport net\nfrom lib.data import load\n");
        write("src/net.py", "import train\n");
        write("src/lib/__init__.py", "");
        write("src/lib/data.py", "");
        write("src/other.py", "");
        let paths: Vec<String> = of_worktree(dir.path(), "src/train.py").into_iter().map(|file| file.path).collect();
        assert_eq!(paths[0], "src/train.py");
        assert!(paths.contains(&"src/net.py".to_owned()) && paths.contains(&"src/lib/data.py".to_owned()), "{paths:?}");
        assert!(!paths.contains(&"src/other.py".to_owned()));
    }
}
