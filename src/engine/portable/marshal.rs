//! Reads Python's marshal format, version 2, as far as the runtime writes it (`assets/runtime/afterlog/_snapshot.py`).
//!
//! Nothing of it is executed: what a checkpoint holds as code or as a pickle stays bytes.

/// A value as marshalled. Integers beyond 64 bits are floats no reader of an exported file could use: they are `None`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Data>),
    List(Vec<Data>),
    Dict(Vec<(Data, Data)>),
}

/// Deeper than modules within modules ever go, and no deeper than a thread's stack has room for.
const MAX_DEPTH: u32 = 500;

impl Data {
    /// Parses a whole buffer; `None` where it is not marshalled data.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { rest: bytes, depth: 0 };
        let data = reader.data()??;
        reader.rest.is_empty().then_some(data)
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Tuple(items) | Self::List(items) => items,
            _ => &[],
        }
    }

    /// How many values it consists of; long texts and bytes count for more.
    pub(super) fn weight(&self) -> usize {
        let inside = match self {
            Self::Text(text) => text.len() / size_of::<Self>(),
            Self::Bytes(bytes) => bytes.len() / size_of::<Self>(),
            Self::Tuple(items) | Self::List(items) => items.iter().map(Self::weight).sum(),
            Self::Dict(entries) => entries.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
        };
        1 + inside
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }

    fn float(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn sequence(&mut self) -> Option<Vec<Data>> {
        let length = self.length()?;
        // Each item takes a byte at least: what claims to be longer is refused before room is made for it.
        if length > self.rest.len() {
            return None;
        }
        (0..length).map(|_| self.data()?).collect()
    }

    /// The next value; `Some(None)` for the end of a dict.
    #[allow(clippy::option_option, reason = "no value and no data are different answers")]
    fn data(&mut self) -> Option<Option<Data>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let data = match self.take(1)?[0] {
            b'0' => {
                self.depth -= 1;
                return Some(None);
            }
            b'N' | b'.' | b'S' => Data::None,
            b'T' => Data::Bool(true),
            b'F' => Data::Bool(false),
            b'i' => Data::Int(self.int()?.into()),
            b'l' => self.long()?,
            b'g' => Data::Float(self.float()?),
            b'y' => Data::Tuple(vec![Data::Float(self.float()?), Data::Float(self.float()?)]),
            b's' => {
                let length = self.length()?;
                Data::Bytes(self.take(length)?.to_vec())
            }
            b'u' | b't' => {
                let length = self.length()?;
                Data::Text(String::from_utf8_lossy(self.take(length)?).into_owned())
            }
            b'(' => Data::Tuple(self.sequence()?),
            b'[' | b'<' | b'>' => Data::List(self.sequence()?),
            b'{' => {
                let mut items = Vec::new();
                while let Some(key) = self.data()? {
                    items.push((key, self.data()??));
                }
                Data::Dict(items)
            }
            _ => return None,
        };
        self.depth -= 1;
        Some(Some(data))
    }

    /// Digits of 15 bits, as many as the absolute value of a count whose sign is the number's.
    fn long(&mut self) -> Option<Data> {
        let count = self.int()?;
        let mut number: Option<i64> = Some(0);
        for place in 0..count.unsigned_abs() {
            let digit = i64::from(u16::from_le_bytes(self.take(2)?.try_into().ok()?));
            let shifted =
                digit.checked_shl(15 * place).filter(|shifted| shifted >> (15 * place) == digit && *shifted >= 0);
            number = match shifted {
                Some(shifted) if place < 5 => number.and_then(|number| number.checked_add(shifted)),
                _ if digit == 0 => number,
                _ => None,
            };
        }
        Some(number.map_or(Data::None, |number| Data::Int(if count < 0 { -number } else { number })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Data;

    #[test]
    fn what_python_marshals_is_read() {
        // marshal.dumps({"a": (1, -2, 2**40, 2**70, 1.5), "b": [b"x", None, True], 3: "é"}, 2)
        let bytes = b"{u\x01\0\0\0a(\x05\0\0\0i\x01\0\0\0i\xfe\xff\xff\xffl\x03\0\0\0\0\0\0\0\0\x04l\x05\0\0\0\0\0\0\0\0\0\0\0\0\x04\
            g\0\0\0\0\0\0\xf8?u\x01\0\0\0b[\x03\0\0\0s\x01\0\0\0xNTi\x03\0\0\0u\x02\0\0\0\xc3\xa90";
        let text = |text: &str| Data::Text(text.to_owned());
        let numbers = vec![Data::Int(1), Data::Int(-2), Data::Int(1 << 40), Data::None, Data::Float(1.5)];
        let expected = Data::Dict(vec![
            (text("a"), Data::Tuple(numbers)),
            (text("b"), Data::List(vec![Data::Bytes(b"x".to_vec()), Data::None, Data::Bool(true)])),
            (Data::Int(3), text("é")),
        ]);
        assert_eq!(Data::parse(bytes), Some(expected));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Data::parse(&bytes);
            let nested = [b"[\x01\0\0\0".repeat(bytes.len() * 50).as_slice(), &bytes].concat();
            let _ = Data::parse(&nested);
        }
    }
}
