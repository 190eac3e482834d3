//! What values are made of, by the look of the expressions that make them.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt};

/// For each name of a body: the names that its values are made of. A change of the one may be a change of the other.
pub(super) fn holds(body: &[Stmt]) -> BTreeMap<String, BTreeSet<String>> {
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
pub(super) fn roots(expr: &Expr, found: &mut BTreeSet<String>) {
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
pub(super) fn arguments(call: &ExprCall) -> impl Iterator<Item = (Result<usize, &str>, &Expr)> {
    let positional = call.arguments.args.iter().enumerate().map(|(at, argument)| (Ok(at), argument));
    let named = call.arguments.keywords.iter();
    positional.chain(named.map(|keyword| (Err(keyword.arg.as_ref().map_or("", |name| name.as_str())), &keyword.value)))
}
