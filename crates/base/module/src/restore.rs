//! A module's description without reading its bodies: taken apart to be stored, and put together
//! again.
//!
//! What is stored beside the code of a module is
//!
//! ```text
//! skeleton      the module without its code section and custom sections; if its active data
//!               segments are stored elsewhere, as the contents of memories, without these too
//! description   where bodies and custom sections are in the module's bytes; its name
//! facts         what validation learned about each body
//! ```
//!
//! The skeleton is decoded and validated like any module, so the format needs no decoder of its
//! own and damage cannot break the description's invariants. Only bodies, and the bytes of plain
//! data segments, are not validated again: that is what restoring saves. Whoever restores a module vouches that all three parts belong to
//! a module that was validated with the same proposals, and that `source` gives that module.

use crate::description::{CustomSection, DataMode, DataSegment, FunctionBody, Module};
use crate::facts::FuncFacts;
use crate::features::Features;
use crate::load;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_abi::wire::{Reader, Writer};
use wasmparser::BinaryReader;

/// Bytes in front of the first section.
const HEADER_BYTES: usize = 8;
const CUSTOM_SECTION: u8 = 0;
const CODE_SECTION: u8 = 10;
const DATA_SECTION: u8 = 11;
const DATA_COUNT_SECTION: u8 = 12;
const PASSIVE_SEGMENT: u64 = 1;

/// Gives the bytes of a restored module: the same that were validated once.
pub trait Source: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// Why they are not there any more.
    fn whole(&self) -> Result<Arc<[u8]>, String>;

    /// Some of them.
    ///
    /// # Errors
    /// Why they are not there any more.
    fn part(&self, range: Range<u32>) -> Result<Box<[u8]>, String>;
}

/// The parts of a module that are stored beside its code.
#[derive(Clone, Debug)]
pub struct Parts {
    /// See the head of this module.
    pub description: Arc<[u8]>,
    /// See the head of this module.
    pub skeleton: Arc<[u8]>,
    /// See the head of this module.
    pub facts: Arc<[u8]>,
    /// Bytes of the module in binary form.
    pub wasm_bytes: u32,
}

/// Why the bytes of a restored module are not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module's bytes are needed, but {0}")]
pub struct SourceError(String);

/// What a restored module reads when it is needed.
pub(crate) struct Late {
    source: Box<dyn Source>,
    wasm_bytes: u32,
    description: Arc<[u8]>,
    facts: Arc<[u8]>,
    loaded: OnceLock<Loaded>,
}

/// What has been read of the bytes.
struct Loaded {
    facts: Box<[FuncFacts]>,
    /// Bodies that were read alone.
    bodies: Box<[OnceLock<Box<[u8]>>]>,
    whole: OnceLock<Arc<[u8]>>,
}

fn damaged(what: &str) -> SourceError {
    SourceError(format!("{what} changed since it was stored"))
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").field("wasm_bytes", &self.wasm_bytes).finish_non_exhaustive()
    }
}

impl Module {
    /// The parts that are stored beside the code. `is_folded`: without active data segments, for
    /// whoever stores what they do. What is left of them looks like passive segments without
    /// bytes, and none are left behind the last passive one: nobody can tell that from segments
    /// that have been copied and dropped.
    ///
    /// Of a restored module the parts that it came from, whatever `is_folded` says.
    #[must_use]
    pub fn parts(&self, is_folded: bool) -> Parts {
        if let Some(late) = &self.late {
            return Parts {
                description: late.description.clone(),
                skeleton: self.bytes.clone(),
                facts: late.facts.clone(),
                wasm_bytes: late.wasm_bytes,
            };
        }
        let mut facts = Writer::new();
        self.body_facts.values().for_each(|known| write_facts(&mut facts, known));
        Parts {
            description: describe(self).into(),
            skeleton: self.skeleton(is_folded).into(),
            facts: facts.finish().into(),
            // At most 2^30, see `header`.
            wasm_bytes: self.bytes.len() as u32,
        }
    }

    /// A module from its parts; see the head of this file for what the caller vouches for.
    ///
    /// `None`: the parts are damaged, or do not belong together.
    #[must_use]
    pub fn restore(parts: Parts, features: &Features, source: Box<dyn Source>) -> Option<Module> {
        let mut module = load::skeleton(parts.skeleton, *features)?;
        read_description(&parts.description, &mut module, parts.wasm_bytes)?;
        module.late = Some(Late {
            source,
            wasm_bytes: parts.wasm_bytes,
            description: parts.description,
            facts: parts.facts,
            loaded: OnceLock::new(),
        });
        Some(module)
    }

    /// Sees to it that bodies, facts about them and custom sections are there: they always are,
    /// except in a restored module.
    ///
    /// # Errors
    /// They cannot be read, or are no longer those of the module.
    pub fn require_bodies(&self) -> Result<(), SourceError> {
        let Some(late) = &self.late else { return Ok(()) };
        let loaded = self.loaded(late)?;
        if loaded.whole.get().is_some() {
            return Ok(());
        }
        let bytes = late.source.whole().map_err(SourceError)?;
        if bytes.len() != late.wasm_bytes as usize {
            return Err(damaged("it"));
        }
        // Another thread may have been faster; both read the same.
        let _ = loaded.whole.set(bytes);
        Ok(())
    }

    /// Sees to it that one function's body and the facts about it are there.
    ///
    /// # Errors
    /// As [`Module::require_bodies`].
    pub fn require_body(&self, func: DefinedFuncIndex) -> Result<(), SourceError> {
        let Some(late) = &self.late else { return Ok(()) };
        let loaded = self.loaded(late)?;
        let (Some(cell), Some(body)) =
            (loaded.bodies.get(func.as_u32() as usize), self.bodies.get(func))
        else {
            return Err(damaged("the number of its functions"));
        };
        if loaded.whole.get().is_none() && cell.get().is_none() {
            let bytes = late.source.part(body.range.clone()).map_err(SourceError)?;
            if bytes.len() != body.range.len() {
                return Err(damaged("it"));
            }
            let _ = cell.set(bytes);
        }
        Ok(())
    }

    fn loaded<'a>(&self, late: &'a Late) -> Result<&'a Loaded, SourceError> {
        if let Some(loaded) = late.loaded.get() {
            return Ok(loaded);
        }
        let mut reader = Reader::new(&late.facts);
        let facts = (0..self.bodies.len()).map(|_| read_facts(&mut reader)).collect::<Option<_>>();
        let facts = facts.ok_or_else(|| damaged("what is known about it"))?;
        let bodies = (0..self.bodies.len()).map(|_| OnceLock::new()).collect();
        Ok(late.loaded.get_or_init(|| Loaded { facts, bodies, whole: OnceLock::new() }))
    }

    /// The body of a restored module's function, if it was read alone.
    pub(crate) fn late_body(&self, func: DefinedFuncIndex) -> Option<&[u8]> {
        let loaded = self.late.as_ref()?.loaded.get()?;
        Some(loaded.bodies.get(func.as_u32() as usize)?.get()?)
    }

    /// Whether the module was restored from its parts.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.late.is_some()
    }

    /// What validation learned about a function's body. Of a restored module, after
    /// [`Module::require_body`].
    #[must_use]
    pub fn facts(&self, func: DefinedFuncIndex) -> &FuncFacts {
        static UNKNOWN: LazyLock<FuncFacts> = LazyLock::new(FuncFacts::default);
        let loaded = self.late.as_ref().and_then(|late| late.loaded.get());
        match loaded.and_then(|loaded| loaded.facts.get(func.as_u32() as usize)) {
            Some(facts) => facts,
            None => self.body_facts.get(func).unwrap_or(&UNKNOWN),
        }
    }

    /// The content of a custom section; `None`: it is not there any more.
    pub(crate) fn content(&self, section: &CustomSection) -> Option<Cow<'_, [u8]>> {
        let range = section.range.start as usize..section.range.end as usize;
        match (self.whole(), &self.late) {
            (Some(whole), _) => whole.get(range).map(Cow::Borrowed),
            (None, Some(late)) => {
                let bytes = late.source.part(section.range.clone()).ok()?;
                (bytes.len() == range.len()).then(|| Cow::Owned(bytes.into_vec()))
            }
            (None, None) => None,
        }
    }

    /// The bytes that bodies and custom sections are in; `None` before they have been read.
    pub(crate) fn whole(&self) -> Option<&Arc<[u8]>> {
        match &self.late {
            None => Some(&self.bytes),
            Some(late) => late.loaded.get()?.whole.get(),
        }
    }
}

impl Module {
    /// The module without its code section and custom sections, and perhaps active segments.
    fn skeleton(&self, is_folded: bool) -> Vec<u8> {
        let bytes = &self.bytes;
        let mut out = bytes.get(..HEADER_BYTES).unwrap_or_default().to_vec();
        for (id, section) in sections(bytes) {
            match id {
                CUSTOM_SECTION | CODE_SECTION => {}
                // Only bodies need it.
                DATA_COUNT_SECTION if is_folded => {}
                DATA_SECTION if is_folded => self.passive_data(&mut out),
                _ => out.extend_from_slice(&bytes[section]),
            }
        }
        out
    }

    /// The data section up to the last passive segment, with nothing in active ones.
    fn passive_data(&self, out: &mut Vec<u8>) {
        let is_passive = |segment: &DataSegment| matches!(segment.mode, DataMode::Passive);
        let passive = self.data.iter().rfind(|(_, segment)| is_passive(segment));
        let Some((last, _)) = passive else { return };
        let mut section = Writer::new();
        section.number(u64::from(last.as_u32()) + 1);
        for (index, segment) in self.data.iter().take(last.as_u32() as usize + 1) {
            section.number(PASSIVE_SEGMENT);
            let is_passive = is_passive(segment);
            section.string(if is_passive { self.data_bytes(index) } else { &[] });
        }
        let section = section.finish();
        let mut head = Writer::new();
        head.number(DATA_SECTION.into());
        head.number(section.len() as u64);
        out.extend(head.finish());
        out.extend(section);
    }
}

/// Ids and ranges, headers included, of the sections of a valid module.
fn sections(bytes: &[u8]) -> impl Iterator<Item = (u8, Range<usize>)> {
    let mut reader = BinaryReader::new(bytes.get(HEADER_BYTES..).unwrap_or_default(), 8);
    std::iter::from_fn(move || {
        let start = reader.original_position() as usize;
        let id = reader.read_u8().ok()?;
        let len = reader.read_var_u32().ok()? as usize;
        reader.read_bytes(len).ok()?;
        Some((id, start..reader.original_position() as usize))
    })
}

fn describe(module: &Module) -> Vec<u8> {
    let mut out = Writer::new();
    out.number(module.code_bytes as u64);
    out.number(module.code_start.map_or(0, |start| u64::from(start) + 1));
    out.number(u64::from(module.name.is_some()));
    out.string(module.name.as_deref().unwrap_or_default().as_bytes());
    out.number(module.custom_sections.len() as u64);
    for section in &module.custom_sections {
        out.string(section.name.as_bytes());
        write_range(&mut out, &section.range);
    }
    module.bodies.values().for_each(|body| write_range(&mut out, &body.range));
    out.finish()
}

fn read_description(bytes: &[u8], module: &mut Module, wasm_bytes: u32) -> Option<()> {
    let mut reader = Reader::new(bytes);
    module.code_bytes = usize::try_from(reader.number()?).ok()?;
    module.code_start = reader.number32()?.checked_sub(1);
    let named = reader.number()? != 0;
    let name = std::str::from_utf8(reader.string()?).ok()?;
    module.name = named.then(|| name.to_owned());
    for _ in 0..reader.number()? {
        let name = std::str::from_utf8(reader.string()?).ok()?.to_owned();
        let range = read_range(&mut reader, wasm_bytes)?;
        module.custom_sections.push(CustomSection { name, range });
    }
    let imported = module.counts.imported_funcs as usize;
    module.bodies.reserve(module.functions.len() - imported);
    for _ in imported..module.functions.len() {
        let range = read_range(&mut reader, wasm_bytes)?;
        module.bodies.push(FunctionBody { range });
    }
    reader.is_empty().then_some(())
}

fn write_range(out: &mut Writer, range: &Range<u32>) {
    out.number(u64::from(range.start));
    out.number(u64::from(range.end - range.start));
}

fn read_range(reader: &mut Reader<'_>, end_max: u32) -> Option<Range<u32>> {
    let start = reader.number32()?;
    let end = start.checked_add(reader.number32()?)?;
    (end <= end_max).then_some(start..end)
}

fn write_facts(out: &mut Writer, facts: &FuncFacts) {
    // All fields are named, so that a new one cannot be left out.
    let FuncFacts {
        locals,
        operators,
        loops,
        control_depth_max,
        stack_height_max,
        has_call,
        tries,
        uses_memory,
        uses_simd,
        local_weights,
    } = facts;
    for number in [locals, operators, loops, control_depth_max, stack_height_max, tries] {
        out.number(u64::from(*number));
    }
    let flags = [has_call, uses_memory, uses_simd];
    out.number(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u64::from(**flag)));
    out.number(local_weights.len() as u64);
    local_weights.iter().for_each(|&weight| out.number(u64::from(weight)));
}

fn read_facts(reader: &mut Reader<'_>) -> Option<FuncFacts> {
    let [locals, operators, loops, control_depth_max, stack_height_max, tries] = [
        reader.number32()?,
        reader.number32()?,
        reader.number32()?,
        reader.number32()?,
        reader.number32()?,
        reader.number32()?,
    ];
    let flags = reader.number()?;
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let weights = reader.number()?;
    if weights > FuncFacts::WEIGHED_LOCALS as u64 {
        return None;
    }
    Some(FuncFacts {
        locals,
        operators,
        loops,
        control_depth_max,
        stack_height_max,
        has_call: flag(0),
        tries,
        uses_memory: flag(1),
        uses_simd: flag(2),
        local_weights: (0..weights).map(|_| reader.number32()).collect::<Option<_>>()?,
    })
}
