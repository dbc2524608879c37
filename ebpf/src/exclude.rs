//! Excludes connections before a record is made. The host compiles those exclude rules into [`Rules`] whose fields the kernel
//! knows, and evaluates the whole expression again on what passes here.

use core::hint::black_box;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use lightmon_common::{
    Task, counter,
    exclude::{Fields, MAX_RULES, Rules},
};

use crate::{
    counters,
    endpoints::{Destination, MAPPED},
    task,
};

/// The host sets it before it loads the program.
#[unsafe(no_mangle)]
static RULES: Rules = Rules::NONE;

/// Whether there are rules. The verifier sees a constant: without rules it removes all code that depends on them.
#[inline(always)]
pub fn has_rules() -> bool {
    rules().count != 0
}

/// Whether a rule excludes the connection. Counts an excluded connection. `owner`: the task of the connection, or `None` for the
/// current task.
#[inline(always)]
pub fn is_excluded(destination: &Destination, protocol: u16, owner: Option<&Task>) -> bool {
    if !has_rules() {
        return false;
    }
    let (tgid, uid) = owner.map_or_else(
        || {
            let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
            (tgid, bpf_get_current_uid_gid() as u32)
        },
        |owner| (owner.tgid, owner.uid),
    );
    // Read back from memory: otherwise the compiler builds words from bytes that only one path sets. The verifier refuses that.
    let Aligned(address) = black_box(Aligned(destination.address));
    let fields = Fields {
        destination: address,
        tgid,
        uid,
        is_ipv4: is_ipv4(address),
        destination_port: destination.port,
        protocol,
    };
    let [a, b, c, d] = fields.words();
    let is_excluded = any_rule_matches(a, b, c, d) != 0
        && !owner.map_or_else(|| task::is_self() != 0, |owner| owner.is_self != 0);
    if is_excluded {
        counters::count(counter::EXCLUDED);
    }
    is_excluded
}

/// An address that is aligned so that it can be read as words.
#[repr(align(8))]
struct Aligned([u8; 16]);

/// Whether any rule matches. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn any_rule_matches(a: u64, b: u64, c: u64, d: u64) -> u32 {
    let rules = rules();
    for i in 0..MAX_RULES {
        if i as u64 >= rules.count {
            break;
        }
        if rules.rules[i].matches([a, b, c, d]) {
            return 1;
        }
    }
    0
}

#[inline(always)]
fn rules() -> &'static Rules {
    // `black_box`: the compiler must not fold the initial value in.
    // SAFETY: a static that nobody writes.
    unsafe { &*black_box(&raw const RULES) }
}

#[inline(always)]
fn is_ipv4(address: [u8; 16]) -> bool {
    let prefix = u128::from_be_bytes(MAPPED) >> 32;
    u128::from_be_bytes(address) >> 32 == prefix
}
