//! Log statements and imports of one file.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt, StmtImportFrom};
use ruff_text_size::{Ranged, TextRange};

use crate::analysis::python::api::{Api, ApiNames};
use crate::analysis::python::expression::argument;
use crate::analysis::python::foreign::METHODS;
use crate::analysis::python::parse::Module;
use crate::analysis::python::parts::arguments;
use crate::model::probe::LogStatement;
use crate::model::source::SourceFile;

/// The log statements of a text, in source order: the innermost statement around each call `log("name", …)` of our
/// API with a literal name, and around those of other libraries that say the same.
pub fn log_statements(text: &str) -> Vec<LogStatement> {
    let module = Module::parse(text);
    let api = ApiNames::of(module.body());
    let mut finder = Finder { text, module: &module, api: &api, scope: Vec::new(), statement: None, found: Vec::new() };
    finder.visit_body(module.body());
    finder.found
}

/// Dotted names of the modules that a file imports, relative ones resolved against its path. `from a import b` gives
/// `a` and `a.b`, since `b` may be a module.
pub fn imports(file: &SourceFile) -> Vec<String> {
    let module = Module::parse(&file.text);
    let mut imports = Imports { package: package_of(&file.path), found: Vec::new() };
    imports.visit_body(module.body());
    imports.found
}

/// What a log statement logs under a name, on one line: of `log("name", x)` and its like the `x`, of `{"name": x}` too.
/// The text is the statement's, with its indentation and what comes with it; what imports it needs is not known here.
pub fn logged_expression(statement: &str, name: &str) -> Option<String> {
    let indent = statement.len() - statement.trim_start().len();
    let lines = statement.lines().map(|line| line.get(indent..).unwrap_or(line.trim_start()));
    let text = lines.collect::<Vec<_>>().join("\n");
    let module = Module::parse(&text);
    let mut finder = Logged { name, in_log: false, found: None };
    finder.visit_body(module.body());
    let found = text.get(finder.found?.1.to_std_range())?;
    let on_one_line = found.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // A comment or a long string does not go onto one line.
    argument(&on_one_line).ok().map(|_| on_one_line)
}

struct Logged<'n> {
    name: &'n str,
    /// Whether the innermost call around is spelled as one that logs.
    in_log: bool,
    /// Whether the best so far was found there, and where that is.
    found: Option<(bool, TextRange)>,
}

impl Logged<'_> {
    /// What a call that logs says of a name counts before what another says of it, such as `stats.get("loss", 0)`. Of two
    /// alike the later counts, since what comes with a statement mostly stands before it; of one within another the outer.
    fn take(&mut self, found: TextRange) {
        let is_better = |(in_log, best): (bool, TextRange)| match (self.in_log, in_log) {
            (true, false) => true,
            (false, true) => false,
            _ => found.start() >= best.end(),
        };
        if self.found.is_none_or(is_better) {
            self.found = Some((self.in_log, found));
        }
    }
}

/// Whether a call is written as those that log, by whatever they are imported from.
fn is_spelled_as_log(call: &ExprCall) -> bool {
    let name = match &*call.func {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => return false,
    };
    name == "log" || METHODS.contains(&name)
}

impl<'a> Visitor<'a> for Logged<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        let is_name = |expr: &Expr| expr.as_string_literal_expr().is_some_and(|text| text.value.to_str() == self.name);
        let outer = self.in_log;
        let found = match expr {
            Expr::Call(call) => {
                self.in_log = is_spelled_as_log(call);
                let arguments: Vec<&Expr> = arguments(call).map(|(_, value)| value).collect();
                let at = arguments.iter().position(|argument| is_name(argument));
                at.and_then(|at| arguments.get(at + 1)).map(|value| value.range())
            }
            Expr::Dict(dict) => {
                let item = dict.items.iter().find(|item| item.key.as_ref().is_some_and(is_name));
                item.map(|item| item.value.range())
            }
            _ => None,
        };
        found.into_iter().for_each(|found| self.take(found));
        walk_expr(self, expr);
        self.in_log = outer;
    }
}

struct Finder<'a> {
    text: &'a str,
    module: &'a Module,
    api: &'a ApiNames,
    scope: Vec<&'a str>,
    statement: Option<&'a Stmt>,
    found: Vec<LogStatement>,
}

impl<'a> Visitor<'a> for Finder<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let outer = self.statement.replace(stmt);
        let name = match stmt {
            Stmt::FunctionDef(function) => Some(function.name.as_str()),
            Stmt::ClassDef(class) => Some(class.name.as_str()),
            _ => None,
        };
        self.scope.extend(name);
        walk_stmt(self, stmt);
        if name.is_some() {
            self.scope.pop();
        }
        self.statement = outer;
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let (Expr::Call(call), Some(statement)) = (expr, self.statement) {
            let ours = self.api.name_in(call, Api::Log).map(str::to_owned);
            let (first_line, last_line) = self.module.span(statement);
            let foreign = self.api.foreign(call).into_iter().map(|entry| entry.name);
            self.found.extend(ours.into_iter().chain(foreign).map(|name| LogStatement {
                name,
                first_line,
                last_line,
                text: self.text.get(statement.range().to_std_range()).unwrap_or_default().to_owned(),
                scope: if self.scope.is_empty() { "<module>".to_owned() } else { self.scope.join(".") },
            }));
        }
        walk_expr(self, expr);
    }
}

struct Imports {
    package: Vec<String>,
    found: Vec<String>,
}

impl Imports {
    fn add(&mut self, name: String) {
        if !name.is_empty() && !self.found.contains(&name) {
            self.found.push(name);
        }
    }
}

impl<'a> Visitor<'a> for Imports {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.add(alias.name.to_string())),
            Stmt::ImportFrom(import) => {
                let Some(base) = resolve(&self.package, import) else { return };
                self.add(base.clone());
                for alias in import.names.iter().filter(|alias| alias.name.as_str() != "*") {
                    let dot = if base.is_empty() { "" } else { "." };
                    self.add(format!("{base}{dot}{}", alias.name));
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// The package that relative imports in the file at `path` start from.
pub(super) fn package_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    parts.pop();
    parts
}

/// The dotted module of `from module import …`; `None` if it climbs above the project.
pub(super) fn resolve(package: &[String], import: &StmtImportFrom) -> Option<String> {
    let module = import.module.as_ref().map(|m| m.to_string());
    let Some(climb) = (import.level as usize).checked_sub(1) else { return module };
    let base = package.get(..package.len().checked_sub(climb)?)?;
    Some(base.iter().cloned().chain(module).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_statements_are_found_under_every_import_form() {
        for (import, call) in [
            ("import afterlog", "afterlog.log"),
            ("import afterlog as al", "al.log"),
            ("from afterlog import log", "log"),
            ("from flor import log as note", "note"),
            ("import flordb as flor", "flor.log"),
            ("from flordb import *", "log"),
            ("try:\n    import flor\nexcept ImportError:\n    flor = None", "flor.log"),
        ] {
            let found =
                log_statements(&format!("{import}\nx = {call}('loss',\n    3)\n{call}(name, 4)\nother.log('no', 1)\n"));
            assert_eq!(found.len(), 1, "{import}");
            assert_eq!((found[0].name.as_str(), found[0].scope.as_str()), ("loss", "<module>"));
            assert_eq!(found[0].last_line, found[0].first_line + 1);
            assert_eq!(found[0].text, format!("x = {call}('loss',\n    3)"));
        }
        assert!(log_statements("from math import log\nlog('x', 2)\n").is_empty());
    }

    #[test]
    fn what_a_statement_logs_is_found_on_one_line() {
        for (statement, expected) in [
            ("    log('n', a + b)\n", Some("a + b")),
            ("afterlog.log(name=\"n\", value=f(x, 'n'))", Some("f(x, 'n')")),
            ("    if step:\n        wandb.log({'m': 1, 'n': (a,\n            b)})\n", Some("(a, b)")),
            ("y = writer.add_scalar('n', x, step)", Some("x")),
            ("log('m', 1)", None),
            ("log('n', (a,  # first\n    b))", None),
            ("  v = stats.get('n', 0)\n  afterlog.log('n', v)\n  seen.update('n', 1)", Some("v")),
            ("v = stats.get('n', 0)\nnote('n', f(v, d.get('n', 1)))", Some("f(v, d.get('n', 1))")),
            ("d = {'n': 0}\nwandb.log({'m': d['n'], 'n': v})", Some("v")),
            ("log('n', d.get('n', 0))\nlog('m', d.get('n', 1))", Some("d.get('n', 0)")),
        ] {
            assert_eq!(logged_expression(statement, "n").as_deref(), expected, "{statement}");
        }
    }

    #[test]
    fn the_innermost_statement_and_its_scope_are_given() {
        let text =
            "import afterlog\nclass T:\n    def fit(self):\n        if self:\n            afterlog.log('a', 1)\n";
        let found = log_statements(text);
        assert_eq!((found[0].first_line, found[0].scope.as_str()), (5, "T.fit"));
        assert_eq!(found[0].text, "afterlog.log('a', 1)");
    }

    #[test]
    fn a_syntax_error_elsewhere_does_not_hide_log_statements() {
        assert_eq!(
            log_statements("import flor\nx = (\nflor.log('a', 1)\ndef f(:\n  pass\nflor.log('b', 2)\n")
                .last()
                .map(|l| l.name.clone()),
            Some("b".into())
        );
    }

    #[test]
    fn imports_are_dotted_and_relative_ones_resolved() {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let text = "import os, a.b as c\nfrom utils import train\ndef f():\n    from . import near\n    from ..up import x\n    from ... import no\n";
        let found = imports(&file("lib/net/model.py", text));
        assert_eq!(found, ["os", "a.b", "utils", "utils.train", "lib.net", "lib.net.near", "lib.up", "lib.up.x", "no"]);
        assert_eq!(imports(&file("train.py", "from .x import y\nfrom ..z import w\n")), ["x", "x.y"]);
    }
}
