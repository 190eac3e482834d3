//! Trees of source code and which nodes of two versions correspond. Knows no language and touches no text.

mod align;
mod attributes;
mod features;
mod flat;
mod matching;
mod roles;
mod tree;
mod twins;

pub use attributes::without_self;
pub use features::dice;
pub use matching::{Matching, match_trees};
pub use tree::{Access, Kind, Node, NodeId, Tree, TreeBuilder};
pub use twins::Rival;
