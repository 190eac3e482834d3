//! How roles look: colour themes, reduced to what the terminal can show, and the glyphs.
//!
//! A theme gives each role a true colour, one of the sixteen for lesser terminals, and attributes. Colour never
//! carries meaning alone: every state has its own glyph or word too.

use std::collections::HashMap;

use ratatui::style::{Color, Modifier, Style};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const DARK: &str = include_str!("../../assets/themes/dark.toml");
const LIGHT: &str = include_str!("../../assets/themes/light.toml");

/// The bundled themes by name.
pub const THEMES: [(&str, &str); 4] = [
    ("dark", DARK),
    ("light", LIGHT),
    ("contrast", include_str!("../../assets/themes/contrast.toml")),
    ("colour-blind", include_str!("../../assets/themes/colour-blind.toml")),
];

/// What a piece of text is; the theme decides how that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Text,
    Dim,
    Title,
    Accent,
    Selected,
    Marked,
    Tab,
    TabActive,
    Rule,
    Key,
    Good,
    Warning,
    Bad,
    Running,
    Added,
    Removed,
    AddedWord,
    RemovedWord,
    Statement,
    Match,
    Keyword,
    Literal,
    Number,
    Comment,
    Function,
    Type,
    Series1,
    Series2,
    Series3,
    Series4,
    HeatLow,
    HeatMiddle,
    HeatHigh,
}

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    True,
    Indexed,
    Sixteen,
    Mono,
}

/// Background of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    Dark,
    Light,
}

/// Styles of all roles at one depth.
#[derive(Debug, Clone)]
pub struct Theme {
    styles: HashMap<Role, Style>,
    depth: Depth,
}

/// What a theme file says.
pub type Looks = HashMap<Role, RoleLook>;

/// A role as written in a theme file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleLook {
    /// `#rrggbb`.
    #[serde(deserialize_with = "colour")]
    fg: Option<Color>,
    #[serde(deserialize_with = "colour")]
    bg: Option<Color>,
    /// One of the sixteen, by name.
    #[serde(deserialize_with = "colour")]
    ansi: Option<Color>,
    #[serde(deserialize_with = "colour")]
    ansi_bg: Option<Color>,
    bold: bool,
    dim: bool,
    underline: bool,
    reverse: bool,
    /// Reversed only where there is no colour.
    mono_reverse: bool,
}

/// The text of the bundled theme for a background.
pub fn bundled(background: Background) -> &'static str {
    match background {
        Background::Dark => DARK,
        Background::Light => LIGHT,
    }
}

impl Theme {
    /// The bundled theme for a background, at a depth.
    pub fn bundled(background: Background, depth: Depth) -> Self {
        // The bundled files are checked by a test; a broken one leaves plain text.
        Self::new(&toml::from_str(bundled(background)).unwrap_or_default(), depth)
    }

    /// A theme at a depth.
    pub fn new(looks: &Looks, depth: Depth) -> Self {
        Self { styles: looks.iter().map(|(role, look)| (*role, look.at(depth))).collect(), depth }
    }

    /// A style of other origin, as far as the terminal can show it.
    pub fn reduced(&self, style: Style) -> Style {
        let reduce = |color: Color| match (self.depth, color) {
            (Depth::Mono, _) | (Depth::Sixteen, Color::Rgb(..) | Color::Indexed(_)) => None,
            (Depth::Indexed, color) => Some(nearest_indexed(color)),
            (Depth::True | Depth::Sixteen, color) => Some(color),
        };
        Style { fg: style.fg.and_then(reduce), bg: style.bg.and_then(reduce), ..style }
    }

    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(&role).copied().unwrap_or_default()
    }
}

impl RoleLook {
    fn at(&self, depth: Depth) -> Style {
        let mut style = Style::new();
        let (fg, bg) = match depth {
            Depth::True => (self.fg, self.bg),
            Depth::Indexed => (self.fg.map(nearest_indexed), self.bg.map(nearest_indexed)),
            Depth::Sixteen => (self.ansi, self.ansi_bg),
            Depth::Mono => (None, None),
        };
        style.fg = fg;
        style.bg = bg;
        let reverse = self.reverse || (self.mono_reverse && depth == Depth::Mono);
        for (on, modifier) in [
            (self.bold, Modifier::BOLD),
            (self.dim, Modifier::DIM),
            (self.underline, Modifier::UNDERLINED),
            (reverse, Modifier::REVERSED),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        style
    }
}

fn colour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Color>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed =
        text.parse().map_err(|_| D::Error::custom(format!("'{text}' is no colour: #rrggbb, or a name as red")));
    parsed.map(Some)
}

/// The closest of the 6×6×6 cube and the grey ramp.
pub fn nearest_indexed(color: Color) -> Color {
    let Color::Rgb(r, g, b) = color else { return color };
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |c: u8| (0_u8..6).min_by_key(|i| LEVELS[usize::from(*i)].abs_diff(c)).unwrap_or(0);
    let (cr, cg, cb) = (nearest(r), nearest(g), nearest(b));
    let distance = |x: [u8; 3]| -> u32 {
        [r, g, b].iter().zip(x).map(|(a, b)| u32::from(a.abs_diff(b)) * u32::from(a.abs_diff(b))).sum()
    };
    let cube = distance([cr, cg, cb].map(|i| LEVELS[usize::from(i)]));
    let grey = (0_u8..24).min_by_key(|i| distance([8 + 10 * i; 3])).unwrap_or(0);
    if distance([8 + 10 * grey; 3]) < cube {
        Color::Indexed(232 + grey)
    } else {
        Color::Indexed(16 + 36 * cr + 6 * cg + cb)
    }
}

/// What the environment says about the terminal. Asks nothing of the terminal itself: an answer could come late.
pub fn depth_of(variable: impl Fn(&str) -> Option<String>) -> Depth {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let term = set("TERM").unwrap_or_default();
    if set("NO_COLOR").is_some() || term == "dumb" || term.is_empty() {
        Depth::Mono
    } else if set("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit") || term.ends_with("-direct") {
        Depth::True
    } else if term.contains("256color") {
        Depth::Indexed
    } else {
        Depth::Sixteen
    }
}

/// The background, from `COLORFGBG` (`15;0`) where the terminal sets it; dark otherwise.
pub fn background_of(variable: impl Fn(&str) -> Option<String>) -> Background {
    let last = variable("COLORFGBG").and_then(|v| v.rsplit(';').next().and_then(|n| n.parse::<u8>().ok()));
    match last {
        Some(7 | 9..=15) => Background::Light,
        _ => Background::Dark,
    }
}

/// The signs drawn; `plain` ones are ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    pub plain: bool,
    pub cursor: &'static str,
    pub mark: &'static str,
    pub pinned: &'static str,
    pub rule: &'static str,
    pub bar: &'static str,
    pub ellipsis: &'static str,
    pub fold: &'static str,
    pub statement: &'static str,
    pub uncertain: &'static str,
    pub empty: &'static str,
    pub pending: &'static str,
    pub failed: &'static str,
    pub verified: &'static str,
    pub unverified: &'static str,
    pub diverged: &'static str,
    pub running: &'static str,
    pub finished: &'static str,
    pub lost: &'static str,
    pub queued: &'static str,
    pub cancelled: &'static str,
    pub first_run: &'static str,
    pub later_run: &'static str,
    pub ascending: &'static str,
    pub descending: &'static str,
    pub minus: &'static str,
    pub arrow: &'static str,
    pub full: &'static str,
    pub rest: &'static str,
    pub spark: &'static [&'static str],
}

/// Where Unicode can be shown.
pub const UNICODE: Glyphs = Glyphs {
    plain: false,
    cursor: "▌",
    mark: "◆",
    pinned: "◎",
    rule: "─",
    bar: "│",
    ellipsis: "…",
    fold: "···",
    statement: "»",
    uncertain: "?",
    empty: "·",
    pending: "…",
    failed: "✗",
    verified: "✓",
    unverified: "?",
    diverged: "≠",
    running: "▶",
    finished: "✓",
    lost: "†",
    queued: "○",
    cancelled: "⊘",
    first_run: "○",
    later_run: "●",
    ascending: "▲",
    descending: "▼",
    minus: "−",
    arrow: "→",
    full: "█",
    rest: "░",
    spark: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

/// For `--plain`: screen readers, odd fonts, serial lines.
pub const ASCII: Glyphs = Glyphs {
    plain: true,
    cursor: ">",
    mark: "*",
    pinned: "@",
    rule: "-",
    bar: "|",
    ellipsis: "~",
    fold: "...",
    statement: "L",
    uncertain: "?",
    empty: ".",
    pending: "~",
    failed: "X",
    verified: "v",
    unverified: "?",
    diverged: "!",
    running: ">",
    finished: "+",
    lost: "%",
    queued: "o",
    cancelled: "/",
    first_run: "o",
    later_run: "*",
    ascending: "^",
    descending: "v",
    minus: "-",
    arrow: "->",
    full: "#",
    rest: ".",
    spark: &["_", ".", "-", "=", "+", "*", "%", "#"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_theme_parses_and_gives_every_role_a_look() {
        for (_, text) in THEMES {
            let looks: Looks = toml::from_str(text).expect("a theme");
            assert_eq!(looks.len(), 33, "one entry a role");
        }
    }

    #[test]
    fn without_colour_nothing_is_coloured_and_the_selection_still_shows() {
        let theme = Theme::bundled(Background::Dark, Depth::Mono);
        assert!(theme.styles.values().all(|s| s.fg.is_none() && s.bg.is_none()));
        assert!(theme.style(Role::Selected).add_modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn the_environment_decides_the_depth() {
        let depth = |set: &[(&str, &str)]| {
            let set: HashMap<String, String> = set.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            depth_of(|name| set.get(name).cloned())
        };
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), Depth::Mono);
        assert_eq!(depth(&[("TERM", "screen-256color")]), Depth::Indexed);
        assert_eq!(depth(&[("TERM", "linux")]), Depth::Sixteen);
        assert_eq!(depth(&[]), Depth::Mono);
    }

    #[test]
    fn indexed_colours_are_near_the_true_ones() {
        assert_eq!(nearest_indexed(Color::Rgb(255, 0, 0)), Color::Indexed(196));
        assert_eq!(nearest_indexed(Color::Rgb(128, 128, 128)), Color::Indexed(244));
    }
}
