//! The file header and the framing of payloads. All numbers little-endian.

/// Header: magic, version, four zero bytes.
pub(super) const MAGIC: &[u8; 8] = b"AFTRLOG\n";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 16;
/// Payload length and CRC-32 before each payload.
pub(super) const PREFIX_BYTES: usize = 8;
/// A longer payload is taken for damage: the writers flush long before.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// Tags of the events of this version.
const TAGS: std::ops::RangeInclusive<u8> = 0x01..=0x10;

/// What stands at the beginning of some bytes.
pub(super) enum Framed<'a> {
    /// A whole frame with a right checksum, and its length in the file.
    Whole { payload: &'a [u8], length: usize },
    /// A frame whose checksum is wrong, and its length in the file if the length is to be believed.
    Damaged { length: usize },
    /// The file ends within the frame.
    Torn,
}

pub(super) fn read(bytes: &[u8]) -> Framed<'_> {
    let Some((prefix, rest)) = bytes.split_at_checked(PREFIX_BYTES) else { return Framed::Torn };
    let number = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
    let length = number(0) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Framed::Damaged { length: bytes.len() };
    }
    match rest.get(..length) {
        None => Framed::Torn,
        Some(payload) if crc32fast::hash(payload) == number(4) => {
            Framed::Whole { payload, length: PREFIX_BYTES + length }
        }
        Some(_) => Framed::Damaged { length: PREFIX_BYTES + length },
    }
}

/// Where the next sound frame begins, for when a length is not to be believed. Linear in the bytes but for the
/// checksums of what looks like a frame.
pub(super) fn find_sound(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|at| {
        let bytes = &bytes[*at..];
        // A frame holds events; the tag of its first one spares most places their checksum.
        let has_tag = bytes.get(PREFIX_BYTES).is_some_and(|tag| TAGS.contains(tag));
        has_tag && matches!(read(bytes), Framed::Whole { length, .. } if length > PREFIX_BYTES)
    })
}

/// Whether all these bytes are one frame whose length alone is wrong.
pub(super) fn has_wrong_length(bytes: &[u8]) -> bool {
    let Some((prefix, payload)) = bytes.split_at_checked(PREFIX_BYTES) else { return false };
    !payload.is_empty() && prefix[4..] == crc32fast::hash(payload).to_le_bytes()
}

/// A payload as it stands in the file.
pub(super) fn write(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + payload.len());
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
