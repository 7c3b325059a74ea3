//! RT-02 and RT-03: what belongs to another store, or to another engine, at each entry point that
//! takes it. RT-17: references of every kind as arguments of every type.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

mod arguments;
#[path = "../common/mod.rs"]
mod common;

use common::tiers;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmoor::*;

const MEMORY: MemoryType =
    MemoryType { minimum: 1, maximum: Some(2), index64: false, shared: false, page_size_log2: 16 };
const TABLE: TableType =
    TableType { element: RefType::FUNCREF, minimum: 2, maximum: Some(4), index64: false };

/// One of each kind of what a store has.
struct Things {
    store: Store<()>,
    instance: Instance,
    func: Func,
    takes_func: Func,
    takes_object: Func,
    takes_exn: Func,
    table: Table,
    objects: Table,
    exceptions: Table,
    memory: Memory,
    global: Global,
    exn_global: Global,
    tag: Tag,
    object_tag: Tag,
    exn: ExnRef,
    object: ExternRef,
}

fn table_of(element: RefType) -> TableType {
    TableType { element, ..TABLE }
}

fn reference(ty: ValType) -> RefType {
    let ValType::Ref(ty) = ty else { panic!("no reference: {ty}") };
    ty
}

impl Things {
    fn new(engine: &Engine) -> Result<Things> {
        let text = r#"(module
            (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
            (func (export "func") (param funcref) (result i32) (ref.is_null (local.get 0)))
            (func (export "object") (param externref) (result i32) (ref.is_null (local.get 0)))
            (func (export "exn") (param exnref) (result i32) (ref.is_null (local.get 0))))"#;
        let mut store = Store::new(engine, ())?;
        let instance = Instance::new(&mut store, &Module::new(engine, text)?, &[])?;
        let export = |name| instance.get_func(&store, name).expect("an export");
        let (func, takes_func) = (export("f"), export("func"));
        let (takes_object, takes_exn) = (export("object"), export("exn"));
        let tag = Tag::new(&mut store, FuncType::new([], []))?;
        let object_tag = Tag::new(&mut store, FuncType::new([ValType::EXTERNREF], []))?;
        let objects = table_of(reference(ValType::EXTERNREF));
        let exceptions = table_of(reference(ValType::EXNREF));
        let global = |content| GlobalType { content, mutable: true };
        Ok(Things {
            instance,
            func,
            takes_func,
            takes_object,
            takes_exn,
            table: Table::new(&mut store, TABLE, Val::FuncRef(Some(func)))?,
            objects: Table::new(&mut store, objects, Val::ExternRef(None))?,
            exceptions: Table::new(&mut store, exceptions, Val::ExnRef(None))?,
            memory: Memory::new(&mut store, MEMORY)?,
            global: Global::new(&mut store, global(ValType::FUNCREF), Val::FuncRef(None))?,
            exn_global: Global::new(&mut store, global(ValType::EXNREF), Val::ExnRef(None))?,
            tag,
            object_tag,
            exn: ExnRef::new(&mut store, tag, &[])?,
            object: ExternRef::new(&mut store, 7u32)?,
            store,
        })
    }

    /// Everything that can be imported.
    fn externs(&self) -> [(&'static str, Extern); 5] {
        [
            ("(func (param i32) (result i32))", self.func.into()),
            ("(table 2 4 funcref)", self.table.into()),
            ("(memory 1 2)", self.memory.into()),
            ("(global (mut funcref))", self.global.into()),
            ("(tag)", self.tag.into()),
        ]
    }

    /// References, each with a function that takes its type, and a table, a global where it fits.
    fn references(&self) -> [Val; 3] {
        [
            Val::FuncRef(Some(self.func)),
            Val::ExternRef(Some(self.object)),
            Val::ExnRef(Some(self.exn)),
        ]
    }

    /// A function and a table of the store that take references like this one.
    fn takers(&self, value: Val) -> (Func, Table) {
        match value {
            Val::FuncRef(_) => (self.takes_func, self.table),
            Val::ExternRef(_) => (self.takes_object, self.objects),
            _ => (self.takes_exn, self.exceptions),
        }
    }
}

/// What an entry point does when it is given something foreign.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refusal {
    /// Panics, as the documentation of handles says.
    Panic,
    /// An error.
    Error,
}

/// One entry point with something foreign, the second one's, in it.
type Entry = (&'static str, Refusal, fn(&mut Things, &Things) -> Result<()>);

/// A list of entry points, each named by its code.
macro_rules! entries {
    ($( $refusal:ident: |$home:ident, $other:ident| $code:expr; )*) => {
        { let list: Vec<Entry> = vec![$( (stringify!($code), Refusal::$refusal, |$home: &mut Things, $other: &Things| {
            std::hint::black_box($code);
            Ok(())
        }) ),*]; list }
    };
}

/// All methods of handles.
fn entries_of_handles() -> Vec<Entry> {
    entries! {
        Panic: |a, b| b.func.ty(&a.store);
        Panic: |a, b| b.func.registered_type(&a.store);
        Panic: |a, b| b.func.typed::<i32, i32>(&a.store)?;
        Panic: |a, b| b.func.call(&mut a.store, &[Val::I32(1)], &mut [Val::I32(0)])?;
        Panic: |a, b| b.func.typed::<i32, i32>(&b.store)?.call(&mut a.store, 1)?;
        Panic: |a, b| b.memory.ty(&a.store);
        Panic: |a, b| b.memory.size(&a.store);
        Panic: |a, b| b.memory.data_size(&a.store);
        Panic: |a, b| b.memory.data(&a.store);
        Panic: |a, b| b.memory.data_mut(&mut a.store);
        Panic: |a, b| b.memory.read(&a.store, 0, &mut [0])?;
        Panic: |a, b| b.memory.write(&mut a.store, 0, &[1])?;
        Panic: |a, b| b.memory.grow(&mut a.store, 1)?;
        Panic: |a, b| b.table.ty(&a.store);
        Panic: |a, b| b.table.size(&a.store);
        Panic: |a, b| b.table.get(&a.store, 0);
        Panic: |a, b| b.table.set(&mut a.store, 0, Val::FuncRef(None))?;
        Panic: |a, b| b.table.grow(&mut a.store, 1, Val::FuncRef(None))?;
        Panic: |a, b| b.global.ty(&a.store);
        Panic: |a, b| b.global.get(&a.store);
        Panic: |a, b| b.global.set(&mut a.store, Val::FuncRef(None))?;
        Panic: |a, b| b.tag.ty(&a.store);
        Panic: |a, b| ExnRef::new(&mut a.store, b.tag, &[])?;
        Panic: |a, b| b.exn.tag(&a.store)?;
        Panic: |a, b| b.exn.values(&a.store)?;
        Panic: |a, b| b.exn.throw(&mut a.store);
        Panic: |a, b| b.exn.release(&a.store);
        Panic: |a, b| b.object.data(&a.store);
        Panic: |a, b| b.instance.exports(&a.store);
        Panic: |a, b| b.instance.get_export(&a.store, "f");
        Panic: |a, b| b.instance.get_func(&a.store, "f");
        Panic: |a, b| b.instance.get_typed_func::<i32, i32>(&a.store, "f")?;
        Panic: |a, b| b.instance.get_memory(&a.store, "f");
        Panic: |a, b| b.instance.get_shared_memory(&a.store, "f");
        Panic: |a, b| b.instance.get_table(&a.store, "f");
        Panic: |a, b| b.instance.get_global(&a.store, "f");
        Panic: |a, b| b.instance.get_tag(&a.store, "f");
        Panic: |a, b| Linker::new(a.store.engine()).instance(&a.store, "m", b.instance)?;
    }
}

/// References as values.
fn entries_of_values() -> Vec<Entry> {
    entries! {
        Error: |a, b| {
            let ty = FuncType::new([ValType::EXTERNREF], []);
            assert_eq!(a.object_tag.ty(&a.store), ty);
            ExnRef::new(&mut a.store, a.object_tag, &[Val::ExternRef(Some(b.object))])?
        };
        Error: |a, b| {
            let call = a.takes_func.typed::<Option<Func>, i32>(&a.store)?;
            call.call(&mut a.store, Some(b.func))?
        };
        Error: |a, b| {
            let call = a.takes_object.typed::<Option<ExternRef>, i32>(&a.store)?;
            call.call(&mut a.store, Some(b.object))?
        };
        Error: |a, b| {
            let call = a.takes_exn.typed::<Option<ExnRef>, i32>(&a.store)?;
            call.call(&mut a.store, Some(b.exn))?
        };
        Error: |a, b| {
            let foreign = b.func;
            let gives = Func::wrap(&mut a.store, move || Some(foreign));
            gives.call(&mut a.store, &[], &mut [Val::I32(0)])?
        };
        Error: |a, b| {
            let foreign = b.object;
            let gives = Func::wrap(&mut a.store, move || (1i32, Some(foreign)));
            gives.call(&mut a.store, &[], &mut [Val::I32(0), Val::I32(0)])?
        };
        Error: |a, b| {
            let foreign = b.exn;
            let gives = Func::wrap(&mut a.store, move || Some(foreign));
            gives.call(&mut a.store, &[], &mut [Val::I32(0)])?
        };
        Error: |a, b| a.global.set(&mut a.store, Val::FuncRef(Some(b.func)))?;
        Error: |a, b| a.exn_global.set(&mut a.store, Val::ExnRef(Some(b.exn)))?;
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Runs something that must be refused, and refused in the way that is documented.
fn check(way: &str, name: &str, refusal: Refusal, run: impl FnOnce() -> Result<()>) {
    match (refusal, catch_unwind(AssertUnwindSafe(run))) {
        (Refusal::Panic, Err(panic)) => {
            let text = message(&*panic);
            assert!(text.contains("store"), "{way}: `{name}`: {text}");
        }
        (Refusal::Error, Ok(Err(error))) => {
            let kind = error.kind();
            let is_trap = matches!(kind, ErrorKind::Trap(_) | ErrorKind::Exception(_));
            assert!(!is_trap && !error.to_string().is_empty(), "{way}: `{name}`: {error:?}");
        }
        (_, Ok(Ok(()))) => panic!("{way}: `{name}` was accepted"),
        (_, Ok(Err(error))) => panic!("{way}: `{name}`: an error: {error}"),
        (_, Err(panic)) => panic!("{way}: `{name}` panics: {}", message(&*panic)),
    }
}

/// Each reference as an argument, an element, a global, a result and what an exception carries.
fn check_references(way: &str, home: &mut Things, other: &Things) {
    let error = Refusal::Error;
    for value in other.references() {
        let ty = value.ty();
        let (func, table) = home.takers(value);
        let store = &mut home.store;
        check(way, &format!("call with {ty}"), error, || {
            func.call(&mut *store, &[value], &mut [Val::I32(0)])
        });
        check(way, &format!("set of {ty}"), error, || table.set(&mut *store, 0, value));
        check(way, &format!("grow with {ty}"), error, || {
            table.grow(&mut *store, 1, value).map(drop)
        });
        assert_eq!(table.size(&*store), 2, "{way}: {ty}");
        let element = reference(ty);
        check(way, &format!("table of {ty}"), error, || {
            Table::new(&mut *store, table_of(element), value).map(drop)
        });
        let global = GlobalType { content: ty, mutable: true };
        check(way, &format!("global of {ty}"), error, || {
            Global::new(&mut *store, global, value).map(drop)
        });
        let tag = Tag::new(&mut *store, FuncType::new([ty], [])).expect("a tag");
        check(way, &format!("exception with {ty}"), error, || {
            ExnRef::new(&mut *store, tag, &[value]).map(drop)
        });
        let host = Func::new(&mut *store, FuncType::new([], [ty]), move |_, _, results| {
            results[0] = value;
            Ok(())
        });
        check(way, &format!("result {ty}"), error, || {
            host.call(&mut *store, &[], &mut [Val::I32(0)])
        });
    }
    let thrown = other.exn;
    assert!(ExnRef::from_error(&home.store, &thrown_error(other)).is_none(), "{way}: {thrown:?}");
}

/// An error of an exception of a store like this one's.
fn thrown_error(like: &Things) -> Error {
    let mut things = Things::new(like.store.engine()).expect("things");
    let exn = things.exn;
    exn.throw(&mut things.store)
}

/// Each item as an import: given by hand, by a linker and by what a linker has found before.
fn check_imports(way: &str, home: &mut Things, other: &Things) -> Result<()> {
    let engine = home.store.engine().clone();
    for ((import, item), (_, own)) in other.externs().into_iter().zip(home.externs()) {
        let module = Module::new(&engine, format!(r#"(module (import "m" "x" {import}))"#))?;
        let store = &mut home.store;
        check(way, &format!("import of {import}"), Refusal::Panic, || {
            Instance::new(&mut *store, &module, std::slice::from_ref(&item)).map(drop)
        });
        check(way, &format!("define of {import}"), Refusal::Panic, || {
            Linker::new(&engine).define(&*store, "m", "x", item.clone()).map(drop)
        });
        // A linker of this engine with items of the other store, which takes them as its own.
        let mut linker = Linker::new(&engine);
        linker.define(&other.store, "m", "x", item.clone())?;
        check(way, &format!("linked {import}"), Refusal::Panic, || {
            linker.instantiate(&mut *store, &module).map(drop)
        });
        let pre = linker.instantiate_pre(&module)?;
        check(way, &format!("found {import}"), Refusal::Panic, || {
            pre.instantiate(&mut *store).map(drop)
        });
        // The same of its own store is taken.
        Instance::new(&mut *store, &module, &[own])?;
    }
    Ok(())
}

fn check_all(way: &str, home: &mut Things, other: &Things) -> Result<()> {
    for (name, refusal, entry) in [entries_of_handles(), entries_of_values()].concat() {
        check(way, name, refusal, || entry(home, other));
    }
    check_references(way, home, other);
    check_imports(way, home, other)?;
    // Nothing of it has done any harm.
    let (mut results, object) = ([Val::I32(0)], home.object);
    home.func.call(&mut home.store, &[Val::I32(1)], &mut results)?;
    assert_eq!(results[0].i32(), Some(2), "{way}");
    assert_eq!(home.memory.size(&home.store), 1, "{way}");
    assert!(matches!(home.global.get(&home.store), Val::FuncRef(None)), "{way}");
    let call = home.takes_object.typed::<Option<ExternRef>, i32>(&home.store)?;
    assert_eq!(call.call(&mut home.store, Some(object))?, 0, "{way}");
    Ok(())
}

#[test]
fn what_belongs_to_another_store_is_refused_everywhere() -> Result<()> {
    for tier in tiers() {
        let engine = Engine::new(Config::new().tier(tier))?;
        let (mut home, other) = (Things::new(&engine)?, Things::new(&engine)?);
        check_all(&format!("{tier:?}, another store"), &mut home, &other)?;
        // Equal numbers mean different types there.
        let abroad = Engine::new(Config::new().tier(tier))?;
        let unlike = [ValType::F32, ValType::V128, ValType::F64];
        let _kept = unlike.map(|ty| RegisteredType::func(&abroad, &FuncType::new([ty], [])));
        let other = Things::new(&abroad)?;
        let way = format!("{tier:?}, another engine");
        check_all(&way, &mut home, &other)?;
        check_engines(&way, &mut home, &abroad)?;
    }
    Ok(())
}

/// What belongs to an engine and to no store.
fn check_engines(way: &str, home: &mut Things, abroad: &Engine) -> Result<()> {
    let engine = home.store.engine().clone();
    let module = Module::new(abroad, r#"(module (import "m" "x" (func)))"#)?;
    let mut foreign = Linker::new(abroad);
    foreign.func_wrap("m", "x", || ())?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("m", "x", || ())?;
    let store = &mut home.store;
    let own = Func::wrap(&mut *store, || ());
    let error = Refusal::Error;
    check(way, "module", error, || Instance::new(&mut *store, &module, &[own.into()]).map(drop));
    check(way, "linked module", error, || linker.instantiate(&mut *store, &module).map(drop));
    check(way, "found module", error, || linker.instantiate_pre(&module).map(drop));
    check(way, "linker", error, || foreign.instantiate(&mut *store, &module).map(drop));
    let pre = foreign.instantiate_pre(&module)?;
    check(way, "found imports", error, || pre.instantiate(&mut *store).map(drop));
    let own_module = Module::new(&engine, r#"(module (import "m" "x" (func)))"#)?;
    check(way, "own module", error, || foreign.instantiate(&mut *store, &own_module).map(drop));
    check(way, "own module found", error, || foreign.instantiate_pre(&own_module).map(drop));
    let got = catch_unwind(AssertUnwindSafe(|| foreign.get(&mut *store, "m", "x").is_some()));
    assert!(got.is_err(), "{way}: a linker's function was accepted");
    let kept = RegisteredType::func(abroad, &FuncType::new([ValType::I64], []))?;
    let mention = || FuncType::new([ValType::Ref(kept.ref_type())], []);
    check(way, "type of tag", error, || Tag::new(&mut *store, mention()).map(drop));
    check(way, "type", error, || RegisteredType::func(&engine, &mention()).map(drop));
    check(way, "reference", error, || RegisteredType::of_ref(&engine, kept.ref_type()).map(drop));
    check(way, "type of linker's function", error, || {
        linker.func_new("m", "y", mention(), |_, _, _| Ok(())).map(drop)
    });
    let made = catch_unwind(AssertUnwindSafe(|| {
        Func::new(&mut *store, mention(), |_, _, _| Ok(()));
    }));
    assert!(made.is_err(), "{way}: a function of a foreign type was accepted");
    let table = table_of(kept.ref_type());
    check(way, "type of table", error, || {
        Table::new(&mut *store, table, Val::FuncRef(None)).map(drop)
    });
    let global = GlobalType { content: ValType::Ref(kept.ref_type()), mutable: false };
    check(way, "type of global", error, || {
        Global::new(&mut *store, global, Val::FuncRef(None)).map(drop)
    });
    Ok(())
}

/// A shared memory of an engine that keeps memories in bounds otherwise is refused; one of an
/// engine that does it in the same way is taken, as its documentation says.
#[test]
fn shared_memories_of_other_engines() -> Result<()> {
    let ty = MemoryType { shared: true, ..MEMORY };
    let text = r#"(module (import "m" "x" (memory 1 2 shared))
        (func (export "load") (result i32) (i32.load (i32.const 65532)))
        (func (export "out") (result i32) (i32.load (i32.const 65533))))"#;
    let choices = [MemoryChoice::Guard, MemoryChoice::Checked];
    for tier in tiers() {
        for (home, abroad) in choices.iter().flat_map(|a| choices.iter().map(move |b| (*a, *b))) {
            let way = format!("{tier:?}, {home:?} takes {abroad:?}");
            let engine = Engine::new(Config::new().tier(tier).memory(home))?;
            let other = Engine::new(Config::new().memory(abroad))?;
            let memory = SharedMemory::new(&other, ty)?;
            memory.write(65532, &9u32.to_le_bytes()).expect("in bounds");
            let module = Module::new(&engine, text)?;
            let mut store = Store::new(&engine, ())?;
            let mut linker = Linker::new(&engine);
            linker.define_shared("m", "x", memory.clone())?;
            let found = [
                linker.instantiate(&mut store, &module),
                linker.instantiate_pre(&module)?.instantiate(&mut store),
                Instance::new(&mut store, &module, &[memory.into()]),
            ];
            for instance in found {
                let instance = match instance {
                    Ok(instance) => instance,
                    Err(error) => {
                        assert_ne!(engine.memory_mode(), other.memory_mode(), "{way}: {error}");
                        continue;
                    }
                };
                assert_eq!(engine.memory_mode(), other.memory_mode(), "{way}: accepted");
                let load = instance.get_typed_func::<(), i32>(&store, "load")?;
                assert_eq!(load.call(&mut store, ())?, 9, "{way}");
                let out = instance.get_typed_func::<(), i32>(&store, "out")?;
                let trap = out.call(&mut store, ()).expect_err(&way).trap_code();
                assert_eq!(trap, Some(TrapCode::MemoryOutOfBounds), "{way}");
            }
        }
    }
    Ok(())
}
