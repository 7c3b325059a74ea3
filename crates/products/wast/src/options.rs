//! How scripts are run.

use std::fmt;
use wasmoor::{Allocation, Config, Features, MemoryChoice, Pool, Tier};

/// How instances get their memories and tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocator {
    /// Mapped when an instance is made, unmapped when its store is dropped.
    #[default]
    OnDemand,
    /// From a pool, one slot of which serves one instance after the other.
    Pooling,
    /// From a pool whose memories share their mappings.
    Dense,
}

impl fmt::Display for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allocator::OnDemand => f.write_str("on-demand"),
            Allocator::Pooling => f.write_str("pooling"),
            Allocator::Dense => f.write_str("dense"),
        }
    }
}

/// How scripts are run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// Which compiler makes code.
    pub tier: Tier,
    /// How instances get their memories and tables.
    pub allocator: Allocator,
    /// How accesses to memories are kept in bounds.
    pub memory: MemoryChoice,
    /// Whether modules are compiled as a whole when they are loaded, rather than each function at
    /// its first call.
    pub eager: bool,
    /// Proposals that modules may use.
    pub features: Features,
    /// Whether relaxed vector instructions have the same results on every machine.
    pub relaxed_simd_deterministic: bool,
    /// Fuel granted to each action of a script; `None`: code does not count fuel.
    pub fuel: Option<u64>,
    /// Whether a script ends at its first failure.
    pub stop_at_failure: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            tier: Tier::Auto,
            allocator: Allocator::OnDemand,
            memory: MemoryChoice::Auto,
            eager: false,
            features: Features::default(),
            relaxed_simd_deterministic: false,
            fuel: None,
            stop_at_failure: false,
        }
    }
}

impl RunOptions {
    /// The engine's configuration.
    pub(crate) fn config(&self) -> Config {
        /// Pages that a memory of a script has, mostly.
        const DENSE_BYTES: usize = 2 << 20;
        let mut pool = Pool::new();
        // Memory of one module goes to the next as often as possible.
        pool.warm_max(Some(0)).shards(Some(1));
        let allocation = match self.allocator {
            Allocator::OnDemand => Allocation::OnDemand,
            Allocator::Pooling => Allocation::Pool(pool),
            Allocator::Dense => {
                pool.dense(Some(DENSE_BYTES));
                Allocation::Pool(pool)
            }
        };
        let mut config = Config::new();
        config
            .tier(self.tier)
            .memory(self.memory)
            .eager(self.eager)
            .features(self.features)
            .allocation(allocation)
            .relaxed_simd_deterministic(self.relaxed_simd_deterministic)
            .fuel(self.fuel.is_some());
        config
    }

    /// What distinguishes runs, in a few words: tier, allocator and so on.
    #[must_use]
    pub fn summary(&self) -> String {
        let tier = match self.tier {
            Tier::Auto => "auto".to_string(),
            Tier::Mixed { seed } => format!("mixed (seed {seed})"),
            other => format!("{other:?}").to_lowercase(),
        };
        let compiled = if self.eager { "eager" } else { "lazy" };
        let fuel = if self.fuel.is_some() { ", fuel" } else { "" };
        let memory = match self.memory {
            MemoryChoice::Auto => "",
            MemoryChoice::Guard => ", guarded memories",
            MemoryChoice::Checked => ", checked memories",
        };
        let relaxed = if self.relaxed_simd_deterministic { ", deterministic" } else { "" };
        format!("tier {tier}, allocator {}, {compiled}{memory}{fuel}{relaxed}", self.allocator)
    }
}
