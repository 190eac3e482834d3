//! A captured variable as plain data: what `state_dict()` would give of modules, optimizers and schedulers.
//!
//! Captured trees are described in `assets/runtime/afterlog/_capture.py`. They are read as data: no class is looked up,
//! nothing is unpickled, and what is code or a pickle is left out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::marshal::Data;

/// Deeper than what a program builds on purpose, and no deeper than a thread's stack has room for.
const MAX_DEPTH: u32 = 200;
/// So many nodes are written again at places that refer to them: objects that share objects which share others would
/// otherwise take room without end.
const MAX_COPIED: usize = 1 << 22;

/// Plain data.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Tensor(Rc<Tensor>),
}

/// Numbers in C order.
#[derive(Debug, PartialEq)]
pub(super) struct Tensor {
    /// As torch (`torch.float32`) or NumPy (`<f4`) call it.
    pub(super) kind: String,
    pub(super) shape: Vec<u64>,
    pub(super) bytes: Vec<u8>,
}

/// A variable's tree with the numbers of the buffers that it uses.
struct Tree {
    node: Data,
    uses: Vec<usize>,
}

/// A checkpoint being read.
pub(super) struct Reader {
    trees: BTreeMap<String, Tree>,
    buffers: Vec<Vec<u8>>,
    /// Where each numbered node stands in its variable's tree: the way of indices to it.
    places: HashMap<(String, i64), Vec<usize>>,
    tensors: HashMap<(String, i64), Rc<Tensor>>,
    open: HashSet<(String, i64)>,
    depth: u32,
    copied: usize,
    /// Paths of what is left out.
    pub(super) left_out: Vec<String>,
}

impl Reader {
    /// Takes a checkpoint's skeleton apart; `None` where it is none.
    pub(super) fn new(skeleton: &[u8], buffers: Vec<Vec<u8>>) -> Option<Self> {
        let Data::Dict(variables) = Data::parse(skeleton)? else { return None };
        let mut trees = BTreeMap::new();
        for (key, part) in variables {
            let (Some(key), [tree, uses, ..]) = (key.text(), part.items()) else { continue };
            let node = Data::parse(tree.bytes()?)?;
            let uses = uses.items().iter().filter_map(|number| usize::try_from(number.int()?).ok()).collect();
            trees.insert(key.to_owned(), Tree { node, uses });
        }
        let (places, tensors) = (HashMap::new(), HashMap::new());
        let (open, left_out) = (HashSet::new(), Vec::new());
        let mut reader = Self { trees, buffers, places, tensors, open, depth: 0, copied: 0, left_out };
        let keys: Vec<String> = reader.trees.keys().cloned().collect();
        for key in keys {
            let mut found = Vec::new();
            number(&reader.trees[&key].node, &mut Vec::new(), &mut found);
            reader.places.extend(found.into_iter().map(|(number, place)| ((key.clone(), number), place)));
        }
        Some(reader)
    }

    /// Every variable by its name, those of the random number generators under `rng`.
    pub(super) fn variables(&mut self) -> Vec<(String, Value)> {
        let mut found: Vec<(String, Value)> = Vec::new();
        let mut generators = Vec::new();
        // How libraries were set is of use to a replay alone.
        let mut keys: Vec<String> = self.trees.keys().filter(|key| !key.starts_with("process:")).cloned().collect();
        // What the script named comes first, then the main loop's variables, then those of a block's own frame.
        keys.sort_by_key(|key| (key.starts_with("block/"), !key.starts_with("object:"), key.clone()));
        for key in keys {
            let name = key.rsplit_once(':').map_or(key.as_str(), |(_, name)| name).to_owned();
            let node = self.trees[&key].node.clone();
            let is_generator = key.starts_with("rng:");
            let Some(value) = self.value(&key, &node, &name) else { continue };
            if is_generator {
                generators.push((Value::Text(key["rng:".len()..].to_owned()), value));
            } else if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, value));
            }
        }
        if !generators.is_empty() {
            found.push(("rng".to_owned(), Value::Dict(generators)));
        }
        found
    }

    /// A node as plain data; `None`, and noted, where it is none.
    fn value(&mut self, key: &str, node: &Data, path: &str) -> Option<Value> {
        let (tag, rest) = match node {
            Data::Tuple(items) => (items.first()?.text()?, &items[1..]),
            atom => return plain(atom),
        };
        if !self.enter() {
            self.left_out.push(path.to_owned());
            return None;
        }
        let value = self.tagged(key, node, (tag, rest), path);
        self.depth -= 1;
        value
    }

    /// Goes one level deeper; false where that is too deep.
    fn enter(&mut self) -> bool {
        let enters = self.depth < MAX_DEPTH;
        self.depth += u32::from(enters);
        enters
    }

    /// Whether there is room for what is referred to.
    fn takes(&mut self, target: &Data) -> bool {
        self.copied = self.copied.saturating_add(target.weight());
        self.copied <= MAX_COPIED
    }

    fn tagged(&mut self, key: &str, node: &Data, (tag, rest): (&str, &[Data]), path: &str) -> Option<Value> {
        match tag {
            "ref" => {
                let (key, number) = self.target(key, node)?;
                let place = self.places.get(&(key.clone(), number))?.clone();
                if !self.open.insert((key.clone(), number)) {
                    // An object that leads back to itself.
                    return None;
                }
                let target = follow(&self.trees.get(&key)?.node, &place)?.clone();
                let value = if self.takes(&target) {
                    self.value(&key, &target, path)
                } else {
                    self.left_out.push(path.to_owned());
                    None
                };
                self.open.remove(&(key, number));
                value
            }
            "tuple" => Some(Value::Tuple(self.all(key, rest.get(1)?.items(), path))),
            "list" | "deque" | "set" => Some(Value::List(self.all(key, rest.get(2)?.items(), path))),
            "bytearray" => Some(bytes(rest.get(2)?.bytes()?)),
            "numbers" => Some(Value::Tensor(Rc::new(numbers(rest.get(1)?.text()?, rest.get(2)?.bytes()?)?))),
            "dict" => Some(Value::Dict(self.dict(key, rest.get(2)?.items(), path))),
            "tensor" | "array" => self.tensor(key, node, path).map(Value::Tensor),
            "object" => self.object(key, rest, path),
            "rng" => self.value(key, rest.get(1)?, path),
            _ => {
                self.left_out.push(path.to_owned());
                None
            }
        }
    }

    fn all(&mut self, key: &str, items: &[Data], path: &str) -> Vec<Value> {
        let one = |(at, item)| self.value(key, item, &format!("{path}.{at}")).unwrap_or(Value::None);
        items.iter().enumerate().map(one).collect()
    }

    fn dict(&mut self, key: &str, items: &[Data], path: &str) -> Vec<(Value, Value)> {
        let mut found = Vec::new();
        for item in items {
            let [name, value] = item.items() else { continue };
            let Some(name) = self.value(key, name, path).filter(|name| !matches!(name, Value::Tensor(_))) else {
                continue;
            };
            let path = format!("{path}.{}", word(&name));
            found.extend(self.value(key, value, &path).map(|value| (name, value)));
        }
        found
    }

    fn object(&mut self, key: &str, rest: &[Data], path: &str) -> Option<Value> {
        let attributes = Attributes(rest.get(2)?.items());
        let has = |name| attributes.get(name).is_some();
        if has("_parameters") && has("_buffers") && has("_modules") {
            let mut state = Vec::new();
            self.module(key, attributes, "", path, &mut state);
            return Some(Value::Dict(state));
        }
        if has("param_groups") && has("state") {
            return self.optimizer(key, attributes, path);
        }
        // A scheduler's optimizer stands for itself; `torch.optim.lr_scheduler` leaves it out too.
        let is_scheduler = has("optimizer") && has("last_epoch");
        let mut state = Vec::new();
        for (name, node) in attributes.all() {
            if is_scheduler && name == "optimizer" {
                continue;
            }
            let path = format!("{path}.{name}");
            state.extend(self.value(key, node, &path).map(|value| (Value::Text(name.to_owned()), value)));
        }
        Some(Value::Dict(state))
    }

    /// A module's parameters and buffers, and those of the modules in it, as its `state_dict()` names them.
    fn module(
        &mut self,
        key: &str,
        attributes: Attributes<'_>,
        prefix: &str,
        path: &str,
        state: &mut Vec<(Value, Value)>,
    ) {
        let passing = self.names_of(key, attributes.get("_non_persistent_buffers_set"));
        for part in ["_parameters", "_buffers"] {
            for (name, key, node) in self.entries(key, attributes.get(part)) {
                if node == Data::None || (part == "_buffers" && passing.contains(&name)) {
                    continue;
                }
                let value = self.value(&key, &node, &format!("{path}.{prefix}{name}"));
                state.extend(value.map(|value| (Value::Text(format!("{prefix}{name}")), value)));
            }
        }
        for (name, key, node) in self.entries(key, attributes.get("_modules")) {
            let Some((key, target)) = self.resolved(&key, &node) else { continue };
            if (is_reference(&node) && !self.takes(&target)) || !self.enter() {
                self.left_out.push(format!("{path}.{prefix}{name}"));
                continue;
            }
            if let [Data::Text(tag), _, _, attributes, ..] = target.items()
                && tag == "object"
            {
                self.module(&key, Attributes(attributes.items()), &format!("{prefix}{name}."), path, state);
            }
            self.depth -= 1;
        }
    }

    /// An optimizer's `state_dict()`: parameters are numbered in the order of their groups.
    fn optimizer(&mut self, key: &str, attributes: Attributes<'_>, path: &str) -> Option<Value> {
        let mut order: Vec<(String, i64)> = Vec::new();
        let mut groups = Vec::new();
        let (groups_key, group_list) = self.resolved(key, attributes.get("param_groups")?)?;
        for (at, group) in group_list.items().get(3)?.items().iter().enumerate() {
            let mut entries = Vec::new();
            let mut options = self.entries(&groups_key, Some(group));
            // As in torch's own state dicts.
            options.sort_by_key(|(name, ..)| name == "params");
            for (name, key, node) in options {
                let value = if name == "params" {
                    let (key, list) = self.resolved(&key, &node)?;
                    let parameters = list.items().get(3)?.items().iter().filter_map(|node| self.target(&key, node));
                    let first = order.len();
                    order.extend(parameters);
                    Some(Value::List((first..order.len()).map(|at| Value::Int(at as i64)).collect()))
                } else {
                    self.value(&key, &node, &format!("{path}.param_groups.{at}.{name}"))
                };
                entries.extend(value.map(|value| (Value::Text(name), value)));
            }
            groups.push(Value::Dict(entries));
        }
        let mut state = Vec::new();
        let (state_key, state_dict) = self.resolved(key, attributes.get("state")?)?;
        for item in state_dict.items().get(3)?.items() {
            let [parameter, value] = item.items() else { continue };
            let target = self.target(&state_key, parameter)?;
            let Some(at) = order.iter().position(|known| *known == target) else { continue };
            let value = self.value(&state_key, value, &format!("{path}.state.{at}"));
            state.extend(value.map(|value| (Value::Int(at as i64), value)));
        }
        let part = |name: &str, value| (Value::Text(name.to_owned()), value);
        Some(Value::Dict(vec![part("state", Value::Dict(state)), part("param_groups", Value::List(groups))]))
    }

    /// The object that a node is or refers to.
    fn target(&self, key: &str, node: &Data) -> Option<(String, i64)> {
        match node.items() {
            [Data::Text(tag), other, number] if tag == "ref" => {
                Some((other.text().unwrap_or(key).to_owned(), number.int()?))
            }
            [Data::Text(_), number, ..] => Some((key.to_owned(), number.int()?)),
            _ => None,
        }
    }

    /// The node itself, or the one that it refers to, with the variable that it stands in.
    fn resolved(&self, key: &str, node: &Data) -> Option<(String, Data)> {
        if !is_reference(node) {
            return Some((key.to_owned(), node.clone()));
        }
        let target = self.target(key, node)?;
        let place = self.places.get(&target)?;
        Some((target.0.clone(), follow(&self.trees.get(&target.0)?.node, place)?.clone()))
    }

    /// The entries of a dict that are named by text.
    fn entries(&self, key: &str, node: Option<&Data>) -> Vec<(String, String, Data)> {
        let Some((key, dict)) = node.and_then(|node| self.resolved(key, node)) else { return Vec::new() };
        let items = dict.items().get(3).map(Data::items).unwrap_or_default().iter();
        let entry = |item: &Data| match item.items() {
            [name, value] => Some((name.text()?.to_owned(), key.clone(), value.clone())),
            _ => None,
        };
        items.filter_map(entry).collect()
    }

    fn names_of(&self, key: &str, node: Option<&Data>) -> Vec<String> {
        let Some((_, set)) = node.and_then(|node| self.resolved(key, node)) else { return Vec::new() };
        let items = set.items().get(3).map(Data::items).unwrap_or_default().iter();
        items.filter_map(|item| item.text().map(str::to_owned)).collect()
    }

    fn tensor(&mut self, key: &str, node: &Data, path: &str) -> Option<Rc<Tensor>> {
        let target = self.target(key, node)?;
        if let Some(known) = self.tensors.get(&target) {
            return Some(known.clone());
        }
        let items = node.items();
        let (kind, shape, buffer) = match items.first()?.text()? {
            "tensor" => {
                let form = items.get(3)?.items();
                (form.first()?, form.get(1)?, items.get(5)?)
            }
            // A view of another array, or an array of objects.
            _ if items.get(6) != Some(&Data::None) || items.get(2)?.text().is_none() => {
                self.left_out.push(path.to_owned());
                return None;
            }
            _ => (items.get(2)?, items.get(3)?, items.get(4)?),
        };
        let bytes = match buffer.int() {
            Some(place) => {
                let number = *self.trees.get(key)?.uses.get(usize::try_from(place).ok()?)?;
                self.buffers.get(number)?.clone()
            }
            None => Vec::new(),
        };
        let shape = shape.items().iter().map(|size| u64::try_from(size.int()?).ok()).collect::<Option<_>>()?;
        let tensor = Rc::new(Tensor { kind: kind.text()?.to_owned(), shape, bytes });
        self.tensors.insert(target, tensor.clone());
        Some(tensor)
    }
}

/// An object's attributes: pairs of a name and a node.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [Data]);

impl<'a> Attributes<'a> {
    fn all(self) -> impl Iterator<Item = (&'a str, &'a Data)> {
        self.0.iter().filter_map(|pair| match pair.items() {
            [name, node] => Some((name.text()?, node)),
            _ => None,
        })
    }

    fn get(self, name: &str) -> Option<&'a Data> {
        self.all().find(|(known, _)| *known == name).map(|(_, node)| node)
    }
}

/// Notes where each numbered node stands.
fn number(node: &Data, way: &mut Vec<usize>, found: &mut Vec<(i64, Vec<usize>)>) {
    let items = node.items();
    if let (Data::Tuple(_), [Data::Text(tag), Data::Int(number), ..]) = (node, items)
        && !matches!(tag.as_str(), "ref" | "tuple" | "class")
    {
        found.push((*number, way.clone()));
    }
    for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.items().is_empty()) {
        way.push(at);
        self::number(item, way, found);
        way.pop();
    }
}

fn is_reference(node: &Data) -> bool {
    node.items().first().and_then(Data::text) == Some("ref")
}

fn follow<'d>(node: &'d Data, way: &[usize]) -> Option<&'d Data> {
    way.iter().try_fold(node, |node, at| node.items().get(*at))
}

fn plain(atom: &Data) -> Option<Value> {
    Some(match atom {
        Data::None => Value::None,
        Data::Bool(value) => Value::Bool(*value),
        Data::Int(value) => Value::Int(*value),
        Data::Float(value) => Value::Float(*value),
        Data::Text(text) => Value::Text(text.clone()),
        Data::Bytes(data) => bytes(data),
        Data::List(items) => Value::List(items.iter().map(plain).collect::<Option<_>>()?),
        Data::Tuple(_) | Data::Dict(_) => return None,
    })
}

fn bytes(data: &[u8]) -> Value {
    let shape = vec![data.len() as u64];
    Value::Tensor(Rc::new(Tensor { kind: "torch.uint8".into(), shape, bytes: data.to_vec() }))
}

/// An `array.array`.
fn numbers(code: &str, data: &[u8]) -> Option<Tensor> {
    let (kind, size) = match code {
        "b" => ("|i1", 1),
        "B" => ("|u1", 1),
        "h" => ("<i2", 2),
        "H" => ("<u2", 2),
        "i" => ("<i4", 4),
        "I" => ("<u4", 4),
        "l" | "q" => ("<i8", 8),
        "L" | "Q" => ("<u8", 8),
        "f" => ("<f4", 4),
        "d" => ("<f8", 8),
        _ => return None,
    };
    Some(Tensor { kind: kind.into(), shape: vec![data.len() as u64 / size], bytes: data.to_vec() })
}

/// A key of a dict as part of a path.
pub(super) fn word(key: &Value) -> String {
    match key {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
