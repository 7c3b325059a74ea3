//! Reads a module: a private copy of a file, as binary or text.
//!
//! The file is read, never mapped: a guest that overwrites its own module, or a file that is cut
//! while the guest runs, changes nothing. The first bytes decide what the file is, so that what is no
//! module at all is refused before a gigabyte of it is read.

use crate::report::{Failure, printable};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use wasmoor_abi::limits::MODULE_BYTES_MAX;

/// Bytes of a module in the text format; its tree takes many times as much.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// Bytes that decide what a file is.
const HEADER_BYTES: usize = 512;
/// Bytes that are worth a thread.
const PART_BYTES_MIN: usize = 2 << 20;
/// Threads that read a file.
const THREADS_MAX: usize = 4;
/// The first bytes of a binary module.
const MAGIC: &[u8] = b"\0asm";

/// Reads a module and returns it in binary form, and whether it was text. `-` is standard input.
///
/// # Errors
/// The file cannot be read, is too large, or is neither a binary nor a text.
pub(crate) fn read_module(path: &Path) -> Result<(Arc<[u8]>, bool), Failure> {
    let shown = printable(&path.display().to_string());
    let bytes = if path == Path::new("-") {
        read(std::io::stdin().lock(), 0, fill)
    } else {
        open(path).and_then(|(file, len)| read(file, len, fill_in_parts))
    };
    let bytes = bytes.map_err(|failure| failure.context(format_args!("cannot read `{shown}`")))?;
    if bytes.starts_with(MAGIC) {
        Ok((bytes, false))
    } else {
        Ok((encode(&shown, &bytes)?.into(), true))
    }
}

fn open(path: &Path) -> Result<(File, u64), Failure> {
    let file = File::open(path).map_err(Failure::error)?;
    let metadata = file.metadata().map_err(Failure::error)?;
    if metadata.is_dir() {
        return Err(Failure::error("it is a directory, not a module"));
    }
    Ok((file, metadata.len()))
}

/// `len` is a hint; the file may have another length by the time it is read.
///
/// With a right hint the bytes are read once, to where they stay, by `fill`.
fn read<R: Read>(
    mut file: R,
    len: u64,
    fill: impl FnOnce(&mut R, &mut [u8]) -> Result<usize, Failure>,
) -> Result<Arc<[u8]>, Failure> {
    let mut header = Vec::new();
    read_to_end(file.by_ref().take(HEADER_BYTES as u64), &mut header)?;
    let limit = limit(&header)?;
    let too_large = |len: u64| {
        Failure::error(format!("it has {len} bytes, the limit is {limit} ({})", kind(&header)))
    };
    if len > limit as u64 {
        return Err(too_large(len));
    }
    let len = usize::try_from(len).unwrap_or(0).max(header.len());
    let mut bytes = wasmoor_sys::vm::zeroed_bytes(len);
    let filled = match Arc::get_mut(&mut bytes) {
        Some(bytes) => {
            bytes[..header.len()].copy_from_slice(&header);
            header.len() + fill(&mut file, &mut bytes[header.len()..])?
        }
        None => 0,
    };
    // One byte more than allowed shows that the limit is passed.
    let mut rest = Vec::new();
    read_to_end(file.take(limit.saturating_sub(filled) as u64 + 1), &mut rest)?;
    let total = filled as u64 + rest.len() as u64;
    if total > limit as u64 {
        return Err(too_large(total));
    }
    if rest.is_empty() && filled == len {
        return Ok(bytes);
    }
    Ok([&bytes[..filled], &rest].concat().into())
}

/// Reads until the buffer is full or the file ends; returns the number of bytes.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::error(error)),
        }
    }
    Ok(filled)
}

/// As [`fill`]: parts of a large file by several threads at a time, since most of the time goes into
/// making pages.
fn fill_in_parts(file: &mut File, buffer: &mut [u8]) -> Result<usize, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let part = buffer.len().div_ceil(threads).max(PART_BYTES_MIN);
    if buffer.len() <= part {
        return fill(file, buffer);
    }
    let start = file.stream_position().map_err(Failure::error)?;
    let len = buffer.len();
    let shared: &File = file;
    let counts = std::thread::scope(|scope| {
        let read = |(number, buffer)| {
            let at = start + (number * part) as u64;
            scope.spawn(move || fill(&mut Section { file: shared, at }, buffer))
        };
        let threads: Vec<_> = buffer.chunks_mut(part).enumerate().map(read).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Failure::error("a thread has panicked")))
        };
        threads.into_iter().map(join).collect::<Result<Vec<usize>, Failure>>()
    })?;
    // Up to where there is no gap: the file may have become shorter.
    let full = counts.iter().take_while(|&&count| count == part).count();
    let filled = (full * part + counts.get(full).copied().unwrap_or(0)).min(len);
    file.seek(SeekFrom::Start(start + filled as u64)).map_err(Failure::error)?;
    Ok(filled)
}

/// A file from a position on, which other readers of the file do not move.
struct Section<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn read_to_end(mut file: impl Read, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    file.read_to_end(bytes).map(drop).map_err(Failure::error)
}

fn kind(header: &[u8]) -> &'static str {
    if header.starts_with(MAGIC) { "a binary module" } else { "a module as text" }
}

/// How many bytes a file that begins like this may have.
fn limit(header: &[u8]) -> Result<usize, Failure> {
    if header.is_empty() {
        return Err(Failure::error("the file is empty"));
    }
    if header.starts_with(MAGIC) {
        return Ok(MODULE_BYTES_MAX);
    }
    // A character may be cut at the end of the header.
    let text = match std::str::from_utf8(header) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    if text && !header.iter().any(|&byte| is_control(byte)) {
        return Ok(TEXT_BYTES_MAX);
    }
    let first: Vec<String> = header.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let first = first.join(" ");
    Err(Failure::error(format!(
        "it is no WebAssembly module: it begins with `{first}` rather than `00 61 73 6d`"
    )))
}

/// Whether no text contains this byte.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !byte.is_ascii_whitespace()
}

/// Turns the text format into binary.
fn encode(shown: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Failure::error(format!("cannot read `{shown}`: the text is not UTF-8: {error}"))
    })?;
    let error = |error: wast::Error| {
        let (line, column) = error.span().linecol_in(text);
        Failure::error(format!("{shown}:{}:{}: {}", line + 1, column + 1, error.message()))
    };
    let buffer = wast::parser::ParseBuffer::new(text).map_err(error)?;
    let mut wat = wast::parser::parse::<wast::Wat<'_>>(&buffer).map_err(error)?;
    wat.encode().map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        let result = read(bytes, bytes.len() as u64, fill).and_then(|bytes| encode("f", &bytes));
        result.err().and_then(|failure| failure.message).unwrap_or_default()
    }

    #[test]
    fn what_is_no_module_is_named() {
        for (bytes, expected) in [
            (&b""[..], "the file is empty"),
            (b"\0", "it begins with `00`"),
            (b"\0\0\0\0\0\0", "it begins with `00 00 00 00`"),
            (b"\x7fELF\x02\x01", "it begins with `7f 45 4c 46`"),
            (b"(module", "f:1:8: "),
            (b"(module\n  (func $f i32.nonsense))", "f:2:12: unknown operator or unexpected token"),
            (b"hello", "f:1:1: "),
        ] {
            let message = message(bytes);
            assert!(message.contains(expected), "{bytes:?}: {message}");
        }
    }

    #[test]
    fn text_is_encoded_and_binaries_are_kept() {
        let binary = encode("f", b"(module)").expect("a module");
        assert_eq!(binary, b"\0asm\x01\0\0\0");
        // A wrong hint about the length changes nothing.
        for hint in [0, 7, 8, 9, 1000] {
            assert_eq!(&*read(&binary[..], hint, fill).expect("a module"), binary);
        }
        let long = [MAGIC, &[7; 5000]].concat();
        for hint in [0, 600, 5004, 6000] {
            assert_eq!(&*read(&long[..], hint, fill).expect("a module"), long);
        }
    }

    #[test]
    fn large_files_are_whole_whatever_their_length_was() {
        let mut bytes: Vec<u8> = (0..11 << 20).map(|at: u32| (at >> 8 ^ at) as u8).collect();
        bytes[..4].copy_from_slice(MAGIC);
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        for len in [bytes.len(), 5 << 20, (4 << 20) + 1] {
            std::fs::write(&path, &bytes[..len]).expect("written");
            for hint in [len, len + 1, len - 1, len + (7 << 20), 3 << 20, 0] {
                let file = File::open(&path).expect("there");
                let found = read(file, hint as u64, fill_in_parts).expect("a module");
                assert!(*found == bytes[..len], "{len} bytes, {hint} announced");
            }
        }
    }

    #[test]
    fn limits_hold_for_files_and_pipes() {
        let endless = std::io::repeat(b' ');
        let failure = read(endless, 0, fill).expect_err("an endless text");
        let expected = "it has 67108865 bytes, the limit is 67108864 (a module as text)";
        assert_eq!(failure.message.as_deref(), Some(expected));
        let long = read(&b"\0asm\x01\0\0\0"[..], (1 << 30) + 1, fill).expect_err("a large file");
        let expected = "it has 1073741825 bytes, the limit is 1073741824 (a binary module)";
        assert_eq!(long.message.as_deref(), Some(expected));
    }
}
