//! The bounds of what one call of a guest may cost, each with where its number comes from.

/// Bytes of a path with its NUL; Linux refuses longer ones (`PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;

/// Symbolic links followed by one resolution; the kernel's own bound (`MAXSYMLINKS`).
pub const SYMLINKS_MAX: u32 = 40;

/// Directories held open by the component walk; deeper paths are `ENAMETOOLONG`.
///
/// A path of 4096 bytes can name 2048 components, which would take every descriptor of a process
/// under the usual limit of 1024.
pub const WALK_DEPTH_MAX: usize = 256;

/// Repetitions of `openat2` after `EAGAIN` (a rename went on while it resolved `..`); then the walk
/// takes over.
pub const OPENAT2_RETRIES_MAX: u32 = 32;

/// Vectors passed to the kernel in one call (`IOV_MAX`); a call with more is a short one.
pub const IOVECS_MAX: usize = 1024;

/// Bytes copied at a time between a guest and a stream that is not a kernel object.
pub const COPY_BYTES_MAX: usize = 64 << 10;

/// Bytes of directory entries fetched from the kernel at a time.
pub const READDIR_BYTES: usize = 32 << 10;

/// Numbers of descriptors are below this, so that a guest that asks for a high one cannot make the
/// table large; that of Linux is the same (`fs.nr_open`).
pub const DESCRIPTOR_NUMBERS_MAX: u32 = 1 << 20;

/// Descriptors of one guest unless the embedder says otherwise.
pub const OPEN_FILES_DEFAULT: u64 = 4096;

/// Bytes that the host may allocate for one guest's calls unless the embedder says otherwise.
pub const HOST_BYTES_DEFAULT: u64 = 64 << 20;

/// Output that a new name in a directory counts as: a block of most file systems, which the entry, the
/// file's own record and the first of its data take.
pub const NAME_BYTES: u64 = 4096;

/// Random bytes fetched between two looks at the interrupt.
pub const RANDOM_CHUNK_BYTES: usize = 1 << 20;
