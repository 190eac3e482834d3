//! Quantities as people read them.

/// `1.5 GB`, `12 kB`, `3 B`: decimal units, two significant digits below ten.
pub fn bytes(n: u64) -> String {
    scaled(n, 1000, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// Reads `10GB`, `1.5 GiB`, `500M`, `4096`: decimal units, binary ones with an i. `None` for anything else.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text[..digits].parse::<f64>().ok()?, text[digits..].trim().to_ascii_lowercase());
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, base) = unit.strip_suffix('i').map_or((unit, 1000_u64), |letter| (letter, 1024));
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == letter)?;
    let factor = base.checked_pow(u32::try_from(power).ok()?)?;
    // Whole numbers exactly, whatever a float can hold.
    match text[..digits].parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => {
            (number * 1000.0).to_string().split('.').next()?.parse::<u64>().ok()?.checked_mul(factor).map(|n| n / 1000)
        }
    }
}

fn scaled(n: u64, base: u64, units: &[&str]) -> String {
    let mut unit = 0;
    let mut divisor = 1_u64;
    while n / divisor >= base && unit + 1 < units.len() {
        divisor *= base;
        unit += 1;
    }
    let (whole, tenth) = (n / divisor, n % divisor * 10 / divisor);
    if unit > 0 && whole < 10 { format!("{whole}.{tenth} {}", units[unit]) } else { format!("{whole} {}", units[unit]) }
}

/// `1 value`, `12 values`: a number of things whose name takes an s.
pub fn counted(n: impl Into<u64>, thing: &str) -> String {
    match n.into() {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

/// `340 ms`, `12.3 s`, `4m07s`, `2h05m`.
pub fn duration_ns(ns: u64) -> String {
    let ms = ns / 1_000_000;
    match ms {
        0 => format!("{} µs", ns / 1000),
        1..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// `12s`, `5m`, `3h`, `2d`: how long ago something was, in milliseconds.
pub fn age_ms(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{age_ms, bytes, counted, duration_ns};

    #[test]
    fn quantities_read_well() {
        assert_eq!([counted(0_u64, "value"), counted(1_u64, "value")], ["0 values", "1 value"]);
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_540_000), "1.5 MB");
        assert_eq!(bytes(15_400_000), "15 MB");
        assert_eq!(duration_ns(12_340_000_000), "12.3 s");
        assert_eq!(duration_ns(247_000_000_000), "4m07s");
        assert_eq!(age_ms(7_300_000), "2h");
    }

    #[test]
    fn amounts_of_bytes_are_read_as_people_write_them() {
        let check = |text: &str, expected| assert_eq!(super::parse_bytes(text), expected, "{text}");
        check("10GB", Some(10_000_000_000));
        check("1.5 GiB", Some(1_610_612_736));
        check("500m", Some(500_000_000));
        check("4096", Some(4096));
        check("0", Some(0));
        for bad in ["", "GB", "ten", "-1", "1 XB", "1..2", "99999999PB"] {
            check(bad, None);
        }
    }
}
