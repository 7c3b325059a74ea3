//! The machine under the tests: executable memory, entry by our call convention, faults.
//!
//! # Safety
//! Code made by the compiler under test is run. Memory that it reaches is owned by
//! [`super::instance::Instance`]; faults at instructions of the trap tables unwind to [`enter`].
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Once;
use wasmoor_abi::call::{CallShape, ParamPlace, ResultPlace};
use wasmoor_abi::tables::TrapEntry;
use wasmoor_abi::trap::FaultKind;

/// What the entry stub loads before the call and stores after it. The stub knows the offsets.
#[repr(C, align(16))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers {
    fprs_in: [u128; 8],  // 0
    fprs_out: [u128; 8], // 128
    gprs_in: [u64; 6],   // 256
    gprs_out: [u64; 8],  // 304
    stack: u64,          // 368
    stack_words: u64,    // 376
    saved_sp: u64,       // 384
}

std::arch::global_asm!(
    ".global wasmoor_test_enter",
    "wasmoor_test_enter:", // rdi: Registers, rsi: code
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdi",
    "mov [rdi + 384], rsp",
    "mov rax, rsi",
    "mov r11, rdi",
    "mov rcx, [r11 + 376]",
    "mov rdx, [r11 + 368]",
    "2:",
    "test rcx, rcx",
    "jz 3f",
    "dec rcx",
    "push qword ptr [rdx + 8 * rcx]",
    "jmp 2b",
    "3:",
    "movdqu xmm0, [r11]",
    "movdqu xmm1, [r11 + 16]",
    "movdqu xmm2, [r11 + 32]",
    "movdqu xmm3, [r11 + 48]",
    "movdqu xmm4, [r11 + 64]",
    "movdqu xmm5, [r11 + 80]",
    "movdqu xmm6, [r11 + 96]",
    "movdqu xmm7, [r11 + 112]",
    "mov rdi, [r11 + 256]",
    "mov rsi, [r11 + 264]",
    "mov rdx, [r11 + 272]",
    "mov rcx, [r11 + 280]",
    "mov r8, [r11 + 288]",
    "mov r9, [r11 + 296]",
    "call rax",
    "mov r11, [rsp]",
    "mov [r11 + 304], rax",
    "mov [r11 + 312], rcx",
    "mov [r11 + 320], rdx",
    "mov [r11 + 328], rsi",
    "mov [r11 + 336], rdi",
    "mov [r11 + 344], r8",
    "mov [r11 + 352], r9",
    "mov [r11 + 360], r10",
    "movdqu [r11 + 128], xmm0",
    "movdqu [r11 + 144], xmm1",
    "movdqu [r11 + 160], xmm2",
    "movdqu [r11 + 176], xmm3",
    "movdqu [r11 + 192], xmm4",
    "movdqu [r11 + 208], xmm5",
    "movdqu [r11 + 224], xmm6",
    "movdqu [r11 + 240], xmm7",
    "xor eax, eax",
    "4:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".global wasmoor_test_trapped",
    "wasmoor_test_trapped:", // rsp: as it was saved
    "mov eax, 1",
    "jmp 4b",
    ".global wasmoor_test_nothing",
    "wasmoor_test_nothing:", // a function without results that does nothing
    "ret",
);

unsafe extern "C" {
    fn wasmoor_test_enter(registers: *mut Registers, code: *const u8) -> u32;
    fn wasmoor_test_trapped();
    fn wasmoor_test_nothing();
}

/// Code that returns at once.
pub(crate) fn nothing() -> u64 {
    wasmoor_test_nothing as *const () as u64
}

/// Calls machine code with arguments where `shape` says, and collects its results likewise.
///
/// # Safety
/// `code` is a function of that shape, `vmctx` what it expects.
pub(crate) unsafe fn enter(
    code: *const u8,
    vmctx: *const u8,
    shape: &CallShape,
    args: &[u128],
) -> Result<Vec<u128>, FaultKind> {
    let mut registers = Registers::default();
    let mut area = vec![0u128; shape.area_bytes as usize / 16];
    let mut stack = vec![0u128; shape.stack_bytes as usize / 16];
    registers.gprs_in[0] = vmctx as u64;
    if shape.area_bytes > 0 {
        registers.gprs_in[1] = area.as_mut_ptr() as u64;
    }
    for (&arg, place) in args.iter().zip(&shape.params) {
        match *place {
            ParamPlace::Gpr(n) => registers.gprs_in[n as usize] = arg as u64,
            ParamPlace::Fpr(n) => registers.fprs_in[n as usize] = arg,
            ParamPlace::Stack(at) => {
                let (word, shift) = (at as usize / 16, at % 16 * 8);
                stack[word] |= arg << shift;
            }
        }
    }
    registers.stack = stack.as_ptr() as u64;
    registers.stack_words = stack.len() as u64 * 2;
    install_handler();
    let outer = ENTERED.replace(&raw mut registers);
    // SAFETY: by the caller's promise; the registers and buffers outlive the call.
    let trapped = unsafe { wasmoor_test_enter(&raw mut registers, code) };
    ENTERED.set(outer);
    if trapped != 0 {
        return Err(FAULT.take().expect("the handler noted the fault"));
    }
    let result = |place: &ResultPlace| match *place {
        ResultPlace::Gpr(n) => u128::from(registers.gprs_out[n as usize]),
        ResultPlace::Fpr(n) => registers.fprs_out[n as usize],
        ResultPlace::Area(at) => area[at as usize / 16],
    };
    Ok(shape.results.iter().map(result).collect())
}

/// Leaves the innermost [`enter`] with a trap: what libcalls do that trap.
pub(crate) fn raise(code: wasmoor_abi::TrapCode) -> ! {
    FAULT.set(Some(FaultKind::Trap(code)));
    // SAFETY: libcalls run under `enter` of this thread; its frame is intact, and the frames
    // between own nothing that needs dropping.
    unsafe {
        let saved_sp = (*ENTERED.get()).saved_sp;
        std::arch::asm!(
            "mov rsp, {sp}",
            "jmp {exit}",
            sp = in(reg) saved_sp,
            exit = sym wasmoor_test_trapped,
            options(noreturn)
        )
    }
}

/// A piece of code with its trap table.
#[derive(Clone)]
pub(crate) struct CodeRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) traps: Vec<TrapEntry>,
}

thread_local! {
    static ENTERED: Cell<*mut Registers> = const { Cell::new(ptr::null_mut()) };
    static FAULT: Cell<Option<FaultKind>> = const { Cell::new(None) };
    static CODE: RefCell<Vec<CodeRange>> = const { RefCell::new(Vec::new()) };
}

/// Makes the handler know code that this thread will run, in place of what was there before.
pub(crate) fn register_code(range: CodeRange) {
    CODE.with_borrow_mut(|code| {
        code.retain(|old| old.end <= range.start || range.end <= old.start);
        code.push(range);
    });
}

fn install_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
            }
        }
    });
}

/// Leaves [`enter`] if the fault is one that the trap tables know, else ends the process.
extern "C" fn handle(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a ucontext.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let pc = registers[libc::REG_RIP as usize].cast_unsigned();
    let found = CODE.with_borrow(|code| {
        let range = code.iter().find(|range| (range.start..range.end).contains(&pc))?;
        let offset = u32::try_from(pc - range.start).ok()?;
        range.traps.iter().find(|trap| trap.code_offset == offset).map(|trap| trap.kind)
    });
    if let (Some(kind), false) = (found, ENTERED.get().is_null()) {
        FAULT.set(Some(kind));
        // SAFETY: non-null means that `enter` waits with its registers alive.
        let saved_sp = unsafe { (*ENTERED.get()).saved_sp };
        registers[libc::REG_RSP as usize] = saved_sp.cast_signed();
        registers[libc::REG_RIP as usize] = wasmoor_test_trapped as *const () as i64;
        return;
    }
    eprintln!("signal {signal} at {pc:#x}, which no trap table knows");
    std::process::abort();
}

/// Memory from the kernel, given back when dropped.
pub(crate) struct Mapping {
    start: *mut u8,
    /// Bytes before `base`.
    front: usize,
    len: usize,
}

impl Mapping {
    /// Reserves inaccessible memory.
    pub(crate) fn reserve(len: usize) -> Self {
        Self::reserve_behind(0, len)
    }

    /// Reserves inaccessible memory behind other such memory.
    pub(crate) fn reserve_behind(front: usize, len: usize) -> Self {
        let len = front + len;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED, "cannot reserve {len} bytes");
        Mapping { start: base.cast(), front, len }
    }

    /// Changes the protection of the first bytes.
    pub(crate) fn protect(&self, len: usize, protection: i32) {
        assert!(self.front + len <= self.len);
        // SAFETY: the range is ours.
        assert_eq!(unsafe { libc::mprotect(self.base().cast(), len, protection) }, 0);
    }

    pub(crate) fn base(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.start.add(self.front) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody uses it any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}
