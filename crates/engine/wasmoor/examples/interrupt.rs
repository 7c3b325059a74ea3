//! Ending an endless loop: by a deadline, and from another thread.
//!
//! `cargo run -p wasmoor --example interrupt`

use std::time::Duration;
use wasmoor::{Engine, Instance, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "spin") (loop $l (br $l))))"#)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;

    // The deadline holds until its guard is dropped.
    let deadline = store.set_deadline(Duration::from_millis(50))?;
    if let Err(error) = spin.call(&mut store, ()) {
        println!("after 50 ms: {error}");
    }
    drop(deadline);

    let handle = store.interrupt_handle();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.interrupt();
    });
    if let Err(error) = spin.call(&mut store, ()) {
        println!("from another thread: {error:?}");
    }
    let _ = other.join();
    Ok(())
}
