//! Where two runs of a project part.

use crate::analysis::compare::{Comparison, compare};
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::{GridQuery, Project};

impl Project {
    /// Compares two runs by what they logged under these names, or under any. Names that only one of them has do not count.
    ///
    /// # Errors
    /// If a name was never logged nor asked for, or the database cannot be read.
    pub fn compare(&self, names: &[String], runs: [&RunId; 2], tolerance: Option<f64>) -> Result<Comparison, Error> {
        let names = if names.is_empty() { self.all_names()? } else { names.to_vec() };
        let mut wanted = vec![runs[0].clone()];
        wanted.extend((runs[0] != runs[1]).then(|| runs[1].clone()));
        let grid = self.grid(&GridQuery { names, runs: Some(wanted), ..GridQuery::default() })?;
        let nothing = || Comparison { runs: runs.map(Clone::clone), tolerance, columns: Vec::new() };
        Ok(compare(&grid, runs, tolerance, &|| false).unwrap_or_else(nothing))
    }
}
