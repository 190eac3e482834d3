//! Aligned columns for people: a header, a column as wide as its widest cell, lines cut to the terminal's width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A wider cell is cut: one long text must not push everything else out of sight.
const MAX_CELL: usize = 48;
const GAP: &str = "  ";

/// Lays out rows under a header, each line at most `width` columns wide. A column in which every filled cell begins like a number is
/// aligned to the right.
pub fn lay_out(header: &[String], rows: &[Vec<String>], width: usize) -> String {
    let header: Vec<String> = header.iter().map(|text| shown(text, MAX_CELL)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|text| shown(text, MAX_CELL)).collect()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).chain([&header[at]]).map(|c| c.width()).max().unwrap_or(0))
        .collect();
    let right: Vec<bool> =
        (0..header.len()).map(|at| rows.iter().filter_map(|row| row.get(at)).all(|c| is_numeric(c))).collect();
    let mut out = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[at].saturating_sub(cell.width()));
            line.push_str(if at == 0 { "" } else { GAP });
            line.push_str(&if right[at] { padding + cell } else { cell.clone() + &padding });
        }
        out.push_str(&shown(line.trim_end(), width));
        out.push('\n');
    }
    out
}

fn is_numeric(cell: &str) -> bool {
    let number = cell.strip_prefix('-').unwrap_or(cell);
    number.is_empty()
        || number.starts_with(|c: char| c.is_ascii_digit())
        || ["nan", "inf", "·", "…", "✗"].iter().any(|m| number.starts_with(m))
}

/// One line of at most `width` columns; control characters become spaces, what is cut is replaced by `…`.
fn shown(text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.width() <= width {
        return text;
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::lay_out;

    #[test]
    fn columns_align_and_lines_fit() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let table =
            lay_out(&row(&["run", "loss", "note"]), &[row(&["a", "0.5 ✓", "訓練"]), row(&["bb", "10.25", "a\nb"])], 16);
        assert_eq!(table, "run   loss  note\na    0.5 ✓  訓練\nbb   10.25  a b\n");
        assert_eq!(lay_out(&row(&["long name"]), &[], 5), "long…\n");
    }
}
