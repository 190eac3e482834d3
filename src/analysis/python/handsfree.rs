//! Finds the main loop of a script that marks none, the blocks of any, and the loops in which something is logged. After Flor's hands-free mode (Garcia et al., VLDB 2021, section 5), told by what loops look like: a wrong
//! guess costs time, never a wrong value, since whatever is skipped later is skipped on the same conditions as ever.
//!
//! Statements that were added for a replay change nothing of the choice: only loops that the version has are found.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::api::ApiNames;
use crate::analysis::python::loops::{FoundLoop, Inserted, Sequence, holds};
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::analysis::python::reach::Calls;
use crate::analysis::python::unnamed::{UNNAMED, callee};

/// Functions that hold blocks are called by the main loop's body, or by functions that it calls, this many deep.
const MAX_CALL_DEPTH: usize = 3;
/// A loop that scores less looks like something else than training.
const LEAST_SCORE: u32 = 4;

/// The main loop among loops that nobody marked: its number.
pub(super) fn main_loop(program: &Program<'_>, calls: &Calls<'_>, loops: &[FoundLoop<'_>]) -> Option<usize> {
    let reach = |found: &FoundLoop<'_>| if found.is_loop() { found.reaches(program, calls) } else { BTreeSet::new() };
    let reached: Vec<BTreeSet<usize>> = loops.iter().map(reach).collect();
    let own = (0..loops.len()).filter(|at| loops[*at].is_loop() && !loops[*at].inserted);
    let inside = |outer: usize, inner: usize| {
        let same = loops[outer].unit == loops[inner].unit && loops[outer].holds(&loops[inner]);
        outer != inner && (same || reached[outer].contains(&loops[inner].unit))
    };
    let outermost = |at: usize| !own.clone().any(|other| inside(other, at));
    let score = |at: usize| {
        let found = &loops[at];
        let mut words = calls.mentioned(program.units[found.unit].file, found.stmt.body());
        words.extend(reached[at].iter().flat_map(|unit| calls.mentions(*unit).iter().cloned()));
        let has = |names: &[&str]| names.iter().any(|name| words.contains(*name));
        let name = found.name.to_lowercase();
        let epochs = name.contains("epoch");
        let steps = name != UNNAMED && STEPS.iter().any(|step| name.contains(step));
        // Boosters are updated; so are many things that no loop over rounds would be about.
        let trains = has(&TRAINING) || steps && has(&["update"]) || words.iter().any(|word| sounds_of_training(word));
        let nests = own.clone().any(|other| inside(at, other));
        let tells = has(&["log", "print"]);
        4 * u32::from(epochs) + 3 * u32::from(trains) + 2 * u32::from(nests) + u32::from(steps) + u32::from(tells)
    };
    let candidates = own.clone().filter(|at| outermost(*at)).map(|at| (score(at), at));
    let candidates = candidates.filter(|(score, _)| *score >= LEAST_SCORE);
    candidates.max_by_key(|(score, at)| (*score, usize::MAX - at)).map(|(_, main)| main)
}

/// Parts of names of variables that count what training is made of, but for epochs.
const STEPS: [&str; 7] = ["step", "iter", "round", "rnd", "episode", "generation", "batch"];

/// What code that trains mentions.
const TRAINING: [&str; 8] =
    ["backward", "zero_grad", "step", "train", "fit", "optimizer", "apply_gradients", "apply_updates"];

/// The blocks of the main loop.
pub(super) fn blocks(
    program: &Program<'_>,
    calls: &Calls<'_>,
    loops: &[FoundLoop<'_>],
    main: usize,
    inserted: Inserted<'_>,
) -> BTreeSet<usize> {
    Blocks { program, calls, loops, main, inserted }.find()
}

/// Looks for the blocks: the outermost loops in the main loop's body and in the functions that it calls outside of
/// loops; and the costly calls that lead to no such loop.
struct Blocks<'s, 'a> {
    program: &'s Program<'a>,
    calls: &'s Calls<'a>,
    loops: &'s [FoundLoop<'a>],
    main: usize,
    inserted: Inserted<'s>,
}

impl Blocks<'_, '_> {
    fn find(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut units = BTreeSet::new();
        let mut waiting = vec![self.loops[self.main].unit];
        for depth in (0..=MAX_CALL_DEPTH).rev() {
            let mut called = BTreeSet::new();
            for unit in waiting.into_iter().filter(|unit| units.insert(*unit)).collect::<Vec<_>>() {
                let here = self.outermost(unit);
                let is_block = |at: &usize| self.loops[*at].is_loop() || self.is_costly(*at, depth);
                let blocks: Vec<usize> = here.into_iter().filter(is_block).collect();
                called.extend(self.calls.named_by(&self.names_outside(unit, &blocks)));
                found.extend(blocks);
            }
            waiting = called.into_iter().collect();
        }
        found
    }

    /// Loops and calls of a unit, of the main loop's only those in it, that lie in no loop.
    fn outermost(&self, unit: usize) -> Vec<usize> {
        let within = (unit == self.loops[self.main].unit).then_some(&self.loops[self.main]);
        let here = (0..self.loops.len())
            .filter(|at| self.loops[*at].unit == unit && *at != self.main && !self.loops[*at].inserted)
            .filter(|at| within.is_none_or(|main| main.holds(&self.loops[*at])))
            .collect::<Vec<usize>>();
        let is_inside =
            |at: usize, other: usize| self.loops[other].is_loop() && self.loops[other].holds(&self.loops[at]);
        here.iter().copied().filter(|at| !here.iter().any(|other| is_inside(*at, *other))).collect()
    }

    /// Whether a call looks as if it took long, and logs nothing, and leads to no loop that is a block of its own.
    fn is_costly(&self, at: usize, depth: usize) -> bool {
        let Sequence::Called(call) = self.loops[at].sequence else { return false };
        let Some(name) = callee(call) else { return false };
        let units = self.calls.named_by(&BTreeSet::from([name.to_owned()]));
        // A module is put into a mode by these.
        let sets_mode = units.is_empty()
            && matches!(name, "train" | "eval")
            && call.func.is_attribute_expr()
            && call.arguments.args.iter().all(Expr::is_literal_expr);
        (sounds_costly(name) && !sets_mode || units.iter().any(|unit| self.computes_over_items(*unit)))
            && !self.leads_to_loop(units, depth)
            && !logs(self.program, self.calls, &self.loops[at], self.inserted)
    }

    /// Whether functions, or those that they call outside of loops, hold loops.
    fn leads_to_loop(&self, units: BTreeSet<usize>, depth: usize) -> bool {
        let mut seen = BTreeSet::from([self.loops[self.main].unit]);
        let mut waiting: Vec<usize> = units.into_iter().collect();
        for _ in 0..depth {
            let new: Vec<usize> = waiting.into_iter().filter(|unit| seen.insert(*unit)).collect();
            if new.iter().any(|unit| self.outermost(*unit).iter().any(|at| self.loops[*at].is_loop())) {
                return true;
            }
            waiting = new.iter().flat_map(|unit| self.calls.named_by(&self.names_outside(*unit, &[]))).collect();
        }
        false
    }

    /// Whether a function's code goes over items in an expression, with a call for each.
    fn computes_over_items(&self, unit: usize) -> bool {
        struct Over(bool);
        impl<'a> Visitor<'a> for Over {
            fn visit_expr(&mut self, expr: &'a Expr) {
                let each = match expr {
                    Expr::ListComp(each) => Some(&*each.elt),
                    Expr::Generator(each) => Some(&*each.elt),
                    _ => None,
                };
                self.0 |= each.is_some_and(|element| element.is_call_expr());
                walk_expr(self, expr);
            }
        }
        let mut over = Over(false);
        over.visit_body(self.program.units[unit].body);
        over.0
    }

    /// Names that are called in a unit, but in none of its loops and of these blocks.
    fn names_outside(&self, unit: usize, blocks: &[usize]) -> BTreeSet<String> {
        let main = &self.loops[self.main];
        let body = if unit == main.unit { main.stmt.body() } else { self.program.units[unit].body };
        let file = self.program.units[unit].file;
        let inserted = if file == 0 { self.inserted } else { &[] };
        let module = self.program.files[file].module;
        let blocks = blocks.iter().map(|at| &self.loops[*at]).collect();
        let mut outside = Outside { names: BTreeSet::new(), module, inserted, blocks };
        outside.visit_body(body);
        outside.names
    }
}

/// Words in names of functions that take long.
const COSTLY: [&str; 19] = [
    "train",
    "training",
    "fit",
    "learn",
    "optimize",
    "eval",
    "evaluate",
    "evaluation",
    "valid",
    "validate",
    "validation",
    "val",
    "test",
    "predict",
    "generate",
    "score",
    "rollout",
    "epoch",
    "episode",
];

/// Words that such names do not begin with: what they begin prepares, tells or keeps.
const PREPARING: [&str; 18] = [
    "set", "get", "on", "log", "print", "is", "has", "save", "load", "plot", "make", "build", "create", "init", "add",
    "prepare", "split", "zero",
];

/// Whether a function sounds as if it took long, by the words of its name: `train_one_epoch`, `runEvaluation`.
fn sounds_costly(name: &str) -> bool {
    let words = words_of(name);
    words.first().is_some_and(|first| !PREPARING.contains(&first.as_str()))
        && words.iter().any(|word| COSTLY.contains(&word.as_str()))
}

/// Whether a name of several words is one for training: `train_step`, `partial_fit`, `trainOneBatch`, and not `train_loader`.
fn sounds_of_training(name: &str) -> bool {
    match &words_of(name)[..] {
        [first, second, ..] if first == "train" => ["step", "on", "one", "batch", "epoch"].contains(&second.as_str()),
        [first, second] => {
            first == "partial" && second == "fit" || ["step", "fn"].contains(&second.as_str()) && first == "update"
        }
        _ => false,
    }
}

fn words_of(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in name.chars() {
        spaced.extend(letter.is_uppercase().then_some('_'));
        spaced.extend(letter.to_lowercase());
    }
    spaced.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Names that are called on the way, outside of loops.
struct Outside<'m, 'a> {
    names: BTreeSet<String>,
    module: &'m Module,
    inserted: Inserted<'m>,
    blocks: Vec<&'m FoundLoop<'a>>,
}

impl<'v> Visitor<'v> for Outside<'_, '_> {
    fn visit_stmt(&mut self, stmt: &'v Stmt) {
        let nested = matches!(stmt, Stmt::For(_) | Stmt::While(_) | Stmt::FunctionDef(_) | Stmt::ClassDef(_));
        let is_block = self.blocks.iter().any(|block| block.stmt.is(stmt));
        if !nested && !is_block && !holds(self.inserted, self.module.span(stmt).0) {
            walk_stmt(self, stmt);
        }
    }

    fn visit_expr(&mut self, expr: &'v Expr) {
        match expr {
            Expr::Call(call) => self.names.extend(callee(call).map(str::to_owned)),
            // What is called there is called often.
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) | Expr::Lambda(_) => return,
            _ => {}
        }
        walk_expr(self, expr);
    }
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
    within(found.unit, &[found.stmt.whole()])
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
        self.found |= expr.as_call_expr().is_some_and(|call| self.api.logs(call));
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
            ("for row in rows:\n  seen.update(train_loader[row])\n  print(row)\n", ""),
            ("for rnd in range(6):\n  booster.update(d, rnd)\n  print(rnd)\n", "main rnd 1"),
            ("for k in range(6):\n  clf.partial_fit(x, y)\n  print(k)\n", "main k 1, block partial_fit() 2"),
            ("for k in range(6):\n  p, s = train_step(p, s)\n  print(k)\n", "main k 1, block train_step() 2"),
            ("while True:\n  for x in data:\n    o.step()\n  n += 1\n", "main n 1, block x 2"),
            ("i = 0\nwhile i < 9:\n  k += 1\n  loss.backward()\n  print(i)\n  i += 2\n", "main i 2"),
            (
                "while self.epoch < self.epochs:\n  loss.backward()\n  self.epoch += 1\n  n += 1\n  print(n)\n",
                "main epoch 1",
            ),
            ("while True:\n  loss.backward()\n  run[k].n += 1\n  self.state.step += 1\n  print(n)\n", "main step 1"),
            ("for epoch in e:\n  while a:\n    for x in d:\n      o.step()\n", "main epoch 1, block iteration 2"),
            // Calls are blocks where they sound costly or go over items, and lead to no loop.
            (
                "for epoch in e:\n  acc, f1 = evaluate(m)\n  m.eval()\n  print(acc)\n",
                "main epoch 1, block evaluate() 2",
            ),
            (
                "for epoch in e:\n  if epoch:\n    t.fit(m)\n  set_epoch(1)\n  f = x.update(m)\n",
                "main epoch 1, block fit() 3",
            ),
            (
                "def mean(m):\n  return sum(loss(m, x) for x in d)\nfor epoch in e:\n  v = mean(m)\n",
                "main epoch 3, block mean() 4",
            ),
            (
                "def go(m):\n  train_one(m)\n  for x in d:\n    m(x)\nfor epoch in e:\n  train_all(m)\n  go(m)\n\
                 def train_all(m):\n  go(m)\n",
                "main epoch 5, block train_one() 2, block x 3",
            ),
            // What it logs must have a place: such a call is executed.
            (
                "from afterlog import log\ndef evaluate(m):\n  log('a', m)\nfor epoch in e:\n  evaluate(m)\n",
                "main epoch 4",
            ),
            // Beside loops that the script names, the others are blocks too.
            (
                "import afterlog\nfor epoch in afterlog.loop('epoch', e):\n  for x in d:\n    m(x)\n  a = evaluate(m)\n",
                "main epoch 2, block x 3, block evaluate() 5",
            ),
            ("while a:\n  for x in data:\n    o.step()\nelse:\n  pass\n", "main iteration 1, block x 2"),
            ("async def f():\n  async for epoch in g():\n    o.step()\n", ""),
        ] {
            assert_eq!(found(&plan(text, &[])), expected, "{text}");
        }
    }

    #[test]
    fn a_generator_that_is_made_for_a_loop_is_gone_with_it_and_one_that_is_kept_is_not() {
        let made = "def batches(n):\n  for k in range(n):\n    yield k\n";
        let never = |text: &str| {
            let plan = plan(&format!("{made}{text}"), &[]);
            let block = plan.loops.iter().find(|found| found.is_block).expect("a block");
            (block.never_skip.is_some(), plan.loops.iter().any(|found| found.is_main && found.jumpable))
        };
        let epochs = "for epoch in range(3):\n";
        for (text, expected) in [
            ("  for x in batches(4):\n    o.step()\n", (false, true)),
            ("  for i, x in enumerate(tqdm(batches(4))):\n    o.step()\n", (false, true)),
            ("  for x in load(batches(4)):\n    o.step()\n", (true, false)),
            ("  for x in d:\n    o.step(kept := batches(4))\n", (true, false)),
        ] {
            assert_eq!(never(&format!("{epochs}{text}")), expected, "{text}");
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
