//! What the logged expression, a function of the source that it calls, or what is written around the statement does to the
//! run besides giving a value: an element is taken, an object is changed in place. The run would go on otherwise.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::{Unbound, Work};
use crate::analysis::propagate::events::{Events, is_kept_up};
use crate::analysis::propagate::given::{arguments, changes_given, hands_over, is_keyword};
use crate::analysis::propagate::reach::root;
use crate::analysis::propagate::unit::{EFFECTS, Whole, called, trains};
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Calls of [`EFFECTS`] that leave what a training computes as it is.
const OUTSIDE: &[&str] = &["save", "write", "close", "open", "exit", "apply", "load", "remove"];
/// Functions that give or take an element of what they are given.
const TAKES: &[&str] = &["next", "__next__", "heappop", "heappush", "shuffle", "reverse"];
/// How deep functions of the source are followed.
pub(super) const MAX_DEPTH: usize = 3;

impl Work<'_, '_> {
    /// Notes what happens besides, by the logged expression and by what is asked around it.
    ///
    /// # Errors
    /// What would come along changes what the target goes on with.
    pub(super) fn check_effects(&mut self, whole: &Whole) -> Result<(), Unbound> {
        let (session, tree) = (self.session, &self.session.source.tree);
        let asked = whole.guards.iter().flat_map(|id| tree.header(*id));
        let asked = asked.filter(|id| tree.node(*id).kind == Kind::Call);
        let around = |name: String| format!("`{name}` in what is written around it changes something");
        let told = asked.filter_map(|call| does(session, call)).map(around).next();
        self.adapted.doubts.extend(told);
        let statement = whole.statement;
        let inside = tree.subtree(statement).filter(|id| tree.node(*id).kind == Kind::Call);
        let calls: Vec<NodeId> = inside.filter(|id| !self.is_ours(*id)).collect();
        if let Some(callee) = calls.iter().find_map(|call| changes_by_what_comes(session, *call)) {
            let name = &tree.node(callee).text;
            let reason = format!("`{name}`, which the target lacks, changes in place what it is given");
            return Err(Unbound { name: String::new(), reason, later: None });
        }
        let renamed = self.named_inside(statement);
        let told = calls.into_iter().find_map(|call| does(session, call)).or(renamed);
        if let Some(name) = told.filter(|_| !tree.node(statement).kind.is_scope()) {
            let doubt = format!("`{name}` in what is logged changes something: the run would go on otherwise");
            self.adapted.doubts.push(doubt);
        }
        Ok(())
    }

    /// A variable of the target's to which `:=` in a simple statement gives another value.
    fn named_inside(&self, statement: NodeId) -> Option<String> {
        let (tree, there) = (&self.session.source.tree, &self.session.target.tree);
        let simple = tree.node(statement).kind == Kind::Simple && tree.node(statement).children.len() == 1;
        let binds = |id: &NodeId| tree.node(*id).kind == Kind::Name && tree.node(*id).access.binds();
        let mut names = tree.subtree(statement).filter(|_| simple).filter(binds).map(|id| tree.node(id).name.clone());
        names.find(|name| !there.uses(name).is_empty())
    }

    fn is_ours(&self, call: NodeId) -> bool {
        let callee = self.session.source.tree.node(call).children.first();
        let range = callee.map(|callee| &self.session.source.tree.node(*callee).range);
        self.session.source.calls.iter().any(|call| Some(&call.callee) == range)
    }
}

/// What is known of a function where it is so many calls deep.
pub(super) type ByFunction<T> = RefCell<HashMap<(NodeId, usize), T>>;

/// What is known of functions of the source, by how many calls deep it was asked: each is looked at once.
#[derive(Default)]
pub(super) struct Known {
    /// Whether it changes what it is given.
    pub(super) changes: ByFunction<bool>,
    /// Whether it takes a step of a training.
    steps: ByFunction<bool>,
    /// The mode that it leaves, and the variable that it has the object by.
    pub(super) modes: ByFunction<Option<(String, String)>>,
}

/// The name of what a call does to something that the run goes on with.
pub(super) fn does(session: &Session<'_>, call: NodeId) -> Option<String> {
    let tree = &session.source.tree;
    let callee = tree.node(call).children.first().copied()?;
    let name = tree.node(callee).text.as_str();
    let bodies = bodies(session, callee);
    let (given, object) = (arguments(tree, call), object(tree, callee));
    if !bodies.is_empty() {
        let handed = hands_over(session, &given);
        let changes = |body: &NodeId| handed && changes_given(session, *body, 0) || goes_on(session, *body, 0);
        return bodies.iter().any(changes).then(|| name.to_owned());
    }
    // `next(model.parameters())` takes it from nobody.
    let from = object.or(given.first().copied().filter(|_| TAKES.contains(&name)));
    let of_object = from.is_none_or(|object| tree.path(root(tree, object)).is_some());
    let taken = object.is_some_and(|object| name == "get" && given.is_empty() && is_queue(tree, object));
    // Whatever it is a step of, the run has taken it.
    let of_run = of_object || object.is_some() && trains(name);
    (taken || of_run && says(name) && !only_measures(session, call, name)).then(|| name.to_owned())
}

/// A function of the source that the target lacks and that changes in place what a call gives it.
fn changes_by_what_comes(session: &Session<'_>, call: NodeId) -> Option<NodeId> {
    let tree = &session.source.tree;
    let callee = tree.node(call).children.first().copied()?;
    let is_new = |body: &NodeId| session.counterpart(*body).is_none() && changes_given(session, *body, 0);
    let given = arguments(tree, call);
    (hands_over(session, &given) && bodies(session, callee).iter().any(is_new)).then_some(callee)
}

/// Whether a call's name says that it changes what a training computes; modes are told elsewhere.
fn says(name: &str) -> bool {
    let in_place = name.ends_with('_') && !name.starts_with('_');
    let known = EFFECTS.contains(&name) || TAKES.contains(&name) || in_place || trains(name);
    known && !is_kept_up(name) && name != "train" && !OUTSIDE.contains(&name)
}

/// `clip_grad_norm_(parameters, float("inf"))` clips nothing.
fn only_measures(session: &Session<'_>, call: NodeId, name: &str) -> bool {
    let tree = &session.source.tree;
    let given = arguments(tree, call);
    let named = given.iter().copied().find(|id| is_keyword(tree, *id) && tree.node(*id).text == "max_norm");
    let second = given.get(1).copied().filter(|id| !is_keyword(tree, *id));
    let value = named.map(|id| tree.node(id).children[0]).or(second);
    name.starts_with("clip_grad_norm") && value.is_some_and(|value| is_infinite(tree, value))
}

/// `float("inf")`, `math.inf`
fn is_infinite(tree: &Tree, value: NodeId) -> bool {
    let node = tree.node(value);
    match node.children.as_slice() {
        [callee, _] if node.kind == Kind::Call && tree.node(*callee).text == "float" => {
            let given = arguments(tree, value);
            let says = |id: &NodeId| ["inf", "infinity"].contains(&tree.node(*id).text.to_lowercase().as_str());
            given.len() == 1 && given.iter().all(|id| tree.node(*id).kind == Kind::Literal && says(id))
        }
        _ => ["math.inf", "np.inf", "numpy.inf", "torch.inf"].contains(&tree.path(value).unwrap_or_default().as_str()),
    }
}

/// Whether an object's name says that elements are taken from it.
fn is_queue(tree: &Tree, object: NodeId) -> bool {
    let name = tree.node(object).text.to_lowercase();
    name.contains("queue") || name == "q"
}

fn object(tree: &Tree, callee: NodeId) -> Option<NodeId> {
    tree.node(callee).children.first().copied().filter(|_| tree.node(callee).kind == Kind::Member)
}

/// The source's own functions that a call may run: a function by its name, a method, what an object of a class does when
/// it is called.
pub(super) fn bodies(session: &Session<'_>, callee: NodeId) -> Vec<NodeId> {
    let tree = &session.source.tree;
    let name = tree.node(callee).text.as_str();
    let is_method = object(tree, callee).is_some();
    let of_class = |id: &NodeId| tree.node(tree.scope(*id)).kind == Kind::Class;
    let mut found = called(session, name);
    found.retain(|id| of_class(id) == is_method || tree.node(*id).name == "__init__");
    if is_method || !found.is_empty() {
        return found;
    }
    let classes: Vec<NodeId> = session.binders(callee, name).into_iter().filter_map(|id| class_of(tree, id)).collect();
    let runs = ["__call__", "forward"].into_iter().flat_map(|method| tree.binders(method).iter().copied());
    runs.filter(|id| tree.node(*id).kind == Kind::Function && classes.contains(&tree.scope(*id))).collect()
}

/// The class of the source of which a variable is made an object.
fn class_of(tree: &Tree, binder: NodeId) -> Option<NodeId> {
    let statement = tree.statement_of(binder).map(|id| tree.node(id)).filter(|node| node.kind == Kind::Simple)?;
    let [_, value] = statement.children.as_slice() else { return None };
    let callee = tree.node(root(tree, *value)).children.first().filter(|_| tree.node(*value).kind == Kind::Call)?;
    let named = tree.binders(&tree.node(*callee).text).iter().copied();
    named.into_iter().find(|id| tree.node(*id).kind == Kind::Class)
}

/// Whether a function takes a step of a training, or an element of what is not its own.
fn goes_on(session: &Session<'_>, function: NodeId, depth: usize) -> bool {
    let known = session.known.steps.borrow().get(&(function, depth)).copied();
    known.unwrap_or_else(|| {
        let found = takes_steps(session, function, depth);
        session.known.steps.borrow_mut().insert((function, depth), found);
        found
    })
}

fn takes_steps(session: &Session<'_>, function: NodeId, depth: usize) -> bool {
    let tree = &session.source.tree;
    let Some(body) = tree.blocks(function).next() else { return false };
    let events = Events::of(session, tree.node(body).children.clone(), None);
    let own = |id: NodeId| {
        let path = tree.path(root(tree, id));
        let base = path.as_deref().and_then(|path| path.split('.').next()).unwrap_or_default();
        path.is_none()
            || tree.binds(function, base) && !tree.header(function).iter().any(|id| tree.node(*id).name == base)
    };
    let steps = events.all.iter().any(|event| {
        let known = ["step", "backward", "load_state_dict", "zero_grad"].contains(&event.what.as_str());
        !event.is_free && known
    });
    let takes = |id: NodeId| {
        let callee = tree.node(id).children[0];
        let name = tree.node(callee).text.as_str();
        let taken = object(tree, callee).filter(|_| ["pop", "popleft", "popitem"].contains(&name));
        let given = arguments(tree, id).first().copied().filter(|_| TAKES.contains(&name));
        let inner = depth < MAX_DEPTH && object(tree, callee).is_none();
        taken.or(given).is_some_and(|from| !own(from))
            || inner && called(session, name).iter().any(|body| *body != function && goes_on(session, *body, depth + 1))
    };
    steps || tree.subtree(body).filter(|id| tree.node(*id).kind == Kind::Call).any(takes)
}
