//! What code may change: Flor's change sets (Garcia et al., VLDB 2021, section 4.3), with a function's effects on its
//! arguments and on names outside found by analysing it. Errs on the side of too much.

use std::collections::{BTreeSet, HashMap};

use ruff_python_ast::visitor::{Visitor, walk_comprehension, walk_expr, walk_stmt};
use ruff_python_ast::{Comprehension, Expr, ExprCall, ExprContext, Stmt};

use crate::analysis::python::defaults;
use crate::analysis::python::implicit::{self, Implicit};
use crate::analysis::python::origin::Origin;
use crate::analysis::python::parts::{arguments, holds, roots};
use crate::analysis::python::program::Program;
use crate::analysis::python::purity;

/// What a stretch of code may do to the names of the unit it stands in.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects {
    /// Names that it may bind anew.
    pub(super) bound: BTreeSet<String>,
    /// Names whose objects it may change, and all those that such a name may be a part of.
    pub(super) mutated: BTreeSet<String>,
    /// Global names of the unit's file that functions called may bind or change.
    pub(super) globals: BTreeSet<String>,
    /// The same of other files, by their numbers.
    pub(super) far: BTreeSet<(usize, String)>,
    /// Why no estimate holds.
    pub(super) opaque: Option<String>,
    /// Why the code may stop in its middle, if so: then no estimate holds either for whoever calls it.
    pub(super) suspends: Option<String>,
}

/// A function's effects as its callers see them.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    /// By position: whether it may change its argument.
    pub(super) params: Vec<bool>,
    /// Names outside it that it may bind or change.
    pub(super) outside: BTreeSet<String>,
    /// Global names of other files that it may bind or change.
    pub(super) far: BTreeSet<(usize, String)>,
    pub(super) opaque: Option<String>,
    pub(super) suspends: Option<String>,
}

/// Computes effects, each function once.
pub(super) struct Analyser<'p, 'a> {
    pub(super) program: &'p Program<'a>,
    implicit: Implicit<'a>,
    summaries: HashMap<usize, Summary>,
    in_progress: Vec<usize>,
}

/// Calls that go deeper are taken to change everything.
const MAX_CALL_DEPTH: usize = 40;

impl<'p, 'a> Analyser<'p, 'a> {
    pub(super) fn new(program: &'p Program<'a>) -> Self {
        Self { program, implicit: Implicit::of(program), summaries: HashMap::new(), in_progress: Vec::new() }
    }

    /// The effects of a loop of a unit, with those of code that may run within it without being called by name.
    pub(super) fn of_loop(&mut self, unit: usize, stmt: &Stmt) -> Effects {
        let mut effects = self.effects(unit, |scan| scan.visit_stmt(stmt));
        for other in self.implicit.units.clone() {
            let summary = self.summary(other);
            self.anywhere(unit, other, &summary.outside, summary.opaque.as_ref(), &mut effects);
            self.add_far(unit, &summary.far, &mut effects);
        }
        for (other, lambda) in self.implicit.lambdas.clone() {
            let own = self.effects(other, |scan| scan.visit_expr(&lambda.body));
            self.anywhere(unit, other, &own.mutated, own.opaque.as_ref(), &mut effects);
            self.anywhere(unit, other, &own.globals, None, &mut effects);
            self.add_far(unit, &own.far, &mut effects);
        }
        if self.implicit.has_addresses {
            effects.opaque.get_or_insert("id() gives other numbers in another process".into());
        }
        if self.implicit.has_unknown_code {
            effects.opaque.get_or_insert("import_module() brings code that may keep state of its own".into());
        }
        effects.opaque = effects.opaque.or(effects.suspends.take());
        effects
    }

    /// Adds global names of files, by their numbers, to the effects of code of the unit `here`.
    pub(super) fn add_far(&self, here: usize, names: &BTreeSet<(usize, String)>, effects: &mut Effects) {
        for (file, name) in names {
            if *file == self.program.units[here].file {
                effects.globals.insert(name.clone());
            } else {
                effects.far.insert((*file, name.clone()));
            }
        }
    }

    /// Adds what code of the unit `there` changes outside itself to the effects of a loop of the unit `here`.
    fn anywhere(
        &self,
        here: usize,
        there: usize,
        names: &BTreeSet<String>,
        opaque: Option<&String>,
        effects: &mut Effects,
    ) {
        let units = &self.program.units;
        if let (None, Some(reason)) = (&effects.opaque, opaque) {
            effects.opaque = Some(reason.clone());
        }
        let owner = |name: &str| {
            let mut around = std::iter::successors(Some(there), |unit| units[*unit].parent);
            around.find(|unit| units[*unit].locals.contains(name))
        };
        for name in names {
            match owner(name) {
                // A variable of a function: of this one, or held by what the code is a part of.
                Some(owner) if units[owner].name != "<module>" && owner == here => {
                    effects.mutated.insert(name.clone());
                }
                Some(owner) if units[owner].name != "<module>" => {}
                _ if self.program.is_data(units[there].file, name) => {
                    self.add_far(here, &BTreeSet::from([(units[there].file, name.clone())]), effects);
                }
                _ => {}
            }
        }
    }

    /// The effects of some code of a unit.
    fn effects(&mut self, unit: usize, visit: impl FnOnce(&mut Scan<'_, 'p, 'a>)) -> Effects {
        let mut scan = Scan { analyser: self, unit, effects: Effects::default(), spread: BTreeSet::new() };
        visit(&mut scan);
        let (mut effects, spread) = (scan.effects, scan.spread);
        let holds = holds(self.program.units[unit].body);
        let mut waiting: Vec<String> = spread.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if seen.insert(name.clone()) {
                waiting.extend(holds.get(&name).into_iter().flatten().cloned());
                effects.mutated.insert(name);
            }
        }
        effects
    }

    pub(super) fn summary(&mut self, unit: usize) -> Summary {
        if let Some(summary) = self.summaries.get(&unit) {
            return summary.clone();
        }
        let function = &self.program.units[unit];
        if self.in_progress.contains(&unit) || self.in_progress.len() > MAX_CALL_DEPTH {
            // A call of itself has the effects that are just being found; what it does to its arguments may be anything.
            return Summary { params: vec![true; function.params.len()], ..Summary::default() };
        }
        self.in_progress.push(unit);
        let mut effects = self.effects(unit, |scan| scan.visit_body(function.body));
        self.in_progress.pop();
        let changed = |name: &&str| effects.mutated.contains(*name);
        let mut outside: BTreeSet<String> = effects.globals.clone();
        outside.extend(
            effects
                .bound
                .iter()
                .chain(&effects.mutated)
                .filter(|name| !function.locals.contains(name.as_str()))
                .cloned(),
        );
        for (param, default) in function.defaults.iter().filter(|(param, _)| changed(param)) {
            match default {
                Expr::Name(name) => drop(outside.insert(name.id.to_string())),
                other if defaults::stays(self.program, function.file, other) => {}
                _ => {
                    let reason = format!("'{param}' of {}() keeps its value from call to call", function.name);
                    effects.opaque.get_or_insert(reason);
                }
            }
        }
        let imported = |name: &&String| {
            function.locals.contains(name.as_str())
                && !function.variables.contains(name.as_str())
                && self.program.is_imported_data(function.file, name)
        };
        if let Some(name) = effects.mutated.iter().find(imported) {
            effects.opaque.get_or_insert(format!("{}() changes '{name}' of another module", function.name));
        }
        let params = function.params.iter().map(changed).collect();
        let summary = Summary { params, outside, far: effects.far, opaque: effects.opaque, suspends: effects.suspends };
        self.summaries.insert(unit, summary.clone());
        summary
    }
}

/// A pass over some code.
pub(super) struct Scan<'s, 'p, 'a> {
    pub(super) analyser: &'s mut Analyser<'p, 'a>,
    pub(super) unit: usize,
    pub(super) effects: Effects,
    /// Names whose change reaches what they are made of.
    pub(super) spread: BTreeSet<String>,
}

impl<'a> Scan<'_, '_, 'a> {
    pub(super) fn change(&mut self, expr: &Expr) {
        roots(expr, &mut self.spread);
        self.is_far(expr);
    }

    /// A change of an object by the name that leads to it, which must be that of data to be captured.
    pub(super) fn change_directly(&mut self, expr: &Expr) {
        self.change(expr);
        let (root, attributes) = implicit::chain(expr);
        if attributes.contains("__class__")
            || attributes.iter().any(|name| self.analyser.implicit.class_data.contains(name))
        {
            self.give_up("it changes what belongs to a class".into());
        }
        let program = self.analyser.program;
        let unit = &program.units[self.unit];
        match root {
            _ if self.is_far(expr) || self.is_environment(expr) => {}
            Some(Expr::Name(name)) => {
                let name = name.id.as_str();
                let of_class = unit.params.first() == Some(&name)
                    && unit
                        .decorators
                        .iter()
                        .any(|d| d.expression.as_name_expr().is_some_and(|n| n.id == "classmethod"));
                let is_code = !self.is_variable(name)
                    && (program.classes.contains_key(name)
                        || !program.functions(name).is_empty()
                        || program.import(unit.file, name).is_some())
                    && !program.is_imported_data(unit.file, name);
                if of_class || is_code {
                    self.give_up(format!("it changes '{name}', which is no variable"));
                }
            }
            Some(Expr::Call(call)) if call.func.as_name_expr().is_some_and(|name| name.id == "type") => {
                self.give_up("it changes what belongs to a class".into());
            }
            _ => {}
        }
    }

    /// Whether this is a variable of another module of the project or something in it, as `state.best`: then that changes.
    fn is_far(&mut self, expr: &Expr) -> bool {
        let mut names = Vec::new();
        let mut at = expr;
        loop {
            at = match at {
                Expr::Attribute(attribute) => {
                    names.push(attribute.attr.as_str());
                    &attribute.value
                }
                // What comes after is in what it gives.
                Expr::Subscript(subscript) => {
                    names.clear();
                    &subscript.value
                }
                Expr::Call(call) => {
                    names.clear();
                    &call.func
                }
                _ => break,
            };
        }
        let Some(root) = at.as_name_expr().filter(|root| !names.is_empty() && !self.is_variable(&root.id)) else {
            return false;
        };
        let program = self.analyser.program;
        let Some(module) = program.import(program.units[self.unit].file, &root.id) else { return false };
        let dotted: Vec<&str> = std::iter::once(module).chain(names.into_iter().rev()).collect();
        let Origin::Data { file, name, .. } = program.origin(&dotted.join(".")) else { return false };
        self.analyser.add_far(self.unit, &BTreeSet::from([(file, name)]), &mut self.effects);
        true
    }

    /// Whether this stands for a module of the project, as `package.part` does.
    fn is_module(&self, expr: &Expr) -> bool {
        let program = self.analyser.program;
        let dotted = implicit::dotted(program, program.units[self.unit].file, expr);
        dotted.is_some_and(|dotted| program.origin(&dotted) == Origin::Module)
    }

    /// Whether this is the environment, which belongs to every checkpoint.
    fn is_environment(&self, expr: &Expr) -> bool {
        let program = self.analyser.program;
        implicit::dotted(program, program.units[self.unit].file, expr).is_some_and(|dotted| dotted == "os.environ")
    }

    /// Iterates over something: of parameters and attributes nobody knows whether that uses them up.
    pub(super) fn consume(&mut self, expr: &Expr) {
        let (root, attributes) = implicit::chain(expr);
        if let Some(Expr::Name(name)) = root {
            let is_param = self.analyser.program.units[self.unit].params.contains(&name.id.as_str());
            if is_param || !attributes.is_empty() {
                self.effects.mutated.insert(name.id.to_string());
            }
        }
    }

    /// What an operator, a built-in function or an attribute makes an object do, by the names of its methods.
    pub(super) fn special(&mut self, operand: &Expr, names: &[&str]) {
        for name in names {
            for unit in self.analyser.program.methods(name) {
                if self.analyser.summary(unit).params.first().is_none_or(|changes| *changes) {
                    self.change(operand);
                }
            }
        }
    }

    pub(super) fn change_arguments(&mut self, call: &ExprCall) {
        for (_, argument) in arguments(call) {
            self.change(argument);
        }
    }

    pub(super) fn give_up(&mut self, reason: String) {
        self.effects.opaque.get_or_insert(reason);
    }

    pub(super) fn suspend(&mut self) {
        let name = self.analyser.program.units[self.unit].name;
        self.effects.suspends.get_or_insert(format!("{name}() may be left and entered in its middle"));
    }

    /// Whether what a loop goes over is made for it alone: then it is gone with the loop, wherever it was left.
    fn is_left_with_the_loop(&self, iter: &Expr) -> bool {
        let Expr::Call(call) = iter else { return !iter.is_named_expr() };
        let (name, is_plain) = match &*call.func {
            Expr::Name(name) => (name.id.as_str(), true),
            Expr::Attribute(attribute) => (attribute.attr.as_str(), false),
            _ => return false,
        };
        let units = self.analyser.program.named(name);
        if units.is_empty() {
            let is_built_in = is_plain && purity::BUILTINS.contains(&name);
            return is_built_in && arguments(call).all(|(_, argument)| self.is_left_with_the_loop(argument));
        }
        units.iter().all(|unit| implicit::yields(self.analyser.program.units[*unit].body))
    }
}

impl<'a> Visitor<'a> for Scan<'_, '_, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            // Their bodies run when called; here they bind a name that is code, not data.
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) | Stmt::Import(_) | Stmt::ImportFrom(_) => return,
            Stmt::AugAssign(assign) => {
                self.change(&assign.target);
                self.special(&assign.target, &purity::SPECIAL_OF_OPERATORS);
            }
            // Iterating changes iterators and data loaders, not what they are made of.
            Stmt::For(each) => {
                if each.is_async {
                    self.suspend();
                }
                roots(&each.iter, &mut self.effects.mutated);
                let suspends = self.effects.suspends.clone();
                self.visit_expr(&each.iter);
                if self.is_left_with_the_loop(&each.iter) {
                    self.effects.suspends = suspends;
                }
                self.visit_expr(&each.target);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
                return;
            }
            Stmt::With(with) => {
                if with.is_async {
                    self.suspend();
                }
                for item in &with.items {
                    if matches!(item.context_expr, Expr::Name(_) | Expr::Attribute(_)) {
                        self.change(&item.context_expr);
                    } else {
                        self.special(&item.context_expr, &["__enter__", "__exit__"]);
                    }
                }
            }
            Stmt::Try(attempt) => {
                for handler in &attempt.handlers {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    self.effects.bound.extend(handler.name.iter().map(ToString::to_string));
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if matches!(name.ctx, ExprContext::Store | ExprContext::Del) => {
                self.effects.bound.insert(name.id.to_string());
            }
            Expr::Name(name) => {
                let iterators = &self.analyser.implicit.iterators;
                let program = self.analyser.program;
                let module = program.files[program.units[self.unit].file].unit;
                let mut around =
                    std::iter::successors(Some(self.unit), |unit| program.units[*unit].parent).chain([module]);
                if around.any(|unit| iterators[unit].contains(name.id.as_str())) {
                    self.effects.mutated.insert(name.id.to_string());
                }
            }
            Expr::Attribute(attribute) if !attribute.ctx.is_load() => {
                let of_module = attribute.value.is_name_expr() || self.is_module(&attribute.value);
                if !of_module || !self.is_far(expr) {
                    self.change_directly(&attribute.value);
                }
            }
            Expr::Attribute(attribute) => {
                let properties = self.analyser.implicit.properties.get(attribute.attr.as_str()).cloned();
                for unit in properties.unwrap_or_default() {
                    let summary = self.analyser.summary(unit);
                    if summary.params.first().is_none_or(|changes| *changes) {
                        self.change_directly(&attribute.value);
                    }
                    self.outside(unit, &summary);
                }
                self.special(&attribute.value, &["__getattr__", "__getattribute__"]);
            }
            Expr::Subscript(subscript) if !subscript.ctx.is_load() => self.change_directly(&subscript.value),
            Expr::Subscript(subscript) => self.special(&subscript.value, &["__getitem__", "__missing__"]),
            Expr::BinOp(operation) => {
                self.special(&operation.left, &purity::SPECIAL_OF_OPERATORS);
                self.special(&operation.right, &purity::SPECIAL_OF_OPERATORS);
            }
            Expr::Compare(compared) => {
                self.special(&compared.left, &purity::SPECIAL_OF_OPERATORS);
                compared.comparators.iter().for_each(|other| self.special(other, &purity::SPECIAL_OF_OPERATORS));
            }
            Expr::UnaryOp(operation) => self.special(&operation.operand, &purity::SPECIAL_OF_OPERATORS),
            Expr::Starred(starred) => self.consume(&starred.value),
            Expr::Call(call) => self.call(call),
            Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_) => self.suspend(),
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        if comprehension.is_async {
            self.suspend();
        }
        self.consume(&comprehension.iter);
        walk_comprehension(self, comprehension);
    }

    fn visit_pattern(&mut self, pattern: &'a ruff_python_ast::Pattern) {
        use ruff_python_ast::Pattern;
        let name = match pattern {
            Pattern::MatchAs(bound) => bound.name.as_ref(),
            Pattern::MatchStar(bound) => bound.name.as_ref(),
            Pattern::MatchMapping(bound) => bound.rest.as_ref(),
            _ => None,
        };
        self.effects.bound.extend(name.map(ToString::to_string));
        ruff_python_ast::visitor::walk_pattern(self, pattern);
    }
}
