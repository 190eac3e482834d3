//! The statements that are loops to us, and the calls that may be blocks: where they stand and what they go over.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt, StmtFor, StmtWhile};

use crate::analysis::python::api::{Api, ApiNames};
use crate::analysis::python::liveness;
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::analysis::python::reach::Calls;
use crate::analysis::python::unnamed;

/// Lines (1-based, inclusive) of the script that were added to its version.
pub(super) type Inserted<'i> = &'i [(u32, u32)];

pub(super) fn holds(lines: Inserted<'_>, line: u32) -> bool {
    lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
}

/// A statement that is a loop to us, or a call that may be a block.
pub(super) struct FoundLoop<'a> {
    pub(super) unit: usize,
    pub(super) stmt: LoopStmt<'a>,
    pub(super) name: String,
    pub(super) lines: (u32, u32),
    /// Where the statement begins in its first line, in bytes.
    pub(super) column: u32,
    pub(super) sequence: Sequence<'a>,
    /// On an inserted line.
    pub(super) inserted: bool,
    /// Inside a `with checkpointing(…)`, directly or deeper.
    pub(super) checkpointed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LoopStmt<'a> {
    For(&'a StmtFor),
    While(&'a StmtWhile),
    /// A statement that does nothing but call, and perhaps assign what it gets.
    Call(&'a Stmt),
}

impl<'a> LoopStmt<'a> {
    pub(super) fn body(self) -> &'a [Stmt] {
        match self {
            Self::For(each) => &each.body,
            Self::While(repeated) => &repeated.body,
            Self::Call(stmt) => std::slice::from_ref(stmt),
        }
    }

    pub(super) fn orelse(self) -> &'a [Stmt] {
        match self {
            Self::For(each) => &each.orelse,
            Self::While(repeated) => &repeated.orelse,
            Self::Call(_) => &[],
        }
    }

    pub(super) fn is_while(self) -> bool {
        matches!(self, Self::While(_))
    }

    /// The loop with nothing in it: what it goes over, or its condition.
    pub(super) fn head(self) -> Stmt {
        match self.whole() {
            Stmt::For(each) => Stmt::For(StmtFor { body: vec![].into(), orelse: vec![].into(), ..each }),
            Stmt::While(repeated) => Stmt::While(StmtWhile { body: vec![].into(), orelse: vec![].into(), ..repeated }),
            other => other,
        }
    }

    pub(super) fn whole(self) -> Stmt {
        match self {
            Self::For(each) => Stmt::For(each.clone()),
            Self::While(repeated) => Stmt::While(repeated.clone()),
            Self::Call(stmt) => stmt.clone(),
        }
    }

    /// Whether a statement is this one.
    pub(super) fn is(self, stmt: &Stmt) -> bool {
        match (self, stmt) {
            (Self::For(own), Stmt::For(other)) => std::ptr::eq(own, other),
            (Self::While(own), Stmt::While(other)) => std::ptr::eq(own, other),
            (Self::Call(own), other) => std::ptr::eq(own, other),
            _ => false,
        }
    }

    /// Names that an iteration may read before it assigns them.
    pub(super) fn exposed(self) -> BTreeSet<String> {
        let mut assigned = BTreeSet::new();
        let mut read = match self {
            Self::For(each) => {
                target_names(&each.target, &mut assigned);
                BTreeSet::new()
            }
            Self::While(repeated) => liveness::reads_of(&repeated.test),
            Self::Call(_) => BTreeSet::new(),
        };
        read.extend(liveness::exposed(self.body(), &mut assigned));
        read
    }
}

/// What is iterated over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sequence<'a> {
    /// A call of `loop` somewhere in the iterable's expression.
    Named(&'a ExprCall),
    /// An expression that the runtime wraps.
    Wrapped(&'a Expr),
    /// The condition of a `while`, and what counts: a variable, or an attribute of one.
    Turns { test: &'a Expr, counter: Option<&'a Expr> },
    /// Of a call: it, and nothing is iterated over.
    Called(&'a ExprCall),
}

impl<'a> FoundLoop<'a> {
    /// Whether it iterates.
    pub(super) fn is_loop(&self) -> bool {
        !matches!(self.sequence, Sequence::Called(_))
    }

    /// Whether the script names it.
    pub(super) fn is_named(&self) -> bool {
        matches!(self.sequence, Sequence::Named(_))
    }

    pub(super) fn holds(&self, other: &Self) -> bool {
        self.lines.0 <= other.lines.0 && other.lines.1 <= self.lines.1 && self.lines != other.lines
    }

    /// Whether a comment on the loop says so.
    pub(super) fn directed(&self, program: &Program<'_>, directive: &str) -> bool {
        program.files[program.units[self.unit].file].module.directs(self.lines.0, directive)
    }

    /// Units that it can get to.
    pub(super) fn reaches(&self, program: &Program<'_>, calls: &Calls<'_>) -> BTreeSet<usize> {
        calls.reached_from(program.units[self.unit].file, &[self.stmt.whole()])
    }

    pub(super) fn key(&self, program: &Program<'_>, loops: &[FoundLoop<'_>]) -> String {
        let unit = &program.units[self.unit];
        let same = |other: &&FoundLoop<'_>| {
            other.unit == self.unit && other.name == self.name && other.inserted == self.inserted
        };
        let number = loops.iter().filter(same).take_while(|other| !std::ptr::eq(*other, self)).count();
        let mark = if self.inserted { "+" } else { "" };
        format!("{}::{}::{}#{mark}{number}", program.files[unit.file].path, unit.scope, self.name)
    }
}

/// The loops that the API names, then all others, and calls. `inserted` are lines of the script, the first file.
pub(super) fn find_loops<'a>(program: &Program<'a>, inserted: Inserted<'_>) -> Vec<FoundLoop<'a>> {
    let mut loops = Vec::new();
    for (number, unit) in program.units.iter().enumerate() {
        let file = &program.files[unit.file];
        let mut finder =
            LoopFinder { unit: number, module: file.module, api: &file.api, checkpointed: false, loops: &mut loops };
        unit.body.iter().for_each(|stmt| finder.visit_stmt(stmt));
    }
    let is_inserted = |found: &FoundLoop<'_>| program.units[found.unit].file == 0 && holds(inserted, found.lines.0);
    loops.iter_mut().for_each(|found| found.inserted = is_inserted(found));
    let named =
        |found: &FoundLoop<'_>| loops.iter().any(|other| (other.unit, other.lines) == (found.unit, found.lines));
    let mut others = unnamed::find_loops(program);
    others.retain(|found| !named(found));
    others.iter_mut().for_each(|found| found.inserted = is_inserted(found));
    loops.append(&mut others);
    loops
}

struct LoopFinder<'f, 'a> {
    unit: usize,
    module: &'a Module,
    api: &'f ApiNames,
    checkpointed: bool,
    loops: &'f mut Vec<FoundLoop<'a>>,
}

impl<'a> Visitor<'a> for LoopFinder<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::With(with) => {
                let is_checkpointing = |expr: &Expr| {
                    expr.as_call_expr().is_some_and(|call| self.api.function(&call.func) == Some(Api::Checkpointing))
                };
                if with.items.iter().any(|item| is_checkpointing(&item.context_expr)) {
                    let outer = std::mem::replace(&mut self.checkpointed, true);
                    walk_stmt(self, stmt);
                    self.checkpointed = outer;
                    return;
                }
            }
            Stmt::For(each) if !each.is_async => {
                let mut finder = CallFinder { api: self.api, found: None };
                finder.visit_expr(&each.iter);
                if let Some((call, name)) = finder.found {
                    self.loops.push(FoundLoop {
                        unit: self.unit,
                        stmt: LoopStmt::For(each),
                        name: name.to_owned(),
                        lines: self.module.span(stmt),
                        column: self.module.columns(stmt)[1],
                        sequence: Sequence::Named(call),
                        inserted: false,
                        checkpointed: self.checkpointed,
                    });
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

struct CallFinder<'f, 'a> {
    api: &'f ApiNames,
    found: Option<(&'a ExprCall, &'a str)>,
}

impl<'a> Visitor<'a> for CallFinder<'_, 'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Some(name) = self.api.name_in(call, Api::Loop)
        {
            self.found.get_or_insert((call, name));
            return;
        }
        walk_expr(self, expr);
    }
}

pub(super) fn target_names(target: &Expr, names: &mut BTreeSet<String>) {
    match target {
        Expr::Name(name) => drop(names.insert(name.id.to_string())),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| target_names(item, names)),
        Expr::List(list) => list.elts.iter().for_each(|item| target_names(item, names)),
        Expr::Starred(starred) => target_names(&starred.value, names),
        _ => {}
    }
}
