//! A labelled tree in one vector, in preorder: a node's descendants follow it up to its `end`.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Index of a node in its tree.
pub type NodeId = usize;

/// What a node is, whatever the language calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Module,
    Function,
    Class,
    Loop,
    Branch,
    With,
    Try,
    /// A further arm of a branch or a try: it owns a block, but is no statement.
    Arm,
    /// A sequence of statements; `text` tells which one of its owner.
    Block,
    Import,
    Return,
    Raise,
    Break,
    Simple,
    Parameter,
    Name,
    Member,
    Call,
    Literal,
    Other,
}

impl Kind {
    /// Whether nodes of this kind stand directly in blocks.
    pub fn is_statement(self) -> bool {
        self.is_compound() || matches!(self, Self::Import | Self::Return | Self::Raise | Self::Break | Self::Simple)
    }

    /// A statement that owns blocks.
    pub fn is_compound(self) -> bool {
        matches!(self, Self::Function | Self::Class | Self::Loop | Self::Branch | Self::With | Self::Try)
    }

    /// Whether names bound inside are the node's own.
    pub fn is_scope(self) -> bool {
        matches!(self, Self::Function | Self::Class | Self::Module)
    }
}

/// What a node does to the variable `name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    None,
    Read,
    Bind,
    /// Reads, then binds.
    Update,
    Unbind,
    /// Declares that `name` belongs to an outer scope.
    Outer,
    /// Belongs to an expression's own scope: nobody else sees it.
    Inner,
}

impl Access {
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Update)
    }

    pub fn binds(self) -> bool {
        matches!(self, Self::Bind | Self::Update)
    }
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    /// The language's own node type.
    pub label: u16,
    /// What distinguishes nodes of one label: an identifier, an operator, a literal.
    pub text: String,
    /// The variable that the node reads or binds.
    pub name: String,
    pub access: Access,
    /// Bytes of the source.
    pub range: Range<usize>,
    pub parent: Option<NodeId>,
    pub children: Vec<NodeId>,
    /// One past the last descendant.
    pub end: NodeId,
    /// Equal for equal subtrees, wherever they stand.
    pub hash: u64,
    /// As `hash`, but blind to identifiers and literals.
    pub shape: u64,
}

/// A whole file. Node 0 is the module.
#[derive(Debug, Clone)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// The nodes that do something to a variable, by its name, in order.
    uses: HashMap<String, Vec<NodeId>>,
    /// Those of them that bind it.
    binders: HashMap<String, Vec<NodeId>>,
    /// The names that each scope binds, unless it declares them to be outer.
    bound: HashMap<NodeId, HashSet<String>>,
}

impl Tree {
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The node and all below it.
    pub fn subtree(&self, id: NodeId) -> Range<NodeId> {
        id..self.nodes[id].end
    }

    pub fn contains(&self, outer: NodeId, inner: NodeId) -> bool {
        self.subtree(outer).contains(&inner)
    }

    /// From the parent up to the module.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.nodes[id].parent, |at| self.nodes[*at].parent)
    }

    /// All statements, in source order.
    pub fn statements(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len()).filter(|id| self.nodes[*id].kind.is_statement())
    }

    /// The block that holds a statement, and the statement's index in it.
    pub fn place(&self, statement: NodeId) -> Option<(NodeId, usize)> {
        let block = self.nodes[statement].parent?;
        let index = self.nodes[block].children.binary_search(&statement).ok()?;
        (self.nodes[block].kind == Kind::Block).then_some((block, index))
    }

    /// The nodes that do something to a variable of this name, in order.
    pub fn uses(&self, name: &str) -> &[NodeId] {
        self.uses.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The nodes that bind a variable of this name, in order.
    pub fn binders(&self, name: &str) -> &[NodeId] {
        self.binders.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a scope binds a name, parameters included.
    pub fn binds(&self, scope: NodeId, name: &str) -> bool {
        self.bound.get(&scope).is_some_and(|bound| bound.contains(name))
    }

    fn bound_by_scope(&self) -> HashMap<NodeId, HashSet<String>> {
        let mut bound: HashMap<NodeId, HashSet<String>> = HashMap::new();
        for (name, list) in &self.binders {
            let outer = self.uses(name).iter().filter(|id| self.node(**id).access == Access::Outer);
            let outer: Vec<NodeId> = outer.map(|id| self.scope(*id)).collect();
            let scopes: HashSet<NodeId> = list.iter().map(|id| self.scope(*id)).collect();
            for scope in scopes.into_iter().filter(|scope| !outer.contains(scope)) {
                bound.entry(scope).or_default().insert(name.clone());
            }
        }
        bound
    }

    /// The blocks of a compound statement, an arm or the module.
    pub fn blocks(&self, owner: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes[owner].children.iter().copied().filter(|child| self.nodes[*child].kind == Kind::Block)
    }

    /// The function, class or module whose names a node sees first.
    pub fn scope(&self, id: NodeId) -> NodeId {
        self.ancestors(id).find(|at| self.nodes[*at].kind.is_scope()).unwrap_or(0)
    }

    /// The innermost statement around a node, the node itself included.
    pub fn statement_of(&self, id: NodeId) -> Option<NodeId> {
        std::iter::once(id).chain(self.ancestors(id)).find(|at| self.nodes[*at].kind.is_statement())
    }

    /// The ancestor of `id` (or itself) that stands directly in `block`.
    pub fn child_towards(&self, block: NodeId, id: NodeId) -> Option<NodeId> {
        std::iter::once(id).chain(self.ancestors(id)).find(|at| self.nodes[*at].parent == Some(block))
    }

    /// The nodes of a statement without those in its blocks and arms.
    pub fn header(&self, statement: NodeId) -> Vec<NodeId> {
        let mut found = vec![statement];
        let mut at = statement + 1;
        while at < self.nodes[statement].end {
            if matches!(self.nodes[at].kind, Kind::Block | Kind::Arm) {
                at = self.nodes[at].end;
            } else {
                found.push(at);
                at += 1;
            }
        }
        found
    }

    /// A variable with its attributes, `self.model.weight`, if the node is one.
    pub fn path(&self, id: NodeId) -> Option<String> {
        match self.nodes[id].kind {
            Kind::Name => Some(self.nodes[id].text.clone()),
            Kind::Member => Some(format!("{}.{}", self.path(*self.nodes[id].children.first()?)?, self.nodes[id].text)),
            _ => None,
        }
    }
}

/// Builds a tree from a traversal in source order.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    nodes: Vec<Node>,
    open: Vec<NodeId>,
}

impl TreeBuilder {
    /// Enters a node below the one last entered.
    pub fn open(&mut self, kind: Kind, label: u16, text: &str, range: Range<usize>) -> NodeId {
        let id = self.nodes.len();
        let parent = self.open.last().copied();
        if let Some(parent) = parent {
            self.nodes[parent].children.push(id);
        }
        let (name, text, access) = (String::new(), text.to_owned(), Access::None);
        let (children, end, hash, shape) = (Vec::new(), id + 1, 0, 0);
        self.nodes.push(Node { kind, label, text, name, access, range, parent, children, end, hash, shape });
        self.open.push(id);
        id
    }

    /// Leaves the node last entered.
    pub fn close(&mut self) {
        if let Some(id) = self.open.pop() {
            self.nodes[id].end = self.nodes.len();
        }
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The node last entered and not yet left.
    pub fn innermost(&self) -> Option<NodeId> {
        self.open.last().copied()
    }

    pub fn next_id(&self) -> NodeId {
        self.nodes.len()
    }

    /// Hashes every subtree and lists what is done to which variable. O(n · depth).
    pub fn finish(mut self) -> Tree {
        while !self.open.is_empty() {
            self.close();
        }
        for id in (0..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            let (mut hash, mut shape) = (DefaultHasher::new(), DefaultHasher::new());
            (node.label, &node.text).hash(&mut hash);
            node.label.hash(&mut shape);
            for child in &node.children {
                self.nodes[*child].hash.hash(&mut hash);
                self.nodes[*child].shape.hash(&mut shape);
            }
            (self.nodes[id].hash, self.nodes[id].shape) = (hash.finish(), shape.finish());
        }
        let (mut uses, mut binders): (HashMap<String, Vec<NodeId>>, HashMap<String, Vec<NodeId>>) = Default::default();
        for (id, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.access != Access::None) {
            let also = Some(&mut binders).filter(|_| node.access.binds());
            for map in std::iter::once(&mut uses).chain(also) {
                if let Some(list) = map.get_mut(&node.name) {
                    list.push(id);
                } else {
                    map.insert(node.name.clone(), vec![id]);
                }
            }
        }
        let mut tree = Tree { nodes: self.nodes, uses, binders, bound: HashMap::new() };
        tree.bound = tree.bound_by_scope();
        tree
    }
}
