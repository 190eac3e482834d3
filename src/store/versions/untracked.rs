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

/// More than anybody writes.
const PROGRAM: Most = Most { files: 20_000, bytes: 100 << 20 };
const SETTINGS: Most = Most { files: 1_000, bytes: 10 << 20 };
const DATA: Most = Most { files: 1_000, bytes: 30 << 20 };
/// What is no larger may be a prompt, a template, a list of words, whatever its name.
const SMALL: u64 = 64 << 10;
const TEXTS: [&str; 19] = [
    "py", "pyi", "pyx", "pxd", "c", "cc", "cpp", "cxx", "h", "hpp", "cu", "cuh", "rs", "go", "jl", "lua", "sh",
    "proto", "slurm",
];
const OF_SETTINGS: [&str; 8] = ["toml", "yaml", "yml", "json", "cfg", "ini", "txt", "md"];
/// What says that a folder is an environment of installed packages.
const OF_ENVIRONMENTS: [&str; 2] = ["pyvenv.cfg", "conda-meta"];

/// A file: its path relative to the root, with `/`, and its size in bytes.
pub(super) type File = (Vec<u8>, u64);

/// Which of these files to take, and what is left out: program text first, then settings, then data. Of each the smallest
/// folders come first; of settings and data all that lies in one without anything that was taken before counts as one.
/// `others` are the paths of what the version holds besides.
pub(super) fn choose<'a>(files: &'a [File], others: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Vec<LeftOut>) {
    let environments = environments(files);
    let mut left = BTreeMap::new();
    let mut tiers = [(PROGRAM, Vec::new()), (SETTINGS, Vec::new()), (DATA, Vec::new())];
    for file in files {
        let (path, size) = file;
        if let Some(environment) = ancestors(path).find(|folder| environments.contains(folder)) {
            count(&mut left, environment, *size, "an environment of installed packages");
            continue;
        }
        let tier = if has_extension(path, &TEXTS) { 0 } else { 1 + usize::from(!is_settings(file)) };
        tiers[tier].1.push(file);
    }
    let mut taken: Vec<&[u8]> = Vec::new();
    let mut held: BTreeSet<&[u8]> = others.flat_map(ancestors).collect();
    for (tier, (most, files)) in tiers.into_iter().enumerate() {
        let mut groups: BTreeMap<(&[u8], bool), Vec<&File>> = BTreeMap::new();
        for file in files {
            let (path, size) = file;
            // A corpus of programs does not take along the program that lies above it.
            let folder = if tier == 0 { folder(path) } else { outermost(folder(path), &held) };
            // Weights beside the program do not take along what is small there.
            groups.entry((folder, held.contains(folder) && *size > SMALL)).or_default().push(file);
        }
        let mut groups: Vec<_> =
            groups.into_iter().map(|(group, files)| (files.len(), bytes(&files), group, files)).collect();
        groups.sort();
        let (mut number, mut size) = (0, 0);
        for (its_number, its_size, (folder, _), files) in groups {
            if number + its_number <= most.files && size + its_size <= most.bytes {
                number += its_number;
                size += its_size;
                taken.extend(files.iter().map(|(path, _)| path.as_slice()));
            } else {
                for (_, size) in files {
                    count(&mut left, folder, *size, "more untracked files than a version holds");
                }
            }
        }
        held.extend(taken.iter().copied().flat_map(ancestors));
    }
    (taken.iter().map(|path| path.to_vec()).collect(), told(left, &held))
}

/// The uppermost folder from this one upwards in which nothing of the held ones lies; itself if it is one of them.
fn outermost<'a>(folder: &'a [u8], held: &BTreeSet<&[u8]>) -> &'a [u8] {
    let free = |above: &&[u8]| !above.is_empty() && !held.contains(above);
    std::iter::once(folder).chain(ancestors(folder)).take_while(free).last().unwrap_or(folder)
}

/// What is left out, by the uppermost folder that the version has nothing of.
fn told(left: BTreeMap<&[u8], Left>, held: &BTreeSet<&[u8]>) -> Vec<LeftOut> {
    let mut merged: BTreeMap<&[u8], Left> = BTreeMap::new();
    for (folder, left) in left {
        let all = merged.entry(outermost(folder, held)).or_insert(Left { files: 0, bytes: 0, why: left.why });
        all.files += left.files;
        all.bytes += left.bytes;
    }
    let path = |folder: &[u8]| {
        let within = if folder.is_empty() { String::new() } else { format!("{}/", String::from_utf8_lossy(folder)) };
        if folder.is_empty() || held.contains(folder) { format!("{within}*") } else { within }
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

fn is_settings((path, size): &File) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    *size <= SMALL && (has_extension(path, &OF_SETTINGS) || !name.iter().skip(1).any(|&byte| byte == b'.'))
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
        files.extend((0..7).map(|number| file(format!("src/tried{number}.ipynb"), 9_000_000)));
        let small = ["Makefile", "config.json", "prompt.jinja", "src/model.py", "train.py"];
        files.extend(small.map(|path| file(path, 900)));
        let (taken, left) = chosen(&files, &[]);
        assert_eq!(taken, small);
        assert_eq!(left, ["*", "src/*"]);
    }

    #[test]
    fn what_is_small_is_taken_after_something_large_that_is_not() {
        let mut files: Vec<File> = (0..4).map(|number| file(format!("weights/{number}.pt"), 9_000_000)).collect();
        files.extend((0..9).map(|number| file(format!("tok/{number}.bin"), 12)));
        files.push(file("train.py", 900));
        let (taken, left) = chosen(&files, &[]);
        assert_eq!((taken.len(), left), (10, vec!["weights/".to_owned()]));
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
    fn a_corpus_of_programs_or_settings_is_left_out_before_the_program_itself() {
        let number = |number: usize| file(format!("corpus/{}/{number}.py", number % 2), 900);
        let mut files: Vec<File> = (0..60_000).map(number).collect();
        files.extend((0..10_005).map(|number| file(format!("data/s{number}/meta.json"), 90)));
        files.extend([file("train.py", 900), file("helper.py", 900), file("a.json", 90), file("b.json", 90)]);
        let (taken, left) = chosen(&files, &[]);
        assert!(["train.py", "helper.py"].iter().all(|path| taken.contains(&(*path).to_owned())), "{left:?}");
        assert!(taken.len() < 6_000 && left.contains(&"corpus/".to_owned()), "{} {left:?}", taken.len());
        let (_, left) = chosen(&files[..60_000], &[]);
        assert_eq!(left, ["corpus/"]);
    }
}
