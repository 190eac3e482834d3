//! The state of the interface and its update: events in, effects out. Pure: no files, clocks, threads or terminal.
//!
//! One file a panel; what is shared (overlays, surveys, navigation between panels) stands here.

pub mod about;
mod answers;
pub mod arguments;
pub mod beside;
pub mod columns;
pub mod command_line;
pub mod diff;
pub mod document;
pub mod editor;
pub mod export;
pub mod filter;
pub mod find;
pub mod hints;
pub mod job;
mod kept;
pub mod layout;
pub mod left;
pub mod list;
pub mod metric;
pub mod mouse;
pub mod overlay;
pub mod placement;
pub mod plot;
pub mod replay;
pub mod results;
pub mod run;
pub mod table;
pub mod timeline;
pub mod working;

use std::collections::HashMap;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::tui::app::columns::COLUMNS;
use crate::tui::app::diff::Diff;
use crate::tui::app::layout::{Areas, Share, areas};
use crate::tui::app::overlay::Overlay;
use crate::tui::app::replay::Replay;
use crate::tui::app::results::Results;
use crate::tui::app::timeline::Timeline;
use crate::tui::app::working::Working;
use crate::tui::event::{Ask, Effect, Event, Request, SLOTS, Slot};
use crate::tui::keymap::Keymap;
use crate::tui::keys::{Command, Context};

pub use mouse::tab_columns;

/// The four panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    Timeline,
    Diff,
    Results,
    Replay,
}

impl Panel {
    /// In the order of their keys.
    pub const ALL: [Self; 4] = [Self::Timeline, Self::Diff, Self::Results, Self::Replay];

    /// The name on the tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Timeline => "Timeline",
            Self::Diff => "Diff",
            Self::Results => "Results",
            Self::Replay => "Replay",
        }
    }

    /// Where its keys stand in the table.
    pub fn context(self) -> Context {
        match self {
            Self::Timeline => Context::Timeline,
            Self::Diff => Context::Diff,
            Self::Results => Context::Results,
            Self::Replay => Context::Replay,
        }
    }

    fn beside(self, step: usize) -> Self {
        let at = Self::ALL.iter().position(|p| *p == self).unwrap_or(0);
        Self::ALL[(at + step) % Self::ALL.len()]
    }
}

/// One line for the user, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub is_error: bool,
    /// Whether it is of the store as it is: news of the store are its end.
    passes: bool,
}

/// What the interface is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A project, by the name of its folder.
    Project(String),
    /// Nothing was recorded here yet.
    Nothing,
}

/// Everything that is shown, and nothing else.
#[derive(Debug)]
pub struct App {
    pub size: (u16, u16),
    pub place: Place,
    pub panel: Panel,
    /// The detail has the whole body.
    pub zoom: bool,
    pub overlay: Option<Overlay>,
    pub notice: Option<Notice>,
    /// Unix time in milliseconds, told from outside before each update.
    pub now_ms: i64,
    /// Whether the first survey is there.
    pub surveyed: bool,
    /// Why the store cannot be read, if it cannot.
    pub trouble: Option<String>,
    pub keys: Keymap,
    pub timeline: Timeline,
    pub diff: Diff,
    pub results: Results,
    pub replay: Replay,
    /// The row of a list in a box that was clicked last, if nothing else happened since.
    clicked: Option<usize>,
    generations: [u64; SLOTS],
    working: Working,
    /// What was asked for quietly last, by slot, and whether it is to be asked for once more when it is there.
    renewed: HashMap<Slot, (Request, bool)>,
}

impl App {
    /// The first state, on a machine with so many cores.
    pub fn new(size: (u16, u16), place: Place, cores: usize) -> Self {
        Self {
            size,
            place,
            panel: Panel::Timeline,
            zoom: false,
            overlay: None,
            notice: None,
            now_ms: 0,
            surveyed: false,
            trouble: None,
            keys: Keymap::default(),
            timeline: Timeline::new(COLUMNS.to_vec()),
            diff: Diff::default(),
            results: Results::default(),
            replay: Replay::new(cores),
            clicked: None,
            generations: [0; SLOTS],
            working: Working::default(),
            renewed: HashMap::new(),
        }
    }

    /// What to ask for before anything happens.
    pub fn start(&mut self) -> Vec<Effect> {
        match self.place {
            Place::Project(_) => vec![self.ask(Request::Survey)],
            Place::Nothing => Vec::new(),
        }
    }

    /// Takes one event; returns what must be done about it.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        let effects = match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
            // Esc, and a control key right after it: over a slow line they come as one.
            Event::Key(key) if key.modifiers.contains(KeyModifiers::ALT | KeyModifiers::CONTROL) => {
                let mut effects = self.key(KeyEvent::from(KeyCode::Esc));
                effects.extend(self.key(KeyEvent { modifiers: KeyModifiers::CONTROL, ..key }));
                effects
            }
            Event::Key(key) => self.key(key),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Paste(text) => self.paste(&text),
            Event::Resize(width, height) => {
                self.size = (width, height);
                self.relayout_diff();
                self.ask_changes()
            }
            Event::Answered { slot, generation, result } => self.answered(slot, generation, result),
            Event::Slow { slot, generation } => {
                if self.generations[slot as usize] == generation {
                    self.working.is_slow(slot);
                }
                Vec::new()
            }
            Event::Progress { slot, generation, progress } => {
                if self.generations[slot as usize] == generation {
                    self.working.is_at(slot, progress);
                }
                Vec::new()
            }
            Event::Changed(survey) => {
                self.notice.take_if(|notice| notice.passes);
                self.take_survey(*survey)
            }
            Event::Trouble(message) => {
                self.notice = Some(Notice { text: message, is_error: true, passes: true });
                Vec::new()
            }
        };
        self.settle();
        effects
    }

    /// Makes a request in its slot; older answers in that slot no longer count.
    pub fn ask(&mut self, request: Request) -> Effect {
        self.working.begin(request.slot());
        let generation = &mut self.generations[request.slot() as usize];
        *generation += 1;
        Effect::Ask(Ask { generation: *generation, request })
    }

    /// Asks for something that may be newer than what is there. While just that is under way, it is asked for again
    /// afterwards: were it dropped for each change, what is slow would never come while a run goes on.
    fn renew(&mut self, request: Request) -> Option<Effect> {
        let slot = request.slot();
        if let Some((asked, again)) = self.renewed.get_mut(&slot)
            && self.working.is_asked(slot)
            && *asked == request
        {
            // Of two versions all is said by then.
            *again = slot != Slot::Changes;
            return None;
        }
        self.renewed.insert(slot, (request.clone(), false));
        Some(self.ask(request))
    }

    /// How the current panel shares the screen with its detail.
    pub fn share(&self) -> Share {
        match self.panel {
            Panel::Timeline if !self.zoom && !self.timeline.runs.is_empty() => {
                Share::Beside(self.timeline.wanted_width())
            }
            Panel::Replay if !self.zoom && self.replay.has_detail() => Share::BesideOrBelow,
            Panel::Timeline | Panel::Diff | Panel::Results | Panel::Replay => Share::Alone,
        }
    }

    /// The areas of the screen as it stands.
    pub fn areas(&self) -> Option<Areas> {
        areas(self.size, self.share())
    }

    /// Rows of the main list, without its titles.
    pub fn list_height(&self) -> usize {
        let titles = match self.panel {
            Panel::Timeline | Panel::Results => 1,
            Panel::Diff => 0,
            Panel::Replay => self.replay.title_rows(),
        };
        self.areas().map_or(1, |a| usize::from(a.main.height).saturating_sub(titles).max(1))
    }

    /// Tells the user something until the next key.
    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: false, passes: false });
    }

    /// Tells of a failure.
    pub fn complain(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: true, passes: false });
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        self.clicked = None;
        if let Some(overlay) = self.overlay.take() {
            return self.overlay_key(overlay, key);
        }
        match self.keys.command(self.context(), key) {
            Some(command) => self.command(command),
            None => {
                self.say("that key does nothing here: ? shows those that do");
                Vec::new()
            }
        }
    }

    /// Performs a command in the current panel: from a key or from the palette.
    pub fn command(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::ShowTimeline => self.show(Panel::Timeline),
            Command::ShowDiff => self.show(Panel::Diff),
            Command::ShowResults => self.show(Panel::Results),
            Command::ShowReplay => self.show(Panel::Replay),
            Command::NextPanel => self.show(self.panel.beside(1)),
            Command::PreviousPanel => self.show(self.panel.beside(3)),
            Command::Help => self.open(Overlay::Help { offset: 0, over: None }),
            Command::Palette => self.open(Overlay::palette()),
            Command::Jobs => self.open_jobs(),
            Command::Redraw => vec![Effect::Redraw],
            Command::Suspend => vec![Effect::Suspend],
            Command::Quit => vec![Effect::Quit],
            Command::Leave if self.place == Place::Nothing => vec![Effect::Quit],
            Command::Back if self.working_on().is_some() => self.stop_working().unwrap_or_default(),
            Command::Back | Command::Leave => self.back(command == Command::Leave),
            Command::Replay => self.begin_replay(),
            Command::AddStatement => self.add_statement(),
            Command::Zoom => {
                let has_detail = match self.panel {
                    Panel::Timeline => self.timeline.selected().is_some(),
                    Panel::Replay => self.replay.has_detail(),
                    Panel::Diff | Panel::Results => false,
                };
                if !self.zoom && !has_detail {
                    self.say("there is no detail beside this to show on the whole screen");
                }
                self.zoom = !self.zoom && has_detail;
                Vec::new()
            }
            _ => match self.panel {
                Panel::Timeline => self.timeline_command(command),
                Panel::Diff => self.diff_command(command),
                Panel::Results => self.results_command(command),
                Panel::Replay => self.replay_command(command),
            },
        }
    }

    /// Where the keys that hold now stand in the table.
    pub fn context(&self) -> Context {
        match self.panel {
            Panel::Results if self.results.plot.is_some() => Context::Plot,
            Panel::Timeline if self.zoom => Context::Run,
            panel => panel.context(),
        }
    }

    /// Opens an overlay.
    pub fn open(&mut self, overlay: Overlay) -> Vec<Effect> {
        self.overlay = Some(overlay);
        Vec::new()
    }

    /// Goes to a panel and asks for what it lacks.
    pub fn show(&mut self, panel: Panel) -> Vec<Effect> {
        if self.place == Place::Nothing {
            return Vec::new();
        }
        if self.panel != panel {
            self.zoom = false;
        }
        self.panel = panel;
        match panel {
            Panel::Timeline => self.ask_detail(),
            Panel::Diff => self.show_diff(),
            Panel::Results => self.show_results(),
            Panel::Replay => self.show_replay(),
        }
    }

    /// Leaves the innermost layer: zoom, filter, a stage of replay, the panel; at the outermost, `q` quits.
    fn back(&mut self, may_quit: bool) -> Vec<Effect> {
        if self.zoom {
            self.zoom = false;
            return Vec::new();
        }
        let left = match self.panel {
            Panel::Timeline => self.timeline.leave(),
            Panel::Diff => None,
            Panel::Results => self.leave_results(),
            Panel::Replay => self.leave_replay(),
        };
        match left {
            Some(effects) => effects,
            None if self.panel != Panel::Timeline => self.show(Panel::Timeline),
            None if may_quit => vec![Effect::Quit],
            None => Vec::new(),
        }
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        if self.editor_mut().is_some() {
            return self.editor_paste(text);
        }
        if let Some(overlay) = &mut self.overlay {
            overlay.paste(text);
        }
        Vec::new()
    }

    /// Keeps every cursor inside its list and its window.
    fn settle(&mut self) {
        let height = self.list_height();
        match self.panel {
            Panel::Timeline => self.settle_timeline(height),
            Panel::Diff => self.diff.cursor.settle(self.diff.rows.len(), height),
            Panel::Results => self.settle_results(height),
            Panel::Replay => self.settle_replay(height),
        }
        self.settle_overlay();
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;
