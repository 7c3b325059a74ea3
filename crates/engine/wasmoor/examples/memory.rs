//! Reading and writing a guest's memory.
//!
//! `cargo run -p wasmoor --example memory`

use wasmoor::{Engine, Error, Instance, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    // Turns ASCII letters to upper case, in place.
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "upper") (param $at i32) (param $len i32) (local $end i32) (local $byte i32)
            (local.set $end (i32.add (local.get $at) (local.get $len)))
            (block $done (loop $next
                (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
                (local.set $byte (i32.load8_u (local.get $at)))
                (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
                    (then (i32.store8 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br $next)))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let memory =
        instance.get_memory(&store, "memory").ok_or_else(|| Error::usage("no memory exported"))?;
    let message = b"hello from the host";
    memory.write(&mut store, 1024, message)?;
    let upper = instance.get_typed_func::<(u32, u32), ()>(&store, "upper")?;
    upper.call(&mut store, (1024, message.len() as u32))?;
    let bytes = &memory.data(&store)[1024..][..message.len()];
    println!("{}", String::from_utf8_lossy(bytes));
    Ok(())
}
