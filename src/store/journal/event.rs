//! The events and their encoding.

use crate::model::value::Value;

/// How a loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopExit {
    Exhausted,
    /// By `break`, `return` or an exception.
    Early,
    /// Replay did not execute it but restored its end; of the main loop: replay ends here.
    Skipped,
}

/// One event. Times are nanoseconds since the process's start event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Gives a number to a name; numbers count from 0 within a journal.
    Name {
        id: u32,
        text: String,
    },
    /// `key` names the loop in the instrumentation plan; `length` is −1 where unknown.
    LoopEnter {
        name: u32,
        key: Option<u32>,
        length: i64,
        time_ns: u64,
    },
    /// The next iteration of the innermost loop; ends the one before it.
    Iteration {
        index: u64,
        time_ns: u64,
    },
    /// The iterated value, where it is not the index.
    IterationValue(Value),
    LoopExit {
        how: LoopExit,
        time_ns: u64,
    },
    Log {
        name: u32,
        value: Value,
    },
    Argument {
        name: u32,
        value: Value,
    },
    /// Something about recording that the user should know.
    Note(String),
    /// State was handed to the recorder.
    Snapshot {
        seq: u64,
        stall_ns: u64,
    },
    /// JSON: the process as it began.
    Start(String),
    /// JSON: how the process ended.
    End(String),
    /// JSON: a checkpoint was stored.
    Stored(String),
    /// A checkpoint was restored.
    Restored {
        seq: u64,
        time_ns: u64,
    },
    /// JSON: the state at an executed block's end was compared with the record.
    State(String),
    /// JSON: for a job's own journal.
    Json(String),
    /// A line that the script printed, without its line end.
    Line {
        stream: Stream,
        text: String,
    },
}

/// Where a script prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output = 1,
    Error = 2,
}

/// An absent loop key.
const NO_KEY: u32 = u32::MAX;

impl Event {
    /// Appends the event's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name { id, text } => {
                out.push(0x01);
                out.extend(id.to_le_bytes());
                put_text(out, text);
            }
            Self::LoopEnter { name, key, length, time_ns } => {
                out.push(0x02);
                out.extend(name.to_le_bytes());
                out.extend(key.unwrap_or(NO_KEY).to_le_bytes());
                out.extend(length.to_le_bytes());
                out.extend(time_ns.to_le_bytes());
            }
            Self::Iteration { index, time_ns } => {
                out.push(0x03);
                out.extend(index.to_le_bytes());
                out.extend(time_ns.to_le_bytes());
            }
            Self::IterationValue(value) => {
                out.push(0x04);
                put_value(out, value);
            }
            Self::LoopExit { how, time_ns } => {
                out.extend([0x05, *how as u8]);
                out.extend(time_ns.to_le_bytes());
            }
            Self::Log { name, value } | Self::Argument { name, value } => {
                out.push(if matches!(self, Self::Log { .. }) { 0x06 } else { 0x07 });
                out.extend(name.to_le_bytes());
                put_value(out, value);
            }
            Self::Snapshot { seq, stall_ns: number } | Self::Restored { seq, time_ns: number } => {
                out.push(if matches!(self, Self::Snapshot { .. }) { 0x09 } else { 0x0d });
                out.extend(seq.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
            Self::Note(text) => put_tagged(out, 0x08, text),
            Self::Start(json) => put_tagged(out, 0x0a, json),
            Self::End(json) => put_tagged(out, 0x0b, json),
            Self::Stored(json) => put_tagged(out, 0x0c, json),
            Self::State(json) => put_tagged(out, 0x0e, json),
            Self::Json(json) => put_tagged(out, 0x0f, json),
            Self::Line { stream, text } => {
                out.extend([0x10, *stream as u8]);
                put_text(out, text);
            }
        }
    }

    /// Takes one event off the front of a payload; `None` where the bytes are no event of this version.
    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let tag = take::<1>(bytes)?[0];
        Some(match tag {
            0x01 => Self::Name { id: take_u32(bytes)?, text: take_text(bytes)? },
            0x02 => Self::LoopEnter {
                name: take_u32(bytes)?,
                key: Some(take_u32(bytes)?).filter(|key| *key != NO_KEY),
                length: i64::from_le_bytes(take(bytes)?),
                time_ns: take_u64(bytes)?,
            },
            0x03 => Self::Iteration { index: take_u64(bytes)?, time_ns: take_u64(bytes)? },
            0x04 => Self::IterationValue(take_value(bytes)?),
            0x05 => {
                let how = match take::<1>(bytes)?[0] {
                    0 => LoopExit::Exhausted,
                    1 => LoopExit::Early,
                    2 => LoopExit::Skipped,
                    _ => return None,
                };
                Self::LoopExit { how, time_ns: take_u64(bytes)? }
            }
            0x06 => Self::Log { name: take_u32(bytes)?, value: take_value(bytes)? },
            0x07 => Self::Argument { name: take_u32(bytes)?, value: take_value(bytes)? },
            0x08 => Self::Note(take_text(bytes)?),
            0x09 => Self::Snapshot { seq: take_u64(bytes)?, stall_ns: take_u64(bytes)? },
            0x0a => Self::Start(take_text(bytes)?),
            0x0b => Self::End(take_text(bytes)?),
            0x0c => Self::Stored(take_text(bytes)?),
            0x0d => Self::Restored { seq: take_u64(bytes)?, time_ns: take_u64(bytes)? },
            0x0e => Self::State(take_text(bytes)?),
            0x0f => Self::Json(take_text(bytes)?),
            0x10 => {
                let stream = match take::<1>(bytes)?[0] {
                    1 => Stream::Output,
                    2 => Stream::Error,
                    _ => return None,
                };
                Self::Line { stream, text: take_text(bytes)? }
            }
            _ => return None,
        })
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    put_text(out, text);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => out.push(0),
        Value::Bool(b) => out.extend([1, u8::from(*b)]),
        Value::Int(i) => {
            out.push(2);
            out.extend(i.to_le_bytes());
        }
        Value::Float(x) => {
            out.push(3);
            out.extend(x.to_bits().to_le_bytes());
        }
        Value::Text(text) => put_tagged(out, 4, text),
        Value::Json(text) => put_tagged(out, 5, text),
        Value::Opaque(text) => put_tagged(out, 6, text),
        Value::BigInt(text) => put_tagged(out, 7, text),
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = take_u32(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn take_value(bytes: &mut &[u8]) -> Option<Value> {
    Some(match take::<1>(bytes)?[0] {
        0 => Value::None,
        1 => Value::Bool(take::<1>(bytes)?[0] != 0),
        2 => Value::Int(i64::from_le_bytes(take(bytes)?)),
        3 => Value::Float(f64::from_bits(take_u64(bytes)?)),
        4 => Value::Text(take_text(bytes)?),
        5 => Value::Json(take_text(bytes)?),
        6 => Value::Opaque(take_text(bytes)?),
        7 => Value::BigInt(take_text(bytes)?),
        _ => return None,
    })
}
