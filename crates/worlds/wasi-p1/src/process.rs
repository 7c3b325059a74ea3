//! The end of a guest.

/// The guest asked to end, with `proc_exit` or a fatal signal to itself.
///
/// It travels as the error of the host call, so that the embedder finds it behind the call that
/// ran the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest exited with status {code}")]
pub struct Exit {
    /// The status; 0 is success.
    pub code: u32,
}
