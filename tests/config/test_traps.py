"""Which children can have a trap or a shunt, and what is said of the others."""

from __future__ import annotations

import pytest

from ikectl.config.model import Action, Mode
from tests.config.trees import load_text, mistakes

GATEWAY = """
connections {{
    gw {{
        remote_addrs = {remote}
        local {{ auth = psk }}
        remote {{ auth = psk }}
        children {{
            net {{
                {options}
            }}
        }}
    }}
}}
"""


def text(options: str, remote: str = "192.0.2.2") -> str:
    return GATEWAY.format(options=options.replace("; ", "\n"), remote=remote)


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("trap", Action.TRAP),
        ("route", Action.TRAP),
        ("trap|start", Action.TRAP_START),
        ("start|trap", Action.TRAP_START),
    ],
)
def test_the_words_of_actions(words: str, action: Action) -> None:
    (connection,) = load_text(text(f"start_action = {words}")).loaded.connections
    (child,) = connection.children
    assert child.start_action is action and child.start_action.traps
    assert child.start_action.starts is (action is Action.TRAP_START)


@pytest.mark.parametrize(
    ("options", "remote", "why"),
    [
        ("start_action = trap", "%any", "start_action: a trap needs a peer to call"),
        ("close_action = trap", "192.0.2.0/24", "close_action: a trap needs a peer to call"),
        ("dpd_action = trap; policies = no", "192.0.2.2", "dpd_action: policies = no leaves nothing to set"),
        ("start_action = trap; mark_out = %unique", "192.0.2.2", "start_action: nobody can mark packets"),
        ("mode = pass; start_action = start", "%any", "start_action: mode = pass has no SA to start; write trap"),
        ("mode = drop; dpd_action = restart", "%any", "dpd_action: mode = drop has no SA that could end"),
    ],
)
def test_what_cannot_be_is_refused_at_loading(options: str, remote: str, why: str) -> None:
    (found,) = mistakes(text(options, remote))
    assert f"gw.children.net.{why}" in found


@pytest.mark.parametrize("remote", ["sun.example.org", "192.0.2.0/24, 192.0.2.9"])
def test_a_name_or_one_address_is_enough(remote: str) -> None:
    assert mistakes(text("start_action = trap", remote)) == []


def test_shunts_are_nothing_to_negotiate() -> None:
    (connection,) = load_text(text("mode = drop; start_action = trap", "%any")).loaded.connections
    (child,) = connection.children
    assert child.mode is Mode.DROP and child.is_shunt and connection.negotiable == ()
