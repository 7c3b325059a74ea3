//! Wasmoor in its configurations: the engine under test.

use super::host::{Host, import_id};
use super::{ELEMENTS_MAX, Fact, Frames, Oracle, Outcome, State, Trap, hash_bytes, hash_values};
use crate::value::{Type, Value};
use std::time::Duration;
use wasmoor::{
    Caller, Deadline, Engine, Error, ErrorKind, Extern, ExternRef, ExternType, Func, FuncType,
    Global, Instance, Memory, Module, Result, Store, Table, TrapCode, Val, ValType,
};

/// What no case comes near, since it was run by wasmi within its fuel: a loop that does not end.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Plenty; cases end by themselves.
const FUEL: u64 = 1 << 50;

/// The oracle for one configuration.
pub struct Wasmoor {
    engine: Engine,
    fuel: bool,
    module: Option<Module>,
    instance: Option<Running>,
    frames: Option<Frames>,
}

struct Running {
    // Before the store, whose guests it interrupts.
    _deadline: Deadline,
    store: Store<Host>,
    instance: Instance,
}

impl Wasmoor {
    /// The oracle for an engine; `fuel` tells whether that counts fuel.
    #[must_use]
    pub fn new(engine: Engine, fuel: bool) -> Self {
        Wasmoor { engine, fuel, module: None, instance: None, frames: None }
    }

    fn link(&self, module: &Module) -> Result<Running> {
        let mut store = Store::new(&self.engine, Host::default())?;
        let deadline = store.set_deadline(TIMEOUT)?;
        if self.fuel {
            store.set_fuel(FUEL)?;
        }
        let imports = module
            .imports()
            .map(|import| provide(&mut store, import_id(import.module, import.name), import.ty))
            .collect::<Result<Vec<_>>>()?;
        let instance = Instance::new(&mut store, module, &imports)?;
        Ok(Running { _deadline: deadline, store, instance })
    }
}

impl Oracle for Wasmoor {
    fn load(&mut self, wasm: &[u8]) -> Result<(), String> {
        self.instance = None;
        self.module = None;
        self.module = Some(Module::new(&self.engine, wasm).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn instantiate(&mut self) -> Outcome {
        self.instance = None;
        self.frames = None;
        let Some(module) = &self.module else { return Outcome::Refused("no module".into()) };
        match self.link(module) {
            Ok(running) => {
                self.instance = Some(running);
                Outcome::Returned(Vec::new())
            }
            Err(error) => {
                self.frames = frames(&error);
                failure(&error)
            }
        }
    }

    fn call(&mut self, function: &str, args: &[Value]) -> Outcome {
        self.frames = None;
        let Some(Running { store, instance, .. }) = &mut self.instance else {
            return Outcome::Refused("no instance".into());
        };
        match call(store, instance, function, args) {
            Ok(results) => Outcome::Returned(results),
            Err(error) => {
                self.frames = frames(&error);
                failure(&error)
            }
        }
    }

    fn frames(&mut self) -> Option<Frames> {
        self.frames.take()
    }

    fn state(&mut self) -> State {
        let Some(Running { store, instance, .. }) = &self.instance else {
            return State::default();
        };
        let mut facts = vec![store.data().fact()];
        for (name, external) in instance.exports(store) {
            facts.push(match external {
                Extern::Global(global) => (name, Fact::Global(from_val(store, &global.get(store)))),
                Extern::Memory(memory) => {
                    let hash = hash_bytes(memory.data(store));
                    (name, Fact::Contents { size: memory.size(store), hash })
                }
                Extern::Table(table) => {
                    let size = table.size(store);
                    let elements: Vec<Value> = (0..size.min(ELEMENTS_MAX))
                        .filter_map(|index| table.get(store, index))
                        .map(|element| from_val(store, &element))
                        .collect();
                    (name, Fact::Contents { size, hash: hash_values(&elements) })
                }
                _ => continue,
            });
        }
        State::new(facts, self.fuel.then(|| store.fuel()))
    }
}

fn call(
    store: &mut Store<Host>,
    instance: &Instance,
    function: &str,
    args: &[Value],
) -> Result<Vec<Value>> {
    let func = instance
        .get_func(&*store, function)
        .ok_or_else(|| Error::host(format!("no function {function}")))?;
    let ty = func.ty(&*store);
    let args = args.iter().map(|&value| to_val(&mut *store, value)).collect::<Result<Vec<_>>>()?;
    let mut results: Vec<Val> = ty.results.iter().map(|&ty| Val::default_for(ty)).collect();
    func.call(&mut *store, &args, &mut results)?;
    Ok(results.iter().map(|val| from_val(&*store, val)).collect())
}

/// Makes what a module imports.
fn provide(store: &mut Store<Host>, import: u64, ty: ExternType) -> Result<Extern> {
    Ok(match ty {
        ExternType::Func(ty) => host_func(store, import, ty).into(),
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => {
            Table::new(store, ty, Val::default_for(ValType::Ref(ty.element)))?.into()
        }
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, Host::global(import, from_type(ty.content)))?;
            Global::new(store, ty, value)?.into()
        }
        other => return Err(Error::host(format!("nobody generates an import of {other}"))),
    })
}

fn host_func(store: &mut Store<Host>, import: u64, ty: FuncType) -> Func {
    let result_types: Vec<Type> = ty.results.iter().map(|&ty| from_type(ty)).collect();
    let body = move |mut caller: Caller<'_, Host>, args: &[Val], results: &mut [Val]| {
        let args: Vec<Value> = args.iter().map(|val| from_val(&caller, val)).collect();
        let values = caller.data_mut().call(import, &args, &result_types);
        for (result, value) in results.iter_mut().zip(values) {
            *result = to_val(&mut caller, value)?;
        }
        Ok(())
    };
    Func::new(store, ty, body)
}

fn from_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(ty) if ty.is_func() => Type::FuncRef,
        ValType::Ref(_) => Type::ExternRef,
    }
}

fn to_val(store: impl wasmoor::AsContextMut, value: Value) -> Result<Val> {
    Ok(match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(bits),
        Value::FuncRef(_) => Val::FuncRef(None),
        Value::ExternRef(None) => Val::ExternRef(None),
        Value::ExternRef(Some(number)) => Val::ExternRef(Some(ExternRef::new(store, number)?)),
    })
}

fn from_val(store: &impl wasmoor::AsContext<Data = Host>, val: &Val) -> Value {
    match *val {
        Val::I32(value) => Value::I32(value),
        Val::I64(value) => Value::I64(value),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits),
        Val::FuncRef(func) => Value::FuncRef(func.is_some()),
        Val::ExternRef(object) => Value::ExternRef(
            object.and_then(|object| object.data(store)?.downcast_ref::<u32>().copied()),
        ),
        // No generated module has such types: see `Type::of`.
        Val::ExnRef(_) | Val::AnyRef(_) => Value::ExternRef(None),
    }
}

/// Where a guest trapped.
fn frames(error: &Error) -> Option<Frames> {
    let backtrace = match error.kind() {
        ErrorKind::Trap(trap) => &trap.backtrace,
        ErrorKind::Exception(exception) => &exception.backtrace,
        _ => return None,
    };
    let frames = backtrace.frames().iter();
    Some(Frames(frames.map(|frame| (frame.func_index().as_u32(), frame.wasm_offset())).collect()))
}

fn failure(error: &Error) -> Outcome {
    let trap = match error.kind() {
        ErrorKind::Trap(trap) => trap,
        ErrorKind::Exception(exception) => {
            let hash = hash_bytes(exception.description.as_bytes());
            return Outcome::Trapped(Trap::Uncaught(hash));
        }
        _ => return Outcome::Refused(error.to_string()),
    };
    Outcome::Trapped(match trap.code {
        TrapCode::Unreachable => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::Memory,
        TrapCode::TableOutOfBounds | TrapCode::UndefinedElement => Trap::Table,
        TrapCode::UninitializedElement | TrapCode::NullReference => Trap::NullCall,
        TrapCode::IndirectCallTypeMismatch => Trap::Signature,
        TrapCode::IntegerDivideByZero => Trap::DivideByZero,
        TrapCode::IntegerOverflow => Trap::Overflow,
        TrapCode::InvalidConversionToInteger => Trap::Conversion,
        TrapCode::UnalignedAtomic => Trap::Unaligned,
        TrapCode::ExpectedSharedMemory => Trap::Unshared,
        TrapCode::StackOverflow => return Outcome::Unknown(error.to_string()),
        // Wasmi came to an end: neither the fuel nor the time may run out, and no other trap exists.
        _ => return Outcome::Refused(error.to_string()),
    })
}
