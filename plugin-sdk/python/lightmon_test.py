"""Runs a plugin in tests under plain CPython, without WebAssembly. Implements the functions of the host, so that tests can read
the plugin's messages, counters and store. Enforces none of the host's limits.

    harness = Harness(Plugin, {"over": 250})
    assert harness.event(destination_port=53) == [("drop",)]
"""

from __future__ import annotations

import json
from collections import Counter, namedtuple
from enum import Flag, auto
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, Mapping, Optional


class _Fields(Flag):
    PROCESS = auto()
    ARGS = auto()
    PARENTS = auto()
    CONTAINER = auto()
    LABELS = auto()
    TAGS = auto()
    DNAME = auto()
    EXTRA = auto()


def _record(name: str, fields: str) -> Any:
    return namedtuple(name, fields)


# Takes the place of the types that componentize-py generates from the contract.
types = SimpleNamespace(
    Fields=_Fields,
    Ip=_record("Ip", "hi lo"),
    Setup=_record("Setup", "needs when kinds"),
    Tag=_record("Tag", "event key value"),
    Set=_record("Set", "event field text"),
    Line=_record("Line", "event text"),
    Action_Drop=_record("Drop", "value"),
    Action_Tag=_record("TagAction", "value"),
    Action_Set=_record("SetAction", "value"),
    Action_Line=_record("LineAction", "value"),
    Report=_record("Report", "name fields"),
)


class Err(Exception):
    def __init__(self, value: str):
        self.value = value


class _Host:
    def __init__(self, tables: Mapping[str, Mapping[str, str]]):
        self.logged: list[tuple[int, str]] = []
        self.counters: Counter[str] = Counter()
        self.kv: dict[str, str] = {}
        self.tables = tables

    def open(self, name: str) -> int:
        if name not in self.tables:
            raise Err(f"table `{name}` was not granted")
        return list(self.tables).index(name)

    def lookup(self, table: int, keys: list[str]) -> list[Optional[str]]:
        return [list(self.tables.values())[table].get(key) for key in keys]


_host = _Host({})


def _set(key: str, value: str) -> bool:
    _host.kv[key] = value
    return True


log = SimpleNamespace(log=lambda level, text: _host.logged.append((level, text)))
counter = SimpleNamespace(add=lambda name, delta: _host.counters.update({name: delta}))
kv = SimpleNamespace(get=lambda key: _host.kv.get(key), set=_set, delete=lambda key: _host.kv.pop(key, None))
tables = SimpleNamespace(
    open=lambda name, column: _host.open(name),
    lookup_ip=lambda table, ips: _host.lookup(table, [_text(ip) for ip in ips]),
    lookup_name=lambda table, names: _host.lookup(table, names),
)


def _text(ip: Any) -> str:
    import lightmon

    return str(lightmon._address(ip.hi, ip.lo))


_EVENT: dict[str, Any] = dict(
    time_ns=1_700_000_000_000_000_000, latency_ns=None, source="192.0.2.1", destination="198.51.100.7", pid=100, tid=100, uid=1000,
    gid=1000, process=None, container=None, dname=None, tags=None, extra=None, source_port=40000, destination_port=443, errno=0,
    kind=1, protocol=6, outcome=1,
)  # fmt: skip
_PROCESS: dict[str, Any] = dict(user="alice", comm="app", path=None, args=None, parents=None)
_CONTAINER: dict[str, Any] = dict(id="", name="", image="", labels=None)
_PARENT: dict[str, Any] = dict(comm="sh", path=None)


class Harness:
    """A plugin under test. `config` are its settings; `tables` are granted tables: `{"country": {"192.0.2.1": "FR"}}`."""

    def __init__(self, plugin: Any, config: Optional[dict] = None, tables: Mapping[str, Mapping[str, str]] = {}):
        """Creates the plugin. If the plugin refuses to start, raises ValueError with its text."""
        import lightmon

        global _host
        self.host = _host = _Host(tables)
        self._filter, self._tick, self._stop = (export() for export in lightmon.exports(plugin))
        try:
            self.setup = self._filter.init(json.dumps(config or {}))
        except Err as error:
            raise ValueError(error.value) from None

    def event(self, **fields: Any) -> list[tuple[str, ...]]:
        """Runs the plugin on one event and returns the actions: `("drop",)`, `("tag", KEY, VALUE)`, `("set", FIELD, TEXT)`,
        `("line", TEXT)`. `fields` are those of `lightmon.Event`; absent ones have default values. `process` and `container`
        are dicts."""
        return self.batch([fields])[0]

    def batch(self, events: list[dict[str, Any]]) -> list[list[tuple[str, ...]]]:
        """Runs the plugin on a batch and returns the actions for each event."""
        global _host
        _host = self.host
        batch = SimpleNamespace(processes=[], containers=[], events=[])
        for fields in events:
            unknown = fields.keys() - _EVENT.keys()
            if unknown:
                raise TypeError(f"unknown event fields: {', '.join(sorted(unknown))}")
            event = {**_EVENT, **fields}
            for endpoint in ("source", "destination"):
                event[endpoint] = _mapped(event[endpoint])
            for table, key, default in ((batch.processes, "process", _PROCESS), (batch.containers, "container", _CONTAINER)):
                if event[key] is not None:
                    table.append(SimpleNamespace(**_pairs({**default, **event[key]})))
                    event[key] = len(table) - 1
            batch.events.append(SimpleNamespace(**_pairs(event)))
        actions: list[list[tuple[str, ...]]] = [[] for _ in events]
        for action in self._filter.process(batch):
            if isinstance(action, types.Action_Drop):
                actions[action.value].append(("drop",))
            else:
                record = action.value
                actions[record.event].append((type(record).__name__.lower(), *record[1:]))
        return actions

    def tick(self, now_ns: int = _EVENT["time_ns"]) -> list[tuple[str, dict[str, str]]]:
        return [(report.name, dict(report.fields)) for report in self._tick.tick(now_ns)]

    def stop(self, now_ns: int = _EVENT["time_ns"]) -> list[tuple[str, dict[str, str]]]:
        return [(report.name, dict(report.fields)) for report in self._stop.stop(now_ns)]


def _mapped(address: Any) -> Any:
    address = ip_address(address)
    number = int(address) | 0xFFFF << 32 if address.version == 4 else int(address)
    return types.Ip(number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF)


def _pairs(record: dict[str, Any]) -> dict[str, Any]:
    """Converts dicts to lists of pairs, as in the contract, and parents to records."""
    pairs = {key: list(value.items()) if isinstance(value, dict) else value for key, value in record.items()}
    if pairs.get("parents"):
        pairs["parents"] = [SimpleNamespace(**{**_PARENT, **parent}) for parent in pairs["parents"]]
    return pairs
