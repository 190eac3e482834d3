//! Everything at rest: journals (the truth), the database built from them, content-addressed chunks, code versions.
//!
//! The modules know nothing of each other; each imports only `layout`. Nothing here starts a process.

pub mod chunks;
pub mod db;
pub mod journal;
pub mod layout;
pub mod versions;
