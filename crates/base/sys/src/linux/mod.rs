//! Linux, on x86-64 and aarch64. See the head of the crate for what a port provides.

pub(crate) mod code;
pub(crate) mod fault;
pub(crate) mod fork;
pub(crate) mod image;
pub(crate) mod kick;
pub(crate) mod memory_limit;
pub(crate) mod pagemap;
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod thread;
pub(crate) mod vm;

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
mod arch;
