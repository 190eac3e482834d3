//! Tests of grid computations, on a small grid with every kind of cell.

use super::*;
use crate::base::ids::RunId;
use crate::model::verdict::Verdict;

pub(crate) fn value(x: f64, verdict: Verdict) -> Cell {
    Cell::Value { value: Value::Float(x), verdict }
}

/// Two runs of three epochs: `loss` recorded, `norm` replayed with every outcome.
pub(crate) fn small() -> Grid {
    let runs: Vec<RunId> = ["0000000001", "0000000002"].map(|id| id.parse().expect("an id")).into();
    Grid {
        runs,
        rows_run: vec![0, 0, 0, 1, 1, 1],
        loops: vec![LoopColumn { name: "epoch".into(), index: vec![0, 1, 2, 0, 1, 2], values: None }],
        names: vec![
            NameColumn {
                name: "loss".into(),
                cells: [0.9, 0.5, 0.25, 0.8, f64::NAN, 0.5].map(|x| value(x, Verdict::Recorded)).into(),
            },
            NameColumn {
                name: "norm".into(),
                cells: vec![
                    value(1.5, Verdict::Verified),
                    value(2.25, Verdict::Unverified),
                    Cell::differs(Value::Float(3.0), Value::Float(3.5)),
                    Cell::Pending,
                    Cell::Failed,
                    Cell::Empty,
                ],
            },
        ],
        notes: Vec::new(),
    }
}

fn order(arrangement: &Arrangement) -> Vec<u32> {
    arrange(&small(), arrangement, &|| false).expect("arranged").order.expect("arranged").to_vec()
}

#[test]
fn sorting_keeps_rows_without_a_value_at_the_end_in_both_directions() {
    let sorted = |direction| order(&Arrangement { sort: vec![("norm".into(), direction)], ..Arrangement::default() });
    assert_eq!(sorted(Direction::Ascending), [0, 1, 2, 3, 4, 5]);
    assert_eq!(sorted(Direction::Descending), [2, 1, 0, 3, 4, 5]);
}

#[test]
fn rows_without_a_value_are_left_out_but_not_those_that_are_to_have_one() {
    let valued = |column: &str| Arrangement { valued: Some(column.into()), ..Arrangement::default() };
    assert_eq!(order(&valued("norm")), [0, 1, 2, 3, 4], "being replayed and failed ones can be looked at");
    let sort = vec![("loss".into(), Direction::Ascending)];
    assert_eq!(order(&Arrangement { sort, ..valued("norm") }), [2, 1, 3, 0, 4]);
    let mut outside = small();
    outside.loops[0].index[3] = -1;
    let order = arrange(&outside, &valued("epoch"), &|| false).expect("arranged").order.expect("some rows");
    assert_eq!(*order, [0, 1, 2, 4, 5]);
    assert_eq!(arrange(&outside, &valued("gone"), &|| false).expect("arranged").order, None);
}

#[test]
fn filters_name_columns_and_loops() {
    let filtered = |text: &str| {
        order(&Arrangement { filter: RowFilter::parse(text, &small(), &[]).expect("parses"), ..Arrangement::default() })
    };
    assert_eq!(filtered("loss<=0.5 and epoch>1"), [2, 5]);
    assert_eq!(filtered("run:02"), [3, 4, 5]);
    assert_eq!(filtered("norm>0"), [0, 1, 2]);
}

#[test]
fn the_filter_is_the_language_of_conditions_and_its_short_form() {
    let runs = [crate::tui::app::fixture::run(1, crate::model::run::RunStatus::Failed)];
    let rows = |text: &str| {
        let filter = RowFilter::parse(text, &small(), &runs).unwrap_or_else(|error| panic!("{text}: {error}"));
        order(&Arrangement { filter, ..Arrangement::default() })
    };
    assert_eq!(rows("loss < 0.3 or norm is null"), [2, 3, 4, 5]);
    assert_eq!(rows("not (epoch in (0, 1)) and loss is not null"), [2, 5]);
    assert_eq!(rows("status = 'failed' and lr > 0.01"), [0, 1, 2]);
    assert_eq!(rows("run:02 loss<=0.5"), [5]);
    assert_eq!(rows("0.25"), [2]);
    let wrong = |text: &str| RowFilter::parse(text, &small(), &runs).expect_err("wrong");
    assert!(wrong("loss < 0.3 or").starts_with("column 14: "), "{}", wrong("loss < 0.3 or"));
    assert!(wrong("epoch > 1 and los < 3").starts_with("column 15: "), "{}", wrong("epoch > 1 and los < 3"));
    assert!(wrong("los<3").contains("did you mean loss"), "{}", wrong("los<3"));
}

#[test]
fn hunting_finds_text_past_the_end_and_other_values_only_ahead() {
    let grid = small();
    let hunt_for = |from, backwards, target| {
        let columns = vec![Column::Name(0)];
        hunt(&grid, None, &Hunt { from, backwards, target, columns }, &|| false).map(|found| (found.row, found.wrapped))
    };
    assert_eq!(hunt_for(3, false, Target::Text("0.5".into())), Some((5, false)));
    assert_eq!(hunt_for(5, false, Target::Text("0.9".into())), Some((0, true)));
    assert_eq!(hunt_for(2, true, Target::OtherValue), Some((1, false)));
    assert_eq!(hunt_for(5, false, Target::OtherValue), None);
    assert_eq!(hunt_for(0, false, Target::Text("absent".into())), None);
}

#[test]
fn statistics_count_every_kind_of_cell() {
    let statistics = statistics(&small(), None, Column::Name(1), &|| false).expect("asked for");
    assert_eq!(
        (statistics.values, statistics.empty, statistics.pending, statistics.failed, statistics.differing),
        (3, 1, 1, 1, 1)
    );
    assert_eq!(statistics.quartiles, Some([1.5, 1.5, 2.25, 2.25, 3.5]));
    let loss = super::statistics(&small(), None, Column::Name(0), &|| false).expect("asked for");
    assert_eq!((loss.nan, loss.frequent[0].clone()), (1, ("0.5".to_owned(), 2)));
}

#[test]
fn a_column_that_differs_from_its_record_counts_as_changing() {
    let mut grid = small();
    grid.names[1].cells = vec![Cell::differs(Value::Int(1), Value::Int(2)); 6];
    let arranged = arrange(&grid, &Arrangement::default(), &|| false).expect("arranged");
    assert_eq!(arranged.profiles.iter().map(|p| p.unchanged).collect::<Vec<_>>(), [false, false]);
}

#[test]
fn a_second_column_decides_where_the_first_does_not() {
    let by = |keys: &[(&str, Direction)]| {
        let sort = keys.iter().map(|(name, direction)| ((*name).to_owned(), *direction)).collect();
        order(&Arrangement { sort, ..Arrangement::default() })
    };
    assert_eq!(by(&[("epoch", Direction::Descending), ("loss", Direction::Ascending)]), [2, 5, 1, 4, 3, 0]);
    assert_eq!(by(&[("run", Direction::Descending), ("epoch", Direction::Descending)]), [5, 4, 3, 2, 1, 0]);
}

#[test]
fn what_nobody_waits_for_any_more_is_given_up() {
    let sorted = Arrangement { sort: vec![("loss".into(), Direction::Ascending)], ..Arrangement::default() };
    assert_eq!(arrange(&small(), &sorted, &|| true), None);
    assert_eq!(super::statistics(&small(), None, Column::Name(0), &|| true), None);
}

#[test]
fn a_histogram_counts_every_finite_number_once() {
    let statistics = super::statistics(&small(), None, Column::Name(0), &|| false).expect("asked for");
    assert_eq!(statistics.histogram.iter().sum::<usize>(), 5);
    assert_eq!((statistics.histogram[0], statistics.histogram[statistics::BARS - 1]), (1, 1));
}

#[test]
fn text_and_truth_values_are_told_from_numbers() {
    let mut grid = small();
    grid.names[0].cells = vec![Cell::Value { value: Value::Text("adam".into()), verdict: Verdict::Recorded }; 6];
    grid.names[1].cells = vec![Cell::Value { value: Value::Bool(true), verdict: Verdict::Recorded }; 6];
    let profiles = arrange(&grid, &Arrangement::default(), &|| false).expect("arranged").profiles;
    assert!(profiles.iter().all(|p| p.textual && p.scale.is_none()));
    let numbers = arrange(&small(), &Arrangement::default(), &|| false).expect("arranged").profiles;
    assert!(numbers.iter().all(|p| !p.textual && p.scale.is_some()));
}
