//! The defaults as a file to start from, written from the tables that are read by.

use crate::engine::settings::SETTINGS;
use crate::tui::keys::{BINDINGS, Context};
use crate::tui::settings::read::spelled;
use crate::tui::theme::{Background, bundled};

const HEAD: &str = "\
# Settings of afterlog, with their defaults. Remove the # before a name to change one; lines that begin with \"# \" explain.
#
# Put it into ~/.config/afterlog/config.toml (or $XDG_CONFIG_HOME/afterlog), or into .afterlog/config.toml of a project,
# which counts more. `afterlog config` checks both.
";

/// All settings with their defaults: `#name = value`, prose after `# `.
pub fn defaults() -> String {
    let mut text = HEAD.to_owned();
    for setting in SETTINGS {
        text.push('\n');
        for line in setting.about.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        match setting.name {
            "roles" => roles(&mut text),
            "keys" => keys(&mut text),
            name => text.push_str(&format!("#{name} = {}\n", setting.default)),
        }
    }
    text
}

fn roles(text: &mut String) {
    text.push_str("# This is the dark theme. fg and bg: true colour; ansi and ansi_bg: of sixteen.\n[roles]\n");
    for line in bundled(Background::Dark).lines().filter(|line| line.contains(" = ")) {
        text.push_str(&format!("#{line}\n"));
    }
}

fn keys(text: &mut String) {
    let mut contexts = vec![Context::Everywhere];
    for binding in BINDINGS {
        if !contexts.contains(&binding.context) {
            contexts.push(binding.context);
        }
    }
    for context in contexts {
        text.push_str(&format!("\n[keys.{}]\n", spelled(context)));
        for binding in BINDINGS.iter().filter(|binding| binding.context == context) {
            let line = format!("#{} = {:?}", spelled(binding.command), binding.keys);
            text.push_str(&format!("{line:<40}  # {}\n", binding.what));
        }
    }
}
