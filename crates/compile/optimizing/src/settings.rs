//! Options of the compiler and the backend built from them.

use crate::budget::Budget;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use std::fmt::Write as _;
use std::str::FromStr as _;
use target_lexicon::Triple;

/// How hard the backend works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// No optimization: about 20 % less compile time, about 30 % more code.
    None,
    /// Everything that makes code faster.
    #[default]
    Speed,
}

/// The machine that code is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// This machine, with all features of its CPU.
    #[default]
    Host,
    /// Another machine.
    Named {
        /// A target triple such as `aarch64-unknown-linux-gnu`.
        triple: String,
        /// CPU features by the backend's names, such as `has_avx2`. On x86-64 SSE4.1 and what it
        /// implies are always assumed.
        features: Vec<String>,
    },
}

/// Options of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How hard the backend works on functions within the budget.
    pub opt_level: OptLevel,
    /// Whether the backend checks the CLIF it is given (adds 40-80 % of compile time).
    pub verify: bool,
    /// Replaces every NaN that arithmetic makes with one bit pattern, so that results can be
    /// compared bit by bit with another engine's.
    pub canonicalize_nans: bool,
    /// The machine that code is made for.
    pub target: Target,
    /// What one function may cost.
    pub budget: Budget,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            opt_level: OptLevel::Speed,
            verify: cfg!(debug_assertions),
            canonicalize_nans: false,
            target: Target::Host,
            budget: Budget::default(),
        }
    }
}

/// Why a compiler cannot be made for a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The architecture is not one that code can be made for.
    #[error("the optimizing compiler does not support the target {target}: {reason}")]
    Target {
        /// The target.
        target: String,
        /// The backend's words.
        reason: String,
    },
    /// The CPU lacks something that generated code uses without asking.
    #[error("the CPU lacks {feature}, which the optimizing compiler needs on x86-64")]
    CpuFeature {
        /// The missing feature.
        feature: &'static str,
    },
    /// A CPU feature is unknown, or the backend refused a setting.
    #[error("the backend refused the setting {name}: {reason}")]
    Setting {
        /// Its name.
        name: String,
        /// The backend's words.
        reason: String,
    },
}

/// What x86-64 code assumes: without these the backend would call out for rounding and shuffles.
const X86_64_FEATURES: &[(&str, &str)] =
    &[("has_sse3", "SSE3"), ("has_ssse3", "SSSE3"), ("has_sse41", "SSE4.1")];

/// How much time the backend may take, relative to a function's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What makes good code at this level. Some functions take time beyond all proportion.
    Good(OptLevel),
    /// What is linear in the function's size: no optimization, and registers in one pass. The
    /// code is three to four times as long.
    Linear,
}

/// The backend for these options.
pub(crate) fn build_isa(options: &Options, effort: Effort) -> Result<OwnedTargetIsa, SetupError> {
    let flags = shared_flags(options, effort)?;
    let builder = isa_builder(&options.target)?;
    let target = builder.triple().to_string();
    let isa = builder
        .finish(flags)
        .map_err(|error| SetupError::Target { target, reason: error.to_string() })?;
    check_features(&*isa)?;
    Ok(isa)
}

fn isa_builder(target: &Target) -> Result<isa::Builder, SetupError> {
    match target {
        Target::Host => cranelift_native::builder().map_err(|reason| SetupError::Target {
            target: std::env::consts::ARCH.into(),
            reason: reason.into(),
        }),
        Target::Named { triple, features } => {
            let refused = |reason: String| SetupError::Target { target: triple.clone(), reason };
            let parsed = Triple::from_str(triple).map_err(|error| refused(error.to_string()))?;
            let mut builder = isa::lookup(parsed).map_err(|error| refused(error.to_string()))?;
            if triple.starts_with("x86_64") {
                for (feature, _) in X86_64_FEATURES {
                    enable(&mut builder, feature)?;
                }
            }
            features.iter().try_for_each(|feature| enable(&mut builder, feature))?;
            Ok(builder)
        }
    }
}

fn enable(builder: &mut isa::Builder, feature: &str) -> Result<(), SetupError> {
    builder
        .enable(feature)
        .map_err(|error| SetupError::Setting { name: feature.into(), reason: error.to_string() })
}

fn shared_flags(options: &Options, effort: Effort) -> Result<Flags, SetupError> {
    let on_off = |value: bool| if value { "true" } else { "false" };
    let (opt_level, regalloc) = match effort {
        Effort::Good(OptLevel::Speed) => ("speed", "backtracking"),
        Effort::Good(OptLevel::None) => ("none", "backtracking"),
        Effort::Linear => ("none", "single_pass"),
    };
    let mut builder = settings::builder();
    for (name, value) in [
        ("opt_level", opt_level),
        ("regalloc_algorithm", regalloc),
        ("enable_verifier", on_off(options.verify)),
        ("enable_nan_canonicalization", on_off(options.canonicalize_nans)),
        // Calls to functions that are not colocated load the callee's address: from our slot.
        ("is_pic", "true"),
        // Backtraces walk frame pointers; there is no other unwind table.
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        // Frames larger than a page touch each of their pages, so none skips a guard page.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
    ] {
        builder.set(name, value).map_err(|error| SetupError::Setting {
            name: name.into(),
            reason: error.to_string(),
        })?;
    }
    Ok(Flags::new(builder))
}

/// The backend's name of x86-64.
pub(crate) const X86_64: &str = "x64";

fn has_feature(isa: &dyn TargetIsa, name: &str) -> bool {
    isa.isa_flags().iter().any(|flag| flag.name == name && flag.as_bool() == Some(true))
}

/// Whether the target multiplies and adds with one rounding.
pub(crate) fn has_fma(isa: &dyn TargetIsa) -> bool {
    isa.name() != X86_64 || has_feature(isa, "has_fma") && has_feature(isa, "has_avx")
}

fn check_features(isa: &dyn TargetIsa) -> Result<(), SetupError> {
    if isa.name() != X86_64 {
        return Ok(());
    }
    for (name, feature) in X86_64_FEATURES {
        if !has_feature(isa, name) {
            return Err(SetupError::CpuFeature { feature });
        }
    }
    Ok(())
}

/// Everything that decides which code comes out.
pub(crate) fn fingerprint(isa: &dyn TargetIsa, options: &Options) -> String {
    let mut text = format!("cranelift {} {}", cranelift_codegen::VERSION, isa.triple());
    for flag in isa.flags().iter().chain(isa.isa_flags()) {
        // Checks of the compiler itself leave the code as it is.
        if flag.name != "enable_verifier" {
            let _ = write!(text, " {flag}");
        }
    }
    let _ = write!(text, " {:?}", options.budget);
    text
}
