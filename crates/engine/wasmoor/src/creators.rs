//! Memories and tables whose storage the embedder provides.

use crate::{Config, MemoryCreator, TableCreator};
use std::sync::Arc;

impl Config {
    /// Who makes linear memories, instead of the engine: those of instances and those of
    /// [`crate::Memory::new`], with indices of 32 and of 64 bits, but not [`crate::SharedMemory`] and
    /// other memories that threads share.
    ///
    /// Limits of stores hold as ever, and are charged before the creator is asked. There is no pool
    /// then ([`Config::allocation`] counts for nothing; a strict or dense pool is an error of
    /// [`crate::Engine::new`]), and data is copied into memories, not mapped. Accesses to memories with 64-bit indices are compared with their length. A process that forks takes along what the kernel takes along: of a private mapping
    /// the child has a copy, a shared one is the same memory in both, where the guest's stack would
    /// be in use twice.
    ///
    /// Here memories lie in files without names, which the host, or a process that is given the
    /// file, can map a second time:
    ///
    #[cfg_attr(target_os = "linux", doc = "```")]
    #[cfg_attr(not(target_os = "linux"), doc = "```ignore")]
    /// use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    /// use std::ptr::NonNull;
    /// use std::sync::{Arc, Mutex};
    /// use wasmoor::*;
    ///
    /// /// The last memory's file.
    /// #[derive(Default)]
    /// struct Files(Mutex<Option<Arc<OwnedFd>>>);
    ///
    /// struct Mapped {
    ///     file: Arc<OwnedFd>,
    ///     base: NonNull<u8>,
    ///     bytes: usize,
    ///     reserved: usize,
    /// }
    ///
    /// // An address is of no thread.
    /// unsafe impl Send for Mapped {}
    /// unsafe impl Sync for Mapped {}
    ///
    /// impl Mapped {
    ///     /// The file gets longer, and more of what is mapped accessible.
    ///     fn set_len(&mut self, bytes: usize) -> std::io::Result<()> {
    ///         let (base, rights) = (self.base.as_ptr().cast(), libc::PROT_READ | libc::PROT_WRITE);
    ///         let set = unsafe {
    ///             libc::ftruncate(self.file.as_raw_fd(), bytes as libc::off_t) == 0
    ///                 && libc::mprotect(base, bytes, rights) == 0
    ///         };
    ///         if !set {
    ///             return Err(std::io::Error::last_os_error());
    ///         }
    ///         self.bytes = bytes;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// unsafe impl MemoryCreator for Files {
    ///     fn create(&self, request: &MemoryRequest) -> Result<Box<dyn CreatedMemory>, CreatorFailure> {
    ///         // What is asked for to catch accesses out of bounds; or room to grow, up to 1 GiB.
    ///         let reserved = match request.reserved_bytes + request.guard_bytes {
    ///             0 => request.bytes_max.min(1 << 30).max(request.bytes).max(1),
    ///             reserved => reserved,
    ///         };
    ///         let (none, shared) = (libc::PROT_NONE, libc::MAP_SHARED | libc::MAP_NORESERVE);
    ///         let (file, base) = unsafe {
    ///             let file = libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC);
    ///             if file < 0 {
    ///                 return Err(std::io::Error::last_os_error().into());
    ///             }
    ///             let file = OwnedFd::from_raw_fd(file);
    ///             let base = libc::mmap(std::ptr::null_mut(), reserved, none, shared, file.as_raw_fd(), 0);
    ///             (Arc::new(file), base)
    ///         };
    ///         if base == libc::MAP_FAILED {
    ///             return Err(std::io::Error::last_os_error().into());
    ///         }
    ///         let base = NonNull::new(base.cast()).ok_or("mapped at zero")?;
    ///         let mut memory = Mapped { file: file.clone(), base, bytes: 0, reserved };
    ///         memory.set_len(request.bytes)?;
    ///         *self.0.lock().map_err(|_| "a thread panicked")? = Some(file);
    ///         Ok(Box::new(memory))
    ///     }
    /// }
    ///
    /// unsafe impl CreatedMemory for Mapped {
    ///     fn base(&self) -> NonNull<u8> {
    ///         self.base
    ///     }
    ///
    ///     fn accessible(&self) -> usize {
    ///         self.bytes
    ///     }
    ///
    ///     fn grow(&mut self, bytes: usize) -> Result<(), CreatorFailure> {
    ///         if bytes > self.reserved {
    ///             return Err("there is no room for so much".into());
    ///         }
    ///         Ok(self.set_len(bytes)?)
    ///     }
    /// }
    ///
    /// impl Drop for Mapped {
    ///     fn drop(&mut self) {
    ///         unsafe { libc::munmap(self.base.as_ptr().cast(), self.reserved) };
    ///     }
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let files = Arc::new(Files::default());
    /// let engine = Engine::new(Config::new().memory_creator(files.clone()))?;
    /// let module = Module::new(&engine, r#"(module (memory 1 2)
    ///     (func (export "run") (result i32)
    ///         (drop (memory.grow (i32.const 1)))
    ///         (i32.store (i32.const 65536) (i32.const 42))
    ///         (i32.load (i32.const 131072))))"#)?;
    /// let mut store = Store::new(&engine, ())?;
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let run = instance.get_typed_func::<(), i32>(&store, "run")?;
    /// let error = run.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds));
    ///
    /// // The host's own mapping of the guest's second page.
    /// let file = files.0.lock().unwrap().take().unwrap();
    /// unsafe {
    ///     let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
    ///     let page = libc::mmap(std::ptr::null_mut(), 65536, read, shared, file.as_raw_fd(), 65536);
    ///     assert_ne!(page, libc::MAP_FAILED);
    ///     assert_eq!(page.cast::<i32>().read(), 42);
    ///     libc::munmap(page, 65536);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn memory_creator(&mut self, creator: Arc<dyn MemoryCreator>) -> &mut Self {
        self.creators.memory = Some(creator);
        self
    }

    /// Who makes the cells of tables, instead of the engine. What [`Config::memory_creator`] says
    /// about limits and the pool goes for these too.
    pub fn table_creator(&mut self, creator: Arc<dyn TableCreator>) -> &mut Self {
        self.creators.table = Some(creator);
        self
    }
}
