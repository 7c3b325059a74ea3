//! `run --stats`: where the time went, and memory, on standard error.

use crate::units::{show_bytes, show_duration};
use std::io::Write;
use std::time::Duration;
use wasmoor::{CompileStats, TierUpLimit};

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    /// Reading the file, and encoding text.
    pub(crate) read: Duration,
    /// Decoding and validating.
    pub(crate) validate: Duration,
    /// Eager compilation, by the clock.
    pub(crate) compile: Duration,
    /// Instantiation, the start function included.
    pub(crate) instantiate: Duration,
    /// The program, lazy compilation included.
    pub(crate) run: Duration,
    /// Where code came from, if not from compiling: words for a reader.
    pub(crate) origin: &'static str,
    /// What the cache said to new code.
    pub(crate) stored: &'static str,
    /// Bytes of the module in binary form.
    pub(crate) module_bytes: usize,
    /// Bytes of linear memories at the end.
    pub(crate) memory_bytes: u64,
    /// Elements of tables at the end.
    pub(crate) table_elements: u64,
    /// What was compiled.
    pub(crate) compiled: CompileStats,
    /// Fuel used, if it was counted.
    pub(crate) fuel: Option<u64>,
}

impl Stats {
    /// Prints the table.
    pub(crate) fn print(&self) {
        let mut stderr = std::io::stderr().lock();
        for (name, value) in self.rows() {
            let _ = writeln!(stderr, "{name:12} {value}");
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let compiled = &self.compiled;
        let read = match self.origin {
            "" => show_bytes(self.module_bytes as u64),
            origin => format!("from {origin}"),
        };
        let mut rows = vec![
            ("read", format!("{}, {read}", show_duration(self.read))),
            ("validate", show_duration(self.validate)),
            ("compile", show_duration(self.compile)),
            ("instantiate", show_duration(self.instantiate)),
            ("run", show_duration(self.run)),
            (
                "functions",
                format!(
                    "{} of {} compiled in {}",
                    compiled.functions,
                    compiled.functions_total,
                    show_duration(Duration::from_nanos(compiled.compile_ns)),
                ),
            ),
            (
                "loaded",
                format!(
                    "{} functions compiled earlier, {} damaged{}",
                    compiled.functions_loaded, compiled.functions_damaged, self.stored
                ),
            ),
            ("optimized", optimized(compiled)),
            ("code", show_bytes(compiled.code_bytes as u64)),
            (
                "memory",
                format!(
                    "{} of linear memory, {} table elements",
                    show_bytes(self.memory_bytes),
                    self.table_elements
                ),
            ),
        ];
        if let Some(peak) = peak_resident_bytes() {
            rows.push(("process", format!("{} resident at most", show_bytes(peak))));
        }
        if let Some(fuel) = self.fuel {
            rows.push(("fuel", format!("{fuel} used")));
        }
        rows
    }
}

/// What was compiled again, and what stood in the way of more.
fn optimized(compiled: &CompileStats) -> String {
    let mut text = format!(
        "{} compiled again, for speed, in {}",
        compiled.functions_optimized,
        show_duration(Duration::from_nanos(compiled.optimize_ns)),
    );
    if compiled.functions_left > 0 {
        text += &format!("; {} too large for that", compiled.functions_left);
    }
    match compiled.optimize_limit {
        Some(TierUpLimit::Time) => text += "; stopped: its budget of time is used up",
        Some(_) => text += "; stopped: its budget of memory is used up",
        None => {}
    }
    text
}

/// The most memory that the process had resident, where the system tells.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_used_up_is_named() {
        let stats = |change: fn(&mut CompileStats)| {
            let mut stats = CompileStats { functions_optimized: 3, ..CompileStats::default() };
            change(&mut stats);
            optimized(&stats)
        };
        assert!(stats(|_| ()).starts_with("3 compiled again, for speed, in 0"));
        assert!(!stats(|_| ()).contains(';'));
        assert!(stats(|it| it.functions_left = 2).ends_with("; 2 too large for that"));
        assert!(stats(|it| it.optimize_limit = Some(TierUpLimit::Time)).contains("budget of time"));
        let code = stats(|it| it.optimize_limit = Some(TierUpLimit::CodeBytes));
        assert!(code.contains("budget of memory"));
    }
}
