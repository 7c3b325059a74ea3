//! Ends blocking calls: a look at "must this guest stop?" after each `EINTR`.
//!
//! Whoever stops a guest sets its own request and then signals the guest's thread until that
//! acknowledges. A system call that the signal broke off comes here: if the guest must stop, the call
//! fails with `EINTR` and the guest's next poll sees the request; if not, the call is repeated, so
//! that signals meant for somebody else never show.

use rustix::io::{Errno, Result};
use std::fmt;
use std::sync::Arc;

/// The question whether the guest must stop; asks nobody by default.
#[derive(Clone, Default)]
pub struct Interrupt {
    pending: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("asks", &self.pending.is_some()).finish()
    }
}

impl Interrupt {
    /// Asks `pending`, which is called on the guest's thread and must not block.
    pub fn new(pending: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Interrupt { pending: Some(Arc::new(pending)) }
    }

    /// Whether the guest must stop.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending())
    }

    /// Repeats `call` while signals break it off and the guest may go on.
    ///
    /// # Errors
    /// Those of `call`; `EINTR` only when the guest must stop.
    pub fn retry<T>(&self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match call() {
                Err(Errno::INTR) if !self.is_pending() => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    fn nothing(_: &mut wasmoor_sys::kick::KickContext<'_>) {}

    /// Runs `call` on this thread, to which signals come all the time.
    pub(crate) fn interrupted<T>(call: impl FnOnce() -> T) -> T {
        wasmoor_sys::kick::install(nothing).unwrap();
        let thread = wasmoor_sys::kick::current_thread().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                    thread.kick();
                }
            });
            let result = call();
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    #[test]
    fn repeats_until_asked_to_stop() {
        let mut left = 3;
        let answer = Interrupt::default().retry(|| {
            left -= 1;
            if left == 0 { Ok(left) } else { Err(Errno::INTR) }
        });
        assert_eq!(answer, Ok(0));
        let stop = Interrupt::new(|| true);
        assert_eq!(stop.retry(|| Err::<(), _>(Errno::INTR)), Err(Errno::INTR));
        assert_eq!(stop.retry(|| Ok(1)), Ok(1));
    }
}
