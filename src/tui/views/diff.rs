//! Two versions: side by side or unified, with propagated log statements as a class of line of their own.

use std::ops::Range;

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::base::ids::RunId;
use crate::model::source::FileChange;
use crate::tui::app::App;
use crate::tui::app::arguments::changes;
use crate::tui::app::document::{FileDiff, Pair, Row};
use crate::tui::app::layout::Areas;
use crate::tui::highlight::Colours;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::views::Pen;

/// Columns of a line's number at least, so that small files look alike.
const LEAST_DIGITS: u16 = 4;

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, areas: Areas) {
    let diff = &app.diff;
    let Some(document) = &diff.document else {
        let said = if diff.waiting { "comparing versions …" } else { "one run is recorded: a diff needs two" };
        pen.put(areas.main.x + 1, areas.main.y + 1, areas.main.width - 1, said, Role::Dim);
        return;
    };
    let Some(file) = diff.current() else {
        let said = format!("{} and {} ran the same code", document.left, document.right);
        pen.put(areas.main.x + 1, areas.main.y + 1, areas.main.width - 1, &said, Role::Text);
        arguments(app, pen, Rect { y: areas.main.y + 2, height: areas.main.height.saturating_sub(2), ..areas.main });
        return;
    };
    header(app, pen, areas.header, file);
    let area = areas.main;
    for (y, (position, row)) in (area.y..area.bottom()).zip(diff.rows.iter().enumerate().skip(diff.cursor.offset)) {
        let line = Rect { y, height: 1, ..area };
        draw_row(app, pen, file, *row, line);
        if position == diff.cursor.selected {
            pen.cursor(y, line.x);
        }
    }
}

/// What the runs differ in where it is not the code.
fn arguments(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let Some(document) = &app.diff.document else { return };
    let run = |id: &RunId| app.timeline.run(id.as_str());
    let (Some(older), Some(newer)) = (run(&document.left), run(&document.right)) else { return };
    let mut said = changes(older, newer, pen.glyphs().arrow);
    if said.is_empty() {
        said.push("their arguments are the same, too".to_owned());
    }
    for (y, line) in (area.y..area.bottom()).zip(said) {
        pen.put(area.x + 3, y, area.width.saturating_sub(3), &line, Role::Text);
    }
}

fn header(app: &App, pen: &mut Pen<'_>, line: Rect, file: &FileDiff) {
    let Some(document) = &app.diff.document else { return };
    let glyphs = *pen.glyphs();
    let change = match file.change {
        Some(FileChange::Added) => " (new)",
        Some(FileChange::Removed) => " (removed)",
        Some(FileChange::Modified) => "",
        None => " (unchanged)",
    };
    let place = format!("{}/{}  ", app.diff.file + 1, document.files.len());
    let (added, removed) = (format!("  +{}", file.added), format!(" {}{}", glyphs.minus, file.removed));
    let statements = format!(" {}{}", glyphs.statement, file.statement_count());
    let runs = match document.left == document.right {
        true => format!("  {}", document.right),
        false => format!("  {} {} {}", document.left, glyphs.arrow, document.right),
    };
    pen.pieces(
        line.x + 1,
        line.y,
        line.width - 1,
        &[
            (&place, Role::Dim),
            (&file.path, Role::Title),
            (change, Role::Dim),
            (&added, Role::Good),
            (&removed, Role::Bad),
            (&statements, Role::Statement),
            (&runs, Role::Dim),
        ],
    );
}

/// Columns of a line's number, of the sign and of the spaces around both: as many as the longest number takes.
fn gutter(file: &FileDiff) -> u16 {
    let digits = file.left.len().max(file.right.len()).max(1).ilog10() + 1;
    u16::try_from(digits).unwrap_or(0).max(LEAST_DIGITS) + 4
}

/// One side of a row, ready to be drawn.
struct SideLine<'a> {
    number: Option<usize>,
    sign: &'a str,
    text: &'a str,
    role: Role,
    word_role: Role,
    words: &'a [Range<usize>],
    colours: &'a [(Range<usize>, Role)],
}

fn draw_row(app: &App, pen: &mut Pen<'_>, file: &FileDiff, row: Row, line: Rect) {
    let (index, from_left, from_right) = match row {
        Row::Fold { count, .. } => {
            let fold = pen.glyphs().fold;
            pen.put(line.x + 2, line.y, line.width - 2, &format!("{fold} {count} unchanged {fold}"), Role::Dim);
            return;
        }
        Row::Both(index) => (index, true, true),
        Row::Left(index) => (index, true, false),
        Row::Right(index) => (index, false, true),
    };
    if let Pair::Virtual { left, right } = &file.pairs[index] {
        virtual_row(app, pen, file, (left.filter(|_| from_left), right.filter(|_| from_right)), line);
        return;
    }
    if !app.is_split() {
        let left = from_left && (!from_right || matches!(&file.pairs[index], Pair::Same { .. }));
        let same = matches!(&file.pairs[index], Pair::Same { .. });
        // An unchanged line is drawn once, numbered as on the right.
        if let Some(side) = side(app, file, index, left && !same) {
            draw_side(app, pen, &side, (line, gutter(file)));
        }
        return;
    }
    let (left, right) = halves(line);
    pen.put(right.x - 1, line.y, 1, pen.look.glyphs.bar, Role::Rule);
    for (area, is_left) in [(left, true), (right, false)] {
        if let Some(side) = side(app, file, index, is_left) {
            draw_side(app, pen, &side, (area, gutter(file)));
        }
    }
}

fn halves(line: Rect) -> (Rect, Rect) {
    let half = line.width / 2;
    (Rect { width: half - 1, ..line }, Rect { x: line.x + half, width: line.width - half, ..line })
}

/// What stands on one side of a pair, if anything.
fn side<'a>(app: &'a App, file: &'a FileDiff, index: usize, left: bool) -> Option<SideLine<'a>> {
    let lines = if left { &file.left } else { &file.right };
    let coloured = app.diff.colours.get(&app.diff.file);
    let colours = coloured.map(|c| if left { &c.left } else { &c.right });
    let of_line = |at: usize| colours.and_then(|c: &Colours| c.get(at)).map_or(&[][..], Vec::as_slice);
    match &file.pairs[index] {
        Pair::Same { left: l, right: r } => {
            let at = if left { *l } else { *r };
            Some(SideLine {
                number: Some(at + 1),
                sign: " ",
                text: lines.get(at)?,
                role: Role::Text,
                word_role: Role::Text,
                words: &[],
                colours: of_line(at),
            })
        }
        Pair::Changed { left: l, right: r } => {
            let changed = if left { l } else { r }.as_ref()?;
            let (sign, role, word_role) =
                if left { ("-", Role::Removed, Role::RemovedWord) } else { ("+", Role::Added, Role::AddedWord) };
            Some(SideLine {
                number: Some(changed.index + 1),
                sign,
                text: lines.get(changed.index)?,
                role,
                word_role,
                words: &changed.words,
                colours: of_line(changed.index),
            })
        }
        Pair::Virtual { .. } => None,
    }
}

fn draw_side(app: &App, pen: &mut Pen<'_>, side: &SideLine<'_>, (area, gutter): (Rect, u16)) {
    if let Some(number) = side.number {
        pen.right(area.x + 1, area.y, gutter - 4, &number.to_string(), Role::Dim);
    }
    pen.put(area.x + gutter - 2, area.y, 1, side.sign, side.role);
    let width = area.width.saturating_sub(gutter);
    let mut x = area.x + gutter;
    let end = x + width;
    let mut skip = app.diff.column;
    for (range, style) in segments(side, pen) {
        let piece = text::clean(&side.text[range]).into_owned();
        let columns = text::width(&piece);
        if skip >= columns {
            skip -= columns;
            continue;
        }
        let piece = text::skip_columns(&piece, skip);
        skip = 0;
        if x >= end {
            break;
        }
        x += pen.put_styled(x, area.y, end - x, piece, style);
    }
    if side.sign != " " && x < end {
        pen.tint(Rect { x, y: area.y, width: end - x, height: 1 }, side.role);
    }
}

/// Cuts a line where its style changes: the line's role below, syntax over it, changed words on top.
fn segments(side: &SideLine<'_>, pen: &Pen<'_>) -> Vec<(Range<usize>, Style)> {
    let theme = &pen.look.theme;
    let length = side.text.len();
    let mut cuts = vec![0, length];
    cuts.extend(side.words.iter().flat_map(|r| [r.start, r.end]));
    cuts.extend(side.colours.iter().flat_map(|(r, _)| [r.start, r.end]));
    cuts.retain(|at| *at <= length && side.text.is_char_boundary(*at));
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2)
        .map(|cut| {
            let mut style = theme.style(side.role);
            if let Some((_, role)) = side.colours.iter().find(|(r, _)| r.contains(&cut[0])) {
                // Where colour is all that marks the line, syntax must not hide it.
                if style.fg.is_none() {
                    style = style.patch(theme.style(*role));
                }
            }
            if side.words.iter().any(|r| r.contains(&cut[0])) {
                style = style.patch(theme.style(side.word_role));
            }
            (cut[0]..cut[1], style)
        })
        .collect()
}

type At = Option<(usize, usize)>;

fn virtual_row(app: &App, pen: &mut Pen<'_>, file: &FileDiff, (left, right): (At, At), line: Rect) {
    let sides: [(Rect, At); 2] = if app.is_split() {
        let (left_area, right_area) = halves(line);
        pen.put(right_area.x - 1, line.y, 1, pen.look.glyphs.bar, Role::Rule);
        [(left_area, left), (right_area, right)]
    } else {
        [(line, right.or(left)), (line, None)]
    };
    for (area, at) in sides {
        let Some((statement, number)) = at else { continue };
        let statement = &file.statements[statement];
        let glyphs = *pen.glyphs();
        let glyph = if statement.is_uncertain() { glyphs.uncertain } else { glyphs.statement };
        let style = pen.look.theme.style(Role::Statement).add_modifier(ratatui::style::Modifier::UNDERLINED);
        let gutter = gutter(file);
        let mark = format!("{glyph:>width$} ", width = usize::from(gutter) - 3);
        pen.put_styled(area.x + 1, area.y, gutter - 2, &mark, style);
        let tag = if app.is_split() || right.is_some() { String::new() } else { " older".to_owned() };
        let by_hand = if statement.placement.decided_in.is_some() { " by hand" } else { "" };
        let tag = format!("log{}{}{by_hand}{tag}", if glyphs.plain { "<-" } else { "←" }, statement.placement.name);
        let tag_width = u16::try_from(text::width(&text::clean(&tag))).unwrap_or(0).min(area.width / 3);
        let width = area.width.saturating_sub(gutter + 2 + tag_width);
        let text = statement.lines.get(number).map_or("", String::as_str);
        let safe = text::clean(text).into_owned();
        pen.put(area.x + gutter, area.y, width, text::skip_columns(&safe, app.diff.column), Role::Statement);
        if number == 0 {
            pen.right(area.right().saturating_sub(tag_width + 1), area.y, tag_width, &tag, Role::Statement);
        }
    }
}
