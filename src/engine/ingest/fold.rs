//! Turns a journal's events into columns of values. Its state survives between readings, as JSON.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::column::Column;
use crate::model::position::{Position, Step};
use crate::model::value::Value;
use crate::store::db::Appended;
use crate::store::journal::Event;

/// What must be known of a journal's earlier events to understand the later ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Context {
    names: Vec<Option<String>>,
    /// The loops that are open, outermost first.
    pub(super) open: Vec<OpenLoop>,
    /// Whether loops may have been entered or left unseen, in a damaged stretch. Then it is not known where later values
    /// belong, and they are left out: a value at a wrong place is worse than none.
    #[serde(default)]
    pub(super) lost: bool,
}

/// A loop that was entered and not left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OpenLoop {
    name: u32,
    /// `None` until its first iteration.
    index: Option<u64>,
}

impl Context {
    /// The text of an interned name; `None` where damage took it.
    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.names.get(usize::try_from(id).ok()?)?.as_deref()
    }

    /// Where the script is.
    pub(super) fn position(&self) -> Position {
        let step = |open: &OpenLoop| Some(Step { name: self.name(open.name)?.to_owned(), index: open.index? });
        Position(self.open.iter().filter_map(step).collect())
    }

    /// Keeps the text of a name.
    pub(super) fn intern(&mut self, id: u32, text: String) {
        let Ok(at) = usize::try_from(id) else { return };
        // Ids count from 0; a gap can only come from damage, and a huge one must not reserve memory.
        if at <= self.names.len() + (1 << 16) {
            self.names.resize(self.names.len().max(at + 1), None);
            self.names[at] = Some(text);
        }
    }
}

/// Columns that grow from the events of one reading.
pub(super) struct Columns<'a> {
    pub(super) context: &'a mut Context,
    columns: Vec<Appended>,
    by_key: HashMap<(bool, u32, usize), usize>,
    paths: HashMap<Vec<u32>, usize>,
    /// Number of the current path in `paths`, and the current indices.
    path: usize,
    indices: Vec<u64>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(context: &'a mut Context) -> Self {
        let mut columns = Self {
            context,
            columns: Vec::new(),
            by_key: HashMap::new(),
            paths: HashMap::new(),
            path: 0,
            indices: Vec::new(),
        };
        columns.moved();
        columns
    }

    /// Takes in an event. The caller sees loop events only after this.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Name { id, text } => self.context.intern(*id, text.clone()),
            _ if self.context.lost => {}
            Event::LoopEnter { name, .. } => self.context.open.push(OpenLoop { name: *name, index: None }),
            Event::Iteration { index, .. } => {
                // Without an open loop its entry was lost to damage.
                let Some(innermost) = self.context.open.last_mut() else { return };
                if innermost.index.replace(*index).is_none() {
                    self.moved();
                } else if let Some(last) = self.indices.last_mut() {
                    *last = *index;
                }
            }
            Event::LoopExit { .. } => {
                self.context.open.pop();
                self.moved();
            }
            Event::IterationValue(value) => {
                if let Some(name) = self.context.open.last().filter(|open| open.index.is_some()).map(|open| open.name) {
                    self.push(true, name, value.clone());
                }
            }
            Event::Log { name, value } => self.push(false, *name, value.clone()),
            _ => {}
        }
    }

    /// What has been gathered.
    pub(super) fn finish(self) -> Vec<Appended> {
        self.columns
    }

    /// Recomputes the current path, after loops were entered or left.
    fn moved(&mut self) {
        self.indices.clear();
        self.indices.extend(self.context.open.iter().filter_map(|open| open.index));
        let names: Vec<u32> = self.context.open.iter().filter(|open| open.index.is_some()).map(|o| o.name).collect();
        let next = self.paths.len();
        self.path = *self.paths.entry(names).or_insert(next);
    }

    fn push(&mut self, is_loop: bool, name: u32, value: Value) {
        let key = (is_loop, name, self.path);
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => {
                let Some(text) = self.context.name(name) else { return };
                let loops = self.context.position().0.into_iter().map(|step| step.name).collect::<Vec<_>>();
                if loops.len() != self.indices.len() {
                    return;
                }
                self.columns.push(Appended { is_loop, name: text.to_owned(), column: Column::under(loops) });
                self.by_key.insert(key, self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        self.columns[at].column.push(&self.indices, value);
    }
}
