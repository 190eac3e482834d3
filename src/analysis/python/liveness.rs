//! Which names may be read before they are assigned again.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::parse::Module;

/// Every name that some statements read, nested functions included.
pub(super) fn reads<'a>(body: impl IntoIterator<Item = &'a Stmt>) -> BTreeSet<String> {
    let mut reads = Reads::default();
    body.into_iter().for_each(|stmt| reads.visit_stmt(stmt));
    reads.names
}

#[derive(Default)]
struct Reads {
    names: BTreeSet<String>,
}

impl<'a> Visitor<'a> for Reads {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        // `x += 1` reads x, though the tree has it as a store.
        if let Stmt::AugAssign(assign) = stmt
            && let Expr::Name(name) = &*assign.target
        {
            self.names.insert(name.id.to_string());
        }
        ruff_python_ast::visitor::walk_stmt(self, stmt);
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

/// Whether `backward()` or `autograd.grad()` is called around the loop on these lines, and in no other loop beside it.
pub(super) fn differentiates_beside(body: &[Stmt], module: &Module, lines: (u32, u32)) -> bool {
    struct Beside<'m>(&'m Module, (u32, u32), bool);
    impl<'a> Visitor<'a> for Beside<'_> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            let (first, last) = self.0.span(stmt);
            let around = first <= self.1.0 && self.1.1 <= last && (first, last) != self.1;
            let is_code = matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_));
            if !is_code && (around || (first, last) != self.1 && !matches!(stmt, Stmt::For(_) | Stmt::While(_))) {
                walk_stmt(self, stmt);
            }
        }

        fn visit_expr(&mut self, expr: &'a Expr) {
            let called = expr.as_call_expr().and_then(|call| call.func.as_attribute_expr());
            self.2 |= called.is_some_and(|attribute| {
                let of_autograd =
                    attribute.value.as_attribute_expr().is_some_and(|module| module.attr.as_str() == "autograd");
                attribute.attr.as_str() == "backward" || attribute.attr.as_str() == "grad" && of_autograd
            });
            walk_expr(self, expr);
        }
    }
    let mut beside = Beside(module, lines, false);
    beside.visit_body(body);
    beside.2
}

/// Every name that an expression reads.
pub(super) fn reads_of(expr: &Expr) -> BTreeSet<String> {
    let mut reads = Reads::default();
    reads.visit_expr(expr);
    reads.names
}

fn stores_of(expr: &Expr, names: &mut BTreeSet<String>) {
    match expr {
        Expr::Name(name) => drop(names.insert(name.id.to_string())),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| stores_of(item, names)),
        Expr::List(list) => list.elts.iter().for_each(|item| stores_of(item, names)),
        Expr::Starred(starred) => stores_of(&starred.value, names),
        _ => {}
    }
}

/// Names that statements may read before they have assigned them on every path: what their outcome depends on.
/// `assigned` are names certainly assigned before, and after the call also those that the statements certainly assign.
pub(super) fn exposed(body: &[Stmt], assigned: &mut BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for stmt in body {
        one(stmt, assigned, &mut found);
    }
    found
}

fn one(stmt: &Stmt, assigned: &mut BTreeSet<String>, found: &mut BTreeSet<String>) {
    let expose = |names: BTreeSet<String>, assigned: &BTreeSet<String>, found: &mut BTreeSet<String>| {
        found.extend(names.into_iter().filter(|name| !assigned.contains(name)));
    };
    match stmt {
        Stmt::Assign(assign) => {
            let mut read = reads_of(&assign.value);
            assign.targets.iter().for_each(|target| read.extend(reads_of(target)));
            expose(read, assigned, found);
            assign.targets.iter().for_each(|target| stores_of(target, assigned));
        }
        Stmt::AnnAssign(assign) => {
            if let Some(value) = &assign.value {
                expose(reads_of(value), assigned, found);
                stores_of(&assign.target, assigned);
            }
        }
        Stmt::If(choice) => {
            expose(reads_of(&choice.test), assigned, found);
            let mut after: Vec<BTreeSet<String>> = Vec::new();
            let mut branch = assigned.clone();
            found.extend(exposed(&choice.body, &mut branch));
            after.push(branch);
            let mut has_else = false;
            for clause in &choice.elif_else_clauses {
                clause.test.iter().for_each(|test| expose(reads_of(test), assigned, found));
                has_else |= clause.test.is_none();
                let mut branch = assigned.clone();
                found.extend(exposed(&clause.body, &mut branch));
                after.push(branch);
            }
            if has_else {
                let common = after.into_iter().reduce(|a, b| a.intersection(&b).cloned().collect());
                *assigned = common.unwrap_or_default();
            }
        }
        Stmt::With(with) => {
            for item in &with.items {
                expose(reads_of(&item.context_expr), assigned, found);
                item.optional_vars.iter().for_each(|target| stores_of(target, assigned));
            }
            found.extend(exposed(&with.body, assigned));
        }
        Stmt::For(each) => {
            expose(reads_of(&each.iter), assigned, found);
            // The body may not run at all: what it assigns is certain only inside.
            let mut inside = assigned.clone();
            stores_of(&each.target, &mut inside);
            found.extend(exposed(&each.body, &mut inside));
            found.extend(exposed(&each.orelse, &mut assigned.clone()));
        }
        Stmt::While(each) => {
            expose(reads_of(&each.test), assigned, found);
            found.extend(exposed(&each.body, &mut assigned.clone()));
            found.extend(exposed(&each.orelse, &mut assigned.clone()));
        }
        Stmt::Delete(gone) => {
            for target in &gone.targets {
                expose(reads_of(target), assigned, found);
                let mut names = BTreeSet::new();
                stores_of(target, &mut names);
                assigned.retain(|name| !names.contains(name));
            }
        }
        // Anything else: all that it reads, nothing that it assigns is relied on.
        other => expose(reads([other]), assigned, found),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::exposed;
    use crate::analysis::python::parse::Module;

    #[test]
    fn only_what_may_be_read_first_is_exposed() {
        for (text, expected) in [
            ("a = 1\nb = a + c", "c"),
            ("x += 1", "x"),
            ("if p:\n    a = 1\nb = a", "a p"),
            ("if p:\n    a = 1\nelse:\n    a = 2\nb = a", "p"),
            ("for i in xs:\n    t = i\nuse(t)", "t use xs"),
            ("with f() as g:\n    g.read()\nh = g", "f"),
            ("m[k] = 1", "k m"),
            ("a = 1\ndel a\nb = a", "a"),
            ("try:\n    a = 1\nexcept E:\n    pass\nb = a", "E a"),
        ] {
            let module = Module::parse(text);
            let found: Vec<String> = exposed(module.body(), &mut BTreeSet::new()).into_iter().collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
