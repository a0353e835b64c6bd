"""Who checks the passwords of users, and how late they are answered."""

from __future__ import annotations

import pytest

from ikectl.auth.xauth import chap
from ikectl.config.model import Auth, AuthKind, Connection, Remote, XauthBackend
from ikectl.crypto.mschapv2 import authenticator_response, nt_hash, nt_response, session_key
from ikectl.daemon.logins import Backend, LocalUsers, Logins, NoAuth, check_backends
from ikectl.daemon.penalties import FIRST
from ikectl.errors import BackendError, ConfigErrors, CredentialError
from ikectl.pki.store import Store
from ikectl.sa.asks import BeginLogin, CheckMschap, CheckPassword, Prompt, UserHash, UserSecret
from ikectl.sa.logins import Accepted, Challenge, Keyed, PromptKind, Rejected
from ikectl.values.secret import Secret

PASSWORDS = {"joe": Secret(b"foobar"), "ann": Secret(b"s")}
HERE, THERE = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
NONCE = bytes(range(16))


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def counting(octets: int) -> bytes:
    return bytes(range(1, octets + 1))


def logins(clock: Clock | None = None) -> Logins:
    clock = clock or Clock()
    hashes = {user: nt_hash(password) for user, password in PASSWORDS.items()}
    backends: dict[str, Backend] = {
        "generic": LocalUsers(PASSWORDS.get, counting),
        "chap": LocalUsers(PASSWORDS.get, counting, PromptKind.CHAP),
        "noauth": NoAuth(),
    }
    return Logins(backends, PASSWORDS.get, hashes.get, counting, lambda: clock.now, clock.sleep)


def check(user: str, password: bytes, remote: bytes = HERE) -> CheckPassword:
    return CheckPassword("generic", user, Secret(password), remote, PromptKind.PASSWORD)


async def test_local_users() -> None:
    made = logins()

    assert await made.begin(BeginLogin("generic", HERE)) == Challenge(PromptKind.PASSWORD)
    assert await made.check(check("joe", b"foobar")) == Accepted("joe")
    for wrong in (b"", b"foobaR", b"foobar\0", b"fooba", b"foobarr"):
        assert await made.check(check("joe", wrong)) == Rejected("wrong password of user 'joe'")
    for user in ("Joe", "bob", ""):
        assert isinstance(await made.check(check(user, b"foobar")), Rejected)


async def test_nobody_has_no_password_that_could_be_guessed() -> None:
    """What unknown users are compared with does not let them in."""
    assert isinstance(await logins().check(check("bob", counting(16))), Rejected)


async def test_local_users_by_chap() -> None:
    made = logins()
    assert await made.begin(BeginLogin("chap", HERE)) == Challenge(PromptKind.CHAP)

    def ask(user: str, password: bytes) -> CheckPassword:
        return CheckPassword("chap", user, Secret(password), HERE, PromptKind.CHAP, b"", NONCE)

    good = chap(7, b"foobar", NONCE)
    assert await made.check(ask("joe", good)) == Accepted("joe")
    wrong = (chap(7, b"foobar", NONCE[1:]), chap(7, b"foo", NONCE), good[1:], good + b"\0", b"", b"foobar")
    for response in wrong:
        assert isinstance(await made.check(ask("joe", response)), Rejected)
    assert isinstance(await made.check(ask("bob", good)), Rejected)


async def test_nobody_is_asked_where_nobody_needs_to_be() -> None:
    assert await logins().begin(BeginLogin("noauth", HERE)) == Accepted("")


@pytest.mark.parametrize(("backend", "why"), [("radius", "no connector to RADIUS"), ("ldap", "no backend 'ldap'")])
async def test_backends_that_are_not_there(backend: str, why: str) -> None:
    with pytest.raises(BackendError, match=why):
        await logins().begin(BeginLogin(backend, HERE))


@pytest.mark.parametrize("backend", XauthBackend)
async def test_every_backend_of_the_configuration_works_or_is_refused_at_load(backend: XauthBackend) -> None:
    rounds = Remote(auth=Auth(AuthKind.PSK)), Remote("remote-2", Auth(AuthKind.XAUTH, backend=backend))
    connection = Connection("c", (), version=1, remote=rounds)
    made = Logins.of(Store(), counting, lambda: 0.0)
    try:
        check_backends((connection,))
    except ConfigErrors as refused:
        assert str(refused).startswith("connections.c.remote-2.auth: this version has no connector to RADIUS; use ")
        with pytest.raises(BackendError):
            await made.begin(BeginLogin(backend, HERE))
    else:
        assert isinstance(await made.begin(BeginLogin(backend, HERE)), Challenge | Accepted)


async def test_the_daemon_answers_all_that_a_login_asks() -> None:
    made = Logins.of(Store(), counting, lambda: 0.0)

    assert {*made.immediate, *made.later} == {UserSecret, UserHash, Prompt, BeginLogin, CheckPassword, CheckMschap}


# -- delays -------------------------------------------------------------------------


@pytest.mark.conformance("v1-34")
async def test_wrong_passwords_are_answered_later_and_later() -> None:
    clock = Clock()
    made = logins(clock)

    for _ in range(3):
        await made.check(check("joe", b"wrong"))

    assert clock.slept == [FIRST, 2 * FIRST, 4 * FIRST]


async def test_a_guessed_name_does_not_slow_its_owner_down() -> None:
    clock = Clock()
    made = logins(clock)
    for _ in range(9):
        await made.check(check("joe", b"wrong", THERE))
    clock.slept.clear()

    assert await made.check(check("joe", b"foobar", HERE)) == Accepted("joe")

    assert clock.slept == []


async def test_from_an_address_that_was_wrong_a_yes_comes_as_late_as_a_no() -> None:
    """Else who guesses need not wait for the no."""
    clock = Clock()
    made = logins(clock)
    await made.check(check("joe", b"wrong"))
    await made.check(check("ann", b"s"))

    assert clock.slept == [FIRST, FIRST]


async def test_a_name_guessed_at_from_many_addresses_is_answered_late_everywhere() -> None:
    clock = Clock()
    made = logins(clock)
    for last in range(4):
        await made.check(check("joe", b"wrong", bytes((192, 0, 2, last))))

    assert clock.slept == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]


async def test_addresses_of_one_network_of_ipv6_are_one_guesser() -> None:
    """A host has 2^64 of them, and could guess from a fresh one each time."""
    clock = Clock()
    made = logins(clock)
    for last in range(3):
        await made.check(
            check(f"user{last}", b"wrong", bytes.fromhex("20010db8006600000000000000000000")[:-1] + bytes((last,)))
        )
    await made.check(check("ann", b"s", bytes.fromhex("20010db80066000000000000000000ff")))
    assert clock.slept == [FIRST, 2 * FIRST, 4 * FIRST, 4 * FIRST]

    await made.check(check("ann", b"s", bytes.fromhex("20010db80066000100000000000000ff")))
    assert len(clock.slept) == 4


# -- our own passwords -----------------------------------------------------------------


def test_the_password_of_a_user_of_ours() -> None:
    assert logins().secret(UserSecret("joe")) == b"foobar"
    with pytest.raises(CredentialError, match=r"secrets\.xauth"):
        logins().secret(UserSecret("bob"))


def test_prompts_are_answered_from_the_secret_where_that_helps() -> None:
    made = logins()

    assert made.prompt(Prompt("joe", "", PromptKind.PASSCODE)) == b"foobar"
    assert made.prompt(Prompt("joe", "otp-md5 3 ke1234", PromptKind.OTP)).isalnum()


@pytest.mark.parametrize(
    ("kind", "next_step"),
    [
        (PromptKind.PASSWORD, "it may be wrong"),
        (PromptKind.NEXT_PIN, "by the means of the token's owner"),
        (PromptKind.NEXT_PASSCODE, "have the gateway ask for no more"),
        (PromptKind.ANSWER, "have the gateway ask for no more"),
    ],
)
def test_prompts_nobody_can_answer_say_what_to_do(kind: PromptKind, next_step: str) -> None:
    with pytest.raises(CredentialError, match=next_step) as failure:
        logins().prompt(Prompt("joe", "Enter it", kind))

    assert "Enter it" in str(failure.value)
    assert "foobar" not in str(failure.value)


async def test_no_password_is_told() -> None:
    told = [repr(await logins().check(check("joe", b"hunter2"))), repr(check("joe", b"hunter2"))]

    assert not any("hunter2" in text for text in told)


def mschap(user: str, password: bytes, remote: bytes = HERE) -> CheckMschap:
    response = nt_response(NONCE, NONCE[::-1], user.encode(), nt_hash(password))
    return CheckMschap(user, b"DOM\\" + user.encode(), NONCE, NONCE[::-1], response, remote)


async def test_mschapv2() -> None:
    clock = Clock()
    made = logins(clock)
    key = nt_hash(b"foobar")
    ask = mschap("joe", b"foobar")

    answer = await made.check_mschap(ask)

    proof = authenticator_response(NONCE, NONCE[::-1], b"joe", key, ask.response)
    assert answer == Keyed("joe", proof, session_key(key, ask.response))
    assert clock.slept == []
    assert await made.check_mschap(mschap("joe", b"foobaR")) == Rejected("wrong password of user 'joe'")
    assert isinstance(await made.check_mschap(mschap("bob", b"foobar")), Rejected)
    assert len(clock.slept) == 2 and clock.slept[0] == FIRST, "guesses are answered late"


async def test_a_guess_by_one_way_counts_for_the_other() -> None:
    clock = Clock()
    made = logins(clock)

    await made.check(check("joe", b"x", HERE))
    await made.check_mschap(mschap("joe", b"x", THERE))

    assert clock.slept == [FIRST, 2 * FIRST]


def test_the_hash_of_a_user_of_ours() -> None:
    made = logins()
    assert made.hash(UserHash("ann")) == nt_hash(b"s")
    with pytest.raises(CredentialError, match=r"secrets.eap"):
        made.hash(UserHash("bob"))


async def test_a_guess_by_chap_counts_for_the_same_password() -> None:
    clock = Clock()
    made = logins(clock)

    await made.check(CheckPassword("chap", "joe", Secret(bytes(17)), HERE, PromptKind.CHAP, challenge=NONCE))
    await made.check(check("joe", b"x", THERE))

    assert clock.slept == [FIRST, 2 * FIRST]
