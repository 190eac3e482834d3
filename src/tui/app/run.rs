//! One run in detail, section by section: what it was started with, what it printed, where its time went, its
//! checkpoints, and what was not captured.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::base::units::{age_ms, bytes, counted, duration_ns};
use crate::model::run::RunStatus;
use crate::tui::ansi::Painted;
use crate::tui::app::App;
use crate::tui::app::kept::{checkpoints, unreadable};
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::timeline::is_gone;
use crate::tui::event::{Detail, Effect};
use crate::tui::keys::Command;
use crate::tui::text;
use crate::tui::theme::Role;

/// Columns that a step sideways takes.
const SIDESTEP: usize = 8;

/// A place that this many lines speak of stands in the first of them: `File …`, the statement, the exception.
const NEAR: usize = 3;

/// What is shown of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Section {
    #[default]
    Overview,
    Output,
    Timing,
    Checkpoints,
    Gaps,
}

impl Section {
    /// In the order of their titles.
    pub const ALL: [Self; 5] = [Self::Overview, Self::Output, Self::Timing, Self::Checkpoints, Self::Gaps];

    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Output => "output",
            Self::Timing => "timing",
            Self::Checkpoints => "checkpoints",
            Self::Gaps => "gaps",
        }
    }

    fn beside(self, step: usize) -> Self {
        let at = Self::ALL.iter().position(|section| *section == self).unwrap_or(0);
        Self::ALL[(at + step) % Self::ALL.len()]
    }
}

/// Where the user is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunView {
    pub section: Section,
    pub cursor: Cursor,
    /// Columns scrolled away at the left.
    pub skipped: usize,
    pub search: String,
}

/// A line of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// What a label stands for.
    Said { label: Cow<'a, str>, text: String, role: Role },
    /// As the script printed it.
    Output(&'a Painted),
    /// A part of a whole, drawn as a bar.
    Bar { label: String, part: u64, whole: u64, text: String },
}

impl Line<'_> {
    /// As it is searched and copied.
    pub fn plain(&self) -> Cow<'_, str> {
        match self {
            Self::Output(line) => Cow::Borrowed(&line.text),
            Self::Said { label, text, .. } if label.is_empty() => Cow::Borrowed(text),
            Self::Said { label, text, .. } => Cow::Owned(format!("{label} {text}")),
            Self::Bar { label, text, .. } => Cow::Owned(format!("{label} {text}")),
        }
    }
}

pub(super) fn said<'a>(label: &'a str, text: impl Into<String>) -> Line<'a> {
    Line::Said { label: Cow::Borrowed(label), text: text.into(), role: Role::Text }
}

pub(super) fn coloured<'a>(label: &'a str, text: impl Into<String>, role: Role) -> Line<'a> {
    Line::Said { label: Cow::Borrowed(label), text: text.into(), role }
}

/// All lines of a section.
pub fn lines(detail: &Detail, section: Section, now_ms: i64) -> Vec<Line<'_>> {
    match section {
        Section::Overview => overview(detail, now_ms),
        Section::Output if is_gone(&detail.run.summary) => {
            vec![coloured("", "the run's folder was deleted, and with it what it printed", Role::Warning)]
        }
        Section::Output if detail.output.is_empty() => vec![coloured("", "nothing was printed", Role::Dim)],
        Section::Output => detail.output.iter().map(Line::Output).collect(),
        Section::Timing => timing(detail),
        Section::Checkpoints => checkpoints(detail),
        Section::Gaps => gaps(detail),
    }
}

/// How a status looks; its symbol or word stands beside it.
pub fn role_of(status: RunStatus) -> Role {
    match status {
        RunStatus::Running => Role::Running,
        RunStatus::Finished => Role::Good,
        RunStatus::Failed => Role::Bad,
        RunStatus::Lost => Role::Warning,
    }
}

fn overview(detail: &Detail, now_ms: i64) -> Vec<Line<'_>> {
    let (run, meta) = (&detail.run.summary, &detail.run.meta);
    let exit = run.exit_code.filter(|code| *code != 0).map_or(String::new(), |code| format!(", exit code {code}"));
    let name = run.name.as_ref().map_or(String::new(), |name| format!("  {name}"));
    let duration = duration_ns(u64::try_from(run.duration_ms).unwrap_or(0).saturating_mul(1_000_000));
    let status = format!("{}{exit}, {duration}, {} ago", run.status.word(), age_ms(now_ms - run.started_ms));
    let head = meta.head.as_ref().map_or(String::new(), |head| format!("  on {}", head.short()));
    let mut lines =
        vec![coloured("", format!("{}{name}", run.id), Role::Title), coloured("status", status, role_of(run.status))];
    // Of a run that failed, the last line says why more often than not.
    let last = detail.output.iter().rfind(|line| !line.text.trim().is_empty() && run.status == RunStatus::Failed);
    lines.extend(last.map(|line| coloured("last line", line.text.trim(), Role::Bad)));
    lines.extend([said("script", format!("{} {}", run.script, meta.args.join(" ")))]);
    let before = meta.command();
    let before = &before[..before.len() - meta.args.len()];
    lines.extend((!before.is_empty()).then(|| said("started by", before.join(" "))));
    lines.extend([said("version", format!("{}{head}", run.version.short()))]);
    for (position, (name, value)) in run.args.iter().enumerate() {
        lines.push(said(if position == 0 { "arguments" } else { "" }, format!("{name}={value}")));
    }
    lines.push(said("logged", run.names.join(" ")));
    if let Some((name, value)) = &run.last_metric {
        lines.push(said("last value", format!("{name} {value}")));
    }
    let density = format!("{} in {}", run.checkpoints, counted(run.iterations, "iteration"));
    lines.push(said("checkpoints", format!("{density}, {}", bytes(run.checkpoint_bytes))));
    lines.extend(unreadable(detail, ""));
    lines.extend(mean_iteration(detail).map(|text| said("timing", text)));
    let gaps = missing(detail).len() + meta.left_out.len() + run.notes.len();
    if gaps > 0 {
        lines.push(coloured("gaps", format!("{}, see the section", counted(gaps as u64, "thing")), Role::Warning));
    }
    lines.push(said("python", meta.python.display().to_string()));
    lines.push(said("host", meta.hostname.clone()));
    let others = meta.others.iter().flat_map(|others| &others.kept);
    for (position, (name, value)) in meta.environment.iter().chain(others).enumerate() {
        lines.push(said(if position == 0 { "environment" } else { "" }, format!("{name}={value}")));
    }
    lines
}

fn mean_iteration(detail: &Detail) -> Option<String> {
    let complete: Vec<u64> = detail.run.timings.iterations.iter().filter(|i| i.complete).map(|i| i.total_ns).collect();
    let mean = complete.iter().sum::<u64>().checked_div(u64::try_from(complete.len()).unwrap_or(0))?;
    let prefix = duration_ns(detail.run.timings.prefix_ns);
    Some(format!("{prefix} before the loop, {} an iteration", duration_ns(mean)))
}

/// A block's key without the file and function that it stands in: `train.py::<module>::evaluate`.
pub(super) fn block_name(key: &str) -> &str {
    key.rsplit("::").next().unwrap_or(key)
}

fn timing(detail: &Detail) -> Vec<Line<'_>> {
    let timings = &detail.run.timings;
    let mut blocks: Vec<(&str, u64, u64)> = Vec::new();
    for (key, ns) in timings.iterations.iter().flat_map(|iteration| &iteration.blocks) {
        match blocks.iter_mut().find(|(known, ..)| known == key) {
            Some((_, count, total)) => (*count, *total) = (*count + 1, *total + ns),
            None => blocks.push((key, 1, *ns)),
        }
    }
    let looped: u64 = timings.iterations.iter().map(|iteration| iteration.total_ns).sum();
    let whole = timings.prefix_ns + looped + timings.suffix_ns;
    let bar = |label: String, part: u64, whole: u64, more: String| {
        let text = format!("{:>9}{more}", duration_ns(part));
        Line::Bar { label, part, whole, text }
    };
    let mut lines = vec![
        bar("before".into(), timings.prefix_ns, whole, "  until the main loop".into()),
        bar("loop".into(), looped, whole, format!("  {}", counted(timings.iterations.len() as u64, "iteration"))),
    ];
    for (key, count, total) in blocks {
        lines.push(bar(
            format!("  {}", block_name(key)),
            total,
            whole,
            format!("  {count} × {}", duration_ns(total / count.max(1))),
        ));
    }
    lines.push(bar("after".into(), timings.suffix_ns, whole, String::new()));
    lines.push(said("", ""));
    let longest = timings.iterations.iter().map(|iteration| iteration.total_ns).max().unwrap_or(0);
    for (number, iteration) in timings.iterations.iter().enumerate() {
        let inside: Vec<String> =
            iteration.blocks.iter().map(|(key, ns)| format!("{} {}", block_name(key), duration_ns(*ns))).collect();
        let partial = if iteration.complete { "" } else { "  not finished" };
        let more = format!("{partial}  {}", inside.join(", "));
        lines.push(bar(format!("{number}"), iteration.total_ns, longest, more.trim_end().to_owned()));
    }
    lines
}

/// Variables that some checkpoint lacks, why, and how many lack it.
fn missing(detail: &Detail) -> Vec<(&str, &str, u64)> {
    let mut all: Vec<(&str, &str)> =
        detail.run.checkpoints.iter().flat_map(|c| &c.missing).map(|(v, w)| (v.as_str(), w.as_str())).collect();
    all.sort_unstable();
    let mut counted: Vec<(&str, &str, u64)> = Vec::new();
    for (variable, why) in all {
        match counted.last_mut() {
            Some((v, w, count)) if (*v, *w) == (variable, why) => *count += 1,
            _ => counted.push((variable, why, 1)),
        }
    }
    counted
}

fn gaps(detail: &Detail) -> Vec<Line<'_>> {
    let (run, meta) = (&detail.run.summary, &detail.run.meta);
    let mut lines = Vec::new();
    for (variable, why, count) in missing(detail) {
        let text = format!("{variable}: {why} ({})", counted(count, "checkpoint"));
        lines.push(coloured("not captured", text, Role::Warning));
    }
    for file in &meta.left_out {
        lines.push(coloured("left out", format!("{}: {}", file.path, file.reason), Role::Warning));
    }
    lines.extend(run.notes.iter().map(|note| coloured("note", note.clone(), Role::Warning)));
    if lines.is_empty() {
        lines.push(coloured("", "nothing is known to be missing", Role::Good));
    }
    lines
}

/// `path:line` in a line of output: of a traceback, a warning or a linter.
pub fn location(line: &str) -> Option<(PathBuf, u32)> {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    if let Some((path, rest)) = line.split_once("File \"").and_then(|(_, rest)| rest.split_once("\", line ")) {
        return Some((path.into(), number(rest)?));
    }
    let (path, rest) = line.split_once(".py:")?;
    let path = path.rsplit(char::is_whitespace).next().unwrap_or(path);
    Some((format!("{path}.py").into(), number(rest)?))
}

impl App {
    /// The lines of the section shown, where the selected run's detail is there.
    pub fn run_lines(&self) -> Vec<Line<'_>> {
        let timeline = &self.timeline;
        let detail = timeline
            .detail
            .as_ref()
            .filter(|detail| timeline.selected().map(|run| &run.id) == Some(&detail.run.summary.id));
        detail.map_or_else(Vec::new, |detail| lines(detail, timeline.view.section, self.now_ms))
    }

    /// Commands while the detail has the whole body; `None` for those that mean the same as in the list.
    pub(super) fn run_command(&mut self, command: Command) -> Option<Vec<Effect>> {
        let height = self.list_height();
        match command {
            Command::Left => self.timeline.view.skipped = self.timeline.view.skipped.saturating_sub(SIDESTEP),
            Command::Right => self.timeline.view.skipped += SIDESTEP,
            Command::FirstColumn => self.timeline.view.skipped = 0,
            Command::NextRun | Command::PreviousRun => {
                let step = if command == Command::NextRun { Command::Down } else { Command::Up };
                let length = self.timeline.rows.len();
                self.timeline.cursor.act(step, length, height);
                self.timeline.view.cursor = Cursor::default();
                let mut effects = self.ask_detail();
                effects.extend(self.ask_changes());
                return Some(effects);
            }
            Command::Search => return Some(self.open(Overlay::prompt(Purpose::Search, ""))),
            Command::SearchNext | Command::SearchPrevious => {
                self.search_run(command == Command::SearchPrevious);
            }
            Command::Copy => {
                let line =
                    self.run_lines().get(self.timeline.view.cursor.selected).map(|line| line.plain().into_owned());
                return Some(line.map(Effect::Copy).into_iter().collect());
            }
            Command::CopyRow => {
                let all: Vec<String> = self.run_lines().iter().map(|line| line.plain().into_owned()).collect();
                return Some(vec![Effect::Copy(all.join("\n"))]);
            }
            Command::Edit => return Some(self.edit_here()),
            command if super::list::is_movement(command) => {
                let length = self.run_lines().len();
                self.timeline.view.cursor.act(command, length, height);
            }
            _ => return None,
        }
        Some(Vec::new())
    }

    /// Shows the section beside the one shown.
    pub(super) fn turn_section(&mut self, command: Command) {
        let step = if command == Command::NextSection { 1 } else { Section::ALL.len() - 1 };
        let view = &mut self.timeline.view;
        *view = RunView {
            section: view.section.beside(step),
            search: std::mem::take(&mut view.search),
            ..RunView::default()
        };
        self.go_to_end_of_output();
    }

    /// What was printed is read from its end.
    pub(super) fn go_to_end_of_output(&mut self) {
        if self.timeline.view.section == Section::Output {
            let (length, height) = (self.run_lines().len(), self.list_height());
            self.timeline.view.cursor.go(length.saturating_sub(1), length, height);
        }
    }

    /// Takes a run's detail. Who is at the end of the output stays there as it grows.
    pub(super) fn take_detail(&mut self, detail: Detail) {
        let before = self.run_lines().len();
        let same = self.timeline.detail.as_ref().is_some_and(|old| old.run.summary.id == detail.run.summary.id);
        let at_end = self.timeline.view.cursor.selected + 1 >= before;
        self.timeline.detail = Some(detail);
        if !same || at_end {
            self.go_to_end_of_output();
        }
    }

    pub(super) fn search_run(&mut self, backwards: bool) {
        let needle = self.timeline.view.search.to_lowercase();
        if needle.is_empty() {
            return self.say("nothing to search for yet: type / and a word");
        }
        let lines = self.run_lines();
        let (length, at) = (lines.len(), self.timeline.view.cursor.selected);
        let steps = (1..=length).map(|step| (at + if backwards { length - step } else { step }) % length);
        let found = steps.into_iter().find(|row| lines[*row].plain().to_lowercase().contains(&needle));
        match found {
            Some(row) => {
                let height = self.list_height();
                self.timeline.view.cursor.go(row, length, height);
            }
            None => self.complain(format!("nothing here holds '{}'", self.timeline.view.search)),
        }
    }

    /// Opens the editor where the line under the cursor, or one shortly before, points to; else at the script.
    pub(super) fn edit_here(&mut self) -> Vec<Effect> {
        let Some(run) = self.timeline.selected() else { return Vec::new() };
        let script = (PathBuf::from(&run.script), 1);
        let lines = if self.zoom { self.run_lines() } else { Vec::new() };
        let before = lines.iter().take(self.timeline.view.cursor.selected + 1).rev().take(NEAR);
        let place = before.into_iter().find_map(|line| location(&line.plain()));
        let (path, line) = place.unwrap_or(script);
        vec![Effect::Edit { path, line }]
    }
}

/// The text of output without its beginning.
pub fn skipped<'a>(piece: &'a str, skip: &mut usize) -> &'a str {
    let width = text::width(piece);
    let rest = text::skip_columns(piece, *skip);
    *skip = skip.saturating_sub(width);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::app::fixture::{OUTPUT, asks, detail, give_detail, press, with_run};
    use crate::tui::event::Request;

    #[test]
    fn places_are_found_in_tracebacks_and_messages() {
        let at = |line: &str| location(line).map(|(path, line)| (path.display().to_string(), line));
        assert_eq!(at("  File \"/p/train.py\", line 12, in <module>"), Some(("/p/train.py".into(), 12)));
        assert_eq!(at("warning at data/load.py:7: odd"), Some(("data/load.py".into(), 7)));
        assert_eq!(at("epoch 3: loss 0.25"), None);
        assert_eq!(at("File \"x\", line y"), None);
    }

    #[test]
    fn a_run_is_read_section_by_section_and_every_line_can_be_copied() {
        let mut app = with_run(80, 24);
        let holds = |app: &App, text: &str| app.run_lines().iter().any(|line| line.plain().contains(text));
        for text in ["running", "width=32", "OMP_NUM_THREADS=2", "1 thing"] {
            assert!(holds(&app, text), "{text}");
        }
        press(&mut app, "]]");
        assert!(holds(&app, "train") && holds(&app, "3 × 1.8 s") && holds(&app, "not finished"));
        press(&mut app, "]");
        assert!(holds(&app, "epoch=1") && holds(&app, "3.0 MB on disk"));
        assert!(!holds(&app, "rank 1"));
        let mut of_two = detail(5, OUTPUT);
        of_two.ranks = vec![(1, of_two.run.checkpoints.clone())];
        app.timeline.detail = Some(of_two);
        assert!(holds(&app, "rank 0") && holds(&app, "rank 1"));
        press(&mut app, "]");
        assert!(holds(&app, "a generator cannot be copied (2 checkpoints)"));
        let Effect::Copy(line) = &press(&mut app, "y")[0] else { panic!("no copy") };
        assert!(line.contains("stream"));
    }

    #[test]
    fn output_is_followed_from_its_end_unless_the_user_went_elsewhere() {
        let mut app = with_run(80, 24);
        press(&mut app, "]");
        let last = |app: &App| (app.timeline.view.cursor.selected, app.run_lines().len());
        assert_eq!(last(&app), (3, 4));
        let longer = format!("{OUTPUT}one more\n");
        let grow = |app: &mut App, output: &str| {
            app.ask_detail();
            give_detail(app, detail(5, output));
        };
        grow(&mut app, &longer);
        assert_eq!(last(&app), (4, 5));
        press(&mut app, "g");
        grow(&mut app, &format!("{longer}and another\n"));
        assert_eq!(last(&app), (0, 6));
    }

    #[test]
    fn a_search_finds_a_line_and_the_editor_opens_where_it_points() {
        let mut app = with_run(80, 24);
        press(&mut app, "]g/net.PY\n");
        assert_eq!(app.timeline.view.cursor.selected, 2);
        let effects = press(&mut app, "e");
        let there = Effect::Edit { path: "/home/ada/demo/net.py".into(), line: 12 };
        assert_eq!(effects, std::slice::from_ref(&there));
        assert_eq!(press(&mut app, "Ge"), [there], "from the exception below it, too");
        assert_eq!(press(&mut app, "ge"), [Effect::Edit { path: "train.py".into(), line: 1 }]);
        press(&mut app, "/nowhere\n");
        assert!(app.notice.is_some_and(|notice| notice.is_error));
    }

    #[test]
    fn the_next_run_of_the_list_comes_without_leaving_the_detail() {
        let mut app = with_run(80, 24);
        let effects = press(&mut app, "J");
        assert!(matches!(&asks(&effects)[0].request, Request::Detail(id) if id.as_str() == "0000000004"));
        assert!(app.zoom && app.run_lines().is_empty(), "nothing of another run is shown for it");
    }
}
