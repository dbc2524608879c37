import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lightmon import Fields
from lightmon_test import Harness
from plugin import Plugin

WEB = {"id": "3f4e8d0c5b6a", "name": "web-1", "image": "nginx:1.27", "labels": {"team": "shop", "tier": "front"}}


def matches(condition: dict, **event) -> bool:
    actions = Harness(Plugin, {"rules": [{"name": "it", **condition}]}).event(**event)
    assert actions in ([], [("tag", "rule", "it")]), actions
    return bool(actions)


class Conditions(unittest.TestCase):
    def check(self, condition: dict, yes: list, no: list):
        for event in yes:
            self.assertTrue(matches(condition, **event), (condition, event))
        for event in no:
            self.assertFalse(matches(condition, **event), (condition, event))

    def test_processes(self):
        process = lambda **fields: {"process": fields}
        self.check({"comm": "php*"}, [process(comm="php-fpm")], [process(comm="PHP"), process(comm="aphp"), {}])
        self.check({"comm": ["a", "b?"]}, [process(comm="a"), process(comm="bc")], [process(comm="ab"), process(comm="a\n")])
        self.check({"path": "/usr/*/curl"}, [process(path="/usr/local/bin/curl")], [process(path="/tmp/curl"), process()])
        self.check({"user": ["alice", 33]}, [process(user="alice"), {"uid": 33}], [process(user="bob"), {"uid": 34}])

    def test_destinations(self):
        port = lambda number: {"destination_port": number}
        self.check({"ports": [443, "8000-8002"]}, [port(443), port(8000), port(8002)], [port(80), port(8003)])
        to = lambda address: {"destination": address}
        self.check(
            {"networks": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]},
            [to("10.255.0.1"), to("2001:db8:1::1"), to("192.0.2.7"), to("::ffff:10.0.0.1")],
            [to("11.0.0.1"), to("2001:db9::1"), to("192.0.2.8")],
        )
        self.check({"outcome": ["refused", "timed-out"]}, [{"outcome": 3}, {"outcome": 5}], [{"outcome": 1}, {"outcome": 99}])

    def test_containers(self):
        web = {"container": WEB}
        self.check({"container": "web-*"}, [web], [{}, {"container": {"name": "db"}}])
        self.check({"container": "3f4e*", "image": ["nginx:*"]}, [web], [{"container": {"id": "3f4e"}}])
        self.check({"labels": {"team": "shop", "tier": ["front", "back"]}}, [web], [{}, {"container": {"labels": {"team": "shop"}}}])

    def test_all_conditions_must_match(self):
        condition = {"ports": 22, "outcome": "denied"}
        self.check(condition, [{"destination_port": 22, "outcome": 7}], [{"destination_port": 22}, {"outcome": 7}])


class Rules(unittest.TestCase):
    def test_names_are_joined_and_counted(self):
        rules = [{"name": "a", "ports": 22}, {"name": "b", "ports": "1-99"}, {"name": "c", "ports": 80}]
        harness = Harness(Plugin, {"rules": rules, "tag": "why"})
        self.assertEqual(harness.event(destination_port=22), [("tag", "why", "a,b")])
        self.assertEqual(harness.event(destination_port=443), [])
        self.assertEqual(harness.host.counters, {"a": 1, "b": 1})

    def test_names_that_do_not_fit_into_the_tag_are_omitted(self):
        rules = [{"name": letter * 50, "ports": 22} for letter in "abc"]
        self.assertEqual(Harness(Plugin, {"rules": rules}).event(destination_port=22), [("tag", "rule", f"{'a' * 50},{'b' * 50}")])

    def test_a_rule_drops(self):
        rules = [{"name": "ssh", "ports": 22}, {"name": "noise", "networks": "127.0.0.0/8", "action": "drop"}]
        harness = Harness(Plugin, {"rules": rules})
        self.assertEqual(harness.event(destination="127.0.0.1", destination_port=22), [("drop",)])
        self.assertEqual(harness.event(destination_port=22), [("tag", "rule", "ssh")])

    def test_only_the_needed_fields_are_requested(self):
        needs = lambda *rules: Harness(Plugin, {"rules": [{"name": str(n), **rule} for n, rule in enumerate(rules)]}).setup.needs
        self.assertEqual(needs({"ports": 1}, {"outcome": "sent"}), Fields(0))
        self.assertEqual(needs({"comm": "a"}, {"labels": {"a": "b"}}), Fields.PROCESS | Fields.LABELS)

    def test_errors_name_the_rule(self):
        for rules, error in (
            (None, "setting `rules`: expected a list of rules; give it in config.yaml, not on the command line"),
            ("a+b", "setting `rules`: expected a list of rules; give it in config.yaml, not on the command line"),
            (["x"], "rule 1: expected a map with `name` and conditions, not 'x'"),
            ([{"ports": 1}], "rule 1: `name`: expected a text without commas, of at most 64 bytes, not None"),
            ([{"name": "x"}], "rule `x`: no condition, so that it would match every connection"),
            ([{"name": "x", "port": 1}], "rule `x`: unknown field `port`, expected one of name, action, comm, path, user, ports, networks, container, image, labels, outcome"),
            ([{"name": "x", "ports": "80-70"}], "rule `x`: `ports`: expected ports of 0 to 65535, the lower one first, not '80-70'"),
            ([{"name": "x", "ports": "http"}], "rule `x`: `ports`: expected a port or a range such as 8000-8999, not 'http'"),
            ([{"name": "x", "ports": []}], "rule `x`: `ports`: the list is empty, so that nothing would match"),
            ([{"name": "x", "networks": "10.0.0.1/8"}], "rule `x`: `networks`: expected an address or a network such as 10.0.0.0/8, not '10.0.0.1/8' (bits after the prefix are set)"),
            ([{"name": "x", "labels": "team"}], "rule `x`: `labels`: expected a map of keys to values, such as team: web*, not 'team'"),
            ([{"name": "x", "comm": 5}], "rule `x`: `comm`: expected text, such as `nginx*`, not 5"),
            ([{"name": "x", "action": "halt", "ports": 1}], "rule `x`: `action`: expected tag or drop, not 'halt'"),
            ([{"name": "x", "ports": 1}, {"name": "x", "ports": 2}], "rule `x`: `name`: another rule has the same name"),
        ):
            with self.assertRaises(ValueError) as raised:
                Harness(Plugin, {} if rules is None else {"rules": rules})
            self.assertEqual(str(raised.exception), error)
        with self.assertRaises(ValueError) as raised:
            matches({"outcome": "slow"})
        self.assertRegex(str(raised.exception), "^rule `it`: `outcome`: expected one of established, connected, refused, .*, sent, not 'slow'$")


if __name__ == "__main__":
    unittest.main()
