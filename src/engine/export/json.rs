//! JSON: an array of objects, one a row. Non-finite floats are the strings "nan", "inf", "-inf".

use std::fmt::Write;

use super::{columns, run_id, verdict_word};
use crate::model::grid::Grid;
use crate::model::value::Value;

/// A grid as JSON. With `verdicts`, a `NAME_verdict` member follows each name.
pub fn to_json(grid: &Grid, verdicts: bool) -> String {
    json_unless(grid, verdicts, &|| false).unwrap_or_default()
}

/// As [`to_json`]; `None` when nobody waits for it any more.
pub fn json_unless(grid: &Grid, verdicts: bool, outdated: &dyn Fn() -> bool) -> Option<String> {
    /// Rows between two looks at that.
    const STRIDE: usize = 16_384;
    let keys: Vec<String> = columns(grid, verdicts).iter().map(|name| quoted(name)).collect();
    let mut out = String::from("[");
    for row in 0..grid.len() {
        if row % STRIDE == 0 && outdated() {
            return None;
        }
        out.push_str(if row == 0 { "\n  {" } else { ",\n  {" });
        let mut members = vec![quoted(run_id(grid, row))];
        for column in &grid.loops {
            let index = column.index[row];
            members.push(if index < 0 { "null".into() } else { index.to_string() });
            members.extend(column.values.as_ref().map(|values| optional(values[row].as_ref())));
        }
        for name in &grid.names {
            members.push(optional(name.cells[row].recorded()));
            members.extend(verdicts.then(|| quoted(verdict_word(&name.cells[row]))));
        }
        for (at, (key, member)) in keys.iter().zip(&members).enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}{key}: {member}", if at == 0 { "" } else { ", " });
        }
        out.push('}');
    }
    out.push_str(if grid.is_empty() { "]\n" } else { "\n]\n" });
    Some(out)
}

fn optional(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".to_owned(), self::value)
}

/// One value as JSON text.
pub fn value(value: &Value) -> String {
    match value {
        Value::None => "null".into(),
        Value::Float(x) if !x.is_finite() => quoted(&value.to_string()),
        Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => value.to_string(),
        // NaN and Infinity, as Python writes them, are no JSON: then the text stands as a string.
        Value::Json(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.clone(),
        Value::Json(text) | Value::Text(text) | Value::Opaque(text) => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
