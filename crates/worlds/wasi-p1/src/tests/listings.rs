//! `fd_readdir`: entries, cookies and cut ends.

use super::guest::{Guest, OUT};
use crate::Errno;
use crate::calls::{self, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

const BUF: u32 = 0x4000;

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    next: u64,
    inode: u64,
    kind: u8,
    name: String,
}

fn read(guest: &mut Guest, dir: u32, len: u32, cookie: u64) -> Result<Vec<u8>> {
    guest.memory.fill(0xaa);
    guest.call(|c, m| calls::fd_readdir(c, m, dir, BUF, len, cookie, OUT))?;
    let used = guest.u32_at(OUT);
    assert!(used <= len);
    assert!(guest.bytes(BUF + used, 16).iter().all(|byte| *byte == 0xaa), "written beyond");
    Ok(guest.bytes(BUF, used).to_vec())
}

/// The whole entries in a buffer.
fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while bytes.len() >= 24 {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let len = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        assert_eq!(bytes[21..24], [0; 3], "padding");
        let Some(name) = bytes.get(24..24 + len) else { break };
        let name = String::from_utf8(name.to_vec()).unwrap();
        entries.push(Entry { next: number(0), inode: number(8), kind: bytes[20], name });
        bytes = &bytes[24 + len..];
    }
    entries
}

/// The listing as a program reads it: through a buffer that grows when nothing whole fits.
fn list(guest: &mut Guest, dir: u32, start_len: u32) -> Vec<Entry> {
    let (mut all, mut len, mut cookie) = (Vec::new(), start_len, 0);
    loop {
        let bytes = read(guest, dir, len, cookie).unwrap();
        let entries = parse(&bytes);
        if let Some(last) = entries.last() {
            cookie = last.next;
        } else if bytes.len() == len as usize {
            len *= 2;
        }
        all.extend(entries);
        if bytes.len() < len as usize && parse(&bytes).len() * 24 <= bytes.len() {
            let whole: usize = parse(&bytes).iter().map(|entry| 24 + entry.name.len()).sum();
            if whole == bytes.len() {
                return all;
            }
        }
    }
}

fn filled() -> (Guest, u32) {
    let mut guest = Guest::new();
    fs::create_dir(guest.host_path("dir")).unwrap();
    fs::create_dir(guest.host_path("dir/folder")).unwrap();
    std::os::unix::fs::symlink("x", guest.host_path("dir/link")).unwrap();
    for index in 0..300 {
        let name = format!("dir/{}{index}", "n".repeat(index % 60 + 1));
        fs::write(guest.host_path(name), "").unwrap();
    }
    let dir = guest.open_dir("dir").unwrap();
    (guest, dir)
}

#[test]
fn every_entry_once_through_any_buffer() {
    let (mut guest, dir) = filled();
    let whole = list(&mut guest, dir, 0x8000);
    assert_eq!(whole.len(), 304);
    let names: BTreeMap<_, _> = whole.iter().map(|entry| (&*entry.name, entry)).collect();
    assert_eq!(names.len(), 304);
    for (name, kind) in [(".", 3), ("..", 3), ("folder", 3), ("link", 7), ("n0", 4)] {
        assert_eq!(names[name].kind, kind, "{name}");
    }
    let inode = fs::metadata(guest.host_path("dir/n0")).unwrap().ino();
    assert_eq!(names["n0"].inode, inode);
    for len in [1, 24, 25, 60, 100, 1000] {
        assert_eq!(list(&mut guest, dir, len), whole, "buffers of {len}");
    }
}

#[test]
fn cookies_stay_when_other_entries_go() {
    let (mut guest, dir) = filled();
    let whole = list(&mut guest, dir, 0x8000);
    let middle = &whole[150];
    for entry in &whole[..150] {
        let _ = fs::remove_file(guest.host_path("dir").join(&entry.name));
    }
    let rest = parse(&read(&mut guest, dir, 0x8000, middle.next).unwrap());
    assert_eq!(rest, whole[151..]);
}

#[test]
fn a_new_listing_sees_new_entries() {
    let (mut guest, dir) = filled();
    assert_eq!(list(&mut guest, dir, 100).len(), 304);
    fs::write(guest.host_path("dir/late"), "").unwrap();
    assert!(list(&mut guest, dir, 100).iter().any(|entry| entry.name == "late"));
}

#[test]
fn listings_that_fail() {
    let (mut guest, dir) = filled();
    let file = guest.open("dir/n0", 0).unwrap();
    for (fd, errno) in [(file, Errno::NotDir), (0, Errno::NotDir), (99, Errno::Badf)] {
        assert_eq!(read(&mut guest, fd, 100, 0), Err(errno), "{fd}");
    }
    assert_eq!(read(&mut guest, dir, 0, 0), Ok(Vec::new()));
    let outside = guest.call(|c, m| calls::fd_readdir(c, m, dir, 0xfff0, 17, 0, OUT));
    assert_eq!(outside, Err(Errno::Fault));
    // Any number may come as a cookie.
    for cookie in [1, 7, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let _ = read(&mut guest, dir, 1000, cookie);
    }
}
