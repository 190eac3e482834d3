//! Calls by which a script logs through other libraries, and how the same is said in our own words.
//!
//! The runtime sees such calls when they are made (`assets/runtime/afterlog/_libraries.py`); here they are known by how
//! they are written: which names they log under, and with what values.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, ExprDict, Stmt};
use ruff_text_size::Ranged;

use crate::analysis::python::api::ApiNames;
use crate::analysis::python::parse::Module;

/// Packages with a function or method `log` that takes names and values.
const LOGGING: [&str; 7] =
    ["wandb", "lightning", "pytorch_lightning", "lightning_fabric", "accelerate", "transformers", "trl"];
/// Those of them whose `log` takes one name and one value.
const NAMED: [&str; 3] = ["lightning", "pytorch_lightning", "lightning_fabric"];
/// Functions that are imported by name.
const FUNCTIONS: [&str; 3] = ["log", "log_metric", "log_metrics"];
/// Methods that mean logging whatever they are methods of.
pub(super) const METHODS: [&str; 6] =
    ["add_scalar", "add_scalars", "log_metric", "log_metrics", "log_dict", "set_postfix"];
/// Of nested dictionaries, as deep as the runtime looks.
const MAX_DEPTH: usize = 4;

/// What one file imports to log with.
#[derive(Debug, Default)]
pub(super) struct ForeignNames {
    packages: HashSet<String>,
    /// Functions imported by name, and what they are in their package.
    functions: HashMap<String, String>,
}

/// A value that a call logs under a literal name.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    value: &'a Expr,
    /// Where it begins, if it is an item of a dictionary or an argument of its own.
    item: Option<usize>,
}

impl ForeignNames {
    /// Takes in `import module`, or `from module import name as bound`.
    pub(super) fn import(&mut self, module: &str, name: Option<(&str, &str)>) {
        let package = module.split('.').next().unwrap_or(module);
        self.packages.insert(package.to_owned());
        if let Some((name, bound)) = name.filter(|(name, _)| FUNCTIONS.contains(name))
            && (LOGGING.contains(&package) || package == "mlflow")
        {
            self.functions.insert(bound.to_owned(), name.to_owned());
        }
    }

    /// What a call does, in the words of the libraries; `None` if it is none that logs.
    fn function<'c>(&'c self, call: &'c ExprCall) -> Option<&'c str> {
        match &*call.func {
            Expr::Name(name) => self.functions.get(name.id.as_str()).map(String::as_str),
            Expr::Attribute(attribute) => {
                let method = attribute.attr.as_str();
                let logs = method == "log" && LOGGING.iter().any(|package| self.packages.contains(*package));
                (logs || METHODS.contains(&method)).then_some(method)
            }
            _ => None,
        }
    }

    /// Whether a call logs, under whatever names.
    pub(super) fn logs(&self, call: &ExprCall) -> bool {
        self.function(call).is_some()
    }

    /// What a call logs under literal names.
    pub(super) fn entries<'c>(&self, call: &'c ExprCall) -> Vec<Entry<'c>> {
        let mut found = Vec::new();
        let Some(function) = self.function(call) else { return found };
        let argument = |names: &[&str], at| names.iter().find_map(|name| call.arguments.find_argument_value(name, at));
        match function {
            "add_scalars" => {
                if let (Some(main), Some(values)) =
                    (argument(&["main_tag"], 0).and_then(literal), argument(&["tag_scalar_dict"], 1))
                {
                    dictionary(values, &format!("{main}/"), "", 0, &mut found);
                }
            }
            "add_scalar" => one(argument(&["tag"], 0), argument(&["scalar_value"], 1), &mut found),
            "log_metric" => {
                one(argument(&["key"], 0), argument(&["value"], 1), &mut found);
                if found.is_empty() {
                    // A client's first argument is the run.
                    one(argument(&["key"], 1), argument(&["value"], 2), &mut found);
                }
            }
            "set_postfix" => {
                argument(&["ordered_dict"], 0).inspect(|values| dictionary(values, "", "", 0, &mut found));
                keywords(call, &["ordered_dict", "refresh"], &mut found);
            }
            "log" if NAMED.iter().any(|package| self.packages.contains(*package)) => {
                one(argument(&["name"], 0), argument(&["value"], 1), &mut found);
            }
            _ => {}
        }
        if matches!(function, "log" | "log_dict" | "log_metrics") && found.is_empty() {
            let data = argument(&["data", "values", "logs", "dictionary", "metrics", "metrics_dict"], 0);
            data.inspect(|values| dictionary(values, "", "", 0, &mut found));
        }
        found
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    Some(expr.as_string_literal_expr()?.value.to_str())
}

fn one<'c>(name: Option<&'c Expr>, value: Option<&'c Expr>, found: &mut Vec<Entry<'c>>) {
    if let (Some(name), Some(value)) = (name.and_then(literal), value) {
        found.push(Entry { name: name.to_owned(), value, item: None });
    }
}

/// The items of a dictionary, written as a display or as `dict(…)`.
fn dictionary<'c>(expr: &'c Expr, prefix: &str, inner: &str, depth: usize, found: &mut Vec<Entry<'c>>) {
    match expr {
        Expr::Dict(ExprDict { items, .. }) => {
            for item in items {
                let Some((start, key)) =
                    item.key.as_ref().and_then(|key| Some((key.start().to_usize(), literal(key)?)))
                else {
                    continue;
                };
                let name = format!("{prefix}{inner}{key}");
                if item.value.is_dict_expr() && depth < MAX_DEPTH {
                    dictionary(&item.value, prefix, &format!("{inner}{key}."), depth + 1, found);
                } else {
                    found.push(Entry { name, value: &item.value, item: (depth == 0).then_some(start) });
                }
            }
        }
        Expr::Call(call) if depth == 0 && call.func.as_name_expr().is_some_and(|name| name.id.as_str() == "dict") => {
            let before = found.len();
            keywords(call, &[], found);
            found[before..].iter_mut().for_each(|entry| entry.name = format!("{prefix}{}", entry.name));
        }
        _ => {}
    }
}

fn keywords<'c>(call: &'c ExprCall, except: &[&str], found: &mut Vec<Entry<'c>>) {
    for keyword in &call.arguments.keywords {
        if let Some(name) = keyword.arg.as_ref().filter(|name| !except.contains(&name.as_str())) {
            let item = Some(keyword.start().to_usize());
            found.push(Entry { name: name.to_string(), value: &keyword.value, item });
        }
    }
}

/// The same text with what it logs through other libraries under `wanted` names logged by calls of our own, each a
/// statement beside the other's: they need nothing but the value, and no tracker has to be there. Every statement stays
/// on its line. `None` if there is nothing of the kind, or no place to import us.
pub fn in_our_words(text: &str, wanted: &dyn Fn(&str) -> bool) -> Option<String> {
    let module = Module::parse(text);
    let api = ApiNames::of(module.body());
    let spelled = api.spelling().remove("log");
    let mut finder = Finder { text, api: &api, wanted, ours: spelled.as_deref().unwrap_or(OURS), edits: Vec::new() };
    finder.visit_body(module.body());
    let mut edits = finder.edits;
    let first = edits.first()?.0.start;
    if spelled.is_none() {
        let imports = |stmt: &&Stmt| stmt.is_import_stmt() || stmt.is_import_from_stmt();
        let import = module.body().iter().filter(imports).rfind(|stmt| stmt.end().to_usize() <= first)?;
        edits.push((import.end().to_usize()..import.end().to_usize(), "; import afterlog".to_owned()));
    }
    let rewritten = applied(text, edits);
    // Whatever could not be taken apart after all stays as it is.
    (Module::parse(&rewritten).problems.len() <= module.problems.len()).then_some(rewritten)
}

const OURS: &str = "afterlog.log";

struct Finder<'a> {
    text: &'a str,
    api: &'a ApiNames,
    wanted: &'a dyn Fn(&str) -> bool,
    ours: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Visitor<'a> for Finder<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt.as_expr_stmt().and_then(|statement| statement.value.as_call_expr()) {
            Some(call) => self.call(call, stmt.range().to_std_range()),
            None => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

impl Finder<'_> {
    fn call(&mut self, call: &ExprCall, range: Range<usize>) {
        let entries = self.api.foreign(call);
        let (taken, left): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| (self.wanted)(&entry.name));
        if taken.is_empty() {
            return;
        }
        let slice = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let ours = taken.iter().map(|entry| {
            let name = serde_json::to_string(&entry.name).unwrap_or_default();
            format!("{}({name}, {})", self.ours, slice(entry.value.range().to_std_range()))
        });
        let ours = ours.collect::<Vec<_>>().join("; ");
        let all = left.is_empty() && is_whole(call);
        let rest = (!all).then(|| without(self.text, call, &taken));
        let new = rest.map_or_else(|| ours.clone(), |rest| format!("{rest}; {ours}"));
        // What follows stays on its line.
        let lines = |text: &str| text.matches('\n').count();
        let lost = lines(slice(range.clone())).saturating_sub(lines(&new));
        let line_end = slice(range.end..self.text.len()).find('\n').map_or(self.text.len(), |at| range.end + at);
        self.edits.push((range, new));
        if lost > 0 {
            self.edits.push((line_end..line_end, "\n".repeat(lost)));
        }
    }
}

/// Whether a call logs nothing but its literal names.
fn is_whole(call: &ExprCall) -> bool {
    let plain = |expr: &Expr| match expr {
        Expr::Dict(dict) => dict.items.iter().all(|item| item.key.as_ref().is_some_and(|key| literal(key).is_some())),
        Expr::Call(call) => call.arguments.args.is_empty() && call.arguments.keywords.iter().all(|k| k.arg.is_some()),
        _ => true,
    };
    call.arguments.args.iter().all(plain) && call.arguments.keywords.iter().all(|keyword| plain(&keyword.value))
}

/// A call's text without the items of some entries.
fn without(text: &str, call: &ExprCall, taken: &[&Entry<'_>]) -> String {
    let range = call.range().to_std_range();
    let mut edits = Vec::new();
    for entry in taken {
        let Some(start) = entry.item else { continue };
        let end = next_item(call, start).unwrap_or(range.end - 1);
        edits.push((start - range.start..end - range.start, String::new()));
    }
    applied(text.get(range).unwrap_or_default(), edits)
}

/// Where the item after the one at `start` begins, or the bracket that ends them.
fn next_item(call: &ExprCall, start: usize) -> Option<usize> {
    let own = |call: &ExprCall| -> Option<usize> {
        let starts = call.arguments.keywords.iter().map(|keyword| keyword.start().to_usize());
        let at = starts.clone().position(|other| other == start)?;
        Some(starts.clone().nth(at + 1).unwrap_or(call.end().to_usize() - 1))
    };
    let values = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|keyword| &keyword.value));
    let inner = values.filter_map(|value| match value {
        Expr::Dict(dict) => {
            let begin = |item: &ruff_python_ast::DictItem| item.start().to_usize();
            let at = dict.items.iter().position(|item| begin(item) == start)?;
            Some(dict.items.get(at + 1).map_or(dict.end().to_usize() - 1, begin))
        }
        Expr::Call(call) => own(call),
        _ => None,
    });
    own(call).or_else(|| inner.into_iter().next())
}

fn applied(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut out, mut at) = (String::with_capacity(text.len() + 64), 0);
    for (range, new) in edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&new);
        at = at.max(range.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::in_our_words;
    use crate::analysis::python::log_statements;

    fn names(text: &str) -> Vec<String> {
        log_statements(text).into_iter().map(|statement| statement.name).collect()
    }

    #[test]
    fn what_other_libraries_are_given_under_literal_names_is_known() {
        for (text, expected) in [
            (
                "import wandb\nwandb.log({'a': 1, 'b/c': x, f'{d}': 2, 'n': {'m': 3}}, step=s)\n",
                &["a", "b/c", "n.m"][..],
            ),
            ("import wandb\nrun.log(dict(a=1))\nself.run.log(data={'b': 2})\n", &["a", "b"]),
            ("from wandb import log as note\nnote({'a': 1})\n", &["a"]),
            ("from mlflow import log_metric\nlog_metric('a', x, step=2)\n", &["a"]),
            ("mlflow.log_metrics({'a': 1, **others})\nclient.log_metric(run, 'b', 2)\n", &["a", "b"]),
            ("writer.add_scalar('a', x, 3)\nw.add_scalar(tag='b', scalar_value=x)\n", &["a", "b"]),
            ("writer.add_scalars('m', {'a': x, 'b': y}, 3)\n", &["m/a", "m/b"]),
            ("for x in (bar := tqdm(d)):\n  bar.set_postfix({'a': 1}, b=x, refresh=False)\n", &["a", "b"]),
            ("import lightning as L\nself.log('a', x, prog_bar=True)\nself.log_dict({'b': x})\n", &["a", "b"]),
            // A logarithm, a logger and a name that nobody knows.
            ("import math\nmath.log(2)\nlogger.log(10, 'a')\nother.log({'a': 1})\nwriter.add_scalar(tag, 1)\n", &[]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn a_statement_of_another_library_is_said_in_our_words_on_the_same_line() {
        for (text, wanted, expected) in [
            (
                "import wandb\nwandb.log({'a': f(x)}, step=s)\nend\n",
                "a",
                "import wandb; import afterlog\nafterlog.log(\"a\", f(x))\nend\n",
            ),
            (
                "import wandb, afterlog as al\nwandb.log({'l': l, 'a': (x +\n  1), 'b': 2})  # why\nend\n",
                "a",
                "import wandb, afterlog as al\nwandb.log({'l': l, 'b': 2}); al.log(\"a\", x +\n  1)  # why\nend\n",
            ),
            (
                "import wandb\nif x: wandb.log({\n    'a': x,\n    'b': y,\n})\nend\n",
                "b",
                "import wandb; import afterlog\nif x: wandb.log({\n    'a': x,\n    }); afterlog.log(\"b\", y)\n\nend\n",
            ),
            (
                "import wandb\nwandb.log({\n    'a': x,\n})\nend\n",
                "a",
                "import wandb; import afterlog\nafterlog.log(\"a\", x)\n\n\nend\n",
            ),
            (
                "from t import tqdm\nbar.set_postfix(a=x, b=y)\n",
                "b",
                "from t import tqdm; import afterlog\nbar.set_postfix(a=x, ); afterlog.log(\"b\", y)\n",
            ),
            (
                "from t import W\nwriter.add_scalar('a', x, 3); y = 1\n",
                "a",
                "from t import W; import afterlog\nafterlog.log(\"a\", x); y = 1\n",
            ),
        ] {
            assert_eq!(in_our_words(text, &|name| name == wanted).as_deref(), Some(expected), "{text}");
        }
        // Its value is used, nobody wants it, there is nowhere to import us.
        for text in
            ["import wandb\nx = wandb.log({'a': 1})\n", "import wandb\nwandb.log({'c': 1})\n", "w.add_scalar('a', 1)\n"]
        {
            assert_eq!(in_our_words(text, &|name| name == "a"), None, "{text}");
        }
    }
}
