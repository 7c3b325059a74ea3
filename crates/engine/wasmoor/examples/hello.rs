//! The shortest program: load a module from text, call its export.
//!
//! `cargo run -p wasmoor --example hello`

use wasmoor::{Engine, Instance, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
        (func (export "add") (param i32 i32) (result i32)
            (i32.add (local.get 0) (local.get 1))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add")?;
    println!("hello: 40 + 2 = {}", add.call(&mut store, (40, 2))?);
    Ok(())
}
