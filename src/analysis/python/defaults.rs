//! Defaults of parameters that stay what they are from call to call, whatever is done to the parameter.

use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::program::Program;

/// Functions that make what cannot be changed.
const MAKERS: [&str; 12] =
    ["float", "int", "str", "bool", "complex", "bytes", "tuple", "frozenset", "range", "device", "Path", "PurePath"];

/// Libraries whose attributes are functions, types and numbers, whatever their names begin with: `torch.float32`, `math.inf`.
const PLAIN: [&str; 7] = ["torch", "numpy", "math", "random", "operator", "jax", "scipy"];

/// Whether nothing can be done to such a default that a later call would find: numbers, texts, members of enumerations, and
/// classes and functions of libraries (`nn.ReLU`, `random.gauss`). Of others' attributes nobody knows: `os.environ`.
pub(super) fn stays(program: &Program<'_>, file: usize, default: &Expr) -> bool {
    match default {
        Expr::Tuple(tuple) => tuple.elts.iter().all(|item| stays(program, file, item)),
        Expr::UnaryOp(operation) => stays(program, file, &operation.operand),
        Expr::BinOp(operation) => stays(program, file, &operation.left) && stays(program, file, &operation.right),
        Expr::Attribute(attribute) => {
            let is_class = attribute.attr.starts_with(char::is_uppercase);
            let is_plain = |module: &str| PLAIN.contains(&module.split('.').next().unwrap_or_default());
            is_member(program, &attribute.value)
                || library(program, file, default).is_some_and(|module| is_class || is_plain(module))
        }
        Expr::Call(call) => {
            let name = match &*call.func {
                Expr::Name(name) => name.id.as_str(),
                Expr::Attribute(attribute) if library(program, file, &call.func).is_some() => attribute.attr.as_str(),
                _ => return false,
            };
            MAKERS.contains(&name) && program.named(name).is_empty() && !program.classes.contains_key(name)
        }
        other => other.is_literal_expr(),
    }
}

/// The dotted name of what is imported from a library, if this leads to an attribute of it.
fn library<'p>(program: &'p Program<'_>, file: usize, expr: &Expr) -> Option<&'p str> {
    let mut root = expr;
    while let Expr::Attribute(attribute) = root {
        root = &attribute.value;
    }
    let name = root.as_name_expr().filter(|name| program.is_foreign(file, &name.id))?;
    program.import(file, &name.id)
}

/// Whether this names a class of the project whose members are constants.
fn is_member(program: &Program<'_>, class: &Expr) -> bool {
    let Some(name) = last_name(class) else { return false };
    let is_constants = |base: &Expr| {
        last_name(base).is_some_and(|base| ["Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"].contains(&base))
    };
    let statements = program.files.iter().flat_map(|file| file.module.body());
    let mut classes = statements.filter_map(Stmt::as_class_def_stmt).filter(|class| class.name == *name).peekable();
    classes.peek().is_some() && classes.all(|class| class.bases().iter().any(is_constants))
}

fn last_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(&name.id),
        Expr::Attribute(attribute) => Some(&attribute.attr),
        _ => None,
    }
}
