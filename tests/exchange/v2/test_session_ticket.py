"""What a session ticket is bound to (RFC 5723 §9.2: a gateway's policy may have changed meanwhile)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from ikectl.config.model import Connection
from ikectl.exchange.v2.session_ticket import demands
from tests.sim.site import child, connection

LIKE = connection(children=(child(),))
OTHER: dict[str, Any] = {
    "proposals": LIKE.proposals * 2,
    "local": (replace(LIKE.local[0], certs=(b"another",)),),
    "remote": (replace(LIKE.remote[0], cacerts=(b"another",)),),
}
"""Of fields for which the word "another" would be too easy to tell apart."""
OPTIONS = [each.name for each in fields(Connection) if each.init and each.name != "children"]


def changed(name: str) -> Connection:
    value = getattr(LIKE, name)
    if name in OTHER:
        return replace(LIKE, **{name: OTHER[name]})
    if isinstance(value, bool):
        return replace(LIKE, **{name: not value})
    if isinstance(value, int):
        return replace(LIKE, **{name: value + 1})
    return replace(LIKE, **{name: "another"})


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_may_change_but_children(name: str) -> None:
    assert demands(changed(name)) != demands(LIKE)


def test_children_may() -> None:
    assert demands(replace(LIKE, children=())) == demands(LIKE)
    assert demands(connection(children=(child("other"),))) == demands(LIKE)
