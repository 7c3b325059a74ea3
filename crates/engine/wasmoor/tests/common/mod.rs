//! What tests of several files share.

use wasmoor::Tier;

/// Every way of making code; `{:?}` of the mixed one names its seed (`$WASMOOR_SEED` sets it).
pub(crate) fn tiers() -> [Tier; 4] {
    [Tier::Auto, Tier::Baseline, Tier::Optimizing, wasmoor::raw::mixed_tier(wasmoor::raw::seed())]
}
