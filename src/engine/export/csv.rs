//! CSV as of RFC 4180, with `\n` line ends.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;

use super::{columns, run_id, verdict_word};
use crate::model::grid::Grid;
use crate::model::value::Value;

/// Rows written at a time by one thread.
const PIECE: usize = 16_384;

/// A grid with a header line. With `verdicts`, a `NAME_verdict` column follows each name.
pub fn to_csv(grid: &Grid, verdicts: bool) -> String {
    csv_unless(grid, verdicts, &|| false).unwrap_or_default()
}

/// As [`to_csv`]; `None` when nobody waits for it any more.
pub fn csv_unless(grid: &Grid, verdicts: bool, outdated: &(dyn Fn() -> bool + Sync)) -> Option<String> {
    let header = columns(grid, verdicts);
    let mut out = header.iter().map(|name| field(name)).collect::<Vec<_>>().join(",");
    out.push('\n');
    let pieces: Option<Vec<String>> = (0..grid.len().div_ceil(PIECE))
        .into_par_iter()
        .map(|piece| {
            let piece = piece * PIECE..((piece + 1) * PIECE).min(grid.len());
            (!outdated()).then(|| rows(grid, piece, verdicts))
        })
        .collect();
    let pieces = pieces?;
    out.reserve_exact(pieces.iter().map(String::len).sum());
    pieces.iter().for_each(|piece| out.push_str(piece));
    Some(out)
}

fn rows(grid: &Grid, rows: Range<usize>, verdicts: bool) -> String {
    // A float takes up to 24 bytes, an index seldom more than 7.
    let mut out = String::with_capacity(64 + rows.len() * (12 + 8 * grid.loops.len() + 22 * grid.names.len()));
    for row in rows {
        out.push_str(run_id(grid, row));
        for column in &grid.loops {
            out.push(',');
            push_index(&mut out, column.index[row]);
            if let Some(values) = &column.values {
                out.push(',');
                push_value(&mut out, values[row].as_ref());
            }
        }
        for name in &grid.names {
            let cell = &name.cells[row];
            out.push(',');
            push_value(&mut out, cell.recorded());
            if verdicts {
                out.push(',');
                out.push_str(verdict_word(cell));
            }
        }
        out.push('\n');
    }
    out
}

/// A field, quoted where it must be.
pub fn field(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

/// Nothing for −1: the row lies outside this loop. `write!` would take most of a large export's time.
fn push_index(out: &mut String, index: i64) {
    const DIGITS: [char; 10] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
    let Ok(index) = u64::try_from(index) else { return };
    let mut scale = 1_u64;
    while index / scale >= 10 {
        scale *= 10;
    }
    while scale > 0 {
        let digit = index / scale % 10;
        out.push(usize::try_from(digit).map_or('0', |digit| DIGITS[digit]));
        scale /= 10;
    }
}

fn push_value(out: &mut String, value: Option<&Value>) {
    match value {
        None | Some(Value::None) => {}
        Some(Value::Float(x)) => crate::model::value::push_float(out, *x),
        Some(Value::Text(text) | Value::Json(text) | Value::Opaque(text)) => out.push_str(&field(text)),
        // Writing to a string cannot fail.
        Some(value) => drop(write!(out, "{value}")),
    }
}
