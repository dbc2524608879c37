//! Compiles the alternatives that ask only for what the kernel knows into rules for the kernel program.
//! Removes nothing from the expressions: they decide about what the kernel lets through as if the kernel had no rules.

use std::array;

use ipnet::IpNet;
use lightmon_common::exclude::{Fields, MAX_RULES, Rule};

use crate::{
    Exclude,
    expr::{Condition, Conjunction},
};

impl Exclude {
    /// Rules for the kernel program, as many as it takes. They match no event that the expressions do not match.
    pub fn rules(&self) -> Vec<Rule> {
        let conjunctions = self.0.iter().flat_map(|expr| &expr.0);
        let mut rules: Vec<Rule> = conjunctions.filter_map(rule).collect();
        if rules.len() > MAX_RULES {
            tracing::debug!(
                "the kernel decides {MAX_RULES} of {} alternatives of the exclude expressions",
                rules.len()
            );
            rules.truncate(MAX_RULES);
        }
        rules
    }
}

/// `None` if the kernel knows too little, or if the conditions contradict each other.
fn rule(Conjunction(conditions): &Conjunction) -> Option<Rule> {
    conditions
        .iter()
        .try_fold(Rule::ALL, |rule, it| and(rule, condition(it)?))
}

fn condition(condition: &Condition) -> Option<Rule> {
    let (mut mask, mut value) = (Fields::default(), Fields::default());
    match *condition {
        Condition::Dport(port) => {
            (mask.destination_port, value.destination_port) = (u16::MAX, port);
        }
        Condition::Dip(network) => {
            (mask.is_ipv4, value.is_ipv4) = (true, network.addr().is_ipv4());
            (mask.destination, value.destination) = match network {
                IpNet::V4(network) => (
                    (u128::MAX << (32 - network.prefix_len())).to_be_bytes(),
                    network.network().to_ipv6_mapped().octets(),
                ),
                IpNet::V6(network) => (network.netmask().octets(), network.network().octets()),
            };
        }
        Condition::Protocol(protocol) => {
            (mask.protocol, value.protocol) = (u16::MAX, protocol.number().into());
        }
        Condition::Uid(uid) => (mask.uid, value.uid) = (u32::MAX, uid),
        Condition::Pid(pid) => (mask.tgid, value.tgid) = (u32::MAX, pid),
        Condition::Keyword(_) | Condition::Container(_) => return None,
    }
    Some(Rule {
        mask: mask.words(),
        value: value.words(),
    })
}

/// A rule that matches what both match; `None` if they contradict each other.
fn and(a: Rule, b: Rule) -> Option<Rule> {
    let contradicts = |i: usize| (a.value[i] ^ b.value[i]) & a.mask[i] & b.mask[i] != 0;
    (!(0..4).any(contradicts)).then(|| Rule {
        mask: array::from_fn(|i| a.mask[i] | b.mask[i]),
        value: array::from_fn(|i| a.value[i] | b.value[i]),
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use lightmon_event::Event;
    use proptest::prelude::*;

    use super::*;
    use crate::expr::{
        Expr,
        tests::{any_condition, any_event},
    };

    /// An event as the kernel program sees it.
    fn words(event: &Event) -> [u64; 4] {
        let destination = event.destination.ip().to_canonical();
        let mapped = match destination {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let fields = Fields {
            destination: mapped.octets(),
            tgid: event.pid,
            uid: event.uid,
            is_ipv4: destination.is_ipv4(),
            destination_port: event.destination.port(),
            protocol: event.protocol.number().into(),
        };
        fields.words()
    }

    fn rules(text: &str) -> Vec<Rule> {
        let exclude = Exclude::parse([text]).unwrap_or_else(|error| panic!("{error}"));
        exclude.rules()
    }

    #[test]
    fn rules_ask_only_for_what_the_kernel_knows() {
        for (text, count) in [
            ("", 0),
            ("dport=80", 1),
            ("dip=::/0 && protocol=udp && uid=0 && pid=1", 1),
            ("dport=80 || keyword=x; uid=1", 2),
            ("dport=80 && keyword=x", 0),
            ("container=x", 0),
            // Contradictions.
            ("dport=80 && dport=81", 0),
            ("dip=10.0.0.0/8 && dip=::/0", 0),
            ("dip=10.0.0.0/8 && dip=10.1.0.0/16", 1),
        ] {
            assert_eq!(rules(text).len(), count, "{text}");
        }
        let exclude = Exclude::parse(["dport=1", "dport=2 || container=x"]).unwrap();
        assert_eq!(exclude.rules().len(), 2);
    }

    #[test]
    fn no_more_rules_than_the_kernel_takes() {
        let texts: Vec<String> = (0..1000).map(|port| format!("dport={port}")).collect();
        assert_eq!(rules(&texts.join(";")).len(), MAX_RULES);
    }

    proptest! {
        #[test]
        fn a_rule_matches_what_its_expression_matches(
            event in any_event(),
            conditions in prop::collection::vec(any_condition(), 1..5),
        ) {
            let conditions: Vec<String> =
                conditions.iter().map(|(key, value)| format!("{key}='{value}'")).collect();
            let text = conditions.join(" && ");
            let expr: Expr = text.parse().unwrap();
            match rules(&text)[..] {
                [rule] => prop_assert_eq!(rule.matches(words(&event)), expr.matches(&event), "{}", text),
                _ => {
                    let is_for_host = ["keyword", "container"].iter().any(|key| text.contains(key));
                    prop_assert!(is_for_host || !expr.matches(&event), "{}", text);
                }
            }
        }
    }
}
