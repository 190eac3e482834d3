//! Positions, what long curves keep, and where the crosshair goes.

use proptest::prelude::*;

use super::*;
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;
use crate::model::verdict::Verdict;
use crate::tui::app::fixture::{give_curves, give_grid, nested, plot, press, with_nested};
use crate::tui::app::plot::curves::curves;

fn of(grid: &Grid, axis: Option<&str>) -> Curves {
    let wanted = Wanted { column: Column::Name(0), axis: axis.map(str::to_owned) };
    curves(grid, None, &wanted, &|| false).expect("curves")
}

fn xs(curve: &Curve) -> Vec<f64> {
    curve.points.iter().map(|p| p.x).collect()
}

/// One run of one loop with these values.
fn flat(values: &[f64]) -> Grid {
    let rows = i64::try_from(values.len()).expect("few");
    let cell = |x: &f64| Cell::Value { value: Value::Float(*x), verdict: Verdict::Recorded };
    Grid {
        runs: vec!["0000000001".parse().expect("an id")],
        rows_run: vec![0; values.len()],
        loops: vec![LoopColumn { name: "step".into(), index: (0..rows).collect(), values: None }],
        names: vec![NameColumn { name: "loss".into(), cells: values.iter().map(cell).collect() }],
        notes: Vec::new(),
    }
}

#[test]
fn nested_values_stand_at_their_step_of_the_whole_run() {
    let curves = of(&nested(), None);
    assert_eq!((curves.loops.join(" "), curves.axis), ("epoch step".into(), 1));
    assert_eq!(xs(&curves.curves[0]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    // The second run has four steps an epoch.
    assert_eq!(xs(&curves.curves[1]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn an_outer_loop_counts_its_inner_steps_as_fractions() {
    let curves = of(&nested(), Some("epoch"));
    assert_eq!(xs(&curves.curves[1]), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]);
}

#[test]
fn a_filter_does_not_move_what_it_leaves() {
    let wanted = Wanted { column: Column::Name(0), axis: None };
    let order = Arc::new(vec![5, 2]);
    let curves = curves(&nested(), Some(&order), &wanted, &|| false).expect("curves");
    assert_eq!(xs(&curves.curves[0]), [2.0, 5.0]);
}

#[test]
fn what_is_no_finite_number_is_counted_and_left_out_of_the_range() {
    let curves = of(&flat(&[1.0, f64::NAN, f64::INFINITY, -2.0, f64::NEG_INFINITY, 0.0]), None);
    let curve = &curves.curves[0];
    assert_eq!((curve.counts.nan, curve.counts.infinite, curve.counts.not_positive), (1, 2, 2));
    assert_eq!((curve.range, curve.positive), (Some((-2.0, 1.0)), Some((1.0, 1.0))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_extreme_of_a_long_curve_is_thinned_away(
        rows in 8_000_usize..40_000,
        spikes in prop::collection::vec((0_usize..40_000, prop::sample::select(vec![1e9, -1e9, f64::NAN, f64::INFINITY])), 1..12),
    ) {
        let mut values: Vec<f64> = (0..rows).map(|i| (f64::from(u32::try_from(i).expect("few")) / 50.0).sin()).collect();
        for (at, spike) in &spikes {
            values[at % rows] = *spike;
        }
        let curves = of(&flat(&values), None);
        let curve = &curves.curves[0];
        prop_assert!(curve.drawn.is_sorted_by(|a, b| a.x <= b.x));
        prop_assert!(curve.drawn.len() <= 2048 * 10);
        let kinds = |points: &[Point]| {
            let any = |wanted: fn(&Point) -> bool| points.iter().any(wanted);
            [any(|p| p.y == 1e9), any(|p| p.y == -1e9), any(|p| p.y.is_nan()), any(|p| p.y == f64::INFINITY)]
        };
        prop_assert_eq!(kinds(&curve.drawn), kinds(&curve.points));
    }
}

#[test]
fn a_hidden_run_no_longer_counts_for_the_scale_nor_stops_the_crosshair() {
    let mut app = with_nested(80, 24);
    plot(&mut app);
    press(&mut app, "j ");
    let plot = app.results.plot.as_ref().expect("a plot");
    assert_eq!(plot.shown().map(|(_, c)| c.run.as_str()).collect::<Vec<_>>(), ["0000000001"]);
    press(&mut app, "llllllll");
    assert_eq!(crosshair(&app).0, 5.0);
    press(&mut app, " ");
    assert_eq!(app.results.plot.as_ref().expect("a plot").shown().count(), 2);
}

fn crosshair(app: &App) -> (f64, usize) {
    let plot = app.results.plot.as_ref().expect("a plot");
    (plot.at, plot.legend.selected)
}

#[test]
fn the_crosshair_starts_at_the_row_and_enter_goes_back_to_where_it_went() {
    let mut app = with_nested(80, 24);
    press(&mut app, "jj");
    plot(&mut app);
    assert_eq!(crosshair(&app), (2.0, 0));
    press(&mut app, "l\n");
    assert!(app.results.plot.is_none());
    assert_eq!(app.results.cursor.selected, 3);
}

#[test]
fn the_crosshair_stops_at_both_ends_and_keeps_its_row_when_the_axis_changes() {
    let mut app = with_nested(80, 24);
    plot(&mut app);
    press(&mut app, "hh");
    assert_eq!(crosshair(&app).0, 0.0);
    press(&mut app, "$ll");
    assert_eq!(crosshair(&app).0, 7.0);
    press(&mut app, "hh");
    assert_eq!(crosshair(&app).0, 5.0);
    press(&mut app, "j");
    let effects = press(&mut app, "x");
    give_curves(&mut app, &effects);
    assert_eq!(crosshair(&app), (1.25, 1));
}

#[test]
fn columns_change_under_the_plot_and_the_old_one_stays_until_the_new_is_there() {
    let mut app = with_nested(80, 24);
    plot(&mut app);
    let effects = press(&mut app, "\t");
    let shown = |app: &App| app.results.plot.as_ref().and_then(|p| p.curves.clone()).expect("curves").title.clone();
    assert_eq!(shown(&app), "loss");
    give_curves(&mut app, &effects);
    assert_eq!(shown(&app), "acc");
}

#[test]
fn one_point_a_constant_and_nothing_at_all_can_be_moved_over() {
    for values in [&[0.5][..], &[2.0, 2.0, 2.0], &[f64::NAN], &[]] {
        let mut app = crate::tui::app::fixture::app(80, 24);
        let effects = press(&mut app, "3");
        give_grid(&mut app, &effects, flat(values));
        plot(&mut app);
        press(&mut app, "hl$0jk");
        assert!(!crosshair(&app).0.is_nan());
    }
}
