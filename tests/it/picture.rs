//! The README's picture: the interface after a real session, drawn as SVG from what a terminal would show.
//!
//! `AFTERLOG_PICTURE=1 cargo test picture` writes it to `assets/picture.svg`; without the variable the same session is
//! run and drawn, and only looked at.

use std::fmt::Write;

use crate::env::TestProject;
use crate::terminal::Terminal;

const COLUMNS: u16 = 100;
const ROWS: u16 = 28;
/// Size of a character cell in the picture, in pixels, and the height of its baseline.
const CELL: (f32, f32) = (8.4, 18.0);
const BASELINE: f32 = 13.5;
const MARGIN: f32 = 14.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";

/// Draws the screen: a rectangle per run of background, a text element per run of equal style.
fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let (width, height) = (f32::from(columns) * CELL.0 + 2.0 * MARGIN, f32::from(rows) * CELL.1 + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        draw_row(&mut out, screen, row, columns);
    }
    out.push_str("</svg>\n");
    out
}

#[derive(PartialEq, Clone)]
struct Style {
    foreground: String,
    background: String,
    bold: bool,
    underline: bool,
    dim: bool,
}

fn draw_row(out: &mut String, screen: &vt100::Screen, row: u16, columns: u16) {
    let mut column = 0;
    while column < columns {
        let style = style_at(screen, row, column);
        let start = column;
        let mut text = String::new();
        while column < columns && style_at(screen, row, column) == style {
            if let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) {
                text.push_str(if cell.has_contents() { cell.contents() } else { " " });
            }
            column += 1;
        }
        draw_run(out, row, (start, column), &text, &style);
    }
}

fn draw_run(out: &mut String, row: u16, (start, end): (u16, u16), text: &str, style: &Style) {
    let (x, y) = (f32::from(start) * CELL.0 + MARGIN, f32::from(row) * CELL.1 + MARGIN);
    let width = f32::from(end - start) * CELL.0;
    if style.background != BACKGROUND {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>",
            CELL.1, style.background
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    let underline = if style.underline { " text-decoration=\"underline\"" } else { "" };
    let opacity = if style.dim { " opacity=\"0.6\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" fill=\"{}\"{weight}{underline}{opacity}>{escaped}</text>",
        y + BASELINE,
        style.foreground
    );
}

fn style_at(screen: &vt100::Screen, row: u16, column: u16) -> Style {
    let Some(cell) = screen.cell(row, column) else {
        return Style {
            foreground: FOREGROUND.into(),
            background: BACKGROUND.into(),
            bold: false,
            underline: false,
            dim: false,
        };
    };
    let mut colours = (colour(cell.fgcolor(), FOREGROUND), colour(cell.bgcolor(), BACKGROUND));
    if cell.inverse() {
        colours = (colours.1, colours.0);
    }
    Style {
        foreground: colours.0,
        background: colours.1,
        bold: cell.bold(),
        underline: cell.underline(),
        dim: cell.dim(),
    }
}

fn colour(colour: vt100::Color, default: &str) -> String {
    const SIXTEEN: [&str; 16] = [
        "#21252b", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#5c6370", "#ff7b86",
        "#b5e890", "#ffd68a", "#7cc5ff", "#de8ff0", "#6fd3e0", "#ffffff",
    ];
    match colour {
        vt100::Color::Default => default.into(),
        vt100::Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        vt100::Color::Idx(i @ 0..16) => SIXTEEN[usize::from(i)].into(),
        vt100::Color::Idx(i @ 16..232) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let i = i - 16;
            format!("#{:02x}{:02x}{:02x}", level(i / 36), level(i / 6 % 6), level(i % 6))
        }
        vt100::Color::Idx(i) => format!("#{0:02x}{0:02x}{0:02x}", 8 + 10 * (i - 232)),
    }
}

/// The story that the README tells, by keyboard alone: choose the statement, see where it lands, see the plan, run it,
/// look at the values.
#[test]
fn from_an_added_log_statement_to_verified_values_by_keyboard() {
    let project = TestProject::plain();
    let folder = project.path().join("spirals");
    let folder = folder.to_str().expect("a UTF-8 path");
    let mut terminal = Terminal::start(&project, &["demo", "--dir", folder], COLUMNS, ROWS);
    terminal.wait_for("4 runs");
    terminal.send("r");
    terminal.wait_for("[ ] grad_norm");
    terminal.send("\r");
    terminal.wait_for("optimizer → sgd");
    terminal.send("\r");
    terminal.wait_for("Enter start");
    terminal.send("\r");
    terminal.wait_for("segments done");
    terminal.wait_until("the replay's end", |screen| screen.contains("over:"));
    terminal.send("3");
    terminal.wait_for("✓");
    // Only what is logged once an iteration: without the step's loss, and without what is logged at the end.
    terminal.send("C");
    terminal.wait_for("Space shows or hides");
    terminal.send("j ");
    terminal.wait_for("[ ] best_acc");
    terminal.send("j ");
    terminal.wait_for("[ ] loss");
    terminal.send("\x1b");
    terminal.wait_for("40 rows");
    terminal.wait_until("verified values and no column of steps", |screen| {
        screen.contains('✓') && !screen.contains("step") && !screen.contains("│")
    });
    let picture = svg(terminal.parser.screen());
    assert!(picture.contains("grad_norm") && picture.contains("✓"));
    if std::env::var_os("AFTERLOG_PICTURE").is_some() {
        project.write(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/picture.svg"), &picture);
    }
    // Back to the first panel, and out of it.
    terminal.send("q");
    terminal.wait_for("4 runs");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}
