"""`ikectl log`: the daemon's story as it happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime

from rich.text import Text

from ikectl.cli.render import plain, show
from ikectl.vici.client import Client
from ikectl.vici.message import Tree, text

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now().astimezone()


def log(client: Client, connection: str, as_json: bool, clock: Clock = now) -> None:
    """Print log lines until interrupted; only those of one connection if it is named."""
    client.register("log")
    for _, line in client.events():
        if connection and text(line.get("ikesa-name")) != connection:
            continue
        at = clock()
        if as_json:
            sys.stdout.write(json.dumps({"at": at.isoformat(), **plain(line)}, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            show(Text.assemble((f"{at:%H:%M:%S} ", "dim"), story_line(line)))


def story_line(line: Tree) -> Text:
    """`ike office[4] IKE SA established ...`; important lines stand out."""
    name, uniqueid = text(line.get("ikesa-name")), text(line.get("ikesa-uniqueid"))
    sa = f"{name}[{uniqueid}] " if uniqueid else ""
    style = "bold" if text(line.get("level")) in ("-1", "0") else ""
    return Text.assemble((f"{text(line.get('group')):<4}", "dim"), (sa, "cyan"), (text(line.get("msg")), style))
