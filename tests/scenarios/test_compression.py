"""IPComp, TFC padding and fragments: what is said of a child beside its algorithms (RFC 7296 §1.3.1, §2.22)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import CompressionTransform, NotifyType, Protocol
from ikectl.sa.asks import AllocSpi
from ikectl.sa.child_sa import ChildSa, Companion
from ikectl.sa.events import Note
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import (
    ESP_TFC_PADDING_NOT_SUPPORTED,
    NON_FIRST_FRAGMENTS_ALSO,
    Compression,
    Delete,
    Notify,
    compression,
    compression_notify,
)
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    gateways,
    notifies,
    rewrite,
    stands,
    tunnel,
    wait,
)
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which

IPCOMP = NotifyType.IPCOMP_SUPPORTED
DEFLATE, LZS = CompressionTransform.DEFLATE, CompressionTransform.LZS


def compressing(moon: bool = True, sun: bool = True, **options: Any) -> tuple[Site, Wiretap]:
    """Both ends, or one, want IPComp."""
    more = options.pop("child", {})
    return gateways(
        moon_children=(child(ipcomp=moon, **more),), sun_children=(child(mirror=True, ipcomp=sun, **more),), **options
    )


def only(host: Host) -> ChildSa:
    (one,) = host.children
    return one


def cpis(host: Host) -> tuple[int, int]:
    """Those of its child, in and out."""
    (beside,) = only(host).companions
    assert isinstance(beside, Companion) and beside.protocol is Protocol.IPCOMP
    return beside.spi_in, beside.spi_out


def said(message: Message) -> list[Compression]:
    return [compression(notify) for notify in message.notifies(IPCOMP)]


def compresses(site: Site) -> bool:
    """Both ends do, with the same CPIs, and packets pass."""
    return stands(site) and cpis(site.moon) == cpis(site.sun)[::-1]


@pytest.mark.conformance("v2-81")
def test_both_compress() -> None:
    """N(IPCOMP_SUPPORTED(CPI, DEFLATE)) -->  <-- the same with the responder's CPI."""
    site, wire = compressing()
    site.up()
    asked, answered = wire.messages(which(IKE_AUTH))
    assert said(asked) == [(cpis(site.moon)[0], DEFLATE)] and said(answered) == [(cpis(site.sun)[0], DEFLATE)]
    assert compresses(site)
    site.world.settled()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("who", ["moon", "sun", "both"])
def test_a_rekeyed_child_compresses_with_new_cpis(who: str) -> None:
    """CREATE_CHILD_SA agrees on it anew; the old CPIs go with the old child, and no delete names them."""
    site, wire = compressing(link=Link(delay=0.05))
    site.up()
    before = cpis(site.moon)
    for host in (site.moon, site.sun):
        if who in (host.name, "both"):
            host.rekey(site.world.now, "site", "net")
    wait(site, 60)
    assert compresses(site) and not set(before) & set(cpis(site.moon))
    assert len(site.moon.kernel.inbound) == len(site.sun.kernel.inbound) == 2
    for message in wire.messages(which(holds=Delete)):
        assert all(len(spi) == 4 for delete in message.all(Delete) for spi in delete.spis)
    site.world.settled()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("wants", ["moon", "sun"])
def test_a_peer_that_does_not_want_it(wants: str) -> None:
    """No N(IPCOMP_SUPPORTED) in the answer, or none in the request: a child without, and no CPI is kept."""
    site, wire = compressing(moon=wants == "moon", sun=wants == "sun")
    site.up()
    asked, answered = wire.messages(which(IKE_AUTH))
    assert bool(said(asked)) is (wants == "moon") and not said(answered)
    assert stands(site) and not only(site.moon).companions and not only(site.sun).companions
    site.world.settled()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("end", ["moon", "sun"])
def test_one_kernel_cannot(end: str) -> None:
    site, _ = compressing()
    host = getattr(site, end)
    kernel = host.kernel

    def without(ask: AllocSpi) -> int:
        if ask.protocol is Protocol.IPCOMP:
            raise BackendError("this kernel has no IPComp")
        return int(kernel.alloc_spi(ask))

    host.answers[AllocSpi] = without
    site.up()
    assert stands(site) and not only(site.moon).companions and not only(site.sun).companions
    assert any("goes without IPComp: this kernel has no IPComp" in each.text() for each in host.saw(Note))
    site.world.settled()


@pytest.mark.conformance("v2-81")
def test_other_algorithms_are_left_alone() -> None:
    """N(LZS), N(200), N(DEFLATE with a CPI nobody may choose), N(DEFLATE) -->: the last one is taken."""
    site, wire = compressing()
    odd = [Compression(0x1234, LZS), Compression(0x1235, CompressionTransform(200)), Compression(7, DEFLATE)]
    rewrite(wire, which(IKE_AUTH, response=False), lambda found: [*map(compression_notify, odd), *found])
    site.up()
    assert compresses(site)


@pytest.mark.conformance("v2-81")
def test_only_other_algorithms() -> None:
    site, wire = compressing()

    def others(payloads: list[Payload]) -> list[Payload]:
        kept = [each for each in payloads if not (isinstance(each, Notify) and each.type is IPCOMP)]
        return [*kept, compression_notify(Compression(0x1234, LZS))]

    rewrite(wire, which(IKE_AUTH, response=False), others)
    site.up()
    assert not said(wire.messages(which(IKE_AUTH, response=True))[0])
    assert stands(site) and not only(site.moon).companions
    site.world.settled()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("exchange", ["IKE_AUTH", "CREATE_CHILD_SA", "REKEY_SA"])
@pytest.mark.parametrize(
    ("offers", "answers", "why"),
    [
        (False, [Compression(0x1234, DEFLATE)], "we offered none"),
        (True, [Compression(0x1234, LZS)], "chose IPComp with LZS"),
        (True, [Compression(0x1234, DEFLATE), Compression(0x1235, DEFLATE)], "DEFLATE, DEFLATE"),
        (True, [Compression(0xFF, DEFLATE)], "CPI is 00ff"),
        (True, [Compression(0xF000, DEFLATE)], "CPI is f000"),
    ],
)
def test_an_answer_that_was_not_offered(exchange: str, offers: bool, answers: list[Compression], why: str) -> None:
    """The child is refused, and deleted at the peer, which believes in it; the IKE SA goes on."""
    site, wire = compressing(moon=offers)

    def instead(payloads: list[Payload]) -> list[Payload]:
        kept = [each for each in payloads if not (isinstance(each, Notify) and each.type is IPCOMP)]
        return [*kept, *map(compression_notify, answers)]

    if exchange != "IKE_AUTH":
        site.up()
    if exchange == "CREATE_CHILD_SA":
        site.moon.terminate(site.world.now, "site", "net")
        wait(site, 5)
    rewrite(wire, which(IKE_AUTH if exchange == "IKE_AUTH" else CREATE_CHILD_SA, response=True), instead)
    if exchange == "REKEY_SA":
        token = site.moon.rekey(site.world.now, "site", "net")
    else:
        token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 30)
    assert why in (site.moon.done[token].error or "")
    assert len(site.moon.machines) == 1 and len(site.moon.children) == len(site.sun.children)
    assert len(site.moon.children) == (1 if exchange == "REKEY_SA" else 0)
    site.world.settled()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_network(seed: int) -> None:
    """Loss, repeats, both ends rekeying at once: what stands is whole, and no CPI is left behind."""
    site, _ = compressing(seed=seed, link=Link(loss=0.2, duplication=0.2, jitter=0.2))
    site.up()
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
    wait(site, 300)
    assert compresses(site)
    site.world.settled()


@pytest.mark.parametrize("inner", ["2001:db8:1::/48", "10.1.0.0/16,2001:db8:1::/48"])
def test_another_family_inside_goes_without(inner: str) -> None:
    """Linux has no IPComp tunnel of one family in the other: both ends say so, and the child stands."""
    more = {"local": inner, "remote": "10.2.0.0/16,2001:db8:2::/48"}
    site, wire = compressing(child=more)
    site.up()
    assert stands(site) and not said(wire.messages(which(IKE_AUTH))[0])
    assert any("IPv4 over IPv4 or IPv6 over IPv6" in each.text() for each in site.moon.saw(Note))


# -- TFC padding -----------------------------------------------------------------------


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("end", ["moon", "sun"])
@pytest.mark.parametrize("takes", [True, False])
def test_padding_unless_the_peer_does_not_take_it(end: str, takes: bool) -> None:
    """N(ESP_TFC_PADDING_NOT_SUPPORTED) from the peer: nothing is padded on the way to it."""
    padded = {"moon": 0, "sun": 0, end: 1400}
    site, wire = gateways(
        moon_children=(child(tfc_padding=padded["moon"]),),
        sun_children=(child(mirror=True, tfc_padding=padded["sun"]),),
    )
    host, peer = (site.moon, site.sun) if end == "moon" else (site.sun, site.moon)
    if not takes:
        rewrite(wire, which(IKE_AUTH, by=peer), lambda payloads: [*payloads, ESP_TFC_PADDING_NOT_SUPPORTED])
    site.up()
    assert stands(site) and only(host).tfc_padding == (1400 if takes else 0) and not only(peer).tfc_padding
    host.rekey(site.world.now, "site", "net")
    wait(site, 30)
    assert only(host).tfc_padding == 1400, "asked anew"


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("mode", [Mode.TUNNEL, Mode.TRANSPORT])
def test_padding_is_not_taken_in_transport_mode(mode: Mode) -> None:
    """Without an inner header nothing tells TCP where its data ends: both ends say that they do not take it."""
    hosts = {"local": "192.0.2.1/32", "remote": "198.51.100.1/32"}
    _, wire = tunnel(moon_children=(child(mode=mode, **hosts),), sun_children=(child(mirror=True, mode=mode, **hosts),))
    for message in wire.messages(which(IKE_AUTH)):
        found = message.notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)
        assert (found is not None) is (mode is Mode.TRANSPORT)


# -- fragments -------------------------------------------------------------------------


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("response", [False, True])
def test_non_first_fragments_are_not_agreed_on(response: bool) -> None:
    """N(NON_FIRST_FRAGMENTS_ALSO) is not echoed, and heard in an answer it means nothing: it takes both."""
    site, wire = gateways()
    rewrite(wire, which(IKE_AUTH, response=response), lambda payloads: [*payloads, NON_FIRST_FRAGMENTS_ALSO])
    site.up()
    assert stands(site)
    if not response:
        answered = wire.messages(which(IKE_AUTH, response=True))[0]
        assert NotifyType.NON_FIRST_FRAGMENTS_ALSO not in notifies(answered)
