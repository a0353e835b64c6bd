"""`ikectl load`: a configuration of files into the daemon, whole or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.text import Text

from ikectl.cli.failure import ExitCode, Failure
from ikectl.cli.render import count, show, show_json
from ikectl.config.load import to_vici
from ikectl.config.tree import Files
from ikectl.errors import ConfigErrors
from ikectl.vici.client import Client, CommandFailed
from ikectl.vici.message import text, texts

FILES = ("swanctl.conf", "swanctl.toml")  # looked for in a directory, in this order
MAX_FILE = 4 * 1024 * 1024  # octets; a file that is longer is no configuration

Message = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that is loaded and, when the files hold it no longer, unloaded."""

    noun: str
    load: str
    unload: str = ""
    listing: str = ""
    key: str = ""
    """Of the list in the listing's answer; empty: the answer is a section for each thing."""
    handle: str = ""
    """What `unload` calls the thing's name."""


# In the order of unloading: what uses something goes before what it uses.
KINDS = (
    Kind("connection", "load-conn", "unload-conn", "get-conns", "conns", "name"),
    Kind("pool", "load-pool", "unload-pool", "get-pools", "", "name"),
    Kind("authority", "load-authority", "unload-authority", "get-authorities", "authorities", "name"),
    Kind("secret", "load-shared", "unload-shared", "get-shared", "keys", "id"),
    Kind("key", "load-key", "unload-key", "get-keys", "keys", "id"),
    Kind("certificate", "load-cert"),
)
BY_LOAD = {kind.load: kind for kind in KINDS}
PLURALS = {"authority": "authorities"}


@dataclass(slots=True)
class Outcome:
    """What came of it: names by kind, and what was refused with the reason."""

    loaded: dict[str, list[str]] = field(default_factory=lambda: {kind.noun: [] for kind in KINDS})
    unloaded: dict[str, list[str]] = field(default_factory=lambda: {kind.noun: [] for kind in KINDS})
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What was taken, and should be known before peers find it out."""


def read(source: str) -> list[Message]:
    """The messages that load a file, or a directory's swanctl.conf or swanctl.toml.

    Raises:
        Failure: there is no such file, or it has mistakes; it lists all of them.
    """
    path = _find(source)
    try:
        return to_vici(path, Files(_octets, _files))
    except ConfigErrors as error:
        what = "\n".join(str(each) for each in error.errors)
        mistakes = count(len(error.errors), "mistake")
        raise Failure(ExitCode.BAD_CONFIG, f"{mistakes}, nothing was loaded:\n{what}") from error


def _find(source: str) -> str:
    if os.path.isdir(source):
        for name in FILES:
            path = os.path.join(source, name)
            if os.path.exists(path):
                return os.path.abspath(path)
        raise Failure(
            ExitCode.BAD_CONFIG, f"there is neither {' nor '.join(FILES)} in {source}", "name a file: ikectl load FILE"
        )
    if not os.path.exists(source):
        raise Failure(ExitCode.BAD_CONFIG, f"there is no {source}", "name a file or directory: ikectl load FILE")
    return os.path.abspath(source)


def _octets(path: str) -> bytes:
    with open(path, "rb") as file:
        octets = file.read(MAX_FILE + 1)
    if len(octets) > MAX_FILE:
        raise OSError(f"longer than {MAX_FILE} octets")
    return octets


def _files(pattern: str) -> list[str]:
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))


def load(client: Client, messages: Iterable[Message], as_json: bool) -> None:
    """Send it, then unload what the daemon has and the configuration has not.

    What the daemon refuses is collected; the rest is loaded all the same, as
    the daemon has taken the earlier parts already.
    """
    outcome = Outcome()
    before = {kind.noun: _listed(client, kind) for kind in KINDS if kind.listing}
    kept: dict[str, set[str]] = {kind.noun: set() for kind in KINDS}
    for command, message in messages:
        kind = BY_LOAD[command]
        name = _name(command, message)
        kept[kind.noun].add(name)
        try:
            answer = client.request(command, message)
        except CommandFailed as error:
            outcome.refused.append(f"{kind.noun} {name}: {error}" if name else f"{kind.noun}: {error}")
            continue
        outcome.warnings += texts(answer.get("warnings"))
        name = name or text(answer.get("id"))  # a key gets its name from the daemon
        kept[kind.noun].add(name)
        outcome.loaded[kind.noun].append(name)
    _unload(client, before, kept, outcome)
    if as_json:
        show_json(asdict(outcome))
    else:
        _tell(outcome)
    if outcome.refused:
        refusals = count(len(outcome.refused), "refusal")
        raise Failure(ExitCode.REFUSED, "\n".join([f"{refusals} by the daemon:", *outcome.refused]))


def _listed(client: Client, kind: Kind) -> list[str]:
    answer = client.request(kind.listing)
    return texts(answer.get(kind.key)) if kind.key else list(answer)


def _name(command: str, message: dict[str, Any]) -> str:
    if command in ("load-conn", "load-authority", "load-pool"):
        return next(iter(message))
    return text(message.get("id"))


def _unload(client: Client, before: dict[str, list[str]], kept: dict[str, set[str]], outcome: Outcome) -> None:
    for kind in KINDS:
        for name in before.get(kind.noun, ()):
            if name in kept[kind.noun]:
                continue
            if kind.noun == "key" and any(line.startswith("key") for line in outcome.refused):
                continue  # it may be the one that was refused just now: no id says so
            try:
                client.request(kind.unload, {kind.handle: name})
            except CommandFailed as error:
                outcome.refused.append(f"unloading {kind.noun} {name}: {error}")
            else:
                outcome.unloaded[kind.noun].append(name)


def _tell(outcome: Outcome) -> None:
    for verb, colour, things in (("loaded", "green", outcome.loaded), ("unloaded", "yellow", outcome.unloaded)):
        for name in things["connection"]:
            show(Text.assemble((f"{verb:<9}", colour), "connection ", (name, "bold")))
    for warning in outcome.warnings:
        show(Text.assemble((f"{'warning':<9}", "yellow"), warning))
    parts = [
        f"{len(names)} {noun if len(names) == 1 else PLURALS.get(noun, f'{noun}s')}"
        for noun, names in outcome.loaded.items()
        if names or noun == "connection"
    ]
    gone = sum(len(names) for names in outcome.unloaded.values())
    show(f"{', '.join(parts)} loaded{f', {gone} unloaded' if gone else ''}.")
