"""What is offered, chosen and refused of algorithms, in every exchange that negotiates them (RFC 7296 §2.7, §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ikectl.config.model import Connection
from ikectl.crypto.proposal import parse_proposal
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType, Protocol, TransformType
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete
from ikectl.wire.v2.sa import SA, Proposal, Transform
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
from tests.sim.forge import Impostor, Stranger
from tests.sim.site import MOON, child
from tests.sim.wiretap import which

ENCR, PRF, INTEG, KE_TYPE, ESN = (
    TransformType.ENCR,
    TransformType.PRF,
    TransformType.INTEG,
    TransformType.KE,
    TransformType.ESN,
)
MANY = "aes256-aes128-sha512-sha256-x25519-ecp256,aes128gcm16-prfsha256-x25519-ecp256"


def ike(words: str, number: int = 1) -> Proposal:
    return parse_proposal(words, Protocol.IKE)._replace(number=number)


def esp(words: str, number: int = 1, spi: bytes = b"\xc1\x02\x03\x04") -> Proposal:
    return parse_proposal(words, Protocol.ESP)._replace(number=number, spi=spi)


def chosen(message: Message) -> Proposal:
    (proposal,) = message.one(SA).proposals
    return proposal


@pytest.mark.conformance("v2-53", "v2-59")
def test_offers_are_numbered_and_sized_as_they_should() -> None:
    """SAi1: #1 and #2, SPI size 0; SAi2: SPIs of 4; SAi of a rekeyed IKE SA: SPIs of 8, and its answer too."""
    both = child(esp="aes128-sha256,chacha20poly1305"), child(esp="aes128-sha256,chacha20poly1305", mirror=True)
    site, wire = tunnel(ike=MANY, moon_children=both[:1], sun_children=both[1:])
    site.moon.rekey(site.world.now, "site")
    wait(site, 5)
    site.moon.rekey(site.world.now, "site", "net")
    wait(site, 5)
    init, auth, rekey, renew = (
        wire.messages(which(IKE_SA_INIT)),
        wire.messages(which(IKE_AUTH)),
        wire.messages(which(CREATE_CHILD_SA))[:2],
        wire.messages(which(CREATE_CHILD_SA))[2:],
    )
    for messages, octets in ((init, 0), (auth, 4), (rekey, 8), (renew, 4)):
        asked, answered = messages
        assert [proposal.number for proposal in asked.one(SA).proposals] == [1, 2]
        spis = [proposal.spi for proposal in (*asked.one(SA).proposals, *answered.one(SA).proposals)]
        assert {len(spi) for spi in spis} == {octets}
        assert not octets or all(any(spi) for spi in spis)
    for proposal in init[0].one(SA).proposals:
        assert {transform.type for transform in proposal.transforms} >= {ENCR, PRF, KE_TYPE}
        for transform in proposal.transforms:
            assert bool(transform.key_bits) is (transform.type is ENCR), "AES has a key length, others have none"
    fixed = auth[0].one(SA).proposals[1]
    assert [transform.key_bits for transform in fixed.transforms if transform.type is ENCR] == [0], "ChaCha20 is fixed"
    octets = init[0].one(SA).body()
    assert octets.count(b"\x80\x0e\x01\x00") == 1 and octets.count(b"\x80\x0e\x00\x80") == 2, "TV form"
    assert octets[7] == len(init[0].one(SA).proposals[0].transforms)


@pytest.mark.conformance("v2-54")
def test_one_transform_of_each_type_is_chosen() -> None:
    """Six ways to combine: the answer has one of each, our order decides, the number is that of the peer's proposal."""
    site, wire = gateways(ike="aes256-sha512-x25519,aes128gcm16-prfsha256-x25519")
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    offers = (ike("3des-sha1-modp2048", 1), ike("aes128gcm16-prfsha256-x25519", 2), ike(MANY.split(",")[0], 3))
    (answer,) = stranger.ask([SA(offers), ke, nonce])
    choice = chosen(answer.message)
    assert choice.number == 3
    assert sorted(transform.type for transform in choice.transforms) == [ENCR, PRF, INTEG, KE_TYPE]
    assert {transform.type: transform.key_bits for transform in choice.transforms}[ENCR] == 256


@pytest.mark.conformance("v2-55")
@pytest.mark.parametrize(
    "odd",
    [
        Transform(ENCR, 250, 128),
        Transform(TransformType(ENCR), 12, 0, b"\x80\x99\x00\x01"),
        Transform(TransformType(ENCR), 20, 0, b"\x80\x0e\x00\x80\x80\x99\x00\x01"),
    ],
)
def test_unknown_transforms_are_passed_over(odd: Transform) -> None:
    """An unknown id or attribute: that transform does not count, its neighbours do (§3.3.6)."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    good = ike("aes128gcm16-prfsha256-x25519")
    (answer,) = stranger.ask([SA((good._replace(transforms=(odd, *good.transforms)),)), ke, nonce])
    assert odd not in chosen(answer.message).transforms and len(chosen(answer.message).transforms) == 3


@pytest.mark.conformance("v2-55")
def test_a_proposal_with_an_unknown_type_is_passed_over() -> None:
    """A type we do not know spoils its proposal, and no other one."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    good = ike("aes128gcm16-prfsha256-x25519")
    strange = good._replace(transforms=(*good.transforms, Transform(TransformType(200), 1)))
    (answer,) = stranger.ask([SA((strange, good._replace(number=2))), ke, nonce])
    assert chosen(answer.message).number == 2
    (refusal,) = Stranger(wire, site.sun, MOON, seed=9).ask([SA((strange,)), ke, nonce])
    assert notifies(refusal.message) == [NotifyType.NO_PROPOSAL_CHOSEN]


@pytest.mark.conformance("v2-56")
def test_aead_does_not_go_with_integrity() -> None:
    """GCM beside HMAC in one proposal is refused, with integrity NONE it is not (RFC 5282 §8)."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    good = ike("aes128gcm16-prfsha256-x25519")
    for number, accepted in ((12, False), (0, True)):
        offer = good._replace(transforms=(*good.transforms, Transform(INTEG, number)))
        (answer,) = stranger.ask([SA((offer,)), ke, nonce])
        if accepted:
            assert chosen(answer.message).number == 1
        else:
            assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN]


Change = Callable[[Proposal], tuple[Proposal, ...]]
ALTERED: dict[str, Change] = {
    "another number": lambda p: (p._replace(number=7),),
    "never offered": lambda p: (
        p._replace(transforms=tuple(t._replace(key_bits=256) if t.type is ENCR else t for t in p.transforms)),
    ),
    "two of a type": lambda p: (p._replace(transforms=(*p.transforms, p.transforms[0])),),
    "none of a type": lambda p: (p._replace(transforms=p.transforms[1:]),),
    "two proposals": lambda p: (p, p._replace(number=2)),
}


def altering(change: Change) -> Callable[[list[Payload]], list[Payload]]:
    def alter(payloads: list[Payload]) -> list[Payload]:
        return [SA(change(each.proposals[0])) if isinstance(each, SA) else each for each in payloads]

    return alter


@pytest.mark.conformance("v2-57")
@pytest.mark.parametrize("how", ALTERED)
def test_an_answer_outside_of_the_offer_in_ike_sa_init(how: str) -> None:
    """<-- HDR, SAr1 that we did not offer: no IKE_AUTH, and no SA."""
    site, wire = gateways()
    rewrite(wire, which(IKE_SA_INIT, response=True), altering(ALTERED[how]), times=None)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 300)
    assert site.moon.done[token].error is not None and bare(site.moon) and not wire.all(which(IKE_AUTH))


@pytest.mark.conformance("v2-57")
@pytest.mark.parametrize("how", ALTERED)
def test_an_answer_outside_of_the_offer_for_a_child(how: str) -> None:
    """In IKE_AUTH and CREATE_CHILD_SA: that child is refused and deleted at the peer, the IKE SA goes on (§1.2)."""
    site, wire = gateways()
    rewrite(wire, which(IKE_AUTH, response=True), altering(ALTERED[how]))
    token = site.up()
    assert site.moon.done[token].error is not None
    assert len(site.moon.machines) == len(site.sun.machines) == 1 and not site.moon.children and not site.sun.children
    assert wire.messages(which(INFORMATIONAL, by=site.moon))[0].one(Delete).protocol is Protocol.ESP
    rewrite(wire, which(CREATE_CHILD_SA, response=True), altering(ALTERED[how]))
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 10)
    assert site.moon.done[token].error is not None and not site.moon.children and not site.sun.children
    site.moon.initiate("site", "net", site.world.now)
    wait(site, 10)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-57", "v2-59")
@pytest.mark.parametrize("spi", [b"", bytes(8), b"abcd"])
def test_a_rekeyed_ike_sa_needs_an_spi(spi: bytes) -> None:
    """SA of a rekeying with no SPI, a zero or a short one: refused by either end."""
    site, wire = tunnel()
    offer = ike("aes128gcm16-prfsha256-x25519")._replace(spi=spi)
    stranger = Stranger(wire, site.sun, MOON)
    _, ke, nonce = stranger.initial()
    if len(spi) != 4:
        answer = Impostor(wire, site.moon).request(CREATE_CHILD_SA, [SA((offer,)), nonce, ke])
        assert notifies(answer) == [NotifyType.INVALID_SYNTAX] and bare(site.sun)
        site, wire = tunnel()
        rewrite(wire, which(CREATE_CHILD_SA, response=True), altering(lambda p: (p._replace(spi=spi),)))
        token = site.moon.rekey(site.world.now, "site")
        wait(site, 10)
        assert site.moon.done[token].error is not None and bare(site.moon)


@pytest.mark.conformance("v2-58")
@pytest.mark.parametrize(
    ("numbers", "ours", "expected"),
    [
        ((), "aes128gcm16", []),
        ((0,), "aes128gcm16", [0]),
        ((1,), "aes128gcm16-esn", [1]),
        ((0, 1), "aes128gcm16-esn-noesn", None),
        ((1,), "aes128gcm16", False),
        ((), "aes128gcm16-esn", False),
    ],
)
def test_sequence_numbers_of_children(numbers: tuple[int, ...], ours: str, expected: list[int] | bool | None) -> None:
    """No ESN transform counts as "no ESN"; 0 and 1 are negotiated as any other (§3.3.2, §3.3.3)."""
    site, wire = tunnel(sun_children=(child(mirror=True, esp=ours), child(mirror=True)))
    site.moon.terminate(site.world.now, "site", "net")
    wait(site, 5)
    (machine,) = site.sun.machines
    machine.sa.connection = _only_first(machine.sa.connection)
    encr = esp("aes128gcm16").transforms[0]
    offer = Proposal(1, Protocol.ESP, b"abcd", (encr, *(Transform(ESN, number) for number in numbers)))
    selectors = wire.messages(which(IKE_AUTH, by=site.moon))[0]
    nonce = Stranger(wire, site.sun, MOON).initial()[2]
    answer = Impostor(wire, site.moon).request(
        CREATE_CHILD_SA, [SA((offer,)), nonce, selectors.one(TSi), selectors.one(TSr)]
    )
    assert answer is not None
    if expected is False:
        assert notifies(answer) == [NotifyType.NO_PROPOSAL_CHOSEN]
        return
    picked = [transform.id for transform in chosen(answer).transforms if transform.type is ESN]
    assert len(picked) == min(len(numbers), 1) and (expected is None or picked == expected)
    assert site.sun.children[0].suite.esn is (picked == [1])


def _only_first(connection: Connection | None) -> Connection:
    assert connection is not None
    return replace(connection, children=connection.children[:1])


@pytest.mark.conformance("v2-60")
@pytest.mark.parametrize(
    "words",
    [
        "aes128-sha1-modp2048",
        "aes192-sha256-x25519",
        "aes256-sha384-ecp384",
        "aes256-sha512-ecp521",
        "aes128-aesxcbc-prfaesxcbc-x25519",
        "aes128-aescmac-prfaescmac-x25519",
        "aes128ctr-sha256-x25519",
        "aes256ccm16-prfsha384-ecp256",
        "aes256gcm16-prfsha512-x448",
        "chacha20poly1305-prfsha256-x25519",
        "camellia256-sha512-x25519",
        "3des-sha1-modp1536",
    ],
)
def test_both_ends_make_the_same_keys_of_every_size(words: str) -> None:
    """A life under each suite: handshake with a PSK, rekeyed child and IKE SA, and all keys agree."""
    site, _ = tunnel(ike=words)
    for name in ("net", ""):
        site.moon.rekey(site.world.now, "site", name)
        wait(site, 10)
    assert stands(site)
    site.world.settled()
    sa = sa_of(site.moon)
    assert sa.suite is not None and sa.keys is not None
    assert len(sa.keys.sk_d) == sa.suite.prf.key_octets


@pytest.mark.conformance("v2-60")
@pytest.mark.parametrize(
    ("words", "octets"),
    [
        ("aes128gcm16", 16 + 4),
        ("aes256gcm16", 32 + 4),
        ("aes256ccm12", 32 + 3),
        ("aes192ctr-sha256", 24 + 4 + 32),
        ("aes128-sha1", 16 + 20),
        ("aes256-sha384", 32 + 48),
        ("aes256-sha512", 32 + 64),
        ("aes128-aesxcbc", 16 + 16),
        ("chacha20poly1305", 32 + 4),
        ("null-sha256", 32),
    ],
)
def test_children_get_keys_and_salts_of_the_right_size(words: str, octets: int) -> None:
    """What the kernel is given: encryption key with its salt, integrity key of full length."""
    site, _ = tunnel(moon_children=(child(esp=words),), sun_children=(child(mirror=True, esp=words),))
    halves = [*site.moon.kernel.inbound.values(), *site.moon.kernel.outbound.values()]
    assert {len(half.key) for half in halves} == {octets} and halves[0].key != halves[1].key


@pytest.mark.conformance("v2-57")
def test_a_key_of_another_method_than_chosen_is_refused() -> None:
    """<-- HDR, SA (x25519), KE (ecp256), Nr contradicts itself."""
    site, wire = gateways(ike="aes128gcm16-prfsha256-x25519-ecp256")

    def swap(payloads: list[Payload]) -> list[Payload]:
        stranger = Stranger(wire, site.moon, MOON)
        return [payloads[0], stranger.initial(group=KeyExchangeMethod.ECP_256)[1], *payloads[2:]]

    rewrite(wire, which(IKE_SA_INIT, response=True), swap, times=None)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 300)
    assert bare(site.moon) and not wire.all(which(IKE_AUTH))
