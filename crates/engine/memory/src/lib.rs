//! What guests store in: linear memories and tables.
//!
//! [`LinearMemory`] is address space whose accessible part grows, laid out as the code's
//! `MemoryMode` needs it; [`choose_memory_mode`] finds out which mode the machine grants.
//! [`MemoryImage`] is what a memory begins with, mapped copy-on-write.
//! [`SharedMemory`] is one that threads share, with a table of the threads that wait for its words.
//! [`TableStorage`] is a growable array of 8-byte cells. An embedder may provide the storage of
//! both: see [`MemoryCreator`] and [`TableCreator`]. Neither knows stores or their limits:
//! the caller charges its meter before it asks here.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod claim;
mod created;
mod creator;
mod dense;
mod image;
mod linear;
mod mode;
mod parking;
mod plan;
mod reset;
mod shared;
pub mod slots;
mod space;
mod sync;
mod table;

pub use creator::{
    CreatedMemory, CreatedTable, CreatorError, CreatorFailure, Creators, MemoryCreator,
    MemoryRequest, TableCreator, TableRequest,
};
pub use dense::DenseArena;
pub use image::{MemoryImage, folded_range};
pub use linear::{GrowError, LinearMemory, MemoryError};
pub use mode::{choose_clamped64, choose_memory_mode, choose_pool_memory_mode, memories_kept_max};
pub use parking::{ParkingLot, Waited, Waiter};
pub use plan::MemoryPlan;
pub use reset::{ResetDone, ResetMethod};
pub use shared::{
    Expected, OutOfBounds, SharedMemory, copy_bytes, fill_bytes, load_bytes, store_bytes,
};
pub use table::{TableError, TableOutOfBounds, TableStorage};
