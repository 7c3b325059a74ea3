//! Limiting what a guest may take: memory, stack and fuel.
//!
//! `cargo run -p wasmoor --example limits`

use wasmoor::{Config, Engine, Instance, Module, Result, Store, StoreLimits};

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().max_stack(256 << 10).fuel(true))?;
    let text = r#"(module
        (memory 1)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func $deep (export "deep") (call $deep))
        (func (export "count") (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    store.set_fuel(1_000_000)?;
    store.set_limits(StoreLimits { memory_bytes_max: 1 << 20, ..StoreLimits::default() });
    let instance = Instance::new(&mut store, &module, &[])?;

    let grow = instance.get_typed_func::<u32, i32>(&store, "grow")?;
    println!("grow by 10 pages: {} pages before", grow.call(&mut store, 10)?);
    println!("grow by 10 more: {} (refused)", grow.call(&mut store, 10)?);

    let deep = instance.get_typed_func::<(), ()>(&store, "deep")?;
    if let Err(error) = deep.call(&mut store, ()) {
        println!("endless recursion: {error}");
    }

    let count = instance.get_typed_func::<i32, ()>(&store, "count")?;
    store.set_fuel(5_000)?;
    count.call(&mut store, 1_000)?;
    println!("counting to 1,000 took {} units of fuel", 5_000 - store.fuel());
    if let Err(error) = count.call(&mut store, 1_000_000) {
        println!("counting to 1,000,000: {error}");
    }
    Ok(())
}
