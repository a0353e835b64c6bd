from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto.proposal import default_ah, default_esp, default_ike, parse_proposal
from ikectl.crypto.proposal_v1 import (
    Lifetime,
    Phase2Choice,
    accepted_phase2,
    offer_phase2,
    phase2_group,
    select_phase2,
)
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v1 import EncapsulationMode, Phase2Attribute, ProtocolId
from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v2.sa import Proposal as Configured

A, M = Phase2Attribute, EncapsulationMode
AH, ESP, IPCOMP = ProtocolId.AH, ProtocolId.ESP, ProtocolId.IPCOMP
SPIS = {ESP: b"espi", AH: b"ahsp"}
OURS = {ESP: b"our1", AH: b"our2", IPCOMP: b"\x87\x65"}
CPI = b"\x12\x34"
LIFE = Lifetime(3600, 4096)
MODP2048, MODP1024 = KeyExchangeMethod.MODP_2048, KeyExchangeMethod.MODP_1024


def esp(text: str) -> Configured:
    return parse_proposal(text, Protocol.ESP)


def ah(text: str) -> Configured:
    return parse_proposal(text, Protocol.AH)


def part(protocol: ProtocolId, *transforms: tuple[int, dict[int, int | bytes]], number: int = 1) -> Proposal:
    """A proposal of transforms numbered from 1: id and attributes as they stand."""
    return Proposal(
        number,
        protocol,
        CPI if protocol == IPCOMP else SPIS[protocol],
        tuple(
            Transform(index, kind, tuple(Attribute(*each) for each in attributes.items()))
            for index, (kind, attributes) in enumerate(transforms, 1)
        ),
    )


def tunnel(**more: int) -> dict[int, int | bytes]:
    """Attributes of a tunnel mode transform; others by name."""
    return {A.ENCAPSULATION_MODE: M.TUNNEL} | {A[name]: value for name, value in more.items()}


def passed(offer: SA) -> SA:
    """The payload as it comes out at the other end."""
    return SA.read(offer.body())


def agree(offer: SA, configured: list[Configured], mode: EncapsulationMode = M.TUNNEL, **how: bool) -> Phase2Choice:
    """Both ends: the responder's choice, which the initiator takes as well."""
    chosen = select_phase2(passed(offer), configured, [mode], **how)
    taken = accepted_phase2(offer, passed(chosen.with_spis(OURS)))
    assert (taken.mode, taken.group, taken.lifetime) == (chosen.mode, chosen.group, chosen.lifetime)
    assert [(each.protocol, each.suite) for each in taken.parts] == [(e.protocol, e.suite) for e in chosen.parts]
    assert all(each.spi == OURS[each.protocol] for each in taken.parts)
    return chosen


# -- every algorithm -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "transform", "attributes", "suite"),
    [
        ("des-md5", 2, {A.AUTH_ALGORITHM: 1}, "DES_CBC/HMAC_MD5_96/NO_EXT_SEQ"),
        ("3des-sha1", 3, {A.AUTH_ALGORITHM: 2}, "3DES_CBC/HMAC_SHA1_96/NO_EXT_SEQ"),
        ("null-sha256", 11, {A.AUTH_ALGORITHM: 5}, "NULL/HMAC_SHA2_256_128/NO_EXT_SEQ"),
        ("aes128-sha384", 12, {A.KEY_LENGTH: 128, A.AUTH_ALGORITHM: 6}, "AES_CBC_128/HMAC_SHA2_384_192/NO_EXT_SEQ"),
        ("aes256-sha512-esn", 12, {6: 256, 5: 7, 11: 1}, "AES_CBC_256/HMAC_SHA2_512_256/EXT_SEQ"),
        ("aes192ctr-aesxcbc", 13, {6: 192, 5: 9}, "AES_CTR_192/AES_XCBC_96/NO_EXT_SEQ"),
        ("aes128ccm8", 14, {6: 128}, "AES_CCM_8_128/NO_EXT_SEQ"),
        ("aes128ccm12", 15, {6: 128}, "AES_CCM_12_128/NO_EXT_SEQ"),
        ("aes128ccm16", 16, {6: 128}, "AES_CCM_16_128/NO_EXT_SEQ"),
        ("aes256gcm8", 18, {6: 256}, "AES_GCM_8_256/NO_EXT_SEQ"),
        ("aes256gcm12", 19, {6: 256}, "AES_GCM_12_256/NO_EXT_SEQ"),
        ("aes256gcm16-esn", 20, {6: 256, 11: 1}, "AES_GCM_16_256/EXT_SEQ"),
        ("camellia192-sha1", 22, {6: 192, 5: 2}, "CAMELLIA_CBC_192/HMAC_SHA1_96/NO_EXT_SEQ"),
        ("aes256gmac", 23, {6: 256}, "NULL_AES_GMAC_256/NO_EXT_SEQ"),
    ],
)
def test_esp(text: str, transform: int, attributes: dict[int, int], suite: str) -> None:
    """RFC 2407 §4.4.4 and §4.5, RFC 3602, 3686, 4106, 4304, 4309, 4312, 4543."""
    offer = offer_phase2([esp(text)], SPIS, M.TUNNEL, LIFE)
    (proposal,) = offer.proposals
    (only,) = proposal.transforms
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, ESP, b"espi")
    life = {A.LIFE_TYPE: 2, A.LIFE_DURATION: 4096}
    assert (only.id, dict(only.attributes)) == (transform, attributes | {A.ENCAPSULATION_MODE: 1} | life)
    assert only.attributes[-4:] == ((1, 1), (2, 3600), (1, 2), (2, 4096))
    choice = agree(offer, [esp(text)])
    (chosen,) = choice.parts
    assert (chosen.protocol, chosen.spi, str(chosen.suite)) == (ESP, b"espi", suite)
    assert choice.lifetime == LIFE
    assert choice.group is None


@pytest.mark.parametrize(
    ("text", "transform", "auth"),
    [("md5", 2, 1), ("sha1", 3, 2), ("sha256", 5, 5), ("sha384", 6, 6), ("sha512", 7, 7), ("aesxcbc", 9, 9)],
)
def test_ah(text: str, transform: int, auth: int) -> None:
    """RFC 2407 §4.4.3, RFC 3566, RFC 4868: the id and the attribute say the same thing twice."""
    offer = offer_phase2([ah(text)], SPIS, M.TRANSPORT)
    (only,) = offer.proposals[0].transforms
    assert (only.id, dict(only.attributes)) == (transform, {A.AUTH_ALGORITHM: auth, A.ENCAPSULATION_MODE: 2})
    choice = agree(offer, [ah(text)], M.TRANSPORT)
    assert choice.parts[0].suite is not None and choice.parts[0].suite.protocol is Protocol.AH
    contradiction = SA((part(AH, (transform, {A.AUTH_ALGORITHM: auth % 9 + 1, A.ENCAPSULATION_MODE: 2})),))
    with pytest.raises(NoProposalChosen, match="no common integrity algorithm"):
        select_phase2(contradiction, [ah(text)], [M.TRANSPORT])


@pytest.mark.parametrize("text", ["chacha20poly1305", "aes128-aescmac"])
def test_what_ikev1_has_no_number_for_stays_out(text: str) -> None:
    with pytest.raises(ValueError, match="IKEv1"):
        offer_phase2([esp(text)], SPIS, M.TUNNEL)
    with pytest.raises(NoProposalChosen, match="nothing that is configured"):
        select_phase2(offer_phase2([esp("aes128-sha1")], SPIS, M.TUNNEL), [esp(text)], [M.TUNNEL])


def test_the_defaults_can_be_offered() -> None:
    offer = offer_phase2(default_esp(), SPIS, M.TUNNEL)
    assert {t.id for t in offer.proposals[0].transforms} == {20, 12}
    assert str(agree(offer, list(default_esp())).parts[0].suite) == "AES_GCM_16_256/EXT_SEQ"
    assert agree(offer_phase2(default_ah(), SPIS, M.TUNNEL), list(default_ah())).parts[0].protocol == AH
    with pytest.raises(ValueError, match="IKEv1"):
        offer_phase2([], SPIS, M.TUNNEL)
    assert default_ike()


# -- choosing ------------------------------------------------------------------


def test_our_order_decides() -> None:
    configured = [esp("aes256-sha256"), esp("aes128-sha1-md5"), ah("sha1")]
    offer = SA(
        (
            part(AH, (3, tunnel(AUTH_ALGORITHM=2))),
            part(
                ESP,
                (3, tunnel(AUTH_ALGORITHM=2)),
                (12, tunnel(AUTH_ALGORITHM=1, KEY_LENGTH=128)),
                (12, tunnel(AUTH_ALGORITHM=2)),
                number=5,
            ),
        )
    )
    choice = select_phase2(offer, configured, [M.TUNNEL])
    (proposal,) = choice.answer.proposals
    assert (proposal.number, proposal.transforms) == (5, (offer.proposals[1].transforms[2],))
    assert str(choice.parts[0].suite) == "AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ"
    assert select_phase2(offer, configured[::-1], [M.TUNNEL]).parts[0].protocol == AH


@pytest.mark.conformance("v1-9")
@given(st.permutations([A.ENCAPSULATION_MODE, A.AUTH_ALGORITHM, A.KEY_LENGTH, A.LIFE_TYPE, A.LIFE_DURATION]), st.data())
def test_attributes_in_any_order_and_either_form(order: list[Phase2Attribute], data: st.DataObject) -> None:
    numbers = tunnel(AUTH_ALGORITHM=5, KEY_LENGTH=256, LIFE_TYPE=1, LIFE_DURATION=28800)
    forms = {kind: data.draw(st.sampled_from([numbers[kind], numbers[kind].to_bytes(4, "big")])) for kind in order}
    offer = passed(SA((part(ESP, (12, forms)),)))
    choice = select_phase2(offer, [esp("aes256-sha256")], [M.TUNNEL])
    assert choice.answer.body() == offer.body()
    assert choice.lifetime == Lifetime(28800)


@pytest.mark.parametrize("mode", [m for m in EncapsulationMode if m.assigned])
def test_encapsulation_modes(mode: EncapsulationMode) -> None:
    """RFC 2407 §4.5, RFC 3947 §5.1, and the private numbers of its drafts."""
    offer = offer_phase2([esp("aes128-sha1")], SPIS, mode)
    assert agree(offer, [esp("aes128-sha1")], mode).mode is mode
    other = M.TRANSPORT if mode is M.TUNNEL else M.TUNNEL
    why = f"no common encapsulation mode .offered {mode}; configured {other}"
    with pytest.raises(NoProposalChosen, match=why):
        select_phase2(offer, [esp("aes128-sha1")], [other])
    assert select_phase2(offer, [esp("aes128-sha1")], [other, mode]).mode is mode


def test_a_transform_without_a_mode_is_of_the_first() -> None:
    offer = SA((part(ESP, (3, {A.AUTH_ALGORITHM: 2})),))
    assert select_phase2(offer, [esp("3des-sha1")], [M.TRANSPORT, M.TUNNEL]).mode is M.TRANSPORT


def test_aes_without_a_key_length_means_128_bits() -> None:
    """Old peers; RFC 3602 §5.3 wants it sent. Not so for counter modes, where nobody ever left it out."""
    offer = SA((part(ESP, (12, tunnel(AUTH_ALGORITHM=2))),))
    choice = select_phase2(offer, [esp("aes256-aes128-sha1")], [M.TUNNEL])
    assert str(choice.parts[0].suite) == "AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ"
    with pytest.raises(NoProposalChosen, match="offered AES_GCM_16; configured"):
        select_phase2(SA((part(ESP, (20, tunnel())),)), [esp("aes128gcm16")], [M.TUNNEL])


@pytest.mark.conformance("v1-10")
def test_lifetimes_of_all_parts_count() -> None:
    life = {A.LIFE_TYPE: 1}
    offer = SA(
        (
            part(AH, (3, tunnel(AUTH_ALGORITHM=2) | life | {A.LIFE_DURATION: 600})),
            part(ESP, (3, tunnel(AUTH_ALGORITHM=2) | life | {A.LIFE_DURATION: b"\0\1\0\0"})),
        )
    )
    choice = select_phase2(offer, [esp("3des-sha1"), ah("sha1")], [M.TUNNEL], bundle=True)
    assert choice.lifetime == Lifetime(600)


# -- groups --------------------------------------------------------------------


@pytest.mark.conformance("v1-23")
def test_pfs_is_one_group_in_all_transforms() -> None:
    """RFC 2409 §5.5."""
    configured = [esp("aes128-sha1-modp2048"), esp("3des-sha1-modp1024-modp2048"), esp("aes256-sha1")]
    assert phase2_group(configured) is MODP2048
    offer = offer_phase2(configured, SPIS, M.TUNNEL, LIFE, MODP2048)
    transforms = offer.proposals[0].transforms
    assert [t.id for t in transforms] == [12, 3]
    assert all(t.attributes.count((A.GROUP, 14)) == 1 for t in transforms)
    choice = agree(offer, configured)
    assert choice.group is MODP2048
    assert choice.parts[0].suite is not None and choice.parts[0].suite.ke is MODP2048
    with pytest.raises(ValueError, match="ECP_521"):
        offer_phase2(configured, SPIS, M.TUNNEL, LIFE, KeyExchangeMethod.ECP_521)


@pytest.mark.conformance("v1-23")
@pytest.mark.parametrize(
    ("text", "offered", "chosen"),
    [
        ("aes128-sha1-modp2048", MODP2048, True),
        ("aes128-sha1-modp2048", MODP1024, False),
        ("aes128-sha1-modp2048", None, False),
        ("aes128-sha1-modp2048-none", MODP2048, True),
        ("aes128-sha1-modp2048-none", None, True),
        ("aes128-sha1-modp2048-none", MODP1024, False),
        ("aes128-sha1", None, True),
        ("aes128-sha1", MODP2048, False),
    ],
)
def test_the_group_must_be_one_that_is_configured(text: str, offered: KeyExchangeMethod | None, chosen: bool) -> None:
    suffix = {None: "", MODP2048: "-modp2048", MODP1024: "-modp1024"}[offered]
    offer = offer_phase2([esp(f"aes128-sha1{suffix}")], SPIS, M.TUNNEL, group=offered)
    if chosen:
        assert agree(offer, [esp(text)]).group is offered
    else:
        with pytest.raises(NoProposalChosen, match=f"no common group .offered {offered.name if offered else 'none'}"):
            select_phase2(offer, [esp(text)], [M.TUNNEL])


@pytest.mark.conformance("v1-23")
def test_transforms_of_different_groups_are_refused() -> None:
    mixed = SA((part(ESP, (3, tunnel(AUTH_ALGORITHM=2, GROUP=2)), (3, tunnel(AUTH_ALGORITHM=1, GROUP=14))),))
    with pytest.raises(NoProposalChosen, match="different groups: MODP_1024, MODP_2048"):
        select_phase2(mixed, [esp("3des-sha1-modp1024")], [M.TUNNEL])
    some = SA((part(ESP, (3, tunnel(AUTH_ALGORITHM=2, GROUP=2)), (3, tunnel(AUTH_ALGORITHM=1))),))
    with pytest.raises(NoProposalChosen, match="different groups: none, MODP_1024"):
        select_phase2(some, [esp("3des-sha1-modp1024")], [M.TUNNEL])


def test_which_group_is_offered() -> None:
    assert phase2_group([esp("chacha20poly1305-x25519"), esp("aes128-sha1-modp1024")]) is MODP1024
    assert phase2_group([esp("aes128-sha1-none-modp1024")]) is None
    assert phase2_group([esp("aes128-sha1"), esp("aes128-sha1-modp1024")]) is None
    assert phase2_group([ah("sha1"), esp("aes128-sha1-modp1024")], bundle=True) is MODP1024
    assert phase2_group([esp("chacha20poly1305-x25519")]) is None


# -- bundles -------------------------------------------------------------------


@pytest.mark.conformance("v1-26")
@pytest.mark.parametrize("group", [None, MODP2048], ids=["without PFS", "with PFS"])
def test_ah_with_esp(group: KeyExchangeMethod | None) -> None:
    configured = [esp("aes128-3des-sha1" + ("-modp2048" if group else "")), ah("sha256-sha1")]
    offer = offer_phase2(configured, SPIS, M.TRANSPORT, LIFE, group, bundle=True)
    assert [(p.number, p.protocol, p.spi, len(p.transforms)) for p in offer.proposals] == [
        (1, AH, b"ahsp", 2),
        (1, ESP, b"espi", 2),
    ]
    choice = agree(offer, configured, M.TRANSPORT, bundle=True)
    suites = [str(each.suite) for each in choice.parts]
    named = "/MODP_2048" if group else ""
    assert suites == [f"HMAC_SHA2_256_128{named}/NO_EXT_SEQ", f"AES_CBC_128/HMAC_SHA1_96{named}/NO_EXT_SEQ"]
    assert [(p.number, p.protocol, len(p.transforms)) for p in choice.answer.proposals] == [(1, AH, 1), (1, ESP, 1)]
    with pytest.raises(NoProposalChosen, match=r"proposal 1 for AH\+ESP: configured is ESP"):
        select_phase2(offer, configured[:1], [M.TRANSPORT])
    alone = offer_phase2(configured[:1], SPIS, M.TRANSPORT, LIFE, group)
    with pytest.raises(NoProposalChosen, match=r"proposal 1 for ESP: configured is ESP\+AH"):
        select_phase2(alone, configured, [M.TRANSPORT], bundle=True)
    with pytest.raises(ValueError, match="IKEv1"):
        offer_phase2(configured[:1], SPIS, M.TRANSPORT, LIFE, group, bundle=True)


@pytest.mark.conformance("v1-26")
@pytest.mark.parametrize("bundle", [False, True], ids=["ESP", "AH and ESP"])
@pytest.mark.parametrize("mode", [M.TUNNEL, M.UDP_TRANSPORT])
def test_ipcomp_is_offered_and_may_be_left_out(bundle: bool, mode: EncapsulationMode) -> None:
    configured = [esp("aes128-sha1-modp2048"), *([ah("sha1")] if bundle else [])]
    offer = offer_phase2(configured, SPIS, mode, LIFE, MODP2048, CPI, bundle)
    kinds = (AH, ESP) if bundle else (ESP,)
    assert [(p.number, p.protocol) for p in offer.proposals] == [
        *((1, kind) for kind in (*kinds, IPCOMP)),
        *((2, kind) for kind in kinds),
    ]
    squeezed = agree(offer, configured, mode, ipcomp=True, bundle=bundle)
    assert [(each.protocol, each.suite is None) for each in squeezed.parts][-1] == (IPCOMP, True)
    assert squeezed.parts[-1].spi == CPI
    assert squeezed.group is MODP2048
    plain = agree(offer, configured, mode, bundle=bundle)
    assert {p.number for p in plain.answer.proposals} == {2}
    assert IPCOMP not in {each.protocol for each in plain.parts}


@pytest.mark.conformance("v1-26")
@pytest.mark.parametrize(
    ("transform", "spi", "why"),
    [
        ((2, {A.ENCAPSULATION_MODE: M.TUNNEL}), CPI, ""),
        ((2, {A.ENCAPSULATION_MODE: M.UDP_TUNNEL}), b"\0\0\x12\x34", ""),
        ((2, {}), CPI, ""),
        ((3, {}), CPI, "no common IPCOMP transform .offered LZS; configured DEFLATE"),
        ((2, {A.COMPRESS_DICT: 3}), CPI, "COMPRESS_DICT is not understood"),
        ((2, {A.ENCAPSULATION_MODE: M.TRANSPORT}), CPI, "each part fits, but not together"),
        ((2, {}), b"\0\2", ""),
        ((2, {}), b"\0\0", "its SPI for IPCOMP is 0000"),
        ((2, {}), b"\0\xff", "its SPI for IPCOMP is 00ff"),
        ((2, {}), b"\0\1\0\0", "its SPI for IPCOMP is 00010000"),
    ],
)
def test_ipcomp_of_a_peer(transform: tuple[int, dict[int, int | bytes]], spi: bytes, why: str) -> None:
    """RFC 2407 §4.4.5, RFC 3173 §3.3 and §4.1; the group is ESP's affair."""
    attributes = {A.ENCAPSULATION_MODE: M.UDP_TUNNEL, A.AUTH_ALGORITHM: 2, A.GROUP: 14}
    offer = SA((part(ESP, (3, attributes)), part(IPCOMP, transform)._replace(spi=spi)))
    configured = [esp("3des-sha1-modp2048")]
    if why:
        with pytest.raises(NoProposalChosen, match=why):
            select_phase2(offer, configured, [M.UDP_TUNNEL], ipcomp=True)
    else:
        assert select_phase2(offer, configured, [M.UDP_TUNNEL], ipcomp=True).parts[1].spi == spi[-2:]


def test_a_number_is_taken_whole_or_not_at_all() -> None:
    """RFC 2408 §4.2."""
    three = SA((part(ESP, (3, tunnel(AUTH_ALGORITHM=2))), part(ESP, (3, tunnel(AUTH_ALGORITHM=2)))))
    with pytest.raises(NoProposalChosen, match="it has ESP twice"):
        select_phase2(three, [esp("3des-sha1")], [M.TUNNEL])
    odd = SA((part(ESP, (3, tunnel(AUTH_ALGORITHM=2))), part(AH, (3, tunnel(AUTH_ALGORITHM=1)))))
    with pytest.raises(NoProposalChosen, match="no common integrity algorithm"):
        select_phase2(odd, [esp("3des-sha1"), ah("sha1")], [M.TUNNEL], bundle=True)


@pytest.mark.parametrize("spi", [bytes(4), b"\0\0\0\xff"])
def test_reserved_spis_are_not_taken(spi: bytes) -> None:
    offer = SA((part(ESP, (3, tunnel(AUTH_ALGORITHM=2)))._replace(spi=spi),))
    with pytest.raises(NoProposalChosen, match=f"its SPI for ESP is {spi.hex()}"):
        select_phase2(offer, [esp("3des-sha1")], [M.TUNNEL])


# -- explaining ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "why"),
    [
        (
            (3, tunnel(AUTH_ALGORITHM=1)),
            "no common encryption algorithm (offered 3DES_CBC; configured AES_CBC_256); "
            "no common integrity algorithm (offered HMAC_MD5_96; configured HMAC_SHA2_256_128)",
        ),
        (
            (12, tunnel(AUTH_ALGORITHM=5, KEY_LENGTH=128)),
            "no common encryption algorithm (offered AES_CBC_128; configured AES_CBC_256)",
        ),
        (
            (12, tunnel(KEY_LENGTH=256)),
            "no common integrity algorithm (offered NONE; configured HMAC_SHA2_256_128)",
        ),
        (
            (12, tunnel(AUTH_ALGORITHM=5, KEY_LENGTH=256, EXT_SEQ=1)),
            "no common sequence numbers (offered EXT_SEQ; configured NO_EXT_SEQ)",
        ),
        (
            (12, tunnel(AUTH_ALGORITHM=5, KEY_LENGTH=256, KEY_ROUNDS=8)),
            "its attribute KEY_ROUNDS is not understood here",
        ),
    ],
)
def test_a_refusal_names_attribute_by_attribute_what_failed(
    transform: tuple[int, dict[int, int | bytes]], why: str
) -> None:
    far = (99, tunnel(AUTH_ALGORITHM=99, EXT_SEQ=2, ECN_TUNNEL=1))
    offer = SA((part(AH, (3, tunnel(AUTH_ALGORITHM=1))), part(ESP, far, transform, number=2)))
    with pytest.raises(NoProposalChosen) as caught:
        select_phase2(offer, [esp("aes256-sha256")], [M.TUNNEL])
    assert str(caught.value) == f"nearest is the peer's proposal 2 for ESP: {why}"


WORDS = {
    Protocol.ESP: ("aes256 aes128 3des camellia192", "sha256 sha1 md5", "esn noesn", "modp2048 modp1024 none"),
    Protocol.AH: ("", "sha256 sha1 md5", "esn noesn", "modp2048 modp1024 none"),
}


@st.composite
def proposals(draw: st.DrawFn, protocol: Protocol = Protocol.ESP) -> Configured:
    """Any proposal out of a few words, in any order of preference."""
    words: list[str] = []
    for kind, some in enumerate(WORDS[protocol]):
        least = 1 if kind < 2 and some else 0
        words += draw(st.lists(st.sampled_from(some.split()), min_size=least, unique=True)) if some else []
    return parse_proposal("-".join(words), protocol)


@settings(max_examples=200)
@given(
    st.lists(proposals(), min_size=1, max_size=3),
    st.lists(proposals(), min_size=1, max_size=3),
    proposals(Protocol.AH),
    proposals(Protocol.AH),
    st.booleans(),
    st.booleans(),
)
def test_what_one_end_chooses_the_other_accepts(
    initiator: list[Configured],
    responder: list[Configured],
    initiator_ah: Configured,
    responder_ah: Configured,
    bundle: bool,
    ipcomp: bool,
) -> None:
    """And both have it configured: the suite's algorithms, and the group or none."""
    ends = [[*initiator, initiator_ah], [*responder, responder_ah]]
    try:
        group = phase2_group(ends[0], bundle=bundle)
        offer = offer_phase2(ends[0], SPIS, M.TUNNEL, LIFE, group, CPI if ipcomp else None, bundle)
        chosen = agree(offer, ends[1], ipcomp=ipcomp, bundle=bundle)
    except (NoProposalChosen, ValueError):
        return
    assert {IPCOMP} <= {each.protocol for each in chosen.parts} or not ipcomp
    for each in chosen.parts:
        for configured in ends if each.suite is not None else ():
            assert each.suite is not None
            theirs = [p for p in configured if p.protocol is each.suite.protocol]
            rows = [row.transform for row in (each.suite.encryption, each.suite.integrity) if row is not None]
            assert any(all(row in p.transforms for row in rows) for p in theirs)
    assert chosen.group is group


attribute = st.builds(Attribute, st.integers(1, 12), st.integers(0, 0xFFFF) | st.binary(max_size=40))
transform = st.builds(Transform, st.integers(0, 255), st.integers(0, 24), st.lists(attribute, max_size=8).map(tuple))
proposal = st.builds(
    lambda number, protocol, ts: Proposal(number, protocol, CPI if protocol == IPCOMP else SPIS[protocol], ts),
    st.integers(0, 3),
    st.sampled_from([AH, ESP, IPCOMP]),
    st.lists(transform, max_size=6).map(tuple),
)


@settings(max_examples=100)
@given(st.lists(proposal, min_size=1, max_size=30), st.booleans(), st.booleans())
def test_any_offer_is_judged_and_explanations_are_bounded(offer: list[Proposal], ipcomp: bool, bundle: bool) -> None:
    configured = [esp("aes256-aes128-sha256-sha1-modp2048-none"), esp("3des-md5"), ah("sha1-md5")]
    received = passed(SA(tuple(offer)))
    try:
        select_phase2(received, configured, [M.TUNNEL, M.TRANSPORT], ipcomp=ipcomp, bundle=bundle)
    except NoProposalChosen as refusal:
        assert len(str(refusal)) < 2000
    with pytest.raises(PeerMisbehaved):
        accepted_phase2(offer_phase2([esp("aes128gcm16-modp2048")], SPIS, M.TUNNEL, group=MODP2048), received)


# -- the answer ----------------------------------------------------------------


@pytest.mark.conformance("v1-8")
@pytest.mark.parametrize(
    ("transform", "why"),
    [
        ((12, tunnel(KEY_LENGTH=256, AUTH_ALGORITHM=2, GROUP=14)), "AES_CBC_256/HMAC_SHA1_96"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=1, GROUP=14)), "HMAC_MD5_96"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2, GROUP=2)), "group MODP_1024"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2)), "group none"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2, GROUP=14, EXT_SEQ=1)), "EXT_SEQ"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2, GROUP=14) | {4: 2}), "TRANSPORT"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2, GROUP=14, ECN_TUNNEL=1)), "ECN_TUNNEL is not understood"),
        ((12, tunnel(KEY_LENGTH=128, AUTH_ALGORITHM=2, GROUP=14, LIFE_TYPE=1, LIFE_DURATION=3601)), "longer lifetime"),
    ],
)
def test_an_answer_we_never_offered_is_refused(transform: tuple[int, dict[int, int | bytes]], why: str) -> None:
    offer = offer_phase2([esp("aes128-sha1-modp2048")], SPIS, M.TUNNEL, Lifetime(3600), MODP2048)
    with pytest.raises(PeerMisbehaved, match=why):
        accepted_phase2(offer, SA((part(ESP, transform),)))


@pytest.mark.conformance("v1-8")
def test_the_answer_has_one_transform_for_each_protocol() -> None:
    configured = [esp("aes128-sha1"), ah("sha1")]
    offer = offer_phase2(configured, SPIS, M.TUNNEL, bundle=True)
    ah_part, esp_part = offer.proposals
    for answer, why in (
        ((esp_part,), "chose ESP, which we never offered"),
        ((ah_part, esp_part, part(IPCOMP, (2, tunnel()))), "which we never offered"),
        ((ah_part, esp_part._replace(number=2)), "not one proposal"),
        ((ah_part, esp_part._replace(transforms=esp_part.transforms * 2)), "not one proposal"),
        ((ah_part, esp_part._replace(transforms=())), "not one proposal"),
        ((ah_part, esp_part, esp_part), "ESP twice"),
        ((ah_part, esp_part._replace(spi=bytes(4))), "its SPI for ESP"),
        ((), "not one proposal"),
    ):
        with pytest.raises(PeerMisbehaved, match=why):
            accepted_phase2(offer, SA(answer))
    # The order of the protocols is nobody's; numbers SHOULD be kept, no more (RFC 2408 §4.2).
    renumbered = tuple(p._replace(number=3, transforms=(p.transforms[0]._replace(number=9),)) for p in offer.proposals)
    assert [each.protocol for each in accepted_phase2(offer, SA(renumbered[::-1])).parts] == [ESP, AH]


def test_a_responder_that_knows_no_esn_answers_without_it() -> None:
    """RFC 4304 §2: what it says is another transform of ours, whatever number it gives it."""
    offer = offer_phase2([esp("aes128-sha1-esn-noesn")], SPIS, M.TUNNEL)
    first = offer.proposals[0].transforms[0]
    assert (A.EXT_SEQ, 1) in first.attributes
    answer = first._replace(attributes=tuple(each for each in first.attributes if each.type != A.EXT_SEQ))
    (chosen,) = accepted_phase2(offer, SA((offer.proposals[0]._replace(transforms=(answer,)),))).parts
    assert chosen.suite is not None and not chosen.suite.esn
