//! Networking: what a guest may do, and the sockets it does it with.
//!
//! A [`Network`] is what one guest has of it: [`Policy`], published ports, a resolver of [`Names`].
//! Without one, or with the default, every call here refuses with `EACCES`, before any packet. Each
//! refusal is logged (target `wasmoor::net`), up to a number that keeps a guest from flooding the
//! log.
//!
//! Sockets are the kernel's own from the moment they are opened. What is kept beside one is in
//! [`socket::Socket`]; data go through [`Descriptor`](crate::Descriptor) like everybody else's.
//! Nothing here waits for longer than the guest asked for: there are no timeouts of ours.

pub mod address;
mod connections;
pub mod names;
pub mod options;
mod paths;
pub mod pins;
pub mod policy;
pub mod publish;
pub mod rules;
pub mod socket;
mod sockopt;
#[cfg(test)]
mod tests;
pub mod transfer;

pub use self::names::{Names, SystemNames};
pub use self::policy::{Policy, Wish};
pub use self::publish::Published;
pub use self::rules::{Direction, Protocol, Rule, RuleError, host_name, parse_rules};

use self::address::destination;
use self::paths::Paths;
use self::pins::Pins;
use crate::core::Guard;
use rustix::io::{Errno, Result};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What one guest has of the network.
#[derive(Debug)]
pub struct Network {
    policy: Policy,
    published: Vec<Published>,
    names: Arc<dyn Names>,
    pins: Pins,
    paths: Paths,
    /// Refusals that were logged.
    refused: AtomicU32,
}

impl Default for Network {
    fn default() -> Self {
        Network::new(Policy::nothing())
    }
}

/// Refusals of one guest that are logged.
const LOGGED_MAX: u32 = 100;

/// Where the wasix-libc binds a socket once, to see in which order addresses come back. It can do
/// without.
const PROBE_PORT: u16 = 10275;

impl Network {
    /// What `policy` grants, with the names of the system.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Network {
            policy,
            published: Vec::new(),
            names: Arc::new(SystemNames),
            pins: Pins::default(),
            paths: Paths::default(),
            refused: AtomicU32::new(0),
        }
    }

    /// The same with ports of the guest that are others on the host; these are granted thereby.
    #[must_use]
    pub fn publish(mut self, published: impl IntoIterator<Item = Published>) -> Self {
        self.published.extend(published);
        self
    }

    /// The same with another resolver.
    #[must_use]
    pub fn with_names(mut self, names: impl Names + 'static) -> Self {
        self.names = Arc::new(names);
        self
    }

    /// Keeps other threads from changing what a forked child goes on with until the guard is dropped.
    /// To be called inside [`Core::hold`](crate::Core::hold): what that closes at its end may be noted
    /// here.
    pub fn hold(&self) -> impl Sized + use<'_> {
        (self.pins.hold(), self.paths.hold())
    }

    /// Whether a socket for `protocol` can be of any use to the guest.
    fn check_any(&self, protocol: Protocol) -> Result<()> {
        let is_published = self.published.iter().any(|one| one.protocol == protocol);
        if self.policy.grants_any(protocol) || is_published {
            return Ok(());
        }
        Err(self.refuse(format_args!("a socket for {protocol:?}")))
    }

    /// Whether the guest may talk to `to`.
    fn check_connect(&self, protocol: Protocol, to: SocketAddr) -> Result<()> {
        let wish = Wish { direction: Direction::Connect, protocol, ip: to.ip(), port: to.port() };
        let pinned = |fits: &dyn Fn(&str) -> bool| self.pins.any(to.ip(), fits);
        if self.policy.allows(&wish, pinned) {
            return Ok(());
        }
        Err(self.refuse(format_args!("{protocol:?} to {to}")))
    }

    /// Whether the guest may be reached at `at`; `both_families` when IPv4 comes with it.
    fn check_listen(&self, protocol: Protocol, at: SocketAddr, both_families: bool) -> Result<()> {
        let wish = Wish { direction: Direction::Listen, protocol, ip: at.ip(), port: at.port() };
        let is_granted = if both_families && at.ip().is_unspecified() {
            self.policy.allows_both_families(&wish)
        } else {
            self.policy.allows(&wish, |_| false)
        };
        if is_granted {
            return Ok(());
        }
        if at.port() == PROBE_PORT && at.ip().is_unspecified() {
            return Err(Errno::ACCESS);
        }
        Err(self.refuse(format_args!("listening for {protocol:?} on {at}")))
    }

    fn check_unix(&self, direction: Direction) -> Result<()> {
        if self.policy.allows_unix(direction) {
            return Ok(());
        }
        Err(self.refuse(format_args!("a socket that is a file")))
    }

    /// Logs that the guest may not do `what`.
    fn refuse(&self, what: fmt::Arguments<'_>) -> Errno {
        let count = self.refused.fetch_add(1, Ordering::Relaxed);
        if count < LOGGED_MAX {
            tracing::warn!(target: "wasmoor::net", "refused: {what}");
        } else if count == LOGGED_MAX {
            tracing::warn!(target: "wasmoor::net", "further refusals are not shown");
        } else {
            // So that the count never comes round.
            self.refused.store(LOGGED_MAX + 1, Ordering::Relaxed);
        }
        Errno::ACCESS
    }

    /// The addresses of `host`, a name or an address in text.
    ///
    /// # Errors
    /// `EACCES` when no rule could grant a connection to it, `EINVAL` for what is no name,
    /// `ENOENT` when there are none, `EAGAIN` and `ENOBUFS` when too many names are asked for.
    pub fn resolve(&self, guard: &Guard, host: &str) -> Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            // Nobody is asked.
            return Ok(vec![ip]);
        }
        let name = host_name(host).ok_or(Errno::INVAL)?;
        if !self.policy.allows_name(&name) {
            return Err(self.refuse(format_args!("the name {name}")));
        }
        if let Some(pinned) = self.pins.get(&name) {
            return Ok(pinned);
        }
        let mut addresses = names::ask(&self.names, guard, &name)?;
        let found = addresses.len();
        addresses.retain(|ip| self.policy.allows_answer(&name, *ip));
        if addresses.is_empty() && found > 0 {
            return Err(self.refuse(format_args!("every address of {name}")));
        }
        // One address once, whatever form it came in.
        let mut seen = Vec::new();
        addresses.retain(|ip| {
            let is_new = !seen.contains(&destination(*ip));
            seen.push(destination(*ip));
            is_new
        });
        self.pins.pin(&name, addresses)
    }
}
