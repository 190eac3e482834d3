//! All edits of a target together: in order, applied, and checked on the result.

use std::collections::HashSet;

use crate::analysis::propagate::insert::Edit;
use crate::analysis::propagate::kept::is_kept;
use crate::analysis::propagate::sound::{Lacking, lacking};
use crate::analysis::propagate::{Outcome, Session, refused};
use crate::analysis::python::Source;
use crate::analysis::treediff::NodeId;
use crate::model::probe::{Placement, PlacementStatus};

/// Edits that may read a name without a value, with the reason.
type Perhaps = Vec<(Edit, String)>;

impl Outcome {
    /// One that writes nothing.
    pub(super) fn without(node: NodeId, placement: Placement) -> Self {
        Self { node, placement, edits: Vec::new(), whole: None }
    }

    /// Notes what one of its edits may lack.
    fn doubt(&mut self, perhaps: &Perhaps) {
        for (_, reason) in perhaps.iter().filter(|(edit, _)| self.edits.contains(edit)) {
            self.placement.reasons.push(reason.clone());
            self.placement.status = PlacementStatus::Uncertain;
        }
    }
}

impl Session<'_> {
    /// The edits of all outcomes, in order. What would damage the target or read a name without a value is refused.
    pub(super) fn sound_edits(&self, outcomes: &mut [Outcome]) -> Vec<Edit> {
        // One parse for all where nothing is wrong, else one for each to tell which it is.
        let mut edits: Vec<Edit> = Vec::new();
        match self.with_edits(&edits, outcomes) {
            Ok((all, perhaps)) => {
                edits = all;
                outcomes.iter_mut().for_each(|outcome| outcome.doubt(&perhaps));
            }
            Err(_) => {
                for outcome in outcomes {
                    match self.with_edits(&edits, std::slice::from_ref(outcome)) {
                        Ok((with, perhaps)) => {
                            edits = with;
                            outcome.doubt(&perhaps);
                        }
                        Err(reason) => {
                            outcome.placement = refused(self.blank(outcome.node), &reason);
                            outcome.edits.clear();
                        }
                    }
                }
            }
        }
        edits
    }

    /// The edits with those of further outcomes, in order.
    ///
    /// # Errors
    /// Why not: the target would not stay what it is, or a name has no value.
    fn with_edits(&self, edits: &[Edit], further: &[Outcome]) -> Result<(Vec<Edit>, Perhaps), String> {
        let mut with = edits.to_vec();
        let mut known: HashSet<&Edit> = edits.iter().collect();
        with.extend(further.iter().flat_map(|outcome| &outcome.edits).filter(|edit| known.insert(edit)).cloned());
        sort(&mut with);
        if with.len() == edits.len() {
            return Ok((with, Vec::new()));
        }
        let text = applied(self.target.text, &with);
        let result = Source::parse(&text);
        if !is_kept(self.target, &result, &with) {
            return Err("the target would not parse with it, or as other code".to_owned());
        }
        let (perhaps, never): (Vec<Lacking>, Vec<Lacking>) =
            lacking(self.source, self.target, &result, &with).into_iter().partition(|one| one.perhaps);
        if let Some(one) = never.first() {
            return Err(format!("`{}` has no value there", one.name));
        }
        let told = |one: Lacking| {
            let words = format!("`{}` may have no value there{}", one.name, one.path);
            (with[one.edit].clone(), words)
        };
        let perhaps = perhaps.into_iter().map(told).collect();
        Ok((with, perhaps))
    }
}

/// The order in which edits stand.
pub(super) fn sort(edits: &mut [Edit]) {
    edits.sort_by_key(sort_key);
}

pub(super) fn sort_key(edit: &Edit) -> (usize, std::cmp::Reverse<usize>, NodeId) {
    (edit.offset, std::cmp::Reverse(edit.depth), edit.order)
}

/// The target with all edits, which stand in order.
pub(super) fn applied(target: &str, edits: &[Edit]) -> String {
    let (mut text, mut at) = (String::with_capacity(target.len() + 256), 0);
    for edit in edits {
        text.push_str(target.get(at..edit.offset).unwrap_or_default());
        text.push_str(&edit.text);
        at = edit.offset;
    }
    text.push_str(target.get(at..).unwrap_or_default());
    text
}
