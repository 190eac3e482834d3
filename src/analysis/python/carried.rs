//! What inserted lines carry on by themselves from one iteration to the next, such as a sum that goes on. The run captured
//! nothing of it.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Comprehension, Expr, Stmt, StmtFor, StmtFunctionDef, StmtWhile};

use crate::analysis::python::liveness;
use crate::analysis::python::loops::{Inserted, holds};
use crate::analysis::python::parse::Module;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Variable};
use crate::model::source::SourceFile;

/// The files with nothing on the inserted lines of the script.
pub(super) fn without(script: &str, files: &[SourceFile], inserted: Inserted<'_>) -> Vec<SourceFile> {
    let blank = |file: &SourceFile| {
        let lines = (1..).zip(file.text.split_inclusive('\n'));
        let kept = lines.map(|(line, text)| if holds(inserted, line) { "\n" } else { text });
        SourceFile { path: file.path.clone(), text: kept.collect() }
    };
    files.iter().map(|file| if file.path == script { blank(file) } else { file.clone() }).collect()
}

/// The names that the inserted lines bind.
pub(super) fn bound(script: &str, files: &[SourceFile], inserted: Inserted<'_>) -> BTreeSet<String> {
    struct Bound<'m> {
        module: &'m Module,
        inserted: Inserted<'m>,
        names: BTreeSet<String>,
    }
    impl<'a> Visitor<'a> for Bound<'_> {
        fn visit_expr(&mut self, expr: &'a Expr) {
            if let Expr::Name(name) = expr
                && name.ctx.is_store()
                && holds(self.inserted, self.module.span(expr).0)
            {
                self.names.insert(name.id.to_string());
            }
            walk_expr(self, expr);
        }

        // What a comprehension goes over with is gone with it.
        fn visit_comprehension(&mut self, part: &'a Comprehension) {
            self.visit_expr(&part.iter);
            part.ifs.iter().for_each(|test| self.visit_expr(test));
        }
    }
    let Some(file) = files.iter().find(|file| file.path == script) else { return BTreeSet::new() };
    let module = Module::parse(&file.text);
    let mut bound = Bound { module: &module, inserted, names: BTreeSet::new() };
    module.body().iter().for_each(|stmt| bound.visit_stmt(stmt));
    bound.names
}

/// Has nothing be skipped over which a name that the inserted lines bind goes on; `was` is the plan without them. What they
/// change besides is seen when they are executed. Of a name that the run captured, a skip would restore the run's value.
pub(super) fn keep(
    plan: &mut InstrumentationPlan,
    was: &InstrumentationPlan,
    script: Option<&SourceFile>,
    bound: &BTreeSet<String>,
) {
    let module = script.map(|file| (&file.path, Module::parse(&file.text)));
    let main = was.main.as_ref().and_then(|key| was.find(key));
    let main_now = plan.main.as_ref().and_then(|key| plan.find(key)).cloned();
    let name_of = |key: &String| key.rsplit(':').next().unwrap_or_default().to_owned();
    for found in plan.loops.iter_mut().filter(|found| found.is_main || found.is_block) {
        let of_loop = was.find(&found.key).map(|was| &was.changes[..]).unwrap_or_default();
        let is_beside = |main: &LoopPlan| (&main.file, &main.scope) == (&found.file, &found.scope);
        let of_main = main.map(|main| &main.changes[..]).unwrap_or_default();
        let beside = if main.is_some_and(is_beside) { of_main } else { &[] };
        let captured: BTreeSet<String> = of_loop.iter().chain(beside).map(Variable::key).collect();
        // The end of a block holds all that the main loop changes, wherever the block stands.
        let (around, apart) = match main_now.as_ref() {
            Some(main) if !is_beside(main) => (main, true),
            _ => (&*found, false),
        };
        let here = module.as_ref().filter(|(path, _)| **path == around.file);
        let read = here.map(|(_, module)| read(module, around, apart)).unwrap_or_default();
        let restored = of_loop.iter().chain(of_main).map(|variable| variable.name.clone());
        let new = found.live.iter().filter(|key| !captured.contains(*key)).map(name_of);
        let carried = new.chain(restored.filter(|name| read.contains(name))).find(|name| bound.contains(name));
        if let Some(name) = carried
            && found.never_skip.is_none()
        {
            let reason = format!("what was added carries '{name}' on from one time to the next");
            if found.is_main {
                plan.problems.push(format!("the loop '{}' can only be entered at its beginning: {reason}", found.name));
                found.jumpable = false;
            } else {
                found.never_skip = Some(reason);
            }
        }
        // What a replay captures must be what the run captured: otherwise neither can be compared.
        if let Some(was) = was.find(&found.key) {
            found.changes.clone_from(&was.changes);
        }
    }
}

/// Names that may be read after a loop, or when it comes round again, before they are assigned. More exact than what is
/// `live` in its plan: a loop that was added often assigns the same names as one of the script's, and reads only its own.
/// `apart`: after any of the statements in it, since it is not known in which of them the block is.
fn read(module: &Module, found: &LoopPlan, apart: bool) -> BTreeSet<String> {
    let lines = (found.first_line, found.last_line);
    let mut read = Read { module, lines, after_only: found.is_main, apart, names: BTreeSet::new() };
    read.visit_body(module.body());
    read.names
}

struct Read<'m> {
    module: &'m Module,
    /// Of the loop.
    lines: (u32, u32),
    after_only: bool,
    apart: bool,
    names: BTreeSet<String>,
}

impl Read<'_> {
    /// Functions read the variables around them whenever they are called.
    fn function(&mut self, function: &StmtFunctionDef) {
        let mut own = function.parameters.iter().map(|parameter| parameter.name().to_string()).collect();
        self.names.extend(liveness::exposed(&function.body, &mut own));
    }
}

impl<'a> Visitor<'a> for Read<'_> {
    fn visit_body(&mut self, body: &'a [Stmt]) {
        let ((from, to), mut assigned) = (self.lines, BTreeSet::new());
        for stmt in body {
            let (first, last) = self.module.span(stmt);
            match stmt {
                Stmt::For(StmtFor { body, .. }) | Stmt::While(StmtWhile { body, .. })
                    if self.apart && (first, last) == (from, to) =>
                {
                    let each = body.iter().map(std::slice::from_ref);
                    self.names.extend(each.flat_map(|stmt| liveness::exposed(stmt, &mut BTreeSet::new())));
                    assigned.clear();
                }
                _ if (first, last) == (from, to) => {
                    self.names.extend(liveness::exposed(std::slice::from_ref(stmt), &mut BTreeSet::new()));
                    assigned.clear();
                }
                _ if first <= from && to <= last => {
                    walk_stmt(self, stmt);
                    assigned.clear();
                }
                Stmt::FunctionDef(function) => self.function(function),
                Stmt::ClassDef(class) => self.visit_body(&class.body),
                _ if self.after_only && last < from => {}
                _ => self.names.extend(liveness::exposed(std::slice::from_ref(stmt), &mut assigned)),
            }
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && !name.ctx.is_store()
        {
            self.names.insert(name.id.to_string());
        }
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::python::instrument;
    use crate::model::source::SourceFile;

    #[test]
    fn nothing_is_skipped_over_which_an_added_line_carries_a_name_on_and_all_else_still_is() {
        let script = "def check(x):\n  return x\nlr = x = p = 0\nfor epoch in range(3):\n  for x in data:\n    o.step(lr, x)\n    \
                      w = x\n  for p in ps:\n    p.clip()\n  lr = lr * 2\n  v = w\n";
        let after = "for x in tests:\n  check(x)\n";
        for (added, jumpable, skipped) in [
            ("  log(lr)\n", true, true),
            ("  lr *= 2\n", false, false),
            ("  own += 1\n", false, true),
            ("  lr = 1\n", false, false),
            ("  v = 2\n  log(v)\n", true, true),
            // Names of the script's that the added lines only use again.
            ("  for x in tests:\n    log(check(x))\n", true, true),
            ("  log(sum(p.norm() for p in ps))\n", true, true),
        ] {
            let count = u32::try_from(added.lines().count()).expect("few lines");
            let text = format!("{script}{added}{after}");
            let plan = instrument("t.py", &[SourceFile { path: "t.py".into(), text }], &[(12, 11 + count)]);
            let main = plan.loops.iter().find(|found| found.is_main).expect("a main loop");
            let block = plan.loops.iter().find(|found| found.is_block).expect("a block");
            assert_eq!((main.jumpable, block.never_skip.is_none()), (jumpable, skipped), "{added}: {plan:?}");
        }
    }
}
