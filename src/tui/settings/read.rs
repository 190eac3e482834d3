//! Understands a settings file piece by piece: what is wrong is noted with its place, the rest counts.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::files::read_text;
use crate::base::likeness::nearest;
use crate::engine::settings::{SETTINGS, unknown};
use crate::tui::app::columns::Column;
use crate::tui::keymap::{Keymap, is_key};
use crate::tui::keys::{BINDINGS, Command, Context};
use crate::tui::settings::{Choice, Problem, Settings};
use crate::tui::theme::{Background, Depth, Looks, RoleLook, THEMES};

/// Frames further apart than this feel broken, and closer ones are of no use.
const FRAME_MS: Range<i64> = 4..1001;

/// A row of `[keys.…]`: what it binds, its keys and where each stands.
type Row = (Context, Command, Vec<(String, Range<usize>)>);

/// Takes what a file says into the settings.
pub(super) fn apply(text: &str, path: &Path, of_project: bool, settings: &mut Settings, problems: &mut Vec<Problem>) {
    let mut reader = Reader { text, path, problems };
    for (name, value) in reader.document() {
        match SETTINGS.iter().find(|setting| setting.name == name.get_ref()) {
            None => reader.note(name.span(), unknown(name.get_ref())),
            Some(setting) if setting.of_project && !of_project => {
                reader.note(name.span(), "belongs into a project's .afterlog/config.toml");
            }
            // Understood by whoever keeps to it; here only what it must look like.
            Some(setting) if setting.of_project => drop(reader.string(&value)),
            Some(setting) => reader.setting(setting.name, value, settings),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> DeTable<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.note(error.span().unwrap_or_default(), error.message());
        }
        table.into_inner()
    }

    fn note(&mut self, span: Range<usize>, what: impl Display) {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        self.problems.push(Problem { path: self.path.to_owned(), line, column, what: what.to_string() });
    }

    fn setting(&mut self, name: &str, value: Spanned<DeValue<'a>>, settings: &mut Settings) {
        match name {
            "theme" => self.theme(&value, settings),
            "background" => {
                let known = [("auto", None), ("dark", Some(Background::Dark)), ("light", Some(Background::Light))];
                self.one_of(&value, &known, &mut settings.background);
            }
            "colors" => {
                let [all, indexed, few, none] = [Depth::True, Depth::Indexed, Depth::Sixteen, Depth::Mono].map(Some);
                let known = [("auto", None), ("true", all), ("256", indexed), ("16", few), ("none", none)];
                self.one_of(&value, &known, &mut settings.depth);
            }
            "glyphs" => self.one_of(&value, &[("unicode", false), ("plain", true)], &mut settings.plain),
            "mouse" => match value.get_ref().as_bool() {
                Some(mouse) => settings.mouse = mouse,
                None => self.note(value.span(), "is true or false"),
            },
            "frame-ms" => self.frame(&value, &mut settings.frame),
            "frame-ms-ssh" => self.frame(&value, &mut settings.remote_frame),
            "timeline-columns" => self.columns(&value, &mut settings.columns),
            "roles" => {
                if let Some(table) = self.table(value) {
                    let roles = self.roles(table);
                    settings.roles.extend(roles);
                }
            }
            _ => {
                if let Some(table) = self.table(value) {
                    self.keys(table, &mut settings.keys);
                }
            }
        }
    }

    fn theme(&mut self, value: &Spanned<DeValue<'a>>, settings: &mut Settings) {
        let Some(name) = self.string(value) else { return };
        settings.theme = match name {
            "auto" => Choice::Auto,
            _ if THEMES.iter().any(|(known, _)| *known == name) => {
                let text = THEMES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text);
                Choice::Bundled(text)
            }
            _ => {
                let home = name.strip_prefix("~/").zip(std::env::home_dir());
                let path = home.map_or_else(|| self.path.with_file_name(name), |(rest, home)| home.join(rest));
                let text = match read_text(&path) {
                    Ok(text) => text,
                    Err(error) => {
                        let names = THEMES.map(|(name, _)| name);
                        return self
                            .note(value.span(), format!("is neither auto, {} nor a file: {error}", names.join(", ")));
                    }
                };
                let mut theirs = Reader { text: &text, path: &path, problems: self.problems };
                let table = theirs.document();
                Choice::Own(theirs.roles(table))
            }
        };
    }

    fn columns(&mut self, value: &Spanned<DeValue<'a>>, target: &mut Vec<Column>) {
        let Some(names) = value.get_ref().as_array() else {
            return self.note(value.span(), "must be a list of names in brackets");
        };
        let mut columns = Vec::new();
        for name in names.iter() {
            let Some(text) = self.string(name) else { return };
            match named(text) {
                Ok(column) => columns.push(column),
                Err(error) => return self.note(name.span(), format!("there is no such column: {error}")),
            }
        }
        columns.dedup();
        *target = columns;
    }

    fn roles<'t>(&mut self, table: DeTable<'t>) -> Looks {
        let mut looks = Looks::new();
        for (name, value) in table {
            let span = name.span();
            match named(name.get_ref()) {
                Err(error) => self.note(span, format!("there is no such role: {error}")),
                Ok(role) => match RoleLook::deserialize(value.into_deserializer()) {
                    Ok(look) => drop(looks.insert(role, look)),
                    Err(error) => self.note(error.span().unwrap_or(span), error.message()),
                },
            }
        }
        looks
    }

    fn keys(&mut self, table: DeTable<'a>, keymap: &mut Keymap) {
        let mut rows = Vec::new();
        for (name, value) in table {
            match named::<Context>(name.get_ref()) {
                Err(error) => self.note(name.span(), format!("there is no such panel: {error}")),
                Ok(context) => {
                    let commands = self.table(value).unwrap_or_default();
                    rows.extend(commands.into_iter().filter_map(|(name, value)| self.row(context, &name, &value)));
                }
            }
        }
        self.bind(rows, keymap);
    }

    fn row(
        &mut self,
        context: Context,
        name: &Spanned<std::borrow::Cow<'a, str>>,
        value: &Spanned<DeValue<'a>>,
    ) -> Option<Row> {
        let here = || BINDINGS.iter().filter(move |b| b.context == context).map(|b| b.command);
        let Some(command) = named(name.get_ref()).ok().filter(|command| here().any(|c| c == *command)) else {
            let names: Vec<String> = here().map(spelled).collect();
            let meant = nearest(name.get_ref(), names.iter().map(String::as_str));
            let hint = meant.map_or(String::new(), |meant| format!(": did you mean '{meant}'?"));
            self.note(name.span(), format!("{} has no command '{}'{hint}", spelled(context), name.get_ref()));
            return None;
        };
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        let mut keys = Vec::new();
        for value in values {
            let key = self.string(value)?;
            if !is_key(key) {
                self.note(
                    value.span(),
                    format!("'{key}' is no key: write x, Ctrl-x, Alt-x, F1, Enter, Space, PageUp …"),
                );
                return None;
            }
            keys.push((key.to_owned(), value.span()));
        }
        Some((context, command, keys))
    }

    /// Binds all rows, so that two commands can exchange their keys; what then is bound twice is taken back.
    fn bind(&mut self, mut rows: Vec<Row>, keymap: &mut Keymap) {
        let before = keymap.clone();
        for (context, command, keys) in &rows {
            keymap.set(*context, *command, keys.iter().map(|(key, _)| key.clone()).collect());
        }
        // The later of two stands corrected.
        rows.sort_by_key(|(_, _, keys)| std::cmp::Reverse(keys.first().map(|(_, span)| span.start)));
        let clash = |keymap: &Keymap, (context, command, keys): &Row| {
            keys.iter()
                .find_map(|(key, span)| Some((keymap.holder(*context, *command, key)?, key.clone(), span.clone())))
        };
        while let Some(at) = rows.iter().position(|row| clash(keymap, row).is_some()) {
            let row = rows.remove(at);
            if let Some((holder, key, span)) = clash(keymap, &row) {
                let (panel, holder) = (spelled(row.0), spelled(holder));
                self.note(span, format!("'{key}' is {holder} in {panel} already: give that another key, too"));
            }
            keymap.reset(row.0, row.1, &before);
        }
    }

    fn one_of<T: Clone>(&mut self, value: &Spanned<DeValue<'a>>, known: &[(&str, T)], target: &mut T) {
        let Some(text) = self.string(value) else { return };
        match known.iter().find(|(name, _)| *name == text) {
            Some((_, meaning)) => *target = meaning.clone(),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                self.note(value.span(), format!("'{text}' is none of {}", names.join(", ")));
            }
        }
    }

    fn frame(&mut self, value: &Spanned<DeValue<'a>>, target: &mut Duration) {
        let number = value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        match number.filter(|n| FRAME_MS.contains(n)) {
            Some(ms) => *target = Duration::from_millis(ms.unsigned_abs()),
            None => {
                let what = format!("is a number of milliseconds from {} to {}", FRAME_MS.start, FRAME_MS.end - 1);
                self.note(value.span(), what);
            }
        }
    }

    fn string<'v>(&mut self, value: &'v Spanned<DeValue<'_>>) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.note(value.span(), format!("must be a text in quotes, not {}", value.get_ref().type_str()));
        }
        text
    }

    fn table(&mut self, value: Spanned<DeValue<'a>>) -> Option<DeTable<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(table),
            other => {
                self.note(span, format!("must be a table, not {}", other.type_str()));
                None
            }
        }
    }
}

/// The role, context or command of a name.
fn named<'n, T: Deserialize<'n>>(name: &'n str) -> Result<T, NameError> {
    let deserializer: StrDeserializer<'n, NameError> = name.into_deserializer();
    T::deserialize(deserializer)
}

/// A context or command as it is written.
pub(super) fn spelled(name: impl serde::Serialize) -> String {
    match serde_json::to_value(name) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
