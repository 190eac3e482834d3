//! Plain data that every layer speaks: runs, versions, values, tables, probes, plans, jobs, verdicts.
//!
//! Nothing here reads a file, a clock or a process, and nothing here imports a layer above `base`.

pub mod column;
pub mod grid;
pub mod instrument;
pub mod job;
pub mod plan;
pub mod position;
pub mod probe;
pub mod run;
pub mod source;
pub mod value;
pub mod verdict;
