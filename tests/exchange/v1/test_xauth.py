"""The XAUTH exchanges, turn by turn: what is sent, and what becomes of the SA."""

from __future__ import annotations

import pytest

from ikectl.config.model import Auth, AuthKind, Connection, Local, Remote
from ikectl.errors import PeerMisbehaved
from ikectl.exchange.v1.base import Done, Ignore, Say, Turn
from ikectl.exchange.v1.informational import TellDelete
from ikectl.exchange.v1.xauth import AnswerXauth, AskXauth, is_login
from ikectl.iana.v1 import ConfigAttribute, ExchangeType, TransactionType
from ikectl.sa.association import IkeState
from ikectl.sa.env import Env
from ikectl.sa.events import AuthFailed, IkeUp, Note
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa
from ikectl.sa.logins import Accepted, Challenge, PromptKind, Rejected
from ikectl.values.path import Endpoint, Path
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.transaction import Attributes
from tests.auth.users import Script, counting

A, T = ConfigAttribute, TransactionType
OURS, THEIRS = Endpoint.parse("192.0.2.1", 500), Endpoint.parse("192.0.2.2", 500)
PSK, XAUTH = Auth(AuthKind.PSK), Auth(AuthKind.XAUTH)
FAIL, OK = Attribute(A.XAUTH_STATUS, 0), Attribute(A.XAUTH_STATUS, 1)


def sa(connection: Connection, *, initiator: bool) -> IsakmpSa:
    """Phase 1 is done."""
    env = Env(lambda number: counting)
    made = IsakmpSa(env, counting, 1, initiator, bytes(8), bytes(8), Path(OURS, THEIRS), connection)
    made.state, made.awaited = IkeState.AUTHENTICATING, frozenset({Awaited.XAUTH})
    return made


def gateway() -> IsakmpSa:
    rounds = Remote(auth=PSK), Remote("remote-2", XAUTH)
    return sa(Connection("gate", (), version=1, local=(Local(auth=PSK),), remote=rounds), initiator=False)


def user() -> IsakmpSa:
    rounds = Local(auth=PSK), Local("local-2", XAUTH, xauth_id="joe")
    return sa(Connection("home", (), version=1, local=rounds, remote=(Remote(auth=PSK),)), initiator=True)


def message(payloads: list[Payload] | None, number: int = 7) -> Message:
    assert payloads is not None
    return Message(bytes(8), bytes(8), ExchangeType.TRANSACTION, number, payloads, encrypted=True)


def said(turn: Turn) -> Attributes:
    """The one payload of a turn."""
    assert isinstance(turn, Say | Done)
    assert turn.payloads is not None
    (payload,) = turn.payloads
    assert isinstance(payload, Attributes)
    return payload


def transaction(kind: TransactionType, identifier: int, *attributes: Attribute) -> Message:
    return message([Attributes(kind, identifier, attributes)])


def login(script: Script, here: IsakmpSa, there: IsakmpSa, *, new_ids: bool = False) -> tuple[Turn, Turn, list[str]]:
    """(the gateway's last turn, the user's last turn, what was said); `new_ids`: a message ID for each pair."""
    ask, answer, ladder = AskXauth(), AnswerXauth(), []
    turn, reply = script.run(ask.begin(here)), None
    for number in range(1, 20):
        if not isinstance(turn, Say):
            break
        ladder.append(str(said(turn).type))
        reply = script.run(answer.take(there, message(turn.payloads, number if new_ids else 7)))
        ladder.append(str(said(reply).type))
        turn = script.run(ask.take(here, message([said(reply)])))
        if new_ids:
            answer = AnswerXauth()
    assert reply is not None
    return turn, reply, ladder


@pytest.mark.conformance("v1-34")
@pytest.mark.parametrize("new_ids", [False, True], ids=["one message ID", "a message ID for each pair"])
def test_a_login_establishes_the_sa_at_both_ends(new_ids: bool) -> None:
    here, there = gateway(), user()
    script = Script([Accepted("joe")], secrets={"joe": b"foobar"})

    turn, reply, ladder = login(script, here, there, new_ids=new_ids)

    assert ladder == ["REQUEST", "REPLY", "SET", "ACK"]
    assert isinstance(turn, Done)
    assert isinstance(reply, Done)
    assert said(reply).attributes == ()
    for end in (here, there):
        assert end.state is IkeState.ESTABLISHED
        assert Awaited.XAUTH not in end.awaited
        assert [type(event) for event in end.env.events if not isinstance(event, Note)] == [IkeUp]
    assert (here.user, there.user, there.login) == ("joe", "", None)


@pytest.mark.parametrize("new_ids", [False, True])
def test_dialogues_of_several_rounds(new_ids: bool) -> None:
    here, there = gateway(), user()
    script = Script(
        [Challenge(PromptKind.ANSWER, "Your first pet?", b"s"), Accepted("joe")],
        secrets={"joe": b"foobar"},
        replies=[b"Rex"],
    )

    _, _, ladder = login(script, here, there, new_ids=new_ids)

    assert ladder == ["REQUEST", "REPLY"] * 2 + ["SET", "ACK"]
    assert here.state is there.state is IkeState.ESTABLISHED
    notes = [event.text() for event in there.env.events if isinstance(event, Note)]
    assert notes == ["the gateway says: Your first pet?", "logged in as 'joe'"]


@pytest.mark.conformance("v1-34")
def test_all_messages_have_one_identifier() -> None:
    """§6."""
    here = gateway()
    script, ask = Script([Rejected("wrong", final=True)]), AskXauth()
    request = said(script.run(ask.begin(here)))
    reply = transaction(T.REPLY, request.identifier, *_named())

    assert said(script.run(ask.take(here, reply))).identifier == request.identifier


@pytest.mark.conformance("v1-34")
def test_a_failed_login_ends_the_sa_at_both_ends() -> None:
    """§6: the status is FAIL, and the SA is deleted at once."""
    here, there = gateway(), user()
    script = Script([Rejected("wrong password of user 'joe'", final=True)], secrets={"joe": b"foobar"})

    turn, reply, ladder = login(script, here, there)

    assert ladder == ["REQUEST", "REPLY", "SET", "ACK"]
    for last, end, peer, why in (
        (turn, here, True, "wrong password of user 'joe'"),
        (reply, there, False, "the gateway refused user 'joe'"),
    ):
        assert isinstance(last, Done)
        assert last.failed == f"XAUTH failed: {why}"
        (delete,) = last.follow
        assert isinstance(delete, TellDelete)
        assert delete.whole
        assert end.state is IkeState.AUTHENTICATING
        assert not end.may_have_children
        (failed,) = (event for event in end.env.events if isinstance(event, AuthFailed))
        assert (failed.peer, failed.why) == (peer, why)
    assert here.user == ""


def test_who_cannot_answer_says_fail_and_leaves() -> None:
    here, there = gateway(), user()

    turn, reply, ladder = login(Script(), here, there)

    assert ladder == ["REQUEST", "REPLY"]
    assert said(reply).attributes == (FAIL,)
    assert isinstance(turn, Done)
    assert isinstance(reply, Done)
    assert turn.payloads is None
    assert [type(each) for each in (*turn.follow, *reply.follow)] == [TellDelete] * 2
    assert "gave up" in (turn.failed or "")
    assert "nobody knows" in (reply.failed or "")


def test_a_gateway_that_asks_nothing_sets_the_status_at_once() -> None:
    """§5.5."""
    here, there = gateway(), user()

    turn, _, ladder = login(Script(opening=Accepted("")), here, there)

    assert ladder == ["SET", "ACK"]
    assert isinstance(turn, Done)
    assert here.state is there.state is IkeState.ESTABLISHED


def _named() -> tuple[Attribute, Attribute]:
    return Attribute(A.XAUTH_USER_NAME, b"joe"), Attribute(A.XAUTH_USER_PASSWORD, b"foobar")


@pytest.mark.parametrize(
    "odd",
    [
        transaction(T.SET, 0x0102, OK),
        transaction(T.ACK, 0x0102),
        transaction(T.REQUEST, 0x0102, Attribute(A.XAUTH_USER_NAME, b"")),
        message([]),
    ],
)
def test_what_is_no_reply_changes_nothing(odd: Message) -> None:
    here, script, ask = gateway(), Script([Accepted("joe")]), AskXauth()
    assert said(script.run(ask.begin(here))).identifier == 0x0102

    assert isinstance(script.run(ask.take(here, odd)), Ignore)

    assert here.state is IkeState.AUTHENTICATING
    assert not script.checks


def test_only_the_acknowledgement_ends_it() -> None:
    """A user's end that says OK itself, or replies once more, is not taken for one that acknowledges."""
    here, script, ask = gateway(), Script([Accepted("joe")]), AskXauth()
    script.run(ask.begin(here))
    assert said(script.run(ask.take(here, transaction(T.REPLY, 0x0102, *_named())))).type is T.SET

    for odd in (transaction(T.REPLY, 0x0102, *_named()), transaction(T.SET, 0x0102, OK)):
        assert isinstance(script.run(ask.take(here, odd)), Ignore)
        assert here.state is IkeState.AUTHENTICATING
    assert isinstance(script.run(ask.take(here, transaction(T.ACK, 0x0102))), Done)
    assert here.state is IkeState.ESTABLISHED


def test_replies_without_the_identifier_are_taken() -> None:
    """strongSwan says 0; the message ID tells what is answered."""
    here, script, ask = gateway(), Script([Accepted("joe")]), AskXauth()
    script.run(ask.begin(here))

    assert said(script.run(ask.take(here, transaction(T.REPLY, 0, *_named())))).identifier == 0x0102
    assert isinstance(script.run(ask.take(here, transaction(T.ACK, 0))), Done)
    assert here.state is IkeState.ESTABLISHED


def test_a_user_cannot_set_its_own_status() -> None:
    """§6.2: in a REPLY it is FAIL, whatever it says."""
    here, script, ask = gateway(), Script([Accepted("joe")]), AskXauth()
    script.run(ask.begin(here))

    turn = script.run(ask.take(here, transaction(T.REPLY, 0x0102, OK)))

    assert isinstance(turn, Done)
    assert turn.failed is not None
    assert here.state is IkeState.AUTHENTICATING


def test_a_gateway_without_a_login_of_ours_gets_no_password() -> None:
    there = gateway()  # its connection has a login for the peer, none for us
    with pytest.raises(PeerMisbehaved, match="none is configured"):
        Script().run(AnswerXauth().take(there, transaction(T.REQUEST, 1, Attribute(A.XAUTH_USER_PASSWORD, b""))))


@pytest.mark.parametrize("kind", [T.REPLY, T.ACK, TransactionType(9)])
def test_what_asks_nothing_is_not_answered(kind: TransactionType) -> None:
    assert isinstance(Script().run(AnswerXauth().take(user(), transaction(kind, 1))), Ignore)


def test_another_identifier_is_another_login() -> None:
    there, script = user(), Script(secrets={"joe": b"foobar"})
    request = Attribute(A.XAUTH_USER_NAME, b""), Attribute(A.XAUTH_USER_PASSWORD, b"")
    for identifier in (1, 2):
        reply = script.run(AnswerXauth().take(there, transaction(T.REQUEST, identifier, *request)))
        assert said(reply).attributes == _named()

    again = script.run(AnswerXauth().take(there, transaction(T.REQUEST, 2, *request)))
    assert said(again).attributes == (FAIL,)


def test_which_transactions_are_logins() -> None:
    assert is_login(Attributes(T.SET, 1, (OK,)))
    assert not is_login(Attributes(T.REQUEST, 1, (Attribute(A.INTERNAL_IP4_ADDRESS, b""),)))


def test_nothing_that_is_logged_holds_a_password() -> None:
    here, there = gateway(), user()
    script = Script([Rejected("wrong"), Accepted("joe")], secrets={"joe": b"foobar"}, replies=[b"foobaz"])

    turn, reply, _ = login(script, here, there)

    told = [repr((turn, reply, here, there, there.login))]
    for end in (here, there):
        told += [f"{event!r} {event.text()}" for event in end.env.events]
    payload = Attributes(T.REPLY, 1, _named())
    told += [repr(payload), repr(message([payload]))]
    assert here.state is IkeState.ESTABLISHED
    assert not any("fooba" in text for text in told)
