//! A logged value and how it is compared and written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One logged value. Floats keep their bits: two values are the same only when [`Value::same_bits`] says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer outside the range of `i64`, in decimal.
    BigInt(String),
    /// Serialised as its bits, since JSON has no NaN or infinity.
    Float(#[serde(with = "float_bits")] f64),
    Text(String),
    /// A list, dict, tuple or small array as JSON text, with the field's `NaN`/`Infinity` spelling.
    Json(String),
    /// Anything else: type, shape and a content digest, so that two can be compared though neither can be shown whole.
    Opaque(String),
}

impl Value {
    /// Whether both are the same to the bit: NaN equals NaN of the same payload, `0.0` differs from `-0.0`.
    pub fn same_bits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    /// The number in this value, if it is one. Booleans count as 0 and 1.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            #[expect(clippy::cast_precision_loss, reason = "for plots and comparisons only")]
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            Self::BigInt(text) => text.parse().ok(),
            Self::None | Self::Text(_) | Self::Json(_) | Self::Opaque(_) => None,
        }
    }

    /// The type's name as a user reads it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Json(_) => "json",
            Self::Opaque(_) => "object",
        }
    }
}

impl fmt::Display for Value {
    /// Floats in their shortest form that reads back to the same bits; `nan`, `inf`, `-inf`; none is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Bool(b) => f.write_str(if *b { "true" } else { "false" }),
            Self::Int(i) => write!(f, "{i}"),
            Self::BigInt(text) | Self::Text(text) | Self::Json(text) | Self::Opaque(text) => f.write_str(text),
            Self::Float(x) => write_float(f, *x),
        }
    }
}

fn write_float(f: &mut fmt::Formatter<'_>, x: f64) -> fmt::Result {
    let mut text = String::with_capacity(24);
    push_float(&mut text, x);
    f.write_str(&text)
}

/// Python's `repr` of a float: shortest round trip, exponent from 1e16 and below 1e-4, always with a point or exponent.
pub fn push_float(out: &mut String, x: f64) {
    let magnitude = x.abs();
    if x.is_nan() {
        out.push_str("nan");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "inf" } else { "-inf" });
    } else if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        // Writes this range without an exponent and with a point, as Python does.
        out.push_str(zmij::Buffer::new().format_finite(x));
    } else {
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        let zero = if digits.len() < 2 { "0" } else { "" };
        out.extend([mantissa, "e"]);
        out.push(sign);
        out.extend([zero, digits]);
    }
}

mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{:016x}", x.to_bits()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        let text = String::deserialize(d)?;
        u64::from_str_radix(&text, 16).map(f64::from_bits).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (x, text) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (9_007_199_254_740_993e0, "9007199254740992.0"),
            (0.0001, "0.0001"),
            (0.000_123_456_789, "0.000123456789"),
            (1.5e-7, "1.5e-07"),
            (1e-300, "1e-300"),
            (123_456_789.123, "123456789.123"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(Value::Float(x).to_string(), text);
        }
    }

    #[test]
    fn same_bits_tells_signed_zeros_apart_and_nan_equal_to_itself() {
        assert!(!Value::Float(0.0).same_bits(&Value::Float(-0.0)));
        assert!(Value::Float(f64::NAN).same_bits(&Value::Float(f64::NAN)));
        assert!(!Value::Int(1).same_bits(&Value::Float(1.0)));
    }

    #[test]
    fn json_round_trip_keeps_every_bit() {
        let value = Value::Float(f64::from_bits(0x7ff8_0000_0000_0123));
        let text = serde_json::to_string(&value).expect("serialises");
        let back: Value = serde_json::from_str(&text).expect("parses");
        assert!(back.same_bits(&value));
    }
}
