"""NAT traversal of IKEv1: detection, port 4500, modes and original addresses (RFC 3947, drafts 02 and 03)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Mode
from ikectl.iana.v1 import EncapsulationMode, IdType, PayloadType, Phase2Attribute, VendorId
from ikectl.values.path import Endpoint
from ikectl.values.selector import SelectorSpec
from ikectl.wire.header import NON_ESP_MARKER
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import VendorId as Vendor
from ikectl.wire.v1.nat import NatD, NatDDraft, NatOa, NatOaDraft
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import AGGRESSIVE_PSK, bare, rewrite, sa_of, stands, wait, watched, watched_tunnel
from tests.sim.forge_v1 import Impostor
from tests.sim.host import Host
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap_v1 import AGGRESSIVE, INFORMATIONAL, MAIN, QUICK, Wiretap, which

OUTSIDE, OTHER_SIDE = "203.0.113.1", "203.0.113.2"
MODES: dict[str, dict[str, Any]] = {"main": {}, "aggressive": AGGRESSIVE_PSK}
IN_MODES = pytest.mark.parametrize("mode", MODES)
RFC = bytes.fromhex("4a131c81070358455c5728f20e95452f")
DRAFT_03 = bytes.fromhex("7d9419a65310ca6f2c179d9215529d56")
DRAFT_02N = bytes.fromhex("90cb80913ebb696e086381b5ec427b1f")
DRAFT_02 = bytes.fromhex("cd60464335df21f87cfdb2fc68b6a448")


def behind(*, mode: str = "main", up: bool = True, **options: Any) -> tuple[Site, Wiretap, Nat]:
    """moon sits behind a masquerading router; sun takes anybody."""
    nat = Nat(frozenset({MOON}), OUTSIDE)
    site, wire = watched(both=MODES[mode], nats=(nat,), sun={"remote": "%any", **options.pop("sun", {})}, **options)
    if up:
        token = site.up()
        assert site.moon.done[token].error is None, site.moon.done[token].error
    return site, wire, nat


def transport() -> dict[str, Any]:
    """A child in transport mode between the very ends."""
    dynamic = (SelectorSpec.parse("dynamic"),)
    made = replace(child(mode=Mode.TRANSPORT), local_ts=dynamic, remote_ts=dynamic)
    return {"moon_children": (made,), "sun_children": (made,)}


def knows_only(wire: Wiretap, *forms: bytes) -> None:
    """Neither end announces another form of NAT traversal."""
    known = {RFC, DRAFT_03, DRAFT_02N, DRAFT_02} - set(forms)

    def without(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not (isinstance(each, Vendor) and each.data in known)]

    rewrite(wire, lambda seen: bool(seen.message.all(Vendor)) and not seen.message.encrypted, without, times=None)


def modes_of(wire: Wiretap, host: Host) -> set[int]:
    """The encapsulation modes a host named in quick modes."""
    return {
        int(attribute.value)  # type: ignore[arg-type]
        for message in wire.messages(which(QUICK, by=host, holds=SA))
        for proposal in message.one(SA).proposals
        for each in proposal.transforms
        for attribute in each.attributes
        if attribute.type == Phase2Attribute.ENCAPSULATION_MODE
    }


# -- detection -------------------------------------------------------------------------


@pytest.mark.conformance("v1-31")
@IN_MODES
@pytest.mark.parametrize("hash_name", ["md5", "sha256"])
def test_the_hashes_are_those_of_the_rfc(mode: str, hash_name: str) -> None:
    """HASH(CKY-I | CKY-R | IP | port), the receiver's first, by the negotiated hash; without a NAT all stays on 500."""
    site, wire = watched_tunnel(both=MODES[mode], ike=f"aes128-{hash_name}-ecp256")
    ours = [seen for seen in wire.fresh() if seen.message.all(NatD)]
    steps = [seen.message.exchange for seen in ours]
    assert steps == ([MAIN] * 2 if mode == "main" else [AGGRESSIVE] * 2)
    cookies = sa_of(site.moon).cookie_i + sa_of(site.moon).cookie_r
    moon, sun = bytes((192, 0, 2, 1, 1, 244)), bytes((198, 51, 100, 1, 1, 244))
    for seen in ours:
        ends = (sun, moon) if seen.host is site.moon else (moon, sun)
        expected = [hashlib.new(hash_name, cookies + end).digest() for end in ends]
        assert [each.hash for each in seen.message.all(NatD)] == expected
        assert seen.message.all(NatD)[0].TYPE == PayloadType.NAT_D == 20
    assert {seen.transmit.path.local.port for seen in wire.seen} == {500}
    assert not sa_of(site.moon).nat.found and not site.moon.children[0].encap
    assert modes_of(wire, site.moon) == modes_of(wire, site.sun) == {EncapsulationMode.TUNNEL}


@pytest.mark.conformance("v1-31")
def test_all_forms_are_announced_and_the_rfcs_is_preferred() -> None:
    _, wire = watched_tunnel()
    for message in wire.messages(which(MAIN))[:2]:
        said = [each.data for each in message.all(Vendor)]
        assert {RFC, DRAFT_03, DRAFT_02N, DRAFT_02} <= set(said)
    assert wire.all(which(holds=NatD)) and not wire.all(which(holds=NatDDraft))


@pytest.mark.conformance("v1-31")
def test_without_the_vendor_id_nobody_looks_for_a_nat() -> None:
    """RFC 3947 §3.1: no form in common, no NAT-D, no floating, whatever stands between."""
    site, wire, _ = behind(up=False)
    knows_only(wire)
    site.up()
    assert not wire.all(which(holds=NatD)) and not wire.all(which(holds=NatDDraft))
    assert {seen.transmit.path.local.port for seen in wire.seen} == {500}
    assert not sa_of(site.moon).nat.found and not sa_of(site.sun).nat.found


@pytest.mark.conformance("v1-31")
@IN_MODES
@pytest.mark.parametrize("right", [0, 1, 2])
def test_one_right_source_of_several_is_enough(mode: str, right: int) -> None:
    """An end with several addresses says them all (RFC 3947 §3.2)."""
    site, wire = watched(both=MODES[mode])

    def more(payloads: list[Payload]) -> list[Payload]:
        target, source = (each for each in payloads if isinstance(each, NatD))
        sources: list[Payload] = [NatD(bytes((number,)) * 32) for number in range(2)]
        sources.insert(right, source)
        return [*(each for each in payloads if not isinstance(each, NatD)), target, *sources]

    rewrite(wire, lambda seen: bool(seen.message.all(NatD)) and not seen.message.encrypted, more, times=None)
    site.up()
    assert stands(site)
    assert not sa_of(site.moon).nat.found, "the answer of sun was read so"


@pytest.mark.conformance("v1-31")
@pytest.mark.parametrize("octets", [0, 1, 20, 31, 33, 300])
def test_a_nat_d_of_another_length_is_just_another_address(octets: int) -> None:
    site, wire = watched()

    def odd(payloads: list[Payload]) -> list[Payload]:
        return [NatD(bytes(octets)) if isinstance(each, NatD) else each for each in payloads]

    rewrite(wire, which(MAIN, by=site.moon, holds=NatD), odd, times=None)
    site.up()
    assert sa_of(site.sun).nat.found and not sa_of(site.moon).nat.found


# -- floating --------------------------------------------------------------------------------


@pytest.mark.conformance("v1-31")
@IN_MODES
def test_behind_a_nat_everything_goes_on_at_port_4500(mode: str) -> None:
    """Messages 1 to 4 (aggressive: 1 and 2) on 500; from 5 (3) on 4500 behind four zero octets; ESP in UDP."""
    site, wire, _ = behind(mode=mode)
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
    for seen in wire.all(which(by=site.moon)):
        initial = seen.message.exchange in (MAIN, AGGRESSIVE) and not seen.message.encrypted
        assert seen.transmit.path.local.port == seen.transmit.path.remote.port == (500 if initial else 4500)
        assert (seen.transmit.data[:4] == NON_ESP_MARKER) is not initial
    for seen in wire.all(which(by=site.sun)):
        initial = not seen.message.encrypted
        assert seen.transmit.path.remote.host == OUTSIDE and seen.transmit.path.remote.port >= 20000
        assert seen.transmit.path.local.port == (500 if initial else 4500)
    assert sa_of(site.moon).nat.local and not sa_of(site.moon).nat.remote
    assert sa_of(site.sun).nat.remote and not sa_of(site.sun).nat.local
    assert all(each.encap for each in (*site.moon.children, *site.sun.children))
    assert site.sun.children[0].path.remote == sa_of(site.sun).path.remote


@pytest.mark.conformance("v1-31")
@IN_MODES
def test_phase_1_run_again_behind_a_nat(mode: str) -> None:
    """Either end may run phase 1 again: sun calls moon back through the mapping it knows."""
    site, _, _ = behind(mode=mode)
    for host in (site.moon, site.sun):
        token = host.rekey(site.world.now, "site")
        wait(site, 130)
        assert host.done[token].error is None
        assert len(site.moon.machines) == len(site.sun.machines) == 1
        assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.moon.terminate(site.world.now)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-31")
@IN_MODES
def test_both_ends_behind_nats(mode: str) -> None:
    """sun's router forwards 500 and 4500 to it; moon calls that router."""
    mine = Nat(frozenset({MOON}), OUTSIDE)
    theirs = Nat(frozenset({SUN}), OTHER_SIDE)
    for port in (500, 4500):
        theirs.forward(port, Endpoint.parse(SUN, port))
    site, wire = watched(both=MODES[mode], nats=(mine, theirs), moon={"remote": OTHER_SIDE}, sun={"remote": "%any"})
    site.up()
    assert len(site.moon.children) == len(site.sun.children) == 1
    for host in (site.moon, site.sun):
        nat = sa_of(host).nat
        assert nat.local and nat.remote and host.children[0].encap
    assert {seen.transmit.path.remote.host for seen in wire.all(which(by=site.sun))} == {OUTSIDE}
    wait(site, 100)
    assert {host for host, _ in wire.keepalives} == {site.moon, site.sun}


@pytest.mark.conformance("v1-31")
@IN_MODES
def test_encapsulation_can_be_had_by_a_lie(mode: str) -> None:
    """encap = yes: our own NAT-D is false on purpose, both ends see a NAT, and ESP goes in UDP."""
    site, wire = watched_tunnel(both=MODES[mode], moon={"encap": True})
    assert site.moon.children[0].encap and site.sun.children[0].encap
    assert {seen.transmit.path.remote.port for seen in wire.all(which(QUICK))} == {4500}


@pytest.mark.conformance("v1-31")
@IN_MODES
def test_the_responder_can_have_it_by_a_lie_too(mode: str) -> None:
    site, wire = watched_tunnel(both=MODES[mode], sun={"encap": True})
    assert site.moon.children[0].encap and site.sun.children[0].encap
    assert {seen.transmit.path.remote.port for seen in wire.all(which(QUICK))} == {4500}


@pytest.mark.conformance("v1-31")
def test_the_port_may_change_amid_phase_1() -> None:
    """The router forgets its mappings before message 5, which comes from a new port anyhow: sun answers there."""
    site, wire, nat = behind(up=False)
    held = wire.hold(which(MAIN, by=site.moon, encrypted=True), times=1)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    assert held.caught
    nat.rebind()
    wait(site, 20)
    assert len(site.moon.children) == len(site.sun.children) == 1
    assert sa_of(site.sun).path.remote.port >= 21000


@pytest.mark.conformance("v1-31")
@pytest.mark.parametrize("said", ["quick mode", "R-U-THERE"])
def test_a_peer_behind_a_nat_may_move(said: str) -> None:
    """The router forgets its mappings: moon's next authentic message tells sun the new port, and children go too."""
    site, wire, nat = behind(moon={"dpd_delay": 30})
    before = sa_of(site.sun).path.remote
    nat.rebind()
    if said == "quick mode":
        site.moon.rekey(site.world.now, "site", "net")
    wait(site, 40)
    after = sa_of(site.sun).path.remote
    assert after != before and after.host == OUTSIDE
    assert all(each.path.remote == after for each in site.sun.children)
    assert wire.all(which(by=site.sun))[-1].transmit.path.remote == after


@pytest.mark.conformance("v1-31")
def test_what_is_not_authentic_moves_nobody() -> None:
    """A forgery, a recorded message and phase 1's last one from elsewhere: the SA stays where it is."""
    site, wire, _ = behind()
    impostor = Impostor(wire, site.moon)
    before = sa_of(site.sun).path
    octets = impostor.seal(impostor.hashed([Notify(24577)], 99), INFORMATIONAL, 99)  # type: ignore[arg-type]
    recorded = [seen.octets for seen in wire.all(which(by=site.moon))][1:]
    forged = octets[:-1] + bytes((octets[-1] ^ 1,))
    impostor.here = Endpoint.parse("203.0.113.66", 4500)
    site.world.nats = ()
    for each in (forged, *recorded):
        impostor.deliver(each)
        assert sa_of(site.sun).path == before
    impostor.deliver(octets)
    assert sa_of(site.sun).path.remote == impostor.here, "the authentic one does"


@pytest.mark.conformance("v1-31")
def test_nobody_moves_without_a_nat() -> None:
    site, wire = watched_tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        impostor = Impostor(wire, host)
        impostor.here = Endpoint.parse("203.0.113.66", 500)
        before = sa_of(peer).path
        impostor.say([Notify(24577)])  # type: ignore[arg-type]
        assert sa_of(peer).path == before and peer.children[0].path == before


@pytest.mark.conformance("v1-31")
def test_keepalives_are_sent_from_behind_the_nat_alone() -> None:
    """0xFF every twenty seconds of silence, from moon, without a marker; none for an SA that is gone."""
    site, wire, _ = behind()
    mark = len(wire.seen)
    wait(site, 200)
    assert len(wire.seen) == mark
    assert {host for host, _ in wire.keepalives} == {site.moon} and 9 <= len(wire.keepalives) <= 11
    assert all(t.path.local.port == t.path.remote.port == 4500 for _, t in wire.keepalives)
    site.moon.terminate(site.world.now)
    wait(site, 60)
    count = len(wire.keepalives)
    wait(site, 300)
    assert len(wire.keepalives) == count


@pytest.mark.conformance("v1-31", "v1-17")
@IN_MODES
def test_two_peers_behind_one_nat(mode: str) -> None:
    """moon and mars share an address: sun tells them apart by ports and identities, through renewals and deletes."""
    nat = Nat(frozenset({MOON, "192.0.2.9"}), OUTSIDE)
    both = {"version": 1, **MODES[mode]}
    sun_side = {"local": SUN, "remote": "%any", "local_id": "sun.example.org", "ike": "aes128-sha256-modp2048", **both}
    site, wire = watched(both=MODES[mode], nats=(nat,), sun={"remote": "%any"})
    mars = Host("mars", "192.0.2.9", 3)
    mars.load(connection(local="192.0.2.9", local_id="mars.example.org", ike="aes128-sha256-modp2048",
                         children=(child(local="10.3.0.0/16"),), **both))  # fmt: skip
    site.sun.load(connection("mars", remote_id="mars.example.org",
                             children=(child(mirror=True, local="10.3.0.0/16"),), **sun_side))  # fmt: skip
    site.world.hosts[mars.address] = mars
    tokens = [host.initiate("site", "net", 0.0) for host in (site.moon, mars)]
    wait(site, 5)
    assert [host.done[token].error for host, token in zip((site.moon, mars), tokens, strict=True)] == [None, None]
    assert len(site.sun.children) == 2 and len({each.path.remote for each in site.sun.children}) == 2
    for host in (site.moon, mars):
        assert site.world.carries(host, site.sun)
        host.rekey(site.world.now, "site")
        wait(site, 130)
        host.rekey(site.world.now, "site", "net")
        wait(site, 130)
    assert len(site.sun.machines) == 2 and len(site.sun.children) == 2
    mars.terminate(site.world.now)
    wait(site, 60)
    assert bare(mars) and len(site.sun.children) == 1 and site.world.carries(site.moon, site.sun)
    assert wire.seen


# -- modes and original addresses --------------------------------------------------------------


@pytest.mark.conformance("v1-32")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
@pytest.mark.parametrize("kind", ["tunnel", "transport"])
def test_modes_3_and_4_of_the_rfc(kind: str, mode: str) -> None:
    """UDP-Encapsulated-Tunnel is 3, -Transport 4, in the offer and in the answer (RFC 3947 §5.1)."""
    site, wire, _ = behind(mode=mode, **(transport() if kind == "transport" else {}))
    number = 3 if kind == "tunnel" else 4
    assert modes_of(wire, site.moon) == modes_of(wire, site.sun) == {number}
    assert len(site.moon.children) == len(site.sun.children) == 1


DRAFTS = {"02": (DRAFT_02,), "02\\n": (DRAFT_02N,), "03": (DRAFT_03,), "all drafts": (DRAFT_02, DRAFT_02N, DRAFT_03)}


@pytest.mark.conformance("v1-32", "v1-31")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
@pytest.mark.parametrize("kind", ["tunnel", "transport"])
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_numbers_of_the_drafts(draft: str, kind: str, mode: str) -> None:
    """NAT-D is payload 130, NAT-OA 131, the modes are 61443 and 61444; ports float all the same."""
    site, wire, _ = behind(mode=mode, up=False, **(transport() if kind == "transport" else {}))
    knows_only(wire, *DRAFTS[draft])
    site.up()
    assert len(site.moon.children) == len(site.sun.children) == 1
    assert wire.all(which(holds=NatDDraft)) and not wire.all(which(holds=NatD))
    assert modes_of(wire, site.moon) == modes_of(wire, site.sun) == {61443 if kind == "tunnel" else 61444}
    assert bool(wire.all(which(QUICK, holds=NatOaDraft))) is (kind == "transport") and not wire.all(which(holds=NatOa))
    assert {seen.transmit.path.remote.port for seen in wire.all(which(QUICK, by=site.moon))} == {4500}


@pytest.mark.conformance("v1-32")
def test_original_addresses_in_transport_mode() -> None:
    """NAT-OAi and NAT-OAr, each as that end sees the SA; sun learns moon's own address (RFC 3947 §5.2)."""
    site, wire, _ = behind(**transport())
    first, second, _ = wire.messages(which(QUICK))
    moon, sun, outside = (Endpoint.parse(each, 0).address for each in (MOON, SUN, OUTSIDE))
    assert [each.address for each in first.all(NatOa)] == [moon, sun]
    assert [each.address for each in second.all(NatOa)] == [outside, sun]
    (theirs,) = site.sun.children
    assert theirs.peer_original == moon and str(theirs.ts_remote[0]) == f"{OUTSIDE}/32"
    (ours,) = site.moon.children
    assert str(ours.ts_remote[0]) == f"{SUN}/32" and not ours.peer_original


@pytest.mark.conformance("v1-32")
def test_no_original_addresses_in_tunnel_mode_or_without_a_nat() -> None:
    _, wire, _ = behind()
    assert not wire.all(which(QUICK, holds=NatOa))
    _, wire = watched_tunnel(**transport())
    assert not wire.all(which(QUICK, holds=NatOa)) and modes_of(wire, wire.seen[0].host) == {
        EncapsulationMode.TRANSPORT
    }


@pytest.mark.conformance("v1-32")
@pytest.mark.parametrize("said", [1, 61443])
def test_a_peer_with_other_numbers_than_it_announced(said: int) -> None:
    """Behind a NAT 61443 is taken for 3 and echoed; mode 1 is not: its ESP would not get through."""
    site, wire, _ = behind()
    impostor = Impostor(wire, site.moon)
    (asked, *_) = wire.messages(which(QUICK, by=site.moon, holds=SA))

    def other(sa: SA) -> SA:
        (proposal,) = sa.proposals
        (transform,) = proposal.transforms
        attributes = tuple(
            each._replace(value=said) if each.type == Phase2Attribute.ENCAPSULATION_MODE else each
            for each in transform.attributes
        )
        return SA((proposal._replace(spi=b"\xc7\0\0\1", transforms=(transform._replace(attributes=attributes),)),))

    site.world.nats = ()
    impostor.here = sa_of(site.sun).path.remote
    quick = impostor.quick([other(each) if isinstance(each, SA) else each for each in asked.payloads[1:]])
    assert (quick.answer is not None) is (said == 61443)
    assert VendorId.NAT_T_RFC3947 in sa_of(site.sun).peer


@pytest.mark.conformance("v1-32")
def test_a_client_that_says_its_name_for_its_address() -> None:
    """Windows behind a NAT: IDci is its FQDN, protocol and port; echoed, and the address is the one that sun sees."""
    site, wire, _ = behind(**transport())
    (asked, *_) = wire.messages(which(QUICK, by=site.moon, holds=SA))
    impostor = Impostor(wire, site.moon)
    site.world.nats = ()
    impostor.here = sa_of(site.sun).path.remote
    named = ID(IdType.FQDN, 0, 0, b"desk")
    theirs = ID(IdType.IPV4_ADDR, 0, 0, Endpoint.parse(SUN, 0).address)
    (proposal,) = asked.one(SA).proposals
    offer = SA((proposal._replace(spi=b"\xc7\0\0\1"),))
    others = [each for each in asked.payloads[1:] if not isinstance(each, SA)]
    quick = impostor.quick([offer, *others, named, theirs])
    assert quick.answer is not None and quick.answer.all(ID) == [named, theirs]
    quick.confirm()
    assert [str(each.ts_remote[0]) for each in site.sun.children if each.spi_out == 0xC7000001] == [f"{OUTSIDE}/32"]
