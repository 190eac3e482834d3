//! The integration tests: real processes, real Python, real git, real terminals.

mod env;
mod propagate;
mod record;
mod replay;
mod terminal;
mod tidy;
mod tui;
mod versions;
