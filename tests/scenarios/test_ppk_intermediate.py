"""Post-quantum pre-shared keys in IKE_INTERMEDIATE (RFC 9867): in every key before anybody says who he is."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.config.model import Fragmentation
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.events import AuthFailed, Event, Note
from ikectl.values.identity import Identity
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDi
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Notify
from tests.scenarios.quantum import FALSE, KEY, MINE, OTHER, outcome, sites
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, notifies, rewrite, sa_of, stands, wait
from tests.scenarios.test_attacks import racer
from tests.scenarios.test_ppk import by_eap
from tests.sim.forge import Impostor
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

N = NotifyType
INTERMEDIATE = ExchangeType.IKE_INTERMEDIATE
PLAIN = "aes128gcm16-prfsha256-x25519"
WANTED = {"ppk_id": MINE}
REQUIRED = {"ppk_id": MINE, "ppk_required": True}
LATER = {"ppk_intermediate": False}
"""As an end that knows RFC 8784 alone."""


def said(wire: Wiretap, exchange: ExchangeType) -> list[list[NotifyType]]:
    """What of all this each message of an exchange said."""
    kinds = (N.INTERMEDIATE_EXCHANGE_SUPPORTED, N.USE_PPK, N.USE_PPK_INT, N.PPK_IDENTITY, N.PPK_IDENTITY_KEY)
    return [[kind for kind in notifies(message) if kind in kinds] for message in wire.messages(which(exchange))]


def told(host: Host) -> str:
    events: list[Event] = [*host.saw(Note), *host.saw(AuthFailed)]
    return "\n".join(event.text() for event in events)


def hmac256(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


@pytest.mark.conformance("v2-73")
def test_all_keys_have_it_before_identities_are_sent() -> None:
    """Beside N(USE_PPK), N(USE_PPK_INT) -->  <-- N(USE_PPK_INT) alone
    HDR, SK {N(PPK_IDENTITY_KEY, 2 | id | confirmation)} -->  <-- HDR, SK {N(PPK_IDENTITY, 2 | id)}
    HDR, SK {IDi, AUTH, ...} -->

    By hand: SKEYSEED is prf+(PPK, SK_d), and makes all seven keys; what confirms is prf(PPK, Ni | Nr | SPIi | SPIr).
    """
    site, wire = sites(WANTED, ike=PLAIN)
    assert not outcome(site) and stands(site)
    supported = N.INTERMEDIATE_EXCHANGE_SUPPORTED
    assert said(wire, IKE_SA_INIT) == [[supported, N.USE_PPK, N.USE_PPK_INT], [supported, N.USE_PPK_INT]]
    assert said(wire, INTERMEDIATE) == [[N.PPK_IDENTITY_KEY], [N.PPK_IDENTITY]]
    assert said(wire, IKE_AUTH) == [[], []]
    asked, answered = wire.messages(which(INTERMEDIATE))
    init, answer = wire.messages(which(IKE_SA_INIT))
    seed = init.one(Nonce).value + answer.one(Nonce).value + answer.spi_i + answer.spi_r
    key, chosen = asked.notify(N.PPK_IDENTITY_KEY), answered.notify(N.PPK_IDENTITY)
    assert key is not None and key.data == b"\x02quantum" + hmac256(KEY["quantum"], seed)[:8]
    assert chosen is not None and chosen.data == b"\x02quantum"
    ((_, before),) = wire.former[answer.spi_i, answer.spi_r]
    skeyseed = hmac256(KEY["quantum"], before.sk_d, b"\x01")
    material = block = b""
    for number in range(1, 7):
        block = hmac256(skeyseed, block, seed, bytes((number,)))
        material += block
    for host in (site.moon, site.sun):
        keys = sa_of(host).keys
        assert keys is not None and sa_of(host).ppk
        assert (keys.sk_d, keys.sk_ei, keys.sk_er) == (material[:32], material[32:52], material[52:72])
    for name in ("net", ""):
        site.moon.rekey(site.world.now, "site", name)
        wait(site, 10)
    assert stands(site) and sa_of(site.moon).ppk
    site.world.settled()


@pytest.mark.conformance("v2-73", "v2-111")
@pytest.mark.parametrize("rounds", ["ke1_mlkem768", "ke1_mlkem768-ke2_ecp256", "ke1_none-ke3_x448"])
def test_it_goes_with_the_last_additional_key_exchange(rounds: str) -> None:
    """HDR, SK {KEi(n), N(PPK_IDENTITY_KEY)} -->  <-- HDR, SK {KEr(n), N(PPK_IDENTITY)}: and is mixed in behind it."""
    site, wire = sites(WANTED | {"fragmentation": Fragmentation.NO}, ike=f"{PLAIN}-{rounds}")
    assert not outcome(site) and stands(site) and sa_of(site.moon).ppk and sa_of(site.sun).ppk
    times = rounds.count("-") + 1 - rounds.count("none")
    assert said(wire, INTERMEDIATE) == [*[[], []] * (times - 1), [N.PPK_IDENTITY_KEY], [N.PPK_IDENTITY]]
    assert all(message.get(KE) is not None for message in wire.messages(which(INTERMEDIATE)))
    site.world.settled()


def test_it_goes_with_fragments_too() -> None:
    site, _ = sites(WANTED, ike=f"{PLAIN}-ke1_mlkem1024")
    assert not outcome(site) and stands(site) and sa_of(site.moon).ppk and sa_of(site.sun).ppk
    site.world.settled()


# fmt: off
TABLE = [
    # initiator, its keys, responder, its keys: in which exchange the key goes in, or why there is no IKE SA
    ({},               KEY, {},                     KEY,   None),
    (WANTED,           KEY, {},                     {},    None),
    (WANTED,           KEY, {},                     KEY,   INTERMEDIATE),
    (WANTED,           KEY, REQUIRED,               KEY,   INTERMEDIATE),
    (WANTED,           KEY, {},                     {"": KEY["quantum"]}, INTERMEDIATE),
    (WANTED,           KEY, LATER,                  KEY,   IKE_AUTH),    # the responder knows RFC 8784 alone
    (WANTED | LATER,   KEY, {},                     KEY,   IKE_AUTH),    # the initiator does
    (REQUIRED,         KEY, REQUIRED | LATER,       KEY,   IKE_AUTH),
    (REQUIRED | LATER, KEY, REQUIRED,               KEY,   IKE_AUTH),
    (WANTED,           KEY, {},                     OTHER, None),
    (WANTED,           KEY, {},                     FALSE, None),
    (WANTED,           KEY, {"ppk_id": Identity.parse("other")}, KEY | OTHER, None),
    (WANTED,           KEY, REQUIRED,               OTHER, "it requires a post-quantum key and does not have ours"),
    (WANTED,           KEY, REQUIRED,               FALSE, "it requires a post-quantum key and does not have ours"),
    (WANTED,           KEY, {"ppk_required": True}, OTHER, "it requires a post-quantum key and does not have ours"),
    (REQUIRED,         KEY, {},                     OTHER, "did not use a post-quantum key that is known to both"),
    (REQUIRED,         KEY, {},                     FALSE, "did not use a post-quantum key that is known to both"),
    (REQUIRED,         KEY, {},                     {},    "the peer has no post-quantum keys"),
    ({},               KEY, REQUIRED,               KEY,   "AUTHENTICATION_FAILED"),
]
# fmt: on


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize(("moon", "moon_has", "sun", "sun_has", "wanted"), TABLE)
def test_what_comes_of_each_configuration(
    moon: dict[str, Any], moon_has: dict[str, bytes], sun: dict[str, Any], sun_has: dict[str, bytes], wanted: Any
) -> None:
    site, wire = sites(moon, sun, moon_has, sun_has)
    error = outcome(site)
    if isinstance(wanted, str):
        assert wanted in error
        wait(site, 60)
        assert bare(site.moon) and bare(site.sun)
    else:
        assert not error and stands(site)
        assert sa_of(site.moon).ppk is sa_of(site.sun).ppk is (wanted is not None)
        for exchange in (INTERMEDIATE, IKE_AUTH):
            assert any(N.PPK_IDENTITY in kinds for kinds in said(wire, exchange)[1:]) is (wanted is exchange)
        site.world.settled()
    for host in (site.moon, site.sun):
        for key in (*moon_has.values(), *sun_has.values()):
            assert not any(key.decode() in repr(event) + event.text() for event in host.events)


@pytest.mark.parametrize(
    ("sun_has", "why"), [(OTHER, "it names 'quantum', which is not in secrets.ppk"), (FALSE, "its secret of 'quantum'")]
)
@pytest.mark.parametrize("sun", [{}, {"ppk_required": True}])
def test_a_responder_says_what_differs(sun: dict[str, Any], sun_has: dict[str, bytes], why: str) -> None:
    """To its operator: the wire tells a wrong key and an unknown one alike."""
    site, wire = sites(WANTED, sun=sun, sun_has=sun_has)
    error = outcome(site)
    assert bool(error) is bool(sun) and why in told(site.sun)
    answer = wire.messages(which(INTERMEDIATE))[1]
    assert notifies(answer) == ([N.AUTHENTICATION_FAILED] if sun else [])
    assert sun or "does not have our post-quantum key of quantum" in told(site.moon)


@pytest.mark.conformance("v2-73")
def test_it_survives_bad_links() -> None:
    up = 0
    for seed in range(60):
        link = Link(loss=0.25, duplication=0.2, jitter=0.3)
        site, _ = sites(WANTED, seed=seed, link=link, ike=PLAIN + ("-ke1_ecp256" if seed % 2 else ""))
        token = site.up(within=1200.0)
        if site.moon.done[token].error is None:
            up += 1
            assert sa_of(site.moon).ppk
        assert not site.moon.saw(AuthFailed) and not site.sun.saw(AuthFailed)
    assert up > 50


def test_auth_covers_it() -> None:
    """RFC 9242 §3.3.2, with no additional key exchange: our own record of the exchange is spoilt, and AUTH shows it."""
    site, _ = sites(WANTED, ike=PLAIN)

    def spoil(*_: object) -> bool:
        for machine in site.sun.machines:
            shake = machine.sa.handshake
            if shake is not None and shake.int_auth_i:
                shake.int_auth_i = bytes(32)
        return True

    site.world.taps.append(spoil)
    assert "AUTHENTICATION_FAILED" in outcome(site)


def put(kind: NotifyType, *instead: Notify) -> Any:
    """A change of payloads: these in the place of all notifies of that type."""

    def changed(payloads: list[Payload]) -> list[Payload]:
        return [*(p for p in payloads if not (isinstance(p, Notify) and p.type is kind)), *instead]

    return changed


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x02" + bytes(8), b"\x00quantum" + bytes(8), b"\x03quantum" + bytes(8), b"\x02q"]
)
def test_a_malformed_name_ends_it(data: bytes) -> None:
    """HDR, SK {N(PPK_IDENTITY_KEY, too short or of no known type)} -->  <-- HDR, SK {N(INVALID_SYNTAX)}"""
    site, wire = sites(WANTED)
    rewrite(wire, which(INTERMEDIATE, by=site.moon), put(N.PPK_IDENTITY_KEY, Notify(N.PPK_IDENTITY_KEY, data)))
    assert "INVALID_SYNTAX" in outcome(site)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.parametrize("data", [b"", b"\x02other", b"\x01quantum", b"quantum"])
def test_a_responder_cannot_choose_what_was_not_named(data: bytes) -> None:
    site, wire = sites(WANTED)
    rewrite(wire, which(INTERMEDIATE, by=site.sun), put(N.PPK_IDENTITY, Notify(N.PPK_IDENTITY, data)), times=None)
    assert "chose a post-quantum key that we did not name" in outcome(site)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


def test_a_responder_that_claims_the_key_without_it_gets_no_further() -> None:
    """<-- HDR, SK {N(PPK_IDENTITY, quantum)} of one that has it not: it can read nothing from then on."""
    site, wire = sites(WANTED, sun_has=FALSE)
    claim = put(N.PPK_IDENTITY, Notify(N.PPK_IDENTITY, b"\x02quantum"))
    rewrite(wire, which(INTERMEDIATE, by=site.sun), claim, times=None)
    assert "does not answer" in outcome(site)
    assert not any(machine.sa.established_at for machine in site.sun.machines)


def many(names: list[bytes]) -> Any:
    def changed(payloads: list[Payload]) -> list[Payload]:
        ours = [p for p in payloads if isinstance(p, Notify) and p.type is N.PPK_IDENTITY_KEY]
        return [*(Notify(N.PPK_IDENTITY_KEY, b"\x02" + name + bytes(8)) for name in names), *ours]

    return changed


@pytest.mark.parametrize(("strangers", "used"), [(1, True), (7, True), (8, False), (50, False)])
def test_the_first_in_common_is_chosen_of_a_bounded_number(strangers: int, used: bool) -> None:
    """An initiator may name several keys; of dozens only the first eight are looked up."""
    site, wire = sites(WANTED, sun_has=KEY | {"absent-0": b"of that name, but of another secret"})
    rewrite(wire, which(INTERMEDIATE, by=site.moon), many([b"absent-%d" % n for n in range(strangers)]))
    asked: list[object] = []
    find = site.sun.ppks.find
    site.sun.ppks.find = lambda identity: (asked.append(identity), find(identity))[1]  # type: ignore[method-assign]
    outcome(site)
    assert len(asked) == min(strangers + 1, 8)
    answer = wire.messages(which(INTERMEDIATE))[1]
    assert (answer.notify(N.PPK_IDENTITY) is not None) is used


def test_it_is_named_in_the_last_exchange_and_no_other() -> None:
    """HDR, SK {KEi(1), N(PPK_IDENTITY_KEY)} where KEi(2) is still to come: INVALID_SYNTAX."""
    site, wire = sites(WANTED, ike=f"{PLAIN}-ke1_ecp256-ke2_ecp384")
    name = Notify(N.PPK_IDENTITY_KEY, b"\x02quantum" + bytes(8))
    rewrite(wire, which(INTERMEDIATE, by=site.moon), lambda payloads: [*payloads, name])
    assert "INVALID_SYNTAX" in outcome(site)


def impostor(moon: dict[str, Any] = WANTED, **options: Any) -> tuple[Site, Impostor]:
    """One that did IKE_SA_INIT with sun, and now says what it likes."""
    site, wire = sites(moon, **options)
    wire.hold(lambda seen: seen.host is site.moon and seen.message.exchange is not IKE_SA_INIT)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    return site, Impostor(wire, site.moon)


@pytest.mark.parametrize("ppk_in", [True, False])
def test_there_is_one_such_exchange_and_none_without_need(ppk_in: bool) -> None:
    """An initiator that nobody knows yet cannot keep us busy: what was not agreed on, or is done, ends the SA."""
    site, stranger = impostor(WANTED if ppk_in else {})
    if ppk_in:
        first = stranger.request(INTERMEDIATE, [], message_id=1)
        assert first is not None and not notifies(first), "it has no key to name"
    answer = stranger.request(INTERMEDIATE, [], message_id=2 if ppk_in else 1)
    assert answer is not None and notifies(answer) == [N.INVALID_SYNTAX]
    wait(site, 60)
    assert bare(site.sun)


def test_no_key_exchange_that_was_not_agreed_on() -> None:
    _, stranger = impostor()
    stray = stranger.wire.messages(which(IKE_SA_INIT))[0].one(KE)
    answer = stranger.request(INTERMEDIATE, [stray], message_id=1)
    assert answer is not None and notifies(answer) == [N.INVALID_SYNTAX]


def named(stranger: Impostor) -> Notify:
    """N(PPK_IDENTITY_KEY) as an initiator has it that has the key."""
    shake, sa = stranger.sa.handshake, stranger.sa
    assert shake is not None
    seed = shake.nonce_i + shake.nonce_r + sa.spi_i + sa.spi_r
    return Notify(N.PPK_IDENTITY_KEY, b"\x02quantum" + hmac256(KEY["quantum"], seed)[:8])


def test_a_separate_last_exchange_will_do() -> None:
    """HDR, SK {KEi(1)} -->  HDR, SK {N(PPK_IDENTITY_KEY)} -->: an initiator may name it behind all key exchanges."""
    site, wire = sites(WANTED, ike=f"{PLAIN}-ke1_ecp256")
    rewrite(wire, which(INTERMEDIATE, by=site.moon), put(N.PPK_IDENTITY_KEY))
    wire.hold(which(INTERMEDIATE, by=site.sun), times=1)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    stranger = Impostor(wire, site.moon)
    answer = stranger.request(INTERMEDIATE, [named(stranger)], message_id=2)
    assert answer is not None and notifies(answer) == [N.PPK_IDENTITY]
    sa = sa_of(site.sun)
    assert sa.ppk and sa.handshake is not None and (sa.handshake.rounds, sa.handshake.intermediates) == (1, 2)


def test_keys_do_not_change_once_authentication_began() -> None:
    """HDR, SK {IDi, ...} --> which EAP answers; HDR, SK {N(PPK_IDENTITY_KEY)} -->  <-- HDR, SK {N(INVALID_SYNTAX)}"""
    site, wire = by_eap(EapType.MD5, ppk_intermediate=True)
    wire.hold(lambda seen: seen.host is site.moon and seen.message.exchange is not IKE_SA_INIT)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    stranger = Impostor(wire, site.moon)
    begun = stranger.request(IKE_AUTH, [IDi.of(Identity.parse("carol"))], message_id=1)
    assert begun is not None and not begun.errors
    answer = stranger.request(INTERMEDIATE, [named(stranger)], message_id=2)
    assert answer is not None and notifies(answer) == [N.INVALID_SYNTAX]


def test_a_peer_that_wants_it_must_know_the_exchange() -> None:
    """<-- HDR, SA, KE, Nr, N(USE_PPK_INT) without N(INTERMEDIATE_EXCHANGE_SUPPORTED) contradicts itself."""
    site, wire = sites(WANTED)
    rewrite(wire, which(IKE_SA_INIT, by=site.sun), put(N.INTERMEDIATE_EXCHANGE_SUPPORTED), times=None)
    assert "which it does not know" in outcome(site)


KINDS = st.sampled_from([N.PPK_IDENTITY_KEY, N.PPK_IDENTITY, N.NO_PPK_AUTH, N.USE_PPK_INT])
CONTENTS = st.one_of(st.binary(max_size=40), st.binary(min_size=8, max_size=8).map(lambda end: b"\x02quantum" + end))


@given(st.lists(st.tuples(KINDS, CONTENTS), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_a_stranger_names_is_answered_or_ends_the_sa(said: list[tuple[NotifyType, bytes]]) -> None:
    """HDR, SK {N(anything)} -->: PPK_IDENTITY takes the key, and nobody has one by chance."""
    site, stranger = impostor()
    answer = stranger.request(INTERMEDIATE, [Notify(kind, data) for kind, data in said], message_id=1)
    assert answer is not None and notifies(answer) in ([], [N.INVALID_SYNTAX])
    assert not any(machine.sa.ppk for machine in site.sun.machines)
    wait(site, 150)
    assert bare(site.sun)


@pytest.mark.conformance("v2-38", "v2-73")
@pytest.mark.parametrize("evil_has", [{}, FALSE, OTHER, KEY], ids=["none", "false", "other", "ours"])
@pytest.mark.parametrize("moon", [WANTED, REQUIRED], ids=["wanted", "required"])
@pytest.mark.parametrize("evil_knows", [{}, LATER], ids=["RFC 9867", "RFC 8784"])
def test_who_answers_faster_neither_takes_it_away_nor_leaves_a_trace(
    moon: dict[str, Any], evil_has: dict[str, bytes], evil_knows: dict[str, Any]
) -> None:
    """The racer's IKE_SA_INIT and IKE_INTERMEDIATE come first, with its own keys or none; sun's are used in the end."""
    site, _ = sites(moon)
    evil = racer(site, ppks=evil_has)
    (nameless,) = evil.engine.connections.all
    evil.load(replace(nameless, **evil_knows))
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, within=60.0)
    assert site.moon.done[token].error is None
    wait(site, 1)
    assert stands(site) and sa_of(site.moon).ppk and sa_of(site.sun).ppk


@pytest.mark.conformance("v2-73")
def test_with_eap_identities_are_protected_by_it() -> None:
    site, wire = by_eap(EapType.MSCHAPV2, ppk_intermediate=True)
    assert not outcome(site) and stands(site) and sa_of(site.moon).ppk and sa_of(site.sun).ppk
    assert said(wire, INTERMEDIATE) == [[N.PPK_IDENTITY_KEY], [N.PPK_IDENTITY]]
    assert not any(said(wire, IKE_AUTH))
    assert wire.messages(which(IKE_AUTH, holds=IDi)) and wire.messages(which(IKE_AUTH, holds=AUTH))
    site.world.settled()
