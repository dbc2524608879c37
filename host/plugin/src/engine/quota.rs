//! Limits the linear memory and the table elements of one instance.

use wasmtime::ResourceLimiter;

use crate::{error::Fault, limits::Limits};

/// Core instances, memories and tables of one component. Components made from Python need more than a hundred instances.
const MAX_INSTANCES: usize = 256;

/// The memory and tables of one instance, and what it may have.
pub(super) struct Quotas {
    memory: Quota,
    tables: Quota,
}

impl Quotas {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory: Quota::new(limits.memory, "bytes of memory"),
            tables: Quota::new(limits.table_elements, "table elements"),
        }
    }

    /// Bytes of linear memory, all memories together.
    pub(super) fn memory(&self) -> usize {
        self.memory.used
    }

    /// The first request that was refused.
    pub(super) fn refused(&self) -> Option<Fault> {
        self.memory.refused().or_else(|| self.tables.refused())
    }
}

struct Quota {
    limit: usize,
    used: usize,
    /// The first total that was refused.
    refused: Option<usize>,
    unit: &'static str,
}

impl Quota {
    fn new(limit: usize, unit: &'static str) -> Self {
        Self {
            limit,
            used: 0,
            refused: None,
            unit,
        }
    }

    /// Returns whether the amount is granted.
    fn take(&mut self, amount: usize) -> bool {
        let requested = self.used.saturating_add(amount);
        let is_granted = requested <= self.limit;
        if is_granted {
            self.used = requested;
        } else {
            self.refused.get_or_insert(requested);
        }
        is_granted
    }

    fn refused(&self) -> Option<Fault> {
        self.refused.map(|requested| Fault::Memory {
            requested,
            limit: self.limit,
            unit: self.unit,
        })
    }
}

impl ResourceLimiter for Quotas {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.take(desired.saturating_sub(current)))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_for_all_memories_together() {
        let mut quotas = Quotas {
            memory: Quota::new(100, "bytes of memory"),
            tables: Quota::new(10, "table elements"),
        };
        let grow = |quotas: &mut Quotas, current, desired| {
            quotas
                .memory_growing(current, desired, None)
                .expect("never an error")
        };
        assert!(grow(&mut quotas, 0, 60));
        assert!(!grow(&mut quotas, 0, 60));
        assert!(grow(&mut quotas, 60, 100));
        assert!(!grow(&mut quotas, 100, usize::MAX));
        assert_eq!(
            quotas.memory.refused().expect("refused").to_string(),
            "requested 120 bytes of memory, the limit is 100"
        );
        assert_eq!(quotas.tables.refused(), None);
    }
}
