//! Rust types of WebAssembly values, parameter lists and result lists.
//!
//! Where a value travels follows from the list's types alone (`wasmoor_abi::call`), so all of
//! this is computed by the compiler: a typed call is a few stores, the entry stub, a few loads.
//!
//! # Safety
//! [`Arguments`] and [`Returns`] walk registers and stack of one call in the order in which
//! `CallShape` places the same types.

#![allow(unsafe_code)]

use crate::exception::{ExnRef, check_alive};
use crate::func::Func;
use crate::val::ExternRef;
use crate::{Result, Val, ValType};
use std::mem::MaybeUninit;
use wasmoor_abi::call::{AREA_CELL_BYTES, Convention};
use wasmoor_runtime::arch::CONVENTION;
use wasmoor_runtime::context::{CallFrame, Registers};
use wasmoor_runtime::{self as runtime, StoreInner};

/// A 128-bit vector, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V128(pub u128);

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is the type of a WebAssembly value.
pub trait WasmTy: sealed::Sealed + Copy {
    /// The WebAssembly type.
    const TYPE: ValType;
    #[doc(hidden)]
    fn to_bits(self, store: &StoreInner) -> Result<u128>;
    #[doc(hidden)]
    fn from_bits(bits: u128, store: &StoreInner) -> Self;
}

macro_rules! numbers {
    ($($rust:ty, $ty:ident, |$value:ident| $to:expr, |$bits:ident| $from:expr;)*) => { $(
        impl sealed::Sealed for $rust {}
        impl WasmTy for $rust {
            const TYPE: ValType = ValType::$ty;

            #[inline]
            fn to_bits(self, _store: &StoreInner) -> Result<u128> {
                let $value = self;
                Ok($to)
            }

            #[inline]
            fn from_bits($bits: u128, _store: &StoreInner) -> Self {
                $from
            }
        }
    )* };
}

numbers! {
    i32, I32, |value| u128::from(value.cast_unsigned()), |bits| (bits as u32).cast_signed();
    u32, I32, |value| u128::from(value), |bits| bits as u32;
    i64, I64, |value| u128::from(value.cast_unsigned()), |bits| (bits as u64).cast_signed();
    u64, I64, |value| u128::from(value), |bits| bits as u64;
    f32, F32, |value| u128::from(value.to_bits()), |bits| f32::from_bits(bits as u32);
    f64, F64, |value| u128::from(value.to_bits()), |bits| f64::from_bits(bits as u64);
    V128, V128, |value| value.0, |bits| V128(bits);
}

macro_rules! references {
    ($($rust:ty, $ty:ident, $variant:ident, $val:ident;)*) => { $(
        impl sealed::Sealed for Option<$rust> {}
        impl WasmTy for Option<$rust> {
            const TYPE: ValType = ValType::$ty;

            fn to_bits(self, store: &StoreInner) -> Result<u128> {
                Ok(Val::$val(self).to_runtime(store)?.to_bits())
            }

            fn from_bits(bits: u128, store: &StoreInner) -> Self {
                let value = runtime::Val::from_bits(bits, ValType::$ty);
                match Val::from_runtime(value, store) {
                    Val::$val(reference) => reference,
                    _ => None,
                }
            }
        }
    )* };
}

references! {
    Func, FUNCREF, Func, FuncRef;
    ExternRef, EXTERNREF, Extern, ExternRef;
}

impl sealed::Sealed for Option<ExnRef> {}

/// An exception that the host is given this way is kept as one that it gets as a [`Val`].
impl WasmTy for Option<ExnRef> {
    const TYPE: ValType = ValType::EXNREF;

    fn to_bits(self, store: &StoreInner) -> Result<u128> {
        let value = Val::ExnRef(self);
        let bits = value.to_runtime(store)?.to_bits();
        check_alive(store, value, Self::TYPE)?;
        Ok(bits)
    }

    fn from_bits(bits: u128, store: &StoreInner) -> Self {
        match Val::lend(store, runtime::Val::from_bits(bits, Self::TYPE)) {
            Val::ExnRef(exception) => exception,
            _ => None,
        }
    }
}

/// The next free places of one direction of a call.
#[derive(Clone, Copy)]
struct Places {
    gpr: usize,
    fpr: usize,
    /// Bytes on the stack, or in the return area.
    memory: usize,
}

/// Where the next value goes.
enum NextPlace {
    Gpr(usize),
    Fpr(usize),
    Memory(usize),
}

impl Places {
    #[inline]
    fn param(&mut self, convention: &Convention, ty: ValType) -> NextPlace {
        if ty.is_float_or_vector() {
            if self.fpr < convention.fpr_params as usize {
                self.fpr += 1;
                return NextPlace::Fpr(self.fpr - 1);
            }
        } else if self.gpr < convention.gpr_params as usize {
            self.gpr += 1;
            return NextPlace::Gpr(self.gpr - 1);
        }
        let size = (ty.bytes() as usize).max(8);
        let at = self.memory.next_multiple_of(size);
        self.memory = at + size;
        NextPlace::Memory(at)
    }

    #[inline]
    fn result(&mut self, convention: &Convention, ty: ValType) -> NextPlace {
        if ty.is_float_or_vector() {
            if self.fpr < convention.fpr_results as usize {
                self.fpr += 1;
                return NextPlace::Fpr(self.fpr - 1);
            }
        } else if self.gpr < convention.gpr_results as usize {
            self.gpr += 1;
            return NextPlace::Gpr(self.gpr - 1);
        }
        self.memory += AREA_CELL_BYTES as usize;
        NextPlace::Memory(self.memory - AREA_CELL_BYTES as usize)
    }
}

/// Whether results of these types need a return area.
const fn needs_area(types: &[ValType]) -> bool {
    let (mut gprs, mut fprs, mut at) = (0, 0, 0);
    while at < types.len() {
        if types[at].is_float_or_vector() {
            fprs += 1;
        } else {
            gprs += 1;
        }
        at += 1;
    }
    gprs > CONVENTION.gpr_results as usize || fprs > CONVENTION.fpr_results as usize
}

/// Whether neither list has floats and vectors, and there is at most one result.
pub(crate) const fn is_integers(params: &[ValType], results: &[ValType]) -> bool {
    let mut at = 0;
    while at < params.len() + results.len() {
        let ty = if at < params.len() { params[at] } else { results[at - params.len()] };
        if ty.is_float_or_vector() {
            return false;
        }
        at += 1;
    }
    results.len() <= 1
}

/// Words of stack arguments, and twice the cells of the return area, that a list of 16 values can
/// need.
const SPILL_WORDS: usize = 32;

/// A call from the host: registers, stack arguments and return area.
#[doc(hidden)]
pub struct HostCall {
    frame: CallFrame,
    /// Written where there are stack arguments, before wasm reads them.
    stack: MaybeUninit<[u64; SPILL_WORDS]>,
    /// Zeroed where there is a return area.
    area: MaybeUninit<[u128; SPILL_WORDS / 2]>,
}

impl HostCall {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        HostCall {
            frame: CallFrame::new(),
            stack: MaybeUninit::uninit(),
            area: MaybeUninit::uninit(),
        }
    }
}

/// Reads the arguments of a host function, in order.
#[doc(hidden)]
pub(crate) struct Arguments<'a> {
    registers: &'a Registers,
    stack: *const u64,
    places: Places,
    store: &'a StoreInner,
}

impl<'a> Arguments<'a> {
    /// # Safety
    /// `registers` and `stack` are those of a call whose parameters are read next, in order.
    #[inline]
    pub(crate) unsafe fn new<R: WasmResults>(
        registers: &'a Registers,
        stack: *const u64,
        store: &'a StoreInner,
    ) -> Self {
        let gpr = if needs_area(R::TYPES) { 2 } else { 1 };
        Arguments { registers, stack, places: Places { gpr, fpr: 0, memory: 0 }, store }
    }

    #[inline]
    fn next<T: WasmTy>(&mut self) -> T {
        let bits = match self.places.param(&CONVENTION, T::TYPE) {
            NextPlace::Gpr(at) => u128::from(self.registers.gpr[at]),
            NextPlace::Fpr(at) => self.registers.fpr[at],
            // SAFETY: the caller has put as many stack arguments as the type has.
            NextPlace::Memory(at) => unsafe {
                let at = self.stack.cast::<u8>().add(at);
                if T::TYPE.bytes() == 16 {
                    at.cast::<u128>().read_unaligned()
                } else {
                    u128::from(at.cast::<u64>().read())
                }
            },
        };
        T::from_bits(bits, self.store)
    }
}

/// Writes the results of a host function, in order.
#[doc(hidden)]
pub struct Returns<'a> {
    registers: &'a mut Registers,
    area: *mut u128,
    places: Places,
    store: &'a StoreInner,
}

impl<'a> Returns<'a> {
    /// # Safety
    /// `registers` are those of a call whose results are written next, in order; a return area's
    /// address is `area`.
    #[inline]
    pub(crate) unsafe fn new(
        registers: &'a mut Registers,
        area: u64,
        store: &'a StoreInner,
    ) -> Self {
        let area = area as usize as *mut u128;
        Returns { registers, area, places: Places { gpr: 0, fpr: 0, memory: 0 }, store }
    }

    #[inline]
    fn next<T: WasmTy>(&mut self, value: T) -> Result<()> {
        let bits = value.to_bits(self.store)?;
        match self.places.result(&CONVENTION, T::TYPE) {
            NextPlace::Gpr(at) => self.registers.gpr[at] = bits as u64,
            NextPlace::Fpr(at) => self.registers.fpr[at] = bits,
            // SAFETY: the caller's area has a cell for each result without a register.
            NextPlace::Memory(at) => unsafe {
                self.area.byte_add(at).write_unaligned(bits);
            },
        }
        Ok(())
    }
}

/// A list of parameters: a single value or a tuple of up to 16.
pub trait WasmParams: sealed::Sealed {
    /// The WebAssembly types.
    const TYPES: &'static [ValType];
    /// Puts the values into a new call, which is not returned by value: it is too large to be moved.
    #[doc(hidden)]
    fn store(self, call: &mut HostCall, store: &StoreInner, area: bool) -> Result<()>;
}

/// A list of results: nothing, a single value, or a tuple of up to 16.
pub trait WasmResults: sealed::Sealed + Sized {
    /// The WebAssembly types.
    const TYPES: &'static [ValType];
    #[doc(hidden)]
    const NEEDS_AREA: bool = needs_area(Self::TYPES);
    /// # Safety
    /// A call with this result list has returned, through an entry stub that serves its type.
    #[doc(hidden)]
    unsafe fn load(call: &HostCall, store: &StoreInner) -> Self;
    #[doc(hidden)]
    fn give(self, returns: &mut Returns<'_>) -> Result<()>;
}

impl HostCall {
    /// The frame to enter wasm with; stack arguments and area are at their final places now.
    #[inline]
    pub(crate) fn frame<P: WasmParams, R: WasmResults>(&mut self) -> &mut CallFrame {
        if R::NEEDS_AREA {
            // Code writes as many bytes of a cell as its value has.
            self.area = MaybeUninit::zeroed();
            self.frame.gpr[1].write(self.area.as_mut_ptr() as usize as u64);
        }
        let words = const { stack_words(P::TYPES, R::NEEDS_AREA) };
        if words > 0 {
            self.frame.stack = self.stack.as_ptr().cast();
            self.frame.stack_words = words;
        }
        &mut self.frame
    }

    #[inline]
    fn put<T: WasmTy>(&mut self, places: &mut Places, value: T, store: &StoreInner) -> Result<()> {
        let bits = value.to_bits(store)?;
        match places.param(&CONVENTION, T::TYPE) {
            NextPlace::Gpr(at) => {
                self.frame.gpr[at].write(bits as u64);
            }
            NextPlace::Fpr(at) => {
                self.frame.fpr[at].write(bits);
            }
            NextPlace::Memory(at) => {
                let words = self.stack.as_mut_ptr().cast::<u64>();
                // SAFETY: a list of 16 values needs at most `SPILL_WORDS`.
                unsafe {
                    words.byte_add(at).write(bits as u64);
                    if T::TYPE.bytes() == 16 {
                        words.byte_add(at + 8).write((bits >> 64) as u64);
                    }
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// The call has returned, through an entry stub that serves its type.
    #[inline]
    unsafe fn take<T: WasmTy>(&self, places: &mut Places, store: &StoreInner) -> T {
        let bits = match places.result(&CONVENTION, T::TYPE) {
            // SAFETY: the caller's promise: the stub for this list has stored its results.
            NextPlace::Gpr(at) => u128::from(unsafe { self.frame.gpr[at].assume_init() }),
            // SAFETY: as above.
            NextPlace::Fpr(at) => unsafe { self.frame.fpr[at].assume_init() },
            // SAFETY: the area was zeroed by `frame`, and wasm has written the results to it.
            NextPlace::Memory(at) => unsafe {
                let cell = self.area.as_ptr().byte_add(at);
                if T::TYPE.bytes() == 16 {
                    cell.cast::<u128>().read()
                } else {
                    u128::from(cell.cast::<u64>().read())
                }
            },
        };
        T::from_bits(bits, store)
    }
}

/// 8-byte words of stack arguments, a multiple of two.
const fn stack_words(types: &[ValType], area: bool) -> usize {
    let (mut gprs, mut fprs, mut bytes, mut at) = (if area { 2 } else { 1 }, 0, 0usize, 0);
    while at < types.len() {
        let float = types[at].is_float_or_vector();
        if float && fprs < CONVENTION.fpr_params {
            fprs += 1;
        } else if !float && gprs < CONVENTION.gpr_params {
            gprs += 1;
        } else {
            let size = if types[at].bytes() == 16 { 16 } else { 8 };
            bytes = bytes.next_multiple_of(size) + size;
        }
        at += 1;
    }
    bytes.next_multiple_of(16) / 8
}

macro_rules! lists {
    ($( ($($name:ident)*) )*) => { $(
        impl<$($name: WasmTy),*> sealed::Sealed for ($($name,)*) {}

        #[allow(non_snake_case, unused_variables, unused_mut, clippy::unused_unit)]
        impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TYPE),*];

            #[inline]
            fn store(self, call: &mut HostCall, store: &StoreInner, area: bool) -> Result<()> {
                let ($($name,)*) = self;
                let mut places = Places { gpr: if area { 2 } else { 1 }, fpr: 0, memory: 0 };
                $( call.put(&mut places, $name, store)?; )*
                Ok(())
            }
        }

        #[allow(
            non_snake_case,
            unused_variables,
            unused_mut,
            unused_unsafe,
            clippy::unused_unit,
            reason = "lists of no values"
        )]
        impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TYPE),*];

            #[inline]
            unsafe fn load(call: &HostCall, store: &StoreInner) -> Self {
                let mut places = Places { gpr: 0, fpr: 0, memory: 0 };
                // SAFETY: the caller's promise.
                unsafe { ($( call.take::<$name>(&mut places, store), )*) }
            }

            #[inline]
            fn give(self, returns: &mut Returns<'_>) -> Result<()> {
                let ($($name,)*) = self;
                $( returns.next($name)?; )*
                Ok(())
            }
        }

        impl<$($name: WasmTy),*> FromArguments for ($($name,)*) {
            #[inline]
            #[allow(unused_variables, clippy::unused_unit)]
            fn from_arguments(arguments: &mut Arguments<'_>) -> Self {
                ($( arguments.next::<$name>(), )*)
            }
        }
    )* };
}

/// A tuple read from a host function's arguments.
#[doc(hidden)]
pub(crate) trait FromArguments {
    fn from_arguments(arguments: &mut Arguments<'_>) -> Self;
}

lists! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
    (A1 A2 A3 A4)
    (A1 A2 A3 A4 A5)
    (A1 A2 A3 A4 A5 A6)
    (A1 A2 A3 A4 A5 A6 A7)
    (A1 A2 A3 A4 A5 A6 A7 A8)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16)
}

impl<T: WasmTy> WasmParams for T {
    const TYPES: &'static [ValType] = &[T::TYPE];

    #[inline]
    fn store(self, call: &mut HostCall, store: &StoreInner, area: bool) -> Result<()> {
        (self,).store(call, store, area)
    }
}

impl<T: WasmTy> WasmResults for T {
    const TYPES: &'static [ValType] = &[T::TYPE];

    #[inline]
    unsafe fn load(call: &HostCall, store: &StoreInner) -> Self {
        // SAFETY: the caller's promise.
        unsafe { <(T,)>::load(call, store).0 }
    }

    #[inline]
    fn give(self, returns: &mut Returns<'_>) -> Result<()> {
        returns.next(self)
    }
}
