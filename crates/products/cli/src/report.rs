//! How the command ends: exit status and what is printed about it.
//!
//! Every failure is one line, `error: WHAT: CAUSE: ...`, except for a trap, whose line is followed by
//! the numbered backtrace. A closed standard error is no reason to fail differently.

use crate::signals;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Status after an error of ours.
pub(crate) const STATUS_ERROR: u8 = 1;
/// Status after wrong usage; also that of `clap`.
pub(crate) const STATUS_USAGE: u8 = 2;
/// Status after a trap: what shells report for SIGABRT.
pub(crate) const STATUS_TRAP: u8 = 134;

/// Why the command ends without success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) status: u8,
    /// What to print; nothing if the guest has said it all.
    pub(crate) message: Option<String>,
    /// Further lines: a backtrace.
    pub(crate) details: Vec<String>,
    /// Whether the guest ended itself: by a status, or as programs abort, by an `unreachable`.
    pub(crate) by_guest: bool,
}

impl Failure {
    /// An error of ours or of the input.
    pub(crate) fn error(message: impl Display) -> Failure {
        Failure::new(STATUS_ERROR, message)
    }

    /// The user asked for something that cannot be.
    pub(crate) fn usage(message: impl Display) -> Failure {
        Failure::new(STATUS_USAGE, message)
    }

    fn new(status: u8, message: impl Display) -> Failure {
        let message = Some(one_line(&message.to_string()));
        Failure { status, message, details: Vec::new(), by_guest: false }
    }

    /// The guest trapped.
    pub(crate) fn trap(message: impl Display, backtrace: Vec<String>) -> Failure {
        Failure { details: backtrace, ..Failure::new(STATUS_TRAP, message) }
    }

    /// The guest ended with this status by itself.
    pub(crate) fn guest(status: u8) -> Failure {
        Failure { status, message: None, details: Vec::new(), by_guest: true }
    }

    /// Puts what was being done before the message.
    pub(crate) fn context(mut self, what: impl Display) -> Failure {
        self.message = self.message.map(|message| format!("{what}: {message}"));
        self
    }

    /// Prints the failure and turns it into the process's status.
    pub(crate) fn print(self) -> ExitCode {
        ExitCode::from(self.report())
    }

    /// Prints the failure; the status.
    pub(crate) fn report(&self) -> u8 {
        if let Some(message) = &self.message {
            error_line(message);
        }
        for line in &self.details {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        self.status
    }
}

/// Prints `error: MESSAGE`.
pub(crate) fn error_line(message: &str) {
    let _ = writeln!(std::io::stderr(), "error: {message}");
}

/// Prints `note: MESSAGE`.
pub(crate) fn note(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}", note_line(message));
}

/// `note: MESSAGE`
pub(crate) fn note_line(message: impl Display) -> String {
    format!("note: {message}")
}

/// Output of the command itself. If nobody reads it, the process ends by SIGPIPE.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .inspect_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                signals::end_by_sigpipe();
            }
        })
        .map_err(|error| Failure::error(format!("cannot write to standard output: {error}")))
}

/// Joins lines, and makes control characters visible: names out of a module may hold any.
fn one_line(text: &str) -> String {
    let joined = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    printable(&joined.join("; "))
}

/// The text with control characters escaped, so that a module cannot write to the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Names close to the one that was asked for, the nearest first, at most three.
pub(crate) fn near<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, name)| {
            *distance <= wanted.len().max(name.len()).min(64) / 3 || name.contains(wanted)
        })
        .collect();
    ranked.sort();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits (insert, delete, replace a character) from one name to the other; letter case is free.
/// Only the first 64 characters count, so that a hostile name costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> {
        text.chars().take(64).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_printable_line() {
        for (text, line) in [
            ("plain", "plain"),
            ("two\n  lines\n", "two; lines"),
            ("bell\u{7}", "bell\\u{7}"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
        ] {
            assert_eq!(one_line(text), line);
        }
        let failure = Failure::error("no such file").context("cannot read `x`");
        assert_eq!(failure.message.as_deref(), Some("cannot read `x`: no such file"));
    }

    #[test]
    fn near_names() {
        let names = ["add", "sub", "_start", "multiply", "add_all"];
        assert_eq!(near("ad", names), ["add", "add_all"]);
        assert_eq!(near("Add", names), ["add"]);
        assert_eq!(near("mutliply", names), ["multiply"]);
        assert_eq!(near("zzzzzz", names), Vec::<&str>::new());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
