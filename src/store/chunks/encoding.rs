//! How a chunk's bytes are kept: as they are, zstd, byte planes, or byte planes of what changed since an earlier chunk.
//!
//! Floating-point numbers of one tensor share exponents but not mantissas. Transposing a chunk so that all first
//! bytes stand together, then all second bytes, and so on, lets zstd find what they share. Between two checkpoints of a
//! training most numbers move a little: the differences of their bit patterns, as integers, have high bytes of zero.
//! Measured on consecutive epochs of Adam: 0.83 of the bytes in planes, 0.67 as differences; fine-tuning at a small rate
//! 0.77 and 0.55; BF16 0.64 and 0.22.

/// zstd's fastest useful level: recording must keep up with training on a fraction of one core. Higher ones gain nothing
/// on floating-point numbers (level 3: 0.5 % worse at two thirds of the speed).
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a chunk on which it is tried whether differences pay.
const SAMPLE_BYTES: usize = 1 << 15;

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
/// All planes in one frame: written by earlier versions, still read.
const PLANES_ZSTD: u8 = 2;
const PLANES: u8 = 3;
const DIFFERENCE: u8 = 4;

/// Whether the record's bytes begin with the hash of the chunk that they are the difference to.
pub(super) fn has_base(tag: u8) -> bool {
    tag == DIFFERENCE
}

/// What the items of a chunk encoded so are.
pub(super) fn kind_of(tag: u8, item_size: u8) -> ItemKind {
    ItemKind { size: item_size, is_float: matches!(tag, PLANES_ZSTD | PLANES | DIFFERENCE) }
}

/// Whether differences of such items can be taken.
pub(super) fn has_differences(kind: ItemKind) -> bool {
    kind.is_float && matches!(kind.size, 2 | 4 | 8)
}

/// Encodes a chunk in the way that suits its items, or raw where compression saves less than a thirty-second.
pub(super) fn encode(raw: &[u8], kind: ItemKind) -> Encoded {
    let planes = kind.is_float && kind.size > 1 && raw.len().is_multiple_of(usize::from(kind.size));
    let (tag, bytes) = if planes {
        (PLANES, compress_planes(raw, usize::from(kind.size)))
    } else {
        // What zstd cannot do, the raw bytes can.
        (ZSTD, zstd::bulk::compress(raw, ZSTD_LEVEL).unwrap_or_else(|_| raw.to_vec()))
    };
    if bytes.len() < raw.len() - raw.len() / 32 {
        return Encoded { tag, item_size: kind.size, bytes };
    }
    Encoded { tag: RAW, item_size: 1, bytes: raw.to_vec() }
}

/// Encodes a chunk as the difference to another one of the same length; `None` where that does not pay.
pub(super) fn encode_difference(raw: &[u8], base: &[u8], kind: ItemKind) -> Option<Encoded> {
    let size = usize::from(kind.size);
    if !has_differences(kind) || raw.len() != base.len() || !raw.len().is_multiple_of(size) {
        return None;
    }
    // From the middle: a tensor's first rows may be special.
    let start = (raw.len() - SAMPLE_BYTES.min(raw.len())) / 2 / size * size;
    let sample = start..(start + SAMPLE_BYTES).min(raw.len()) / size * size;
    let plain = compress_planes(&raw[sample.clone()], size).len();
    let changed = compress_planes(&subtract(&raw[sample.clone()], &base[sample], size), size).len();
    // A chain must be worth the further reads: a tenth at least, with its base's hash.
    if (changed + size_of::<super::Hash>()) * 10 >= plain * 9 {
        return None;
    }
    let bytes = compress_planes(&subtract(raw, base, size), size);
    (bytes.len() < raw.len() - raw.len() / 16).then_some(Encoded { tag: DIFFERENCE, item_size: kind.size, bytes })
}

/// The raw bytes of an encoded chunk, or `None` where they are not a chunk of this length. `base` is needed where
/// [`has_base`] says so.
pub(super) fn decode(tag: u8, item_size: u8, bytes: &[u8], raw_len: usize, base: &[u8]) -> Option<Vec<u8>> {
    let size = usize::from(item_size);
    let raw = match tag {
        RAW => bytes.to_vec(),
        ZSTD => zstd::bulk::decompress(bytes, raw_len).ok()?,
        PLANES_ZSTD => join_planes(&zstd::bulk::decompress(bytes, raw_len).ok()?, size)?,
        PLANES => join_planes(&decompress_planes(bytes, size, raw_len)?, size)?,
        DIFFERENCE if base.len() == raw_len && matches!(size, 2 | 4 | 8) => {
            add(join_planes(&decompress_planes(bytes, size, raw_len)?, size)?, base, size)?
        }
        _ => return None,
    };
    (raw.len() == raw_len).then_some(raw)
}

/// Each plane by itself, a length before it: what does not compress costs no time when it is read.
fn compress_planes(raw: &[u8], size: usize) -> Vec<u8> {
    let planes = split_planes(raw, size);
    let mut out = Vec::with_capacity(raw.len());
    for plane in planes.chunks((raw.len() / size.max(1)).max(1)) {
        let compressed = zstd::bulk::compress(plane, ZSTD_LEVEL).ok();
        let smaller = compressed.filter(|bytes| bytes.len() < plane.len() - plane.len() / 32);
        let bytes = smaller.as_deref().unwrap_or(plane);
        // A chunk has a mebibyte at most.
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

fn decompress_planes(mut bytes: &[u8], size: usize, raw_len: usize) -> Option<Vec<u8>> {
    if size == 0 || !raw_len.is_multiple_of(size) {
        return None;
    }
    let items = raw_len / size;
    let mut planes = Vec::with_capacity(raw_len);
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let plane = rest.get(..length)?;
        // However many planes damaged or hostile bytes claim, no more than the chunk is ever unpacked.
        if planes.len() + items > raw_len {
            return None;
        }
        if length == items {
            planes.extend_from_slice(plane);
        } else {
            planes.extend(zstd::bulk::decompress(plane, items).ok()?);
        }
        bytes = &rest[length..];
    }
    (bytes.is_empty() && planes.len() == raw_len).then_some(planes)
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

/// For items of one width: the difference of the bit patterns, small numbers of either sign as small ones without.
macro_rules! differences {
    ($subtract:ident, $add:ident, $unsigned:ty, $signed:ty) => {
        fn $subtract(raw: &[u8], base: &[u8], out: &mut [u8]) {
            let (raw, _) = raw.as_chunks();
            let (base, _) = base.as_chunks();
            let (out, _) = out.as_chunks_mut();
            for ((item, before), out) in raw.iter().zip(base).zip(out) {
                let difference = <$unsigned>::from_le_bytes(*item).wrapping_sub(<$unsigned>::from_le_bytes(*before));
                let signed = difference.cast_signed();
                *out = ((signed << 1) ^ (signed >> (<$signed>::BITS - 1))).to_le_bytes();
            }
        }

        fn $add(difference: &mut [u8], base: &[u8]) {
            let (items, _) = difference.as_chunks_mut();
            let (base, _) = base.as_chunks();
            for (item, before) in items.iter_mut().zip(base) {
                let folded = <$unsigned>::from_le_bytes(*item);
                let difference = (folded >> 1) ^ (folded & 1).wrapping_neg();
                *item = <$unsigned>::from_le_bytes(*before).wrapping_add(difference).to_le_bytes();
            }
        }
    };
}

differences!(subtract_2, add_2, u16, i16);
differences!(subtract_4, add_4, u32, i32);
differences!(subtract_8, add_8, u64, i64);

fn subtract(raw: &[u8], base: &[u8], size: usize) -> Vec<u8> {
    let mut out = vec![0; raw.len()];
    match size {
        2 => subtract_2(raw, base, &mut out),
        4 => subtract_4(raw, base, &mut out),
        _ => subtract_8(raw, base, &mut out),
    }
    out
}

fn add(mut difference: Vec<u8>, base: &[u8], size: usize) -> Option<Vec<u8>> {
    if difference.len() != base.len() || !base.len().is_multiple_of(size) {
        return None;
    }
    match size {
        2 => add_2(&mut difference, base),
        4 => add_4(&mut difference, base),
        _ => add_8(&mut difference, base),
    }
    Some(difference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DIFFERENCE, ItemKind, add, decode, encode, encode_difference, subtract};

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            raw in prop::collection::vec(any::<u8>(), 0..4096),
            size in prop::sample::select(vec![1_u8, 2, 4, 8]),
            is_float in any::<bool>(),
        ) {
            let encoded = encode(&raw, ItemKind { size, is_float });
            prop_assert_eq!(decode(encoded.tag, encoded.item_size, &encoded.bytes, raw.len(), &[]), Some(raw));
        }

        #[test]
        fn a_difference_added_to_its_base_gives_the_number_whatever_both_are(
            pairs in prop::collection::vec(any::<(u64, u64)>(), 1..64),
            size in prop::sample::select(vec![2_usize, 4, 8]),
        ) {
            let raw: Vec<u8> = pairs.iter().flat_map(|(raw, _)| raw.to_le_bytes()).collect();
            let base: Vec<u8> = pairs.iter().flat_map(|(_, base)| base.to_le_bytes()).collect();
            prop_assert_eq!(add(subtract(&raw, &base, size), &base, size), Some(raw));
        }

        #[test]
        fn hostile_bytes_are_refused_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..256), tag in 0_u8..6, size in any::<u8>(), len in 0..100_000_usize,
        ) {
            let _ = decode(tag, size, &bytes, len, &bytes);
            let _ = decode(tag, size, &bytes, bytes.len(), &bytes);
        }
    }

    /// `float32`s of the scale of weights, and the same after a small step of training.
    fn weights() -> (Vec<u8>, Vec<u8>) {
        let weight = |i: u32| (f64::from(i).sin() * 43758.5453).fract() * 0.05;
        let bytes = |step: f64| {
            let number = move |i: u32| weight(i) + step * weight(i + 7919);
            (0..65536_u32).flat_map(|i| rounded(number(i)).to_le_bytes()).collect::<Vec<u8>>()
        };
        (bytes(0.0), bytes(1e-3))
    }

    #[allow(clippy::cast_possible_truncation, reason = "rounding to float32 is what is wanted")]
    fn rounded(number: f64) -> f32 {
        number as f32
    }

    #[test]
    fn floats_of_one_scale_take_less_room_in_planes() {
        let raw: Vec<u8> = (0..65536_u32).flat_map(|i| (1.0 + f64::from(i).sin() * 1e-3).to_le_bytes()).collect();
        let planes = encode(&raw, ItemKind { size: 8, is_float: true }).bytes.len();
        let plain = encode(&raw, ItemKind::BYTES).bytes.len();
        assert!(planes * 10 < plain * 9, "{planes} against {plain}");
    }

    #[test]
    fn a_small_step_of_training_takes_less_room_as_a_difference_and_comes_back_exactly() {
        let kind = ItemKind { size: 4, is_float: true };
        let (before, after) = weights();
        let difference = encode_difference(&after, &before, kind).expect("pays");
        let plain = encode(&after, kind).bytes.len();
        assert!(difference.bytes.len() * 10 < plain * 8, "{} against {plain}", difference.bytes.len());
        assert_eq!(decode(DIFFERENCE, 4, &difference.bytes, after.len(), &before), Some(after.clone()));
        assert_eq!(decode(DIFFERENCE, 4, &difference.bytes, after.len(), &[]), None, "not without its base");
        let unrelated: Vec<u8> = before.iter().rev().copied().collect();
        assert!(encode_difference(&after, &unrelated, kind).is_none(), "to what is unrelated it does not pay");
    }
}
