//! Which of the files that git does not know belong to a version: the program, and data as long as it is little.
//!
//! Data that nobody ignored may be a million images: to copy them would keep the training waiting, and fill the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::units;
use crate::model::source::LeftOut;

/// How many files, and how many bytes of them, a version takes.
struct Most {
    files: usize,
    bytes: u64,
}

const PROGRAM: Most = Most { files: 10_000, bytes: 50 << 20 };
const DATA: Most = Most { files: 1_000, bytes: 30 << 20 };
/// A file of settings is as much a part of the program as its text.
const MAX_SETTINGS_BYTES: u64 = 64 << 10;
/// So many in one folder are no settings.
const MOST_SETTINGS: usize = 100;
const TEXTS: [&str; 20] = [
    "py", "pyi", "pyx", "pxd", "ipynb", "c", "cc", "cpp", "cxx", "h", "hpp", "cu", "cuh", "rs", "go", "jl", "lua",
    "sh", "proto", "slurm",
];
const SETTINGS: [&str; 8] = ["toml", "yaml", "yml", "json", "cfg", "ini", "txt", "md"];
/// What says that a folder is an environment of installed packages.
const OF_ENVIRONMENTS: [&str; 2] = ["pyvenv.cfg", "conda-meta"];

/// A file: its path relative to the root, with `/`, and its size in bytes.
pub(super) type File = (Vec<u8>, u64);

/// Which of these files to take, and what is left out: the smallest folders first, and one of data only with all that is in
/// it. `others` are the paths of what the version holds besides.
pub(super) fn choose<'a>(
    files: &'a [File],
    others: impl Iterator<Item = &'a [u8]> + Clone,
) -> (Vec<Vec<u8>>, Vec<LeftOut>) {
    let (environments, settings) = (environments(files), settings(files));
    let mut left = BTreeMap::new();
    let (mut program, mut data) = (Vec::new(), Vec::new());
    for file in files {
        let (path, size) = file;
        let folder = folder(path);
        let is_settings = is_settings(file) && settings.get(folder).is_some_and(|&number| number <= MOST_SETTINGS);
        if let Some(environment) = ancestors(path).find(|folder| environments.contains(folder)) {
            count(&mut left, environment, *size, "an environment of installed packages");
        } else if is_settings || has_extension(path, &TEXTS) {
            program.push((folder, file));
        } else {
            data.push((folder, file));
        }
    }
    let held: BTreeSet<&[u8]> =
        program.iter().map(|(_, (path, _))| path.as_slice()).chain(others.clone()).flat_map(ancestors).collect();
    for (folder, _) in &mut data {
        *folder = outermost(folder, &held);
    }
    let mut taken: Vec<&[u8]> = Vec::new();
    for (files, most) in [(program, PROGRAM), (data, DATA)] {
        let mut groups: BTreeMap<&[u8], Vec<&File>> = BTreeMap::new();
        for (folder, file) in files {
            groups.entry(folder).or_default().push(file);
        }
        let mut groups: Vec<_> =
            groups.into_iter().map(|(folder, files)| (files.len(), bytes(&files), folder, files)).collect();
        groups.sort();
        let (mut number, mut size) = (0, 0);
        for (its_number, its_size, folder, files) in groups {
            number += its_number;
            size += its_size;
            if number <= most.files && size <= most.bytes {
                taken.extend(files.iter().map(|(path, _)| path.as_slice()));
            } else {
                for (_, size) in files {
                    count(&mut left, folder, *size, "more untracked files than a version holds");
                }
            }
        }
    }
    let left_out = told(left, taken.iter().copied().chain(others));
    (taken.into_iter().map(<[u8]>::to_vec).collect(), left_out)
}

/// The uppermost folder from this one upwards in which nothing of the held ones lies; itself if it is one of them.
fn outermost<'a>(folder: &'a [u8], held: &BTreeSet<&[u8]>) -> &'a [u8] {
    let free = |above: &&[u8]| !above.is_empty() && !held.contains(above);
    std::iter::once(folder).chain(ancestors(folder)).take_while(free).last().unwrap_or(folder)
}

/// What is left out, by the uppermost folder that the version has nothing of.
fn told<'a>(left: BTreeMap<&[u8], Left>, held: impl Iterator<Item = &'a [u8]>) -> Vec<LeftOut> {
    let held: BTreeSet<&[u8]> = held.flat_map(ancestors).collect();
    let mut merged: BTreeMap<&[u8], Left> = BTreeMap::new();
    for (folder, left) in left {
        let all = merged.entry(outermost(folder, &held)).or_insert(Left { files: 0, bytes: 0, why: left.why });
        all.files += left.files;
        all.bytes += left.bytes;
    }
    let path = |folder: &[u8]| {
        let within = if folder.is_empty() { String::new() } else { format!("{}/", String::from_utf8_lossy(folder)) };
        if held.contains(folder) { format!("{within}*") } else { within }
    };
    let reason =
        |left: Left| format!("{}, {}: {}", units::counted(left.files, "file"), units::bytes(left.bytes), left.why);
    merged.into_iter().map(|(folder, left)| LeftOut { path: path(folder), reason: reason(left) }).collect()
}

struct Left {
    files: u64,
    bytes: u64,
    why: &'static str,
}

fn count<'a>(left: &mut BTreeMap<&'a [u8], Left>, folder: &'a [u8], size: u64, why: &'static str) {
    let of = left.entry(folder).or_insert(Left { files: 0, bytes: 0, why });
    of.files += 1;
    of.bytes += size;
}

fn environments(files: &[File]) -> BTreeSet<&[u8]> {
    let marks = files.iter().filter_map(|(path, _)| {
        ancestors(path).find(|above| {
            let within = path[above.len()..].split(|&byte| byte == b'/').find(|name| !name.is_empty());
            within.is_some_and(|name| OF_ENVIRONMENTS.iter().any(|mark| mark.as_bytes() == name))
        })
    });
    marks.filter(|folder| !folder.is_empty()).collect()
}

/// How many small files of settings lie in each folder.
fn settings(files: &[File]) -> BTreeMap<&[u8], usize> {
    let mut found = BTreeMap::new();
    for (path, _) in files.iter().filter(|file| is_settings(file)) {
        *found.entry(folder(path)).or_default() += 1;
    }
    found
}

fn is_settings((path, size): &File) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    *size <= MAX_SETTINGS_BYTES && (has_extension(path, &SETTINGS) || !name.iter().skip(1).any(|&byte| byte == b'.'))
}

fn has_extension(path: &[u8], of: &[&str]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let extension = name.iter().rposition(|&byte| byte == b'.').map(|dot| &name[dot + 1..]);
    extension.is_some_and(|extension| of.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(extension)))
}

fn bytes(files: &[&File]) -> u64 {
    files.iter().map(|(_, size)| size).sum()
}

fn folder(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// The folders above a path, the nearest first; the root, which is empty, is the last. A folder is not its own.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors((!path.is_empty()).then(|| folder(path)), |above| (!above.is_empty()).then(|| folder(above)))
}

#[cfg(test)]
mod tests {
    use super::{File, choose};

    fn file(path: impl Into<String>, size: u64) -> File {
        (path.into().into_bytes(), size)
    }

    /// What is taken, and the paths of what is left out.
    fn chosen(files: &[File], others: &[&str]) -> (Vec<String>, Vec<String>) {
        let (taken, left) = choose(files, others.iter().map(|path| path.as_bytes()));
        let mut taken: Vec<String> = taken.into_iter().map(|path| String::from_utf8(path).expect("text")).collect();
        taken.sort();
        (taken, left.into_iter().map(|left| left.path).collect())
    }

    #[test]
    fn a_project_that_is_small_is_taken_whole() {
        let files = [
            file("train.py", 900),
            file("conf/a.yaml", 90),
            file("vocab.json", 200_000),
            file("data/x.npz", 9_000_000),
        ];
        let (taken, left) = chosen(&files, &[]);
        assert_eq!(taken.len(), files.len());
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn of_a_data_set_that_nobody_ignored_nothing_is_taken_and_of_the_program_beside_it_all() {
        let mut files: Vec<File> = (0..200)
            .flat_map(|class| (0..100).map(move |number| file(format!("data/train/{class}/{number}.png"), 3000)))
            .collect();
        files.extend((0..5000).map(|number| file(format!("data/labels/{number}.txt"), 10)));
        files.extend([file("data/download.py", 900), file("train.py", 900), file("conf/a.yaml", 90)]);
        let (taken, left) = chosen(&files, &["setup.py"]);
        assert_eq!(taken, ["conf/a.yaml", "data/download.py", "train.py"]);
        assert_eq!(left, ["data/labels/", "data/train/"]);
    }

    #[test]
    fn weights_beside_the_script_are_left_out_and_the_script_and_its_settings_are_not() {
        let mut files: Vec<File> = (0..50).map(|epoch| file(format!("epoch{epoch}.pt"), 8_000_000)).collect();
        files.extend([file("train.py", 900), file("config.json", 90), file("Makefile", 90)]);
        let (taken, left) = chosen(&files, &[]);
        assert_eq!(taken, ["Makefile", "config.json", "train.py"]);
        assert_eq!(left, ["*"]);
    }

    #[test]
    fn installed_packages_are_left_out_wherever_they_lie() {
        let files = [
            file("train.py", 900),
            file("my/env/pyvenv.cfg", 90),
            file("my/env/lib/python3.11/site-packages/six.py", 900),
            file("tools/conda/conda-meta/history", 9),
            file("tools/conda/lib/a.py", 900),
        ];
        let (taken, left) = chosen(&files, &[]);
        assert_eq!(taken, ["train.py"]);
        assert_eq!(left, ["my/", "tools/"]);
    }

    #[test]
    fn even_of_program_text_there_is_an_end() {
        let files: Vec<File> =
            (0..30_000).map(|number| file(format!("corpus/{}/{number}.py", number % 2), 900)).collect();
        let (taken, left) = chosen(&files, &["train.py"]);
        assert!(taken.is_empty(), "{}", taken.len());
        assert_eq!(left, ["corpus/"]);
    }
}
