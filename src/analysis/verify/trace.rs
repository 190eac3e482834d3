//! Cuts an execution into units and gives every value its place.

use std::collections::HashMap;
use std::rc::Rc;

use crate::analysis::verify::unit::{Kind, Level, Place, Unit};
use crate::model::value::Value;

/// What an execution does, in order.
#[derive(Debug, Clone)]
pub enum Happening<'a> {
    Enter {
        name: &'a str,
        role: LoopRole,
    },
    Iterate(u64),
    IteratedValue(&'a Value),
    Exit(LoopEnd),
    Log {
        name: &'a str,
        value: &'a Value,
    },
    /// A line was printed, to standard error or to standard output.
    Printed {
        error: bool,
        line: &'a str,
    },
}

/// What a loop is to the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopRole {
    /// The main loop, where it is outermost and entered for the first time.
    Main,
    /// Came with the statements added for the replay: the run has nothing like it.
    Added,
    /// The run kept none of its iterations, since it logged nothing in them.
    Silent,
    Other,
}

/// How a loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopEnd {
    Exhausted,
    /// By `break`, `return` or an exception.
    Early,
    /// A block's end was restored instead; of the main loop: the segment ends here.
    Skipped,
}

/// An execution as it is taken in.
#[derive(Debug)]
pub struct Trace {
    /// Whether the execution came to its own end, rather than being killed or ended by an exception.
    whole: bool,
    open: Vec<Open>,
    /// How often each outermost loop was entered.
    outermost: HashMap<Rc<str>, u32>,
    /// `None` until the main loop was entered, then whether it is open.
    main_is_open: Option<bool>,
    /// How many loops are open from an added one on.
    added: usize,
    unit: Unit,
    /// Whether what happens belongs to `unit.place`; not so while the main loop's first item is fetched, nor after the
    /// end of a segment.
    placed: bool,
    /// The path of the values that come next, made when the first one comes.
    path: Option<Rc<[Level]>>,
    names: HashMap<String, Rc<str>>,
}

/// An open loop.
#[derive(Debug)]
struct Open {
    name: Rc<str>,
    entry: u32,
    index: Option<u64>,
    silent: bool,
    /// How often each loop was entered within the iteration.
    inner: HashMap<Rc<str>, u32>,
}

impl Open {
    fn iterations(&self) -> Value {
        let count = self.index.map_or(0, |index| index.saturating_add(1));
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Trace {
    /// The beginning of an execution; `whole` says that it came to its own end.
    pub fn new(whole: bool) -> Self {
        Self {
            whole,
            open: Vec::new(),
            outermost: HashMap::new(),
            main_is_open: None,
            added: 0,
            unit: Unit::new(Place::Before),
            placed: true,
            path: None,
            names: HashMap::new(),
        }
    }

    /// Takes in what happens next; gives the unit that this ends.
    pub fn take(&mut self, happening: &Happening<'_>) -> Option<Unit> {
        if self.added > 0 || matches!(happening, Happening::Enter { role: LoopRole::Added, .. }) {
            match happening {
                Happening::Enter { .. } => self.added += 1,
                Happening::Exit(_) => self.added -= 1,
                _ => {}
            }
            return None;
        }
        match happening {
            Happening::Enter { name, role } => return self.enter(name, *role),
            Happening::Iterate(index) => return self.iterate(*index),
            Happening::Exit(end) => return self.exit(*end),
            Happening::IteratedValue(value) => {
                if let Some(name) = self.open.last().filter(|open| !open.silent).map(|open| open.name.clone()) {
                    self.push(Kind::Iterated, name, value);
                }
            }
            Happening::Printed { error, line } => {
                let path = self.path();
                self.unit.print(*error, path, line);
            }
            Happening::Log { name, value } => {
                let name = self.name(name);
                self.push(Kind::Logged, name, value);
            }
        }
        None
    }

    /// The unit in which the execution stood last; `all_read` says that nothing of it is missing at its end.
    pub fn finish(mut self, all_read: bool) -> Option<Unit> {
        self.unit.complete = self.whole && all_read;
        self.placed.then_some(self.unit)
    }

    fn name(&mut self, text: &str) -> Rc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Rc<str> = text.into();
        self.names.insert(text.to_owned(), name.clone());
        name
    }

    fn enter(&mut self, name: &str, role: LoopRole) -> Option<Unit> {
        let name = self.name(name);
        if role == LoopRole::Silent {
            self.open.push(Open { name, entry: 0, index: None, silent: true, inner: HashMap::new() });
            return None;
        }
        let is_main = role == LoopRole::Main && self.open.is_empty() && self.main_is_open.is_none();
        let counts = self.open.last_mut().map_or(&mut self.outermost, |open| &mut open.inner);
        let count = counts.entry(name.clone()).or_default();
        let entry = *count;
        *count += 1;
        self.open.push(Open { name: name.clone(), entry, index: None, silent: false, inner: HashMap::new() });
        is_main.then(|| {
            let level = Level { name: name.clone(), entry, index: 0 };
            self.unit.push(Kind::Loop, name, [level].into(), Value::Text("entered".into()));
            self.main_is_open = Some(true);
            let before = self.end_unit(Place::Iteration(0), true);
            self.placed = false;
            before
        })
    }

    fn iterate(&mut self, index: u64) -> Option<Unit> {
        self.path = None;
        let outermost = self.open.len() == 1;
        // Without an open loop its entry was lost to damage.
        let innermost = self.open.last_mut().filter(|open| !open.silent)?;
        innermost.index = Some(index);
        innermost.inner.clear();
        if !outermost || self.main_is_open != Some(true) {
            return None;
        }
        if self.placed {
            return Some(self.end_unit(Place::Iteration(index), true));
        }
        self.placed = true;
        self.unit.place = Place::Iteration(index);
        None
    }

    fn exit(&mut self, end: LoopEnd) -> Option<Unit> {
        self.path = None;
        if self.open.len() == 1 && self.main_is_open == Some(true) {
            return self.exit_main(end);
        }
        let left = self.open.pop()?;
        if left.silent {
            if end == LoopEnd::Skipped {
                self.unit.skip_silently();
            }
            return None;
        }
        let mut path = self.levels();
        path.push(Level { name: left.name.clone(), entry: left.entry, index: 0 });
        if end == LoopEnd::Skipped {
            self.unit.skip(path);
        } else {
            let count = left.iterations();
            self.unit.push(Kind::Loop, left.name, path.into(), count);
        }
        None
    }

    fn exit_main(&mut self, end: LoopEnd) -> Option<Unit> {
        let early = end == LoopEnd::Early;
        if early && let Some(main) = self.open.last() {
            let (name, mut path) = (main.name.clone(), self.levels());
            path.push(Level { name: name.clone(), entry: main.entry, index: 0 });
            self.unit.push(Kind::Loop, name, path.into(), Value::Text("left early".into()));
        }
        self.open.clear();
        self.main_is_open = Some(false);
        let was_placed = self.placed;
        // An exception that ended the process may have come from outside: nothing says that it comes again.
        let unit = self.end_unit(Place::After, !early || self.whole);
        self.placed = end != LoopEnd::Skipped;
        was_placed.then_some(unit)
    }

    fn end_unit(&mut self, next: Place, complete: bool) -> Unit {
        let mut unit = std::mem::replace(&mut self.unit, Unit::new(next));
        unit.complete = complete;
        unit
    }

    fn levels(&self) -> Vec<Level> {
        let level = |open: &Open| Some(Level { name: open.name.clone(), entry: open.entry, index: open.index? });
        self.open.iter().filter_map(level).collect()
    }

    fn push(&mut self, kind: Kind, name: Rc<str>, value: &Value) {
        let path = self.path();
        self.unit.push(kind, name, path, value.clone());
    }

    /// The path of what comes next.
    fn path(&mut self) -> Rc<[Level]> {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let path: Rc<[Level]> = self.levels().into();
        self.path = Some(path.clone());
        path
    }
}
