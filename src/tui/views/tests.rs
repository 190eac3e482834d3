//! Screens as they are drawn, with their styles, at the sizes that matter; and what they cost in bytes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, draw};
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::job::{CheckReport, SegmentState};
use crate::model::plan::{Isolation, ReplayPlan};
use crate::model::value::Value;
use crate::model::verdict::Verdict;
use crate::tui::app::fixture::{
    answer, app, draft, give_grid, id, plan, plot, press, settle, with_diff, with_editor, with_grid, with_nested,
    with_replay, with_run,
};
use crate::tui::app::{App, Place};
use crate::tui::event::{Answer, Event};
use crate::tui::terminal::encode;
use crate::tui::theme::{ASCII, Background, Depth, Glyphs, Theme, UNICODE};

fn look(depth: Depth, glyphs: Glyphs) -> Look {
    Look { theme: Theme::bundled(Background::Dark, depth), glyphs }
}

fn screen(app: &App, look: &Look) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    draw(app, look, &mut buffer);
    buffer
}

/// The text, then for each row the runs of cells that do not look plain, then what each look is.
fn serialised(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    let mut runs = String::new();
    let mut looks: BTreeMap<String, usize> = BTreeMap::new();
    for y in 0..area.height {
        let mut line = String::new();
        let mut wide = 0;
        let mut row_runs: Vec<(u16, u16, usize)> = Vec::new();
        for x in 0..area.width {
            let cell = &buffer[(x, y)];
            if wide == 0 {
                line.push_str(cell.symbol());
                wide = unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
            }
            wide -= 1;
            let style = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
            if style == "Reset on Reset NONE" {
                continue;
            }
            let next = looks.len();
            let number = *looks.entry(style).or_insert(next);
            match row_runs.last_mut() {
                Some((_, end, same)) if *end == x && *same == number => *end = x + 1,
                _ => row_runs.push((x, x + 1, number)),
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if !row_runs.is_empty() {
            let row: Vec<String> = row_runs.iter().map(|(a, b, n)| format!("{a}-{b}:{n}")).collect();
            let _ = writeln!(runs, "{y:>3} {}", row.join(" "));
        }
    }
    let mut legend: Vec<(&usize, &String)> = looks.iter().map(|(style, number)| (number, style)).collect();
    legend.sort();
    let legend: String = legend.iter().map(|(number, style)| format!("{number:>3} = {style}\n")).collect();
    format!("{text}---\n{runs}---\n{legend}")
}

fn check(name: &str, app: &App, look: &Look) {
    insta::assert_snapshot!(format!("{name}_{}x{}", app.size.0, app.size.1), serialised(&screen(app, look)));
}

#[test]
fn panels_look_as_they_should_at_every_size() {
    for (width, height) in [(40, 10), (80, 24), (120, 40), (200, 60)] {
        let true_colour = look(Depth::True, UNICODE);
        check("timeline", &app(width, height), &true_colour);
        check("diff", &with_diff(width, height), &true_colour);
        check("run", &with_run(width, height), &true_colour);
        check("results", &with_grid(width, height), &true_colour);
        for (stage, name) in [(1, "choose"), (2, "preview"), (3, "plan"), (4, "job")] {
            check(name, &with_replay(width, height, stage), &true_colour);
        }
        let (mut written, _) = with_editor(width, height);
        let tried = press(&mut written, "n\nlo");
        answer(&mut written, &tried, Answer::Draft(Arc::new(draft(Ok(vec!["`loss` may have no value there".into()])))));
        check("editor", &written, &true_colour);
        let mut corrected = with_replay(width, height, 2);
        press(&mut corrected, "om");
        check("correct", &corrected, &true_colour);
    }
}

#[test]
fn plots_and_heat_look_as_they_should_at_every_size() {
    for (width, height) in [(40, 10), (80, 24), (120, 40), (200, 60)] {
        let mut plotted = with_nested(width, height);
        plot(&mut plotted);
        press(&mut plotted, "jlll");
        check("plot", &plotted, &look(Depth::True, UNICODE));
        let mut heated = with_nested(width, height);
        press(&mut heated, "cc");
        check("heat", &heated, &look(Depth::True, UNICODE));
    }
    let mut parted = with_nested(80, 24);
    press(&mut parted, "pG");
    let effects = press(&mut parted, "D");
    settle(&mut parted, effects);
    check("partings", &parted, &look(Depth::True, UNICODE));
    let effects = press(&mut parted, "\n");
    settle(&mut parted, effects);
    press(&mut parted, "f");
    check("beside", &parted, &look(Depth::True, UNICODE));
    let mut heated = with_nested(80, 24);
    press(&mut heated, "ccj");
    check("heat_indexed", &heated, &look(Depth::Indexed, UNICODE));
    check("heat_sixteen", &heated, &look(Depth::Sixteen, UNICODE));
    check("heat_plain", &heated, &look(Depth::Mono, ASCII));
    let mut blocks = with_nested(80, 24);
    plot(&mut blocks);
    press(&mut blocks, "c.");
    check("plot_blocks_logarithmic", &blocks, &look(Depth::Sixteen, UNICODE));
}

#[test]
fn lesser_terminals_show_the_same_by_other_means() {
    for (depth, name) in [(Depth::Sixteen, "sixteen"), (Depth::Mono, "mono")] {
        check(&format!("timeline_{name}"), &app(80, 24), &look(depth, UNICODE));
        check(&format!("diff_{name}"), &with_diff(80, 24), &look(depth, UNICODE));
        check(&format!("results_{name}"), &with_grid(80, 24), &look(depth, UNICODE));
    }
    for (section, depth) in [("output", Depth::True), ("output_sixteen", Depth::Sixteen), ("timing", Depth::Mono)] {
        let mut run = with_run(80, 24);
        press(&mut run, if section == "timing" { "]]" } else { "]/File\n" });
        check(&format!("run_{section}"), &run, &look(depth, UNICODE));
    }
    let mut plotted = with_grid(80, 24);
    plot(&mut plotted);
    check("plot_plain", &plotted, &look(Depth::Mono, ASCII));
}

#[test]
fn overlays_and_the_first_start_look_as_they_should() {
    let look = look(Depth::True, UNICODE);
    let mut app = app(80, 24);
    press(&mut app, "?");
    check("help", &app, &look);
    press(&mut app, "\x1b:dif");
    check("palette", &app, &look);
    check("first_start", &App::new((80, 24), Place::Nothing, 1), &look);
    check("tiny", &App::new((30, 5), Place::Nothing, 1), &look);
}

#[test]
fn a_message_longer_than_a_line_is_told_to_its_end_above_the_footer() {
    let mut app = app(80, 24);
    app.complain(format!("config.toml:3:5: {}the end", "what is wrong with this key ".repeat(6)));
    let text = serialised(&screen(&app, &look(Depth::Mono, ASCII)));
    assert!(text.contains("config.toml:3:5") && text.contains("the end"), "{text}");
    for (width, height) in [(40, 10), (10, 3), (1, 1), (0, 0)] {
        app.update(Event::Resize(width, height));
        screen(&app, &look(Depth::Mono, ASCII));
    }
}

#[test]
fn plain_screens_hold_nothing_but_ascii() {
    let look = look(Depth::Mono, ASCII);
    for app in [app(80, 24), with_grid(80, 24), with_replay(80, 24, 4)] {
        for cell in screen(&app, &look).content() {
            // What scripts log is shown as it is; the replacement of unsafe bytes is the one sign of ours.
            assert!(cell.symbol().is_ascii() || "→\u{fffd}".contains(cell.symbol()), "{:?}", cell.symbol());
        }
    }
}

#[test]
fn a_replay_in_a_scratch_copy_says_so_and_what_it_was_refused() {
    let isolation = Isolation::Scratch { reason: "no namespaces".into(), kernel: true };
    let text = |app: &App| serialised(&screen(app, &look(Depth::Mono, ASCII)));
    let mut planned = with_replay(200, 60, 3);
    planned.zoom = true;
    planned.replay.plan = Some(Arc::new(ReplayPlan { isolation: isolation.clone(), ..plan() }));
    assert!(text(&planned).contains("scratch copy") && text(&planned).contains("(no namespaces)"));
    assert!(!text(&with_replay(200, 60, 3)).contains("scratch copy"));
    let mut going_on = with_replay(120, 40, 4);
    let segment = &mut going_on.replay.jobs[0].segments[0];
    segment.isolation = isolation;
    let refused = vec!["write to /home/ada/cache".into()];
    segment.state = SegmentState::Done { check: CheckReport { refused, ..CheckReport::default() } };
    assert!(text(&going_on).contains("scratch copy") && text(&going_on).contains("refused to write to /home/ada"));
}

#[test]
fn a_plan_says_which_runs_it_is_for_and_why_its_workers_are_few() {
    let mut app = with_replay(120, 40, 3);
    let few = "2 workers for 16 cores, since cores are busy; --jobs decides".to_owned();
    app.replay.plan = Some(Arc::new(ReplayPlan { fewer_workers: Some(few), ..plan() }));
    let text = |app: &App| serialised(&screen(app, &look(Depth::Mono, ASCII)));
    assert!(text(&app).contains("2 workers for 16 cores") && !text(&app).contains("--jobs"));
    assert!(!text(&app).contains(", only "));
    app.replay.runs = Some(vec![id(2)]);
    assert!(text(&app).contains("all iterations, only these runs"));
    app.timeline.marked = vec![id(2)];
    assert!(text(&app).contains("all iterations, only the marked runs"));
}

#[test]
fn the_states_of_a_cell_never_share_a_sign() {
    for glyphs in [UNICODE, ASCII] {
        let mut signs =
            vec![glyphs.empty, glyphs.pending, glyphs.failed, glyphs.verified, glyphs.unverified, glyphs.diverged];
        signs.sort_unstable();
        signs.dedup();
        assert_eq!(signs.len(), 6);
    }
}

/// A grid of 200 rows and 16 columns of digits that agree with no other row's.
fn wide() -> Grid {
    let cell = |row: i64, name: i64| {
        let value = Value::Int((row * 7919 + name * 104_729) % 99_991);
        Cell::Value { value, verdict: Verdict::Recorded }
    };
    let name = |name| NameColumn { name: format!("n{name}"), cells: (0..200).map(|row| cell(row, name)).collect() };
    Grid {
        runs: vec!["0000000001".parse().expect("an id")],
        rows_run: vec![0; 200],
        loops: vec![LoopColumn { name: "step".into(), index: (0..200).collect(), values: None }],
        names: (0..16).map(name).collect(),
        notes: Vec::new(),
    }
}

fn give_grid_again(app: &mut App, grid: Grid) {
    let effects = press(app, "3");
    give_grid(app, &effects, grid);
}

/// Bytes from one state of the screen to the next.
fn cost(before: &App, after: &App) -> usize {
    let look = look(Depth::True, UNICODE);
    let mut bytes = Vec::new();
    encode(&screen(before, &look), &screen(after, &look), &mut bytes);
    bytes.len()
}

#[test]
fn a_cursor_movement_costs_at_most_300_bytes_and_a_page_at_most_16_kilobytes() {
    let mut moved = app(80, 24);
    press(&mut moved, "j");
    assert!(cost(&app(80, 24), &moved) <= 300, "timeline: {}", cost(&app(80, 24), &moved));
    let mut moved = with_grid(80, 24);
    press(&mut moved, "j");
    assert!(cost(&with_grid(80, 24), &moved) <= 300, "grid: {}", cost(&with_grid(80, 24), &moved));
    let mut moved = with_diff(80, 24);
    press(&mut moved, "j");
    assert!(cost(&with_diff(80, 24), &moved) <= 300, "diff: {}", cost(&with_diff(80, 24), &moved));
    let heated = |keys: &str| {
        let mut app = with_nested(200, 60);
        give_grid_again(&mut app, wide());
        press(&mut app, "cc");
        press(&mut app, keys);
        app
    };
    assert!(cost(&heated(""), &heated("j")) <= 300, "heat: {}", cost(&heated(""), &heated("j")));
    let page = cost(&heated(""), &heated("G"));
    assert!(page <= 28_672, "a page of heat: {page}");
    let plotted = |keys: &str| {
        let mut app = with_nested(80, 24);
        plot(&mut app);
        press(&mut app, keys);
        app
    };
    // A line as high as the screen goes, and another comes.
    assert!(cost(&plotted(""), &plotted("l")) <= 1024, "crosshair: {}", cost(&plotted(""), &plotted("l")));
    let empty = App::new((200, 60), Place::Project("demo".into()), 1);
    assert!(cost(&empty, &with_diff(200, 60)) <= 16_384);
}
