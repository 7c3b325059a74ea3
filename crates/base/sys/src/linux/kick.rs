//! Kicks by `SIGURG`, whose default is to be ignored, so that a stray one harms nobody.
//!
//! # Safety
//! The signal handler runs with arguments from the kernel; what it calls is async-signal-safe.

#![allow(unsafe_code)]

use super::arch;
use crate::kick::KickHandler;
use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};
use std::io;
use std::mem::{MaybeUninit, transmute};
use std::num::NonZeroU32;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Registers of a kicked thread. Valid only while the handler runs.
#[derive(Debug)]
pub struct KickContext<'a> {
    frame: &'a mut ucontext_t,
}

impl KickContext<'_> {
    /// Address of the instruction that the thread would execute next.
    #[must_use]
    pub fn pc(&self) -> usize {
        arch::pc(self.frame)
    }

    /// As `FaultContext::inject_call`: the thread goes on as if it had called `pc` before its
    /// next instruction.
    pub fn inject_call(&mut self, pc: usize) {
        arch::inject_call(self.frame, pc);
    }
}

/// Identity of a thread of this process. A thread that has ended is not found, or (when the
/// system has given its number away again within this process) another one is kicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(NonZeroU32);

impl Thread {
    /// The number that the system knows it by, to be stored where a word fits.
    #[must_use]
    pub fn number(self) -> NonZeroU32 {
        self.0
    }

    /// The thread with a number from [`Thread::number`].
    #[must_use]
    pub fn from_number(number: NonZeroU32) -> Self {
        Thread(number)
    }

    /// Sends one kick.
    pub fn kick(self) {
        // SAFETY: sends a signal that has a handler to a thread of this process, or to none.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0.get(), libc::SIGURG);
        }
    }
}

pub(crate) fn current_thread() -> io::Result<Thread> {
    // SAFETY: takes no arguments and cannot fail.
    let number = unsafe { libc::gettid() };
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.map(Thread).ok_or_else(|| io::Error::other("the system gave a thread no number"))
}

/// The handler that was there before, if it is a function.
static FORMER: AtomicUsize = AtomicUsize::new(0);

static HANDLER: OnceLock<KickHandler> = OnceLock::new();

pub(crate) fn install(handler: KickHandler) -> io::Result<()> {
    if !ptr::fn_addr_eq(*HANDLER.get_or_init(|| handler), handler) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another kick handler is installed",
        ));
    }
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    INSTALLED.get_or_init(install_signal).map_err(io::Error::from_raw_os_error)
}

fn install_signal() -> Result<(), i32> {
    // SAFETY: zeroes are valid for `sigaction`; the handler has the signature that SA_SIGINFO
    // asks for. Without SA_RESTART blocking calls end.
    let status = unsafe {
        let mut action: sigaction = MaybeUninit::zeroed().assume_init();
        let mut former: sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_kick as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        if sigaction(libc::SIGURG, ptr::null(), &raw mut former) == 0
            && ![libc::SIG_DFL, libc::SIG_IGN].contains(&former.sa_sigaction)
        {
            FORMER.store(former.sa_sigaction, Ordering::SeqCst);
        }
        sigaction(libc::SIGURG, &raw const action, ptr::null_mut())
    };
    if status == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}

/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_kick(signal: c_int, info: *mut siginfo_t, frame: *mut c_void) {
    if let Some(handler) = HANDLER.get() {
        // SAFETY: the kernel's frame of this signal, which nobody else uses meanwhile.
        handler(&mut KickContext { frame: unsafe { &mut *frame.cast() } });
    }
    let former = FORMER.load(Ordering::SeqCst);
    if former != 0 {
        type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
        // SAFETY: the kernel had this address as a handler; one without SA_SIGINFO takes the first
        // argument and does not see the others.
        let former = unsafe { transmute::<usize, Handler>(former) };
        former(signal, info, frame);
    }
}
