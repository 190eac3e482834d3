//! The interface's settings: the user's file, then the project's. What cannot be understood is said with its place and
//! left as it would be without it; a broken file never prevents a start.

mod read;
mod written;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::files::read_text;
use crate::engine::settings::user_file;
use crate::tui::app::columns::{COLUMNS, Column};
use crate::tui::keymap::Keymap;
use crate::tui::theme::{ASCII, Background, Depth, Glyphs, Looks, Theme, UNICODE, background_of, bundled, depth_of};

pub use written::defaults;

/// How the interface is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    theme: Choice,
    background: Option<Background>,
    depth: Option<Depth>,
    /// Of single roles, over the theme's.
    roles: Looks,
    pub plain: bool,
    pub mouse: bool,
    pub frame: Duration,
    pub remote_frame: Duration,
    pub columns: Vec<Column>,
    pub keys: Keymap,
}

/// Which theme.
#[derive(Debug, Clone, PartialEq)]
enum Choice {
    /// By the background.
    Auto,
    /// One of ours, by its text.
    Bundled(&'static str),
    /// Read from a file.
    Own(Looks),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Choice::Auto,
            background: None,
            depth: None,
            roles: Looks::new(),
            plain: false,
            mouse: true,
            frame: Duration::from_millis(16),
            remote_frame: Duration::from_millis(33),
            columns: COLUMNS.to_vec(),
            keys: Keymap::default(),
        }
    }
}

/// Something in a settings file that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    /// From 1; both 0 where the file cannot be read at all.
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl Problem {
    /// For one line on the screen: without the folder.
    pub fn short(&self) -> String {
        self.told(Path::new(self.path.file_name().unwrap_or_default()))
    }

    fn told(&self, path: &Path) -> String {
        match self.line {
            0 => format!("{}: {}", path.display(), self.what),
            _ => format!("{}:{}:{}: {}", path.display(), self.line, self.column, self.what),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&self.path))
    }
}

/// The settings files for a project, the one that counts more last; they need not exist.
pub fn files(project: Option<&Path>) -> Vec<PathBuf> {
    user_file().into_iter().chain(project.map(Path::to_owned)).collect()
}

impl Settings {
    /// Reads the settings; `project` is the file of the project, if there is one.
    pub fn load(project: Option<&Path>) -> (Self, Vec<Problem>) {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        for path in files(project).iter().filter(|path| path.exists()) {
            match read_text(path) {
                Ok(text) => {
                    let mut found = Vec::new();
                    read::apply(&text, path, project == Some(path), &mut settings, &mut found);
                    // As they stand in the file.
                    found.sort_by_key(|problem| (problem.line, problem.column));
                    problems.extend(found);
                }
                Err(error) => {
                    problems.push(Problem { path: path.clone(), line: 0, column: 0, what: error.source.to_string() });
                }
            }
        }
        (settings, problems)
    }

    /// The theme, for what the environment says of the terminal.
    pub fn theme(&self, variable: impl Fn(&str) -> Option<String>) -> Theme {
        let depth = self.depth.unwrap_or_else(|| depth_of(&variable));
        let background = self.background.unwrap_or_else(|| background_of(&variable));
        let of = |text| toml::from_str(text).unwrap_or_default();
        let mut looks: Looks = match &self.theme {
            Choice::Auto => of(bundled(background)),
            Choice::Bundled(text) => of(text),
            Choice::Own(looks) => looks.clone(),
        };
        looks.extend(self.roles.clone());
        Theme::new(&looks, depth)
    }

    /// The signs drawn.
    pub fn glyphs(&self, variable: impl Fn(&str) -> Option<String>) -> Glyphs {
        if self.plain || names_other_charset(variable) { ASCII } else { UNICODE }
    }
}

/// Whether the environment names a character set that lacks our signs. One that names none (`C`, or nothing, as in most
/// containers) says nothing about the terminal.
fn names_other_charset(variable: impl Fn(&str) -> Option<String>) -> bool {
    let first = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
    let charset = first.as_deref().and_then(|locale| locale.split_once('.')).map(|(_, charset)| charset.to_lowercase());
    charset.is_some_and(|charset| !charset.starts_with("utf-8") && !charset.starts_with("utf8"))
}

#[cfg(test)]
mod tests;
