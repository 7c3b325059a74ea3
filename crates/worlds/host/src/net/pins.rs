//! Names and the addresses that they had when they were first asked for.
//!
//! A name keeps its addresses as long as the guest lives, so whoever answers for it cannot lead the
//! guest elsewhere once a rule with the name has granted something.

use super::address::destination;
use rustix::io::{Errno, Result};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

/// Names that one guest may have resolved.
const NAMES_MAX: usize = 1024;
/// Addresses kept of one name; the wasix-libc asks for 48.
const ADDRESSES_MAX: usize = 64;

/// What names stand for.
#[derive(Debug, Default)]
pub struct Pins {
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Pins {
    /// The addresses of a name that was asked for before.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.lock().get(name).cloned()
    }

    /// Keeps the addresses of a name, or returns those that it has already.
    ///
    /// # Errors
    /// `ENOBUFS` when the guest has resolved too many names.
    pub fn pin(&self, name: &str, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>> {
        let mut names = self.lock();
        if let Some(pinned) = names.get(name) {
            return Ok(pinned.clone());
        }
        if names.len() >= NAMES_MAX {
            return Err(Errno::NOBUFS);
        }
        addresses.truncate(ADDRESSES_MAX);
        names.insert(name.to_owned(), addresses.clone());
        Ok(addresses)
    }

    /// Whether `ip` was given for a name that `fits`.
    #[must_use]
    pub fn any(&self, ip: IpAddr, fits: impl Fn(&str) -> bool) -> bool {
        let ip = destination(ip);
        let names = self.lock();
        names
            .iter()
            .any(|(name, all)| fits(name) && all.iter().any(|pinned| destination(*pinned) == ip))
    }

    /// Keeps other threads from it until the guard is dropped.
    pub(super) fn hold(&self) -> impl Sized + use<'_> {
        self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<IpAddr>>> {
        // Nothing can panic while it is held.
        self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn the_first_answer_stays() {
        let pins = Pins::default();
        assert_eq!(pins.get("a"), None);
        assert_eq!(pins.pin("a", vec![ip(1)]), Ok(vec![ip(1)]));
        assert_eq!(pins.pin("a", vec![ip(2)]), Ok(vec![ip(1)]));
        assert!(pins.any(ip(1), |name| name == "a") && !pins.any(ip(2), |_| true));
        assert!(pins.any("::ffff:10.0.0.1".parse().unwrap(), |_| true));
    }

    #[test]
    fn bounded() {
        let pins = Pins::default();
        let many: Vec<IpAddr> = (0..=255).map(ip).collect();
        assert_eq!(pins.pin("many", many).unwrap().len(), ADDRESSES_MAX);
        for index in 1..NAMES_MAX {
            pins.pin(&index.to_string(), Vec::new()).unwrap();
        }
        assert_eq!(pins.pin("more", Vec::new()), Err(Errno::NOBUFS));
        assert!(pins.pin("many", Vec::new()).is_ok());
    }
}
