//! Calls in a source whose results depend on chance, by their names under whatever import.

use std::collections::HashMap;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};
use ruff_text_size::Ranged;

use crate::analysis::python::parse::Module;

/// How a call depends on chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chance {
    /// It draws from a generator of the process: repeatable, but whoever draws next gets other numbers.
    Draws,
    /// It gives something else at each execution, whatever was seeded.
    Fresh,
}

/// Such a call: its line (from 1) and its whole name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChanceCall {
    pub line: u32,
    pub name: String,
    pub chance: Chance,
}

/// Every such call that a source's text shows, in order.
pub fn chance_calls(text: &str) -> Vec<ChanceCall> {
    let module = Module::parse(text);
    let mut calls = Calls { module: &module, imports: HashMap::new(), found: Vec::new() };
    module.body().iter().for_each(|statement| calls.visit_stmt(statement));
    calls.found
}

struct Calls<'m> {
    module: &'m Module,
    /// What names of the file mean: `np` is `numpy`, `randn` is `torch.randn`.
    imports: HashMap<String, String>,
    found: Vec<ChanceCall>,
}

impl Calls<'_> {
    fn dotted(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Name(name) => self.imports.get(name.id.as_str()).cloned(),
            Expr::Call(call) if call.func.as_name_expr().is_some_and(|name| name.id == "__import__") => {
                let module = call.arguments.args.first()?.as_string_literal_expr()?;
                Some(module.value.to_str().to_owned())
            }
            Expr::Attribute(attribute) => Some(format!("{}.{}", self.dotted(&attribute.value)?, attribute.attr)),
            _ => None,
        }
    }

    fn take(&mut self, call: &ExprCall) {
        let given = call.arguments.args.iter().filter(|argument| !argument.is_none_literal_expr()).count()
            + call.arguments.keywords.iter().filter(|keyword| !keyword.value.is_none_literal_expr()).count();
        let known = self.dotted(&call.func).and_then(|name| Some((kind(&name, given)?, name)));
        let method = call.func.as_attribute_expr().map(|attribute| attribute.attr.as_str());
        let of_method = || {
            let chance = match method? {
                name if IN_PLACE.contains(&name) => Chance::Draws,
                // How often a cache was used is in no checkpoint, where that changes nothing else.
                "cache_info" => Chance::Fresh,
                _ => return None,
            };
            Some((chance, format!(".{}", method?)))
        };
        if let Some((chance, name)) = known.or_else(of_method) {
            let line = self.module.lines().line(call.start().into());
            self.found.push(ChanceCall { line, name, chance });
        }
    }
}

/// Methods of tensors that draw.
const IN_PLACE: [&str; 6] = ["normal_", "uniform_", "random_", "bernoulli_", "exponential_", "multinomial"];

/// What a call of this name is, `given` so many values.
fn kind(name: &str, given: usize) -> Option<Chance> {
    const FRESH: [&str; 29] = [
        "os.urandom",
        "os.getpid",
        "uuid.uuid1",
        "uuid.uuid4",
        "time.time",
        "time.time_ns",
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.process_time",
        "time.process_time_ns",
        "time.thread_time",
        "time.thread_time_ns",
        "time.clock_gettime",
        "time.clock_gettime_ns",
        "timeit.default_timer",
        "pandas.Timestamp.now",
        "pandas.Timestamp.today",
        "pandas.Timestamp.utcnow",
        "os.times",
        "os.getppid",
        "resource.getrusage",
        "datetime.datetime.today",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "random.SystemRandom",
        "torch.seed",
    ];
    /// Fixed only where they are given something.
    const SEEDED: [&str; 9] = [
        "time.localtime",
        "time.gmtime",
        "time.ctime",
        "time.asctime",
        "random.Random",
        "random.seed",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.seed",
    ];
    if SEEDED.contains(&name) {
        return (given == 0).then_some(Chance::Fresh);
    }
    if name == "time.strftime" {
        // The first is how to write it.
        return (given < 2).then_some(Chance::Fresh);
    }
    if FRESH.contains(&name) || name.starts_with("secrets.") {
        return Some(Chance::Fresh);
    }
    let (module, function) = name.rsplit_once('.')?;
    let is_state = ["seed", "state", "generator"].iter().any(|word| function.contains(word));
    let draws = match module {
        // Classes are generators of their own.
        "random" | "numpy.random" => !is_state && function.starts_with(|c: char| c.is_ascii_lowercase()),
        "torch" => {
            function.starts_with("rand") || ["normal", "multinomial", "bernoulli", "dropout"].contains(&function)
        }
        "torch.nn.functional" => function.contains("dropout") || function == "gumbel_softmax",
        _ => false,
    };
    draws.then_some(Chance::Draws)
}

impl<'a> Visitor<'a> for Calls<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let whole = alias.name.as_str();
                    let first = whole.split('.').next().unwrap_or(whole);
                    let (bound, meant) = alias.asname.as_ref().map_or((first, first), |bound| (bound.as_str(), whole));
                    self.imports.insert(bound.to_owned(), meant.to_owned());
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                for alias in &import.names {
                    let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.imports.insert(bound.to_string(), format!("{module}.{}", alias.name));
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr {
            self.take(call);
        }
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use super::{Chance, chance_calls};

    #[test]
    fn calls_that_depend_on_chance_are_known_under_every_import() {
        let text = "\
import os, random, time, numpy as np, pandas as pd
from timeit import default_timer
import torch.nn.functional as F
from torch import randn
from datetime import datetime
random.seed(1)
np.random.seed()
rng = np.random.default_rng(3)
other = np.random.default_rng()
x = randn(3) + F.dropout(y) + np.random.rand() + random.random()
w.normal_(0, 1)
t = datetime.now(), os.urandom(4), random.getstate(), mine.random()
u = __import__('uuid').uuid4()
s = time.strftime('%H'), time.strftime('%H', t), time.asctime(), time.asctime(t), default_timer(), pd.Timestamp.now()
";
        let found: Vec<(u32, String, Chance)> =
            chance_calls(text).into_iter().map(|call| (call.line, call.name, call.chance)).collect();
        let draws = |line, name: &str| (line, name.to_owned(), Chance::Draws);
        let fresh = |line, name: &str| (line, name.to_owned(), Chance::Fresh);
        let expected = [
            fresh(7, "numpy.random.seed"),
            fresh(9, "numpy.random.default_rng"),
            draws(10, "torch.randn"),
            draws(10, "torch.nn.functional.dropout"),
            draws(10, "numpy.random.rand"),
            draws(10, "random.random"),
            draws(11, ".normal_"),
            fresh(12, "datetime.datetime.now"),
            fresh(12, "os.urandom"),
            fresh(13, "uuid.uuid4"),
            fresh(14, "time.strftime"),
            fresh(14, "time.asctime"),
            fresh(14, "timeit.default_timer"),
            fresh(14, "pandas.Timestamp.now"),
        ];
        assert_eq!(found, expected);
    }
}
