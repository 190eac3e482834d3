//! The worker's side of the control channel: serves checkpoints to the replaying Python and compares states.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use serde::Deserialize;
use serde_json::json;

use crate::engine::checkpoint::{self, Capture};
use crate::engine::replay::states::{Loaded, States};
use crate::model::plan::{ReplayStep, SegmentOrder};

/// A message from Python.
#[derive(Debug, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Message {
    Load {
        seq: u64,
    },
    Compare {
        checkpoint: u64,
        #[serde(flatten)]
        capture: Capture,
    },
    Step {},
}

/// Loads states, each next one while the script uses the one before.
struct Ahead<'a> {
    states: &'a States,
    /// The checkpoints that the segment is expected to ask for, in this order.
    expected: Vec<u64>,
    next: usize,
    loaded: Option<(u64, Result<Loaded, String>)>,
}

impl<'a> Ahead<'a> {
    fn new(states: &'a States, order: &SegmentOrder) -> Self {
        let of_step = |step: &ReplayStep| {
            let skipped: Vec<u64> = step.skip.iter().map(|skip| skip.checkpoint).collect();
            step.restore.into_iter().chain(skipped)
        };
        Self { states, expected: order.steps.iter().flat_map(of_step).collect(), next: 0, loaded: None }
    }

    fn take(&mut self, seq: u64) -> Result<Loaded, String> {
        let expected = self.expected.get(self.next..).unwrap_or_default();
        if let Some(at) = expected.iter().position(|expected| *expected == seq) {
            self.next += at + 1;
        }
        match self.loaded.take() {
            Some((loaded, state)) if loaded == seq => state,
            _ => self.states.load(seq),
        }
    }

    fn load_next(&mut self) {
        if let Some(seq) = self.expected.get(self.next) {
            self.loaded = Some((*seq, self.states.load(*seq)));
        }
    }
}

/// Places in a shared buffer begin at multiples of this, so that arrays can be read in place.
const ALIGNMENT: u64 = 64;

/// Answers until Python closes its end, or this process shuts the channel down.
///
/// # Errors
/// If a message makes no sense or the shared memory fails, and then the channel is shut down; a checkpoint that cannot be read is an answer, not an error.
pub(super) fn serve(control: UnixStream, buffers: &[File; 2], states: &States, order: &SegmentOrder) -> io::Result<()> {
    let served = answer_all(&control, buffers, states, order);
    if served.is_err() {
        // Whoever waits for an answer gets none; a failure here means that the channel is closed already.
        let _ = control.shutdown(Shutdown::Both);
    }
    served
}

fn answer_all(control: &UnixStream, buffers: &[File; 2], states: &States, order: &SegmentOrder) -> io::Result<()> {
    let mut answers = control.try_clone()?;
    let mut ahead = Ahead::new(states, order);
    for line in BufReader::new(control).lines() {
        // Python may leave without having read its last answer; that resets the channel and means the same.
        let Ok(line) = line else { break };
        let message = serde_json::from_str(&line).map_err(io::Error::other)?;
        let loads = matches!(message, Message::Load { .. });
        let answer = match message {
            Message::Step {} => continue,
            Message::Load { seq } => match ahead.take(seq) {
                Ok(loaded) => put(seq, &loaded, &buffers[0])?,
                Err(reason) => json!({ "t": "failed", "seq": seq, "reason": reason }),
            },
            Message::Compare { checkpoint, capture } => compare(checkpoint, &capture, buffers, states)?,
        };
        if writeln!(answers, "{answer}").is_err() {
            // Python has been killed.
            break;
        }
        if loads {
            ahead.load_next();
        }
    }
    Ok(())
}

/// Writes a checkpoint into the shared buffer and says where its parts are.
fn put(seq: u64, loaded: &Loaded, shared: &File) -> io::Result<serde_json::Value> {
    let mut places = Vec::new();
    let mut at = loaded.skeleton.len() as u64;
    for buffer in &loaded.buffers {
        at = at.next_multiple_of(ALIGNMENT);
        places.push((at, buffer.len() as u64));
        at += buffer.len() as u64;
    }
    if shared.metadata()?.len() < at.max(1) {
        shared.set_len(at.max(1))?;
    }
    shared.write_all_at(&loaded.skeleton, 0)?;
    for (buffer, (offset, _)) in loaded.buffers.iter().zip(&places) {
        shared.write_all_at(buffer, *offset)?;
    }
    let skeleton = (0, loaded.skeleton.len());
    Ok(json!({ "t": "loaded", "seq": seq, "buffer": 0, "skeleton": skeleton, "buffers": places }))
}

/// Compares the state that Python has reached with the one recorded there.
fn compare(seq: u64, capture: &Capture, buffers: &[File; 2], states: &States) -> io::Result<serde_json::Value> {
    let shared = buffers.get(capture.buffer).ok_or_else(|| io::Error::other("no such buffer"))?;
    let skeleton = checkpoint::read_shared(shared, capture.skeleton)?;
    let hashes: Vec<blake3::Hash> = capture
        .buffers
        .iter()
        .map(|(offset, length, _, _)| Ok(blake3::hash(&checkpoint::read_shared(shared, (*offset, *length))?)))
        .collect::<io::Result<_>>()?;
    let replayed = checkpoint::digests(capture, &skeleton, &hashes);
    let none = BTreeMap::new();
    let recorded = states.digests(seq).unwrap_or(&none);
    // Generators that nothing draws from are always equal: they can show a difference, but vouch for nothing.
    let vouches = |key: &str| !key.starts_with("rng:");
    let equal = recorded.iter().filter(|(key, digest)| vouches(key) && replayed.get(*key) == Some(digest)).count();
    let different: Vec<&String> =
        recorded.iter().filter(|(key, digest)| replayed.get(*key) != Some(digest)).map(|(key, _)| key).collect();
    Ok(json!({ "t": "compared", "buffer": capture.buffer, "equal": equal, "different": different }))
}
