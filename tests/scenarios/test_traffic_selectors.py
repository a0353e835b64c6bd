"""Traffic selectors and modes as they are negotiated (RFC 7296 §2.9, §3.13, §1.3.1)."""

from __future__ import annotations

import pytest

from ikectl.config.model import Mode
from ikectl.iana.v2 import NotifyType, Protocol
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import USE_TRANSPORT_MODE, Delete
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    gateways,
    notifies,
    rewrite,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.site import child
from tests.sim.wiretap import which


def ts(*words: str) -> tuple[TrafficSelector, ...]:
    return tuple(SelectorSpec.parse(word).resolve(bytes(4)) for word in words)


@pytest.mark.conformance("v2-76")
@pytest.mark.parametrize(
    ("offer", "ours", "expected"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", ["10.1.0.0/16"]),
        ("10.1.4.0/24", "10.1.0.0/16", ["10.1.4.0/24"]),
        ("0.0.0.0/0", "10.1.0.0/24,10.1.7.0/24", ["10.1.0.0/24", "10.1.7.0/24"]),
        ("10.1.0.9/32[tcp/80],10.1.0.0/16", "10.1.0.0/24", ["10.1.0.9/32[tcp/80]", "10.1.0.0/24"]),
        ("10.1.0.0/16[udp]", "10.1.0.0/16[/1000-2000]", ["10.1.0.0/16[udp/1000-2000]"]),
    ],
)
def test_the_responder_narrows(offer: str, ours: str, expected: list[str]) -> None:
    """TSi wider than what we allow: the answer is the intersection, and both ends install just that."""
    site, wire = gateways(moon_children=(child(local=offer),), sun_children=(child(mirror=True, local=ours),))
    site.up()
    answer = wire.messages(which(IKE_AUTH, by=site.sun))[0]
    assert set(answer.one(TSi).selectors) <= set(ts(*expected))
    assert site.moon.children[0].ts_local == site.sun.children[0].ts_remote == answer.one(TSi).selectors
    inside = ts(*expected)
    assert all(any(each.within(other) for other in answer.one(TSi).selectors) for each in inside)
    assert stands(site)
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 10)
    assert site.moon.children[0].ts_local == answer.one(TSi).selectors, "a rekeying does not widen or narrow it"
    site.world.settled()


@pytest.mark.conformance("v2-76")
def test_the_packet_that_wanted_it_is_within_the_answer() -> None:
    """The first selector of TSi and TSr is that of a packet: whatever is chosen covers it (§2.9)."""
    site, wire = tunnel(
        sun_children=(child("a", mirror=True, local="10.1.0.0/24"), child("b", mirror=True, local="10.1.9.0/24"))
    )
    site.moon.terminate(site.world.now, "site", "a")
    packet = ts("10.1.9.7/32[tcp/1234]", "10.1.0.0/16")
    fresh = wire.messages(which(IKE_AUTH, by=site.moon))[0].one(SA).proposals[0]._replace(spi=b"\xc1\2\3\4")
    answer = Impostor(wire, site.moon).request(
        CREATE_CHILD_SA, [SA((fresh,)), Nonce(bytes(32)), TSi(packet), TSr(ts("10.2.3.4/32[tcp/80]", "10.2.0.0/16"))]
    )
    assert answer is not None
    assert any(packet[0].within(chosen) for chosen in answer.one(TSi).selectors)


@pytest.mark.conformance("v2-77")
@pytest.mark.parametrize("exchange", ["IKE_AUTH", "CREATE_CHILD_SA"])
def test_nothing_in_common(exchange: str) -> None:
    """<-- HDR, SK {..., N(TS_UNACCEPTABLE)}: no child, but the IKE SA."""
    lan = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16"}
    site, wire = gateways(moon_children=(child(), child("lan", **lan)))
    token = site.moon.initiate("site", "lan" if exchange == "IKE_AUTH" else "net", 0.0)
    wait(site, 5)
    if exchange != "IKE_AUTH":
        token = site.moon.initiate("site", "lan", site.world.now)
        wait(site, 5)
    answer = wire.messages(which(response=True))[-1]
    assert notifies(answer) == [NotifyType.TS_UNACCEPTABLE] and str(answer.exchange) == exchange
    assert "local_ts" in (site.moon.done[token].error or "")
    assert "lan" not in [c.name for c in site.moon.children] and len(site.sun.machines) == 1
    site.world.settled()


@pytest.mark.conformance("v2-78")
@pytest.mark.parametrize("exchange", ["IKE_AUTH", "CREATE_CHILD_SA", "REKEY_SA"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("0.0.0.0/0", "10.2.0.0/16"), ("10.1.0.0/16", "10.0.0.0/8"), ("10.3.0.0/16", "10.2.0.0/16"), ("", "10.2.0.0/16")],
)
def test_an_answer_wider_than_the_offer(exchange: str, ours: str, theirs: str) -> None:
    """<-- HDR, SK {..., TSi, TSr} beyond what we offered, or empty: refused, and deleted at the peer."""
    site, wire = gateways()

    def widen(payloads: list[Payload]) -> list[Payload]:
        kept = [p for p in payloads if not isinstance(p, TSi | TSr)]
        return [*kept, TSi(ts(*filter(None, [ours]))), TSr(ts(theirs))]

    if exchange != "IKE_AUTH":
        site.up()
        if exchange == "CREATE_CHILD_SA":
            site.moon.terminate(site.world.now, "site", "net")
            wait(site, 5)
    choice = which(IKE_AUTH if exchange == "IKE_AUTH" else CREATE_CHILD_SA, response=True)
    rewrite(wire, choice, widen)
    mark = len(wire.seen)
    if exchange == "REKEY_SA":
        token = site.moon.rekey(site.world.now, "site", "net")
    else:
        token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 10)
    assert site.moon.done[token].error is not None
    assert len(site.moon.machines) == 1
    if exchange == "REKEY_SA":
        assert stands(site)
    else:
        assert not site.moon.children and ((exchange == "IKE_AUTH" and not ours) or not site.sun.children)
    if ours:
        assert wire.messages(which(INFORMATIONAL, by=site.moon, holds=Delete), since=mark)
    site.world.settled()


@pytest.mark.conformance("v2-79")
@pytest.mark.parametrize(
    "selectors",
    [
        "10.1.0.0/16[tcp/8000-8080]",
        "10.1.0.0/16[icmp/8]",
        "10.1.0.0/16[17/opaque]",
        "10.1.0.0-10.1.0.77",
        "10.1.0.0/16,2001:db8:1::/48",
        "2001:db8:1::/48[ipv6-icmp]",
    ],
)
def test_selectors_of_every_kind(selectors: str) -> None:
    remote = "10.2.0.0/16,2001:db8:2::/48"
    site, _ = tunnel(
        moon_children=(child(local=selectors, remote=remote),),
        sun_children=(child(mirror=True, local=selectors, remote=remote),),
    )
    assert site.moon.children[0].ts_local == site.sun.children[0].ts_remote == ts(*selectors.split(","))
    assert site.moon.children[0].ts_remote == ts(*remote.split(","))


@pytest.mark.conformance("v2-80")
@pytest.mark.parametrize(("mine", "theirs"), [(True, True), (False, False), (True, False), (False, True)])
def test_transport_mode_is_agreed_on_or_not_at_all(mine: bool, theirs: bool) -> None:
    """N(USE_TRANSPORT_MODE) echoed: transport. Declined: no tunnel in its stead. Not asked for: tunnel (§1.3.1)."""
    modes = [Mode.TRANSPORT if wanted else Mode.TUNNEL for wanted in (mine, theirs)]
    hosts = {"local": "192.0.2.1/32", "remote": "198.51.100.1/32"}
    site, wire = gateways(
        moon_children=(child(mode=modes[0], **hosts),), sun_children=(child(mirror=True, mode=modes[1], **hosts),)
    )
    token = site.up()
    asked, answered = wire.messages(which(IKE_AUTH))
    assert (asked.notify(NotifyType.USE_TRANSPORT_MODE) is not None) is mine
    assert (answered.notify(NotifyType.USE_TRANSPORT_MODE) is not None) is (mine and theirs)
    if mine and not theirs:
        assert site.moon.done[token].error is not None and not site.moon.children and not site.sun.children
        assert wire.messages(which(by=site.moon, holds=Delete))[0].one(Delete).protocol is Protocol.ESP
    else:
        expected = Mode.TRANSPORT if mine else Mode.TUNNEL
        assert site.moon.children[0].mode is site.sun.children[0].mode is expected
        for host in (site.moon, site.sun):
            host.rekey(site.world.now, "site", "net")
            wait(site, 10)
            assert host.children[0].mode is expected
    site.world.settled()


@pytest.mark.conformance("v2-80")
def test_transport_mode_nobody_asked_for_is_refused() -> None:
    site, wire = gateways()
    rewrite(wire, which(IKE_AUTH, response=True), lambda payloads: [*payloads, USE_TRANSPORT_MODE])
    token = site.up()
    assert site.moon.done[token].error is not None and not site.moon.children and not site.sun.children
    assert len(site.moon.machines) == 1
