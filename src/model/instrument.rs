//! The instrumentation plan: what static analysis tells the Python runtime about a script's loops.
//!
//! Written as JSON for the runtime; the planner reads it too. Lines are 1-based.

use serde::{Deserialize, Serialize};

/// The loops of a script and of the project's modules that it imports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentationPlan {
    /// Every loop that our API names, in source order; of a script that names none those that matter.
    pub loops: Vec<LoopPlan>,
    /// Key of the main loop, if the analysis found one.
    pub main: Option<String>,
    /// What the analysis could not do, in words for the user.
    pub problems: Vec<String>,
}

impl InstrumentationPlan {
    /// The loop with this key.
    pub fn find(&self, key: &str) -> Option<&LoopPlan> {
        self.loops.iter().find(|l| l.key == key)
    }
}

/// One `for … in …loop("name", …)` statement, wherever the call stands in the iterable's expression
/// (`enumerate(afterlog.loop(…))`, `tqdm(afterlog.loop(…))`). Of a script that names none: a `for` or `while`, or a call
/// that is a block as a whole (`accuracy = evaluate(model)`), whose name ends with `()`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopPlan {
    /// `file::scope::name#n`: the n-th loop of that name in that scope. Stable when log statements are added.
    pub key: String,
    /// Relative to the project's root, with `/`.
    pub file: String,
    /// Dotted names of the enclosing functions and classes, `<module>` at the top.
    pub scope: String,
    /// `co_firstlineno` of the enclosing function's code; 1 for the module.
    pub scope_line: u32,
    pub name: String,
    /// First and last line of the statement.
    pub first_line: u32,
    pub last_line: u32,
    /// Column of the statement, in UTF-8 bytes from 0: what begins there is the block.
    #[serde(default)]
    pub column: u32,
    pub is_main: bool,
    /// Whether this loop runs within an iteration of the main loop, directly or through calls: then it is a block.
    pub is_block: bool,
    /// Variables that executing the whole loop may change, seen from the frame that holds the loop.
    pub changes: Vec<Variable>,
    /// Of `changes`: those that may be read afterwards (for a block: after it; for the main loop: at an iteration's
    /// start) before they are assigned. Replay may restore here only if all of these were captured.
    pub live: Vec<String>,
    /// Why this block must never be skipped, if so (`for … else`, unknown effects, `return` inside).
    pub never_skip: Option<String>,
    /// Whether the main loop's iterable may be entered at any index: `range`, list, tuple literals and names bound to them.
    pub jumpable: bool,
    /// Where the runtime makes this a loop of ours, in a script that names none.
    #[serde(default)]
    pub wrap: Option<Wrap>,
}

/// An expression that the runtime wraps, so that it is told of a loop that the script does not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrap {
    /// First line and column, last line and the column after it. Columns count UTF-8 bytes from 0, as Python's syntax
    /// trees do.
    pub span: [u32; 4],
    /// Whether each iteration is noted. Where nothing is logged there is no need to, and the loop runs as fast as ever.
    pub has_positions: bool,
    /// Whether the version, without what a replay adds to it, logs nothing in the loop.
    pub was_silent: bool,
    /// Of a `while` loop, of which this is the condition: the variable that counts its iterations, or an
    /// attribute of one as it is written, or nothing.
    #[serde(default)]
    pub counter: Option<String>,
}

/// A variable of a change set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    /// `local` is the frame that holds the loop (for module code: the globals), `global` the module's globals,
    /// `nonlocal` a cell of that frame, `module` the globals of another module of the project: its name is then the place of
    /// the module's file from the project's root, dotted and without `.py`, a dot, and the variable's name.
    pub scope: VariableScope,
}

impl Variable {
    /// `local:name`, `global:name`, `nonlocal:name`, `module:package.module.name`.
    pub fn key(&self) -> String {
        let scope = match self.scope {
            VariableScope::Local => "local",
            VariableScope::Global => "global",
            VariableScope::Nonlocal => "nonlocal",
            VariableScope::Module => "module",
        };
        format!("{scope}:{}", self.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableScope {
    Local,
    Global,
    Nonlocal,
    Module,
}

/// Where code that contains a given line can run, relative to the main loop. Conservative: `true` where unsure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Before the main loop.
    pub before: bool,
    /// In the main loop's body, outside blocks.
    pub body: bool,
    /// Keys of the blocks in which it can run.
    pub blocks: Vec<String>,
    /// After the main loop.
    pub after: bool,
}
