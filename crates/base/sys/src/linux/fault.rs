//! Signals and alternate stacks.
//!
//! ```text
//! on_signal -> caused by an instruction? -> the handler -> true: resume
//!                                                       -> false: pass on
//!           -> sent by somebody?       -> pass on: what the kernel would have done without us
//! ```
//!
//! Everything that `on_signal` reads is set before the kernel learns of `on_signal`.
//!
//! # Safety
//! `on_signal` runs with arguments from the kernel: a signal description and a frame that is
//! restored when it returns. It reads atomics and write-once cells only.

#![allow(unsafe_code)]

use super::arch;
use crate::fault::{FaultHandler, Signal};
use crate::stack::HostStack;
use libc::{c_int, c_void, sigaction, siginfo_t, stack_t, ucontext_t};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{MaybeUninit, transmute};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The least alternate stack; frames of signals take 3 to 11 KiB of it, by vector registers.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

/// Registers of a thread at a fault. Valid only while the handler runs.
#[derive(Debug)]
pub struct FaultContext<'a> {
    signal: Signal,
    address: usize,
    frame: &'a mut ucontext_t,
}

impl FaultContext<'_> {
    /// How the fault arrived.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Address of the faulting instruction.
    #[must_use]
    pub fn pc(&self) -> usize {
        arch::pc(self.frame)
    }

    /// The stack pointer.
    #[must_use]
    pub fn sp(&self) -> usize {
        arch::sp(self.frame)
    }

    /// The frame pointer register.
    #[must_use]
    pub fn fp(&self) -> usize {
        arch::fp(self.frame)
    }

    /// The address that could not be accessed, for `Segv` and `Bus`; 0 where the processor does
    /// not tell. For `Ill` and `Fpe` the instruction's.
    #[must_use]
    pub fn address(&self) -> usize {
        self.address
    }

    /// Continues at another place: sets the program counter, the stack and frame pointers and the
    /// first four argument registers of the C convention. Other registers stay.
    pub fn redirect(&mut self, pc: usize, sp: usize, fp: usize, args: [usize; 4]) {
        arch::redirect(self.frame, pc, sp, fp, args);
    }

    /// Continues at another place as if the faulting instruction had been a call to it, with
    /// itself as the return address: returning there executes the instruction again. No other
    /// register changes, but on aarch64 x30 holds the return address, and the stack the pair
    /// (return address, x30 before).
    ///
    /// Only for code that keeps nothing below its stack pointer (no red zone) and has room there.
    pub fn inject_call(&mut self, pc: usize) {
        arch::inject_call(self.frame, pc);
    }
}

const fn number(signal: Signal) -> c_int {
    match signal {
        Signal::Segv => libc::SIGSEGV,
        Signal::Bus => libc::SIGBUS,
        Signal::Ill => libc::SIGILL,
        Signal::Fpe => libc::SIGFPE,
    }
}

/// What was installed for a signal before us.
struct Former {
    action: OnceLock<sigaction>,
    /// An action that asked to be called once only has been called.
    spent: AtomicBool,
}

/// In the order of `Signal::ALL`.
static FORMER: [Former; 4] =
    [const { Former { action: OnceLock::new(), spent: AtomicBool::new(false) } }; 4];
static HANDLER: OnceLock<FaultHandler> = OnceLock::new();
static INSTALLING: Mutex<usize> = Mutex::new(0);

/// See `crate::fault::install`.
pub(crate) fn install(handler: FaultHandler) -> io::Result<()> {
    // Signals installed so far, so that a call after a failed one goes on where that stopped.
    let mut installed = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if !ptr::fn_addr_eq(*HANDLER.get_or_init(|| handler), handler) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another fault handler is installed",
        ));
    }
    while let Some(&signal) = Signal::ALL.get(*installed) {
        install_for(signal, &FORMER[*installed])?;
        *installed += 1;
    }
    Ok(())
}

fn install_for(signal: Signal, former: &Former) -> io::Result<()> {
    let mut before = MaybeUninit::<sigaction>::uninit();
    // SAFETY: asks only; `before` is a valid place, initialised on success.
    check(unsafe { sigaction(number(signal), ptr::null(), before.as_mut_ptr()) })?;
    // SAFETY: the call succeeded.
    former.action.get_or_init(|| unsafe { before.assume_init() });
    // SAFETY: all-zero is a valid value of this C structure (no flags, empty mask).
    let mut action: sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: the action is valid and its function may run on any thread at any time from now on.
    check(unsafe { sigaction(number(signal), &raw const action, ptr::null_mut()) })
}

fn check(status: c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// # Safety
/// Called by the kernel, or by a handler that passes on what the kernel gave it.
unsafe extern "C" fn on_signal(number: c_int, info: *mut siginfo_t, frame: *mut c_void) {
    let Some(at) = Signal::ALL.iter().position(|&signal| self::number(signal) == number) else {
        return;
    };
    // SAFETY: the C library's address of this thread's `errno`; `info` is valid.
    let (errno, caused) = unsafe { (libc::__errno_location(), is_caused(&*info)) };
    // SAFETY: as above.
    let errno_before = unsafe { *errno };
    if caused && let Some(handler) = HANDLER.get() {
        let mut context = FaultContext {
            signal: Signal::ALL[at],
            // SAFETY: the kernel fills this in for faults of these signals.
            address: unsafe { (*info).si_addr() }.addr(),
            // SAFETY: the kernel's frame of this signal, which nobody else uses meanwhile.
            frame: unsafe { &mut *frame.cast() },
        };
        if handler(&mut context) {
            // SAFETY: as above.
            unsafe { *errno = errno_before };
            return;
        }
    }
    // SAFETY: the arguments are the kernel's.
    unsafe {
        pass_on(number, &FORMER[at], caused, info, frame);
        *errno = errno_before;
    }
}

/// Whether an instruction caused the signal; else somebody sent it.
fn is_caused(info: &siginfo_t) -> bool {
    info.si_code > 0
}

/// Does what would have happened without us.
///
/// # Safety
/// As for [`on_signal`].
unsafe fn pass_on(
    number: c_int,
    former: &Former,
    caused: bool,
    info: *mut siginfo_t,
    frame: *mut c_void,
) {
    let Some(action) = former.action.get() else { return };
    let once = action.sa_flags & libc::SA_RESETHAND != 0;
    let spent = once && former.spent.swap(true, Ordering::Relaxed);
    match action.sa_sigaction {
        // Nobody can ignore a fault: the kernel kills instead.
        libc::SIG_IGN if !caused => {}
        libc::SIG_IGN | libc::SIG_DFL => restore_default(number, caused),
        _ if spent => restore_default(number, caused),
        function => {
            block_as_asked(number, action);
            // SAFETY: the function was installed for this signal with these flags, and gets what
            // the kernel would give it.
            unsafe {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    let function: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                        transmute(function);
                    function(number, info, frame);
                } else {
                    let function: extern "C" fn(c_int) = transmute(function);
                    function(number);
                }
            }
        }
    }
}

/// Blocks the signals that the former action wants blocked while it runs. The return from the
/// signal unblocks them.
fn block_as_asked(number: c_int, action: &sigaction) {
    let mut mask = action.sa_mask;
    // SAFETY: valid places; blocking signals in a handler is what the kernel would have done.
    unsafe {
        if action.sa_flags & libc::SA_NODEFER == 0 {
            libc::sigaddset(&raw mut mask, number);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, ptr::null_mut());
    }
}

/// Restores the default, which ends the process as soon as the signal arrives again: when the
/// faulting instruction is executed once more, or now if nothing faulted.
fn restore_default(number: c_int, caused: bool) {
    // SAFETY: all-zero is a valid value of this C structure: the default action.
    unsafe {
        let action: sigaction = MaybeUninit::zeroed().assume_init();
        sigaction(number, &raw const action, ptr::null_mut());
        if !caused {
            libc::raise(number);
        }
    }
}

thread_local! {
    static PREPARED: Cell<bool> = const { Cell::new(false) };
    static SIGNAL_STACK: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
}

/// The alternate stack that this module made for a thread.
struct SignalStack(HostStack);

impl Drop for SignalStack {
    /// Stops using the stack before it is unmapped. What was there before is not restored: its
    /// owner may have freed it by now.
    fn drop(&mut self) {
        PREPARED.set(false);
        if current().is_ok_and(|current| current.ss_sp.addr() == self.0.range().start) {
            let disabled =
                stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: a valid description; this thread runs on its ordinary stack while it ends.
            unsafe { libc::sigaltstack(&raw const disabled, ptr::null_mut()) };
        }
    }
}

/// See `crate::fault::prepare_thread`.
pub(crate) fn prepare_thread() -> io::Result<()> {
    if PREPARED.get() {
        return Ok(());
    }
    let bytes = SIGNAL_STACK_BYTES.max(rustix::param::linux_minsigstksz().saturating_mul(4));
    let current = current()?;
    if current.ss_flags & libc::SS_DISABLE != 0 || current.ss_size < bytes {
        replace_signal_stack(bytes)?;
    }
    PREPARED.set(true);
    Ok(())
}

fn replace_signal_stack(bytes: usize) -> io::Result<()> {
    let stack = HostStack::new(bytes)?;
    let range = stack.range();
    let description = stack_t {
        ss_sp: ptr::with_exposed_provenance_mut(range.start),
        ss_flags: 0,
        ss_size: range.len(),
    };
    // Into the owner first, which outlives the use: a thread that is ending has none any more.
    SIGNAL_STACK
        .try_with(|owner| *owner.borrow_mut() = Some(SignalStack(stack)))
        .map_err(io::Error::other)?;
    // SAFETY: the memory is readable, writable and used for nothing else until the owner drops.
    check(unsafe { libc::sigaltstack(&raw const description, ptr::null_mut()) })
}

fn current() -> io::Result<stack_t> {
    let mut current = MaybeUninit::<stack_t>::uninit();
    // SAFETY: asks only; `current` is a valid place, initialised on success.
    check(unsafe { libc::sigaltstack(ptr::null(), current.as_mut_ptr()) })?;
    // SAFETY: the call succeeded.
    Ok(unsafe { current.assume_init() })
}
