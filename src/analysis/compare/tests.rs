//! Partings on small grids, and against a naive search on random ones.

use proptest::prelude::*;

use super::*;
use crate::model::grid::{LoopColumn, NameColumn};

fn run(number: u32) -> RunId {
    format!("{number:010}").parse().expect("an id")
}

/// Rows as run, epoch, step and the bits of a value, in the pivot's order.
fn grid(rows: &[(u32, i64, i64, Option<f64>)]) -> Grid {
    let cell = |value: &Option<f64>| match value {
        Some(x) => Cell::Value { value: Value::Float(*x), verdict: Verdict::Recorded },
        None => Cell::Empty,
    };
    Grid {
        runs: vec![run(0), run(1)],
        rows_run: rows.iter().map(|row| row.0).collect(),
        loops: vec![
            LoopColumn { name: "epoch".into(), index: rows.iter().map(|row| row.1).collect(), values: None },
            LoopColumn { name: "step".into(), index: rows.iter().map(|row| row.2).collect(), values: None },
        ],
        names: vec![NameColumn { name: "loss".into(), cells: rows.iter().map(|row| cell(&row.3)).collect() }],
        notes: Vec::new(),
    }
}

fn compared(grid: &Grid, tolerance: Option<f64>) -> Comparison {
    compare(grid, [&run(0), &run(1)], tolerance, &|| false).expect("both runs")
}

#[test]
fn the_first_position_that_differs_in_a_bit_and_the_first_beyond_the_tolerance_are_found() {
    let near = f64::from_bits(0.5_f64.to_bits() + 1);
    let grid = grid(&[
        (0, 0, 0, Some(1.0)),
        (0, 0, 1, Some(0.5)),
        (0, 1, 0, Some(0.25)),
        (0, 1, 1, Some(0.1)),
        (1, 0, 0, Some(1.0)),
        (1, 0, 1, Some(near)),
        (1, 1, 0, Some(0.3)),
    ]);
    let found = compared(&grid, Some(1e-6));
    let loss = &found.columns[0];
    assert_eq!((loss.common, loss.differing, loss.only), (3, 2, [1, 0]));
    assert_eq!(loss.first.as_ref().expect("a bit").position, "epoch=0/step=1");
    assert_eq!(loss.beyond.as_ref().expect("more").position, "epoch=1/step=0");
    assert_eq!(found.first().expect("a parting").1.position, "epoch=1/step=0");
    assert_eq!(compared(&grid, None).first().expect("a parting").1.position, "epoch=0/step=1");
    assert_eq!(compared(&grid, Some(0.1)).first(), None);
}

#[test]
fn nan_parts_from_numbers_but_not_from_itself_and_zeros_differ_by_their_sign_alone() {
    let of = |a, b, tolerance| {
        let grid = grid(&[(0, 0, 0, Some(a)), (1, 0, 0, Some(b))]);
        compared(&grid, tolerance).first().is_some()
    };
    assert!(!of(f64::NAN, f64::NAN, None) && of(f64::NAN, 1.0, Some(1e9)) && of(1.0, f64::NAN, None));
    assert!(of(0.0, -0.0, None) && !of(0.0, -0.0, Some(0.0)));
    assert!(!of(f64::INFINITY, f64::INFINITY, Some(0.0)) && of(f64::INFINITY, 1.0, Some(1e-3)));
    assert!(!of(1e9, 1e9 + 1.0, Some(1e-6)), "of large numbers a share counts");
}

#[test]
fn names_come_in_the_order_in_which_they_part_and_the_equal_ones_last() {
    let mut grid = grid(&[(0, 0, 0, Some(1.0)), (0, 1, -1, Some(2.0)), (1, 0, 0, Some(1.0)), (1, 1, -1, Some(3.0))]);
    let with = |name: &str, values: [f64; 4]| {
        let cell = |x| Cell::Value { value: Value::Float(x), verdict: Verdict::Recorded };
        NameColumn { name: name.into(), cells: values.map(cell).into() }
    };
    grid.names.insert(0, with("same", [1.0, 2.0, 1.0, 2.0]));
    grid.names.push(with("early", [1.0, 2.0, 1.5, 2.0]));
    let names: Vec<String> = compared(&grid, None).columns.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["early", "loss", "same"]);
}

#[test]
fn a_run_that_is_not_there_is_compared_with_nothing() {
    let grid = grid(&[(0, 0, 0, Some(1.0))]);
    assert_eq!(compare(&grid, [&run(0), &run(7)], None, &|| false), None);
    assert_eq!(compare(&grid, [&run(0), &run(1)], None, &|| true), None, "nobody waits");
    assert_eq!(beside(&grid, [&run(7), &run(0)]), None);
}

#[test]
fn beside_each_other_stand_both_values_and_their_difference() {
    let grid = grid(&[
        (0, 0, 0, Some(1.0)),
        (0, 0, 1, Some(0.5)),
        (1, 0, 0, Some(1.0)),
        (1, 0, 1, Some(0.75)),
        (1, 1, 0, Some(0.25)),
    ]);
    let grid = beside(&grid, [&run(0), &run(1)]).expect("both runs");
    let text = |name: usize| -> Vec<String> {
        let value = |cell: &Cell| value_of(cell).map_or("·".to_owned(), |(value, _)| value.to_string());
        grid.names[name].cells.iter().map(value).collect()
    };
    assert_eq!(grid.names.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["loss A", "loss B", "loss B-A"]);
    assert_eq!((text(0).join(" "), text(1).join(" ")), ("1.0 0.5 ·".into(), "1.0 0.75 0.25".into()));
    assert_eq!(text(2), ["0", "0.25", "·"]);
    assert_eq!(grid.loops[0].index, [0, 0, 1]);
}

#[test]
fn a_difference_to_a_value_that_diverged_is_marked_as_diverged() {
    let mut grid = grid(&[(0, 0, 0, Some(1.0)), (1, 0, 0, Some(1.0))]);
    grid.names[0].cells[1] = Cell::differs(Value::Float(1.0), Value::Float(1.5));
    let pair = beside(&grid, [&run(0), &run(1)]).expect("both runs");
    assert_eq!(pair.names[2].cells, [Cell::Value { value: Value::Float(0.5), verdict: Verdict::Diverged }]);
}

proptest! {
    #[test]
    fn any_two_runs_part_where_a_naive_search_finds_it(
        a in prop::collection::btree_map((0_i64..4, 0_i64..4), 0_u8..3, 0..14),
        b in prop::collection::btree_map((0_i64..4, 0_i64..4), 0_u8..3, 0..14),
    ) {
        let rows = |run, values: &std::collections::BTreeMap<(i64, i64), u8>| -> Vec<_> {
            values.iter().map(|((epoch, step), x)| (run, *epoch, *step, Some(f64::from(*x)))).collect()
        };
        let grid = grid(&[rows(0, &a), rows(1, &b)].concat());
        let naive = a.iter().find(|(at, x)| b.get(at).is_some_and(|other| other != *x)).map(|(at, _)| *at);
        let found = compared(&grid, None);
        let found = found.first().map(|(_, parting)| (parting.at[0], parting.at[1]));
        prop_assert_eq!(found, naive);
    }
}
