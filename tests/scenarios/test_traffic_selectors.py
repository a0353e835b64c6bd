"""Traffic selectors and modes as they are negotiated (RFC 7296 §2.9, §3.13, §1.3.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.config.model import Child, Childless, Mode
from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.events import Note
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDr
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import USE_TRANSPORT_MODE, Delete, Notify
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
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which


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


# -- rekeying ------------------------------------------------------------------------------


@pytest.mark.conformance("v2-76", "v2-85")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_rekeying_asks_for_what_there_is(who: str) -> None:
    """TSi and TSr of the old child, which the peer narrowed once: the same again, from either end (§2.9.2)."""
    site, wire = tunnel(
        moon_children=(child(local="10.1.0.0/16,10.9.0.0/16"),), sun_children=(child(mirror=True, local="10.1.4.0/24"),)
    )
    host = site.moon if who == "moon" else site.sun
    host.rekey(site.world.now, "site", "net")
    wait(site, 10)
    for message in wire.messages(which(CREATE_CHILD_SA)):
        found = {message.one(TSi).selectors, message.one(TSr).selectors}
        assert found == {ts("10.1.4.0/24"), ts("10.2.0.0/16")}
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-76", "v2-85")
def test_a_rekeying_for_less_is_refused() -> None:
    """HDR, SK {N(REKEY_SA), ..., TSi smaller} -->  <-- N(TS_UNACCEPTABLE): the old child goes on (§2.9.2)."""
    site, wire = tunnel()

    def smaller(payloads: list[Payload]) -> list[Payload]:
        return [TSi(ts("10.1.3.0/24")) if isinstance(each, TSi) else each for each in payloads]

    rewrite(wire, which(CREATE_CHILD_SA, response=False), smaller)
    token = site.moon.rekey(site.world.now, "site", "net")
    wait(site, 2)
    assert notifies(wire.messages(which(CREATE_CHILD_SA, by=site.sun))[0]) == [NotifyType.TS_UNACCEPTABLE]
    assert "TS_UNACCEPTABLE" in (site.moon.done[token].error or "") and stands(site)


@pytest.mark.conformance("v2-78", "v2-85")
def test_an_answer_to_a_rekeying_for_less_is_refused() -> None:
    """<-- TSi smaller than that of the old child: the new one is deleted, the old one goes on (§2.9.2)."""
    site, wire = tunnel()

    def smaller(payloads: list[Payload]) -> list[Payload]:
        return [TSi(ts("10.1.3.0/24")) if isinstance(each, TSi) else each for each in payloads]

    rewrite(wire, which(CREATE_CHILD_SA, response=True), smaller)
    token = site.moon.rekey(site.world.now, "site", "net")
    wait(site, 20)
    assert "less than what is to be rekeyed" in (site.moon.done[token].error or "")
    assert stands(site) and site.moon.children[0].ts_local == ts("10.1.0.0/16")
    site.world.settled()


# -- single pairs, and more than one child takes -----------------------------------------------------

TWO_BY_TWO = {"local": "10.1.0.0/16,10.3.0.0/16", "remote": "10.2.0.0/16,10.4.0.0/16"}


def picky(site: Site, wire: Wiretap, first: ExchangeType) -> None:
    """sun refuses the first offer of several selectors; it takes single ones."""

    def refuse(payloads: list[Payload]) -> list[Payload]:
        kept = [each for each in payloads if isinstance(each, IDr | AUTH)]
        return [*kept, Notify(NotifyType.SINGLE_PAIR_REQUIRED)]

    rewrite(wire, which(first, by=site.sun, response=True), refuse)


@pytest.mark.conformance("v2-76")
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_peer_that_takes_single_pairs(exchange: ExchangeType, seed: int) -> None:
    """<-- HDR, SK {[IDr, AUTH,] N(SINGLE_PAIR_REQUIRED)}: a CREATE_CHILD_SA for each pair (§2.9)."""
    about = {"moon": {"childless": Childless.PREFER}} if exchange is CREATE_CHILD_SA else {}
    site, wire = gateways(
        seed=seed,
        moon_children=(child(**TWO_BY_TWO),),
        sun_children=(child(mirror=True, **TWO_BY_TWO),),
        **about,
    )
    picky(site, wire, exchange)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 30)
    assert site.moon.done[token].error is None
    pairs = {(one.ts_local, one.ts_remote) for one in site.moon.children}
    ours, theirs = ts("10.1.0.0/16", "10.3.0.0/16"), ts("10.2.0.0/16", "10.4.0.0/16")
    assert pairs == {((one,), (other,)) for one in ours for other in theirs}
    mine, suns = list(site.moon.children), list(site.sun.children)
    # sun believes in the child it was made to refuse; its own are four besides.
    assert len(mine) == 4 and len(suns) == 5
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 60)
    assert {(one.ts_local, one.ts_remote) for one in site.moon.children} == pairs


@pytest.mark.conformance("v2-76")
def test_a_peer_that_takes_single_pairs_and_does_not_take_ours() -> None:
    """<-- N(SINGLE_PAIR_REQUIRED) to a single pair: it fails, and says what could be done."""
    site, wire = gateways()
    picky(site, wire, IKE_AUTH)
    token = site.up()
    error = site.moon.done[token].error or ""
    assert "SINGLE_PAIR_REQUIRED" in error and "start_action = trap" in error
    assert not site.moon.children and len(site.moon.machines) == 1 and not site.moon.kernel.larval


@pytest.mark.conformance("v2-76")
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA])
def test_more_would_be_had_in_further_children(exchange: ExchangeType) -> None:
    """An offer that two children of ours would take part in: one does, N(ADDITIONAL_TS_POSSIBLE) tells of the other."""
    about = {"moon": {"childless": Childless.PREFER}} if exchange is CREATE_CHILD_SA else {}
    site, wire = gateways(
        moon_children=(child(local="10.0.0.0/8"),),
        sun_children=(child("a", mirror=True, local="10.1.0.0/16"), child("b", mirror=True, local="10.3.0.0/16")),
        **about,
    )
    token = site.up()
    assert site.moon.done[token].error is None
    answer = wire.messages(which(exchange, by=site.sun))[0]
    assert NotifyType.ADDITIONAL_TS_POSSIBLE in notifies(answer)
    assert any("would take more of it in further children" in note.text() for note in site.moon.saw(Note))
    assert [one.name for one in site.sun.children] == ["a"] and stands(site)


@pytest.mark.conformance("v2-76")
@pytest.mark.parametrize(
    "others",
    [
        [],
        [child("b", mirror=True, local="10.1.7.0/24")],
        [child("b", mirror=True, local="10.3.0.0/16", esp="aes256gcm16")],
    ],
    ids=["nobody", "inside", "other-algorithms"],
)
def test_no_more_would_be_had(others: list[Child]) -> None:
    """What another child would take is covered already, or it would take nothing of this offer."""
    site, wire = gateways(
        moon_children=(child(local="10.0.0.0/8"),),
        sun_children=(child("a", mirror=True, local="10.1.0.0/16"), *others),
    )
    site.up()
    assert NotifyType.ADDITIONAL_TS_POSSIBLE not in notifies(wire.messages(which(IKE_AUTH, by=site.sun))[0])


@pytest.mark.conformance("v2-77")
def test_selectors_that_meet_in_no_packet() -> None:
    """IPv4 on one side and IPv6 on the other, each within the configuration: no child."""
    site, wire = gateways(
        moon_children=(child(local="10.1.0.0/16,2001:db8:1::/48", remote="10.2.0.0/16,2001:db8:2::/48"),),
        sun_children=(child(mirror=True, local="10.1.0.0/16", remote="2001:db8:2::/48"),),
    )
    site.up()
    assert notifies(wire.messages(which(IKE_AUTH, by=site.sun))[0]) == [NotifyType.TS_UNACCEPTABLE]


def test_a_packet_that_the_peer_did_not_like() -> None:
    """HDR, SK {N(INVALID_SELECTORS), by the SPI that it receives on} -->: told, and nothing else changes."""
    site, wire = tunnel()
    spi = site.moon.children[0].spi_in.to_bytes(4, "big")
    told = Notify(NotifyType.INVALID_SELECTORS, bytes(20), Protocol.ESP, spi)
    answer = Impostor(wire, site.moon).request(INFORMATIONAL, [told])
    assert answer is not None and not answer.payloads and stands(site)
    assert any("came on child net and is not of 10.2.0.0/16 === 10.1.0.0/16" in n.text() for n in site.sun.saw(Note))


@pytest.mark.conformance("v2-81", "v2-93")
@pytest.mark.parametrize(
    "kind",
    [
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.NO_ADDITIONAL_SAS,
        NotifyType.TEMPORARY_FAILURE,
    ],
)
def test_a_child_refused_in_ike_auth_leaves_the_ike_sa(kind: NotifyType) -> None:
    """<-- HDR, SK {IDr, AUTH, N(error)}: no child, and the IKE SA serves for another attempt (§1.2, §2.21.2)."""
    site, wire = gateways()

    def refuse(payloads: list[Payload]) -> list[Payload]:
        return [*[each for each in payloads if isinstance(each, IDr | AUTH)], Notify(kind)]

    site.sun.load(replace(site.sun.engine.connections.get("site"), children=()))
    rewrite(wire, which(IKE_AUTH, by=site.sun, response=True), refuse)
    token = site.up()
    assert str(kind) in (site.moon.done[token].error or "") and not site.moon.kernel.larval
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    site.sun.load(replace(site.sun.engine.connections.get("site"), children=(child(mirror=True),)))
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 10)
    assert site.moon.done[token].error is None and stands(site) and len(site.moon.machines) == 1
    site.world.settled()
