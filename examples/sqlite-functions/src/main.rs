//! SQL functions in WebAssembly: every function that a module exports becomes a function of SQLite.
//! Each call has an instance of its own, so that functions are what SQL takes them for: nothing of
//! one row is left for the next. One that fails or takes too long fails the statement, not the host.
//!
//! `cargo run -p sqlite-functions -- MODULE STATEMENT` evaluates a statement with a module's
//! functions; without arguments the example shows some of its own.
//!
//! | exported function | in SQL |
//! |---|---|
//! | parameters and result of `i64` and `f64` | of integers and numbers |
//! | `(i32 i32) -> (i32 i32)` | of a text: its place in the exported `memory`, and its length; the text is put behind the address that the exported global `heap` has |

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error as SqlError};
use std::time::Duration;
use wasmoor::{
    Engine, Error, ExternType, FuncType, InstancePre, Linker, Module, Result, Store, StoreLimits,
    Val, ValType,
};

/// Time that one call may take.
const TIME: Duration = Duration::from_millis(100);
/// Memory that one call may have.
const MEMORY_BYTES: u64 = 16 << 20;
/// Text that a function may take or give.
const TEXT_BYTES_MAX: usize = 1 << 20;

const OWN: &str = r#"(module
    (memory (export "memory") 1)
    (global (export "heap") i32 (i32.const 1024))
    (global $calls (mut i64) (i64.const 0))
    (func (export "gcd") (param $a i64) (param $b i64) (result i64) (local $rest i64)
        (loop $next
            (if (i64.eqz (local.get $b)) (then (return (local.get $a))))
            (local.set $rest (i64.rem_u (local.get $a) (local.get $b)))
            (local.set $a (local.get $b))
            (local.set $b (local.get $rest))
            (br $next))
        unreachable)
    (func (export "hypotenuse") (param f64 f64) (result f64)
        (f64.sqrt (f64.add (f64.mul (local.get 0) (local.get 0))
                           (f64.mul (local.get 1) (local.get 1)))))
    (func (export "calls") (result i64)
        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
        (global.get $calls))
    (func (export "shout") (param $at i32) (param $len i32) (result i32 i32)
        (local $i i32) (local $byte i32)
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
            (local.set $byte (i32.load8_u (i32.add (local.get $at) (local.get $i))))
            (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
                (then (i32.store8 (i32.add (local.get $at) (local.get $i))
                                  (i32.sub (local.get $byte) (i32.const 32)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (local.get $at) (local.get $len))
    (func (export "lies") (param i32 i32) (result i32 i32) (i32.const -1) (i32.const 10))
    (func (export "forever") (result i64) (loop $again (br $again)) unreachable))"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(module), statement) = (arguments.next(), arguments.next()) else { return own() };
    let statement = statement.ok_or_else(|| Error::usage("usage: MODULE STATEMENT"))?;
    let engine = Engine::default();
    let db = database(&Module::from_file(&engine, module)?)?;
    println!("{}", first_value(&db, &statement)?);
    Ok(())
}

/// What the example shows, and that it is so.
fn own() -> Result<()> {
    let db = database(&Module::new(&Engine::default(), OWN)?)?;
    for (statement, expected) in [
        ("select gcd(1071, 462)", "21"),
        ("select hypotenuse(3, 4.0)", "5.0"),
        ("select shout('text with ümlaut')", "TEXT WITH üMLAUT"),
        ("select gcd(a, b) || ' ' || calls() from (select 4 as a, 6 as b)", "2 1"),
        (
            "with recursive n(i) as (select 1 union all select i + 1 from n limit 10000)
          select sum(calls()) from n",
            "10000",
        ),
    ] {
        let value = first_value(&db, statement)?;
        println!("{statement}: {value}");
        if value != expected {
            return Err(Error::usage(format!("{statement}: {value}, not {expected}")));
        }
    }
    for (statement, reason) in [
        ("select forever()", "deadline"),
        ("select lies('x')", "leave the memory"),
        ("select gcd('one', 2)", "integer"),
        ("select gcd(1)", "wrong number of arguments"),
    ] {
        match first_value(&db, statement) {
            Err(error) if error.to_string().contains(reason) => println!("{statement}: {error}"),
            other => return Err(Error::usage(format!("{statement}: {other:?}"))),
        }
    }
    Ok(())
}

/// A database with the functions that a module exports.
fn database(module: &Module) -> Result<Connection> {
    let db = Connection::open_in_memory().map_err(Error::host)?;
    let pre = Linker::<()>::new(module.engine()).instantiate_pre(module)?;
    for export in module.exports() {
        let ExternType::Func(ty) = export.ty else { continue };
        let Some(signature) = Signature::of(&ty) else {
            eprintln!("left out: {} has a type that SQL has not", export.name);
            continue;
        };
        let (pre, name) = (pre.clone(), export.name.to_owned());
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        db.create_scalar_function(export.name, signature.arguments(), flags, move |context| {
            let done = call(&pre, &name, &signature, context);
            done.map_err(|error| SqlError::UserFunctionError(Box::new(error)))
        })
        .map_err(Error::host)?;
    }
    Ok(db)
}

/// What a function takes.
enum Signature {
    Text,
    Numbers(Vec<ValType>),
}

impl Signature {
    fn of(ty: &FuncType) -> Option<Self> {
        let is_number = |ty: &ValType| matches!(ty, ValType::I64 | ValType::F64);
        if *ty.params == [ValType::I32; 2] && *ty.results == [ValType::I32; 2] {
            return Some(Signature::Text);
        }
        let numbers = ty.params.iter().all(is_number)
            && ty.results.len() == 1
            && ty.results.iter().all(is_number);
        numbers.then(|| Signature::Numbers(ty.params.to_vec()))
    }

    fn arguments(&self) -> i32 {
        match self {
            Signature::Text => 1,
            // A function has at most 1000 parameters.
            Signature::Numbers(params) => params.len() as i32,
        }
    }
}

/// One call, in an instance of its own.
fn call(
    pre: &InstancePre<()>,
    name: &str,
    signature: &Signature,
    context: &Context<'_>,
) -> Result<Value> {
    let mut store = Store::new(pre.module().engine(), ())?;
    store.set_limits(StoreLimits { memory_bytes_max: MEMORY_BYTES, ..StoreLimits::default() });
    let _deadline = store.set_deadline(TIME)?;
    let instance = pre.instantiate(&mut store)?;
    let Signature::Numbers(params) = signature else {
        let text = context.get_raw(0).as_str().map_err(Error::host)?;
        return shared_text(&mut store, &instance, name, text).map(Value::Text);
    };
    let arguments = params.iter().enumerate().map(|(at, ty)| number(context.get_raw(at), *ty));
    let arguments = arguments.collect::<Result<Vec<Val>>>()?;
    let func = instance.get_func(&store, name).ok_or_else(|| Error::usage("no such function"))?;
    let mut results = [Val::I64(0)];
    func.call(&mut store, &arguments, &mut results)?;
    Ok(match results[0] {
        Val::I64(integer) => Value::Integer(integer),
        Val::F64(bits) => Value::Real(f64::from_bits(bits)),
        _ => Value::Null,
    })
}

fn number(value: ValueRef<'_>, ty: ValType) -> Result<Val> {
    match (ty, value) {
        (ValType::I64, ValueRef::Integer(integer)) => Ok(Val::I64(integer)),
        (ValType::F64, ValueRef::Real(real)) => Ok(Val::F64(real.to_bits())),
        (ValType::F64, ValueRef::Integer(integer)) => Ok(Val::F64((integer as f64).to_bits())),
        (ValType::I64, other) => {
            Err(Error::usage(format!("an integer is expected, not {}", other.data_type())))
        }
        (_, other) => Err(Error::usage(format!("a number is expected, not {}", other.data_type()))),
    }
}

/// Hands a text over in the guest's memory, and takes one from there.
fn shared_text(
    store: &mut Store<()>,
    instance: &wasmoor::Instance,
    name: &str,
    text: &str,
) -> Result<String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::usage(format!("the text has {} bytes", text.len())));
    }
    let memory = instance.get_memory(&*store, "memory");
    let memory = memory.ok_or_else(|| Error::usage("it exports no memory"))?;
    let heap = instance.get_global(&*store, "heap").map(|heap| heap.get(&mut *store));
    let Some(Val::I32(heap)) = heap else {
        return Err(Error::usage("it exports no address `heap`"));
    };
    memory.write(&mut *store, heap.cast_unsigned() as usize, text.as_bytes())?;
    let func = instance.get_typed_func::<(i32, i32), (i32, i32)>(&*store, name)?;
    let (at, len) = func.call(&mut *store, (heap, text.len() as i32))?;
    let len = len.cast_unsigned() as usize;
    if len > TEXT_BYTES_MAX {
        return Err(Error::usage(format!("it answers {len} bytes")));
    }
    let mut bytes = vec![0; len];
    memory.read(&*store, at.cast_unsigned() as usize, &mut bytes)?;
    String::from_utf8(bytes).map_err(Error::host)
}

/// The statement's first value, as text.
fn first_value(db: &Connection, statement: &str) -> Result<String> {
    let value = db.query_row(statement, [], |row| row.get::<_, Value>(0)).map_err(Error::host)?;
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => text,
        Value::Blob(bytes) => format!("{bytes:02x?}"),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_example_shows_is_so() {
        super::own().expect("the example's own functions");
    }
}
