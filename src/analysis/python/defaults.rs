//! Defaults of parameters that stay what they are from call to call, whatever is done to the parameter.

use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::program::Program;

/// Functions that make what cannot be changed.
const MAKERS: [&str; 12] =
    ["float", "int", "str", "bool", "complex", "bytes", "tuple", "frozenset", "range", "device", "Path", "PurePath"];

/// Whether nothing can be done to such a default that a later call would find: numbers, texts, members of enumerations, and
/// what a library keeps under a name (`nn.ReLU`, `torch.float32`).
pub(super) fn stays(program: &Program<'_>, file: usize, default: &Expr) -> bool {
    match default {
        Expr::Tuple(tuple) => tuple.elts.iter().all(|item| stays(program, file, item)),
        Expr::UnaryOp(operation) => stays(program, file, &operation.operand),
        Expr::BinOp(operation) => stays(program, file, &operation.left) && stays(program, file, &operation.right),
        Expr::Attribute(attribute) => is_of_library(program, file, default) || is_member(program, &attribute.value),
        Expr::Call(call) => {
            let name = match &*call.func {
                Expr::Name(name) => name.id.as_str(),
                Expr::Attribute(attribute) if is_of_library(program, file, &call.func) => attribute.attr.as_str(),
                _ => return false,
            };
            MAKERS.contains(&name) && program.named(name).is_empty() && !program.classes.contains_key(name)
        }
        other => other.is_literal_expr(),
    }
}

/// Whether this is an attribute of a module that is not the project's.
fn is_of_library(program: &Program<'_>, file: usize, expr: &Expr) -> bool {
    let mut root = expr;
    while let Expr::Attribute(attribute) = root {
        root = &attribute.value;
    }
    root.as_name_expr().is_some_and(|name| program.is_foreign(file, &name.id))
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
