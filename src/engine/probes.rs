//! Probes at rest: a file each in the store, written whole and synced, so that what the user decided is never lost. The
//! database has nothing of them.

use std::io::ErrorKind;

use crate::base::files;
use crate::engine::Error;
use crate::model::probe::Probe;
use crate::store::layout::{Layout, Lock};

/// How often a lock that another process holds is asked for, some 50 ms each time.
const ATTEMPTS: usize = 100;

/// All probes, by name, and the files that hold none.
///
/// # Errors
/// If the store's folder cannot be listed.
pub fn all(layout: &Layout) -> Result<(Vec<Probe>, Vec<Error>), Error> {
    let folder = layout.probes();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        other => other.map_err(files::at("list", &folder))?,
    };
    let (mut probes, mut damaged): (Vec<Probe>, Vec<Error>) = (Vec::new(), Vec::new());
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        // What a killed process left half written is no probe.
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json = files::read(&path)?;
        match serde_json::from_slice::<Probe>(&json) {
            Ok(probe) if layout.probe(&probe.name) == path => probes.push(probe),
            Ok(probe) => {
                damaged.push(Error::BadFile { path, what: format!("it is the file of another '{}'", probe.name) })
            }
            Err(error) => damaged.push(Error::BadFile { path, what: error.to_string() }),
        }
    }
    probes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((probes, damaged))
}

/// The probe of a name, if there is one.
///
/// # Errors
/// If its file is damaged: decisions must not be passed over.
pub fn named(layout: &Layout, name: &str) -> Result<Option<Probe>, Error> {
    let path = layout.probe(name);
    if !path.exists() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&files::read(&path)?);
    parsed.map(Some).map_err(|error| Error::BadFile { path, what: error.to_string() })
}

/// Changes the probe of a name, while nobody else does. What `work` leaves is on the disk when this returns.
///
/// # Errors
/// If the probe cannot be read or written, or with what `work` gives; nothing is changed then.
pub fn change(
    layout: &Layout,
    name: &str,
    work: impl FnOnce(&mut Option<Probe>) -> Result<(), Error>,
) -> Result<(), Error> {
    files::create_dir_all(&layout.probes())?;
    let lock = layout.probes_lock();
    let held = (0..ATTEMPTS).find_map(|_| Lock::acquire(&lock).transpose()).transpose()?;
    let _held = held.ok_or_else(|| files::at("lock", &lock)(ErrorKind::WouldBlock.into()))?;
    let before = named(layout, name)?;
    let mut probe = before.clone();
    work(&mut probe)?;
    let path = layout.probe(name);
    match &probe {
        _ if probe == before => return Ok(()),
        Some(probe) => {
            let json = serde_json::to_vec_pretty(probe);
            let json = json.map_err(|error| Error::BadFile { path: path.clone(), what: error.to_string() })?;
            files::write_atomic(&path, &json)?;
        }
        None => std::fs::remove_file(&path).map_err(files::at("remove", &path))?,
    }
    files::sync(&layout.probes())?;
    Ok(files::sync(layout.store())?)
}
