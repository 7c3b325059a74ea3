//! Values of threads under keys, as modules of 2023 keep them: later ones use memory.

use super::Result;
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, number, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor::Caller;
use wasmoor_host::GuestMemory;

/// The most keys of a process, and so values of a thread.
const KEYS_MAX: u32 = 4096;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        thread_local_create(user_data: u64, out: u32);
        thread_local_destroy(key: u32);
        thread_local_get(key: u32, out: u32);
    );
    offers.define("thread_local_set", |mut caller: Caller<'_, T>, key: u32, value: u64| {
        number(caller.data_mut().thread().set_local(key, value))
    })
}

/// Makes a key. What `user_data` names would be called at the ends of threads; the libraries that
/// passed it destroy their values themselves.
fn thread_local_create(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    _user_data: u64,
    out: u32,
) -> Result {
    let out = Out::for_u32(memory, out)?;
    let key = thread.process().add_local_key(KEYS_MAX);
    out.put_u32(key.ok_or(Errno::from(rustix::io::Errno::NOMEM))?);
    Ok(())
}

/// Gives a key up; its values are as good as gone.
fn thread_local_destroy(thread: &Thread, _: &GuestMemory<'_>, key: u32) -> Result {
    thread.check_local_key(key)
}

/// The thread's value under a key; 0 if there is none.
fn thread_local_get(thread: &Thread, memory: &GuestMemory<'_>, key: u32, out: u32) -> Result {
    let out = Out::new(memory, out, 8)?;
    out.put(&thread.local(key)?.to_le_bytes());
    Ok(())
}
