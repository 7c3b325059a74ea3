//! Damaged modules are refused without a panic.

use wasmoor_module::{Features, LoadError, Module};

/// A module with every kind of section.
fn rich() -> Vec<u8> {
    let text = r#"(module $demo
        (type $t (func (param i32) (result i32)))
        (import "env" "f" (func (param i32 v128)))
        (import "env" "g" (global i32))
        (table $t 10 funcref) (memory 1 2) (tag (param i32))
        (global (mut i64) (i64.add (i64.const 1) (i64.const 3)))
        (export "run" (func $run)) (start $start)
        (elem (table $t) (i32.const 1) func $run $start)
        (elem funcref (ref.func $run) (ref.null func))
        (func $start)
        (func $run (type $t) (local i64 f32)
            block $b
              local.get 0 i32.eqz br_if $b
              loop (result i32) local.get 0 i32.const 1 i32.sub local.tee 0 br_table 0 1 0 end
              drop
            end
            (drop (i32.load offset=4 align=2 (i32.const 8)))
            (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 1))
            (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (v128.const i64x2 1 2) (v128.const i64x2 1 2)))
            (call_indirect (type $t) (i32.const 1) (local.get 0)))
        (data (i32.const 8) "abc") (data "passive"))"#;
    wat::parse_str(text).unwrap()
}

/// Loads and, if that works, reads everything that is read lazily.
fn exercise(bytes: &[u8]) -> Result<(), LoadError> {
    let module = Module::parse(bytes, &Features::WASM3, 1);
    match module {
        Ok(module) => {
            for index in module.functions.keys() {
                let _ = (module.func_name(index), module.func_display_name(index));
            }
            for index in module.bodies.keys() {
                assert!(module.body_bytes(index).ends_with(&[0x0b]));
            }
            for index in module.data.keys() {
                let _ = module.data_bytes(index);
            }
            Ok(())
        }
        Err(error) => {
            let offset = error.offset().unwrap_or(0);
            assert!(offset <= bytes.len() as u64, "{error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            Err(error)
        }
    }
}

#[test]
fn truncated_modules_are_malformed() {
    let bytes = rich();
    exercise(&bytes).unwrap();
    for len in 1..bytes.len() {
        match exercise(&bytes[..len]) {
            // Between sections, the module may just be complete, or lack what it promised.
            Ok(()) | Err(LoadError::Malformed(_)) => {}
            Err(LoadError::Invalid(fault)) => {
                assert!(fault.reason.starts_with("unknown "), "{len}: {fault}");
            }
            Err(error) => panic!("{len}: {error}"),
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let bytes = rich();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            refused += u32::from(exercise(&damaged).is_err());
        }
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let _ = exercise(&damaged);
        }
    }
    assert!(refused > bytes.len() as u32, "{refused}");
}
