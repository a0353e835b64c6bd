"""Repeats, message IDs and the window (RFC 7296 §2.1-2.3)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.env import Settings
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Delete, Notify, window_size_notify
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    bare,
    gateways,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor, Stranger
from tests.sim.site import MOON, SUN
from tests.sim.wiretap import Seen, which


@pytest.mark.conformance("v2-26", "v2-27")
@pytest.mark.parametrize("exchange", [IKE_SA_INIT, IKE_AUTH])
def test_an_unanswered_handshake_is_repeated_and_given_up(exchange: ExchangeType) -> None:
    """HDR, ... --> again and again, bit for bit, each wait longer; then nothing is left."""
    site, wire = gateways()
    wire.hold(which(exchange, by=site.sun))
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 600)
    sent = wire.all(which(exchange, by=site.moon))
    assert len(sent) == 1 + Settings().retransmit_tries
    assert len({seen.octets for seen in sent}) == 1
    _growing(sent)
    assert "does not answer" in (site.moon.done[token].error or "") and bare(site.moon)


def _growing(sent: list[Seen]) -> None:
    gaps = [later.at - earlier.at for earlier, later in pairwise(sent)]
    assert all(1.4 < long / short < 2.2 for short, long in pairwise(gaps)), gaps


@pytest.mark.conformance("v2-26", "v2-27")
@pytest.mark.parametrize("name", ["net", "", "delete"])
def test_an_unanswered_later_request_ends_the_sa(name: str) -> None:
    """The peer is gone in the middle of a rekeying or delete: IKE SA, children, reserved SPIs all go (§2.4)."""
    site, wire = tunnel()
    wire.hold(which(by=site.sun))
    if name == "delete":
        site.moon.terminate(site.world.now, "site", "net")
    else:
        site.moon.rekey(site.world.now, "site", name)
    mark = len(wire.seen)
    wait(site, 600)
    sent = wire.all(which(by=site.moon), since=mark - 1 if name != "delete" else mark)
    assert len({seen.octets for seen in sent if not seen.message.response}) == 1
    _growing([seen for seen in sent if not seen.message.response])
    assert bare(site.moon)


def test_a_peer_that_is_heard_is_not_dead() -> None:
    """It ignores what we ask for a while, as who waits for IKE_AUTH does, but speaks: it is asked again (§2.4)."""
    site, wire = tunnel(moon={"dpd_delay": 30})
    wire.hold(which(CREATE_CHILD_SA, by=site.sun), times=7)
    token = site.sun.rekey(site.world.now, "site", "net")
    wait(site, 900)
    assert len(wire.all(which(CREATE_CHILD_SA, by=site.sun))) == 8
    assert site.sun.done[token].error is None and stands(site)


def test_a_peer_that_never_answers_is_given_up_though_it_is_heard() -> None:
    site, wire = tunnel(moon={"dpd_delay": 30})
    wire.hold(which(CREATE_CHILD_SA, by=site.sun))
    token = site.sun.rekey(site.world.now, "site", "net")
    wait(site, 3600)
    assert len(wire.all(which(CREATE_CHILD_SA, by=site.sun))) == 1 + 5 + 3 * 2
    assert "does not answer" in (site.sun.done[token].error or "") and bare(site.sun)


@pytest.mark.conformance("v2-28")
def test_the_answer_stops_the_repeats() -> None:
    """The third repeat of each request is answered: the next request follows at once, no fourth repeat."""
    site, wire = gateways()
    for exchange in (IKE_SA_INIT, IKE_AUTH):
        wire.hold(which(exchange, by=site.sun), times=2)
    site.up()
    wait(site, 600)
    assert [message.exchange for message in wire.messages(which(by=site.moon))] == [IKE_SA_INIT] * 3 + [IKE_AUTH] * 3
    assert stands(site)


@pytest.mark.conformance("v2-29", "v2-30")
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_a_repeated_request_gets_the_same_answer(exchange: ExchangeType) -> None:
    """The very same octets come back, five times, and nothing is made twice; no timer ever sends an answer."""
    site, wire = tunnel()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 0.05 if exchange is CREATE_CHILD_SA else 5)
    (asked, *_) = wire.all(which(exchange, by=site.moon, response=False))
    (answer,) = wire.all(which(exchange, by=site.sun, response=True))
    if exchange is IKE_AUTH:
        site, wire = tunnel()
        (asked,) = wire.all(which(exchange, by=site.moon))
        (answer,) = wire.all(which(exchange, by=site.sun))
    state = (set(site.sun.kernel.inbound), len(site.sun.machines), len(site.sun.children))
    for _ in range(5):
        mark = len(wire.seen)
        wire.arrive(asked)
        again = wire.all(which(by=site.sun), since=mark)
        assert [seen.octets for seen in again] == [answer.octets]
    assert (set(site.sun.kernel.inbound), len(site.sun.machines), len(site.sun.children)) == state
    mark = len(wire.seen)
    site.world.run(site.world.now + 3000)
    assert not [seen for seen in wire.all(which(response=True), since=mark) if seen.octets == answer.octets]
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-29", "v2-34")
def test_an_older_request_than_the_last_one_is_silence() -> None:
    """Request n + 1 frees the answer to n: a repeat of n gets nothing; n + 3, above the window, is not obeyed."""
    site, wire = tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        impostor = Impostor(wire, host)
        first = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
        assert impostor.deliver(first) and impostor.deliver(first)
        impostor.machine.window.next_request += 1
        assert impostor.request(INFORMATIONAL, []) is not None
        assert not impostor.deliver(first), "below the window"
        ahead = impostor.machine.window.next_request + 1
        assert impostor.request(INFORMATIONAL, [Delete(Protocol.IKE)], message_id=ahead) is None
        assert impostor.request(INFORMATIONAL, [Delete(Protocol.IKE)], message_id=2**32 - 1) is None
        complaints = wire.messages(which(by=peer, holds=NotifyType.INVALID_MESSAGE_ID))
        assert len(complaints) == 1 and not complaints[0].response
        wait(site, 1)
        assert stands(site) and peer.machines
    site.world.settled()


@pytest.mark.conformance("v2-29")
def test_a_forged_repeat_is_not_answered() -> None:
    """The number of the last request with other octets: we are no amplifier for who cannot seal."""
    site, wire = tunnel()
    impostor = Impostor(wire, site.moon)
    octets = impostor.seal(INFORMATIONAL, [], message_id=impostor.machine.window.next_request)
    assert impostor.deliver(octets)
    assert not impostor.deliver(octets[:-1] + bytes((octets[-1] ^ 1,)))


@pytest.mark.conformance("v2-31")
@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_repeated_first_request_makes_one_sa(late: float) -> None:
    """HDR, SA, KE, Ni --> three times, while the answer is computed too: one SA, one answer."""
    site, wire = gateways(sun_host={"late": late})
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    for _ in range(3):
        stranger.ask(payloads)
    wait(site, 2)
    stranger.ask(payloads)
    answers = wire.all(which(IKE_SA_INIT, by=site.sun))
    assert len({seen.octets for seen in answers}) == 1 and len(answers) >= 2
    assert len(site.sun.machines) == 1 and site.sun.engine.half_open == 1
    wait(site, 60)
    assert bare(site.sun) and site.sun.engine.half_open == 0


@pytest.mark.conformance("v2-31")
def test_two_initiators_of_one_spi_are_told_apart() -> None:
    """Another nonce and key under the SPI and address of a half-open SA: another SA, not the answer of the first."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    (one,), (other,) = stranger.ask(), stranger.ask()
    assert one.message.spi_r != other.message.spi_r and len(site.sun.machines) == 2
    assert one.message.one(Nonce) != other.message.one(Nonce)
    assert one.message.one(KE) != other.message.one(KE)


@pytest.mark.conformance("v2-32")
def test_message_ids_count_each_direction_by_itself() -> None:
    """IKE_SA_INIT 0, IKE_AUTH 1, then 2, 3, ... from moon; 0, 1, ... from sun, whoever's turn it is."""
    site, wire = tunnel()
    for host in (site.moon, site.sun, site.sun, site.moon):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
    for host, expected in ((site.moon, range(6)), (site.sun, range(4))):
        asked = [message.message_id for message in wire.messages(which(by=host, response=False))]
        assert asked == list(expected)
        peer = site.sun if host is site.moon else site.moon
        assert [message.message_id for message in wire.messages(which(by=peer, response=True))] == asked


@pytest.mark.conformance("v2-33")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_rekeyed_ike_sa_counts_from_zero(who: str) -> None:
    site, wire = tunnel()
    host = site.moon if who == "moon" else site.sun
    host.rekey(site.world.now, "site")
    wait(site, 10)
    new = sa_of(site.moon)
    for end in (site.moon, site.sun):
        end.rekey(site.world.now, "site", "net")
        wait(site, 10)
    on_new = lambda seen: seen.message.spi_i == new.spi_i  # noqa: E731
    for end in (site.moon, site.sun):
        asked = [seen.message for seen in wire.all(which(by=end, response=False)) if on_new(seen)]
        assert [message.message_id for message in asked] == [0, 1]
        assert all(message.initiator is (end is host) for message in asked), "who rekeyed is the original initiator"
    assert stands(site)


@pytest.mark.conformance("v2-35")
@pytest.mark.parametrize("window", [1, 8])
def test_no_more_than_one_request_is_outstanding(window: int) -> None:
    """N(SET_WINDOW_SIZE) is heard and answered like any status; three rekeyings still go one by one."""
    site, wire = tunnel()
    answer = Impostor(wire, site.sun).request(INFORMATIONAL, [window_size_notify(window)])
    assert answer is not None and not answer.payloads
    held = wire.hold(which(by=site.sun, response=True))
    mark = len(wire.seen)
    site.moon.rekey(site.world.now, "site", "net")
    site.moon.rekey(site.world.now, "site")
    site.moon.terminate(site.world.now, "site", "net")
    wait(site, 20)
    assert len({seen.octets for seen in wire.all(which(by=site.moon, response=False), since=mark)}) == 1
    wire.release(held)
    wait(site, 60)
    site.world.settled()


@pytest.mark.conformance("v2-36")
@pytest.mark.parametrize("name", ["net", ""])
def test_a_request_is_answered_while_our_own_waits(name: str) -> None:
    """moon's rekeying is under way; sun's liveness check is answered in between."""
    site, wire = tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        held = wire.hold(which(by=host, response=False))
        host.rekey(site.world.now, "site", name)
        site.world.flush()
        (impostor,) = (Impostor(wire, peer),)
        answer = impostor.request(INFORMATIONAL, [])
        assert answer is not None and answer.payloads == []
        wire.release(held)
        wait(site, 20)
        assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-37")
def test_an_answer_of_another_exchange_is_no_answer() -> None:
    """CREATE_CHILD_SA 2 --> <-- INFORMATIONAL 2 (R): dropped, the true answer counts."""
    site, wire = tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        held = wire.hold(which(by=peer, response=True), times=1)
        host.rekey(site.world.now, "site", "net")
        site.world.run(site.world.now + 0.1)
        (answer,) = held.caught
        impostor = Impostor(wire, peer)
        octets = impostor.seal(INFORMATIONAL, [], message_id=answer.message.message_id, response=True)
        assert not impostor.deliver(octets)
        octets = impostor.seal(
            IKE_AUTH, list(answer.message.payloads), message_id=answer.message.message_id, response=True
        )
        assert not impostor.deliver(octets)
        assert len(host.children) == 1
        wire.release(held)
        wait(site, 20)
        assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-38")
@pytest.mark.parametrize("junk", ["notify", "nonsense", "other key", "no answer fits"])
def test_junk_that_is_faster_than_the_peer(junk: str) -> None:
    """HDR, SA, KE, Ni -->  <-- junk from off the path; then <-- the genuine answer: an SA comes of it (§2.21.1)."""
    site, wire = gateways()
    held = wire.hold(which(IKE_SA_INIT, by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.05)
    genuine = held.caught[0].message
    forger = Stranger(wire, site.moon, SUN)
    sa, ke, nonce = forger.initial()
    payloads = {
        "notify": [Notify(NotifyType.NO_PROPOSAL_CHOSEN)],
        "nonsense": [nonce],
        "other key": [sa, ke, nonce],
        "no answer fits": [sa, KE(ke.method, bytes(32)), nonce],  # type: ignore[attr-defined]
    }[junk]
    forger.ask(payloads, spi_i=genuine.spi_i, spi_r=b"forgery!", response=True, initiator=False)
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done, 60)
    assert site.moon.done[token].error is None
    wait(site, 60)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-42")
def test_numbers_are_not_synchronised_unasked() -> None:
    """HDR(0), SK {N(IKEV2_MESSAGE_ID_SYNC)} is RFC 6311's, and was not negotiated: nothing moves."""
    site, wire = tunnel()
    for host, peer in ((site.moon, site.sun), (site.sun, site.moon)):
        impostor = Impostor(wire, host)
        impostor.request(INFORMATIONAL, [])
        sync = Notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, bytes(4) + (70).to_bytes(4, "big") * 2)
        (machine,) = peer.machines
        before = machine.window.expected, machine.window.next_request
        assert impostor.request(INFORMATIONAL, [sync], message_id=0) is None
        answer = impostor.request(INFORMATIONAL, [sync])
        assert answer is not None and answer.payloads == [], "a status nobody asked for"
        assert (machine.window.expected, machine.window.next_request) == (before[0] + 1, before[1])
    assert stands(site)
