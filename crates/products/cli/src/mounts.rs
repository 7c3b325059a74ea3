//! The three ways to grant a directory, addresses to listen on, and environment files.
//!
//! `--dir HOST[::GUEST]` is Wasmtime's, `--mapdir GUEST:HOST` and `--volume HOST:GUEST` are Wasmer's;
//! each may end in `:ro` or `:rw`. All three yield a [`Mount`]; opening it is the world's task.

use crate::report::printable;
use std::path::PathBuf;

/// A directory of the host under a name of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Folder (or file) of the host.
    pub(crate) host: PathBuf,
    /// Path that the guest sees.
    pub(crate) guest: String,
    /// Whether the guest may only read.
    pub(crate) read_only: bool,
}

/// Parses `HOST[::GUEST][:ro]`; without GUEST the guest sees the same path.
///
/// # Errors
/// A part is empty.
pub(crate) fn parse_dir(text: &str) -> Result<Mount, String> {
    let (paths, read_only) = split_mode(text);
    let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
    mount(host, guest, read_only, "HOST[::GUEST][:ro]")
}

/// Parses `GUEST:HOST[:ro]`.
///
/// # Errors
/// The colon or a part is missing.
pub(crate) fn parse_mapdir(text: &str) -> Result<Mount, String> {
    let (paths, read_only) = split_mode(text);
    let (guest, host) = split_pair(paths);
    mount(host, guest, read_only, "GUEST:HOST[:ro]")
}

/// Parses `HOST:GUEST[:ro]`.
///
/// # Errors
/// The colon or a part is missing.
pub(crate) fn parse_volume(text: &str) -> Result<Mount, String> {
    let (paths, read_only) = split_mode(text);
    let (host, guest) = split_pair(paths);
    mount(host, guest, read_only, "HOST:GUEST[:ro]")
}

fn split_mode(text: &str) -> (&str, bool) {
    match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    }
}

/// Both `A:B` and `A::B`, which users of the other option write.
fn split_pair(paths: &str) -> (&str, &str) {
    paths.split_once("::").or_else(|| paths.split_once(':')).unwrap_or((paths, ""))
}

fn mount(host: &str, guest: &str, read_only: bool, form: &str) -> Result<Mount, String> {
    if host.is_empty() || guest.is_empty() {
        return Err(format!("expected {form}"));
    }
    Ok(Mount { host: host.into(), guest: guest.to_owned(), read_only })
}

/// Parses `HOST:PORT`, where an IPv6 address stands in brackets; a port of 0 means any that is free.
///
/// # Errors
/// A part is missing, or the port is no number of 16 bits.
pub(crate) fn parse_listen(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080".to_owned()),
    }
}

/// A variable of the guest's environment: `KEY=VALUE`, or `KEY` to pass the host's value on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVar {
    /// Its name.
    pub(crate) key: String,
    /// Its value, or `None` for the host's.
    pub(crate) value: Option<String>,
}

/// Parses `KEY[=VALUE]`.
///
/// # Errors
/// The key is empty, or a part holds a zero byte.
pub(crate) fn parse_env(text: &str) -> Result<EnvVar, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() || text.contains('\0') {
        return Err("expected KEY or KEY=VALUE".to_owned());
    }
    Ok(EnvVar { key: key.to_owned(), value })
}

/// Parses a file of `KEY[=VALUE]` lines, by the rules of `docker run --env-file`: blanks before a line
/// do not count, nor do empty lines and lines that begin with `#`; the value is all behind the `=`,
/// quotes, blanks and `#` included; a name has no blanks, so `export A=1` is refused rather than passed
/// on under a name that no program asks for.
///
/// # Errors
/// A line has another form; the message names its number.
pub(crate) fn parse_env_file(text: &str) -> Result<Vec<EnvVar>, String> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable = parse_env(line).map_err(|error| format!("line {number}: {error}"))?;
        if variable.key.contains(char::is_whitespace) {
            let hint = if line.starts_with("export ") { "; leave `export` out" } else { "" };
            let key = printable(&variable.key);
            return Err(format!("line {number}: the name `{key}` contains blanks{hint}"));
        }
        variables.push(variable);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parse = fn(&str) -> Result<Mount, String>;

    /// Text, and host, guest and read-only mark of the mount if it is one.
    type Case = (&'static str, Option<(&'static str, &'static str, bool)>);

    fn check(parse: Parse, cases: &[Case]) {
        for (text, expected) in cases {
            let expected = expected.map(|(host, guest, read_only)| Mount {
                host: host.into(),
                guest: guest.to_owned(),
                read_only,
            });
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn dir() {
        check(
            parse_dir,
            &[
                (".", Some((".", ".", false))),
                ("a/b", Some(("a/b", "a/b", false))),
                ("a::b", Some(("a", "b", false))),
                ("a::b:ro", Some(("a", "b", true))),
                ("a:ro", Some(("a", "a", true))),
                ("a:rw", Some(("a", "a", false))),
                ("a:b", Some(("a:b", "a:b", false))),
                ("a::/", Some(("a", "/", false))),
                ("", None),
                ("::b", None),
                ("a::", None),
                (":ro", None),
            ],
        );
    }

    #[test]
    fn mapdir() {
        check(
            parse_mapdir,
            &[
                ("/w:a", Some(("a", "/w", false))),
                ("/w:a:ro", Some(("a", "/w", true))),
                ("/w::a", Some(("a", "/w", false))),
                ("/w", None),
                (":a", None),
                ("/w:", None),
            ],
        );
    }

    #[test]
    fn volume() {
        check(
            parse_volume,
            &[
                ("a:/w", Some(("a", "/w", false))),
                ("a:/w:ro", Some(("a", "/w", true))),
                ("a::/w", Some(("a", "/w", false))),
                ("a:/w:rw", Some(("a", "/w", false))),
                ("a", None),
                ("a:ro", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn addresses() {
        for (text, valid) in [
            ("127.0.0.1:80", true),
            ("localhost:0", true),
            ("[::1]:65535", true),
            ("80", false),
            (":80", false),
            ("localhost", false),
            ("localhost:", false),
            ("localhost:65536", false),
            ("localhost:http", false),
        ] {
            assert_eq!(parse_listen(text).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn environment() {
        let var = |key: &str, value: Option<&str>| EnvVar {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(parse_env("A=b"), Ok(var("A", Some("b"))));
        assert_eq!(parse_env("A="), Ok(var("A", Some(""))));
        assert_eq!(parse_env("A=b=c"), Ok(var("A", Some("b=c"))));
        assert_eq!(parse_env("A"), Ok(var("A", None)));
        assert!(parse_env("=b").is_err());
        assert!(parse_env("").is_err());
        assert!(parse_env("A=\0").is_err());
    }

    #[test]
    fn files_of_variables() {
        for (line, key, value) in [
            ("A=1", "A", Some("1")),
            ("  A=1", "A", Some("1")),
            ("A= 1 # x ", "A", Some(" 1 # x ")),
            ("A=\"quoted\"", "A", Some("\"quoted\"")),
            ("A='b=c'", "A", Some("'b=c'")),
            ("A=", "A", Some("")),
            ("A", "A", None),
            ("\u{feff}A=1", "A", Some("1")),
            ("# comment\n\n \t\nA=1\r\n", "A", Some("1")),
        ] {
            let variable = EnvVar { key: key.to_owned(), value: value.map(str::to_owned) };
            assert_eq!(parse_env_file(line), Ok(vec![variable]), "{line:?}");
        }
        assert_eq!(parse_env_file("# nothing\n"), Ok(vec![]));
        for (text, error) in [
            ("A=1\n=2\n", "line 2: expected KEY or KEY=VALUE"),
            ("A =1", "line 1: the name `A ` contains blanks"),
            ("\nA ", "line 2: the name `A ` contains blanks"),
            ("export A=1", "line 1: the name `export A` contains blanks; leave `export` out"),
        ] {
            assert_eq!(parse_env_file(text), Err(error.to_owned()), "{text:?}");
        }
    }
}
