"""Post-quantum pre-shared keys (RFC 8784) with strongSwan, both roles."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.peers.base import Peer, Refused
from tests.lab.world import until

ID = "quantum@example.org"
KEY = 'ppk-site {\n secret = "0x' + "5a" * 32 + f'"\n id-1 = {ID}\n }}'
FALSE = 'ppk-site {\n secret = "0x' + "a5" * 32 + f'"\n id-1 = {ID}\n }}'
WANTED, REQUIRED = f"ppk_id = {ID}", f"ppk_id = {ID}\n ppk_required = yes"


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("asks", [WANTED, REQUIRED])
@pytest.mark.parametrize("answers", ["", REQUIRED])
def test_both_have_the_key(site: Site, initiator: str, asks: str, answers: str) -> None:
    """It is in the keys of children: traffic passes, before and after rekeyings."""
    gateways = {"moon": MOON, "sun": SUN}
    own = {name: asks if name == initiator else answers for name in gateways}
    site.configure(**{name: gateway.but(connection=own[name], secrets=KEY) for name, gateway in gateways.items()})
    first, second = site.ends(initiator)
    first.up("net")
    assert [peer.sas()[0].get("ppk") for peer in (first, second)] == ["yes", "yes"]
    assert site.world.ping("alice", "bob", count=2).lost == 0
    for rekeyer in (first, second):
        before = ike_spi(first)
        rekeyer.rekey(ike="site")
        until(lambda: len(first.sas()) == len(second.sas()) == 1 and ike_spi(first) != before, "a new IKE SA")  # noqa: B023
        old = first.children()[0]["spi-in"]
        rekeyer.rekey(child="net")
        until(
            lambda: len(first.children()) == len(second.children()) == 1 and first.children()[0]["spi-in"] != old,  # noqa: B023
            "a new child",
        )
        assert site.world.ping("alice", "bob", count=2).lost == 0


def ike_spi(peer: Peer) -> str:
    return str(peer.sas()[0]["initiator-spi"]) if peer.sas() else ""


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("has", ["", KEY.replace(ID, "other@example.org")])
def test_a_responder_without_the_key_goes_without(site: Site, initiator: str, has: str) -> None:
    """No USE_PPK in the answer, or NO_PPK_AUTH is what it judges."""
    gateways = {"moon": MOON, "sun": SUN}
    site.configure(
        **{
            name: gateway.but(**({"connection": WANTED, "secrets": KEY} if name == initiator else {"secrets": has}))
            for name, gateway in gateways.items()
        }
    )
    first, second = site.ends(initiator)
    first.up("net")
    assert not any("ppk" in peer.sas()[0] for peer in (first, second))
    assert site.world.ping("alice", "bob", count=2).lost == 0


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("has", ["", FALSE])
def test_a_key_that_is_required_and_not_shared(site: Site, initiator: str, has: str) -> None:
    gateways = {"moon": MOON, "sun": SUN}
    site.configure(
        **{
            name: gateway.but(**({"connection": REQUIRED, "secrets": KEY} if name == initiator else {"secrets": has}))
            for name, gateway in gateways.items()
        }
    )
    first, second = site.ends(initiator)
    with pytest.raises(Refused):
        first.up("net")
    assert not first.sas() and not second.children()
    for half_open in second.sas():
        second.forget(half_open)  # we left after IKE_SA_INIT: strongSwan waits half a minute for more
