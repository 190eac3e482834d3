//! The deferred check of a segment: every value that it logged again against what the run recorded there.

use std::collections::{HashMap, HashSet};

use crate::engine::Error;
use crate::model::column::Column;
use crate::model::job::{CheckReport, Difference};
use crate::model::position::{Position, Step};
use crate::store::db::{Db, SegmentRow};

/// Compares the values of a segment with its run's. Names that the run never logged are what the replay is for and
/// compare with nothing.
pub(super) fn values(db: &Db, segment: &SegmentRow) -> Result<CheckReport, Error> {
    let mut report = CheckReport::default();
    for name in db.names(&segment.source())? {
        let recorded = db.columns(segment.run.as_str(), false, &name)?;
        if recorded.is_empty() {
            continue;
        }
        for replayed in db.columns(&segment.source(), false, &name)? {
            let known = recorded.iter().find(|column| column.loops == replayed.loops);
            compare(&name, known, &replayed, &mut report);
        }
    }
    Ok(report)
}

fn compare(name: &str, recorded: Option<&Column>, replayed: &Column, report: &mut CheckReport) {
    // Only the part of the record that the segment executed is looked at: records are long, segments short.
    let outermost: HashSet<u64> = replayed.indices.first().into_iter().flatten().copied().collect();
    let mut rows: HashMap<Vec<u64>, Vec<usize>> = HashMap::new();
    for row in 0..recorded.map_or(0, Column::len) {
        let Some(recorded) = recorded else { continue };
        if recorded.indices.first().is_none_or(|indices| outermost.contains(&indices[row])) {
            rows.entry(position(recorded, row)).or_default().push(row);
        }
    }
    let mut seen: HashMap<Vec<u64>, usize> = HashMap::new();
    for row in 0..replayed.len() {
        let at = position(replayed, row);
        let occurrence = seen.entry(at.clone()).or_default();
        let known = rows.get(&at).and_then(|rows| rows.get(*occurrence));
        *occurrence += 1;
        let known = known.zip(recorded).map(|(row, column)| column.values.get(*row));
        let value = replayed.values.get(row);
        if known.as_ref().is_some_and(|known| known.same_bits(&value)) {
            report.equal_values += 1;
        } else if report.first_difference.is_none() {
            let step = |(name, index): (&String, u64)| Step { name: name.clone(), index };
            let position = Position(replayed.loops.iter().zip(at).map(step).collect());
            let name = name.to_owned();
            report.first_difference = Some(Difference { name, position, recorded: known, replayed: Some(value) });
        }
    }
}

fn position(column: &Column, row: usize) -> Vec<u64> {
    column.indices.iter().map(|indices| indices[row]).collect()
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::model::column::Column;
    use crate::model::job::CheckReport;
    use crate::model::value::Value;

    fn column(rows: &[(u64, f64)]) -> Column {
        let mut column = Column::under(vec!["epoch".into()]);
        rows.iter().for_each(|(index, value)| column.push(&[*index], Value::Float(*value)));
        column
    }

    #[test]
    fn the_first_value_that_differs_is_named_and_equal_ones_are_counted() {
        let recorded = column(&[(0, 1.0), (1, 2.0), (1, 2.5), (2, 3.0)]);
        let mut report = CheckReport::default();
        compare("loss", Some(&recorded), &column(&[(1, 2.0), (1, 2.5), (2, -3.0)]), &mut report);
        assert_eq!(report.equal_values, 2);
        let difference = report.first_difference.expect("a difference");
        assert_eq!((difference.name.as_str(), difference.position.to_string().as_str()), ("loss", "epoch=2"));
        assert_eq!((difference.recorded, difference.replayed), (Some(Value::Float(3.0)), Some(Value::Float(-3.0))));
    }
}
