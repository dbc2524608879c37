"""One rule: reads it from the settings, and says whether an event matches it. Decides nothing about what becomes of the event."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Callable, Iterable, Mapping

import lightmon
from lightmon import Event, Fields

Condition = Callable[[Event], bool]
ACTIONS = ("tag", "drop")
# A tag has 128 bytes, with its key.
LONGEST_NAME = 64


class Wrong(ValueError):
    """What is wrong with a field of a rule."""


@dataclass(frozen=True)
class Rule:
    """All its conditions have to be met, each by one of its values."""

    name: str
    drops: bool
    needs: Fields
    conditions: tuple[Condition, ...]

    def matches(self, event: Event) -> bool:
        return all(condition(event) for condition in self.conditions)


def read(index: int, rule: object) -> Rule:
    """Reads the rule of that index. ValueError names it, the field, and what is wrong with it."""
    who = f"rule {index + 1}"
    if not isinstance(rule, dict):
        raise ValueError(f"{who}: expected a map with `name` and conditions, not {rule!r}")
    name = rule.get("name")
    if not isinstance(name, str) or not name.strip() or "," in name or len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{who}: `name`: expected a text without commas, of at most {LONGEST_NAME} bytes, not {name!r}")
    who = f"rule `{name}`"
    action = rule.get("action", "tag")
    if action not in ACTIONS:
        raise ValueError(f"{who}: `action`: expected tag or drop, not {action!r}")
    needs, conditions = Fields(0), []
    for field, value in rule.items():
        if field in ("name", "action"):
            continue
        if field not in CONDITIONS:
            raise ValueError(f"{who}: unknown field `{field}`, expected one of name, action, {', '.join(CONDITIONS)}")
        wanted, make = CONDITIONS[field]
        try:
            conditions.append(make(value))
        except Wrong as error:
            raise ValueError(f"{who}: `{field}`: {error}") from None
        needs |= wanted
    if not conditions:
        raise ValueError(f"{who}: it has no condition, so that it would match everything")
    return Rule(name, action == "drop", needs, tuple(conditions))


def values(value: object) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise Wrong("the list is empty, so that nothing would match")
    return items


def globs(value: object) -> Callable[[str], bool]:
    """`*` any text, `?` any character, `[ab]` one of them; letters match in their own case only."""
    patterns = []
    for item in values(value):
        if not isinstance(item, str):
            raise Wrong(f"expected text, such as `nginx*`, not {item!r}")
        patterns.append(fnmatch.translate(item))
    match = re.compile("|".join(patterns)).match
    return lambda text: match(text) is not None


def comm(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.process is not None and matches(event.process.comm)


def path(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.process is not None and event.process.path is not None and matches(event.process.path)


def user(value: object) -> Condition:
    names = set()
    for item in values(value):
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise Wrong(f"expected a name or a uid, not {item!r}")
        names.add(str(item))
    return lambda event: str(event.uid) in names or (event.process is not None and event.process.user in names)


def ports(value: object) -> Condition:
    spans = []
    for item in values(value):
        first, dash, last = str(item).partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise Wrong(f"expected a port or a range such as 8000-8999, not {item!r}") from None
        if isinstance(item, bool) or not span or span[0] < 0 or span[-1] > 65535:
            raise Wrong(f"expected ports of 0 to 65535, the lower one first, not {item!r}")
        spans.append(span)
    return lambda event: any(event.destination_port in span for span in spans)


def networks(value: object) -> Condition:
    nets = []
    for item in values(value):
        try:
            if not isinstance(item, str):
                raise ValueError
            nets.append(ip_network(item))
        except ValueError as error:
            raise Wrong(f"expected an address or a network such as 10.0.0.0/8, not {item!r}{cause(error)}") from None

    def matches(event: Event) -> bool:
        address = event.destination
        return any(address in net for net in nets)

    return matches


def cause(error: ValueError) -> str:
    """Python's word on a network of which bits are set that its mask leaves out."""
    return " (bits are set that are not in its mask)" if "host bits" in str(error) else ""


def container(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.container is not None and (matches(event.container.name) or matches(event.container.id))


def image(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.container is not None and matches(event.container.image)


def labels(value: object) -> Condition:
    if not isinstance(value, Mapping) or not value:
        raise Wrong(f"expected a map of keys to values, such as team: web*, not {value!r}")
    wanted = {key: globs(pattern) for key, pattern in value.items()}

    def matches(event: Event) -> bool:
        have = event.labels
        return all(key in have and matches(have[key]) for key, matches in wanted.items())

    return matches


def outcome(value: object) -> Condition:
    known = lightmon.OUTCOMES[1:]
    for item in values(value):
        if item not in known:
            raise Wrong(f"expected one of {', '.join(known)}, not {item!r}")
    wanted = set(values(value))
    return lambda event: lightmon.outcome_word(event.outcome) in wanted


CONDITIONS: Mapping[str, tuple[Fields, Callable[[object], Condition]]] = {
    "comm": (Fields.PROCESS, comm),
    "path": (Fields.PROCESS, path),
    "user": (Fields.PROCESS, user),
    "ports": (Fields(0), ports),
    "networks": (Fields(0), networks),
    "container": (Fields.CONTAINER, container),
    "image": (Fields.CONTAINER, image),
    "labels": (Fields.LABELS, labels),
    "outcome": (Fields(0), outcome),
}


def read_all(rules: object) -> list[Rule]:
    """Reads all of them; each name once, so that a tag says which one it was."""
    if not isinstance(rules, list) or not rules:
        raise ValueError("setting `rules`: expected a list of rules; the command line can't hold one, config.yaml can")
    read_rules = [read(index, rule) for index, rule in enumerate(rules)]
    names: set[str] = set()
    for rule in read_rules:
        if rule.name in names:
            raise ValueError(f"rule `{rule.name}`: `name`: there is another rule of that name")
        names.add(rule.name)
    return read_rules


def joined(names: Iterable[str], longest: int) -> str:
    """`a,b`: as many names as fit."""
    text = ""
    for name in names:
        longer = f"{text},{name}" if text else name
        if len(longer.encode()) > longest:
            break
        text = longer
    return text
