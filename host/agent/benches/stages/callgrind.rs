//! Reads the totals of a callgrind profile. Runs nothing.

/// Totals of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// The allocating functions of the C library that Rust's allocator calls.
const ALLOCATE: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

impl Totals {
    /// Reads a profile written with `--compress-strings=no`. Returns `None` if it is not a complete profile.
    pub(crate) fn of(profile: &str) -> Option<Self> {
        let (mut instructions, mut allocations) = (None, 0);
        let mut is_allocation = false;
        for line in profile.lines() {
            if let Some(function) = line.strip_prefix("cfn=") {
                is_allocation = ALLOCATE.contains(&function);
            } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| is_allocation) {
                allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
            } else if let Some(total) = line.strip_prefix("totals: ") {
                instructions = Some(total.trim().parse().ok()?);
            }
        }
        Some(Self {
            instructions: instructions?,
            allocations,
        })
    }
}
