//! Reading events from an offset on, telling a torn tail from damage.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::event::Event;
use super::frame::{self, Framed};
use super::{JournalError, frame::HEADER_BYTES};
use crate::base::files;

/// Read at most this much at a time, so that a long journal is ingested in bounded memory.
const BATCH_BYTES: u64 = 16 << 20;

/// A stretch of a journal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    pub bytes: u64,
    pub what: &'static str,
    /// How many of the batch's events stand before it.
    pub events_before: usize,
}

/// Some events and where the next ones begin.
#[derive(Debug, Default)]
pub struct Batch {
    pub events: Vec<Event>,
    /// Offset to go on from. Every event is before it, every byte after it is still to be read.
    pub next_offset: u64,
    pub damage: Vec<Damage>,
    /// Bytes of an unfinished frame at the end: a process is writing, or died while writing.
    pub torn_bytes: u64,
    /// Whether there is more to read now.
    pub more: bool,
}

impl Batch {
    /// How many of the events stand before the first damage, if there is any.
    pub fn gap(&self) -> Option<usize> {
        self.damage.first().map(|damage| damage.events_before)
    }

    fn damaged(&mut self, offset: u64, length: usize, what: &'static str) {
        self.damage.push(Damage { offset, bytes: length as u64, what, events_before: self.events.len() });
    }
}

/// Reads the events from `offset` on; 0 begins with the header. A journal that does not exist yet is empty.
///
/// # Errors
/// If the file cannot be read, is no journal, or is of a newer version.
pub fn read_from(path: &Path, offset: u64) -> Result<Batch, JournalError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Batch::default()),
        Err(error) => return Err(files::at("open", path)(error).into()),
    };
    let length = file.metadata().map_err(files::at("read", path))?.len();
    if length == offset {
        return Ok(Batch { next_offset: offset, ..Batch::default() });
    }
    let mut limit = BATCH_BYTES;
    loop {
        let bytes = read_at(&file, path, offset, limit)?;
        let whole_file = bytes.len() as u64 + offset >= length;
        let mut batch = parse(path, &bytes, offset, whole_file)?;
        // A single frame longer than the limit: read more of it.
        if batch.next_offset == offset && !whole_file {
            limit = limit.saturating_mul(4);
            continue;
        }
        batch.more = !whole_file;
        if !whole_file {
            batch.torn_bytes = 0;
        }
        return Ok(batch);
    }
}

/// The events at a journal's beginning and at its end; of a long one, those between are left out.
///
/// # Errors
/// As [`read_from`].
pub fn edges(path: &Path) -> Result<Vec<Event>, JournalError> {
    /// More than what a process says of itself when it starts and when it ends.
    const HEAD_BYTES: u64 = 64 << 10;
    const TAIL_BYTES: u64 = 512 << 10;
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let length = file.metadata().map_err(files::at("read", path))?.len();
    if length <= HEAD_BYTES + TAIL_BYTES {
        return Ok(parse(path, &read_at(&file, path, 0, length)?, 0, true)?.events);
    }
    let mut events = parse(path, &read_at(&file, path, 0, HEAD_BYTES)?, 0, false)?.events;
    let tail = read_at(&file, path, length - TAIL_BYTES, TAIL_BYTES)?;
    if let Some(start) = frame::find_sound(&tail) {
        events.extend(parse(path, &tail[start..], length - TAIL_BYTES + start as u64, true)?.events);
    }
    Ok(events)
}

fn read_at(mut file: &File, path: &Path, offset: u64, limit: u64) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(limit).read_to_end(&mut bytes))
        .map_err(files::at("read", path))?;
    Ok(bytes)
}

/// Events of these bytes, which stand at `offset`; `whole_file` says that the file holds no more.
fn parse(path: &Path, bytes: &[u8], offset: u64, whole_file: bool) -> Result<Batch, JournalError> {
    let mut batch = Batch { next_offset: offset, ..Batch::default() };
    let mut at = 0;
    if offset == 0 {
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            batch.torn_bytes = bytes.len() as u64;
            return Ok(batch);
        };
        if !header.starts_with(frame::MAGIC) {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if version > frame::VERSION {
            return Err(JournalError::TooNew { path: path.to_owned(), version });
        }
        at = HEADER_BYTES;
    }
    while at < bytes.len() {
        let position = offset + at as u64;
        match frame::read(&bytes[at..]) {
            Framed::Torn => {
                let rest = &bytes[at..];
                // A torn frame is the last: what stands behind one says that its length is wrong.
                let wrong = if whole_file { frame::find_sound(&rest[1..]).map(|skipped| skipped + 1) } else { None };
                match wrong.or((whole_file && frame::has_wrong_length(rest)).then_some(rest.len())) {
                    Some(length) => {
                        batch.damaged(position, length, "wrong length");
                        at += length;
                    }
                    None => {
                        batch.torn_bytes = rest.len() as u64;
                        break;
                    }
                }
            }
            Framed::Damaged { length } => {
                let rest = &bytes[at..];
                let length = match frame::find_sound(&rest[1..]) {
                    Some(skipped) => skipped + 1,
                    // The last frame, told too short.
                    None if whole_file && frame::has_wrong_length(rest) => rest.len(),
                    None => length,
                };
                batch.damaged(position, length, "wrong checksum");
                at += length;
            }
            Framed::Whole { payload, length } => {
                if !decode_all(payload, &mut batch.events) {
                    batch.damaged(position, length, "unknown event");
                }
                at += length;
            }
        }
    }
    batch.next_offset = offset + at as u64;
    Ok(batch)
}

/// Decodes a payload; takes none of its events and gives false where one of them is unknown.
fn decode_all(mut payload: &[u8], events: &mut Vec<Event>) -> bool {
    let before = events.len();
    while !payload.is_empty() {
        let Some(event) = Event::decode(&mut payload) else {
            events.truncate(before);
            return false;
        };
        events.push(event);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::event::{Event, LoopExit};
    use super::super::frame::HEADER_BYTES;
    use super::super::writer::Writer;
    use super::read_from;
    use crate::model::value::Value;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::None),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            ".*".prop_map(Value::Text),
            "[0-9]{20,30}".prop_map(Value::BigInt),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (any::<u32>(), ".*").prop_map(|(id, text)| Event::Name { id, text }),
            (any::<u32>(), value()).prop_map(|(name, value)| Event::Log { name, value }),
            (any::<u64>(), any::<u64>()).prop_map(|(index, time_ns)| Event::Iteration { index, time_ns }),
            any::<u64>().prop_map(|time_ns| Event::LoopExit { how: LoopExit::Early, time_ns }),
            value().prop_map(Event::IterationValue),
            ".*".prop_map(Event::Stored),
        ]
    }

    fn bits(events: &[Event]) -> Vec<u8> {
        let mut out = Vec::new();
        events.iter().for_each(|event| event.encode(&mut out));
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_written_is_read_and_a_cut_anywhere_loses_only_the_tail(
            frames in prop::collection::vec(prop::collection::vec(event(), 1..5), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join("j");
            let mut writer = Writer::open(&path).expect("opens");
            for frame in &frames {
                writer.append(frame).expect("appends");
            }
            let all: Vec<Event> = frames.iter().flatten().cloned().collect();
            let batch = read_from(&path, 0).expect("reads");
            prop_assert_eq!(bits(&batch.events), bits(&all));
            prop_assert!(batch.damage.is_empty() && batch.torn_bytes == 0);

            let bytes = std::fs::read(&path).expect("bytes");
            let cut = cut.index(bytes.len());
            crate::base::files::write_atomic(&path, &bytes[..cut]).expect("cut");
            let first = read_from(&path, 0).expect("reads");
            prop_assert!(first.damage.is_empty());
            prop_assert!(bits(&all).starts_with(&bits(&first.events)));
            crate::base::files::write_atomic(&path, &bytes).expect("whole again");
            let rest = read_from(&path, first.next_offset).expect("reads on");
            let joined: Vec<Event> = first.events.into_iter().chain(rest.events).collect();
            prop_assert_eq!(bits(&joined), bits(&all));
        }

        #[test]
        fn a_flipped_byte_in_a_frame_is_reported_and_costs_that_frame_only(
            events in prop::collection::vec(event(), 1..8),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join("j");
            let mut writer = Writer::open(&path).expect("opens");
            let mut ends = Vec::new();
            for event in &events {
                writer.append(std::slice::from_ref(event)).expect("appends");
                ends.push(std::fs::metadata(&path).expect("there").len());
            }
            let mut bytes = std::fs::read(&path).expect("bytes");
            let at = HEADER_BYTES + at.index(bytes.len() - HEADER_BYTES);
            bytes[at] ^= 1 << bit;
            crate::base::files::write_atomic(&path, &bytes).expect("flipped");
            let batch = read_from(&path, 0).expect("reads");
            let hit = ends.iter().position(|end| (at as u64) < *end).expect("within a frame");
            let others: Vec<Event> = events[..hit].iter().chain(&events[hit + 1..]).cloned().collect();
            prop_assert_eq!(bits(&batch.events), bits(&others));
            prop_assert_eq!(batch.damage.len(), 1);
            prop_assert_eq!(batch.damage[0].events_before, hit);
            prop_assert_eq!(batch.next_offset, bytes.len() as u64);
        }

        #[test]
        fn a_flipped_byte_never_alters_an_event_and_never_panics(
            events in prop::collection::vec(event(), 1..8),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join("j");
            let mut writer = Writer::open(&path).expect("opens");
            for event in &events {
                writer.append(std::slice::from_ref(event)).expect("appends");
            }
            let mut bytes = std::fs::read(&path).expect("bytes");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            crate::base::files::write_atomic(&path, &bytes).expect("flipped");
            if let Ok(batch) = read_from(&path, 0) {
                for read in &batch.events {
                    let read = bits(std::slice::from_ref(read));
                    prop_assert!(events.iter().any(|event| bits(std::slice::from_ref(event)) == read));
                }
            }
        }
    }
}
