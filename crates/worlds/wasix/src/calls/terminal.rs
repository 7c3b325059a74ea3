//! The terminal: its size, and how it treats what is typed.

use super::Result;
use crate::abi::Out;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::fd::AsFd;
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::sync::Arc;
use wasmoor_host::{Descriptor, GuestMemory};

/// Size of a `tty`.
const TTY_BYTES: u32 = 24;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        tty_get(state: u32);
        tty_set(state: u32);
    );
    Ok(())
}

/// Which of the standard streams are terminals.
fn terminals(thread: &Thread) -> [Option<Arc<Descriptor>>; 3] {
    let terminal = |fd| {
        let descriptor = thread.core().table.get(fd).ok()?;
        descriptor.terminal().is_some().then_some(descriptor)
    };
    [0, 1, 2].map(terminal)
}

/// The state of the first standard stream that is a terminal. Without one the size is that of a
/// common one, and nothing is set.
fn tty_get(thread: &Thread, memory: &GuestMemory<'_>, state: u32) -> Result {
    let out = Out::new(memory, state, TTY_BYTES)?;
    let terminals = terminals(thread);
    let first = terminals.iter().flatten().next();
    let fd = first.and_then(|descriptor| descriptor.terminal());
    let common = Winsize { ws_row: 25, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let size = fd.and_then(|fd| tcgetwinsize(fd).ok()).unwrap_or(common);
    let modes = fd.and_then(|fd| tcgetattr(fd).ok());
    let local = |mode| modes.as_ref().is_some_and(|modes| modes.local_modes.contains(mode));
    let feeds = modes.as_ref().is_some_and(|modes| modes.output_modes.contains(OutputModes::ONLCR));
    let mut bytes = [0; TTY_BYTES as usize];
    let sizes = [size.ws_col, size.ws_row, size.ws_xpixel, size.ws_ypixel];
    for (bytes, size) in bytes.chunks_exact_mut(4).zip(sizes) {
        bytes.copy_from_slice(&u32::from(size).to_le_bytes());
    }
    let [stdin, stdout, stderr] = terminals.each_ref().map(Option::is_some);
    let flags = [stdin, stdout, stderr, local(LocalModes::ECHO), local(LocalModes::ICANON), feeds];
    for (byte, flag) in bytes[16..].iter_mut().zip(flags) {
        *byte = u8::from(flag);
    }
    out.put(&bytes);
    Ok(())
}

/// Sets whether the terminal of the standard input shows what is typed, and whether it gives lines
/// or bytes. Its size is the terminal's own.
fn tty_set(thread: &Thread, memory: &GuestMemory<'_>, state: u32) -> Result {
    let state: [u8; TTY_BYTES as usize] = memory.read_array(state)?;
    let [Some(terminal), ..] = terminals(thread) else { return Ok(()) };
    let Some(fd) = terminal.terminal() else { return Ok(()) };
    let mut modes = tcgetattr(fd)?;
    thread.process().remember_terminal(fd.as_fd(), &modes);
    modes.local_modes.set(LocalModes::ECHO, state[19] != 0);
    modes.local_modes.set(LocalModes::ICANON, state[20] != 0);
    modes.output_modes.set(OutputModes::ONLCR, state[21] != 0);
    Ok(tcsetattr(fd, OptionalActions::Now, &modes)?)
}
