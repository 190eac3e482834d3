//! A parsed module as a language-neutral tree.

use std::collections::HashMap;
use std::ops::Range;

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, TraversalSignal};
use ruff_python_ast::{Alias, AnyNodeRef, ExprContext, Identifier, Stmt};
use ruff_text_size::Ranged;

use crate::analysis::python::api::ApiNames;
use crate::analysis::python::parse::{LineIndex, Module};
use crate::analysis::treediff::{Access, Kind, NodeId, Tree, TreeBuilder};

/// A text and what is known of it, in terms that name no parser.
#[derive(Debug)]
pub struct Source<'a> {
    pub text: &'a str,
    pub tree: Tree,
    pub lines: LineIndex,
    /// What could not be parsed; it is missing from the tree.
    pub problems: Vec<String>,
    /// Calls of our API.
    pub calls: Vec<ApiCall>,
    /// Calls that log through other libraries: what is called, and each name.
    pub foreign: Vec<(Range<usize>, String)>,
    /// How this text spells `afterlog.log` and its siblings, as far as it imports them.
    pub spelling: HashMap<String, String>,
    /// Strings that span lines: their bytes are never indented anew.
    pub long_strings: Vec<Range<usize>>,
    /// Where logical lines end, their line ends included.
    pub logical_ends: Vec<usize>,
    /// Lines where blocks or brackets could not be told: the tree around them is a guess.
    pub torn: Vec<u32>,
    /// What only a coroutine may hold: `await`, `async for`, `async with`.
    pub awaits: Vec<Range<usize>>,
    /// What makes a function a generator.
    pub yields: Vec<Range<usize>>,
    /// Functions defined with `async`.
    pub coroutines: Vec<Range<usize>>,
}

/// A call of our API.
#[derive(Debug)]
pub struct ApiCall {
    /// `log`, `loop`, ….
    pub function: String,
    /// The first argument, where it is a literal string.
    pub name: Option<String>,
    /// The bytes of what is called: `afterlog.log`.
    pub callee: Range<usize>,
}

impl<'a> Source<'a> {
    pub fn parse(text: &'a str) -> Self {
        let module = Module::parse(text);
        let mut builder = Builder { text, tree: TreeBuilder::default(), slots: vec![0], updating: None };
        builder.tree.open(Kind::Module, u16::MAX, "", 0..text.len());
        builder.visit_body(module.body());
        let names = ApiNames::of(module.body());
        let (calls, foreign, awaits, yields, coroutines) = Default::default();
        let mut finder = Finder { names: &names, calls, foreign, awaits, yields, coroutines };
        finder.visit_body(module.body());
        let Finder { calls, foreign, awaits, yields, coroutines, .. } = finder;
        let tokens = module.parsed().tokens().iter();
        let string = |kind| matches!(kind, TokenKind::String | TokenKind::FStringMiddle | TokenKind::TStringMiddle);
        let long_strings = tokens
            .filter(|token| string(token.kind()))
            .map(|token| token.range().to_std_range())
            .filter(|range| text.get(range.clone()).is_some_and(|t| t.contains(['\n', '\r'])))
            .collect();
        let newlines = module.parsed().tokens().iter().filter(|token| token.kind() == TokenKind::Newline);
        let logical_ends = newlines.map(|token| token.end().into()).collect();
        let tree = builder.tree.finish();
        let spelling = names.spelling();
        let (torn, lines, problems) = (module.torn(), module.lines().clone(), module.problems);
        Self {
            text,
            tree,
            lines,
            problems,
            calls,
            foreign,
            spelling,
            long_strings,
            logical_ends,
            torn,
            awaits,
            yields,
            coroutines,
        }
    }

    /// Where the logical line with the byte at `offset` starts, comments and blank lines above it included.
    pub fn logical_start(&self, offset: usize) -> usize {
        let before = self.logical_ends.partition_point(|end| *end <= offset);
        before.checked_sub(1).map_or(0, |at| self.logical_ends[at])
    }

    /// Where the logical line with the byte at `offset` ends.
    pub fn logical_end(&self, offset: usize) -> usize {
        let before = self.logical_ends.partition_point(|end| *end < offset);
        self.logical_ends.get(before).copied().unwrap_or(self.text.len())
    }
}

struct Finder<'a> {
    names: &'a ApiNames,
    calls: Vec<ApiCall>,
    foreign: Vec<(Range<usize>, String)>,
    awaits: Vec<Range<usize>>,
    yields: Vec<Range<usize>>,
    coroutines: Vec<Range<usize>>,
}

impl<'a> SourceOrderVisitor<'a> for Finder<'_> {
    fn enter_node(&mut self, node: AnyNodeRef<'a>) -> TraversalSignal {
        if let AnyNodeRef::ExprCall(call) = node {
            let callee = call.func.range().to_std_range();
            let entries = self.names.foreign(call);
            self.foreign.extend(entries.into_iter().map(|entry| (callee.clone(), entry.name)));
        }
        if let AnyNodeRef::ExprCall(call) = node
            && let Some(api) = self.names.function(&call.func)
        {
            let name = self.names.name_in(call, api).map(str::to_owned);
            let callee = call.func.range().to_std_range();
            self.calls.push(ApiCall { function: api.name().to_owned(), name, callee });
        }
        let list = match node {
            AnyNodeRef::ExprAwait(_) => &mut self.awaits,
            AnyNodeRef::StmtFor(statement) if statement.is_async => &mut self.awaits,
            AnyNodeRef::StmtWith(statement) if statement.is_async => &mut self.awaits,
            AnyNodeRef::Comprehension(part) if part.is_async => &mut self.awaits,
            AnyNodeRef::ExprYield(_) | AnyNodeRef::ExprYieldFrom(_) => &mut self.yields,
            AnyNodeRef::StmtFunctionDef(function) if function.is_async => &mut self.coroutines,
            _ => return TraversalSignal::Traverse,
        };
        list.push(node.range().to_std_range());
        TraversalSignal::Traverse
    }
}

struct Builder<'a> {
    text: &'a str,
    tree: TreeBuilder,
    /// How many bodies each open node has shown so far, empty ones counted.
    slots: Vec<usize>,
    /// The target of an augmented assignment: it is read too.
    updating: Option<Range<usize>>,
}

impl<'a> SourceOrderVisitor<'a> for Builder<'a> {
    fn enter_node(&mut self, node: AnyNodeRef<'a>) -> TraversalSignal {
        let range = node.range().to_std_range();
        let text = self.text_of(node, &range);
        let id = self.tree.open(kind_of(node), label_of(node), &text, range.clone());
        self.slots.push(0);
        if let AnyNodeRef::StmtAugAssign(assign) = node {
            self.updating = Some(assign.target.range().to_std_range());
        }
        if let Some((name, access)) = self.access(node, &range) {
            let node = self.tree.node_mut(id);
            (node.name, node.access) = (name, access);
        }
        if let AnyNodeRef::StmtGlobal(_) | AnyNodeRef::StmtNonlocal(_) = node {
            self.declare_outer(node);
        }
        TraversalSignal::Traverse
    }

    fn leave_node(&mut self, node: AnyNodeRef<'a>) {
        let end = self.tree.next_id();
        if let (Some(outside), Some(start)) = (evaluated_outside(node), self.tree.innermost()) {
            self.hide_inner_names(start, end, &outside);
        }
        self.slots.pop();
        self.tree.close();
    }

    fn visit_body(&mut self, body: &'a [Stmt]) {
        let slot = self.slots.last_mut().map_or(0, |slot| {
            *slot += 1;
            *slot - 1
        });
        let (Some(first), Some(last)) = (body.first(), body.last()) else { return };
        let range = first.range().start().into()..last.range().end().into();
        self.tree.open(Kind::Block, u16::MAX - 1, &slot.to_string(), range);
        for stmt in body {
            self.visit_stmt(stmt);
        }
        self.tree.close();
    }

    fn visit_identifier(&mut self, _: &'a Identifier) {}
}

impl Builder<'_> {
    fn slice(&self, range: &Range<usize>) -> String {
        self.text.get(range.clone()).unwrap_or_default().to_owned()
    }

    /// What distinguishes this node from others of its type.
    fn text_of(&self, node: AnyNodeRef<'_>, range: &Range<usize>) -> String {
        match node {
            AnyNodeRef::StmtFunctionDef(f) => f.name.to_string(),
            AnyNodeRef::StmtClassDef(c) => c.name.to_string(),
            AnyNodeRef::ExprName(name) => name.id.to_string(),
            AnyNodeRef::ExprAttribute(attribute) => attribute.attr.to_string(),
            AnyNodeRef::Parameter(parameter) => parameter.name.to_string(),
            AnyNodeRef::Keyword(keyword) => keyword.arg.as_ref().map(ToString::to_string).unwrap_or_default(),
            AnyNodeRef::Alias(_) | AnyNodeRef::ExprNumberLiteral(_) | AnyNodeRef::ExprBooleanLiteral(_) => {
                self.slice(range)
            }
            AnyNodeRef::ExprStringLiteral(string) => string.value.to_str().to_owned(),
            AnyNodeRef::ExprBytesLiteral(_) | AnyNodeRef::InterpolatedStringLiteralElement(_) => self.slice(range),
            AnyNodeRef::ExprBinOp(operation) => operation.op.as_str().to_owned(),
            AnyNodeRef::StmtAugAssign(assign) => assign.op.as_str().to_owned(),
            AnyNodeRef::ExprUnaryOp(operation) => operation.op.as_str().to_owned(),
            AnyNodeRef::ExprBoolOp(operation) => operation.op.as_str().to_owned(),
            AnyNodeRef::ExprCompare(compare) => compare.ops.iter().map(|op| op.as_str()).collect::<Vec<_>>().join(" "),
            AnyNodeRef::ExprNoneLiteral(_) => "None".to_owned(),
            AnyNodeRef::ExprIf(_) => "if".to_owned(),
            AnyNodeRef::ExprListComp(_)
            | AnyNodeRef::ExprSetComp(_)
            | AnyNodeRef::ExprDictComp(_)
            | AnyNodeRef::ExprGenerator(_) => "for".to_owned(),
            AnyNodeRef::StmtContinue(_) => "continue".to_owned(),
            AnyNodeRef::StmtAssert(_) => "assert".to_owned(),
            // A pattern that everything matches.
            AnyNodeRef::PatternMatchAs(pattern) if pattern.pattern.is_none() => "_".to_owned(),
            AnyNodeRef::StmtImportFrom(import) => format!(
                "{}{}",
                ".".repeat(import.level as usize),
                import.module.as_ref().map(ToString::to_string).unwrap_or_default()
            ),
            _ => String::new(),
        }
    }

    fn access(&self, node: AnyNodeRef<'_>, range: &Range<usize>) -> Option<(String, Access)> {
        Some(match node {
            AnyNodeRef::ExprName(name) => {
                let access = match name.ctx {
                    ExprContext::Load | ExprContext::Invalid => Access::Read,
                    ExprContext::Del => Access::Unbind,
                    ExprContext::Store if self.updating.as_ref() == Some(range) => Access::Update,
                    ExprContext::Store => Access::Bind,
                };
                (name.id.to_string(), access)
            }
            AnyNodeRef::StmtFunctionDef(f) => (f.name.to_string(), Access::Bind),
            AnyNodeRef::StmtClassDef(c) => (c.name.to_string(), Access::Bind),
            AnyNodeRef::Parameter(parameter) => (parameter.name.to_string(), Access::Bind),
            AnyNodeRef::Alias(alias) => (bound_by(alias), Access::Bind),
            AnyNodeRef::ExceptHandlerExceptHandler(handler) => (handler.name.as_ref()?.to_string(), Access::Bind),
            AnyNodeRef::PatternMatchAs(pattern) => (pattern.name.as_ref()?.to_string(), Access::Bind),
            AnyNodeRef::PatternMatchStar(pattern) => (pattern.name.as_ref()?.to_string(), Access::Bind),
            AnyNodeRef::PatternMatchMapping(pattern) => (pattern.rest.as_ref()?.to_string(), Access::Bind),
            _ => return None,
        })
    }

    fn declare_outer(&mut self, node: AnyNodeRef<'_>) {
        let names = match node {
            AnyNodeRef::StmtGlobal(statement) => &statement.names,
            AnyNodeRef::StmtNonlocal(statement) => &statement.names,
            _ => return,
        };
        for name in names {
            let id = self.tree.open(Kind::Other, label_of(node), name, name.range().to_std_range());
            let node = self.tree.node_mut(id);
            (node.name, node.access) = (name.to_string(), Access::Outer);
            self.tree.close();
        }
    }

    /// Names that a comprehension or a lambda binds are nobody else's, but for those in the ranges `outside`.
    fn hide_inner_names(&mut self, start: NodeId, end: NodeId, outside: &[Range<usize>]) {
        let is_outside =
            |range: &Range<usize>| outside.iter().any(|outer| outer.start <= range.start && range.end <= outer.end);
        let mut bound = Vec::new();
        for id in start..end {
            let node = self.tree.node_mut(id);
            if node.access == Access::Bind && !is_outside(&node.range) {
                bound.push(node.name.clone());
            }
        }
        for id in start..end {
            let node = self.tree.node_mut(id);
            if node.access != Access::None && bound.contains(&node.name) && !is_outside(&node.range) {
                node.access = Access::Inner;
            }
        }
    }
}

/// The parts of a comprehension or a lambda that belong to the scope around it: what its first `for` goes over and what
/// `:=` binds; the defaults of parameters. `None` for other nodes.
fn evaluated_outside(node: AnyNodeRef<'_>) -> Option<Vec<Range<usize>>> {
    struct Named(Vec<Range<usize>>);
    impl<'a> SourceOrderVisitor<'a> for Named {
        fn enter_node(&mut self, node: AnyNodeRef<'a>) -> TraversalSignal {
            if let AnyNodeRef::ExprNamed(named) = node {
                self.0.push(named.target.range().to_std_range());
            }
            let own = matches!(node, AnyNodeRef::ExprLambda(_));
            if own { TraversalSignal::Skip } else { TraversalSignal::Traverse }
        }
    }
    let generators = match node {
        AnyNodeRef::ExprLambda(lambda) => {
            let parameters = lambda.parameters.iter().flat_map(|parameters| parameters.iter_non_variadic_params());
            return Some(parameters.filter_map(|p| Some(p.default()?.range().to_std_range())).collect());
        }
        AnyNodeRef::ExprListComp(comprehension) => &comprehension.generators,
        AnyNodeRef::ExprSetComp(comprehension) => &comprehension.generators,
        AnyNodeRef::ExprDictComp(comprehension) => &comprehension.generators,
        AnyNodeRef::ExprGenerator(comprehension) => &comprehension.generators,
        _ => return None,
    };
    let mut named = Named(generators.first().map(|first| first.iter.range().to_std_range()).into_iter().collect());
    node.visit_source_order(&mut named);
    Some(named.0)
}

/// The name that an import binds: `import a.b` binds `a`.
fn bound_by(alias: &Alias) -> String {
    match &alias.asname {
        Some(name) => name.to_string(),
        None => alias.name.split('.').next().unwrap_or_default().to_owned(),
    }
}

fn label_of(node: AnyNodeRef<'_>) -> u16 {
    node.kind() as u16
}

fn kind_of(node: AnyNodeRef<'_>) -> Kind {
    match node {
        AnyNodeRef::StmtFunctionDef(_) => Kind::Function,
        AnyNodeRef::StmtClassDef(_) => Kind::Class,
        AnyNodeRef::StmtFor(_) | AnyNodeRef::StmtWhile(_) => Kind::Loop,
        AnyNodeRef::StmtIf(_) | AnyNodeRef::StmtMatch(_) => Kind::Branch,
        AnyNodeRef::StmtWith(_) => Kind::With,
        AnyNodeRef::StmtTry(_) => Kind::Try,
        AnyNodeRef::ElifElseClause(_) | AnyNodeRef::ExceptHandlerExceptHandler(_) | AnyNodeRef::MatchCase(_) => {
            Kind::Arm
        }
        AnyNodeRef::StmtImport(_) | AnyNodeRef::StmtImportFrom(_) => Kind::Import,
        AnyNodeRef::StmtReturn(_) => Kind::Return,
        AnyNodeRef::StmtRaise(_) => Kind::Raise,
        AnyNodeRef::StmtBreak(_) | AnyNodeRef::StmtContinue(_) => Kind::Break,
        AnyNodeRef::Parameter(_) => Kind::Parameter,
        AnyNodeRef::ExprName(_) => Kind::Name,
        AnyNodeRef::ExprAttribute(_) => Kind::Member,
        AnyNodeRef::ExprCall(_) => Kind::Call,
        AnyNodeRef::ExprStringLiteral(_)
        | AnyNodeRef::ExprBytesLiteral(_)
        | AnyNodeRef::ExprNumberLiteral(_)
        | AnyNodeRef::InterpolatedStringLiteralElement(_) => Kind::Literal,
        node if node.is_statement() => Kind::Simple,
        _ => Kind::Other,
    }
}
