//! afterlog: hindsight logging for model training.
//!
//! A training script runs under a recorder that keeps its code version, its logs and its checkpoints at almost no
//! cost. Later a log statement is added to today's script; afterlog places it into every past version, re-executes
//! only what is needed from the checkpoints, isolated from the user's tree, checks every value against the record,
//! and shows the results as a grid.
//!
//! Modules, bottom-up; each may use itself and those above it in this list (`tests/it/tidy.rs` holds the table):
//!
//! - [`base`]: ids, files, units
//! - [`model`]: plain data
//! - [`analysis`]: pure computation on sources, plans and values; no files, clocks or processes
//! - [`store`]: journals, database, chunks, versions: everything at rest
//! - [`engine`]: recording, ingestion, replay, queries; [`engine::project::Project`] is the façade for the front ends
//! - [`cli`] and [`tui`]: the front ends
//!
//! Invariants: a replayed value equals what the run would have logged or is marked; the user's project is never
//! touched; recording never breaks or slows training; nothing acknowledged is lost; the interface never blocks;
//! whatever the TUI can do, the command line can do.

pub mod analysis;
pub mod base;
pub mod cli;
pub mod engine;
pub mod model;
pub mod store;
pub mod tui;
