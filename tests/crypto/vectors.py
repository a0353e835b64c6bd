"""Reads the vectors of tests/vectors; each file says where they come from. Octets are bytes here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_FILES = Path(__file__).parent.parent / "vectors"
_WORDS = {"source", "keyword", "why", "curve", "hash", "key_type"}


def vectors(kind: str, file: str = "crypto") -> list[dict[str, Any]]:
    """The vectors of one kind, in the order of the file."""
    return [
        {name: text if name in _WORDS or _is_word(name, text) else bytes.fromhex(text) for name, text in one.items()}
        for one in _read(file)[kind]
    ]


@cache
def _read(file: str) -> dict[str, Any]:
    return json.loads((_FILES / f"{file}.json").read_text())


def _is_word(name: str, text: str) -> bool:
    return name == "key" and text.startswith("ed")


def name(vector: dict[str, Any]) -> str:
    """A test's name: what and from where."""
    return f"{vector.get('keyword') or vector.get('curve') or vector['key']}-{vector['source'].replace(' ', '_')}"


def tape(seed: str) -> Callable[[int], bytes]:
    """Reproducible randomness, another tape for another seed."""
    drawn = 0

    def random(octets: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"{seed} {drawn}".encode()).digest(octets)

    return random
