//! What a store's things are called: positions with generations ([`crate::slab`]).

use crate::slab::Key;
use std::num::NonZeroU32;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            index: u32,
            generation: NonZeroU32,
        }

        impl Key for $name {
            fn new(index: u32, generation: NonZeroU32) -> Self {
                $name { index, generation }
            }

            fn index(self) -> usize {
                self.index as usize
            }

            fn generation(self) -> NonZeroU32 {
                self.generation
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}{}", $prefix, self.index)?;
                match self.generation.get() {
                    1 => Ok(()),
                    generation => write!(f, ".{generation}"),
                }
            }
        }
    )* };
}

ids! {
    /// An instance of a store.
    InstanceId = "instance";
    /// A memory of a store.
    MemoryId = "memory";
    /// A table of a store.
    TableId = "table";
    /// A global of a store.
    GlobalId = "global";
    /// A tag of a store.
    TagId = "tag";
}
