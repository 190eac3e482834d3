//! What every layer needs: ids, atomic file writes with the path in the error, encodings, units, likeness of names.
//!
//! Knows nothing of runs, versions or stores.

pub mod encoding;
pub mod files;
pub mod ids;
pub mod likeness;
pub mod units;
