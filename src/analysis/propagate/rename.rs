//! What a variable of the source is called in the target, told from matched statements, occurrence by occurrence.

use std::collections::HashMap;

use crate::analysis::propagate::scope::owner;
use crate::analysis::treediff::{Kind, Matching, NodeId, Tree};

/// Longer lists are data.
const MAX_LIST: usize = 256;

/// One place where a path of the source stands where another stands in the target.
struct Pair {
    to: String,
    source: NodeId,
    target: NodeId,
    binds: bool,
}

/// All evidence about names, by the source's path.
pub(super) struct Renames<'a> {
    source: &'a Tree,
    target: &'a Tree,
    pairs: HashMap<String, Vec<Pair>>,
}

impl<'a> Renames<'a> {
    pub(super) fn of(source: &'a Tree, target: &'a Tree, matching: &Matching) -> Self {
        let mut renames = Self { source, target, pairs: HashMap::new() };
        for (a, b) in matching.pairs() {
            let kind = source.node(a).kind;
            if kind.is_statement() || kind == Kind::Arm {
                renames.children(a, b);
                if matches!(kind, Kind::Function | Kind::Class) {
                    renames.pair(source.node(a).text.clone(), target.node(b).text.clone(), a, b);
                }
            }
        }
        renames
    }

    fn children(&mut self, a: NodeId, b: NodeId) {
        let expressions = |tree: &Tree, id: NodeId| -> Vec<NodeId> {
            let nested = |c: &NodeId| matches!(tree.node(*c).kind, Kind::Block | Kind::Arm);
            tree.node(id).children.iter().copied().filter(|c| !nested(c)).collect()
        };
        let (ours, theirs) = (expressions(self.source, a), expressions(self.target, b));
        if ours.len() == theirs.len() {
            ours.into_iter().zip(theirs).for_each(|(x, y)| self.lockstep(x, y));
            return;
        }
        if ours.len().max(theirs.len()) > MAX_LIST {
            return;
        }
        // Arguments came or went: the equal ones anchor, the rest is paired in order where keyword or type agree.
        let mut rest = theirs;
        for x in ours {
            let (node, alike) =
                (self.source.node(x), |y: &NodeId| self.target.node(*y).hash == self.source.node(x).hash);
            let same = |y: &NodeId| self.target.node(*y).label == node.label && self.target.node(*y).text == node.text;
            if let Some(at) = rest.iter().position(alike).or_else(|| rest.iter().position(same)) {
                let y = rest.remove(at);
                self.lockstep(x, y);
            }
        }
    }

    fn lockstep(&mut self, a: NodeId, b: NodeId) {
        let (x, y) = (self.source.node(a), self.target.node(b));
        if let (Some(from), Some(to)) = (self.source.path(a), self.target.path(b)) {
            let (from, to) = without_common_end(&from, &to);
            // `len(loader.dataset)` against `len(loader)` is another value, not another name.
            let part_of = |part: &str, whole: &str| whole.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'));
            if part_of(from, to) || part_of(to, from) {
                return;
            }
            self.pair(from.to_owned(), to.to_owned(), a, b);
        } else if x.kind == Kind::Parameter && y.kind == Kind::Parameter {
            self.pair(x.text.clone(), y.text.clone(), a, b);
            self.children(a, b);
        } else if x.label == y.label {
            self.children(a, b);
        }
    }

    fn pair(&mut self, from: String, to: String, source: NodeId, target: NodeId) {
        let binds = self.source.node(source).access.binds();
        self.pairs.entry(from).or_default().push(Pair { to, source, target, binds });
    }

    /// What `path`, used at `at` with the value that `definition` gave it, is called in `scope` of the target: best first, with the weight of the evidence.
    pub(super) fn of_path(
        &self,
        path: &str,
        at: NodeId,
        scope: NodeId,
        definition: Option<NodeId>,
    ) -> Vec<(String, f64)> {
        let base = path.split('.').next().unwrap_or(path);
        let ours = owner(self.source, self.source.scope(at), base);
        let mut votes: HashMap<&str, f64> = HashMap::new();
        for pair in self.pairs.get(path).into_iter().flatten() {
            // A definition's own name belongs to the scope around it, its parameters to itself.
            let from_scope = match self.source.node(pair.source).kind {
                Kind::Parameter => self.source.scope(pair.source),
                _ => owner(self.source, self.source.scope(pair.source), base),
            };
            let attribute = base == "self" || base == "cls";
            if from_scope != ours && !attribute {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "a distance within one file")]
            let mut weight = 1.0 / (1.0 + pair.source.abs_diff(at) as f64 / 200.0);
            if pair.binds && pair.source < at {
                weight += 1.0;
            }
            if definition.is_some_and(|definition| self.source.contains(definition, pair.source)) {
                weight += 3.0;
            }
            if self.target.scope(pair.target) == scope || self.target.contains(pair.target, scope) {
                weight *= 2.0;
            }
            *votes.entry(&pair.to).or_default() += weight;
        }
        let mut votes: Vec<(String, f64)> = votes.into_iter().map(|(to, weight)| (to.to_owned(), weight)).collect();
        votes.sort_by(|x, y| y.1.total_cmp(&x.1).then_with(|| (x.0 != path, &x.0).cmp(&(y.0 != path, &y.0))));
        votes
    }
}

/// `model.w2` against `net.w2` tells about `model` and `net`.
fn without_common_end<'t>(mut from: &'t str, mut to: &'t str) -> (&'t str, &'t str) {
    while let (Some((a, x)), Some((b, y))) = (from.rsplit_once('.'), to.rsplit_once('.')) {
        if x != y {
            break;
        }
        (from, to) = (a, b);
    }
    (from, to)
}
