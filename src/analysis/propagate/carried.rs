//! Assignments that give a variable what it holds already, on another device: `x = x.cuda()`. Where one version does so
//! and the other does not, what reads the variable reads the same value.

use std::collections::BTreeSet;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::given::{arguments, is_keyword};
use crate::analysis::propagate::reach::{Definitions, Place, carrier, reaching};
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Functions that give a model that computes the same, in several places; its attributes are others.
const SPREADS: &[&str] = &["DataParallel", "DistributedDataParallel", "DDP"];
/// What says on which device a value is, or how it lies there.
const PLACED: &[&str] =
    &["device", "is_cuda", "get_device", "data_ptr", "storage", "untyped_storage", "stride", "is_contiguous", "type"];
/// What a tensor is carried with: neither changes a value.
const QUIET: &[&str] = &["non_blocking", "copy"];

/// Whether the assignment that holds a definition only carries what the variable held before.
pub(super) fn is_carried(tree: &Tree, path: &str, definition: NodeId) -> bool {
    let node = tree.node(carrier(tree, definition));
    let ([targets, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
        return false;
    };
    if *targets == definition {
        return is_same(tree, path, definition, *value);
    }
    let (names, values) = (&tree.node(*targets).children, &tree.node(*value).children);
    let at = names.iter().position(|id| *id == definition).filter(|_| names.len() == values.len());
    at.is_some_and(|at| tree.node(*value).kind == Kind::Other && is_same(tree, path, definition, values[at]))
}

/// `path`: what is read of it.
fn is_same(tree: &Tree, path: &str, definition: NodeId, mut value: NodeId) -> bool {
    let known = tree.path(definition).unwrap_or_default();
    let attribute = path.strip_prefix(known.as_str()).unwrap_or_default().trim_start_matches('.');
    let first = attribute.split('.').next().unwrap_or(attribute);
    let of_any = || ["parameters", "train", "eval", "training", "zero_grad"].contains(&attribute);
    while tree.node(value).kind == Kind::Call && !PLACED.contains(&first) {
        let callee = tree.node(value).children[0];
        let (kind, name) = (tree.node(callee).kind, tree.node(callee).text.as_str());
        let object = tree.node(callee).children.first().copied();
        let given = arguments(tree, value);
        let inner = match (kind, name) {
            (Kind::Member, "cuda" | "cpu") => object,
            (Kind::Member, "to") if is_to_device(tree, &given) => object,
            (Kind::Member, "mean") if given.is_empty() && is_gathered(tree, value) => object,
            (_, "Variable") if given.len() == 1 && tree.binders(name).iter().all(|id| is_import(tree, *id)) => {
                given.first().copied()
            }
            (Kind::Member | Kind::Name, name) if SPREADS.contains(&name) && of_any() => given.first().copied(),
            (Kind::Member, "compile") if tree.path(callee).as_deref() == Some("torch.compile") && of_any() => {
                given.first().copied()
            }
            _ => None,
        };
        let Some(inner) = inner else { return false };
        value = inner;
        if tree.path(value).is_some() {
            return tree.path(value) == tree.path(definition);
        }
    }
    false
}

fn is_import(tree: &Tree, binder: NodeId) -> bool {
    tree.statement_of(binder).is_some_and(|id| tree.node(id).kind == Kind::Import)
}

/// Whether a method is given a device and nothing else: `to` takes a type of number, too, and then gives other values.
fn is_to_device(tree: &Tree, given: &[NodeId]) -> bool {
    let is_device = |value: NodeId| {
        let node = tree.node(value);
        let says = |text: &str| {
            let last = text.rsplit('.').next().unwrap_or(text).to_lowercase();
            last == "device" || last.ends_with("_device")
        };
        match node.kind {
            Kind::Call => tree.node(node.children[0]).text == "device",
            Kind::Literal => node.text == "cpu" || node.text == "cuda" || node.text.starts_with("cuda:"),
            _ => tree.path(value).is_some_and(|path| says(&path)),
        }
    };
    let (named, alone): (Vec<NodeId>, Vec<NodeId>) = given.iter().partition(|id| is_keyword(tree, **id));
    let quiet = |id: &NodeId| QUIET.contains(&tree.node(*id).text.as_str());
    let by_name = named.iter().copied().filter(|id| tree.node(*id).text == "device");
    let values: Vec<NodeId> = alone.iter().copied().chain(by_name.map(|id| tree.node(id).children[0])).collect();
    named.iter().all(|id| quiet(id) || tree.node(*id).text == "device") && values.len() == 1 && is_device(values[0])
}

/// Whether a mean is taken only where several devices give a loss each: `if n_gpu > 1:`.
fn is_gathered(tree: &Tree, value: NodeId) -> bool {
    let statement = tree.statement_of(value).and_then(|id| tree.node(id).parent);
    let branch = statement.and_then(|block| tree.node(block).parent).map(|id| tree.node(id));
    let Some(branch) = branch.filter(|node| node.kind == Kind::Branch) else { return false };
    let test = tree.node(branch.children[0]);
    let [count, one] = test.children.as_slice() else { return false };
    let counts = |id: NodeId| {
        let last = match tree.node(id).kind {
            Kind::Call => tree.node(tree.node(id).children[0]).text.as_str(),
            _ => tree.node(id).text.as_str(),
        };
        ["n_gpu", "ngpu", "n_gpus", "num_gpu", "num_gpus", "device_count"].contains(&last)
    };
    test.text == ">" && tree.node(*one).text == "1" && counts(*count) && statement == branch.children.get(1).copied()
}

impl Session<'_> {
    /// Definitions of a path of the source, or of the target, with those before them in place of what only one version
    /// carries elsewhere.
    pub(super) fn carried_from(
        &self,
        is_source: bool,
        path: &str,
        found: Definitions,
        skipped: &dyn Fn(NodeId) -> bool,
    ) -> Definitions {
        let tree = if is_source { &self.source.tree } else { &self.target.tree };
        let (mut open, mut seen, mut ends) =
            (found.into_iter().collect::<Vec<_>>(), BTreeSet::new(), Definitions::new());
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let before = tree.place(carrier(tree, id)).filter(|_| self.is_carried_alone(is_source, path, id));
            match before {
                Some(place) => open.extend(reaching(tree, path, place, skipped)),
                None => _ = ends.insert(id),
            }
        }
        ends
    }

    /// Whether only this version carries a value elsewhere by a definition.
    pub(super) fn is_carried_alone(&self, is_source: bool, path: &str, id: NodeId) -> bool {
        let tree = if is_source { &self.source.tree } else { &self.target.tree };
        let at = carrier(tree, id);
        let known = if is_source { self.counterpart(at) } else { self.matching.source(at) };
        known.is_none() && is_carried(tree, path, id)
    }

    /// The definitions of a path that reach a place of the target.
    pub(super) fn definitions_there(&self, path: &str, place: Place) -> Definitions {
        let found = reaching(&self.target.tree, path, place, &|_| false);
        self.carried_from(false, path, found, &|_| false)
    }
}
