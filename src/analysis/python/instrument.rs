//! The instrumentation plan: finds the loops, the main loop and its blocks, and what each may change.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::carried;
use crate::analysis::python::effects::{Analyser, Effects};
use crate::analysis::python::handsfree;
use crate::analysis::python::liveness;
use crate::analysis::python::loops::{FoundLoop, Inserted, LoopStmt, Sequence, find_loops, target_names};
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::analysis::python::reach::Calls;
use crate::analysis::python::unnamed;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Variable, VariableScope, Wrap};
use crate::model::source::SourceFile;

/// Finds the main loop of a script, by name or where it names none by its look, the blocks in it, and what they change.
/// `files` are the script and the project's modules that it imports; without the script among them the plan is empty. Loops
/// on `inserted` lines of the script (1-based, inclusive) have keys of their own: those of all others are what they are
/// without them, and so is everything that is chosen.
pub fn instrument(script: &str, files: &[SourceFile], inserted: Inserted<'_>) -> InstrumentationPlan {
    let mut plan = find(script, files, inserted);
    if !inserted.is_empty() && plan.main.is_some() {
        let blank = carried::without(script, files, inserted);
        let bound = carried::bound(script, files, inserted);
        let text = files.iter().find(|file| file.path == script);
        carried::keep(&mut plan, &find(script, &blank, &[]), text, &bound);
    }
    plan
}

/// The same, but for what inserted lines carry on from one iteration to the next.
pub(super) fn find(script: &str, files: &[SourceFile], inserted: Inserted<'_>) -> InstrumentationPlan {
    if !files.iter().any(|file| file.path == script) {
        return InstrumentationPlan::default();
    }
    let modules = parse(script, files);
    let program = program(&modules);
    let loops = find_loops(&program, inserted);
    let calls = Calls::new(&program, inserted);
    let hands_free = !loops.iter().any(|found| found.is_named() && !found.inserted);
    let directed = |found: &FoundLoop<'_>| {
        let can_be = found.is_loop() && !found.inserted && (hands_free || found.is_named());
        can_be && found.directed(&program, "main-loop")
    };
    let main = loops.iter().position(directed).or_else(|| {
        if hands_free {
            handsfree::main_loop(&program, &calls, &loops)
        } else {
            named_main_loop(&program, &calls, &loops)
        }
    });
    let blocks = main.map(|main| handsfree::blocks(&program, &calls, &loops, main, inserted)).unwrap_or_default();
    let mut plan = InstrumentationPlan::default();
    for (file, module) in program.files.iter().zip(modules.iter().map(|(_, module)| module)) {
        plan.problems.extend(module.problems.iter().map(|problem| format!("{}: {problem}", file.path)));
    }
    let all_calls = Calls::new(&program, &[]);
    let mut analyser = Analyser::new(&program);
    let inside = main.map(|main| loops[main].reaches(&program, &calls)).unwrap_or_default();
    for (number, found) in loops.iter().enumerate() {
        let is_main = main == Some(number);
        if !found.is_named() {
            let tells = hands_free && found.is_loop();
            // Of an added loop too, that its values have a place.
            let has_positions = tells && (is_main || handsfree::logs(&program, &all_calls, found, &[]));
            let was_silent = !is_main && !handsfree::logs(&program, &calls, found, inserted);
            // What is logged in a block must be known to be.
            let is_block = blocks.contains(&number) && (tells || was_silent);
            if is_main || is_block || has_positions {
                let mut plan_of = describe(&program, &calls, &mut analyser, &loops, number, is_main, is_block);
                plan_of.wrap = wrap(&program, found, has_positions, was_silent);
                plan.loops.push(plan_of);
            }
            continue;
        }
        let within = |main: &FoundLoop<'_>| main.unit == found.unit && main.holds(found);
        let is_block = !is_main && main.is_some_and(|main| within(&loops[main]) || inside.contains(&found.unit));
        plan.loops.push(describe(&program, &calls, &mut analyser, &loops, number, is_main, is_block));
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

/// The main loop among named ones: the outermost loop inside `checkpointing`, else the outermost with loops inside, else the first
/// outermost. A loop reached from another one is not outermost; inserted ones do not count, since the run had none.
fn named_main_loop(program: &Program<'_>, calls: &Calls<'_>, loops: &[FoundLoop<'_>]) -> Option<usize> {
    let reached: Vec<BTreeSet<usize>> = loops.iter().map(|found| found.reaches(program, calls)).collect();
    let inside = |outer: usize, inner: usize| {
        let same = loops[outer].unit == loops[inner].unit && loops[outer].holds(&loops[inner]);
        outer != inner && (same || reached[outer].contains(&loops[inner].unit))
    };
    let all = (0..loops.len()).filter(|at| loops[*at].is_named() && !loops[*at].inserted);
    let outermost = |at: &usize| !all.clone().any(|other| inside(other, *at));
    let candidates: Vec<usize> = all.clone().filter(outermost).collect();
    let first = |test: &dyn Fn(&usize) -> bool| candidates.iter().copied().find(|at| test(at));
    first(&|at| loops[*at].checkpointed)
        .or_else(|| first(&|at| all.clone().any(|other| inside(*at, other))))
        .or_else(|| candidates.first().copied())
}

/// How the runtime is told of a loop that the script does not name.
fn wrap(program: &Program<'_>, found: &FoundLoop<'_>, has_positions: bool, was_silent: bool) -> Option<Wrap> {
    let module = program.files[program.units[found.unit].file].module;
    let (span, counter) = match found.sequence {
        Sequence::Named(_) => return None,
        Sequence::Wrapped(expr) => (module.columns(expr), None),
        Sequence::Turns { test, counter } => {
            (module.columns(test), Some(counter.and_then(unnamed::dotted).unwrap_or_default()))
        }
        Sequence::Called(call) => (module.columns(call), None),
    };
    Some(Wrap { span, has_positions, was_silent, counter })
}

fn describe(
    program: &Program<'_>,
    calls: &Calls<'_>,
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
    let module = program.files[unit.file].module;
    let differentiated = is_block
        && (liveness::differentiates_beside(unit.body, module, found.lines)
            || hands_on(program, calls, found, &effects.bound));
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
        column: found.column,
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

/// Whether what a block assigns is handed to a function that asks for gradients, as in `update(loss)`.
fn hands_on(program: &Program<'_>, calls: &Calls<'_>, block: &FoundLoop<'_>, bound: &BTreeSet<String>) -> bool {
    struct HandsOn<'s, F>(&'s FoundLoop<'s>, F, bool);
    impl<'a, F: Fn(&Stmt) -> bool> Visitor<'a> for HandsOn<'_, F> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            let calls = matches!(stmt, Stmt::Expr(_) | Stmt::Assign(_) | Stmt::AugAssign(_) | Stmt::Return(_));
            if calls && !self.0.stmt.is(stmt) {
                self.2 |= self.1(stmt);
            } else if !self.0.stmt.is(stmt) && !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
                walk_stmt(self, stmt);
            }
        }
    }
    let unit = &program.units[block.unit];
    let asks = |stmt: &Stmt| {
        let one = std::slice::from_ref(stmt);
        !liveness::reads(one).is_disjoint(bound)
            && calls.reached_from(unit.file, one).iter().any(|reached| calls.mentions(*reached).contains("backward"))
    };
    let mut found = HandsOn(block, asks, false);
    found.visit_body(unit.body);
    found.2
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
    let far = effects.far.iter().map(|(file, name)| {
        let path = program.files[*file].path;
        let module = path.strip_suffix(".py").unwrap_or(path).replace('/', ".");
        Variable { name: format!("{module}.{name}"), scope: VariableScope::Module }
    });
    found.into_iter().map(|(name, scope)| Variable { name, scope }).chain(far).collect()
}

/// Keys of the changes that may be read later before they are assigned: in what follows, or when the code comes round
/// again. What lies outside the frame is taken to be read by anybody.
fn live(program: &Program<'_>, found: &FoundLoop<'_>, changes: &[Variable], is_main: bool) -> BTreeSet<String> {
    let unit = &program.units[found.unit];
    // The main loop's iterable was read before it, and will not be again; a block is entered in each iteration.
    let mut read = found.stmt.exposed();
    read.extend(liveness::exposed(found.stmt.orelse(), &mut BTreeSet::new()));
    if !is_main {
        read.extend(liveness::exposed(&[found.stmt.whole()], &mut BTreeSet::new()));
    }
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
        if self.skip.stmt.is(stmt) || self.after_only && last < from {
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
        _ => return true,
    };
    let is_call = |expr: &Expr| expr.as_call_expr().is_some_and(|found| std::ptr::eq(found, call));
    let direct = is_call(&each.iter) || unnamed::bar(&each.iter).is_some_and(is_call);
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
