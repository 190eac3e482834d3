//! What inserted lines carry on by themselves from one iteration to the next, such as a sum that goes on. The run captured
//! nothing of it.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

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

        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            walk_stmt(self, stmt);
        }
    }
    let Some(file) = files.iter().find(|file| file.path == script) else { return BTreeSet::new() };
    let module = Module::parse(&file.text);
    let mut bound = Bound { module: &module, inserted, names: BTreeSet::new() };
    module.body().iter().for_each(|stmt| bound.visit_stmt(stmt));
    bound.names
}

/// Has nothing be skipped over which a name that the inserted lines bind goes on; `was` is the plan without them. What they
/// change besides is seen when they are executed.
pub(super) fn keep(plan: &mut InstrumentationPlan, was: &InstrumentationPlan, bound: &BTreeSet<String>) {
    let main = was.main.as_ref().and_then(|key| was.find(key));
    let captured = |found: &LoopPlan| {
        let of_loop = was.find(&found.key).map(|was| &was.changes[..]).unwrap_or_default();
        let of_main = main.filter(|main| (&main.file, &main.scope) == (&found.file, &found.scope));
        let all = of_loop.iter().chain(of_main.map(|main| &main.changes[..]).unwrap_or_default());
        all.map(Variable::key).collect::<BTreeSet<String>>()
    };
    for found in plan.loops.iter_mut().filter(|found| found.is_main || found.is_block) {
        let captured = captured(found);
        let names = found.live.iter().filter(|key| !captured.contains(*key));
        let carried = names.filter_map(|key| key.rsplit(':').next()).find(|name| bound.contains(*name));
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
