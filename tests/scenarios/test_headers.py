"""Headers, payload chains and protection of messages, as both ends must treat them (RFC 7296 §2.5, §3.1-3.14)."""

from __future__ import annotations

import pytest

from ikectl.auth.octets import signed_octets
from ikectl.auth.psk import psk_auth
from ikectl.config.model import Fragmentation
from ikectl.iana.v2 import AuthMethod, ExchangeType, NotifyType, PayloadType, Protocol
from ikectl.sa.env import Env
from ikectl.sa.events import AuthFailed, Dropped
from ikectl.values.path import Endpoint, Path
from ikectl.values.secret import Secret
from ikectl.wire.header import HEADER, Header
from ikectl.wire.payload import Payload, Unknown, write_chain
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.keying import KE, Nonce, VendorId
from ikectl.wire.v2.notify import Delete, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    bare,
    gateways,
    notifies,
    rewrite,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import RESERVED_FLAGS, Chain, Impostor, Stranger, chain_of, clear, with_flags
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, child
from tests.sim.tape import Tape
from tests.sim.wiretap import Seen, which

CRITICAL = Unknown(PayloadType(127), True, b"understand me")
ECHO = [CREATE_CHILD_SA, INFORMATIONAL]
CBC = "aes128-sha256-x25519"


# -- the header ----------------------------------------------------------------------


@pytest.mark.conformance("v2-1", "v2-2")
def test_the_headers_of_the_first_exchange() -> None:
    """HDR(SPIi, 0), SAi1, KEi, Ni -->  <-- HDR(SPIi, SPIr), SAr1, KEr, Nr; message ID 0, version 2.0."""
    _, wire = tunnel()
    request, response = wire.seen[0], wire.seen[1]
    spi_i, spi_r, first, version, exchange, flags, number, length = HEADER.unpack_from(request.octets)
    assert spi_i != bytes(8) and spi_r == bytes(8)
    assert (first, version, exchange, flags, number) == (PayloadType.SA, 0x20, 34, 0x08, 0)
    assert length == len(request.transmit.data)
    answer = Header.read(response.octets)
    assert answer.spi_i == spi_i and answer.spi_r != bytes(8)
    assert (answer.flags, answer.message_id, answer.version) == (0x20, 0, 0x20)


@pytest.mark.conformance("v2-3")
def test_every_ike_sa_has_spis_of_its_own_and_rekeyed_ones_too() -> None:
    """Four SAs in a row, each rekeyed by one end: sixteen SPIs, all different and none zero."""
    spis: list[bytes] = []
    site, wire = tunnel()
    for turn in range(4):
        spis += [sa_of(site.moon).spi_i, sa_of(site.moon).spi_r]
        (site.moon if turn % 2 else site.sun).rekey(site.world.now, "site")
        wait(site, 5)
        spis += [sa_of(site.moon).spi_i, sa_of(site.moon).spi_r]
        site.moon.terminate(site.world.now)
        wait(site, 60)
        site.up()
    assert len(set(spis)) == len(spis) == 16 and bytes(8) not in spis
    assert {seen.message.spi_i for seen in wire.seen} | {seen.message.spi_r for seen in wire.seen} >= set(spis)


@pytest.mark.conformance("v2-3")
def test_zero_and_taken_spis_are_drawn_again() -> None:
    draws = iter([bytes(8), b"A" * 8, b"B" * 8])
    env = Env(lambda number: Tape(1, "x"), is_taken=lambda spi: spi == b"A" * 8)
    assert env.next_spi(lambda octets: next(draws)) == b"B" * 8


# -- payload order, reserved fields, the critical bit ---------------------------------


@pytest.mark.conformance("v2-4")
def test_payloads_are_sent_in_the_order_of_the_rfc() -> None:
    """§1.2: SA KE N; IDi [IDr] AUTH SA TSi TSr; IDr AUTH SA TSi TSr. §1.3: SA N KE; SA N TSi TSr."""
    site, wire = tunnel()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    site.moon.rekey(site.world.now, "site")
    wait(site, 5)
    orders = [
        [type(each) for each in message.payloads if not isinstance(each, Notify)]
        for message in wire.messages(lambda seen: seen.message.exchange is not INFORMATIONAL)
    ]
    assert orders[:2] == [[SA, KE, Nonce]] * 2
    assert orders[2:4] == [[IDi, IDr, AUTH, SA, TSi, TSr], [IDr, AUTH, SA, TSi, TSr]]
    assert orders[4:6] == [[SA, Nonce, TSi, TSr]] * 2
    assert orders[6:8] == [[SA, Nonce, KE]] * 2
    (asks,) = wire.messages(which(CREATE_CHILD_SA, holds=NotifyType.REKEY_SA))
    assert isinstance(asks.payloads[0], Notify), "REKEY_SA leads, as in §1.3.3"


@pytest.mark.conformance("v2-4")
def test_any_order_of_payloads_is_accepted() -> None:
    """Everything both ends say arrives back to front."""
    site, wire = gateways()
    rewrite(wire, which(), lambda payloads: payloads[::-1], times=None)
    site.up()
    assert stands(site)
    for name in ("net", ""):
        site.sun.rekey(site.world.now, "site", name)
        wait(site, 10)
        assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-5")
def test_reserved_bits_and_octets_are_ignored() -> None:
    """X flags of the header and RESERVED of every generic header, SA, KE, AUTH and TS are set both ways."""
    site, wire = gateways()

    def spoil(payloads: list[Payload]) -> Chain:
        return _without_ids(with_flags(chain_of(payloads), 0x7F, bodies=True), payloads)

    rewrite(wire, which(), spoil, times=None, flags=RESERVED_FLAGS)
    site.up()
    assert stands(site)
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 20)
    site.sun.rekey(site.world.now, "site")
    wait(site, 20)
    assert stands(site)
    site.world.settled()


def _without_ids(chain: Chain, payloads: list[Payload]) -> Chain:
    """AUTH covers the reserved octets of ID (§2.15): leave those, whose turn comes below."""
    octets, start = bytearray(chain[1]), 0
    for each in payloads:
        body = each.body()
        if isinstance(each, IDi | IDr):
            octets[start + 4 : start + 4 + len(body)] = body
        start += 4 + len(body)
    return chain[0], bytes(octets)


@pytest.mark.conformance("v2-5")
@pytest.mark.parametrize("asking", [True, False])
def test_reserved_octets_of_an_identity_are_signed_as_they_came(asking: bool) -> None:
    """IKE_AUTH with IDi (or IDr) whose RESERVED is 0xA5A5A5, and AUTH over just these octets (§2.15)."""
    site, wire = gateways()

    def spoil(payloads: list[Payload]) -> Chain:
        kind = IDi if asking else IDr
        body = bytearray(next(each for each in payloads if isinstance(each, kind)).body())
        body[1:4] = b"\xa5\xa5\xa5"
        ((suite, keys),) = wire.keys.values()
        init, answer = wire.seen[0], wire.seen[1]
        said, nonce = (init, answer) if asking else (answer, init)
        octets = signed_octets(
            said.octets,
            nonce.message.one(Nonce).value,
            suite.prf,
            keys.sk_pi if asking else keys.sk_pr,
            bytes(body),
        )
        proof = AUTH(AuthMethod.SHARED_KEY_MIC, psk_auth(suite.prf, Secret(site.moon.secret), octets))
        changed = [proof if isinstance(each, AUTH) else each for each in payloads]
        chain = with_flags(chain_of(changed), 0, bodies=True)
        octets_all, start = bytearray(chain[1]), 0
        for each in changed:
            length = len(each.body())
            if isinstance(each, IDi | IDr) and not isinstance(each, kind):
                octets_all[start + 5 : start + 8] = bytes(3)
            start += 4 + length
        return chain[0], bytes(octets_all)

    rewrite(wire, which(IKE_AUTH, response=not asking), spoil)
    site.up()
    assert stands(site) and not site.moon.saw(AuthFailed) and not site.sun.saw(AuthFailed)


@pytest.mark.conformance("v2-5", "v2-6", "v2-12")
def test_what_is_sent_has_no_reserved_critical_or_version_bit() -> None:
    """Every message of a life, written anew from what it means, is the same octets."""
    site, wire = tunnel()
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
        host.rekey(site.world.now, "site")
        wait(site, 10)
    site.moon.terminate(site.world.now)
    wait(site, 10)
    assert len(wire.seen) > 15
    for seen in wire.seen:
        header = Header.read(seen.octets)
        assert header.flags & ~0x28 == 0 and header.version == 0x20
        message = seen.message
        if message.exchange is IKE_SA_INIT:
            assert seen.octets == message.write()
            continue
        cipher = wire.cipher(message.spi_i, message.spi_r, message.initiator)
        following, flags, length = seen.octets[28], seen.octets[29], int.from_bytes(seen.octets[30:32], "big")
        assert flags == 0 and length == len(seen.octets) - 28
        iv = seen.octets[32 : 32 + cipher.iv_octets]
        plain = cipher.open(iv, seen.octets[:32], seen.octets[32 + cipher.iv_octets :])
        first, chain = write_chain(message.payloads)
        assert following == first and plain == chain + b"\0"


@pytest.mark.conformance("v2-6")
def test_the_critical_bit_of_known_payloads_is_ignored() -> None:
    """Every payload of every message is marked critical, SK itself too."""
    site, wire = gateways()
    rewrite(wire, which(IKE_SA_INIT), lambda payloads: with_flags(chain_of(payloads), 0x80), times=None)
    protected = lambda seen: seen.message.exchange is not IKE_SA_INIT  # noqa: E731
    rewrite(wire, protected, lambda payloads: with_flags(chain_of(payloads), 0x80), times=None, critical=True)
    site.up()
    assert stands(site)
    site.sun.rekey(site.world.now, "site", "net")
    wait(site, 10)
    site.moon.rekey(site.world.now, "site")
    wait(site, 10)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-7")
@pytest.mark.parametrize("number", [1, 32, 49, 127, 255])
def test_unknown_payloads_are_skipped(number: int) -> None:
    """V(number) before, between and after the payloads of every message, not critical."""
    site, wire = gateways()
    odd = Unknown(PayloadType(number), False, b"never mind")
    rewrite(wire, which(), lambda payloads: [odd, *payloads[:1], odd, *payloads[1:], odd], times=None)
    site.up()
    assert stands(site)
    site.sun.rekey(site.world.now, "site", "net")
    wait(site, 10)
    site.moon.rekey(site.world.now, "site")
    wait(site, 10)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-8")
def test_an_unknown_critical_payload_in_the_first_request() -> None:
    """HDR, SA, KE, Ni, !127 -->  <-- HDR(SPIr 0), N(UNSUPPORTED_CRITICAL_PAYLOAD, 7f); nothing is kept."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    (answer,) = stranger.ask([*stranger.initial(), CRITICAL])
    (refusal,) = answer.message.payloads
    assert isinstance(refusal, Notify)
    assert refusal.type is NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD and refusal.data == bytes((127,))
    assert answer.message.spi_r == bytes(8) and bare(site.sun)


@pytest.mark.conformance("v2-8")
def test_an_unknown_critical_payload_in_ike_auth_leaves_no_sa() -> None:
    """HDR, SK {IDi, ..., !127} -->  <-- HDR, SK {N(UNSUPPORTED_CRITICAL_PAYLOAD, 7f)}; §2.21.2: no SA."""
    site, wire = gateways()
    rewrite(wire, which(IKE_AUTH, response=False), lambda payloads: [*payloads, CRITICAL])
    token = site.up()
    (answer,) = wire.messages(which(IKE_AUTH, response=True))
    assert notifies(answer) == [NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD]
    assert "UNSUPPORTED_CRITICAL_PAYLOAD" in (site.moon.done[token].error or "")
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-8")
@pytest.mark.parametrize("exchange", ECHO)
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_an_unknown_critical_payload_in_a_later_request(exchange: ExchangeType, victim: str) -> None:
    """The whole message is refused, a delete in it too; the SA goes on."""
    site, wire = tunnel()
    peer = site.sun if victim == "moon" else site.moon
    impostor = Impostor(wire, peer)
    doomed = Delete(Protocol.ESP, (peer.children[0].spi_in.to_bytes(4, "big"),))
    answer = impostor.request(exchange, [doomed, CRITICAL])
    assert notifies(answer) == [NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD]
    assert answer is not None and answer.all(Notify)[0].data == bytes((127,)) and len(answer.payloads) == 1
    assert stands(site)
    assert impostor.request(INFORMATIONAL, []) is not None
    site.world.settled()


@pytest.mark.conformance("v2-9")
@pytest.mark.parametrize("exchange", [IKE_SA_INIT, IKE_AUTH])
def test_an_unknown_critical_payload_in_an_answer_of_the_handshake(exchange: ExchangeType) -> None:
    """<-- HDR, ..., !127: the initiator has no SA then, and says nothing about it."""
    site, wire = gateways()
    rewrite(wire, which(exchange, response=True), lambda payloads: [*payloads, CRITICAL], times=None)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 600)
    assert site.moon.done[token].error is not None and bare(site.moon)
    asked = [message.exchange for message in wire.messages(which(by=site.moon))]
    assert set(asked) <= {IKE_SA_INIT, exchange}, "no notify, no delete"


@pytest.mark.conformance("v2-9")
@pytest.mark.parametrize("name", ["net", "lan", ""])
def test_an_unknown_critical_payload_in_a_later_answer(name: str) -> None:
    """<-- HDR, SK {SA, Nr, ..., !127}: nothing new here, and what the peer made goes again, so both ends agree."""
    two = (child(), child("lan", local="10.7.0.0/16"))
    site, wire = tunnel(
        moon_children=two, sun_children=(child(mirror=True), child("lan", mirror=True, local="10.7.0.0/16"))
    )
    rewrite(wire, which(CREATE_CHILD_SA, response=True), lambda payloads: [*payloads, CRITICAL])
    mark = len(wire.seen)
    if name == "lan":
        token = site.moon.initiate("site", "lan", site.world.now)
    else:
        token = site.moon.rekey(site.world.now, "site", name)
    wait(site, 200)
    assert "critical" in (site.moon.done[token].error or "")
    for message in wire.messages(which(by=site.moon), since=mark):
        assert not message.all(Notify) or message.notify(NotifyType.REKEY_SA), "no notify tells of it"
    if name == "":
        # The peer lives on an SA that only it knows; the next contact tells it so (§2.4).
        assert bare(site.moon) and len(site.sun.machines) == 1
        site.up()
        assert len(site.sun.machines) == 1
    assert len(site.moon.children) == len(site.sun.children) == 1
    site.world.settled()


# -- versions ---------------------------------------------------------------------------


@pytest.mark.conformance("v2-10")
def test_a_higher_major_version_is_told_ours() -> None:
    """HDR(3.0) -->  <-- HDR(2.0), N(INVALID_MAJOR_VERSION); not to a response, and not often."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    (answer,) = stranger.ask(version=0x30)
    assert notifies(answer.message) == [NotifyType.INVALID_MAJOR_VERSION]
    assert answer.message.version == 0x20 and answer.message.spi_i == stranger.spi
    assert not stranger.ask(version=0x30), "one a second is enough"
    wait(site, 5)
    assert not stranger.ask(version=0x40, response=True)
    assert not stranger.ask(version=0x10), "IKEv1 has no word for it"
    assert stranger.ask(version=0x30) and bare(site.sun)


@pytest.mark.conformance("v2-10")
def test_a_higher_major_version_does_not_touch_a_live_sa() -> None:
    site, wire = tunnel()
    sa = sa_of(site.sun)
    stranger = Stranger(wire, site.sun, MOON)
    chain = chain_of([Notify(NotifyType.INVALID_SYNTAX)])
    for exchange in (IKE_AUTH, INFORMATIONAL):
        stranger.send(clear(chain, spi_i=sa.spi_i, spi_r=sa.spi_r, exchange=exchange, message_id=2, version=0x30))
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-11")
def test_a_higher_minor_version_is_taken_as_ours() -> None:
    """Every message says 2.1 or 2.15."""
    site, wire = gateways()
    rewrite(wire, which(), lambda payloads: payloads, times=None, version=0x2F)
    site.up()
    assert stands(site)
    assert all(Header.read(seen.octets).version == 0x20 for seen in wire.seen), "and ours stays 2.0"


@pytest.mark.conformance("v2-12")
def test_the_version_flag_is_ignored() -> None:
    """The V flag is set in all that arrives; what is sent does not have it."""
    site, wire = gateways()
    rewrite(wire, which(), lambda payloads: payloads, times=None, flags=0x10)
    site.up()
    site.sun.rekey(site.world.now, "site")
    wait(site, 10)
    assert stands(site)
    assert not any(Header.read(seen.octets).flags & 0x10 for seen in wire.seen)


# -- lengths ------------------------------------------------------------------------------


@pytest.mark.conformance("v2-13")
@pytest.mark.parametrize("lie", [-1, 1, 1000])
def test_a_message_of_another_length_than_it_says(lie: int) -> None:
    """The header counts more or fewer octets than came: not a word."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    chain = chain_of(stranger.initial())
    assert not stranger.ask(chain, length=28 + len(chain[1]) + lie) and bare(site.sun)
    assert site.sun.saw(Dropped)
    site, wire = tunnel()
    impostor = Impostor(wire, site.sun)
    octets = impostor.seal(INFORMATIONAL, [], message_id=0)
    assert not impostor.deliver(octets[:24] + (len(octets) + lie).to_bytes(4, "big") + octets[28:])
    assert impostor.deliver(octets), "the genuine one is answered"


@pytest.mark.conformance("v2-14")
@pytest.mark.parametrize("length", [0, 3, 5000])
def test_a_payload_of_an_impossible_length(length: int) -> None:
    """In clear: silence. Authentic: N(INVALID_SYNTAX), and the IKE SA ends on both sides (§2.21.3)."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    first, octets = chain_of(stranger.initial())
    bad = octets[:2] + length.to_bytes(2, "big") + octets[4:]
    assert not stranger.ask((first, bad)) and bare(site.sun)
    for victim in ("moon", "sun"):
        site, wire = tunnel()
        impostor = Impostor(wire, site.sun if victim == "moon" else site.moon)
        broken = bytes(2) + length.to_bytes(2, "big") + bytes(8)
        answer = impostor.request(INFORMATIONAL, (int(PayloadType.NOTIFY), broken))
        assert notifies(answer) == [NotifyType.INVALID_SYNTAX]
        assert bare(site.moon if victim == "moon" else site.sun)


@pytest.mark.conformance("v2-14")
@pytest.mark.parametrize("said", [NotifyType.INVALID_SYNTAX])
@pytest.mark.parametrize("name", ["net", ""])
def test_a_peer_that_found_our_request_malformed_has_ended_the_sa(said: NotifyType, name: str) -> None:
    """HDR, SK {...} -->  <-- HDR, SK {N(INVALID_SYNTAX)}: fatal in both peers, without a DELETE (§2.21.3)."""
    site, wire = tunnel()
    impostor = Impostor(wire, site.sun)
    wire.hold(which(CREATE_CHILD_SA, by=site.moon))
    token = site.moon.rekey(site.world.now, "site", name)
    site.world.flush()
    site.sun.engine.tick(site.world.now)
    asked = wire.seen[-1]
    later = impostor.respond(asked, [Notify(said)])
    assert bare(site.moon) and not later
    assert site.moon.done[token].error is not None


# -- exchanges and SPIs nobody knows ----------------------------------------------------------


@pytest.mark.conformance("v2-15")
def test_an_unknown_exchange_type() -> None:
    """In clear it is dropped; protected it gets N(INVALID_SYNTAX), which ends the SA on both sides (§2.21.3)."""
    site, wire = tunnel()
    sa = sa_of(site.sun)
    stranger = Stranger(wire, site.sun, MOON)
    for exchange in (33, 38, 43, 77, 240):
        octets = clear((0, b""), spi_i=sa.spi_i, spi_r=sa.spi_r, exchange=exchange, message_id=2)
        assert not stranger.send(octets)
    assert stands(site)
    site.world.settled()
    for exchange in (35, 39, 43, 77):
        for victim in ("moon", "sun"):
            site, wire = tunnel()
            answer = Impostor(wire, site.sun if victim == "moon" else site.moon).request(exchange, [])
            assert notifies(answer) == [NotifyType.INVALID_SYNTAX] and answer is not None
            assert answer.exchange == exchange and bare(site.moon if victim == "moon" else site.sun)


@pytest.mark.conformance("v2-15", "v2-36")
def test_a_request_before_the_answer_to_ike_auth_has_to_wait() -> None:
    """The responder's SA stands; its first request overtakes its lost IKE_AUTH answer and is not refused for that."""
    site, wire = gateways()
    wire.hold(which(IKE_AUTH, by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    site.sun.rekey(site.world.now, "site", "net")
    site.world.run(2.0)
    assert not wire.all(which(CREATE_CHILD_SA, by=site.moon)), "not answered yet"
    wait(site, 30)
    assert site.moon.done[token].error is None and site.sun.done[1].error is None and stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-15")
@pytest.mark.parametrize("exchange", [CREATE_CHILD_SA, INFORMATIONAL])
def test_a_stranger_may_ask_nothing_but_to_be_authenticated(exchange: ExchangeType) -> None:
    """Keys of IKE_SA_INIT alone: no other exchange is answered, and IKE_AUTH is welcome afterwards."""
    site, wire = gateways()
    held = wire.hold(which(IKE_AUTH, by=site.moon), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    impostor = Impostor(wire, site.moon)
    assert impostor.request(exchange, [Delete(Protocol.IKE)], message_id=1) is None
    wire.release(held)
    wait(site, 30)
    assert site.moon.done[token].error is None and stands(site)


@pytest.mark.conformance("v2-16")
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_an_answer_to_nothing_is_dropped(exchange: ExchangeType) -> None:
    """<-- HDR(R), SK {D} without a request; and a request that wrongly bears the R flag."""
    for victim in ("moon", "sun"):
        site, wire = tunnel()
        impostor = Impostor(wire, site.sun if victim == "moon" else site.moon)
        for number in range(4):
            octets = impostor.seal(exchange, [Delete(Protocol.IKE)], message_id=number, response=True)
            assert not impostor.deliver(octets)
        assert stands(site)
        site.world.settled()


@pytest.mark.conformance("v2-16")
def test_an_initial_answer_to_nothing_is_dropped() -> None:
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    assert not stranger.ask(response=True, initiator=False)
    assert not stranger.ask(response=True) and bare(site.sun)


@pytest.mark.conformance("v2-16")
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_our_own_message_sent_back_is_dropped(victim: str) -> None:
    """A reflection names us by the peer's SPI: to us it is of an SA that is not here."""
    site, wire = tunnel()
    host = site.moon if victim == "moon" else site.sun
    host.rekey(site.world.now, "site", "net")
    site.world.flush()
    asked = wire.seen[-1]
    path = asked.transmit.path
    mark = len(wire.seen)
    site.world.deliver(asked.transmit.data, path.remote, path.local)
    site.world.flush()
    assert [notifies(message) for message in wire.messages(since=mark)] == [[NotifyType.INVALID_IKE_SPI]]
    wait(site, 20)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-17")
def test_a_message_for_an_sa_that_is_not_here() -> None:
    """HDR(?, ?), SK {} -->  <-- HDR(?, ?), N(INVALID_IKE_SPI), once a second at most; no answer to an answer."""
    site, wire = tunnel()
    stranger = Stranger(wire, site.sun, MOON)
    header = {"spi_i": b"whatever", "spi_r": b"whenever", "message_id": 5}
    (answer,) = stranger.send(clear((0, b""), exchange=INFORMATIONAL, **header))  # type: ignore[arg-type]
    message = answer.message
    assert notifies(message) == [NotifyType.INVALID_IKE_SPI] and message.response and message.message_id == 5
    assert (message.spi_i, message.spi_r) == (b"whatever", b"whenever") and not message.initiator
    assert not stranger.send(clear((0, b""), exchange=INFORMATIONAL, **header))  # type: ignore[arg-type]
    wait(site, 2)
    assert not stranger.send(clear((0, b""), exchange=INFORMATIONAL, response=True, **header))  # type: ignore[arg-type]
    sa = sa_of(site.sun)
    half = clear((0, b""), spi_i=b"whatever", spi_r=sa.spi_r, exchange=INFORMATIONAL, message_id=2)
    assert not stranger.send(half), "our SPI with another one of the peer's"
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-18")
@pytest.mark.parametrize(
    "kind",
    [
        NotifyType.INVALID_IKE_SPI,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.INVALID_SYNTAX,
        NotifyType.NO_PROPOSAL_CHOSEN,
    ],
)
def test_an_unprotected_notify_ends_nothing(kind: NotifyType) -> None:
    """HDR, N(...) in clear, as request and as the answer we wait for, and a clear DELETE."""
    site, wire = tunnel()
    for victim, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        held = wire.hold(which(by=victim, response=False))
        victim.rekey(site.world.now, "site", "net")
        site.world.flush()
        sa = sa_of(victim)
        stranger = Stranger(wire, victim, peer.address)
        number = wire.seen[-1].message.message_id
        for payload in (Notify(kind), Delete(Protocol.IKE)):
            for exchange in (CREATE_CHILD_SA, INFORMATIONAL, IKE_AUTH, IKE_SA_INIT):
                for response in (False, True):
                    octets = clear(
                        chain_of([payload]),
                        spi_i=sa.spi_i,
                        spi_r=sa.spi_r,
                        exchange=exchange,
                        message_id=number,
                        response=response,
                        initiator=not sa.initiator,
                    )
                    assert not stranger.send(octets)
        wire.release(held)
        wait(site, 30)
        assert stands(site)
    site.world.settled()


# -- protection ---------------------------------------------------------------------------------


@pytest.mark.conformance("v2-19")
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_sk_is_the_last_payload_and_what_stands_in_clear_does_not_count(victim: str) -> None:
    """HDR, SK {}, D is refused; HDR, D, SK {} is an empty INFORMATIONAL; HDR, D without SK is nothing."""
    site, wire = tunnel()
    impostor = Impostor(wire, site.sun if victim == "moon" else site.moon)
    delete = chain_of([Delete(Protocol.IKE)])
    octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
    longer = octets[:24] + (len(octets) + len(delete[1])).to_bytes(4, "big") + octets[28:] + delete[1]
    assert not impostor.deliver(longer)
    sa = impostor.sa
    number = impostor.machine.window.next_request
    header = {"spi_i": sa.spi_i, "spi_r": sa.spi_r, "exchange": INFORMATIONAL, "message_id": number}
    assert not impostor.deliver(clear(delete, initiator=sa.initiator, **header))  # type: ignore[arg-type]
    answer = impostor.request(INFORMATIONAL, [], before=delete)
    assert answer is not None and answer.payloads == []
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-20")
@pytest.mark.parametrize("ike", [CBC, "aes128gcm16-prfsha256-x25519"])
def test_padding_of_any_length_and_content(ike: str) -> None:
    """Pad Length 0 to 255, as far as the block allows; the padding is noise."""
    site, wire = tunnel(ike=ike)
    for host in (site.moon, site.sun):
        impostor = Impostor(wire, host)
        block = impostor.cipher.block_octets
        for padding in range(256):
            if (padding + 1) % block == 0:
                answer = impostor.request(INFORMATIONAL, [], padding=bytes(range(255, 255 - padding, -1)))
                assert answer is not None and answer.payloads == [], padding
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-20", "v2-14")
def test_more_padding_than_there_is_octets_is_malformed() -> None:
    site, wire = tunnel(ike=CBC)
    answer = Impostor(wire, site.moon).request(INFORMATIONAL, [], padding=bytes(15), pad_length=200)
    assert notifies(answer) == [NotifyType.INVALID_SYNTAX] and bare(site.sun)


@pytest.mark.conformance("v2-21")
@pytest.mark.parametrize("ike", [CBC, "aes128gcm16-prfsha256-x25519", "chacha20poly1305-prfsha384-ecp256"])
def test_a_message_that_does_not_verify_never_came(ike: str) -> None:
    """One bit wrong in header, ciphertext or ICV: silence. The genuine message then is answered."""
    site, wire = tunnel(ike=ike)
    for host in (site.moon, site.sun):
        impostor = Impostor(wire, host)
        number = impostor.machine.window.next_request
        octets = impostor.seal(INFORMATIONAL, [Delete(Protocol.IKE)], message_id=number)
        for place in (29, 40, len(octets) - 20, len(octets) - 1):
            assert not impostor.deliver(octets[:place] + bytes((octets[place] ^ 1,)) + octets[place + 1 :])
        assert not impostor.deliver(octets[:23] + bytes((number + 1,)) + octets[24:]), "nor under another number"
        assert stands(site)
        answer = impostor.request(INFORMATIONAL, [])
        assert answer is not None and answer.payloads == []
    site.world.settled()


@pytest.mark.conformance("v2-21")
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_a_spoilt_answer_is_followed_by_the_genuine_one(exchange: ExchangeType) -> None:
    """<-- HDR, SK {...} with a wrong ICV first: our request is repeated, the true answer then counts."""
    site, wire = gateways()
    wire.rewrite(which(exchange, response=True), lambda seen: seen.octets[:-1] + bytes((seen.octets[-1] ^ 1,)))
    site.up()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 60)
    assert stands(site)
    site.world.settled()


# -- nonces, vendor IDs, size, ports ---------------------------------------------------------------


def _with_nonce(octets: int) -> bytes:
    """A Nonce payload of any length, which our own class would not write."""
    return bytes(2) + (4 + octets).to_bytes(2, "big") + bytes(range(256))[:octets].ljust(octets, b"n")


@pytest.mark.conformance("v2-22")
@pytest.mark.parametrize("octets", [0, 15, 257])
def test_a_nonce_that_is_too_short_or_too_long(octets: int) -> None:
    """In IKE_SA_INIT: silence. In CREATE_CHILD_SA: N(INVALID_SYNTAX)."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    sa, ke, _ = stranger.initial()
    first, chain = chain_of([sa, ke])
    at = len(chain) - len(ke.body()) - 4
    chain = chain[:at] + bytes((PayloadType.NONCE,)) + chain[at + 1 :]
    assert not stranger.ask((first, chain + _with_nonce(octets))) and bare(site.sun)
    site, wire = tunnel()
    answer = Impostor(wire, site.moon).request(CREATE_CHILD_SA, (int(PayloadType.NONCE), _with_nonce(octets)))
    assert notifies(answer) == [NotifyType.INVALID_SYNTAX] and bare(site.sun)


@pytest.mark.conformance("v2-22")
@pytest.mark.parametrize(("octets", "good"), [(16, False), (31, False), (32, True), (256, True)])
def test_a_nonce_has_half_the_key_of_the_prf_at_least(octets: int, good: bool) -> None:
    """PRF_HMAC_SHA2_512 has keys of 64 octets: a nonce of less than 32 is refused (§2.10), by either end."""
    ike = "aes128gcm16-prfsha512-x25519"
    site, wire = gateways(ike=ike, sun_ike=ike)
    stranger = Stranger(wire, site.sun, MOON)
    sa, ke, _ = stranger.initial(ike)
    answers = stranger.ask([sa, ke, Nonce(bytes(octets))])
    assert bool(answers) is good and bool(site.sun.machines) is good
    site, wire = gateways(ike=ike, sun_ike=ike)
    wire.hold(which(IKE_SA_INIT, by=site.sun))
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.05)
    shaken = wire.seen[-1].message
    payloads = [Nonce(bytes(octets)) if isinstance(each, Nonce) else each for each in shaken.payloads]
    mark = len(wire.seen)
    other = Stranger(wire, site.moon, SUN)
    other.ask(payloads, spi_i=shaken.spi_i, spi_r=b"somebody", response=True, initiator=False)
    went_on = any(message.exchange is IKE_AUTH for message in wire.messages(since=mark))
    assert went_on is good


@pytest.mark.conformance("v2-22")
@pytest.mark.parametrize("name", ["net", ""])
def test_a_short_nonce_in_a_rekeying_is_refused(name: str) -> None:
    ike = "aes128gcm16-prfsha512-x25519"
    site, wire = tunnel(ike=ike)

    def shorten(payloads: list[Payload]) -> list[Payload]:
        return [Nonce(bytes(16)) if isinstance(each, Nonce) else each for each in payloads]

    rewrite(wire, which(CREATE_CHILD_SA, response=False), shorten)
    site.moon.rekey(site.world.now, "site", name)
    wait(site, 5)
    (answer,) = wire.messages(which(CREATE_CHILD_SA, response=True))
    assert notifies(answer) == [NotifyType.INVALID_SYNTAX]
    assert bare(site.sun) and bare(site.moon)


@pytest.mark.conformance("v2-23", "v2-24")
def test_vendor_ids_of_any_content_and_messages_of_any_size() -> None:
    """Every message carries vendor IDs, an empty one and one of 3000 octets among them."""
    site, wire = gateways()
    noise = [VendorId(b""), VendorId(b"\x00"), VendorId(bytes(3000)), VendorId(b"strongSwan")]
    rewrite(wire, which(), lambda payloads: [*noise, *payloads], times=None)
    site.up()
    assert stands(site)
    site.sun.rekey(site.world.now, "site")
    wait(site, 10)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-24")
def test_large_messages_are_sent_when_there_is_much_to_say() -> None:
    """A child of a hundred networks makes IKE_AUTH larger than 1280 octets."""
    many = ",".join(f"10.3.{number}.0/24" for number in range(0, 200, 2))
    wide, whole = {"local": many, "remote": "10.2.0.0/16"}, {"fragmentation": Fragmentation.NO}
    site, wire = tunnel(moon=whole, moon_children=(child(**wide),), sun_children=(child(mirror=True, **wide),))
    assert len(wire.all(which(IKE_AUTH, response=False))[0].octets) > 1280
    assert len(site.sun.children[0].ts_remote) == 100


@pytest.mark.conformance("v2-25")
def test_the_answer_goes_where_the_request_came_from() -> None:
    """A request from port 12345 is answered there, from the address and port it was sent to."""
    site, wire = gateways()
    (answer,) = Stranger(wire, site.sun, MOON, port=12345).ask()
    assert answer.transmit.path == Path(Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 12345))
    for host, peer in ((0, 1), (1, 0)):
        site, wire = tunnel()
        hosts: list[Host] = [site.moon, site.sun]
        impostor = Impostor(wire, hosts[host])
        usual = sa_of(hosts[peer]).path
        impostor.path = Path(Endpoint(impostor.path.local.address, 12345), impostor.path.remote)
        octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
        site.world.deliver(octets, impostor.path.local, impostor.path.remote)
        site.world.flush()
        answered: Seen = wire.seen[-1]
        assert answered.transmit.path == Path(impostor.path.remote, impostor.path.local)
        assert sa_of(hosts[peer]).path == usual, "without a NAT the SA does not move (§2.23)"


@pytest.mark.conformance("v2-4", "v2-14")
@pytest.mark.parametrize("missing", [SA, KE, Nonce])
def test_an_initial_request_that_lacks_a_payload_gets_no_answer(missing: type[Payload]) -> None:
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    whole = stranger.initial()
    assert not stranger.ask([each for each in whole if not isinstance(each, missing)])
    assert not stranger.ask([*whole, next(each for each in whole if isinstance(each, missing))]), "nor one too many"
    assert bare(site.sun)
