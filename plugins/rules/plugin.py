"""Tags or drops connections by the user's rules."""

from __future__ import annotations

import functools
import operator
from collections import Counter

import lightmon
import rule
from lightmon import Event, Verdict, counter, drop, keep

# What a tag may have, with its key.
LONGEST_TAG = 128
# Names of counters that lightmon has room for.
MOST_COUNTERS = 64


class Plugin(lightmon.Plugin):
    def __init__(self, config: dict):
        known = lightmon.settings(config, rules=(lambda value: value, None), tag=(lightmon.text, "rule"))
        self.rules = rule.read_all(known["rules"])
        self.tag = known["tag"]
        if not self.tag or len(self.tag.encode()) > LONGEST_TAG - rule.LONGEST_NAME:
            raise ValueError(f"setting `tag`: expected a key of 1 to {LONGEST_TAG - rule.LONGEST_NAME} bytes, not `{self.tag}`")
        self.room = LONGEST_TAG - len(self.tag.encode())
        self.needs = functools.reduce(operator.or_, (it.needs for it in self.rules))
        self.counted = {it.name for it in self.rules[:MOST_COUNTERS]}
        self.matched: Counter[str] = Counter()

    def event(self, event: Event) -> Verdict | None:
        names = []
        for it in self.rules:
            if it.matches(event):
                self.matched[it.name] += 1
                if it.drops:
                    return drop()
                names.append(it.name)
        return keep().tag(self.tag, rule.joined(names, self.room)) if names else None

    def after_batch(self, events: int) -> None:
        for name, times in self.matched.items():
            if name in self.counted:
                counter.add(name, times)
        self.matched.clear()


Filter, Tick, Stop = lightmon.exports(Plugin)
