//! Clocks, and waiting by them.
//!
//! Times are nanoseconds: since 1970 for the real-time clock, since an arbitrary start for the
//! others. Waiting belongs to the clocks, so that a test's fixed clocks need not sleep.

use rustix::event::{PollFd, poll};
use rustix::io::{Errno, Result};
use rustix::time::{ClockId as Kernel, Timespec, clock_getres, clock_gettime};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// The clocks of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockId {
    /// Time of day.
    Realtime,
    /// Never goes back.
    Monotonic,
    /// CPU time of the process.
    ProcessCpu,
    /// CPU time of the calling thread.
    ThreadCpu,
}

/// Where a guest's time comes from.
pub trait Clocks: Debug + Send + Sync {
    /// The time in nanoseconds.
    ///
    /// # Errors
    /// `EINVAL` for a clock that there is not, `EOVERFLOW` for a time that has no number.
    fn now(&self, clock: ClockId) -> Result<u64>;

    /// The step of a clock in nanoseconds.
    ///
    /// # Errors
    /// As [`Clocks::now`].
    fn resolution(&self, clock: ClockId) -> Result<u64>;

    /// Waits until one of `fds` is ready or `timeout_ns` have passed (`None`: for ever); returns
    /// how many are ready.
    ///
    /// # Errors
    /// Those of `poll`, so `EINTR` when a signal came.
    fn wait(&self, fds: &mut [PollFd<'_>], timeout_ns: Option<u64>) -> Result<usize>;

    /// Waits by `wait`, which takes a time-out and returns how many things are ready.
    ///
    /// # Errors
    /// Those of `wait`.
    fn wait_by(
        &self,
        timeout_ns: Option<u64>,
        wait: &mut dyn FnMut(Option<u64>) -> Result<usize>,
    ) -> Result<usize> {
        wait(timeout_ns)
    }
}

/// The clocks of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClocks;

fn kernel_clock(clock: ClockId) -> Kernel {
    match clock {
        ClockId::Realtime => Kernel::Realtime,
        ClockId::Monotonic => Kernel::Monotonic,
        ClockId::ProcessCpu => Kernel::ProcessCPUTime,
        ClockId::ThreadCpu => Kernel::ThreadCPUTime,
    }
}

/// Nanoseconds of a time; `EOVERFLOW` before 1970 and after 2554.
fn nanoseconds(time: Timespec) -> Result<u64> {
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    let (Ok(seconds), Ok(rest)) = (seconds, rest) else { return Err(Errno::OVERFLOW) };
    let whole = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(rest));
    whole.ok_or(Errno::OVERFLOW)
}

/// The time of so many nanoseconds.
pub(crate) fn timespec(ns: u64) -> Timespec {
    // No truncation: `u64::MAX / 10^9` is below 2^35.
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ }
}

impl Clocks for SystemClocks {
    fn now(&self, clock: ClockId) -> Result<u64> {
        nanoseconds(clock_gettime(kernel_clock(clock)))
    }

    fn resolution(&self, clock: ClockId) -> Result<u64> {
        nanoseconds(clock_getres(kernel_clock(clock)))
    }

    fn wait(&self, fds: &mut [PollFd<'_>], timeout_ns: Option<u64>) -> Result<usize> {
        poll(fds, timeout_ns.map(timespec).as_ref())
    }
}

/// Clocks that stand still until somebody waits or sets them. All ids show the same time.
#[derive(Debug, Default)]
pub struct FixedClocks {
    now_ns: AtomicU64,
}

impl FixedClocks {
    /// Clocks that show `now_ns`.
    #[must_use]
    pub fn new(now_ns: u64) -> Self {
        FixedClocks { now_ns: AtomicU64::new(now_ns) }
    }

    /// Moves the time on.
    pub fn advance(&self, ns: u64) {
        let add = |now: u64| Some(now.saturating_add(ns));
        // The closure never refuses.
        let _ = self.now_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Clocks for FixedClocks {
    fn now(&self, _: ClockId) -> Result<u64> {
        Ok(self.now_ns.load(Ordering::Relaxed))
    }

    fn resolution(&self, _: ClockId) -> Result<u64> {
        Ok(1)
    }

    fn wait(&self, fds: &mut [PollFd<'_>], timeout_ns: Option<u64>) -> Result<usize> {
        let Some(timeout_ns) = timeout_ns else { return poll(fds, None) };
        let ready = poll(fds, Some(&timespec(0)))?;
        if ready == 0 {
            self.advance(timeout_ns);
        }
        Ok(ready)
    }

    fn wait_by(
        &self,
        timeout_ns: Option<u64>,
        wait: &mut dyn FnMut(Option<u64>) -> Result<usize>,
    ) -> Result<usize> {
        let Some(timeout_ns) = timeout_ns else { return wait(None) };
        let ready = wait(Some(0))?;
        if ready == 0 {
            self.advance(timeout_ns);
        }
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_number_are_errors() {
        let time = |tv_sec, tv_nsec| nanoseconds(Timespec { tv_sec, tv_nsec });
        assert_eq!(time(1, 5), Ok(1_000_000_005));
        assert_eq!(time(-1, 0), Err(Errno::OVERFLOW));
        assert_eq!(time(i64::MAX, 0), Err(Errno::OVERFLOW));
        assert_eq!(time(i64::MAX / 2, 0), Err(Errno::OVERFLOW));
        assert_eq!(nanoseconds(timespec(u64::MAX)), Ok(u64::MAX));
    }

    #[test]
    fn fixed_clocks_move_only_by_waiting() {
        let clocks = FixedClocks::new(5);
        assert_eq!(clocks.now(ClockId::Monotonic), Ok(5));
        assert_eq!(clocks.wait(&mut [], Some(10)), Ok(0));
        assert_eq!(clocks.now(ClockId::Realtime), Ok(15));
        clocks.advance(u64::MAX);
        assert_eq!(clocks.now(ClockId::Realtime), Ok(u64::MAX));
    }

    #[test]
    fn system_clocks_run() {
        for clock in
            [ClockId::Realtime, ClockId::Monotonic, ClockId::ProcessCpu, ClockId::ThreadCpu]
        {
            let before = SystemClocks.now(clock).unwrap();
            assert!(SystemClocks.now(clock).unwrap() >= before, "{clock:?}");
            assert!(SystemClocks.resolution(clock).unwrap() > 0, "{clock:?}");
        }
    }
}
