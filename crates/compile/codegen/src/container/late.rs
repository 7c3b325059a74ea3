//! What a container reads and checks beside the rest of loading: the index of functions, and what
//! memories begin with. Both take as long as the description does, and are needed after it.

use super::header::Header;
use super::index::{ENTRY_BYTES, Entry};
use super::{ContainerError, ReadAt, Section, SectionKind, images, read_section};
use std::sync::{Arc, OnceLock};
use wasmoor_abi::DefinedFuncIndex;

/// Up to this many bytes no thread is worth starting.
const ALONE_BYTES_MAX: u64 = 512 << 10;
const INDEX: &str = "the index of functions";
const IMAGES: &str = "what memories begin with";

/// Where stored functions are. Every entry is sound.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Arc<[u8]>,
    /// Position of each function's entry plus one; 0: it has none.
    by_func: Box<[u32]>,
    functions: u32,
    records: u64,
}

impl Index {
    fn read(source: &dyn ReadAt, header: &Header) -> Result<Self, ContainerError> {
        let entries = read_section(source, header.section(SectionKind::Index), INDEX)?;
        // A function takes at least a byte of the skeleton: the number cannot be made up.
        let room = header.section(SectionKind::Skeleton).bytes;
        if !entries.as_chunks::<ENTRY_BYTES>().1.is_empty() || u64::from(header.functions) > room {
            return Err(ContainerError::Damaged(INDEX));
        }
        let (functions, records) = (header.functions, header.section(SectionKind::Records).bytes);
        let mut by_func = vec![0; functions as usize].into_boxed_slice();
        for (at, chunk) in (1..).zip(entries.as_chunks().0) {
            let entry = Entry::decode(chunk, functions, records);
            let entry = entry.ok_or(ContainerError::Damaged(INDEX))?;
            by_func[entry.func.as_u32() as usize] = at;
        }
        Ok(Index { entries, by_func, functions, records })
    }

    fn chunks(&self) -> &[[u8; ENTRY_BYTES]] {
        self.entries.as_chunks().0
    }

    fn decode(&self, chunk: &[u8; ENTRY_BYTES]) -> Option<Entry> {
        Entry::decode(chunk, self.functions, self.records)
    }

    /// The entry of a function that is stored.
    pub(crate) fn entry(&self, func: DefinedFuncIndex) -> Option<Entry> {
        let at = self.by_func.get(func.as_u32() as usize)?.checked_sub(1)?;
        self.decode(self.chunks().get(at as usize)?)
    }

    /// All entries, in the order of records.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.chunks().iter().filter_map(|chunk| self.decode(chunk))
    }

    /// Whether every function of the module is stored.
    pub(crate) fn is_complete(&self) -> bool {
        self.by_func.iter().all(|&at| at != 0)
    }
}

/// See the head of this module. Whoever asks for something that no thread has read yet reads it.
pub(crate) struct Late {
    source: Arc<dyn ReadAt>,
    header: Header,
    index: OnceLock<Result<Index, ContainerError>>,
    images_are_sound: OnceLock<bool>,
}

impl Late {
    /// Begins to read and check.
    pub(crate) fn begin(source: Arc<dyn ReadAt>, header: Header) -> Arc<Self> {
        let bytes = |kind| header.section(kind).bytes;
        let is_long = bytes(SectionKind::Index) + bytes(SectionKind::Image) > ALONE_BYTES_MAX;
        let late = Arc::new(Late {
            source,
            header,
            index: OnceLock::new(),
            images_are_sound: OnceLock::new(),
        });
        if is_long {
            let late = Arc::clone(&late);
            let thread = std::thread::Builder::new().name("wasmoor-check".to_owned());
            // Without the thread, all is read when it is asked for.
            let _ = thread.spawn(move || late.check().is_ok());
        }
        late
    }

    /// The index.
    pub(crate) fn index(&self) -> Result<&Index, ContainerError> {
        let index = self.index.get_or_init(|| Index::read(&*self.source, &self.header));
        index.as_ref().map_err(|error| match error {
            ContainerError::Io(error) => {
                std::io::Error::new(error.kind(), error.to_string()).into()
            }
            _ => ContainerError::Damaged(INDEX),
        })
    }

    /// Whether all of it is what was stored.
    pub(crate) fn check(&self) -> Result<(), ContainerError> {
        self.index()?;
        let section = self.images();
        let sound = || images::sum_of(&*self.source, section).is_ok_and(|sum| sum == section.sum);
        match *self.images_are_sound.get_or_init(sound) {
            true => Ok(()),
            false => Err(ContainerError::Damaged(IMAGES)),
        }
    }

    fn images(&self) -> Section {
        self.header.section(SectionKind::Image)
    }
}
