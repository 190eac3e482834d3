//! Whether what a statement calls is the same function in the target: functions of one name may be different ones.

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::reach::{carrier, reaching, with_members};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// What a function takes, as far as its header tells.
struct Signature {
    /// Parameters by name, and whether they may be left out.
    parameters: Vec<(String, bool)>,
    /// `*args`
    more: bool,
    /// `**kwargs`
    any_keyword: bool,
}

impl Work<'_, '_> {
    /// Notes an object that is read by an index, and that another class makes in the target, where nothing reads it so.
    pub(super) fn check_index(&mut self, path: &str, theirs: &str, id: NodeId) {
        let (ours, there) = (self.source(), &self.session.target.tree);
        let indexed = |tree: &Tree, id: NodeId| {
            let parent = tree.node(id).parent.map(|parent| tree.node(parent));
            parent.is_some_and(|p| {
                p.kind == Kind::Other && p.children.len() == 2 && p.text.is_empty() && p.children[0] == id
            })
        };
        if !indexed(ours, id) {
            return;
        }
        let maker = |tree: &Tree, id: NodeId| -> Option<String> {
            let value =
                tree.node(carrier(tree, id)).children.last().copied().filter(|_| tree.node(id).kind == Kind::Name)?;
            let callee = tree.node(value).children.first().filter(|_| tree.node(value).kind == Kind::Call)?;
            Some(tree.node(*callee).text.clone())
        };
        let read = self.session.definitions_at(path, ours.place(self.unit).unwrap_or_default());
        let reached = reaching(there, theirs, (self.point.block, self.point.index), &|_| false);
        let known = || {
            let uses = there.uses(theirs.split('.').next().unwrap_or(theirs)).iter().copied();
            uses.flat_map(|id| with_members(there, id)).any(|id| indexed(there, id))
        };
        let (Some(was), Some(is)) = (read.first(), reached.first()) else { return };
        let (Some(made), Some(makes)) = (maker(ours, *was), maker(there, *is)) else { return };
        // What functions give back in statements that correspond is one kind of thing.
        let alike = self.session.counterpart(carrier(ours, *was)) == Some(carrier(there, *is))
            && [&made, &makes].iter().all(|name| name.starts_with(char::is_lowercase));
        if made != makes && !alike && !known() {
            let line = self.session.target.lines.line(there.node(*is).range.start);
            self.adapted
                .doubts
                .push(format!("`{theirs}` is made by `{makes}` at line {line}, not by `{made}`: it may have no items"));
        }
    }

    /// Notes a function that has the name in the target, but takes other arguments or does something else.
    pub(super) fn check_callee(&mut self, path: &str, theirs: &str, id: NodeId) {
        let tree = self.source();
        let (source, target) = (self.session.source, self.session.target);
        let call = tree
            .node(id)
            .parent
            .filter(|call| tree.node(*call).kind == Kind::Call && tree.node(*call).children.first() == Some(&id));
        let (Some(call), Some(ours), Some(other)) =
            (call, function(&source.tree, path), function(&target.tree, theirs))
        else {
            return;
        };
        let (taken, takes) = (Signature::of(source, ours), Signature::of(target, other));
        let line = target.lines.line(target.tree.node(other).range.start);
        if taken.accepts(source, call) && !takes.accepts(source, call) {
            self.adapted.doubts.push(format!("`{theirs}` of the target, line {line}, does not take these arguments"));
            return;
        }
        let names =
            |signature: &Signature| signature.parameters.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let shared = tree.subtree(ours).skip(1).any(|id| {
            let there = self.session.counterpart(id).filter(|_| tree.node(id).kind.is_statement());
            there.is_some_and(|there| target.tree.contains(other, there))
        });
        if !shared && names(&taken) != names(&takes) {
            self.adapted.doubts.push(format!("`{theirs}` of the target, line {line}, is another function"));
        }
    }
}

/// The only function that a path can call: a function or a class's constructor by its name, a method after `self`.
pub(super) fn function(tree: &Tree, path: &str) -> Option<NodeId> {
    let method = path.strip_prefix("self.");
    let name = method.unwrap_or(path);
    let named = |id: &NodeId, kind: Kind, name: &str| tree.node(*id).kind == kind && tree.node(*id).name == name;
    let in_class = |id: NodeId| tree.node(tree.scope(id)).kind == Kind::Class;
    let mut found = tree.statements().filter(|id| {
        let class = method.is_none() && named(id, Kind::Class, name);
        class || named(id, Kind::Function, name) && in_class(*id) == method.is_some()
    });
    let (Some(only), None) = (found.next(), found.next()) else { return None };
    if tree.node(only).kind == Kind::Function {
        return Some(only);
    }
    tree.subtree(only).find(|id| named(id, Kind::Function, "__init__") && tree.scope(*id) == only)
}

impl Signature {
    fn of(source: &Source<'_>, function: NodeId) -> Self {
        let tree = &source.tree;
        let mut signature = Self { parameters: Vec::new(), more: false, any_keyword: false };
        let own = |id: &NodeId| tree.node(*id).kind == Kind::Parameter && tree.scope(*id) == function;
        for id in tree.header(function).into_iter().filter(own) {
            let node = tree.node(id);
            let before = source.text.get(..node.range.start).unwrap_or_default().trim_end();
            let optional = node.parent.is_some_and(|parent| {
                tree.node(parent).range.start == node.range.start && tree.node(parent).range.end > node.range.end
            });
            match () {
                () if before.ends_with("**") => signature.any_keyword = true,
                () if before.ends_with('*') => signature.more = true,
                () => signature.parameters.push((node.name.clone(), optional)),
            }
        }
        let given = ["self", "cls"];
        if tree.node(tree.scope(function)).kind == Kind::Class
            && signature.parameters.first().is_some_and(|(name, _)| given.contains(&name.as_str()))
        {
            signature.parameters.remove(0);
        }
        signature
    }

    fn accepts(&self, source: &Source<'_>, call: NodeId) -> bool {
        let tree = &source.tree;
        let list = tree.node(call).children.get(1).map(|list| tree.node(*list).children.as_slice()).unwrap_or_default();
        let text = |id: NodeId| source.text.get(tree.node(id).range.clone()).unwrap_or_default();
        if list.iter().any(|id| text(*id).starts_with('*')) {
            return true;
        }
        let keyword = |id: &&NodeId| {
            let node = tree.node(**id);
            let (name, rest) = text(**id).split_at_checked(node.text.len()).unwrap_or_default();
            node.kind == Kind::Other
                && !name.is_empty()
                && name == node.text
                && rest.trim_start().starts_with('=')
                && !rest.trim_start().starts_with("==")
        };
        let keywords: Vec<&str> = list.iter().filter(keyword).map(|id| tree.node(*id).text.as_str()).collect();
        let positional = list.len() - keywords.len();
        let known = |name: &&str| self.parameters.iter().any(|(parameter, _)| parameter == name);
        let given = |at: usize, name: &str| at < positional || keywords.contains(&name);
        (positional <= self.parameters.len() || self.more)
            && (self.any_keyword || keywords.iter().all(known))
            && self.parameters.iter().enumerate().all(|(at, (name, optional))| *optional || given(at, name))
    }
}
