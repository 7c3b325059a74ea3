//! The kinds of directives, one list for counting and naming.

use std::fmt;
use wast::{QuoteWat, WastDirective, Wat};

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident = $name:literal; )*) => {
        /// A kind of directive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DirectiveKind { $( $(#[$doc])* $kind, )* }

        impl DirectiveKind {
            /// Every kind, in the order of tables.
            pub const ALL: &[DirectiveKind] = &[$(DirectiveKind::$kind),*];

            /// Its keyword in scripts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( DirectiveKind::$kind => $name, )* }
            }
        }
    };
}

kinds! {
    /// Not a directive: the script as a whole, when it cannot be read.
    Script = "script";
    /// A module that is loaded and instantiated.
    Module = "module";
    /// A module that is loaded.
    ModuleDefinition = "module definition";
    /// A loaded module that is instantiated.
    ModuleInstance = "module instance";
    /// An instance becomes importable.
    Register = "register";
    /// A call whose results do not matter.
    Invoke = "invoke";
    /// An action has these results.
    AssertReturn = "assert_return";
    /// An action traps.
    AssertTrap = "assert_trap";
    /// A call exhausts the stack.
    AssertExhaustion = "assert_exhaustion";
    /// An action ends with an exception.
    AssertException = "assert_exception";
    /// An action ends with an unhandled suspension.
    AssertSuspension = "assert_suspension";
    /// A module is not valid.
    AssertInvalid = "assert_invalid";
    /// A module cannot be decoded or parsed.
    AssertMalformed = "assert_malformed";
    /// A module's imports do not fit.
    AssertUnlinkable = "assert_unlinkable";
    /// A custom section is not valid.
    AssertInvalidCustom = "assert_invalid_custom";
    /// A custom section or annotation cannot be decoded.
    AssertMalformedCustom = "assert_malformed_custom";
    /// Directives on a thread of their own.
    Thread = "thread";
    /// Waits for a thread.
    Wait = "wait";
}

impl fmt::Display for DirectiveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl DirectiveKind {
    pub(crate) fn of(directive: &WastDirective<'_>) -> DirectiveKind {
        match directive {
            WastDirective::Module(_) => DirectiveKind::Module,
            WastDirective::ModuleDefinition(_) => DirectiveKind::ModuleDefinition,
            WastDirective::ModuleInstance { .. } => DirectiveKind::ModuleInstance,
            WastDirective::Register { .. } => DirectiveKind::Register,
            WastDirective::Invoke(_) => DirectiveKind::Invoke,
            WastDirective::AssertReturn { .. } => DirectiveKind::AssertReturn,
            WastDirective::AssertTrap { .. } => DirectiveKind::AssertTrap,
            WastDirective::AssertExhaustion { .. } => DirectiveKind::AssertExhaustion,
            WastDirective::AssertException { .. } => DirectiveKind::AssertException,
            WastDirective::AssertSuspension { .. } => DirectiveKind::AssertSuspension,
            WastDirective::AssertInvalid { .. } => DirectiveKind::AssertInvalid,
            WastDirective::AssertMalformed { .. } => DirectiveKind::AssertMalformed,
            WastDirective::AssertUnlinkable { .. } => DirectiveKind::AssertUnlinkable,
            WastDirective::AssertInvalidCustom { .. } => DirectiveKind::AssertInvalidCustom,
            WastDirective::AssertMalformedCustom { .. } => DirectiveKind::AssertMalformedCustom,
            WastDirective::Thread(_) => DirectiveKind::Thread,
            WastDirective::Wait { .. } => DirectiveKind::Wait,
        }
    }
}

/// Whether a module of a script is a component.
pub(crate) fn is_component(module: &QuoteWat<'_>) -> bool {
    matches!(module, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..))
}
