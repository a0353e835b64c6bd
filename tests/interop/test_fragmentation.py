"""Certificates that are too large for one datagram, with strongSwan, on a path that takes 1280 octets (RFC 7383)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.capture import IKE_HEADER
from tests.lab.certificates import Authority, Credential

SKF = 53
MTU = "1280"


@pytest.fixture(scope="module")
def credentials() -> list[Credential]:
    """RSA certificates with an intermediate authority each: some 2.5 KiB of IKE_AUTH each way."""
    root = Authority.root("Lab Root", "rsa")
    return [root.intermediate(f"Lab {end}", "rsa").issue(f"{end}.example.org", "rsa") for end in ("moon", "sun")]


@pytest.fixture
def narrow(site: Site) -> Iterator[Site]:
    """The path between the gateways takes MTU octets, and its router loses the fragments of IP."""
    ends = [("moon", "to-router"), ("router", "to-moon"), ("router", "to-sun"), ("sun", "to-router")]
    for node, device in ends:
        site.world.run(node, "ip", "link", "set", device, "mtu", MTU)
    yield site
    for node, device in ends:
        site.world.run(node, "ip", "link", "set", device, "mtu", "1500")


def first_payloads(site: Site, source: str) -> list[int]:
    """What the IKE_AUTH datagrams of one end begin with."""
    sent = site.world.wire("router").packets("ike", source=source)
    headers = [IKE_HEADER.unpack_from(packet.body) for packet in sent]
    return [header[2] for header in headers if header[4] == 35]


@pytest.mark.conformance("v2-108", "v2-109")
def test_large_certificates_pass_in_fragments(narrow: Site, initiator: str, credentials: list[Credential]) -> None:
    narrow.configure(auth="pubkey", credentials=credentials)
    first, _ = narrow.ends(initiator)
    first.up("net")
    assert narrow.world.ping("alice", "bob", count=3).lost == 0
    wire = narrow.world.wire("router")
    assert not wire.packets("fragment"), "IP had to cut nothing"
    for end in (MOON, SUN):
        kinds = first_payloads(narrow, end.local_addrs)
        assert len(kinds) > 1 and set(kinds) == {SKF}, end.id
    assert max(len(packet.data) for packet in wire.packets("ike")) <= int(MTU)


@pytest.mark.conformance("v2-109")
@pytest.mark.parametrize("without", ["moon", "sun"])
def test_who_takes_none_gets_none(site: Site, initiator: str, credentials: list[Credential], without: str) -> None:
    plain = {without: {"moon": MOON, "sun": SUN}[without].but(connection="fragmentation = no")}
    site.configure(**plain, auth="pubkey", credentials=credentials)
    first, _ = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob").lost == 0
    assert site.world.wire("router").packets("fragment"), "so IP cuts them"
    for end in (MOON, SUN):
        assert not first_payloads(site, end.local_addrs), end.id
