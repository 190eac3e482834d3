//! The terminal interface: one channel of events, a pure update, effects in the background, a frame when something
//! changed.
//!
//! [`app`] is the state and its update, [`event`] what goes in and out, [`background`] runs effects, [`views`] draw,
//! [`terminal`] owns the screen. Only this file knows the clock, and only it brings them together.

pub mod ansi;
pub mod app;
pub mod background;
pub mod event;
pub mod highlight;
pub mod keymap;
pub mod keys;
pub mod panics;
pub mod settings;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod views;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::engine::project::Project;
use crate::engine::spawn;
use crate::tui::app::{App, Place};
use crate::tui::background::Background;
use crate::tui::event::{Effect, Event};
use crate::tui::settings::{Problem, Settings};
use crate::tui::terminal::{Screen, give_back};
use crate::tui::views::Look;

/// How long more input is waited for where there was some: without any time crossterm does not even look.
const A_MOMENT: Duration = Duration::from_millis(20);
/// Within this time of its coming, a signal that was meant for the editor, too, has reached our thread.
const AFTER_EDITING: Duration = Duration::from_millis(20);
/// How often what counts down is drawn anew.
const A_SECOND: Duration = Duration::from_secs(1);
/// So long an ending by a signal may take: a terminal that nobody reads from blocks whoever writes to it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a folder without a project is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Whether the user's editor has the terminal. What keys there send to the job is not meant to end the interface, which
/// waits and cannot answer.
static EDITING: AtomicBool = AtomicBool::new(false);

/// How the interface is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder that it is started in.
    pub start: PathBuf,
    /// No boxes, braille or other signs beyond ASCII.
    pub plain: bool,
}

/// Why the interface could not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    #[error("the interface needs a terminal for input and output")]
    NotATerminal,
    #[error("this terminal shows plain lines only (TERM=dumb)")]
    Dumb,
    #[error("the terminal failed: {0}")]
    Terminal(#[source] io::Error),
}

/// How the interface ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Quit,
    /// By this signal; the exit code is 128 more.
    Signal(i32),
}

/// What wakes the loop.
enum Wake {
    Event(Event),
    Signal(i32),
    /// A project where there was none.
    Found(Box<Project>),
    /// The terminal is gone.
    Closed,
}

/// Runs the interface until the user quits. `project` is `None` where nothing was recorded yet.
///
/// # Errors
/// If there is no terminal, or it fails. It is given back in every case.
pub fn run(project: Option<Project>, options: &Options) -> Result<Ending, TuiError> {
    if !terminal::is_interactive() {
        return Err(TuiError::NotATerminal);
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(TuiError::Dumb);
    }
    let (wakes, woken) = channel();
    watch_signals(&wakes).map_err(TuiError::Terminal)?;
    panics::guard(project.as_ref().map(|project| project.layout().reports()));
    let (mut settings, problems) = Settings::load(project.as_ref().map(|p| p.layout().config()).as_deref());
    settings.plain |= options.plain;
    let screen = Screen::take(settings.mouse).map_err(TuiError::Terminal)?;
    let input = Arc::new(Mutex::new(()));
    read_input(wakes.clone(), Arc::clone(&input));
    if project.is_none() {
        look_for_project(wakes.clone(), options.start.clone());
    }
    let mut session = Session::new(project, settings, screen, (wakes, woken), input);
    session.tell(&problems);
    session.run().map_err(TuiError::Terminal)
}

/// Handlers rather than a blocked mask: a mask would be inherited by every process started from here.
fn watch_signals(wakes: &Sender<Wake>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT, SIGWINCH])?;
    let wakes = wakes.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if EDITING.load(Ordering::SeqCst) && [SIGINT, SIGTSTP, SIGCONT].contains(&signal) {
                if signal == SIGTSTP && terminal::may_stop() {
                    // The editor has stopped: only if we do, too, does the shell take the terminal. Nothing is left to
                    // do if that fails.
                    let _ = kill(Pid::this(), Signal::SIGSTOP);
                }
                continue;
            }
            if wakes.send(Wake::Signal(signal)).is_err() {
                return;
            }
            if [SIGTERM, SIGHUP, SIGINT].contains(&signal) {
                std::thread::spawn(move || end_anyway(signal));
            }
        }
    });
    Ok(())
}

/// Ends the process by the signal if it has not ended in time.
fn end_anyway(signal: i32) {
    std::thread::sleep(PATIENCE);
    terminal::abandon();
    // Nothing is left to do if even that fails.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

/// Tells that input has ended when its thread does, however that comes about.
struct Closing(Sender<Wake>);

impl Drop for Closing {
    fn drop(&mut self) {
        // Whoever listened has ended already if this fails.
        let _ = self.0.send(Wake::Closed);
    }
}

/// Reads keys and mouse. Waits by `poll`, so that a terminal that goes away is noticed instead of read in circles.
/// Whoever holds `input` has it for itself: an editor, say.
fn read_input(wakes: Sender<Wake>, input: Arc<Mutex<()>>) {
    std::thread::spawn(move || {
        let closing = Closing(wakes);
        let stdin = io::stdin();
        loop {
            let mut watched = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => break,
            }
            let state = watched[0].revents().unwrap_or(PollFlags::empty());
            if state.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                break;
            }
            if !state.contains(PollFlags::POLLIN) {
                continue;
            }
            let _reading = input.lock().unwrap_or_else(PoisonError::into_inner);
            while let Ok(true) = crossterm::event::poll(A_MOMENT) {
                let Some(event) = crossterm::event::read().ok().and_then(event_of) else { continue };
                if closing.0.send(Wake::Event(event)).is_err() {
                    return;
                }
            }
        }
    });
}

/// Somebody may record the first run while the interface says how to.
fn look_for_project(wakes: Sender<Wake>, start: PathBuf) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_AGAIN);
            if let Ok(Some(project)) = Project::find(&start) {
                // Whoever listened has ended already if this fails.
                let _ = wakes.send(Wake::Found(Box::new(project)));
                return;
            }
        }
    });
}

fn event_of(event: crossterm::event::Event) -> Option<Event> {
    match event {
        crossterm::event::Event::Key(key) => Some(Event::Key(key)),
        crossterm::event::Event::Mouse(mouse) => Some(Event::Mouse(mouse)),
        crossterm::event::Event::Paste(text) => Some(Event::Paste(text)),
        crossterm::event::Event::Resize(width, height) => Some(Event::Resize(width, height)),
        crossterm::event::Event::FocusGained | crossterm::event::Event::FocusLost => None,
    }
}

/// The interface while it runs.
struct Session {
    app: App,
    look: Look,
    screen: Screen,
    background: Option<Background>,
    wakes: Sender<Wake>,
    woken: Receiver<Wake>,
    input: Arc<Mutex<()>>,
    frame: Duration,
    root: PathBuf,
}

impl Session {
    fn new(
        project: Option<Project>,
        settings: Settings,
        screen: Screen,
        (wakes, woken): (Sender<Wake>, Receiver<Wake>),
        input: Arc<Mutex<()>>,
    ) -> Self {
        let look = Look {
            theme: settings.theme(|name| std::env::var(name).ok()),
            glyphs: settings.glyphs(|name| std::env::var(name).ok()),
        };
        let place = project.as_ref().map_or(Place::Nothing, place_of);
        let root = project.as_ref().map(|project| project.root().to_owned()).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let size = crossterm::terminal::size().unwrap_or((80, 24));
        let background = project.map(|project| Background::new(project, forward(wakes.clone())));
        let remote = ["SSH_TTY", "SSH_CONNECTION"].iter().any(|name| std::env::var_os(name).is_some());
        let frame = if remote { settings.remote_frame } else { settings.frame };
        let mut app = App::new(size, place, cores);
        app.keys = settings.keys;
        app.timeline.columns = settings.columns;
        Self { app, look, screen, background, wakes, woken, input, frame, root }
    }

    /// Says what is wrong with the settings: the first of it, and where the rest is.
    fn tell(&mut self, problems: &[Problem]) {
        let Some(first) = problems.first() else { return };
        let more =
            if problems.len() > 1 { format!(" (1 of {}: afterlog config)", problems.len()) } else { String::new() };
        self.app.complain(format!("settings{more}: {}", first.short()));
    }

    fn run(mut self) -> io::Result<Ending> {
        self.app.now_ms = now_ms();
        let effects = self.app.start();
        let mut ending = self.perform(effects)?;
        self.draw()?;
        let mut drawn = Instant::now();
        while ending.is_none() {
            // The one wait. Whatever else has come meanwhile is taken before drawing.
            match self.wait() {
                Ok(wake) => ending = self.take(wake)?,
                Err(RecvTimeoutError::Timeout) => self.app.now_ms = now_ms(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while ending.is_none() {
                let wait = self.frame.saturating_sub(drawn.elapsed());
                match self.woken.recv_timeout(wait) {
                    Ok(wake) => ending = self.take(wake)?,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
                if drawn.elapsed() > 4 * self.frame {
                    break;
                }
            }
            if ending.is_none() {
                self.draw()?;
                drawn = Instant::now();
            }
        }
        Ok(ending.unwrap_or(Ending::Quit))
    }

    /// Waits for what comes next; while something counts down on the screen, for a second at most.
    fn wait(&self) -> Result<Wake, RecvTimeoutError> {
        if self.app.counts_down() {
            return self.woken.recv_timeout(A_SECOND);
        }
        self.woken.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    fn draw(&mut self) -> io::Result<()> {
        let (app, look) = (&self.app, &self.look);
        self.screen.draw(app.size, |buffer| views::draw(app, look, buffer))
    }

    fn take(&mut self, wake: Wake) -> io::Result<Option<Ending>> {
        let event = match wake {
            Wake::Event(event) => event,
            Wake::Closed => return Ok(Some(Ending::Signal(SIGHUP))),
            Wake::Found(project) => {
                self.root = project.root().to_owned();
                self.app.place = place_of(&project);
                self.background = Some(Background::new(*project, forward(self.wakes.clone())));
                let effects = self.app.start();
                return self.perform(effects);
            }
            Wake::Signal(SIGWINCH) => {
                let (width, height) = crossterm::terminal::size()?;
                Event::Resize(width, height)
            }
            Wake::Signal(SIGTSTP) => return self.suspend().map(|()| None),
            Wake::Signal(SIGCONT) => return self.screen.retake().map(|()| None),
            Wake::Signal(signal) => return Ok(Some(Ending::Signal(signal))),
        };
        if let (Event::Changed(_), Some(background)) = (&event, &self.background) {
            background.survey_taken();
        }
        self.app.now_ms = now_ms();
        let effects = self.app.update(event);
        self.perform(effects)
    }

    fn perform(&mut self, effects: Vec<Effect>) -> io::Result<Option<Ending>> {
        for effect in effects {
            match effect {
                Effect::Ask(ask) => {
                    if let Some(background) = &mut self.background {
                        background.ask(ask);
                    }
                }
                Effect::Stop { slot, generation } => {
                    if let Some(background) = &mut self.background {
                        background.stop(slot, generation);
                    }
                }
                Effect::Copy(text) if text.is_empty() => self.app.say("there is nothing to copy here"),
                Effect::Copy(text) => {
                    if self.screen.copy(&text)? {
                        self.app.say("sent to the terminal's clipboard");
                    } else {
                        self.app.complain("too long for the clipboard: export it instead");
                    }
                }
                Effect::Edit { path, line } => self.edit(&path, line)?,
                Effect::Redraw => self.screen.redraw()?,
                Effect::Suspend => self.suspend()?,
                Effect::Quit => return Ok(Some(Ending::Quit)),
            }
        }
        Ok(None)
    }

    /// Hands terminal and input to the user's editor until it ends.
    fn edit(&mut self, path: &Path, line: u32) -> io::Result<()> {
        let path = self.root.join(path);
        if !path.is_file() {
            self.app.complain(format!("there is no file {}", path.display()));
            return Ok(());
        }
        let input = Arc::clone(&self.input);
        let editing = input.lock().unwrap_or_else(PoisonError::into_inner);
        EDITING.store(true, Ordering::SeqCst);
        give_back();
        let edited = spawn::editor(&path, line);
        std::thread::sleep(AFTER_EDITING);
        EDITING.store(false, Ordering::SeqCst);
        drop(editing);
        self.screen.retake()?;
        if let Err(error) = edited {
            self.app.complain(format!("{error}: set EDITOR to the one that you use"));
        }
        Ok(())
    }

    /// Stops the whole job as the shell expects; goes on here when it is continued.
    fn suspend(&mut self) -> io::Result<()> {
        if !terminal::may_stop() {
            self.app.complain("there is no shell here that could continue it: q quits");
            return Ok(());
        }
        give_back();
        kill(Pid::from_raw(0), Signal::SIGSTOP)?;
        self.screen.retake()
    }
}

fn place_of(project: &Project) -> Place {
    let name = project.root().file_name().map(|name| name.to_string_lossy().into_owned());
    Place::Project(name.unwrap_or_else(|| "/".into()))
}

/// A sender of plain events into the channel of everything.
fn forward(wakes: Sender<Wake>) -> Sender<Event> {
    let (events, received) = channel();
    std::thread::spawn(move || {
        for event in received {
            if wakes.send(Wake::Event(event)).is_err() {
                return;
            }
        }
    });
    events
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
