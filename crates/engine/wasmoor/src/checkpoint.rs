//! Checkpoints: a call of a host function that returns a second time.

use crate::Error;
use crate::func::IntoFunc;
use crate::store::{AsContextMut, Caller};
use wasmoor_runtime::{CheckpointKey, HostFuncDefinition, NoCheckpoint};

/// A host function in which [`checkpoint`] works. It takes a few integers and answers one at most.
#[derive(Clone, Copy, Debug)]
pub struct Capturing<F>(pub F);

impl<T, P, R, F: IntoFunc<T, P, R>> IntoFunc<T, P, R> for Capturing<F> {
    fn into_definition(self) -> HostFuncDefinition {
        self.0.into_definition().capturing()
    }
}

/// Notes where the guest is that called this function, which is [`Capturing`], and `data` with it.
/// The call returns 0 a second time, and any number of times, when [`restore`] is asked for that:
/// with the guest's locals and stack as they are now, and those of its globals that hold numbers.
/// Memories, tables and fuel stay as they are then.
///
/// The checkpoint is of use while the guest function lives that called the caller of this one, as in C
/// that which called `setjmp`; afterwards it is dropped sooner or later. What is kept is charged to the
/// store and bounded: of checkpoints that the same call makes again and again the last 64 stay.
///
/// # Errors
/// When the limits are reached, or the function is not [`Capturing`].
pub fn checkpoint<T>(caller: &mut Caller<'_, T>, data: u64) -> Result<CheckpointKey, NoCheckpoint> {
    caller.as_context_mut().inner().checkpoint(data)
}

/// What was noted with a checkpoint, and the error by which a host function goes on there instead of
/// returning: the guest's functions in between are left, and host functions get the error and pass it
/// on. `None`: the key names no checkpoint of this store, or one that was dropped.
#[must_use]
pub fn restore<T>(caller: &mut Caller<'_, T>, key: CheckpointKey) -> Option<(u64, Error)> {
    caller.as_context_mut().inner().restore(key)
}

/// Checkpoints of a store, and the bytes that it is charged with for them.
#[must_use]
pub fn checkpoints_kept(mut store: impl AsContextMut) -> (usize, u64) {
    store.as_context_mut().inner().checkpoints_kept()
}
