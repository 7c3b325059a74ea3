//! Stacks: where the running thread's own ends, and further ones for work that must not run on it.

use crate::port;
use crate::vm::{self, Access, Reservation};
use std::cell::Cell;
use std::io;
use std::ops::Range;

thread_local! {
    static CURRENT: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

/// Usable addresses of the stack that the system gave to this thread, guard pages left out;
/// cheap from the second call on.
///
/// The main thread's stack grows on demand up to `RLIMIT_STACK` as it was at the first call (at
/// most 1 GiB is reported where the limit is higher, since other mappings may come to lie there).
/// On ports without this knowledge the range is what surely remains below the caller: nothing.
#[must_use]
pub fn current_thread_stack() -> Range<usize> {
    if let Some((start, end)) = CURRENT.get() {
        return start..end;
    }
    let range = port::stack::current_thread();
    CURRENT.set(Some((range.start, range.end)));
    range
}

/// A stack with an inaccessible page below it. Memory comes as it is used.
#[derive(Debug)]
pub struct HostStack {
    reservation: Reservation,
    guard_bytes: usize,
}

impl HostStack {
    /// A stack of `bytes`, rounded up to pages, and a guard page.
    ///
    /// # Errors
    /// `bytes` is zero or overflows, or the system refuses the memory.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let guard_bytes = vm::page_bytes();
        let len = vm::round_up_to_pages(bytes)
            .filter(|&len| len > 0)
            .and_then(|len| len.checked_add(guard_bytes))
            .ok_or_else(|| vm::invalid("the length of a stack is out of range"))?;
        let reservation = Reservation::new(len)?;
        reservation.protect(guard_bytes..len, Access::ReadWrite)?;
        Ok(HostStack { reservation, guard_bytes })
    }

    /// The address just above the stack, page-aligned: where an empty stack's pointer stands.
    #[must_use]
    pub fn top(&self) -> usize {
        self.reservation.addresses().end
    }

    /// Usable addresses, without the guard page.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let Range { start, end } = self.reservation.addresses();
        start + self.guard_bytes..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> usize {
        let local = 0u8;
        (&raw const local).addr()
    }

    #[test]
    fn a_thread_knows_its_stack() {
        let bytes = 1 << 20;
        let test = move || {
            let range = current_thread_stack();
            assert!(range.contains(&here()), "{:#x} in {range:x?}", here());
            assert!(range.len() >= bytes - 2 * vm::page_bytes(), "{range:x?}");
            assert!(range.len() <= 2 * bytes, "{range:x?}");
            assert_eq!(range, current_thread_stack());
            range
        };
        let thread = || std::thread::Builder::new().stack_size(bytes).spawn(test).unwrap();
        let (first, second) = (thread(), thread());
        let (_, _) = (first.join().unwrap(), second.join().unwrap());
    }

    #[test]
    fn a_host_stack_has_the_asked_bytes() {
        let page = vm::page_bytes();
        let stack = HostStack::new(3 * page - 1).unwrap();
        assert_eq!(stack.range().len(), 3 * page);
        assert_eq!(stack.range().end, stack.top());
        assert_eq!(stack.top() % page, 0);
        for bytes in [0, usize::MAX, usize::MAX - page, 1 << 62] {
            assert!(HostStack::new(bytes).is_err(), "{bytes}");
        }
    }
}
