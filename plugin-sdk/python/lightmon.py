"""SDK for lightmon plugins in Python: a class, and one line that exports it.

    import lightmon
    from lightmon import Verdict, drop, keep

    class Plugin(lightmon.Plugin):
        def event(self, event: lightmon.Event) -> Verdict:
            return drop() if event.destination_port == 53 else keep()

    Filter, Tick, Stop = lightmon.exports(Plugin)

Depends on the contract in wit/, never on the host. componentize-py generates `wit_world` from the contract. In tests under
plain CPython, lightmon_test.py takes its place.
"""

from __future__ import annotations

import json
import traceback
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Union

try:
    from componentize_py_types import Err as _Err
    from wit_world.imports import counter as _counter, kv as _kv, log as _log, tables as _tables, types as _types
except ModuleNotFoundError:
    from lightmon_test import Err as _Err, counter as _counter, kv as _kv, log as _log, tables as _tables, types as _types

Address = Union[IPv4Address, IPv6Address]
Fields = _types.Fields

OUTCOMES = (
    "unknown", "established", "connected", "refused", "reset", "timed-out", "unreachable", "denied", "address-unavailable",
    "aborted", "failed", "pending", "sent",
)  # fmt: skip
TCP, UDP = 6, 17


def outcome_word(outcome: int) -> str:
    """The word for an outcome in lightmon's output; `unknown` for a number that this version does not know."""
    return OUTCOMES[outcome] if outcome < len(OUTCOMES) else OUTCOMES[0]


def protocol_word(protocol: int) -> str:
    """`tcp`, `udp`, or the number."""
    return {TCP: "tcp", UDP: "udp"}.get(protocol) or str(protocol)


@lru_cache(maxsize=4096)
def _address(hi: int, lo: int) -> Address:
    if hi == 0 and lo >> 32 == 0xFFFF:
        return IPv4Address(lo & 0xFFFFFFFF)
    return IPv6Address(hi << 64 | lo)


def _ip(address: Union[str, Address]) -> Any:
    address = ip_address(address)
    number = int(address) | 0xFFFF << 32 if address.version == 4 else int(address)
    return _types.Ip(number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF)


class Event:
    """One connection. Numbers, addresses and ports are always present; other fields only if `Plugin.needs` requests them."""

    __slots__ = ("_raw", "_batch")

    def __init__(self, raw: Any, batch: Any):
        self._raw = raw
        self._batch = batch

    @property
    def time_ns(self) -> int:
        """When the connection began: nanoseconds since 1970-01-01 UTC."""
        return self._raw.time_ns

    @property
    def latency_ns(self) -> Optional[int]:
        """Time from the beginning of the connection to its outcome, in nanoseconds; None if it was not measured."""
        return self._raw.latency_ns

    @property
    def source(self) -> Address:
        return _address(self._raw.source.hi, self._raw.source.lo)

    @property
    def destination(self) -> Address:
        """The destination. An IPv4 address is an IPv4Address, even if the program used an IPv6 socket."""
        return _address(self._raw.destination.hi, self._raw.destination.lo)

    @property
    def source_port(self) -> int:
        return self._raw.source_port

    @property
    def destination_port(self) -> int:
        return self._raw.destination_port

    @property
    def pid(self) -> int:
        """Process id."""
        return self._raw.pid

    @property
    def tid(self) -> int:
        """Id of the thread that connected."""
        return self._raw.tid

    @property
    def uid(self) -> int:
        return self._raw.uid

    @property
    def gid(self) -> int:
        return self._raw.gid

    @property
    def errno(self) -> int:
        """The Linux errno that the connection ended with; 0 if there was no error."""
        return self._raw.errno

    @property
    def kind(self) -> int:
        """1 connection; later versions may add kinds."""
        return self._raw.kind

    @property
    def protocol(self) -> int:
        """IANA protocol number; `protocol_word` returns its name."""
        return self._raw.protocol

    @property
    def outcome(self) -> int:
        """How the connection ended: an index into `OUTCOMES`, or a higher number; `outcome_word` returns its name."""
        return self._raw.outcome

    @property
    def process(self) -> Any:
        """`user`, `comm`, `path`, `args`, `parents` (each `pid`, `comm`, `path`), or None. Needs PROCESS; ARGS, PARENTS."""
        index = self._raw.process
        return None if index is None else self._batch.processes[index]

    @property
    def container(self) -> Any:
        """`id`, `name`, `image`, or None outside of containers. Needs CONTAINER."""
        index = self._raw.container
        return None if index is None else self._batch.containers[index]

    @property
    def labels(self) -> dict[str, str]:
        """The container's labels. Needs LABELS."""
        container = self.container
        return dict(container.labels or ()) if container else {}

    @property
    def dname(self) -> Optional[str]:
        """The host name that was resolved to the destination address. Needs DNAME."""
        return self._raw.dname

    @property
    def tags(self) -> dict[str, str]:
        """Tags set by earlier plugins. Needs TAGS."""
        return dict(self._raw.tags or ())

    @property
    def extra(self) -> dict[str, str]:
        """Fields added after this version of the contract, such as `pod.name`; wit/plugin.wit lists all keys. Needs EXTRA."""
        return dict(self._raw.extra or ())


class Verdict:
    """The decision on an event. Create one with `keep()` or `drop()`."""

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: list[tuple[Any, Any, tuple]] = []

    def tag(self, key: str, value: object) -> Verdict:
        """Adds a tag, or replaces the tag that has the same key. At most 32 tags; key and value have at most 128 bytes together."""
        self._changes.append((_types.Action_Tag, _types.Tag, (key, str(value))))
        return self

    def set(self, field: str, text: object) -> Verdict:
        """Replaces a field: `user`, `comm`, `path`, `args/N`, `container`, `image`, `labels/KEY`, `tags/KEY`."""
        self._changes.append((_types.Action_Set, _types.Set, (field, str(text))))
        return self

    def line(self, text: object) -> Verdict:
        """Replaces the output line; at most 16 KiB."""
        self._changes.append((_types.Action_Line, _types.Line, (str(text),)))
        return self

    def actions(self, event: int) -> list[Any]:
        """The actions in the form of the contract, for the event with this index."""
        return [action(record(event, *texts)) for action, record, texts in self._changes]


class _Drop(Verdict):
    __slots__ = ()

    def actions(self, event: int) -> list[Any]:
        return [_types.Action_Drop(event)]


def keep() -> Verdict:
    """Keeps the event. `.tag()`, `.set()` and `.line()` change it."""
    return Verdict()


def drop() -> Verdict:
    """Drops the event."""
    return _Drop()


class Report(NamedTuple):
    """A record of the plugin's own, such as a total. lightmon writes it among the events."""

    name: str
    fields: Mapping[str, object]


class log:
    """Writes messages to lightmon's log. lightmon discards and counts messages beyond 20 a second."""

    @staticmethod
    def error(text: object) -> None:
        _log.log(1, str(text))

    @staticmethod
    def warn(text: object) -> None:
        _log.log(2, str(text))

    @staticmethod
    def info(text: object) -> None:
        _log.log(3, str(text))

    @staticmethod
    def debug(text: object) -> None:
        _log.log(4, str(text))


class counter:
    """Counters in lightmon's summary, at most 64."""

    @staticmethod
    def add(name: str, delta: int = 1) -> None:
        _counter.add(name, delta)


class kv:
    """A key-value store of 1 MiB that survives a fault and a reload."""

    @staticmethod
    def get(key: str) -> Optional[str]:
        return _kv.get(key)

    @staticmethod
    def set(key: str, value: object) -> bool:
        """Returns False if the store is full; the key then keeps its old value."""
        return _kv.set(key, str(value))

    @staticmethod
    def delete(key: str) -> None:
        _kv.delete(key)


class Table:
    """A lookup table that the user granted (`table.NAME=FILE`). One call for many keys is faster than many calls."""

    def __init__(self, name: str, column: str = ""):
        """Opens a table; ValueError if it was not granted. Without `column`, a lookup returns the whole entry as JSON."""
        try:
            self._table = _tables.open(name, column)
        except _Err as error:
            raise ValueError(error.value) from None

    def lookup_ips(self, addresses: Iterable[Union[str, Address]]) -> list[Optional[str]]:
        return _tables.lookup_ip(self._table, [_ip(address) for address in addresses])

    def lookup_names(self, names: Iterable[str]) -> list[Optional[str]]:
        return _tables.lookup_name(self._table, list(names))

    def lookup_ip(self, address: Union[str, Address]) -> Optional[str]:
        return self.lookup_ips([address])[0]

    def lookup_name(self, name: str) -> Optional[str]:
        return self.lookup_names([name])[0]


def number(value: object) -> int:
    """For `settings`: a whole number, or text that contains one."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("expected a number")
    try:
        return int(value)
    except ValueError:
        raise ValueError("expected a number") from None


def text(value: object) -> str:
    """For `settings`: a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("expected a text")
    return str(value)


def flag(value: object) -> bool:
    """For `settings`: true or false."""
    known = {True: True, False: False, "true": True, "false": False}
    if not isinstance(value, (bool, str)) or value not in known:
        raise ValueError("expected true or false")
    return known[value]


def words(value: object) -> list[str]:
    """For `settings`: a list, or text such as `a+b`."""
    if isinstance(value, str):
        return [word.strip() for word in value.replace(",", "+").split("+") if word.strip()]
    if isinstance(value, list):
        return [text(item) for item in value]
    raise ValueError("expected a list")


def settings(config: Mapping[str, object], **known: tuple[Callable[[object], Any], Any]) -> dict[str, Any]:
    """Reads settings. Each is a function that reads the value and a default: `over=(number, 250)`. If a setting is unknown or
    wrong, ValueError names it."""
    for key in config:
        if key not in known:
            raise ValueError(f"unknown setting `{key}`")
    values = {}
    for key, (read, default) in known.items():
        value = config.get(key)
        try:
            values[key] = default if value is None else read(value)
        except ValueError as error:
            raise ValueError(f"setting `{key}`: {error}, not {json.dumps(value)}") from None
    return values


class Plugin:
    """A plugin. lightmon creates an instance when it starts, after a fault and after a reload."""

    needs: Any = Fields(0)
    """The fields that the plugin requests, such as `Fields.PROCESS | Fields.DNAME`."""
    when: Optional[str] = None
    """An exclude expression; the plugin receives only events that match it."""
    kinds: Iterable[int] = ()
    """The kinds of events that the plugin supports; empty means connections only."""
    period: int = 1000
    """Interval between two calls of `tick` in milliseconds, at least 100."""

    def __init__(self, config: dict[str, object]):
        """Reads the settings. If it raises a ValueError, lightmon prints the text and does not start."""
        settings(config)

    def event(self, event: Event) -> Optional[Verdict]:
        """Decides on one event; None means `keep()`."""
        raise NotImplementedError

    def after_batch(self, events: int) -> None:
        """Called after the events of a batch, with their number."""

    def tick(self, now_ns: int) -> Iterable[Report]:
        """Called once in each period, also while there are no events. Needs `"world": "complete-plugin"` in plugin.json."""
        return ()

    def stop(self, now_ns: int) -> Iterable[Report]:
        """Called once before the instance ends. Needs `"world": "complete-plugin"` in plugin.json."""
        return ()


def exports(plugin: Callable[[dict], Plugin]) -> tuple[type, type, type]:
    """Returns the classes that componentize-py expects in the module `plugin`: `Filter, Tick, Stop = exports(Plugin)`."""
    instances: list[Plugin] = []

    class Filter:
        def init(self, config: str) -> Any:
            try:
                it = plugin(json.loads(config.strip() or "{}"))
                setup = _types.Setup(it.needs, it.when, bytes(it.kinds))
            except ValueError as error:
                raise _Err(str(error)) from None
            instances[:] = [it]
            return setup

        def process(self, batch: Any) -> list[Any]:
            with _LogFault():
                actions: list[Any] = []
                for index, raw in enumerate(batch.events):
                    verdict = instances[0].event(Event(raw, batch))
                    if verdict is not None:
                        actions += verdict.actions(index)
                instances[0].after_batch(len(batch.events))
                return actions

    class Tick:
        def period(self) -> int:
            overridden = type(instances[0]).tick is not Plugin.tick
            return instances[0].period if overridden else 0

        def tick(self, now_ns: int) -> list[Any]:
            with _LogFault():
                return _reports(instances[0].tick(now_ns))

    class Stop:
        def stop(self, now_ns: int) -> list[Any]:
            with _LogFault():
                return _reports(instances[0].stop(now_ns))

    return Filter, Tick, Stop


def _reports(reports: Iterable[Report]) -> list[Any]:
    return [_types.Report(name, [(key, str(value)) for key, value in fields.items()]) for name, fields in reports]


class _LogFault:
    """Logs an exception with its traceback before it becomes a trap, because a trap carries no text."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is not None:
            log.error("".join(traceback.format_exception(kind, error, trace)))
