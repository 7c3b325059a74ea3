//! The code of one module: slots, arena and blobs.
//!
//! ```text
//! one reservation below 2 GiB
//! [ slots: one pointer per defined function, read-write | code: never writable here ]
//! ```
//!
//! Code calls a function by loading its slot, so that an aligned 8-byte store to the slot
//! publishes better code; the old code stays until the module is dropped.
//!
//! # Safety
//! The slots are atomics in memory that the region owns as long as `ModuleCode` lives.

#![allow(unsafe_code)]

use crate::blobs::{Blob, Blobs};
use crate::compiler::RelocationTarget;
use crate::link::{LinkError, relocate};
use crate::registry;
use crate::unlinked::Unlinked;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_module::Module;
use wasmoor_sys::code::{CodeRegion, CodeSpan, WriteMode};
use wasmoor_sys::fork::Hooks;

/// Bytes of machine code that one byte of the code section may need, all tiers together.
/// Optimized code takes 2 to 5 bytes; address space is cheap, so this is generous.
const CODE_BYTES_PER_WASM_BYTE: usize = 24;
/// The range of a small module, where the machine grants it: a few bytes of wasm can become much
/// code (a call with a thousand arguments, say), and what is not used costs nothing.
const CODE_BYTES_SMALL: usize = 256 << 20;
/// The least code range, where address space is short.
const CODE_BYTES_MIN: usize = 1 << 20;
/// The largest: slots and code must reach each other with 32-bit displacements.
const CODE_BYTES_MAX: usize = 0x7000_0000;

/// Linking is short (copying bytes), so one lock serves all modules; `fork` takes it.
static LINK: Mutex<()> = Mutex::new(());

/// Machine code of one module; see the head of this file.
#[derive(Debug)]
pub struct ModuleCode {
    module: Arc<Module>,
    region: CodeRegion,
    blobs: Blobs,
    /// Called when a guest was found in a function; set by the owner once.
    on_sample: OnceLock<SampleHook>,
}

/// Called with the function that a guest was found in.
pub struct SampleHook(pub Box<dyn Fn(DefinedFuncIndex) + Send + Sync>);

impl std::fmt::Debug for SampleHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SampleHook")
    }
}

impl ModuleCode {
    /// An arena without code; every slot points to what `stub` gives for its function.
    ///
    /// # Errors
    /// When the system refuses the address space.
    pub fn new(
        module: Arc<Module>,
        stub: impl FnMut(DefinedFuncIndex) -> usize,
    ) -> std::io::Result<Arc<Self>> {
        Self::create(module, None, stub)
    }

    /// The same with a given way of writing code, for tests.
    ///
    /// # Errors
    /// When the system refuses the address space or the way of writing.
    pub fn with_write_mode(
        module: Arc<Module>,
        mode: WriteMode,
        stub: impl FnMut(DefinedFuncIndex) -> usize,
    ) -> std::io::Result<Arc<Self>> {
        Self::create(module, Some(mode), stub)
    }

    fn create(
        module: Arc<Module>,
        mode: Option<WriteMode>,
        mut stub: impl FnMut(DefinedFuncIndex) -> usize,
    ) -> std::io::Result<Arc<Self>> {
        register_fork_hooks();
        let region = reserve(&module, mode)?;
        let on_sample = OnceLock::new();
        let code = Arc::new(ModuleCode { module, region, blobs: Blobs::new(), on_sample });
        for func in code.module.bodies.keys() {
            code.slot(func).store(stub(func), Ordering::Relaxed);
        }
        registry::insert(&code);
        Ok(code)
    }

    /// The module whose code this is.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Sets what [`ModuleCode::sample`] calls; the first call counts.
    pub fn set_sample_hook(&self, hook: SampleHook) {
        let _ = self.on_sample.set(hook);
    }

    /// Tells the owner that a guest was found in a function. Not for signal handlers.
    pub fn sample(&self, func: DefinedFuncIndex) {
        if let Some(hook) = self.on_sample.get() {
            (hook.0)(func);
        }
    }

    /// A function's slot.
    #[must_use]
    pub fn slot(&self, func: DefinedFuncIndex) -> &AtomicUsize {
        assert!((func.as_u32() as usize) < self.module.bodies.len());
        let slots = self.region.data().cast::<AtomicUsize>();
        // SAFETY: the region's data is page-aligned, zeroed, lives as long as `self`, is only
        // accessed as atomics (by machine code too), and holds one per defined function.
        unsafe { slots.add(func.as_u32() as usize).as_ref() }
    }

    /// Address of the first slot.
    #[must_use]
    pub fn slots_start(&self) -> usize {
        self.region.data().as_ptr() as usize
    }

    /// Addresses that the module's code may take.
    #[must_use]
    pub fn code_range(&self) -> Range<usize> {
        self.region.code_range()
    }

    pub(crate) fn code_start(&self) -> usize {
        self.region.code_range().start
    }

    /// Bytes of code so far.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        self.region.allocated_bytes()
    }

    /// The blob that holds this offset of the code range.
    #[must_use]
    pub fn blob_at(&self, offset: u32) -> Option<&Blob> {
        self.blobs.find(offset)
    }

    /// All blobs, in order of address.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        (0..self.blobs.len()).filter_map(|at| self.blobs.get(at))
    }

    /// The bytes of a blob as they lie in memory.
    #[must_use]
    pub fn blob_bytes(&self, blob: &Blob) -> &[u8] {
        let start = self.code_start() + blob.start as usize;
        // SAFETY: published code of this region is readable and never changes.
        unsafe { std::slice::from_raw_parts(start as *const u8, blob.len as usize) }
    }

    /// Links one function and publishes it. Returns its entry address.
    ///
    /// # Errors
    /// See [`LinkError`]; the slot keeps its old value.
    pub fn publish(&self, function: Unlinked) -> Result<usize, LinkError> {
        let func = function.func();
        let linking = lock(&LINK);
        let address = self.link_locked(function, &linking)?;
        self.slot(func).store(address, Ordering::Release);
        Ok(address)
    }

    /// Links one function and leaves its slot as it is. Returns its entry address.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn link(&self, function: Unlinked) -> Result<usize, LinkError> {
        self.link_locked(function, &lock(&LINK))
    }

    fn link_locked(
        &self,
        function: Unlinked,
        _linking: &MutexGuard<'static, ()>,
    ) -> Result<usize, LinkError> {
        let span = self.allocate(&function)?;
        let address = self.region.address(&span);
        let func = function.func();
        self.place(function, span, &|target| match target {
            RelocationTarget::Slot(callee) => Some(self.slot_address(callee)),
            RelocationTarget::Func(callee) => (callee == func).then_some(address),
        })?;
        Ok(address)
    }

    /// Links functions that may call each other directly, then publishes all of them.
    ///
    /// # Errors
    /// See [`LinkError`]; no slot has changed then.
    pub fn publish_batch(&self, batch: Vec<Unlinked>) -> Result<(), LinkError> {
        let _linking = lock(&LINK);
        let mut addresses = std::collections::HashMap::with_capacity(batch.len());
        let mut spans = Vec::with_capacity(batch.len());
        for function in &batch {
            let span = self.allocate(function)?;
            addresses.insert(function.func(), self.region.address(&span));
            spans.push(span);
        }
        for (function, span) in batch.into_iter().zip(spans) {
            self.place(function, span, &|target| match target {
                RelocationTarget::Slot(callee) => Some(self.slot_address(callee)),
                RelocationTarget::Func(callee) => addresses.get(&callee).copied(),
            })?;
        }
        for (func, address) in addresses {
            self.slot(func).store(address, Ordering::Release);
        }
        Ok(())
    }

    /// Runs `f` under the lock that all linking takes.
    pub(crate) fn linking<R>(&self, f: impl FnOnce(&CodeRegion, &Blobs) -> R) -> R {
        let _linking = lock(&LINK);
        f(&self.region, &self.blobs)
    }

    fn allocate(&self, function: &Unlinked) -> Result<CodeSpan, LinkError> {
        let align = function.blob.align.clamp(16, 64) as usize;
        Ok(self.region.allocate(function.code.len(), align)?)
    }

    pub(crate) fn slot_address(&self, func: DefinedFuncIndex) -> usize {
        self.slots_start() + func.as_u32() as usize * size_of::<usize>()
    }

    /// Relocates, writes and registers the code of one function.
    fn place(
        &self,
        function: Unlinked,
        span: CodeSpan,
        resolve: &dyn Fn(RelocationTarget) -> Option<usize>,
    ) -> Result<(), LinkError> {
        let Unlinked { mut code, relocations, mut blob } = function;
        let address = self.region.address(&span);
        relocate(blob.func, &relocations, &mut code, address, resolve)?;
        self.region.write(span, &code)?;
        blob.start = (address - self.code_start()) as u32;
        self.blobs.push(blob);
        Ok(())
    }
}

impl Drop for ModuleCode {
    fn drop(&mut self) {
        registry::remove(self);
    }
}

/// Reserves slots and code; where address space is short, a smaller code range.
fn reserve(module: &Module, mode: Option<WriteMode>) -> std::io::Result<CodeRegion> {
    let data_bytes = module.bodies.len().max(1) * size_of::<usize>();
    let wanted = module
        .code_bytes
        .saturating_mul(CODE_BYTES_PER_WASM_BYTE)
        .clamp(CODE_BYTES_SMALL, CODE_BYTES_MAX);
    let mut code_bytes = wanted;
    loop {
        let region = match mode {
            Some(mode) => CodeRegion::with_mode(data_bytes, code_bytes, mode),
            None => CodeRegion::new(data_bytes, code_bytes),
        };
        match region {
            Err(_) if code_bytes / 2 >= CODE_BYTES_MIN.max(module.code_bytes * 4) => {
                code_bytes /= 2;
            }
            other => return other,
        }
    }
}

fn lock(mutex: &'static Mutex<()>) -> MutexGuard<'static, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks { prepare: fork_prepare, parent: fork_parent, child: fork_child };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

thread_local! {
    static LINK_HELD: std::cell::Cell<Option<MutexGuard<'static, ()>>> =
        const { std::cell::Cell::new(None) };
}

fn fork_prepare() {
    LINK_HELD.set(Some(lock(&LINK)));
    registry::fork::prepare();
}

fn fork_parent() {
    registry::fork::parent();
    LINK_HELD.take();
}

fn fork_child() {
    registry::fork::child();
    LINK_HELD.take();
}
