//! Screens as SVG: one as a picture, several as a film that plays by CSS alone, wherever a picture may stand.

use std::collections::BTreeSet;
use std::fmt::Write;

/// Size of a character cell, in pixels, and the height of its baseline.
const CELL: (f32, f32) = (8.4, 18.0);
const BASELINE: f32 = 13.5;
const MARGIN: f32 = 14.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";
const CAPTION: &str = "#8b93a7";
const KEY: &str = "#7dcfff";

/// What a terminal shows, as a picture.
pub(crate) fn picture(screen: &vt100::Screen) -> String {
    let mut classes = Classes::default();
    let rows = rows(screen, &mut classes);
    let mut out = head(screen.size().1.get(), rows.len(), &classes, "");
    for row in &rows {
        out.push_str(row);
    }
    out.push_str("</svg>\n");
    out
}

/// Screens one after the other, each with the key that led there and what it does.
#[derive(Default)]
pub(crate) struct Film {
    columns: u16,
    frames: Vec<Frame>,
    classes: Classes,
}

struct Frame {
    rows: Vec<String>,
    ms: u32,
}

impl Film {
    /// Adds what the terminal shows for so long.
    pub(crate) fn take(&mut self, screen: &vt100::Screen, ms: u32, key: &str, what: &str) {
        self.columns = screen.size().1.get();
        let mut rows = rows(screen, &mut self.classes);
        let y = rows.len() as f32 * CELL.1 + MARGIN + BASELINE + 4.0;
        let mut caption = format!("<text y=\"{y:.1}\">");
        let after = MARGIN + (key.chars().count() as f32 + 2.0) * CELL.0;
        let _ = write!(caption, "<tspan x=\"{MARGIN}\" fill=\"{KEY}\" font-weight=\"bold\">{}</tspan>", escaped(key));
        let x = if key.is_empty() { MARGIN } else { after };
        let _ = writeln!(caption, "<tspan x=\"{x:.1}\" fill=\"{CAPTION}\">{}</tspan></text>", escaped(what));
        rows.push(caption);
        self.frames.push(Frame { rows, ms });
    }

    /// Each row is drawn once for every stretch of frames in which it stays the same, and shown for that time.
    pub(crate) fn svg(&self) -> String {
        let whole: u32 = self.frames.iter().map(|frame| frame.ms).sum();
        let starts: Vec<f32> = std::iter::once(0)
            .chain(self.frames.iter().scan(0, |at, frame| {
                *at += frame.ms;
                Some(*at)
            }))
            .map(|ms| ms as f32 * 100.0 / whole as f32)
            .collect();
        let mut spans = BTreeSet::new();
        let mut body = String::new();
        let count = self.frames.len();
        for row in 0..self.frames.first().map_or(0, |frame| frame.rows.len()) {
            let mut from = 0;
            while from < count {
                let text = &self.frames[from].rows[row];
                let same = self.frames[from..].iter().take_while(|frame| frame.rows[row] == *text).count();
                let to = from + same;
                if (from, to) == (0, count) {
                    body.push_str(text);
                } else if !text.is_empty() {
                    let _ = write!(body, "<g class=\"f{from}-{to}\">{text}</g>");
                    spans.insert((from, to));
                }
                from = to;
            }
        }
        let mut css = String::from("g{visibility:hidden}");
        for (from, to) in spans {
            let mut steps = String::new();
            if from > 0 {
                steps.push_str("0%{visibility:hidden}");
            }
            let _ = write!(steps, "{:.3}%{{visibility:visible}}", starts[from]);
            if to < count {
                let _ = write!(steps, "{:.3}%{{visibility:hidden}}", starts[to]);
            }
            let rest = if to == count { "visibility:visible;" } else { "" };
            let seconds = whole as f32 / 1000.0;
            let _ = write!(
                css,
                "@keyframes k{from}-{to}{{{steps}}}.f{from}-{to}{{{rest}animation:k{from}-{to} {seconds}s step-end infinite}}"
            );
        }
        // Who wants nothing to move sees the last screen.
        css.push_str("@media(prefers-reduced-motion:reduce){g{animation:none!important}}");
        let rows = self.frames.first().map_or(0, |frame| frame.rows.len());
        format!("{}{body}</svg>\n", head(self.columns, rows, &self.classes, &css))
    }
}

fn head(columns: u16, rows: usize, classes: &Classes, css: &str) -> String {
    let (width, height) = (f32::from(columns) * CELL.0 + 2.0 * MARGIN, rows as f32 * CELL.1 + 2.0 * MARGIN);
    let mut styles = String::new();
    for (number, style) in classes.0.iter().enumerate() {
        let _ = write!(styles, ".c{number}{{fill:{}", style.foreground);
        for (on, rule) in [
            (style.bold, ";font-weight:bold"),
            (style.underline, ";text-decoration:underline"),
            (style.dim, ";opacity:.6"),
        ] {
            styles.push_str(if on { rule } else { "" });
        }
        styles.push('}');
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" xml:space=\"preserve\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <style>text{{white-space:pre}}{styles}{css}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    )
}

#[derive(PartialEq, Clone)]
struct Style {
    foreground: String,
    background: String,
    bold: bool,
    underline: bool,
    dim: bool,
}

/// Every look of text so far, without its background.
#[derive(Default)]
struct Classes(Vec<Style>);

impl Classes {
    fn of(&mut self, style: &Style) -> usize {
        let look = Style { background: String::new(), ..style.clone() };
        self.0.iter().position(|known| *known == look).unwrap_or_else(|| {
            self.0.push(look);
            self.0.len() - 1
        })
    }
}

/// For each row a rectangle per run of background and a piece of text per run of equal style; nothing where it is empty.
fn rows(screen: &vt100::Screen, classes: &mut Classes) -> Vec<String> {
    let (rows, columns) = screen.size();
    (0..rows.get()).map(|row| draw_row(screen, row, columns.get(), classes)).collect()
}

fn draw_row(screen: &vt100::Screen, row: u16, columns: u16, classes: &mut Classes) -> String {
    let (mut boxes, mut texts) = (String::new(), String::new());
    let y = f32::from(row) * CELL.1 + MARGIN;
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
        if style.background != BACKGROUND {
            let (x, width) = (f32::from(start) * CELL.0 + MARGIN, f32::from(column - start) * CELL.0);
            let _ = write!(
                boxes,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>",
                CELL.1, style.background
            );
        }
        let shown = text.trim_end();
        let begins = shown.trim_start();
        if begins.is_empty() {
            continue;
        }
        let skipped = shown.chars().count() - begins.chars().count();
        let x = (f32::from(start) + skipped as f32) * CELL.0 + MARGIN;
        // A font whose letters are narrower or wider is made to fit its cells.
        let width = begins.chars().count() as f32 * CELL.0;
        let _ = write!(
            texts,
            "<tspan class=\"c{}\" x=\"{x:.1}\" textLength=\"{width:.1}\">{}</tspan>",
            classes.of(&style),
            escaped(begins)
        );
    }
    let text =
        if texts.is_empty() { String::new() } else { format!("<text y=\"{:.1}\">{texts}</text>\n", y + BASELINE) };
    format!("{boxes}{text}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
