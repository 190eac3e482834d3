//! The pack file: a 16-byte header, then records of a 48-byte header and the encoded chunk.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{CHUNK_BYTES, ChunkError, encoding};
use crate::base::files;

pub(super) const PACK_MAGIC: &[u8; 16] = b"AFTRPACK\x01\0\0\0\0\0\0\0";
const RECORD_MAGIC: &[u8; 4] = b"CHNK";
pub(super) const RECORD_BYTES: usize = 48;

/// Where a chunk stands in a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) hash: [u8; 32],
    tag: u8,
    item_size: u8,
    pub(super) raw_len: u32,
    stored_len: u32,
    /// Offset of the encoded bytes.
    offset: u64,
}

/// Builds a record's bytes: header and encoded chunk.
pub(super) fn record(hash: &[u8; 32], raw_len: usize, encoded: &encoding::Encoded) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(RECORD_BYTES + encoded.bytes.len());
    bytes.extend_from_slice(RECORD_MAGIC);
    bytes.extend_from_slice(&[encoded.tag, encoded.item_size, 0, 0]);
    bytes.extend_from_slice(&length(raw_len));
    bytes.extend_from_slice(&length(encoded.bytes.len()));
    bytes.extend_from_slice(hash);
    bytes.extend_from_slice(&encoded.bytes);
    bytes
}

/// Lists the records of a pack by hopping from header to header. A pack that is being written ends with a torn record,
/// and a damaged header ends what can be listed: the offset of that end is given too.
pub(super) fn list(path: &Path) -> Result<(Vec<Record>, u64), ChunkError> {
    let mut file = File::open(path).map_err(files::at("open", path))?;
    let length = file.metadata().map_err(files::at("read", path))?.len();
    let mut magic = [0; 16];
    if file.read_exact(&mut magic).is_err() || &magic != PACK_MAGIC {
        return Err(ChunkError::NotAPack { path: path.to_owned() });
    }
    let mut records = Vec::new();
    let mut at = magic.len() as u64;
    let mut header = [0; RECORD_BYTES];
    while at + RECORD_BYTES as u64 <= length {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut header)).map_err(files::at("read", path))?;
        let Some(record) = parse(&header, at + RECORD_BYTES as u64) else { break };
        let end = record.offset + u64::from(record.stored_len);
        if end > length {
            break;
        }
        records.push(record);
        at = end;
    }
    Ok((records, at))
}

fn parse(header: &[u8; RECORD_BYTES], offset: u64) -> Option<Record> {
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let mut hash = [0; 32];
    hash.copy_from_slice(&header[16..]);
    let record =
        Record { hash, tag: header[4], item_size: header[5], raw_len: number(8), stored_len: number(12), offset };
    let plausible = header.starts_with(RECORD_MAGIC) && record.raw_len as usize <= CHUNK_BYTES;
    plausible.then_some(record)
}

/// Reads a chunk and verifies its hash.
pub(super) fn read(path: &Path, mut file: &File, record: &Record) -> Result<Vec<u8>, ChunkError> {
    let damaged = |what| ChunkError::Damaged {
        hash: blake3::Hash::from_bytes(record.hash).to_hex().to_string(),
        pack: path.to_owned(),
        offset: record.offset,
        what,
    };
    let mut bytes = vec![0; record.stored_len as usize];
    file.seek(SeekFrom::Start(record.offset))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(files::at("read", path))?;
    let raw = encoding::decode(record.tag, record.item_size, &bytes, record.raw_len as usize)
        .ok_or_else(|| damaged("it does not decode"))?;
    if *blake3::hash(&raw).as_bytes() == record.hash { Ok(raw) } else { Err(damaged("its content has another hash")) }
}

/// A damaged stretch of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackDamage {
    pub what: String,
}

/// Reads every chunk of a pack. Gives the number of sound chunks and what is damaged.
///
/// # Errors
/// If the file cannot be read at all.
pub fn verify_pack(path: &Path) -> Result<(u64, Vec<PackDamage>), ChunkError> {
    let (records, end) = list(path)?;
    let file = File::open(path).map_err(files::at("open", path))?;
    let length = file.metadata().map_err(files::at("read", path))?.len();
    let mut damage = Vec::new();
    let mut sound = 0;
    for record in &records {
        match read(path, &file, record) {
            Ok(_) => sound += 1,
            Err(error) => damage.push(PackDamage { what: error.to_string() }),
        }
    }
    if end < length {
        let what = format!("{}: {} bytes from byte {end} on are no record", path.display(), length - end);
        damage.push(PackDamage { what });
    }
    Ok((sound, damage))
}
