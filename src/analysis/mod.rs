//! Pure computation on sources, plans and values. No file, clock or process is touched anywhere below here; nothing
//! panics on any text.

pub mod compare;
pub mod linediff;
pub mod pivot;
pub mod planner;
pub mod printed;
pub mod propagate;
pub mod python;
pub mod query;
pub mod retention;
pub mod treediff;
pub mod verify;
