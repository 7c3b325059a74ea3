//! What came out: counts per kind of directive, failures with their place, tables.

use crate::directive::DirectiveKind;
use crate::options::RunOptions;
use std::fmt;

/// Numbers of directives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As the script demands.
    pub passed: u64,
    /// Not as the script demands.
    pub failed: u64,
    /// Not tried.
    pub skipped: u64,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// A place in a script; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) script: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.script, self.line, self.column)
    }
}

/// A directive that did not come out as the script demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(crate) place: Place,
    /// Which kind of directive.
    pub kind: DirectiveKind,
    /// What the script demands.
    pub expected: String,
    /// What came out.
    pub got: String,
}

impl Failure {
    /// Name of the script.
    #[must_use]
    pub fn script(&self) -> &str {
        &self.place.script
    }

    /// Line and column in the script, from 1.
    #[must_use]
    pub fn line_and_column(&self) -> (usize, usize) {
        (self.place.line, self.place.column)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { place, kind, expected, got } = self;
        write!(f, "{place}: {kind}: expected {expected}, got {got}")
    }
}

/// A directive that was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    pub(crate) place: Place,
    /// Which kind of directive.
    pub kind: DirectiveKind,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: skipped: {}", self.place, self.kind, self.reason)
    }
}

/// What came out of one script.
#[derive(Clone, Debug)]
pub struct ScriptReport {
    /// Name of the script.
    pub name: String,
    tallies: Vec<Tally>,
    /// Directives that failed, in order.
    pub failures: Vec<Failure>,
    /// Directives that were not tried, in order.
    pub skips: Vec<Skip>,
}

impl ScriptReport {
    pub(crate) fn new(name: &str) -> Self {
        ScriptReport {
            name: name.to_string(),
            tallies: vec![Tally::default(); DirectiveKind::ALL.len()],
            failures: Vec::new(),
            skips: Vec::new(),
        }
    }

    pub(crate) fn passed(&mut self, kind: DirectiveKind) {
        self.tallies[kind as usize].passed += 1;
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        self.tallies[failure.kind as usize].failed += 1;
        self.failures.push(failure);
    }

    pub(crate) fn skipped(&mut self, skip: Skip) {
        self.tallies[skip.kind as usize].skipped += 1;
        self.skips.push(skip);
    }

    /// Adds what came of one of the script's threads.
    pub(crate) fn absorb(&mut self, thread: ScriptReport) {
        for (tally, more) in self.tallies.iter_mut().zip(thread.tallies) {
            tally.passed += more.passed;
            tally.failed += more.failed;
            tally.skipped += more.skipped;
        }
        self.failures.extend(thread.failures);
        self.skips.extend(thread.skips);
    }

    /// Numbers of one kind of directive.
    #[must_use]
    pub fn tally(&self, kind: DirectiveKind) -> Tally {
        self.tallies[kind as usize]
    }

    /// Numbers of all directives.
    #[must_use]
    pub fn total(&self) -> Tally {
        sum(&self.tallies)
    }
}

/// What came out of several scripts run with the same options.
///
/// Displayed as a table of scripts, followed by what failed and what was skipped.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the scripts were run.
    pub options: RunOptions,
    /// The scripts, in the order they were added.
    pub scripts: Vec<ScriptReport>,
}

impl Report {
    /// A report on no script yet.
    #[must_use]
    pub fn new(options: &RunOptions) -> Self {
        Report { options: *options, scripts: Vec::new() }
    }

    /// Adds a script.
    pub fn add(&mut self, script: ScriptReport) {
        self.scripts.push(script);
    }

    /// Numbers of one kind of directive in all scripts.
    #[must_use]
    pub fn tally(&self, kind: DirectiveKind) -> Tally {
        sum(self.scripts.iter().map(|script| &script.tallies[kind as usize]))
    }

    /// Numbers of all directives in all scripts.
    #[must_use]
    pub fn total(&self) -> Tally {
        sum(self.scripts.iter().flat_map(|script| &script.tallies))
    }

    /// Failures of all scripts.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.scripts.iter().flat_map(|script| &script.failures)
    }

    /// Skipped directives of all scripts.
    pub fn skips(&self) -> impl Iterator<Item = &Skip> {
        self.scripts.iter().flat_map(|script| &script.skips)
    }

    /// Whether no directive failed and none was skipped.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let total = self.total();
        total.failed == 0 && total.skipped == 0
    }

    /// The same numbers per kind of directive, as a table.
    #[must_use]
    pub fn by_kind(&self) -> String {
        let rows = DirectiveKind::ALL.iter().map(|&kind| (kind.name(), self.tally(kind)));
        let rows = rows.filter(|(_, tally)| tally.total() > 0).collect::<Vec<_>>();
        table("directive", &rows)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> =
            self.scripts.iter().map(|script| (script.name.as_str(), script.total())).collect();
        f.write_str(&table("script", &rows))?;
        let scripts = if rows.len() == 1 { "script" } else { "scripts" };
        writeln!(f, "{} {scripts}; {}", rows.len(), self.options.summary())?;
        self.failures().try_for_each(|failure| writeln!(f, "{failure}"))?;
        self.skips().try_for_each(|skip| writeln!(f, "{skip}"))
    }
}

fn sum<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Tally {
    tallies.into_iter().fold(Tally::default(), |mut sum, tally| {
        sum.add(tally);
        sum
    })
}

/// A table of named tallies with their sum.
fn table(head: &str, rows: &[(&str, Tally)]) -> String {
    let all = ("all", sum(rows.iter().map(|(_, tally)| tally)));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let width = width.max(head.len());
    let mut out = format!(
        "{head:width$} {:>10} {:>8} {:>8} {:>8}\n",
        "directives", "passed", "failed", "skipped"
    );
    for (name, tally) in rows.iter().chain([&all]) {
        let Tally { passed, failed, skipped } = tally;
        let total = tally.total();
        out += &format!("{name:width$} {total:>10} {passed:>8} {failed:>8} {skipped:>8}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_add_up_and_name_the_run() {
        let mut a = ScriptReport::new("a.wast");
        a.passed(DirectiveKind::Module);
        a.passed(DirectiveKind::AssertReturn);
        let mut b = ScriptReport::new("longer.wast");
        let place = Place { script: b.name.clone(), line: 3, column: 7 };
        let (expected, got) = ("i32 1".to_string(), "i32 2".to_string());
        let kind = DirectiveKind::AssertReturn;
        b.failed(Failure { place: place.clone(), kind, expected, got });
        b.skipped(Skip {
            place,
            kind: DirectiveKind::Thread,
            reason: "threads are not implemented",
        });
        let mut report = Report::new(&RunOptions::default());
        report.add(a);
        report.add(b);
        assert_eq!(
            report.to_string(),
            "script      directives   passed   failed  skipped\n\
             a.wast               2        2        0        0\n\
             longer.wast          2        0        1        1\n\
             all                  4        2        1        1\n\
             2 scripts; tier auto, allocator on-demand, lazy\n\
             longer.wast:3:7: assert_return: expected i32 1, got i32 2\n\
             longer.wast:3:7: thread: skipped: threads are not implemented\n"
        );
        assert_eq!(
            report.by_kind(),
            "directive     directives   passed   failed  skipped\n\
             module                 1        1        0        0\n\
             assert_return          2        1        1        0\n\
             thread                 1        0        0        1\n\
             all                    4        2        1        1\n"
        );
        assert!(!report.is_success());
        assert_eq!(
            report.tally(DirectiveKind::AssertReturn),
            Tally { passed: 1, failed: 1, skipped: 0 }
        );
    }
}
