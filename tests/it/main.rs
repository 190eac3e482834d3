//! The integration tests: real processes, real Python, real git, real terminals.

mod audit;
mod bad_input;
mod blocks;
mod check;
mod demo;
mod diff;
mod env;
mod flordb;
mod handsfree;
mod hidden;
mod ingest;
mod isolation;
mod journals;
mod kill;
mod picture;
mod propagate;
mod pythons;
mod record;
mod replay;
mod shared;
mod terminal;
mod tidy;
mod truth;
mod tui;
mod versions;
mod whiles;
