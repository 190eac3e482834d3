//! What every layer needs: ids, atomic file writes with the path in the error, encodings, units.
//!
//! Knows nothing of runs, versions or stores.

pub mod encoding;
pub mod files;
pub mod ids;
pub mod units;
