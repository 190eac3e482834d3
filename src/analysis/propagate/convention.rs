//! Variables that are called otherwise by another way of writing names: `self.model` and `model`, `WRITER` and `writer`,
//! `scheduler` and `lr_scheduler`.

use std::collections::BTreeSet;

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::reach::{carrier, with_members};
use crate::analysis::treediff::{Kind, NodeId};

impl Work<'_, '_> {
    /// `self.model` where there is no `self` but a `model`, and the other way round.
    pub(super) fn other_side_of_self(&self, path: &str) -> Option<(String, String)> {
        let plain = path.strip_prefix("self.").unwrap_or(path).split('.').next().unwrap_or(path);
        // Where the source has both, they are two variables.
        let (ours, both) = (self.source(), format!("self.{plain}"));
        let has = |name: &str, wanted: &str| {
            ours.uses(name).iter().any(|id| with_members(ours, *id).any(|at| ours.path(at).as_deref() == Some(wanted)))
        };
        if has("self", &both) && ours.binders(plain).iter().any(|id| ours.scope(*id) == ours.scope(self.unit)) {
            return None;
        }
        if let Some((owner, rest)) = path.split_once('.') {
            let name = rest.split('.').next().unwrap_or(rest);
            if self.is_visible(name) && self.visible.owns(name) {
                return Some((format!("{owner}.{name}"), name.to_owned()));
            }
        }
        let base = path.split('.').next().unwrap_or(path);
        let tree = &self.session.target.tree;
        let class = tree.ancestors(self.point.block).find(|id| tree.node(*id).kind == Kind::Class)?;
        let member = |id: NodeId| tree.path(id).is_some_and(|p| p.strip_prefix("self.") == Some(base));
        (self.is_visible("self") && tree.subtree(class).any(member)).then(|| (base.to_owned(), format!("self.{base}")))
    }

    /// The only variable of the target that is written with the same letters: a constant that became a variable, a name
    /// that was made private.
    pub(super) fn by_convention(&self, name: &str) -> Option<String> {
        let letters =
            |name: &str| -> String { name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect() };
        let same = |other: &str| letters(other) == letters(name);
        self.only_other(name, &same)
    }

    /// The only variable of the target that has all words of a name and some before them, or the other way round.
    pub(super) fn by_its_words(&self, name: &str) -> Option<String> {
        let longer = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('_'));
        self.only_other(name, &|other| longer(other, name) || longer(name, other))
    }

    /// The only name that a value has at the place and that the source does not give to anything else, of those that
    /// are `alike`.
    fn only_other(&self, name: &str, alike: &dyn Fn(&str) -> bool) -> Option<String> {
        let theirs = &self.session.target.tree;
        let module = |id: NodeId| matches!(theirs.node(carrier(theirs, id)).kind, Kind::Import | Kind::Class);
        let bound = theirs.nodes.iter().enumerate().filter(|(id, node)| {
            node.access.binds() && node.name != name && alike(&node.name) && !module(*id) && self.is_visible(&node.name)
        });
        let names: BTreeSet<&str> = bound.map(|(_, node)| node.name.as_str()).collect();
        let mut names = names.into_iter();
        let (Some(only), None) = (names.next(), names.next()) else { return None };
        self.source().uses(only).is_empty().then(|| only.to_owned())
    }
}
