//! Which proposal an invalid module lacks, where the validator's reason does not say.
//!
//! "multiple memories" is an error of validation like any other to the validator, not one of a
//! proposal that is off. So the module is loaded once more with all proposals: if the fault stays
//! where it is, none would help. Else each is tried alone.

use crate::error::LoadError;
use crate::features::{Feature, Features};

/// The error with the proposal that would mend its fault, if one would. `load` loads the module
/// with other proposals.
pub(crate) fn name_proposal(
    error: LoadError,
    features: Features,
    load: impl Fn(Features) -> Result<(), LoadError>,
) -> LoadError {
    let (LoadError::Invalid(fault) | LoadError::Malformed(fault)) = &error else { return error };
    let mends = |features| match load(features) {
        Ok(()) => true,
        Err(next) => next.offset().is_some_and(|offset| offset > fault.offset),
    };
    let all = Feature::ALL.iter().copied().collect::<Features>();
    if all == features || !mends(all) {
        return error;
    }
    let off = Feature::ALL.iter().copied().filter(|feature| !features.contains(*feature));
    match off.into_iter().find(|feature| mends(features.with(*feature))) {
        None => error,
        feature => LoadError::Unsupported { feature, fault: fault.clone() },
    }
}
