//! The imports with which a script begins: what a process may have done already when the script starts, since nothing of
//! the project's own has run before them.

use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::api::MODULES;
use crate::analysis::python::parse::Module;

/// The imports at the top of a script, in order, up to the first other statement or module of the project itself: the
/// module's dotted name, and what is imported from it by name. Our own package is left out.
pub fn leading_imports(text: &str, is_own: impl Fn(&str) -> bool) -> Vec<(String, Vec<String>)> {
    let module = Module::parse(text);
    let mut found = Vec::new();
    if !module.problems.is_empty() {
        return found;
    }
    let top = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    for statement in module.body() {
        match statement {
            Stmt::Expr(line) if matches!(*line.value, Expr::StringLiteral(_)) => {}
            Stmt::Import(import) => {
                for name in import.names.iter().map(|alias| alias.name.as_str()) {
                    if is_own(&top(name)) {
                        return found;
                    }
                    if !MODULES.contains(&top(name).as_str()) {
                        found.push((name.to_owned(), Vec::new()));
                    }
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                let Some(name) = import.module.as_ref().map(|name| name.as_str()) else { return found };
                if is_own(&top(name)) {
                    return found;
                }
                if name != "__future__" && !MODULES.contains(&top(name).as_str()) {
                    let members = import.names.iter().map(|alias| alias.name.to_string()).collect();
                    found.push((name.to_owned(), members));
                }
            }
            _ => return found,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::leading_imports;

    fn names(text: &str) -> Vec<String> {
        let found = leading_imports(text, |name| name == "mine");
        found.into_iter().map(|(module, members)| [&[module][..], &members].concat().join(" ")).collect()
    }

    #[test]
    fn imports_count_up_to_the_first_other_statement() {
        let text = "\"\"\"Trains.\"\"\"\nfrom __future__ import annotations\nimport os, numpy as np\nimport afterlog\n\
                    from torch.utils import data, x as y\nos.environ['A'] = '1'\nimport late\n";
        assert_eq!(names(text), ["os", "numpy", "torch.utils data x"]);
        assert!(names("try:\n    import a\nexcept ImportError:\n    pass\n").is_empty());
    }

    #[test]
    fn nothing_counts_from_the_projects_own_module_on() {
        assert_eq!(names("import a\nfrom mine.net import Net\nimport b\n"), ["a"]);
        assert_eq!(names("import a, mine, b\n"), ["a"]);
        assert_eq!(names("import a\nfrom . import near\nimport b\n"), ["a"]);
        assert!(names("import a\ndef f(:\n").is_empty(), "a script that cannot run imports nothing");
    }
}
