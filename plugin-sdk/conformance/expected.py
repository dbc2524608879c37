#!/usr/bin/env python3
"""Writes the expected output for events.jsonl, according to README.md and without lightmon: expected.py > expected.jsonl"""
import datetime
import ipaddress
import json
import pathlib
import re

OUTCOMES = ["established", "connected", "refused", "reset", "timed-out", "unreachable", "denied", "address-unavailable",
            "aborted", "failed", "pending", "sent"]


def cut(text):
    return text.encode()[:100].decode(errors="ignore")


def address(ip, port):
    ip = ipaddress.ip_address(ip)
    mapped = getattr(ip, "ipv4_mapped", None)
    if mapped or ip.version == 4:
        return f"{mapped or ip}:{port}"
    return f"[{ip}]:{port}"


def nanoseconds(time):
    seconds, rest = re.fullmatch(r"(.*)\.(\d{9})\+00:00", time).groups()
    at = datetime.datetime.fromisoformat(seconds + "+00:00")
    return int(at.timestamp()) * 10**9 + int(rest)


def tags(event):
    args, parents = event.get("procArgs"), event.get("parents")
    outcome = event["outcome"]
    yield "dst", address(event["daddr"], event["dport"])
    yield "src", address(event["saddr"], event["sport"])
    yield "time", nanoseconds(event["time"])
    yield "latency", event.get("latencyNs", "-")
    none = 2**32 - 1
    yield "ids", f"{event['pid']}/{event['tid']}/{event.get('uid', none)}/{event.get('gid', none)}"
    yield "who", f"{event.get('user', '')} {event['comm']} {event.get('procPath', '-')}"
    yield "args", "-" if args is None else f"{len(args)} {args[-1] if args else ''}"
    yield "parent", f"{parents[0]['pid']} {parents[0]['comm']}" if parents else "-"
    container = event.get("containerId")
    yield "container", f"{container} {event['container']} {event.get('containerImage', '')}" if container else "-"
    yield "label", event.get("labels", {}).get("team", "-")
    yield "earlier", len(event.get("tags", {}))
    yield "outcome", f"{OUTCOMES.index(outcome) + 1} {outcome}"
    yield "protocol", event["protocol"]
    yield "errno", event.get("errno", 0)


def escaped(line):
    """Escapes characters that a terminal would interpret as \\u, as lightmon does."""
    return re.sub("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u061c]",
                  lambda found: f"\\u{ord(found[0]):04x}", line)


def answer(event):
    if event["dport"] == 53:
        return
    new = {key: cut(str(value)) for key, value in tags(event)}
    if event["dport"] == 514:
        yield escaped(f"hello {event['comm']}")
        return
    if len(event.get("procArgs", [])) > 1:
        event["procArgs"][1] = "***"
    event["tags"] = event.pop("tags", {}) | new
    yield escaped(json.dumps(event, ensure_ascii=False, separators=(",", ":")))


def main():
    for line in (pathlib.Path(__file__).parent / "events.jsonl").read_text().splitlines():
        for text in answer(json.loads(line)):
            print(text)


main()
