//! 64-bit memories: addresses of every shape around every limit, on every tier, with clamps and with
//! checks, against the arithmetic of the specification.

mod common;

use common::tiers;
use wasmoor::*;

/// How a function makes its index from its parameter, in WebAssembly and in Rust.
struct Shape {
    name: &'static str,
    wat: &'static str,
    index: fn(u64) -> u64,
    offsets: &'static [u64],
}

const X: &str = "(local.get 0)";
const LOW: &str = "(i64.extend_i32_u (i32.wrap_i64 (local.get 0)))";
/// Ends of what offsets may do without a comparison, and of what can be added.
const OFFSETS: &[u64] =
    &[0, 1, 8, 0x7fff_fff8, 0x7fff_fff9, 1 << 31, 1 << 32, 1 << 36, u64::MAX - 7, u64::MAX];
const FEW: &[u64] = &[0, 8];

fn low(x: u64) -> u64 {
    x & 0xffff_ffff
}

macro_rules! shapes {
    ($($name:literal, $wat:expr, $index:expr, $offsets:expr;)*) => {
        &[$(Shape { name: $name, wat: $wat, index: $index, offsets: $offsets }),*]
    };
}

const SHAPES: &[Shape] = shapes! {
    "as it is", X, |x| x, OFFSETS;
    "constant", "(i64.const 65530)", |_| 65530, OFFSETS;
    "large constant", "(i64.const 0x1000000000)", |_| 1 << 36, OFFSETS;
    "negative constant", "(i64.const -8)", |_| u64::MAX - 7, OFFSETS;
    "sum", "(i64.add (local.get 0) (i64.const 16))", |x| x.wrapping_add(16), OFFSETS;
    "sum, other way", "(i64.add (i64.const 24) (local.get 0))", |x| x.wrapping_add(24), FEW;
    "sum of sums", "(i64.add (i64.add (local.get 0) (i64.const 8)) (i64.const -4))",
        |x| x.wrapping_add(4), FEW;
    "difference", "(i64.sub (local.get 0) (i64.const 16))", |x| x.wrapping_sub(16), FEW;
    "negative sum", "(i64.add (local.get 0) (i64.const -16))", |x| x.wrapping_sub(16), OFFSETS;
    "largest shared sum", "(i64.add (local.get 0) (i64.const 0x40000000))",
        |x| x.wrapping_add(1 << 30), FEW;
    "least shared sum", "(i64.add (local.get 0) (i64.const -0x40000000))",
        |x| x.wrapping_sub(1 << 30), FEW;
    "sum beyond", "(i64.add (local.get 0) (i64.const 0x40000001))",
        |x| x.wrapping_add((1 << 30) + 1), FEW;
    "negative sum beyond", "(i64.add (local.get 0) (i64.const -0x40000001))",
        |x| x.wrapping_sub((1 << 30) + 1), FEW;
    "32 bits", LOW, low, OFFSETS;
    "32 bits, 16 each", "(i64.shl (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 4))",
        |x| low(x) << 4, OFFSETS;
    "32 bits, 32 each", "(i64.shl (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 5))",
        |x| low(x) << 5, FEW;
    "shifted out", "(i64.shl (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 33))",
        |x| low(x) << 33, FEW;
    "32 bits and a constant",
        "(i64.add (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 65000))",
        |x| low(x) + 65000, OFFSETS;
    "32 bits less a constant",
        "(i64.add (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const -100))",
        |x| low(x).wrapping_sub(100), OFFSETS;
    "32-bit sum", "(i64.extend_i32_u (i32.add (i32.wrap_i64 (local.get 0)) (i32.const 100)))",
        |x| low(low(x) + 100), FEW;
    "masked", "(i64.and (local.get 0) (i64.const 0xfffff))", |x| x & 0xf_ffff, OFFSETS;
    "masked with a mask too wide", "(i64.and (local.get 0) (i64.const 0xffffffffff))",
        |x| x & 0xff_ffff_ffff, FEW;
    "high bits", "(i64.shr_u (local.get 0) (i64.const 28))", |x| x >> 28, FEW;
    "too many high bits", "(i64.shr_u (local.get 0) (i64.const 27))", |x| x >> 27, FEW;
    "product", "(i64.mul (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 16))",
        |x| low(x) * 16, FEW;
    "product that wraps",
        "(i64.mul (i64.extend_i32_u (i32.wrap_i64 (local.get 0))) (i64.const 0x100000001))",
        |x| low(x).wrapping_mul(0x1_0000_0001), FEW;
    "joined bits", "(i64.or (local.get 0) (i64.const 1))", |x| x | 1, FEW;
    "choice", "(select (local.get 0) (i64.const 3) (i64.eqz (i64.and (local.get 0) (i64.const 1))))",
        |x| if x & 1 == 0 { x } else { 3 }, FEW;
};

/// Numbers around everything that matters to somebody.
fn numbers() -> Vec<u64> {
    let ends = [0, 1 << 16, 2 << 16, 3 << 16, 1 << 30, 1 << 31, 1 << 32, 1 << 33];
    let far = [1 << 36, (1 << 36) + (1 << 30), (1 << 36) + (1 << 31), (1 << 36) + (3 << 30)];
    let beyond = [1 << 37, 1 << 38, 1 << 44, 1 << 47, 1 << 48, 1 << 63];
    let near = [-131_072, -65_008, -100, -40, -24, -17, -16, -9, -8, -7, -1, 0, 1, 7, 8];
    let mut all = Vec::new();
    for end in ends.into_iter().chain(far).chain(beyond) {
        for delta in near.into_iter().chain([-(1 << 30), 1 << 30, -(1 << 30) - 8]) {
            all.push(u64::wrapping_add_signed(end, delta));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn byte(at: u64) -> u8 {
    (at.wrapping_mul(167) ^ at >> 8) as u8
}

/// What a load of eight bytes gives in a memory of so many.
fn expected(index: u64, offset: u64, bytes: u64) -> Option<u64> {
    let at = u128::from(index) + u128::from(offset);
    (at + 8 <= u128::from(bytes))
        .then(|| u64::from_le_bytes(std::array::from_fn(|n| byte(at as u64 + n as u64))))
}

/// Where the memory is: its number, and the declarations.
const PLACES: [(&str, u32, &str); 4] = [
    ("defined", 0, "(memory i64 1 4)"),
    ("second", 1, "(memory 1) (memory i64 1)"),
    ("imported", 0, r#"(import "" "memory" (memory i64 1))"#),
    ("shared", 0, "(memory i64 1 4 shared)"),
];

fn text(memory: u32, declarations: &str) -> String {
    let mut text = format!(
        r#"(module {declarations}
            (func (export "grow") (result i64) (memory.grow {memory} (i64.const 1)))
            (func (export "fill") (local i64)
                (loop
                    (i32.store8 {memory} (local.get 0) (i32.xor
                        (i32.mul (i32.wrap_i64 (local.get 0)) (i32.const 167))
                        (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 8)))))
                    (local.set 0 (i64.add (local.get 0) (i64.const 1)))
                    (br_if 0 (i64.lt_u (local.get 0)
                        (i64.shl (memory.size {memory}) (i64.const 16))))))"#
    );
    for (number, shape) in SHAPES.iter().enumerate() {
        for offset in shape.offsets {
            text += &format!(
                r#"(func (export "{number} {offset}") (param i64) (result i64)
                    (i64.load {memory} offset={offset} {}))"#,
                shape.wat
            );
        }
    }
    text + ")"
}

/// Function and offset of the first trap of each function.
type Traps = Vec<(u32, Option<u32>)>;

struct Run {
    store: Store<()>,
    instance: Instance,
    name: String,
}

impl Run {
    fn new(engine: &Engine, name: String, memory: u32, declarations: &str) -> Run {
        let module = Module::new(engine, text(memory, declarations)).expect(&name);
        let mut store = Store::new(engine, ()).expect("a store");
        let ty = MemoryType {
            minimum: 1,
            maximum: None,
            index64: true,
            shared: false,
            page_size_log2: 16,
        };
        let imports = match declarations.starts_with("(import") {
            true => vec![Extern::from(Memory::new(&mut store, ty).expect("a memory"))],
            false => vec![],
        };
        let instance = Instance::new(&mut store, &module, &imports).expect(&name);
        Run { store, instance, name }
    }

    fn call(&mut self, function: &str) -> u64 {
        let function = self.instance.get_typed_func::<(), u64>(&self.store, function);
        function.expect("an export").call(&mut self.store, ()).expect("no trap")
    }

    /// Every shape at every number, in a memory of so many bytes.
    fn check(&mut self, bytes: u64, numbers: &[u64]) -> Traps {
        let fill = self.instance.get_typed_func::<(), ()>(&self.store, "fill").expect("an export");
        fill.call(&mut self.store, ()).expect("no trap");
        let mut traps = Traps::new();
        for (number, shape) in SHAPES.iter().enumerate() {
            for &offset in shape.offsets {
                traps.extend(self.check_function(number, shape, offset, bytes, numbers));
            }
        }
        traps
    }

    fn check_function(
        &mut self,
        number: usize,
        shape: &Shape,
        offset: u64,
        bytes: u64,
        numbers: &[u64],
    ) -> Option<(u32, Option<u32>)> {
        let load = format!("{number} {offset}");
        let load = self.instance.get_typed_func::<u64, u64>(&self.store, &load).expect("an export");
        let mut first = None;
        for &x in numbers {
            let about = || format!("`{}` of {x:#x}, offset {offset:#x}, {}", shape.name, self.name);
            match (load.call(&mut self.store, x), expected((shape.index)(x), offset, bytes)) {
                (Ok(got), Some(wanted)) => assert_eq!(got, wanted, "{}", about()),
                (Err(error), None) => {
                    assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{}", about());
                    let frame = &error.backtrace().expect("traps have one").frames()[0];
                    let place = (frame.func_index().as_u32(), frame.wasm_offset());
                    assert_eq!(*first.get_or_insert(place), place, "{}", about());
                }
                (got, wanted) => panic!("{}: {got:?}, not {wanted:?}", about()),
            }
        }
        first
    }
}

#[test]
fn addresses_are_those_of_the_specification() {
    let all_numbers = numbers();
    for (place, memory, declarations) in PLACES {
        // How an address is made does not depend on the place.
        let step = if place == "defined" { 1 } else { 7 };
        let numbers: Vec<u64> = all_numbers.iter().copied().step_by(step).collect();
        let mut all: Option<[Traps; 2]> = None;
        for tier in tiers() {
            for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
                let engine = Engine::new(Config::new().tier(tier).memory(choice));
                let engine = engine.expect("an engine");
                assert_eq!(engine.clamps_memory64(), choice == MemoryChoice::Guard);
                let name = format!("{place} memory, {tier:?}, {choice:?}");
                let mut run = Run::new(&engine, name, memory, declarations);
                let small = run.check(1 << 16, &numbers);
                assert_eq!(run.call("grow"), 1, "{}", run.name);
                let some: Vec<u64> = numbers.iter().copied().step_by(3).collect();
                let grown = run.check(2 << 16, &some);
                let name = run.name;
                let traps = [small, grown];
                assert_eq!(all.get_or_insert_with(|| traps.clone()), &traps, "{name}");
            }
        }
    }
}

/// Accesses that share a clamp, stores, wide and atomic ones.
const OTHERS: &str = r#"(module (memory (export "memory") i64 1)
    (func (export "fields") (param i64) (result i64)
        (i64.add (i64.load (i64.add (local.get 0) (i64.const 8)))
            (i64.add (i64.load (local.get 0))
                (i64.load (i64.add (local.get 0) (i64.const -8))))))
    (func (export "store") (param i64) (i64.store offset=4 (local.get 0) (i64.const -1)))
    (func (export "store sum") (param i64)
        (i64.store (i64.add (local.get 0) (i64.const 4)) (i64.const -1)))
    (func (export "vector") (param i64) (result i64)
        (i64x2.extract_lane 1 (v128.load (local.get 0))))
    (func (export "add") (param i64) (result i64)
        (i64.atomic.rmw.add (local.get 0) (i64.const 1)))
    (func (export "add to sum") (param i64) (result i64)
        (i64.atomic.rmw.add (i64.add (local.get 0) (i64.const 16)) (i64.const 1)))
    (func $nothing)
    (func (export "again, elsewhere") (param i64) (result i64)
        (drop (i64.load (local.get 0)))
        (local.set 0 (i64.add (local.get 0) (i64.const 0x10000000000)))
        (i64.load (local.get 0)))
    (func (export "again, changed on one arm") (param i64) (result i64)
        (drop (i64.load (local.get 0)))
        (if (i64.eqz (i64.load (i64.const 0))) (then (local.set 0 (i64.const -4))))
        (i64.load (local.get 0)))
    (func (export "after one arm") (param i64) (result i64)
        (if (i64.eqz (i64.and (local.get 0) (i64.const 1)))
            (then (drop (i64.load (local.get 0))))
            (else (drop (i64.load (i64.const 8)))))
        (i64.load offset=8 (local.get 0)))
    (func (export "again after a call") (param i64) (result i64)
        (drop (i64.load (local.get 0)))
        call $nothing
        (drop (i64.load offset=8 (local.get 0)))
        call $nothing
        (i64.load offset=16 (local.get 0)))
    (func (export "itself") (param i64) (result i64)
        (i64.store (local.get 0) (local.get 0))
        (i64.load (local.get 0)))
    (func (export "loop") (param i64) (result i64) (local i64)
        (loop
            (local.set 1 (i64.add (local.get 1) (i64.load8_u (local.get 0))))
            (local.set 0 (i64.add (local.get 0) (i64.const 1)))
            (br 0))
        unreachable))"#;

#[test]
fn accesses_of_every_kind_end_where_the_memory_ends() {
    const OUT: Option<TrapCode> = Some(TrapCode::MemoryOutOfBounds);
    const UNALIGNED: Option<TrapCode> = Some(TrapCode::UnalignedAtomic);
    let most = u64::MAX;
    for (function, at, trap) in [
        ("fields", 8, None),
        ("fields", 65520, None),
        ("fields", 65521, OUT),
        ("fields", 7, OUT),
        ("fields", 0, OUT),
        ("fields", most - 7, OUT),
        ("store", 65524, None),
        ("store", 65525, OUT),
        ("store", most - 3, OUT),
        ("store sum", most - 3, None),
        ("store sum", most - 4, OUT),
        ("store sum", 65524, None),
        ("store sum", 65525, OUT),
        ("vector", 65520, None),
        ("vector", 65521, OUT),
        ("vector", 1 << 36, OUT),
        ("add", 65528, None),
        ("add", 65536, OUT),
        ("add", 65529, UNALIGNED),
        ("add", (1 << 40) + 1, UNALIGNED),
        ("add", 1 << 40, OUT),
        ("add to sum", most - 15, None),
        ("add to sum", most - 23, OUT),
        ("add to sum", 65512, None),
        ("add to sum", 65520, OUT),
        ("add to sum", 65519, UNALIGNED),
        ("again, elsewhere", 8, OUT),
        ("again, changed on one arm", 8, OUT),
        ("after one arm", 8, None),
        ("after one arm", 9, None),
        ("after one arm", 65528, OUT),
        ("after one arm", 65529, OUT),
        ("after one arm", (1 << 40) + 1, OUT),
        ("again after a call", 65512, None),
        ("again after a call", 65513, OUT),
        ("again after a call", 65521, OUT),
        ("again after a call", 1 << 40, OUT),
        ("itself", 65528, None),
        ("itself", 65529, OUT),
        ("itself", 1 << 40, OUT),
        ("loop", 65000, OUT),
        ("loop", most - 10, OUT),
    ] {
        for tier in tiers() {
            for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
                let name = format!("`{function}` at {at:#x}, {tier:?}, {choice:?}");
                let engine =
                    Engine::new(Config::new().tier(tier).memory(choice)).expect("an engine");
                let module = Module::new(&engine, OTHERS).expect("a valid module");
                let mut store = Store::new(&engine, ()).expect("a store");
                let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
                let func = instance.get_func(&store, function).expect("an export");
                let mut results = vec![Val::I64(0); func.ty(&store).results.len()];
                let done = func.call(&mut store, &[Val::I64(at.cast_signed())], &mut results);
                assert_eq!(done.err().and_then(|error| error.trap_code()), trap, "{name}");
                let memory = instance.get_memory(&store, "memory").expect("an export");
                // What traps writes nothing.
                let is_written = memory.data(&store).iter().any(|&byte| byte != 0);
                let stores = ["store", "add", "itself"];
                let writes = stores.iter().any(|prefix| function.starts_with(prefix));
                assert_eq!(is_written, writes && trap.is_none(), "{name}");
            }
        }
    }
}

#[test]
fn a_memory_may_be_as_large_as_its_room_and_no_larger_access_reaches_it() {
    const PAGES: i64 = (64 << 30) >> 16;
    let text = r#"(module (memory i64 0)
        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
        (func (export "load") (param i64) (result i64) (i64.load (local.get 0)))
        (func (export "field") (param i64) (result i64) (i64.load offset=8 (local.get 0)))
        (func (export "sum") (param i64) (result i64)
            (i64.load (i64.add (local.get 0) (i64.const 8))))
        (func (export "store") (param i64 i64) (i64.store (local.get 0) (local.get 1))))"#;
    for tier in tiers() {
        let engine = Engine::new(Config::new().tier(tier).memory(MemoryChoice::Guard));
        let engine = engine.expect("an engine");
        let module = Module::new(&engine, text).expect("a valid module");
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let grow = instance.get_typed_func::<i64, i64>(&store, "grow").expect("an export");
        assert_eq!(grow.call(&mut store, PAGES + 1).expect("no trap"), -1, "{tier:?}");
        assert_eq!(grow.call(&mut store, PAGES).expect("no trap"), 0, "{tier:?}");
        assert_eq!(grow.call(&mut store, 1).expect("no trap"), -1, "{tier:?}");
        assert_eq!(grow.call(&mut store, 0).expect("no trap"), PAGES, "{tier:?}");
        let end: u64 = 64 << 30;
        let put = instance.get_typed_func::<(u64, u64), ()>(&store, "store").expect("an export");
        put.call(&mut store, (end - 8, 5)).expect("in bounds");
        assert!(put.call(&mut store, (end - 7, 1)).is_err(), "{tier:?}");
        for (function, at, value) in [
            ("load", end - 8, Some(5)),
            ("load", end - 7, None),
            ("load", end, None),
            ("field", end - 16, Some(5)),
            ("field", end - 15, None),
            ("sum", end - 16, Some(5)),
            ("sum", end - 15, None),
            ("sum", end - 8, None),
            ("sum", 0u64.wrapping_sub(8), Some(0)),
        ] {
            let load = instance.get_typed_func::<u64, u64>(&store, function).expect("an export");
            let got = load.call(&mut store, at);
            assert_eq!(got.ok(), value, "`{function}` at {at:#x}, {tier:?}");
        }
    }
}

#[test]
fn minima_beyond_the_usual_room_are_granted_and_grow() {
    let text = r#"(module (memory (export "memory") i64 0x140000)
        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
        (func (export "load") (param i64) (result i64) (i64.load (local.get 0))))"#;
    for tier in tiers() {
        let engine = Engine::new(Config::new().tier(tier).memory(MemoryChoice::Guard));
        let engine = engine.expect("an engine");
        let module = Module::new(&engine, text).expect("a valid module");
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance = Instance::new(&mut store, &module, &[]).expect("80 GiB");
        let load = instance.get_typed_func::<u64, u64>(&store, "load").expect("an export");
        assert_eq!(load.call(&mut store, (80 << 30) - 8).ok(), Some(0), "{tier:?}");
        assert_eq!(load.call(&mut store, (80 << 30) - 7).ok(), None, "{tier:?}");
        let grow = instance.get_typed_func::<i64, i64>(&store, "grow").expect("an export");
        assert_eq!(grow.call(&mut store, 1).expect("no trap"), 0x14_0000, "{tier:?}");
        assert_eq!(load.call(&mut store, (80 << 30) - 7).ok(), Some(0), "{tier:?}");
    }
}
