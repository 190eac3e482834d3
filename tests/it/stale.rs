//! Keys and changes in any order while the store is being written: in the end the screen shows what the store holds, and
//! waits for nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use afterlog::engine::project::Project;
use afterlog::model::run::RunStatus;
use afterlog::store::layout::{Lock, names};
use afterlog::tui::app::overlay::Overlay;
use afterlog::tui::app::replay::Stage;
use afterlog::tui::app::{App, Place};
use afterlog::tui::background::Background;
use afterlog::tui::event::{Effect, Event};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::env::TestProject;

/// Keys that change what is shown and asked for, but nothing in the store or outside.
const KEYS: &str = "1234jkGg]r\n\n\n./n[c}vSDM+-p >\x1b\x1b\x1bw?dam";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}

/// The interface without a terminal.
struct Session {
    app: App,
    background: Background,
    events: Receiver<Event>,
}

impl Session {
    fn open(project: &TestProject) -> Self {
        let (sender, events) = channel();
        let opened = Project::require(&project.path()).expect("a project");
        let mut session = Self {
            app: App::new((120, 40), Place::Project("project".into()), 2),
            background: Background::new(opened, sender),
            events,
        };
        let effects = session.app.start();
        session.perform(effects);
        session
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask(ask) => self.background.ask(ask),
                Effect::Stop { slot, generation } => self.background.stop(slot, generation),
                _ => {}
            }
        }
    }

    fn take(&mut self, event: Event) {
        if matches!(event, Event::Changed(_)) {
            self.background.survey_taken();
        }
        let effects = self.app.update(event);
        self.perform(effects);
    }

    fn press(&mut self, key: char) {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        // Nothing is to be written or started here.
        let starts = self.app.replay.stage == Stage::Plan && self.app.overlay.is_none() && key == '\n';
        let writes = matches!(self.app.overlay, Some(Overlay::Editor(_) | Overlay::ConfirmCancel { .. }));
        if !starts && !writes || key == '\x1b' {
            self.take(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        }
    }

    /// Takes what comes until nothing has come for so long.
    fn listen(&mut self, quiet: Duration) {
        while let Ok(event) = self.events.recv_timeout(quiet) {
            self.take(event);
        }
    }

    /// Takes what comes until this holds.
    fn wait_until(&mut self, what: &str, holds: impl Fn(&App) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.app) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => self.take(event),
                Err(_) => panic!("{what}: {:#?}", self.app),
            }
        }
    }
}

/// Writes a run as its process does: its folder first, then what lies in it, bit by bit.
struct Writer {
    files: Vec<(std::path::PathBuf, Vec<u8>)>,
    written: usize,
    /// Held as long as its process is there.
    _lock: Lock,
}

impl Writer {
    /// Of a copy of a recorded run under another id.
    fn of(recorded: &Path, id: &str) -> Self {
        let (old, folder) = (recorded.file_name().expect("an id").to_string_lossy(), recorded.with_file_name(id));
        fs::create_dir(&folder).expect("a folder");
        let lock = Lock::acquire(&folder.join(names::LOCK)).expect("a lock").expect("nobody has it");
        let mut files: Vec<_> = fs::read_dir(recorded)
            .expect("files")
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.is_file() && !path.ends_with(names::LOCK))
            .map(|path| {
                let bytes = fs::read(&path).expect("read");
                let is_meta = path.extension().is_some_and(|extension| extension == "json");
                let bytes = match String::from_utf8(bytes.clone()) {
                    Ok(text) if is_meta => text.replace(&*old, id).into_bytes(),
                    _ => bytes,
                };
                (folder.join(path.file_name().expect("a name")), bytes)
            })
            .collect();
        // What describes it comes before what happens in it.
        files.sort_by_key(|(path, _)| (path.extension().is_some_and(|extension| extension == "aflj"), path.clone()));
        Self { files, written: 0, _lock: lock }
    }

    /// Writes about so much more; whether all is there.
    fn write(&mut self, bytes: usize) -> bool {
        let (from, mut before) = (self.written, 0);
        self.written += bytes;
        for (path, content) in &self.files {
            let part = |at: usize| at.saturating_sub(before).min(content.len());
            if part(from) < part(self.written) || content.is_empty() && !path.exists() {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("opened");
                file.write_all(&content[part(from)..part(self.written)]).expect("written");
            }
            before += content.len();
        }
        self.written >= before
    }
}

#[test]
fn whatever_is_pressed_while_runs_are_written_the_screen_shows_them_in_the_end_and_waits_for_nothing() {
    for seed in 1..=3 {
        let project = TestProject::git();
        let script = "import afterlog\nfor epoch in afterlog.loop('epoch', range(30)):\n    afterlog.log('loss', 1 / (epoch + 1))\n";
        project.write("train.py", script);
        project.afterlog(&["run", "train.py"]).ok();
        project.write("train.py", format!("{script}    afterlog.log('twice', 2 / (epoch + 1))\n"));
        let recorded = project.path().join(".afterlog/runs").join(&project.run_ids()[0]);
        let mut numbers = Numbers(seed);
        let mut session = Session::open(&project);
        let keys: Vec<char> = KEYS.chars().collect();
        for number in 0..5 {
            let mut writer = Writer::of(&recorded, &format!("000000000{number}"));
            while !writer.write(1 + numbers.below(900)) {
                for _ in 0..numbers.below(4) {
                    session.press(keys[numbers.below(keys.len())]);
                }
                session.listen(Duration::from_millis(numbers.below(60) as u64));
            }
        }
        (0..8).for_each(|_| session.press('\x1b'));
        let truth = || {
            let opened = Project::require(&project.path()).expect("a project");
            opened.refresh().expect("taken in");
            opened.runs().expect("runs")
        };
        let runs = truth();
        assert_eq!(runs.len(), 6);
        assert!(runs.iter().all(|run| run.status != RunStatus::Running), "{runs:?}");
        session.wait_until("all runs as they are", |app| app.timeline.runs == runs);
        session.press('3');
        session.wait_until("all values", |app| app.results.loaded && app.results.grid.len() >= 6 * 30);
        session.press('1');
        session.press('G');
        let first = runs[0].id.clone();
        session.wait_until("its detail", |app| {
            app.timeline.detail.as_ref().is_some_and(|detail| detail.run.summary.id == first)
        });
        session.press('2');
        session.wait_until("no diff is waited for", |app| !app.diff.waiting);
        session.press('r');
        session.wait_until("nothing is waited for", |app| {
            let nothing = app.replay.waiting.is_none() && !app.results.waiting && app.working_on().is_none();
            nothing && app.replay.statements.as_ref().is_some_and(|found| found.len() == 1)
        });
    }
}
