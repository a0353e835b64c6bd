"""Session resumption: a ticket brings a lost IKE SA back without a key exchange and without a proof (RFC 5723)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.auth.octets import signed_octets
from ikectl.config.model import Action, AddressSpec, Auth, AuthKind, Local, Remote, Unique
from ikectl.engine.commands import UnloadConnection
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import AuthMethod, ExchangeType, NotifyType
from ikectl.sa.env import Settings
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.puzzle import PuzzleSolution
from ikectl.wire.v2.redirect import redirect_notify
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
    wait,
)
from tests.scenarios.test_configuration_payload import ANY4, ROAD, fill
from tests.scenarios.test_crash_detection import crash
from tests.sim.forge import Stranger, chain_of, clear
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.users import user_answers
from tests.sim.wiretap import Seen, Wiretap, which

RESUME = ExchangeType.IKE_SESSION_RESUME
N = NotifyType
ON: dict[str, Any] = {
    "moon": {"resumption": True, "dpd_delay": 30},
    "sun": {"resumption": True},
    "moon_children": (child(dpd_action=Action.START),),
}


def prepared(**options: Any) -> tuple[Site, Wiretap]:
    for end in ("moon", "sun"):
        options[end] = ON[end] | options.get(end, {})
    site, wire = gateways(**(ON | options))
    site.up()
    assert stands(site)
    return site, wire


def loss(site: Site, wire: Wiretap, seconds: float = 260) -> int:
    """Nothing arrives until moon has given its first IKE SA up; where the messages after that begin."""
    rule = wire.hold(which())
    lost = site.moon.machines[0].sa
    site.world.run_until(lambda: all(machine.sa is not lost for machine in site.moon.machines), seconds)
    rule.stop()
    rule.caught.clear()
    return len(wire.seen)


def exchanges(wire: Wiretap, mark: int) -> list[ExchangeType]:
    """Those that moon began, in their order, repeats and liveness left out."""
    asked = [seen.message.exchange for seen in wire.seen[mark:] if not seen.message.response]
    return list(dict.fromkeys(kind for kind in asked if kind is not INFORMATIONAL))


def stolen(wire: Wiretap) -> Notify:
    """The ticket that was shown last."""
    message = wire.messages(which(RESUME, holds=N.TICKET_OPAQUE))[-1]
    found = message.notify(N.TICKET_OPAQUE)
    assert found is not None
    return found


def shows(site: Site, stranger: Stranger, ticket: Notify) -> list[Seen]:
    """What sun answers to a ticket."""
    seen = stranger.ask([Nonce(bytes(32)), ticket], exchange=RESUME)
    return [each for each in seen if each.host is site.sun]


def reload(host: Host, **changes: Any) -> None:
    (loaded,) = host.engine.connections.all
    host.load(replace(loaded, **changes))


# -- the exchange ------------------------------------------------------------------


@pytest.mark.conformance("v2-113")
def test_what_is_said() -> None:
    """HDR, Ni, N(TICKET_OPAQUE) --> <-- HDR, Nr; then IKE_AUTH without certificates, and another ticket (§4.3.1)."""
    site, wire = prepared()
    asked, answered = wire.messages(which(IKE_AUTH))
    assert N.TICKET_REQUEST in notifies(asked)
    given = answered.notify(N.TICKET_LT_OPAQUE)
    assert given is not None and 0 < int.from_bytes(given.data[:4], "big") <= 86400
    old = sa_of(site.moon)
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    request, response = wire.messages(which(RESUME), mark)[-2:]
    assert (request.message_id, request.spi_r, response.message_id) == (0, bytes(8), 0)
    shown = request.notify(N.TICKET_OPAQUE)
    assert shown is not None and shown.data == given.data[4:], "the ticket without its lifetime"
    assert [type(each) for each in request.payloads if not isinstance(each, Notify)] == [Nonce]
    assert [type(each) for each in response.payloads if not isinstance(each, Notify)] == [Nonce]
    assert N.NAT_DETECTION_SOURCE_IP in notifies(request) and N.NAT_DETECTION_SOURCE_IP in notifies(response)
    new = sa_of(site.moon)
    assert new.spi_i != old.spi_i and new.spi_r != old.spi_r, "SPIs are made anew (§5)"
    again = wire.messages(which(IKE_AUTH, response=True), mark)[-1].notify(N.TICKET_LT_OPAQUE)
    assert again is not None and again.data != given.data
    assert len(site.sun.machines) == 1, "what it resumes is gone at the gateway as well"
    site.world.settled()


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize(
    "ike",
    ["aes128gcm16-prfsha256-x25519", "aes256-sha384-prfsha512-ecp256", "aes128gcm16-prfsha256-x25519-ke1_mlkem768"],
)
def test_keys_and_proofs_by_hand(ike: str) -> None:
    """SKEYSEED = prf(SK_d_old, "Resumption" | Ni | Nr); AUTH = prf(SK_px, octets of RFC 7296 §2.15) (§5.1, §5.2)."""
    site, wire = prepared(ike=ike)
    old_sk_d = bytes(sa_of(site.moon).keys.sk_d)
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site)
    request, response = wire.all(which(RESUME), mark)[-2:]
    asked, answered = wire.messages(which(IKE_AUTH), mark)[-2:]
    ni, nr = request.message.one(Nonce).value, response.message.one(Nonce).value
    suite, _ = wire.keys[response.message.spi_i, response.message.spi_r]
    seed = suite.prf.compute(old_sk_d, b"\x52\x65\x73\x75\x6d\x70\x74\x69\x6f\x6e" + ni + nr)
    octets = suite.prf.key_octets
    material = suite.prf.plus(
        seed, ni + nr + response.message.spi_i + response.message.spi_r,
        3 * octets + 2 * (suite.integrity_octets + suite.encryption_octets),
    )  # fmt: skip
    sk_d, sk_pi, sk_pr = material[:octets], material[-2 * octets : -octets], material[-octets:]
    assert sa_of(site.sun).keys.sk_d == sk_d
    for proof, sk_p, said, nonce, named in (
        (asked.one(AUTH), sk_pi, request.octets, nr, asked.one(IDi).body()),
        (answered.one(AUTH), sk_pr, response.octets, ni, answered.one(IDr).body()),
    ):
        assert proof.method is AuthMethod.SHARED_KEY_MIC
        assert proof.data == suite.prf.compute(sk_p, signed_octets(said, nonce, suite.prf, sk_p, named))


@pytest.mark.parametrize("order", [("203.0.113.77", SUN), (SUN, "203.0.113.77")])
def test_a_ticket_is_shown_where_it_is_from(order: tuple[str, ...]) -> None:
    """Of several gateways called in turn only its own can open it: it is shown there, whoever is called before."""
    site, wire = gateways(**ON)
    reload(site.moon, remote_addrs=tuple(map(AddressSpec.parse, order)))
    site.up()
    assert stands(site)
    mark = loss(site, wire)
    wait(site, 600)
    assert stands(site)
    shown = [seen for seen in wire.seen[mark:] if seen.message.exchange is RESUME and seen.host is site.moon]
    assert shown and {seen.transmit.path.remote.host for seen in shown} == {SUN}
    assert not wire.messages(which(IKE_SA_INIT, response=True), mark)


def test_off_unless_both_want_it() -> None:
    """A gateway that does not want it answers TICKET_NACK; a client that does not asks for nothing."""
    site, wire = prepared(sun={"resumption": False})
    asked, answered = wire.messages(which(IKE_AUTH))
    assert N.TICKET_REQUEST in notifies(asked) and N.TICKET_NACK in notifies(answered)
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and RESUME not in exchanges(wire, mark)
    site, wire = prepared(moon={"resumption": False})
    assert N.TICKET_REQUEST not in notifies(wire.messages(which(IKE_AUTH))[0]) and sa_of(site.sun).issued == b""


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize("ever", [True, False])
def test_a_ticket_that_is_promised_is_asked_for_once_more(ever: bool) -> None:
    """IKE_AUTH <-- N(TICKET_ACK); INFORMATIONAL {N(TICKET_REQUEST)} --> (§4.1), and no more than that."""
    site, wire = gateways(**ON)
    kinds = (N.TICKET_REQUEST,)

    def forget(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not isinstance(each, Notify) or each.type not in kinds]

    rewrite(wire, which(IKE_AUTH, response=False), forget)
    rewrite(wire, which(IKE_AUTH, response=True), lambda payloads: [*payloads, Notify(N.TICKET_ACK)])
    if not ever:
        rewrite(wire, which(INFORMATIONAL, by=site.sun), lambda payloads: [Notify(N.TICKET_ACK)])
    site.up()
    wait(site, 20)
    asked = wire.messages(which(INFORMATIONAL, by=site.moon, holds=N.TICKET_REQUEST))
    assert stands(site) and len(asked) == 1 and (sa_of(site.moon).ticket is not None) is ever


# -- tickets that are not taken -------------------------------------------------------


@pytest.mark.conformance("v2-113")
def test_a_ticket_is_taken_once() -> None:
    """Shown a second time, by whomever: TICKET_NACK, and nothing is kept (§4.3.2)."""
    site, wire = prepared()
    loss(site, wire)
    wait(site, 20)
    assert stands(site)
    (answer,) = Stranger(wire, site.sun, MOON).ask([Nonce(bytes(32)), stolen(wire)], exchange=RESUME)
    assert notifies(answer.message) == [N.TICKET_NACK] and answer.message.exchange is RESUME
    assert answer.message.spi_r == bytes(8) and stands(site) and site.sun.engine.half_open == 0


@pytest.mark.conformance("v2-113")
def test_who_steals_a_ticket_can_neither_use_nor_spoil_it() -> None:
    """It is taken in IKE_AUTH, with the proof that its bearer has the keys: shown before, it is still good."""
    site, wire = prepared()
    rule = wire.hold(which())
    site.world.run_until(lambda: bool(wire.messages(which(RESUME))), 400)
    stranger = Stranger(wire, site.sun, "203.0.113.9")
    (answer,) = [
        seen for seen in stranger.ask([Nonce(bytes(32)), stolen(wire)], exchange=RESUME) if seen.host is site.sun
    ]
    assert answer.message.get(Nonce) is None, "the connection of the ticket is not for that address"
    stranger = Stranger(wire, site.sun, MOON)
    (answer,) = [
        seen for seen in stranger.ask([Nonce(bytes(32)), stolen(wire)], exchange=RESUME) if seen.host is site.sun
    ]
    assert answer.message.get(Nonce) is not None
    rule.stop()
    mark = len(wire.seen)
    wait(site, 30)
    assert stands(site) and IKE_SA_INIT not in exchanges(wire, mark)


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize("what", ["foreign", "cut", "changed", "empty", "long", "none"])
def test_what_is_no_ticket_of_ours(what: str) -> None:
    site, wire = prepared()
    other, _ = prepared(seed=5)
    foreign = sa_of(other.moon).ticket
    right = sa_of(site.moon).ticket
    assert foreign is not None and right is not None
    data = {
        "foreign": foreign.octets,
        "cut": right.octets[:-1],
        "changed": right.octets[:-20] + bytes((right.octets[-20] ^ 1,)) + right.octets[-19:],
        "empty": b"",
        "long": right.octets + bytes(4000),
        "none": b"",
    }[what]
    payloads = [Nonce(bytes(32)), *([Notify(N.TICKET_OPAQUE, data)] if what != "none" else [])]
    answers = Stranger(wire, site.sun, MOON).ask(payloads, exchange=RESUME)
    assert [notifies(seen.message) for seen in answers] == ([[N.TICKET_NACK]] if what != "none" else [])
    assert stands(site) and len(site.sun.machines) == 1


@pytest.mark.conformance("v2-113")
def test_after_a_refusal_comes_a_full_exchange() -> None:
    """The gateway was restarted, so it has another key: TICKET_NACK, then IKE_SA_INIT and IKE_AUTH."""
    site, wire = prepared()
    crash(site.sun)
    mark = len(wire.seen)
    wait(site, 300)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_SA_INIT, IKE_AUTH]
    assert any(N.TICKET_NACK in notifies(message) for message in wire.messages(which(RESUME, response=True)))
    site.world.settled()


def test_a_gateway_that_does_not_know_tickets_is_silent() -> None:
    """Two repeats, then a full exchange."""
    site, wire = prepared()
    loss(site, wire)
    wire.hold(which(RESUME))
    mark = len(wire.seen)
    wait(site, 120)
    assert stands(site) and IKE_SA_INIT in exchanges(wire, mark)


@pytest.mark.parametrize("what", ["id", "unloaded", "off", "address", "children"])
def test_what_changed_meanwhile(what: str) -> None:
    """The connection of the ticket must still be what it was; its children may change."""
    site, wire = prepared()
    loss(site, wire)
    (loaded,) = site.sun.engine.connections.all
    if what == "id":
        reload(site.sun, remote=(replace(loaded.remote[0], id=IdentityPattern.parse("*.example.org")),))
    elif what == "off":
        reload(site.sun, resumption=False)
    elif what == "children":
        reload(site.sun, children=(child(mirror=True), child("more", local="10.9.0.0/16", mirror=True)))
    else:
        site.sun.engine.command(UnloadConnection("site"), site.world.now)
        site.sun.load(replace(loaded, name="other"), site.world.now)
    mark = len(wire.seen)
    wait(site, 60)
    assert exchanges(wire, mark)[1:] == ([IKE_AUTH] if what == "children" else [IKE_SA_INIT, IKE_AUTH])
    assert stands(site)


def test_a_changed_client_shows_no_ticket() -> None:
    site, wire = prepared()
    loss(site, wire, 400)
    reload(site.moon, dpd_delay=40)
    mark = len(wire.seen)
    site.moon.initiate("site", "net", site.world.now)
    wait(site, 20)
    assert RESUME not in exchanges(wire, mark) and stands(site)


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_what_was_deleted_is_not_resumed(who: str) -> None:
    """Whoever ends the SA on purpose ends its ticket."""
    site, wire = prepared()
    ticket = sa_of(site.moon).ticket
    assert ticket is not None
    getattr(site, who).terminate(site.world.now, "site")
    wait(site, 5)
    assert bare(site.sun)
    shown = Notify(N.TICKET_OPAQUE, ticket.octets)
    (answer,) = Stranger(wire, site.sun, MOON).ask([Nonce(bytes(32)), shown], exchange=RESUME)
    assert notifies(answer.message) == [N.TICKET_NACK]
    mark = len(wire.seen)
    site.up()
    assert stands(site) and RESUME not in exchanges(wire, mark)


@pytest.mark.parametrize("life", [{"reauth_time": 100, "over_time": 20}, {"rekey_time": 100, "over_time": 20}])
def test_it_expires_with_what_it_is_for(life: dict[str, int]) -> None:
    """The lesser of the IKE SA's lifetime and its reauthentication time (§4.1)."""
    site, wire = gateways(moon={"resumption": True}, sun={"resumption": True, **life})
    site.up()
    ticket = sa_of(site.moon).ticket
    assert ticket is not None and ticket.lifetime == 120
    shown = Notify(N.TICKET_OPAQUE, ticket.octets)
    wire.hold(which())
    wait(site, 118)
    (answer,) = Stranger(wire, site.sun, MOON, seed=1).ask([Nonce(bytes(32)), shown], exchange=RESUME)
    assert answer.message.get(Nonce) is not None
    wait(site, 3)
    answers = Stranger(wire, site.sun, MOON, seed=2).ask([Nonce(bytes(32)), shown], exchange=RESUME)
    assert notifies(answers[-1].message) == [N.TICKET_NACK]


def test_resuming_does_not_prolong_what_was_proven() -> None:
    site, wire = prepared(sun={"reauth_time": 3000, "over_time": 300}, moon={"reauth_time": 0})
    before = (sa_of(site.moon).reauth_at, sa_of(site.sun).reauth_by)
    loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, 0)[-1] is RESUME
    assert sa_of(site.sun).reauth_by == before[1] and sa_of(site.moon).reauth_at <= before[0]


# -- around it ---------------------------------------------------------------------------


@pytest.mark.conformance("v2-113")
def test_a_busy_gateway_wants_a_cookie() -> None:
    """HDR, N(COOKIE), Ni, N(TICKET_OPAQUE) (§4.3.1); the limits are those of IKE_SA_INIT."""
    site, wire = prepared(sun_host={"settings": Settings(cookie_threshold=0)})
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    first, cookie, second, _ = wire.messages(which(RESUME), mark)[-4:]
    assert notifies(cookie) == [N.COOKIE]
    assert second.payloads == [*cookie.payloads, *first.payloads]


def test_a_ticket_needs_no_puzzle() -> None:
    """HDR, N(COOKIE), Ni, N(TICKET_OPAQUE): a cookie is enough under attack, for nothing is computed for a stranger."""
    site, wire = prepared(sun_host={"settings": Settings(puzzle_threshold=0, puzzle_difficulty=4)})
    assert wire.all(which(ExchangeType.IKE_SA_INIT, holds=PuzzleSolution))
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    _, cookie, second, _ = wire.messages(which(RESUME), mark)[-4:]
    assert notifies(cookie) == [N.COOKIE] and second.payloads[0] == cookie.payloads[0]


def test_half_open_limits_hold() -> None:
    site, wire = prepared()
    ticket = sa_of(site.moon).ticket
    assert ticket is not None
    shown = Notify(N.TICKET_OPAQUE, ticket.octets)
    kinds = []
    for number in range(5):
        stranger = Stranger(wire, site.sun, MOON, seed=number)
        (answer,) = stranger.ask([Nonce(bytes(32)), shown], exchange=RESUME)
        kinds.append(answer.message.get(Nonce) is not None)
    assert kinds == [True] * 3 + [False] * 2 and site.sun.engine.half_open == 3
    wait(site, 40)
    assert site.sun.engine.half_open == 0 and stands(site)


def test_one_ticket_does_not_fill_all_places() -> None:
    """Shown from address after address it begins a few half-open SAs, for nothing is to be worked for it."""
    site, wire = prepared(sun={"remote": "%any"})
    ticket = sa_of(site.moon).ticket
    assert ticket is not None
    shown, answers = Notify(N.TICKET_OPAQUE, ticket.octets), []
    for number in range(10):
        stranger = Stranger(wire, site.sun, f"203.0.113.{number + 1}")
        (answer,) = stranger.ask([Nonce(bytes(32)), shown], exchange=RESUME)
        answers.append(answer.message.get(Nonce) is not None)
    assert answers == [True] * 3 + [False] * 7 and site.sun.engine.half_open == 3
    assert notifies(answer.message) == [N.TICKET_NACK] and len(site.sun.machines) == 4
    wait(site, 60)
    assert site.sun.engine.half_open == 0
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]


@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_a_rekeyed_sa_gets_a_ticket_of_its_own(rekeyer: str) -> None:
    """INFORMATIONAL {N(TICKET_REQUEST)} on the new SA, by the client; that of the old one is worth nothing."""
    site, wire = prepared()
    old = sa_of(site.moon).ticket
    assert old is not None
    getattr(site, rekeyer).rekey(site.world.now, "site")
    wait(site, 15)
    new = sa_of(site.moon).ticket
    assert new is not None and new.octets != old.octets and new.session.sk_d == sa_of(site.moon).keys.sk_d
    shown = Notify(N.TICKET_OPAQUE, old.octets)
    (answer,) = Stranger(wire, site.sun, MOON).ask([Nonce(bytes(32)), shown], exchange=RESUME)
    assert notifies(answer.message) == [N.TICKET_NACK]
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize(("by", "answer"), [("moon", N.TICKET_ACK), ("sun", N.TICKET_NACK)])
def test_asked_for_while_an_sa_is_rekeyed(by: str, answer: NotifyType) -> None:
    """A client may put TICKET_REQUEST there, and gets an answer (§4.1); who is none gets no ticket."""
    site, wire = prepared()
    request = which(CREATE_CHILD_SA, response=False)
    rewrite(wire, request, lambda payloads: [*payloads, Notify(N.TICKET_REQUEST)])
    getattr(site, by).rekey(site.world.now, "site")
    wait(site, 15)
    assert answer in notifies(wire.messages(which(CREATE_CHILD_SA, response=True))[-1])
    assert stands(site) and sa_of(site.moon).ticket is not None and sa_of(site.moon).issued == b""


def test_a_user_is_not_asked_for_a_password_again() -> None:
    """EAP is not run, and the gateway knows the user all the same."""
    users = {"answers": user_answers({"carol": b"of carol alone"})}
    site, wire = gateways(**ON, moon_host=users, sun_host=users)
    auth, psk, anybody = Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,)), Auth(AuthKind.PSK), IdentityPattern.parse("%any")
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    named = Local("local", auth, Identity.parse("carol"))
    site.moon.load(replace(ours, local=(named,), remote=(replace(ours.remote[0], auth=psk),)))
    site.sun.load(replace(theirs, remote=(Remote("remote", auth, anybody, eap_id=anybody),), unique=Unique.KEEP))
    site.up()
    assert stands(site)
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    assert len(wire.messages(which(IKE_AUTH), mark)) == 2 and sa_of(site.sun).user == "carol"


def test_a_post_quantum_key_stays_in_the_keys() -> None:
    quantum = {"ppks": {"quantum": b"256 bits that nobody guesses"}}
    required = {"ppk_id": Identity.parse("quantum"), "ppk_required": True}
    site, wire = prepared(moon=required, sun=required, moon_host=quantum, sun_host=quantum)
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    assert sa_of(site.moon).ppk and sa_of(site.sun).ppk


def test_through_a_nat() -> None:
    site, wire = prepared(nats=(Nat(frozenset({MOON}), "203.0.113.5"),), sun={"remote": "%any"})
    mark = loss(site, wire)
    wait(site, 20)
    assert exchanges(wire, mark) == [RESUME, IKE_AUTH] and sa_of(site.moon).path.remote.port == 4500
    assert sa_of(site.moon).nat.local and len(site.moon.children) == 1


@pytest.mark.conformance("v2-113")
@pytest.mark.parametrize("rekeyed", ["never", "moon", "sun", "half"])
@pytest.mark.parametrize("unique", [Unique.NEVER, Unique.NO, Unique.KEEP])
def test_what_is_resumed_stands_at_the_gateway_yet(unique: Unique, rekeyed: str) -> None:
    """It is dead (§4.3.2), whoever of both began it, and whatever took its place without the client knowing.

    So it neither keeps the client out nor its inner address from it (§5, note 5). Nobody says INITIAL_CONTACT here.
    """
    some = {"moon": ON["moon"] | {"vips": (ANY4, ANY4), "unique": Unique.NEVER}}
    sun = ON["sun"] | {"pools": ("road",), "unique": unique}
    children = {"moon_children": (child(local="dynamic", dpd_action=Action.START),)}
    site, wire = gateways(**some, **children, sun=sun, sun_children=(child(local="10.2.0.0/16", remote="dynamic"),))
    fill(site.sun, ROAD)
    site.sun.engine.env.settings = Settings(max_sas_of_peer=1)
    site.up()
    assert stands(site)
    if rekeyed in ("moon", "sun"):
        getattr(site, rekeyed).rekey(site.world.now, "site")
        wait(site, 15)
    elif rekeyed == "half":
        wire.hold(which(CREATE_CHILD_SA, response=True), 100)
        site.moon.rekey(site.world.now, "site")
    before, (old,) = sa_of(site.moon).own_vips, {machine.sa for machine in site.sun.machines if machine.sa.children}
    mark = loss(site, wire)
    wait(site, 30)
    assert exchanges(wire, mark) == [RESUME, IKE_AUTH] and stands(site)
    assert len(before) == 2 and sa_of(site.moon).own_vips == before == sa_of(site.sun).peer_vips
    assert len(site.sun.machines) == 1 and sa_of(site.sun) is not old
    (pool,) = site.sun.pools.all()
    assert [lease.address for lease in pool.leases() if lease.online] == list(before)
    site.moon.terminate(site.world.now, "site")
    wait(site, 10)
    assert bare(site.sun) and not any(lease.online for lease in pool.leases())


def test_only_what_is_resumed_does_not_count() -> None:
    """Another SA of the same peer does, and keeps it out by a ticket as well as without."""
    site, wire = prepared(moon={"unique": Unique.NEVER}, sun={"unique": Unique.NEVER})
    site.moon.load(connection("other", children=(child("net"),), unique=Unique.NEVER, dpd_delay=0))
    site.moon.initiate("other", "net", site.world.now)
    wait(site, 5)
    assert len(site.sun.machines) == 2
    site.sun.engine.env.settings = Settings(max_sas_of_peer=1)
    mark = loss(site, wire)
    wait(site, 30)
    assert exchanges(wire, mark)[:2] == [RESUME, IKE_AUTH] and len(site.sun.machines) == 2
    assert site.sun.saw(AuthFailed)


@pytest.mark.conformance("v2-113")
def test_a_resumed_client_can_be_sent_to_another_gateway() -> None:
    """Who follows redirects is told in the new exchange (§5); the ticket is for this gateway alone."""
    site, wire = prepared(moon={"follow_redirects": True})
    mark = loss(site, wire)
    wait(site, 20)
    assert stands(site) and exchanges(wire, mark) == [RESUME, IKE_AUTH]
    assert N.REDIRECT_SUPPORTED in notifies(wire.messages(which(RESUME, response=False), mark)[-1])
    assert N.REDIRECT_SUPPORTED in sa_of(site.sun).extensions


@pytest.mark.conformance("v2-113")
def test_a_redirect_in_place_of_an_answer() -> None:
    """Whoever sent it: IKE_SA_INIT goes to the gateway that is configured, and there a REDIRECT is judged."""
    site, wire = prepared(moon={"follow_redirects": True})
    loss(site, wire)
    elsewhere = chain_of([redirect_notify("203.0.113.7", bytes(32))])

    def instead(seen: Seen) -> bytes:
        ends = {"spi_i": seen.message.spi_i, "spi_r": bytes(8)}
        return clear(elsewhere, exchange=RESUME, response=True, initiator=False, **ends)

    wire.rewrite(which(RESUME, response=True), instead, 1)
    mark = len(wire.seen)
    wait(site, 30)
    assert stands(site) and exchanges(wire, mark)[-2:] == [IKE_SA_INIT, IKE_AUTH]


@pytest.mark.parametrize("by", ["moon", "sun"])
def test_a_wrong_proof(by: str) -> None:
    """IKE_AUTH of a resumed SA with an AUTH that is not by its keys: it ends, and a full exchange follows."""
    site, wire = prepared()
    loss(site, wire)

    def spoil(payloads: list[Payload]) -> list[Payload]:
        return [AUTH(each.method, bytes(32)) if isinstance(each, AUTH) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, by=site.moon if by == "moon" else site.sun), spoil)
    mark = len(wire.seen)
    wait(site, 120)
    assert (stands(site) and exchanges(wire, mark)[-1] is IKE_SA_INIT) or IKE_SA_INIT in exchanges(wire, mark)
    assert (site.sun if by == "moon" else site.moon).saw(AuthFailed)


def test_losses_on_a_bad_network() -> None:
    """Loss, duplicates, disorder, then nothing for minutes: the tunnel is back, by whatever way."""
    resumed = 0
    for seed in range(20):
        site, wire = prepared(seed=seed)
        site.world.link = Link(loss=0.1, duplication=0.2, jitter=0.3)
        wait(site, 30)
        mark = loss(site, wire, 2000)
        wait(site, 400)
        site.world.link = Link()
        wait(site, 600)
        assert stands(site), site.world.violation(f"seed {seed}")
        site.world.settled()
        resumed += IKE_SA_INIT not in exchanges(wire, mark)
    assert resumed > 10
