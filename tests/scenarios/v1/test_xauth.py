"""XAUTH between two hosts: moon has a user, sun is the gateway (draft-beaulieu-ike-xauth-02)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest

from ikectl.auth.xauth import MAX_TRIES
from ikectl.config.auth import read_auth
from ikectl.config.model import Auth, AuthKind, Child, Connection, Local, Remote
from ikectl.engine.outside import Question, Transmit
from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.errors import BackendError, CredentialError, IkectlError
from ikectl.exchange.v1 import after
from ikectl.exchange.v1.base import Done, Say, Turn
from ikectl.exchange.v1.xauth import AskXauth
from ikectl.iana.v1 import AuthMethod, ExchangeType
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.events import AuthFailed, IkeDown, IkeUp, MessageSent
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.sa.logins import Accepted, Challenge, LoginAnswer, PromptKind, Rejected
from ikectl.values.secret import Secret
from ikectl.wire.v1.keying import Hash, Signature
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.transaction import Attributes
from tests.auth.answers import answers
from tests.pki.certs import Authority
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child, connection

IKE = "aes128-sha256-ecp256"
XAUTH = Auth(AuthKind.XAUTH)
PASSWORDS = {"joe": b"foobar", "ann": b"tulips"}
Changed = Callable[[Connection], Connection]


def check(ask: asks.CheckPassword) -> LoginAnswer:
    good = PASSWORDS.get(ask.user) == bytes(ask.password)
    return Accepted(ask.user) if good else Rejected(f"wrong password of user {ask.user!r}")


def gateway(check: Callable[[asks.CheckPassword], LoginAnswer | IkectlError] = check) -> dict[type[Any], Any]:
    """What a gateway's host answers."""

    def answer(ask: asks.CheckPassword) -> LoginAnswer:
        found = check(ask)
        if isinstance(found, IkectlError):
            raise found
        return found

    return {asks.BeginLogin: lambda ask: Challenge(PromptKind.PASSWORD), asks.CheckPassword: answer}


def user(password: bytes | None = b"foobar", replies: tuple[bytes, ...] = ()) -> dict[type[Any], Any]:
    """What a user's host answers; without a password it knows none."""
    left = list(replies)

    def secret(ask: asks.UserSecret) -> Secret:
        if password is None:
            raise CredentialError(f"no password of user {ask.user!r} is known")
        return Secret(password)

    def prompt(ask: asks.Prompt) -> Secret:
        if not left:
            raise CredentialError(f"the gateway asks user {ask.user!r} for: {ask.message}")
        return Secret(left.pop(0))

    return {asks.UserSecret: secret, asks.Prompt: prompt}


def logs_in(plain: Connection, name: str = "joe") -> Connection:
    return replace(plain, local=(*plain.local, Local("local-2", XAUTH, xauth_id=name)))


def asks_for_login(plain: Connection) -> Connection:
    return replace(plain, remote=(*plain.remote, Remote("remote-2", XAUTH)))


def site(
    *,
    moon: Changed = logs_in,
    sun: Changed = asks_for_login,
    moon_answers: dict[type[Any], Any] | None = None,
    sun_answers: dict[type[Any], Any] | None = None,
    late: float = 0.0,
    sun_late: float | None = None,
    sun_more: dict[str, Any] | None = None,
    sun_children: tuple[Child, ...] | None = None,
    link: Link | None = None,
    seed: int = 1,
    **more: Any,
) -> Site:
    """moon, whose user is joe, and sun, who asks; silent yet."""
    made = Site(
        seed,
        link=link,
        ike=IKE,
        sun_children=sun_children,
        moon={"version": 1, **more},
        sun={"version": 1, "aggressive_psk": True, **more, **(sun_more or {})},
        moon_host={"answers": moon_answers or user(), "late": late},
        sun_host={"answers": sun_answers or gateway(), "late": late if sun_late is None else sun_late},
    )
    for host, change in ((made.moon, moon), (made.sun, sun)):
        (plain,) = host.engine.connections.all
        host.load(change(plain))
    return made


def sa_of(host: Host) -> IsakmpSa:
    (machine,) = host.engine.machines()
    assert isinstance(machine.sa, IsakmpSa)
    return machine.sa


def stands(made: Site) -> bool:
    """A child at both ends, and packets pass."""
    return (
        len(made.moon.children) == len(made.sun.children) == 1
        and made.world.carries(made.moon, made.sun)
        and made.world.carries(made.sun, made.moon)
    )


def bare(host: Host) -> bool:
    return not (list(host.engine.machines()) or host.kernel.inbound or host.kernel.outbound or host.kernel.larval)


def transactions(host: Host) -> list[tuple[str, int]]:
    """(kind, message ID) of what it said, without repeats."""
    sent = [event for event in host.saw(MessageSent) if event.exchange is ExchangeType.TRANSACTION]
    return [(str(each.type), event.message_id) for event in sent for each in event.payloads if type(each) is Attributes]


def order(host: Host) -> list[ExchangeType]:
    """The exchanges it took part in, in their order."""
    return list(dict.fromkeys(event.exchange for event in host.saw(MessageSent)))


# -- who gets in --------------------------------------------------------------------------


@pytest.mark.conformance("v1-34")
@pytest.mark.parametrize("aggressive", [False, True], ids=["main mode", "aggressive mode"])
def test_a_user_logs_in_and_then_a_child_comes(aggressive: bool) -> None:
    made = site(aggressive=aggressive)

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    (first, number), (second, again) = transactions(made.sun)
    assert (first, second) == ("REQUEST", "SET")
    assert number == again
    assert transactions(made.moon) == [("REPLY", number), ("ACK", number)]
    assert order(made.moon)[-2:] == [ExchangeType.TRANSACTION, ExchangeType.QUICK_MODE]
    assert sa_of(made.sun).user == "joe"
    assert sa_of(made.sun).method is AuthMethod.XAUTH_INIT_PRE_SHARED
    assert [len(host.saw(IkeUp)) for host in (made.moon, made.sun)] == [1, 1]


def test_a_gateway_that_calls_its_user() -> None:
    """XAUTHRespPreShared (§7.2): the initiator asks."""
    made = site(moon=asks_for_login, sun=logs_in, moon_answers=gateway(), sun_answers=user())

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    assert sa_of(made.moon).user == "joe"
    assert sa_of(made.moon).method is AuthMethod.XAUTH_RESP_PRE_SHARED


def test_a_dialogue() -> None:
    pets: dict[bytes, LoginAnswer] = {
        b"": Challenge(PromptKind.ANSWER, "Your first pet?", b"pet"),
        b"pet": Accepted("joe"),
    }
    made = site(moon_answers=user(replies=(b"Rex",)), sun_answers=gateway(lambda ask: pets[ask.state]))

    token = made.up()

    assert made.moon.done[token].error is None
    assert [kind for kind, _ in transactions(made.sun)] == ["REQUEST", "REQUEST", "SET"]
    assert len({number for _, number in transactions(made.sun)}) == 1
    assert stands(made)


# -- who does not -------------------------------------------------------------------------


@pytest.mark.conformance("v1-34")
def test_a_wrong_password_is_fail_and_no_sa_is_left() -> None:
    """§6: SET(STATUS=FAIL), and the SA is deleted immediately."""
    made = site(moon_answers=user(b"wrong", replies=(b"also wrong",) * MAX_TRIES))

    token = made.up()

    error = made.moon.done[token].error or ""
    assert "the gateway refused user 'joe'" in error
    assert bare(made.moon)
    assert bare(made.sun)
    assert [kind for kind, _ in transactions(made.sun)][-1] == "SET"
    (here,), (there,) = made.sun.saw(AuthFailed), made.moon.saw(AuthFailed)
    assert here.peer and here.why == "the same name and password again"
    assert not there.peer
    assert ExchangeType.QUICK_MODE not in order(made.moon)
    assert not made.sun.saw(IkeUp)


def test_a_user_without_a_password_gives_up_and_says_what_to_do() -> None:
    made = site(moon_answers=user(None))

    token = made.up()

    assert "no password of user 'joe' is known" in (made.moon.done[token].error or "")
    assert bare(made.moon)
    assert bare(made.sun)
    assert "gave up" in made.sun.saw(AuthFailed)[0].why


def test_a_backend_that_does_not_work_lets_nobody_in() -> None:
    made = site(sun_answers=gateway(lambda ask: BackendError("PAM is busy with 32 logins")))

    made.up()

    assert bare(made.moon)
    assert bare(made.sun)
    assert made.sun.saw(AuthFailed)[0].why == "PAM is busy with 32 logins"


def test_a_user_that_never_replies_is_not_waited_for_without_end() -> None:
    made = site()
    quiet: list[bool] = []

    def tap(host: Host, transmit: Transmit) -> bool:
        mute = host is made.moon and len(made.sun.saw(MessageSent)) > 3
        quiet.append(mute)
        return not mute

    made.world.taps.append(tap)
    made.moon.initiate("site", "net", made.world.now)
    made.world.run(600.0)

    assert any(quiet)
    assert bare(made.sun)
    assert not made.sun.saw(IkeUp)


def test_without_a_login_no_child_and_no_other_method() -> None:
    """A user's end that offers phase 1 without XAUTH is refused, in whichever way it is configured."""
    made = site(moon=lambda plain: plain)

    token = made.up()

    assert made.moon.done[token].error
    assert bare(made.sun)
    assert not made.sun.saw(IkeUp)


# -- bad networks ------------------------------------------------------------------------------


@pytest.mark.conformance("v1-34")
@pytest.mark.parametrize("seed", range(8))
def test_a_login_over_a_network_that_loses_repeats_and_reorders(seed: int) -> None:
    bad = Link(loss=0.2, duplication=0.2, delay=0.02, jitter=0.5)
    made = site(link=bad, late=0.5, seed=seed)

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    made.world.run(made.world.now + 300.0)
    assert stands(made)
    assert len({number for _, number in transactions(made.sun)}) == 1
    assert not made.sun.saw(AuthFailed)


@pytest.mark.parametrize("number", range(13))
def test_any_datagram_may_be_lost_once(number: int) -> None:
    made = site()
    sent = count()
    made.world.taps.append(lambda host, transmit: next(sent) != number)

    token = made.up()

    assert next(sent) >= 13  # six of main mode, four of XAUTH, three of quick mode
    assert made.moon.done[token].error is None, made.moon.done[token].error
    made.world.run(made.world.now + 10.0)  # the last message of quick mode comes again when the one before does
    assert stands(made)


# -- nothing else is locked ------------------------------------------------------------------------


def test_a_login_that_is_answered_late_keeps_nobody_waiting() -> None:
    """joe's password is checked for ten seconds; ann gets in meanwhile, and joe after that."""
    nets = child(mirror=True), child("more", mirror=True, local="10.3.0.0/16")
    made = site(sun_late=1.0, sun_more={"remote": "192.0.2.0/24", "remote_id": "%any"}, sun_children=nets)
    ann = Host("ann", "192.0.2.99", 9, answers=user(b"tulips"))
    ann.load(
        logs_in(
            connection(
                version=1,
                ike=IKE,
                local=ann.address,
                local_id="ann.example.org",
                children=(child(local="10.3.0.0/16"),),
            ),
            "ann",
        )
    )
    made.world.hosts[ann.address] = ann
    reply = made.sun.reply
    late: list[float] = []

    def slowly(question: Question, now: float) -> None:
        if isinstance(question.ask, asks.CheckPassword) and question.ask.user == "joe" and not late:
            late.append(now)
            made.world.at(now + 10.0, lambda: reply(question, made.world.now))
        else:
            reply(question, now)

    made.sun.reply = slowly  # type: ignore[method-assign]
    slow = made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: bool(late))
    quick = ann.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: quick in ann.done)

    assert ann.done[quick].error is None, ann.done[quick].error
    assert slow not in made.moon.done
    assert made.world.now < late[0] + 5.0
    made.world.run_until(lambda: slow in made.moon.done)
    assert made.moon.done[slow].error is None
    assert sorted(machine.sa.user for machine in made.sun.engine.machines() if isinstance(machine.sa, IsakmpSa)) == [
        "ann",
        "joe",
    ]


# -- secrets --------------------------------------------------------------------------------------


def test_no_event_and_no_view_holds_a_password() -> None:
    for side in (user(), user(b"foobaz", replies=(b"foobax",))):
        made = site(moon_answers=side)
        made.up()
        for host in (made.moon, made.sun):
            told = [f"{event!r} {event.text()}" for event in host.events]
            assert not any("fooba" in text for text in told)
        assert not any("fooba" in line for line in made.world.ladder)


def test_the_state_while_the_user_types() -> None:
    made = site()
    states: list[IkeState] = []

    def tap(host: Host, transmit: Transmit) -> bool:
        if host is made.sun and transactions(made.sun):
            states.append(sa_of(made.sun).state)
        return True

    made.world.taps.append(tap)
    made.up()

    assert states[0] is IkeState.AUTHENTICATING
    assert sa_of(made.sun).state is IkeState.ESTABLISHED
    assert not made.sun.saw(IkeDown)


# -- after certificates, and hybrid ------------------------------------------------------------------


def certified(moon: str, sun: str, **more: Any) -> Site:
    """Rounds as `auth` options of moon's side and of sun's; whose first is `pubkey` has a certificate of one CA."""
    ca = Authority.root("CA", "rsa-2048")
    made = site(**more)
    ends = (made.moon, moon.split(), sun.split()), (made.sun, sun.split(), moon.split())
    for host, ours, theirs in ends:
        store = Store()
        store.add_certificate(ca.der, ca=True)
        if ours[0] == "pubkey":
            leaf = ca.leaf(f"{host.name}.example.org", "rsa-2048", names=(f"{host.name}.example.org",))
            store.add_certificate(leaf.der)
            store.add_key(leaf.key_pem)
        host.answers.update({kind: answer for kind, answer in answers(store).items() if kind is not asks.SharedSecret})
        (plain,) = host.engine.connections.all
        local, remote = plain.local[0], plain.remote[0]
        host.load(
            replace(
                plain,
                local=tuple(replace(local, auth=read_auth(word), xauth_id="joe") for word in ours),
                remote=tuple(replace(remote, auth=read_auth(word)) for word in theirs),
            )
        )
    return made


@pytest.mark.conformance("v1-34")
def test_a_user_behind_a_certificate() -> None:
    made = certified("pubkey xauth", "pubkey")

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    assert sa_of(made.sun).method is AuthMethod.XAUTH_INIT_RSA
    assert sa_of(made.sun).user == "joe"


@pytest.mark.conformance("v1-36")
@pytest.mark.parametrize("aggressive", [False, True], ids=["main mode", "aggressive mode"])
def test_hybrid(aggressive: bool) -> None:
    """The gateway signs; the user's end sends a HASH instead, and its user logs in (hybrid-auth-05 §4.2)."""
    made = certified("xauth", "pubkey", aggressive=aggressive)

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    assert sa_of(made.moon).method is AuthMethod.HYBRID_INIT_RSA
    assert sa_of(made.sun).user == "joe"
    signed, hashed = (
        {type(payload) for event in host.saw(MessageSent) for payload in event.payloads if event.message_id == 0}
        for host in (made.sun, made.moon)
    )
    assert Signature in signed
    assert Hash not in signed
    assert Hash in hashed
    assert Signature not in hashed


@pytest.mark.conformance("v1-36")
def test_hybrid_where_the_gateway_calls() -> None:
    made = certified("pubkey", "xauth", moon_answers=gateway(), sun_answers=user())

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    assert sa_of(made.sun).method is AuthMethod.HYBRID_RESP_RSA
    assert sa_of(made.moon).user == "joe"


@pytest.mark.conformance("v1-36")
def test_hybrid_without_the_right_password_is_nothing() -> None:
    """§4: the SA must not be used before the login, and is discarded when that fails."""
    made = certified("xauth", "pubkey", moon_answers=user(b"wrong"))

    token = made.up()

    assert "XAUTH" in (made.moon.done[token].error or "")
    assert bare(made.moon)
    assert bare(made.sun)
    assert not made.sun.saw(IkeUp)


# -- gateways of other makers -------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class EachPair(AskXauth):
    """A gateway that takes another message ID for each pair of messages, as racoon's and Cisco's do."""

    turn: Say | None = None

    async def begin(self, sa: IsakmpSa) -> Turn:
        return self.turn or await AskXauth.begin(self, sa)

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        turn = await AskXauth.take(self, sa, message)
        if not isinstance(turn, Say):
            return turn
        return Done(follow=(EachPair(identifier=self.identifier, server=self.server, verdict=self.verdict, turn=turn),))


@pytest.mark.conformance("v1-34")
def test_a_gateway_with_a_message_id_for_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of the login is left at the user's end when it is over."""
    monkeypatch.setattr(after, "AskXauth", EachPair)
    pets: dict[bytes, LoginAnswer] = {
        b"": Challenge(PromptKind.ANSWER, "Your first pet?", b"pet"),
        b"pet": Accepted("joe"),
    }
    made = site(moon_answers=user(replies=(b"Rex",)), sun_answers=gateway(lambda ask: pets[ask.state]))

    token = made.up()

    assert made.moon.done[token].error is None, made.moon.done[token].error
    assert stands(made)
    assert [kind for kind, _ in transactions(made.sun)] == ["REQUEST", "REQUEST", "SET"]
    assert len({number for _, number in transactions(made.sun)}) == 3
    made.world.run(made.world.now + 200.0)
    (machine,) = made.moon.engine.machines()
    assert isinstance(machine, IsakmpMachine)
    assert not [each for each in machine.conversations.values() if each.exchange.type is ExchangeType.TRANSACTION]


def test_a_gateway_may_have_the_user_log_in_once_more() -> None:
    """§5: as with CHAP, at any time of the SA's life."""
    made = site()
    made.up()
    (machine,) = made.sun.engine.machines()
    assert isinstance(machine, IsakmpMachine)

    machine.begin(Again(), now=made.world.now)
    made.world.run(made.world.now + 10.0)

    assert [kind for kind, _ in transactions(made.sun)] == ["REQUEST", "SET"] * 2
    assert stands(made)
    assert len(made.moon.saw(IkeUp)) == 1


class Again(AskXauth):
    """A login on an SA that stands; the gateway does no more with it."""

    def may_begin(self, sa: IsakmpSa) -> bool:
        return True

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        return Done() if self.verdict is not None else await AskXauth.take(self, sa, message)
