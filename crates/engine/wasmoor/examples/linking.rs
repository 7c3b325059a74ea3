//! Two modules: one exports, the other imports.
//!
//! `cargo run -p wasmoor --example linking`

use wasmoor::{Engine, Linker, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    let counter = Module::new(
        &engine,
        r#"(module
            (global $count (mut i32) (i32.const 0))
            (func (export "next") (result i32)
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (global.get $count)))"#,
    )?;
    let user = Module::new(
        &engine,
        r#"(module
            (import "counter" "next" (func $next (result i32)))
            (func (export "sum-of-three") (result i32)
                (i32.add (call $next) (i32.add (call $next) (call $next)))))"#,
    )?;
    let mut store = Store::new(&engine, ())?;
    let mut linker = Linker::new(&engine);
    let counter = linker.instantiate(&mut store, &counter)?;
    linker.instance(&store, "counter", counter)?;
    let user = linker.instantiate(&mut store, &user)?;
    let sum = user.get_typed_func::<(), i32>(&store, "sum-of-three")?;
    println!("1 + 2 + 3 = {}", sum.call(&mut store, ())?);
    println!("4 + 5 + 6 = {}", sum.call(&mut store, ())?);
    Ok(())
}
