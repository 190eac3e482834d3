//! Code that runs without a call of it being written: special methods, properties, what decorators put around a function,
//! functions and lambdas that are handed on as values.

use std::collections::{BTreeSet, HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Decorator, Expr, ExprContext, ExprLambda, Stmt};

use crate::analysis::python::origin::Origin;
use crate::analysis::python::program::{Program, Unit};
use crate::analysis::python::reach::IMPLICIT;

/// Decorators of libraries that keep what a function gave.
const CACHES: [&str; 6] = ["lru_cache", "cache", "cached", "memoize", "memoized", "memory"];

/// What a program holds of such code.
#[derive(Default)]
pub(super) struct Implicit<'a> {
    /// Units that may run wherever anything is done.
    pub(super) units: Vec<usize>,
    /// Lambdas, with the unit that each stands in.
    pub(super) lambdas: Vec<(usize, &'a ExprLambda)>,
    /// Methods that look like attributes.
    pub(super) properties: HashMap<&'a str, Vec<usize>>,
    /// Attributes that only classes hold, and that can be changed in place.
    pub(super) class_data: HashSet<&'a str>,
    /// Whether the program asks for an object's address, which is another one in another process.
    pub(super) has_addresses: bool,
    /// Whether a module is imported by a name that only the running program knows: its code is not looked at.
    pub(super) has_unknown_code: bool,
    /// By unit: names that are bound to something that is used up when it is iterated over.
    pub(super) iterators: Vec<HashSet<&'a str>>,
}

impl<'a> Implicit<'a> {
    pub(super) fn of(program: &Program<'a>) -> Self {
        let mut all =
            Values { program, unit: 0, values: HashSet::new(), instance: HashSet::new(), found: Self::default() };
        for (number, unit) in program.units.iter().enumerate() {
            all.unit = number;
            all.found.iterators.push(HashSet::new());
            all.visit_body(unit.body);
            unit.defaults.iter().for_each(|(_, value)| all.visit_expr(value));
        }
        let Values { values, instance, mut found, .. } = all;
        found.class_data = program.class_data.difference(&instance).copied().collect();
        for (number, unit) in program.units.iter().enumerate() {
            if unit.name == "<module>" {
                continue;
            }
            let is_property = unit.decorators.iter().any(|decorator| last_name(decorator).ends_with("property"));
            if is_property {
                found.properties.entry(unit.name).or_default().push(number);
            }
            let special = unit.class.is_some() && (unit.name.starts_with("__") || IMPLICIT.contains(&unit.name));
            if special || is_property || values.contains(unit.name) {
                found.units.push(number);
            }
        }
        found
    }
}

/// What a function's decorators make of it.
pub(super) enum Decorated {
    Plain,
    /// The reason why a call has effects that cannot be captured.
    Stateful(String),
    /// Wrappers of the project's own around it, which run when it is called, and the function that makes them.
    Wrapped(Vec<usize>),
}

/// What is known of a unit's decorators.
pub(super) fn decorated(program: &Program<'_>, unit: &Unit<'_>) -> Decorated {
    let mut wrappers = Vec::new();
    for decorator in unit.decorators {
        let name = last_name(decorator);
        if CACHES.contains(&name) {
            return Decorated::Stateful(format!("{}() keeps its results", unit.name));
        }
        let origin = match dotted(program, unit.file, called(&decorator.expression)) {
            Some(dotted) => program.origin(&dotted),
            None => match called(&decorator.expression) {
                Expr::Name(name) if program.classes.contains_key(name.id.as_str()) => {
                    Origin::Class(name.id.to_string())
                }
                Expr::Name(name) => Origin::Functions(program.functions(&name.id)),
                _ if matches!(name, "setter" | "getter" | "deleter") => Origin::Library,
                _ => Origin::Class(String::new()),
            },
        };
        match origin {
            Origin::Library => {}
            Origin::Functions(makers) => {
                let made_by = |inner: &Unit<'_>| {
                    std::iter::successors(inner.parent, |outer| program.units[*outer].parent)
                        .any(|at| makers.contains(&at))
                };
                wrappers.extend((0..program.units.len()).filter(|at| made_by(&program.units[*at])));
                wrappers.extend(makers);
            }
            Origin::Module | Origin::Data { .. } | Origin::Class(_) => {
                return Decorated::Stateful(format!("what decorates {}() may keep state", unit.name));
            }
        }
    }
    if wrappers.is_empty() { Decorated::Plain } else { Decorated::Wrapped(wrappers) }
}

/// The dotted name of something reached through an import.
pub(super) fn dotted(program: &Program<'_>, file: usize, expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => program.import(file, &name.id).map(str::to_owned),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(program, file, &attribute.value)?, attribute.attr)),
        _ => None,
    }
}

fn called(expr: &Expr) -> &Expr {
    expr.as_call_expr().map_or(expr, |call| &call.func)
}

fn last_name(decorator: &Decorator) -> &str {
    match called(&decorator.expression) {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => "",
    }
}

struct Values<'p, 'a> {
    program: &'p Program<'a>,
    unit: usize,
    /// Names and attributes that stand for something else than a call.
    values: HashSet<&'a str>,
    /// Attributes that some object is given.
    instance: HashSet<&'a str>,
    found: Implicit<'a>,
}

impl<'a> Values<'_, 'a> {
    fn bind(&mut self, target: &'a Expr, value: &Expr) {
        if let Expr::Name(name) = target
            && self.is_used_up(value)
        {
            self.found.iterators[self.unit].insert(&name.id);
        }
    }

    /// Whether this makes an iterator.
    fn is_used_up(&self, value: &Expr) -> bool {
        let Expr::Call(call) = value else { return value.is_generator_expr() };
        let file = self.program.units[self.unit].file;
        if let Some(dotted) = dotted(self.program, file, &call.func) {
            let iterates = ["itertools.", "csv.", "more_itertools."].iter().any(|module| dotted.starts_with(module));
            let made = matches!(self.program.origin(&dotted), Origin::Functions(units) if units.iter().any(|unit| self.suspends(*unit)));
            return iterates || made;
        }
        match &*call.func {
            Expr::Name(name) => {
                let builtin =
                    ["iter", "map", "filter", "zip", "enumerate", "reversed", "open"].contains(&name.id.as_str());
                builtin || self.program.named(&name.id).iter().any(|unit| self.suspends(*unit))
            }
            Expr::Attribute(attribute) => {
                attribute.attr.as_str() == "__iter__"
                    || self.program.named(&attribute.attr).iter().any(|unit| self.suspends(*unit))
            }
            _ => false,
        }
    }

    fn suspends(&self, unit: usize) -> bool {
        yields(self.program.units[unit].body)
    }
}

impl<'a> Visitor<'a> for Values<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.bind(target, &assign.value)),
            Stmt::AnnAssign(assign) => assign.value.iter().for_each(|value| self.bind(&assign.target, value)),
            Stmt::With(with) => {
                for item in &with.items {
                    item.optional_vars.iter().for_each(|target| self.bind(target, &item.context_expr));
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Call(call) => {
                // What is called is no value; what it is an attribute of is.
                match &*call.func {
                    Expr::Name(name) => {
                        self.found.has_unknown_code |= name.id.as_str() == "import_module";
                        let own = self.program.units[self.unit].locals.contains(name.id.as_str());
                        self.found.has_addresses |= name.id.as_str() == "id" && !own;
                    }
                    Expr::Attribute(attribute) => {
                        self.found.has_unknown_code |= attribute.attr.as_str() == "import_module";
                        self.visit_expr(&attribute.value);
                    }
                    other => self.visit_expr(other),
                }
                self.visit_arguments(&call.arguments);
                return;
            }
            Expr::Name(name) if name.ctx.is_load() => drop(self.values.insert(&name.id)),
            Expr::Attribute(attribute) => {
                if attribute.ctx == ExprContext::Store {
                    self.instance.insert(&attribute.attr);
                } else {
                    self.values.insert(&attribute.attr);
                }
            }
            Expr::Named(named) => self.bind(&named.target, &named.value),
            Expr::Lambda(lambda) => self.found.lambdas.push((self.unit, lambda)),
            _ => {}
        }
        walk_expr(self, expr);
    }
}

/// Whether this is the body of a generator.
pub(super) fn yields(body: &[Stmt]) -> bool {
    let mut yields = Yields(false);
    yields.visit_body(body);
    yields.0
}

/// Whether a body yields.
struct Yields(bool);

impl<'a> Visitor<'a> for Yields {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
            walk_stmt(self, stmt);
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        self.0 |= matches!(expr, Expr::Yield(_) | Expr::YieldFrom(_));
        if !expr.is_lambda_expr() {
            walk_expr(self, expr);
        }
    }
}

/// The name at the bottom of a chain of attributes and subscripts, with the attributes on the way.
pub(super) fn chain(expr: &Expr) -> (Option<&Expr>, BTreeSet<&str>) {
    let mut attributes = BTreeSet::new();
    let mut at = expr;
    loop {
        at = match at {
            Expr::Attribute(attribute) => {
                attributes.insert(attribute.attr.as_str());
                &attribute.value
            }
            Expr::Subscript(subscript) => &subscript.value,
            other => return (Some(other), attributes),
        };
    }
}
