//! Appending events.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::{JournalError, frame};
use crate::base::files;

/// The one writer of a journal.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens a journal for appending, with a header if it is new.
    ///
    /// # Errors
    /// With the path, if it cannot be opened or written.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(files::at("open", path))?;
        let length = file.metadata().map_err(files::at("open", path))?.len();
        if length == 0 {
            file.write_all(&frame::header()).map_err(files::at("write", path))?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Goes on with a journal that is open.
    pub fn of(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// Appends events as one frame: after a crash all of them are there, or none.
    ///
    /// # Errors
    /// With the path, if the frame cannot be written.
    pub fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let mut payload = Vec::new();
        for event in events {
            event.encode(&mut payload);
        }
        let before = self.file.metadata().map(|file| file.len());
        self.file.write_all(&frame::write(&payload)).map_err(|error| {
            // Half a frame would stand between this one and what is written when there is room again. Where it cannot be
            // taken back, it is damage that readers step over.
            let _ = before.and_then(|length| self.file.set_len(length));
            files::at("write", &self.path)(error)
        })?;
        Ok(())
    }

    /// The open file, to be inherited by the process that goes on writing.
    pub fn into_file(self) -> File {
        self.file
    }
}
