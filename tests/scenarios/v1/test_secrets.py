"""Main mode with a pre-shared key: the key is found before anybody has said who it is (RFC 2409 §5.4)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.pki.shared import SharedSecrets
from ikectl.sa.asks import SharedSecret
from ikectl.values.identity import IdentityPattern
from ikectl.values.secret import Secret
from tests.scenarios.v1.stage import gateways, stands
from tests.sim.host import Host
from tests.sim.site import MOON


def knows(host: Host, *owned: tuple[str, bytes]) -> None:
    secrets = SharedSecrets()
    for number, (owners, key) in enumerate(owned):
        secrets.add(str(number), [IdentityPattern.parse(owner) for owner in owners.split()], key)

    def find(ask: SharedSecret) -> Secret:
        return secrets.find(ask.local_id, ask.remote_id, ask.local_address, ask.remote_address, ask.named)

    host.answers[SharedSecret] = find


@pytest.mark.conformance("v1-17")
@pytest.mark.parametrize(
    "owner",
    ["moon.example.org", MOON, "192.0.2.0/24", "192.0.2.1-192.0.2.9", ""],
    ids=["identity", "address", "network", "range", "wildcard"],
)
def test_whom_the_key_belongs_to(owner: str) -> None:
    """Other keys lie beside it, of other peers."""
    expected: dict[str, Any] = {"remote_id": "moon.example.org" if owner in ("moon.example.org", "") else MOON}
    own = {} if owner in ("moon.example.org", "") else {"local_id": MOON}
    site = gateways(sun=expected, moon=own)
    others = (("mars.example.org", b"another"), ("203.0.113.0/24", b"a third"))
    knows(site.moon, ("", b"the key of both"))
    knows(site.sun, *others, (owner, b"the key of both"))
    site.up()
    assert stands(site)


@pytest.mark.conformance("v1-17")
def test_the_key_of_an_address_for_a_peer_with_a_name() -> None:
    """The connection is that of this very address, and the key names it."""
    site = gateways()
    knows(site.moon, ("", b"the key of both"))
    knows(site.sun, ("mars.example.org", b"another"), (MOON, b"the key of both"))
    site.up()
    assert stands(site)


def test_anybody_with_the_key_of_a_name() -> None:
    """remote.id = %any: nothing but message 5 tells whose key it is."""
    site = gateways(sun={"remote_id": "%any", "remote": "%any"})
    knows(site.moon, ("", b"the key of both"))
    knows(site.sun, ("moon.example.org", b"the key of both"))
    site.up()
    assert stands(site)
