//! Compilation at the first call.
//!
//! A slot without code points to a *thunk*, which puts its number, the function's index, into a
//! register and jumps to the lazy stub of `arch`. Thunks depend on the index alone, so one table
//! of them serves all modules of the process; it grows in chunks and is never freed. The stub
//! finds the module by the callee's vmctx, switches to a stack of the host's, and calls
//! [`compile_from_stub`].
//!
//! Two threads that call the same function compile it once: the second waits for the first. The
//! list of functions in work is global, short, and taken around `fork`; a child forgets what
//! threads of its parent had in work.
//!
//! # Safety
//! The stub passes the vmctx of a living instance of a store that runs on this thread.

#![allow(unsafe_code)]

use crate::arch::{self, THUNK_BYTES, write_thunk};
use crate::compiled::CompiledModule;
use crate::context::{Address, VmctxHeader};
use crate::engine::Rank;
use crate::error::Error;
use crate::host_func::{Panic, with_backtrace};
use crate::instance::Instance;
use crate::store::{Pending, StoreInner};
use crate::tier;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_sys::code::CodeRegion;
use wasmoor_sys::fork::Hooks;

/// Thunks are made in multiples of this number.
const CHUNK_THUNKS: usize = 4096;
/// The most in one region of code: larger modules are rare.
const REGION_CHUNKS_MAX: usize = 64;

/// The thunks that there are.
struct Thunks {
    regions: Vec<CodeRegion>,
    /// Where each chunk begins.
    starts: Vec<usize>,
}

static THUNKS: Mutex<Thunks> = Mutex::new(Thunks { regions: Vec::new(), starts: Vec::new() });

/// Gives the thunks' addresses for modules of up to `count` functions.
pub(crate) fn thunks(count: usize) -> std::io::Result<impl Fn(DefinedFuncIndex) -> usize> {
    register_fork_hooks();
    let mut thunks = lock(&THUNKS);
    let chunks = count.div_ceil(CHUNK_THUNKS);
    while thunks.starts.len() < chunks {
        let first = thunks.starts.len();
        let new = (chunks - first).min(REGION_CHUNKS_MAX);
        let region = make_thunks(first * CHUNK_THUNKS, new * CHUNK_THUNKS)?;
        let start = region.code_range().start;
        thunks.starts.extend((0..new).map(|chunk| start + chunk * CHUNK_THUNKS * THUNK_BYTES));
        thunks.regions.push(region);
    }
    let starts = thunks.starts.clone();
    Ok(move |func: DefinedFuncIndex| {
        let index = func.as_u32() as usize;
        starts[index / CHUNK_THUNKS] + index % CHUNK_THUNKS * THUNK_BYTES
    })
}

/// Makes thunks for the functions from `first` on.
fn make_thunks(first: usize, count: usize) -> std::io::Result<CodeRegion> {
    let bytes = count * THUNK_BYTES;
    let region = CodeRegion::new(size_of::<usize>(), bytes)?;
    // SAFETY: the region's data holds one word, page-aligned, that nobody else uses.
    unsafe { region.data().cast::<usize>().write(arch::lazy_stub as *const () as usize) };
    let span = region.allocate(bytes, THUNK_BYTES).map_err(std::io::Error::other)?;
    let (start, word) = (region.address(&span), region.data().as_ptr() as usize);
    let mut code = vec![0; bytes];
    for (at, thunk) in code.as_chunks_mut().0.iter_mut().enumerate() {
        let end = start + (at + 1) * THUNK_BYTES;
        // A region is smaller than 2 GiB, so the distance fits.
        write_thunk(thunk, (first + at) as u32, (word as i64 - end as i64) as i32);
    }
    region.write(span, &code).map_err(std::io::Error::other)?;
    Ok(region)
}

/// Called by the lazy stub. Answers the code's address, or 0 after recording why wasm is left.
///
/// # Safety
/// See the head of this file.
pub(crate) unsafe extern "C" fn compile_from_stub(vmctx: Address, index: u32) -> usize {
    // SAFETY: the caller's promise.
    unsafe { first_call(vmctx, index, None) }
}

/// Called by the stub of mixed modules, with the choice that it has made.
///
/// # Safety
/// See the head of this file.
pub(crate) unsafe extern "C" fn compile_chosen(vmctx: Address, index: u32, second: u32) -> usize {
    let rank = if second == 0 { Rank::First } else { Rank::Second };
    // SAFETY: the caller's promise.
    unsafe { first_call(vmctx, index, Some(rank)) }
}

/// The function's code, by the compiler that is asked for or else the module's first.
///
/// # Safety
/// See the head of this file.
unsafe fn first_call(vmctx: Address, index: u32, rank: Option<Rank>) -> usize {
    // SAFETY: see the head of this file; the header's fields never change.
    let (store, module) = unsafe {
        let header = vmctx as *const VmctxHeader;
        let store: *mut StoreInner = (*(*header).store).store;
        (store, Instance::from_vmctx(vmctx).compiled().clone())
    };
    let func = DefinedFuncIndex::from_u32(index);
    let rank = rank.unwrap_or(module.first_rank());
    let outcome = catch_unwind(AssertUnwindSafe(|| compile_once(&module, rank, func)));
    let pending = match outcome {
        Ok(Ok(address)) => {
            // SAFETY: the store runs on this thread, and nothing else refers to it meanwhile.
            unsafe { tier::compiled(&*store) };
            return address;
        }
        // SAFETY: wasm called, so its frames are on this thread's stack.
        Ok(Err(error)) => Pending::Error(unsafe { with_backtrace(store, error) }),
        Err(panic) => Pending::Panic(Panic(panic)),
    };
    // The stub leaves without coming back here.
    drop(module);
    // SAFETY: nothing else refers to the store while the stub runs.
    unsafe { (*store).set_pending(pending) };
    0
}

/// A function that some thread compiles: identity of the module, compiler, and index.
type Work = (usize, Rank, DefinedFuncIndex);

/// What is being compiled.
struct InWork {
    functions: Vec<Work>,
    /// Threads that wait for one of them. Waking nobody would still be a system call.
    waiting: usize,
}

static IN_WORK: Mutex<InWork> = Mutex::new(InWork { functions: Vec::new(), waiting: 0 });
static WORK_DONE: Condvar = Condvar::new();

/// The function's code, made by this thread or another.
fn compile_once(
    module: &Arc<CompiledModule>,
    rank: Rank,
    func: DefinedFuncIndex,
) -> Result<usize, Error> {
    let work = (Arc::as_ptr(module) as usize, rank, func);
    let mut in_work = lock(&IN_WORK);
    loop {
        if let Some(entry) = module.entry(rank, func) {
            return Ok(entry);
        }
        if !in_work.functions.contains(&work) {
            break;
        }
        in_work.waiting += 1;
        in_work = WORK_DONE.wait(in_work).unwrap_or_else(PoisonError::into_inner);
        in_work.waiting -= 1;
    }
    in_work.functions.push(work);
    drop(in_work);
    let _finish = Finish(work);
    module.compile_and_publish(rank, func)
}

/// Takes a function off the list, also when compiling panics.
struct Finish(Work);

impl Drop for Finish {
    fn drop(&mut self) {
        let mut in_work = lock(&IN_WORK);
        in_work.functions.retain(|work| *work != self.0);
        if in_work.waiting > 0 {
            WORK_DONE.notify_all();
        }
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks { prepare: fork_prepare, parent: fork_parent, child: fork_child };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

type Held = (MutexGuard<'static, Thunks>, MutexGuard<'static, InWork>);

thread_local! {
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
}

fn fork_prepare() {
    HELD.set(Some((lock(&THUNKS), lock(&IN_WORK))));
}

fn fork_parent() {
    HELD.take();
}

fn fork_child() {
    if let Some((_thunks, mut in_work)) = HELD.take() {
        *in_work = InWork { functions: Vec::new(), waiting: 0 };
    }
}
