//! Requests of the host to a running guest.
//!
//! A requester sets a bit in the request word; the guest then gets to [`serve_from_stub`] in one of
//! two ways, both of which keep all of its registers:
//!
//! * Code with polls (the first of two tiers): the requester makes the poll page unreadable, and
//!   the guest's next poll faults. The page is made readable first and the bits are taken second,
//!   so that no request is lost: one that comes in between faults once more.
//! * All code: the guest's thread is kicked. If it is in wasm code, at any instruction, the signal
//!   handler has it call the stub there; if it is in host code, blocking calls end, the kick is
//!   repeated, and whatever returns from the host to wasm looks at the request word
//!   ([`serve_at_return`]). So code needs no polls to be stopped.
//!
//! A guest whose host function entered another store waits for that store's guest. A kick then
//! passes a demand to stop on to the inner store, whose guest traps for the same reason: like a
//! system call that is ended, it is the host function's to make something of that.
//!
//! # Safety
//! The stub calls in with the frame chain intact.

#![allow(unsafe_code)]

use crate::backtrace::Backtrace;
use crate::context::Address;
use crate::error::{Error, ErrorKind, Trap};
use crate::invoke::current_store;
use crate::libcalls::Answer;
use crate::pool::thread_number;
use crate::store::{Pending, StoreInner};
use crate::unwind::STATUS_LEAVE;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use wasmoor_abi::TrapCode;
use wasmoor_codegen::registry;
use wasmoor_memory::Waiter;
use wasmoor_sys::kick::Thread;
use wasmoor_sys::poll::PollRegion;

/// The guest traps with `Interrupted`.
const REQUEST_INTERRUPT: u32 = 1;
/// The guest traps with `DeadlineExceeded`.
const REQUEST_DEADLINE: u32 = 2;
/// The store's poll hook is called.
const REQUEST_CALL_BACK: u32 = 4;
/// The function that polls is noted as hot.
const REQUEST_SAMPLE: u32 = 8;
/// The guest of a store further out, which waits for this one, is to trap with `Interrupted`.
const REQUEST_OUTER_INTERRUPT: u32 = 16;
/// The same with `DeadlineExceeded`.
const REQUEST_OUTER_DEADLINE: u32 = 32;

/// A page that a memory began with is lost; the guest is left.
const REQUEST_LOST_PAGE: u32 = 64;

const INTERRUPT: u32 = REQUEST_INTERRUPT | REQUEST_OUTER_INTERRUPT;
const DEADLINE: u32 = REQUEST_DEADLINE | REQUEST_OUTER_DEADLINE;

/// The request word and poll page of one store.
#[derive(Debug)]
pub(crate) struct PollState {
    request: AtomicU32,
    /// Number of the thread that is in the store's outermost entry, or 0.
    running: AtomicU32,
    /// Whether the sampler knows the store.
    sampled: AtomicBool,
    /// `Some` as long as the state is alive.
    region: Option<PollRegion>,
    /// The region may be unreadable.
    armed: AtomicBool,
    waiters: Waiters,
}

/// What the store's thread sleeps on when a guest waits for memory. A hook that is called meanwhile
/// may have the guest wait once more.
#[derive(Debug, Default)]
struct Waiters {
    first: Arc<Waiter>,
    first_is_used: AtomicBool,
    nested: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    fn wake(&self) {
        self.first.wake();
        if self.first_is_used.load(Ordering::SeqCst) {
            let nested = self.nested.lock().unwrap_or_else(PoisonError::into_inner).clone();
            nested.iter().for_each(|waiter| waiter.wake());
        }
    }
}

/// A waiter that one wait of the store's thread uses.
pub(crate) struct WaiterInUse<'a> {
    waiters: &'a Waiters,
    nested: Option<Arc<Waiter>>,
}

impl WaiterInUse<'_> {
    pub(crate) fn waiter(&self) -> &Arc<Waiter> {
        self.nested.as_ref().unwrap_or(&self.waiters.first)
    }
}

impl Drop for WaiterInUse<'_> {
    fn drop(&mut self) {
        if self.nested.is_some() {
            // Waits of one thread end in the opposite order.
            self.waiters.nested.lock().unwrap_or_else(PoisonError::into_inner).pop();
        } else {
            self.waiters.first_is_used.store(false, Ordering::SeqCst);
        }
    }
}

/// Readable regions that no store has: making one takes two system calls and two page faults.
static IDLE_REGIONS: [Mutex<Vec<PollRegion>>; 8] = [const { Mutex::new(Vec::new()) }; 8];
/// Regions kept in each list.
const IDLE_REGIONS_MAX: usize = 64;

/// The thread's own list, unless another thread has it (or had it when this process was forked).
fn idle_regions() -> Option<MutexGuard<'static, Vec<PollRegion>>> {
    IDLE_REGIONS[thread_number() % IDLE_REGIONS.len()].try_lock().ok()
}

impl Drop for PollState {
    fn drop(&mut self) {
        let Some(region) = self.region.take() else { return };
        if self.armed.load(Ordering::Acquire) && region.disarm().is_err() {
            return;
        }
        if let Some(mut idle) = idle_regions()
            && idle.len() < IDLE_REGIONS_MAX
        {
            idle.push(region);
        }
    }
}

impl PollState {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(PollState {
            request: AtomicU32::new(0),
            running: AtomicU32::new(0),
            sampled: AtomicBool::new(false),
            region: Some(match idle_regions().and_then(|mut idle| idle.pop()) {
                Some(region) => region,
                None => PollRegion::new()?,
            }),
            armed: AtomicBool::new(false),
            waiters: Waiters::default(),
        })
    }

    pub(crate) fn request_word(&self) -> *const AtomicU32 {
        &raw const self.request
    }

    pub(crate) fn page(&self) -> *const u8 {
        self.region.as_ref().map_or(std::ptr::null(), |region| region.base().as_ptr())
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        self.region.as_ref().is_some_and(|region| region.contains(address))
    }

    fn request(&self, bits: u32) {
        self.request.fetch_or(bits, Ordering::SeqCst);
        self.armed.store(true, Ordering::Release);
        // A process that has as many mappings as it may gets no more: then the request waits for a kick, or
        // for a host function to return; a sample is one less.
        let _ = self.region.as_ref().map(PollRegion::arm);
        if bits & !REQUEST_SAMPLE != 0 {
            self.waiters.wake();
        }
    }

    fn take(&self) -> u32 {
        let disarmed = self.region.as_ref().map(PollRegion::disarm);
        debug_assert!(!matches!(disarmed, Some(Err(_))), "protecting an own page cannot fail");
        self.request.swap(0, Ordering::SeqCst)
    }

    /// Notes which thread runs the store's guests; 0: none does any more.
    pub(crate) fn set_running(&self, thread: u32) {
        self.running.store(thread, Ordering::Release);
    }

    /// A waiter for the store's thread to sleep on.
    pub(crate) fn waiter(&self) -> WaiterInUse<'_> {
        let waiters = &self.waiters;
        let nested = waiters.first_is_used.swap(true, Ordering::SeqCst).then(|| {
            let waiter = Arc::<Waiter>::default();
            let mut nested = waiters.nested.lock().unwrap_or_else(PoisonError::into_inner);
            nested.push(Arc::clone(&waiter));
            waiter
        });
        WaiterInUse { waiters, nested }
    }

    /// Whether the sampler knows the store.
    pub(crate) fn is_sampled(&self) -> bool {
        self.sampled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sampled(&self, sampled: bool) {
        self.sampled.store(sampled, Ordering::Relaxed);
    }

    /// Requests a sample if a guest runs; whether one does.
    pub(crate) fn request_sample(&self) -> bool {
        let running = self.is_running();
        if running {
            self.request(REQUEST_SAMPLE);
        }
        running
    }

    /// In the child of a fork: the sample that the parent's sampler asked for is not taken, if nothing
    /// else is asked. It would tell nothing, and cost the child a fault.
    pub(crate) fn forget_sample(&self) {
        let only =
            self.request.compare_exchange(REQUEST_SAMPLE, 0, Ordering::SeqCst, Ordering::Relaxed);
        if only.is_ok() {
            let disarmed = self.region.as_ref().map(PollRegion::disarm);
            debug_assert!(!matches!(disarmed, Some(Err(_))), "protecting an own page cannot fail");
        }
    }

    /// Whether a thread is in the store's outermost entry.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) != 0
    }

    /// Whether something other than a sample is asked of the guest. Async-signal-safe.
    pub(crate) fn has_request(&self) -> bool {
        self.request.load(Ordering::SeqCst) & !REQUEST_SAMPLE != 0
    }

    /// Kicks the thread that a request waits for, if there is one; whether the request waits on.
    pub(crate) fn kick(&self) -> bool {
        if !self.has_request() {
            return false;
        }
        if let Some(thread) = NonZeroU32::new(self.running.load(Ordering::Acquire)) {
            Thread::from_number(thread).kick();
        }
        true
    }

    /// Notes that a memory has lost a page of its file. Async-signal-safe; the guest is told when a
    /// host function returns, or the caller has it poll.
    pub(crate) fn page_is_lost(&self) {
        self.request.fetch_or(REQUEST_LOST_PAGE, Ordering::SeqCst);
    }

    /// Passes on what a store further out is asked, if that is to stop. Async-signal-safe.
    pub(crate) fn hear_outer(&self, outer: &PollState) {
        let asked = outer.request.load(Ordering::SeqCst);
        let mut bits = 0;
        if asked & INTERRUPT != 0 {
            bits |= REQUEST_OUTER_INTERRUPT;
        }
        if asked & DEADLINE != 0 {
            bits |= REQUEST_OUTER_DEADLINE;
        }
        if bits != 0 {
            self.request.fetch_or(bits, Ordering::SeqCst);
        }
    }

    /// The store is left: what those further out are asked no longer concerns it.
    pub(crate) fn forget_outer(&self) {
        self.withdraw(REQUEST_OUTER_INTERRUPT | REQUEST_OUTER_DEADLINE);
    }

    /// Withdraws a request that nobody has served.
    fn withdraw(&self, bits: u32) {
        self.request.fetch_and(!bits, Ordering::SeqCst);
    }
}

/// Asks the guests of one store for attention, from any thread. Outlives the store harmlessly.
#[derive(Clone, Debug)]
pub struct InterruptHandle(Weak<PollState>);

impl InterruptHandle {
    pub(crate) fn new(poll: &Arc<PollState>) -> Self {
        InterruptHandle(Arc::downgrade(poll))
    }

    /// The running guest, or the next one that runs, traps with `TrapCode::Interrupted`, within
    /// milliseconds. System calls that block in a host function end with `EINTR`, repeatedly,
    /// until the guest is back in its own code.
    pub fn interrupt(&self) {
        self.send(REQUEST_INTERRUPT);
    }

    /// The running guest, or the next one that runs, calls the store's poll hook and goes on.
    pub fn call_back(&self) {
        self.send(REQUEST_CALL_BACK);
    }

    /// Asks the guest to stop because its time is up; the state to kick, while the store lives.
    pub(crate) fn request_deadline(&self) -> Option<Weak<PollState>> {
        self.0.upgrade()?.request(REQUEST_DEADLINE);
        Some(self.0.clone())
    }

    pub(crate) fn withdraw_deadline(&self) {
        if let Some(poll) = self.0.upgrade() {
            poll.withdraw(REQUEST_DEADLINE);
        }
    }

    /// Whether a guest of the store has been asked to stop and has not yet: for host functions
    /// whose blocking calls ended with `EINTR`.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let stop = INTERRUPT | DEADLINE;
        self.0.upgrade().is_some_and(|poll| poll.request.load(Ordering::SeqCst) & stop != 0)
    }

    fn send(&self, bits: u32) {
        if let Some(poll) = self.0.upgrade() {
            poll.request(bits);
            crate::deadline::kick_until_served(&poll);
        }
    }
}

/// Serves the requests of the store that runs on this thread. Answers the store's context, and 0 to
/// go on, or what the stub does instead after that has been recorded.
pub(crate) extern "C" fn serve_from_stub(stub_fp: Address) -> Answer {
    let context = current_store();
    // SAFETY: the stub runs on a thread that executes wasm of this store, and nothing else uses
    // the store meanwhile.
    let served = catch_unwind(AssertUnwindSafe(|| unsafe {
        // The stub's return address is the polling instruction's, or the next one's after a kick.
        let pc = *(stub_fp as *const Address).add(1);
        // The stub's frame is where wasm was left, should the hook call into wasm.
        (*context).exit_fp = stub_fp;
        serve((*context).store, Some(pc))
    }));
    let pending = match served {
        Ok(Ok(())) => return Answer { value: 0, status: 0 },
        Ok(Err(mut error)) => {
            // SAFETY: as above.
            if let Some(status) = unsafe { (&mut *(*context).store).resume(&error) } {
                return Answer { value: context as usize as u64, status: status.into() };
            }
            if let Some(backtrace) = error.backtrace_mut() {
                // SAFETY: the stub's frame is a link of the chain, as if the poll had called it:
                // the polling instruction's address is its return address.
                *backtrace = unsafe {
                    let fp = *(stub_fp as *const Address);
                    let pc = *(stub_fp as *const Address).add(1);
                    Backtrace::from_fault(context, pc, fp)
                };
            }
            Pending::Error(error)
        }
        Err(panic) => Pending::Panic(crate::host_func::Panic(panic)),
    };
    // SAFETY: as above.
    unsafe { (*(*context).store).set_pending(pending) };
    Answer { value: context as usize as u64, status: STATUS_LEAVE.into() }
}

/// Serves the requests, if there are any, where a host function or libcall returns to wasm.
///
/// # Safety
/// `store` is alive and used by nobody else.
#[inline]
pub(crate) unsafe fn serve_at_return(store: *mut StoreInner) -> Result<(), Error> {
    // SAFETY: the caller's promise; the request word lives as long as the store.
    unsafe {
        if (*(*store).context.request).load(Ordering::Relaxed) & !REQUEST_SAMPLE == 0 {
            return Ok(());
        }
        serve(store, None)
    }
}

/// Serves the requests of a guest that is at `pc`, where that is known.
///
/// # Safety
/// `store` is alive and used by nobody else.
#[cold]
unsafe fn serve(store: *mut StoreInner, pc: Option<Address>) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let requests = unsafe { (*store).poll.take() };
    let trap = |code| Error::from(ErrorKind::Trap(Trap { code, backtrace: Backtrace::default() }));
    if requests & INTERRUPT != 0 {
        return Err(trap(TrapCode::Interrupted));
    }
    if requests & DEADLINE != 0 {
        return Err(trap(TrapCode::DeadlineExceeded));
    }
    if requests & REQUEST_LOST_PAGE != 0 {
        let message = "a memory was mapped from a file that has been cut meanwhile".to_owned();
        return Err(ErrorKind::StoredCode(message).into());
    }
    if requests & REQUEST_SAMPLE != 0
        && let Some(pc) = pc
    {
        registry::with_code_at(pc, |code, blob, _| code.sample(blob.func));
    }
    if requests & REQUEST_CALL_BACK != 0 {
        // SAFETY: the caller's promise.
        if let Some(hook) = unsafe { (*store).poll_hook() } {
            // SAFETY: the caller's promise.
            let _restore = unsafe { Interrupted::new(store) };
            (hook.0)(store)?;
        }
    }
    Ok(())
}

/// What calls into wasm change of a store, as it was when code was interrupted for a hook.
struct Interrupted {
    store: *mut StoreInner,
    exit_fp: Address,
    caller_vmctx: Address,
}

impl Interrupted {
    /// # Safety
    /// `store` outlives the value, and nothing else uses it where the value is made or dropped.
    unsafe fn new(store: *mut StoreInner) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            (*store).hooks_running += 1;
            let context = &(*store).context;
            Interrupted { store, exit_fp: context.exit_fp, caller_vmctx: context.caller_vmctx }
        }
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        // SAFETY: see `Interrupted::new`.
        unsafe {
            (*self.store).hooks_running -= 1;
            let context = &mut (*self.store).context;
            context.exit_fp = self.exit_fp;
            context.caller_vmctx = self.caller_vmctx;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_sample_takes_no_other_request_along() {
        let poll = PollState::new().expect("a page");
        let asked = || poll.request.load(Ordering::SeqCst);
        poll.request(REQUEST_SAMPLE);
        poll.forget_sample();
        assert_eq!(asked(), 0);
        // The page is the store's again, so that nothing faults.
        // SAFETY: the page lives as long as the state, and is readable now.
        assert_eq!(unsafe { poll.page().read_volatile() }, 0);
        for other in [REQUEST_INTERRUPT, REQUEST_CALL_BACK] {
            poll.request(REQUEST_SAMPLE | other);
            poll.forget_sample();
            assert_eq!(asked(), REQUEST_SAMPLE | other);
            poll.take();
        }
    }
}
