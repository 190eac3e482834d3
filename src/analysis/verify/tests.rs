//! Executions are written as text: `loss=3` logs, `step{` enters a loop (`epoch*{` the main loop, `new+{` an added one, `row-{` a
//! silent one),
//! `loss_0.25"` is a printed line, with `_` for blanks (`"!` to standard error), `0` begins an iteration, `:7` is what it iterates over, `}` ends a loop (`}!` early, `}~` skipped by the replay).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Happening, LoopEnd, LoopRole, Place, Trace, Unit, check, unproven};
use crate::model::job::CheckReport;
use crate::model::plan::{ReplayStep, SkippedBlock};
use crate::model::value::Value;

/// Whether an execution ended by itself, was killed or ended by an exception, or has a journal with a gap at its end.
#[derive(Clone, Copy)]
enum Ending {
    Own,
    Killed,
    Gap,
}

fn units(text: &str, ending: Ending) -> Vec<Unit> {
    let mut trace = Trace::new(!matches!(ending, Ending::Killed));
    let mut units = Vec::new();
    for token in text.split_whitespace() {
        let number = |text: &str| text.parse::<i64>().map(Value::Int).expect("a number");
        let value;
        let line;
        let happening = if let Some((text, error)) = token.split_once('"') {
            line = text.replace('_', " ");
            Happening::Printed { error: error == "!", line: &line }
        } else if let Some(name) = token.strip_suffix('{') {
            let role = match name.chars().last() {
                Some('*') => LoopRole::Main,
                Some('+') => LoopRole::Added,
                Some('-') => LoopRole::Silent,
                _ => LoopRole::Other,
            };
            Happening::Enter { name: name.trim_end_matches(['*', '+', '-']), role }
        } else if let Some((name, text)) = token.split_once('=') {
            value = number(text);
            Happening::Log { name, value: &value }
        } else if let Some(text) = token.strip_prefix(':') {
            value = number(text);
            Happening::IteratedValue(&value)
        } else {
            match token {
                "}" => Happening::Exit(LoopEnd::Exhausted),
                "}!" => Happening::Exit(LoopEnd::Early),
                "}~" => Happening::Exit(LoopEnd::Skipped),
                index => Happening::Iterate(index.parse().expect("an index")),
            }
        };
        units.extend(trace.take(&happening));
    }
    units.extend(trace.finish(matches!(ending, Ending::Own | Ending::Killed)));
    units
}

fn report((recorded, ending): (&str, Ending), (replayed, end): (&str, Ending), added: &[&str]) -> CheckReport {
    let added: BTreeSet<String> = added.iter().map(|name| (*name).to_owned()).collect();
    check(units(recorded, ending), units(replayed, end), &added).0
}

/// How many values are equal, and the first difference as `name position recorded replayed`.
fn outcome(report: &CheckReport) -> (u64, String) {
    let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let difference = report.first_difference.as_ref();
    let text = difference.map(|d| format!("{} [{}] {} {}", d.name, d.position, side(&d.recorded), side(&d.replayed)));
    (report.equal_values, text.unwrap_or_default())
}

const RUN: &str =
    "n=9 epoch*{ 0 step{ 0 x=1 1 x=2 } loss=3 1 step{ 0 x=4 1 x=5 } loss=6 2 step{ 0 x=7 } loss=8 } end=1";

#[test]
fn a_segment_is_held_to_what_its_run_did_where_it_executed() {
    for (what, replayed, expected) in [
        ("all of it", RUN, (9, "")),
        ("one iteration", "n=9 epoch*{ 1 step{ 0 x=4 1 x=5 } loss=6 }~", (3, "")),
        ("two apart", "n=9 epoch*{ 0 step{ 0 x=1 1 x=2 } loss=3 2 step{ 0 x=7 } loss=8 }~", (5, "")),
        ("a skipped block", "n=9 epoch*{ 1 step{ }~ loss=6 }~", (1, "")),
        ("the prefix only", "n=9 epoch*{ }~", (1, "")),
        ("the last iteration and the end", "n=9 epoch*{ 2 step{ }~ loss=8 } end=1", (2, "")),
        ("an equal prefix proves no state", "n=9 epoch*{ 1 step{ }~ loss=0 }~", (0, "loss [epoch=1] 6 0")),
        ("a value differs", "n=9 epoch*{ 1 step{ 0 x=4 1 x=0 } loss=6 }~", (2, "x [epoch=1/step=1] 5 0")),
        ("the first difference counts", "n=0 epoch*{ 1 step{ 0 x=4 1 x=0 } loss=0 }~", (1, "n [] 9 0")),
        ("a value is not logged", "n=9 epoch*{ 1 step{ 0 x=4 1 } loss=6 }~", (2, "x [epoch=1/step=1] 5 -")),
        ("nothing is logged", "n=9 epoch*{ 1 step{ }~ }~", (0, "loss [epoch=1] 6 -")),
        ("not before the loop either", "epoch*{ 1 step{ }~ loss=6 }~", (1, "n [] 9 -")),
        ("a value on top", "n=9 epoch*{ 1 step{ }~ loss=6 loss=6 }~", (1, "loss [epoch=1] - 6")),
        ("a name on top", "n=9 epoch*{ 1 step{ }~ loss=6 bad=1 }~", (1, "bad [epoch=1] - 1")),
        ("a value too early", "n=9 epoch*{ 1 step{ 0 x=0 x=4 1 x=5 } loss=6 }~", (1, "x [epoch=1/step=0] 4 0")),
        ("a loop ends early", "n=9 epoch*{ 2 step{ }! loss=8 }~", (1, "x [epoch=2/step=0] 7 -")),
        (
            "the main loop ends early",
            "n=9 epoch*{ 1 step{ }~ loss=6 }! end=1",
            (2, "the course of loop epoch [epoch=1] - left early"),
        ),
        ("the main loop is not reached", "n=9 end=1", (1, "the course of loop epoch [] entered -")),
    ] {
        let (equal, difference) = expected;
        assert_eq!(
            outcome(&report((RUN, Ending::Own), (replayed, Ending::Own), &[])),
            (equal, difference.to_owned()),
            "{what}"
        );
    }
}

#[test]
fn loops_that_log_nothing_are_compared_by_their_course() {
    let run = "epoch*{ 0 batch{ 0 :5 1 :9 } loss=1 }!";
    for (replayed, difference) in [
        (run, ""),
        ("epoch*{ 0 batch{ 0 :5 1 :9 2 } loss=1 }!", "the course of loop batch [epoch=0] 2 3"),
        ("epoch*{ 0 batch{ 0 :5 1 :8 } loss=1 }!", "what loop batch iterates over [epoch=0/batch=1] 9 8"),
        ("epoch*{ 0 batch{ 0 :5 1 :9 } loss=1 }~", "the course of loop epoch [epoch=0] left early -"),
    ] {
        assert_eq!(
            outcome(&report((run, Ending::Own), (replayed, Ending::Own), &[])),
            (1, difference.to_owned()),
            "{replayed}"
        );
    }
}

#[test]
fn what_was_added_may_log_more_but_never_less() {
    let run = "epoch*{ 0 step{ 0 loss=1 1 loss=2 } }";
    for (replayed, expected) in [
        // The added statement logs a name of its own, or the same name before, after and between.
        ("epoch*{ 0 step{ 0 loss=1 norm=7 1 loss=2 norm=8 } }~", (2, "")),
        ("epoch*{ 0 loss=0 step{ 0 loss=9 loss=1 loss=1 1 loss=2 } loss=3 }~", (2, "")),
        ("epoch*{ 0 step{ 0 loss=1 1 } loss=2 }~", (1, "loss [epoch=0/step=1] 2 -")),
        ("epoch*{ 0 step{ 0 loss=9 1 loss=2 } }~", (0, "loss [epoch=0/step=0] 1 9")),
        // An added loop, whatever its name and whatever it logs, is not the run's.
        ("epoch*{ 0 step+{ 0 loss=7 deep{ 0 other=1 } 1 } step{ 0 loss=1 1 loss=2 } }~", (2, "")),
    ] {
        let (equal, difference) = expected;
        let report = report((run, Ending::Own), (replayed, Ending::Own), &["norm", "loss"]);
        assert_eq!(outcome(&report), (equal, difference.to_owned()), "{replayed}");
    }
}

#[test]
fn a_loop_whose_iterations_the_run_did_not_keep_is_passed_over() {
    let run = "epoch*{ 0 row-{ } loss=1 row{ 0 x=2 } 1 row-{ } loss=3 row{ 0 x=4 } }";
    for (replayed, expected) in [
        (run, (4, "")),
        // With the added statement in it its iterations are kept; left early it is not even told of in the record.
        ("epoch*{ 0 row-{ 0 :7 g=5 1 g=6 } loss=1 row{ 0 x=2 } }~", (2, "")),
        ("epoch*{ 0 loss=1 row{ 0 x=2 } 1 row-{ 0 }! loss=3 row{ 0 x=4 } }~", (4, "")),
        ("epoch*{ 1 row-{ }~ loss=3 row{ 0 x=5 } }~", (1, "x [epoch=1/row=0] 4 5")),
    ] {
        let (equal, difference) = expected;
        let report = report((run, Ending::Own), (replayed, Ending::Own), &["g"]);
        assert_eq!(outcome(&report), (equal, difference.to_owned()), "{replayed}");
    }
}

#[test]
fn what_follows_where_an_execution_was_cut_off_is_not_compared() {
    let whole = "epoch*{ 0 a=1 b=2 1 step{ 0 a=3 1 a=4 } b=5 } end=1";
    let cut = "epoch*{ 0 a=1 b=2 1 step{ 0 a=3";
    let raised = "epoch*{ 0 a=1 b=2 1 step{ 0 a=3 }! }!";
    for ending in [Ending::Killed, Ending::Gap] {
        assert_eq!(outcome(&report((cut, ending), (whole, Ending::Own), &[])), (3, String::new()));
        assert_eq!(outcome(&report((whole, Ending::Own), (cut, ending), &[])), (3, String::new()));
    }
    assert_eq!(outcome(&report((raised, Ending::Killed), (whole, Ending::Own), &[])), (3, String::new()));
    assert_eq!(outcome(&report((whole, Ending::Own), (raised, Ending::Killed), &[])), (3, String::new()));
    // Up to there it is.
    let other = whole.replace("a=3", "a=0");
    assert_eq!(outcome(&report((cut, Ending::Killed), (&other, Ending::Own), &[])).1, "a [epoch=1/step=0] 3 0");
    let less = whole.replace("a=1", "");
    assert_eq!(outcome(&report((cut, Ending::Killed), (&less, Ending::Own), &[])).1, "a [epoch=0] 1 -");
    assert_eq!(outcome(&report((&less, Ending::Own), (cut, Ending::Killed), &[])).1, "a [epoch=0] - 1");
    // An added name that the run logs too: the record's own value may simply not have been reached.
    let report = report((whole, Ending::Own), ("epoch*{ 0 a=1 b=2 1 step{ 0 a=9", Ending::Killed), &["a"]);
    assert_eq!(outcome(&report), (2, String::new()));
}

#[test]
fn damage_that_lost_entries_of_loops_does_no_harm() {
    for text in ["} } 0 x=1 }", "0 1 :3 epoch*{ } } }~ 4", "epoch*{ 0 step{ 0 epoch*{ 0 } 1 } } } x=1"] {
        units(text, Ending::Gap);
    }
}

/// A statement of an iteration of the main loop: a log, or a block whose iterations log these.
#[derive(Debug, Clone)]
enum Statement {
    Log(u8, i8),
    Block(Vec<Vec<(u8, i8)>>),
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let log = (0..3_u8, 0..100_i8);
    let block = prop::collection::vec(prop::collection::vec(log.clone(), 0..3), 0..4);
    let statement =
        prop_oneof![log.prop_map(|(name, value)| Statement::Log(name, value)), block.prop_map(Statement::Block),];
    prop::collection::vec(statement, 0..5)
}

/// The text of an iteration, and how many values it logs; blocks are skipped as `skip` says.
fn written(statements: &[Statement], skip: bool) -> (String, u64) {
    let mut text = String::new();
    let mut count = 0;
    for statement in statements {
        match statement {
            Statement::Log(name, value) => {
                text += &format!("v{name}={value} ");
                count += 1;
            }
            Statement::Block(_) if skip => text += "step{ }~ ",
            Statement::Block(iterations) => {
                text += "step{ ";
                for (index, logs) in iterations.iter().enumerate() {
                    text += &format!("{index} ");
                    logs.iter().for_each(|(name, value)| text += &format!("v{name}={value} "));
                    count += logs.len() as u64;
                }
                text += "} ";
            }
        }
    }
    (text, count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_faithful_segment_never_differs_and_one_change_always_does(
        iterations in prop::collection::vec((statements(), any::<bool>(), any::<bool>()), 1..6),
        changed in any::<prop::sample::Index>(),
        how in 0..3_u8,
    ) {
        let (mut run, mut segment, mut equal) = ("epoch*{ ".to_owned(), "epoch*{ ".to_owned(), 0);
        for (index, (statements, executed, skip)) in iterations.iter().enumerate() {
            run += &format!("{index} {}", written(statements, false).0);
            if *executed {
                let (text, count) = written(statements, *skip);
                segment += &format!("{index} {text} new={index} ");
                equal += count;
            }
        }
        (run, segment) = (run + "}", segment + "}~");
        let faithful = report((&run, Ending::Own), (&segment, Ending::Own), &["new"]);
        prop_assert_eq!(outcome(&faithful), (equal, String::new()), "{} against {}", run, segment);

        let tokens: Vec<&str> = segment.split(' ').collect();
        let logs: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].starts_with('v')).collect();
        if !logs.is_empty() {
            let at = logs[changed.index(logs.len())];
            let other = match how {
                0 => String::new(),
                1 => format!("{0} {0}", tokens[at]),
                _ => format!("{}000", tokens[at].replace('=', "=1")),
            };
            let altered: Vec<&str> = tokens[..at].iter().copied().chain([&*other]).chain(tokens[at + 1..].iter().copied()).collect();
            let altered = report((&run, Ending::Own), (&altered.join(" "), Ending::Own), &["new"]);
            prop_assert!(altered.first_difference.is_some(), "{} in {}", other, segment);
        }
    }
}

#[test]
fn an_iteration_is_borne_out_by_what_it_led_to_unless_something_was_restored_in_between() {
    let step = |iteration, restore| ReplayStep { iteration, restore, skip: Vec::new(), expect: Vec::new() };
    let steps = [step(2, Some(0)), step(3, None), step(4, None), step(7, Some(5)), step(8, None), step(9, None)];
    let wanted = [2, 3, 4, 8, 9];
    let of = |equal: &[Place]| unproven(&steps, &wanted, &equal.iter().copied().collect());
    assert_eq!(of(&[]), [(2, 4), (8, 9)]);
    assert_eq!(of(&[Place::Iteration(3)]), [(4, 4), (8, 9)]);
    assert_eq!(of(&[Place::Iteration(4), Place::Iteration(9)]), []);
    assert_eq!(of(&[Place::Iteration(7)]), [(2, 4), (8, 9)]);
    assert_eq!(of(&[Place::After]), [(2, 4)]);
    let mut steps = steps;
    steps[1].skip.push(SkippedBlock { block: "b".into(), occurrence: 0, checkpoint: 1 });
    assert_eq!(unproven(&steps, &wanted, &[Place::Iteration(4), Place::After].into()), [(2, 2)]);
}

/// How many printed lines are evidence, and the first that differ.
fn lines(recorded: &str, replayed: &str) -> (u64, Option<[Option<String>; 2]>) {
    let report = report((recorded, Ending::Own), (replayed, Ending::Own), &[]);
    assert_eq!(report.first_difference, None, "what is printed never makes a replay diverge");
    (report.equal_lines, report.different_lines.map(|(recorded, replayed)| [recorded, replayed]))
}

#[test]
fn lines_printed_again_are_evidence_if_they_are_all_the_same_and_hold_what_was_computed() {
    let run = "lr_0.123456\" epoch*{ 0 loss_0.250001000000001_(1.5s)\" acc_0.75\" 1 step{ 0 inner\" } loss_0.225002000000001_(1.4s)\" acc_0.77\" \
               2 loss_0.221003000000001_(1.3s)\" warn\"! 3 x_0.123_y_0.45678901\" 4 loss_0.221003000000001_(1.2s)\" 5 seen_5\" }";
    for (what, replayed, expected) in [
        ("all of it", run, 3),
        ("an iteration, the time is another", "epoch*{ 0 loss_0.250001000000001_(7.5s)\" acc_0.75\" }~", 1),
        ("what a skipped loop printed is missing", "epoch*{ 1 step{ }~ loss_0.225002000000001_(1s)\" acc_0.77\" }~", 1),
        ("a silent one", "epoch*{ 1 step{ 0 inner\" } s-{ }~ loss_0.225002000000001_(1s)\" }~", 1),
        ("a warning is not given again: the other stream counts", "epoch*{ 2 loss_0.221003000000001_(1s)\" }~", 1),
        ("digits of several rounded numbers", "epoch*{ 3 x_0.123_y_0.45678901\" }~", 0),
        ("a number that stood there before", "epoch*{ 4 loss_0.221003000000001_(1s)\" }~", 0),
        ("nothing computed", "epoch*{ 5 seen_5\" }~", 0),
        ("a digit differs", "epoch*{ 0 loss_0.250001000000002_(1s)\" acc_0.75\" }~", 0),
        ("a line is missing, and nothing was skipped", "epoch*{ 0 loss_0.250001000000001_(1s)\" }~", 0),
        ("a line on top", "epoch*{ 0 loss_0.250001000000001_(1s)\" acc_0.75\" more\" }~", 0),
        ("in another order", "epoch*{ 0 acc_0.75\" loss_0.250001000000001_(1s)\" }~", 0),
        ("at another place", "epoch*{ 0 step{ 0 loss_0.250001000000001_(1s)\" acc_0.75\" } }~", 0),
        ("a prefix proves nothing of a restored state", "lr_0.123456\" a_0.1234567\" epoch*{ 5 seen_5\" }~", 0),
    ] {
        // Loops that only one side has are differences of another kind, tested above.
        let recorded = if what.contains("another place") {
            run.replace("0 loss_0.25", "0 step{ 0 } loss_0.25")
        } else {
            run.to_owned()
        };
        assert_eq!(lines(&recorded, replayed).0, expected, "{what}");
    }
    let told = lines(run, "lr_0.123456\" epoch*{ 0 loss_0.250001000000002_(1s)\" acc_0.75\" }~").1;
    assert_eq!(told, Some([Some("loss 0.250001000000001 (1.5s)".into()), Some("loss 0.250001000000002 (1s)".into())]));
    let told = lines(run, "lr_0.123456\" epoch*{ 0 loss_0.250001000000001_(1s)\" }~").1;
    assert_eq!(told, Some([Some("acc 0.75".into()), None]));
}

#[test]
fn what_a_silent_loop_logged_may_be_missing_where_it_was_skipped_but_nothing_else() {
    let run = "epoch*{ 0 s-{ } x=1 x=2 loss=3 }";
    for (replayed, difference) in [
        ("epoch*{ 0 s-{ }~ loss=3 }", ""),
        ("epoch*{ 0 s-{ }~ x=2 loss=3 }", ""),
        ("epoch*{ 0 s-{ }~ x=4 loss=3 }", "x [epoch=0] 1 4"),
        ("epoch*{ 0 s-{ } x=2 loss=3 }", "x [epoch=0] 1 2"),
    ] {
        let report = report((run, Ending::Own), (replayed, Ending::Own), &[]);
        assert_eq!(outcome(&report).1, difference, "{replayed}");
    }
}
