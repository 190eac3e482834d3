//! Modules in a statement that moves: our own functions are spelled as the target spells them and imported where it
//! does not; what both versions take from one module keeps its name.

use crate::analysis::propagate::adapt::{Unbound, Work};
use crate::analysis::propagate::names::base_node;
use crate::analysis::propagate::reach::{carrier, reaching};
use crate::analysis::python::MODULES;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// The module that is imported where nothing else can be.
const MODULE: &str = "afterlog";

/// What a name of ours means at a place of the target.
enum Meaning {
    Ours,
    /// On some paths only.
    Perhaps,
    Unbound,
    Another,
}

impl Work<'_, '_> {
    /// A call of ours, as the target spells it.
    pub(super) fn api(&mut self, callee: NodeId) -> Result<(), Unbound> {
        let range = self.source().node(callee).range.clone();
        let Some(call) = self.session.source.calls.iter().find(|call| call.callee == range) else { return Ok(()) };
        let ours = self.session.source.text.get(range.clone()).unwrap_or_default().to_owned();
        let base = base_node(self.source(), callee);
        let name = self.source().node(base).name.clone();
        if self.provided.names.contains(&name) {
            return Ok(());
        }
        let spelled = self.session.target.spelling.get(&call.function);
        if let Some((theirs, meaning)) = spelled.map(|theirs| (theirs, self.meaning(theirs)))
            && matches!(meaning, Meaning::Ours | Meaning::Perhaps)
        {
            if matches!(meaning, Meaning::Perhaps) {
                self.adapted.doubts.push(format!("`{theirs}` may not be imported there"));
            }
            if *theirs != ours {
                self.adapted.changes.push(format!("{ours} → {theirs}"));
                self.replaced.push((range, theirs.clone()));
            }
            return Ok(());
        }
        let import = self.binders(base, &name).into_iter().find_map(|id| {
            let statement = self.source().statement_of(id)?;
            (self.source().node(statement).kind == Kind::Import).then_some((statement, id))
        });
        match (self.meaning(&name), import) {
            (Meaning::Unbound, Some((statement, alias))) if self.is_free_for_module(&name) => {
                self.provided.names.insert(name);
                self.bring_import(statement, alias)
            }
            (_, Some((statement, _))) if self.is_free_for_module(MODULE) => {
                let theirs = format!("{MODULE}.{}", call.function);
                if theirs != ours {
                    self.adapted.changes.push(format!("{ours} → {theirs}"));
                    self.replaced.push((range, theirs));
                }
                let text = format!("import {MODULE}");
                if self.provided.names.insert(MODULE.to_owned()) { self.import_text(statement, text) } else { Ok(()) }
            }
            (Meaning::Another | Meaning::Perhaps, _) => {
                let reason = format!("`{name}` is something else in the target");
                Err(Unbound { name: String::new(), reason, later: None })
            }
            _ => self.bring(base, &name, &name),
        }
    }

    fn meaning(&self, spelled: &str) -> Meaning {
        let base = spelled.split('.').next().unwrap_or(spelled);
        let tree = &self.session.target.tree;
        let found = reaching(tree, base, (self.point.block, self.point.index), &|_| false);
        let imported = |id: &&NodeId| self.imports_us(**id);
        let sure = self.visible.get(base) == super::scope::Bound::Yes;
        match found.iter().filter(imported).count() {
            // What `from afterlog import *` binds has no node.
            0 if found.is_empty() && sure => Meaning::Ours,
            0 if found.is_empty() => Meaning::Unbound,
            0 => Meaning::Another,
            all if all == found.len() && sure => Meaning::Ours,
            _ => Meaning::Perhaps,
        }
    }

    /// Whether a name of the target is bound by an import of ours.
    fn imports_us(&self, id: NodeId) -> bool {
        let tree = &self.session.target.tree;
        let statement = tree.node(carrier(tree, id));
        let module = if statement.text.is_empty() { &tree.node(id).text } else { &statement.text };
        let module = module.split([' ', '.']).next().unwrap_or_default();
        statement.kind == Kind::Import && MODULES.contains(&module)
    }

    /// Whether an import of a module at the top of the target would be seen at the place, and hide nothing else.
    fn is_free_for_module(&self, name: &str) -> bool {
        let tree = &self.session.target.tree;
        let scope = tree.scope(self.point.block);
        let imports = |id: NodeId| self.imports_us(id) && (scope == 0 || tree.scope(id) != scope);
        let mut bound = (0..tree.nodes.len()).filter(|id| tree.node(*id).access.binds() && tree.node(*id).name == name);
        let foreign = || tree.nodes.iter().any(|n| n.access.reads() && n.name == name);
        let any = bound.clone().next().is_some();
        bound.all(imports) && (any || !foreign())
    }

    /// Whether a path is an attribute of a module that both versions import, and the target uses it.
    pub(super) fn is_of_same_module(&self, id: NodeId, path: &str, base: &str) -> bool {
        let (ours, theirs) = (self.source(), &self.session.target.tree);
        let imported = |tree: &Tree, id: NodeId| {
            let statement = tree.node(carrier(tree, id));
            (statement.kind == Kind::Import).then(|| (statement.text.clone(), tree.node(id).text.clone()))
        };
        let module = self.binders(base_node(ours, id), base).into_iter().map(|id| imported(ours, id)).next().flatten();
        let there = reaching(theirs, base, (self.point.block, self.point.index), &|_| false);
        let same = module.is_some() && !there.is_empty() && there.iter().all(|id| imported(theirs, *id) == module);
        let last = path.rsplit('.').next().unwrap_or(path);
        same && path != base && theirs.nodes.iter().any(|n| n.kind == Kind::Member && n.text == last)
    }
}
