//! What the user does not want to see, decided before there is a record of it: the host has made [`Rules`] of those
//! conditions that the kernel knows all about, and looks at what passes here once more.

use core::hint::black_box;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use lightmon_common::{
    Task, counter,
    exclude::{Fields, MAX_RULES, Rules},
};

use crate::{
    emit,
    ends::{MAPPED, Peer},
    task,
};

/// Set by the host before it loads the program.
#[unsafe(no_mangle)]
static RULES: Rules = Rules::NONE;

/// Whether there is anything to decide. The verifier sees a constant: without rules nothing is left of what depends on it.
#[inline(always)]
pub fn has_rules() -> bool {
    rules().count != 0
}

/// Whether a connection is to be left out; counts it then. It is the current task's, or its `owner`'s if it has another.
#[inline(always)]
pub fn takes(peer: &Peer, protocol: u16, owner: Option<&Task>) -> bool {
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
    // From memory: else the compiler takes words from bytes that only one of its ways here has, which the verifier refuses.
    let Aligned(destination) = black_box(Aligned(peer.address));
    let fields = Fields {
        destination,
        tgid,
        uid,
        is_ipv4: is_ipv4(destination),
        destination_port: peer.port,
        protocol,
    };
    let [a, b, c, d] = fields.words();
    let is_taken = any_matches(a, b, c, d) != 0
        && !owner.map_or_else(|| task::is_counted_apart() != 0, |owner| owner.own != 0);
    if is_taken {
        emit::count(counter::EXCLUDED);
    }
    is_taken
}

/// An address that is read as words.
#[repr(align(8))]
struct Aligned([u8; 16]);

/// Whether any rule matches. A function of its own for the verifier, which goes through it once, and not once for each
/// way that leads here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn any_matches(a: u64, b: u64, c: u64, d: u64) -> u32 {
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

/// The rules, read in a way that the compiler does not fold into the initial value.
#[inline(always)]
fn rules() -> &'static Rules {
    // SAFETY: a static that nobody writes.
    unsafe { &*black_box(&raw const RULES) }
}

#[inline(always)]
fn is_ipv4(address: [u8; 16]) -> bool {
    let prefix = u128::from_be_bytes(MAPPED) >> 32;
    u128::from_be_bytes(address) >> 32 == prefix
}
