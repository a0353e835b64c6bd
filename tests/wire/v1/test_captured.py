"""Messages of another implementation: read as it meant them, hashed as it hashed them, written back octet by octet."""

from __future__ import annotations

import hmac

import pytest

from ikectl.iana.v1 import ConfigAttribute as C
from ikectl.iana.v1 import (
    EncapsulationMode,
    EspTransform,
    NotifyType,
    Phase2Attribute,
    ProtocolId,
    TransactionType,
    VendorId,
)
from ikectl.values.identity import Identity
from ikectl.values.selector import TrafficSelector
from ikectl.wire.header import HEADER_OCTETS
from ikectl.wire.v1 import (
    ID,
    KE,
    SA,
    Attribute,
    Attributes,
    Delete,
    Fragment,
    Hash,
    Message,
    NatD,
    Nonce,
    Signature,
    frame,
    number,
    split,
)
from ikectl.wire.v1.notify import dpd_sequence
from tests.wire.v1.captured import BLOCK, PHASE_1, STORIES, Story

LADDERS = {
    "xauth": """\
IDENTITY_PROTECTION {SA, V, V, V, V, V, V}
IDENTITY_PROTECTION {SA, V, V, V, V, V}
IDENTITY_PROTECTION {KE, No, NAT-D, NAT-D}
IDENTITY_PROTECTION {KE, No, NAT-D, NAT-D}
IDENTITY_PROTECTION* {ID, HASH, N(INITIAL_CONTACT)}
IDENTITY_PROTECTION* {ID, HASH}
TRANSACTION* {HASH, CFG_REQUEST}
TRANSACTION* {HASH, CFG_REPLY}
TRANSACTION* {HASH, CFG_SET}
TRANSACTION* {HASH, CFG_ACK}
TRANSACTION* {HASH, CFG_REQUEST}
TRANSACTION* {HASH, CFG_REPLY}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH}
INFORMATIONAL* {HASH, N(R_U_THERE)}
INFORMATIONAL* {HASH, N(R_U_THERE_ACK)}
INFORMATIONAL* {HASH, N(R_U_THERE)}
INFORMATIONAL* {HASH, N(R_U_THERE_ACK)}
INFORMATIONAL* {HASH, D}
INFORMATIONAL* {HASH, D}
INFORMATIONAL* {HASH, D}""",
    "aggressive": """\
AGGRESSIVE {SA, KE, No, ID, CERTREQ, CERTREQ, CERTREQ, V, V, V, V, V, V}
AGGRESSIVE {SA, KE, No, ID, CERTREQ, CERTREQ, CERTREQ, V, V, V, V, V, NAT-D, NAT-D, SIG}
AGGRESSIVE* {NAT-D, NAT-D, SIG}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH, SA, No, KE, ID, ID}
QUICK_MODE* {HASH}
INFORMATIONAL* {HASH, D}
INFORMATIONAL* {HASH, D}""",
}


def prf(story: Story, key: bytes, *octets: bytes) -> bytes:
    return hmac.digest(key, b"".join(octets), story.hash)


def messages(name: str) -> list[Message]:
    return [message for _, message, _ in STORIES[name].opened()]


@pytest.mark.parametrize("name", STORIES)
def test_the_ladder(name: str) -> None:
    lines = [
        f"{message.exchange}{'*' if message.encrypted else ''} {{{', '.join(message.kinds)}}}"
        for message in messages(name)
    ]
    assert lines == LADDERS[name].splitlines()


@pytest.mark.parametrize("name", STORIES)
def test_messages_are_written_back_octet_by_octet(name: str) -> None:
    story = STORIES[name]
    for datagram, message, iv in story.opened():
        copy = Message(
            message.cookie_i,
            message.cookie_r,
            message.exchange,
            message.message_id,
            message.payloads,
            message.encrypted,
        )
        if not iv:
            assert copy.write() == datagram
            continue
        ours = frame(copy, bytes, 1)  # with neither cipher nor padding
        theirs = story.decrypt(iv, datagram[HEADER_OCTETS:])
        assert ours[:24] == datagram[:24]
        assert theirs.startswith(ours[HEADER_OCTETS:])
        assert 0 < len(datagram) - len(ours) <= BLOCK  # they fill up a whole block even where nothing is missing


@pytest.mark.conformance("v1-37")
def test_fragments_are_written_back_octet_by_octet() -> None:
    story = STORIES["aggressive"]
    sent = [datagram for _, datagram in story.datagrams if datagram[16] == Fragment.TYPE]
    assert len(sent) == 6  # the first message was repeated
    longest = max(map(len, sent))
    whole = story.whole()[:2]
    ours = [piece for datagram in whole for piece in split(datagram, longest, 1)]
    assert [sent[0], sent[1], sent[4], sent[5]] == ours


@pytest.mark.parametrize("name", STORIES)
def test_hashes_of_phase_2_cover_what_follows_them(name: str) -> None:
    """RFC 2409 §5.5 and §5.7, draft-dukes-ike-mode-cfg-02 §3.1: with what stands around the message ID."""
    story = STORIES[name]
    nonces: dict[int, list[bytes]] = {}
    checked = 0
    for message in messages(name):
        if message.exchange in PHASE_1:
            continue
        said = nonces.setdefault(message.message_id, [])
        message_id = message.message_id.to_bytes(4, "big")
        if message.get(Nonce) is None and said:
            covered = (b"\0", message_id, *said)  # HASH(3)
        else:
            covered = (message_id, *said, message.after_first)
            said += [each.value for each in message.all(Nonce)]
        assert message.one(Hash).data == prf(story, story.keys["SKEYID_a"], *covered)
        checked += 1
    assert checked == {"xauth": 19, "aggressive": 5}[name]


def test_hashes_of_phase_1_cover_bodies_as_they_came() -> None:
    """HASH_I and HASH_R of main mode with a pre-shared key (RFC 2409 §5)."""
    story = STORIES["xauth"]
    offer, _, first, second, initiator, responder = messages("xauth")[:6]
    publics = [each.one(KE).public for each in (first, second)]
    skeyid = prf(story, b"a shared key", first.one(Nonce).value, second.one(Nonce).value)
    sa = offer.body_of(offer.one(SA))
    cookies = [first.cookie_i, first.cookie_r]
    for message, order in ((initiator, 1), (responder, -1)):
        identity = message.body_of(message.one(ID))
        assert message.one(Hash).data == prf(story, skeyid, *publics[::order], *cookies[::order], sa, identity)


def test_nat_hashes() -> None:
    """The receiver's address first (RFC 3947 §3.2); the initiator lied about its own to force encapsulation."""
    story = STORIES["xauth"]
    for message, receiver in zip(messages("xauth")[2:4], (b"\xc0\0\2\2", b"\xc0\0\2\1"), strict=True):
        theirs, _ = message.all(NatD)
        assert theirs.hash == story.digest(message.cookie_i, message.cookie_r, receiver, (500).to_bytes(2, "big"))


def test_vendors() -> None:
    assert messages("aggressive")[1].vendors == {
        VendorId.XAUTH,
        VendorId.DPD,
        VendorId.UNITY,
        VendorId.FRAGMENTATION,
        VendorId.NAT_T_RFC3947,
    }
    assert VendorId.NAT_T_DRAFT_02N in messages("xauth")[0].vendors
    assert all(message.unknown is None for name in STORIES for message in messages(name))


def test_xauth_and_mode_config() -> None:
    found = [message.one(Attributes) for message in messages("xauth")[6:12]]
    assert [each.type for each in found] == [
        TransactionType.REQUEST,
        TransactionType.REPLY,
        TransactionType.SET,
        TransactionType.ACK,
        TransactionType.REQUEST,
        TransactionType.REPLY,
    ]
    assert found[1].values(C.XAUTH_USER_NAME) == (b"alice",)
    assert found[1].values(C.XAUTH_USER_PASSWORD) == (b"open sesame",)
    status = found[2].get(C.XAUTH_STATUS)
    assert status is not None and number(status) == 1
    assert found[3].attributes == (Attribute(C.XAUTH_STATUS, b""),)  # the acknowledgement repeats no value
    assert found[5].values(C.INTERNAL_IP4_ADDRESS) == (b"\x0a\x03\0\1",)
    assert found[5].values(C.INTERNAL_IP4_DNS) == (b"\x0a\1\0\x35",)
    assert found[5].values(C.UNITY_BANNER) == (b"Welcome",)
    assert found[5].values(C.UNITY_SPLIT_INCLUDE) == (b"\x0a\1\0\0\xff\xff\0\0" + bytes(6),)


def test_quick_mode() -> None:
    (proposal,) = messages("xauth")[12].one(SA).proposals
    assert (proposal.protocol, len(proposal.spi)) == (ProtocolId.ESP, 4)
    (transform,) = proposal.transforms
    assert transform.id == EspTransform.AES_CBC
    assert {each.type: each.value for each in transform.attributes} == {
        Phase2Attribute.KEY_LENGTH: 128,
        Phase2Attribute.AUTH_ALGORITHM: 5,
        Phase2Attribute.GROUP: 19,
        Phase2Attribute.ENCAPSULATION_MODE: EncapsulationMode.UDP_TUNNEL,
        Phase2Attribute.LIFE_TYPE: 1,
        Phase2Attribute.LIFE_DURATION: 3960,
    }
    for name, ours, theirs in (
        ("xauth", "10.3.0.1", TrafficSelector.ANY4),
        ("aggressive", "10.2.0.1-10.2.0.9", TrafficSelector.of_network("10.1.0.0/16", 17, (1701, 1701))),
    ):
        (message, *_) = [each for each in messages(name) if each.get(SA) and each.all(ID) and each.encrypted]
        selectors = [each.selector() for each in message.all(ID)]
        assert selectors == [TrafficSelector.of_network(ours), theirs]
        assert [ID.of_selector(each) for each in selectors] == message.all(ID)


def test_a_bundle_and_its_alternative() -> None:
    """IPComp under the number of the ESP proposal it belongs to, then ESP alone."""
    proposals = messages("aggressive")[3].one(SA).proposals
    assert [(each.number, each.protocol, len(each.spi)) for each in proposals] == [
        (1, ProtocolId.ESP, 4),
        (1, ProtocolId.IPCOMP, 2),
        (2, ProtocolId.ESP, 4),
    ]
    assert proposals[0].spi == proposals[2].spi
    lives = [each.value for each in proposals[0].transforms[0].attributes if each.type == Phase2Attribute.LIFE_DURATION]
    assert lives == [3960, 1000]


def test_identities_of_phase_1() -> None:
    assert [str(message.one(ID).identity) for message in messages("xauth")[4:6]] == ["192.0.2.1", "192.0.2.2"]
    names = [message.one(ID).identity for message in messages("aggressive")[:2]]
    assert [each.same(Identity.parse(f"O=Lab, CN={name}")) for each, name in zip(names, "ab", strict=True)] == [
        True
    ] * 2
    assert all(len(message.one(Signature).data) == 64 for message in messages("aggressive")[1:3])


def test_dead_peer_detection() -> None:
    asked = [message.notify(NotifyType.R_U_THERE) for message in messages("xauth")]
    answered = [message.notify(NotifyType.R_U_THERE_ACK) for message in messages("xauth")]
    sent = [dpd_sequence(each) for each in asked if each]
    assert sent == [dpd_sequence(each) for each in answered if each]
    assert sent[1] == sent[0] + 1


def test_deletes_name_the_children_and_then_the_cookies() -> None:
    *children, last = [message.one(Delete) for message in messages("xauth")[-3:]]
    offered = [
        message.one(SA).proposals[0].spi for message in messages("xauth") if message.message_id and message.get(SA)
    ]
    assert [each.spis for each in children] == [(offered[0],), (offered[2],)]
    assert last.spis == (messages("xauth")[-1].cookie_i + messages("xauth")[-1].cookie_r,)
