//! What code may change: Flor's change sets (Garcia et al., VLDB 2021, section 4.3), with a function's effects on its
//! arguments and on names outside found by analysing it. Errs on the side of too much.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, ExprContext, Stmt};

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
    /// Why no estimate holds.
    pub(super) opaque: Option<String>,
}

/// A function's effects as its callers see them.
#[derive(Debug, Clone, Default)]
struct Summary {
    /// By position: whether it may change its argument.
    params: Vec<bool>,
    /// Names outside it that it may bind or change.
    outside: BTreeSet<String>,
    opaque: Option<String>,
}

/// Computes effects, each function once.
pub(super) struct Analyser<'p, 'a> {
    program: &'p Program<'a>,
    summaries: HashMap<usize, Summary>,
    in_progress: Vec<usize>,
}

/// Calls that go deeper are taken to change everything.
const MAX_CALL_DEPTH: usize = 40;

impl<'p, 'a> Analyser<'p, 'a> {
    pub(super) fn new(program: &'p Program<'a>) -> Self {
        Self { program, summaries: HashMap::new(), in_progress: Vec::new() }
    }

    /// The effects of some statements of a unit.
    pub(super) fn effects(&mut self, unit: usize, body: &[&Stmt]) -> Effects {
        let mut scan = Scan { analyser: self, unit, effects: Effects::default(), spread: BTreeSet::new() };
        body.iter().for_each(|stmt| scan.visit_stmt(stmt));
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

    fn summary(&mut self, unit: usize) -> Summary {
        if let Some(summary) = self.summaries.get(&unit) {
            return summary.clone();
        }
        let function = &self.program.units[unit];
        if self.in_progress.contains(&unit) || self.in_progress.len() > MAX_CALL_DEPTH {
            // A call of itself has the effects that are just being found; what it does to its arguments may be anything.
            return Summary { params: vec![true; function.params.len()], ..Summary::default() };
        }
        self.in_progress.push(unit);
        let body: Vec<&Stmt> = function.body.iter().collect();
        let effects = self.effects(unit, &body);
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
        let params = function.params.iter().map(changed).collect();
        let summary = Summary { params, outside, opaque: effects.opaque };
        self.summaries.insert(unit, summary.clone());
        summary
    }
}

/// For each name of a body: the names that its values are made of. A change of the one may be a change of the other.
fn holds(body: &[Stmt]) -> BTreeMap<String, BTreeSet<String>> {
    struct Holds(BTreeMap<String, BTreeSet<String>>);
    impl<'a> Visitor<'a> for Holds {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            match stmt {
                Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.add(target, &assign.value)),
                Stmt::AnnAssign(assign) => {
                    assign.value.iter().for_each(|value| self.add(&assign.target, value));
                }
                Stmt::For(each) => self.add(&each.target, &each.iter),
                Stmt::With(with) => {
                    for item in &with.items {
                        item.optional_vars.iter().for_each(|target| self.add(target, &item.context_expr));
                    }
                }
                Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
                _ => {}
            }
            walk_stmt(self, stmt);
        }

        fn visit_expr(&mut self, expr: &'a Expr) {
            if let Expr::Named(named) = expr {
                self.add(&named.target, &named.value);
            }
            walk_expr(self, expr);
        }
    }
    impl Holds {
        fn add(&mut self, target: &Expr, value: &Expr) {
            let mut parts = BTreeSet::new();
            parts_of(value, &mut parts);
            let mut names = BTreeSet::new();
            roots(target, &mut names);
            for name in names {
                self.0.entry(name).or_default().extend(parts.iter().cloned());
            }
        }
    }
    let mut holds = Holds(BTreeMap::new());
    holds.visit_body(body);
    holds.0
}

/// Names that a value may share its objects with.
fn parts_of(value: &Expr, parts: &mut BTreeSet<String>) {
    match value {
        // Results of arithmetic and comparisons are new objects.
        Expr::BinOp(_) | Expr::UnaryOp(_) | Expr::Compare(_) | Expr::FString(_) | Expr::Lambda(_) => {}
        Expr::Call(call) => {
            let method = call.func.as_attribute_expr().map(|attribute| attribute.attr.as_str());
            if method.is_some_and(|name| matches!(name, "item" | "tolist" | "clone" | "copy" | "size" | "numel")) {
                return;
            }
            roots(value, parts);
        }
        _ => roots(value, parts),
    }
}

/// The names at the bottom of an expression: `a` in `a.b[c].d(e)`, and those of a call's arguments and of displays.
fn roots(expr: &Expr, found: &mut BTreeSet<String>) {
    match expr {
        Expr::Name(name) => drop(found.insert(name.id.to_string())),
        Expr::Attribute(attribute) => roots(&attribute.value, found),
        Expr::Subscript(subscript) => roots(&subscript.value, found),
        Expr::Starred(starred) => roots(&starred.value, found),
        Expr::Await(waiting) => roots(&waiting.value, found),
        Expr::Named(named) => roots(&named.value, found),
        Expr::Call(call) => {
            if call.func.is_attribute_expr() {
                roots(&call.func, found);
            }
            arguments(call).for_each(|(_, argument)| roots(argument, found));
        }
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| roots(item, found)),
        Expr::List(list) => list.elts.iter().for_each(|item| roots(item, found)),
        Expr::Set(set) => set.elts.iter().for_each(|item| roots(item, found)),
        Expr::Dict(dict) => dict.items.iter().for_each(|item| roots(&item.value, found)),
        Expr::If(choice) => {
            roots(&choice.body, found);
            roots(&choice.orelse, found);
        }
        Expr::BoolOp(either) => either.values.iter().for_each(|value| roots(value, found)),
        Expr::ListComp(comprehension) => {
            roots(&comprehension.elt, found);
            comprehension.generators.iter().for_each(|generator| roots(&generator.iter, found));
        }
        Expr::Generator(comprehension) => {
            roots(&comprehension.elt, found);
            comprehension.generators.iter().for_each(|generator| roots(&generator.iter, found));
        }
        _ => {}
    }
}

/// A call's arguments with their positions or names.
fn arguments(call: &ExprCall) -> impl Iterator<Item = (Result<usize, &str>, &Expr)> {
    let positional = call.arguments.args.iter().enumerate().map(|(at, argument)| (Ok(at), argument));
    let named = call.arguments.keywords.iter();
    positional.chain(named.map(|keyword| (Err(keyword.arg.as_ref().map_or("", |name| name.as_str())), &keyword.value)))
}

struct Scan<'s, 'p, 'a> {
    analyser: &'s mut Analyser<'p, 'a>,
    unit: usize,
    effects: Effects,
    /// Names whose change reaches what they are made of.
    spread: BTreeSet<String>,
}

impl Scan<'_, '_, '_> {
    fn change(&mut self, expr: &Expr) {
        roots(expr, &mut self.spread);
    }

    fn change_arguments(&mut self, call: &ExprCall) {
        for (_, argument) in arguments(call) {
            self.change(argument);
        }
    }

    fn give_up(&mut self, reason: String) {
        self.effects.opaque.get_or_insert(reason);
    }

    fn call(&mut self, call: &ExprCall) {
        let program = self.analyser.program;
        let file = program.units[self.unit].file;
        if program.files[file].api.function(&call.func).is_some() {
            return;
        }
        match &*call.func {
            Expr::Name(name) => self.call_name(call, name.id.as_str(), file),
            Expr::Attribute(attribute) => {
                if let Some(dotted) = self.dotted(&call.func, file) {
                    self.call_library(call, &dotted);
                } else {
                    self.call_method(call, &attribute.value, &attribute.attr);
                }
            }
            // A call of a call's result, of a subscript: whatever it is made of.
            other => {
                self.change(other);
                self.change_arguments(call);
            }
        }
    }

    /// The dotted name of a function reached through an imported module.
    fn dotted(&self, func: &Expr, file: usize) -> Option<String> {
        match func {
            Expr::Name(name) => self.analyser.program.import(file, &name.id).map(str::to_owned),
            Expr::Attribute(attribute) => Some(format!("{}.{}", self.dotted(&attribute.value, file)?, attribute.attr)),
            _ => None,
        }
    }

    fn call_name(&mut self, call: &ExprCall, name: &str, file: usize) {
        let program = self.analyser.program;
        if purity::OPAQUE.contains(&name) {
            self.give_up(format!("{name}() may change anything"));
        } else if matches!(name, "next" | "setattr" | "delattr") {
            self.change_arguments(call);
        } else if program.classes.contains_key(name) {
            let makers: Vec<usize> = program.methods("__init__");
            let makers = makers.into_iter().filter(|unit| program.units[*unit].class == Some(name)).collect::<Vec<_>>();
            self.call_units(call, &makers, 1);
        } else if !program.functions(name).is_empty() && !self.is_variable(name) {
            self.call_units(call, &program.functions(name), 0);
        } else if self.is_variable(name) {
            self.spread.insert(name.to_owned());
            if !self.is_torch_module(name) {
                self.change_arguments(call);
            }
        } else if let Some(dotted) = program.import(file, name) {
            let dotted = dotted.to_owned();
            self.call_library(call, &dotted);
        } else if !purity::BUILTINS.contains(&name) {
            self.change_arguments(call);
        }
    }

    fn call_library(&mut self, call: &ExprCall, dotted: &str) {
        if !purity::is_pure_function(dotted)
            && !dotted.rsplit('.').next().is_some_and(|name| name.starts_with(char::is_uppercase))
        {
            self.change_arguments(call);
        }
    }

    fn call_method(&mut self, call: &ExprCall, receiver: &Expr, method: &str) {
        let units = self.analyser.program.methods(method);
        if !units.is_empty() {
            let of_self =
                units.iter().any(|unit| self.analyser.summary(*unit).params.first().is_none_or(|changes| *changes));
            if of_self {
                self.change(receiver);
            }
            self.call_units(call, &units, 1);
        }
        if purity::is_pure_method(method) {
            return;
        }
        if method == "backward" {
            // Changes the gradients of whatever was called on the way: those are callees, and found as such.
            roots(receiver, &mut self.effects.mutated);
            return;
        }
        if units.is_empty() {
            self.change(receiver);
            if !purity::is_container_method(method) {
                self.change_arguments(call);
            }
        }
    }

    /// A call of one of these functions; their first `skip` parameters are not among the call's arguments.
    fn call_units(&mut self, call: &ExprCall, units: &[usize], skip: usize) {
        for unit in units {
            let summary = self.analyser.summary(*unit);
            let function = &self.analyser.program.units[*unit];
            let spread = call.arguments.args.iter().any(Expr::is_starred_expr);
            for (place, argument) in arguments(call) {
                let at = match place {
                    Ok(at) => Some(at + skip),
                    Err(name) => function.params.iter().position(|param| *param == name),
                };
                // Collected by *args or **kwargs, or shifted by a star: the last parameter or any.
                let changed = at.and_then(|at| summary.params.get(at).copied());
                if changed.unwrap_or(true) || spread {
                    self.change(argument);
                }
            }
            self.outside(*unit, &summary);
        }
    }

    /// Effects of a called function on names that are not its own.
    fn outside(&mut self, callee: usize, summary: &Summary) {
        if let Some(reason) = &summary.opaque {
            self.give_up(reason.clone());
        }
        let (here, there) = (&self.analyser.program.units[self.unit], &self.analyser.program.units[callee]);
        let data = &self.analyser.program.units[self.analyser.program.files[there.file].unit].variables;
        for name in &summary.outside {
            let is_module_data = data.contains(name.as_str());
            if there.parent.is_some() && here.locals.contains(name.as_str()) {
                // A nested function changes a name of the function around it.
                self.spread.insert(name.clone());
                self.effects.bound.insert(name.clone());
            } else if is_module_data && here.file == there.file {
                self.effects.globals.insert(name.clone());
            } else if is_module_data {
                let file = self.analyser.program.files[there.file].path;
                self.effects.opaque.get_or_insert(format!("{}() changes '{name}' of {file}", there.name));
            }
        }
    }

    /// Whether a name is data here: bound in this function or around it by something else than def, class or import.
    fn is_variable(&self, name: &str) -> bool {
        let program = self.analyser.program;
        let mut at = Some(self.unit);
        while let Some(unit) = at {
            if program.units[unit].locals.contains(name) {
                return program.units[unit].variables.contains(name);
            }
            at = program.units[unit].parent;
        }
        program.units[program.files[program.units[self.unit].file].unit].variables.contains(name)
    }

    /// Whether a variable was made as a torch module, which leaves what it is called with alone.
    fn is_torch_module(&self, name: &str) -> bool {
        struct Made<'n> {
            name: &'n str,
            classes: &'n HashMap<&'n str, bool>,
            found: bool,
        }
        impl<'a> Visitor<'a> for Made<'_> {
            fn visit_stmt(&mut self, stmt: &'a Stmt) {
                if let Stmt::Assign(assign) = stmt
                    && assign.targets.iter().any(|target| target.as_name_expr().is_some_and(|n| n.id == self.name))
                {
                    self.found |= self.makes_module(&assign.value);
                }
                walk_stmt(self, stmt);
            }
        }
        impl Made<'_> {
            fn makes_module(&self, value: &Expr) -> bool {
                let Expr::Call(call) = value else { return false };
                match &*call.func {
                    Expr::Name(class) => self.classes.get(class.id.as_str()).copied().unwrap_or(false),
                    Expr::Attribute(attribute) => {
                        // nn.Linear(…), and Net().to(device)
                        let of_nn = attribute.value.as_name_expr().is_some_and(|module| module.id == "nn")
                            || attribute.value.as_attribute_expr().is_some_and(|module| module.attr.as_str() == "nn");
                        of_nn || self.makes_module(&attribute.value)
                    }
                    _ => false,
                }
            }
        }
        let program = self.analyser.program;
        let unit = &program.units[self.unit];
        let module = program.units[program.files[unit.file].unit].body;
        let mut made = Made { name, classes: &program.classes, found: false };
        made.visit_body(unit.body);
        made.visit_body(module);
        made.found
    }
}

impl<'a> Visitor<'a> for Scan<'_, '_, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            // Their bodies run when called; here they bind a name that is code, not data.
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) | Stmt::Import(_) | Stmt::ImportFrom(_) => return,
            Stmt::AugAssign(assign) => self.change(&assign.target),
            // Iterating changes iterators and data loaders, not what they are made of.
            Stmt::For(each) => {
                roots(&each.iter, &mut self.effects.mutated);
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
            Expr::Attribute(attribute) if !attribute.ctx.is_load() => self.change(&attribute.value),
            Expr::Subscript(subscript) if !subscript.ctx.is_load() => self.change(&subscript.value),
            Expr::Call(call) => self.call(call),
            Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_) => {
                self.give_up("the code around it may be left and entered in the middle".into());
            }
            _ => {}
        }
        walk_expr(self, expr);
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
