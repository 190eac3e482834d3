//! Our Python API as a source names it, under every form of import.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};

use crate::analysis::python::foreign::{Entry, ForeignNames};

/// Modules that are ours or stand for us.
pub(in crate::analysis) const MODULES: [&str; 3] = ["afterlog", "flor", "flordb"];

/// A function of our API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Api {
    Loop,
    Log,
    Arg,
    Checkpointing,
    Iteration,
}

impl Api {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "loop" => Self::Loop,
            "log" => Self::Log,
            "arg" => Self::Arg,
            "checkpointing" => Self::Checkpointing,
            "iteration" => Self::Iteration,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, api)| *api == self).map_or("", |(name, _)| name)
    }

    const ALL: [(&str, Self); 5] = [
        ("loop", Self::Loop),
        ("log", Self::Log),
        ("arg", Self::Arg),
        ("checkpointing", Self::Checkpointing),
        ("iteration", Self::Iteration),
    ];
}

/// The names that mean our API in one file. An import anywhere in the file counts for all of it.
#[derive(Debug, Default)]
pub(super) struct ApiNames {
    modules: HashSet<String>,
    functions: HashMap<String, Api>,
    foreign: ForeignNames,
}

impl ApiNames {
    pub(super) fn of(body: &[Stmt]) -> Self {
        let mut names = Self::default();
        for stmt in body {
            names.visit_stmt(stmt);
        }
        names
    }

    /// Whether a call logs, with us or with another library.
    pub(super) fn logs(&self, call: &ExprCall) -> bool {
        self.function(&call.func) == Some(Api::Log) || self.foreign.logs(call)
    }

    /// What a call logs under literal names with another library.
    pub(super) fn foreign<'c>(&self, call: &'c ExprCall) -> Vec<Entry<'c>> {
        if self.function(&call.func).is_some() { Vec::new() } else { self.foreign.entries(call) }
    }

    /// How the file spells each function of the API that it can call.
    pub(super) fn spelling(&self) -> HashMap<String, String> {
        let mut found = HashMap::new();
        if let Some(module) = self.modules.iter().min() {
            found.extend(Api::ALL.map(|(name, _)| (name.to_owned(), format!("{module}.{name}"))));
        }
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort();
        found.extend(functions.into_iter().map(|(spelled, api)| (api.name().to_owned(), spelled.clone())));
        found
    }

    /// The API function that an expression in call position denotes.
    pub(super) fn function(&self, function: &Expr) -> Option<Api> {
        match function {
            Expr::Name(name) => self.functions.get(name.id.as_str()).copied(),
            Expr::Attribute(attribute) => {
                let module = attribute.value.as_name_expr()?;
                self.modules.contains(module.id.as_str()).then(|| Api::named(&attribute.attr))?
            }
            _ => None,
        }
    }

    /// The literal name that a call of `api` gives: `loop("epoch", …)`.
    pub(super) fn name_in<'a>(&self, call: &'a ExprCall, api: Api) -> Option<&'a str> {
        if self.function(&call.func) != Some(api) {
            return None;
        }
        Some(call.arguments.find_argument_value("name", 0)?.as_string_literal_expr()?.value.to_str())
    }
}

impl<'a> Visitor<'a> for ApiNames {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => {
                import.names.iter().for_each(|alias| self.foreign.import(&alias.name, None));
                for alias in import.names.iter().filter(|alias| MODULES.contains(&alias.name.as_str())) {
                    self.modules.insert(alias.asname.as_ref().unwrap_or(&alias.name).to_string());
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                for (module, alias) in
                    import.module.iter().flat_map(|module| import.names.iter().map(move |a| (module, a)))
                {
                    let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.foreign.import(module, Some((&alias.name, bound)));
                }
                if !import.module.as_ref().is_some_and(|module| MODULES.contains(&module.as_str())) {
                    return;
                }
                for alias in &import.names {
                    if alias.name.as_str() == "*" {
                        self.functions.extend(Api::ALL.map(|(name, api)| (name.to_owned(), api)));
                    } else if let Some(api) = Api::named(&alias.name) {
                        self.functions.insert(alias.asname.as_ref().unwrap_or(&alias.name).to_string(), api);
                    }
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}
