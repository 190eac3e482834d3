//! How a chunk's bytes are kept: as they are, zstd, or zstd over byte planes.
//!
//! Floating-point numbers of one tensor share exponents but not mantissas. Transposing a chunk so that all first
//! bytes stand together, then all second bytes, and so on, lets zstd find what they share.

/// zstd's fastest useful level: recording must keep up with training on a fraction of one core.
const ZSTD_LEVEL: i32 = 1;

/// What a buffer's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemKind {
    /// Bytes of one item; 1 where unknown.
    pub size: u8,
    pub is_float: bool,
}

impl ItemKind {
    /// Bytes of no known structure.
    pub const BYTES: Self = Self { size: 1, is_float: false };
}

/// A chunk's encoding and its encoded bytes.
pub(super) struct Encoded {
    pub(super) tag: u8,
    pub(super) item_size: u8,
    pub(super) bytes: Vec<u8>,
}

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const PLANES_ZSTD: u8 = 2;

/// Encodes a chunk in the way that suits its items, or raw where compression saves less than a thirty-second.
pub(super) fn encode(raw: &[u8], kind: ItemKind) -> Encoded {
    let planes = kind.is_float && kind.size > 1 && raw.len().is_multiple_of(usize::from(kind.size));
    let compressed = if planes {
        zstd::bulk::compress(&split_planes(raw, usize::from(kind.size)), ZSTD_LEVEL)
    } else {
        zstd::bulk::compress(raw, ZSTD_LEVEL)
    };
    match compressed {
        Ok(bytes) if bytes.len() < raw.len() - raw.len() / 32 => {
            Encoded { tag: if planes { PLANES_ZSTD } else { ZSTD }, item_size: kind.size, bytes }
        }
        // Does not pay, or zstd could not: the raw bytes are always right.
        _ => Encoded { tag: RAW, item_size: 1, bytes: raw.to_vec() },
    }
}

/// The raw bytes of an encoded chunk, or `None` where they are not a chunk of this length.
pub(super) fn decode(tag: u8, item_size: u8, bytes: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    let raw = match tag {
        RAW => bytes.to_vec(),
        ZSTD => zstd::bulk::decompress(bytes, raw_len).ok()?,
        PLANES_ZSTD => join_planes(&zstd::bulk::decompress(bytes, raw_len).ok()?, usize::from(item_size))?,
        _ => return None,
    };
    (raw.len() == raw_len).then_some(raw)
}

fn split_planes(raw: &[u8], size: usize) -> Vec<u8> {
    let items = raw.len() / size;
    let mut out = vec![0; raw.len()];
    for (plane, bytes) in out.chunks_exact_mut(items.max(1)).enumerate() {
        for (byte, item) in bytes.iter_mut().zip(raw.chunks_exact(size)) {
            *byte = item[plane];
        }
    }
    out
}

fn join_planes(planes: &[u8], size: usize) -> Option<Vec<u8>> {
    if size == 0 || !planes.len().is_multiple_of(size) {
        return None;
    }
    let items = planes.len() / size;
    let mut out = vec![0; planes.len()];
    for (plane, bytes) in planes.chunks_exact(items.max(1)).enumerate() {
        for (byte, item) in bytes.iter().zip(out.chunks_exact_mut(size)) {
            item[plane] = *byte;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ItemKind, decode, encode};

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            raw in prop::collection::vec(any::<u8>(), 0..4096),
            size in prop::sample::select(vec![1_u8, 2, 4, 8]),
            is_float in any::<bool>(),
        ) {
            let encoded = encode(&raw, ItemKind { size, is_float });
            prop_assert_eq!(decode(encoded.tag, encoded.item_size, &encoded.bytes, raw.len()), Some(raw));
        }

        #[test]
        fn hostile_bytes_are_refused_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..256), tag in any::<u8>(), size in any::<u8>(), len in 0..100_000_usize,
        ) {
            let _ = decode(tag, size, &bytes, len);
        }
    }

    #[test]
    fn floats_of_one_scale_take_less_room_in_planes() {
        let raw: Vec<u8> = (0..65536_u32).flat_map(|i| (1.0 + f64::from(i).sin() * 1e-3).to_le_bytes()).collect();
        let planes = encode(&raw, ItemKind { size: 8, is_float: true }).bytes.len();
        let plain = encode(&raw, ItemKind::BYTES).bytes.len();
        assert!(planes * 10 < plain * 9, "{planes} against {plain}");
    }
}
