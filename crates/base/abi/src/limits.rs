//! Limits on what a module may ask of a compiler or the runtime, each with its reason.
//!
//! The structural limits of modules (types, functions, locals, body size and so on) are those of
//! the JS API specification, section "Implementation-defined Limits", enforced by `wasmparser`.

/// Bytes in a module: the JS API's limit of 1 GiB.
pub const MODULE_BYTES_MAX: usize = 1 << 30;
/// Pages of 64 KiB that a 32-bit memory can have.
pub const MEMORY32_PAGES_MAX: u64 = 1 << 16;
/// Elements of one table: the JS API's limit.
pub const TABLE_ELEMENTS_MAX: u64 = 10_000_000;
/// Distinct poll sites in one function; later sites reuse offsets. The poll region is this long.
pub const POLL_SITES_MAX: u32 = 1 << 16;
/// Frames listed in a backtrace.
pub const BACKTRACE_FRAMES_MAX: usize = 100;
/// Exceptions that a store keeps before it looks for those that nothing refers to any more.
pub const EXCEPTIONS_UNSWEPT_MIN: usize = 1 << 10;
/// Bytes of stack left below the guest's limit for host functions, libcalls and trap handling.
pub const HOST_STACK_RESERVE_BYTES: usize = 256 << 10;
