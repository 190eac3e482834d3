//! What small files of data held while a run went on, so that a replay can tell whether they still do: of a file that was
//! written anew, times say nothing.
//!
//! The files are those that no version holds: what git ignores in the project, and what arguments, variables and texts of
//! the script name elsewhere. They are read in a thread that gives way to everybody, while the script runs. Kept is only what
//! nobody changed from before the script started until its end; whether it read the file at all is not known, nor asked.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::environment::may_be_secret;
use super::priority;
use crate::base::files;
use crate::model::run::{Held, RunMeta};
use crate::store::layout::{Layout, names};
use crate::store::versions::{Versions, hash_of_file};

/// A larger file is told by its times only, in bytes.
const LARGEST: u64 = 1 << 20;
/// What is read of a run's files, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// So many files are kept, and so many entries of folders looked at.
const MOST_FILES: usize = 500;
const MOST_ENTRIES: usize = 5000;
/// A folder of more is a data set of its own.
const MOST_IN_FOLDER: usize = 1000;
/// How far below a folder that the script names files are looked for.
const DEEPEST: usize = 4;
/// How long the end of a run may be put off, for what is left by then; and where a file system does not answer.
const PATIENCE: Duration = Duration::from_millis(300);
const NO_ANSWER: Duration = Duration::from_secs(1);
/// File systems may tell times no finer than this, in nanoseconds.
const COARSE_NS: i64 = 10_000_000;
/// Code and what is installed, not data.
const NOT_DATA: [&str; 5] = ["__pycache__", "node_modules", "site-packages", "venv", "lost+found"];
/// How files of keys and certificates end.
const KEYS: [&str; 5] = ["pem", "key", "p12", "pfx", "keytab"];
/// The system's.
const SYSTEM: [&str; 9] = ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sys", "/usr"];

/// Files under way.
#[derive(Default)]
struct State {
    /// `None` until they are listed.
    left: Option<VecDeque<PathBuf>>,
    held: BTreeMap<String, (Mark, String)>,
    bytes: u64,
}

/// What changes when somebody writes to a file, or puts another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    bytes: u64,
    modified_ns: i64,
    changed_ns: i64,
    inode: (u64, u64),
}

/// What a run's files hold, as far as it is known.
pub(super) struct Data {
    layout: Layout,
    meta: RunMeta,
    state: Arc<Mutex<State>>,
}

/// Begins to read them.
pub(super) fn start(layout: &Layout, meta: &RunMeta) -> Data {
    let data = Data { layout: layout.clone(), meta: meta.clone(), state: Arc::default() };
    let (layout, meta, state) = (layout.clone(), meta.clone(), data.state.clone());
    // Without it more is left for the end.
    let _ = std::thread::Builder::new().name("afterlog-data".into()).spawn(move || {
        priority::idle();
        let theirs = Data { layout, meta, state };
        let listed = theirs.list();
        theirs.lock().left.get_or_insert(listed);
        while theirs.next() {}
    });
    data
}

impl Data {
    /// Keeps with the run what its files held from before its start until now.
    pub(super) fn finish(self) {
        let path = self.layout.run(&self.meta.id).join(names::DATA);
        let (sender, receiver) = channel();
        // A file system may give no answer: the end of a run does not wait for one.
        let _ = std::thread::Builder::new().name("afterlog-data-end".into()).spawn(move || sender.send(self.end()));
        let Ok(held) = receiver.recv_timeout(NO_ANSWER) else { return };
        if let (false, Ok(json)) = (held.is_empty(), serde_json::to_vec(&held)) {
            // Without it, times are compared.
            let _ = files::write_atomic(&path, &json);
        }
    }

    fn end(self) -> BTreeMap<String, Held> {
        let until = Instant::now() + PATIENCE;
        if self.lock().left.is_none() {
            let listed = self.list();
            self.lock().left.get_or_insert(listed);
        }
        while Instant::now() < until && self.next() {}
        let held = {
            let mut state = self.lock();
            // The thread finds nothing more to do.
            state.left = Some(VecDeque::new());
            std::mem::take(&mut state.held)
        };
        let is_as_it_was = |path: &str, mark: &Mark| fs::metadata(path).is_ok_and(|meta| Mark::of(&meta) == *mark);
        let held = held.into_iter().filter(|(path, (mark, _))| is_as_it_was(path, mark));
        held.map(|(path, (mark, hash))| (path, Held { bytes: mark.bytes, modified_ns: mark.modified_ns, hash }))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the next file; false if there is none, or enough was read.
    fn next(&self) -> bool {
        let path = {
            let mut state = self.lock();
            let is_enough = state.held.len() >= MOST_FILES || state.bytes >= MOST_BYTES;
            let Some(path) = state.left.as_mut().filter(|_| !is_enough).and_then(VecDeque::pop_front) else {
                return false;
            };
            path
        };
        if let Some((path, mark, hash)) = self.read(&path) {
            let mut state = self.lock();
            state.bytes += mark.bytes;
            state.held.insert(path, (mark, hash));
        }
        true
    }

    /// Its path without links, and what it holds, if that was there before the script started.
    fn read(&self, path: &Path) -> Option<(String, Mark, String)> {
        let path = fs::canonicalize(path).ok()?;
        let meta = fs::metadata(&path).ok().filter(|meta| meta.is_file() && meta.len() <= LARGEST)?;
        let (mark, started_ns) = (Mark::of(&meta), self.meta.started_ms * 1_000_000);
        let is_old = mark.changed_ns.max(mark.modified_ns) < started_ns - COARSE_NS;
        let hash = is_old.then(|| hash_of_file(&path))??;
        Some((path.to_str()?.to_owned(), mark, hash))
    }

    /// Files that may be data of the run, those next to the project's root first.
    fn list(&self) -> VecDeque<PathBuf> {
        let versions = Versions::open(&self.layout).and_then(|versions| versions.list_files(&self.meta.version));
        let root = self.layout.root();
        let known: HashSet<PathBuf> = versions.unwrap_or_default().into_iter().map(|path| root.join(path)).collect();
        let mut walk =
            Walk { root: root.to_owned(), known, files: VecDeque::new(), looked_at: 0, seen: HashSet::new() };
        walk.below(root, usize::MAX);
        for place in self.named() {
            if place.is_dir() {
                walk.below(&place, DEEPEST);
            } else {
                walk.take(place);
            }
        }
        walk.files
    }

    /// Places outside the project that arguments, variables and the script's own texts name.
    fn named(&self) -> Vec<PathBuf> {
        let script = files::read_text(&self.layout.root().join(&self.meta.script)).unwrap_or_default();
        let texts = script.split(['"', '\'']).filter(|text| text.len() < 1000 && text.contains('/'));
        let words = self.meta.args.iter().flat_map(|word| [Some(word.as_str()), word.split_once('=').map(|(_, v)| v)]);
        let variables = self.meta.others.iter().flat_map(|others| others.kept.values()).map(String::as_str);
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let mut places: Vec<PathBuf> = Vec::new();
        for text in words.flatten().chain(variables).chain(texts) {
            let path = match (text.strip_prefix("~/"), &home) {
                (Some(inside), Some(home)) => home.join(inside),
                _ => self.meta.cwd.join(text),
            };
            let Ok(path) = fs::canonicalize(path) else { continue };
            let is_top = |path: &Path| path.parent().is_none_or(|above| above.parent().is_none());
            let is_whole =
                path.is_dir() && is_top(&path) || home.as_deref().is_some_and(|home| home.starts_with(&path));
            let is_elsewhere =
                path.starts_with(self.layout.root()) || SYSTEM.iter().any(|place| path.starts_with(place));
            if !is_whole && !is_elsewhere && !self.layout.root().starts_with(&path) && !places.contains(&path) {
                places.push(path);
            }
        }
        places
    }
}

/// A search for files.
struct Walk {
    /// The project's.
    root: PathBuf,
    /// Held by the version.
    known: HashSet<PathBuf>,
    files: VecDeque<PathBuf>,
    looked_at: usize,
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// Takes what lies in a folder and below it, what is nearer first.
    fn below(&mut self, folder: &Path, deep: usize) {
        let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
        let here = device(folder);
        let mut folders = VecDeque::from([(folder.to_owned(), 0)]);
        while let Some((folder, depth)) = folders.pop_front() {
            // What is mounted there may be anywhere.
            if device(&folder) != here {
                continue;
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let entries: Vec<_> = entries.flatten().take(MOST_IN_FOLDER + 1).collect();
            self.looked_at += entries.len();
            if self.looked_at > MOST_ENTRIES {
                return;
            }
            let is_many = entries.len() > MOST_IN_FOLDER;
            let installed = entries.iter().any(|entry| entry.file_name() == "pyvenv.cfg");
            for entry in entries.into_iter().filter(|_| !is_many && !installed) {
                let Ok(kind) = entry.file_type() else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || NOT_DATA.contains(&name.as_str()) {
                    continue;
                }
                if kind.is_dir() && depth < deep {
                    folders.push_back((entry.path(), depth + 1));
                } else if !kind.is_dir() {
                    self.take(entry.path());
                }
            }
        }
    }

    fn take(&mut self, path: PathBuf) {
        // Of what is secret not even a hash is kept.
        if !is_private(&path, &self.root) && !self.known.contains(&path) && self.seen.insert(path.clone()) {
            self.files.push_back(path);
        }
    }
}

/// Whether what a file's path, or its rights, say of it is that it may be a secret.
///
/// What its path has in common with the project's says nothing.
fn is_private(path: &Path, root: &Path) -> bool {
    let common = path.iter().zip(root.iter()).take_while(|(part, of_root)| part == of_root).count();
    let mut parts = path.iter().skip(common).map(|part| part.to_string_lossy());
    let is_key = path.extension().is_some_and(|end| KEYS.iter().any(|key| end.eq_ignore_ascii_case(key)));
    is_key
        || parts.any(|part| part.starts_with('.') || may_be_secret(&part, ""))
        || fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 == 0)
}

impl Mark {
    fn of(meta: &Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            bytes: meta.len(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
            inode: (meta.dev(), meta.ino()),
        }
    }
}
