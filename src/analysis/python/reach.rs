//! Where inserted lines can run, relative to the main loop; and which functions a piece of code can get to.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt};

use crate::analysis::python::implicit::Implicit;
use crate::analysis::python::instrument;
use crate::analysis::python::loops::{FoundLoop, Inserted, find_loops, holds};
use crate::analysis::python::parse::Module;
use crate::analysis::python::program::Program;
use crate::model::instrument::Reach;
use crate::model::source::SourceFile;

/// Which functions mention which names. By name alone: a method of any class, a function handed on as a value.
pub(super) struct Calls<'a> {
    /// The script, and lines of it that do not count.
    script: &'a Module,
    except: Inserted<'a>,
    /// Per unit: what it mentions.
    mentions: Vec<BTreeSet<String>>,
    /// Per unit: the names by which it can be called.
    called_as: Vec<Vec<String>>,
}

/// Methods that run without their name being written.
pub(super) const IMPLICIT: [&str; 6] =
    ["forward", "training_step", "validation_step", "collate_fn", "on_epoch_end", "closure"];

impl<'a> Calls<'a> {
    /// What a program's functions mention on other lines of the script than `except`.
    pub(super) fn new(program: &Program<'a>, except: Inserted<'a>) -> Self {
        let script = program.files[0].module;
        let mentions = program.units.iter().map(|unit| mentioned(unit.body, script, skipped(unit.file, except)));
        let mentions = mentions.collect();
        let called_as = program
            .units
            .iter()
            .map(|unit| {
                let mut names = vec![unit.name.to_owned()];
                // Whoever makes or uses an object of the class may run these.
                let implicit = unit.name.starts_with("__") || IMPLICIT.contains(&unit.name);
                names.extend(unit.class.filter(|_| implicit).map(str::to_owned));
                names
            })
            .collect();
        Self { script, except, mentions, called_as }
    }

    /// Every name and attribute in a body.
    pub(super) fn mentioned(&self, file: usize, body: &[Stmt]) -> BTreeSet<String> {
        mentioned(body, self.script, skipped(file, self.except))
    }

    /// What a unit's body mentions.
    pub(super) fn mentions(&self, unit: usize) -> &BTreeSet<String> {
        &self.mentions[unit]
    }

    /// Units that go by one of these names.
    pub(super) fn named_by(&self, names: &BTreeSet<String>) -> BTreeSet<usize> {
        let called = |unit: &usize| self.called_as[*unit].iter().any(|name| names.contains(name));
        (0..self.called_as.len()).filter(called).collect()
    }

    /// Units that these statements of a file can get to. A method that runs without being named is taken to be reached wherever
    /// anything is called.
    pub(super) fn reached_from(&self, file: usize, body: &[Stmt]) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut waiting = self.mentioned(file, body);
        loop {
            let found: Vec<usize> = (0..self.called_as.len())
                .filter(|unit| {
                    !reached.contains(unit) && self.called_as[*unit].iter().any(|name| waiting.contains(name))
                })
                .collect();
            if found.is_empty() {
                return reached;
            }
            for unit in found {
                reached.insert(unit);
                waiting.extend(self.mentions[unit].iter().cloned());
            }
        }
    }
}

/// Only the script, the first file, has lines that do not count.
fn skipped(file: usize, except: Inserted<'_>) -> Inserted<'_> {
    if file == 0 { except } else { &[] }
}

/// Every name and attribute that stands in some code, nested functions and these lines left out.
fn mentioned(body: &[Stmt], module: &Module, except: Inserted<'_>) -> BTreeSet<String> {
    struct Mentions<'m>(BTreeSet<String>, &'m Module, Inserted<'m>);
    impl<'a> Visitor<'a> for Mentions<'_> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            let left_out = !self.2.is_empty() && holds(self.2, self.1.span(stmt).0);
            if !left_out && !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
                walk_stmt(self, stmt);
            }
        }

        fn visit_expr(&mut self, expr: &'a Expr) {
            match expr {
                Expr::Name(name) => drop(self.0.insert(name.id.to_string())),
                Expr::Attribute(attribute) => drop(self.0.insert(attribute.attr.to_string())),
                _ => {}
            }
            walk_expr(self, expr);
        }
    }
    let mut mentions = Mentions(BTreeSet::new(), module, except);
    body.iter().for_each(|stmt| mentions.visit_stmt(stmt));
    mentions.0
}

/// Where the inserted lines of the script (1-based, inclusive) can run. True where unsure.
pub fn reach(script: &str, files: &[SourceFile], inserted: &[(u32, u32)]) -> Reach {
    let plan = instrument::find(script, files, inserted);
    let modules = instrument::parse(script, files);
    let program = instrument::program(&modules);
    let loops = find_loops(&program, inserted);
    let Some(main) = plan.main.as_ref().and_then(|key| loops.iter().find(|found| found.key(&program, &loops) == *key))
    else {
        return Reach { before: true, after: true, ..Reach::default() };
    };
    let blocks: Vec<(&FoundLoop<'_>, String)> = loops
        .iter()
        .map(|found| (found, found.key(&program, &loops)))
        .filter(|(_, key)| plan.find(key).is_some_and(|block| block.is_block))
        .collect();
    let calls = Calls::new(&program, &[]);
    let mut reach = Reach::default();
    for lines in inserted {
        add(&program, &calls, main, &blocks, *lines, &mut reach);
    }
    reach.blocks.sort();
    reach.blocks.dedup();
    reach
}

fn add(
    program: &Program<'_>,
    calls: &Calls<'_>,
    main: &FoundLoop<'_>,
    blocks: &[(&FoundLoop<'_>, String)],
    lines: (u32, u32),
    reach: &mut Reach,
) {
    let unit = innermost(program, lines);
    let within = |found: &FoundLoop<'_>| {
        program.units[found.unit].file == 0 && found.lines.0 <= lines.0 && lines.1 <= found.lines.1
    };
    let around: Vec<&String> = blocks.iter().filter(|(block, _)| within(block)).map(|(_, key)| key).collect();
    let module = program.files[program.units[main.unit].file].module;
    let in_else = main.stmt.orelse().first().is_some_and(|first| module.span(first).0 <= lines.0);
    if unit == main.unit {
        if !within(main) {
            reach.before |= lines.0 < main.lines.0;
            // Code above the loop runs again only if all of the function does.
            reach.after |= lines.0 > main.lines.1;
        } else if in_else {
            reach.after = true;
        } else if around.is_empty() {
            reach.body = true;
        } else {
            reach.blocks.extend(around.into_iter().cloned());
        }
        return;
    }
    if unit == program.files[0].unit {
        // Module code around the function that holds the main loop: before its call, after it, or either.
        let place = calls_main(program, calls, main, lines.0);
        reach.before |= place != Some(true);
        reach.after |= place != Some(false);
        return;
    }
    reach.blocks.extend(around.into_iter().cloned());
    // Of what these lines mention nothing is left out, so that the file they are in does not matter.
    let reaches = |body: &[Stmt]| calls.reached_from(0, body).contains(&unit);
    // What runs unnamed, or is handed on as a value, may run wherever anything is called.
    let anywhere = Implicit::of(program).units.contains(&unit);
    for (block, key) in blocks {
        if anywhere || reaches(&[block.stmt.whole()]) {
            reach.blocks.push(key.clone());
        }
    }
    reach.body |= anywhere || reaches(main.stmt.body());
    // An iterable is made before the loop, and goes on in it; a condition is evaluated for a last time after it.
    let head = reaches(&[main.stmt.head()]);
    reach.before |= head;
    reach.body |= head;
    reach.after |= head && main.stmt.is_while() || reaches(main.stmt.orelse());
    let holder = &program.units[main.unit];
    let module = program.units[program.files[0].unit].body;
    let (before, after) = beside(holder.body, main, program);
    reach.before |= anywhere || before.iter().any(|stmt| reaches(std::slice::from_ref(*stmt)));
    reach.after |= anywhere || after.iter().any(|stmt| reaches(std::slice::from_ref(*stmt)));
    if main.unit != program.files[0].unit {
        for stmt in module {
            let calls_holder = calls.reached_from(0, std::slice::from_ref(stmt)).contains(&main.unit);
            if !calls_holder && reaches(std::slice::from_ref(stmt)) {
                reach.before = true;
                reach.after = true;
            }
        }
    }
}

/// Whether a line of module code is after (`true`) or before (`false`) the statement that runs the main loop.
fn calls_main(program: &Program<'_>, calls: &Calls<'_>, main: &FoundLoop<'_>, line: u32) -> Option<bool> {
    let file = &program.files[0];
    let body = program.units[file.unit].body;
    let call = body.iter().find(|stmt| calls.reached_from(0, std::slice::from_ref(stmt)).contains(&main.unit))?;
    let (first, last) = file.module.span(call);
    if line > last {
        Some(true)
    } else if line < first {
        Some(false)
    } else {
        None
    }
}

/// The statements of the main loop's function before and after the loop; those around it count as both.
fn beside<'a>(body: &'a [Stmt], main: &FoundLoop<'_>, program: &Program<'a>) -> (Vec<&'a Stmt>, Vec<&'a Stmt>) {
    let module = program.files[program.units[main.unit].file].module;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for stmt in body {
        let (first, last) = module.span(stmt);
        if last < main.lines.0 {
            before.push(stmt);
        } else if first > main.lines.1 {
            after.push(stmt);
        } else if (first, last) != main.lines {
            let inner = match stmt {
                Stmt::With(with) => &with.body[..],
                Stmt::If(choice) => &choice.body,
                Stmt::Try(attempt) => &attempt.body,
                Stmt::For(each) => &each.body,
                Stmt::While(each) => &each.body,
                _ => continue,
            };
            let (more_before, more_after) = beside(inner, main, program);
            before.extend(more_before);
            after.extend(more_after);
        }
    }
    (before, after)
}

/// The innermost function of the script that holds a line; the module's own unit for module code.
fn innermost(program: &Program<'_>, lines: (u32, u32)) -> usize {
    let module = program.files[0].module;
    let holds = |unit: &usize| {
        let body = program.units[*unit].body;
        let span = body.first().zip(body.last()).map(|(a, b)| (module.span(a).0, module.span(b).1));
        program.units[*unit].file == 0 && span.is_some_and(|(first, last)| first <= lines.0 && lines.1 <= last)
    };
    let functions = (0..program.units.len()).filter(|unit| *unit != program.files[0].unit).filter(holds);
    functions.max_by_key(|unit| program.units[*unit].line).unwrap_or(program.files[0].unit)
}
