//! What stored code was made for, and whether it can run here.

use wasmoor_abi::{ABI_VERSION, MemoryMode, Tunables};

/// Everything that must agree between the maker and the user of stored code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// [`ABI_VERSION`] of the maker.
    pub abi_version: u32,
    /// Version of Wasmoor, at most 31 bytes.
    pub release: String,
    /// Number of the architecture.
    pub arch: u8,
    /// Features of the CPU that code may use: see [`host_cpu`].
    pub cpu: u64,
    /// WebAssembly proposals that the module was validated with.
    pub features: u32,
    /// How accesses to memories are kept in bounds.
    pub memory_mode: MemoryMode,
    /// Whether accesses to 64-bit memories are clamped; `None`: the module has no such memory.
    pub clamped64: Option<bool>,
    /// Whether code counts fuel.
    pub fuel: bool,
    /// Whether relaxed vector operators have the results of the specification's deterministic
    /// profile.
    pub relaxed_simd_deterministic: bool,
}

impl Identity {
    /// Of code made here.
    #[must_use]
    pub fn here(tunables: &Tunables, features: u32) -> Self {
        Identity {
            abi_version: ABI_VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            arch: ARCH,
            cpu: host_cpu(),
            features,
            memory_mode: tunables.memory_mode,
            clamped64: Some(tunables.clamped64),
            fuel: tunables.fuel,
            relaxed_simd_deterministic: tunables.relaxed_simd_deterministic,
        }
    }

    /// Why code of this identity cannot run where code of identity `here` is made.
    #[must_use]
    pub fn unfit_for(&self, here: &Identity) -> Option<String> {
        let cpu_missing = self.cpu & !here.cpu;
        Some(if self.abi_version != here.abi_version || self.release != here.release {
            format!(
                "it was made by Wasmoor {} (code version {}), this is {} (code version {})",
                self.release.escape_default(),
                self.abi_version,
                here.release,
                here.abi_version
            )
        } else if self.arch != here.arch {
            format!("it was made for {}, this is {}", arch_name(self.arch), arch_name(here.arch))
        } else if cpu_missing != 0 {
            format!("it was made for a CPU with {}, which this one lacks", cpu_names(cpu_missing))
        } else if self.features & !here.features != 0 {
            "it may use WebAssembly proposals that are switched off here".to_owned()
        } else if self.memory_mode != here.memory_mode {
            format!(
                "it was made for {} memories, here they are {}",
                mode_name(self.memory_mode),
                mode_name(here.memory_mode)
            )
        } else if let (Some(made), Some(here)) = (self.clamped64, here.clamped64)
            && made != here
        {
            let are = |clamped| if clamped { "clamped" } else { "checked" };
            format!(
                "its accesses to 64-bit memories are {}, here they are {}",
                are(made),
                are(here)
            )
        } else if self.fuel != here.fuel {
            let counts = |fuel| if fuel { "counts fuel" } else { "does not count fuel" };
            format!("its code {}, but here code {}", counts(self.fuel), counts(here.fuel))
        } else if self.relaxed_simd_deterministic != here.relaxed_simd_deterministic {
            let are = |deterministic| if deterministic { "deterministic" } else { "fast" };
            format!(
                "its relaxed vector operators are {}, here they are {}",
                are(self.relaxed_simd_deterministic),
                are(here.relaxed_simd_deterministic)
            )
        } else {
            return None;
        })
    }
}

const ARCHITECTURES: [&str; 3] = ["another architecture", "x86-64", "aarch64"];
const ARCH: u8 = if cfg!(target_arch = "x86_64") {
    1
} else if cfg!(target_arch = "aarch64") {
    2
} else {
    0
};

fn arch_name(arch: u8) -> &'static str {
    ARCHITECTURES.get(usize::from(arch)).copied().unwrap_or(ARCHITECTURES[0])
}

fn mode_name(mode: MemoryMode) -> String {
    match mode {
        MemoryMode::Guard { guard_bytes } => format!("guarded ({} MiB)", guard_bytes >> 20),
        MemoryMode::Clamped | MemoryMode::Checked => "checked".to_owned(),
    }
}

/// Declares the features once: bit, name, detection.
macro_rules! cpu_features {
    ($($name:tt),* $(,)?) => {
        const CPU_FEATURES: &[&str] = &[$($name),*];

        /// Features of this machine's CPU that a compiler may make use of, a bit for each. Bits
        /// are never given a new meaning.
        #[must_use]
        pub fn host_cpu() -> u64 {
            #[cfg(target_arch = "x86_64")]
            {
                let present = [$(std::arch::is_x86_feature_detected!($name)),*];
                present.iter().enumerate().fold(0, |set, (bit, &has)| set | u64::from(has) << bit)
            }
            #[cfg(not(target_arch = "x86_64"))]
            0
        }
    };
}

cpu_features!(
    "sse3",
    "ssse3",
    "sse4.1",
    "sse4.2",
    "popcnt",
    "lzcnt",
    "bmi1",
    "bmi2",
    "avx",
    "avx2",
    "fma",
    "avx512bitalg",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "avx512vbmi",
    "cmpxchg16b",
);

fn cpu_names(set: u64) -> String {
    let name = |bit: usize| CPU_FEATURES.get(bit).copied().unwrap_or("an unknown feature");
    let names: Vec<_> = (0..64).filter(|bit| set >> bit & 1 == 1).map(name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let here = Identity::here(&Tunables::default(), 0b11);
        assert_eq!(here.unfit_for(&here), None);
        let fewer = Identity { cpu: 0, features: 0b01, ..here.clone() };
        assert_eq!(fewer.unfit_for(&here), None, "what needs less runs");
        let without = Identity { clamped64: None, ..here.clone() };
        assert_eq!(without.unfit_for(&here), None, "a module without 64-bit memories");
        let with = |change: fn(&mut Identity), words: &str| {
            let mut other = here.clone();
            change(&mut other);
            let why = other.unfit_for(&here).expect(words);
            assert!(why.contains(words), "{why}");
        };
        with(|id| id.abi_version += 1, "code version");
        with(|id| id.release.push('0'), "made by Wasmoor");
        with(|id| id.arch = 9, "another architecture");
        with(|id| id.cpu |= 1 << 63, "an unknown feature");
        with(|id| id.features |= 1 << 31, "proposals");
        with(|id| id.memory_mode = MemoryMode::Checked, "checked memories");
        with(|id| id.clamped64 = Some(false), "64-bit memories are checked");
        with(|id| id.fuel = true, "counts fuel");
        with(|id| id.relaxed_simd_deterministic = true, "are deterministic");
    }
}
