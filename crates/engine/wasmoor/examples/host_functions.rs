//! Functions of the host: closures over native types, the store's data, and errors.
//!
//! `cargo run -p wasmoor --example host_functions`

use wasmoor::{Caller, Engine, Error, Linker, Module, Result, Store};

struct Account {
    balance: i64,
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Account> = Linker::new(&engine);
    linker.func_wrap("bank", "balance", |caller: Caller<'_, Account>| caller.data().balance)?;
    linker.func_wrap("bank", "withdraw", |mut caller: Caller<'_, Account>, amount: i64| {
        let account = caller.data_mut();
        if amount < 0 || amount > account.balance {
            let message = format!("cannot withdraw {amount} from {}", account.balance);
            return Err(Error::host(message));
        }
        account.balance -= amount;
        Ok(())
    })?;
    let text = r#"(module
        (import "bank" "balance" (func $balance (result i64)))
        (import "bank" "withdraw" (func $withdraw (param i64)))
        (func (export "spend") (param i64) (result i64)
            (call $withdraw (local.get 0))
            (call $balance)))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, Account { balance: 100 })?;
    let spend =
        linker.instantiate(&mut store, &module)?.get_typed_func::<i64, i64>(&store, "spend")?;
    println!("after spending 30: {}", spend.call(&mut store, 30)?);
    match spend.call(&mut store, 80) {
        Ok(left) => println!("after spending 80: {left}"),
        Err(error) => println!("refused: {error}"),
    }
    Ok(())
}
