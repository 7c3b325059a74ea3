//! wasmi, an interpreter that shares no code with Wasmoor but the decoder's ancestors.

use super::host::{Host, import_id};
use super::{ELEMENTS_MAX, Fact, Oracle, Outcome, State, Trap, hash_bytes, hash_values};
use crate::rewrite::{self, Parts};
use crate::value::{Type, Value};
use wasm_encoder::{HeapType, Instruction, RefType, TableType};
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    AsContextMut, Caller, Config, Engine, Error, Extern, ExternRef, ExternType, Func, FuncType,
    Global, Instance, Linker, Memory, Module, Nullable, Ref, Store, Table, TrapCode, Val, ValType,
};
use wasmparser::Operator;

/// Units of wasmi's fuel for one instance: some tenths of a second.
const FUEL: u64 = 30_000_000;

/// The oracle.
pub struct Wasmi {
    engine: Engine,
    module: Option<Module>,
    instance: Option<(Store<Host>, Instance)>,
}

impl Default for Wasmi {
    fn default() -> Self {
        let mut config = Config::default();
        config.consume_fuel(true).set_max_recursion_depth(10_000).set_max_stack_height(64 << 20);
        Wasmi { engine: Engine::new(&config), module: None, instance: None }
    }
}

impl Wasmi {
    /// The contents of an exported memory.
    #[must_use]
    pub fn memory(&self, name: &str) -> Option<&[u8]> {
        let (store, instance) = self.instance.as_ref()?;
        Some(instance.get_memory(store, name)?.data(store))
    }

    fn link(&self, module: &Module) -> Result<(Store<Host>, Instance), Error> {
        let mut store = Store::new(&self.engine, Host::default());
        store.set_fuel(FUEL)?;
        let mut linker = Linker::new(&self.engine);
        for import in module.imports() {
            let external =
                provide(&mut store, import_id(import.module(), import.name()), import.ty())?;
            linker.define(import.module(), import.name(), external)?;
        }
        let instance = linker.instantiate_and_start(&mut store, module)?;
        Ok((store, instance))
    }
}

impl Oracle for Wasmi {
    fn load(&mut self, wasm: &[u8]) -> Result<(), String> {
        self.instance = None;
        self.module = None;
        let wasm = without_typed_references(wasm).map_err(|error| error.to_string())?;
        let wasm = without_known_errors(&wasm).map_err(|error| error.to_string())?;
        self.module = Some(Module::new(&self.engine, wasm).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn instantiate(&mut self) -> Outcome {
        self.instance = None;
        let Some(module) = &self.module else { return Outcome::Refused("no module".into()) };
        match self.link(module) {
            Ok(instance) => {
                self.instance = Some(instance);
                Outcome::Returned(Vec::new())
            }
            Err(error) => failure(&error),
        }
    }

    fn call(&mut self, function: &str, args: &[Value]) -> Outcome {
        let Some((store, instance)) = &mut self.instance else {
            return Outcome::Refused("no instance".into());
        };
        let Some(func) = instance.get_func(&*store, function) else {
            return Outcome::Refused("no such function".into());
        };
        let args: Vec<Val> = args.iter().map(|&value| to_val(&mut *store, value)).collect();
        let ty = func.ty(&*store);
        let mut results: Vec<Val> =
            ty.results().iter().map(|&ty| Val::default_for_ty(ty)).collect();
        match func.call(&mut *store, &args, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(|val| from_val(&*store, val)).collect()),
            Err(error) => failure(&error),
        }
    }

    fn state(&mut self) -> State {
        let Some((store, instance)) = &self.instance else { return State::default() };
        let mut facts = vec![store.data().fact()];
        for export in instance.exports(store) {
            let name = export.name().to_owned();
            facts.push(match export.into_extern() {
                Extern::Global(global) => (name, Fact::Global(from_val(store, &global.get(store)))),
                Extern::Memory(memory) => {
                    let hash = hash_bytes(memory.data(store));
                    (name, Fact::Contents { size: memory.size(store), hash })
                }
                Extern::Table(table) => {
                    let size = table.size(store);
                    let elements: Vec<Value> = (0..size.min(ELEMENTS_MAX))
                        .filter_map(|index| table.get(store, index))
                        .map(|element| from_val(store, &to_plain(element)))
                        .collect();
                    (name, Fact::Contents { size, hash: hash_values(&elements) })
                }
                Extern::Func(_) => continue,
            });
        }
        State::new(facts, None)
    }
}

/// The module in a form that keeps clear of errors in wasmi 2.0.0, with the same meaning.
///
/// * It drops an `i32.eqz` of a local in front of a `select`, but then takes the accumulator for the
///   condition, which holds something older. Conditions are or-ed with zero first.
/// * Its stack pointer is lost after some tail calls of host functions; the process may die. They
///   become plain calls, and so do indirect ones that may reach host functions.
fn without_known_errors(wasm: &[u8]) -> Result<Vec<u8>, rewrite::Error> {
    use Instruction as I;
    let mut parts = Parts::read(wasm)?;
    let hosts = parts.functions_imported;
    for body in &mut parts.bodies {
        body.rewrite(|_, instruction, code| match instruction {
            I::Select | I::TypedSelect(_) => {
                code.extend([I::I32Const(0), I::I32Or, instruction]);
            }
            I::ReturnCall(callee) if callee < hosts => code.extend([I::Call(callee), I::Return]),
            I::ReturnCallIndirect { type_index, table_index } if hosts > 0 => {
                code.extend([I::CallIndirect { type_index, table_index }, I::Return]);
            }
            _ => code.push(instruction),
        })?;
    }
    parts.finish()
}

/// The module without operators on typed references to functions, which wasmi does not know, with
/// the same meaning: a call of a reference becomes an indirect call through a table of its own.
///
/// Only the stack may hold such references, and `ref.as_non_null` must not meet null.
fn without_typed_references(wasm: &[u8]) -> Result<Vec<u8>, rewrite::Error> {
    use Instruction as I;
    let mut parts = Parts::read(wasm)?;
    let is_typed = |operator: &Operator<'_>| {
        use Operator as O;
        matches!(
            operator,
            O::CallRef { .. }
                | O::ReturnCallRef { .. }
                | O::RefAsNonNull
                | O::BrOnNull { .. }
                | O::BrOnNonNull { .. }
        )
    };
    if !parts.bodies.iter().any(|body| body.operators.iter().any(is_typed)) {
        return Ok(wasm.to_vec());
    }
    let table_index = parts.add_table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: Some(1),
        shared: false,
    });
    for body in &mut parts.bodies {
        let held = body.add_local(wasm_encoder::ValType::FUNCREF);
        let (get, set) = (I::LocalGet(held), I::LocalSet(held));
        let through_table =
            [set.clone(), I::I32Const(0), get.clone(), I::TableSet(table_index), I::I32Const(0)];
        body.rewrite(|_, instruction, code| match instruction {
            I::CallRef(type_index) => {
                code.extend(through_table.clone());
                code.push(I::CallIndirect { type_index, table_index });
            }
            I::ReturnCallRef(type_index) => {
                code.extend(through_table.clone());
                code.push(I::ReturnCallIndirect { type_index, table_index });
            }
            I::RefAsNonNull => {}
            I::BrOnNull(label) => {
                code.extend([set.clone(), get.clone(), I::RefIsNull, I::BrIf(label), get.clone()]);
            }
            I::BrOnNonNull(label) => {
                let is_some = [I::RefIsNull, I::I32Eqz, I::BrIf(label), I::Drop];
                code.extend([set.clone(), get.clone(), get.clone()]);
                code.extend(is_some);
            }
            I::RefNull(HeapType::Concrete(_)) => code.push(I::RefNull(HeapType::FUNC)),
            _ => code.push(instruction),
        })?;
    }
    parts.finish()
}

/// Makes what a module imports.
fn provide(store: &mut Store<Host>, import: u64, ty: &ExternType) -> Result<Extern, Error> {
    Ok(match ty {
        ExternType::Func(ty) => host_func(store, import, ty).into(),
        ExternType::Memory(ty) => Memory::new(store, *ty)?.into(),
        ExternType::Table(ty) => Table::new(store, *ty, Ref::null(ty.element()))?.into(),
        ExternType::Global(ty) => {
            let value = Host::global(import, from_type(ty.content()));
            let value = to_val(&mut *store, value);
            Global::new(store, value, ty.mutability()).into()
        }
    })
}

fn host_func(store: &mut Store<Host>, import: u64, ty: &FuncType) -> Func {
    let result_types: Vec<Type> = ty.results().iter().map(|&ty| from_type(ty)).collect();
    let body = move |mut caller: Caller<'_, Host>, args: &[Val], results: &mut [Val]| {
        let args: Vec<Value> = args.iter().map(|val| from_val(&caller, val)).collect();
        let values = caller.data_mut().call(import, &args, &result_types);
        for (result, value) in results.iter_mut().zip(values) {
            *result = to_val(&mut caller, value);
        }
        Ok(())
    };
    Func::new(store, ty.clone(), body)
}

fn from_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef => Type::FuncRef,
        ValType::ExternRef => Type::ExternRef,
    }
}

fn to_plain(element: Ref) -> Val {
    match element {
        Ref::Func(func) => Val::FuncRef(func),
        Ref::Extern(object) => Val::ExternRef(object),
    }
}

fn to_val(store: impl AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(wasmi::F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(wasmi::F64::from_bits(bits)),
        Value::V128(bits) => Val::V128(bits.into()),
        Value::FuncRef(_) => Val::FuncRef(Nullable::Null),
        Value::ExternRef(None) => Val::ExternRef(Nullable::Null),
        Value::ExternRef(Some(number)) => {
            Val::ExternRef(Nullable::Val(ExternRef::new(store, number)))
        }
    }
}

fn from_val<'a>(store: impl Into<wasmi::StoreContext<'a, Host>>, val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::FuncRef(!func.is_null()),
        Val::ExternRef(object) => Value::ExternRef(
            object.val().and_then(|object| object.data(store).downcast_ref::<u32>().copied()),
        ),
    }
}

fn failure(error: &Error) -> Outcome {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) =
        error.kind()
    {
        return Outcome::Trapped(Trap::Table);
    }
    let Some(code) = error.as_trap_code().or_else(|| error.kind().as_trap_code()) else {
        return Outcome::Refused(error.to_string());
    };
    Outcome::Trapped(match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::Memory,
        TrapCode::TableOutOfBounds => Trap::Table,
        TrapCode::IndirectCallToNull => Trap::NullCall,
        TrapCode::BadSignature => Trap::Signature,
        TrapCode::IntegerDivisionByZero => Trap::DivideByZero,
        TrapCode::IntegerOverflow => Trap::Overflow,
        TrapCode::BadConversionToInteger => Trap::Conversion,
        TrapCode::StackOverflow
        | TrapCode::OutOfFuel
        | TrapCode::GrowthOperationLimited
        | TrapCode::OutOfSystemMemory => return Outcome::Unknown(error.to_string()),
    })
}
