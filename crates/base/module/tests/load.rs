//! What is loaded, what is refused and with which words.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use wasmoor_abi::{DefinedFuncIndex, FuncIndex, RefFamily, ValType};
use wasmoor_module::{Feature, Features, FuncFacts, LoadError, Module, Source};

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn load_with(text: &str, features: Features) -> Result<Module, LoadError> {
    Module::parse(wasm(text), &features, 1)
}

fn load(text: &str) -> Module {
    load_with(text, Features::default()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Bytes after the header of a module.
fn after_header(rest: &[u8]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0", rest].concat()
}

#[test]
fn input_that_is_no_module_is_named() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "not a WebAssembly module: the input is empty"),
        (
            b"(module)",
            "not a WebAssembly module in the binary format: this looks like the text format",
        ),
        (
            b"\n ;; x\n(module)",
            "not a WebAssembly module in the binary format: this looks like the text format",
        ),
        (
            b"\xef\xbb\xbf(module)",
            "not a WebAssembly module in the binary format: this looks like the text format",
        ),
        (b"\x7fELF", "not a WebAssembly module: it does not start with the bytes 00 61 73 6d"),
        (b"\0asm\x0d\0\x01\0", "this is a component, not a core WebAssembly module"),
        (b"\0as", "malformed module at offset 0x3: unexpected end of file in the module header"),
        (
            b"\0asm\x01\0",
            "malformed module at offset 0x6: unexpected end of file in the module header",
        ),
        (b"\0asm\x02\0\0\0", "malformed module at offset 0x4: unknown binary version"),
    ];
    for (bytes, expected) in cases {
        let error = Module::parse(*bytes, &Features::default(), 1).unwrap_err();
        assert_eq!(error.to_string(), *expected, "{bytes:?}");
    }
}

#[test]
fn malformed_bytes_are_told_from_invalid_modules() {
    // Sections: id, length, content.
    let cases: &[(&[u8], &str)] = &[
        (&[0x1f, 0], "malformed module at offset 0xa: malformed section id: 31"),
        (&[1, 5, 1], "malformed module at offset 0xa: unexpected end-of-file"),
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
            "malformed module at offset 0x12: function section has non-zero count but code section is absent",
        ),
        // A body with an unknown opcode, behind an invalid one: decoding comes first.
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 3, 2, 0, 0, 10, 8, 2, 3, 0, 0x1a, 0x0b, 2, 0, 0xff],
            "malformed module at offset 0x1c: illegal opcode: 0xff (in function 1)",
        ),
        // The same without it.
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 5, 1, 3, 0, 0x1a, 0x0b],
            "invalid module at offset 0x17: type mismatch: expected a type but nothing on stack (in function 0)",
        ),
        // data.drop without a data count section.
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 7, 1, 5, 0, 0xfc, 9, 0, 0x0b, 11, 3, 1, 1, 0],
            "malformed module at offset 0x17: data count section required (in function 0)",
        ),
        // Operators behind the end of the body.
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 5, 1, 3, 0, 0x0b, 0x0b],
            "malformed module at offset 0x18: operators remaining after end of function body or expression (in function 0)",
        ),
        // 2^32 locals.
        (
            &[
                1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 0x0f, 1, 0x0d, 2, 0xff, 0xff, 0xff, 0xff,
                0x0f, 0x7f, 2, 0x7f, 0x0b, 0, 0, 0,
            ],
            "malformed module at offset 0x1e: too many locals (in function 0)",
        ),
        // 50,001 locals.
        (
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 8, 1, 6, 1, 0xd1, 0x86, 0x03, 0x7f, 0x0b],
            "module too large at offset 0x17: too many locals: locals exceed maximum (in function 0)",
        ),
    ];
    let mut wrong = Vec::new();
    for (rest, expected) in cases {
        let error = Module::parse(after_header(rest), &Features::default(), 1).unwrap_err();
        let found = error.to_string();
        if found != *expected {
            wrong.push((found, expected));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn faults_name_their_function() {
    let body = "(i64.const 1)";
    let cases = [
        (
            format!(r#"(module (func) (func $main (result i32) {body}))"#),
            r#"(in function 1 "main")"#,
        ),
        (
            format!(r#"(module (func) (func (export "run") (result i32) {body}))"#),
            r#"(in function 1 "run")"#,
        ),
        (
            format!(r#"(module (import "a" "b" (func)) (func (result i32) {body}))"#),
            "(in function 1)",
        ),
    ];
    for (text, expected) in cases {
        let error = load_with(&text, Features::default()).unwrap_err();
        assert!(matches!(error, LoadError::Invalid(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains("type mismatch: expected i32, found i64"), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn proposals_are_switched() {
    // Each text needs exactly this proposal beyond the ones that it stands on.
    let cases = [
        (Feature::MutableGlobal, r#"(module (import "a" "b" (global (mut i32))))"#),
        (
            Feature::SaturatingFloatToInt,
            "(module (func (drop (i32.trunc_sat_f32_s (f32.const 0)))))",
        ),
        (Feature::SignExtension, "(module (func (drop (i32.extend8_s (i32.const 0)))))"),
        (Feature::MultiValue, "(module (func (result i32 i32) unreachable))"),
        (
            Feature::BulkMemory,
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
        ),
        (Feature::ReferenceTypes, "(module (func (param externref)))"),
        (Feature::Simd, "(module (func (param v128)))"),
        (Feature::ExtendedConst, "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
        (Feature::TailCall, "(module (func (return_call 0)))"),
        (Feature::MultiMemory, "(module (memory 1) (memory 1))"),
        (Feature::Memory64, "(module (memory i64 1))"),
        (
            Feature::RelaxedSimd,
            "(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))",
        ),
        (Feature::Threads, "(module (memory 1 1 shared))"),
        (Feature::Exceptions, "(module (tag))"),
        (Feature::LegacyExceptions, "(module (func try end))"),
        (Feature::FunctionReferences, "(module (func (param (ref func))))"),
        (
            Feature::WideArithmetic,
            "(module (func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0))))",
        ),
        (Feature::CustomPageSizes, "(module (memory 1 (pagesize 1)))"),
    ];
    let all: Features = Feature::ALL.iter().copied().collect();
    for (feature, text) in cases {
        if let Err(e) = load_with(text, all) {
            panic!("{feature}: {e}");
        }
        match load_with(text, all.without(feature)) {
            Err(LoadError::Unsupported { feature: Some(named), .. }) => {
                assert_eq!(named, feature, "{text}");
            }
            // The validator does not name the proposal for these.
            Err(LoadError::Invalid(_)) => assert!(
                matches!(feature, Feature::MultiMemory | Feature::MultiValue | Feature::Threads),
                "{feature}"
            ),
            other => panic!("{feature}: {other:?}"),
        }
    }
}

#[test]
fn what_the_description_cannot_hold_is_unsupported() {
    let cases = [
        (
            "(module (type $s (struct)) (func (drop (struct.new_default $s))))",
            "`struct.new_default` is not implemented",
        ),
        (
            "(module (func (param anyref) (drop (ref.test (ref i31) (local.get 0)))))",
            "`ref.test` is not implemented",
        ),
        (
            "(module (func (param anyref) (result anyref)
                (br_on_cast 0 anyref eqref (local.get 0))))",
            "`br_on_cast` is not implemented",
        ),
        (
            "(module (global i31ref (ref.i31 (i32.const 1))))",
            "objects in constant expressions are not implemented",
        ),
    ];
    for (text, expected) in cases {
        let error = load_with(text, Features::WASM3).unwrap_err();
        let LoadError::Unsupported { feature: Some(Feature::Gc), fault } = error else {
            panic!("{error}")
        };
        assert_eq!(fault.reason, expected);
    }
}

/// A module's description as text, without what other tests look at.
fn describe(m: &Module) -> String {
    let mut out = String::new();
    for import in &m.imports {
        writeln!(out, "import {}.{} {:?}", import.module, import.name, import.entity).unwrap();
    }
    for export in &m.exports {
        writeln!(out, "export {} {:?}", export.name, export.entity).unwrap();
    }
    for (index, ty) in &m.types {
        writeln!(out, "{index} {ty}").unwrap();
    }
    for (index, ty) in &m.functions {
        writeln!(out, "{index} {ty}").unwrap();
    }
    for (index, ty) in &m.tables {
        writeln!(out, "{index} {ty}").unwrap();
    }
    for (index, init) in &m.table_inits {
        writeln!(out, "{index} = {:?}", init.ops).unwrap();
    }
    for (index, ty) in &m.memories {
        writeln!(out, "{index} {ty}").unwrap();
    }
    for (index, ty) in &m.globals {
        writeln!(out, "{index} {ty}").unwrap();
    }
    for (index, init) in &m.global_inits {
        writeln!(out, "{index} = {:?}", init.ops).unwrap();
    }
    for (index, segment) in &m.elements {
        writeln!(out, "{index} {} {:?} {:?}", segment.element, segment.mode, segment.items)
            .unwrap();
    }
    for (index, segment) in &m.data {
        writeln!(
            out,
            "{index} {:?} {:?}",
            segment.mode,
            m.data_bytes(index).escape_ascii().to_string()
        )
        .unwrap();
    }
    if let Some(start) = m.start {
        writeln!(out, "start {start}").unwrap();
    }
    out
}

#[test]
fn sections_are_described() {
    let text = r#"(module $demo
        (import "env" "f" (func (param i32 v128) (result f64)))
        (import "env" "t" (table 1 2 externref))
        (import "env" "m" (memory 1))
        (import "env" "g" (global i32))
        (type $pair (func (result i32 i64)))
        (func $one (type $pair) unreachable)
        (func $two)
        (table $t 10 funcref)
        (memory $n i64 2 3)
        (global (mut i64) (i64.add (i64.const 1) (i64.mul (i64.const -1) (i64.const 3))))
        (global i32 (i32.sub (global.get 0) (i32.const 5)))
        (global v128 (v128.const i32x4 1 2 3 4))
        (global f32 (f32.const -0))
        (global f64 (f64.const inf))
        (global externref (ref.null extern))
        (global funcref (ref.func $one))
        (export "two" (func $two))
        (export "mem" (memory $n))
        (start $two)
        (elem (table $t) (i32.const 1) func $one $two)
        (elem (table $t) (offset (global.get 0)) funcref (ref.func $two) (ref.null func))
        (elem func $one)
        (elem declare func $two)
        (elem funcref (ref.func $one) (ref.func $one))
        (elem externref (ref.null extern))
        (data (memory $n) (i64.const 8) "a\00b")
        (data "passive")
    )"#;
    let m = load(text);
    assert_eq!(m.name.as_deref(), Some("demo"));
    let expected = "\
import env.f Func(func0)
import env.t Table(table0)
import env.m Memory(memory0)
import env.g Global(global0)
export two Func(func2)
export mem Memory(memory1)
type0 () -> (i32, i64)
type1 (i32, v128) -> f64
type2 ()
func0 type1
func1 type0
func2 type2
table0 table 1 2 externref
table1 table 10 funcref
dtable0 = [RefNull(Func)]
memory0 memory 1
memory1 memory i64 2 3
global0 global i32
global1 global (mut i64)
global2 global i32
global3 global v128
global4 global f32
global5 global f64
global6 global externref
global7 global funcref
dglobal0 = [I64Const(1), I64Const(-1), I64Const(3), I64Mul, I64Add]
dglobal1 = [GlobalGet(global0), I32Const(5), I32Sub]
dglobal2 = [V128Const(316912650112397582603894390785)]
dglobal3 = [F32Const(2147483648)]
dglobal4 = [F64Const(9218868437227405312)]
dglobal5 = [RefNull(Extern)]
dglobal6 = [RefFunc(func1)]
elem0 funcref Active { table: table1, offset: ConstExpr { ops: [I32Const(1)] } } Funcs([func1, func2])
elem1 funcref Active { table: table1, offset: ConstExpr { ops: [GlobalGet(global0)] } } Exprs([ConstExpr { ops: [RefFunc(func2)] }, ConstExpr { ops: [RefNull(Func)] }])
elem2 funcref Passive Funcs([func1])
elem3 funcref Declared Funcs([func2])
elem4 funcref Passive Funcs([func1, func1])
elem5 externref Passive Exprs([ConstExpr { ops: [RefNull(Extern)] }])
data0 Active { memory: memory1, offset: ConstExpr { ops: [I64Const(8)] } } \"a\\\\x00b\"
data1 Passive \"passive\"
start func2
";
    assert_eq!(describe(&m), expected);
    assert_eq!(m.counts.imported_funcs, 1);
    assert_eq!(m.counts.defined_tables, 1);
    assert_eq!(m.counts.defined_memories, 1);
    assert_eq!(m.counts.defined_globals, 7);
    assert_eq!(m.layout.counts(), &m.counts);
    let one = m.defined_func(FuncIndex::from_u32(1)).unwrap();
    assert_eq!(m.func_index(one), FuncIndex::from_u32(1));
    assert_eq!(m.body_bytes(one), [0, 0, 0x0b]);
    assert_eq!(m.defined_func(FuncIndex::from_u32(0)), None);
    assert_eq!(m.func_type(FuncIndex::from_u32(0)).to_string(), "(i32, v128) -> f64");
    assert_eq!(m.export("two").map(|e| format!("{e:?}")).as_deref(), Some("Func(func2)"));
    assert_eq!(m.export("three"), None);
    assert!(m.custom_section("name").is_some());
}

#[test]
fn functions_have_names_for_people() {
    let m = load(
        r#"(module (import "env" "f" (func))
            (func $named) (func (export "out")) (func))"#,
    );
    let names =
        |i| (m.func_name(FuncIndex::from_u32(i)), m.func_display_name(FuncIndex::from_u32(i)));
    assert_eq!(names(0), (None, "env.f".into()));
    assert_eq!(names(1), (Some("named"), "named".into()));
    assert_eq!(names(2), (None, "out".into()));
    assert_eq!(names(3), (None, "func[3]".into()));
    assert_eq!(names(u32::MAX - 1), (None, "func[4294967294]".into()));
}

#[test]
fn damaged_name_sections_are_ignored() {
    // A custom section "name" with this content, after a module with one function.
    let module = |content: &[u8]| {
        let mut bytes = wasm("(module (func))");
        let len = u8::try_from(content.len() + 5).unwrap();
        bytes.extend([0, len, 4]);
        bytes.extend(b"name");
        bytes.extend(content);
        Module::parse(bytes, &Features::default(), 1).unwrap()
    };
    let cases: &[(&[u8], Option<&str>, Option<&str>)] = &[
        // Subsections: id, length, content.
        (&[0, 2, 1, b'm', 1, 4, 1, 0, 1, b'f'], Some("m"), Some("f")),
        (&[1, 4, 1, 0, 1, b'f'], None, Some("f")),
        // Order wrong, truncated, not UTF-8, far too many, no such function.
        (&[1, 4, 1, 0, 1, b'f', 0, 2, 1, b'm'], None, Some("f")),
        (&[0, 2, 1, b'm', 1, 4, 1, 0, 9, b'f'], Some("m"), None),
        (&[0, 2, 1, 0xff, 1, 4, 1, 0, 1, b'f'], None, None),
        (&[1, 8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, b'f'], None, Some("f")),
        (&[1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, b'f'], None, None),
        (&[0xff], None, None),
        (&[], None, None),
    ];
    for (content, name, func) in cases {
        let m = module(content);
        assert_eq!(m.name.as_deref(), *name, "{content:?}");
        assert_eq!(m.func_name(FuncIndex::from_u32(0)), *func, "{content:?}");
    }
}

/// Facts of the first function, with Wasm 3 plus threads.
fn facts(text: &str) -> FuncFacts {
    let m = load_with(text, Features::WASM3.with(Feature::Threads)).unwrap();
    m.facts(DefinedFuncIndex::from_u32(0)).clone()
}

#[test]
fn facts_of_small_functions() {
    let empty = FuncFacts { operators: 1, control_depth_max: 1, ..FuncFacts::default() };
    let cases = [
        ("(func)", empty.clone()),
        (
            "(func (param i32) (local i64) local.get 0 drop)",
            FuncFacts {
                locals: 2,
                operators: 3,
                stack_height_max: 1,
                local_weights: [1, 0].into(),
                ..empty.clone()
            },
        ),
        (
            // Uses outside, in a loop, in a block in that loop, in an inner loop, and behind them.
            "(func (param i32)
                local.get 0 drop
                loop
                  local.get 0 local.set 0
                  block local.get 0 drop end
                  loop local.get 0 local.tee 0 drop end
                  local.get 0 drop
                end
                local.get 0 drop)",
            FuncFacts {
                locals: 1,
                operators: 20,
                loops: 2,
                control_depth_max: 3,
                stack_height_max: 1,
                local_weights: [1 + 2 * 8 + 8 + 2 * 64 + 8 + 1].into(),
                ..empty.clone()
            },
        ),
        (
            "(func (result i32) i32.const 1 if (result i32) i32.const 2 else i32.const 3 i32.const 4 i32.add end)",
            FuncFacts { operators: 9, control_depth_max: 2, stack_height_max: 2, ..empty.clone() },
        ),
        ("(func call 0)", FuncFacts { operators: 2, has_call: true, ..empty.clone() }),
        ("(func return_call 0)", FuncFacts { operators: 2, has_call: true, ..empty.clone() }),
        (
            "(table 1 funcref) (func i32.const 0 call_indirect)",
            FuncFacts { operators: 3, stack_height_max: 1, has_call: true, ..empty.clone() },
        ),
        (
            "(table 1 funcref) (func i32.const 0 return_call_indirect)",
            FuncFacts { operators: 3, stack_height_max: 1, has_call: true, ..empty.clone() },
        ),
        (
            "(type $t (func)) (func (param (ref $t)) local.get 0 call_ref $t)",
            FuncFacts {
                locals: 1,
                operators: 3,
                stack_height_max: 1,
                has_call: true,
                local_weights: [1].into(),
                ..empty.clone()
            },
        ),
        (
            "(memory 1) (func i32.const 0 i32.load8_s drop)",
            FuncFacts { operators: 4, stack_height_max: 1, uses_memory: true, ..empty.clone() },
        ),
        (
            "(memory 1) (func memory.size drop)",
            FuncFacts { operators: 3, stack_height_max: 1, uses_memory: true, ..empty.clone() },
        ),
        (
            "(memory 1) (func i32.const 0 i32.const 0 i32.const 0 memory.fill)",
            FuncFacts { operators: 5, stack_height_max: 3, uses_memory: true, ..empty.clone() },
        ),
        (
            "(memory 1 1 shared) (func i32.const 0 i32.atomic.load drop)",
            FuncFacts { operators: 4, stack_height_max: 1, uses_memory: true, ..empty.clone() },
        ),
        (
            "(memory 1) (func i32.const 0 v128.load drop)",
            FuncFacts {
                operators: 4,
                stack_height_max: 1,
                uses_memory: true,
                uses_simd: true,
                ..empty.clone()
            },
        ),
        (
            "(func i32.const 0 i8x16.splat drop)",
            FuncFacts { operators: 4, stack_height_max: 1, uses_simd: true, ..empty.clone() },
        ),
        (
            "(func (local v128))",
            FuncFacts {
                locals: 1,
                operators: 1,
                uses_simd: true,
                local_weights: [0].into(),
                ..empty.clone()
            },
        ),
        (
            "(import \"a\" \"b\" (global v128)) (func global.get 0 drop)",
            FuncFacts { operators: 3, stack_height_max: 1, uses_simd: true, ..empty.clone() },
        ),
        (
            "(import \"a\" \"b\" (global v128)) (global i32 (i32.const 0)) (func global.get 1 drop)",
            FuncFacts { operators: 3, stack_height_max: 1, ..empty.clone() },
        ),
        (
            "(import \"a\" \"b\" (func (result v128 i32))) (func call 0 drop drop)",
            FuncFacts {
                operators: 4,
                stack_height_max: 2,
                has_call: true,
                uses_simd: true,
                ..empty.clone()
            },
        ),
        (
            "(tag) (func block try_table (catch 0 0) end end)",
            FuncFacts { operators: 5, control_depth_max: 3, tries: 1, ..empty.clone() },
        ),
        (
            "(tag (param v128)) (func block (result v128) try_table (catch 0 0) end unreachable end drop)",
            FuncFacts {
                operators: 7,
                control_depth_max: 3,
                stack_height_max: 1,
                tries: 1,
                uses_simd: true,
                ..empty.clone()
            },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(facts(&format!("(module {text})")), expected, "{text}");
    }
}

#[test]
fn weights_are_capped_saturate_and_stop_at_a_limit() {
    let uses = "local.get 0 drop ".repeat(2);
    let deep = facts(&format!(
        "(module (func (param i32) {}{uses}{}))",
        "loop ".repeat(9),
        "end ".repeat(9)
    ));
    assert_eq!(*deep.local_weights, [2 * 8u32.pow(6)]);

    let uses = "local.get 0 drop ".repeat(20_000);
    let hot = facts(&format!(
        "(module (func (param i32) {}{uses}{}))",
        "loop ".repeat(9),
        "end ".repeat(9)
    ));
    assert_eq!(*hot.local_weights, [u32::MAX]);

    let locals = "i32 ".repeat(300);
    let many =
        facts(&format!("(module (func (local {locals}) local.get 299 drop local.get 255 drop))"));
    assert_eq!(many.locals, 300);
    assert_eq!(many.local_weights.len(), FuncFacts::WEIGHED_LOCALS);
    assert_eq!(many.local_weights.iter().sum::<u32>(), 1);
}

/// A module with enough code to be validated on several threads. The functions differ, and the
/// one at `bad`, if any, is invalid.
fn large(bad: &[u32]) -> Vec<u8> {
    let mut text = String::from("(module");
    for i in 0..2000u32 {
        let body = "(local.set 0 (i64.add (local.get 0) (i64.const 123456789012)))"
            .repeat(10 + i as usize % 7);
        let end = if bad.contains(&i) { "(drop (i32.eqz (i64.const 0)))" } else { "" };
        write!(text, "(func $f{i} (param i64) {body} {end})").unwrap();
    }
    wasm(&(text + ")"))
}

#[test]
fn threads_do_not_change_the_result() {
    let bytes = large(&[]);
    let serial = Module::parse(&*bytes, &Features::default(), 1).unwrap();
    assert!(serial.code_bytes > 300_000, "{}", serial.code_bytes);
    for threads in [0, 2, 3, 16] {
        let parallel = Module::parse(&*bytes, &Features::default(), threads).unwrap();
        for (index, body) in &serial.bodies {
            assert_eq!(parallel.facts(index), serial.facts(index), "{threads} {index}");
            assert_eq!(parallel.bodies[index].range, body.range, "{threads} {index}");
        }
    }
}

#[test]
fn the_first_error_is_reported_on_any_number_of_threads() {
    let bytes = large(&[1200, 700, 701, 1999]);
    let serial = Module::parse(&*bytes, &Features::default(), 1).unwrap_err();
    assert!(serial.to_string().ends_with(r#"(in function 700 "f700")"#), "{serial}");
    for threads in [2, 3, 16] {
        for _ in 0..5 {
            let parallel = Module::parse(&*bytes, &Features::default(), threads).unwrap_err();
            assert_eq!(parallel, serial);
        }
    }
}

#[test]
fn errors_behind_the_code_come_after_errors_in_it() {
    let text = |body: &str| format!("(module (memory 1) (func {body}) (data (i64.const 0) \"\"))");
    let in_body = load_with(&text("i32.add"), Features::default()).unwrap_err();
    let in_data = load_with(&text("nop"), Features::default()).unwrap_err();
    assert!(in_body.to_string().contains("(in function 0)"), "{in_body}");
    assert!(in_data.fault().unwrap().func.is_none(), "{in_data}");
    assert!(in_body.offset() < in_data.offset());
}

/// Types of all kinds, in groups, with the places of references to them.
#[test]
fn defined_types_keep_their_groups_and_kinds() {
    let text = "(module
        (type $f (func (param (ref null $f))))
        (rec
            (type $s (sub (struct (field (mut i8)) (field (ref null $a)))))
            (type $a (array (mut (ref $s)))))
        (type $t (sub final $s (struct (field (mut i8)) (field (ref null $a)) (field i32))))
        (global (ref null $t) (ref.null none))
        (table 0 (ref null $f)))";
    let m = load_with(text, Features::WASM3).unwrap();
    let types: Vec<String> = m.types.values().map(ToString::to_string).collect();
    assert_eq!(
        types,
        [
            "((ref null 0))",
            "sub struct {(mut i8), (ref null 2)}",
            "array (mut (ref 1))",
            "sub final 1 struct {(mut i8), (ref null 2), i32}",
        ]
    );
    let groups: Vec<_> =
        m.rec_groups.iter().map(|group| group.start.as_u32()..group.end.as_u32()).collect();
    assert_eq!(groups, [0..1, 1..3, 3..4]);
    let ValType::Ref(global) = m.globals.values().next().unwrap().content else { panic!() };
    assert_eq!(global.family(), RefFamily::Any);
    assert_eq!(m.tables.values().next().unwrap().element.family(), RefFamily::Func);
}

#[test]
fn branch_hints_are_read_and_damaged_ones_ignored() {
    let text = r#"(module (import "h" "f" (func))
        (func (param i32)
            (@metadata.code.branch_hint "\00") (if (local.get 0) (then))
            (block (@metadata.code.branch_hint "\01") (br_if 0 (local.get 0))))
        (func))"#;
    let m = load(text);
    let hints = m.branch_hints(FuncIndex::from_u32(1));
    // One byte counts the locals, `local.get 0` takes two.
    assert_eq!(hints, [(3, false), (10, true)]);
    for other in [0, 2, 9] {
        assert_eq!(m.branch_hints(FuncIndex::from_u32(other)), []);
    }
    let section = |content: &[u8]| {
        let name = b"metadata.code.branch_hint";
        let len = (1 + name.len() + content.len()) as u8;
        let bytes = [&[0, len, name.len() as u8], &name[..], content].concat();
        Module::parse(after_header(&bytes), &Features::default(), 1).expect("a valid module")
    };
    let hints = |content: &[u8]| section(content).branch_hints(FuncIndex::from_u32(5)).to_vec();
    assert_eq!(hints(&[1, 5, 1, 7, 1, 1]), [(7, true)]);
    for damaged in
        [&[][..], &[0xff], &[1, 5, 1, 7, 2, 1], &[1, 5, 9], &[0xff, 0xff, 0xff, 0xff, 0xf]]
    {
        assert_eq!(hints(damaged), [], "{damaged:x?}");
    }
}

/// The bytes of a module, which are only given part by part.
struct InParts(Vec<u8>);

impl Source for InParts {
    fn whole(&self) -> Result<Arc<[u8]>, String> {
        Err("not at once".into())
    }

    fn part(&self, range: Range<u32>) -> Result<Box<[u8]>, String> {
        let part = self.0.get(range.start as usize..range.end as usize);
        part.map(Into::into).ok_or_else(|| "not there".into())
    }
}

#[test]
fn a_restored_module_has_its_branch_hints_before_its_bytes_are_read() {
    let text = r#"(module (func (param i32)
        (@metadata.code.branch_hint "\01") (if (local.get 0) (then))))"#;
    let bytes = wat::parse_str(text).expect("valid text");
    let parts = load(text).parts(false);
    let source = Box::new(InParts(bytes));
    let restored = Module::restore(parts, &Features::default(), source).expect("its parts");
    restored.require_body(DefinedFuncIndex::from_u32(0)).expect("its body");
    assert_eq!(restored.branch_hints(FuncIndex::from_u32(0)), [(3, true)]);
}
