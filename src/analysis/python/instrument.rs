//! The instrumentation plan: finds the loops, the main loop and its blocks, and what each may change.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, Stmt, StmtFor, StmtWhile};

use crate::analysis::python::api::{Api, ApiNames};
use crate::analysis::python::effects::{Analyser, Effects};
use crate::analysis::python::handsfree::{self, Choice, Inserted};
use crate::analysis::python::liveness;
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::analysis::python::reach::Calls;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Variable, VariableScope, Wrap};
use crate::model::source::SourceFile;

/// Finds the loops of a script that our API names, or where it names none those that look like training, and what they
/// change. `files` are the script and the project's modules that it imports; without the script among them the plan is
/// empty. Loops on `inserted` lines of the script (1-based, inclusive) have keys of their own: those of all others are what
/// they are without them, and so is everything that is chosen.
pub fn instrument(script: &str, files: &[SourceFile], inserted: Inserted<'_>) -> InstrumentationPlan {
    let modules = parse(script, files);
    let program = program(&modules);
    let loops = find_loops(&program, inserted);
    let calls = Calls::new(&program, inserted);
    let hands_free = loops.iter().any(|found| !matches!(found.sequence, Sequence::Named(_)));
    let choice = if hands_free { handsfree::choose(&program, &calls, &loops, inserted) } else { Choice::default() };
    let directed =
        |found: &FoundLoop<'_>| !found.inserted && found.can_be_told() && found.directed(&program, "main-loop");
    let named = loops.iter().position(directed);
    let choice = match named {
        Some(main) if hands_free => handsfree::with_main(&program, &calls, &loops, main, inserted),
        _ => choice,
    };
    let main = named.or_else(|| if hands_free { choice.main } else { main_loop(&program, &calls, &loops) });
    let mut plan = InstrumentationPlan::default();
    for (file, module) in program.files.iter().zip(modules.iter().map(|(_, module)| module)) {
        plan.problems.extend(module.problems.iter().map(|problem| format!("{}: {problem}", file.path)));
    }
    let all_calls = Calls::new(&program, &[]);
    let mut analyser = Analyser::new(&program);
    let inside = main.map(|main| loops[main].reaches(&program, &calls)).unwrap_or_default();
    for (number, found) in loops.iter().enumerate() {
        let is_main = main == Some(number);
        if let Some(expr) = found.wrapped() {
            let is_block = choice.blocks.contains(&number);
            // Of an added loop too, that its values have a place.
            let has_positions = is_main || handsfree::logs(&program, &all_calls, found, &[]);
            if found.can_be_told() && (is_main || is_block || has_positions) {
                let mut plan_of = describe(&program, &mut analyser, &loops, number, is_main, is_block);
                plan_of.wrap = Some(Wrap {
                    span: program.files[program.units[found.unit].file].module.columns(expr),
                    has_positions,
                    was_silent: !is_main && !handsfree::logs(&program, &calls, found, inserted),
                    counter: match found.sequence {
                        Sequence::Turns { counter, .. } => Some(counter.unwrap_or_default().to_owned()),
                        _ => None,
                    },
                });
                plan.loops.push(plan_of);
            }
            continue;
        }
        let within = |main: &FoundLoop<'_>| main.unit == found.unit && main.holds(found);
        let is_block = !is_main && main.is_some_and(|main| within(&loops[main]) || inside.contains(&found.unit));
        plan.loops.push(describe(&program, &mut analyser, &loops, number, is_main, is_block));
    }
    if let Some(main) = plan.loops.iter_mut().find(|found| found.is_main) {
        plan.main = Some(main.key.clone());
        if let Some(reason) = main.never_skip.take() {
            plan.problems.push(format!("the loop '{}' can only be entered at its beginning: {reason}", main.name));
            main.jumpable = false;
        }
    }
    plan
}

/// Parses the files, the script first.
pub(super) fn parse<'a>(script: &str, files: &'a [SourceFile]) -> Vec<(&'a str, Module)> {
    let (first, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.path == script);
    first.into_iter().chain(others).map(|file| (file.path.as_str(), Module::parse(&file.text))).collect()
}

pub(super) fn program<'a>(modules: &'a [(&'a str, Module)]) -> Program<'a> {
    let files: Vec<(&str, &Module)> = modules.iter().map(|(path, module)| (*path, module)).collect();
    Program::new(&files)
}

/// A statement that is a loop to us.
pub(super) struct FoundLoop<'a> {
    pub(super) unit: usize,
    pub(super) stmt: LoopStmt<'a>,
    pub(super) name: String,
    pub(super) lines: (u32, u32),
    pub(super) sequence: Sequence<'a>,
    /// On an inserted line.
    pub(super) inserted: bool,
    /// Inside a `with checkpointing(…)`, directly or deeper.
    pub(super) checkpointed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum LoopStmt<'a> {
    For(&'a StmtFor),
    While(&'a StmtWhile),
}

impl<'a> LoopStmt<'a> {
    pub(super) fn body(self) -> &'a [Stmt] {
        match self {
            Self::For(each) => &each.body,
            Self::While(repeated) => &repeated.body,
        }
    }

    fn whole(self) -> Stmt {
        match self {
            Self::For(each) => Stmt::For(each.clone()),
            Self::While(repeated) => Stmt::While(repeated.clone()),
        }
    }

    /// Names that an iteration may read before it assigns them.
    fn exposed(self) -> BTreeSet<String> {
        let mut assigned = BTreeSet::new();
        let mut read = match self {
            Self::For(each) => {
                target_names(&each.target, &mut assigned);
                BTreeSet::new()
            }
            Self::While(repeated) => liveness::reads_of(&repeated.test),
        };
        read.extend(liveness::exposed(self.body(), &mut assigned));
        read
    }
}

/// What is iterated over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sequence<'a> {
    /// A call of `loop` somewhere in the iterable's expression.
    Named(&'a ExprCall),
    /// An expression that the runtime wraps, in a script that names no loops.
    Wrapped(&'a Expr),
    /// The condition of a `while`, in a script that names no loops, and the variable that counts.
    Turns { test: &'a Expr, counter: Option<&'a str> },
}

impl<'a> FoundLoop<'a> {
    /// The expression that the runtime wraps.
    fn wrapped(&self) -> Option<&'a Expr> {
        match self.sequence {
            Sequence::Named(_) => None,
            Sequence::Wrapped(expr) | Sequence::Turns { test: expr, .. } => Some(expr),
        }
    }

    /// Whether the runtime can be told of its iterations: not of a `while` with an `else`.
    pub(super) fn can_be_told(&self) -> bool {
        !matches!(self.stmt, LoopStmt::While(repeated) if !repeated.orelse.is_empty())
    }

    pub(super) fn holds(&self, other: &Self) -> bool {
        self.lines.0 <= other.lines.0 && other.lines.1 <= self.lines.1 && self.lines != other.lines
    }

    /// Whether a comment on the loop says so.
    fn directed(&self, program: &Program<'_>, directive: &str) -> bool {
        program.files[program.units[self.unit].file].module.directs(self.lines.0, directive)
    }

    /// Units that it can get to.
    pub(super) fn reaches(&self, program: &Program<'_>, calls: &Calls<'_>) -> BTreeSet<usize> {
        calls.reached_from(program.units[self.unit].file, &[self.stmt.whole()])
    }

    pub(super) fn key(&self, program: &Program<'_>, loops: &[FoundLoop<'_>]) -> String {
        let unit = &program.units[self.unit];
        let same = |other: &&FoundLoop<'_>| {
            other.unit == self.unit && other.name == self.name && other.inserted == self.inserted
        };
        let number = loops.iter().filter(same).take_while(|other| other.lines != self.lines).count();
        let mark = if self.inserted { "+" } else { "" };
        format!("{}::{}::{}#{mark}{number}", program.files[unit.file].path, unit.scope, self.name)
    }
}

/// The loops that the API names; of a version that names none all. `inserted` are lines of the script, the first file.
pub(super) fn find_loops<'a>(program: &Program<'a>, inserted: Inserted<'_>) -> Vec<FoundLoop<'a>> {
    let mut loops = Vec::new();
    for (number, unit) in program.units.iter().enumerate() {
        let file = &program.files[unit.file];
        let mut finder =
            LoopFinder { unit: number, module: file.module, api: &file.api, checkpointed: false, loops: &mut loops };
        unit.body.iter().for_each(|stmt| finder.visit_stmt(stmt));
    }
    let is_inserted =
        |found: &FoundLoop<'_>| program.units[found.unit].file == 0 && handsfree::holds(inserted, found.lines.0);
    loops.iter_mut().for_each(|found| found.inserted = is_inserted(found));
    if loops.iter().any(|found| !found.inserted) {
        return loops;
    }
    let named =
        |found: &FoundLoop<'_>| loops.iter().any(|other| (other.unit, other.lines) == (found.unit, found.lines));
    let mut all = handsfree::find_loops(program);
    all.retain(|found| !named(found));
    all.iter_mut().for_each(|found| found.inserted = is_inserted(found));
    all.append(&mut loops);
    all
}

struct LoopFinder<'f, 'a> {
    unit: usize,
    module: &'a Module,
    api: &'f ApiNames,
    checkpointed: bool,
    loops: &'f mut Vec<FoundLoop<'a>>,
}

impl<'a> Visitor<'a> for LoopFinder<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::With(with) => {
                let is_checkpointing = |expr: &Expr| {
                    expr.as_call_expr().is_some_and(|call| self.api.function(&call.func) == Some(Api::Checkpointing))
                };
                if with.items.iter().any(|item| is_checkpointing(&item.context_expr)) {
                    let outer = std::mem::replace(&mut self.checkpointed, true);
                    walk_stmt(self, stmt);
                    self.checkpointed = outer;
                    return;
                }
            }
            Stmt::For(each) if !each.is_async => {
                let mut finder = CallFinder { api: self.api, found: None };
                finder.visit_expr(&each.iter);
                if let Some((call, name)) = finder.found {
                    self.loops.push(FoundLoop {
                        unit: self.unit,
                        stmt: LoopStmt::For(each),
                        name: name.to_owned(),
                        lines: self.module.span(stmt),
                        sequence: Sequence::Named(call),
                        inserted: false,
                        checkpointed: self.checkpointed,
                    });
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

struct CallFinder<'f, 'a> {
    api: &'f ApiNames,
    found: Option<(&'a ExprCall, &'a str)>,
}

impl<'a> Visitor<'a> for CallFinder<'_, 'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Some(name) = self.api.name_in(call, Api::Loop)
        {
            self.found.get_or_insert((call, name));
            return;
        }
        walk_expr(self, expr);
    }
}

/// The main loop: the outermost loop inside `checkpointing`, else the outermost with loops inside, else the first
/// outermost. A loop reached from another one is not outermost; inserted ones do not count, since the run had none.
fn main_loop(program: &Program<'_>, calls: &Calls<'_>, loops: &[FoundLoop<'_>]) -> Option<usize> {
    let reached: Vec<BTreeSet<usize>> = loops.iter().map(|found| found.reaches(program, calls)).collect();
    let inside = |outer: usize, inner: usize| {
        let same = loops[outer].unit == loops[inner].unit && loops[outer].holds(&loops[inner]);
        outer != inner && (same || reached[outer].contains(&loops[inner].unit))
    };
    let all = (0..loops.len()).filter(|at| !loops[*at].inserted);
    let outermost = |at: &usize| !all.clone().any(|other| inside(other, *at));
    let candidates: Vec<usize> = all.clone().filter(outermost).collect();
    let first = |test: &dyn Fn(&usize) -> bool| candidates.iter().copied().find(|at| test(at));
    first(&|at| loops[*at].checkpointed)
        .or_else(|| first(&|at| all.clone().any(|other| inside(*at, other))))
        .or_else(|| candidates.first().copied())
}

fn describe(
    program: &Program<'_>,
    analyser: &mut Analyser<'_, '_>,
    loops: &[FoundLoop<'_>],
    number: usize,
    is_main: bool,
    is_block: bool,
) -> LoopPlan {
    let found = &loops[number];
    let unit = &program.units[found.unit];
    let whole = found.stmt.whole();
    let effects = analyser.of_loop(found.unit, &whole);
    let changes = variables(program, found.unit, &effects);
    let differentiated =
        is_block && liveness::differentiates_beside(unit.body, program.files[unit.file].module, found.lines);
    let graph = || differentiated.then(|| "gradients are asked for after it, of what it computed".to_owned());
    let live = live(program, found, &changes, is_main);
    LoopPlan {
        key: found.key(program, loops),
        file: program.files[unit.file].path.to_owned(),
        scope: unit.scope.clone(),
        scope_line: unit.line,
        name: found.name.clone(),
        first_line: found.lines.0,
        last_line: found.lines.1,
        is_main,
        is_block,
        live: changes.iter().map(Variable::key).filter(|key| live.contains(key)).collect(),
        changes,
        never_skip: if found.directed(program, "no-skip") {
            Some("the script says so".into())
        } else {
            effects.opaque.or_else(graph)
        },
        jumpable: is_main && jumpable(program, found),
        wrap: None,
    }
}

/// The change set as variables of the frame.
fn variables(program: &Program<'_>, unit: usize, effects: &Effects) -> Vec<Variable> {
    let here = &program.units[unit];
    let mut found: BTreeMap<String, VariableScope> = BTreeMap::new();
    for name in effects.bound.iter().chain(&effects.mutated).chain(&effects.globals) {
        let text = name.as_str();
        let mut around = here.parent;
        let mut enclosing = false;
        while let Some(outer) = around {
            enclosing |= program.units[outer].variables.contains(text);
            around = program.units[outer].parent;
        }
        let scope = if here.locals.contains(text) {
            let data = here.variables.contains(text) || program.is_imported_data(here.file, text);
            data.then_some(VariableScope::Local)
        } else if enclosing {
            Some(VariableScope::Nonlocal)
        } else {
            program.is_data(here.file, text).then_some(VariableScope::Global)
        };
        if let Some(scope) = scope {
            found.insert(name.clone(), scope);
        }
    }
    found.into_iter().map(|(name, scope)| Variable { name, scope }).collect()
}

/// Keys of the changes that may be read later before they are assigned: in what follows, or when the code comes round
/// again. What lies outside the frame is taken to be read by anybody.
fn live(program: &Program<'_>, found: &FoundLoop<'_>, changes: &[Variable], is_main: bool) -> BTreeSet<String> {
    let unit = &program.units[found.unit];
    let mut read = found.stmt.exposed();
    let mut outside =
        Outside { skip: found, module: program.files[unit.file].module, names: BTreeSet::new(), after_only: is_main };
    unit.body.iter().for_each(|stmt| outside.visit_stmt(stmt));
    read.extend(outside.names);
    if unit.scope == "<module>" {
        // Functions read the module's variables whenever they are called.
        for other in program.units.iter().filter(|other| other.file == unit.file && other.scope != "<module>") {
            read.extend(liveness::reads(other.body).into_iter().filter(|name| !other.locals.contains(name.as_str())));
        }
    }
    let far = |variable: &&Variable| variable.scope != VariableScope::Local || read.contains(&variable.name);
    changes.iter().filter(far).map(Variable::key).collect()
}

fn target_names(target: &Expr, names: &mut BTreeSet<String>) {
    match target {
        Expr::Name(name) => drop(names.insert(name.id.to_string())),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| target_names(item, names)),
        Expr::List(list) => list.elts.iter().for_each(|item| target_names(item, names)),
        Expr::Starred(starred) => target_names(&starred.value, names),
        _ => {}
    }
}

/// Names read outside a loop; with `after_only` those read after it (what is before the main loop has run by then).
struct Outside<'f, 'a> {
    skip: &'f FoundLoop<'a>,
    module: &'a Module,
    names: BTreeSet<String>,
    after_only: bool,
}

impl<'a> Visitor<'a> for Outside<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let (first, last) = self.module.span(stmt);
        let (from, to) = self.skip.lines;
        if (first, last) == (from, to) && (stmt.is_for_stmt() || stmt.is_while_stmt()) || self.after_only && last < from
        {
            return;
        }
        if first <= from && to <= last {
            // Around the loop: only its parts beside it.
            walk_stmt(self, stmt);
        } else {
            self.names.extend(liveness::reads([stmt]));
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && !name.ctx.is_store()
        {
            self.names.insert(name.id.to_string());
        }
        walk_expr(self, expr);
    }
}

/// Whether iteration `n` gets item `n` of a sequence wherever the loop is entered: nothing but a progress bar may stand
/// between the call of `loop` and the `for`, and the sequence must be one that is always the same.
fn jumpable(program: &Program<'_>, found: &FoundLoop<'_>) -> bool {
    let (call, each) = match (found.sequence, found.stmt) {
        (Sequence::Named(call), LoopStmt::For(each)) => (call, each),
        (Sequence::Wrapped(expr), _) => return is_sequence(program, found.unit, expr, 3),
        // The state alone decides how a `while` goes on.
        (_, LoopStmt::While(_)) | (Sequence::Turns { .. }, _) => return true,
    };
    let is_call = |expr: &Expr| expr.as_call_expr().is_some_and(|found| std::ptr::eq(found, call));
    let direct = is_call(&each.iter) || handsfree::bar(&each.iter).is_some_and(is_call);
    let Some(iterable) = call.arguments.find_argument_value("iterable", 1) else { return false };
    direct && is_sequence(program, found.unit, iterable, 3)
}

fn is_sequence(program: &Program<'_>, unit: usize, value: &Expr, depth: usize) -> bool {
    match value {
        Expr::List(_) | Expr::Tuple(_) | Expr::ListComp(_) | Expr::StringLiteral(_) => true,
        Expr::Call(call) => {
            let name = call.func.as_name_expr().map(|name| name.id.as_str());
            matches!(name, Some("range" | "list" | "tuple" | "sorted"))
        }
        Expr::Name(name) if depth > 0 => {
            let values = assigned_values(program.units[unit].body, &name.id);
            !values.is_empty() && values.iter().all(|value| is_sequence(program, unit, value, depth - 1))
        }
        _ => false,
    }
}

/// Every value that a body assigns to a name; a value of another kind of binding is not a sequence.
fn assigned_values<'a>(body: &'a [Stmt], name: &str) -> Vec<&'a Expr> {
    struct Values<'n, 'a>(&'n str, Vec<&'a Expr>);
    impl<'a> Visitor<'a> for Values<'_, 'a> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            if let Stmt::Assign(assign) = stmt {
                for target in &assign.targets {
                    let mut names = BTreeSet::new();
                    target_names(target, &mut names);
                    if names.contains(self.0) {
                        // Of an unpacking the whole right side: no sequence that we know.
                        self.1.push(if target.is_name_expr() { &assign.value } else { target });
                    }
                }
            }
            walk_stmt(self, stmt);
        }
    }
    let mut values = Values(name, Vec::new());
    values.visit_body(body);
    values.1
}
