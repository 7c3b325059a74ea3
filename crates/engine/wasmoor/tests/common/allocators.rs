//! Every way of keeping instances.

use wasmoor::{Allocation, Config, Engine, MemoryChoice, Pool, Tier};

/// Engines of a tier: without a pool, with one of a few slots, with one whose memories lie side by
/// side. Each has its name.
pub(crate) fn allocators(tier: Tier) -> Vec<(String, Engine)> {
    let pool = |dense| {
        let mut pool = Pool::new();
        pool.slots_max(16).shards(Some(1)).dense(dense);
        Allocation::Pool(pool)
    };
    [("on demand", Allocation::OnDemand), ("pool", pool(None)), ("dense pool", pool(Some(1 << 20)))]
        .into_iter()
        .map(|(name, allocation)| {
            let mut config = Config::new();
            config.tier(tier).allocation(allocation);
            if name == "dense pool" {
                config.memory(MemoryChoice::Checked);
            }
            (format!("{tier:?}, {name}"), Engine::new(&config).expect("an engine"))
        })
        .collect()
}
