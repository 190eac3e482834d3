//! Puts the runtime's packages into an interpreter's site-packages.

use std::path::{Path, PathBuf};

use crate::base::files;
use crate::engine::record::find_python;
use crate::engine::{Error, runtime, spawn};

/// A file that tells our packages from others of the same name.
const MARK: &str = ".afterlog";

/// Installs the packages, or brings them up to date; gives the folder.
///
/// # Errors
/// If there is no interpreter, its folder cannot be written, or packages of these names are there that are not ours.
pub fn install(python: Option<&Path>) -> Result<PathBuf, Error> {
    let python = find_python(python.map(Path::as_os_str))?;
    let answer = spawn::ask_python(&python, "import sysconfig; print(sysconfig.get_path('purelib'))")?;
    let folder = PathBuf::from(answer.trim());
    for package in runtime::PACKAGES {
        let path = folder.join(package);
        if path.exists() && !path.join(MARK).exists() {
            return Err(Error::Unsupported {
                what: format!("another package named {package} is in {}", folder.display()),
                instead: format!("remove it first: {} -m pip uninstall {package}", python.display()),
            });
        }
    }
    runtime::write(&folder, |path| path.contains('/'))?;
    for package in runtime::PACKAGES {
        files::write_atomic(&folder.join(package).join(MARK), b"")?;
    }
    Ok(folder)
}
