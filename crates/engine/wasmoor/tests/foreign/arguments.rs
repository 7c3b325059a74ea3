//! RT-17: all kinds of references as arguments of all types of parameters.

use crate::common::tiers;
use wasmoor::*;

/// All types of parameters. A `1` for each reference that belongs to it, in the order of
/// [`values`]; then for `Option<Func>`, `Option<ExternRef>`, `Option<ExnRef>` and `i32` as the
/// parameter, and as the result, of a function typed in Rust.
const PARAMS: [(&str, &str, &str, &str); 21] = [
    ("funcref", "111000000", "1000", "1000"),
    ("(ref func)", "110000000", "0000", "1000"),
    ("nullfuncref", "001000000", "0000", "1000"),
    ("(ref nofunc)", "000000000", "0000", "1000"),
    ("(ref null $number)", "101000000", "0000", "1000"),
    ("(ref $number)", "100000000", "0000", "1000"),
    ("(ref null $nothing)", "011000000", "0000", "1000"),
    ("(ref $nothing)", "010000000", "0000", "1000"),
    ("externref", "000110000", "0100", "0100"),
    ("(ref extern)", "000100000", "0000", "0100"),
    ("nullexternref", "000010000", "0000", "0100"),
    ("exnref", "000001100", "0010", "0010"),
    ("(ref exn)", "000001000", "0000", "0010"),
    ("(ref null noexn)", "000000100", "0000", "0010"),
    ("anyref", "000000010", "0000", "0000"),
    ("eqref", "000000010", "0000", "0000"),
    ("i31ref", "000000010", "0000", "0000"),
    ("(ref null struct)", "000000010", "0000", "0000"),
    ("nullref", "000000010", "0000", "0000"),
    ("(ref any)", "000000000", "0000", "0000"),
    ("i32", "000000001", "0001", "0001"),
];

/// A function of the type `$number`, one of `$nothing`, null, and so on.
fn values(store: &mut Store<()>) -> Result<[Val; 9]> {
    let tag = Tag::new(&mut *store, FuncType::new([], []))?;
    Ok([
        Val::FuncRef(Some(Func::wrap(&mut *store, |_: i32| ()))),
        Val::FuncRef(Some(Func::wrap(&mut *store, || ()))),
        Val::FuncRef(None),
        Val::ExternRef(Some(ExternRef::new(&mut *store, 1u32)?)),
        Val::ExternRef(None),
        Val::ExnRef(Some(ExnRef::new(&mut *store, tag, &[])?)),
        Val::ExnRef(None),
        Val::AnyRef(None),
        Val::I32(1),
    ])
}

fn same(one: Val, other: Val) -> bool {
    match (one, other) {
        (Val::FuncRef(a), Val::FuncRef(b)) => a == b,
        (Val::ExternRef(a), Val::ExternRef(b)) => a == b,
        (Val::ExnRef(a), Val::ExnRef(b)) => a == b,
        (Val::AnyRef(a), Val::AnyRef(b)) => a == b,
        (Val::I32(a), Val::I32(b)) => a == b,
        _ => false,
    }
}

/// Which Rust types take a function's only parameter, or its only result.
fn typed(store: &Store<()>, func: Func, is_param: bool) -> String {
    let accepted = if is_param {
        [
            func.typed::<Option<Func>, ()>(store).is_ok(),
            func.typed::<Option<ExternRef>, ()>(store).is_ok(),
            func.typed::<Option<ExnRef>, ()>(store).is_ok(),
            func.typed::<i32, ()>(store).is_ok(),
        ]
    } else {
        [
            func.typed::<(), Option<Func>>(store).is_ok(),
            func.typed::<(), Option<ExternRef>>(store).is_ok(),
            func.typed::<(), Option<ExnRef>>(store).is_ok(),
            func.typed::<(), i32>(store).is_ok(),
        ]
    };
    accepted.map(|is| if is { '1' } else { '0' }).iter().collect()
}

/// Calls a typed function that takes the value, if Rust's type of it is one of those.
fn call_typed(store: &mut Store<()>, func: Func, value: Val) -> Result<Val> {
    Ok(match value {
        Val::FuncRef(x) => Val::FuncRef(func.typed::<_, Option<Func>>(&*store)?.call(store, x)?),
        Val::ExternRef(x) => {
            Val::ExternRef(func.typed::<_, Option<ExternRef>>(&*store)?.call(store, x)?)
        }
        Val::ExnRef(x) => Val::ExnRef(func.typed::<_, Option<ExnRef>>(&*store)?.call(store, x)?),
        Val::I32(x) => Val::I32(func.typed::<_, i32>(&*store)?.call(store, x)?),
        other => panic!("no Rust type: {other:?}"),
    })
}

/// RT-17: the same matrix as for globals, as arguments of functions of guests and of the host,
/// untyped and typed: the right value, or a type error.
#[test]
fn arguments_belong_to_their_types_and_to_no_others() -> Result<()> {
    for tier in tiers() {
        let features = Features::default().with(Feature::Gc);
        let engine = Engine::new(Config::new().tier(tier).features(features))?;
        let mut store = Store::new(&engine, ())?;
        let values = values(&mut store)?;
        for (ty, untyped, params, results) in PARAMS {
            let way = format!("{tier:?}, {ty}");
            let text = format!(
                r#"(module (type $number (func (param i32))) (type $nothing (func))
                (func (export "same") (param {ty}) (result {ty}) (local.get 0))
                (func (export "takes") (param {ty}))
                (func (export "gives") (result {ty}) unreachable))"#
            );
            let instance = Instance::new(&mut store, &Module::new(&engine, text)?, &[])?;
            let guest = instance.get_func(&store, "same").expect("an export");
            let same_type = guest.ty(&store);
            let host = Func::new(&mut store, same_type, |_, params, results| {
                results.copy_from_slice(params);
                Ok(())
            });
            for func in [guest, host] {
                let mut found = String::new();
                for value in values {
                    let mut results = [Val::I64(-1)];
                    match func.call(&mut store, &[value], &mut results) {
                        Ok(()) => {
                            found.push('1');
                            assert!(same(results[0], value), "{way}: {value:?}, {results:?}");
                        }
                        Err(error) => {
                            found.push('0');
                            let kind = error.kind();
                            let is_type = matches!(kind, ErrorKind::TypeMismatch { .. });
                            assert!(is_type, "{way}: {value:?}: {error}");
                        }
                    }
                }
                assert_eq!(found, untyped, "{way}");
            }
            let takes = instance.get_func(&store, "takes").expect("an export");
            assert_eq!(typed(&store, takes, true), params, "{way}");
            let gives = instance.get_func(&store, "gives").expect("an export");
            assert_eq!(typed(&store, gives, false), results, "{way}");
            // Types that Rust's takes whole: every value comes back.
            if params.contains('1') {
                for (value, _) in values.iter().zip(untyped.chars()).filter(|it| it.1 == '1') {
                    for func in [guest, host] {
                        let found = call_typed(&mut store, func, *value)?;
                        assert!(same(found, *value), "{way}: {value:?}, {found:?}");
                    }
                }
            }
        }
    }
    Ok(())
}
