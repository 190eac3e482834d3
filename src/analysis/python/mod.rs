//! Python sources: what is imported, what is logged, which loops there are, what they change. The only place that
//! names the parser's crates.
//!
//! Analysis runs within a depth that no written program reaches: deeper texts are refused as a problem, so that hostile
//! input cannot overflow the stack.

mod api;
mod calls;
mod carried;
mod chance;
mod defaults;
mod effects;
mod expression;
mod foreign;
mod fresh;
mod handsfree;
mod implicit;
mod instrument;
mod leading;
mod liveness;
mod loops;
mod origin;
pub mod parse;
mod parts;
mod program;
mod purity;
mod reach;
mod statements;
mod tree;
mod unnamed;

pub(super) use api::MODULES;
pub use chance::{Chance, ChanceCall, chance_calls};
pub use expression::{NoExpression, argument};
pub use foreign::in_our_words;
pub use fresh::fresh_calls;
pub use instrument::instrument;
pub use leading::leading_imports;
pub use reach::reach;
pub use statements::{imports, log_statements, logged_expression};
pub use tree::{ApiCall, Source};
