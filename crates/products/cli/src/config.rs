//! `wasmoor config`: what this build does on this machine, for reports of errors.

use crate::report::{self, Failure};
use crate::tier;
use crate::units::show_bytes;
use crate::validate;
use std::fmt::Write;
use wasmoor::{Config, Engine, Features};
use wasmoor_abi::limits::MODULE_BYTES_MAX;
use wasmoor_abi::{CLAMP_GUARD_BYTES, CLAMP_ROOM_BYTES_MIN, MemoryMode};

const CHECKED: &str = "checked: each access is compared with the length";

/// Prints the facts, one per line.
///
/// # Errors
/// The engine does not work on this machine.
pub(crate) fn run() -> Result<(), Failure> {
    let engine = Engine::new(&Config::new()).map_err(Failure::error)?;
    let memory = match engine.memory_mode() {
        MemoryMode::Guard { guard_bytes } => {
            format!("guarded: 4 GiB and {} reserved for each", show_bytes(guard_bytes))
        }
        MemoryMode::Clamped | MemoryMode::Checked => CHECKED.to_owned(),
    };
    let memory64 = match engine.clamps_memory64() {
        // More where the type says so.
        true => format!(
            "clamped: {} or more and {} around them reserved for each",
            show_bytes(CLAMP_ROOM_BYTES_MIN),
            show_bytes(3 * CLAMP_GUARD_BYTES)
        ),
        false => CHECKED.to_owned(),
    };
    let proposals: Vec<&str> = engine
        .features()
        .iter()
        .filter(|feature| !Features::WASM1.contains(*feature))
        .map(|feature| feature.name())
        .collect();
    let mut text = String::new();
    for (name, value) in [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host", format!("{} {}", std::env::consts::ARCH, std::env::consts::OS)),
        ("threads", validate::threads().to_string()),
        ("tiers", tier::names().join(", ")),
        ("memories", memory),
        ("of 64 bits", memory64),
        ("stack", show_bytes(Config::STACK_BYTES_MAX as u64)),
        ("module", format!("{} at most", show_bytes(MODULE_BYTES_MAX as u64))),
        ("proposals", proposals.join(", ")),
    ] {
        let _ = writeln!(text, "{name:12} {value}");
    }
    report::print(&text)
}
