#!/usr/bin/env python3
"""Checks built plugins. Describes each file in target/plugins, and reports why lightmon would refuse to load it.

    check.py NAME.wasm… --bare NAME.wasm…

The files after --bare must import no function. Parses the files as WebAssembly core modules and does not run them. Needs only
Python's standard library.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "target" / "plugins"
MAX_FILE_BYTES = 4 << 20
EXPORTS = ("memory", "cabi_realloc", "lightmon:plugin/filter@0.1.0#init", "lightmon:plugin/filter@0.1.0#process")
IMPORTS = {f"lightmon:plugin/{name}@0.1.0": name for name in ("log", "counter", "kv", "tables")}
CUSTOM, IMPORT, EXPORT = 0, 2, 7
FUNCTION = 0


class Reader:
    """Reads bytes from the current position."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise ValueError("cut off")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def name(self):
        return self.take(self.number()).decode()

    def rest(self):
        return self.take(len(self.data) - self.at)


def check(path, bare):
    """Returns a line that describes the plugin, and a list of problems."""
    data = path.read_bytes()
    reader = Reader(data)
    if reader.take(8) != b"\0asm\1\0\0\0":
        return "", ["not a WebAssembly core module"]
    imports, exports, custom = [], [], {}
    while reader.at < len(data):
        kind, body = reader.take(1)[0], Reader(reader.take(reader.number()))
        if kind == CUSTOM:
            name = body.name()
            custom[name] = custom.get(name, b"") + body.rest()
        elif kind == IMPORT:
            for _ in range(body.number()):
                imports.append((body.name(), body.name()))
                if body.take(1)[0] != FUNCTION:
                    return "", [f"imports {'.'.join(imports[-1])}, which is not a function"]
                body.number()
        elif kind == EXPORT:
            for _ in range(body.number()):
                exports.append(body.name())
                body.take(1), body.number()
    problems = []
    problems += [f"imports {module}.{name}, which lightmon does not provide" for module, name in imports if module not in IMPORTS]
    used = sorted({IMPORTS[module] for module, _ in imports if module in IMPORTS})
    if bare and imports:
        problems.append(f"imports {', '.join(used)}, but a plugin after --bare must import nothing")
    problems += [f"does not export {name}" for name in EXPORTS if name not in exports]
    types = [name for name in custom if name.startswith("component-type:")]
    if not any(b"lightmon:plugin/filter@0.1.0" in custom[name] for name in types):
        problems.append("no component-type section for lightmon:plugin/filter@0.1.0; was the file stripped?")
    manifest = {}
    try:
        manifest = json.loads(custom["lightmon:manifest"])
    except (KeyError, ValueError) as error:
        problems.append(f"section lightmon:manifest: {error!r}")
    if "tables" in used and not manifest.get("permissions"):
        problems.append("imports tables, but the manifest names none: add `permissions` to register!")
    if len(data) > MAX_FILE_BYTES:
        problems.append(f"larger than {MAX_FILE_BYTES} bytes")
    summary = " ".join(str(manifest.get(key, "?")) for key in ("version", "role"))
    return f"{path.name}: {summary}, {len(data)} bytes, imports {', '.join(used) or 'nothing'}", problems


def main(names):
    failed = bare = False
    for name in names:
        if name == "--bare":
            bare = True
            continue
        try:
            line, problems = check(FOLDER / name, bare)
        except (OSError, ValueError) as error:
            line, problems = name, [str(error)]
        print(line)
        for problem in problems:
            failed = True
            print(f"{name}: {problem}", file=sys.stderr)
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
