//! The lock on all packs: whoever adds to them or opens them to read later holds it shared for a moment, whoever removes
//! something from them holds it exclusively.
//!
//! The locked file holds a number that grows with every removal: a recorder that finds another one than it knows reads
//! the packs anew, since what it takes for stored may be gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::base::files::{self, FileError};
use crate::store::layout::Layout;

/// How long between two attempts of whoever has no time to wait.
const PAUSE: Duration = Duration::from_millis(2);

/// A hold on the packs, until it is dropped.
#[derive(Debug)]
pub struct PacksLock {
    file: File,
    path: PathBuf,
}

impl PacksLock {
    /// Waits until nobody removes anything, and keeps it so. `None` for a store that cannot be written: from that
    /// nothing is removed either.
    ///
    /// # Errors
    /// If the lock cannot be made or taken.
    pub fn shared(layout: &Layout) -> Result<Option<Self>, FileError> {
        let path = layout.packs_lock();
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(_) if layout.is_read_only() => return Ok(None),
            Err(error) => return Err(files::at("open", &path)(error)),
        };
        file.lock_shared().map_err(files::at("lock", &path))?;
        Ok(Some(Self { file, path }))
    }

    /// Waits until nobody adds to the packs or opens them, and keeps it so. `None` where that takes longer than there is
    /// `patience`; without such a bound it is waited for.
    ///
    /// # Errors
    /// If the lock cannot be made or taken.
    pub fn exclusive(layout: &Layout, patience: Option<Duration>) -> Result<Option<Self>, FileError> {
        let path = layout.packs_lock();
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(files::at("open", &path))?;
        let Some(patience) = patience else {
            file.lock().map_err(files::at("lock", &path))?;
            return Ok(Some(Self { file, path }));
        };
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { file, path })),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(files::at("lock", &path)(error)),
            }
        }
    }

    /// How often something was removed.
    pub fn generation(&self) -> u64 {
        let mut bytes = [0; 8];
        // A new file is empty: nothing was ever removed.
        self.file.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes))
    }

    /// Says that something is about to be removed.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn count_removal(&self) -> Result<(), FileError> {
        let next = self.generation().wrapping_add(1);
        self.file.write_all_at(&next.to_le_bytes(), 0).map_err(files::at("write", &self.path))
    }
}
