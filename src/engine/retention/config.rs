//! What the settings say about room.

use serde::Deserialize;

use crate::base::files;
use crate::base::units::parse_bytes;
use crate::engine::{Error, settings};
use crate::store::layout::Layout;

/// Without a budget checkpoints may take this part of the disk space that there would be without them.
const DEFAULT_PART: u64 = 2;

/// The settings of the interface stand in the same file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    budget: Option<String>,
    #[serde(flatten)]
    others: toml::Table,
}

/// The bytes that all checkpoints of the project may take; `None` without a limit. `taken` are the bytes that they take now.
///
/// # Errors
/// If the settings cannot be read.
pub(super) fn budget(layout: &Layout, taken: u64) -> Result<Option<u64>, Error> {
    let path = layout.config();
    let config: Config = if path.exists() {
        let text = files::read_text(&path)?;
        toml::from_str(&text).map_err(|error| Error::BadFile { path: path.clone(), what: error.to_string() })?
    } else {
        Config::default()
    };
    if let Some(unknown) = config.others.keys().find(|name| settings::SETTINGS.iter().all(|s| s.name != **name)) {
        return Err(Error::BadFile { path, what: settings::unknown(unknown) });
    }
    match config.budget.as_deref() {
        None => Ok(free_bytes(layout).map(|free| (free + taken) / DEFAULT_PART)),
        Some("none") => Ok(None),
        Some(text) => match parse_bytes(text) {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                Err(Error::BadFile { path, what: format!("budget is '{text}', not an amount like 10GB, nor none") })
            }
        },
    }
}

/// Bytes of disk space that the user may still fill.
fn free_bytes(layout: &Layout) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(layout.store()).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}
