//! The first bytes of a container.

use super::identity::Identity;
use super::{ContainerError, SECTIONS, Section, SectionKind};
use wasmoor_abi::MemoryMode;
use wasmoor_abi::wire::checksum;

/// The first bytes of every container. No WebAssembly module and no text begins like this.
pub const MAGIC: [u8; 8] = *b"\0wcode\r\n";
/// Changes with the layout of the file.
pub const CONTAINER_VERSION: u32 = 3;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 512;

const SUM_AT: usize = HEADER_BYTES - 8;
const SECTIONS_AT: usize = 128;
const SECTION_BYTES: usize = 32;
const RELEASE_BYTES: usize = 32;
const CHECKED: u64 = u64::MAX;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the code was made for.
    pub identity: Identity,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Hash of the module in binary form: the root of a [`super::ModuleHash`].
    pub wasm_hash: [u8; 32],
    /// Bytes of the module in binary form.
    pub wasm_bytes: u64,
    /// Functions that the module defines.
    pub functions: u32,
    /// Where the sections are, by kind.
    pub(crate) sections: [Section; SECTIONS],
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let id = &self.identity;
        let guard = match id.memory_mode {
            MemoryMode::Guard { guard_bytes } => guard_bytes,
            MemoryMode::Clamped | MemoryMode::Checked => CHECKED,
        };
        put(0, &MAGIC);
        put(8, &CONTAINER_VERSION.to_le_bytes());
        put(12, &id.abi_version.to_le_bytes());
        let release = id.release.as_bytes();
        put(16, &release[..release.len().min(RELEASE_BYTES - 1)]);
        let choices = u8::from(id.fuel)
            | u8::from(id.relaxed_simd_deterministic) << 1
            | u8::from(id.clamped64.is_some()) << 2
            | u8::from(id.clamped64 == Some(true)) << 3;
        put(48, &[id.arch, choices]);
        put(52, &id.features.to_le_bytes());
        put(56, &id.cpu.to_le_bytes());
        put(64, &guard.to_le_bytes());
        put(72, &self.file_bytes.to_le_bytes());
        put(80, &self.wasm_hash);
        put(112, &self.wasm_bytes.to_le_bytes());
        put(120, &self.functions.to_le_bytes());
        for (section, at) in self.sections.iter().zip((SECTIONS_AT..).step_by(SECTION_BYTES)) {
            put(at, &section.offset.to_le_bytes());
            put(at + 8, &section.bytes.to_le_bytes());
            put(at + 16, &section.sum.to_le_bytes());
        }
        let sum = checksum(&out[..SUM_AT]);
        out[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, ContainerError> {
        if bytes[..8] != MAGIC {
            return Err(ContainerError::NotContainer);
        }
        let version = u32::from_le_bytes(field(bytes, 8));
        if version != CONTAINER_VERSION {
            return Err(ContainerError::Version(version));
        }
        if checksum(&bytes[..SUM_AT]) != number(bytes, SUM_AT) {
            return Err(ContainerError::Damaged("the header"));
        }
        let guard = number(bytes, 64);
        let release = &bytes[16..16 + RELEASE_BYTES];
        let release = release.split(|&byte| byte == 0).next().unwrap_or_default();
        let mut sections = [Section::default(); SECTIONS];
        for (section, at) in sections.iter_mut().zip((SECTIONS_AT..).step_by(SECTION_BYTES)) {
            let [offset, bytes, sum] = [at, at + 8, at + 16].map(|at| number(bytes, at));
            *section = Section { offset, bytes, sum };
        }
        let header = Header {
            identity: Identity {
                abi_version: u32::from_le_bytes(field(bytes, 12)),
                release: String::from_utf8_lossy(release).into_owned(),
                arch: bytes[48],
                cpu: number(bytes, 56),
                features: u32::from_le_bytes(field(bytes, 52)),
                memory_mode: match guard {
                    CHECKED => MemoryMode::Checked,
                    guard_bytes => MemoryMode::Guard { guard_bytes },
                },
                clamped64: (bytes[49] & 4 != 0).then_some(bytes[49] & 8 != 0),
                fuel: bytes[49] & 1 != 0,
                relaxed_simd_deterministic: bytes[49] & 2 != 0,
            },
            file_bytes: number(bytes, 72),
            wasm_hash: field(bytes, 80),
            wasm_bytes: number(bytes, 112),
            functions: u32::from_le_bytes(field(bytes, 120)),
            sections,
        };
        header.check_sections()?;
        Ok(header)
    }

    /// Sections lie in the file.
    fn check_sections(&self) -> Result<(), ContainerError> {
        let inside = |section: &Section| {
            section.offset.checked_add(section.bytes).is_some_and(|end| end <= self.file_bytes)
        };
        match self.sections.iter().all(inside) {
            true => Ok(()),
            false => Err(ContainerError::Damaged("the table of sections")),
        }
    }

    pub(crate) fn section(&self, kind: SectionKind) -> Section {
        self.sections[kind as usize]
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn number(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}
