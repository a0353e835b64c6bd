"""What does not fit is refused by name, and leaves nothing behind; what nearly fits is corrected."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN, Gateway
from tests.interop.conftest import Site
from tests.lab.peers.base import Refused
from tests.lab.world import until

ENDS = {"moon": MOON, "sun": SUN}


def refused(site: Site, initiator: str, reason: str, **changes: str) -> None:
    """The initiator's changes make the responder say no, and the initiator's log says why."""
    changed: dict[str, Gateway] = {initiator: ENDS[initiator].but(**changes)}
    site.configure(**changed)
    first, second = site.ends(initiator)
    with pytest.raises(Refused, match=reason):
        first.up("net")
    until(lambda: not first.children() and not second.children(), "nothing is left")
    assert "proto esp" not in site.world.xfrm(first.node)


def ike_sa_still_stands(site: Site) -> None:
    """Only the child was refused (RFC 7296 §1.2)."""
    for peer in (site.moon, site.sun):
        assert [sa["state"] for sa in peer.sas()] == ["ESTABLISHED"]


@pytest.mark.conformance("v2-61")
def test_wrong_secret(site: Site, initiator: str) -> None:
    refused(site, initiator, "AUTH(ENTICATION)?_FAILED", secret="another secret")


@pytest.mark.conformance("v2-49", "v2-50")
def test_no_common_ike_proposal(site: Site, initiator: str) -> None:
    refused(site, initiator, "NO_PROP(OSAL_CHOSEN)?", ike="aes128-sha256-modp3072")


@pytest.mark.conformance("v2-74")
def test_no_common_child_proposal(site: Site, initiator: str) -> None:
    refused(site, initiator, "NO_PROP(OSAL_CHOSEN)?", esp="aes192-sha384")
    ike_sa_still_stands(site)


@pytest.mark.conformance("v2-74", "v2-77")
def test_no_common_selectors(site: Site, initiator: str) -> None:
    refused(site, initiator, "TS_UNACCEPT(ABLE)?", local_ts="10.77.0.0/24", remote_ts="10.78.0.0/24")
    ike_sa_still_stands(site)


@pytest.mark.conformance("v2-65")
def test_unknown_identity(site: Site, initiator: str) -> None:
    refused(site, initiator, "AUTH(ENTICATION)?_FAILED", id="stranger.example.org")


@pytest.mark.conformance("v2-46", "v2-48")
def test_group_corrected(site: Site, initiator: str) -> None:
    """The initiator's first guess is a group that the responder does not take (RFC 7296 §1.2)."""
    proposals = dict.fromkeys(ENDS, "aes256-sha256-ecp256") | {initiator: "aes256-sha256-ecp384-ecp256"}
    site.configure(**{node: ENDS[node].but(ike=ike) for node, ike in proposals.items()})
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob").lost == 0
    # Different ones, that is: charon drops an answer that comes while it still works on the correction
    # (both have message ID 0) and then repeats its request.
    messages = site.world.wire("router").packets("ike")
    assert len({message.body for message in messages if message.exchange == "IKE_SA_INIT request 0"}) == 2
