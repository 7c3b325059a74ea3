//! From names to addresses.
//!
//! The system's resolver may take minutes and cannot be broken off, so it runs on a thread of its
//! own; the guest's thread waits in a call that ends when the guest must stop, and then forgets
//! the answer.

use crate::core::Guard;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, Result, write};
use std::fmt::Debug;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor_sys::fork::{Hooks, register};

/// Where the addresses of names come from.
pub trait Names: Debug + Send + Sync {
    /// The addresses of a name in its one form (lower case, no dot at the end), in the order in
    /// which they should be tried. May block for as long as it takes.
    ///
    /// # Errors
    /// `ENOENT` when there are none.
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>> {
        // The library does not tell its errors apart.
        let found = (name, 0).to_socket_addrs().map_err(|_| Errno::NOENT)?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for ip in found.map(|address| address.ip()) {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        if addresses.is_empty() { Err(Errno::NOENT) } else { Ok(addresses) }
    }
}

/// Names that one process may be resolving; each takes a thread.
const RUNNING_MAX: usize = 64;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of the threads.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |running: usize| (running < RUNNING_MAX).then_some(running + 1);
        RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nothing() {}

/// The threads that resolve names are not in the child.
fn child() {
    RUNNING.store(0, Ordering::Relaxed);
}

static HOOKS: Hooks = Hooks { prepare: nothing, parent: nothing, child };

struct Answer {
    addresses: Mutex<Option<Result<Vec<IpAddr>>>>,
    is_there: OwnedFd,
}

/// Asks `names` on another thread.
///
/// # Errors
/// Those of [`Names::addresses`]; `EAGAIN` when too many names are being resolved, `EINTR` when the
/// guest must stop.
pub(super) fn ask(names: &Arc<dyn Names>, guard: &Guard, name: &str) -> Result<Vec<IpAddr>> {
    register(&HOOKS);
    let place = Place::take().ok_or(Errno::AGAIN)?;
    let is_there = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let answer = Arc::new(Answer { addresses: Mutex::new(None), is_there });
    let (asked, to, name) = (names.clone(), answer.clone(), name.to_owned());
    let run = move || {
        let _place = place;
        let addresses = asked.addresses(&name);
        *to.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
        // Cannot fail: the counter is 0.
        let _ = write(&to.is_there, &1u64.to_ne_bytes());
    };
    let spawned = std::thread::Builder::new().name("wasmoor-names".to_owned()).spawn(run);
    drop(spawned.map_err(|_| Errno::AGAIN)?);
    guard.interrupt.retry(|| poll(&mut [PollFd::new(&answer.is_there, PollFlags::IN)], None))?;
    let found = answer.addresses.lock().unwrap_or_else(PoisonError::into_inner).take();
    found.unwrap_or(Err(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;

    /// Answers with what it was made with, or panics.
    #[derive(Debug)]
    struct Fixed(Result<Vec<IpAddr>>);

    impl Names for Fixed {
        fn addresses(&self, _: &str) -> Result<Vec<IpAddr>> {
            self.0.clone()
        }
    }

    #[test]
    fn answers_come_back() {
        for answer in [Ok(vec![[1, 2, 3, 4].into()]), Err(Errno::NOENT)] {
            let names: Arc<dyn Names> = Arc::new(Fixed(answer.clone()));
            assert_eq!(ask(&names, &Guard::default(), "a"), answer);
        }
    }

    #[test]
    fn waiting_ends_with_the_guest() {
        #[derive(Debug)]
        struct Never(Mutex<()>);
        impl Names for Never {
            fn addresses(&self, _: &str) -> Result<Vec<IpAddr>> {
                drop(self.0.lock());
                Err(Errno::NOENT)
            }
        }
        // The wait is broken off by a signal that comes to this thread again and again.
        let never = Arc::new(Never(Mutex::new(())));
        let names: Arc<dyn Names> = never.clone();
        let held = never.0.lock().unwrap();
        let guard = Guard { interrupt: Interrupt::new(|| true), ..Guard::default() };
        let ended = crate::interrupt::tests::interrupted(|| ask(&names, &guard, "a"));
        assert_eq!(ended, Err(Errno::INTR));
        drop(held);
    }

    #[test]
    fn a_child_resolves_as_many_as_its_parent() {
        use wasmoor_sys::fork::{Fork, fork};
        let names: Arc<dyn Names> = Arc::new(Fixed(Err(Errno::NOENT)));
        assert_eq!(ask(&names, &Guard::default(), "a"), Err(Errno::NOENT));
        let places: Vec<Place> = std::iter::from_fn(Place::take).collect();
        assert_eq!(ask(&names, &Guard::default(), "a"), Err(Errno::AGAIN));
        match fork().unwrap() {
            Fork::Child => {
                let is_asked = ask(&names, &Guard::default(), "a") == Err(Errno::NOENT);
                std::process::exit(i32::from(!is_asked));
            }
            Fork::Parent(child) => {
                let child = rustix::process::Pid::from_raw(child);
                let options = rustix::process::WaitOptions::empty();
                let (_, status) = rustix::process::waitpid(child, options).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(0));
            }
        }
        drop(places);
    }

    #[test]
    fn the_systems_own() {
        let found = SystemNames.addresses("localhost").unwrap();
        assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
        assert_eq!(SystemNames.addresses("nothing.invalid"), Err(Errno::NOENT));
    }
}
