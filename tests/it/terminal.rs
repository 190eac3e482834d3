//! The program in a real pseudo-terminal, read through a terminal emulator. Waits for text, never sleeps blindly.

#![allow(dead_code, reason = "a toolbox: not every test uses every tool")]

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::env::TestProject;

/// Long enough for a loaded machine; reached only when the awaited text never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    pub(crate) parser: vt100::Parser,
    /// Everything the program wrote so far.
    pub(crate) bytes: Vec<u8>,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// Bytes a second that are read of what the program writes.
    pace: Arc<AtomicU64>,
}

/// How a terminal usually reads.
pub(crate) const FULL_SPEED: u64 = u64::MAX;
/// What is read at a time at other paces.
const SIP: usize = 256;

impl Terminal {
    /// Starts `afterlog ARGS` in the project with the project's hermetic environment.
    pub(crate) fn start(project: &TestProject, args: &[&str], columns: u16, rows: u16) -> Self {
        Self::start_in(project, args, &[], (columns, rows))
    }

    /// Starts the interface with further variables in its environment.
    pub(crate) fn start_with(project: &TestProject, variables: &[(&str, &str)], columns: u16, rows: u16) -> Self {
        Self::start_in(project, &[], variables, (columns, rows))
    }

    /// Starts the interface as the job of a shell that says when it is stopped, and continues it after a line was typed.
    pub(crate) fn start_as_job(project: &TestProject, variables: &[(&str, &str)], size: (u16, u16)) -> Self {
        let script = "set -m; \"$0\"; echo job stopped; read line; fg";
        Self::start_command(project, &["sh", "-c", script], &[], variables, size)
    }

    /// Starts any program in the project.
    pub(crate) fn start_program(
        project: &TestProject,
        program: &std::path::Path,
        args: &[&str],
        variables: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Self {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(project.path());
        command.env("TERM", "xterm-256color");
        for (name, value) in variables {
            command.env(name, value);
        }
        Self::spawn(command, columns, rows)
    }

    fn start_in(project: &TestProject, args: &[&str], variables: &[(&str, &str)], size: (u16, u16)) -> Self {
        Self::start_command(project, &[], args, variables, size)
    }

    /// `before` stands before the program's name.
    fn start_command(
        project: &TestProject,
        before: &[&str],
        args: &[&str],
        variables: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Self {
        let hermetic = project.afterlog_command(args);
        let mut command = match before {
            [] => CommandBuilder::new(hermetic.get_program()),
            [first, more @ ..] => {
                let mut command = CommandBuilder::new(first);
                command.args(more);
                command.arg(hermetic.get_program());
                command
            }
        };
        command.args(hermetic.get_args());
        command.cwd(project.path());
        command.env_clear();
        for (name, value) in hermetic.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        for (name, value) in variables {
            command.env(name, value);
        }
        Self::spawn(command, columns, rows)
    }

    fn spawn(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let (sender, output) = channel();
        let pace = Arc::new(AtomicU64::new(FULL_SPEED));
        let set = Arc::clone(&pace);
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                let most = match set.load(Ordering::Relaxed) {
                    FULL_SPEED => buffer.len(),
                    0 => {
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                    pace => {
                        std::thread::sleep(Duration::from_secs_f64(SIP as f64 / pace as f64));
                        SIP
                    }
                };
                let Ok(n @ 1..) = reader.read(&mut buffer[..most]) else { break };
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let input = pair.master.take_writer().expect("a writer");
        let [rows, columns] = [rows, columns].map(|n| NonZero::new(n).expect("a terminal with room"));
        let parser = vt100::Parser::new(rows, columns, 0);
        Self { parser, bytes: Vec::new(), output, input, master: pair.master, child, pace }
    }

    /// Types. Escape sequences may be part of the text.
    pub(crate) fn send(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).expect("typed");
        self.input.flush().expect("flushed");
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("resized");
        let [rows, columns] = [rows, columns].map(|n| NonZero::new(n).expect("a terminal with room"));
        self.parser.screen_mut().set_size(rows, columns);
    }

    /// From now on, so many bytes a second are read.
    pub(crate) fn read_at(&self, pace: u64) {
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// Whether what is typed shows, as a shell wants it.
    pub(crate) fn echoes(&self) -> bool {
        const ECHO: u32 = 0o10;
        self.master.get_termios().is_some_and(|settings| settings.local_flags.bits() & ECHO != 0)
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// Waits until the screen holds the text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the screen's text satisfies the condition.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.screen()) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(why) => panic!("waited for {what}: {why}; the screen is\n{}", self.screen()),
            }
        }
    }

    /// Takes what arrives within a short time: for counting what an idle program writes.
    pub(crate) fn listen(&mut self, time: Duration) -> usize {
        let before = self.bytes.len();
        let deadline = Instant::now() + time;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return self.bytes.len() - before,
            }
        }
    }

    /// Types, and gives the time until the first of what that leads to has arrived.
    pub(crate) fn time_to_answer(&mut self, keys: &str) -> Duration {
        let start = Instant::now();
        self.send(keys);
        let bytes = self.output.recv_timeout(PATIENCE).expect("an answer");
        let elapsed = start.elapsed();
        self.take(&bytes);
        elapsed
    }

    /// Waits for the program to end and gives its exit code.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end; the screen is\n{}", self.screen()),
            }
        }
        self.child.wait().expect("ended").exit_code()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.process_id().expect("running")
    }

    pub(crate) fn screen(&self) -> String {
        self.parser.screen().contents()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.parser.process(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed half-way must not leave the program behind.
        let _ = self.child.kill();
    }
}
