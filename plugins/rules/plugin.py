"""Tags or drops connections according to the user's rules."""

from __future__ import annotations

import functools
import operator
from collections import Counter

import lightmon
import rule
from lightmon import Event, Verdict, counter, drop, keep

# Maximum size of a tag in lightmon, key and value together.
MAX_TAG_BYTES = 128
# Maximum number of counters in lightmon.
MAX_COUNTERS = 64


class Plugin(lightmon.Plugin):
    def __init__(self, config: dict):
        values = lightmon.settings(config, rules=(lambda value: value, None), tag=(lightmon.text, "rule"))
        self.rules = rule.read_all(values["rules"])
        self.tag = values["tag"]
        if not self.tag or len(self.tag.encode()) > MAX_TAG_BYTES - rule.MAX_NAME_BYTES:
            raise ValueError(f"setting `tag`: expected a key of 1 to {MAX_TAG_BYTES - rule.MAX_NAME_BYTES} bytes, not `{self.tag}`")
        self.max_value_bytes = MAX_TAG_BYTES - len(self.tag.encode())
        self.needs = functools.reduce(operator.or_, (it.needs for it in self.rules))
        self.counted = {it.name for it in self.rules[:MAX_COUNTERS]}
        self.matched: Counter[str] = Counter()

    def event(self, event: Event) -> Verdict | None:
        names = []
        for it in self.rules:
            if it.matches(event):
                self.matched[it.name] += 1
                if it.drops:
                    return drop()
                names.append(it.name)
        return keep().tag(self.tag, rule.joined(names, self.max_value_bytes)) if names else None

    def after_batch(self, events: int) -> None:
        for name, times in self.matched.items():
            if name in self.counted:
                counter.add(name, times)
        self.matched.clear()


Filter, Tick, Stop = lightmon.exports(Plugin)
