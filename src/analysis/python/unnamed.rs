//! The loops of scripts that name none, and the calls in them that may be blocks.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Operator, Stmt, StmtWhile};

use crate::analysis::python::liveness;
use crate::analysis::python::loops::{FoundLoop, LoopStmt, Sequence};
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;

/// The name of a loop whose statement gives it none.
pub(super) const UNNAMED: &str = "iteration";

/// Every `for` and `while` statement of the program, and every call that is a statement.
pub(super) fn find_loops<'a>(program: &Program<'a>) -> Vec<FoundLoop<'a>> {
    let mut loops = Vec::new();
    for (number, unit) in program.units.iter().enumerate() {
        let module = program.files[unit.file].module;
        let mut finder = Finder { unit: number, module, loops: &mut loops, line: 0 };
        unit.body.iter().for_each(|stmt| finder.visit_stmt(stmt));
    }
    loops
}

impl<'a> Finder<'_, 'a> {
    /// Adds a statement that is nothing but a call. Lines tell statements apart, and so it must have its own.
    fn add_call(&mut self, stmt: &'a Stmt) {
        let value = match stmt {
            Stmt::Expr(only) => Some(&*only.value),
            Stmt::Assign(assign) => Some(&*assign.value),
            Stmt::AnnAssign(assign) => assign.value.as_deref(),
            Stmt::AugAssign(assign) => Some(&*assign.value),
            _ => None,
        };
        let Some((call, callee)) = value.and_then(Expr::as_call_expr).and_then(|call| Some((call, callee(call)?)))
        else {
            return;
        };
        let (first, _) = self.module.span(stmt);
        if first > self.line {
            self.add(LoopStmt::Call(stmt), Some(&format!("{callee}()")), Sequence::Called(call), stmt);
        }
    }

    fn add(&mut self, found: LoopStmt<'a>, name: Option<&str>, sequence: Sequence<'a>, stmt: &Stmt) {
        self.loops.push(FoundLoop {
            unit: self.unit,
            stmt: found,
            name: name.unwrap_or(UNNAMED).to_owned(),
            lines: self.module.span(stmt),
            column: self.module.columns(stmt)[1],
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
    /// The last line of the statement before, or the first of the one around.
    line: u32,
}

impl<'a> Visitor<'a> for Finder<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::While(repeated) => {
                let counter = counter(repeated);
                let name = counter.and_then(last_name);
                self.add(LoopStmt::While(repeated), name, Sequence::Turns { test: &repeated.test, counter }, stmt);
            }
            Stmt::For(each) if !each.is_async => {
                self.add(LoopStmt::For(each), name_of(&each.target), Sequence::Wrapped(inside_bar(&each.iter)), stmt);
            }
            _ => self.add_call(stmt),
        }
        let (first, last) = self.module.span(stmt);
        self.line = first;
        walk_stmt(self, stmt);
        self.line = last;
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
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

/// The variable, or the attribute of one, that a `while` advances: one that its condition reads, else the first that its body
/// counts by one.
fn counter(repeated: &StmtWhile) -> Option<&Expr> {
    let mut read = Dotted(liveness::reads_of(&repeated.test));
    read.visit_expr(&repeated.test);
    let advanced = || repeated.body.iter().filter_map(advanced).filter(|(target, _)| dotted(target).is_some());
    let is_one = |value: &Expr| {
        value.as_number_literal_expr().and_then(|number| number.value.as_int()?.as_u8()).is_some_and(|one| one == 1)
    };
    let in_test = advanced().find(|(target, _)| dotted(target).is_some_and(|name| read.0.contains(&name)));
    in_test.or_else(|| advanced().find(|(_, value)| is_one(value))).map(|(target, _)| target)
}

/// What `x += n` adds to, and what it adds.
fn advanced(stmt: &Stmt) -> Option<(&Expr, &Expr)> {
    let assign = stmt.as_aug_assign_stmt().filter(|assign| assign.op == Operator::Add)?;
    Some((&assign.target, &assign.value))
}

/// A variable, or what is reached from one by attributes only, as it is written: `self.state.epoch`.
pub(super) fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
        _ => None,
    }
}

/// Everything of that kind in an expression.
struct Dotted(BTreeSet<String>);

impl<'a> Visitor<'a> for Dotted {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.0.extend(dotted(expr));
        walk_expr(self, expr);
    }
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

/// The name by which a call calls: of `trainer.fit(…)` it is `fit`.
pub(super) fn callee(call: &ExprCall) -> Option<&str> {
    last_name(&call.func)
}

/// The last part of a dotted name.
fn last_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        _ => None,
    }
}
