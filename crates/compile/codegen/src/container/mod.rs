//! The code container: a module's machine code and description in one file (`.wcode`).
//!
//! ```text
//! header        512 bytes: identity of the code, hash of the module, table of sections, checksum
//! description   what the module crate keeps beside the skeleton   \
//! skeleton      the module without bodies and custom sections      | read and summed when the
//! facts         what validation learned about the bodies           | container is opened
//! pieces        the module's hash: see `pieces`                     |
//! image table   where the contents of memories are                /
//! index         one entry per stored function: read and summed beside the rest of loading
//! image         what memories begin with, instead of active data segments: mapped, and summed
//!               beside the rest of loading
//! records       code, relocations, trap table, address map, handler table of each: at the first
//!               call; all at once, summed together, if they are small
//! wasm          the whole module (not in caches): when a body or a custom section is needed
//! ```
//!
//! Numbers are little-endian. What is read before a guest runs is a private copy with a checksum against
//! accidents. Code and bodies that are read later, when a guest runs that may be able to write the
//! file, are copied first and then compared with a SHA-256 that was read before: so what was
//! checked is what is used. Images are data of the guest and nothing that is run: they are summed
//! once, and mapped. A file is never changed, only replaced.

mod header;
mod identity;
mod images;
mod index;
mod late;
mod pieces;

pub use header::{CONTAINER_VERSION, HEADER_BYTES, Header, MAGIC};
pub use identity::{Identity, host_cpu};
pub use images::{ImagePlace, StoredImage};
pub use pieces::{HashedModule, ModuleHash, ReadModule};

use crate::stored::{StoredCode, StoredFunction};
use index::Entry;
use late::Late;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::Arc;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_abi::wire::checksum;
use wasmoor_sys::vm::zeroed_bytes;

/// Records up to this many bytes together are read and linked at once: it takes less time than
/// one by one, and a cache holds only what was called before.
const ALL_BYTES_MAX: u64 = 4 << 20;

/// So much room for records is kept by a thread that reads them.
const RECORD_BYTES_KEPT: usize = 64 << 10;

/// What a container is read from.
#[allow(clippy::len_without_is_empty, reason = "an empty source is of no interest")]
pub trait ReadAt: Send + Sync {
    /// Bytes in all.
    ///
    /// # Errors
    /// When the system cannot tell.
    fn len(&self) -> io::Result<u64>;

    /// Fills the buffer from this offset on.
    ///
    /// # Errors
    /// Also when the bytes end before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The file, if it is one.
    fn file(&self) -> Option<&File> {
        None
    }
}

impl ReadAt for Arc<[u8]> {
    fn len(&self) -> io::Result<u64> {
        Ok((**self).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(unix)]
impl ReadAt for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    fn file(&self) -> Option<&File> {
        Some(self)
    }
}

/// Why a container cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// It cannot be read or written, or ends too early.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It begins like something else.
    #[error("it is no code container")]
    NotContainer,
    /// Another version of Wasmoor made it.
    #[error("it has version {0} of the format, this is version {CONTAINER_VERSION}")]
    Version(u32),
    /// A checksum does not fit.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// It has another length than it says.
    #[error("it has {found} bytes, but says {expected}")]
    Length {
        /// Bytes that the header states.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The code cannot run here.
    #[error("{0}")]
    Unfit(String),
    /// A container cannot hold as much.
    #[error("the module is too large for a code container")]
    TooLarge,
}

pub(crate) const SECTIONS: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Description,
    Skeleton,
    Facts,
    Index,
    Records,
    Wasm,
    Image,
    ImageTable,
    Pieces,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) sum: u64,
}

/// What goes into a container.
#[derive(Debug)]
pub struct Contents<'a> {
    /// What the code was made for.
    pub identity: Identity,
    /// Of the module in binary form.
    pub hash: &'a ModuleHash,
    /// Functions that the module defines.
    pub functions: u32,
    /// The description, as the module crate encodes it.
    pub description: &'a [u8],
    /// The module without bodies and custom sections.
    pub skeleton: &'a [u8],
    /// Facts about bodies, as the module crate encodes them.
    pub facts: &'a [u8],
    /// Code.
    pub code: &'a [StoredFunction],
    /// What memories begin with, if the skeleton lacks active data segments.
    pub images: &'a [StoredImage],
    /// The whole module, unless it is found elsewhere.
    pub wasm: Option<&'a [u8]>,
}

impl Contents<'_> {
    /// Writes the container.
    ///
    /// # Errors
    /// When it cannot be written, or is larger than the format allows.
    pub fn write(&self, out: &mut dyn io::Write) -> Result<(), ContainerError> {
        let (index, records) = self.index_and_records()?;
        let wasm = self.wasm.unwrap_or_default();
        let pieces = self.hash.encode();
        let before = [self.description, self.skeleton, self.facts, pieces, &index];
        let before: u64 = before.iter().map(|part| part.len() as u64).sum();
        let (table, image) = images::encode(self.images, HEADER_BYTES as u64 + before);
        let parts: [(SectionKind, &[u8]); SECTIONS] = [
            (SectionKind::Description, self.description),
            (SectionKind::Skeleton, self.skeleton),
            (SectionKind::Facts, self.facts),
            (SectionKind::Pieces, pieces),
            (SectionKind::Index, &index),
            (SectionKind::ImageTable, &table),
            (SectionKind::Image, &image),
            (SectionKind::Records, &records),
            (SectionKind::Wasm, wasm),
        ];
        let mut sections = [Section::default(); SECTIONS];
        let mut offset = HEADER_BYTES as u64;
        for (kind, part) in parts {
            let is_image = kind == SectionKind::Image;
            let sum = if is_image { images::contents_sum(part) } else { checksum(part) };
            sections[kind as usize] = Section { offset, bytes: part.len() as u64, sum };
            offset += part.len() as u64;
        }
        let header = Header {
            identity: self.identity.clone(),
            file_bytes: offset,
            wasm_hash: *self.hash.root(),
            wasm_bytes: self.hash.len(),
            functions: self.functions,
            sections,
        };
        out.write_all(&header.encode())?;
        parts.iter().try_for_each(|(_, part)| out.write_all(part))?;
        Ok(())
    }

    fn index_and_records(&self) -> Result<(Vec<u8>, Vec<u8>), ContainerError> {
        let (mut index, mut records) = (Vec::new(), Vec::new());
        for function in self.code {
            let record = function.record();
            let offset = u32::try_from(records.len()).map_err(|_| ContainerError::TooLarge)?;
            index.extend(Entry::of(function, &record, offset)?.encode());
            records.extend(record);
        }
        if records.len() as u64 > u64::from(u32::MAX) {
            return Err(ContainerError::TooLarge);
        }
        Ok((index, records))
    }
}

/// An opened container: all but records and wasm is a private, checked copy.
pub struct Container {
    header: Header,
    description: Arc<[u8]>,
    skeleton: Arc<[u8]>,
    facts: Arc<[u8]>,
    hash: ModuleHash,
    images: Vec<ImagePlace>,
    late: Arc<Late>,
    source: Arc<dyn ReadAt>,
}

impl Container {
    /// Opens a container whose code is to run where code of identity `here` is made.
    ///
    /// # Errors
    /// See [`ContainerError`].
    pub fn open(source: Box<dyn ReadAt>, here: &Identity) -> Result<Self, ContainerError> {
        let found = source.len()?;
        let mut head = [0; HEADER_BYTES];
        let head_len = found.min(HEADER_BYTES as u64) as usize;
        source.read_at(&mut head[..head_len], 0)?;
        if !head.starts_with(&MAGIC) {
            return Err(ContainerError::NotContainer);
        }
        let header = Header::decode(&head)?;
        if header.file_bytes != found {
            return Err(ContainerError::Length { expected: header.file_bytes, found });
        }
        if let Some(why) = header.identity.unfit_for(here) {
            return Err(ContainerError::Unfit(why));
        }
        let source: Arc<dyn ReadAt> = source.into();
        let late = Late::begin(Arc::clone(&source), header.clone());
        let read = |kind, what| read_section(&*source, header.section(kind), what);
        let description = read(SectionKind::Description, "the description of the module")?;
        let skeleton = read(SectionKind::Skeleton, "the skeleton of the module")?;
        let facts = read(SectionKind::Facts, "the facts about functions")?;
        let pieces = read(SectionKind::Pieces, "the hash of the module")?;
        let hash = ModuleHash::decode(&pieces, header.wasm_bytes, &header.wasm_hash);
        let hash = hash.ok_or(ContainerError::Damaged("the hash of the module"))?;
        let table = read(SectionKind::ImageTable, "the table of images")?;
        let images = images::decode(&table, header.section(SectionKind::Image));
        let images = images.ok_or(ContainerError::Damaged("the table of images"))?;
        Ok(Container { header, description, skeleton, facts, hash, images, late, source })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the module crate keeps beside the skeleton.
    #[must_use]
    pub fn description(&self) -> &Arc<[u8]> {
        &self.description
    }

    /// The module without bodies and custom sections.
    #[must_use]
    pub fn skeleton(&self) -> &Arc<[u8]> {
        &self.skeleton
    }

    /// What validation learned about the bodies.
    #[must_use]
    pub fn facts(&self) -> &Arc<[u8]> {
        &self.facts
    }

    /// Waits until all that is read beside the rest of loading is there.
    ///
    /// # Errors
    /// The index of functions or what memories begin with is damaged. There is no code then.
    pub fn check(&self) -> Result<(), ContainerError> {
        self.late.check()
    }

    /// Whether every function of the module has code here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.late.index().is_ok_and(late::Index::is_complete)
    }

    /// Whether there is code of this function, and who made it.
    #[must_use]
    pub fn tier_of(&self, func: DefinedFuncIndex) -> Option<crate::CodeTier> {
        self.entry(func).map(|entry| entry.tier)
    }

    /// Functions that have code here, in the order of their records.
    pub fn functions(&self) -> impl Iterator<Item = DefinedFuncIndex> + '_ {
        self.entries().map(|entry| entry.func)
    }

    /// All code, if there is so little that it is best linked at once, and all of it is sound.
    #[must_use]
    pub fn all_if_small(&self) -> Option<Vec<StoredFunction>> {
        let section = self.header.section(SectionKind::Records);
        if section.bytes > ALL_BYTES_MAX {
            return None;
        }
        let records = read_section(&*self.source, section, "the code").ok()?;
        self.entries().map(|entry| entry.take_apart(&records, entry.offset as usize)).collect()
    }

    /// The hash of the module.
    #[must_use]
    pub fn hash(&self) -> &ModuleHash {
        &self.hash
    }

    /// Whether the whole module is in here.
    #[must_use]
    pub fn has_wasm(&self) -> bool {
        self.header.section(SectionKind::Wasm).bytes != 0
    }

    /// Fills a buffer with bytes of the module that is in here, from an offset on. They are not
    /// checked: see [`HashedModule`].
    ///
    /// # Errors
    /// They cannot be read, or are not there.
    pub fn read_wasm(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let section = self.header.section(SectionKind::Wasm);
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > section.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_at(buffer, section.offset + offset)
    }

    fn entry(&self, func: DefinedFuncIndex) -> Option<Entry> {
        self.late.index().ok()?.entry(func)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.late.index().into_iter().flat_map(late::Index::entries)
    }
}

thread_local! {
    /// Where a record is read to before it is taken apart.
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl StoredCode for Container {
    fn load(&self, func: DefinedFuncIndex) -> Result<Option<StoredFunction>, String> {
        let Some(entry) = self.entry(func) else { return Ok(None) };
        let offset = self.header.section(SectionKind::Records).offset + u64::from(entry.offset);
        RECORD.with_borrow_mut(|record| {
            record.resize(entry.record_bytes() as usize, 0);
            let read = self.source.read_at(record, offset).map_err(|error| error.to_string());
            let function = read.map(|()| entry.open(record));
            record.truncate(RECORD_BYTES_KEPT);
            record.shrink_to(RECORD_BYTES_KEPT);
            match function? {
                Some(function) => Ok(Some(function)),
                None => Err("its bytes have changed since they were stored".to_owned()),
            }
        })
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("header", &self.header).finish_non_exhaustive()
    }
}

fn read_bytes(source: &dyn ReadAt, section: Section) -> Result<Arc<[u8]>, ContainerError> {
    let len = usize::try_from(section.bytes).map_err(|_| ContainerError::TooLarge)?;
    let mut bytes = zeroed_bytes(len);
    if let Some(bytes) = Arc::get_mut(&mut bytes) {
        source.read_at(bytes, section.offset)?;
    }
    Ok(bytes)
}

fn read_section(
    source: &dyn ReadAt,
    section: Section,
    what: &'static str,
) -> Result<Arc<[u8]>, ContainerError> {
    let bytes = read_bytes(source, section)?;
    match checksum(&bytes) == section.sum {
        true => Ok(bytes),
        false => Err(ContainerError::Damaged(what)),
    }
}

#[cfg(test)]
mod tests;
