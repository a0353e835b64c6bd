"""PAM, the real library with stacks of its own modules in a directory of the test's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ikectl.daemon import pam
from ikectl.daemon.libpam import Style
from ikectl.daemon.pam import Pam, challenge
from ikectl.errors import BackendError
from ikectl.sa.asks import BeginLogin, CheckPassword
from ikectl.sa.logins import Accepted, Challenge, LoginAnswer, PromptKind, Rejected
from ikectl.values.secret import Secret

REMOTE = bytes((192, 0, 2, 1))
GUEST = "Guest login ok, send your complete e-mail address as password."
"""What pam_ftp asks of the users it lets in."""


def names() -> Callable[[int], bytes]:
    """A fresh state for each dialogue."""
    numbers = iter(range(1, 99))
    return lambda octets: next(numbers).to_bytes(octets)


class Stacks:
    """A directory of services, and logins at them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pam = Pam(names(), str(directory))

    def service(self, *lines: str, name: str = "ikectl") -> None:
        (self.directory / name).write_text("\n".join(lines) + "\n")

    def script(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    async def login(
        self, password: bytes, user: str = "joe", state: bytes = b"", profile: str = "", remote: bytes = REMOTE
    ) -> LoginAnswer:
        kind = PromptKind.PASSWORD
        return await self.pam.check(CheckPassword("pam", user, Secret(password), remote, kind, state, b"", profile))


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    """`ikectl` lets in who knows "foobar"."""
    made = Stacks(tmp_path)
    secret = made.script("check", 'read -r given; [ "$given" = foobar ] && [ "$PAM_RHOST" = 192.0.2.1 ]\n')
    made.service(f"auth required pam_exec.so expose_authtok quiet {secret}", "account required pam_permit.so")
    return made


async def test_a_password_is_checked_by_the_modules(stacks: Stacks) -> None:
    assert await stacks.pam.begin(BeginLogin("pam", REMOTE)) == Challenge(PromptKind.PASSWORD)
    assert await stacks.login(b"foobar") == Accepted("joe")

    refused = await stacks.login(b"wrong")

    assert isinstance(refused, Rejected)
    assert refused.why.startswith("PAM: ")
    assert "wrong" not in refused.why


async def test_the_account_counts_as_much_as_the_password(stacks: Stacks) -> None:
    stacks.service("auth required pam_permit.so", "account required pam_debug.so acct=acct_expired")

    refused = await stacks.login(b"any")

    assert isinstance(refused, Rejected)
    assert refused.final
    assert "expired" in refused.why


async def test_the_profile_is_the_service(stacks: Stacks) -> None:
    stacks.service("auth required pam_permit.so", "account required pam_permit.so", name="other-service")

    assert await stacks.login(b"wrong", profile="other-service") == Accepted("joe")


async def test_a_further_prompt_goes_to_the_user_and_its_reply_back(stacks: Stacks) -> None:
    lines = (stacks.directory / "ikectl").read_text().splitlines()
    stacks.service(lines[0], "auth required pam_ftp.so users=joe", lines[1])

    asked = await stacks.login(b"foobar")
    assert isinstance(asked, Challenge)
    assert (asked.kind, asked.message) == (PromptKind.PASSWORD, GUEST)
    assert asked.state

    assert await stacks.login(b"joe@example.org", state=asked.state) == Accepted("joe")
    again = await stacks.login(b"joe@example.org", state=asked.state)
    assert isinstance(again, Rejected)
    assert again.final


async def test_two_dialogues_at_once_do_not_mix(stacks: Stacks) -> None:
    for name in ("joe", "ann"):
        lines = f"auth required pam_ftp.so users={name}", f"auth required pam_ftp.so users={name}"
        stacks.service(*lines, "account required pam_permit.so", name=name)

    joe, ann = await stacks.login(b"x", profile="joe"), await stacks.login(b"x", user="ann", profile="ann")

    assert isinstance(joe, Challenge)
    assert isinstance(ann, Challenge)
    assert await stacks.login(b"x", user="ann", state=ann.state, profile="ann") == Accepted("ann")
    assert await stacks.login(b"x", state=joe.state, profile="joe") == Accepted("joe")


async def test_what_modules_say_is_passed_on(stacks: Stacks) -> None:
    (stacks.directory / "motd").write_text("Your password expires soon.")
    stacks.service(
        "auth required pam_permit.so",
        f"auth optional pam_echo.so file={stacks.directory}/motd",
        "account required pam_permit.so",
    )

    assert await stacks.login(b"x") == Accepted("joe", "Your password expires soon.")


async def test_a_reply_that_does_not_come_ends_the_thread(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pam, "REPLY_WITHIN", 0.0)
    stacks.service("auth required pam_ftp.so users=joe", "auth required pam_ftp.so users=joe")
    asked = await stacks.login(b"foobar")
    assert isinstance(asked, Challenge)

    refused = await stacks.login(b"late", state=asked.state)

    assert isinstance(refused, Rejected)
    assert refused.final


async def test_a_module_that_hangs_is_not_waited_for(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pam, "ANSWER_WITHIN", 0.0)

    with pytest.raises(BackendError, match="did not answer within"):
        await stacks.login(b"foobar")


async def test_threads_are_bounded(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pam, "MAX_LOGINS", 1)
    stacks.pam = Pam(names(), str(stacks.directory))
    stacks.service(
        "auth required pam_ftp.so users=joe", "auth required pam_ftp.so users=joe", "account required pam_permit.so"
    )
    asked = await stacks.login(b"foobar")
    assert isinstance(asked, Challenge)

    with pytest.raises(BackendError, match="busy with 1 logins"):
        await stacks.login(b"foobar")
    assert await stacks.login(b"x", state=asked.state) == Accepted("joe")


async def test_who_never_replies_leaves_room_for_others(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    """One site's logins hang at a prompt; the next /64 still gets in."""
    monkeypatch.setattr(pam, "MAX_OF_SITE", 2)
    stacks.service(
        "auth required pam_ftp.so users=joe", "auth required pam_ftp.so users=joe", "account required pam_permit.so"
    )
    here, there = (bytes.fromhex(f"20010db80066{net:04x}") + bytes(7) for net in (0, 1))
    asked = [await stacks.login(b"foobar", remote=here + bytes((last,))) for last in (1, 2)]

    with pytest.raises(BackendError, match="busy with 2 logins from there"):
        await stacks.login(b"foobar", remote=here + b"\3")
    asked.append(await stacks.login(b"foobar", remote=there + b"\1"))

    for each in asked:
        assert isinstance(each, Challenge)
        assert await stacks.login(b"x", state=each.state) == Accepted("joe")
    assert isinstance(await stacks.login(b"foobar", remote=here + b"\3"), Challenge)


async def test_a_module_that_is_missing_is_a_fault_of_pam_not_of_the_user(stacks: Stacks) -> None:
    stacks.service("auth required pam_is_missing.so")

    with pytest.raises(BackendError, match="PAM: "):
        await stacks.login(b"foobar")


async def test_a_missing_service_is_named() -> None:
    missing = Pam(names())

    with pytest.raises(BackendError, match=r"there is no /etc/pam\.d/no-such-service-of-ikectl"):
        await missing.check(
            CheckPassword("pam", "joe", Secret(b"x"), REMOTE, PromptKind.PASSWORD, profile="no-such-service-of-ikectl")
        )


@pytest.mark.parametrize(("user", "password"), [("joe\0root", b"x"), ("joe", b"foobar\0")])
async def test_zero_octets_end_strings_of_c_and_are_refused(stacks: Stacks, user: str, password: bytes) -> None:
    assert isinstance(await stacks.login(password, user=user), Rejected)


@pytest.mark.parametrize(
    ("style", "prompt", "kind", "message"),
    [
        (Style.HIDDEN, "Verification code: ", PromptKind.PASSWORD, "Verification code:"),
        (Style.VISIBLE, "Generate a PIN yourself (y/n)? ", PromptKind.ANSWER, "Generate a PIN yourself (y/n)?"),
        (Style.HIDDEN, "Enter your new PIN: ", PromptKind.NEXT_PIN, "Enter your new PIN:"),
        (Style.HIDDEN, "Enter PASSCODE: ", PromptKind.NEXT_PASSCODE, "Enter PASSCODE:"),
        (Style.HIDDEN, "otp-md5 498 ke1235 ext, Response: ", PromptKind.OTP, "otp-md5 498 ke1235"),
    ],
)
def test_prompts_of_modules_are_put_as_what_they_ask(style: int, prompt: str, kind: PromptKind, message: str) -> None:
    assert challenge(style, prompt, "") == Challenge(kind, message)
