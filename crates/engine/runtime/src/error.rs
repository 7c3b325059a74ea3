//! What can go wrong: one error type at the edge, small enums inside.

use crate::backtrace::Backtrace;
use crate::checkpoint::Restore;
use crate::store::StoreId;
use crate::types::UnknownType;
use crate::value::ExnRefId;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use wasmoor_abi::TrapCode;
use wasmoor_codegen::{CompileError, LinkError};
use wasmoor_memory::{CreatorError, MemoryError, TableError};
use wasmoor_module::LoadError;

/// Any failure of the runtime. One pointer wide.
///
/// [`Error::kind`] tells the cases apart; the `Display` form is one line for the user, without
/// the backtrace, which [`Error::backtrace`] gives.
pub struct Error(Box<ErrorKind>);

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The module is malformed, invalid or too large.
    Load(LoadError),
    /// A function could not be compiled.
    Compile {
        /// Name or index of the function.
        func: String,
        /// Why.
        error: CompileError,
    },
    /// Machine code could not be placed in memory.
    CodeMemory(LinkError),
    /// Code that was made earlier cannot be used, and none can be made.
    StoredCode(String),
    /// Imports are missing or of another type.
    Imports(Vec<ImportError>),
    /// The guest trapped.
    Trap(Trap),
    /// The guest threw an exception that nothing in it caught.
    Exception(Exception),
    /// A host function failed.
    Host(HostFailure),
    /// No failure: a guest goes on at a checkpoint, once this has left what was called since.
    Restore(Restore),
    /// A limit of the store or the engine was reached by the host's own request.
    Limit(String),
    /// The embedder's creator of memories or tables failed, or made what cannot be used (the error
    /// is a [`CreatorError`] then).
    Creator {
        /// What was to be made.
        what: &'static str,
        /// Why it was not.
        error: Box<dyn StdError + Send + Sync>,
    },
    /// Every slot of the engine's pool is in use, and the pool is strict.
    PoolExhausted {
        /// Slots of the pool.
        slots_max: u32,
    },
    /// The operating system refused something.
    System {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        error: std::io::Error,
    },
    /// A type was named that is not (or no longer) known to the engine at hand.
    UnknownType(UnknownType),
    /// A value, or something to be linked, was given that is not of the type wanted.
    TypeMismatch {
        /// The type wanted, as text.
        expected: String,
        /// The type given, as text.
        found: String,
    },
    /// The host used the API with values that do not fit: another number of them, another store.
    Usage(String),
}

/// An import that could not be satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// First part of the import's name.
    pub module: String,
    /// Second part.
    pub name: String,
    /// The type that the module wants, as text.
    pub expected: String,
    /// The type that was given; `None`: nothing was.
    pub found: Option<String>,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportError { module, name, expected, found } = self;
        match found {
            None => write!(f, "unknown import \"{module}\" \"{name}\": {expected}"),
            Some(found) => write!(
                f,
                "incompatible import type for \"{module}\" \"{name}\": expected {expected}, found {found}"
            ),
        }
    }
}

/// Why and where a guest stopped.
#[derive(Clone, Debug)]
pub struct Trap {
    /// Why.
    pub code: TrapCode,
    /// Where.
    pub backtrace: Backtrace,
}

/// An exception on its way through the host. Where a host function returns it to wasm of the same
/// store, it goes on there as if it had been thrown by that call.
#[derive(Clone, Debug)]
pub struct Exception {
    store: StoreId,
    handle: ExnRefId,
    /// Tag and values, for people.
    pub description: String,
    /// The wasm frames that threw it; empty if the host did.
    pub backtrace: Backtrace,
    /// Keeps the exception.
    _root: Arc<()>,
}

impl Exception {
    pub(crate) fn new(
        store: StoreId,
        handle: ExnRefId,
        description: String,
        root: Arc<()>,
    ) -> Self {
        let backtrace = Backtrace::default();
        Exception { store, handle, description, backtrace, _root: root }
    }

    /// The store that it belongs to.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The exception, which is kept as long as `self`.
    #[must_use]
    pub fn handle(&self) -> ExnRefId {
        self.handle
    }
}

/// A host function's error on its way out of wasm.
#[derive(Debug)]
pub struct HostFailure {
    /// What the host function returned.
    pub error: Box<dyn StdError + Send + Sync>,
    /// The wasm frames that called it.
    pub backtrace: Backtrace,
}

impl Error {
    /// Which kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// An error of a host function; [`Error::downcast_ref`] finds it again.
    pub fn host(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        ErrorKind::Host(HostFailure { error: error.into(), backtrace: Backtrace::default() }).into()
    }

    /// A trap raised by the host.
    #[must_use]
    pub fn trap(code: TrapCode) -> Self {
        ErrorKind::Trap(Trap { code, backtrace: Backtrace::default() }).into()
    }

    /// The host used the API with values that do not fit.
    pub fn usage(message: impl Into<String>) -> Self {
        ErrorKind::Usage(message.into()).into()
    }

    /// The trap's code, if the guest trapped.
    #[must_use]
    pub fn trap_code(&self) -> Option<TrapCode> {
        match self.kind() {
            ErrorKind::Trap(trap) => Some(trap.code),
            _ => None,
        }
    }

    /// The wasm frames at the point of failure, innermost first; empty when no wasm was running.
    #[must_use]
    pub fn backtrace(&self) -> Option<&Backtrace> {
        match self.kind() {
            ErrorKind::Trap(trap) => Some(&trap.backtrace),
            ErrorKind::Exception(exception) => Some(&exception.backtrace),
            ErrorKind::Host(failure) => Some(&failure.backtrace),
            _ => None,
        }
    }

    /// Whether it leads to a checkpoint.
    pub(crate) fn is_restore(&self) -> bool {
        matches!(self.kind(), ErrorKind::Restore(_))
    }

    pub(crate) fn backtrace_mut(&mut self) -> Option<&mut Backtrace> {
        match &mut *self.0 {
            ErrorKind::Trap(trap) => Some(&mut trap.backtrace),
            ErrorKind::Exception(exception) => Some(&mut exception.backtrace),
            ErrorKind::Host(failure) => Some(&mut failure.backtrace),
            _ => None,
        }
    }

    /// The error of this type that a host function, or a creator of memories or tables, returned.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self.kind() {
            ErrorKind::Host(failure) => failure.error.downcast_ref(),
            ErrorKind::Creator { error, .. } => error.downcast_ref(),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error(Box::new(kind))
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        ErrorKind::Load(error).into()
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        ErrorKind::CodeMemory(error).into()
    }
}

impl From<UnknownType> for Error {
    fn from(error: UnknownType) -> Self {
        ErrorKind::UnknownType(error).into()
    }
}

impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Creator { error, .. } => creator_error("memory", error),
            error => ErrorKind::Limit(error.to_string()).into(),
        }
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        ErrorKind::Limit(error.to_string()).into()
    }
}

/// Of tables; errors of memories know more.
impl From<CreatorError> for Error {
    fn from(error: CreatorError) -> Self {
        match error {
            CreatorError::Table(error) => error.into(),
            error => creator_error("table", error),
        }
    }
}

fn creator_error(what: &'static str, error: CreatorError) -> Error {
    let error = match error {
        CreatorError::Refused(error) => error,
        error => error.into(),
    };
    ErrorKind::Creator { what, error }.into()
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Error::host(error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.backtrace() {
            Some(backtrace) if !backtrace.is_empty() => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Load(error) => error.fmt(f),
            ErrorKind::Compile { func, error } => write!(f, "cannot compile {func}: {error}"),
            ErrorKind::CodeMemory(error) => error.fmt(f),
            ErrorKind::StoredCode(why) => f.write_str(why),
            ErrorKind::Imports(errors) => match errors.as_slice() {
                [one] => one.fmt(f),
                many => {
                    write!(f, "{} imports cannot be satisfied:", many.len())?;
                    many.iter().try_for_each(|error| write!(f, "\n  {error}"))
                }
            },
            ErrorKind::Trap(trap) => write!(f, "wasm trap: {}", trap.code),
            ErrorKind::Exception(exception) => {
                write!(f, "uncaught wasm exception: {}", exception.description)
            }
            ErrorKind::Host(failure) => failure.error.fmt(f),
            ErrorKind::Restore(_) => {
                f.write_str("a guest was to go on at a checkpoint, and the host did not let it")
            }
            ErrorKind::Limit(what) => f.write_str(what),
            ErrorKind::Creator { what, error } => {
                write!(f, "the creator has made no {what} that can be used: {error}")
            }
            ErrorKind::PoolExhausted { slots_max } => {
                write!(f, "all {slots_max} slots of the pool are in use")
            }
            ErrorKind::System { what, error } => write!(f, "cannot {what}: {error}"),
            ErrorKind::UnknownType(unknown) => unknown.fmt(f),
            ErrorKind::TypeMismatch { expected, found } => {
                write!(f, "expected a value of type {expected}, found {found}")
            }
            ErrorKind::Usage(message) => f.write_str(message),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            ErrorKind::Compile { error, .. } => Some(error),
            ErrorKind::Host(failure) => failure.error.source(),
            ErrorKind::Creator { error, .. } => Some(&**error),
            ErrorKind::System { error, .. } => Some(error),
            ErrorKind::UnknownType(unknown) => Some(unknown),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }
}
