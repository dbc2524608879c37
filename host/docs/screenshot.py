#!/usr/bin/env python3
"""Draws what lightmon prints on a terminal: host/docs/screenshot.py [LIGHTMON] writes host/docs/lightmon.svg.

Runs `lightmon --replay … -f table` on a pseudo-terminal, so that the table has its colours and fits the width.
Needs nothing but Python. LIGHTMON is the binary, target/release/lightmon by default.
"""
import fcntl, html, os, pty, re, struct, subprocess, sys, termios, unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "host/docs/lightmon.svg"
COLUMNS, ROWS = 138, 40
ARGS = ["--replay", "host/agent/tests/fixtures/events.jsonl", "-f", "table"]
SHOWN = "lightmon -f table"

# One character, in pixels.
WIDTH, HEIGHT, SIZE, PADDING, BAR = 7.83, 18, 13, 14, 28
BACKGROUND, FRAME, TEXT, DIM, RED = "#1b1f27", "#2b303b", "#d5dae3", "#8b93a3", "#ff7b72"


def output(lightmon):
    """What lightmon writes on a terminal of this size, as lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "TZ": "UTC", "LIGHTMON_CACHE_DIR": "none"}
    run = subprocess.Popen([lightmon, *ARGS], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=slave,
                           stderr=subprocess.PIPE)
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux reports the closed end of a terminal as EIO.
            break
        if not part:
            break
        text += part
    errors = run.stderr.read().decode()
    if run.wait():
        sys.exit(f"{lightmon}: exit code {run.returncode}\n{errors}")
    return text.decode().splitlines(), errors.splitlines()


def runs(line):
    """The line's pieces, each with its style: the codes that lightmon uses are bold, red and reset."""
    style = ""
    for piece in re.split(r"(\x1b\[\d*m)", line):
        if piece.startswith("\x1b["):
            style = {"\x1b[1m": "bold", "\x1b[31m": "red"}.get(piece, "")
        elif piece:
            yield piece, style


def cells(text):
    """How many columns a terminal gives this text."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def draw(lines):
    """An SVG of a terminal. Each piece has its width, so that any monospaced font gives straight columns."""
    width = COLUMNS * WIDTH + 2 * PADDING
    height = BAR + len(lines) * HEIGHT + 2 * PADDING
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
           f'height="{height:g}" role="img" aria-label="Output of {SHOWN}">')
    yield "<!-- made by host/docs/screenshot.py -->"
    yield (f"<style>text {{ font: {SIZE}px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; "
           f"fill: {TEXT}; white-space: pre }} .bold {{ font-weight: bold }} .red {{ fill: {RED} }} "
           f".dim {{ fill: {DIM} }}</style>")
    yield f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{BACKGROUND}"/>'
    yield f'<path d="M0 {BAR}V8a8 8 0 0 1 8-8h{width - 16:g}a8 8 0 0 1 8 8v{BAR - 8}z" fill="{FRAME}"/>'
    for i, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield f'<circle cx="{PADDING + 4 + 18 * i}" cy="{BAR // 2}" r="5" fill="{color}"/>'
    for i, line in enumerate(lines):
        y = BAR + PADDING + i * HEIGHT + SIZE
        column = 0
        for text, style in runs(line):
            # Word by word, so that a font of another width moves no column.
            for word in re.finditer(r"\S+", text):
                x = PADDING + (column + cells(text[:word.start()])) * WIDTH
                style_of = f' class="{style}"' if style else ""
                yield (f'<text x="{x:.4g}" y="{y}" textLength="{cells(word[0]) * WIDTH:.4g}"{style_of}>'
                       f"{html.escape(word[0], quote=False)}</text>")
            column += cells(text)
    yield "</svg>"


def main():
    lightmon = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else str(ROOT / "target/release/lightmon")
    lines, errors = output(lightmon)
    summary = [line for line in errors if line.startswith("lightmon: seen ")]
    lines = [f"\x1b[1m$ {SHOWN}\x1b[0m", *lines, *summary]
    OUT.write_text("\n".join(draw(lines)) + "\n")
    print(OUT.relative_to(ROOT))


main()
