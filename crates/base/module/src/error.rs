//! Why a module could not be loaded.

use crate::features::Feature;
use std::fmt;
use wasmoor_abi::FuncIndex;

/// Why a module could not be loaded.
///
/// *Malformed* bytes cannot be decoded; an *invalid* module can, but breaks a rule of validation.
/// A module that is both counts as malformed, as in the specification, where decoding comes first.
/// The place reported is the first one in the file for which the reason holds, whatever the number
/// of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// Not a WebAssembly module in the binary format at all.
    NotModule(NotModule),
    /// The bytes cannot be decoded.
    Malformed(Fault),
    /// The module is decoded but not valid.
    Invalid(Fault),
    /// The module exceeds a limit of the implementation.
    TooLarge(Fault),
    /// The module uses something that is switched off or not implemented.
    Unsupported {
        /// The proposal that would have to be on, where it is known.
        feature: Option<Feature>,
        /// What is used, and where.
        fault: Fault,
    },
}

/// What was given instead of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotModule {
    /// No bytes.
    Empty,
    /// The text format.
    Text,
    /// A component (of the component model).
    Component,
    /// Something else.
    Unknown,
}

impl NotModule {
    const fn message(self) -> &'static str {
        match self {
            NotModule::Empty => "not a WebAssembly module: the input is empty",
            NotModule::Text => {
                "not a WebAssembly module in the binary format: this looks like the text format"
            }
            NotModule::Component => "this is a component, not a core WebAssembly module",
            NotModule::Unknown => {
                "not a WebAssembly module: it does not start with the bytes 00 61 73 6d"
            }
        }
    }
}

/// A reason, and the place it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of the module.
    pub offset: u64,
    /// The reason, in the validator's words.
    pub reason: String,
    /// The function whose body the place is in.
    pub func: Option<FaultyFunc>,
}

/// The function that a fault is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyFunc {
    /// Its index, imports first.
    pub index: FuncIndex,
    /// Its name in the name section, or one that it is exported under.
    pub name: Option<String>,
}

impl LoadError {
    /// Bytes from the start of the module to the place of the error, where it has one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.fault().map(|fault| fault.offset)
    }

    /// Reason and place, unless the input was no module at all.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            LoadError::NotModule(_) => None,
            LoadError::Malformed(fault)
            | LoadError::Invalid(fault)
            | LoadError::TooLarge(fault)
            | LoadError::Unsupported { fault, .. } => Some(fault),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {:#x}: {}", self.offset, self.reason)?;
        match &self.func {
            None => Ok(()),
            Some(FaultyFunc { index, name: None }) => {
                write!(f, " (in function {})", index.as_u32())
            }
            Some(FaultyFunc { index, name: Some(name) }) => {
                write!(f, " (in function {} {name:?})", index.as_u32())
            }
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NotModule(what) => f.write_str(what.message()),
            LoadError::Malformed(fault) => write!(f, "malformed module {fault}"),
            LoadError::Invalid(fault) => write!(f, "invalid module {fault}"),
            LoadError::TooLarge(fault) => write!(f, "module too large {fault}"),
            LoadError::Unsupported { feature: None, fault } => {
                write!(f, "unsupported module {fault}")
            }
            LoadError::Unsupported { feature: Some(feature), fault } => {
                write!(f, "unsupported module {fault} (proposal \"{feature}\")")
            }
        }
    }
}

impl std::error::Error for LoadError {}
