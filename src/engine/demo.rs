//! A small project with a history: four versions of a training script, each recorded, and a log statement added since.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::files;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::record::{self, Command, Request, find_python};
use crate::engine::spawn::Checkpoints;
use crate::store::versions;

/// A version of the script: what its commit says, its text, its arguments.
pub struct Version {
    pub message: &'static str,
    text: &'static str,
    args: &'static [&'static str],
}

/// The versions, oldest first.
pub const VERSIONS: [Version; 4] = [
    Version { message: "Learn two spirals", text: include_str!("../../assets/demo/train_1.py"), args: &[] },
    Version {
        message: "Rename, evaluate in a function, wider layer",
        text: include_str!("../../assets/demo/train_2.py"),
        args: &["lr=0.03"],
    },
    Version {
        message: "A second layer; everything in main()",
        text: include_str!("../../assets/demo/train_3.py"),
        args: &[],
    },
    Version {
        message: "Momentum; the step loop in its own function",
        text: include_str!("../../assets/demo/train_4.py"),
        args: &["seed=3"],
    },
];

/// The newest script with the statement that nobody wrote at the time.
const HINDSIGHT: &str = include_str!("../../assets/demo/train_hindsight.py");
/// The name that it logs.
pub const HINDSIGHT_NAME: &str = "grad_norm";
const SCRIPT: &str = "train.py";

/// A demo project's folder.
pub struct Demo {
    folder: PathBuf,
    python: PathBuf,
}

impl Demo {
    /// Makes the project in an empty or new folder; in a temporary one if none is given.
    ///
    /// # Errors
    /// If the folder holds something, cannot be written, or there is no Python.
    pub fn create(folder: Option<&Path>) -> Result<Self, Error> {
        let folder = folder
            .map_or_else(|| std::env::temp_dir().join(format!("afterlog-demo-{}", RunId::generate())), Path::to_owned);
        let python = find_python(None)?;
        files::create_dir_all(&folder)?;
        let mut entries = std::fs::read_dir(&folder).map_err(files::at("list", &folder))?;
        if entries.next().is_some() {
            return Err(Error::Unsupported {
                what: format!("{} is not empty", folder.display()),
                instead: "name a folder that does not exist yet".into(),
            });
        }
        let folder = folder.canonicalize().map_err(files::at("find", &folder))?;
        versions::create_repository(&folder)?;
        Ok(Self { folder, python })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes and commits a version, and records a run of it. This process must be in the demo's folder.
    ///
    /// # Errors
    /// If it cannot be written or recorded.
    pub fn record(&self, version: &Version) -> Result<RunId, Error> {
        files::write_atomic(&self.folder.join(SCRIPT), version.text.as_bytes())?;
        versions::commit_all(&self.folder, version.message)?;
        let mut problems = Vec::new();
        let request = Request {
            name: None,
            checkpoints: Checkpoints::Adaptive,
            command: Command {
                python: self.python.clone(),
                flags: Vec::new(),
                launcher: Vec::new(),
                module: None,
                script: SCRIPT.into(),
                args: version.args.iter().map(OsString::from).collect(),
            },
            cwd: self.folder.clone(),
        };
        let recorded = record::record(&request, &mut |why| problems.push(why.to_owned()))?;
        problems.extend(recorded.problems);
        match recorded.run {
            Some(run) if recorded.exit_code == 0 => Ok(run),
            _ => Err(Error::Unsupported {
                what: format!("the demo's script failed: {}", problems.join("; ")),
                instead: "its messages are above".into(),
            }),
        }
    }

    /// Adds the log statement to the working tree's script.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add_statement(&self) -> Result<(), Error> {
        Ok(files::write_atomic(&self.folder.join(SCRIPT), HINDSIGHT.as_bytes())?)
    }
}
