//! Kinds of numbers, and what each format calls them.

/// One kind of number; `None` where a format has no name for it.
pub(super) struct Kind {
    names: [&'static str; 2],
    /// The class of storage in a file of torch's.
    pub(super) storage: Option<&'static str>,
    pub(super) npy: Option<&'static str>,
    pub(super) safetensors: Option<&'static str>,
    pub(super) size: u64,
}

const fn kind(
    names: [&'static str; 2],
    storage: Option<&'static str>,
    npy: Option<&'static str>,
    safetensors: Option<&'static str>,
    size: u64,
) -> Kind {
    Kind { names, storage, npy, safetensors, size }
}

/// BF16 has no name in NumPy: it is written as the float32 that it is the upper half of.
static KINDS: [Kind; 18] = [
    kind(["torch.float32", "<f4"], Some("FloatStorage"), Some("<f4"), Some("F32"), 4),
    kind(["torch.float64", "<f8"], Some("DoubleStorage"), Some("<f8"), Some("F64"), 8),
    kind(["torch.float16", "<f2"], Some("HalfStorage"), Some("<f2"), Some("F16"), 2),
    kind(["torch.bfloat16", ""], Some("BFloat16Storage"), None, Some("BF16"), 2),
    kind(["torch.int8", "|i1"], Some("CharStorage"), Some("|i1"), Some("I8"), 1),
    kind(["torch.int16", "<i2"], Some("ShortStorage"), Some("<i2"), Some("I16"), 2),
    kind(["torch.int32", "<i4"], Some("IntStorage"), Some("<i4"), Some("I32"), 4),
    kind(["torch.int64", "<i8"], Some("LongStorage"), Some("<i8"), Some("I64"), 8),
    kind(["torch.uint8", "|u1"], Some("ByteStorage"), Some("|u1"), Some("U8"), 1),
    kind(["torch.bool", "|b1"], Some("BoolStorage"), Some("|b1"), Some("BOOL"), 1),
    kind(["torch.complex64", "<c8"], Some("ComplexFloatStorage"), Some("<c8"), None, 8),
    kind(["torch.complex128", "<c16"], Some("ComplexDoubleStorage"), Some("<c16"), None, 16),
    kind(["torch.uint16", "<u2"], None, Some("<u2"), Some("U16"), 2),
    kind(["torch.uint32", "<u4"], None, Some("<u4"), Some("U32"), 4),
    kind(["torch.uint64", "<u8"], None, Some("<u8"), Some("U64"), 8),
    kind(["torch.float8_e4m3fn", ""], None, None, Some("F8_E4M3"), 1),
    kind(["torch.float8_e5m2", ""], None, None, Some("F8_E5M2"), 1),
    kind(["torch.complex32", ""], None, None, None, 4),
];

/// The kind that torch or NumPy calls so.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.names.contains(&name) && !name.is_empty())
}
