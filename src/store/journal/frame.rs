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

/// A payload as it stands in the file.
pub(super) fn write(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + payload.len());
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
