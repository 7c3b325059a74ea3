//! File names that mean something else on Windows.
//!
//! The filter is pure, so it is tested everywhere; the component walk applies it where the host is
//! Windows.

/// Whether Windows would take `name` for a device, another stream, or another name.
///
/// Covered are the reserved names with any extension and with the superscript digits that Windows
/// also takes for digits, names with a colon or a backslash, and names that end in a dot or space,
/// which Windows drops.
#[must_use]
pub fn is_special_on_windows(name: &str) -> bool {
    const FORBIDDEN: &[char] = &[':', '\\', '/', '<', '>', '"', '|', '?', '*'];
    if name == "." || name == ".." {
        return false;
    }
    if name.ends_with(['.', ' ']) || name.contains(|c: char| FORBIDDEN.contains(&c) || c < ' ') {
        return true;
    }
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    is_device(&stem.to_ascii_uppercase())
}

fn is_device(stem: &str) -> bool {
    const PLAIN: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    if PLAIN.contains(&stem) {
        return true;
    }
    let digit = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut digits = digit.unwrap_or("").chars();
    let (first, rest) = (digits.next(), digits.next());
    rest.is_none() && first.is_some_and(|c| c.is_ascii_digit() || "⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c))
}

#[cfg(test)]
mod tests {
    use super::is_special_on_windows;

    #[test]
    fn devices_and_streams_are_found() {
        for name in [
            "CON",
            "con",
            "NUL.txt",
            "nul.tar.gz",
            "aux:",
            "COM1",
            "com9.log",
            "LPT0",
            "COM¹",
            "LPT⁰",
            "lpt³.txt",
            "CONIN$",
            "prn ",
            "prn .txt",
            "file.",
            "file ",
            "file:stream",
            "a\\b",
            "what?",
            "tab\t",
        ] {
            assert!(is_special_on_windows(name), "{name:?}");
        }
        for name in ["console", "COM", "COM12", "nullable", "file.con", ".", "..", "aux_", "ÇON"] {
            assert!(!is_special_on_windows(name), "{name:?}");
        }
    }
}
