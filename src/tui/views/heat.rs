//! Colours for cells by their place in their column's range, each with the text colour that is read best on it.

use ratatui::style::{Color, Style};

use crate::tui::theme::{Role, Theme, nearest_indexed};

/// Shades from low to high: few enough that neighbours often share one, which saves bytes.
const SHADES: u8 = 16;
/// What text is written in, on dark shades and on light ones: whatever the shade, one of the two has a contrast above 4.5.
const TEXTS: [Color; 2] = [Color::Rgb(0xff, 0xff, 0xff), Color::Rgb(0, 0, 0)];

/// The shades of a theme.
#[derive(Debug, Clone)]
pub(super) struct Heat {
    shades: Vec<Style>,
}

impl Heat {
    /// `None` on a terminal with sixteen colours or fewer: there a bar stands for the shade.
    pub(super) fn of(theme: &Theme) -> Option<Self> {
        let stops = [Role::HeatLow, Role::HeatMiddle, Role::HeatHigh].map(|role| theme.style(role).bg);
        let [Some(low), Some(middle), Some(high)] = stops else { return None };
        let indexed = matches!(low, Color::Indexed(_));
        let [low, middle, high] = [rgb(low)?, rgb(middle)?, rgb(high)?];
        let shade = |step: u8| {
            let share = f64::from(step) / f64::from(SHADES - 1) * 2.0;
            let background =
                if share <= 1.0 { between(low, middle, share) } else { between(middle, high, share - 1.0) };
            let [r, g, b] = background;
            let shown = |color: Color| if indexed { nearest_indexed(color) } else { color };
            let background = shown(Color::Rgb(r, g, b));
            Style::new().bg(background).fg(shown(readable(background)))
        };
        Some(Self { shades: (0..SHADES).map(shade).collect() })
    }

    /// The shade for a share between 0 and 1.
    pub(super) fn shade(&self, share: f64) -> Style {
        self.shades.get(step(share, self.shades.len())).copied().unwrap_or_default()
    }
}

/// Which of `steps` equal parts a share between 0 and 1 falls into.
#[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the steps")]
pub(super) fn step(share: f64, steps: usize) -> usize {
    ((share.clamp(0.0, 1.0) * steps as f64) as usize).min(steps.saturating_sub(1))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
fn between(a: [u8; 3], b: [u8; 3], share: f64) -> [u8; 3] {
    std::array::from_fn(|i| (f64::from(a[i]) + (f64::from(b[i]) - f64::from(a[i])) * share).round() as u8)
}

/// The text colour with the higher contrast.
fn readable(background: Color) -> Color {
    let [light, dark] = TEXTS;
    if contrast(light, background) >= contrast(dark, background) { light } else { dark }
}

/// The contrast of two colours as WCAG 2 defines it: from 1 to 21.
fn contrast(a: Color, b: Color) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(color: Color) -> f64 {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let [r, g, b] = rgb(color).unwrap_or_default();
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// Red, green and blue; an indexed colour's as xterm has them.
fn rgb(color: Color) -> Option<[u8; 3]> {
    match color {
        Color::Rgb(r, g, b) => Some([r, g, b]),
        Color::Indexed(n @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = n - 16;
            Some([level(n / 36), level(n / 6 % 6), level(n % 6)])
        }
        Color::Indexed(n @ 232..) => Some([8 + 10 * (n - 232); 3]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{Background, Depth, THEMES};

    #[test]
    fn text_is_readable_on_every_shade_of_every_theme() {
        for (name, text) in THEMES {
            for depth in [Depth::True, Depth::Indexed] {
                let theme = Theme::new(&toml::from_str(text).expect("a theme"), depth);
                let heat = Heat::of(&theme).expect("shades");
                for style in &heat.shades {
                    let (Some(fg), Some(bg)) = (style.fg, style.bg) else { panic!("{style:?}") };
                    assert!(contrast(fg, bg) >= 4.5, "{name} {depth:?} {style:?}");
                }
                let different: std::collections::HashSet<_> = heat.shades.iter().map(|s| s.bg).collect();
                assert!(different.len() >= 8, "{name} {depth:?}: {} shades", different.len());
            }
        }
    }

    #[test]
    fn sixteen_colours_and_none_have_no_shades() {
        for depth in [Depth::Sixteen, Depth::Mono] {
            assert!(Heat::of(&Theme::bundled(Background::Dark, depth)).is_none());
        }
    }
}
