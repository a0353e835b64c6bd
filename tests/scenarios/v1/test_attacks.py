"""What strangers, somebody in between and a malicious peer may not bring about in IKEv1."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ikectl.iana.v1 import ExchangeType, NotifyType, ProtocolId
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from ikectl.sa.events import Fault
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import FLAG_COMMIT, FLAG_ENCRYPTION
from ikectl.wire.v1.notify import Delete, Notify, initial_contact_notify, isakmp_delete
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    is_up,
    notifies,
    sa_of,
    stands,
    tunnel,
    wait,
    watched,
    watched_tunnel,
)
from tests.scenarios.v1.test_retransmission import facts
from tests.sim.forge_v1 import Impostor, Peer, Voice
from tests.sim.host import Host
from tests.sim.site import Site
from tests.sim.wiretap_v1 import AGGRESSIVE, INFORMATIONAL, MAIN, QUICK, TRANSACTION, Wiretap, which

EXCHANGES = (1, int(MAIN), 3, int(AGGRESSIVE), int(INFORMATIONAL), int(TRANSACTION), int(QUICK), 33, 77)


# -- what is not authentic changes nothing ------------------------------------------------


class Standing:
    """A tunnel whose facts are known, and somebody who knows its cookies and no keys."""

    def __init__(self, **options: Any) -> None:
        self.site, self.wire = watched_tunnel(ike="aes128-sha256-ecp256", **options)
        wait(self.site, 5)
        self.voices = [Impostor(self.wire, host) for host in (self.site.moon, self.site.sun)]
        self.before = self.facts()
        self.recorded = [seen.octets for seen in self.wire.seen]

    def facts(self) -> list[Any]:
        return [facts(host) for host in (self.site.moon, self.site.sun)]

    def unchanged(self) -> None:
        assert self.facts() == self.before
        assert stands(self.site) and not self.site.moon.saw(Fault) and not self.site.sun.saw(Fault)


STANDING: list[Standing] = []


def standing() -> Standing:
    """One for all examples: nothing may ever change in it."""
    if not STANDING:
        STANDING.append(Standing())
    return STANDING[0]


NOTIFIES = [
    Notify(kind)
    for kind in (
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.INVALID_COOKIE,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.CONNECTED,
        NotifyType.PAYLOAD_MALFORMED,
    )
]


def payloads_for(voice: Impostor) -> list[Payload]:
    """What would have consequences, were it believed."""
    spi = voice.host.children[0].spi_in.to_bytes(4, "big")
    sequence = Notify(NotifyType.R_U_THERE, bytes(4), ProtocolId.ISAKMP, b"".join(voice.cookies))
    return [
        isakmp_delete(*voice.cookies),
        Delete(ProtocolId.ESP, (spi,)),
        initial_contact_notify(*voice.cookies),
        sequence,
        *NOTIFIES,
        Hash(bytes(32)),
        Nonce(bytes(16)),
        KE(bytes(64)),
    ]


@pytest.mark.conformance("v1-28", "v1-29")
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_not_authentic_never_changes_an_sa(data: st.DataObject) -> None:
    """Right cookies, any exchange, flags and message ID; in clear, encrypted with another key, or turned over."""
    stage = standing()
    voice = data.draw(st.sampled_from(stage.voices))
    exchange = data.draw(st.sampled_from(EXCHANGES))
    ids = [0, *sa_of(voice.host).message_ids]
    number = data.draw(st.one_of(st.sampled_from(ids), st.integers(0, 0xFFFFFFFF)))
    how = data.draw(st.sampled_from(["clear", "noise", "turned", "recorded", "swapped"]))
    said = data.draw(st.lists(st.sampled_from(payloads_for(voice)), max_size=4))
    flags = data.draw(st.integers(0, 255)) & ~FLAG_ENCRYPTION
    if how == "clear":
        octets = voice.clear(said, exchange, message_id=number, flags=flags)
    elif how == "noise":
        noise = data.draw(st.binary(max_size=160))
        octets = voice.clear((data.draw(st.integers(0, 255)), noise), exchange, message_id=number, flags=flags | 1)
    else:
        octets = bytearray(data.draw(st.sampled_from(stage.recorded)))
        if how == "turned":
            at = data.draw(st.integers(16, len(octets) - 1))
            octets[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "swapped":
            octets[18], octets[20:24] = exchange, number.to_bytes(4, "big")
        if bytes(octets[8:16]) == bytes(8):
            return  # a first message, which may make a half-open SA
        octets = bytes(octets)
    voice.deliver(octets)
    stage.unchanged()


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("flags", [0, FLAG_ENCRYPTION, FLAG_COMMIT, 4, 5, 0x80])
def test_every_exchange_in_clear_and_as_noise(exchange: int, flags: int) -> None:
    stage = standing()
    for voice in stage.voices:
        for number in (0, 1, next(iter(sa_of(voice.host).message_ids))):
            for each in payloads_for(voice):
                voice.deliver(voice.clear([each], exchange, message_id=number, flags=flags))
            for octets in (b"", bytes(16), bytes(15), b"\xff" * 64):
                voice.deliver(voice.clear((8, octets), exchange, message_id=number, flags=flags))
    stage.unchanged()


def test_the_authentic_one_is_still_heard_after_all_that() -> None:
    """None of it spoilt a message ID or a chain of IVs for the peer."""
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    notify = Notify(NotifyType.R_U_THERE, bytes(4), ProtocolId.ISAKMP, b"".join(impostor.cookies))
    good = impostor.seal(impostor.hashed([notify], 99), INFORMATIONAL, 99)
    for at in range(len(good)):
        impostor.deliver(good[:at] + bytes((good[at] ^ 0x80,)) + good[at + 1 :])
        if at >= 28:
            impostor.deliver(good[:at])
    assert notifies(impostor.deliver(good)) == [NotifyType.R_U_THERE_ACK]


# -- somebody faster ---------------------------------------------------------------------------


@pytest.mark.conformance("v1-16", "v1-8")
@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_who_answers_faster_and_knows_no_secret_only_delays_or_fails(mode: dict[str, Any]) -> None:
    """Each message of sun is preceded by one of somebody else with the same cookies; sun's own arrive all the same."""
    site, wire = watched(both=mode)
    site.moon.initiate("site", "net", 0.0)
    site.world.flush()
    liar = Peer(wire, site.moon, "198.51.100.1", secret=b"a wrong guess", seed=99)
    (first,) = wire.seen
    for exchange in (MAIN, AGGRESSIVE, INFORMATIONAL):
        for cookie_r in (bytes(8), b"whatever"):
            for payloads in ([Notify(NotifyType.NO_PROPOSAL_CHOSEN)], [KE(bytes(256)), Nonce(bytes(16))], [Nonce(b"")]):
                octets = liar.clear(payloads, exchange, cookie_i=first.message.cookie_i, cookie_r=cookie_r)
                liar.deliver(octets)
    wait(site, 60)
    assert stands(site)


@pytest.mark.conformance("v1-2")
def test_phase_1_does_not_go_on_from_another_address() -> None:
    """Message 3 with right cookies from elsewhere is not heard; from the peer it is."""
    site, wire = watched()
    peer = caller(wire, site)
    peer.main_1()
    stranger = Voice(wire, site.sun, Peer(wire, site.sun, "192.0.2.66").here, peer.there)
    stranger.cookie_i, stranger.cookie_r = peer.cookies
    assert stranger.deliver(stranger.clear([KE(peer.pair.public), Nonce(bytes(16))], MAIN)) == []
    peer.main_3()
    peer.main_5()
    assert is_up(site.sun)


# -- floods --------------------------------------------------------------------------------------


def knock(wire: Wiretap, site: Site, address: str, seed: int = 7, aggressive: bool = False) -> list[Any]:
    """A first message; what is said to it."""
    peer = Peer(wire, site.sun, address, seed=seed)
    return peer.aggressive_1() if aggressive else peer.main_1()


def test_one_address_gets_no_more_half_open_sas_than_its_share() -> None:
    """Of one address the oldest makes room for the next, others are nobody's hostage, and it heals by itself."""
    site, wire = watched(sun={"remote": "%any"})
    share = Settings().block_threshold
    for seed in range(share + 4):
        knock(wire, site, "192.0.2.66", seed)
        assert site.sun.engine.half_open == len(site.sun.machines) == min(seed + 1, share)
    assert knock(wire, site, "192.0.2.67")
    assert site.sun.engine.half_open == share + 1 == len(site.sun.machines)
    wait(site, 40)
    assert bare(site.sun) and site.sun.engine.half_open == 0
    assert knock(wire, site, "192.0.2.66", 100)


def test_aggressive_mode_which_costs_more_is_dropped_beyond_the_share() -> None:
    site, wire = watched(sun={"remote": "%any", **AGGRESSIVE_PSK})
    share = Settings().block_threshold
    answered = [bool(knock(wire, site, "192.0.2.66", seed, True)) for seed in range(share + 4)]
    assert answered == [True] * share + [False] * 4
    assert knock(wire, site, "192.0.2.67", aggressive=True)
    wait(site, 60)
    assert bare(site.sun)
    assert knock(wire, site, "192.0.2.66", 100, True)


def test_all_together_get_no_more_than_the_limit() -> None:
    """Strangers who never go on make room for one who does."""
    site, wire = watched(sun={"remote": "%any"}, sun_host={"settings": Settings(half_open_limit=20)})
    for number in range(10, 60):
        knock(wire, site, f"192.0.2.{number}")
        assert site.sun.engine.half_open <= 20 and len(site.sun.machines) <= 20
    token = site.up()
    assert site.moon.done[token].error is None
    wait(site, 60)
    assert len(site.sun.machines) == 1 and site.sun.engine.half_open == 0


def test_an_sa_that_stands_is_no_half_open_one() -> None:
    site, wire = watched_tunnel(sun={"remote": "%any"})
    assert site.sun.engine.half_open == 0
    for seed in range(10):
        knock(wire, site, "192.0.2.1", seed)
    assert stands(site), "who forges moon's address does it no harm"


def test_half_open_sas_that_stop_anywhere_leave_nothing() -> None:
    """After message 1, 3, and 5 under a wrong secret; refused ones; aggressive ones without a third message."""
    site, wire = watched(sun={"remote": "%any", **AGGRESSIVE_PSK})
    for number, steps in enumerate((1, 2, 3)):
        peer = Peer(wire, site.sun, f"192.0.2.{number + 10}", secret=b"wrong")
        for step in (peer.main_1, peer.main_3, peer.main_5)[:steps]:
            step()
    knock(wire, site, "192.0.2.20", aggressive=True)
    refused = Peer(wire, site.sun, "192.0.2.21")
    refused.main_1(lambda payloads: [refused.offer(refused.transform(HASH=6))])
    wait(site, 40)
    assert bare(site.sun) and site.sun.engine.half_open == 0
    assert site.sun.engine.deadline() is None


def test_floods_and_replays_do_not_grow_memory() -> None:
    """Hundreds of first messages, repeats and forgeries: once they are over, no more is held than before."""
    site = tunnel(ike="aes128-sha256-ecp256", sun={"remote": "%any"})
    path = sa_of(site.moon).path
    recorded = [transmit.data for host, transmit in site.world.sent if host is site.moon]
    cookies, last = recorded[-1][:16], recorded[-1]

    def flood(rounds: int) -> None:
        for number in range(rounds):
            cookie = (number + 1).to_bytes(8, "big")
            forged = cookies + last[16:20] + cookie[4:] + last[24:]
            for octets in (cookie + recorded[0][8:], *recorded, forged):
                site.world.deliver(octets, path.local, path.remote)
            site.world.flush()
        wait(site, 60)
        for host in (site.moon, site.sun):
            host.events.clear()
        site.world.sent.clear()
        site.world.ladder.clear()

    flood(100)
    tracemalloc.start()
    flood(20)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    flood(250)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000, f"{grown} octets more are held"
    assert stands(site) and len(site.sun.machines) == 1


# -- a malicious peer ---------------------------------------------------------------------------------


def test_a_peer_gets_no_more_children_than_its_share() -> None:
    """Quick modes without end, none confirmed: the kernel does not fill, and all of it goes away again."""
    site, wire = watched_tunnel(ike="aes128-sha256-ecp256", sun_host={"settings": Settings(max_children=4)})
    impostor = Impostor(wire, site.moon)
    asked = wire.messages(which(QUICK, by=site.moon, holds=SA))[0].payloads[1:]
    for number in range(40):
        spi = (0xC1000000 + number).to_bytes(4, "big")
        offer = [SA((each.proposals[0]._replace(spi=spi),)) if isinstance(each, SA) else each for each in asked]
        impostor.quick(offer)
    assert len(site.sun.kernel.inbound) <= 8 + 1 and not site.sun.kernel.larval
    wait(site, 600)
    assert not site.sun.kernel.larval and len(site.sun.children) <= 1


def test_a_peer_cannot_make_us_talk_without_end() -> None:
    """R-U-THERE a thousand times in one message, and many messages: an answer to a message at most."""
    site, wire = watched_tunnel(ike="aes128-sha256-ecp256")
    impostor = Impostor(wire, site.moon)
    cookies = b"".join(impostor.cookies)
    many = [
        Notify(NotifyType.R_U_THERE, number.to_bytes(4, "big"), ProtocolId.ISAKMP, cookies) for number in range(100)
    ]
    assert len(impostor.say(many)) <= 1
    deletes: list[Payload] = [Delete(ProtocolId.ESP, tuple(number.to_bytes(4, "big") for number in range(1000)))]
    assert impostor.say(deletes) == []
    assert stands(site)


ODD_CHAINS: dict[str, Callable[[Impostor], Any]] = {
    "nothing": lambda voice: (0, b""),
    "two SAs": lambda voice: [SA((), doi=2, rest=b""), SA((), doi=2, rest=b""), Nonce(bytes(16))],
    "two nonces": lambda voice: [SA((), doi=2, rest=b""), Nonce(bytes(16)), Nonce(bytes(16))],
    "a length beyond the end": lambda voice: (1, b"\0\0\xff\xff\0\0\0\1"),
    "a length of nothing": lambda voice: (1, b"\0\0\0\0"),
    "many payloads": lambda voice: [Notify(NotifyType.REPLAY_STATUS)] * 200,
    "an empty SA": lambda voice: (1, b"\0\0\0\4"),
}


@pytest.mark.parametrize("exchange", [QUICK, INFORMATIONAL, TRANSACTION, ExchangeType.NEW_GROUP_MODE])
@pytest.mark.parametrize("what", ODD_CHAINS)
@pytest.mark.parametrize("speaker", ["moon", "sun"])
def test_nonsense_behind_a_good_hash_is_the_peers_fault_and_not_ours(speaker: str, what: str, exchange: Any) -> None:
    site, wire = watched_tunnel(ike="aes128-sha256-ecp256")
    host: Host = getattr(site, speaker)
    impostor = Impostor(wire, host)
    impostor.say(ODD_CHAINS[what](impostor), exchange)
    wait(site, 5)
    assert not site.moon.saw(Fault) and not site.sun.saw(Fault)
    assert stands(site)
    assert [machine.sa.state for machine in site.sun.machines] == [IkeState.ESTABLISHED]
