//! Functions of both sides.
//!
//! # Safety
//! Calls enter wasm through a raw pointer to the store. Host functions read and write the
//! registers of their call in the order that their type gives.

#![allow(unsafe_code)]

use crate::entities::checked;
use crate::func_types::{Arguments, FromArguments, Returns, WasmParams, WasmResults, WasmTy};
use crate::handle::{check, expect};
use crate::store::{AsContext, AsContextMut, Caller};
use crate::typed::TypedFunc;
use crate::types::RegisteredType;
use crate::val::Val;
use crate::{Error, FuncType, Result, ValType};
use std::sync::Arc;
use wasmoor_abi::call::{CallShape, ParamPlace, ResultPlace};
use wasmoor_runtime::arch::CONVENTION;
use wasmoor_runtime::context::{CallFrame, HostContext, Registers};
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{self as runtime, FuncPtr, HostFuncDefinition, InstanceId, StoreInner};

/// A function of a store: exported by an instance, or made by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    pub(crate) store: StoreId,
    pub(crate) ptr: FuncPtr,
    /// The instance that it goes with; those of the host stay as long as their store.
    pub(crate) instance: Option<InstanceId>,
}

// SAFETY: the pointer is only followed with the store at hand, and while its instance lives.
unsafe impl Send for Func {}
// SAFETY: as above.
unsafe impl Sync for Func {}

impl Func {
    /// A host function from a closure over native types: see [`IntoFunc`].
    pub fn wrap<T: 'static, P, R>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, P, R>,
    ) -> Func {
        let definition = Arc::new(func.into_definition());
        // Types of Rust mention no defined types.
        Self::of_known_type(store.as_context_mut().inner(), &definition)
    }

    /// A host function of a type known at run time.
    ///
    /// # Panics
    /// When the type mentions types that the store's engine does not know; [`RegisteredType::func`]
    /// finds that out.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        let definition = Arc::new(untyped_definition(ty, func));
        Self::of_known_type(store.as_context_mut().inner(), &definition)
    }

    #[allow(clippy::panic, reason = "the embedder's mistake, documented where it is made")]
    #[track_caller]
    fn of_known_type(store: &mut StoreInner, definition: &Arc<HostFuncDefinition>) -> Func {
        match store.engine().types().register_func(definition.ty()) {
            Ok(ty) => Self::from_definition(store, definition, ty),
            Err(unknown) => panic!("a host function's type: {unknown}"),
        }
    }

    pub(crate) fn from_definition(
        store: &mut StoreInner,
        definition: &Arc<HostFuncDefinition>,
        ty: runtime::RegisteredType,
    ) -> Func {
        Func { store: store.id(), ptr: store.create_host_func(definition, ty), instance: None }
    }

    /// The host function of a definition that a linker has, the same for most instances.
    pub(crate) fn from_linked(
        store: &mut StoreInner,
        definition: &Arc<HostFuncDefinition>,
        ty: runtime::RegisteredType,
    ) -> Func {
        Func { store: store.id(), ptr: store.share_host_func(definition, ty), instance: None }
    }

    /// The handle of a function of this store, which is not gone.
    pub(crate) fn new_in(store: &StoreInner, ptr: FuncPtr) -> Func {
        Func { store: store.id(), ptr, instance: store.func_instance(ptr) }
    }

    /// The type. Defined types that it mentions are the engine's; the store keeps them.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        let store = store.as_context();
        expect(self, store.inner());
        store.inner().func_type(self.ptr)
    }

    /// The function's place among the engine's types.
    #[allow(clippy::expect_used, reason = "a store keeps the types of its functions")]
    pub fn registered_type(&self, store: impl AsContext) -> RegisteredType {
        let store = store.as_context();
        expect(self, store.inner());
        let ty = store.inner().registered_func_type(self.ptr);
        RegisteredType { inner: ty.expect("a store keeps its functions' types") }
    }

    /// The function with its Rust type.
    ///
    /// # Errors
    /// When its type is another: its parameters must take the Rust parameters, and the Rust
    /// results its results. When its instance was freed.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>> {
        let context = store.as_context();
        check(self, context.inner())?;
        let ty = self.ty(&store);
        let types = context.inner().engine().types();
        let all_match = |given: &[ValType], wanted: &[ValType]| {
            given.len() == wanted.len()
                && given.iter().zip(wanted).all(|(&given, &wanted)| types.matches(given, wanted))
        };
        if all_match(P::TYPES, &ty.params) && all_match(&ty.results, R::TYPES) {
            return Ok(TypedFunc::new_unchecked(*self));
        }
        let wanted = FuncType::new(P::TYPES.iter().copied(), R::TYPES.iter().copied());
        Err(Error::usage(format!("the function has type {ty}, not {wanted}")))
    }

    /// Calls the function with values whose types are checked.
    ///
    /// # Errors
    /// Arguments that do not fit, a trap, or an error of a host function. When its instance was freed.
    ///
    /// # Panics
    /// With another store than the function's, and when a host function panics.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        check(self, store.inner())?;
        let ty = store.inner().func_type(self.ptr);
        if params.len() != ty.params.len() || results.len() != ty.results.len() {
            return Err(Error::usage(format!(
                "the function has type {ty}; {} arguments and room for {} results were given",
                params.len(),
                results.len()
            )));
        }
        let shape = CallShape::new(&CONVENTION, &ty);
        let mut call = UntypedCall::new(&shape);
        for ((param, &param_ty), place) in params.iter().zip(&ty.params).zip(&shape.params) {
            let value = checked(store.inner(), *param, param_ty)?;
            call.put(*place, value.to_bits(), param_ty);
        }
        let inner = store.inner_ptr();
        // SAFETY: the function belongs to the store, and the call has the shape of its type.
        unsafe { runtime::invoke(inner, self.ptr, &mut call.frame) }?;
        for ((result, &result_ty), place) in results.iter_mut().zip(&ty.results).zip(&shape.results)
        {
            // SAFETY: the call has returned.
            let bits = unsafe { call.take(*place) };
            let value = runtime::Val::from_bits(bits, result_ty);
            *result = Val::lend(store.inner(), value);
        }
        Ok(())
    }
}

/// A call whose shape is known at run time.
struct UntypedCall {
    frame: CallFrame,
    stack: Box<[u64]>,
    area: Box<[u128]>,
}

impl UntypedCall {
    fn new(shape: &CallShape) -> Self {
        let mut call = UntypedCall {
            frame: CallFrame::new(),
            stack: vec![0; shape.stack_bytes as usize / 8].into(),
            area: vec![0; shape.area_bytes as usize / 16].into(),
        };
        call.frame.stack = call.stack.as_ptr();
        call.frame.stack_words = call.stack.len();
        if !call.area.is_empty() {
            call.frame.gpr[1].write(call.area.as_mut_ptr() as usize as u64);
        }
        call
    }

    fn put(&mut self, place: ParamPlace, bits: u128, ty: ValType) {
        match place {
            ParamPlace::Gpr(at) => {
                self.frame.gpr[at as usize].write(bits as u64);
            }
            ParamPlace::Fpr(at) => {
                self.frame.fpr[at as usize].write(bits);
            }
            ParamPlace::Stack(at) => {
                let at = at as usize / 8;
                self.stack[at] = bits as u64;
                if ty.bytes() == 16 {
                    self.stack[at + 1] = (bits >> 64) as u64;
                }
            }
        }
    }

    /// # Safety
    /// The call has returned.
    unsafe fn take(&self, place: ResultPlace) -> u128 {
        match place {
            ResultPlace::Gpr(at) => {
                let register = self.frame.gpr[at as usize];
                // SAFETY: the entry stub has stored all result registers.
                u128::from(unsafe { register.assume_init() })
            }
            // SAFETY: as above.
            ResultPlace::Fpr(at) => unsafe { self.frame.fpr[at as usize].assume_init() },
            ResultPlace::Area(at) => self.area[at as usize / 16],
        }
    }
}

/// What a host closure may return: results, or a `Result` of them with any error that becomes an
/// [`Error`].
pub trait HostResult {
    /// The results without the error.
    type Results: WasmResults;
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Results>;
}

impl<R: WasmResults> HostResult for R {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        Ok(self)
    }
}

impl<R: WasmResults, E: Into<Error>> HostResult for Result<R, E> {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        self.map_err(Into::into)
    }
}

/// A closure that can become a host function: `Fn(A, ...) -> R` or `Fn(Caller<'_, T>, A, ...) -> R`
/// with up to 16 parameters that are [`WasmTy`], where `R` is [`HostResult`].
pub trait IntoFunc<T, P, R>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_definition(self) -> HostFuncDefinition;
}

fn typed_definition<F: Send + Sync + 'static>(
    params: &[ValType],
    results: &[ValType],
    entry: runtime::context::HostEntry,
    func: F,
) -> HostFuncDefinition {
    let ty = FuncType::new(params.iter().copied(), results.iter().copied());
    // SAFETY: `entry` comes from `into_func!` below for the same types and closure.
    unsafe { HostFuncDefinition::new(ty, entry, Box::new(func)) }
}

macro_rules! into_func {
    ($( ($($arg:ident)*) )*) => { $(
        impl<T, F, R, $($arg: WasmTy),*> IntoFunc<T, ($($arg,)*), R> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            R: HostResult,
        {
            fn into_definition(self) -> HostFuncDefinition {
                /// # Safety
                /// See [`runtime::context::HostEntry`].
                #[allow(non_snake_case)]
                unsafe extern "C" fn entry<F, R: HostResult, $($arg: WasmTy),*>(
                    context: *mut HostContext,
                    registers: *mut Registers,
                    stack: *const u64,
                ) -> u32
                where
                    F: Fn($($arg),*) -> R + 'static,
                {
                    // SAFETY: the definition below pairs this entry with these types.
                    unsafe {
                        call_typed::<F, ($($arg,)*), R>(context, registers, stack, |_, func, args| {
                            let ($($arg,)*) = args;
                            func($($arg),*)
                        })
                    }
                }
                let entry = entry::<F, R, $($arg),*>;
                typed_definition(&[$($arg::TYPE),*], R::Results::TYPES, entry, self)
            }
        }

        impl<T: 'static, F, R, $($arg: WasmTy),*> IntoFunc<T, (Caller<'_, T>, $($arg,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($arg),*) -> R + Send + Sync + 'static,
            R: HostResult,
        {
            fn into_definition(self) -> HostFuncDefinition {
                /// # Safety
                /// See [`runtime::context::HostEntry`].
                #[allow(non_snake_case)]
                unsafe extern "C" fn entry<T, F, R: HostResult, $($arg: WasmTy),*>(
                    context: *mut HostContext,
                    registers: *mut Registers,
                    stack: *const u64,
                ) -> u32
                where
                    F: Fn(Caller<'_, T>, $($arg),*) -> R + 'static,
                {
                    // SAFETY: the definition below pairs this entry with these types, and is only
                    // put into stores with data `T`.
                    unsafe {
                        call_typed::<F, ($($arg,)*), R>(context, registers, stack, |store, func, args| {
                            let ($($arg,)*) = args;
                            func(Caller::new(store), $($arg),*)
                        })
                    }
                }
                let entry = entry::<T, F, R, $($arg),*>;
                typed_definition(&[$($arg::TYPE),*], R::Results::TYPES, entry, self)
            }
        }
    )* };
}

/// Reads arguments, calls `body`, writes results.
///
/// # Safety
/// The arguments are those of a [`runtime::context::HostEntry`] whose definition has data `F` and
/// a type of parameters `P` and results of `R`.
#[inline]
unsafe fn call_typed<F: 'static, P: FromArguments, R: HostResult>(
    context: *mut HostContext,
    registers: *mut Registers,
    stack: *const u64,
    body: impl FnOnce(*mut StoreInner, &F, P) -> R,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        runtime::host_call::<F>(context, registers, |store, func, registers| {
            let area = registers.gpr[1];
            let mut args = Arguments::new::<R::Results>(registers, stack, &*store);
            let args = P::from_arguments(&mut args);
            let results = body(store, func, args).into_result()?;
            results.give(&mut Returns::new(registers, area, &*store))
        })
    }
}

into_func! {
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

/// The data of a host function of a type known at run time.
struct Untyped<F> {
    ty: FuncType,
    shape: CallShape,
    func: F,
}

/// A definition from a closure over values.
pub(crate) fn untyped_definition<T: 'static, F>(ty: FuncType, func: F) -> HostFuncDefinition
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    let shape = CallShape::new(&CONVENTION, &ty);
    let data = Untyped { ty: ty.clone(), shape, func };
    // SAFETY: `untyped_entry` reads and writes as the shape of the type says.
    unsafe { HostFuncDefinition::new(ty, untyped_entry::<T, F>, Box::new(data)) }
}

/// # Safety
/// See [`runtime::context::HostEntry`].
unsafe extern "C" fn untyped_entry<T: 'static, F>(
    context: *mut HostContext,
    registers: *mut Registers,
    stack: *const u64,
) -> u32
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + 'static,
{
    // SAFETY: the definition pairs this entry with `Untyped<F>`.
    unsafe {
        runtime::host_call::<Untyped<F>>(context, registers, |store, data, registers| {
            let area = registers.gpr[1] as usize as *mut u128;
            let params = read_params(&data.ty, &data.shape, registers, stack, &*store);
            let mut results: Vec<Val> =
                data.ty.results.iter().map(|&ty| Val::default_for(ty)).collect();
            (data.func)(Caller::new(store), &params, &mut results)?;
            write_results(&data.ty, &data.shape, registers, area, &*store, &results)
        })
    }
}

/// # Safety
/// `registers` and `stack` hold a call of this type and shape.
unsafe fn read_params(
    ty: &FuncType,
    shape: &CallShape,
    registers: &Registers,
    stack: *const u64,
    store: &StoreInner,
) -> Vec<Val> {
    let read = |(&ty, place): (&ValType, &ParamPlace)| {
        let bits = match *place {
            ParamPlace::Gpr(at) => u128::from(registers.gpr[at as usize]),
            ParamPlace::Fpr(at) => registers.fpr[at as usize],
            // SAFETY: the caller's promise.
            ParamPlace::Stack(at) => unsafe {
                let at = stack.byte_add(at as usize);
                if ty.bytes() == 16 { at.cast::<u128>().read_unaligned() } else { u128::from(*at) }
            },
        };
        Val::lend(store, runtime::Val::from_bits(bits, ty))
    };
    ty.params.iter().zip(&shape.params).map(read).collect()
}

/// # Safety
/// `registers` are those of a call of this type and shape, whose return area is at `area`.
unsafe fn write_results(
    ty: &FuncType,
    shape: &CallShape,
    registers: &mut Registers,
    area: *mut u128,
    store: &StoreInner,
    results: &[Val],
) -> Result<()> {
    for ((value, &ty), place) in results.iter().zip(&ty.results).zip(&shape.results) {
        let bits = checked(store, *value, ty)?.to_bits();
        match *place {
            ResultPlace::Gpr(at) => registers.gpr[at as usize] = bits as u64,
            ResultPlace::Fpr(at) => registers.fpr[at as usize] = bits,
            // SAFETY: the caller's promise.
            ResultPlace::Area(at) => unsafe { area.byte_add(at as usize).write_unaligned(bits) },
        }
    }
    Ok(())
}
