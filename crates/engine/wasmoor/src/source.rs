//! Source positions of wasm frames, from a module's DWARF.

use crate::Frame;

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Function, demangled, if the DWARF names it.
    pub function: Option<String>,
    /// File, as the compiler was given it.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// The source positions of a frame, the innermost inlined function first; empty when the module
/// has no DWARF that covers the frame.
///
/// Parses the module's DWARF anew at each call: meant for a few frames of a backtrace.
#[must_use]
pub fn locate(frame: &Frame) -> Vec<SourceLocation> {
    #[cfg(feature = "addr2line")]
    return dwarf::locate(frame).unwrap_or_default();
    #[cfg(not(feature = "addr2line"))]
    {
        let _ = frame;
        Vec::new()
    }
}

#[cfg(feature = "addr2line")]
mod dwarf {
    use super::SourceLocation;
    use crate::Frame;
    use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

    type Reader<'a> = EndianSlice<'a, LittleEndian>;

    pub(super) fn locate(frame: &Frame) -> Option<Vec<SourceLocation>> {
        let module = frame.module();
        // DWARF addresses count from the start of the code section's content.
        let address = u64::from(frame.wasm_offset()?.checked_sub(module.code_start?)?);
        let section = |id: SectionId| -> Result<Reader<'_>, gimli::Error> {
            let bytes = module.custom_section(id.name()).unwrap_or_default();
            Ok(EndianSlice::new(bytes, LittleEndian))
        };
        let context = addr2line::Context::from_dwarf(Dwarf::load(section).ok()?).ok()?;
        let mut frames = context.find_frames(address).skip_all_loads().ok()?;
        let mut locations = Vec::new();
        while let Ok(Some(found)) = frames.next() {
            let name = found.function.as_ref().and_then(|name| name.demangle().ok());
            let location = found.location;
            locations.push(SourceLocation {
                function: name.map(|name| name.into_owned()),
                file: location.as_ref().and_then(|at| at.file).map(str::to_owned),
                line: location.as_ref().and_then(|at| at.line),
                column: location.as_ref().and_then(|at| at.column),
            });
        }
        Some(locations)
    }
}
