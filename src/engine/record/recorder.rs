//! Takes snapshots out of the shared buffers of one process into the run's storage.
//!
//! At most two snapshots are ever under way: the script waits for an answer before it reuses a buffer, or does without.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::Deserialize;
use serde_json::json;

use crate::engine::Error;
use crate::engine::checkpoint::{self, Capture, Moment, StoredCheckpoint};
use crate::engine::record::priority;
use crate::engine::record::storage::{Putting, Storage};
use crate::engine::spawn::Channels;
use crate::model::position::{Position, Step};
use crate::model::run::Checkpoint;
use crate::store::chunks::{ItemKind, StoredBuffer};
use crate::store::journal::{Event, Writer};

/// A recorder at work.
pub(super) struct Recorder {
    thread: JoinHandle<Worker>,
    /// Another handle of the control channel, to end the reading with.
    control: Option<UnixStream>,
    storage: Arc<Storage>,
}

/// Starts taking a process's snapshots. Its journal names them.
pub(super) fn start(storage: &Arc<Storage>, channels: Channels, journal: Writer) -> Recorder {
    let worker = Worker {
        storage: storage.clone(),
        buffers: channels.buffers,
        journal,
        before: HashMap::new(),
        problems: Vec::new(),
    };
    let control = channels.control;
    let handle = control.try_clone().ok();
    let thread = std::thread::spawn(move || worker.work(control));
    Recorder { thread, control: handle, storage: storage.clone() }
}

impl Recorder {
    /// Waits until what the script handed over is stored; gives the journal back, and what was lost.
    pub(super) fn finish(self) -> (Option<Writer>, Vec<String>) {
        self.storage.script_ended();
        // What was sent is still read, and then it ends: a process that the script forked may hold the other side open.
        let _ = self.control.map(|control| control.shutdown(Shutdown::Read));
        match self.thread.join() {
            Ok(worker) => (Some(worker.journal), worker.problems),
            Err(_) => (None, Vec::new()),
        }
    }
}

struct Worker {
    /// Where the snapshots of all processes of the run go.
    storage: Arc<Storage>,
    buffers: [File; 2],
    journal: Writer,
    /// The last stored state of each variable's buffers, which the next ones are compared with.
    before: HashMap<(String, usize), StoredBuffer>,
    problems: Vec<String>,
}

/// A message from the script.
#[derive(Debug, Deserialize)]
struct Snapshot {
    #[serde(flatten)]
    capture: Capture,
    #[serde(flatten)]
    moment: Moment,
}

impl Worker {
    fn work(mut self, control: UnixStream) -> Self {
        priority::low();
        let Ok(mut answers) = control.try_clone() else { return self };
        for line in BufReader::new(control).lines() {
            // The script may leave without reading its last answer; that resets the channel and means its end.
            let Ok(line) = line else { break };
            let Ok(snapshot) = serde_json::from_str::<Snapshot>(&line) else { continue };
            let (seq, buffer) = (snapshot.capture.seq, snapshot.capture.buffer);
            let storage = self.storage.clone();
            let stored =
                storage.put(|putting| self.store(&snapshot, putting)).and_then(|added| self.keep_budget(added));
            let answer = match stored {
                Ok(()) => json!({ "t": "stored", "seq": seq, "buffer": buffer, "ok": true, "stop": false }),
                Err(error) => {
                    // What was under way already is lost with the first.
                    if self.problems.is_empty() {
                        self.lost(&format!("checkpoint {seq} and those after it were not kept: {error}"));
                    }
                    let reason = error.to_string();
                    json!({ "t": "stored", "seq": seq, "buffer": buffer, "ok": false, "stop": true, "reason": reason })
                }
            };
            // If it has ended, what it had sent before is still to be read.
            let _ = writeln!(answers, "{answer}");
        }
        self
    }

    /// Stores a snapshot; gives the bytes that this took.
    fn store(&mut self, snapshot: &Snapshot, putting: &mut Putting<'_>) -> Result<u64, Error> {
        let shared = |source| Error::SharedMemory { source };
        let capture = &snapshot.capture;
        let Some(memory) = self.buffers.get(capture.buffer) else {
            return Err(shared(io::Error::other("no such buffer")));
        };
        let tree = checkpoint::read_shared(memory, capture.skeleton).map_err(shared)?;
        let mut put = |bytes: &[u8], kind, before| putting.put(bytes, kind, before);
        let names = names(capture);
        let (skeleton, mut stored_bytes) = put(&tree, ItemKind::BYTES, None)?;
        let (mut buffers, mut hashes) = (Vec::new(), Vec::new());
        // One at a time: however large the state is, this process holds its largest tensor at most.
        for (number, (offset, length, size, is_float)) in capture.buffers.iter().enumerate() {
            let content = checkpoint::read_shared(memory, (*offset, *length)).map_err(shared)?;
            hashes.push(blake3::hash(&content));
            let before = names.get(&number).and_then(|name| self.before.get(name));
            let (buffer, added) = put(&content, ItemKind { size: (*size).max(1), is_float: *is_float }, before)?;
            buffers.push(buffer);
            stored_bytes += added;
        }
        let digests = checkpoint::digests(capture, &tree, &hashes);
        // A checkpoint in the journal must be in the pack whatever happens next.
        putting.sync()?;
        let step = |(name, index): &(String, u64)| Step { name: name.clone(), index: *index };
        let stored = StoredCheckpoint {
            checkpoint: Checkpoint {
                seq: snapshot.capture.seq,
                kind: snapshot.moment.kind.clone(),
                iteration: snapshot.moment.iteration,
                position: Position(snapshot.moment.position.iter().map(step).collect()),
                bytes: snapshot.capture.bytes,
                stored_bytes,
                stall_ns: snapshot.capture.stall_ns,
                missing: snapshot.capture.missing.clone(),
                digests,
            },
            skeleton,
            buffers,
        };
        let json = serde_json::to_string(&stored).map_err(|error| Error::SharedMemory { source: error.into() })?;
        self.journal.append(&[Event::Stored(json)])?;
        let named = names.into_iter().filter_map(|(number, name)| Some((name, stored.buffers.get(number)?.clone())));
        self.before.extend(named);
        Ok(stored.checkpoint.stored_bytes)
    }

    fn keep_budget(&mut self, added: u64) -> Result<(), Error> {
        if let Some(problem) = self.storage.keep_budget(added)? {
            self.lost(&problem);
        }
        Ok(())
    }

    fn lost(&mut self, what: &str) {
        // On a full disk the note may fail too; the user is told at the end in any case.
        let _ = self.journal.append(&[Event::Note(what.to_owned())]);
        self.problems.push(what.to_owned());
    }
}

/// The buffers of a capture by variable and place in it, whichever loop's end it is of.
fn names(capture: &Capture) -> HashMap<usize, (String, usize)> {
    let mut names = HashMap::new();
    for (key, uses) in &capture.uses {
        let variable = key.rsplit('/').next().unwrap_or(key);
        for (place, number) in uses.iter().enumerate() {
            names.entry(*number).or_insert_with(|| (variable.to_owned(), place));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{Storage, start};
    use crate::base::ids::RunId;
    use crate::engine::checkpoint::StoredCheckpoint;
    use crate::engine::spawn::{Checkpoints, Descriptors};
    use crate::store::chunks::ChunkStore;
    use crate::store::journal::{Event, Writer, read_from};
    use crate::store::layout::Layout;

    /// Sends one snapshot as a script does; gives the answer, the recorder's journal and what it says was lost.
    fn recorded(layout: &Layout) -> (Value, Vec<Event>, Vec<String>) {
        let (script, channels) = Descriptors::open(layout.root(), None).expect("descriptors");
        let path = layout.root().join("recorder");
        let run: RunId = "0123456789".parse().expect("an id");
        let storage = Arc::new(Storage::new(layout.clone(), run, Checkpoints::All));
        let recorder = start(&storage, channels, Writer::open(&path).expect("journal"));
        script.buffers[1].write_all_at(b"..tree..", 0).expect("skeleton");
        script.buffers[1].write_all_at(&[7; 64], 4096).expect("tensor");
        let message = json!({
            "t": "snapshot", "kind": {"at": "block_end", "block": "train.py::step#0", "occurrence": 0}, "iteration": 3,
            "position": [["epoch", 3]], "seq": 5, "buffer": 1, "skeleton": [0, 8], "buffers": [[4096, 64, 4, true]],
            "trees": {"object:model": [2, 4]}, "uses": {"object:model": [0]}, "missing": [["local:f", "a file"]],
            "bytes": 72, "stall_ns": 9,
        });
        writeln!(&script.control, "{message}").expect("sent");
        let mut answer = String::new();
        BufReader::new(&script.control).read_line(&mut answer).expect("answered");
        // The script's side stays open, as a process that it forked would hold it.
        let (_, problems) = recorder.finish();
        let events = read_from(&path, 0).expect("journal").events;
        (serde_json::from_str(&answer).expect("JSON"), events, problems)
    }

    #[test]
    fn a_snapshot_is_answered_once_it_can_be_read_back() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let (answer, events, problems) = recorded(&layout);
        assert_eq!(answer, json!({"t": "stored", "seq": 5, "buffer": 1, "ok": true, "stop": false}));
        assert!(problems.is_empty(), "{problems:?}");
        let [Event::Stored(text)] = &events[..] else { panic!("{events:?}") };
        let stored: StoredCheckpoint = serde_json::from_str(text).expect("a checkpoint");
        let chunks = ChunkStore::open(&layout).expect("packs");
        assert_eq!(chunks.read(&stored.skeleton).expect("reads"), b"..tree..");
        assert_eq!(chunks.read(&stored.buffers[0]).expect("reads"), [7; 64]);
        assert_eq!((stored.checkpoint.seq, stored.checkpoint.iteration), (5, 3));
        assert_eq!(stored.checkpoint.position.to_string(), "epoch=3");
        let tree = [&b"tree"[..], blake3::hash(&[7; 64]).as_bytes()].concat();
        assert_eq!(stored.checkpoint.digests["object:model"], blake3::hash(&tree).to_hex()[..32]);
    }

    #[test]
    fn what_cannot_be_stored_stops_checkpoints_and_is_said() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        std::fs::remove_dir(layout.packs()).expect("no packs");
        let (answer, events, problems) = recorded(&layout);
        assert_eq!((&answer["ok"], &answer["stop"], &answer["buffer"]), (&json!(false), &json!(true), &json!(1)));
        assert!(matches!(&events[..], [Event::Note(note)] if note.contains("checkpoint 5")), "{events:?}");
        assert_eq!(problems.len(), 1);
    }
}
