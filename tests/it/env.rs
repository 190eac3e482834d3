//! A hermetic place to run the program in: its own project, HOME, git configuration and environment.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and write fixtures; the ban on both is for the program itself"
)]
#![allow(dead_code, reason = "a toolbox: not every test uses every tool")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

/// A project in a temporary folder, with a HOME of its own beside it.
pub(crate) struct TestProject {
    /// Dropped last: holds `home/` and `project/`.
    dir: Arc<TempDir>,
    project: PathBuf,
    python: PathBuf,
}

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl TestProject {
    /// A folder that is no git repository.
    pub(crate) fn plain() -> Self {
        Self::of(TempDir::new().expect("temporary folder"))
    }

    /// The same where the system keeps memory that processes share as files.
    pub(crate) fn in_memory() -> Self {
        Self::of(TempDir::new_in("/dev/shm").expect("a folder in memory"))
    }

    fn of(dir: TempDir) -> Self {
        fs::create_dir_all(dir.path().join("home")).expect("home");
        fs::create_dir_all(dir.path().join("project")).expect("project");
        let project = dir.path().join("project");
        Self { dir: Arc::new(dir), project, python: python().to_owned() }
    }

    /// A git repository without commits.
    pub(crate) fn git() -> Self {
        let project = Self::plain();
        project.run("git", &["init", "-q", "-b", "main"]).ok();
        project
    }

    /// The same with torch, NumPy and pandas importable.
    pub(crate) fn with_torch(mut self) -> Self {
        self.python = torch_python().to_owned();
        self
    }

    /// The same with wandb, MLflow, TensorBoard and tqdm, too.
    pub(crate) fn with_loggers(mut self) -> Self {
        self.python = loggers_python().to_owned();
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.project.clone()
    }

    /// A project in a folder of this one.
    pub(crate) fn inside(&self, folder: &str) -> Self {
        Self { dir: self.dir.clone(), project: self.project.join(folder), python: self.python.clone() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    #[track_caller]
    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(relative);
        fs::create_dir_all(path.parent().expect("inside the project")).expect("folder");
        fs::write(&path, text).expect("written");
    }

    #[track_caller]
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path().join(relative)).expect(relative)
    }

    /// Commits everything in the work tree.
    #[track_caller]
    pub(crate) fn commit(&self, message: &str) {
        self.run("git", &["add", "-A"]).ok();
        self.run("git", &["commit", "-q", "-m", message]).ok();
    }

    /// A command in the project with a cleared environment: PATH leads to the project's Python and the system's tools.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let bin = self.python.parent().expect("interpreter in a folder");
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("HOME", self.home())
            .env("LANG", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.org")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.org")
            .stdin(Stdio::null());
        command
    }

    /// The program under test.
    pub(crate) fn afterlog_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_afterlog"));
        command.args(args);
        command
    }

    /// Runs the program under test to its end.
    #[track_caller]
    pub(crate) fn afterlog(&self, args: &[&str]) -> Finished {
        finish(&mut self.afterlog_command(args))
    }

    /// Runs any program in the project to its end.
    #[track_caller]
    pub(crate) fn run(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Finished {
        finish(self.command(program).args(args))
    }

    /// The ids of all recorded runs, oldest first.
    #[track_caller]
    pub(crate) fn run_ids(&self) -> Vec<String> {
        let listing = self.afterlog(&["runs", "--format", "json"]).ok();
        let runs: Vec<serde_json::Value> = serde_json::from_str(&listing).expect("a JSON list of runs");
        runs.iter().map(|run| run["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Everything of the user's that afterlog must leave alone: each file's bytes, mode and time of change in the project
    /// (outside `.afterlog` and git's objects), in HOME and beside both; git's HEAD, branches, index, status, stash and
    /// settings. Two equal fingerprints: untouched.
    #[track_caller]
    pub(crate) fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        collect_files(self.dir.path(), self.dir.path(), &mut state);
        if self.path().join(".git").exists() {
            let index = fs::read(self.path().join(".git/index")).unwrap_or_default();
            state.insert("git index".into(), blake(&index));
            for name in ["HEAD", "ORIG_HEAD", "config", "logs/HEAD", "logs/refs/stash"] {
                let content = fs::read(self.path().join(".git").join(name)).unwrap_or_default();
                state.insert(format!("git's {name}"), blake(&content));
            }
            for args in [
                &["rev-parse", "HEAD"][..],
                &["symbolic-ref", "-q", "HEAD"],
                &["for-each-ref", "refs/heads", "refs/tags", "refs/remotes", "refs/stash"],
                &["--no-optional-locks", "status", "--porcelain", "--ignored=no"],
                &["stash", "list"],
            ] {
                state.insert(format!("git {}", args.join(" ")), self.run("git", args).stdout);
            }
        }
        state
    }
}

fn collect_files(root: &Path, folder: &Path, state: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for entry in fs::read_dir(folder).expect("readable folder").map(|e| e.expect("entry")) {
        let path = entry.path();
        let name = path.strip_prefix(root).expect("inside").display().to_string();
        if name == "project/.afterlog" || name == "project/.git" {
            continue;
        }
        let meta = fs::symlink_metadata(&path).expect("metadata");
        let content = if meta.is_dir() {
            collect_files(root, &path, state);
            "folder".to_owned()
        } else if meta.is_symlink() {
            fs::read_link(&path).expect("link").display().to_string()
        } else {
            format!("{} {}.{}", blake(&fs::read(&path).expect("file")), meta.mtime(), meta.mtime_nsec())
        };
        state.insert(name, format!("{content} {:o}", meta.permissions().mode()));
    }
}

fn blake(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[track_caller]
fn finish(command: &mut Command) -> Finished {
    let output = command.output().expect("the program starts");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The machine's Python as a real interpreter, not a version manager's shim (those need an environment of their own).
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let output = output.expect("these tests need python3 on PATH");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// An interpreter with torch, NumPy and pandas, in a virtual environment made once under `target/`.
pub(crate) fn torch_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| environment("venv-torch", &["torch", "numpy", "pandas"], "import torch, numpy, pandas", None))
}

/// An interpreter with the libraries that scripts log through. It finds torch and NumPy in the other environment.
pub(crate) fn loggers_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let packages = ["wandb", "mlflow-skinny", "tensorboard", "tensorboardX", "tqdm"];
        let check = "import torch.utils.tensorboard, tensorboardX, wandb, mlflow, tqdm";
        environment("venv-loggers", &packages, check, Some(torch_python()))
    })
}

/// A folder with the safetensors package for that interpreter, made once under `target/`.
pub(crate) fn safetensors() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target folder");
        let folder = target.join("safetensors");
        let lock = fs::File::create(target.join("safetensors.lock")).expect("lock file");
        lock.lock().expect("lock");
        if !folder.join("safetensors/__init__.py").exists() {
            let arguments = ["-m", "pip", "install", "-q", "--no-deps", "--target"];
            run_or_panic(Command::new(torch_python()).args(arguments).arg(&folder).arg("safetensors"));
        }
        folder
    })
}

/// A virtual environment under `target/`, made if `check` does not run in it; `beside` is another whose packages it sees.
fn environment(name: &str, packages: &[&str], check: &str, beside: Option<&Path>) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target folder");
    let venv = target.join(name);
    let interpreter = venv.join("bin/python");
    // Several test processes may come here at once: one installs, the others wait.
    let lock = fs::File::create(target.join(format!("{name}.lock"))).expect("lock file");
    lock.lock().expect("lock");
    let works = || {
        let output = Command::new(&interpreter).args(["-c", check]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works() {
        run_or_panic(Command::new(python()).args(["-m", "venv", "--clear"]).arg(&venv));
        run_or_panic(Command::new(&interpreter).args(["-m", "pip", "install", "-q"]).args(packages));
        let folder = |python: &Path| {
            let line = "import sysconfig; print(sysconfig.get_path('purelib'))";
            let output = Command::new(python).args(["-c", line]).output().expect("the interpreter starts");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        if let Some(beside) = beside {
            let link = Path::new(&folder(&interpreter)).join("beside.pth");
            fs::write(link, folder(beside)).expect("a path file");
        }
        assert!(works(), "{packages:?} were installed, but `{check}` fails");
    }
    interpreter
}

fn run_or_panic(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} failed; tests of torch scripts need it:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
