"""IKE_FOLLOWUP_KE: additional key exchanges of children and rekeyed IKE SAs (RFC 9370 §2.2.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ikectl.config.model import Fragmentation
from ikectl.crypto import ke as methods
from ikectl.crypto.kdf_v2 import derive_child, derive_rekeyed_ike
from ikectl.crypto.proposal import ChildSuite, IkeSuite, parse_proposal
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType, Protocol
from ikectl.sa import asks
from ikectl.sa.events import ChildFailed, Note
from ikectl.sa.followups import MAX_PENDING, TIMEOUT
from ikectl.values.secret import Secret
from ikectl.values.selector import TrafficSelector
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    bare,
    end,
    loses,
    notifies,
    other,
    rewrite,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor, Stranger
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, Site, child
from tests.sim.wiretap import Wiretap, which

FOLLOWUP = ExchangeType.IKE_FOLLOWUP_KE
LINK = NotifyType.ADDITIONAL_KEY_EXCHANGE
ROUNDS = "-ke1_mlkem768-ke2_ecp384"
IKE = "aes128gcm16-prfsha256-x25519" + ROUNDS
ESP = "aes128gcm16-x25519" + ROUNDS
LAN = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16"}
ENDS = ["moon", "sun"]

ACTS: dict[str, Callable[[Host, float], int]] = {
    "creates a child": lambda host, now: host.initiate("site", "lan", now),
    "rekeys a child": lambda host, now: host.rekey(now, "site", "net"),
    "rekeys the IKE SA": lambda host, now: host.rekey(now, "site"),
}
RENEWALS = [act for act in ACTS if act.startswith("rekeys")]


def pair(esp: str = ESP, sun_esp: str | None = None, ike: str = IKE, **options: Any) -> tuple[Site, Wiretap]:
    """A tunnel with a second child configured, and additional key exchanges everywhere.

    Messages are whole, so that who listens can read them; fragments are another story's.
    """
    theirs = sun_esp or esp
    whole: dict[str, Any] = {"fragmentation": Fragmentation.NO}
    return tunnel(
        ike=ike,
        moon_children=(child(esp=esp), child("lan", esp=esp, **LAN)),
        sun_children=(child(esp=theirs, mirror=True), child("lan", esp=theirs, mirror=True, **LAN)),
        **{"moon": whole, "sun": whole} | options,
    )


def secrets_of(host: Host) -> list[bytes]:
    """What the key exchanges that `host` begins come to, from now on."""
    found: list[bytes] = []
    combine = host.answers[asks.CombineKe]

    def remember(ask: asks.CombineKe) -> Secret:
        secret: Secret = combine(ask)
        found.append(bytes(secret))
        return secret

    host.answers[asks.CombineKe] = remember
    return found


def link(message: Message) -> bytes | None:
    notify = message.notify(LINK)
    return notify.data if notify is not None else None


def whole(site: Site, names: set[str]) -> bool:
    """Both ends have these children, and packets pass on all of them."""
    return (
        {c.name for c in site.moon.children} == {c.name for c in site.sun.children} == names
        and len(site.moon.children) == len(site.sun.children) == len(names)
        and site.world.carries(site.moon, site.sun)
        and site.world.carries(site.sun, site.moon)
    )


# -- one end ------------------------------------------------------------------------


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize("act", ACTS)
def test_further_key_exchanges_follow_and_all_secrets_make_the_keys(who: str, act: str) -> None:
    """CREATE_CHILD_SA: KE(0) <-- KE(0) N(link1);  IKE_FOLLOWUP_KE: KE(1) N(link1) <-- KE(1) N(link2);  and so on

    KEYMAT = prf+(SK_d, SK(0) | Ni | Nr | SK(1) | SK(2)), and SKEYSEED likewise.
    """
    site, wire = pair()
    host = end(site, who)
    old, shared, mark = sa_of(host), secrets_of(host), len(wire.seen)
    assert old.keys is not None and old.suite is not None
    prf, sk_d = old.suite.prf, bytes(old.keys.sk_d)
    made: list[asks.InstallChild] = []
    install = host.answers[asks.InstallChild]

    def watch(ask: asks.InstallChild) -> None:
        made.append(ask)
        keys.append(ask.child.keys)
        install(ask)

    keys: list[object] = []
    host.answers[asks.InstallChild] = watch
    token = ACTS[act](host, site.world.now)
    wait(site, 10)
    assert host.done[token].error is None
    asked, answered, *rest = wire.messages(since=mark)
    first, first_answer, second, second_answer = rest[:4]
    assert [m.exchange for m in (asked, first, second)] == [CREATE_CHILD_SA, FOLLOWUP, FOLLOWUP]
    assert link(asked) is None and link(answered)
    assert [type(p) for p in first.payloads] == [KE, Notify] and link(first) == link(answered)
    assert link(first_answer) not in (None, link(answered)) and link(second) == link(first_answer)
    assert [type(p) for p in second_answer.payloads] == [KE], "the last answer announces no further one"
    assert [m.one(KE).method for m in (asked, first, second)] == [
        KeyExchangeMethod.CURVE_25519,
        KeyExchangeMethod.ML_KEM_768,
        KeyExchangeMethod.ECP_384,
    ]
    assert len(first.one(KE).public) == 1184 and len(first_answer.one(KE).public) == 1088
    nonces = asked.one(Nonce).value, answered.one(Nonce).value
    chosen = answered.one(SA).proposals[0]
    if act == "rekeys the IKE SA":
        spis = asked.one(SA).proposals[0].spi, chosen.spi
        suite = IkeSuite.of(chosen)
        wanted = derive_rekeyed_ike(suite, prf, sk_d, shared[0], *nonces, *spis, shared[1] + shared[2])
        new = sa_of(host).keys
        assert new is not None and (new.sk_d, new.sk_ei, new.sk_er) == (wanted.sk_d, wanted.sk_ei, wanted.sk_er)
        assert whole(site, {"net"})
    else:
        child_suite = ChildSuite.of(chosen)
        assert keys[0] == derive_child(prf, child_suite, sk_d, *nonces, shared[0], shared[1] + shared[2])
        assert whole(site, {"net", "lan"} if act == "creates a child" else {"net"})
    site.world.settled()


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize(
    ("esp", "sun_esp", "chosen"),
    [
        (ESP, f"{ESP}-ke1_none-ke2_none", ["ML_KEM_768", "ECP_384"]),
        (f"{ESP}-ke2_none", "aes128gcm16-x25519-ke1_mlkem768", ["ML_KEM_768"]),
        (f"{ESP}-ke1_none-ke2_none", "aes128gcm16-x25519", []),
        ("aes128gcm16-x25519-ke1_none-ke3_x448", "aes128gcm16-x25519-ke3_x448", ["CURVE_448"]),
        (f"{ESP},aes128gcm16", "aes128gcm16", []),
    ],
)
def test_what_is_optional_may_be_left_out(esp: str, sun_esp: str, chosen: list[str]) -> None:
    """RFC 9370 §2.2.1: NONE in a type, or a type that one end does not list."""
    site, wire = pair(esp, sun_esp)
    mark = len(wire.seen)
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 10)
    assert site.moon.done[token].error is None and whole(site, {"net", "lan"})
    asked = wire.messages(which(FOLLOWUP, response=False), since=mark)
    assert [m.one(KE).method.name for m in asked] == chosen
    site.world.settled()


@pytest.mark.conformance("v2-111")
def test_a_child_that_wants_them_is_not_made_without() -> None:
    """<-- HDR, SK {N(NO_PROPOSAL_CHOSEN)}, and both ends say which key exchange is missing or too many."""
    site, wire = pair(ESP, "aes128gcm16-x25519")
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 10)
    error = site.moon.done[token].error
    assert error is not None and "NO_PROPOSAL_CHOSEN" in error and whole(site, {"net"})
    assert any("additional key exchange 1" in event.text() for event in site.sun.events if hasattr(event, "text"))
    assert not wire.messages(which(FOLLOWUP))
    site.world.settled()


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("lost", range(6))
def test_any_message_of_the_series_may_be_lost(act: str, lost: int) -> None:
    """Requests are repeated, answers too; no key exchange is done twice."""
    site, wire = pair()
    count = iter(range(6))
    wire.hold(lambda seen: seen.message.exchange in (CREATE_CHILD_SA, FOLLOWUP) and next(count, -1) == lost)
    mark = len(wire.seen)
    token = ACTS[act](site.moon, site.world.now)
    wait(site, 60)
    assert site.moon.done[token].error is None
    asked = {seen.octets: seen.message for seen in wire.all(which(FOLLOWUP, response=False), since=mark)}
    assert len(asked) == 2
    assert whole(site, {"net", "lan"} if act == "creates a child" else {"net"})
    site.world.settled()


@pytest.mark.conformance("v2-111")
def test_the_series_survives_bad_links() -> None:
    for seed in range(40):
        site, _ = pair(seed=seed, moon={}, sun={})  # in fragments, some of which are lost
        site.world.link = Link(loss=0.2, duplication=0.2, delay=0.02, jitter=0.3)
        for act in ACTS:
            ACTS[act](site.moon, site.world.now)
            ACTS[act](site.sun, site.world.now + 0.1)
            wait(site, 40)
        site.world.link = Link()
        wait(site, 900)
        names = {c.name for c in site.moon.children}
        assert "net" in names and "lan" in names, seed
        site.world.settled()


# -- what is forgotten -------------------------------------------------------------


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("act", ACTS)
def test_who_goes_on_too_late_begins_anew(act: str) -> None:
    """IKE_FOLLOWUP_KE after more than 20 s -->  <-- N(STATE_NOT_FOUND);  CREATE_CHILD_SA --> and all of it again."""
    site, wire = pair()
    held = wire.hold(which(FOLLOWUP, by=site.moon))
    mark = len(wire.seen)
    token = ACTS[act](site.moon, site.world.now)
    wait(site, TIMEOUT + 1)
    assert not site.sun.kernel.larval, "what was reserved is given back"
    assert any("did not go on" in note.text() for note in site.sun.saw(Note))
    wire.release(held)
    wait(site, 60)
    refused = wire.messages(which(FOLLOWUP, by=site.sun, response=True), since=mark)
    assert notifies(refused[0]) == [NotifyType.STATE_NOT_FOUND]
    (notify,) = refused[0].payloads
    assert isinstance(notify, Notify) and (notify.protocol, notify.spi, notify.data) == (Protocol.NONE, b"", b"")
    assert site.moon.done[token].error is None
    assert whole(site, {"net", "lan"} if act == "creates a child" else {"net"})
    site.world.settled()


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("act", ACTS)
def test_a_peer_that_always_forgets_is_left(act: str) -> None:
    """N(STATE_NOT_FOUND) after several retries is fatal: the IKE SA is deleted (RFC 9370 §2.2.4)."""
    site, wire = pair()

    def forget(payloads: list[Payload]) -> list[Payload]:
        return [Notify(NotifyType.STATE_NOT_FOUND)]

    rewrite(wire, which(FOLLOWUP, by=site.sun, response=True), forget, times=None)
    token = ACTS[act](site.moon, site.world.now)
    wait(site, 400)
    error = site.moon.done[token].error
    assert error is not None and "forgot" in error
    assert len(wire.messages(which(CREATE_CHILD_SA, by=site.moon, response=False))) == 4
    assert bare(site.moon) and bare(site.sun)
    assert Delete(Protocol.IKE) in [p for m in wire.messages(which(by=site.moon, holds=Delete)) for p in m.payloads]


def ask_for_lan(impostor: Impostor, stranger: Stranger, spi: bytes = b"lanI") -> Message:
    """CREATE_CHILD_SA for the second child, as moon would ask; the answer, which agrees."""
    _, ke, nonce = stranger.initial()
    offer = SA((parse_proposal(ESP, Protocol.ESP)._replace(spi=spi),))
    ours, theirs = (TrafficSelector.of_network(net) for net in ("10.7.0.0/16", "10.8.0.0/16"))
    answer = impostor.request(CREATE_CHILD_SA, [offer, nonce, ke, TSi((ours,)), TSr((theirs,))])
    assert answer is not None and link(answer), answer
    return answer


def first_exchange(stranger: Stranger, data: bytes) -> list[Payload]:
    public = methods.generate(KeyExchangeMethod.ML_KEM_768, stranger.random).public
    return [KE(KeyExchangeMethod.ML_KEM_768, public), Notify(LINK, data)]


@pytest.mark.conformance("v2-111")
def test_a_link_serves_once_and_only_if_it_was_given() -> None:
    """Never given, of another length, used: N(STATE_NOT_FOUND), which harms nothing."""
    site, wire = pair()
    impostor, stranger = Impostor(wire, site.moon), Stranger(wire, site.sun, MOON)
    given = link(ask_for_lan(impostor, stranger))
    assert given is not None
    for wrong in (b"\xff" + given[1:], given + b"\0", given[:-1], b"", b"x" * 300):
        assert notifies(impostor.request(FOLLOWUP, first_exchange(stranger, wrong))) == [NotifyType.STATE_NOT_FOUND]
    answer = impostor.request(FOLLOWUP, first_exchange(stranger, given))
    assert answer is not None and answer.one(KE).method is KeyExchangeMethod.ML_KEM_768
    assert link(answer) not in (None, given)
    assert notifies(impostor.request(FOLLOWUP, first_exchange(stranger, given))) == [NotifyType.STATE_NOT_FOUND]
    assert stands(site) and site.sun.kernel.larval
    wait(site, TIMEOUT + 1)
    assert not site.sun.kernel.larval
    assert notifies(impostor.request(FOLLOWUP, first_exchange(stranger, link(answer) or b""))) == [
        NotifyType.STATE_NOT_FOUND
    ]


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("wrong", ["no link", "no key", "another method", "a short key", "a key out of range"])
def test_a_peer_that_does_not_keep_to_it_is_left(wrong: str) -> None:
    """<-- HDR, SK {N(INVALID_SYNTAX)}, and nothing is left in the kernel (RFC 7296 §2.21.3)."""
    site, wire = pair()
    impostor, stranger = Impostor(wire, site.moon), Stranger(wire, site.sun, MOON)
    given = link(ask_for_lan(impostor, stranger))
    assert given is not None
    ke, notify = first_exchange(stranger, given)
    assert isinstance(ke, KE)
    payloads: dict[str, list[Payload]] = {
        "no link": [ke],
        "no key": [notify],
        "another method": [KE(KeyExchangeMethod.ML_KEM_1024, bytes(1568)), notify],
        "a short key": [KE(ke.method, ke.public[:-1]), notify],
        "a key out of range": [KE(ke.method, b"\xff" * 1152 + ke.public[1152:]), notify],
    }
    assert notifies(impostor.request(FOLLOWUP, payloads[wrong])) == [NotifyType.INVALID_SYNTAX]
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-111")
def test_what_a_peer_can_leave_waiting_is_bounded() -> None:
    """The ninth gets N(TEMPORARY_FAILURE); after the time limit there is room again."""
    site, wire = pair()
    impostor, stranger = Impostor(wire, site.moon), Stranger(wire, site.sun, MOON)
    for number in range(MAX_PENDING):
        ask_for_lan(impostor, stranger, b"lan" + bytes((number,)))
    assert len(site.sun.kernel.larval) == MAX_PENDING
    with pytest.raises(AssertionError):
        ask_for_lan(impostor, stranger)
    assert notifies(wire.seen[-1].message) == [NotifyType.TEMPORARY_FAILURE]
    assert len(site.sun.kernel.larval) == MAX_PENDING
    wait(site, TIMEOUT + 1)
    assert not site.sun.kernel.larval and stands(site)
    ask_for_lan(impostor, stranger, b"last")


@pytest.mark.conformance("v2-111", "v2-81")
def test_with_compression_its_cpi_is_given_back_too() -> None:
    """IPCOMP_SUPPORTED reserves a CPI beside the SPI: both go when the peer does not go on, and stay when it does."""
    packed = {"ipcomp": True}
    site, wire = tunnel(
        ike=IKE,
        moon_children=(child(), child("lan", esp=ESP, **LAN, **packed)),
        sun_children=(child(mirror=True), child("lan", esp=ESP, mirror=True, **LAN, **packed)),
    )
    held = wire.hold(which(FOLLOWUP, by=site.moon))
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 1)
    assert {kind for kind, _ in site.sun.kernel.larval} == {Protocol.ESP, Protocol.IPCOMP}
    wait(site, TIMEOUT + 1)
    assert not site.sun.kernel.larval
    wire.release(held)
    wait(site, 60)
    assert site.moon.done[token].error is None and whole(site, {"net", "lan"})
    assert all(c.companions for c in site.sun.children if c.name == "lan")
    site.world.settled()


@pytest.mark.conformance("v2-111")
def test_an_answer_without_a_link_cannot_be_followed() -> None:
    """<-- HDR, SK {SA(ADDKE1), Nr, KEr, TSi, TSr} without N(ADDITIONAL_KEY_EXCHANGE): no child, and the SA stands."""
    site, wire = pair()

    def without(payloads: list[Payload]) -> list[Payload]:
        return [p for p in payloads if not (isinstance(p, Notify) and p.type is LINK)]

    rewrite(wire, which(CREATE_CHILD_SA, by=site.sun, response=True), without)
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 60)
    error = site.moon.done[token].error
    assert error is not None and "ADDITIONAL_KEY_EXCHANGE" in error
    assert site.moon.saw(ChildFailed) and whole(site, {"net"})
    site.world.settled()


@pytest.mark.conformance("v2-111")
@pytest.mark.parametrize("theirs", [b"", b"a", b"their own words" * 60])
def test_any_octets_are_a_link(theirs: bytes) -> None:
    """<-- N(ADDITIONAL_KEY_EXCHANGE)(anything): brought back as it is, for it means nothing to us (RFC 9370 §2.2.4)."""
    site, wire = pair(ESP.split("-ke2")[0])
    given: list[bytes] = []

    def another(payloads: list[Payload]) -> list[Payload]:
        return [Notify(LINK, theirs) if isinstance(p, Notify) and p.type is LINK else p for p in payloads]

    def back(payloads: list[Payload]) -> list[Payload]:
        given.extend(p.data for p in payloads if isinstance(p, Notify) and p.type is LINK)
        (followup,) = sa_of(site.sun).followups.pending  # type: ignore[union-attr]
        link = followup.to_bytes(4, "big")
        return [Notify(LINK, link) if isinstance(p, Notify) and p.type is LINK else p for p in payloads]

    rewrite(wire, which(CREATE_CHILD_SA, by=site.sun, response=True), another)
    rewrite(wire, which(FOLLOWUP, by=site.moon, response=False), back)
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 30)
    assert site.moon.done[token].error is None and given == [theirs]
    assert whole(site, {"net", "lan"})
    site.world.settled()


# -- both ends ------------------------------------------------------------------------


@pytest.mark.conformance("v2-111", "v2-89", "v2-90")
@pytest.mark.parametrize("loser", ENDS)
@pytest.mark.parametrize("act", RENEWALS)
@pytest.mark.parametrize(
    "lost", ["nothing", "loser's request", "winner's request", "loser's answer", "winner's answer"]
)
def test_both_ends_renew_the_same(loser: str, act: str, lost: str) -> None:
    """CREATE_CHILD_SA crosses: who drew the lowest nonce does not go on, and nobody deletes a new SA."""
    site, wire = pair()
    low = end(site, loser)
    high = other(site, low)
    loses(site, low)
    if lost != "nothing":
        by = low if lost.startswith("loser") else high
        wire.hold(which(CREATE_CHILD_SA, by=by, response="answer" in lost), times=1)
    mark = len(wire.seen)
    tokens = [ACTS[act](host, site.world.now) for host in (low, high)]
    wait(site, 60)
    assert [host.done[token].error for host, token in zip((low, high), tokens, strict=True)] == [None, None]
    assert whole(site, {"net"})
    site.world.settled()
    asked = wire.all(which(FOLLOWUP, response=False), since=mark)
    if lost == "nothing" or "answer" in lost:
        assert {seen.host for seen in asked} == {high}
    deletes = {seen.octets for seen in wire.all(which(response=False, holds=Delete), since=mark)}
    assert len(deletes) == 1, "only the old one is deleted"


@pytest.mark.conformance("v2-111", "v2-91")
@pytest.mark.parametrize("late", ENDS)
@pytest.mark.parametrize("act", RENEWALS)
@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_renewal_that_comes_amid_the_other_one(late: str, act: str, done: int) -> None:
    """One end is at its n-th exchange when the other's CREATE_CHILD_SA comes: N(TEMPORARY_FAILURE) (§2.2.4)."""
    site, wire = pair()
    slow = end(site, late)
    fast = other(site, slow)
    held = wire.hold(which(CREATE_CHILD_SA, by=slow, response=False), times=1)
    ACTS[act](slow, site.world.now)
    site.world.flush()
    paused = wire.hold(lambda seen: seen.host is slow and seen.message.response and len(answers()) >= done)

    def answers() -> list[Message]:
        return wire.messages(which(by=slow, response=True))[start:]

    start = len(wire.messages(which(by=slow, response=True)))
    ACTS[act](fast, site.world.now)
    wait(site, 1)
    mark = len(wire.seen)
    wire.release(held)
    wait(site, 0.2)
    (refused,) = wire.messages(which(CREATE_CHILD_SA, by=fast, response=True), since=mark)
    if done > 1:  # else nobody has an answer yet, and nonces decide
        assert notifies(refused) == [NotifyType.TEMPORARY_FAILURE]
    wire.release(paused)
    wait(site, 300)
    assert whole(site, {"net"})
    site.world.settled()


@pytest.mark.conformance("v2-111", "v2-91", "v2-92")
@pytest.mark.parametrize("renewer", ENDS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("against", ACTS)
@pytest.mark.parametrize("gap", [0.0, 0.03, 0.07])
def test_different_things_at_once(renewer: str, act: str, against: str, gap: float) -> None:
    """Whatever crosses whatever, at whichever exchange of a series: all of it comes about in the end."""
    site, _ = pair()
    host = end(site, renewer)
    peer = other(site, host)
    tokens = {host: ACTS[act](host, site.world.now)}
    wait(site, gap)
    tokens[peer] = ACTS[against](peer, site.world.now)
    wait(site, 400)
    for one, token in tokens.items():
        assert one.done[token].error is None, one.done[token].error
    made = {"net", "lan"} if "creates a child" in (act, against) else {"net"}
    assert {c.name for c in site.moon.children} == {c.name for c in site.sun.children} == made
    site.world.settled()


@pytest.mark.conformance("v2-111", "v2-91", "v2-98")
@pytest.mark.parametrize("ender", ENDS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("what", ["net", ""])
@pytest.mark.parametrize("gap", [0.0, 0.03, 0.05, 0.07, 0.09])
def test_a_delete_amid_a_series(ender: str, act: str, what: str, gap: float) -> None:
    """D of the child or of the IKE SA, at any of its exchanges: what is deleted does not come back half made."""
    site, _ = pair()
    worker = other(site, end(site, ender))
    ACTS[act](worker, site.world.now)
    wait(site, gap)
    end(site, ender).terminate(site.world.now, "site", what)
    wait(site, 600)
    site.world.settled()
    assert sorted(c.name for c in site.moon.children) == sorted(c.name for c in site.sun.children)
    for host in (site.moon, site.sun):
        assert len(host.kernel.inbound) == len(host.children) and not host.kernel.larval
    if not what:
        assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-111", "v2-89")
@pytest.mark.parametrize("loser", ENDS)
@pytest.mark.parametrize("plain", ENDS)
def test_both_rekey_a_child_and_only_one_of_them_with_further_key_exchanges(loser: str, plain: str) -> None:
    """The offer of one end gets no additional key exchange, so its child stands at once: nonces decide all the same."""
    either = f"{ESP}-ke1_none-ke2_none"
    site, wire = pair(either)
    sender = end(site, plain)

    def none(payloads: list[Payload]) -> list[Payload]:
        offer = payloads[1]
        assert isinstance(offer, SA)
        short = parse_proposal("aes128gcm16-x25519", Protocol.ESP)
        changed = SA((offer.proposals[0]._replace(transforms=short.transforms),))
        return [payloads[0], changed, *payloads[2:]]

    low = end(site, loser)
    high = other(site, low)
    loses(site, low)
    rewrite(wire, which(CREATE_CHILD_SA, by=sender, response=False), none)
    tokens = [host.rekey(site.world.now, "site", "net") for host in (low, high)]
    wait(site, 60)
    assert [host.done[token].error for host, token in zip((low, high), tokens, strict=True)] == [None, None]
    assert whole(site, {"net"})
    site.world.settled()
