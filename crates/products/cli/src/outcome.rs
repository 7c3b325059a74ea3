//! From the engine's errors to what the user reads and the exit status.

use crate::report::{Failure, printable};
use std::fmt::Write;
use wasmoor::{Backtrace, Error, ErrorKind, SourceLocation, TrapCode};
use wasmoor_wasi_p1::Exit;

/// Frames whose file and line are looked up; each look-up reads the module's DWARF.
const LOCATED_FRAMES_MAX: usize = 16;
/// Equal frames in a row that are still listed one by one.
const REPEATED_FRAMES_MAX: usize = 3;

/// How the guest ended, as the command's result.
///
/// # Errors
/// The guest ended with another status than 0, trapped, or could not be run.
pub(crate) fn of(result: Result<(), Error>) -> Result<(), Failure> {
    let Err(error) = result else { return Ok(()) };
    if let Some(exit) = error.downcast_ref::<Exit>() {
        // As in any process, the low 8 bits are the status.
        return match exit.code as u8 {
            0 => Ok(()),
            status => Err(Failure::guest(status)),
        };
    }
    Err(failure(&error))
}

fn failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Trap(trap) => Failure {
            by_guest: trap.code == TrapCode::Unreachable,
            ..Failure::trap(error, backtrace(&trap.backtrace))
        },
        ErrorKind::Exception(exception) => Failure::trap(error, backtrace(&exception.backtrace)),
        ErrorKind::Host(failure) => {
            Failure { details: backtrace(&failure.backtrace), ..Failure::error(error) }
        }
        ErrorKind::Imports(imports) if imports.len() > 1 => Failure {
            details: imports.iter().map(|import| printable(&format!("  {import}"))).collect(),
            ..Failure::error(format!("{} imports cannot be satisfied", imports.len()))
        },
        _ => Failure::error(error),
    }
}

/// The lines of a backtrace, numbered, innermost frame first. A run of equal frames, as endless
/// recursion leaves it, is shown by its first.
fn backtrace(trace: &Backtrace) -> Vec<String> {
    if trace.is_empty() {
        return Vec::new();
    }
    let shown: Vec<String> = trace.frames().iter().map(ToString::to_string).collect();
    let mut lines = vec!["wasm backtrace:".to_owned()];
    let mut number = 0;
    while let Some(frame) = shown.get(number) {
        lines.push(printable(&format!("  {number:>3}: {frame}")));
        if number < LOCATED_FRAMES_MAX {
            lines.extend(wasmoor::locate(&trace.frames()[number]).iter().filter_map(location));
        }
        let equal = shown[number..].iter().take_while(|other| *other == frame).count();
        if equal > REPEATED_FRAMES_MAX {
            lines.push(format!("       ... ({} more like this)", equal - 1));
            number += equal;
        } else {
            number += 1;
        }
    }
    if trace.is_truncated() {
        lines.push("       ... (more frames)".to_owned());
    }
    lines
}

/// `at FILE:LINE:COLUMN (FUNCTION)`
fn location(place: &SourceLocation) -> Option<String> {
    let mut text = format!("         at {}", place.file.as_deref()?);
    if let Some(line) = place.line {
        let _ = write!(text, ":{line}");
        if let Some(column) = place.column {
            let _ = write!(text, ":{column}");
        }
    }
    if let Some(function) = &place.function {
        let _ = write!(text, " ({function})");
    }
    Some(printable(&text))
}
