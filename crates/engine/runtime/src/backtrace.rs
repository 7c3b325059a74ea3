//! Wasm frames at the point of a trap or host error.
//!
//! Frames are found by the frame-pointer chain, which every tier keeps: from the faulting
//! instruction or the last exit to the host down to the entry stub, then on in the entry before.
//!
//! # Safety
//! Walking reads saved frame pointers and return addresses of active frames of this thread. The
//! chain is intact because compiled code and stubs never use the frame pointer for anything else.

#![allow(unsafe_code)]

use crate::arch;
use crate::context::{Address, StoreContext};
use std::fmt;
use std::sync::Arc;
use wasmoor_abi::FuncIndex;
use wasmoor_abi::limits::BACKTRACE_FRAMES_MAX;
use wasmoor_codegen::registry;
use wasmoor_module::Module;

/// Wasm frames, innermost first; at most `BACKTRACE_FRAMES_MAX`.
#[derive(Clone, Default)]
pub struct Backtrace {
    frames: Vec<Frame>,
    truncated: bool,
}

/// One wasm frame.
#[derive(Clone)]
pub struct Frame {
    module: Arc<Module>,
    func: FuncIndex,
    wasm_offset: Option<u32>,
}

impl Frame {
    /// The module.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Index of the function in the module.
    #[must_use]
    pub fn func_index(&self) -> FuncIndex {
        self.func
    }

    /// Name of the function from the name section.
    #[must_use]
    pub fn func_name(&self) -> Option<&str> {
        self.module.func_name(self.func)
    }

    /// Byte offset of the operator in the module.
    #[must_use]
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }
}

impl Backtrace {
    /// The frames, innermost first.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Whether there are no frames.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether there were more frames than listed.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// From the point where wasm last called the host.
    ///
    /// # Safety
    /// `store` is the context of a store whose wasm frames are on this thread's stack.
    pub(crate) unsafe fn from_exit(store: *const StoreContext) -> Self {
        let mut walk = Walk::default();
        // SAFETY: the caller's promise.
        unsafe {
            walk.activations((*store).exit_fp, (*store).entry_fp);
        }
        walk.trace
    }

    /// From a fault at `pc` in a frame with frame pointer `fp`.
    ///
    /// # Safety
    /// As [`Backtrace::from_exit`]; the fault was in the innermost activation of the store.
    pub(crate) unsafe fn from_fault(store: *const StoreContext, pc: Address, fp: Address) -> Self {
        let mut walk = Walk::default();
        walk.push(pc);
        // SAFETY: the caller's promise.
        unsafe {
            let entry_fp = (*store).entry_fp;
            walk.callers(fp, entry_fp);
            let (former_entry, former_exit) = arch::former_entry(entry_fp);
            walk.activations(former_exit, former_entry);
        }
        walk.trace
    }
}

#[derive(Default)]
struct Walk {
    trace: Backtrace,
}

impl Walk {
    /// Every activation, beginning with the one that was left at `exit_fp`.
    ///
    /// # Safety
    /// See the module's head.
    unsafe fn activations(&mut self, mut exit_fp: Address, mut entry_fp: Address) {
        while entry_fp != 0 && exit_fp != 0 && !self.trace.truncated {
            // SAFETY: both belong to an activation that is still on the stack.
            unsafe {
                self.callers(exit_fp, entry_fp);
                (entry_fp, exit_fp) = arch::former_entry(entry_fp);
            }
        }
    }

    /// The callers of the frame at `fp`, up to the entry stub's frame.
    ///
    /// # Safety
    /// See the module's head.
    unsafe fn callers(&mut self, mut fp: Address, entry_fp: Address) {
        // Callers lie at higher addresses; anything else would be a broken chain.
        while fp != entry_fp && fp != 0 && fp < entry_fp && !self.trace.truncated {
            // SAFETY: `fp` is a link of the chain: the saved frame pointer, then the return address.
            let (next, return_address) =
                unsafe { ((fp as *const Address).read(), (fp as *const Address).add(1).read()) };
            // The byte before belongs to the call.
            self.push(return_address.wrapping_sub(1));
            fp = next;
        }
    }

    /// Adds the frame whose code holds the address; stubs and host code add nothing.
    fn push(&mut self, inside: Address) {
        if self.trace.frames.len() >= BACKTRACE_FRAMES_MAX {
            self.trace.truncated = true;
            return;
        }
        let frame = registry::with_code_at(inside, |code, blob, offset| Frame {
            module: code.module().clone(),
            func: code.module().func_index(blob.func),
            wasm_offset: blob.wasm_offset_at(offset),
        });
        self.trace.frames.extend(frame);
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm backtrace:")?;
        for (number, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {number:>3}: {frame}")?;
        }
        if self.truncated {
            write!(f, "\n       ... (more frames)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wasm_offset {
            Some(offset) => write!(f, "{offset:#8x} - ")?,
            None => write!(f, "         - ")?,
        }
        if let Some(module) = &self.module.name {
            write!(f, "{module}!")?;
        }
        match self.func_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "<function {}>", self.func.as_u32()),
        }
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
