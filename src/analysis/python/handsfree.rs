//! Finds the loops of a script that marks none: the main loop, the blocks in it, and the loops in which something is
//! logged. After Flor's hands-free mode (Garcia et al., VLDB 2021, section 5), told by what loops look like: a wrong
//! guess costs time, never a wrong value, since whatever is skipped later is skipped on the same conditions as ever.
//!
//! Statements that were added for a replay change nothing of the choice: only loops that the version has are found.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Operator, Stmt, StmtWhile};

use crate::analysis::python::api::{Api, ApiNames};
use crate::analysis::python::instrument::{FoundLoop, LoopStmt, Sequence};
use crate::analysis::python::liveness;
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::analysis::python::reach::Calls;

/// Functions that hold blocks are called by the main loop's body, or by functions that it calls, this many deep.
const MAX_CALL_DEPTH: usize = 3;
/// A loop that scores less looks like something else than training.
const LEAST_SCORE: u32 = 4;

/// The name of a loop whose statement gives it none.
const UNNAMED: &str = "iteration";

/// Lines (1-based, inclusive) of the script that were added to its version.
pub(super) type Inserted<'i> = &'i [(u32, u32)];

/// What the loops of a script are; numbers of loops.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) main: Option<usize>,
    pub(super) blocks: BTreeSet<usize>,
}

/// Every `for` and `while` statement of the program.
pub(super) fn find_loops<'a>(program: &Program<'a>) -> Vec<FoundLoop<'a>> {
    let mut loops = Vec::new();
    for (number, unit) in program.units.iter().enumerate() {
        let module = program.files[unit.file].module;
        let mut finder = Finder { unit: number, module, loops: &mut loops };
        unit.body.iter().for_each(|stmt| finder.visit_stmt(stmt));
    }
    loops
}

impl<'a> Finder<'_, 'a> {
    fn add(&mut self, found: LoopStmt<'a>, name: Option<&str>, sequence: Sequence<'a>, stmt: &Stmt) {
        self.loops.push(FoundLoop {
            unit: self.unit,
            stmt: found,
            name: name.unwrap_or(UNNAMED).to_owned(),
            lines: self.module.span(stmt),
            sequence,
            inserted: false,
            checkpointed: false,
        });
    }
}

struct Finder<'f, 'a> {
    unit: usize,
    module: &'a Module,
    loops: &'f mut Vec<FoundLoop<'a>>,
}

impl<'a> Visitor<'a> for Finder<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::While(repeated) => {
                let counter = counter(repeated);
                self.add(LoopStmt::While(repeated), counter, Sequence::Turns { test: &repeated.test, counter }, stmt);
            }
            Stmt::For(each) if !each.is_async => {
                self.add(LoopStmt::For(each), name_of(&each.target), Sequence::Wrapped(inside_bar(&each.iter)), stmt);
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

pub(super) fn holds(lines: Inserted<'_>, line: u32) -> bool {
    lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
}

/// `for epoch in …` is `epoch`; with `enumerate` the index, else the first name of several.
fn name_of(target: &Expr) -> Option<&str> {
    let name = match target {
        Expr::Name(name) => name.id.as_str(),
        Expr::Tuple(tuple) => return tuple.elts.iter().find_map(name_of),
        Expr::List(list) => return list.elts.iter().find_map(name_of),
        _ => return None,
    };
    (!name.trim_matches('_').is_empty()).then_some(name)
}

/// The variable that a `while` advances: one that its condition reads, else the first that its body counts by one.
fn counter(repeated: &StmtWhile) -> Option<&str> {
    let read = liveness::reads_of(&repeated.test);
    let advanced =
        repeated.body.iter().filter_map(Stmt::as_aug_assign_stmt).filter(|assign| assign.op == Operator::Add);
    let names = advanced.filter_map(|assign| Some((assign.target.as_name_expr()?.id.as_str(), &*assign.value)));
    let is_one = |value: &Expr| {
        value.as_number_literal_expr().and_then(|number| number.value.as_int()?.as_u8()).is_some_and(|one| one == 1)
    };
    let in_test = names.clone().find(|(name, _)| read.contains(*name));
    in_test.or_else(|| names.clone().find(|(_, value)| is_one(value))).map(|(name, _)| name)
}

/// A progress bar is left around: it shall still know how long the sequence is.
fn inside_bar(iter: &Expr) -> &Expr {
    match bar(iter) {
        Some(inner) => inner,
        None => iter,
    }
}

/// What a call of `tqdm` goes over.
pub(super) fn bar(expr: &Expr) -> Option<&Expr> {
    let call = expr.as_call_expr()?;
    let named = |name: &str| name == "tqdm";
    let is_bar = match &*call.func {
        Expr::Name(name) => named(&name.id),
        Expr::Attribute(attribute) => named(&attribute.attr),
        _ => false,
    };
    let first = call.arguments.args.first()?;
    (is_bar && !first.is_starred_expr()).then_some(first)
}

/// The main loop among loops that nobody marked, and its blocks.
pub(super) fn choose(
    program: &Program<'_>,
    calls: &Calls<'_>,
    loops: &[FoundLoop<'_>],
    inserted: Inserted<'_>,
) -> Choice {
    let reached: Vec<BTreeSet<usize>> = loops.iter().map(|found| found.reaches(program, calls)).collect();
    let own = (0..loops.len()).filter(|at| !loops[*at].inserted);
    let inside = |outer: usize, inner: usize| {
        let same = loops[outer].unit == loops[inner].unit && loops[outer].holds(&loops[inner]);
        outer != inner && (same || reached[outer].contains(&loops[inner].unit))
    };
    let outermost = |at: usize| loops[at].can_be_told() && !own.clone().any(|other| inside(other, at));
    let score = |at: usize| {
        let found = &loops[at];
        let mut words = calls.mentioned(program.units[found.unit].file, found.stmt.body());
        words.extend(reached[at].iter().flat_map(|unit| calls.mentions(*unit).iter().cloned()));
        let has = |names: &[&str]| names.iter().any(|name| words.contains(*name));
        let name = found.name.to_lowercase();
        let epochs = name.contains("epoch");
        let steps = name.contains("step") || name.contains("iter") && name != UNNAMED;
        let trains = has(&["backward", "zero_grad", "step", "train", "fit", "optimizer", "apply_gradients"]);
        let nests = own.clone().any(|other| inside(at, other));
        let tells = has(&["log", "print"]);
        4 * u32::from(epochs) + 3 * u32::from(trains) + 2 * u32::from(nests) + u32::from(steps) + u32::from(tells)
    };
    let candidates = own.clone().filter(|at| outermost(*at)).map(|at| (score(at), at));
    let best =
        candidates.filter(|(score, _)| *score >= LEAST_SCORE).max_by_key(|(score, at)| (*score, usize::MAX - at));
    best.map_or_else(Choice::default, |(_, main)| with_main(program, calls, loops, main, inserted))
}

/// The choice where the main loop is known.
pub(super) fn with_main(
    program: &Program<'_>,
    calls: &Calls<'_>,
    loops: &[FoundLoop<'_>],
    main: usize,
    inserted: Inserted<'_>,
) -> Choice {
    Choice { main: Some(main), blocks: blocks(program, calls, loops, main, inserted) }
}

/// The outermost loops in the main loop's body, and in the functions that it calls outside of loops.
fn blocks(
    program: &Program<'_>,
    calls: &Calls<'_>,
    loops: &[FoundLoop<'_>],
    main: usize,
    inserted: Inserted<'_>,
) -> BTreeSet<usize> {
    let plain = |at: &usize| matches!(loops[*at].sequence, Sequence::Wrapped(_));
    let outermost_of = |unit: usize, within: Option<usize>| -> Vec<usize> {
        let here: Vec<usize> = (0..loops.len())
            .filter(|at| loops[*at].unit == unit && *at != main && !loops[*at].inserted)
            .filter(|at| within.is_none_or(|main| loops[main].holds(&loops[*at])))
            .collect();
        let outermost = |at: &usize| !here.iter().any(|other| loops[*other].holds(&loops[*at]));
        here.iter().copied().filter(outermost).filter(plain).collect()
    };
    let mut found: BTreeSet<usize> = outermost_of(loops[main].unit, Some(main)).into_iter().collect();
    let mut units = BTreeSet::from([loops[main].unit]);
    let mut called = calls.named_by(&outside_loops(program, loops[main].unit, loops[main].stmt.body(), inserted));
    for _ in 0..MAX_CALL_DEPTH {
        let new: Vec<usize> = called.into_iter().filter(|unit| units.insert(*unit)).collect();
        found.extend(new.iter().flat_map(|unit| outermost_of(*unit, None)));
        called = new
            .iter()
            .flat_map(|unit| calls.named_by(&outside_loops(program, *unit, program.units[*unit].body, inserted)))
            .collect();
    }
    found
}

/// Names and attributes that stand in a body, but in none of its loops.
fn outside_loops(program: &Program<'_>, unit: usize, body: &[Stmt], inserted: Inserted<'_>) -> BTreeSet<String> {
    struct Outside<'m>(BTreeSet<String>, &'m Module, Inserted<'m>);
    impl<'a> Visitor<'a> for Outside<'_> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            let nested = matches!(stmt, Stmt::For(_) | Stmt::While(_) | Stmt::FunctionDef(_) | Stmt::ClassDef(_));
            if !nested && !holds(self.2, self.1.span(stmt).0) {
                walk_stmt(self, stmt);
            }
        }

        fn visit_expr(&mut self, expr: &'a Expr) {
            match expr {
                Expr::Call(call) => match &*call.func {
                    Expr::Name(name) => drop(self.0.insert(name.id.to_string())),
                    Expr::Attribute(attribute) => drop(self.0.insert(attribute.attr.to_string())),
                    _ => {}
                },
                // What is called there is called often.
                Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) | Expr::Lambda(_) => {
                    return;
                }
                _ => {}
            }
            walk_expr(self, expr);
        }
    }
    let file = program.units[unit].file;
    let inserted = if file == 0 { inserted } else { &[] };
    let mut outside = Outside(BTreeSet::new(), program.files[file].module, inserted);
    outside.visit_body(body);
    outside.0
}

/// Whether something is logged in a loop, there or in what it calls; without the lines of the script in `except`.
pub(super) fn logs(program: &Program<'_>, calls: &Calls<'_>, found: &FoundLoop<'_>, except: Inserted<'_>) -> bool {
    let within = |unit: usize, body: &[Stmt]| {
        let file = &program.files[program.units[unit].file];
        let except = if program.units[unit].file == 0 { except } else { &[] };
        let mut logs = Logs { module: file.module, api: &file.api, except, found: false };
        logs.visit_body(body);
        logs.found
    };
    within(found.unit, found.stmt.body())
        || found.reaches(program, calls).into_iter().any(|unit| within(unit, program.units[unit].body))
}

struct Logs<'f> {
    module: &'f Module,
    api: &'f ApiNames,
    except: Inserted<'f>,
    found: bool,
}

impl<'a> Visitor<'a> for Logs<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) && !holds(self.except, self.module.span(stmt).0) {
            walk_stmt(self, stmt);
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        self.found |= expr.as_call_expr().is_some_and(|call| self.api.function(&call.func) == Some(Api::Log));
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::python::instrument;
    use crate::model::instrument::InstrumentationPlan;
    use crate::model::source::SourceFile;

    fn plan(text: &str, inserted: &[(u32, u32)]) -> InstrumentationPlan {
        instrument("t.py", &[SourceFile { path: "t.py".into(), text: text.into() }], inserted)
    }

    /// The main loop's and the blocks' names and first lines.
    fn found(plan: &InstrumentationPlan) -> String {
        let told = plan.loops.iter().map(|found| {
            let what = if found.is_main {
                "main"
            } else if found.is_block {
                "block"
            } else {
                "loop"
            };
            format!("{what} {} {}", found.name, found.first_line)
        });
        told.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_loop_over_epochs_and_the_loops_in_it_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("for epoch in range(3):\n  for x in data:\n    o.step()\n", "main epoch 1, block x 2"),
            ("for i in range(3):\n  for x in data:\n    o.step()\n", "main i 1, block x 2"),
            ("for _ in range(3):\n  for x in data:\n    loss.backward()\n", "main iteration 1, block x 2"),
            ("for i, (x, y) in enumerate(data):\n  loss.backward()\n  print(i)\n", "main i 1"),
            ("def go():\n  for epoch in tqdm(range(3)):\n    pass\ngo()\n", "main epoch 2"),
            // Over folds: then all that is inside belongs to it.
            ("for fold in folds:\n  for epoch in e:\n    for x in d:\n      o.step()\n", "main fold 1, block epoch 2"),
            // A function is looked into where the loop itself calls it, not where a loop in it does.
            (
                "def train(d):\n  for x in d:\n    help(x)\ndef help(x):\n  for k in x:\n    k()\n\
                 for epoch in range(3):\n  train(d)\n",
                "main epoch 7, block x 2",
            ),
            ("for row in rows:\n  print(row)\n", ""),
            ("while True:\n  for x in data:\n    o.step()\n  n += 1\n", "main n 1, block x 2"),
            ("i = 0\nwhile i < 9:\n  k += 1\n  loss.backward()\n  print(i)\n  i += 2\n", "main i 2"),
            // What stands in a `while` within the main loop is executed with it.
            ("for epoch in e:\n  while a:\n    for x in d:\n      o.step()\n", "main epoch 1"),
            ("while a:\n  for x in data:\n    o.step()\nelse:\n  pass\n", ""),
            ("async def f():\n  async for epoch in g():\n    o.step()\n", ""),
        ] {
            assert_eq!(found(&plan(text, &[])), expected, "{text}");
        }
    }

    #[test]
    fn comments_choose_the_main_loop_and_forbid_skipping() {
        let text = "for epoch in range(3):\n  for x in data:\n    o.step()\n\
                    # afterlog: main-loop\nfor row in rows:\n  for y in row:  # afterlog: no-skip\n    print(y)\n";
        let plan = plan(text, &[]);
        assert_eq!(found(&plan), "main row 5, block y 6");
        assert!(plan.loops[1].never_skip.is_some());
    }

    #[test]
    fn added_lines_change_neither_the_choice_nor_a_key() {
        let text =
            "def check(d):\n  for y in d:\n    y()\nfor i in range(3):\n  print(i)\n  for x in data:\n    f(x)\n";
        assert_eq!(found(&plan(text, &[])), "");
        // What would make it look like training is added: a step, and a call of a function with a loop.
        let added = text.replace("  print(i)\n", "  print(i)\n  log(o.step(), check(d))\n");
        assert_eq!(found(&plan(&added, &[(6, 6)])), "");
        let text = text.replace("range(3)", "epochs").replace("for i", "for epoch");
        let before = plan(&text, &[]);
        let added = text.replace("  print(i)\n", "  print(i)\n  for x in check(d):\n    afterlog.log('x', x)\n");
        let after = plan(&format!("import afterlog\n{added}"), &[(1, 1), (7, 8)]);
        assert_eq!(found(&after), "main epoch 5, loop x 7, block x 9");
        let own = |plan: &InstrumentationPlan| -> Vec<String> {
            plan.loops.iter().map(|found| found.key.clone()).filter(|key| !key.contains('+')).collect()
        };
        assert_eq!(own(&after), own(&before));
    }

    #[test]
    fn only_what_logs_keeps_its_iterations() {
        let text = "import afterlog\nfor epoch in range(3):\n  for x in data:\n    o.step()\n  for y in data:\n    afterlog.log('y', y)\n";
        let kept: Vec<(bool, bool)> = plan(text, &[(6, 6)])
            .loops
            .iter()
            .filter_map(|found| found.wrap.as_ref().map(|wrap| (wrap.has_positions, wrap.was_silent)))
            .collect();
        assert_eq!(kept, [(true, false), (false, true), (true, true)]);
    }
}
