//! What memories begin with, folded to be stored, and taken from where it is stored.
//!
//! A module whose active data segments are folded (see [`crate::initial`] for when that may be) is
//! stored without them: decoding and copying a hundred thousand segments takes longer than all
//! else of a start. Instead, the memories of its instances begin with parts of the file, mapped
//! copy-on-write; those of a pool, which is to reset them, with images made from the same bytes.

use crate::compiled::CompiledModule;
use crate::error::{Error, ErrorKind};
use crate::initial::{constant_index, fold_memories};
use std::io;
use std::sync::Arc;
use wasmoor_abi::*;
use wasmoor_codegen::container::{Container, ImagePlace, StoredImage};
use wasmoor_memory::{LinearMemory, MemoryImage, folded_range};
use wasmoor_module::{DataMode, Module};

/// With fewer bytes of data, decoding and copying them takes less than an image.
const DATA_BYTES_MIN: usize = 4096;
/// Images are made of whole pages of this length, a common one.
const PAGE_BYTES: u64 = 4096;

/// The contents of a module's memories in place of its active data segments; `None`: they cannot
/// be folded, or there is too little of them.
#[must_use]
pub fn fold_images(module: &Module) -> Option<Vec<StoredImage>> {
    let memories = fold_memories(module)?;
    let bytes: usize = memories.iter().flatten().map(|&at| module.data_bytes(at).len()).sum();
    if bytes < DATA_BYTES_MIN {
        return None;
    }
    let first = module.counts.imported_memories;
    let mut images = Vec::new();
    for (memory, data) in (0..).zip(&memories) {
        let ty = &module.memories[MemoryIndex::from_u32(first + memory)];
        let pieces: Option<Vec<_>> = data
            .iter()
            .map(|&index| {
                let DataMode::Active { offset, .. } = &module.data[index].mode else { return None };
                Some((constant_index(offset, ty.index64)?, module.data_bytes(index)))
            })
            .collect();
        let pieces = pieces?;
        let lengths = pieces.iter().map(|(at, piece)| (*at, piece.len() as u64));
        let range = folded_range(ty, lengths, PAGE_BYTES)?;
        if range.is_empty() {
            continue;
        }
        // Threads share one memory: nothing is mapped there.
        if ty.shared {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        for (at, piece) in pieces.iter().filter(|(_, piece)| !piece.is_empty()) {
            let at = usize::try_from(at - range.start).ok()?;
            bytes.get_mut(at..at + piece.len())?.copy_from_slice(piece);
        }
        images.push(StoredImage { memory, start: range.start, bytes });
    }
    Some(images)
}

impl CompiledModule {
    /// Says where the contents of memories are that the module, which was restored, has no data
    /// segments for; the first call counts.
    pub fn set_stored_images(&self, container: Arc<Container>) {
        let _ = self.initial().stored.set(container);
    }

    /// Where they are.
    #[must_use]
    pub fn stored_images(&self) -> Option<&Arc<Container>> {
        self.initial().stored.get()
    }

    /// Lets a new memory without an image begin with what is stored for it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn begin_with_stored(
        &self,
        memory: &mut LinearMemory,
        defined: usize,
    ) -> Result<(), Error> {
        let Some(container) = self.stored_images() else { return Ok(()) };
        let Some(place) = place_of(container, defined) else { return Ok(()) };
        let begun = lengths(place).and_then(|(start, len)| {
            let file = container.file().map(|file| (file, place.offset));
            let mut read = |buffer: &mut [u8]| container.read_image(place, buffer);
            memory.begin_with_stored(start, len, file, &mut read)
        });
        begun.map_err(unreadable)
    }
}

/// An image for a pool, made from what is stored. `None`: there is nothing, or the system has no
/// images.
pub(crate) fn stored_image(
    container: &Container,
    ty: &MemoryType,
    defined: usize,
) -> Option<Arc<MemoryImage>> {
    let place = place_of(container, defined)?;
    let (_, len) = lengths(place).ok()?;
    let mut bytes = vec![0; len];
    container.read_image(place, &mut bytes).ok()?;
    MemoryImage::new(ty, &[(place.start, &bytes)]).map(Arc::new)
}

fn place_of(container: &Container, defined: usize) -> Option<&ImagePlace> {
    container.images().iter().find(|place| place.memory as usize == defined)
}

fn lengths(place: &ImagePlace) -> io::Result<(usize, usize)> {
    let number = |number: u64| usize::try_from(number).map_err(io::Error::other);
    Ok((number(place.start)?, number(place.bytes)?))
}

fn unreadable(error: io::Error) -> Error {
    let message = format!("the stored contents of a memory cannot be used: {error}");
    ErrorKind::StoredCode(message).into()
}
