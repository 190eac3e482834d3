//! What conditions mean, what is said of those that mean nothing, and that printing and reading give back the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::resolve::{Known, Source, resolve};
use super::rows::{Field, filter};
use super::{Comparison, Condition, Expr, Name, Operand, Term, evaluate};
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// Evaluates a condition over one row; names of clashes behind it.
fn check(text: &str) -> (Option<bool>, Vec<String>) {
    let value = |name: &str| match name {
        "i" => Value::Int(3),
        "large" => Value::Int(9_007_199_254_740_993),
        "big" => Value::BigInt("18446744073709551617".into()),
        "x" => Value::Float(0.25),
        "bad" => Value::Float(f64::NAN),
        "yes" => Value::Bool(true),
        "tag" => Value::Text("old_run/7".into()),
        "list" => Value::Json("[1]".into()),
        _ => Value::None,
    };
    let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> = condition.expr.fields().into_iter().map(|name| name.text).collect();
    let values: Vec<Value> = names.iter().map(|name| value(name)).collect();
    let mut next = 0..;
    let bound = condition.expr.try_map(&mut |_| next.next().ok_or(())).expect("numbers");
    let mut clashes = Vec::new();
    let held = evaluate(&bound, &|at: usize| Operand::from(&values[at]), &mut |clash| {
        clashes.push(format!("{} {}/{}", names[clash.field], clash.found, clash.wanted));
    });
    (held, clashes)
}

#[test]
fn conditions_hold_do_not_hold_or_stay_open() {
    for (text, expected) in [
        ("i = 3", Some(true)),
        ("i == 3.0 and x = 25e-2", Some(true)),
        ("i <> 3", Some(false)),
        ("i > 3 or x < 1", Some(true)),
        ("not i > 3", Some(true)),
        ("i > 1 or i > 1 and i > 5", Some(true)),
        ("(i > 1 or i > 1) and i > 5", Some(false)),
        ("not i > 3 and i > 5", Some(false)),
        ("2 < i <= 3", Some(true)),
        ("2 < i < 3", Some(false)),
        ("-1 < +x", None),
        ("-1<x", Some(true)),
        ("yes", Some(true)),
        ("not yes or yes = false", Some(false)),
        ("i in (1, 2, 3.0)", Some(true)),
        ("i not in (1, 2)", Some(true)),
        ("tag in ('old_run/7')", Some(true)),
        ("tag like 'old%7'", Some(true)),
        ("tag like 'old_run_7'", Some(true)),
        (r"tag like 'old\_run/_'", Some(true)),
        (r"tag like 'old\%'", Some(false)),
        ("tag not like '%8'", Some(true)),
        ("tag LIKE '%d%n%'", Some(true)),
        ("tag > 'new'", Some(true)),
        ("list is not null", Some(true)),
        // Integers keep all their digits.
        ("large = 9007199254740992.0", Some(false)),
        ("large > 9007199254740992.0", Some(true)),
        ("i < 3.5 and i > 2.5 and i > -3.5", Some(true)),
        ("big > 18446744073709551616 and big < 18446744073709551618", Some(true)),
        ("big > 18446744073709551616.0 and big < 1e30 and big > -inf and big < inf", Some(true)),
        ("big > 9223372036854775807 and -18446744073709551617 < i", Some(true)),
        // NaN is found by its name, and lies nowhere.
        ("bad = nan", Some(true)),
        ("bad < 1 or bad >= 1 or bad = 1", Some(false)),
        ("bad != 1 and x != nan", Some(true)),
        ("x < inf and x > -inf", Some(true)),
        // What is missing leaves it open, as far as it decides.
        ("gone = 1", None),
        ("not gone = 1", None),
        ("gone = 1 or yes", Some(true)),
        ("gone = 1 and not yes", Some(false)),
        ("gone = 1 and yes", None),
        ("gone is null", Some(true)),
        ("not gone is not null", Some(true)),
        ("gone in (1, 2)", None),
        ("gone not in (1, 2)", None),
        ("gone like '%'", None),
        ("gone", None),
        ("1 < gone < 0", None),
        ("1 < i < 0 < gone", Some(false)),
    ] {
        let text = text.replace("+x", "gone");
        assert_eq!(check(&text), (expected, Vec::new()), "{text}");
    }
}

#[test]
fn a_clash_of_types_leaves_it_open_and_is_told() {
    for (text, clash) in [
        ("i = 'three'", "i a number/a text"),
        ("3 < tag", "tag a text/a number"),
        ("yes = 1", "yes true or false/a number"),
        ("i", "i a number/true or false"),
        ("i like '3'", "i a number/a text"),
        ("tag in (1)", "tag a text/a number"),
        ("list = 'a'", "list a list/a text"),
        ("i = tag", "i a number/a text"),
    ] {
        assert_eq!(check(text), (None, vec![clash.to_owned()]), "{text}");
    }
}

#[test]
fn errors_point_at_their_column() {
    for (text, column, what) in [
        ("", 1, "it is empty"),
        ("a < ", 5, "it ends where a name or a value is missing"),
        ("val_acc < 0.8 an lr > 3", 15, "after a condition stands and, or, or nothing"),
        ("a < 1 and", 10, "it ends where"),
        ("(a < 1", 1, "this ( is never closed"),
        ("(a < 1 b", 8, "and, or, or ) is missing here"),
        ("a < 1)", 6, "this ) closes nothing"),
        ("a = 'x", 5, "this ' is never closed"),
        ("a = null", 5, "nothing equals null"),
        ("a in (1, null)", 10, "nothing equals null"),
        ("a in (1, b)", 10, "in a list stand"),
        ("a in 1", 6, "after in stands a list"),
        ("a in (1 2)", 9, "a list goes on with a comma"),
        ("a like 3", 8, "after like stands a text in quotes"),
        ("a is 3", 6, "after is stands null or not null"),
        ("a not 3", 7, "after a value's not stands in or like"),
        ("3 < 'x'", 5, "a number cannot be compared with a text"),
        ("a < 3 < 'x'", 9, "a number cannot be compared with a text"),
        ("3", 1, "a number alone is no condition"),
        ("a < 3x", 5, "this is neither a number nor a name"),
        ("a < 1e", 6, "this exponent has no digits"),
        ("weight-decay > 0", 7, "'-' stands before no number"),
        ("a < 3 && b", 7, "'&' means nothing here"),
        ("größe < 3 ; b", 11, "';' means nothing here"),
        ("(a) < 3", 5, "a condition cannot be compared"),
        ("`` = 3", 1, "this name is empty"),
    ] {
        let error = Condition::parse(text).expect_err(text);
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        assert!(lines[0].starts_with(&format!("the condition is wrong at column {column}: {what}")), "{text}: {error}");
        assert_eq!(lines[1], format!("  {text}"));
        assert_eq!(lines[2], format!("{}^", " ".repeat(column + 1)), "{text}");
    }
    let deep = format!("{}a = 1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Condition::parse(&deep).is_err_and(|error| error.what.contains("nested too deeply")));
    assert!(Condition::parse(&"not ".repeat(100_000)).is_err());
    assert!(Condition::parse(&vec!["a = 1"; 100_000].join(" and ")).is_ok());
}

#[test]
fn the_mark_stands_under_wide_characters() {
    let error = Condition::parse("`損失` < 3 oder x").expect_err("no such word");
    assert_eq!(error.to_string().lines().nth(2), Some("             ^"));
    assert!(error.to_string().contains("column 10"), "{error}");
}

#[test]
fn names_mean_one_thing_or_are_refused() {
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let known = Known {
        loops: set(&["epoch"]),
        logged: set(&["val/acc", "val loss", "lr", "arg.width", "x.y"]),
        args: set(&["lr", "optimizer.name", "name", "width"]),
    };
    let meaning = |text: &str| {
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let similar = |name: &str, all: &BTreeSet<String>| {
            all.iter().filter(|other| other.starts_with(&name[..2])).cloned().collect()
        };
        resolve(&condition, &known, similar).map(|expr| expr.fields()).map_err(|error| (error.what, error.hint))
    };
    let logged = |name: &str| Ok(vec![Source::Logged(name.into())]);
    let arg = |name: &str| Ok(vec![Source::Arg(name.into())]);
    assert_eq!(meaning("val/acc < 1"), logged("val/acc"));
    assert_eq!(meaning("`val loss` < 1"), logged("val loss"));
    assert_eq!(meaning("x.y < 1"), logged("x.y"));
    assert_eq!(meaning("log.lr < 1"), logged("lr"));
    assert_eq!(meaning("arg.lr < 1"), arg("lr"));
    assert_eq!(meaning("optimizer.name = 'sgd'"), arg("optimizer.name"));
    // What is written out in full is what it says, also where something is called that.
    assert_eq!(meaning("arg.width = 1"), arg("width"));
    assert_eq!(meaning("log.arg.width = 1"), logged("arg.width"));
    assert_eq!(
        meaning("epoch = 1 or epoch_value = 1 or run = 'a' or status = 'b' or run.name = 'c'"),
        Ok(vec![
            Source::Loop("epoch".into()),
            Source::LoopValue("epoch".into()),
            Source::Run,
            Source::Status,
            Source::RunName,
        ])
    );
    let refused = |what: &str, hint: &str| Err((what.to_owned(), Some(hint.to_owned())));
    assert_eq!(meaning("lr < 1"), refused("'lr' is a logged value and an argument", "write log.lr or arg.lr"));
    assert_eq!(
        meaning("name = 'a'"),
        refused("'name' is an argument and the run's name", "write arg.name or run.name")
    );
    let unknown = |name: &str| format!("there is no loop, logged value or argument '{name}'");
    assert_eq!(meaning("vax < 1"), refused(&unknown("vax"), "did you mean `val loss` or val/acc?"));
    assert_eq!(meaning("arg.wid < 1"), refused(&unknown("arg.wid"), "did you mean arg.width?"));
    assert_eq!(meaning("status = failed"), refused(&unknown("failed"), "a text stands in quotes: 'failed'"));
}

#[test]
fn a_loop_has_its_values_or_else_its_indices() {
    let values = |values: Option<[i64; 2]>| {
        let mut grid = grid();
        grid.rows_run = vec![0, 0];
        grid.names.truncate(1);
        grid.names[0].cells = vec![Cell::Pending, Cell::Pending];
        let values = values.map(|values| values.map(|x| Some(Value::Int(x))).into());
        grid.loops = vec![LoopColumn { name: "epoch".into(), index: vec![0, 1], values }];
        let above = |x| {
            Expr::Compare(
                Term::Field(Field::LoopValue(0)),
                vec![(Comparison::GreaterOrEqual, Term::Literal(Value::Int(x)))],
            )
        };
        let count = |x| filter(grid.clone(), &above(x), &[], 0..0).0.len();
        (count(1), count(20))
    };
    assert_eq!(values(None), (1, 0));
    assert_eq!(values(Some([10, 20])), (2, 1));
}

/// A run of two epochs with an accuracy each and two steps with a loss each, and something logged once.
fn grid() -> Grid {
    let value = |x: f64| Cell::Value { value: Value::Float(x), verdict: Verdict::Recorded };
    let empty = || Cell::Empty;
    Grid {
        runs: vec!["0000000001".parse().expect("an id"), "0000000002".parse().expect("an id")],
        rows_run: vec![0, 0, 0, 0, 0, 0, 0, 1],
        loops: vec![
            LoopColumn { name: "epoch".into(), index: vec![-1, 0, 0, 0, 1, 1, 1, 0], values: None },
            LoopColumn { name: "step".into(), index: vec![-1, -1, 0, 1, -1, 0, 1, 0], values: None },
        ],
        names: vec![
            NameColumn {
                name: "loss".into(),
                cells: vec![empty(), empty(), value(4.0), value(3.0), empty(), value(2.0), value(1.0), value(9.0)],
            },
            NameColumn {
                name: "acc".into(),
                cells: vec![empty(), value(0.5), empty(), empty(), value(0.75), empty(), empty(), empty()],
            },
            NameColumn {
                name: "once".into(),
                cells: vec![value(7.0), empty(), empty(), empty(), empty(), empty(), empty(), empty()],
            },
        ],
        notes: Vec::new(),
    }
}

#[test]
fn rows_see_what_was_logged_around_them() {
    let grid = grid();
    let check = |text: &str, hidden: std::ops::Range<usize>, expected: &[(u32, i64, Option<i64>)]| {
        let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let field = |name: &Name| {
            let names = grid.names.iter().position(|column| column.name == name.text).map(Field::Cell);
            let loops = grid.loops.iter().position(|column| column.name == name.text).map(Field::Loop);
            names.or(loops).or((name.text == "lr").then_some(Field::Fact(0))).ok_or(())
        };
        let expr = condition.expr.try_map(&mut |name| field(name)).expect("known names");
        let facts = [vec![Value::Float(0.1)], vec![Value::Float(0.2)]];
        let (kept, _) = filter(grid.clone(), &expr, &facts, hidden);
        let step = |row: usize| kept.loops.get(1).map(|column| column.index[row]);
        let rows: Vec<_> =
            (0..kept.len()).map(|row| (kept.rows_run[row], kept.loops[0].index[row], step(row))).collect();
        assert_eq!(rows, expected, "{text}");
        assert!(kept.names.iter().all(|column| column.cells.len() == rows.len()));
    };
    check("acc > 0.6 and loss < 2", 1..3, &[(0, 1, Some(1))]);
    check("acc > 0.6", 1..3, &[(0, 1, Some(0)), (0, 1, Some(1))]);
    check("once = 7 and step = 0", 1..3, &[(0, 0, Some(0)), (0, 1, Some(0))]);
    check("lr = 0.2", 1..3, &[(1, 0, Some(0))]);
    // Nothing of the first run is seen from the second.
    check("once is null", 1..3, &[(1, 0, Some(0))]);
    check("acc is null", 0..0, &[(0, -1, Some(-1)), (1, 0, Some(0))]);
    // A loop that only hidden columns have goes with them.
    check("epoch >= 0 and (loss is null or loss < 0)", 0..1, &[(0, 0, None), (0, 1, None)]);
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(|x| Value::BigInt(format!("-1{x:019}"))),
        any::<f64>().prop_filter("NaN equals nothing", |x| !x.is_nan()).prop_map(Value::Float),
        ".{0,6}".prop_map(Value::Text),
    ]
}

fn texts() -> impl Strategy<Value = Term<Name>> {
    let name = prop_oneof!["[a-z_][a-z./]{0,5}", "(and|OR|null|nan|true|in)", ".{1,6}"];
    name.prop_map(|text| Term::Field(Name { text, at: 0 }))
}

fn expressions() -> impl Strategy<Value = Expr<Name>> {
    let sign = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::Different),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
    ];
    let term = prop_oneof![texts(), texts(), values().prop_map(Term::Literal)];
    let compared = proptest::collection::vec((sign, texts()), 1..3);
    let leaf = prop_oneof![
        texts().prop_map(Expr::Is),
        (term, compared).prop_map(|(first, rest)| Expr::Compare(first, rest)),
        (texts(), proptest::collection::vec(values(), 1..4), any::<bool>())
            .prop_map(|(term, list, negated)| Expr::In { term, list, negated }),
        (texts(), ".{0,6}", any::<bool>()).prop_map(|(term, pattern, negated)| Expr::Like { term, pattern, negated }),
        (texts(), any::<bool>()).prop_map(|(term, negated)| Expr::Null { term, negated }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            parts.clone().prop_map(Expr::Or),
            parts.prop_map(Expr::And),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(expr in expressions()) {
        let text = expr.to_string();
        let read = Condition::parse(&text);
        prop_assert_eq!(read.map(|condition| condition.expr), Ok(expr), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![
        ".{0,40}",
        "([a-c] ?|[<>=!()'\"`,.%-]|[0-9e]| and | or | not | in | like | is | null |ß){0,20}",
    ]) {
        if let Err(error) = Condition::parse(&text) {
            prop_assert!(error.at <= text.len());
            prop_assert_eq!(error.to_string().lines().count(), 3);
        }
    }

    #[test]
    fn patterns_find_what_they_are_made_of(text in "[ab%_\\\\]{0,8}", start in "[ab]{0,3}", end in "[ab]{0,3}") {
        let literal = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        prop_assert!(super::eval::like(&text, &literal));
        let (longer, anywhere) = (format!("{start}{text}{end}"), format!("%{literal}%"));
        prop_assert!(super::eval::like(&longer, &anywhere));
        prop_assert!(!super::eval::like(&(text + "c"), &literal));
    }
}
