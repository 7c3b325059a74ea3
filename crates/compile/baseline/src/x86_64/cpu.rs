//! Features of the CPU that code is made for.

/// What the CPU can do beyond SSE4.1, which is always needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// `popcnt`.
    pub popcnt: bool,
    /// `lzcnt`.
    pub lzcnt: bool,
    /// BMI1: `tzcnt`.
    pub bmi1: bool,
    /// BMI2: shifts by any register.
    pub bmi2: bool,
    /// FMA: multiplication and addition with one rounding.
    pub fma: bool,
}

impl Cpu {
    /// This machine's; `None` if it lacks SSE4.1.
    #[must_use]
    pub fn host() -> Option<Cpu> {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            (has!("sse4.1") && has!("ssse3")).then(|| Cpu {
                popcnt: has!("popcnt"),
                lzcnt: has!("lzcnt"),
                bmi1: has!("bmi1"),
                bmi2: has!("bmi2"),
                fma: has!("fma") && has!("avx"),
            })
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}
