//! What a call may change: its arguments, the object that it is a method of, and names outside.

use std::collections::{BTreeSet, HashMap};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};

use crate::analysis::python::effects::{Scan, Summary};
use crate::analysis::python::implicit::{self, Decorated};
use crate::analysis::python::origin::Origin;
use crate::analysis::python::parts::{arguments, roots};
use crate::analysis::python::purity;
use crate::analysis::python::unnamed::callee;

impl Scan<'_, '_, '_> {
    /// The effects of a call.
    pub(super) fn call(&mut self, call: &ExprCall) {
        let program = self.analyser.program;
        let file = program.units[self.unit].file;
        if program.files[file].api.function(&call.func).is_some() {
            return;
        }
        for keyword in &call.arguments.keywords {
            match keyword.arg.as_ref().map(|name| name.as_str()) {
                // Of a generator it draws.
                Some("out" | "generator" | "rng" | "random_state") => self.change_directly(&keyword.value),
                Some("inplace") => {
                    self.change_arguments(call);
                    self.change(&call.func);
                }
                _ => {}
            }
        }
        match &*call.func {
            Expr::Name(name) => self.call_name(call, name.id.as_str(), file),
            Expr::Attribute(attribute) => {
                let imported = attribute.value.as_name_expr().is_some_and(|n| program.is_imported_data(file, &n.id));
                if let Some(dotted) = implicit::dotted(program, file, &call.func).filter(|_| !imported) {
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

    fn call_name(&mut self, call: &ExprCall, name: &str, file: usize) {
        let program = self.analyser.program;
        if purity::OPAQUE.contains(&name) {
            self.give_up(format!("{name}() may change anything"));
        } else if matches!(name, "next" | "setattr" | "delattr") {
            self.change_arguments(call);
            call.arguments.args.first().into_iter().for_each(|first| self.change_directly(first));
        } else if program.classes.contains_key(name) {
            self.make(call, name);
        } else if !program.functions(name).is_empty() && !self.is_variable(name) {
            self.call_units(call, &program.functions(name), 0);
        } else if self.is_variable(name) && self.is_record_type(name) {
            // It makes a value of what it is given, and changes neither itself nor that.
        } else if self.is_variable(name) {
            self.spread.insert(name.to_owned());
            if !self.is_torch_module(name) {
                self.change_arguments(call);
            }
        } else if program.is_imported_data(file, name) {
            self.spread.insert(name.to_owned());
            self.change_arguments(call);
        } else if let Some(dotted) = program.import(file, name) {
            let dotted = dotted.to_owned();
            self.call_library(call, &dotted);
        } else if !purity::BUILTINS.contains(&name) || purity::CALLING.contains(&name) {
            self.change_arguments(call);
        } else {
            for (_, argument) in arguments(call) {
                self.consume(argument);
                self.special(argument, &purity::SPECIAL_OF_FUNCTIONS);
            }
            call.arguments.keywords.iter().for_each(|keyword| self.change(&keyword.value));
        }
    }

    fn make(&mut self, call: &ExprCall, class: &str) {
        let program = self.analyser.program;
        let makers = program.methods("__init__").into_iter().chain(program.methods("__new__"));
        let makers = makers.filter(|unit| program.units[*unit].class == Some(class)).collect::<Vec<_>>();
        self.call_units(call, &makers, 1);
    }

    fn call_library(&mut self, call: &ExprCall, dotted: &str) {
        match self.analyser.program.origin(dotted) {
            Origin::Library => {}
            Origin::Module => return,
            Origin::Functions(units) if !units.is_empty() => return self.call_units(call, &units, 0),
            Origin::Functions(_) => return self.change_arguments(call),
            Origin::Class(class) => return self.make(call, &class),
            Origin::Data { file, name, .. } => {
                let method = dotted.rsplit('.').next().unwrap_or_default();
                let units = self.analyser.program.methods(method);
                self.call_units(call, &units, 1);
                let changes = |unit: &usize| self.analyser.summary(*unit).params.first().is_none_or(|changed| *changed);
                if if units.is_empty() { !purity::is_pure_method(method) } else { units.iter().any(changes) } {
                    self.change_arguments(call);
                    self.analyser.add_far(self.unit, &BTreeSet::from([(file, name)]), &mut self.effects);
                }
                return;
            }
        }
        if purity::OF_SIGNALS.contains(&dotted) {
            self.give_up(format!("{dotted}() sets what no variable holds"));
        }
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
                self.change_directly(receiver);
            }
            self.call_units(call, &units, 1);
        }
        let on_code = receiver.as_name_expr().is_some_and(|name| !self.is_variable(&name.id));
        if on_code && units.is_empty() {
            // list.append(items, item), Base.step(self, batch): the object is the first argument.
            self.change_arguments(call);
        }
        if purity::is_pure_method(method) && !purity::is_taking(call, method) {
            return;
        }
        if method == "backward" {
            // Changes the gradients of whatever was called on the way: those are callees, and found as such.
            roots(receiver, &mut self.effects.mutated);
            return;
        }
        if units.is_empty() {
            self.change_directly(receiver);
            if !purity::is_container_method(method) {
                self.change_arguments(call);
            }
        }
    }

    /// A call of one of these functions; their first `skip` parameters are not among the call's arguments.
    fn call_units(&mut self, call: &ExprCall, units: &[usize], skip: usize) {
        for unit in units {
            let program = self.analyser.program;
            match implicit::decorated(program, &program.units[*unit]) {
                Decorated::Plain => {}
                Decorated::Stateful(reason) => self.give_up(reason),
                Decorated::Wrapped(wrappers) => self.wrapped(&wrappers, program.units[*unit].name),
            }
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

    /// A call of a decorated function, which runs what the project's decorators put around it.
    fn wrapped(&mut self, wrappers: &[usize], name: &str) {
        let program = self.analyser.program;
        for wrapper in wrappers {
            let summary = self.analyser.summary(*wrapper);
            let mut around = std::iter::successors(program.units[*wrapper].parent, |unit| program.units[*unit].parent);
            if around.any(|unit| summary.outside.iter().any(|name| program.units[unit].locals.contains(name.as_str())))
            {
                self.give_up(format!("what decorates {name}() keeps state"));
            }
            self.outside(*wrapper, &summary);
        }
    }

    /// Effects of a called function on names that are not its own.
    pub(super) fn outside(&mut self, callee: usize, summary: &Summary) {
        if let Some(reason) = &summary.opaque {
            self.give_up(reason.clone());
        }
        if let Some(reason) = &summary.suspends {
            self.effects.suspends.get_or_insert(reason.clone());
        }
        let (here, there) = (&self.analyser.program.units[self.unit], &self.analyser.program.units[callee]);
        for name in &summary.outside {
            let is_module_data = self.analyser.program.is_data(there.file, name);
            if there.parent.is_some() && here.locals.contains(name.as_str()) {
                // A nested function changes a name of the function around it.
                self.spread.insert(name.clone());
                self.effects.bound.insert(name.clone());
            } else if is_module_data && here.file == there.file {
                self.effects.globals.insert(name.clone());
            } else if is_module_data {
                self.effects.far.insert((there.file, name.clone()));
            }
        }
        self.analyser.add_far(self.unit, &summary.far, &mut self.effects);
    }

    /// Whether a name is data here: bound in this function or around it by something else than def, class or import.
    pub(super) fn is_variable(&self, name: &str) -> bool {
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

    /// Whether a variable of this module stands for a type of records and for nothing else: `namedtuple('Step', 'state action')`.
    fn is_record_type(&self, name: &str) -> bool {
        let program = self.analyser.program;
        let unit = program.files[program.units[self.unit].file].unit;
        let shadowed = self.unit != unit && program.units[self.unit].locals.contains(name);
        let bindings = bindings(program.units[unit].body, name);
        !shadowed && !bindings.is_empty() && bindings.into_iter().all(|value| value.is_some_and(makes_record_type))
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

/// What a body binds a name to: the value of each assignment, None for any other binding of it.
fn bindings<'a>(body: &'a [Stmt], name: &str) -> Vec<Option<&'a Expr>> {
    struct Bindings<'n, 'a>(&'n str, Vec<Option<&'a Expr>>);
    impl<'a> Visitor<'a> for Bindings<'_, 'a> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            match stmt {
                Stmt::Assign(assign) if matches!(&assign.targets[..], [Expr::Name(name)] if name.id == self.0) => {
                    self.1.push(Some(&assign.value));
                }
                _ => walk_stmt(self, stmt),
            }
        }

        fn visit_expr(&mut self, expr: &'a Expr) {
            if expr.as_name_expr().is_some_and(|name| name.id == self.0 && !name.ctx.is_load()) {
                self.1.push(None);
            }
            walk_expr(self, expr);
        }
    }
    let mut bindings = Bindings(name, Vec::new());
    bindings.visit_body(body);
    bindings.1
}

fn makes_record_type(value: &Expr) -> bool {
    let makers = ["namedtuple", "NamedTuple"];
    value.as_call_expr().and_then(callee).is_some_and(|name| makers.contains(&name))
}
