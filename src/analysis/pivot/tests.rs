//! The pivot against examples, and against a naive model on random input.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Awaited, LoopValues, Origin, PivotInput, Place, Series, Trust, pivot};
use crate::base::ids::RunId;
use crate::model::column::Column;
use crate::model::grid::{Cell, Grid};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

fn column(path: &[&str], rows: &[(&[u64], f64)]) -> Column {
    let mut column = Column::under(path.iter().map(|s| (*s).to_owned()).collect());
    for (position, value) in rows {
        column.push(position, Value::Float(*value));
    }
    column
}

fn recorded(run: usize, name: usize, path: &[&str], rows: &[(&[u64], f64)]) -> Series {
    Series { run, name, origin: Origin::Recorded, column: column(path, rows) }
}

fn replayed(order: u64, probe: &str, verdict: Verdict, name: usize, rows: &[(&[u64], f64)]) -> Series {
    let origin = Origin::Replayed { probe: probe.into(), order, trust: Trust::all(verdict) };
    Series { run: 0, name, origin, column: column(&["epoch"], rows) }
}

fn input(runs: usize, names: &[&str], series: Vec<Series>) -> PivotInput {
    let runs = (0..runs).map(|i| format!("{i:010}").parse().expect("an id")).collect::<Vec<RunId>>();
    PivotInput { runs, names: names.iter().map(|s| (*s).to_owned()).collect(), series, ..PivotInput::default() }
}

/// One line a row: run, loop indices, cells.
fn lines(grid: &Grid) -> Vec<String> {
    let cell = |cell: &Cell| match cell {
        Cell::Empty => "·".into(),
        Cell::Pending => "…".into(),
        Cell::Failed => "✗".into(),
        Cell::Value { value, verdict: Verdict::Recorded } => value.to_string(),
        Cell::Value { value, verdict } => format!("{value}:{}", verdict.word()),
        Cell::Differs(both) => format!("{}≠{}", both.recorded, both.replayed),
    };
    (0..grid.len())
        .map(|row| {
            let loops = grid.loops.iter().map(|l| l.index[row].to_string());
            let cells = grid.names.iter().map(|n| cell(&n.cells[row]));
            std::iter::once(grid.rows_run[row].to_string()).chain(loops).chain(cells).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn rows_stand_by_run_then_position_with_shallow_before_deep() {
    let grid = pivot(input(
        2,
        &["loss", "acc"],
        vec![
            recorded(1, 0, &["epoch", "step"], &[(&[0, 0], 9.0)]),
            recorded(0, 0, &["epoch", "step"], &[(&[0, 0], 1.0), (&[0, 1], 2.0), (&[1, 0], 3.0)]),
            recorded(0, 1, &["epoch"], &[(&[0], 0.5), (&[1], 0.6)]),
            recorded(0, 1, &[], &[(&[], 0.7)]),
        ],
    ));
    assert_eq!(grid.loops.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["epoch", "step"]);
    assert_eq!(
        lines(&grid),
        ["0 -1 -1 · 0.7", "0 0 -1 · 0.5", "0 0 0 1.0 ·", "0 0 1 2.0 ·", "0 1 -1 · 0.6", "0 1 0 3.0 ·", "1 0 0 9.0 ·"]
    );
}

#[test]
fn what_is_logged_again_at_a_position_makes_further_rows() {
    let series = vec![
        recorded(0, 0, &["epoch"], &[(&[0], 1.0), (&[0], 2.0), (&[1], 3.0)]),
        recorded(0, 1, &["epoch"], &[(&[0], 5.0)]),
    ];
    assert_eq!(lines(&pivot(input(1, &["a", "b"], series))), ["0 0 1.0 5.0", "0 0 2.0 ·", "0 1 3.0 ·"]);
}

#[test]
fn recorded_wins_differences_show_and_the_newest_probe_counts() {
    let series = vec![
        recorded(0, 0, &["epoch"], &[(&[0], 1.0), (&[1], 2.0)]),
        replayed(1, "p", Verdict::Diverged, 0, &[(&[0], 1.0), (&[1], 2.5)]),
        replayed(1, "old", Verdict::Verified, 1, &[(&[0], 7.0)]),
        replayed(2, "new", Verdict::Unverified, 1, &[(&[1], 8.0)]),
        replayed(3, "new", Verdict::Verified, 1, &[(&[1], 9.0)]),
    ];
    assert_eq!(lines(&pivot(input(1, &["loss", "norm"], series))), ["0 0 1.0 ·", "0 1 2.0≠2.5 9.0:verified"]);
}

#[test]
fn awaited_places_are_marked_only_where_nothing_is_known() {
    let mut input = input(
        1,
        &["loss", "norm"],
        vec![
            recorded(0, 0, &["epoch", "step"], &[(&[0, 0], 1.0), (&[1, 0], 2.0), (&[1, 1], 3.0)]),
            replayed(1, "p", Verdict::Verified, 1, &[(&[0], 7.0)]),
        ],
    );
    let at = |place| Awaited { run: 0, name: 1, place, failed: false };
    let main = || "epoch".to_owned();
    input.awaited = vec![
        at(Place::Iteration { main: main(), index: 0 }),
        at(Place::Within { main: main(), index: 1 }),
        Awaited { failed: true, ..at(Place::Iteration { main: main(), index: 2 }) },
        at(Place::Root),
    ];
    assert_eq!(
        lines(&pivot(input)),
        ["0 -1 -1 · …", "0 0 -1 · 7.0:verified", "0 0 0 1.0 ·", "0 1 0 2.0 …", "0 1 1 3.0 …", "0 2 -1 · ✗"]
    );
}

#[test]
fn loop_values_stand_beside_their_index() {
    let mut input = input(1, &["loss"], vec![recorded(0, 0, &["lr", "step"], &[(&[0, 0], 1.0), (&[1, 0], 2.0)])]);
    input.loop_values = vec![LoopValues { run: 0, column: column(&["lr"], &[(&[0], 0.1), (&[1], 0.01)]) }];
    let grid = pivot(input);
    assert_eq!(grid.loops[0].values, Some(vec![Some(Value::Float(0.1)), Some(Value::Float(0.01))]));
    assert_eq!(grid.loops[1].values, None);
}

#[test]
fn loops_merge_into_one_order_over_runs() {
    let grid = pivot(input(
        3,
        &["x"],
        vec![
            recorded(0, 0, &["step"], &[(&[0], 1.0)]),
            recorded(1, 0, &["epoch", "step"], &[(&[0, 0], 1.0)]),
            recorded(2, 0, &["epoch", "fold", "step"], &[(&[0, 0, 0], 1.0)]),
        ],
    ));
    assert_eq!(grid.loops.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["epoch", "fold", "step"]);
}

/// `(name, path, indices, value)`: one log call.
type Call = (usize, usize, (u64, u64), f64);
const PATHS: [&[&str]; 5] = [&[], &["a"], &["b"], &["a", "b"], &["b", "a"]];

fn naive(calls: &[Call], loops: &[String]) -> Vec<String> {
    let mut rows: BTreeMap<(Vec<i64>, usize, u64), BTreeMap<usize, f64>> = BTreeMap::new();
    let mut seen: BTreeMap<(usize, usize, Vec<i64>), u64> = BTreeMap::new();
    for (name, path, indices, value) in calls {
        let mut key = vec![-1; loops.len()];
        for (name, index) in PATHS[*path].iter().zip([indices.0, indices.1]) {
            let slot = loops.iter().position(|l| l == name).expect("a column for every loop");
            key[slot] = i64::try_from(index).expect("small");
        }
        let contrary = PATHS[*path].len() == 2
            && loops.iter().position(|l| l == PATHS[*path][0]) > loops.iter().position(|l| l == PATHS[*path][1]);
        // The same position by two paths is two rows.
        let variant = usize::from(contrary);
        let occurrence = seen.entry((*name, *path, key.clone())).or_default();
        rows.entry((key, variant, *occurrence)).or_default().insert(*name, *value);
        *occurrence += 1;
    }
    let cell =
        |row: &BTreeMap<usize, f64>, name| row.get(&name).map_or("·".to_owned(), |x| Value::Float(*x).to_string());
    rows.iter()
        .map(|((key, _, _), row)| {
            let loops = key.iter().map(i64::to_string);
            std::iter::once("0".to_owned())
                .chain(loops)
                .chain((0..2).map(|name| cell(row, name)))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

proptest! {
    #[test]
    fn any_order_of_log_calls_gives_the_rows_of_the_naive_model(
        calls in proptest::collection::vec((0..2_usize, 0..5_usize, (0..3_u64, 0..3_u64), -5.0..5.0), 0..60)
    ) {
        let calls: Vec<Call> = calls;
        let mut columns: BTreeMap<(usize, usize), Column> = BTreeMap::new();
        for (name, path, indices, value) in &calls {
            let fresh = || Column::under(PATHS[*path].iter().map(|s| (*s).to_owned()).collect());
            columns.entry((*name, *path)).or_insert_with(fresh).push(&[indices.0, indices.1], Value::Float(*value));
        }
        let series = columns.into_iter().map(|((name, _), column)| Series { run: 0, name, origin: Origin::Recorded, column });
        let grid = pivot(input(1, &["x", "y"], series.collect()));
        let loops: Vec<String> = grid.loops.iter().map(|l| l.name.clone()).collect();
        prop_assert_eq!(lines(&grid), naive(&calls, &loops));
    }
}

#[test]
fn iterations_that_nothing_bears_out_are_unverified_among_verified_ones() {
    let mut series = replayed(1, "p", Verdict::Verified, 0, &[(&[0], 1.0), (&[1], 2.0), (&[2], 3.0)]);
    let trust = Trust { verdict: Verdict::Verified, main: Some("epoch".into()), unproven: vec![(1, 1)] };
    series.origin = Origin::Replayed { probe: "p".into(), order: 1, trust: trust.clone() };
    let grid = pivot(input(1, &["norm"], vec![series]));
    assert_eq!(lines(&grid), ["0 0 1.0:verified", "0 1 2.0:unverified", "0 2 3.0:verified"]);
    assert_eq!(trust.verdict_at(|| None), Verdict::Unverified);
    let diverged = Trust { verdict: Verdict::Diverged, ..trust };
    assert_eq!(diverged.verdict_at(|| Some(("epoch", 1))), Verdict::Diverged);
}
