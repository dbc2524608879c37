//! What a profile of callgrind says in all. Runs nothing.

/// Of a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// The functions of the C library that allocate: Rust's allocator calls no others.
const ALLOCATE: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

impl Totals {
    /// Of a profile that was written with `--compress-strings=no`. None when it is no profile, or not a whole one.
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
