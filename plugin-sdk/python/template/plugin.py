"""Tags slow connections and drops DNS queries."""

import lightmon
from lightmon import Event, Fields, Verdict, drop, keep


class Plugin(lightmon.Plugin):
    # The optional fields that the plugin requests: Fields.PROCESS | Fields.CONTAINER
    needs = Fields(0)

    def __init__(self, config: dict):
        """Reads the settings: `--plugin {{name}}.wasm:over=250`."""
        self.over = lightmon.settings(config, over=(lightmon.number, 100))["over"]
        if self.over < 0:
            raise ValueError(f"setting `over`: expected milliseconds, not {self.over}")

    def event(self, event: Event) -> Verdict:
        if event.destination_port == 53:
            return drop()
        if event.latency_ns is None:
            return keep()
        milliseconds = event.latency_ns // 1_000_000
        return keep().tag("slow", f"{milliseconds} ms") if milliseconds >= self.over else keep()


Filter, Tick, Stop = lightmon.exports(Plugin)
