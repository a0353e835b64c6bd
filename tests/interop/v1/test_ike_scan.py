"""What a stranger with ike-scan learns of ikectld."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.v1.configurations import SUN
from tests.lab.fixtures import Lab
from tests.lab.peers.ike_scan import ike_scan
from tests.lab.peers.ikectl import Ikectl
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import World

TARGET = "198.51.100.1"

# ike-scan names its own wishes by numbers: encryption[/bits], hash, method, group.
FITS = "--trans=7/128,4,1,14"
"""AES-128, SHA2-256, pre-shared key, MODP-2048: what the gateway has."""

KNOWN = {
    "09002689dfd6b712",  # XAUTH
    "afcad71368a1f1c96b8696fc77570100",  # DPD
    "4048b7d56ebce88525e7de7f00d6c2d3",  # fragmentation
    "4048b7d56ebce88525e7de7f00d6c2d380000000",  # the same, as Cisco writes it
    "4a131c81070358455c5728f20e95452f",  # RFC 3947
    "90cb80913ebb696e086381b5ec427b1f",  # draft-ietf-ipsec-nat-t-ike-02
    "cd60464335df21f87cfdb2fc68b6a448",  # the same with a newline
    "7d9419a65310ca6f2c179d9215529d56",  # draft-ietf-ipsec-nat-t-ike-03
    "12f5f28c457168a9702d9fe274cc0100",  # Cisco Unity
}
"""Vendor IDs that name what a peer can do, and nobody's product."""


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    """ikectld on sun; moon's address, which it knows, belongs to the scanner."""
    return module_lab.lay(SITE_TO_SITE)


@pytest.fixture
def sun(world: World) -> Iterator[Ikectl]:
    """With Main Mode alone."""
    sun = world.peers.get("sun") or world.ikectl("sun", conf="")
    assert isinstance(sun, Ikectl)
    sun.load(SUN.conf())
    for sa in sun.sas():
        sun.forget(sa)  # what ike-scan began in another test
    yield sun


@pytest.mark.conformance("v1-7")
def test_main_mode_is_answered_with_one_transform(world: World, sun: Ikectl) -> None:
    """The second of three transforms fits, and comes back alone and unchanged."""
    seen = ike_scan(world, "moon", TARGET, "--trans=5,2,1,2", FITS, "--trans=7/256,2,1,2")
    assert seen.kind == "main", seen.output
    assert seen.transform["Enc"] == "AES"
    assert seen.transform["KeyLength"] == "128"
    assert seen.transform["Hash"] == "SHA2-256"
    assert seen.transform["Group"] == "14:modp2048"
    assert seen.transform["Auth"] == "PSK"
    assert seen.output.count("SA=(") == 1


@pytest.mark.conformance("v1-27")
def test_what_does_not_fit_is_refused(world: World, sun: Ikectl) -> None:
    before = len(sun.sas())
    seen = ike_scan(world, "moon", TARGET, "--trans=5,1,1,2")
    assert (seen.kind, seen.notify) == ("notify", "NO-PROPOSAL-CHOSEN"), seen.output
    assert len(sun.sas()) == before


@pytest.mark.conformance("v1-19")
def test_aggressive_mode_is_refused_unless_configured(world: World, sun: Ikectl) -> None:
    """Its hash could be attacked offline: ike-scan has the tool for it (--pskcrack)."""
    wishes = ("--aggressive", FITS, "--dhgroup=14", "--id=moon.example.org", "--idtype=2", "--pskcrack")
    seen = ike_scan(world, "moon", TARGET, *wishes)
    assert seen.kind != "aggressive", seen.output
    assert "HASH_R" not in seen.output and "g_xr" not in seen.output

    sun.load(SUN.but(connection="aggressive = yes\naggressive_psk = yes").conf())
    assert ike_scan(world, "moon", TARGET, *wishes).kind == "aggressive"


def test_nothing_names_the_product(world: World, sun: Ikectl) -> None:
    """No vendor ID but those of extensions, the same to everybody; no pattern of repetitions that ike-scan knows."""
    seen = ike_scan(world, "moon", TARGET, FITS)
    assert set(seen.vendor_ids) <= KNOWN, seen.output
    known = ike_scan(world, "moon", TARGET, FITS, "--vendor=12f5f28c457168a9702d9fe274cc0100")
    assert set(known.vendor_ids) <= KNOWN
    for packet in world.wire("router").packets("ike", source=TARGET):
        assert b"ikectl" not in packet.body.lower()


@pytest.mark.conformance("v1-3", "v1-39")
def test_what_is_no_beginning_is_dropped(world: World, sun: Ikectl) -> None:
    """A responder cookie or a message ID in the first message; a version that nobody has."""
    for option in ("--rcookie=0102030405060708", "--hdrmsgid=7", "--hdrflags=1"):
        assert ike_scan(world, "moon", TARGET, FITS, option).kind == "", option
    assert ike_scan(world, "moon", TARGET, FITS, "--headerver=0x30").kind != "main"


@pytest.mark.conformance("v1-6")
def test_another_domain_of_interpretation(world: World, sun: Ikectl) -> None:
    for option in ("--doi=2", "--situation=2"):
        assert ike_scan(world, "moon", TARGET, FITS, option).kind in ("notify", ""), option


KEPT = 5
"""Half-open SAs of one address that are kept (block_threshold)."""


def test_a_stranger_who_begins_and_never_goes_on(world: World, sun: Ikectl) -> None:
    """Its handshakes push out one another, and nobody else's."""
    sun.load(SUN.but(remote_addrs="%any").conf())
    for _ in range(KEPT + 2):
        seen = ike_scan(world, "moon", TARGET, FITS)
        assert seen.kind == "main", seen.output
    assert len(sun.sas()) == KEPT
    assert ike_scan(world, "router", TARGET, FITS).kind == "main"
    assert len(sun.sas()) == KEPT + 1
