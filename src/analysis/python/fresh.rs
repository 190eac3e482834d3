//! Which calls that give something else at each execution, whatever was seeded, the statements on some lines may log: by the
//! names that carry their results there. What goes another way (through an object's methods, another module) is not seen.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::chance::{Chance, ChanceCall, chance_calls};
use crate::analysis::python::parse::Module;

/// Methods that keep what they are given.
const KEEP: [&str; 7] = ["append", "add", "update", "extend", "insert", "setdefault", "put"];

/// The calls of which something reaches the lines (1-based, inclusive ranges), in order. O(statements · calls).
pub fn fresh_calls(text: &str, lines: &[(u32, u32)]) -> Vec<ChanceCall> {
    let calls = chance_calls(text).into_iter().filter(|call| call.chance == Chance::Fresh);
    let module = Module::parse(text);
    let holds = |line: u32| lines.iter().any(|(first, last)| (*first..=*last).contains(&line));
    let reaches = |call: &ChanceCall| {
        let mut carried = Carried { module: &module, line: call.line, names: BTreeSet::new(), changed: true };
        while std::mem::take(&mut carried.changed) {
            carried.visit_body(module.body());
        }
        let mut seen = Seen { carried: &carried, holds: &holds, found: false };
        seen.visit_body(module.body());
        holds(call.line) || seen.found
    };
    let mut found: Vec<ChanceCall> = calls.filter(reaches).collect();
    let mut addresses = Addresses { module: &module, holds: &holds, found: &mut found };
    addresses.visit_body(module.body());
    found.sort_by_key(|call| call.line);
    found
}

/// Calls of `id()` on the lines themselves: what only tells objects apart elsewhere is not followed.
struct Addresses<'c, 'm, F> {
    module: &'m Module,
    holds: &'c F,
    found: &'c mut Vec<ChanceCall>,
}

impl<'a, F: Fn(u32) -> bool> Visitor<'a> for Addresses<'_, '_, F> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && call.func.as_name_expr().is_some_and(|name| name.id == "id")
        {
            let line = self.module.span(expr).0;
            if (self.holds)(line) {
                self.found.push(ChanceCall { line, name: "id".into(), chance: Chance::Fresh });
            }
        }
        walk_expr(self, expr);
    }
}

/// Names and dotted paths whose value comes from a call on a line.
struct Carried<'m> {
    module: &'m Module,
    line: u32,
    names: BTreeSet<String>,
    changed: bool,
}

impl Carried<'_> {
    fn comes(&self, value: &Expr) -> bool {
        let (first, last) = self.module.span(value);
        first <= self.line && self.line <= last && holds_call(value) || self.is_read_in(value)
    }

    fn is_read_in(&self, value: &Expr) -> bool {
        let mut reads = Paths::default();
        reads.visit_expr(value);
        reads.found.iter().any(|path| self.names.contains(path))
    }

    fn bind(&mut self, target: &Expr) {
        match target {
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| self.bind(item)),
            Expr::List(list) => list.elts.iter().for_each(|item| self.bind(item)),
            Expr::Starred(starred) => self.bind(&starred.value),
            Expr::Subscript(subscript) => self.bind(&subscript.value),
            _ => {
                if let Some(path) = dotted(target) {
                    self.changed |= self.names.insert(path);
                }
            }
        }
    }
}

impl<'a> Visitor<'a> for Carried<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) if self.comes(&assign.value) => assign.targets.iter().for_each(|to| self.bind(to)),
            Stmt::AugAssign(assign) if self.comes(&assign.value) => self.bind(&assign.target),
            Stmt::AnnAssign(assign) if assign.value.as_deref().is_some_and(|value| self.comes(value)) => {
                self.bind(&assign.target);
            }
            Stmt::For(each) if self.comes(&each.iter) => self.bind(&each.target),
            // What a function returns is what its calls give.
            Stmt::FunctionDef(function) => {
                let mut returns = Returns { carried: self, found: false };
                returns.visit_body(&function.body);
                if returns.found {
                    self.changed |= self.names.insert(function.name.to_string());
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Named(named) if self.comes(&named.value) => self.bind(&named.target),
            Expr::Call(call) => {
                let keeper = call.func.as_attribute_expr().filter(|method| KEEP.contains(&method.attr.as_str()));
                if let Some(method) = keeper
                    && call.arguments.args.iter().any(|argument| self.comes(argument))
                {
                    self.bind(&method.value);
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

struct Returns<'c, 'm> {
    carried: &'c Carried<'m>,
    found: bool,
}

impl<'a> Visitor<'a> for Returns<'_, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Return(given) => self.found |= given.value.as_deref().is_some_and(|value| self.carried.comes(value)),
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// Whether a statement on the lines reads what is carried.
struct Seen<'c, 'm, F> {
    carried: &'c Carried<'m>,
    holds: &'c F,
    found: bool,
}

impl<'a, F: Fn(u32) -> bool> Visitor<'a> for Seen<'_, '_, F> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if (self.holds)(self.carried.module.span(stmt).0) {
            let mut reads = Paths::default();
            reads.visit_stmt(stmt);
            self.found |= reads.found.iter().any(|path| self.carried.names.contains(path));
        } else {
            walk_stmt(self, stmt);
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// Every name and dotted path that is read, with each that it begins with.
#[derive(Default)]
struct Paths {
    found: Vec<String>,
}

impl<'a> Visitor<'a> for Paths {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.found.extend(dotted(expr));
        walk_expr(self, expr);
    }
}

fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
        _ => None,
    }
}

fn holds_call(expr: &Expr) -> bool {
    struct Calls(bool);
    impl<'a> Visitor<'a> for Calls {
        fn visit_expr(&mut self, expr: &'a Expr) {
            self.0 |= expr.is_call_expr();
            walk_expr(self, expr);
        }
    }
    let mut calls = Calls(false);
    calls.visit_expr(expr);
    calls.0
}

#[cfg(test)]
mod tests {
    use super::fresh_calls;

    #[test]
    fn what_comes_out_differently_each_time_is_followed_to_the_lines_that_log_it() {
        let beginning = "import os, time, uuid, random\n";
        for (text, line, expected) in [
            ("log('a', os.urandom(2))\n", 2, "os.urandom 2"),
            (
                "start = time.time()\nx = 1\nlog('a', time.perf_counter() - start)\n",
                4,
                "time.time 2, time.perf_counter 4",
            ),
            ("key = os.urandom(4)\nn = int(key) % 7\nm = [n]\nlog('a', m)\n", 5, "os.urandom 2"),
            ("ids = []\nids.append(uuid.uuid4().hex)\nlog('a', ids[-1])\n", 4, "uuid.uuid4 3"),
            ("def now():\n  return time.time()\nt = now()\nlog('a', t)\n", 5, "time.time 3"),
            ("log('a', id(x))\n", 2, "id 2"),
            ("log('a', table.cache_info().hits)\n", 2, ".cache_info 2"),
            ("n = len({id(x)})\nlog('a', n)\n", 3, ""),
            ("self.t = time.time()\nlog('a', self.loss)\n", 3, ""),
            ("self.t = time.time()\nlog('a', self.t)\n", 3, "time.time 2"),
            ("start = time.time()\nloss = random.random()\nlog('a', loss)\nprint(start)\n", 4, ""),
        ] {
            let found = fresh_calls(&format!("{beginning}{text}"), &[(line, line)]);
            let found: Vec<String> = found.iter().map(|call| format!("{} {}", call.name, call.line)).collect();
            assert_eq!(found.join(", "), expected, "{text}");
        }
    }
}
