//! `afterlog diff`: how the code of two runs differs.

use std::process::ExitCode;

use crate::analysis::linediff::{LinePair, pairs};
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;

/// Unchanged lines shown around changes.
const CONTEXT: usize = 3;

/// Show how the code of two runs differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog diff 6xk2 7p1c
  afterlog diff 6xk2 last --file train.py")]
pub struct DiffArgs {
    /// The earlier run.
    #[arg(value_name = "RUN")]
    old: String,
    /// The later run.
    #[arg(value_name = "RUN")]
    new: String,
    /// Only this file, relative to the project's root.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

pub(super) fn run(args: &DiffArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let (old, new) = (project.select_one(&args.old)?, project.select_one(&args.new)?);
    let paths = match &args.file {
        Some(file) => vec![file.clone()],
        None => project.changed_files(&old, &new)?.into_iter().map(|file| file.path).collect(),
    };
    if paths.is_empty() {
        output.note(&format!("{old} and {new} ran the same code"));
    }
    for path in paths {
        let (before, after) = (project.source(&old, &path)?, project.source(&new, &path)?);
        if before.is_none() && after.is_none() {
            return Err(Error::NoSuchFile(path));
        }
        if [&before, &after].into_iter().flatten().any(|text| text.contains('\0')) {
            output.line(&format!("Binary files {path} of {old} and {new} differ"))?;
            continue;
        }
        let names = [(&before, &old), (&after, &new)].map(|(text, run)| match text {
            Some(_) => format!("{path} ({run})"),
            None => format!("(no {path} in {run})"),
        });
        one_file(&names, &before.unwrap_or_default(), &after.unwrap_or_default(), output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A row of a unified diff: its sign, its line, and the lines' numbers in both texts before it.
struct Row<'t> {
    sign: char,
    text: &'t str,
    old: usize,
    new: usize,
}

/// The unified diff of one file; nothing where both texts are equal.
pub(super) fn one_file(names: &[String; 2], before: &str, after: &str, output: &mut Output) -> Result<(), Error> {
    let rows = rows(before, after);
    let count = |sign: char| rows.iter().filter(|row| row.sign == sign).count();
    if count('+') + count('-') == 0 {
        return Ok(());
    }
    // Before the headers, where patch and git apply pass over it.
    output.line(&format!("+{} -{} lines", count('+'), count('-')))?;
    output.styled("1", &format!("--- {}\n+++ {}\n", names[0], names[1]))?;
    for hunk in hunks(&rows) {
        let rows = &rows[hunk];
        let size = |other: char| rows.iter().filter(|row| row.sign != other).count();
        let (old, new) = (rows[0].old + 1, rows[0].new + 1);
        output.styled("36", &format!("@@ -{old},{} +{new},{} @@\n", size('+'), size('-')))?;
        for row in rows {
            let line = format!("{}{}\n", row.sign, row.text);
            match row.sign {
                '+' => output.styled("32", &line)?,
                '-' => output.styled("31", &line)?,
                _ => output.text(&line)?,
            }
        }
    }
    Ok(())
}

/// All rows; within a change first what was removed, then what was added.
fn rows<'t>(before: &'t str, after: &'t str) -> Vec<Row<'t>> {
    let (olds, news): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let (mut rows, mut added) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (0, 0);
    let flush = |rows: &mut Vec<Row<'t>>, added: &mut Vec<&'t str>, old: usize, new: &mut usize| {
        for text in added.drain(..) {
            rows.push(Row { sign: '+', text, old, new: *new });
            *new += 1;
        }
    };
    for pair in pairs(before, after) {
        match pair {
            LinePair::Same { old: index, .. } => {
                flush(&mut rows, &mut added, old, &mut new);
                rows.push(Row { sign: ' ', text: olds[index], old, new });
                (old, new) = (old + 1, new + 1);
            }
            LinePair::Changed { old: removed, new: line } => {
                if let Some(removed) = removed {
                    rows.push(Row { sign: '-', text: olds[removed.index], old, new });
                    old += 1;
                }
                added.extend(line.map(|line| news[line.index]));
            }
        }
    }
    flush(&mut rows, &mut added, old, &mut new);
    rows
}

/// Ranges of rows that hold changes and the context around them.
fn hunks(rows: &[Row<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for at in (0..rows.len()).filter(|at| rows[*at].sign != ' ') {
        let range = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(rows.len());
        match hunks.last_mut() {
            Some(last) if range.start <= last.end => last.end = range.end,
            _ => hunks.push(range),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::{hunks, rows};

    #[test]
    fn a_unified_diff_has_removed_lines_before_added_ones_and_context() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let after = "a\nB1\nB2\nc\nd\ne\nf\ng\nh\ni\nj\nk\n";
        let rows = rows(before, after);
        let text: Vec<String> = rows.iter().map(|row| format!("{}{}", row.sign, row.text)).collect();
        assert_eq!(text[..5], [" a", "-b", "+B1", "+B2", " c"]);
        assert_eq!(hunks(&rows), [0..7, 9..13]);
    }
}
