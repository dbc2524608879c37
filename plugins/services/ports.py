#!/usr/bin/env python3
"""Writes names.c from a list in the form of /etc/services (Debian's is IANA's, shortened): ports.py /etc/services > names.c"""
import re
import sys

TRANSPORTS = {"tcp": 1, "udp": 2}


def main():
    names = {}
    for line in open(sys.argv[1]):
        found = re.match(r"(\S+)\s+(\d+)/(tcp|udp)\b", line)
        if not found:
            continue
        name, port, transport = found.groups()
        key = (int(port), name)
        if any(port == other and name != first and TRANSPORTS[transport] & bits
               for (other, first), bits in names.items() if other == int(port)):
            continue  # the first name of a port is its own
        names[key] = names.get(key, 0) | TRANSPORTS[transport]
    print("/* Made by ports.py. Sorted by port. */\n#include \"names.h\"\n\nconst service_name service_names[] = {")
    for (port, name), transports in sorted(names.items()):
        print(f"    {{{port}, {transports}, \"{name}\"}},")
    print("};\n\nconst unsigned service_names_len = sizeof service_names / sizeof *service_names;")


main()
