//! Which WebAssembly proposals a module may use.
//!
//! One table lists every proposal: its name on the command line, what it stands on, and the flags
//! of the validator that it maps to. A [`Features`] value is always closed: whatever a proposal
//! in it stands on is in it too.

use std::fmt;
use wasmparser::WasmFeatures;

macro_rules! proposals {
    ($( $(#[$doc:meta])* $feature:ident = $name:literal, $flag:ident, [$($base:ident),*]; )*) => {
        /// A WebAssembly proposal (finished ones included) that can be switched on and off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Feature { $( $(#[$doc])* $feature, )* }

        impl Feature {
            /// Every proposal, oldest first.
            pub const ALL: &[Feature] = &[$(Feature::$feature),*];

            /// Name on the command line and in messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Feature::$feature => $name, )* }
            }

            /// The proposals that this one cannot be used without.
            #[must_use]
            pub const fn stands_on(self) -> &'static [Feature] {
                match self { $( Feature::$feature => &[$(Feature::$base),*], )* }
            }

            const fn flags(self) -> WasmFeatures {
                match self { $( Feature::$feature => WasmFeatures::$flag, )* }
            }
        }
    };
}

proposals! {
    /// Mutable globals may be imported and exported.
    MutableGlobal = "mutable-global", MUTABLE_GLOBAL, [];
    /// Conversions of floats to integers that do not trap.
    SaturatingFloatToInt = "saturating-float-to-int", SATURATING_FLOAT_TO_INT, [];
    /// `i32.extend8_s` and its relatives.
    SignExtension = "sign-extension", SIGN_EXTENSION, [];
    /// Blocks and functions with several results.
    MultiValue = "multi-value", MULTI_VALUE, [];
    /// `memory.copy`, `table.init` and so on.
    BulkMemory = "bulk-memory", BULK_MEMORY, [];
    /// `funcref` and `externref` as values, several tables.
    ReferenceTypes = "reference-types", REFERENCE_TYPES, [];
    /// 128-bit vectors.
    Simd = "simd", SIMD, [];
    /// Additions, subtractions and multiplications in constant expressions.
    ExtendedConst = "extended-const", EXTENDED_CONST, [];
    /// `return_call` and `return_call_indirect`.
    TailCall = "tail-call", TAIL_CALL, [];
    /// Several memories per module.
    MultiMemory = "multi-memory", MULTI_MEMORY, [];
    /// Memories and tables with 64-bit indices.
    Memory64 = "memory64", MEMORY64, [];
    /// Vector instructions whose results depend on the host.
    RelaxedSimd = "relaxed-simd", RELAXED_SIMD, [Simd];
    /// Shared memories and atomic instructions.
    Threads = "threads", THREADS, [];
    /// `try_table`, `throw`, tags and `exnref`.
    Exceptions = "exceptions", EXCEPTIONS, [ReferenceTypes];
    /// The first form of exceptions (`try`, `catch`), superseded by [`Feature::Exceptions`].
    LegacyExceptions = "legacy-exceptions", LEGACY_EXCEPTIONS, [Exceptions];
    /// Typed references to functions and `call_ref`.
    FunctionReferences = "function-references", FUNCTION_REFERENCES, [ReferenceTypes];
    /// Structs, arrays and `i31ref`.
    Gc = "gc", GC, [FunctionReferences];
    /// 128-bit additions and multiplications on pairs of `i64`.
    WideArithmetic = "wide-arithmetic", WIDE_ARITHMETIC, [];
    /// Memories whose pages are single bytes.
    CustomPageSizes = "custom-page-sizes", CUSTOM_PAGE_SIZES, [];
}

impl Feature {
    /// The proposal with this name on the command line.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Feature> {
        Feature::ALL.iter().copied().find(|feature| feature.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of proposals.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features(u32);

impl Features {
    /// WebAssembly 1.0 (2019).
    pub const WASM1: Features = Features(0).with(Feature::MutableGlobal);

    /// WebAssembly 2.0 (2022), vectors included.
    pub const WASM2: Features = Features::WASM1
        .with(Feature::SaturatingFloatToInt)
        .with(Feature::SignExtension)
        .with(Feature::MultiValue)
        .with(Feature::BulkMemory)
        .with(Feature::ReferenceTypes)
        .with(Feature::Simd);

    /// WebAssembly 3.0 (2025).
    pub const WASM3: Features = Features::WASM2
        .with(Feature::ExtendedConst)
        .with(Feature::TailCall)
        .with(Feature::MultiMemory)
        .with(Feature::Memory64)
        .with(Feature::RelaxedSimd)
        .with(Feature::Exceptions)
        .with(Feature::Gc);

    /// What this engine implements, and the default: the one place to change when it learns more.
    pub const IMPLEMENTED: Features = Features::WASM2
        .with(Feature::ExtendedConst)
        .with(Feature::MultiMemory)
        .with(Feature::Memory64)
        .with(Feature::TailCall)
        .with(Feature::FunctionReferences)
        .with(Feature::Exceptions)
        .with(Feature::LegacyExceptions)
        .with(Feature::RelaxedSimd)
        .with(Feature::Threads)
        .with(Feature::WideArithmetic)
        .with(Feature::CustomPageSizes);

    /// The set called `wasm1`, `wasm2`, `wasm3` or `default`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Features> {
        match name {
            "wasm1" => Some(Features::WASM1),
            "wasm2" => Some(Features::WASM2),
            "wasm3" => Some(Features::WASM3),
            "default" => Some(Features::IMPLEMENTED),
            _ => None,
        }
    }

    /// Whether the proposal is in the set.
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// Whether the whole other set is in this one.
    #[must_use]
    pub const fn contains_all(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set with a proposal, and with what it stands on.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Features {
        let mut set = Features(self.0 | feature.bit());
        let bases = feature.stands_on();
        let mut i = 0;
        while i < bases.len() {
            set = set.with(bases[i]);
            i += 1;
        }
        set
    }

    /// The set without a proposal, and without what stands on it.
    #[must_use]
    pub fn without(self, feature: Feature) -> Features {
        let set = Features(self.0 & !feature.bit());
        let stands_on_it = |other: &Feature| other.stands_on().contains(&feature);
        set.iter().filter(stands_on_it).fold(set, Features::without)
    }

    /// Switches one proposal; see [`Features::with`] and [`Features::without`].
    pub fn set(&mut self, feature: Feature, on: bool) {
        *self = if on { self.with(feature) } else { self.without(feature) };
    }

    /// The proposals in the set, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |&feature| self.contains(feature))
    }

    /// The set as a number, for stored files. Proposals only join at the end of the list.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The validator's flags.
    pub(crate) fn flags(self) -> WasmFeatures {
        // Floats and references are parts of the language, though the validator can forbid them.
        let language = WasmFeatures::FLOATS | WasmFeatures::GC_TYPES;
        self.iter().fold(language, |flags, feature| flags | feature.flags())
    }

    /// The proposal that one of the validator's flags belongs to.
    pub(crate) fn owner_of(flags: WasmFeatures) -> Option<Feature> {
        Feature::ALL.iter().copied().find(|feature| feature.flags().intersects(flags))
    }
}

impl Default for Features {
    fn default() -> Self {
        Features::IMPLEMENTED
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Features(0), Features::with)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for &feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
        }
        assert_eq!(Feature::from_name("no-such-proposal"), None);
        assert_eq!(Features::from_name("wasm2"), Some(Features::WASM2));
        assert_eq!(Features::from_name("wasm9"), None);
    }

    #[test]
    fn sets_stay_closed() {
        let gc = Features::WASM1.with(Feature::Gc);
        assert!(gc.contains(Feature::FunctionReferences) && gc.contains(Feature::ReferenceTypes));
        let without = gc.without(Feature::ReferenceTypes);
        assert_eq!(without, Features::WASM1);
        assert!(!Features::WASM2.contains(Feature::RelaxedSimd));
        assert!(!Features::WASM3.without(Feature::Simd).contains(Feature::RelaxedSimd));
        // The older exceptions never became part of the language, but binaries carry them.
        let standard = Features::IMPLEMENTED.without(Feature::LegacyExceptions);
        let beyond = Features::WASM3
            .with(Feature::Threads)
            .with(Feature::WideArithmetic)
            .with(Feature::CustomPageSizes);
        assert!(beyond.contains_all(standard));
        assert!(!Features::IMPLEMENTED.contains_all(Features::WASM3));
        assert_eq!(Features::WASM3.iter().collect::<Features>(), Features::WASM3);
    }

    #[test]
    fn presets_agree_with_the_validator() {
        assert_eq!(Features::WASM1.flags(), WasmFeatures::WASM1);
        assert_eq!(Features::WASM2.flags(), WasmFeatures::WASM2);
        // The validator counts threads among the parts of 3.0; the specification does not.
        assert_eq!(Features::WASM3.with(Feature::Threads).flags(), WasmFeatures::WASM3);
    }
}
