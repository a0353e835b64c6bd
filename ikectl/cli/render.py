"""Text and JSON of what the daemon answers."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from ikectl.values.duration import format_time
from ikectl.vici.message import Node, Tree, section, text

WIDE = 200  # columns of a table that goes to a file or a pipe: nothing is cut there


def console(stderr: bool = False) -> Console:
    """For the standard output of this moment; colours and the width of the screen if it is one."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, markup=False, soft_wrap=True, width=None if stream.isatty() else WIDE
    )


def safe(line: Text | str) -> Text:
    """The line without what could steer a terminal: names and reasons may come from a peer."""
    line = Text(line) if isinstance(line, str) else line
    plain = line.plain
    if not plain.isprintable():
        line.plain = "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in plain)
    return line


def show(*lines: Text | str) -> None:
    """To standard output."""
    out = console()
    for line in lines:
        out.print(safe(line))


def show_json(value: object) -> None:
    """One JSON document on standard output, indented on a screen and one line elsewhere."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()


# Keys whose values are decimal numbers; all others are text, even if they look like numbers.
_NUMBERS = """
    uniqueid version reqid established rekey-time reauth-time life-time install-time local-port remote-port
    bytes-in packets-in use-in bytes-out packets-out use-out encr-keysize integ-keysize level ikesa-uniqueid
    local_port remote_port reauth_time rekey_time dpd_delay dpd_timeout rekey_bytes rekey_packets priority
    size online offline unlisted
"""
NUMBERS = frozenset(_NUMBERS.split())
_FLAGS = "initiator nat-local nat-remote nat-fake nat-any encap up ppk has_privkey aggressive pull"
FLAGS = frozenset(_FLAGS.split())


def plain(tree: Tree) -> dict[str, Any]:
    """A message for JSON: numbers as numbers, yes as true, all other values as text."""
    return {key: _plain(key, node) for key, node in tree.items()}


def _plain(key: str, node: Node) -> Any:
    if isinstance(node, dict):
        return plain(node)
    if isinstance(node, list):
        return [text(item) for item in node]
    value = text(node)
    if key in NUMBERS and value.isdecimal():
        return int(value)
    if key in FLAGS:
        return value == "yes"
    return value


def named(event: Tree, *inner: str) -> list[dict[str, Any]]:
    """Sections named by the thing itself, as objects with a `name`; `inner` sections likewise, as lists."""
    things = []
    for name, keys in event.items():
        keys = section(keys)
        thing = {"name": name, **plain({key: node for key, node in keys.items() if key not in inner})}
        for key in inner:
            thing[key] = [{"name": child, **plain(section(node))} for child, node in section(keys.get(key)).items()]
        things.append(thing)
    return things


# -- numbers in words


def number(node: Node | None) -> int | None:
    """A decimal value, or None where there is none."""
    value = text(node)
    return int(value) if value.isdecimal() else None


def ago(node: Node | None) -> str:
    seconds = number(node)
    return "never" if seconds is None else f"{format_time(seconds)} ago"


def ahead(node: Node | None) -> str:
    seconds = number(node)
    return "never" if seconds is None else "now" if seconds == 0 else f"in {format_time(seconds)}"


def size(octets: int) -> str:
    """`0 B`, `812 B`, `3.4 KiB`, `12 MiB`."""
    amount, unit = float(octets), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1000 or unit == "TiB":
            break
        amount /= 1024
    return f"{octets} B" if unit == "B" else f"{amount:.1f} {unit}" if amount < 100 else f"{amount:.0f} {unit}"


def count(amount: int, noun: str) -> str:
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"
