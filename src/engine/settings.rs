//! The user's settings: where their files are and what may stand in them. Written by hand, never by this program.
//!
//! The one table of names feeds reading, checking and the printed defaults. The interface's own are understood in `tui`.

use std::path::PathBuf;

use crate::base::likeness::nearest;

/// A setting at the top level.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    /// As it is written in TOML; empty for a table.
    pub default: &'static str,
    /// A line or more for people.
    pub about: &'static str,
    /// Whether it makes sense in a project's file only.
    pub of_project: bool,
}

const fn setting(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, default, about, of_project: false }
}

/// Every setting, in the order in which they are printed.
pub const SETTINGS: [Setting; 11] = [
    Setting {
        of_project: true,
        ..setting(
            "budget",
            "\"none\"",
            "In a project's file only: bytes that its checkpoints may take, as \"10GB\", or \"none\" for no limit.\n\
             Without it, half of the disk space that would be free without them.",
        )
    },
    setting(
        "theme",
        "\"auto\"",
        "\"dark\", \"light\", \"contrast\", \"colour-blind\", \"auto\" (by the background), or a theme file's path.",
    ),
    setting(
        "background",
        "\"auto\"",
        "Of the terminal: \"dark\", \"light\", or \"auto\" (what COLORFGBG says, else dark).",
    ),
    setting(
        "colors",
        "\"auto\"",
        "How many the terminal shows: \"true\", \"256\", \"16\", \"none\", or \"auto\" (what NO_COLOR, COLORTERM and TERM say).",
    ),
    setting("glyphs", "\"unicode\"", "\"unicode\", or \"plain\" for signs of ASCII only, as --plain does."),
    setting(
        "mouse",
        "true",
        "Whether the mouse is the interface's; false leaves it to the terminal, for selecting text.",
    ),
    setting("frame-ms", "16", "Milliseconds between two frames, at least."),
    setting("frame-ms-ssh", "33", "The same over ssh."),
    setting(
        "timeline-columns",
        "[\"age\", \"status\", \"changed\", \"value\", \"course\", \"checkpoints\"]",
        "Columns of the list of runs, in this order.",
    ),
    setting("roles", "", "How single roles look, whatever the theme says of them."),
    setting(
        "keys",
        "",
        "Keys, by panel and command. What is written here replaces a command's keys; [] takes them away.",
    ),
];

/// What to say of a name that is no setting.
pub fn unknown(name: &str) -> String {
    let meant = nearest(name, SETTINGS.iter().map(|setting| setting.name));
    let hint = meant.map_or_else(
        || "`afterlog config --default` shows all settings".to_owned(),
        |meant| format!("did you mean '{meant}'?"),
    );
    format!("there is no setting '{name}': {hint}")
}

/// The user's own file, for all projects; there need be none. `None` without a home folder.
pub fn user_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(config.join("afterlog").join("config.toml"))
}
