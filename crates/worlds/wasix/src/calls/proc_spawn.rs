//! The first form of starting a program in a child: with its standard streams and where it begins.

use super::Result;
use super::programs::{Leave, List, Named, answer, engine_of_programs, start_child};
use crate::abi::{Out, text};
use crate::errno::Errno;
use crate::image::Image;
use crate::link::Offers;
use crate::program::Guest;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use wasmoor::{Caller, Error};
use wasmoor_host::channel::pipe;
use wasmoor_host::limits::PATH_BYTES_MAX;
use wasmoor_host::table::Place;
use wasmoor_host::{Descriptor, Object};
use wasmoor_wasi_p1::with_memory;

/// Bytes of `process_handles`: the child's number, and where there is a pipe, what the parent has of
/// each standard stream.
const HANDLES_BYTES: u32 = 28;
/// Where the first of those is, an `option_fd` of 8 bytes: a tag, and at 4 the number.
const STREAMS: usize = 4;
/// The tag of an option that has a value.
const SOME: u8 = 1;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offers.define(
        "proc_spawn",
        |caller: Caller<'_, T>,
         name: u32,
         name_len: u32,
         chroot: u32,
         args: u32,
         args_len: u32,
         _preopens: u32,
         preopens_len: u32,
         stdin: u32,
         stdout: u32,
         stderr: u32,
         dir: u32,
         dir_len: u32,
         out: u32| {
            let named = Named::new([name, name_len], [args, args_len], List::Lines);
            let is_confined = chroot != 0 || preopens_len != 0;
            spawn(caller, &named, is_confined, [stdin, stdout, stderr], [dir, dir_len], out)
        },
    )
}

fn spawn<T: Guest>(
    mut caller: Caller<'_, T>,
    named: &Named,
    is_confined: bool,
    modes: [u32; 3],
    [dir, dir_len]: [u32; 2],
    out: u32,
) -> Result<i32, Error> {
    let spawned = with_memory(&mut caller, |data, memory| -> Result<(), Leave> {
        let out = Out::new(memory, out, HANDLES_BYTES)?;
        let thread = data.thread();
        let engine = engine_of_programs::<T>(thread)?;
        // A child has what its parent has.
        if is_confined {
            return Err(Errno::from(Host::NOTSUP).into());
        }
        let wish = named.read(memory)?;
        let dir = text(memory, dir, dir_len, PATH_BYTES_MAX as u32)?;
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for (number, mode) in (0..).zip(modes) {
            let stream = Stream::new(thread, number, mode)?;
            ours.push(stream.ours);
            theirs.extend(stream.theirs.map(|stream| (number, stream)));
        }
        let prepare = |thread: &Thread| {
            theirs.into_iter().try_for_each(|(number, stream)| put(thread, number, stream))?;
            if dir != b"." {
                let core = thread.core();
                let here = core.working_dir.as_deref().ok_or(Errno::from(Host::NOENT))?;
                core.on_paths(|resolver| here.change(resolver, &dir))?;
            }
            Image::find(thread, &engine, wish)
        };
        let child = start_child(thread, prepare, &[])?;
        out.put(&handles(thread, child, ours));
        Ok(())
    });
    answer(spawned)
}

/// A standard stream of the child.
#[derive(Default)]
struct Stream {
    /// What the parent has of it.
    ours: Option<(Place, Descriptor)>,
    /// What the child has instead of its parent's.
    theirs: Option<Descriptor>,
}

impl Stream {
    /// The stream with a number: piped, the parent's, or none.
    ///
    /// # Errors
    /// `notsup` for the log, which there is not, and unknown modes.
    fn new(thread: &Thread, number: u32, mode: u32) -> Result<Self> {
        let core = thread.core();
        match mode {
            0 => {
                let place = core.table.reserve()?;
                let [read, write] = pipe(&core.guard)?;
                let (ours, theirs) = if number == 0 { (write, read) } else { (read, write) };
                Ok(Stream { ours: Some((place, ours)), theirs: Some(theirs) })
            }
            1 => Ok(Stream::default()),
            2 => Ok(Stream { ours: None, theirs: Some(Descriptor::new(Object::Null)) }),
            _ => Err(Host::NOTSUP.into()),
        }
    }
}

/// Has a number of the child stand for a stream.
fn put(thread: &Thread, number: u32, stream: Descriptor) -> Result {
    let table = &thread.core().table;
    Ok(table.insert_at(number, table.vacate(number)?, stream, false)?)
}

/// The child and what the parent has of its streams; other children do not get that.
fn handles(
    thread: &Thread,
    child: u32,
    ours: Vec<Option<(Place, Descriptor)>>,
) -> [u8; HANDLES_BYTES as usize] {
    let mut bytes = [0; HANDLES_BYTES as usize];
    bytes[..STREAMS].copy_from_slice(&child.to_le_bytes());
    for (option, stream) in bytes[STREAMS..].chunks_exact_mut(8).zip(ours) {
        // Where no number is left the stream is closed.
        let insert = |(place, stream)| thread.core().table.insert_from(0, place, stream, true).ok();
        if let Some(fd) = stream.and_then(insert) {
            option[0] = SOME;
            option[4..].copy_from_slice(&fd.to_le_bytes());
        }
    }
    bytes
}
