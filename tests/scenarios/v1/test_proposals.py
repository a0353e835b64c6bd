"""Offers and choices of phase 1 as two ends make them, and what happens to odd ones (RFC 2407 §4, RFC 2408 §5.4)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.iana.v1 import IPSEC_DOI, NotifyType, Phase1Attribute, ProtocolId
from ikectl.sa.association import IkeState
from ikectl.sa.events import MessageSent, Note, ProposalMismatch
from ikectl.wire.v1.attributes import Attribute, number
from ikectl.wire.v1.keying import Nonce
from ikectl.wire.v1.notify import Notify, responder_lifetime, responder_lifetime_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    calls,
    is_up,
    notifies,
    rewrite,
    sa_of,
    stands,
    wait,
    watched,
    watched_tunnel,
)
from tests.sim.forge_v1 import Impostor, Peer
from tests.sim.site import child
from tests.sim.wiretap_v1 import INFORMATIONAL, MAIN, QUICK, which

DURATION, TYPE = Phase1Attribute.LIFE_DURATION, Phase1Attribute.LIFE_TYPE
FOREIGN = {
    "DOI": (SA((), doi=2, rest=b"\0\0\0\1"), NotifyType.DOI_NOT_SUPPORTED),
    "situation": (SA((), IPSEC_DOI, 3, b""), NotifyType.SITUATION_NOT_SUPPORTED),
}


def instead_of_sa(other: SA) -> Any:
    return lambda payloads: [other if isinstance(each, SA) else each for each in payloads]


# -- DOI and situation -------------------------------------------------------------


@pytest.mark.conformance("v1-6", "v1-27")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_doi_or_situation_is_refused_by_name(kind: str, mode: str) -> None:
    """SA of another DOI --> <-- N(DOI-NOT-SUPPORTED) in clear, in an informational exchange; nothing stays."""
    site, wire = watched(sun=AGGRESSIVE_PSK)
    peer = caller(wire, site)
    other, refusal = FOREIGN[kind]
    seen = (peer.main_1 if mode == "main" else peer.aggressive_1)(instead_of_sa(other))
    assert notifies(seen) == [refusal]
    assert seen[0].message.exchange is INFORMATIONAL and not seen[0].message.encrypted
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v1-6")
@pytest.mark.parametrize("kind", FOREIGN)
def test_an_answer_of_a_foreign_doi_or_situation_is_not_taken(kind: str) -> None:
    """SA --> <-- SA of another DOI: as if it never came; the right answer is."""
    _, _, peer, first = calls()
    assert peer.main_2(first, instead_of_sa(FOREIGN[kind][0])) == []
    peer.main_2(first)
    peer.main_4()
    peer.main_6()
    assert is_up(peer.target)


@pytest.mark.conformance("v1-6", "v1-27")
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_doi_or_situation_in_quick_mode(kind: str) -> None:
    """HASH(1), SA of another DOI, Ni --> <-- HASH, N(DOI-NOT-SUPPORTED); the ISAKMP SA stays."""
    site, wire = watched_tunnel()
    other, refusal = FOREIGN[kind]
    quick = Impostor(wire, site.moon).quick([other, Nonce(bytes(16))])
    assert quick.answer is None and notifies(quick.seen) == [refusal]
    assert quick.seen[0].message.encrypted
    assert stands(site)


# -- what is chosen ------------------------------------------------------------------


@pytest.mark.conformance("v1-7")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_one_transform_comes_back_as_it_was_offered(mode: str) -> None:
    """Four transforms, attributes in an odd order, the third alone is ours: it comes back octet by octet."""
    site, wire = watched(sun=AGGRESSIVE_PSK)
    peer = caller(wire, site)
    good = peer.transform(3, LIFE_TYPE=1, LIFE_DURATION=b"\0\1\x51\x80")
    good = good._replace(attributes=tuple(reversed(good.attributes[:-2])) + good.attributes[-2:])
    offer = peer.offer(peer.transform(1, HASH=2), peer.transform(2, ENCRYPTION=5, KEY_LENGTH=0), good,
                       peer.transform(4, HASH=6))  # fmt: skip
    (peer.main_1 if mode == "main" else peer.aggressive_1)(instead_of_sa(offer))
    (proposal,) = peer.heard[0].one(SA).proposals
    assert proposal == offer.proposals[0]._replace(transforms=(good,))
    octets = SA((proposal,)).body()
    assert peer.heard[0].body_of(peer.heard[0].one(SA)) == octets
    if mode == "main":
        peer.main_3()
        peer.main_5()
    else:
        peer.aggressive_3()
    assert is_up(site.sun)


ALTERED: dict[str, Any] = {
    "several transforms": lambda p: p._replace(transforms=(*p.transforms, p.transforms[0]._replace(number=2))),
    "no transform": lambda p: p._replace(transforms=()),
    "another hash": lambda p: _with(p, HASH=2),
    "another key length": lambda p: _with(p, KEY_LENGTH=256),
    "another group": lambda p: _with(p, GROUP=2),
    "another method": lambda p: _with(p, AUTH_METHOD=3),
    "one attribute more": lambda p: _with(p, PRF=1),
    "a longer lifetime": lambda p: _with(p, LIFE_DURATION=999999999),
}


def _with(proposal: Any, **other: int) -> Any:
    (transform,) = proposal.transforms[:1]
    values = {each.type: each.value for each in transform.attributes}
    values.update({Phase1Attribute[name]: value for name, value in other.items()})
    changed = transform._replace(attributes=tuple(Attribute(*each) for each in values.items()))
    return proposal._replace(transforms=(changed,))


@pytest.mark.conformance("v1-8")
@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_choice_is_not_taken(how: str) -> None:
    """SA --> <-- SA that was never offered: nothing is said to it, and no keys come of it (RFC 2409 §5)."""
    site, _, peer, first = calls(moon={"reauth_time": 10000})

    def bent(payloads: list[Payload]) -> list[Payload]:
        (answer,) = payloads
        assert isinstance(answer, SA)
        return [SA((ALTERED[how](answer.proposals[0]),))]

    assert peer.main_2(first, bent) == []
    assert sa_of(site.moon).suite is None
    peer.main_2(first)
    peer.main_4()
    peer.main_6()
    assert is_up(site.moon)


@pytest.mark.conformance("v1-8", "v1-27")
def test_several_proposals_in_the_answer_are_not_taken() -> None:
    _, _, peer, first = calls()

    def bent(payloads: list[Payload]) -> list[Payload]:
        (answer,) = payloads
        assert isinstance(answer, SA)
        return [SA((answer.proposals[0], answer.proposals[0]._replace(number=2)))]

    assert peer.main_2(first, bent) == []


@pytest.mark.conformance("v1-27")
def test_no_proposal_chosen_ends_the_attempt_of_an_honest_initiator() -> None:
    """SA --> <-- N(NO-PROPOSAL-CHOSEN): moon waits a little for a better answer, then tells why it gave up."""
    site, wire = watched(sun_ike="aes256-sha512-ecp384")
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, within=60.0)
    assert "NO_PROPOSAL_CHOSEN" in str(site.moon.done[token].error)
    (refusal,) = wire.fresh(which(INFORMATIONAL, by=site.sun))[:1]
    assert notifies(refusal.message) == [NotifyType.NO_PROPOSAL_CHOSEN] and not refusal.message.encrypted
    assert site.sun.saw(ProposalMismatch)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-27")
def test_no_proposal_chosen_after_phase_1_is_proven_by_its_hash() -> None:
    """Quick mode --> <-- HASH, N(NO-PROPOSAL-CHOSEN) with a message ID of its own; moon's child fails, its SA stays."""
    site, wire = watched(sun_children=(child(mirror=True, esp="aes256-sha512"),))
    token = site.up()
    assert "NO_PROPOSAL_CHOSEN" in str(site.moon.done[token].error)
    (quick,) = wire.fresh(which(QUICK))
    (refusal,) = wire.fresh(which(INFORMATIONAL, by=site.sun))
    assert refusal.message.encrypted and refusal.message.message_id not in (0, quick.message.message_id)
    assert notifies(refusal.message) == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert is_up(site.moon) and is_up(site.sun) and not site.moon.children


# -- lifetimes -------------------------------------------------------------------------


@pytest.mark.conformance("v1-9")
@pytest.mark.parametrize("value", [3600, b"\x0e\x10", b"\0\0\x0e\x10", bytes(8) + b"\x0e\x10"])
def test_a_lifetime_is_read_in_either_form(value: int | bytes) -> None:
    """TV and TLV of any length mean the same (RFC 2408 §3.3)."""
    site, wire = watched(sun={"reauth_time": 20000})
    peer = caller(wire, site)
    offer = peer.offer(peer.transform(LIFE_TYPE=1, LIFE_DURATION=value))
    peer.main_1(instead_of_sa(offer))
    peer.main_3()
    peer.main_5()
    assert is_up(site.sun) and sa_of(site.sun).expire_at == 3600


@pytest.mark.conformance("v1-9")
@pytest.mark.parametrize("value", [3600, b"\0\0\x0e\x10"])
def test_the_initiator_reads_a_lifetime_in_either_form(value: int | bytes) -> None:
    site, _, peer, first = calls(moon={"reauth_time": 20000})

    def shorter(payloads: list[Payload]) -> list[Payload]:
        (answer,) = payloads
        assert isinstance(answer, SA)
        (transform,) = answer.proposals[0].transforms
        rest = tuple(each for each in transform.attributes if each.type != DURATION)
        changed = transform._replace(attributes=(*rest, Attribute(DURATION, value)))
        return [SA((answer.proposals[0]._replace(transforms=(changed,)),))]

    peer.main_2(first, shorter)
    peer.main_4()
    peer.main_6()
    assert is_up(site.moon) and sa_of(site.moon).expire_at == 3600


@pytest.mark.conformance("v1-10")
@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_who_ends_the_sa_earlier_says_so(mode: dict[str, Any]) -> None:
    """moon asks for a day, sun ends after an hour: RESPONDER-LIFETIME under protection, both rekey in time."""
    site, wire = watched_tunnel(both=mode, moon={"reauth_time": 86400}, sun={"reauth_time": 3600})
    (said,) = wire.fresh(which(by=site.sun, holds=NotifyType.RESPONDER_LIFETIME))
    assert said.message.encrypted
    notify = said.message.notify(NotifyType.RESPONDER_LIFETIME)
    assert notify is not None
    stated = {each.type: number(each) for each in responder_lifetime(notify)}
    assert stated[TYPE] == 1
    assert stated[DURATION] == pytest.approx(sa_of(site.sun).expire_at - sa_of(site.sun).established_at)
    assert sa_of(site.moon).expire_at - sa_of(site.moon).established_at == pytest.approx(stated[DURATION], abs=1)
    first = sa_of(site.moon).cookie_i
    wait(site, 3700)
    assert {machine.sa.spi_i for machine in site.moon.machines} != {first}
    assert stands(site)


@pytest.mark.conformance("v1-10")
def test_a_shorter_wish_of_the_initiator_holds() -> None:
    site, wire = watched_tunnel(moon={"reauth_time": 3600}, sun={"reauth_time": 86400})
    assert not wire.all(which(by=site.sun, holds=NotifyType.RESPONDER_LIFETIME))
    assert sa_of(site.sun).expire_at == pytest.approx(sa_of(site.moon).expire_at, abs=1)
    assert sa_of(site.sun).rekey_at < sa_of(site.sun).expire_at < 86400


@pytest.mark.conformance("v1-10")
def test_responder_lifetime_counts_only_under_protection() -> None:
    """The notify in clear is nobody's; behind a HASH it is the peer's."""
    site, wire = watched_tunnel(moon={"reauth_time": 86400})
    impostor = Impostor(wire, site.sun)
    before = sa_of(site.moon).expire_at
    told = responder_lifetime_notify(
        ProtocolId.ISAKMP, b"".join(impostor.cookies), (Attribute(TYPE, 1), Attribute(DURATION, 600))
    )
    impostor.deliver(impostor.clear([told], INFORMATIONAL, message_id=5))
    assert sa_of(site.moon).expire_at == before and sa_of(site.moon).life_time != 600
    impostor.say([told])
    assert sa_of(site.moon).life_time == 600
    wait(site, 700)
    assert impostor.cookie_i not in {machine.sa.spi_i for machine in site.moon.machines}, "it was run again in time"


@pytest.mark.conformance("v1-10")
def test_a_child_ends_when_the_responder_wants() -> None:
    """Message 2 of quick mode with RESPONDER-LIFETIME: moon renews the child before that."""
    site, wire = watched(moon_children=(child(rekey_time=3000, life_time=3600),))

    def told(payloads: list[Payload]) -> list[Payload]:
        spi = next(each for each in payloads if isinstance(each, SA)).proposals[0].spi
        return [*payloads, responder_lifetime_notify(ProtocolId.ESP, spi, (Attribute(1, 1), Attribute(2, 600)))]

    rewrite(wire, which(QUICK, by=site.sun, holds=SA), told)
    site.up()
    assert stands(site)
    spi = site.moon.children[0].spi_in
    assert site.moon.children[0].expire_at - site.moon.children[0].installed_at == 600
    wait(site, 610)
    assert site.moon.children[0].spi_in != spi and stands(site)


# -- nonces ------------------------------------------------------------------------------


@pytest.mark.conformance("v1-11")
@pytest.mark.parametrize("octets", [0, 7, 8, 256, 257])
@pytest.mark.parametrize("mode", ["main", "aggressive", "quick"])
def test_the_responder_holds_nonces_to_their_lengths(mode: str, octets: int) -> None:
    """8 to 256 octets (RFC 2409 §5)."""
    site, wire = watched(sun=AGGRESSIVE_PSK)
    peer = caller(wire, site)
    legal = octets in (8, 256)
    if mode == "quick":
        site.up()
        impostor = Impostor(wire, site.moon)
        asked = wire.messages(which(QUICK, by=site.moon, holds=SA))[0].payloads[1:]
        quick = impostor.quick([Nonce(bytes(octets)) if isinstance(each, Nonce) else each for each in asked])
        assert (quick.answer is not None) is legal
        if not legal:
            assert notifies(quick.seen) == [NotifyType.PAYLOAD_MALFORMED]
        return
    peer.nonce = peer.random(octets) if octets else b""
    if mode == "main":
        peer.main_1()
        peer.main_3()
        assert len(peer.heard) == (2 if legal else 1)
        if legal:
            peer.main_5()
    else:
        peer.aggressive_1()
        assert bool(peer.heard) is legal
        if legal:
            peer.aggressive_3()
    assert is_up(site.sun) is legal


@pytest.mark.conformance("v1-11")
@pytest.mark.parametrize("octets", [7, 8, 256, 257])
def test_the_initiator_holds_nonces_to_their_lengths(octets: int) -> None:
    site, _, peer, first = calls()
    peer.nonce = peer.random(octets)
    peer.main_2(first)
    legal = octets in (8, 256)
    assert bool(peer.main_4()) is legal
    if legal:
        peer.main_6()
    assert is_up(site.moon) is legal


@pytest.mark.conformance("v1-11")
@pytest.mark.parametrize("octets", [7, 257])
def test_a_bad_nonce_in_the_answer_of_quick_mode_makes_no_child(octets: int) -> None:
    site, wire = watched()

    def bent(payloads: list[Payload]) -> list[Payload]:
        return [Nonce(bytes(octets)) if isinstance(each, Nonce) else each for each in payloads]

    rewrite(wire, which(QUICK, by=site.sun, holds=SA), bent)
    token = site.up()
    assert "nonce" in str(site.moon.done[token].error)
    assert not site.moon.children and not site.moon.kernel.larval and is_up(site.moon)
    wait(site, 200)
    assert not site.sun.children, "moon told sun that it has no such child"


@pytest.mark.conformance("v1-11", "v1-21")
def test_our_own_nonces_are_fresh_and_long_enough() -> None:
    site, wire = watched_tunnel()
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    nonces = [nonce.value for seen in wire.fresh() for nonce in seen.message.all(Nonce)]
    assert len(nonces) == len(set(nonces)) == 6 and {len(nonce) for nonce in nonces} == {32}


# -- aggressive mode where it is off -------------------------------------------------------


@pytest.mark.conformance("v1-19")
@pytest.mark.parametrize("options", [{}, {"aggressive": True}])
def test_aggressive_mode_is_refused_where_it_is_off(options: dict[str, Any]) -> None:
    """SA, KE, Ni, IDii --> <-- N(NO-PROPOSAL-CHOSEN), and no HASH to guess keys by; main mode is answered."""
    site, wire = watched(sun=options)
    peer = caller(wire, site)
    seen = peer.aggressive_1()
    assert notifies(seen) == [NotifyType.NO_PROPOSAL_CHOSEN] and len(seen) == 1
    assert [each.kinds for each in wire.messages(which(by=site.sun))] == [("N(NO_PROPOSAL_CHOSEN)",)]
    other = Peer(wire, site.sun, "192.0.2.1", seed=9).main()
    assert len(other.heard) == 3 and is_up(site.sun)


def test_nothing_is_answered_to_an_answer_in_another_mode() -> None:
    """moon begins main mode; an aggressive answer is none."""
    site, wire, peer, first = calls()
    peer.cookie_i, peer.cookie_r = first.message.cookie_i, b"whatever"
    assert peer.deliver(peer.clear([first.message.one(SA)], 4)) == []
    assert sa_of(site.moon).state is IkeState.CONNECTING and len(wire.fresh(which(MAIN))) == 1
    assert not site.moon.saw(Note) and len(site.moon.saw(MessageSent)) == 1
    assert isinstance(first.message.payloads[-1], Payload) and not first.message.all(Notify)
