"""The conformance plugin in Python. ../../conformance/README.md specifies its behaviour."""

import lightmon
from lightmon import Address, Event, Fields, Report, Table, Verdict, counter, drop, keep, kv, log


def endpoint(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def cut(value: object) -> str:
    return str(value).encode()[:100].decode(errors="ignore")


class Plugin(lightmon.Plugin):
    needs = ~Fields(0)
    period = 1000

    def __init__(self, config: dict):
        known = lightmon.settings(
            config,
            drop_port=(lightmon.number, 53),
            greeting=(lightmon.text, "hello"),
            when=(lightmon.text, None),
            table=(lightmon.text, None),
        )
        self.drop_port, self.greeting, self.when = known["drop_port"], known["greeting"], known["when"]
        self.table = Table(known["table"], "name") if known["table"] else None
        log.info("conformance started")

    def event(self, event: Event) -> Verdict:
        if event.destination_port == self.drop_port:
            return drop()
        process, container = event.process, event.container
        args = process.args if process else None
        parent = process.parents[0] if process and process.parents else None
        verdict = keep()

        def tag(key: str, value: object) -> None:
            verdict.tag(key, cut(value))

        tag("dst", endpoint(event.destination, event.destination_port))
        tag("src", endpoint(event.source, event.source_port))
        tag("time", event.time_ns)
        tag("latency", "-" if event.latency_ns is None else event.latency_ns)
        tag("ids", f"{event.pid}/{event.tid}/{event.uid}/{event.gid}")
        tag("who", f"{process.user} {process.comm} {'-' if process.path is None else process.path}" if process else "-")
        tag("args", "-" if args is None else f"{len(args)} {args[-1] if args else ''}")
        tag("parent", f"{parent.pid} {parent.comm}" if parent else "-")
        tag("container", f"{container.id} {container.name} {container.image}" if container else "-")
        tag("label", event.labels.get("team", "-"))
        tag("earlier", len(event.tags))
        tag("outcome", f"{event.outcome} {lightmon.outcome_word(event.outcome)}")
        tag("protocol", lightmon.protocol_word(event.protocol))
        tag("errno", event.errno)
        if self.table:
            found = self.table.lookup_ip(event.destination)
            tag("table", "-" if found is None else found)
        if args and len(args) >= 2:
            verdict.set("args/1", "***")
        if event.destination_port == 514:
            verdict.line(f"{self.greeting} {process.comm if process else ''}")
        return verdict

    def after_batch(self, events: int) -> None:
        counter.add("events", events)
        kv.set("events", int(kv.get("events") or 0) + events)

    def tick(self, now_ns: int) -> list[Report]:
        return [Report("seen", {"events": kv.get("events") or 0})]

    def stop(self, now_ns: int) -> list[Report]:
        return [Report("total", {"events": kv.get("events") or 0})]


Filter, Tick, Stop = lightmon.exports(Plugin)
