"""XAUTH: the dialogues of draft-beaulieu-ike-xauth-02 §5 and App. A, and what goes wrong in them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.auth.xauth import (
    MAX_MESSAGE,
    MAX_OCTETS,
    MAX_ROUNDS,
    MAX_TRIES,
    Verdict,
    XauthClient,
    XauthServer,
    chap,
)
from ikectl.errors import BackendError, PeerMisbehaved
from ikectl.iana.v1 import ConfigAttribute
from ikectl.sa.logins import Accepted, Challenge, PromptKind, Rejected
from ikectl.wire.v1.attributes import Attribute
from tests.auth.users import REMOTE, Script, counting, shape, talk

A = ConfigAttribute
NAME, PASSWORD = Attribute(A.XAUTH_USER_NAME, b"joe"), Attribute(A.XAUTH_USER_PASSWORD, b"foobar")
FAIL, OK = Attribute(A.XAUTH_STATUS, 0), Attribute(A.XAUTH_STATUS, 1)
SECRET_ATTRIBUTES = A.XAUTH_USER_PASSWORD, A.XAUTH_PASSCODE, A.XAUTH_NEXT_PIN, A.XAUTH_ANSWER
ASK_NAME, ASK_PASSWORD = ("USER_NAME", b""), ("USER_PASSWORD", b"")


def server(backend: str = "generic") -> XauthServer:
    return XauthServer(backend, REMOTE, counting)


def client(user: str = "joe") -> XauthClient:
    return XauthClient(user, counting)


def begun(script: Script) -> XauthServer:
    made = server()
    assert not isinstance(script.run(made.begin()), Verdict)
    return made


# -- the dialogues of the draft -------------------------------------------------


@pytest.mark.conformance("v1-34")
def test_simple_authentication() -> None:
    """§5.1: REQUEST(NAME="" PASSWORD=""), REPLY(NAME PASSWORD), SET(STATUS=OK)."""
    script = Script([Accepted("joe")], secrets={"joe": b"foobar"})

    verdict, requests, replies = talk(script, server(), client())

    assert [shape(request) for request in requests] == [[ASK_NAME, ASK_PASSWORD]]
    assert replies == [(NAME, PASSWORD)]
    assert verdict == Verdict(True, "joe")
    assert verdict.attributes() == (OK,)
    assert [(check.backend, check.user, bytes(check.password), check.remote) for check in script.checks] == [
        ("generic", "joe", b"foobar", REMOTE)
    ]


def test_radius_chap() -> None:
    """Example A-8: the password is the identifier and MD5(identifier, secret, challenge)."""
    script = Script([Accepted("joe")], Challenge(PromptKind.CHAP), {"joe": b"foobar"})

    verdict, requests, replies = talk(script, server(), client())

    challenge = counting(16)
    assert shape(requests[0]) == [("TYPE", 1), ("CHALLENGE", challenge), ASK_NAME, ASK_PASSWORD]
    hashed = b"\1" + hashlib.md5(b"\1foobar" + challenge).digest()
    assert shape(replies[0]) == [("TYPE", 1), ("USER_NAME", b"joe"), ("USER_PASSWORD", hashed)]
    assert verdict.success
    assert (script.checks[0].challenge, script.checks[0].kind) == (challenge, PromptKind.CHAP)


def test_a_chap_hash_may_end_in_zero() -> None:
    script = Script([Accepted("joe")], Challenge(PromptKind.CHAP))
    hashed = bytes(range(16, -1, -1))
    half = begun(script)

    script.run(half.take((NAME, Attribute(A.XAUTH_USER_PASSWORD, hashed))))

    assert script.checks[0].password == hashed


def test_challenge_and_response() -> None:
    """§5.2: a message, and name and password again."""
    again = Challenge(PromptKind.PASSWORD, "Enter your password followed by your pin number", b"one")
    script = Script([again, Accepted("joe")], secrets={"joe": b"foobar"}, replies=[b"foobar0985124"])

    verdict, requests, replies = talk(script, server(), client())

    assert shape(requests[1]) == [
        ("MESSAGE", b"Enter your password followed by your pin number"),
        ASK_NAME,
        ASK_PASSWORD,
    ]
    assert replies[1] == (NAME, Attribute(A.XAUTH_USER_PASSWORD, b"foobar0985124"))
    assert verdict.success
    assert [(check.state, bytes(check.password)) for check in script.checks] == [
        (b"", b"foobar"),
        (b"one", b"foobar0985124"),
    ]


def test_one_time_password() -> None:
    """§5.4: the name first, then the challenge that belongs to it."""
    script = Script(
        [Challenge(PromptKind.OTP, "otp-md5 499 ke1234"), Accepted("joe")],
        Challenge(PromptKind.OTP_NAME),
        replies=[b"5bf075d9959d036f"],
    )

    verdict, requests, replies = talk(script, server(), client())

    assert [shape(request) for request in requests] == [
        [("TYPE", 2), ASK_NAME],
        [("TYPE", 2), ("CHALLENGE", b"otp-md5 499 ke1234"), ASK_NAME, ASK_PASSWORD],
    ]
    assert shape(replies[1])[2] == ("USER_PASSWORD", b"5bf075d9959d036f")
    assert verdict.success
    assert (script.prompts[0].kind, script.prompts[0].message) == (PromptKind.OTP, "otp-md5 499 ke1234")


def test_securid_with_a_pin_of_the_users_choice() -> None:
    """Example A-6: a question, a new PIN, and the passcode made of it."""
    script = Script(
        [
            Challenge(PromptKind.ANSWER, "Would you like to generate your own PIN (y/n)?"),
            Challenge(PromptKind.NEXT_PIN, "Enter your new PIN containing 4-6 digits"),
            Challenge(PromptKind.PASSCODE),
            Accepted("joe"),
        ],
        Challenge(PromptKind.PASSCODE),
        replies=[b"1637364856", b"y", b"1234", b"1234764456"],
    )

    verdict, requests, replies = talk(script, server(), client())

    ask_passcode = [ASK_NAME, ("PASSCODE", b"")]
    assert [shape(request) for request in requests] == [
        ask_passcode,
        [("MESSAGE", b"Would you like to generate your own PIN (y/n)?"), ("ANSWER", b"")],
        [("MESSAGE", b"Enter your new PIN containing 4-6 digits"), ("NEXT_PIN", b"")],
        ask_passcode,
    ]
    assert [shape(reply)[-1] for reply in replies] == [
        ("PASSCODE", b"1637364856"),
        ("ANSWER", b"y"),
        ("NEXT_PIN", b"1234"),
        ("PASSCODE", b"1234764456"),
    ]
    assert verdict == Verdict(True, "joe")
    assert [check.user for check in script.checks] == ["joe"] * 4
    assert [prompt.kind for prompt in script.prompts] == [
        PromptKind.PASSCODE,
        PromptKind.ANSWER,
        PromptKind.NEXT_PIN,
        PromptKind.NEXT_PASSCODE,
    ]


def test_next_cardcode() -> None:
    """Example A-7."""
    out_of_step = Challenge(PromptKind.NEXT_PASSCODE, "Your token is out of sync, please enter a new passcode.")
    script = Script(
        [out_of_step, Accepted("joe")], Challenge(PromptKind.PASSCODE), replies=[b"1637364856", b"1637904324"]
    )

    verdict, requests, _ = talk(script, server(), client())

    assert [kind for kind, _ in shape(requests[1])] == ["MESSAGE", "USER_NAME", "PASSCODE"]
    assert verdict.success


def test_an_answer_is_never_asked_for_without_a_message() -> None:
    """§6.2: XAUTH_ANSWER must be accompanied by XAUTH_MESSAGE."""
    request = Script(opening=Challenge(PromptKind.ANSWER)).run(server().begin())

    assert not isinstance(request, Verdict)
    assert [kind for kind, _ in shape(request)] == ["MESSAGE", "ANSWER"]


def test_who_need_not_log_in_is_told_so_at_once() -> None:
    """§5.5: SET(STATUS=OK) without a request."""
    assert Script(opening=Accepted("")).run(server("noauth").begin()) == Verdict(True)


# -- wrong passwords ------------------------------------------------------------


@pytest.mark.conformance("v1-34")
def test_a_wrong_password_may_be_corrected_before_the_status_is_set() -> None:
    """§6: retries are in the same transaction, and SET comes when it is decided."""
    script = Script([Rejected("wrong"), Accepted("joe")], secrets={"joe": b"foobra"}, replies=[b"foobar"])

    verdict, requests, _ = talk(script, server(), client())

    assert shape(requests[1])[0] == ("MESSAGE", b"Login incorrect, please try again")
    assert verdict == Verdict(True, "joe")
    assert len(script.checks) == 2


@pytest.mark.conformance("v1-34")
def test_after_the_last_try_the_status_is_fail() -> None:
    script = Script([Rejected("wrong")] * MAX_TRIES, secrets={"joe": b"1"}, replies=[b"2", b"3", b"4"])

    verdict, requests, _ = talk(script, server(), client())

    assert verdict == Verdict(False, "joe", "wrong")
    assert verdict.attributes() == (FAIL,)
    assert len(requests) == len(script.checks) == MAX_TRIES


def test_a_program_that_repeats_its_password_is_not_checked_again() -> None:
    script = Script([Rejected("wrong")])
    half = begun(script)
    assert not isinstance(script.run(half.take((NAME, PASSWORD))), Verdict)

    verdict = script.run(half.take((NAME, PASSWORD)))

    assert verdict == Verdict(False, "joe", "the same name and password again")
    assert len(script.checks) == 1


def test_no_second_try_where_none_can_help() -> None:
    script = Script([Rejected("PAM: the account has expired", final=True)])

    verdict = script.run(begun(script).take((NAME, PASSWORD)))

    assert verdict == Verdict(False, "joe", "PAM: the account has expired")


def test_no_second_try_of_what_machines_compute() -> None:
    script = Script([Rejected("wrong")], Challenge(PromptKind.CHAP))

    assert script.run(begun(script).take((NAME, PASSWORD))) == Verdict(False, "joe", "wrong")


def test_the_reason_stays_here() -> None:
    """The wire shows no more than FAIL."""
    script = Script([Rejected("no user 'joe'", final=True)])
    verdict = script.run(begun(script).take((NAME, PASSWORD)))

    assert isinstance(verdict, Verdict)
    assert verdict.attributes() == (FAIL,)


@pytest.mark.parametrize("stage", ["opening", "check"])
def test_a_backend_that_does_not_work_accepts_nobody(stage: str) -> None:
    broken = BackendError("PAM is busy")
    script = Script(opening=broken) if stage == "opening" else Script([broken])
    half = server()

    step = script.run(half.begin())
    if not isinstance(step, Verdict):
        step = script.run(half.take((NAME, PASSWORD)))

    assert isinstance(step, Verdict)
    assert (step.success, step.why) == (False, "PAM is busy")


# -- replies that are none -------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((), "no XAUTH_USER_NAME"),
        ((NAME,), "no XAUTH_USER_PASSWORD"),
        ((PASSWORD,), "no XAUTH_USER_NAME"),
        ((NAME, Attribute(A.XAUTH_USER_PASSWORD, b"")), "no XAUTH_USER_PASSWORD"),
        ((NAME, Attribute(A.XAUTH_USER_PASSWORD, b"\0")), "empty XAUTH_USER_PASSWORD"),
        ((NAME, NAME, PASSWORD), "XAUTH_USER_NAME twice"),
        ((NAME, Attribute(A.XAUTH_USER_PASSWORD, bytes(MAX_OCTETS + 1))), "octets"),
        ((Attribute(A.XAUTH_USER_NAME, b"joe\nroot"), PASSWORD), "cannot be printed"),
        ((Attribute(A.XAUTH_USER_NAME, b"\xff"), PASSWORD), "not UTF-8"),
        ((Attribute(A.XAUTH_TYPE, 1), NAME, PASSWORD), "another XAUTH type"),
        ((Attribute(A.XAUTH_TYPE, b""), NAME, PASSWORD), "number of 0 octets"),
        ((NAME, PASSWORD, FAIL), "gave up"),
        ((NAME, PASSWORD, OK), "gave up"),
        ((NAME, PASSWORD) * 20, "40 attributes"),
    ],
)
def test_a_reply_that_does_not_fit_fails_the_login_unchecked(reply: tuple[Attribute, ...], why: str) -> None:
    script = Script()

    verdict = script.run(begun(script).take(reply))

    assert isinstance(verdict, Verdict)
    assert not verdict.success
    assert why in verdict.why
    assert not script.checks


def test_what_clients_add_does_not_matter() -> None:
    """A type of 0, zero-terminated strings, attributes nobody asked for."""
    script = Script([Accepted("joe")])
    extra = Attribute(A.UNITY_BANNER, b""), Attribute(A.XAUTH_DOMAIN, b""), Attribute(A.XAUTH_TYPE, 0)
    zero = Attribute(A.XAUTH_USER_NAME, b"joe\0"), Attribute(A.XAUTH_USER_PASSWORD, b"foobar\0")

    script.run(begun(script).take((*extra, *zero)))

    assert (script.checks[0].user, bytes(script.checks[0].password)) == ("joe", b"foobar")


def test_a_dialogue_stays_with_the_user_it_began_with() -> None:
    script = Script([Challenge(PromptKind.PASSWORD, "and now the card", b"state")])
    half = begun(script)
    script.run(half.take((NAME, PASSWORD)))

    verdict = script.run(half.take((Attribute(A.XAUTH_USER_NAME, b"root"), PASSWORD)))

    assert isinstance(verdict, Verdict)
    assert (verdict.success, verdict.why) == (False, "the user's name changed within one login")
    assert len(script.checks) == 1


def test_a_backend_without_end_is_ended() -> None:
    script = Script([Challenge(PromptKind.ANSWER, "more")] * MAX_ROUNDS)
    half = begun(script)
    step = script.run(half.take((NAME, PASSWORD)))
    while not isinstance(step, Verdict):
        step = script.run(half.take((Attribute(A.XAUTH_ANSWER, b"y"),)))

    assert (step.success, step.why) == (False, f"no end after {MAX_ROUNDS} requests")


@given(st.lists(st.builds(Attribute, st.integers(16518, 16531), st.integers(0, 3) | st.binary(max_size=9)), max_size=6))
def test_no_reply_is_ever_more_than_a_no_unless_the_backend_says_yes(reply: list[Attribute]) -> None:
    script = Script([Rejected("wrong", final=True)])

    step = script.run(begun(script).take(reply))

    assert isinstance(step, Verdict)
    assert not step.success


# -- the user's end ---------------------------------------------------------------


@pytest.mark.conformance("v1-34")
def test_what_we_cannot_answer_is_fail_and_completes_the_transaction() -> None:
    """§5: REPLY with XAUTH_STATUS FAIL."""
    reply = Script().run(client().take((Attribute(A.XAUTH_USER_NAME, b""), Attribute(A.XAUTH_USER_PASSWORD, b""))))

    assert reply.attributes == (FAIL,)
    assert reply.failed == "nobody knows"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ((Attribute(A.XAUTH_TYPE, 4711), Attribute(A.XAUTH_USER_NAME, b"")), "XAUTH type 4711"),
        ((Attribute(A.XAUTH_CHALLENGE, b"123"), Attribute(A.XAUTH_USER_PASSWORD, b"")), "must not be"),
        ((Attribute(A.XAUTH_TYPE, 1), Attribute(A.XAUTH_USER_PASSWORD, b"")), "without a challenge"),
        ((Attribute(A.XAUTH_USER_NAME, b""),) * 2, "twice"),
        ((Attribute(A.XAUTH_TYPE, bytes(40) + b"1" * 9),), "number of 49 octets"),
    ],
)
def test_requests_that_nobody_can_answer(request_: tuple[Attribute, ...], why: str) -> None:
    reply = Script(secrets={"joe": b"foobar"}).run(client().take(request_))

    assert reply.attributes[-1] == FAIL
    assert why in reply.failed


def test_the_type_is_echoed_if_there_was_one() -> None:
    """§6.2."""
    request = Attribute(A.XAUTH_TYPE, 0), Attribute(A.XAUTH_USER_NAME, b""), Attribute(A.XAUTH_USER_PASSWORD, 0)

    reply = Script(secrets={"joe": b"foobar"}).run(client().take(request))

    assert reply.attributes == (Attribute(A.XAUTH_TYPE, 0), NAME, PASSWORD)


def test_the_configured_password_is_given_once() -> None:
    script = Script(secrets={"joe": b"foobar"})
    half = client()
    request = Attribute(A.XAUTH_USER_NAME, b""), Attribute(A.XAUTH_USER_PASSWORD, b"")
    script.run(half.take(request))

    reply = script.run(half.take((Attribute(A.XAUTH_MESSAGE, b"Login incorrect"), *request)))

    assert reply.attributes == (FAIL,)
    assert [(prompt.kind, prompt.message) for prompt in script.prompts] == [(PromptKind.PASSWORD, "Login incorrect")]


@pytest.mark.parametrize(("user", "domain"), [("joe", b""), ("CORP\\joe", b"CORP")])
def test_a_domain_is_what_stands_before_the_backslash(user: str, domain: bytes) -> None:
    reply = Script().run(client(user).take((Attribute(A.XAUTH_DOMAIN, b""),)))

    assert reply.attributes == (Attribute(A.XAUTH_DOMAIN, domain),)


def test_a_message_from_outside_cannot_spoil_a_terminal() -> None:
    loud = Attribute(A.XAUTH_MESSAGE, b"hello\x1b[2J\nworld" + b"!" * 400)

    reply = Script().run(client().take((loud,)))

    assert reply.message.startswith("hello [2J world")
    assert len(reply.message) == MAX_MESSAGE


def test_a_gateway_without_end_is_left() -> None:
    script, half = Script(), client()
    for _ in range(MAX_ROUNDS):
        assert not script.run(half.take((Attribute(A.XAUTH_USER_NAME, b""),))).failed

    assert "no end" in script.run(half.take((Attribute(A.XAUTH_USER_NAME, b""),))).failed


@pytest.mark.parametrize(
    ("set_", "success", "why"),
    [
        ((OK,), True, ""),
        ((OK, Attribute(A.XAUTH_MESSAGE, b"Welcome")), True, ""),
        ((FAIL,), False, "the gateway refused user 'joe'"),
        ((FAIL, Attribute(A.XAUTH_MESSAGE, b"expired")), False, "the gateway refused user 'joe': expired"),
        ((), False, "the gateway refused user 'joe'"),
        ((Attribute(A.XAUTH_STATUS, 2),), False, "the gateway refused user 'joe'"),
        ((Attribute(A.XAUTH_STATUS, b"\0\1"),), True, ""),
        ((Attribute(A.XAUTH_STATUS, b""),), False, "attribute XAUTH_STATUS is a number of 0 octets"),
        ((FAIL, OK), False, "XAUTH_STATUS twice in one message"),
    ],
)
def test_only_a_clear_ok_is_one(set_: tuple[Attribute, ...], success: bool, why: str) -> None:
    verdict = client().settle(set_)

    assert (verdict.success, verdict.why) == (success, why)


def test_chap_needs_a_challenge() -> None:
    with pytest.raises(PeerMisbehaved, match="without a challenge"):
        chap(1, b"foobar", b"")


@given(st.lists(st.builds(Attribute, st.integers(16518, 16531), st.integers(0, 3) | st.binary(max_size=9)), max_size=6))
def test_any_request_gets_a_reply_and_secrets_stay_where_they_belong(request: list[Attribute]) -> None:
    script = Script(secrets={"joe": b"foobar"}, replies=[b"foobaz"])

    reply = script.run(client().take(request))

    for kind, value in reply.attributes:
        if kind not in SECRET_ATTRIBUTES:
            assert b"fooba" not in (value if isinstance(value, bytes) else b"")
    assert bool(reply.failed) == (FAIL in reply.attributes)


# -- secrets ------------------------------------------------------------------------


def test_nothing_that_prints_holds_a_password() -> None:
    script = Script([Rejected("wrong"), Accepted("joe")], secrets={"joe": b"foobar"}, replies=[b"foobaz"])
    one, other = server(), client()
    step = script.run(one.begin())
    printed = []
    while not isinstance(step, Verdict):
        reply = script.run(other.take(step))
        step = script.run(one.take(reply.attributes))
        printed.append(f"{reply!r} {step!r}")

    printed += [repr(ask) for ask in script.asked]
    assert step.success
    assert not any("fooba" in text for text in printed)
