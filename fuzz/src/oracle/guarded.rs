//! An oracle whose panics are outcomes.

use super::{Frames, Oracle, Outcome, State};
use crate::value::Value;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Another oracle that refuses where it would have panicked: a bug like any other, which must not
/// end a campaign. What a panicked engine keeps is not used: later cases load modules of their own.
pub struct Guarded<O>(pub O);

impl<O: Oracle> Guarded<O> {
    fn guard<R>(&mut self, f: impl FnOnce(&mut O) -> R) -> Result<R, String> {
        catch_unwind(AssertUnwindSafe(|| f(&mut self.0))).map_err(|panic| message(&*panic))
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("no message"))
}

impl<O: Oracle> Oracle for Guarded<O> {
    fn load(&mut self, wasm: &[u8]) -> Result<(), String> {
        self.guard(|oracle| oracle.load(wasm)).unwrap_or_else(Err)
    }

    fn instantiate(&mut self) -> Outcome {
        self.guard(Oracle::instantiate).unwrap_or_else(Outcome::Refused)
    }

    fn call(&mut self, function: &str, args: &[Value]) -> Outcome {
        self.guard(|oracle| oracle.call(function, args)).unwrap_or_else(Outcome::Refused)
    }

    fn state(&mut self) -> State {
        // Looking at exports runs no guest.
        self.0.state()
    }

    fn frames(&mut self) -> Option<Frames> {
        self.0.frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    impl Oracle for Panics {
        fn load(&mut self, _: &[u8]) -> Result<(), String> {
            panic!("while loading")
        }

        fn instantiate(&mut self) -> Outcome {
            panic!("at {}", 1)
        }

        fn call(&mut self, _: &str, _: &[Value]) -> Outcome {
            std::panic::panic_any(1)
        }

        fn state(&mut self) -> State {
            State::default()
        }
    }

    #[test]
    fn panics_are_refusals() {
        let mut oracle = Guarded(Panics);
        assert_eq!(oracle.load(&[]), Err("panicked: while loading".into()));
        let refused = |outcome| match outcome {
            Outcome::Refused(why) => why,
            other => panic!("{other}"),
        };
        assert_eq!(refused(oracle.instantiate()), "panicked: at 1");
        assert_eq!(refused(oracle.call("", &[])), "panicked: no message");
    }
}
