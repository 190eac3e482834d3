//! A column's chunk as bytes: a tag, the row count, the loop indices, the values. Little-endian.

use crate::model::column::{Column, Values};
use crate::model::value::Value;

const FLOATS: u8 = 0;
const INTS: u8 = 1;
const MIXED: u8 = 2;

pub(super) fn encode(column: &Column) -> Vec<u8> {
    let rows = column.len();
    let mut out = Vec::with_capacity(16 + rows * 8 * (1 + column.indices.len()));
    out.push(match &column.values {
        Values::Floats(_) => FLOATS,
        Values::Ints(_) => INTS,
        Values::Mixed(_) => MIXED,
    });
    out.extend((rows as u64).to_le_bytes());
    for indices in &column.indices {
        indices.iter().for_each(|index| out.extend(index.to_le_bytes()));
    }
    match &column.values {
        Values::Floats(values) => values.iter().for_each(|x| out.extend(x.to_bits().to_le_bytes())),
        Values::Ints(values) => values.iter().for_each(|x| out.extend(x.to_le_bytes())),
        // Serialising plain data of ours cannot fail.
        Values::Mixed(values) => out.extend(serde_json::to_vec(values).unwrap_or_default()),
    }
    out
}

/// The column under `loops` that these bytes hold, or `None` where they hold none.
pub(super) fn decode(loops: Vec<String>, bytes: &[u8]) -> Option<Column> {
    let (tag, rest) = bytes.split_first()?;
    let (rows, mut rest) = rest.split_first_chunk::<8>()?;
    let rows = usize::try_from(u64::from_le_bytes(*rows)).ok()?;
    let mut indices = Vec::with_capacity(loops.len());
    for _ in &loops {
        let (words, tail) = rest.split_at_checked(rows.checked_mul(8)?)?;
        indices.push(numbers(words, u64::from_le_bytes));
        rest = tail;
    }
    let values = match *tag {
        FLOATS => Values::Floats(numbers(rest, |b| f64::from_bits(u64::from_le_bytes(b)))),
        INTS => Values::Ints(numbers(rest, i64::from_le_bytes)),
        MIXED => Values::Mixed(serde_json::from_slice::<Vec<Value>>(rest).ok()?),
        _ => return None,
    };
    (values.len() == rows).then_some(Column { loops, indices, values })
}

fn numbers<T>(bytes: &[u8], from: impl Fn([u8; 8]) -> T) -> Vec<T> {
    bytes.as_chunks::<8>().0.iter().map(|word| from(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::model::column::Column;
    use crate::model::value::Value;

    #[test]
    fn a_column_comes_back_with_every_bit_and_damage_is_refused() {
        for values in [
            vec![Value::Float(f64::NAN), Value::Float(-0.0)],
            vec![Value::Int(i64::MIN), Value::Int(3)],
            vec![Value::Text("a".into()), Value::Float(f64::INFINITY), Value::None],
        ] {
            let mut column = Column::under(vec!["epoch".into(), "step".into()]);
            for (at, value) in (0..).zip(&values) {
                column.push(&[at, 7], value.clone());
            }
            let bytes = encode(&column);
            let back = decode(column.loops.clone(), &bytes).expect("decodes");
            assert!((0..values.len()).all(|at| back.values.get(at).same_bits(&values[at])));
            assert_eq!(back.indices, column.indices);
            for end in 0..bytes.len() {
                assert_eq!(decode(column.loops.clone(), &bytes[..end]), None);
            }
        }
    }
}
