//! Keys as data: one table feeds dispatch, help, palette and the settings file. [`crate::tui::keymap`] has the user's
//! changes to it.

use serde::{Deserialize, Serialize};

/// Everything a key or the palette can ask for. In settings the names are written as `next-panel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    ShowTimeline,
    ShowDiff,
    ShowResults,
    ShowReplay,
    NextPanel,
    PreviousPanel,
    Help,
    Palette,
    Back,
    Leave,
    Quit,
    Redraw,
    Suspend,
    Zoom,
    Jobs,
    Copy,
    CopyRow,
    Up,
    Down,
    Left,
    Right,
    Top,
    Bottom,
    FirstColumn,
    LastColumn,
    HalfPageUp,
    HalfPageDown,
    PageUp,
    PageDown,
    Open,
    Search,
    SearchNext,
    SearchPrevious,
    Filter,
    Mark,
    MarkRange,
    Pin,
    Sort,
    NextSection,
    PreviousSection,
    NextRun,
    PreviousRun,
    Edit,
    Diff,
    Replay,
    AddStatement,
    Correct,
    Retry,
    NextHunk,
    PreviousHunk,
    NextFile,
    PreviousFile,
    ToggleSplit,
    NextStatement,
    PreviousStatement,
    SortAscending,
    SortDescending,
    ThenAscending,
    ThenDescending,
    Freeze,
    Baseline,
    Divergence,
    HideColumn,
    ChooseColumns,
    HideUnchanged,
    OnlyValued,
    Statistics,
    Plot,
    NextDifferent,
    PreviousDifferent,
    CellStyle,
    NextColumn,
    PreviousColumn,
    Axis,
    Export,
    MoreWorkers,
    FewerWorkers,
    OnlyMarked,
    Metric,
    Iterations,
    CancelJob,
}

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    Everywhere,
    Timeline,
    /// One run on the whole screen.
    Run,
    Diff,
    Results,
    /// The plot over the results.
    Plot,
    Replay,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    pub context: Context,
    pub command: Command,
    /// Spelled as people write them: `j`, `Ctrl-d`, `Space`, `F1`.
    pub keys: &'static [&'static str],
    /// Said in help and palette; without a full stop.
    pub what: &'static str,
    /// Short form for the line at the bottom, `KEYS|WORD` where it stands for several keys; empty where it is not offered.
    pub hint: &'static str,
}

const fn bind(
    context: Context,
    command: Command,
    keys: &'static [&'static str],
    what: &'static str,
    hint: &'static str,
) -> Binding {
    Binding { context, command, keys, what, hint }
}

/// Every key. Within a panel its own bindings win over those that hold everywhere.
pub const BINDINGS: &[Binding] = &[
    bind(Context::Timeline, Command::Open, &["Enter"], "show everything about this run", "detail"),
    bind(Context::Timeline, Command::Diff, &["d"], "diff against the marked run, or the previous one", "diff"),
    bind(Context::Timeline, Command::Mark, &["Space"], "mark or unmark this run", "mark"),
    bind(Context::Timeline, Command::AddStatement, &["a"], "read this run's script, to add a log statement", "add log"),
    bind(Context::Timeline, Command::Replay, &["r"], "replay a log statement added afterwards", "replay"),
    bind(Context::Timeline, Command::Filter, &["&"], "show only runs that match, e.g. lr>1e-3 status:failed", "filter"),
    bind(
        Context::Timeline,
        Command::NextSection,
        &["]"],
        "next section of the detail: output, timing …",
        "[ ]|section",
    ),
    bind(Context::Timeline, Command::PreviousSection, &["["], "previous section of the detail", ""),
    bind(Context::Timeline, Command::MarkRange, &["v"], "mark from here to where v is pressed again", ""),
    bind(
        Context::Timeline,
        Command::Pin,
        &["p"],
        "compare every run with this one, or with the one before again",
        "pin",
    ),
    bind(Context::Timeline, Command::Sort, &["s"], "sort by time, last value or duration", "sort"),
    bind(Context::Timeline, Command::Metric, &["m"], "choose which logged value the list shows", ""),
    bind(Context::Timeline, Command::Edit, &["e"], "open the script in $EDITOR", ""),
    bind(Context::Run, Command::Open, &["Enter"], "back to the list", "list"),
    bind(Context::Run, Command::NextSection, &["]"], "next section: output, timing, checkpoints, gaps", "[ ]|section"),
    bind(Context::Run, Command::PreviousSection, &["["], "previous section", ""),
    bind(Context::Run, Command::NextRun, &["J"], "next run of the list", "J K|run"),
    bind(Context::Run, Command::PreviousRun, &["K"], "previous run of the list", ""),
    bind(Context::Run, Command::Copy, &["y"], "copy this line", "copy"),
    bind(Context::Run, Command::CopyRow, &["Y"], "copy the section", ""),
    bind(Context::Run, Command::Edit, &["e"], "open $EDITOR where this line points to, or at the script", "edit"),
    bind(Context::Run, Command::Diff, &["d"], "diff against the marked run, or the previous one", "diff"),
    bind(Context::Run, Command::AddStatement, &["a"], "read this run's script, to add a log statement", "add log"),
    bind(Context::Run, Command::Replay, &["r"], "replay a log statement added afterwards", "replay"),
    bind(Context::Diff, Command::AddStatement, &["a"], "add a log statement after this line", "add log"),
    bind(Context::Diff, Command::NextHunk, &["]"], "next change", "[ ]|change"),
    bind(Context::Diff, Command::PreviousHunk, &["["], "previous change", ""),
    bind(Context::Diff, Command::NextFile, &["J"], "next file", "J K|file"),
    bind(Context::Diff, Command::PreviousFile, &["K"], "previous file", ""),
    bind(Context::Diff, Command::NextStatement, &["o"], "next propagated log statement", "o O|log lines"),
    bind(Context::Diff, Command::PreviousStatement, &["O"], "previous propagated log statement", ""),
    bind(Context::Diff, Command::ToggleSplit, &["s"], "side by side or unified", "split"),
    bind(Context::Diff, Command::Open, &["Enter"], "unfold, or explain and correct a placement", "open"),
    bind(Context::Diff, Command::Edit, &["e"], "open $EDITOR at this line", "edit"),
    bind(Context::Diff, Command::Replay, &["r"], "replay a log statement added afterwards", "replay"),
    bind(Context::Results, Command::SortAscending, &["["], "sort by this column, smallest first", "[ ]|sort"),
    bind(Context::Results, Command::SortDescending, &["]"], "sort by this column, largest first", ""),
    bind(Context::Results, Command::ThenAscending, &["{"], "then by this column, smallest first", ""),
    bind(Context::Results, Command::ThenDescending, &["}"], "then by this column, largest first", ""),
    bind(
        Context::Results,
        Command::Filter,
        &["&"],
        "show only rows that match, as --where: loss<0.1 and epoch>3",
        "filter",
    ),
    bind(Context::Results, Command::Plot, &["."], "plot this column", "plot"),
    bind(Context::Results, Command::Statistics, &["S"], "statistics of this column", "stats"),
    bind(Context::Results, Command::ChooseColumns, &["C"], "choose which names are columns", "columns"),
    bind(Context::Results, Command::HideColumn, &["-"], "hide this column", ""),
    bind(Context::Results, Command::HideUnchanged, &["u"], "hide or show columns that never change", ""),
    bind(
        Context::Results,
        Command::OnlyValued,
        &["v"],
        "only rows where this column has a value, or all again",
        "v|valued",
    ),
    bind(Context::Results, Command::NextDifferent, &[">"], "next row with another value in this column", ""),
    bind(Context::Results, Command::PreviousDifferent, &["<"], "previous row with another value in this column", ""),
    bind(Context::Results, Command::CellStyle, &["c"], "short numbers, all digits, or heat by column", "cells"),
    bind(
        Context::Results,
        Command::Divergence,
        &["D"],
        "where two runs part: the marked ones, or baseline and this one",
        "D|part",
    ),
    bind(Context::Results, Command::Baseline, &["p"], "pin this run as the baseline to compare with", ""),
    bind(Context::Results, Command::Freeze, &["f"], "keep the columns up to this one at the left", ""),
    bind(Context::Results, Command::Export, &["Ctrl-s"], "write the rows shown to a CSV or JSON file", "Ctrl-s|export"),
    bind(Context::Results, Command::Open, &["Enter"], "show the whole value and its verdict", ""),
    bind(Context::Results, Command::AddStatement, &["a"], "read this run's script, to add a log statement", ""),
    bind(Context::Results, Command::Replay, &["r"], "replay a log statement added afterwards", "replay"),
    bind(Context::Plot, Command::Left, &["h", "Left"], "crosshair to the value before", "h l|crosshair"),
    bind(Context::Plot, Command::Right, &["l", "Right"], "crosshair to the next value", ""),
    bind(Context::Plot, Command::Up, &["k", "Up"], "run above, on top", ""),
    bind(Context::Plot, Command::Down, &["j", "Down"], "run below, on top", "j k|run"),
    bind(Context::Plot, Command::Mark, &["Space"], "hide or show this run; the scale fits what is shown", "Space|hide"),
    bind(Context::Plot, Command::NextColumn, &["]", "Tab"], "plot the next column", "[ ]|column"),
    bind(Context::Plot, Command::PreviousColumn, &["[", "BackTab"], "plot the column before", ""),
    bind(Context::Plot, Command::Plot, &["."], "logarithmic scale, then back to the grid", "scale"),
    bind(Context::Plot, Command::Axis, &["x"], "count by the outer loop, or by the innermost", "axis"),
    bind(Context::Plot, Command::CellStyle, &["c"], "braille, blocks or letters", "dots"),
    bind(Context::Plot, Command::Open, &["Enter"], "to the row of the grid under the crosshair", "row"),
    bind(Context::Replay, Command::Open, &["Enter"], "go on: preview, plan, start", "go on"),
    bind(Context::Replay, Command::Mark, &["Space"], "choose or drop this log statement", "choose"),
    bind(Context::Replay, Command::Correct, &["m"], "correct this placement: move, exclude, take back", "correct"),
    bind(Context::Replay, Command::NextStatement, &["o"], "next placement to look at", "o O|uncertain"),
    bind(Context::Replay, Command::PreviousStatement, &["O"], "previous placement to look at", ""),
    bind(Context::Replay, Command::MoreWorkers, &["+", "="], "one worker more", "+ -|workers"),
    bind(Context::Replay, Command::FewerWorkers, &["-"], "one worker fewer", ""),
    bind(Context::Replay, Command::Iterations, &["i"], "which iterations: last, 0,4, epoch=2..5", "iterations"),
    bind(Context::Replay, Command::Filter, &["&"], "only where, e.g. val_acc < 0.8 and epoch >= 3", "where"),
    bind(Context::Replay, Command::OnlyMarked, &["M"], "only the marked runs, or all again", "marked only"),
    bind(Context::Replay, Command::CancelJob, &["x"], "cancel the replay; what is finished stays", "cancel"),
    bind(Context::Replay, Command::Retry, &["R"], "plan the same again: what failed, was cancelled or is new", "again"),
    bind(Context::Replay, Command::AddStatement, &["a"], "read the newest script, to add a log statement", "add log"),
    bind(Context::Replay, Command::Replay, &["r"], "choose log statements to replay", "new replay"),
    bind(Context::Everywhere, Command::ShowTimeline, &["1"], "timeline of runs", ""),
    bind(Context::Everywhere, Command::ShowDiff, &["2"], "diff of two versions", ""),
    bind(Context::Everywhere, Command::ShowResults, &["3"], "results grid", ""),
    bind(Context::Everywhere, Command::ShowReplay, &["4"], "replay", ""),
    bind(Context::Everywhere, Command::NextPanel, &["Tab"], "next panel", ""),
    bind(Context::Everywhere, Command::PreviousPanel, &["BackTab"], "previous panel", ""),
    bind(Context::Everywhere, Command::Up, &["k", "Up"], "up", ""),
    bind(Context::Everywhere, Command::Down, &["j", "Down"], "down", ""),
    bind(Context::Everywhere, Command::Left, &["h", "Left"], "left", ""),
    bind(Context::Everywhere, Command::Right, &["l", "Right"], "right", ""),
    bind(Context::Everywhere, Command::Top, &["g", "Home"], "first row", ""),
    bind(Context::Everywhere, Command::Bottom, &["G", "End"], "last row", ""),
    bind(Context::Everywhere, Command::FirstColumn, &["0"], "first column", ""),
    bind(Context::Everywhere, Command::LastColumn, &["$"], "last column", ""),
    bind(Context::Everywhere, Command::HalfPageUp, &["Ctrl-u"], "half a page up", ""),
    bind(Context::Everywhere, Command::HalfPageDown, &["Ctrl-d"], "half a page down", ""),
    bind(Context::Everywhere, Command::PageUp, &["Ctrl-b", "PageUp"], "page up", ""),
    bind(Context::Everywhere, Command::PageDown, &["Ctrl-f", "PageDown"], "page down", ""),
    bind(Context::Everywhere, Command::Search, &["/"], "search", "search"),
    bind(Context::Everywhere, Command::SearchNext, &["n"], "next match", ""),
    bind(Context::Everywhere, Command::SearchPrevious, &["N"], "previous match", ""),
    bind(Context::Everywhere, Command::Zoom, &["+", "z"], "detail on the whole screen", ""),
    bind(Context::Everywhere, Command::Jobs, &["w"], "replay jobs", "jobs"),
    bind(Context::Everywhere, Command::Copy, &["y"], "copy the cell or id", ""),
    bind(Context::Everywhere, Command::CopyRow, &["Y"], "copy the row", ""),
    bind(Context::Everywhere, Command::Palette, &[":"], "all commands by name", ""),
    bind(Context::Everywhere, Command::Help, &["?", "F1"], "help", "help"),
    bind(Context::Everywhere, Command::Back, &["Esc"], "out one layer", ""),
    bind(Context::Everywhere, Command::Redraw, &["Ctrl-l"], "draw everything anew", ""),
    bind(Context::Everywhere, Command::Suspend, &["Ctrl-z"], "suspend to the shell", ""),
    bind(Context::Everywhere, Command::Leave, &["q"], "out one layer, then quit", "quit"),
    bind(Context::Everywhere, Command::Quit, &["Ctrl-c"], "quit", ""),
];

/// Bindings that hold in a context, its own first.
pub fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    let own = BINDINGS.iter().filter(move |b| b.context == context);
    let general = BINDINGS.iter().filter(|b| b.context == Context::Everywhere);
    own.chain(general)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tui::keymap::is_key;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for key in binding.keys {
                assert!(seen.insert((binding.context, *key)), "{key} twice in {:?}", binding.context);
            }
        }
    }

    #[test]
    fn a_command_has_one_row_in_a_context_and_keys_are_spelled_as_they_arrive() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            assert!(seen.insert((binding.context, binding.command)), "{:?} twice", binding.command);
            for key in binding.keys {
                assert!(is_key(key), "{key}");
            }
        }
    }
}
