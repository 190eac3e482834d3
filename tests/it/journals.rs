//! Golden journals: what the Python writer wrote once, the Rust reader reads for ever, and both writers still write it.
//!
//! Beside each `tests/fixtures/journals/NAME.aflj` stands `NAME.txt`, what it says. `UPDATE_GOLDEN=1 cargo test journals`
//! writes both anew, to be looked at before they are committed: a journal that changes here cannot be read by others.

#![allow(clippy::disallowed_methods, reason = "golden files are written when asked for")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use afterlog::model::value::Value;
use afterlog::store::journal::{Event, Writer, read_from};

use crate::env::TestProject;

const PYTHON: [&str; 4] = ["events", "values", "torn", "damaged"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Writes the journals that Python writes into a folder.
fn written_by_python(into: &Path) {
    let project = TestProject::plain();
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/runtime");
    let mut command = project.command("python3");
    command.env("PYTHONPATH", runtime).env("PYTHONDONTWRITEBYTECODE", "1").arg(folder().join("write.py")).arg(into);
    let output = command.output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The events that only Rust writes: recorders and coordinators.
fn written_by_rust(path: &Path) {
    let _ = fs::remove_file(path);
    let mut writer = Writer::open(path).expect("opens");
    let stored = r#"{"checkpoint":{"seq":3},"buffers":[]}"#.to_owned();
    writer.append(&[Event::Note("the disk is full".into()), Event::Stored(stored)]).expect("appends");
    writer.append(&[Event::Json(r#"{"type":"segment"}"#.into())]).expect("appends");
    writer.append(&[Event::End(r#"{"exit_code":null,"signal":9}"#.into())]).expect("appends");
}

/// What a journal says, a line an event.
fn said(path: &Path) -> String {
    let batch = read_from(path, 0).expect("a journal");
    let mut text = String::new();
    for (at, event) in batch.events.iter().enumerate() {
        for damage in batch.damage.iter().filter(|damage| damage.events_before == at) {
            writeln!(text, "DAMAGE {} bytes at offset {}: {}", damage.bytes, damage.offset, damage.what).expect("text");
        }
        match event {
            Event::Log { name, value } => writeln!(text, "LOG {name} = {}", described(value)),
            Event::Argument { name, value } => writeln!(text, "ARGUMENT {name} = {}", described(value)),
            Event::IterationValue(value) => writeln!(text, "ITERATION VALUE {}", described(value)),
            other => writeln!(text, "{other:?}"),
        }
        .expect("text");
    }
    writeln!(text, "read to offset {}, {} bytes torn", batch.next_offset, batch.torn_bytes).expect("text");
    text
}

fn described(value: &Value) -> String {
    match value {
        // The bits as well: many NaNs look alike.
        Value::Float(x) => format!("Float({x}, bits {:016x})", x.to_bits()),
        other => format!("{other:?}"),
    }
}

/// The payloads of a journal's frames, one after the other.
fn payloads(bytes: &[u8]) -> Vec<u8> {
    let mut rest = &bytes[16..];
    let mut payloads = Vec::new();
    while let Some((prefix, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        payloads.extend_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    payloads
}

#[track_caller]
fn same(golden: &Path, now: &[u8]) {
    if updating() {
        fs::write(golden, now).expect("written");
    }
    let known = fs::read(golden).unwrap_or_default();
    assert!(
        known == now,
        "{} is not what is written now (UPDATE_GOLDEN=1 keeps it):\n{}\nbut now\n{}",
        golden.display(),
        String::from_utf8_lossy(&known),
        String::from_utf8_lossy(now)
    );
}

#[test]
fn both_writers_write_the_golden_journals_byte_for_byte() {
    let scratch = tempfile::tempdir().expect("folder");
    written_by_python(scratch.path());
    written_by_rust(&scratch.path().join("recorder.aflj"));
    for name in PYTHON.into_iter().chain(["recorder"]) {
        let file = format!("{name}.aflj");
        same(&folder().join(&file), &fs::read(scratch.path().join(&file)).expect("written"));
    }
    if updating() {
        for name in PYTHON.into_iter().chain(["recorder"]) {
            same(&folder().join(format!("{name}.txt")), said(&folder().join(format!("{name}.aflj"))).as_bytes());
        }
    }
}

#[test]
fn the_reader_reads_the_golden_journals_as_they_were_meant() {
    if updating() {
        return;
    }
    let mut read = 0;
    for entry in fs::read_dir(folder()).expect("folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "aflj") {
            same(&path.with_extension("txt"), said(&path).as_bytes());
            read += 1;
        }
    }
    assert_eq!(read, PYTHON.len() + 1);
}

#[test]
fn the_rust_writer_encodes_what_python_wrote_the_same_way() {
    if updating() {
        // Another thread is replacing them.
        return;
    }
    for name in ["events", "values", "recorder"] {
        let path = folder().join(format!("{name}.aflj"));
        let mut encoded = Vec::new();
        read_from(&path, 0).expect("a journal").events.iter().for_each(|event| event.encode(&mut encoded));
        assert!(encoded == payloads(&fs::read(&path).expect("journal")), "{name}");
    }
}

/// Fewer entries and less time than a script would have, on a pipe that nobody reads from.
const HANGING: &str = "\
import os, time
from afterlog import _journal
_journal._MOST_QUEUED, _journal._HANGS = 1000, 0.05
unread, write = os.pipe()
journal = _journal.Journal(write)
journal.note('x' * 2000000)
while journal._writing is None:
    time.sleep(0.01)
for index in range(5000):
    journal.iterate(index, None)
time.sleep(0.1)
for index in range(5000):
    journal.iterate(index, None)
print(len(journal._queue) <= 5000, flush=True)
os._exit(0)
";

#[test]
fn a_disk_that_hangs_does_not_fill_the_memory() {
    let project = TestProject::plain();
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/runtime");
    let mut command = project.command("python3");
    command.env("PYTHONPATH", runtime).env("PYTHONDONTWRITEBYTECODE", "1").args(["-c", HANGING]);
    let output = command.output().expect("python starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "True\n", "{}", String::from_utf8_lossy(&output.stderr));
}
