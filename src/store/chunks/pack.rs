//! The pack file: a 16-byte header, then records of a 48-byte header and the encoded chunk.
//!
//! A chunk that is kept as a difference begins with the hash of its base, which stands in any pack. Its depth tells how
//! many bases must be read for it, and never exceeds [`MAX_DEPTH`].

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{CHUNK_BYTES, ChunkError, Hash, encoding};
use crate::base::files;

pub(super) const PACK_MAGIC: &[u8; 16] = b"AFTRPACK\x01\0\0\0\0\0\0\0";
const RECORD_MAGIC: &[u8; 4] = b"CHNK";
pub(super) const RECORD_BYTES: usize = 48;
const HASH_BYTES: usize = 32;
/// Longest chain of differences: three in a row have most of the gain (0.71 of the bytes of Adam against 0.69 with seven),
/// and a read never takes more than four chunks.
pub(super) const MAX_DEPTH: u8 = 3;

/// Where a chunk stands in a pack, and how it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) hash: Hash,
    tag: u8,
    item_size: u8,
    pub(super) depth: u8,
    pub(super) raw_len: u32,
    stored_len: u32,
    /// Offset of what follows the header.
    offset: u64,
    /// The chunk that this one is the difference to.
    pub(super) base: Option<Hash>,
}

impl Record {
    /// Offset of the header.
    pub(super) fn start(&self) -> u64 {
        self.offset - RECORD_BYTES as u64
    }

    /// Bytes in the pack, header included.
    pub(super) fn bytes(&self) -> u64 {
        RECORD_BYTES as u64 + u64::from(self.stored_len)
    }

    pub(super) fn kind(&self) -> encoding::ItemKind {
        encoding::kind_of(self.tag, self.item_size)
    }
}

/// Builds a record's bytes: header, base and encoded chunk. `base` is the base's hash and this record's depth.
pub(super) fn record(hash: &Hash, raw_len: usize, encoded: &encoding::Encoded, base: Option<(Hash, u8)>) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let depth = base.map_or(0, |(_, depth)| depth);
    let base: &[u8] = base.as_ref().map_or(&[], |(hash, _)| hash);
    let mut bytes = Vec::with_capacity(RECORD_BYTES + base.len() + encoded.bytes.len());
    bytes.extend_from_slice(RECORD_MAGIC);
    bytes.extend_from_slice(&[encoded.tag, encoded.item_size, depth, 0]);
    bytes.extend_from_slice(&length(raw_len));
    bytes.extend_from_slice(&length(base.len() + encoded.bytes.len()));
    bytes.extend_from_slice(hash);
    bytes.extend_from_slice(base);
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
    let mut header = [0; RECORD_BYTES + HASH_BYTES];
    while at + RECORD_BYTES as u64 <= length {
        let there = usize::try_from(length - at).unwrap_or(usize::MAX).min(header.len());
        file.read_exact_at(&mut header[..there], at).map_err(files::at("read", path))?;
        let Some(record) = parse(&header, at + RECORD_BYTES as u64) else { break };
        let end = at + record.bytes();
        if end > length {
            break;
        }
        records.push(record);
        at = end;
    }
    Ok((records, at))
}

/// Whether a record seems to begin somewhere behind what lies at this offset, where listing ended: then that is no torn
/// end but damage with sound records behind it.
pub(super) fn goes_on_behind(path: &Path, end: u64) -> Result<bool, ChunkError> {
    let file = File::open(path).map_err(files::at("open", path))?;
    let length = file.metadata().map_err(files::at("read", path))?.len();
    let behind = usize::try_from(length.saturating_sub(end + 1)).unwrap_or(0);
    let mut tail = vec![0; behind];
    file.read_exact_at(&mut tail, end + 1).map_err(files::at("read", path))?;
    Ok(tail.windows(RECORD_MAGIC.len()).any(|four| four == RECORD_MAGIC))
}

/// Reads a record's header; what follows it is its base, where it has one.
pub(super) fn parse(header: &[u8], offset: u64) -> Option<Record> {
    let number = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let hash = |at: usize| -> Option<Hash> { header.get(at..at + HASH_BYTES)?.try_into().ok() };
    let (tag, stored_len, raw_len) = (*header.get(4)?, number(12)?, number(8)?);
    let base = if encoding::has_base(tag) { Some(hash(RECORD_BYTES)?) } else { None };
    let plausible = header.starts_with(RECORD_MAGIC)
        && usize::try_from(raw_len).is_ok_and(|length| length <= CHUNK_BYTES)
        && (base.is_none() || stored_len as usize >= HASH_BYTES);
    let (item_size, depth) = (header[5], header[6]);
    plausible.then_some(Record { hash: hash(16)?, tag, item_size, depth, raw_len, stored_len, offset, base })
}

/// Reads a record as it stands.
pub(super) fn read_whole(path: &Path, file: &File, record: &Record) -> Result<Vec<u8>, ChunkError> {
    let mut bytes = vec![0; RECORD_BYTES + record.stored_len as usize];
    file.read_exact_at(&mut bytes, record.start()).map_err(files::at("read", path))?;
    Ok(bytes)
}

/// Reads a chunk and verifies its hash. `base` holds its base's bytes, where it has one.
pub(super) fn read(path: &Path, file: &File, record: &Record, base: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let bytes = read_whole(path, file, record)?;
    let body = &bytes[RECORD_BYTES + if record.base.is_some() { HASH_BYTES } else { 0 }..];
    let raw = encoding::decode(record.tag, record.item_size, body, record.raw_len as usize, base)
        .ok_or_else(|| damaged(path, record, "it does not decode"))?;
    if *blake3::hash(&raw).as_bytes() == record.hash {
        return Ok(raw);
    }
    Err(damaged(path, record, "its content has another hash"))
}

pub(super) fn damaged(path: &Path, record: &Record, what: &'static str) -> ChunkError {
    ChunkError::Damaged { hash: super::to_hex(&record.hash), pack: path.to_owned(), offset: record.offset, what }
}
