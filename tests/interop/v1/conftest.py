"""IKEv1 with strongSwan: two gateways that stay up for a whole file of stories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import dropwhile

import pytest

from tests.interop import conftest
from tests.interop.configurations import Gateway
from tests.interop.v1.configurations import ENDS
from tests.lab.certificates import Authority, Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer, ViciPeer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until


class OldSite(conftest.Site):
    """A site whose gateways speak IKEv1."""

    ENDS = ENDS

    def text(self, peer: Peer, gateway: Gateway) -> str:
        """Ours has a word of its own for saying that Aggressive Mode with a secret is meant."""
        if isinstance(peer, Ikectl) and "aggressive = yes" in gateway.connection and gateway.auth == "psk":
            gateway = gateway.but(connection=gateway.connection + "\naggressive_psk = yes")
        return gateway.conf()

    def clear(self) -> None:
        """No SA is left on either end; a delete says nothing back in IKEv1, so both are told."""
        for peer in (self.moon, self.sun):
            assert isinstance(peer, ViciPeer)
            if peer.running():
                for sa in peer.sas():
                    peer.forget(sa)
                until(lambda peer=peer: not peer.sas(), f"no SA on {peer.node}")  # type: ignore[misc]
            if isinstance(peer, StrongSwan):
                peer.vici().flush_certs({})  # certificates that it got count for its next peer, sent or not
        self.world.wire("router").forget()


def carries(site: conftest.Site, first: Peer, second: Peer, kind: str = "esp") -> None:
    """Pings cross the tunnel that stands, nothing crosses beside it, and both ends count them."""
    assert site.world.ping("alice", "bob", count=3).lost == 0
    wire = site.world.wire("router")
    assert len(wire.packets(kind)) == 6
    assert not wire.packets("icmp")
    for peer in (first, second):
        (sa,) = peer.sas()
        (child,) = sa["children"]
        assert (sa["version"], sa["state"], child["state"]) == ("1", "ESTABLISHED", "INSTALLED")
        assert (child["packets-in"], child["packets-out"]) == ("3", "3")


def ladder(site: conftest.Site) -> list[str]:
    """The exchanges that crossed the wire, message by message, without message IDs and repetitions.

    It begins with a phase 1: deletions of the last story may still be under way when the next begins.
    """
    seen: dict[bytes, str] = {}
    for packet in site.world.wire("router").packets("ike"):
        seen.setdefault(packet.body, re.sub(r" [0-9a-f]{8}$", "", packet.exchange))
    return list(dropwhile(lambda exchange: exchange == "INFORMATIONAL", seen.values()))


@pytest.fixture(scope="module")
def standing_site(module_lab: Lab) -> OldSite:
    return OldSite(module_lab, SITE_TO_SITE)


@pytest.fixture
def site(standing_site: OldSite) -> Iterator[OldSite]:
    """The file's two gateways, without SAs."""
    standing_site.clear()
    yield standing_site


@pytest.fixture(scope="session")
def rsa() -> list[Credential]:
    """RSA certificates for both ends, moon's from an intermediate authority."""
    root = Authority.root("Lab Root", "rsa")
    return [root.intermediate("Lab West", "rsa").issue("moon.example.org", "rsa"), root.issue("sun.example.org", "rsa")]
