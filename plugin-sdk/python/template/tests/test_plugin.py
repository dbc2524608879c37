import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lightmon_test import Harness
from plugin import Plugin


class Slow(unittest.TestCase):
    def test_tags_slow_connections(self):
        harness = Harness(Plugin, {"over": "20"})
        self.assertEqual(harness.event(latency_ns=23_456_789), [("tag", "slow", "23 ms")])
        self.assertEqual(harness.event(latency_ns=19_999_999), [])
        self.assertEqual(harness.event(), [])

    def test_drops_dns_queries(self):
        self.assertEqual(Harness(Plugin).event(destination_port=53), [("drop",)])

    def test_errors_name_the_setting(self):
        for config, error in (
            ({"ovre": 20}, "unknown setting `ovre`"),
            ({"over": "long"}, 'setting `over`: expected a number, not "long"'),
            ({"over": -1}, "setting `over`: expected milliseconds, not -1"),
        ):
            with self.assertRaises(ValueError) as raised:
                Harness(Plugin, config)
            self.assertEqual(str(raised.exception), error)


if __name__ == "__main__":
    unittest.main()
