//! What the program does: recording, ingestion, replay, queries. [`project::Project`] is the façade of the front ends.
//!
//! Nothing here prints, parses a command line or draws.

pub mod checkpoint;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod error;
pub mod export;
pub mod facts;
pub mod given;
pub mod ingest;
pub mod install;
pub mod machine;
pub mod plan;
pub mod portable;
pub mod probes;
pub mod progress;
pub mod project;
pub mod propagate;
pub mod record;
pub mod replay;
pub mod retention;
pub mod runtime;
pub mod sample;
pub mod settings;
pub mod sources;
pub mod spawn;
pub mod stored;

pub use error::{Error, Kind};
