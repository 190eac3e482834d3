//! The source code of versions and of the working tree.

use crate::base::files::at;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::source::{ChangedFile, VersionId};
use crate::store::versions::Versions;

impl Project {
    /// A file of the version that a run executed; `None` if it was not there. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If there is no such run or its version cannot be read.
    pub fn source(&self, run: &RunId, path: &str) -> Result<Option<String>, Error> {
        let bytes = self.versions()?.read_file(&self.version(run)?, path)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The files of the version that a run executed.
    ///
    /// # Errors
    /// If there is no such run or its version cannot be read.
    pub fn files(&self, run: &RunId) -> Result<Vec<String>, Error> {
        Ok(self.versions()?.list_files(&self.version(run)?)?)
    }

    /// The files that differ between the versions of two runs.
    ///
    /// # Errors
    /// If a run does not exist or its version cannot be read.
    pub fn changed_files(&self, old: &RunId, new: &RunId) -> Result<Vec<ChangedFile>, Error> {
        Ok(self.versions()?.changed_files(&self.version(old)?, &self.version(new)?)?)
    }

    /// A file of the working tree, `path` relative to the project's root; `None` if it is not there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn worktree_source(&self, path: &str) -> Result<Option<String>, Error> {
        let path = self.root().join(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("read", &path)(error).into()),
        }
    }

    /// The version that a run executed.
    ///
    /// # Errors
    /// If there is no such run.
    pub fn version(&self, run: &RunId) -> Result<VersionId, Error> {
        self.query(|db| Ok(db.run(run)?.ok_or_else(|| Error::UnknownRun(run.to_string()))?.meta.version))
    }

    pub(in crate::engine) fn versions(&self) -> Result<Versions, Error> {
        Ok(Versions::open(self.layout())?)
    }
}
