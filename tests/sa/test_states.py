"""Legal changes of state, and what facts say of themselves."""

from __future__ import annotations

import pytest

from ikectl.sa import child_sa, ike_sa
from tests.sim.site import Site


def test_every_state_can_end_and_nothing_follows_the_end() -> None:
    for table, end in ((ike_sa.LEGAL, ike_sa.IkeState.CLOSED), (child_sa.LEGAL, child_sa.ChildState.DELETED)):
        assert not table[end]
        for state, following in table.items():
            assert state is end or end in following


def test_an_illegal_change_is_a_defect_and_loud() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    (child,) = site.moon.children
    with pytest.raises(RuntimeError):
        machine.sa.move(ike_sa.IkeState.CONNECTING)
    with pytest.raises(RuntimeError):
        child.move(child_sa.ChildState.INSTALLING)


def test_neither_text_form_shows_keys() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    assert machine.sa.keys is not None
    shown = repr(machine.sa) + repr(machine.sa.children) + repr(machine.sa.keys)
    for key in (machine.sa.keys.sk_d, machine.sa.keys.sk_ei, site.moon.secret):
        assert key.hex() not in shown and repr(bytes(key)) not in shown


def test_keys_are_forgotten_when_nothing_needs_them() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    (child,) = site.moon.children
    assert machine.sa.keys is not None and not machine.sa.keys.sk_pi and not machine.sa.keys.sk_pr
    assert machine.sa.handshake is None and child.keys is None
