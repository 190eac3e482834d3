//! What a variable of the source is called in the target, told from matched statements, occurrence by occurrence.

use std::collections::{HashMap, HashSet};

use crate::analysis::propagate::fits::function;
use crate::analysis::propagate::reach::{carrier, is_stored};
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
    /// Attributes that both versions assign in corresponding statements: they have not been renamed.
    kept: HashSet<String>,
}

impl<'a> Renames<'a> {
    pub(super) fn of(source: &'a Tree, target: &'a Tree, matching: &Matching) -> Self {
        let mut renames = Self { source, target, pairs: HashMap::new(), kept: HashSet::new() };
        for (a, b) in matching.pairs() {
            let kind = source.node(a).kind;
            if kind.is_statement() || kind == Kind::Arm {
                renames.kept.extend(stored(source, a).intersection(&stored(target, b)).cloned());
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
        let (mut ours, mut theirs) = (expressions(self.source, a), expressions(self.target, b));
        if self.source.node(a).kind == Kind::Loop {
            let counted = (counted(self.source, &ours), counted(self.target, &theirs));
            match counted {
                (Some(plain), None) if is_over_a_variable(self.target, &theirs) => ours = plain,
                (None, Some(plain)) if is_over_a_variable(self.source, &ours) => theirs = plain,
                _ => {}
            }
        }
        if self.source.node(a).shape != self.target.node(b).shape
            && self.names_alone(a)
            && self.target.node(b).kind == Kind::Other
        {
            // Values came or went in `a, b = …`: who keeps its name is the same.
            let bound =
                |tree: &Tree, id: NodeId| tree.subtree(id).filter(|n| tree.node(*n).access.binds()).collect::<Vec<_>>();
            let theirs = bound(self.target, b);
            for x in bound(self.source, a) {
                let name = self.source.node(x).name.clone();
                if let Some(y) = theirs.iter().copied().find(|y| self.target.node(*y).name == name) {
                    self.pair(name.clone(), name, x, y);
                }
            }
            return;
        }
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

    /// Whether an expression is nothing but names that are bound: `a, (b, c)`.
    fn names_alone(&self, id: NodeId) -> bool {
        let tree = self.source;
        tree.node(id).kind == Kind::Other
            && tree.subtree(id).all(|n| matches!(tree.node(n).kind, Kind::Other) || tree.node(n).access.binds())
            && tree.subtree(id).any(|n| tree.node(n).access.binds())
    }

    fn lockstep(&mut self, a: NodeId, b: NodeId) {
        let (x, y) = (self.source.node(a), self.target.node(b));
        if let (Some(from), Some(to)) = (self.source.path(a), self.target.path(b)) {
            if from == to {
                self.same(&from, a, b);
                return;
            }
            let (from, to) = without_common_end(&from, &to);
            // `len(loader.dataset)` against `len(loader)` is another value, not another name.
            let part_of = |part: &str, whole: &str| whole.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'));
            if part_of(from, to) || part_of(to, from) || self.is_another_method(a, b) {
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

    /// Whether two calls differ in more than the name of a function: `x.mean()` is not `f(x)` under another name, and a
    /// script's own function none that it has not.
    fn is_another_method(&self, a: NodeId, b: NodeId) -> bool {
        let called = |tree: &Tree, id: NodeId| {
            let call = tree.node(id).parent.map(|parent| tree.node(parent));
            call.is_some_and(|call| call.kind == Kind::Call && call.children.first() == Some(&id))
        };
        let base = |tree: &Tree, id: NodeId| {
            tree.path(id).unwrap_or_default().split('.').next().unwrap_or_default().to_owned()
        };
        let imported = |tree: &Tree, id: NodeId| {
            let base = base(tree, id);
            let import = |at: &NodeId| tree.node(carrier(tree, *at)).kind == Kind::Import;
            tree.binders(&base).iter().any(import)
        };
        let of_object = |tree: &Tree, id: NodeId| {
            let base = base(tree, id);
            tree.node(id).kind == Kind::Member && base != "self" && base != "cls" && !imported(tree, id)
        };
        let own = |tree: &Tree, id: NodeId| tree.path(id).is_some_and(|path| function(tree, &path).is_some());
        let last = |tree: &Tree, id: NodeId| tree.node(id).text.clone();
        called(self.source, a)
            && called(self.target, b)
            && last(self.source, a) != last(self.target, b)
            && (of_object(self.source, a) || of_object(self.target, b) || own(self.source, a) != own(self.target, b))
    }

    /// `self.optimizer.lr` in both versions is evidence for `self.optimizer` and `self`, too.
    fn same(&mut self, path: &str, a: NodeId, b: NodeId) {
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            self.pair(path[..end].to_owned(), path[..end].to_owned(), a, b);
        }
    }

    fn pair(&mut self, from: String, to: String, source: NodeId, target: NodeId) {
        let whole = self.source.path(source).is_none_or(|path| path == from);
        let binds = self.source.node(source).access.binds() || whole && is_stored(self.source, source);
        self.pairs.entry(from).or_default().push(Pair { to, source, target, binds });
    }

    /// Whether the source has this name as well, and the target means the same by it: no other variable can become it.
    fn is_its_own(&self, name: &str) -> bool {
        let pairs = self.pairs.get(name).map(Vec::as_slice).unwrap_or_default();
        2 * pairs.iter().filter(|pair| pair.to == name).count() > pairs.len()
    }

    /// Whether `gan.D` against `gan.D_aug` tells of another object, not of another name: the target has `D`, too.
    fn is_kept(&self, from: &str, to: &str) -> bool {
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        from.rsplit_once('.').is_some_and(|(_, name)| self.kept.contains(name)) && last(from) != last(to)
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
            if from_scope != ours && !attribute || self.is_kept(path, &pair.to) {
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
        votes.retain(|to, _| *to == path || !self.is_its_own(to));
        let mut votes: Vec<(String, f64)> = votes.into_iter().map(|(to, weight)| (to.to_owned(), weight)).collect();
        votes.sort_by(|x, y| y.1.total_cmp(&x.1).then_with(|| (x.0 != path, &x.0).cmp(&(y.0 != path, &y.0))));
        votes
    }
}

/// Whether a loop goes over what a variable holds: a range has no elements but its counts.
fn is_over_a_variable(tree: &Tree, header: &[NodeId]) -> bool {
    header.last().is_some_and(|iterable| tree.path(*iterable).is_some())
}

/// What a loop over `enumerate(…)` would go over, and what it would give, without the count.
pub(super) fn counted(tree: &Tree, header: &[NodeId]) -> Option<Vec<NodeId>> {
    let [targets, iterable] = header else { return None };
    let [callee, given] = tree.node(*iterable).children.as_slice() else { return None };
    let is_call = tree.node(*iterable).kind == Kind::Call && tree.node(*callee).text == "enumerate";
    let [_, element] = tree.node(*targets).children.as_slice() else { return None };
    let object = tree.node(*given).children.first().filter(|_| is_call)?;
    Some(vec![*element, *object])
}

/// The attributes that a statement assigns.
fn stored(tree: &Tree, statement: NodeId) -> HashSet<String> {
    let members = tree.header(statement).into_iter().filter(|id| tree.node(*id).kind == Kind::Member);
    members.filter(|id| is_stored(tree, *id)).map(|id| tree.node(id).text.clone()).collect()
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
