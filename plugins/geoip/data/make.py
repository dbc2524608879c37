#!/usr/bin/env python3
"""Writes ranges.bin, the built-in table of the plugin geoip, from the text files of Debian's tor-geoipdb.

    make.py [--source DIR]           write ranges.bin and NOTICE
    make.py --check [--source DIR]   look up both ends of every range with the compiled plugin, and compare with the text

DIR contains the files geoip and geoip6. The default is /usr/share/tor, where `apt-get install tor-geoipdb` puts them.
Needs only Python's standard library. ../src/countries/ranges.rs documents the format of the table.
"""

import argparse
import bisect
import hashlib
import ipaddress
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RANGES_PER_BLOCK = 32  # the same as in ../src/countries/ranges.rs
MAPPED = 0xFFFF << 32  # the plugin looks up IPv4 addresses as ::ffff:a.b.c.d
END = 1 << 128
ALIASES = {"UK": "GB"}  # ISO 3166-1 reserves UK for the same country

NOTICE = """\
Countries of addresses: IPFire Location database (https://location.ipfire.org/), export of {date}, licensed under \
CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/); converted to a table of ranges, neighbours of the same \
country merged, UK written GB, codes that are no country left out. The table is licensed under CC BY-SA 4.0 as well.
"""


def countries():
    """The country codes of countries.tsv, in the order of its lines."""
    lines = (HERE / "countries.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines]


def read(path, number):
    """Yields (first, last, code) for each line of a text file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            first, last, code = line.split(",")
            yield number(first), number(last), ALIASES.get(code, code)


def sources(folder):
    """The ranges of both files, sorted by address. Exits if ranges overlap."""
    ranges = [
        (first + MAPPED, last + MAPPED, code) for first, last, code in read(folder / "geoip", int)
    ]
    ranges += read(folder / "geoip6", lambda text: int(ipaddress.IPv6Address(text)))
    ranges.sort()
    for (_, before, _), (first, last, _) in zip([(0, -1, "")] + ranges, ranges):
        if not before < first <= last < END:
            sys.exit(f"{folder}: ranges overlap at {ipaddress.IPv6Address(first)}")
    return ranges


def borders(ranges, known):
    """The addresses at which the country changes, as (address, index), starting at address 0. Index 0 means none; index n means
    line n of countries.tsv."""
    index = {code: line for line, code in enumerate(known, 1)}
    table = [(0, 0)]

    def change(at, country):
        if table[-1][0] == at:
            table.pop()
        if not table or table[-1][1] != country:
            table.append((at, country))

    for first, last, code in ranges:
        change(first, index.get(code, 0))
        if last + 1 < END:
            change(last + 1, 0)
    return table


def step(delta):
    """Encodes a distance: the number of trailing zeros (7 bits) and a flag. If the flag is set, the odd rest without its lowest
    bit follows as LEB128."""
    zeros = (delta & -delta).bit_length() - 1
    rest = delta >> zeros >> 1
    out = bytearray([zeros | (0x80 if rest else 0)])
    while rest:
        out.append(rest & 0x7F | (0x80 if rest >> 7 else 0))
        rest >>= 7
    return out


def encode(table):
    """Encodes the whole table."""
    heads, offsets, entries = bytearray(), bytearray(), bytearray()
    for at, (start, country) in enumerate(table):
        if at % RANGES_PER_BLOCK == 0:
            heads += start.to_bytes(16, "little")
            offsets += len(entries).to_bytes(4, "little")
        else:
            entries += step(start - table[at - 1][0])
        entries.append(country)
    blocks = len(offsets) // 4
    return blocks.to_bytes(4, "little") + heads + offsets + entries


def export_date(folder):
    """The export date in the head of the text, as in `# Generated: Thu, 25 Jun 2026 04:33:59 GMT`."""
    head = (folder / "geoip").read_text(encoding="utf-8")[:2000]
    found = re.search(r"^# Generated: \w+, (\d+ \w+ \d+)", head, re.MULTILINE)
    if not found or "CC BY-SA 4.0" not in head:
        sys.exit(f"{folder}/geoip: unexpected head; check its date and licence")
    return found[1]


def make(folder):
    ranges = sources(folder)
    known = countries()
    table = borders(ranges, known)
    data = encode(table)
    (HERE / "ranges.bin").write_bytes(data)
    (HERE / "NOTICE").write_text(NOTICE.format(date=export_date(folder)), encoding="utf-8")
    left_out = sorted({code for _, _, code in ranges} - set(known))
    print(f"{len(ranges)} ranges in, {len(table)} borders out, {len(data)} bytes")
    print(f"no country: {' '.join(left_out)}")
    for path in folder / "geoip", folder / "geoip6", HERE / "ranges.bin":
        print(f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")


def check(folder):
    """Compares lookups with the text files, not with the result of `borders`, so that an error in `borders` is found too."""
    ranges = sources(folder)
    known = set(countries())
    firsts = [first for first, _, _ in ranges]

    def expect(address):
        at = bisect.bisect_right(firsts, address) - 1
        if at < 0 or address > ranges[at][1] or ranges[at][2] not in known:
            return "-"
        return ranges[at][2]

    addresses = [0, MAPPED, MAPPED + (1 << 32) - 1, END - 1]
    for first, last, _ in ranges:
        addresses += first - 1, first, last, last + 1
    text = "".join(f"{address:x}\n" for address in addresses)
    command = ["cargo", "run", "--quiet", "--profile", "plugin", "-p", "geoip", "--example", "lookup"]
    run = subprocess.run(command, cwd=HERE, input=text, stdout=subprocess.PIPE, text=True, check=True)
    answers = run.stdout.split()
    if len(answers) != len(addresses):
        sys.exit(f"{len(addresses)} addresses, but {len(answers)} answers")
    wrong = [(a, got, expect(a)) for a, got in zip(addresses, answers) if got != expect(a)]
    for address, got, expected in wrong[:20]:
        print(f"{ipaddress.IPv6Address(address)}: found {got}, expected {expected}")
    print(f"{len(addresses)} addresses looked up, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--source", type=pathlib.Path, default=pathlib.Path("/usr/share/tor"))
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    (check if options.check else make)(options.source)


if __name__ == "__main__":
    main()
