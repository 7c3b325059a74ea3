//! Why a guest stopped: the trap codes, one list for compilers, runtime, tests and messages.

use core::fmt;

/// Calls a macro with the whole list: `Name = number, "text of the official suite", "explanation"`.
#[macro_export]
macro_rules! for_each_trap_code {
    ($m:ident) => {
        $m! {
            Unreachable = 1, "unreachable", "an `unreachable` instruction was executed";
            MemoryOutOfBounds = 2, "out of bounds memory access", "a load, store or bulk operation left its memory";
            TableOutOfBounds = 3, "out of bounds table access", "a table instruction left its table";
            UndefinedElement = 4, "undefined element", "an indirect call's index lies outside the table";
            UninitializedElement = 5, "uninitialized element", "an indirect call met a null element";
            IndirectCallTypeMismatch = 6, "indirect call type mismatch", "an indirect call's function has another type";
            IntegerOverflow = 7, "integer overflow", "a division or conversion has no representable result";
            IntegerDivideByZero = 8, "integer divide by zero", "an integer was divided by zero";
            InvalidConversionToInteger = 9, "invalid conversion to integer", "a NaN was converted to an integer";
            StackOverflow = 10, "call stack exhausted", "calls are nested too deeply for the stack";
            NullReference = 11, "null reference", "a null reference was used";
            UnalignedAtomic = 12, "unaligned atomic", "an atomic access is not aligned";
            ExpectedSharedMemory = 13, "expected shared memory", "a thread would wait on memory that nobody shares";
            CastFailure = 14, "cast failure", "a reference has another type than it was cast to";
            ArrayOutOfBounds = 15, "out of bounds array access", "an array access left its array";
            AllocationTooLarge = 16, "allocation size too large", "an object is larger than the heap allows";
            OutOfFuel = 17, "all fuel consumed", "the fuel granted to the guest is used up";
            Interrupted = 18, "interrupted", "the host interrupted the guest";
            DeadlineExceeded = 19, "deadline exceeded", "the guest ran longer than its deadline allows";
            LimitExceeded = 20, "resource limit exceeded", "the guest asked for more than its limits allow";
        }
    };
}

macro_rules! define {
    ($( $name:ident = $number:literal, $text:literal, $doc:literal; )*) => {
        /// Why a guest stopped. The numbers are stored in trap tables and files: never reuse one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum TrapCode {
            $( #[doc = $doc] $name = $number, )*
        }

        impl TrapCode {
            /// Every code.
            pub const ALL: &[TrapCode] = &[$(TrapCode::$name),*];

            /// The code with this number, as stored in trap tables.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<TrapCode> {
                match number {
                    $( $number => Some(TrapCode::$name), )*
                    _ => None,
                }
            }

            /// The words that the official test suite uses.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $( TrapCode::$name => $text, )* }
            }

            /// A sentence for people.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $( TrapCode::$name => $doc, )* }
            }
        }
    };
}
for_each_trap_code!(define);

impl fmt::Display for TrapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// What a faulting instruction means, as stored in a trap table: a trap, or a poll.
///
/// A poll is a load from the poll page (see [`crate::vmctx`]). It faults only while the host has
/// a request for the guest; the handler serves the request and resumes or unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The guest traps.
    Trap(TrapCode),
    /// The guest is at a poll.
    Poll,
}

impl FaultKind {
    /// Number of [`FaultKind::Poll`]; the others have the number of their trap code.
    pub const POLL_NUMBER: u8 = 250;

    /// Number in trap tables, and the backend's user trap code.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            FaultKind::Trap(code) => code as u8,
            FaultKind::Poll => Self::POLL_NUMBER,
        }
    }

    /// The inverse of [`FaultKind::number`].
    #[must_use]
    pub const fn from_number(number: u8) -> Option<FaultKind> {
        if number == Self::POLL_NUMBER {
            return Some(FaultKind::Poll);
        }
        match TrapCode::from_number(number) {
            Some(code) => Some(FaultKind::Trap(code)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_fit_the_backend() {
        for &code in TrapCode::ALL {
            let kind = FaultKind::Trap(code);
            assert_eq!(FaultKind::from_number(kind.number()), Some(kind));
            assert!((1..250).contains(&kind.number()), "{code:?}");
        }
        assert_eq!(FaultKind::from_number(FaultKind::POLL_NUMBER), Some(FaultKind::Poll));
        assert_eq!(FaultKind::from_number(0), None);
    }
}
