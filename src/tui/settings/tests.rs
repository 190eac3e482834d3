//! Settings as people write them, and as they are printed.

use std::path::Path;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::*;
use crate::tui::keys::{BINDINGS, Command, Context};
use crate::tui::theme::Role;

fn read(text: &str) -> (Settings, Vec<String>) {
    let (mut settings, mut problems) = (Settings::default(), Vec::new());
    read::apply(text, Path::new("c.toml"), false, &mut settings, &mut problems);
    (settings, problems.iter().map(ToString::to_string).collect())
}

fn press(settings: &Settings, context: Context, c: char) -> Option<Command> {
    settings.keys.command(context, KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
}

#[test]
fn the_printed_defaults_are_the_defaults_and_name_everything() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text = defaults();
    assert_eq!(read(&text), (Settings::default(), Vec::new()), "as it is printed it changes nothing");
    let text: String = text.lines().map(|line| uncommented(line) + "\n").collect();
    let (mut settings, mut problems) = (Settings::default(), Vec::new());
    read::apply(&text, Path::new("c.toml"), true, &mut settings, &mut problems);
    assert_eq!(problems, []);
    let (settings, defaults) = (settings, Settings::default());
    for binding in BINDINGS {
        assert_eq!(settings.keys.keys(binding), binding.keys, "{:?}", binding.command);
    }
    assert_eq!(settings.roles, toml::from_str(bundled(Background::Dark)).expect("a theme"));
    let rest = Settings { roles: defaults.roles.clone(), keys: defaults.keys.clone(), ..settings };
    assert_eq!(rest, defaults);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_the_rest_counts() {
    let (settings, problems) = read(
        "mouse = false\n\
         tehme = \"dark\"\n\
         glyphs = \"asci\"\n\
         frame-ms = 0\n\
         [keys.timeline]\n\
         \x20 opne = \"Enter\"\n\
         mark = [\"m\", \"Shift-m\"]\n\
         diff = [\"d\", \"r\"]\n\
         filter = \"f\"\n\
         [keys.nowhere]\n\
         [roles]\n\
         accent = { fg = \"blau\" }\n\
         accents = {}\n",
    );
    assert!(!settings.mouse);
    assert_eq!(press(&settings, Context::Timeline, 'f'), Some(Command::Filter));
    assert_eq!(press(&settings, Context::Timeline, 'd'), Some(Command::Diff), "as without its row");
    let mut found: Vec<&str> = problems.iter().map(|p| p.split(": ").next().expect("a place")).collect();
    found.sort_unstable();
    let expected = ["2:1", "3:10", "4:12", "6:3", "7:14", "8:14", "10:7", "12:17", "13:1"];
    let mut expected: Vec<String> = expected.iter().map(|place| format!("c.toml:{place}")).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "{problems:#?}");
    let said = problems.join("\n");
    for part in
        ["did you mean 'theme'?", "'asci' is none of unicode, plain", "did you mean 'open'?", "'r' is replay in"]
    {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

#[test]
fn a_file_that_is_no_toml_keeps_what_can_be_read() {
    let (settings, problems) = read("mouse = false\nglyphs = = \"plain\"\n");
    assert!(!settings.mouse && problems.iter().any(|p| p.starts_with("c.toml:2:")), "{problems:?}");
}

#[test]
fn commands_exchange_their_keys_and_the_later_of_two_that_claim_one_is_refused() {
    let (settings, problems) = read("[keys.diff]\nnext-hunk = \"[\"\nprevious-hunk = \"]\"\n");
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(press(&settings, Context::Diff, '['), Some(Command::NextHunk));
    assert_eq!(press(&settings, Context::Diff, ']'), Some(Command::PreviousHunk));
    let (settings, problems) = read("[keys.diff]\nnext-hunk = \"m\"\nprevious-hunk = \"m\"\n");
    assert!(problems.len() == 1 && problems[0].starts_with("c.toml:3:17:"), "{problems:?}");
    assert_eq!(press(&settings, Context::Diff, 'm'), Some(Command::NextHunk));
    assert_eq!(press(&settings, Context::Diff, '['), Some(Command::PreviousHunk));
}

#[test]
fn a_role_looks_as_the_settings_say_and_a_theme_file_is_taken_from_beside_them() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::base::files::write_atomic(&folder.path().join("own.toml"), b"accent = { fg = \"#010203\" }\nacent = {}\n")
        .expect("written");
    let path = folder.path().join("config.toml");
    let (mut settings, mut problems) = (Settings::default(), Vec::new());
    let text = "theme = \"own.toml\"\ncolors = \"true\"\n[roles]\nbad = { fg = \"#040506\" }\n";
    read::apply(text, &path, false, &mut settings, &mut problems);
    let theme = settings.theme(|_| None);
    assert_eq!(theme.style(Role::Accent).fg, Some(Color::Rgb(1, 2, 3)));
    assert_eq!(theme.style(Role::Bad).fg, Some(Color::Rgb(4, 5, 6)));
    assert!(problems.len() == 1 && problems[0].path.ends_with("own.toml") && problems[0].line == 2, "{problems:?}");
}

#[test]
fn signs_are_plain_where_the_locale_names_a_character_set_without_them() {
    let plain = |variables: &'static [(&str, &str)]| {
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::default().glyphs(of).plain
    };
    assert!(plain(&[("LANG", "de_DE.ISO-8859-15")]));
    assert!(plain(&[("LC_ALL", "ja_JP.eucJP"), ("LANG", "ja_JP.UTF-8")]), "the first that is set decides");
    assert!(!plain(&[("LANG", "en_US.UTF-8")]) && !plain(&[("LC_CTYPE", "C.utf8")]));
    assert!(!plain(&[]) && !plain(&[("LC_ALL", ""), ("LANG", "C")]));
}
