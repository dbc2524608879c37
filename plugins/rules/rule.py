"""Reads rules from the settings and matches events against them. The plugin decides what to do with a matching event."""

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
# Maximum length of the name of a rule. Key and value of a tag have at most 128 bytes together.
MAX_NAME_BYTES = 64


class InvalidField(ValueError):
    """A field of a rule is invalid. The text says why."""


@dataclass(frozen=True)
class Rule:
    """A rule. An event matches the rule if it meets all conditions. It meets a condition if one of the values matches."""

    name: str
    drops: bool
    needs: Fields
    conditions: tuple[Condition, ...]

    def matches(self, event: Event) -> bool:
        return all(condition(event) for condition in self.conditions)


def read(index: int, rule: object) -> Rule:
    """Reads a rule. If it is invalid, raises ValueError; the text names the rule and the field."""
    prefix = f"rule {index + 1}"
    if not isinstance(rule, dict):
        raise ValueError(f"{prefix}: expected a map with `name` and conditions, not {rule!r}")
    name = rule.get("name")
    if not isinstance(name, str) or not name.strip() or "," in name or len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{prefix}: `name`: expected a text without commas, of at most {MAX_NAME_BYTES} bytes, not {name!r}")
    prefix = f"rule `{name}`"
    action = rule.get("action", "tag")
    if action not in ACTIONS:
        raise ValueError(f"{prefix}: `action`: expected tag or drop, not {action!r}")
    needs, conditions = Fields(0), []
    for field, value in rule.items():
        if field in ("name", "action"):
            continue
        if field not in CONDITIONS:
            raise ValueError(f"{prefix}: unknown field `{field}`, expected one of name, action, {', '.join(CONDITIONS)}")
        field_needs, make = CONDITIONS[field]
        try:
            conditions.append(make(value))
        except InvalidField as error:
            raise ValueError(f"{prefix}: `{field}`: {error}") from None
        needs |= field_needs
    if not conditions:
        raise ValueError(f"{prefix}: no condition, so that it would match every connection")
    return Rule(name, action == "drop", needs, tuple(conditions))


def values(value: object) -> list[Any]:
    """Returns a list unchanged, and any other value as a list of one item."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise InvalidField("the list is empty, so that nothing would match")
    return items


def globs(value: object) -> Callable[[str], bool]:
    """Returns a function that matches a text against patterns: `*` is any text, `?` any character, `[ab]` one of these
    characters. Case matters."""
    patterns = []
    for item in values(value):
        if not isinstance(item, str):
            raise InvalidField(f"expected text, such as `nginx*`, not {item!r}")
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
            raise InvalidField(f"expected a name or a uid, not {item!r}")
        names.add(str(item))
    return lambda event: str(event.uid) in names or (event.process is not None and event.process.user in names)


def ports(value: object) -> Condition:
    spans = []
    for item in values(value):
        first, dash, last = str(item).partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise InvalidField(f"expected a port or a range such as 8000-8999, not {item!r}") from None
        if isinstance(item, bool) or not span or span[0] < 0 or span[-1] > 65535:
            raise InvalidField(f"expected ports of 0 to 65535, the lower one first, not {item!r}")
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
            raise InvalidField(f"expected an address or a network such as 10.0.0.0/8, not {item!r}{cause(error)}") from None

    def matches(event: Event) -> bool:
        address = event.destination
        return any(address in net for net in nets)

    return matches


def cause(error: ValueError) -> str:
    """The reason why Python rejects a network, if bits after the prefix are set."""
    return " (bits after the prefix are set)" if "host bits" in str(error) else ""


def container(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.container is not None and (matches(event.container.name) or matches(event.container.id))


def image(value: object) -> Condition:
    matches = globs(value)
    return lambda event: event.container is not None and matches(event.container.image)


def labels(value: object) -> Condition:
    if not isinstance(value, Mapping) or not value:
        raise InvalidField(f"expected a map of keys to values, such as team: web*, not {value!r}")
    patterns = {key: globs(pattern) for key, pattern in value.items()}

    def matches(event: Event) -> bool:
        have = event.labels
        return all(key in have and matches(have[key]) for key, matches in patterns.items())

    return matches


def outcome(value: object) -> Condition:
    known = lightmon.OUTCOMES[1:]
    for item in values(value):
        if item not in known:
            raise InvalidField(f"expected one of {', '.join(known)}, not {item!r}")
    expected = set(values(value))
    return lambda event: lightmon.outcome_word(event.outcome) in expected


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
    """Reads all rules. Every rule must have its own name."""
    if not isinstance(rules, list) or not rules:
        raise ValueError("setting `rules`: expected a list of rules; give it in config.yaml, not on the command line")
    read_rules = [read(index, rule) for index, rule in enumerate(rules)]
    names: set[str] = set()
    for rule in read_rules:
        if rule.name in names:
            raise ValueError(f"rule `{rule.name}`: `name`: another rule has the same name")
        names.add(rule.name)
    return read_rules


def joined(names: Iterable[str], max_bytes: int) -> str:
    """Joins as many names as fit: `a,b`."""
    text = ""
    for name in names:
        longer = f"{text},{name}" if text else name
        if len(longer.encode()) > max_bytes:
            break
        text = longer
    return text
