"""The header, the chain of payloads and what is wrong with them, at either end (RFC 2408 §3.1, §5.1 to §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ikectl.iana.v1 import VENDOR_OCTETS, NotifyType, PayloadType, ProtocolId
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.sa.association import IkeState
from ikectl.wire.v1.keying import VendorId
from ikectl.wire.v1.message import FLAG_ENCRYPTION
from ikectl.wire.v1.notify import Delete, Notify
from ikectl.wire.v1.payload import Payload, Unknown
from tests.scenarios.v1.stage import (
    bare,
    caller,
    calls,
    is_up,
    sa_of,
    stands,
    wait,
    watched,
    watched_tunnel,
)
from tests.sim.forge_v1 import Impostor, Peer, reserved
from tests.sim.wiretap_v1 import INFORMATIONAL, MAIN, QUICK, which

PROBE = Notify(NotifyType.REPLAY_STATUS)


@pytest.mark.conformance("v1-1", "v1-2")
def test_the_ladder_of_main_mode() -> None:
    """SA --> <-- SA; KE, Ni --> <-- KE, Nr; IDii, HASH_I * --> <-- IDir, HASH_R *: cookies kept, message ID 0."""
    site, wire = watched_tunnel()
    mine, theirs = sa_of(site.moon).cookie_i, sa_of(site.moon).cookie_r
    steps = wire.all(which(MAIN))
    assert [seen.host.name for seen in steps] == ["moon", "sun"] * 3
    assert [seen.octets[:8] for seen in steps] == [mine] * 6 and mine != bytes(8)
    assert [seen.octets[8:16] for seen in steps] == [bytes(8)] + [theirs] * 5 and theirs != bytes(8)
    assert [seen.octets[16] for seen in steps] == [
        PayloadType.SA, PayloadType.SA, PayloadType.KE, PayloadType.KE, PayloadType.ID, PayloadType.ID
    ]  # fmt: skip
    assert {seen.octets[17] for seen in steps} == {0x10}, "version 1.0"
    assert [seen.octets[19] for seen in steps] == [0, 0, 0, 0, FLAG_ENCRYPTION, FLAG_ENCRYPTION]
    assert {seen.message.message_id for seen in steps} == {0}
    assert all(int.from_bytes(seen.octets[24:28], "big") == len(seen.octets) for seen in steps)


@pytest.mark.conformance("v1-2")
def test_the_responders_cookie_is_of_the_peer() -> None:
    """The same message 1 from two addresses, and twice from one: each gets a cookie of its own."""
    site, wire = watched(sun={"remote": "%any"})
    cookies = set()
    for address in ("192.0.2.1", "192.0.2.7", "192.0.2.8"):
        peer = Peer(wire, site.sun, address)
        peer.main_1()
        cookies.add(peer.cookie_r)
    assert len(cookies) == 3 and bytes(8) not in cookies


@pytest.mark.conformance("v1-2")
@pytest.mark.parametrize("wrong", ["both", "mine", "theirs"])
def test_an_unknown_pair_of_cookies_is_dropped(wrong: str) -> None:
    """A message of phase 1 or a quick mode with other cookies than the SA's: silence, and nothing changes."""
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    before = impostor.cookies
    octets = impostor.seal(impostor.hashed([PROBE], 99), INFORMATIONAL, 99)
    mine = b"stranger" if wrong in ("both", "mine") else before[0]
    theirs = b"wrong it" if wrong in ("both", "theirs") else before[1]
    assert impostor.deliver(mine + theirs + octets[16:]) == []
    step = impostor.clear([VendorId(b"who knows")], MAIN, cookie_i=mine, cookie_r=theirs)
    assert impostor.deliver(step) == []
    assert stands(site) and len(site.sun.machines) == 1


ODD_FIRST: dict[str, dict[str, Any]] = {
    "message ID": {"message_id": 1},
    "a cookie of ours": {"cookie_r": b"anything"},
    "encrypted": {"flags": FLAG_ENCRYPTION},
    "no cookie": {"cookie_i": bytes(8)},
    "quick mode": {"exchange": QUICK},
    "informational": {"exchange": INFORMATIONAL},
    "an unknown exchange": {"exchange": 77},
    "too long by its header": {"length": 4000},
    "too short by its header": {"length": 30},
    "a flag nobody defined": {"flags": 0x40},
}


@pytest.mark.conformance("v1-3")
@pytest.mark.parametrize("odd", ODD_FIRST.values(), ids=ODD_FIRST)
def test_an_odd_first_message_is_dropped(odd: dict[str, Any]) -> None:
    site, wire = watched()
    peer = caller(wire, site)
    assert peer.main_1(**odd) == []
    assert bare(site.sun) and site.sun.engine.half_open == 0


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "message 1": lambda peer, change: peer.main_1(change),
    "message 3": lambda peer, change: (peer.main_1(), peer.main_3(change))[1],
    "message 5": lambda peer, change: (peer.main_1(), peer.main_3(), peer.main_5(change))[2],
}


@pytest.mark.conformance("v1-4")
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("step", STEPS)
def test_a_reserved_octet_in_phase_1_is_not_heard_by_the_responder(step: str, place: int) -> None:
    """RESERVED is 1 in one generic header: dropped; the same message as it should be is taken after it."""
    site, wire = watched()
    peer = caller(wire, site)

    def bent(payloads: list[Payload]) -> Any:
        more = payloads if len(payloads) > 1 else [*payloads, VendorId(b"beside it")]
        return reserved(more, place)

    assert STEPS[step](peer, bent) == []
    if step == "message 1":
        assert bare(site.sun)
        peer.main()
    elif step == "message 3":
        peer.main_3()
        peer.main_5()
    else:
        peer.unsay(0)
        peer.main_5()
    assert is_up(site.sun)


@pytest.mark.conformance("v1-4", "v1-5")
@pytest.mark.parametrize("kind", ["reserved", "unknown"])
@pytest.mark.parametrize("step", [2, 4, 6])
def test_odd_octets_in_phase_1_are_not_heard_by_the_initiator(step: int, kind: str) -> None:
    """moon calls; the peer's answer is odd once and then as it should be."""
    site, _, peer, first = calls()

    def bent(payloads: list[Payload]) -> Any:
        return reserved(payloads) if kind == "reserved" else [Unknown(PayloadType(99), b"what"), *payloads[1:]]

    says = {2: lambda *odd: peer.main_2(first, *odd), 4: peer.main_4, 6: peer.main_6}
    for each in (2, 4, 6):
        if each == step:
            cookie = peer.cookie_r
            assert says[each](bent) == []
            assert sa_of(site.moon).state is IkeState.CONNECTING
            if each == 2:
                assert sa_of(site.moon).cookie_r == bytes(8) != peer.cookie_r != cookie
            if each == 6:
                peer.unsay(0)
        says[each]()
    assert is_up(site.moon)


@pytest.mark.conformance("v1-5")
@pytest.mark.parametrize("step", STEPS)
def test_an_unknown_payload_type_in_phase_1(step: str) -> None:
    """RFC 2408 §5.3: a payload nobody knows makes the message void; no state is made of it."""
    site, wire = watched()
    peer = caller(wire, site)
    answered = STEPS[step](peer, lambda payloads: [*payloads, Unknown(PayloadType(99), b"what")])
    assert not answered and not is_up(site.sun)
    assert bare(site.sun) is (step == "message 1")


@pytest.mark.conformance("v1-5")
@pytest.mark.parametrize("step", STEPS)
def test_a_payload_of_a_private_type_is_skipped(step: str) -> None:
    """RFC 2408 §3.1 leaves 128 and above to private use; Cisco's ASA sends 128 behind the proof of phase 1."""
    site, wire = watched()
    peer = caller(wire, site)
    assert STEPS[step](peer, lambda payloads: [*payloads, Unknown(PayloadType(128), b"what")])
    assert bool(is_up(site.sun)) is (step == "message 5")


@pytest.mark.parametrize("step", [4, 6])
def test_what_a_responder_announces_late_is_heard(step: int) -> None:
    """Cisco's IOS says DPD and Unity in message 4 only; forms of NAT traversal count in the first two alone."""
    site, _, peer, first = calls()
    late = [VendorId(VENDOR_OCTETS[each]) for each in (Vendor.DPD, Vendor.UNITY, Vendor.NAT_T_RFC3947)]
    peer.main_2(first)
    peer.main_4(lambda payloads: [*payloads, *(late if step == 4 else ())])
    peer.main_6(lambda payloads: [*payloads, *(late if step == 6 else ())])
    assert is_up(site.moon)
    sa = sa_of(site.moon)
    assert sa.dpd and Vendor.UNITY in sa.peer and sa.natt is None


@pytest.mark.conformance("v1-4", "v1-5")
@pytest.mark.parametrize("kind", ["reserved", "unknown"])
@pytest.mark.parametrize("host", ["moon", "sun"])
def test_odd_octets_behind_a_good_hash_change_nothing(host: str, kind: str) -> None:
    """HASH, D with RESERVED set, or beside a payload nobody knows: the tunnel stands, whoever says it."""
    site, wire = watched_tunnel()
    speaker = site.moon if host == "moon" else site.sun
    impostor = Impostor(wire, speaker)
    spi = speaker.children[0].spi_in.to_bytes(4, "big")
    delete = Delete(ProtocolId.ESP, (spi,))
    chain = reserved([delete]) if kind == "reserved" else None
    impostor.say(chain or [delete, Unknown(PayloadType(99), b"what")])
    wait(site, 2)
    assert stands(site)
