//! The name section: names for people, never trusted and never an error.
//!
//! Whatever is damaged is left out, together with all that follows it in the same subsection.
//! Memory is bounded by the section itself: a name costs what its bytes cost plus one map entry,
//! and indices outside the module are dropped.

use crate::description::{EntityIndex, Export};
use std::collections::HashMap;
use std::ops::Range;
use wasmoor_abi::{FuncIndex, TagIndex};
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// Name of the custom section.
pub(crate) const SECTION: &str = "name";

const CUSTOM_SECTION_ID: u8 = 0;
const HEADER_BYTES: u64 = 8;

/// The module's own name.
pub(crate) fn module_name(section: &[u8]) -> Option<String> {
    subsections(section).find_map(|name| match name {
        Name::Module { name, .. } => Some(name.to_string()),
        _ => None,
    })
}

/// Names of functions below `funcs`.
pub(crate) fn func_names(section: &[u8], funcs: usize) -> HashMap<FuncIndex, String> {
    let mut names = HashMap::new();
    for name in subsections(section) {
        let Name::Function(map) = name else { continue };
        for naming in map.map_while(Result::ok).take_while(|naming| (naming.index as usize) < funcs)
        {
            let index = FuncIndex::from_u32(naming.index);
            names.entry(index).or_insert_with(|| naming.name.to_string());
        }
    }
    names
}

/// Name of a tag.
pub(crate) fn tag_name(section: &[u8], index: TagIndex) -> Option<String> {
    subsections(section).find_map(|name| match name {
        Name::Tag(map) => map
            .map_while(Result::ok)
            .find(|naming| naming.index == index.as_u32())
            .map(|naming| naming.name.to_string()),
        _ => None,
    })
}

fn subsections(section: &[u8]) -> impl Iterator<Item = Name<'_>> {
    NameSectionReader::new(BinaryReader::new(section, 0)).map_while(Result::ok)
}

/// A function's name for messages about a module that was not loaded: in the name section, else
/// the first export.
pub(crate) fn name_in_broken_module(
    bytes: &[u8],
    exports: &[Export],
    index: FuncIndex,
) -> Option<String> {
    let named = find_section(bytes).and_then(|range| {
        let section = bytes.get(range)?;
        subsections(section).find_map(|name| match name {
            Name::Function(map) => map
                .map_while(Result::ok)
                .find(|naming| naming.index == index.as_u32())
                .map(|naming| naming.name.to_string()),
            _ => None,
        })
    });
    named.or_else(|| export_name(exports, index).map(str::to_string))
}

/// The first name that a function is exported under.
pub(crate) fn export_name(exports: &[Export], index: FuncIndex) -> Option<&str> {
    entity_export_name(exports, EntityIndex::Func(index))
}

/// The first name that something is exported under.
pub(crate) fn entity_export_name(exports: &[Export], entity: EntityIndex) -> Option<&str> {
    exports.iter().find(|export| export.entity == entity).map(|export| export.name.as_str())
}

/// Finds the name section's content without decoding any other section.
fn find_section(bytes: &[u8]) -> Option<Range<usize>> {
    let mut reader = BinaryReader::new(bytes.get(HEADER_BYTES as usize..)?, HEADER_BYTES);
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let len = reader.read_var_u32().ok()? as usize;
        let start = reader.original_position() as usize;
        let content = reader.read_bytes(len).ok()?;
        if id == CUSTOM_SECTION_ID {
            let mut content = BinaryReader::new(content, start as u64);
            if content.read_string().ok() == Some(SECTION) {
                return Some(content.original_position() as usize..start + len);
            }
        }
    }
    None
}
