//! A script and its project's modules as functions, classes and names: what the analyses of effects look things up in.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_pattern, walk_stmt};
use ruff_python_ast::{Decorator, Expr, ExprCall, ExprContext, Pattern, Stmt, StmtFunctionDef};

use crate::analysis::python::api::ApiNames;
use crate::analysis::python::parse::Module;
use crate::analysis::python::statements::{package_of, resolve};

/// A stretch of code with names of its own: a module or a function. Class bodies belong to what surrounds them.
pub(super) struct Unit<'a> {
    pub(super) file: usize,
    /// Dotted, `<module>` for a module.
    pub(super) scope: String,
    pub(super) name: &'a str,
    /// The class it is a method of.
    pub(super) class: Option<&'a str>,
    /// The enclosing function, if it is nested in one.
    pub(super) parent: Option<usize>,
    pub(super) params: Vec<&'a str>,
    /// Parameters with what they are by default.
    pub(super) defaults: Vec<(&'a str, &'a Expr)>,
    pub(super) decorators: &'a [Decorator],
    pub(super) body: &'a [Stmt],
    pub(super) line: u32,
    /// Names bound here, without those declared global or nonlocal.
    pub(super) locals: HashSet<&'a str>,
    /// Of `locals`: those bound by something else than an import, a function or a class, and so data.
    pub(super) variables: HashSet<&'a str>,
}

/// One file of the program.
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) module: &'a Module,
    pub(super) api: ApiNames,
    /// Names bound by imports anywhere in the file, and the dotted name that each stands for.
    pub(super) imports: HashMap<String, String>,
    /// Modules all of whose names are imported.
    pub(super) stars: Vec<String>,
    /// The module's own unit.
    pub(super) unit: usize,
}

pub(super) struct Program<'a> {
    pub(super) files: Vec<File<'a>>,
    pub(super) units: Vec<Unit<'a>>,
    /// Functions by their name, methods included.
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Names of classes, and whether they look like torch modules: they define `forward`.
    pub(super) classes: HashMap<&'a str, bool>,
    /// Names of attributes that classes, not their objects, hold, and that can be changed in place.
    pub(super) class_data: HashSet<&'a str>,
}

impl<'a> Program<'a> {
    /// The first file is the script.
    pub(super) fn new(files: &[(&'a str, &'a Module)]) -> Self {
        let mut program = Self {
            files: Vec::new(),
            units: Vec::new(),
            by_name: HashMap::new(),
            classes: HashMap::new(),
            class_data: HashSet::new(),
        };
        for (number, (path, module)) in files.iter().enumerate() {
            let unit = program.units.len();
            let mut collector = Collector {
                program: &mut program,
                module,
                file: number,
                scope: Vec::new(),
                class: None,
                parent: None,
                imports: HashMap::new(),
                stars: Vec::new(),
                package: package_of(path),
            };
            collector.unit("<module>", None, None, module.body(), 1);
            let (imports, stars) = (collector.imports, collector.stars);
            program.files.push(File { path, module, api: ApiNames::of(module.body()), imports, stars, unit });
        }
        program.import_stars();
        for (number, unit) in program.units.iter().enumerate() {
            program.by_name.entry(unit.name).or_default().push(number);
            if let (Some(class), "forward") = (unit.class, unit.name) {
                program.classes.insert(class, true);
            }
        }
        program
    }

    /// Functions and methods of this name.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Plain functions of this name.
    pub(super) fn functions(&self, name: &str) -> Vec<usize> {
        self.named(name).iter().copied().filter(|unit| self.units[*unit].class.is_none()).collect()
    }

    /// Methods of this name, in whatever class.
    pub(super) fn methods(&self, name: &str) -> Vec<usize> {
        self.named(name).iter().copied().filter(|unit| self.units[*unit].class.is_some()).collect()
    }

    /// The dotted name that an imported name stands for in a file.
    pub(super) fn import(&self, file: usize, name: &str) -> Option<&str> {
        self.files[file].imports.get(name).map(String::as_str)
    }
}

struct Collector<'p, 'a> {
    program: &'p mut Program<'a>,
    module: &'a Module,
    file: usize,
    scope: Vec<&'a str>,
    class: Option<&'a str>,
    parent: Option<usize>,
    imports: HashMap<String, String>,
    stars: Vec<String>,
    /// Where relative imports start from.
    package: Vec<String>,
}

impl<'a> Collector<'_, 'a> {
    fn unit(
        &mut self,
        name: &'a str,
        class: Option<&'a str>,
        function: Option<&'a StmtFunctionDef>,
        body: &'a [Stmt],
        line: u32,
    ) {
        let parameters = || function.into_iter().flat_map(|function| function.parameters.iter());
        let params: Vec<&str> = parameters().map(|parameter| parameter.name().as_str()).collect();
        let defaults = parameters().filter_map(|parameter| Some((parameter.name().as_str(), parameter.default()?)));
        let defaults = defaults.collect();
        let decorators = function.map(|function| &function.decorator_list[..]).unwrap_or_default();
        let mut names = Bound::default();
        names.visit_body(body);
        names.all.extend(&params);
        names.variables.extend(&params);
        names.all.retain(|name| !names.elsewhere.contains(name));
        names.variables.retain(|name| !names.elsewhere.contains(name));
        let number = self.program.units.len();
        let scope = if self.scope.is_empty() { "<module>".to_owned() } else { self.scope.join(".") };
        let (file, parent) = (self.file, self.parent);
        let (locals, variables) = (names.all, names.variables);
        self.program.units.push(Unit {
            file,
            scope,
            name,
            class,
            parent,
            params,
            defaults,
            decorators,
            body,
            line,
            locals,
            variables,
        });
        let outer = self.parent;
        // The module is nobody's enclosing function.
        if name != "<module>" {
            self.parent = Some(number);
        }
        let class = self.class.take();
        self.visit_body(body);
        self.class = class;
        self.parent = outer;
    }
}

impl<'a> Visitor<'a> for Collector<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => {
                let line = function
                    .decorator_list
                    .first()
                    .map_or_else(|| self.module.span(stmt).0, |decorator| self.module.span(decorator).0);
                self.scope.push(&function.name);
                self.unit(&function.name, self.class, Some(function), &function.body, line);
                self.scope.pop();
            }
            Stmt::ClassDef(class) => {
                self.program.classes.entry(&class.name).or_insert(false);
                self.program.class_data.extend(class.body.iter().filter_map(shared_attribute));
                self.scope.push(&class.name);
                let outer = self.class.replace(&class.name);
                self.visit_body(&class.body);
                self.class = outer;
                self.scope.pop();
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.name.as_str();
                    let (bound, means) = match &alias.asname {
                        Some(bound) => (bound.as_str(), name),
                        None => name.split_once('.').map_or((name, name), |(first, _)| (first, first)),
                    };
                    self.imports.insert(bound.to_owned(), means.to_owned());
                }
            }
            Stmt::ImportFrom(import) => {
                let Some(module) = resolve(&self.package, import) else { return };
                for alias in &import.names {
                    let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                    if bound.as_str() == "*" {
                        self.stars.push(module.clone());
                    }
                    let dot = if module.is_empty() { "" } else { "." };
                    self.imports.insert(bound.to_string(), format!("{module}{dot}{}", alias.name));
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// The name of a class's own attribute that holds something that can be changed in place.
fn shared_attribute(stmt: &Stmt) -> Option<&str> {
    let (target, value) = match stmt {
        Stmt::Assign(assign) => (assign.targets.first()?, &*assign.value),
        Stmt::AnnAssign(assign) => (&*assign.target, assign.value.as_deref()?),
        _ => return None,
    };
    let is_field = |call: &ExprCall| match &*call.func {
        Expr::Name(name) => name.id.eq_ignore_ascii_case("field"),
        Expr::Attribute(attribute) => attribute.attr.as_str() == "field",
        _ => false,
    };
    let shared = match value {
        Expr::Call(call) => !is_field(call),
        Expr::List(_) | Expr::Dict(_) | Expr::Set(_) | Expr::ListComp(_) | Expr::DictComp(_) | Expr::SetComp(_) => true,
        _ => false,
    };
    target.as_name_expr().filter(|_| shared).map(|name| name.id.as_str())
}

/// The names that a body binds, nested functions and classes not looked into.
#[derive(Default)]
struct Bound<'a> {
    all: HashSet<&'a str>,
    variables: HashSet<&'a str>,
    /// Declared global or nonlocal.
    elsewhere: HashSet<&'a str>,
}

impl<'a> Bound<'a> {
    fn variable(&mut self, name: &'a str) {
        self.all.insert(name);
        self.variables.insert(name);
    }
}

impl<'a> Visitor<'a> for Bound<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => drop(self.all.insert(&function.name)),
            Stmt::ClassDef(class) => drop(self.all.insert(&class.name)),
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    self.all.insert(name.split('.').next().unwrap_or(name));
                }
            }
            Stmt::ImportFrom(import) => {
                self.all.extend(import.names.iter().map(|alias| alias.asname.as_ref().unwrap_or(&alias.name).as_str()));
            }
            Stmt::Global(global) => self.elsewhere.extend(global.names.iter().map(|name| name.as_str())),
            Stmt::Nonlocal(nonlocal) => self.elsewhere.extend(nonlocal.names.iter().map(|name| name.as_str())),
            Stmt::Try(attempt) => {
                for handler in &attempt.handlers {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    handler.name.iter().for_each(|name| self.variable(name));
                }
                walk_stmt(self, stmt);
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if matches!(name.ctx, ExprContext::Store | ExprContext::Del) => self.variable(&name.id),
            // Names bound in these are their own.
            Expr::Lambda(_) => {}
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
                let mut inner = Walrus(self);
                walk_expr(&mut inner, expr);
            }
            _ => walk_expr(self, expr),
        }
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        match pattern {
            Pattern::MatchAs(bound) => bound.name.iter().for_each(|name| self.variable(name)),
            Pattern::MatchStar(bound) => bound.name.iter().for_each(|name| self.variable(name)),
            Pattern::MatchMapping(bound) => bound.rest.iter().for_each(|name| self.variable(name)),
            _ => {}
        }
        walk_pattern(self, pattern);
    }
}

/// In comprehensions only `:=` binds a name of the surrounding scope.
struct Walrus<'b, 'a>(&'b mut Bound<'a>);

impl<'a> Visitor<'a> for Walrus<'_, 'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Named(named) = expr
            && let Expr::Name(name) = &*named.target
        {
            self.0.variable(&name.id);
        }
        walk_expr(self, expr);
    }
}
