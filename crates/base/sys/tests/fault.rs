//! Faults: handling, resuming elsewhere, passing on to former handlers, alternate stacks, polls.
//!
//! # Safety
//! Faults are caused on purpose, each in a process of its own whose handlers expect it.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(unsafe_code, reason = "causes faults on purpose")]

mod common;

use common::{in_own_process, in_process};
use libc::{c_int, c_void, siginfo_t};
use std::arch::naked_asm;
use std::os::unix::process::ExitStatusExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use wasmoor_sys::fault::{FaultContext, Signal, install, prepare_thread};
use wasmoor_sys::poll::PollRegion;
use wasmoor_sys::stack::HostStack;
use wasmoor_sys::vm::{Reservation, page_bytes};

/// Loads a byte.
#[unsafe(naked)]
extern "C" fn load(_address: usize) -> usize {
    naked_asm!("movzx eax, byte ptr [rdi]", "ret")
}

#[unsafe(naked)]
extern "C" fn illegal(_address: usize) -> usize {
    naked_asm!("ud2")
}

/// Divides by its argument.
#[unsafe(naked)]
extern "C" fn divide(_by: usize) -> usize {
    naked_asm!("mov eax, 1", "xor edx, edx", "div rdi", "ret")
}

/// Sends a signal to this thread.
extern "C" fn send(_: usize) -> usize {
    // SAFETY: the handlers of the tests cope.
    unsafe { libc::raise(libc::SIGFPE) as usize }
}

type Faulting = extern "C" fn(usize) -> usize;

/// What the handler saw last.
static SEEN: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// Continues as if the faulting function had jumped to `landing`.
fn redirecting(context: &mut FaultContext<'_>) -> bool {
    let signal = Signal::ALL.iter().position(|&signal| signal == context.signal()).unwrap();
    for (seen, value) in SEEN.iter().zip([signal, context.pc(), context.address(), context.fp()]) {
        seen.store(value, SeqCst);
    }
    context.redirect(landing as *const () as usize, context.sp(), context.fp(), [1, 2, 3, 4]);
    true
}

extern "C" fn landing(a: usize, b: usize, c: usize, d: usize) -> usize {
    a + 10 * b + 100 * c + 1000 * d
}

/// A page behind the end of its file.
fn page_without_memory() -> usize {
    let file = rustix::fs::memfd_create("empty", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let (rights, flags) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice.
    unsafe { rustix::mm::mmap(ptr::null_mut(), page_bytes(), rights, flags, file, 0) }
        .unwrap()
        .addr()
}

#[test]
fn every_kind_of_fault_can_be_redirected() {
    in_own_process("every_kind_of_fault_can_be_redirected", || {
        install(redirecting).unwrap();
        install(redirecting).unwrap();
        prepare_thread().unwrap();
        let reserved = Reservation::new(1).unwrap();
        let inaccessible = reserved.base().addr().get();
        let bus = page_without_memory();
        let cases: [(Faulting, usize, Signal, usize); 5] = [
            (load, inaccessible, Signal::Segv, inaccessible),
            (load, 8, Signal::Segv, 8),
            (load, bus, Signal::Bus, bus),
            (illegal, 0, Signal::Ill, illegal as *const () as usize),
            (divide, 0, Signal::Fpe, divide as *const () as usize + 7),
        ];
        // Twice: a signal stays enabled after it was handled.
        for (function, argument, signal, address) in cases.into_iter().chain(cases) {
            assert_eq!(function(argument), 4321, "{signal:?}");
            let [seen, pc, fault_address, _] = SEEN.each_ref().map(|seen| seen.load(SeqCst));
            assert_eq!((Signal::ALL[seen], fault_address), (signal, address));
            let start = function as *const () as usize;
            assert!((start..start + 10).contains(&pc), "{signal:?}");
        }
        assert_eq!(divide(1), 1);
    });
}

#[test]
fn a_second_handler_is_refused() {
    in_own_process("a_second_handler_is_refused", || {
        install(redirecting).unwrap();
        let error = install(|_| false).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(load(8), 4321, "the first one stays");
    });
}

fn set_action(signal: c_int, function: usize, flags: c_int) {
    // SAFETY: a zeroed action is valid, and so are the functions that the tests give.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = function;
        action.sa_flags = flags;
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1);
        assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LAST_ADDRESS: AtomicUsize = AtomicUsize::new(0);
static BLOCKED: AtomicUsize = AtomicUsize::new(0);

/// Counts, and skips the instruction of `load`.
extern "C" fn former(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    CALLS.fetch_add(1, SeqCst);
    // SAFETY: the kernel's arguments, passed on.
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut mask);
        let blocked = |signal| usize::from(libc::sigismember(&raw const mask, signal) == 1);
        BLOCKED.store(blocked(libc::SIGSEGV) + 2 * blocked(libc::SIGUSR1), SeqCst);
        LAST_ADDRESS.store((*info).si_addr().addr(), SeqCst);
        if (*info).si_code > 0 {
            let context = &mut *context.cast::<libc::ucontext_t>();
            context.uc_mcontext.gregs[libc::REG_RIP as usize] += 3;
            context.uc_mcontext.gregs[libc::REG_RAX as usize] = 77;
        }
    }
}

#[test]
fn unclaimed_faults_reach_the_former_handler() {
    in_own_process("unclaimed_faults_reach_the_former_handler", || {
        set_action(libc::SIGSEGV, former as *const () as usize, libc::SA_SIGINFO);
        install(|context| context.address() == 16 && redirecting(context)).unwrap();
        assert_eq!(load(8), 77);
        assert_eq!(CALLS.load(SeqCst), 1);
        assert_eq!(LAST_ADDRESS.load(SeqCst), 8);
        assert_eq!(BLOCKED.load(SeqCst), 3, "the mask that the former handler asked for");
        assert_eq!(load(16), 4321, "claimed");
        assert_eq!(load(8), 77, "the mask was restored");
        // SAFETY: sends a signal to this thread.
        unsafe { libc::raise(libc::SIGSEGV) };
        assert_eq!(CALLS.load(SeqCst), 3, "sent, not caused");
    });
}

static PAGE: OnceLock<PollRegion> = OnceLock::new();

extern "C" fn plain(_: c_int) {
    CALLS.fetch_add(1, SeqCst);
    PAGE.get().unwrap().disarm().unwrap();
}

#[test]
fn unclaimed_faults_reach_a_former_plain_handler() {
    in_own_process("unclaimed_faults_reach_a_former_plain_handler", || {
        let page = PAGE.get_or_init(|| PollRegion::new().unwrap());
        set_action(libc::SIGSEGV, plain as *const () as usize, libc::SA_NODEFER);
        install(|_| false).unwrap();
        page.arm().unwrap();
        assert_eq!(load(page.base().addr().get()), 0);
        assert_eq!(CALLS.load(SeqCst), 1);
    });
}

#[test]
fn an_unclaimed_fault_ends_the_process_by_default() {
    // The last one has the standard library's handler in between.
    let cases: [(&str, Faulting, c_int); 4] = [
        ("ill", illegal, libc::SIGILL),
        ("fpe", divide, libc::SIGFPE),
        ("sent", send, libc::SIGFPE),
        ("segv", load, libc::SIGSEGV),
    ];
    for (name, cause, signal) in cases {
        // The child runs the loop again and must get to its own case.
        if std::env::var("WASMOOR_FAULT_CASE").is_ok_and(|case| case != name) {
            continue;
        }
        // SAFETY: the test harness gives each process one thread here that uses the environment.
        unsafe { std::env::set_var("WASMOOR_FAULT_CASE", name) };
        let status = in_process("an_unclaimed_fault_ends_the_process_by_default", || {
            install(|_| false).unwrap();
            cause(0);
        });
        // SAFETY: as above.
        unsafe { std::env::remove_var("WASMOOR_FAULT_CASE") };
        assert_eq!(status.signal(), Some(signal), "{name}: {status}");
    }
}

#[test]
fn an_action_for_one_signal_is_called_once() {
    let status = in_process("an_action_for_one_signal_is_called_once", || {
        let flags = libc::SA_SIGINFO | libc::SA_RESETHAND;
        set_action(libc::SIGSEGV, former as *const () as usize, flags);
        install(|_| false).unwrap();
        assert_eq!(load(8), 77);
        load(8);
    });
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

#[test]
fn ignored_signals_are_ignored_but_faults_are_not() {
    let status = in_process("ignored_signals_are_ignored_but_faults_are_not", || {
        set_action(libc::SIGFPE, libc::SIG_IGN, 0);
        install(|_| false).unwrap();
        // SAFETY: sends a signal to this thread.
        unsafe { libc::raise(libc::SIGFPE) };
        // Reached, so that the process now dies of another signal than the one sent.
        set_action(libc::SIGILL, libc::SIG_IGN, 0);
        illegal(0);
    });
    assert_eq!(status.signal(), Some(libc::SIGILL), "{status}");
}

static LANDING_STACK_TOP: AtomicUsize = AtomicUsize::new(0);
static HANDLER_SP: AtomicUsize = AtomicUsize::new(0);

#[allow(unconditional_recursion, reason = "overflows the stack on purpose")]
fn recurse(depth: usize) -> usize {
    let local = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + local[depth % 64]
}

#[test]
fn an_exhausted_stack_is_handled_on_the_alternate_one() {
    in_own_process("an_exhausted_stack_is_handled_on_the_alternate_one", || {
        install(|context| {
            let local = 0u8;
            HANDLER_SP.store((&raw const local).addr(), SeqCst);
            let sp = LANDING_STACK_TOP.load(SeqCst) - 8;
            context.redirect(leave as *const () as usize, sp, 0, [7, 0, 0, 0]);
            true
        })
        .unwrap();
        std::thread::spawn(|| {
            prepare_thread().unwrap();
            let other = HostStack::new(1 << 20).unwrap();
            LANDING_STACK_TOP.store(other.top(), SeqCst);
            recurse(0)
        })
        .join()
        .unwrap();
    });
}

/// Runs on another stack and never returns.
extern "C" fn leave(argument: usize) {
    let sp = HANDLER_SP.load(SeqCst);
    let signal_stack = current_signal_stack();
    let right = argument == 7 && signal_stack.contains(&sp) && signal_stack.len() >= 64 << 10;
    std::process::exit(i32::from(!right));
}

fn current_signal_stack() -> std::ops::Range<usize> {
    // SAFETY: asks only.
    let stack = unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(ptr::null(), &raw mut stack), 0);
        stack
    };
    if stack.ss_flags & libc::SS_DISABLE != 0 {
        return 0..0;
    }
    stack.ss_sp.addr()..stack.ss_sp.addr() + stack.ss_size
}

#[test]
fn signal_stacks_are_guarded_kept_and_freed_with_their_thread() {
    in_own_process("signal_stacks_are_guarded_kept_and_freed_with_their_thread", || {
        let run = || {
            prepare_thread().unwrap();
            let first = current_signal_stack();
            assert!(first.len() >= 64 << 10, "{first:x?}");
            prepare_thread().unwrap();
            assert_eq!(current_signal_stack(), first);
            let below = common::mappings(first.start - 1..first.start);
            assert!(below.iter().all(|(rights, _)| rights.starts_with("---")), "{below:x?}");
        };
        let thread = || std::thread::spawn(run).join().unwrap();
        thread();
        let before = common::address_space_bytes();
        (0..100).for_each(|_| thread());
        let after = common::address_space_bytes();
        assert!(after < before + 50 * (64 << 10), "{before} -> {after}");
        run();
    });
}

#[test]
fn a_large_enough_signal_stack_is_left_alone() {
    in_own_process("a_large_enough_signal_stack_is_left_alone", || {
        let own = HostStack::new(256 << 10).unwrap();
        let description = libc::stack_t {
            ss_sp: own.range().start as *mut c_void,
            ss_flags: 0,
            ss_size: own.range().len(),
        };
        // SAFETY: the stack outlives its use: the process ends first.
        assert_eq!(unsafe { libc::sigaltstack(&raw const description, ptr::null_mut()) }, 0);
        prepare_thread().unwrap();
        assert_eq!(current_signal_stack(), own.range());
    });
}

static SERVED: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// Loads from the page until the word is 3.
#[unsafe(naked)]
extern "C" fn poll_until_served(_page: usize, _word: *const AtomicU32) -> usize {
    naked_asm!("2:", "mov al, [rdi]", "cmp dword ptr [rsi], 3", "jne 2b", "mov rax, rdi", "ret")
}

/// Called as if by the load; keeps all registers that `poll_until_served` uses.
#[unsafe(naked)]
extern "C" fn poll_stub() {
    naked_asm!(
        "push rax",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {serve}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "pop rax",
        "ret",
        serve = sym serve,
    )
}

extern "C" fn serve() {
    PAGE.get().unwrap().disarm().unwrap();
    SERVED.fetch_add(1, SeqCst);
}

#[test]
fn another_thread_gets_attention_by_arming_the_poll_page() {
    in_own_process("another_thread_gets_attention_by_arming_the_poll_page", || {
        let page = PAGE.get_or_init(|| PollRegion::new().unwrap());
        install(|context| {
            let polled = PAGE.get().is_some_and(|page| page.contains(context.address()));
            if polled {
                context.inject_call(poll_stub as *const () as usize);
            }
            polled
        })
        .unwrap();
        let requester = std::thread::spawn(|| {
            let mut requests = 0;
            while !DONE.load(SeqCst) {
                // The next request comes after the last one was served.
                if SERVED.load(SeqCst) == requests {
                    requests += 1;
                    PAGE.get().unwrap().arm().unwrap();
                }
                std::thread::yield_now();
            }
        });
        let address = page.base().addr().get() + 12345;
        assert_eq!(poll_until_served(address, &raw const SERVED), address);
        DONE.store(true, SeqCst);
        requester.join().unwrap();
        page.arm().unwrap();
    });
}
