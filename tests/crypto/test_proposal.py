from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.crypto import proposal as proposals
from ikectl.crypto import transforms
from ikectl.crypto.proposal import (
    ChildSuite,
    IkeSuite,
    Proposal,
    Transform,
    accepted,
    default_ah,
    default_esp,
    default_ike,
    describe,
    format_proposal,
    offer,
    parse_proposal,
    select,
)
from ikectl.errors import NoProposalChosen, PeerMisbehaved
from ikectl.iana.v2 import EsnId, IntegrityId, KeyExchangeMethod, NotifyType, Protocol, TransformType
from ikectl.wire.v2.sa import SA

T = TransformType
IKE, ESP, AH = Protocol.IKE, Protocol.ESP, Protocol.AH
UNKNOWN_ATTRIBUTE = Transform(T.ENCR, 12, 0, bytes.fromhex("800e0080800f0001"))


def ike(text: str, number: int = 1, spi: bytes = b"") -> Proposal:
    return parse_proposal(text, IKE)._replace(number=number, spi=spi)


def esp(text: str, number: int = 1, spi: bytes = b"\1\2\3\4") -> Proposal:
    return parse_proposal(text, ESP)._replace(number=number, spi=spi)


def words(proposal: Proposal) -> str:
    return format_proposal(proposal)


# -- text ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "protocol", "formatted", "described"),
    [
        (
            "aes256gcm16-prfsha256-x25519",
            IKE,
            "aes256gcm16-prfsha256-x25519",
            "AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519",
        ),
        (
            "aes128-sha256-modp2048",
            IKE,
            "aes128-prfsha256-sha256-modp2048",
            "AES_CBC_128/PRF_HMAC_SHA2_256/HMAC_SHA2_256_128/MODP_2048",
        ),
        # swanctl: the integrity algorithm gives the prf, and goes when the cipher is an AEAD
        (
            "aes128gcm128-sha384-ecp384bp",
            IKE,
            "aes128gcm16-prfsha384-ecp384bp",
            "AES_GCM_16_128/PRF_HMAC_SHA2_384/ECP_384_BP",
        ),
        (
            "aes-sha-modp1024-ke1_mlkem768-ke1_none",
            IKE,
            "aes128-prfsha1-sha1-modp1024-ke1_mlkem768-ke1_none",
            "AES_CBC_128/PRF_HMAC_SHA1/HMAC_SHA1_96/MODP_1024/KE1_ML_KEM_768/KE1_KE_NONE",
        ),
        (
            "chacha20poly1305-x25519-none-esn-noesn",
            ESP,
            "chacha20poly1305-x25519-none-esn-noesn",
            "CHACHA20_POLY1305/CURVE_25519/KE_NONE/EXT_SEQ/NO_EXT_SEQ",
        ),
        ("3des-md5", ESP, "3des-md5-noesn", "3DES_CBC/HMAC_MD5_96/NO_EXT_SEQ"),
        ("null-sha256-prfsha256", ESP, "null-sha256-noesn", "NULL/HMAC_SHA2_256_128/NO_EXT_SEQ"),
        ("sha512-esn", AH, "sha512-esn", "HMAC_SHA2_512_256/EXT_SEQ"),
    ],
)
def test_text(text: str, protocol: Protocol, formatted: str, described: str) -> None:
    proposal = parse_proposal(text, protocol)
    assert (proposal.number, proposal.protocol, proposal.spi) == (1, protocol, b"")
    assert format_proposal(proposal) == formatted
    assert describe(proposal) == described
    assert parse_proposal(formatted, protocol) == proposal


@pytest.mark.parametrize(
    ("text", "protocol", "why"),
    [
        ("aes257-sha256-x25519", IKE, 'unknown algorithm "aes257": did you mean "aes256"?'),
        ("aes128-sha256-mpod2048", IKE, 'did you mean "modp2048"'),
        ("", IKE, "unknown algorithm"),
        ("aes128--sha256", ESP, "unknown algorithm"),
        ("ke8_mlkem768-aes128gcm16-prfsha256-x25519", IKE, "unknown algorithm"),
        ("ke1_aes128-aes128gcm16-prfsha256-x25519", IKE, "unknown algorithm"),
        ("aes128-aes128gcm16-sha256-x25519", IKE, "mixes ciphers"),
        ("aes128-x25519-prfsha256", IKE, "no integrity algorithm"),
        ("aes128", ESP, "no integrity algorithm"),
        ("aes128gcm16-x25519", IKE, "no pseudo-random function"),
        ("aes128gcm16-prfsha256", IKE, "no key exchange"),
        ("sha256-x25519", IKE, "no encryption algorithm"),
        ("aes128", AH, "no integrity algorithm"),
        ("aes128-sha256-x25519-none", IKE, "cannot do without a key exchange"),
        # RFC 7296 §5
        ("null-sha256-x25519", IKE, '"null" cannot protect an IKE SA'),
        ("aes128gmac-prfsha256-x25519", IKE, '"aes128gmac" cannot protect an IKE SA'),
    ],
)
def test_bad_text(text: str, protocol: Protocol, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as mistake:
        parse_proposal(text, protocol)
    assert why in str(mistake.value)


@given(st.text(alphabet="aeshpmodrfxck0123456789-_ ", max_size=40), st.sampled_from((IKE, ESP, AH)))
def test_any_text_is_a_proposal_or_a_mistake(text: str, protocol: Protocol) -> None:
    try:
        proposal = parse_proposal(text, protocol)
    except ValueError:
        return
    assert parse_proposal(format_proposal(proposal), protocol) == proposal


def test_what_a_peer_invents_can_be_printed() -> None:
    odd = Proposal(
        1,
        ESP,
        b"",
        (
            Transform(T(99), 7),
            Transform(T.ENCR, 999, 128),
            Transform(T.INTEG, IntegrityId.NONE),
            Transform(T.ESN, 5),
            UNKNOWN_ATTRIBUTE,
        ),
    )
    assert format_proposal(odd) == "99:7-1:999:128-noauth-5:5-1:12"
    assert describe(odd) == "99:7/1:999_128/INTEG_NONE/5:5/1:12"


def test_defaults_are_modern_and_legal() -> None:
    assert [p.number for p in default_ike()] == [1, 2, 3]
    for proposal in (*default_ike(), *default_esp(), *default_ah()):
        assert select([proposal], [proposal]).transforms
    hybrid = default_ike()
    suite = IkeSuite.of(select(hybrid, hybrid))
    assert (suite.ke, suite.additional) == (KeyExchangeMethod.CURVE_25519, (KeyExchangeMethod.ML_KEM_768,))
    assert not any(IkeSuite.of(select([p], [p])).additional for p in hybrid[1:]), "peers without it find theirs"


# -- offering ------------------------------------------------------------


@pytest.mark.conformance("v2-53")
def test_offers_are_numbered_from_1() -> None:
    made = offer([ike("aes128-sha256-x25519", 7), ike("aes256gcm16-prfsha384-ecp384", 7)], b"8 octets")
    assert [(p.number, p.spi) for p in made] == [(1, b"8 octets"), (2, b"8 octets")]
    octets = SA(made).body()
    assert SA.read(octets).proposals == made


@pytest.mark.conformance("v2-53")
def test_key_length_attribute_is_short_and_where_it_belongs() -> None:
    body = SA(offer([esp("aes256gcm16")], b"spi4")).body()
    assert bytes.fromhex("0300000c 01000014 800e0100") in body  # TV form, type 14, 256
    body = SA(offer([esp("chacha20poly1305"), esp("3des-sha1")], b"spi4")).body()
    assert bytes.fromhex("800e") not in body


def test_without_key_exchange_equal_proposals_become_one() -> None:
    made = offer([esp("aes128gcm16-x25519"), esp("aes128gcm16-ecp256"), esp("aes256gcm16")], b"spi4", without_ke=True)
    assert [words(p) for p in made] == ["aes128gcm16-noesn", "aes256gcm16-noesn"]
    assert [p.number for p in made] == [1, 2]


# -- selecting -----------------------------------------------------------


@pytest.mark.conformance("v2-54")
def test_one_transform_of_each_type_out_of_the_proposal_that_fits() -> None:
    offered = [
        ike("aes128-sha1-modp1024", 1, b"spi"),
        ike("aes256-aes128-sha512-sha256-prfsha512-prfsha256-modp2048-x25519", 2, b"spi"),
    ]
    configured = [ike("aes256gcm16-prfsha256-x25519"), ike("aes128-aes256-sha256-prfsha256-x25519")]
    chosen = select(offered, configured)
    assert words(chosen) == "aes128-prfsha256-sha256-x25519"
    assert (chosen.number, chosen.protocol, chosen.spi) == (2, IKE, b"spi")


@pytest.mark.conformance("v2-54")
def test_our_order_is_preferred() -> None:
    offered = [ike("aes128gcm16-prfsha256-x25519", 1), ike("chacha20poly1305-prfsha256-x25519", 2)]
    configured = [ike("chacha20poly1305-prfsha256-x25519"), ike("aes128gcm16-prfsha256-x25519")]
    assert select(offered, configured).number == 2


def test_number_and_spi_are_of_the_offer_at_hand() -> None:
    """What is remembered of a selection holds neither."""
    configured = default_esp()
    for number, spi in ((1, b"aaaa"), (5, b"bbbb")):
        chosen = select([esp("aes128gcm16", number, spi)], configured)
        assert (chosen.number, chosen.spi) == (number, spi)


@pytest.mark.parametrize(
    "strange",
    [
        Transform(T.ENCR, 12345, 256),
        Transform(T.ENCR, 12),  # AES without its key length
        Transform(T.ENCR, 12, 512),
        Transform(T.ENCR, 28, 256),  # a key length where none belongs
        UNKNOWN_ATTRIBUTE,
        Transform(T.PRF, 4711),
        Transform(T.INTEG, 4711),
        Transform(T.KE, 4711),
    ],
    ids=str,
)
@pytest.mark.conformance("v2-55")
def test_unknown_transforms_are_passed_over(strange: Transform) -> None:
    """RFC 7296 §3.3.6."""
    good = ike("aes128-sha256-x25519")
    offered = good._replace(transforms=(strange, *good.transforms))
    assert select([offered], [good]).transforms == good.transforms
    alone = tuple(t for t in good.transforms if t.type != strange.type)
    with pytest.raises(NoProposalChosen):
        select([good._replace(transforms=(strange, *alone))], [good])


@pytest.mark.conformance("v2-55")
def test_unknown_types_spoil_their_proposal_only() -> None:
    """RFC 7296 §3.3.6."""
    good = ike("aes128-sha256-x25519")
    strange = good._replace(transforms=(*good.transforms, Transform(T(42), 1)))
    with pytest.raises(NoProposalChosen, match="unknown type 42"):
        select([strange], [good])
    assert select([strange, good._replace(number=2)], [good]).number == 2


@pytest.mark.conformance("v2-55")
def test_missing_types_spoil_their_proposal_only() -> None:
    good = ike("aes128-sha256-x25519")
    for kind in (T.ENCR, T.PRF, T.INTEG, T.KE):
        short = good._replace(transforms=tuple(t for t in good.transforms if t.type is not kind))
        with pytest.raises(NoProposalChosen):
            select([short], [good])
        assert select([short, good._replace(number=2)], [good]).number == 2


def test_additional_key_exchanges() -> None:
    """RFC 9370 §2.2.1: types 6 to 12 are chosen like others; NONE makes them optional."""
    plain = ike("aes128gcm16-prfsha256-x25519")
    hybrid = ike("aes128gcm16-prfsha256-x25519-ke1_mlkem768")
    either = ike("aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none")
    for offered, configured in ((hybrid, plain), (plain, hybrid)):
        with pytest.raises(NoProposalChosen, match="additional key exchange 1"):
            select([offered], [configured])
    assert words(select([either], [plain])) == "aes128gcm16-prfsha256-x25519-ke1_none"
    assert words(select([plain], [either])) == "aes128gcm16-prfsha256-x25519"
    suite = IkeSuite.of(select([either], [either]))
    assert suite.additional == (KeyExchangeMethod.ML_KEM_768,)
    assert str(suite) == "AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768"
    assert IkeSuite.of(select([either], [plain])).additional == ()


@pytest.mark.conformance("v2-56")
def test_integrity_beside_an_aead_is_refused() -> None:
    """RFC 5282 §8."""
    good = ike("aes128gcm16-prfsha256-x25519")
    wrong = good._replace(transforms=(*good.transforms, Transform(T.INTEG, IntegrityId.HMAC_SHA2_256_128)))
    with pytest.raises(NoProposalChosen, match="integrity"):
        select([wrong], [good])
    assert select([wrong, good._replace(number=2)], [good]).number == 2


@pytest.mark.conformance("v2-56")
def test_integrity_none_beside_an_aead_is_chosen() -> None:
    good = ike("aes128gcm16-prfsha256-x25519")
    explicit = good._replace(transforms=(*good.transforms, transforms.NO_INTEGRITY))
    chosen = select([explicit], [good])
    assert transforms.NO_INTEGRITY in chosen.transforms
    assert IkeSuite.of(chosen).integrity is None


@pytest.mark.conformance("v2-56")
def test_aead_and_others_in_different_proposals() -> None:
    offered = [ike("aes256-sha256-x25519", 1), ike("aes256gcm16-prfsha256-x25519", 2)]
    assert select(offered, [ike("aes256gcm16-prfsha256-x25519")]).number == 2
    assert select(offered, [ike("aes256-sha256-x25519")]).number == 1


@pytest.mark.conformance("v2-56")
def test_nothing_is_encrypted_without_integrity() -> None:
    bare = ike("aes128-sha256-x25519")
    for integrity in ((), (transforms.NO_INTEGRITY,)):
        kept = tuple(t for t in bare.transforms if t.type is not T.INTEG) + integrity
        with pytest.raises(NoProposalChosen):
            select([bare._replace(transforms=kept)], default_ike())


@pytest.mark.parametrize(
    ("offered", "configured", "esn"),
    [
        ((), "noesn", False),
        ((EsnId.NO_ESN,), "noesn", False),
        ((EsnId.NO_ESN, EsnId.ESN), "noesn", False),
        ((EsnId.NO_ESN, EsnId.ESN), "esn-noesn", True),
        ((EsnId.ESN,), "esn-noesn", True),
        ((EsnId.NO_ESN,), "esn-noesn", False),
        ((), "esn-noesn", False),
        ((EsnId.ESN,), "noesn", None),
        ((EsnId.NO_ESN,), "esn", None),
        ((), "esn", None),
    ],
)
@pytest.mark.conformance("v2-58")
def test_extended_sequence_numbers(offered: tuple[EsnId, ...], configured: str, esn: bool | None) -> None:
    """RFC 7296 §3.3.2. A peer that leaves the transform out is taken to mean none."""
    base = tuple(t for t in esp("aes128gcm16").transforms if t.type is not T.ESN)
    proposal = Proposal(1, ESP, b"spi4", base + tuple(Transform(T.ESN, number) for number in offered))
    ours = [esp(f"aes128gcm16-{configured}")]
    if esn is None:
        with pytest.raises(NoProposalChosen, match="sequence numbers"):
            select([proposal], ours)
        return
    chosen = select([proposal], ours)
    assert ChildSuite.of(chosen).esn is esn
    assert any(t.type is T.ESN for t in chosen.transforms) == bool(offered)


def test_key_exchange_of_a_child_may_be_optional() -> None:
    pfs, optional, plain = esp("aes128gcm16-x25519"), esp("aes128gcm16-x25519-none"), esp("aes128gcm16")
    assert ChildSuite.of(select([pfs], [optional])).ke is KeyExchangeMethod.CURVE_25519
    assert ChildSuite.of(select([plain], [optional])).ke is None
    assert ChildSuite.of(select([optional], [plain])).ke is None
    assert words(select([optional], [plain])) == "aes128gcm16-none-noesn"
    for offered, configured in ((pfs, plain), (plain, pfs)):
        with pytest.raises(NoProposalChosen, match="key exchange"):
            select([offered], [configured])


@pytest.mark.conformance("v2-111")
def test_a_child_has_additional_key_exchanges_behind_a_first_one() -> None:
    """RFC 9370 §2.2.4: one for each type, in the order of types."""
    hybrid, either = esp("aes128gcm16-x25519-ke1_mlkem768"), esp("aes128gcm16-x25519-ke1_mlkem768-ke1_none")
    plain = esp("aes128gcm16-x25519")
    for offered, configured in ((hybrid, hybrid), (hybrid, either), (either, hybrid), (either, either)):
        assert words(select([offered], [configured])) == "aes128gcm16-x25519-noesn-ke1_mlkem768"
    assert words(select([plain], [either])) == words(plain)
    with pytest.raises(NoProposalChosen, match="additional key exchange 1"):
        select([plain], [hybrid])
    optional = esp("aes128gcm16-none-x25519-ke1_mlkem768-ke1_none")
    assert words(select([optional], [optional])) == "aes128gcm16-none-noesn-ke1_none"
    with pytest.raises(NoProposalChosen, match="needs a first key exchange"):
        select([esp("aes128gcm16-none-ke1_mlkem768")], [esp("aes128gcm16-none-ke1_mlkem768")])
    without = hybrid._replace(transforms=tuple(t for t in hybrid.transforms if t.type != TransformType.KE))
    with pytest.raises(PeerMisbehaved, match="additional key exchanges without a first one"):
        accepted([optional], without._replace(number=optional.number))


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("make", [ike, esp])
def test_no_key_exchange_method_serves_twice(make: Callable[[str], Proposal]) -> None:
    """RFC 9370 §2.2.1: the same method again would add nothing."""
    start = "aes128gcm16-prfsha256-" if make is ike else "aes128gcm16-"
    lists = make(start + "x25519-ecp256-ke1_mlkem768-ke1_x25519-ke2_mlkem768-ke2_ecp256-ke3_ecp256-ke3_x25519-ke3_none")
    chosen = select([lists], [lists])
    assert words(chosen).split("-")[-3:] == ["ke1_mlkem768", "ke2_ecp256", "ke3_none"]
    twice = chosen._replace(
        transforms=tuple(t._replace(id=KeyExchangeMethod.ML_KEM_768) if t.id == 19 else t for t in chosen.transforms)
    )
    with pytest.raises(PeerMisbehaved, match="the same key exchange method twice"):
        accepted([lists], twice)
    with pytest.raises(NoProposalChosen, match="a method not chosen before"):
        select([make(start + "x25519-ke1_x25519-ke1_mlkem768")], [make(start + "x25519-ke1_x25519-ke1_mlkem1024")])
    with pytest.raises(ValueError, match="it may serve once"):
        make(start + "x25519-ke1_x25519")


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize(
    ("lists", "chosen"),
    [
        # the first choice of a type is what a later one cannot do without
        ("x25519-ke1_mlkem768-ke1_ecp256-ke2_mlkem768", "x25519-ke1_ecp256-ke2_mlkem768"),
        ("x25519-ecp256-ke1_x25519", "ecp256-ke1_x25519"),
        ("x25519-ecp256-ke1_x25519-ke1_ecp384-ke2_ecp384", "ecp256-ke1_x25519-ke2_ecp384"),
        ("x25519-ke1_ecp256-ke1_ecp384-ke2_ecp384-ke2_ecp521-ke3_ecp256", "x25519-ke1_ecp384-ke2_ecp521-ke3_ecp256"),
        # nothing is given up for a type that need not be
        ("x25519-ke1_mlkem768-ke1_ecp256-ke2_mlkem768-ke2_none", "x25519-ke1_mlkem768-ke2_none"),
        ("x25519-ke1_mlkem768-ke1_none-ke2_mlkem768", "x25519-ke1_none-ke2_mlkem768"),
    ],
)
def test_a_choice_without_duplicates_is_found_if_there_is_one(lists: str, chosen: str) -> None:
    """RFC 9370 §2.2.1: only a responder that is unable to select such algorithms refuses."""
    theirs = ike("aes128gcm16-prfsha256-" + lists)
    assert words(select([theirs], [theirs])) == "aes128gcm16-prfsha256-" + chosen
    assert words(accepted([theirs], select([theirs], [theirs]))).endswith(chosen)


@pytest.mark.conformance("v2-111")
def test_a_child_with_additional_key_exchanges_has_a_first_one() -> None:
    lists = esp("aes128gcm16-none-x25519-ke1_mlkem768")
    assert words(select([lists], [lists])) == "aes128gcm16-x25519-noesn-ke1_mlkem768"


@pytest.mark.conformance("v2-111")
def test_all_seven_additional_key_exchanges_are_chosen_in_their_order() -> None:
    """RFC 9370 §2.2.1: transform types 6 to 12."""
    methods = ("mlkem768", "mlkem1024", "ecp256", "ecp384", "ecp521", "x448", "modp2048")
    text = "-".join(f"ke{number}_{method}" for number, method in enumerate(methods, 1))
    for proposal in (ike(f"aes128gcm16-prfsha256-x25519-{text}"), esp(f"aes128gcm16-x25519-{text}")):
        chosen = select([proposal], [proposal])
        assert words(chosen).endswith(text)
        assert [t.type for t in chosen.transforms[-7:]] == list(range(6, 13))
        suite = IkeSuite.of(chosen) if proposal.protocol is Protocol.IKE else ChildSuite.of(chosen)
        assert len(suite.additional) == 7


def test_in_ike_auth_key_exchange_plays_no_part() -> None:
    """RFC 7296 §1.2."""
    pfs, plain = esp("aes128gcm16-x25519-ke1_mlkem768"), esp("aes128gcm16")
    for offered, configured in ((pfs, plain), (plain, pfs), (pfs, pfs), (esp("aes128gcm16-none"), plain)):
        chosen = select([offered], [configured], without_ke=True)
        assert words(chosen) == "aes128gcm16-noesn"
        assert ChildSuite.of(chosen).ke is None


def test_refusals_say_why_and_stay_short() -> None:
    with pytest.raises(NoProposalChosen) as refusal:
        select([ike("aes128-sha1-modp1024")], [ike("aes256gcm16-prfsha256-x25519"), ike("aes128-sha1-x25519")])
    text = str(refusal.value)
    assert "our aes128-prfsha1-sha1-x25519" in text
    assert "no common key exchange (offered MODP_1024; configured CURVE_25519)" in text
    assert "encryption" not in text
    with pytest.raises(NoProposalChosen, match="the peer offers ESP; configured is IKE"):
        select([esp("aes128gcm16")], default_ike())
    with pytest.raises(NoProposalChosen, match="nothing"):
        select([], [])
    many = Proposal(1, IKE, b"", tuple(Transform(T.ENCR, 1000 + n, 128) for n in range(200)))
    with pytest.raises(NoProposalChosen) as refusal:
        select([many] * 20, default_ike())
    assert len(str(refusal.value)) < 1500


# -- accepting -----------------------------------------------------------

OFFER = offer([ike("aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256"), ike("aes128-sha256-x25519")])


@pytest.mark.conformance("v2-57")
def test_a_legal_answer_is_accepted() -> None:
    for configured in (ike("aes128gcm16-prfsha256-ecp256"), ike("aes128-sha256-x25519")):
        answer = select(OFFER, [configured])
        assert accepted(OFFER, answer) is answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ike("aes256gcm16-prfsha384-x25519", 3), "never offered"),
        (ike("aes256gcm16-prfsha384-x25519", 0), "never offered"),
        (ike("aes256gcm16-prfsha384-x25519", 2), "does not offer"),
        (ike("aes256gcm16-prfsha512-x25519", 1), "does not offer"),
        (ike("aes256gcm8-prfsha384-x25519", 1), "does not offer"),
        (ike("aes192gcm16-prfsha384-x25519", 1), "does not offer"),
        (ike("aes256gcm16-aes128gcm16-prfsha384-x25519", 1), "several"),
        (ike("aes256gcm16-prfsha384-x25519-ecp256", 1), "several"),
        (ike("aes256gcm16-prfsha384-x25519-ke1_mlkem768", 1), "does not offer"),
        (esp("aes256gcm16", 1), "never offered"),
        (Proposal(1, IKE, b"", ike("aes256gcm16-prfsha384-x25519").transforms[:-1]), "no key exchange"),
        (Proposal(1, IKE, b"", ike("aes256gcm16-prfsha384-x25519").transforms[1:]), "no encryption"),
        (Proposal(1, IKE, b"", ()), "no encryption"),
        (
            Proposal(2, IKE, b"", tuple(t for t in ike("aes128-sha256-x25519").transforms if t.type is not T.INTEG)),
            "no int",
        ),
    ],
)
@pytest.mark.conformance("v2-57")
def test_an_illegal_answer_is_refused(answer: Proposal, why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why) as refusal:
        accepted(OFFER, answer)
    assert refusal.value.notify is NotifyType.INVALID_SYNTAX


@pytest.mark.conformance("v2-57")
def test_two_of_a_kind_are_refused_though_both_were_offered() -> None:
    twice = ike("aes256gcm16-prfsha384-x25519")
    with pytest.raises(PeerMisbehaved, match="several"):
        accepted(OFFER, twice._replace(transforms=(*twice.transforms, twice.transforms[0])))


def test_what_says_none_may_be_left_out_of_the_answer() -> None:
    made = offer([esp("aes128gcm16-x25519-none-noesn"), esp("aes128gcm16-esn")], b"spi4")
    bare = esp("aes128gcm16").transforms[:1]
    assert accepted(made, Proposal(1, ESP, b"peer", bare))
    with pytest.raises(PeerMisbehaved, match="sequence numbers"):
        accepted(made, Proposal(2, ESP, b"peer", bare))


def test_a_cipher_of_a_mixed_offer_needs_its_integrity() -> None:
    """Should ever a proposal of ours hold both kinds, the answer must still make a suite."""
    mixed = ike("aes128-sha256-x25519")
    mixed = mixed._replace(transforms=(*mixed.transforms, transforms.NO_INTEGRITY))
    answer = mixed._replace(
        transforms=tuple(t for t in mixed.transforms if t != Transform(T.INTEG, IntegrityId.HMAC_SHA2_256_128))
    )
    with pytest.raises(PeerMisbehaved, match="integrity"):
        accepted([mixed], answer)


# -- suites --------------------------------------------------------------


def test_suites_are_shared() -> None:
    one = IkeSuite.of(ike("aes128-sha256-x25519", 1))
    other = ike("aes128-sha256-x25519", 4, b"spi")
    assert IkeSuite.of(other) is one
    assert IkeSuite.of(other._replace(transforms=tuple(reversed(other.transforms)))) is one
    assert hash(one) == hash(IkeSuite.of(other))
    assert ChildSuite.of(esp("aes128gcm16", 1)) is ChildSuite.of(esp("aes128gcm16-none", 2, b"abcd"))


def test_suites_survive_pickling() -> None:
    """They travel to worker processes with the child they belong to."""
    suites = [IkeSuite.of(select([p], [p])) for p in default_ike()]
    suites += [ChildSuite.of(select([p], [p])) for p in (*default_esp(), *default_ah())]
    for suite in suites:
        again = pickle.loads(pickle.dumps(suite))
        assert (again, hash(again)) == (suite, hash(suite))


def test_suites_print_as_operators_read_them() -> None:
    assert (
        str(IkeSuite.of(ike("aes128-sha256-x25519"))) == "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519"
    )
    assert str(ChildSuite.of(esp("aes256-sha512-ecp256-esn"))) == "AES_CBC_256/HMAC_SHA2_512_256/ECP_256/EXT_SEQ"
    assert str(ChildSuite.of(parse_proposal("sha256", AH))) == "HMAC_SHA2_256_128/NO_EXT_SEQ"


@pytest.mark.parametrize(
    "transforms_",
    [
        ike("aes256-aes128-sha256-x25519").transforms,
        (),
        (*ike("aes128gcm16-prfsha256-x25519").transforms, Transform(T.INTEG, 12)),
        (Transform(T.ENCR, 4711), *ike("aes128-sha256-x25519").transforms[1:]),
    ],
)
def test_what_is_not_chosen_makes_no_suite(transforms_: tuple[Transform, ...]) -> None:
    with pytest.raises(ValueError, match="suite"):
        IkeSuite.of(Proposal(1, IKE, b"", transforms_))


# -- properties ----------------------------------------------------------

ciphers = st.sampled_from([row.keywords[0] for row in transforms.ENCRYPTION if row.ike])
macs = st.sampled_from([row.keywords[0] for row in transforms.INTEGRITY])
prfs = st.sampled_from([row.keywords[0] for row in transforms.PRF])
groups = st.sampled_from([row.keywords[0] for row in transforms.KE])


@st.composite
def ike_proposals(draw: st.DrawFn) -> Proposal:
    several = {"min_size": 1, "max_size": 3, "unique": True}
    aead = draw(st.booleans())
    pool = [row.keywords[0] for row in transforms.ENCRYPTION if row.ike and row.combined == aead]
    parts = draw(st.lists(st.sampled_from(pool), **several))
    parts += draw(st.lists(prfs, **several)) + draw(st.lists(groups, **several))
    parts += [] if aead else draw(st.lists(macs, **several))
    return ike("-".join(parts), draw(st.integers(1, 255)))


any_transform = st.builds(
    Transform,
    st.sampled_from([*T, T(13), T(241)]),
    st.integers(0, 40),
    st.sampled_from((0, 0, 128, 192, 256, 7)),
    st.sampled_from((b"", b"", b"", b"\x80\x0f\0\1")),
)
any_proposal = st.builds(
    Proposal,
    st.integers(0, 255),
    st.sampled_from((IKE, ESP, AH)),
    st.just(b"spi4"),
    st.lists(any_transform, max_size=12).map(tuple),
)


@given(st.lists(ike_proposals(), min_size=1, max_size=4), st.lists(ike_proposals(), min_size=1, max_size=4))
@settings(max_examples=150)
def test_what_one_end_selects_the_other_accepts(offered: list[Proposal], configured: list[Proposal]) -> None:
    made = offer(offered)
    try:
        chosen = select(made, configured)
    except NoProposalChosen:
        assert not any(_overlap(a, b) for a in made for b in configured)
        return
    assert accepted(made, chosen) is chosen
    assert select([chosen], configured).transforms == chosen.transforms
    assert IkeSuite.of(chosen)


def _overlap(a: Proposal, b: Proposal) -> bool:
    kinds = {t.type for t in a.transforms} | {t.type for t in b.transforms}
    return all({t for t in a.transforms if t.type is k} & {t for t in b.transforms if t.type is k} for k in kinds)


@given(st.lists(any_proposal, max_size=5), st.booleans())
@settings(max_examples=150)
def test_any_offer_is_chosen_from_or_refused(offered: list[Proposal], without_ke: bool) -> None:
    configured = (*default_ike(), *default_esp(), *default_ah(), esp("null-sha1-x25519-none"))
    try:
        chosen = select(offered, configured, without_ke=without_ke)
    except NoProposalChosen as refusal:
        assert len(str(refusal)) < 3000
        return
    assert any((p.number, p.protocol, p.spi) == chosen[:3] for p in offered)
    assert len({t.type for t in chosen.transforms}) == len(chosen.transforms)
    assert all(any(t in p.transforms for p in offered) for t in chosen.transforms)


@given(any_proposal)
@settings(max_examples=150)
def test_any_answer_is_accepted_or_refused(answer: Proposal) -> None:
    try:
        accepted(OFFER, answer)
    except PeerMisbehaved:
        return
    assert IkeSuite.of(answer)


def test_what_strangers_send_is_remembered_only_while_it_is_short() -> None:
    """Refused or chosen, a long or odd offer is judged alike and not kept."""
    good = ike("aes128gcm16-prfsha256-x25519")
    long = good._replace(transforms=(*good.transforms, *(Transform(T.ENCR, 2000 + n) for n in range(64))))
    odd = good._replace(transforms=(*good.transforms, Transform(T.ENCR, 20, 0, bytes(40000))))
    proposals._select.cache_clear()
    proposals._judge.cache_clear()
    for offered in ([long], [odd], [good._replace(transforms=())] * 64 + [good]):
        assert words(select(offered, [good])) == words(good)
    for answer in (long, odd):
        with pytest.raises(PeerMisbehaved, match="several"):
            accepted([good], answer)
    assert not proposals._select.cache_info().currsize and not proposals._judge.cache_info().currsize
    assert accepted([good], select([good], [good])) == good
    assert proposals._select.cache_info().currsize == proposals._judge.cache_info().currsize == 1


@pytest.mark.conformance("v2-55")
@pytest.mark.parametrize("extra", [Transform(T.ADDKE1, 0, 0, bytes(8)), Transform(T.INTEG, 0, 128)])
def test_none_with_attributes_is_not_chosen(extra: Transform) -> None:
    """RFC 7296 §3.3.6: a transform with an attribute that is not understood is passed over."""
    good = ike("aes128gcm16-prfsha256-x25519")
    offered = good._replace(transforms=(*good.transforms, extra))
    with pytest.raises(NoProposalChosen):
        select([offered], [good])
