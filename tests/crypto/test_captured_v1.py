"""What strongSwan offered and chose, and the IVs it used: see tests/vectors/strongswan-5.9.8-v1.txt."""

from __future__ import annotations

import pytest

from ikectl.crypto import kdf_v1
from ikectl.crypto.proposal import parse_proposal
from ikectl.crypto.proposal_v1 import (
    Phase1Choice,
    accepted_phase1,
    accepted_phase2,
    offer_phase1,
    offer_phase2,
    select_phase1,
    select_phase2,
)
from ikectl.iana.v1 import EncapsulationMode, ProtocolId
from ikectl.iana.v2 import Protocol
from ikectl.wire.header import HEADER_OCTETS
from ikectl.wire.v1 import KE, SA
from tests.wire.v1.captured import STORIES

CONFIGURED = {
    "xauth": ("aes128-sha256-ecp256,3des-sha1-modp1024", "aes128-sha256-ecp256", False),
    "aggressive": ("aes256-sha384-ecp256", "aes256gcm16-ecp256", True),
}


def negotiated(name: str) -> list[tuple[int, SA, SA]]:
    """Message ID, offer and answer of each exchange that negotiates."""
    found: dict[int, list[SA]] = {}
    for _, message, _ in STORIES[name].opened():
        for sa in message.all(SA):
            found.setdefault(message.message_id, []).append(sa)
    return [(number, offer, answer) for number, (offer, answer) in found.items()]


def phase1(name: str) -> Phase1Choice:
    """What the two agreed on."""
    _, offer, answer = negotiated(name)[0]
    return accepted_phase1(offer, answer)


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.conformance("v1-7")
def test_phase_1_is_chosen_and_offered_alike(name: str) -> None:
    _, offer, answer = negotiated(name)[0]
    configured = [parse_proposal(text, Protocol.IKE) for text in CONFIGURED[name][0].split(",")]
    theirs = phase1(name)
    ours = select_phase1(offer, configured, [theirs.method])
    assert ours == theirs
    assert ours.answer.body() == answer.body()
    assert offer_phase1(configured, [theirs.method], theirs.lifetime).body() == offer.body()


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.conformance("v1-26")
def test_phase_2_is_chosen_and_offered_alike(name: str) -> None:
    _, text, ipcomp = CONFIGURED[name]
    configured = [parse_proposal(text, Protocol.ESP)]
    for _, offer, answer in negotiated(name)[1:]:
        theirs = accepted_phase2(offer, answer)
        ours = select_phase2(offer, configured, [EncapsulationMode.UDP_TUNNEL], ipcomp=ipcomp)
        assert [(p.protocol, p.suite) for p in ours.parts] == [(p.protocol, p.suite) for p in theirs.parts]
        assert (ours.mode, ours.group, ours.lifetime) == (theirs.mode, theirs.group, theirs.lifetime)
        # With IPComp strongSwan answers a second time without.
        first = tuple(proposal for proposal in answer.proposals if proposal.number == 1)
        assert ours.with_spis({p.protocol: p.spi for p in theirs.parts}) == SA(first)
        assert {p.protocol for p in theirs.parts} == {p.protocol for p in first}
        spis = {p.protocol: p.spi for p in offer.proposals}
        cpi = spis.get(ProtocolId.IPCOMP)
        again = offer_phase2(configured, spis, ours.mode, ours.lifetime, ours.group, cpi)
        esp = [p for p in again.proposals if p.protocol == ProtocolId.ESP]
        assert [set(p.transforms[0].attributes) for p in esp] == [
            set(p.transforms[0].attributes) for p in offer.proposals if p.protocol == ProtocolId.ESP
        ]
        assert accepted_phase2(again, answer).parts == theirs.parts


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.conformance("v1-13")
def test_the_chain_of_ivs(name: str) -> None:
    """RFC 2409 App. B, over a whole conversation: every message opens under the IV our functions give it."""
    suite, key = phase1(name).suite, STORIES[name].keys["cipher"]
    public: list[bytes] = []
    last, chains = b"", {}
    for datagram, message, iv in STORIES[name].opened():
        if not iv:
            public += [each.public for each in message.all(KE)]
            continue
        last = last or kdf_v1.phase1_iv(suite, *public)
        number = message.message_id
        mine = chains.get(number) or kdf_v1.phase2_iv(suite, last, number) if number else last
        assert mine == iv
        plain = suite.decrypt(key, mine, datagram[HEADER_OCTETS:])
        assert suite.encrypt(key, mine, plain) == datagram[HEADER_OCTETS:]
        if number:
            chains[number] = datagram[-suite.block_octets :]
        else:
            last = datagram[-suite.block_octets :]
    assert chains
