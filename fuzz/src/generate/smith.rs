//! Modules from `wasm-smith`, made to end and to behave alike everywhere.

use crate::normal::normalize;
use crate::random::Random;
use arbitrary::Unstructured;
use wasm_smith::{Config, MemoryOffsetChoices, Module};

/// Function entries and loop rounds that one instance may make before it traps.
const STEPS: u32 = 2000;
/// Bytes of a memory: a few pages, so that ends are near and hashing is cheap.
const MEMORY_BYTES_MAX: u64 = 6 << 16;

pub(super) fn module(seed: u64) -> Option<Vec<u8>> {
    let mut random = Random::new(seed);
    let config = config(&mut random);
    let len = random.between(500, 6000);
    let bytes = random.bytes(len);
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    module.ensure_termination(STEPS).ok()?;
    normalize(&module.to_bytes()).ok()
}

fn config(random: &mut Random) -> Config {
    Config {
        // What Wasmoor implements and wasmi knows.
        bulk_memory_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled: true,
        tail_call_enabled: true,
        extended_const_enabled: true,
        memory64_enabled: random.chance(1, 4),
        exceptions_enabled: false,
        gc_enabled: false,
        compact_imports_enabled: false,
        custom_page_sizes_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        // Everything that a host can see is compared.
        export_everything: true,
        allow_start_export: random.chance(1, 4),
        // Guards in front of what may trap let code get further; both are wanted.
        disallow_traps: random.chance(1, 2),
        // Types bound all growth, so that no engine's own limit decides.
        memory_max_size_required: true,
        table_max_size_required: true,
        max_memory32_bytes: MEMORY_BYTES_MAX,
        max_memory64_bytes: MEMORY_BYTES_MAX.into(),
        max_table_elements: 100,
        memory_offset_choices: MemoryOffsetChoices(90, 8, 2),
        min_funcs: 2,
        max_funcs: random.between(2, 10),
        min_types: 1,
        max_types: random.between(1, 8),
        max_imports: random.below(5),
        max_globals: 8,
        max_memories: random.between(1, 2),
        max_tables: random.between(1, 3),
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 20,
        max_exports: 40,
        max_instructions: *random.pick(&[20, 60, 150, 400]),
        ..Config::default()
    }
}
