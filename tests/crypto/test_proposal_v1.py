from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto.proposal import parse_proposal
from ikectl.crypto.proposal_v1 import (
    MAX_OFFERED,
    Lifetime,
    accepted_phase1,
    offer_phase1,
    phase1_groups,
    select_phase1,
)
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v1 import AuthMethod, Phase1Attribute, ProtocolId
from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v2.sa import Proposal as Configured

A = Phase1Attribute
PSK, RSA = AuthMethod.PRE_SHARED_KEY, AuthMethod.RSA_SIGNATURE
XAUTH = AuthMethod.XAUTH_INIT_PRE_SHARED
HOUR = Lifetime(3600)


def ike(text: str) -> Configured:
    return parse_proposal(text, Protocol.IKE)


def sa(*transforms: dict[int, int | bytes], number: int = 1, key_ike: int = 1) -> SA:
    """An offer of transforms numbered from 1, attributes as they stand."""
    return SA(
        (
            Proposal(
                number,
                ProtocolId.ISAKMP,
                b"",
                tuple(
                    Transform(index, key_ike, tuple(Attribute(kind, value) for kind, value in each.items()))
                    for index, each in enumerate(transforms, 1)
                ),
            ),
        )
    )


def said(cipher: int, hashing: int, group: int, method: int = PSK, **more: int) -> dict[int, int | bytes]:
    """Attributes of a transform; those in `more` by name."""
    found: dict[int, int | bytes] = {A.ENCRYPTION: cipher, A.HASH: hashing, A.GROUP: group, A.AUTH_METHOD: method}
    return found | {A[name]: value for name, value in more.items()}


AES, DES, DES3, MD5, SHA1, SHA256 = 7, 1, 5, 1, 2, 4


def passed(offer: SA) -> SA:
    """The payload as it comes out at the other end."""
    return SA.read(offer.body())


# -- offering ------------------------------------------------------------------


@pytest.mark.conformance("v1-7")
def test_every_combination_is_a_transform_in_order_of_preference() -> None:
    offer = offer_phase1(
        [ike("aes256-aes128-sha256-sha1-modp2048-modp1536"), ike("3des-md5-modp1024")], [RSA, PSK], HOUR
    )
    (proposal,) = offer.proposals
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, ProtocolId.ISAKMP, b"")
    assert [t.number for t in proposal.transforms] == list(range(1, 19))
    assert all(t.id == 1 for t in proposal.transforms)
    first, second, *_, last = proposal.transforms
    assert first.attributes == (
        (A.ENCRYPTION, 7),
        (A.KEY_LENGTH, 256),
        (A.HASH, 4),
        (A.GROUP, 14),
        (A.AUTH_METHOD, 3),
        (A.LIFE_TYPE, 1),
        (A.LIFE_DURATION, 3600),
    )
    assert dict(second.attributes)[A.AUTH_METHOD] == PSK
    assert dict(last.attributes) == {1: 5, 2: 1, 4: 2, 3: 1, 11: 1, 12: 3600}
    assert passed(offer) == offer


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("des-md5-modp768", (1, None, 1, 1)),
        ("3des-sha1-modp1024", (5, None, 2, 2)),
        ("aes192-sha384-ecp384", (7, 192, 5, 20)),
        ("camellia256-sha512-x25519", (8, 256, 6, 31)),
        ("aes128-sha256-prfsha384-modp2048", (7, 128, 4, 14)),
        ("aes128-aesxcbc-prfsha1-modp2048", None),
        ("aes128-aesxcbc-modp2048", None),
        ("aes256gcm16-prfsha256-modp2048", None),
        ("aes256ctr-sha256-modp2048", None),
        ("aes256-sha256-mlkem768", None),
        ("aes256-sha256-x25519-ke1_mlkem768", None),
        ("aes256-sha256-x25519-ke1_mlkem768-ke1_none", (7, 256, 4, 31)),
    ],
)
def test_what_ikev1_has_numbers_for(text: str, numbers: tuple | None) -> None:
    if numbers is None:
        assert phase1_groups([ike(text)]) == () or "mlkem" in text
        with pytest.raises(ValueError, match="IKEv1"):
            offer_phase1([ike(text)], [PSK])
        with pytest.raises(NoProposalChosen, match="nothing that is configured"):
            select_phase1(sa(said(AES, SHA1, 2)), [ike(text)], [PSK])
        return
    (transform,) = offer_phase1([ike(text)], [PSK]).proposals[0].transforms
    found = dict(transform.attributes)
    assert tuple(found.get(kind) for kind in (A.ENCRYPTION, A.KEY_LENGTH, A.HASH, A.GROUP)) == numbers


def test_an_offer_is_bounded_and_says_nothing_twice() -> None:
    many = ike("aes256-aes192-aes128-3des-sha512-sha384-sha256-sha1-modp8192-modp4096-modp2048-ecp256")
    offer = offer_phase1([ike("aes256-sha512-modp8192"), many, many], [PSK, RSA])
    transforms = offer.proposals[0].transforms
    assert len(transforms) == MAX_OFFERED
    assert len({t.attributes for t in transforms}) == MAX_OFFERED


def test_aggressive_mode_offers_one_group() -> None:
    """RFC 2409 §5: the group cannot be negotiated where the public value goes with the offer."""
    configured = [
        ike("aes256gcm16-prfsha256-ecp256"),
        ike("aes256-sha256-modp2048-modp1536"),
        ike("3des-sha1-modp1024"),
    ]
    groups = phase1_groups(configured)
    assert groups == (KeyExchangeMethod.MODP_2048, KeyExchangeMethod.MODP_1536, KeyExchangeMethod.MODP_1024)
    offer = offer_phase1(configured, [PSK], group=groups[1])
    assert {dict(t.attributes)[A.GROUP] for t in offer.proposals[0].transforms} == {5}
    with pytest.raises(ValueError, match="IKEv1"):
        offer_phase1(configured, [PSK], group=KeyExchangeMethod.ECP_521)


def test_lifetimes() -> None:
    """RFC 2409 App. A; what 16 bits cannot hold goes in long form (RFC 2408 §3.3)."""
    offer = offer_phase1([ike("aes256-sha256-modp2048")], [PSK], Lifetime(86400, 1024))
    attributes = passed(offer).proposals[0].transforms[0].attributes
    assert attributes[-4:] == ((11, 1), (12, b"\0\1\x51\x80"), (11, 2), (12, 1024))
    choice = select_phase1(passed(offer), [ike("aes256-sha256-modp2048")], [PSK])
    assert choice.lifetime == Lifetime(86400, 1024)


# -- choosing ------------------------------------------------------------------


@pytest.mark.conformance("v1-7")
def test_our_order_decides_and_the_answer_is_the_offered_transform() -> None:
    offer = sa(
        said(DES3, MD5, 2, LIFE_TYPE=1, LIFE_DURATION=600),
        {A.LIFE_DURATION: b"\0\0\x70\x80", **said(AES, SHA1, 14, LIFE_TYPE=1, KEY_LENGTH=128)},
        said(AES, SHA256, 14, KEY_LENGTH=256),
        number=7,
    )
    configured = [ike("aes128-sha1-modp2048"), ike("aes256-sha256-modp2048"), ike("3des-md5-modp1024")]
    choice = select_phase1(passed(offer), configured, [RSA, PSK])
    (proposal,) = choice.answer.proposals
    assert (proposal.number, proposal.transforms) == (7, (offer.proposals[0].transforms[1],))
    assert str(choice.suite) == "AES_CBC_128/PRF_HMAC_SHA1/MODP_2048"
    assert choice.method is PSK
    assert choice.lifetime == Lifetime(28800)
    assert select_phase1(offer, configured[::-1], [PSK]).answer.proposals[0].transforms[0].number == 1


@pytest.mark.conformance("v1-7")
def test_methods_are_chosen_in_our_order() -> None:
    configured = [ike("aes128-sha1-modp2048")]
    offer = sa(*(said(AES, SHA1, 14, method, KEY_LENGTH=128) for method in (PSK, XAUTH, RSA)))
    for methods in ([XAUTH, PSK], [PSK, XAUTH], [RSA]):
        assert select_phase1(offer, configured, methods).method is methods[0]


@pytest.mark.conformance("v1-9")
@given(st.permutations(list(said(AES, SHA256, 14, KEY_LENGTH=256, LIFE_TYPE=1, LIFE_DURATION=28800))), st.data())
def test_attributes_in_any_order_and_either_form(order: list[int], data: st.DataObject) -> None:
    """RFC 2408 §3.3, §5.4."""
    numbers = said(AES, SHA256, 14, KEY_LENGTH=256, LIFE_TYPE=1, LIFE_DURATION=28800)
    forms = {
        kind: data.draw(st.sampled_from([value, value.to_bytes(2, "big"), value.to_bytes(4, "big")]))
        for kind, value in numbers.items()
    }
    offer = passed(sa({kind: forms[kind] for kind in order}))
    choice = select_phase1(offer, [ike("aes256-sha256-modp2048")], [PSK])
    assert choice.answer.proposals[0].transforms == offer.proposals[0].transforms
    assert choice.answer.body() == offer.body()
    assert choice.lifetime == Lifetime(28800)
    assert accepted_phase1(offer_phase1([ike("aes256-sha256-modp2048")], [PSK], Lifetime(28800)), offer).method is PSK


@pytest.mark.conformance("v1-10")
@pytest.mark.parametrize("duration", [1, 60, 86400 * 365, b"\xff" * 8, b"\0" * 20 + b"\1"])
def test_a_lifetime_of_any_length_is_accepted_and_reported(duration: int | bytes) -> None:
    """RFC 2407 §4.5.4. The shorter one is the caller's to use: `meet`."""
    offer = sa({**said(AES, SHA1, 14, LIFE_TYPE=1, KEY_LENGTH=128), A.LIFE_DURATION: duration})
    choice = select_phase1(offer, [ike("aes128-sha1-modp2048")], [PSK])
    value = duration if isinstance(duration, int) else int.from_bytes(duration, "big")
    assert choice.lifetime == Lifetime(min(value, 0xFFFFFFFF))
    assert choice.lifetime.meet(Lifetime(3600, 500)) == Lifetime(min(value, 3600), 500)


def test_aes_without_a_key_length_means_128_bits() -> None:
    assert str(select_phase1(sa(said(AES, SHA1, 14)), [ike("aes128-sha1-modp2048")], [PSK]).suite).startswith(
        "AES_CBC_128/"
    )
    with pytest.raises(NoProposalChosen):
        select_phase1(sa(said(AES, SHA1, 14)), [ike("aes256-sha1-modp2048")], [PSK])
    # A fixed length may be said all the same, if it is the right one.
    assert select_phase1(sa(said(DES3, SHA1, 2, KEY_LENGTH=192)), [ike("3des-sha1-modp1024")], [PSK])
    with pytest.raises(NoProposalChosen):
        select_phase1(sa(said(DES3, SHA1, 2, KEY_LENGTH=128)), [ike("3des-sha1-modp1024")], [PSK])


@pytest.mark.conformance("v1-7")
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({A.PRF: 1}, "its attribute PRF is not understood here"),
        ({A.GROUP_PRIME: b"\xff" * 128}, "GROUP_PRIME is no number"),
        ({4711: 1}, "its attribute 4711 is not understood here"),
        ({A.HASH: b"\1" * 9}, "its attribute HASH is no number"),
        ({A.LIFE_TYPE: 1}, "its lifetimes have no meaning"),
        ({A.LIFE_TYPE: 3, A.LIFE_DURATION: 1}, "its lifetimes have no meaning"),
    ],
)
def test_a_transform_not_understood_is_not_chosen(more: dict[int, int | bytes], why: str) -> None:
    transform = said(AES, SHA1, 14, KEY_LENGTH=128) | more
    with pytest.raises(NoProposalChosen, match=why):
        select_phase1(sa(transform), [ike("aes128-sha1-modp2048")], [PSK])
    second = select_phase1(sa(transform, said(AES, SHA1, 14)), [ike("aes128-sha1-modp2048")], [PSK])
    assert second.answer.proposals[0].transforms[0].number == 2


def test_contradictions_are_not_chosen() -> None:
    twice = (Attribute(A.GROUP, 14), Attribute(A.GROUP, 2), *(Attribute(*each) for each in said(AES, SHA1, 14).items()))
    offer = SA((Proposal(1, ProtocolId.ISAKMP, b"", (Transform(1, 1, twice),)),))
    with pytest.raises(NoProposalChosen, match="GROUP twice"):
        select_phase1(offer, [ike("aes128-sha1-modp2048")], [PSK])
    with pytest.raises(NoProposalChosen, match="it is no KEY_IKE but 2"):
        select_phase1(sa(said(AES, SHA1, 14), key_ike=2), [ike("aes128-sha1-modp2048")], [PSK])
    with pytest.raises(NoProposalChosen, match="not ISAKMP"):
        select_phase1(
            SA((Proposal(1, ProtocolId.ESP, b"spi1", (Transform(1, 12),)),)), [ike("aes128-sha1-modp2048")], [PSK]
        )


# -- explaining ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        (
            said(DES3, SHA1, 2),
            "no common encryption algorithm (offered 3DES_CBC; configured AES_CBC_256, AES_CBC_128); "
            "no common hash (offered SHA1; configured SHA2_256); "
            "no common group (offered MODP_1024; configured MODP_2048)",
        ),
        (said(AES, SHA256, 2, KEY_LENGTH=128), "no common group (offered MODP_1024; configured MODP_2048)"),
        (
            said(AES, SHA256, 14, RSA, KEY_LENGTH=128),
            "no common authentication method (offered RSA_SIGNATURE: pubkey with RSA; configured PRE_SHARED_KEY: psk)",
        ),
        (
            said(AES, SHA256, 4711, KEY_LENGTH=192),
            "no common encryption algorithm (offered AES_CBC_192; configured AES_CBC_256, AES_CBC_128); "
            "no common group (offered 4711; configured MODP_2048)",
        ),
        ({A.ENCRYPTION: 7}, "no common hash (offered none; configured SHA2_256); no common group (offered none; "),
    ],
)
def test_a_refusal_names_attribute_by_attribute_what_failed(offer: dict[int, int | bytes], why: str) -> None:
    far = said(99, 99, 99, 99)
    with pytest.raises(NoProposalChosen) as caught:
        select_phase1(sa(far, offer), [ike("aes256-aes128-sha256-modp2048")], [PSK])
    head = "nearest are the peer's transform 2 and our aes256-aes128-sha256-modp2048: "
    assert str(caught.value).startswith(head + why)


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.integers(1, 20), st.integers(0, 0xFFFF) | st.binary(max_size=300), max_size=12),
        min_size=1,
        max_size=120,
    )
)
def test_any_offer_is_judged_and_explanations_are_bounded(transforms: list[dict[int, int | bytes]]) -> None:
    try:
        choice = select_phase1(passed(sa(*transforms)), [ike("aes256-sha256-modp2048")], [PSK])
        assert choice.method is PSK
    except NoProposalChosen as refusal:
        assert len(str(refusal)) < 1000


# -- the answer ----------------------------------------------------------------

CONFIGURED = [ike("aes256-aes128-sha256-modp2048"), ike("3des-sha1-modp1024")]


@pytest.mark.conformance("v1-8")
def test_an_answer_out_of_our_offer_is_accepted() -> None:
    offer = offer_phase1(CONFIGURED, [PSK, RSA], HOUR)
    for transform in offer.proposals[0].transforms:
        answer = SA((offer.proposals[0]._replace(transforms=(transform,)),))
        choice = accepted_phase1(offer, passed(answer))
        assert choice.method == dict(transform.attributes)[A.AUTH_METHOD]
        assert choice.lifetime == HOUR
        # Numbers SHOULD be kept, no more (RFC 2408 §5.4).
        renumbered = SA((Proposal(2, ProtocolId.ISAKMP, b"12345678", (transform._replace(number=99),)),))
        assert accepted_phase1(offer, renumbered).suite is choice.suite


@pytest.mark.conformance("v1-10")
@pytest.mark.parametrize(
    ("life", "expected"),
    [
        ({A.LIFE_TYPE: 1, A.LIFE_DURATION: 600}, Lifetime(600)),
        ({A.LIFE_DURATION: 600}, Lifetime(600)),
        ({}, Lifetime()),
        ({A.LIFE_TYPE: 2, A.LIFE_DURATION: 600}, Lifetime(0, 600)),
        ({A.LIFE_TYPE: 1, A.LIFE_DURATION: 3601}, None),
    ],
)
def test_the_answer_may_shorten_lifetimes_only(life: dict[int, int | bytes], expected: Lifetime | None) -> None:
    offer = offer_phase1(CONFIGURED, [PSK], HOUR)
    answer = sa(said(AES, SHA256, 14, KEY_LENGTH=128) | life)
    if expected is None:
        with pytest.raises(PeerMisbehaved, match="longer lifetime"):
            accepted_phase1(offer, answer)
    else:
        assert accepted_phase1(offer, answer).lifetime == expected


@pytest.mark.conformance("v1-8")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (sa(said(AES, SHA256, 2, KEY_LENGTH=256)), "it differs in group"),
        (sa(said(AES, SHA256, 14, KEY_LENGTH=192)), "it differs in encryption algorithm"),
        (sa(said(AES, SHA256, 14, RSA, KEY_LENGTH=256)), "it differs in authentication method"),
        (sa(said(AES, SHA256, 14, KEY_LENGTH=256) | {4711: 1}), "4711 is not understood"),
        (sa(said(AES, SHA256, 14), said(AES, SHA256, 14)), "not one proposal of one transform"),
        (SA(sa(said(AES, SHA256, 14)).proposals * 2), "not one proposal of one transform"),
        (sa(), "not one proposal of one transform"),
        (sa(said(AES, SHA256, 14), key_ike=3), "no KEY_IKE"),
    ],
)
def test_an_answer_we_never_offered_is_refused(answer: SA, why: str) -> None:
    """RFC 2408 §5.4: nothing may be changed."""
    with pytest.raises(PeerMisbehaved, match=why):
        accepted_phase1(offer_phase1(CONFIGURED, [PSK]), answer)
