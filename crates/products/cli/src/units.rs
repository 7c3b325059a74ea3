//! Sizes and durations, as people write and read them.

use std::time::Duration;

/// Units of sizes. A bare letter is binary, as in most tools; `kB`, `MB`, `GB` are decimal.
const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("K", 1 << 10),
    ("k", 1 << 10),
    ("M", 1 << 20),
    ("m", 1 << 20),
    ("G", 1 << 30),
    ("g", 1 << 30),
    ("B", 1),
];

/// Units of durations, in nanoseconds.
const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Bytes: `65536`, `64KiB`, `1.5G`.
///
/// # Errors
/// The text is no size, or more than 64 bits.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, SIZES, 1)
        .ok_or_else(|| format!("`{text}` is no size; examples: 65536, 64MiB, 1.5GiB"))
}

/// A duration: `500ms`, `1.5s`, `2m`; a bare number is seconds.
///
/// # Errors
/// The text is no duration, or longer than 500 years.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    scaled(text, DURATIONS, 1_000_000_000)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is no duration; examples: 500ms, 1.5s, 2m"))
}

/// A number, perhaps with a decimal point, and a unit, in whole base units.
fn scaled(text: &str, units: &[(&str, u64)], default: u64) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start();
    let scale = match unit {
        "" => default,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.replace('_', "").parse().ok()?;
    let fraction = match fraction {
        "" => 0,
        digits if digits.len() <= 9 => {
            let value: u64 = digits.parse().ok()?;
            u64::try_from(u128::from(value) * u128::from(scale) / 10_u128.pow(digits.len() as u32))
                .ok()?
        }
        _ => return None,
    };
    whole.checked_mul(scale)?.checked_add(fraction)
}

/// `1.5 MiB`
pub(crate) fn show_bytes(bytes: u64) -> String {
    for (name, scale) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= scale {
            return format!("{:.1} {name}", bytes as f64 / scale as f64);
        }
    }
    format!("{bytes} B")
}

/// `12.3 ms`
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{:.1} us", seconds * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("65536", Some(65536)),
            ("64KiB", Some(65536)),
            ("64 KiB", Some(65536)),
            ("1_000", Some(1000)),
            ("1.5G", Some(3 << 29)),
            ("2MB", Some(2_000_000)),
            ("1k", Some(1024)),
            ("", None),
            ("K", None),
            ("-1", None),
            ("1.2.3", None),
            ("1XB", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999G", None),
        ] {
            assert_eq!(parse_size(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, ns) in [
            ("1", Some(1_000_000_000)),
            ("1s", Some(1_000_000_000)),
            ("0.25s", Some(250_000_000)),
            ("500ms", Some(500_000_000)),
            ("2m", Some(120_000_000_000)),
            ("1x", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(parse_duration(text).ok(), ns.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn shown() {
        assert_eq!(show_bytes(512), "512 B");
        assert_eq!(show_bytes(3 << 19), "1.5 MiB");
        assert_eq!(show_duration(Duration::from_micros(1500)), "1.50 ms");
        assert_eq!(show_duration(Duration::from_nanos(1500)), "1.5 us");
    }
}
