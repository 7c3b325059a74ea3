//! The meter: what a store may take, and what it has taken.

use wasmoor_abi::limits;

/// Limits of one store, over all of its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of all linear memories together.
    pub memory_bytes_max: u64,
    /// Elements of all tables together.
    pub table_elements_max: u64,
    /// Instances.
    pub instances_max: u32,
    /// Bytes that the host keeps because of the guest: host references, names, buffers.
    pub host_bytes_max: u64,
}

impl Default for StoreLimits {
    /// No limit on memory but the machine's; ten million table elements; a million instances.
    fn default() -> Self {
        StoreLimits {
            memory_bytes_max: u64::MAX,
            table_elements_max: limits::TABLE_ELEMENTS_MAX,
            instances_max: 1_000_000,
            host_bytes_max: 1 << 30,
        }
    }
}

/// Counts what a store's guests have taken and refuses what exceeds the limits.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// The limits.
    pub limits: StoreLimits,
    /// Bytes of linear memories.
    pub memory_bytes: u64,
    /// Elements of tables.
    pub table_elements: u64,
    /// Bytes kept by the host.
    pub host_bytes: u64,
}

impl Meter {
    /// Charges linear memory; false: refused, nothing charged.
    #[must_use]
    pub fn charge_memory(&mut self, bytes: u64) -> bool {
        charge(&mut self.memory_bytes, bytes, self.limits.memory_bytes_max)
    }

    /// Charges table elements; false: refused, nothing charged.
    #[must_use]
    pub fn charge_table(&mut self, elements: u64) -> bool {
        charge(&mut self.table_elements, elements, self.limits.table_elements_max)
    }

    /// Charges bytes kept by the host; false: refused, nothing charged.
    #[must_use]
    pub fn charge_host(&mut self, bytes: u64) -> bool {
        charge(&mut self.host_bytes, bytes, self.limits.host_bytes_max)
    }

    /// Gives back linear memory that was charged and could not be had.
    pub fn refund_memory(&mut self, bytes: u64) {
        self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
    }

    /// Gives back bytes that the host no longer keeps.
    pub fn refund_host(&mut self, bytes: u64) {
        self.host_bytes = self.host_bytes.saturating_sub(bytes);
    }

    /// Gives back table elements that were charged and could not be had.
    pub fn refund_table(&mut self, elements: u64) {
        self.table_elements = self.table_elements.saturating_sub(elements);
    }
}

/// What has been charged for something that is still to be made. Dropped before it is kept, it is
/// given back: after an error, and after a panic in an embedder's code.
pub(crate) struct Charge<'a> {
    meter: &'a mut Meter,
    memory_bytes: u64,
    table_elements: u64,
}

impl<'a> Charge<'a> {
    /// Of bytes of a memory.
    pub(crate) fn of_memory(meter: &'a mut Meter, bytes: u64) -> Self {
        Charge { meter, memory_bytes: bytes, table_elements: 0 }
    }

    /// Of elements of a table.
    pub(crate) fn of_table(meter: &'a mut Meter, elements: u64) -> Self {
        Charge { meter, memory_bytes: 0, table_elements: elements }
    }

    /// It has been made.
    pub(crate) fn keep(mut self) {
        (self.memory_bytes, self.table_elements) = (0, 0);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.meter.refund_memory(self.memory_bytes);
        self.meter.refund_table(self.table_elements);
    }
}

fn charge(taken: &mut u64, more: u64, max: u64) -> bool {
    match taken.checked_add(more) {
        Some(total) if total <= max => {
            *taken = total;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_the_limit_and_on_overflow() {
        let mut meter = Meter::default();
        meter.limits.memory_bytes_max = 10;
        assert!(meter.charge_memory(10));
        assert!(!meter.charge_memory(1));
        assert!(!meter.charge_memory(u64::MAX));
        meter.refund_memory(4);
        assert!(meter.charge_memory(4));
    }
}
