//! The training scripts whose recording is measured: as anybody writes them, and with FlorDB's calls in place of their own.
//!
//! Each prints `loop WALL CPU` last: the seconds that its training loop took and those of a processor that its process used
//! in it, so that what is paid once, at the start, can be told from what grows with the training.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::env::{self, TestProject};

/// A training script and its lines that are changed for FlorDB: [(as it is, with FlorDB's calls)].
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    script: &'static str,
    /// Empty where FlorDB has no call for the loop.
    flordb: &'static [(&'static str, &'static str)],
}

const LOOP: (&str, &str) = ("in range(EPOCHS):", "in flor.loop('epoch', range(EPOCHS)):");
const LOSS: (&str, &str) = ("print(\"loss\", ", "flor.log(\"loss\", ");
const ACCURACY: (&str, &str) = ("print(\"accuracy\", ", "flor.log(\"accuracy\", ");
/// What a script says that waits before its loop.
const READY: &str = "ready";
const BEGUN: &str = "begun = time.perf_counter()";

pub(crate) const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "CNN with Adam",
        script: include_str!("workloads/cnn.py"),
        flordb: &[
            LOOP,
            LOSS,
            ACCURACY,
            (
                BEGUN,
                "kept = flor.checkpointing(model=model, optimizer=optimizer); kept.__enter__(); begun = time.perf_counter()",
            ),
        ],
    },
    Workload {
        name: "fine-tuning, frozen backbone",
        script: include_str!("workloads/finetune.py"),
        flordb: &[
            LOOP,
            LOSS,
            ACCURACY,
            (
                BEGUN,
                "kept = flor.checkpointing(model=model, head=head, optimizer=optimizer); kept.__enter__(); begun = time.perf_counter()",
            ),
        ],
    },
    Workload { name: "transformer, while loop", script: include_str!("workloads/gpt.py"), flordb: &[] },
    Workload {
        name: "many tiny epochs",
        script: include_str!("workloads/tiny.py"),
        flordb: &[
            LOOP,
            LOSS,
            (
                BEGUN,
                "kept = flor.checkpointing(model=model, optimizer=optimizer); kept.__enter__(); begun = time.perf_counter()",
            ),
        ],
    },
    Workload {
        name: "huge state, tiny compute",
        script: include_str!("workloads/huge.py"),
        flordb: &[
            LOOP,
            LOSS,
            (
                BEGUN,
                "kept = flor.checkpointing(users=users, items=items, projection=projection, optimizer=optimizer); kept.__enter__(); begun = time.perf_counter()",
            ),
        ],
    },
];

impl Workload {
    /// A fresh repository that holds the script as it is.
    pub(crate) fn project(&self) -> TestProject {
        project_of(self.script)
    }

    /// A fresh repository that holds the script with a wait before its loop: until [`Running::go`].
    pub(crate) fn waiting_project(&self) -> TestProject {
        assert!(self.script.contains(BEGUN), "{}", self.name);
        project_of(&self.script.replacen(BEGUN, &format!("print(\"{READY}\", flush=True); input(); {BEGUN}"), 1))
    }

    /// A fresh repository that holds the script with FlorDB's calls.
    pub(crate) fn flordb_project(&self) -> Option<TestProject> {
        if self.flordb.is_empty() {
            return None;
        }
        let mut script = format!("import flordb as flor\n{}", self.script);
        for (plain, call) in self.flordb {
            assert!(script.contains(plain), "{}: {plain}", self.name);
            script = script.replace(plain, call);
        }
        Some(project_of(&script))
    }
}

pub(crate) fn project_of(script: &str) -> TestProject {
    let project = TestProject::git().with_torch();
    project.write("train.py", script);
    project.commit("start");
    project
}

/// What a run of a script took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) whole: f64,
    pub(crate) loop_wall: f64,
    pub(crate) loop_cpu: f64,
}

/// A run that was started.
pub(crate) struct Running {
    child: std::process::Child,
    started: Instant,
}

/// Starts a run with one thread a process: what the other threads of a training wait for is noise here.
pub(crate) fn start(command: &mut Command) -> Running {
    command.env("OMP_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    Running { started: Instant::now(), child: command.spawn().expect("the program starts") }
}

impl Running {
    /// Waits until the script has come to its wait.
    pub(crate) fn until_ready(&mut self) {
        let output = self.child.stdout.as_mut().expect("a pipe");
        let (mut said, mut byte) = (Vec::new(), [0]);
        // Byte by byte: what follows is read at its end.
        while !said.ends_with(format!("{READY}\n").as_bytes()) {
            output.read_exact(&mut byte).expect("the script comes to its loop");
            said.push(byte[0]);
        }
    }

    /// Has it go on.
    pub(crate) fn go(&mut self) {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("the script waits");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end; gives what it printed, too.
    pub(crate) fn end(self) -> (Took, String) {
        let output = self.child.wait_with_output().expect("ends");
        let whole = self.started.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let last = text.lines().rev().find_map(|line| line.strip_prefix("loop ")).expect("the loop's times");
        let mut seconds = last.split(' ').map(|word| word.parse().expect("seconds"));
        let (loop_wall, loop_cpu) = (seconds.next().expect("wall"), seconds.next().expect("CPU"));
        (Took { whole, loop_wall, loop_cpu }, text)
    }
}

/// An interpreter with a version of FlorDB, in a virtual environment made once under `target/`; torch is the tests' own.
pub(crate) fn flordb_python(version: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target folder");
    let venv = target.join(format!("venv-flordb-{version}"));
    let interpreter = venv.join("bin/python");
    let packages = |python: &Path| {
        let code = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
        let output = Command::new(python).args(["-c", code]).output().expect("python starts");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    let ready = |python: &Path| {
        let check =
            Command::new(python).args(["-c", "import torch, importlib.metadata as m; m.version('flordb')"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if !ready(&interpreter) {
        let torch = packages(env::torch_python());
        let done = |command: &mut Command| assert!(command.status().expect("starts").success(), "{command:?}");
        done(Command::new(env::python()).args(["-m", "venv", "--clear"]).arg(&venv));
        let wanted = format!("flordb=={version}");
        done(Command::new(&interpreter).args(["-m", "pip", "install", "-q", &wanted, "pandas<3", "numpy"]));
        std::fs::write(packages(&interpreter).join("torch.pth"), torch.display().to_string()).expect("written");
        assert!(ready(&interpreter), "FlorDB {version} was installed but does not import");
    }
    interpreter
}
