"""Users log in from one daemon to another: secrets, backends and PAM as they are, over real sockets."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ikectl.config.auth import read_auth
from ikectl.config.model import Local, Remote
from ikectl.daemon.logins import Backend, LocalUsers, Logins
from ikectl.daemon.pam import Pam
from ikectl.engine.commands import Initiate, LoadConnection
from ikectl.pki.store import Store
from ikectl.sa.events import AuthFailed, CommandDone
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.sa.logins import PromptKind
from ikectl.values.identity import Identity
from tests.daemon.loopback import Running

MOON, SUN = "127.0.3.1", "127.0.3.2"
IKE = "aes128-sha256-ecp256"


def checking(directory: Path, slept: list[float]) -> Callable[[Store], Logins]:
    """All backends, with PAM's services in `directory`, and delays that are only written down."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def make(store: Store) -> Logins:
        backends: dict[str, Backend] = {
            "generic": LocalUsers(store.password, secrets.token_bytes),
            "chap": LocalUsers(store.password, secrets.token_bytes, PromptKind.CHAP),
            "pam": Pam(secrets.token_bytes, str(directory)),
        }
        return Logins(backends, store.password, store.nt_hash, secrets.token_bytes, lambda: 0.0, sleep)

    return make


async def login(
    directory: Path, auth: str, ours: bytes, theirs: bytes
) -> tuple[CommandDone, str, list[float], list[str]]:
    """joe says `ours` to a gateway that has `theirs`: (how it ended, who is in, delays, everything that was told)."""
    slept: list[float] = []
    moon, sun = Running(MOON), Running(SUN, logins=checking(directory, slept))
    try:
        for end in (moon, sun):
            end.store.add_secret("ike", (), b"between friends")
        moon.store.add_password("", (Identity.parse("joe"),), ours)
        sun.store.add_password("", (Identity.parse("joe"),), theirs)
        for end, peer in ((moon, SUN), (sun, MOON)):
            plain = end.connection(peer, end is sun, version=1, ike=IKE)
            if end is moon:
                made = replace(plain, local=(*plain.local, Local("local-2", read_auth("xauth"), xauth_id="joe")))
            else:
                made = replace(plain, remote=(*plain.remote, Remote("remote-2", read_auth(auth))))
            end.shell.command(LoadConnection(made))
        moon.shell.command(Initiate(1, "site", "net"))
        done = await moon.done(1)
        failed = any(isinstance(event, AuthFailed) for event in sun.events)
        sas = [] if failed else [machine.sa for machine in sun.shell.engine.machines()]
        user = next((sa.user for sa in sas if isinstance(sa, IsakmpSa)), "")
        told = [f"{event!r} {event.text()}" for end in (moon, sun) for event in end.events]
        return done, user, slept, told
    finally:
        moon.stop()
        sun.stop()


@pytest.mark.conformance("v1-34")
@pytest.mark.parametrize("auth", ["xauth", "xauth-chap"])
async def test_a_password_among_the_secrets(tmp_path: Path, auth: str) -> None:
    done, user, slept, told = await login(tmp_path, auth, b"foobar", b"foobar")

    assert (done.error, user, slept) == (None, "joe", [])
    assert not any("foobar" in text for text in told)


@pytest.mark.parametrize("auth", ["xauth", "xauth-chap"])
async def test_a_wrong_password(tmp_path: Path, auth: str) -> None:
    done, user, slept, told = await login(tmp_path, auth, b"foobar", b"tulips")

    assert "XAUTH" in (done.error or "")
    assert user == ""
    assert slept == [1.0]
    assert not any(secret in text for text in told for secret in ("foobar", "tulips"))


@pytest.mark.parametrize(("password", "error"), [(b"foobar", False), (b"tulips", True)])
async def test_pam(tmp_path: Path, password: bytes, error: bool) -> None:
    script = tmp_path / "check"
    script.write_text('#!/bin/sh\nread -r given; [ "$given" = foobar ] && [ "$PAM_RHOST" = 127.0.3.1 ]\n')
    script.chmod(0o755)
    (tmp_path / "vpn").write_text(
        f"auth required pam_exec.so expose_authtok quiet {script}\naccount required pam_permit.so\n"
    )

    done, user, slept, told = await login(tmp_path, "xauth-pam:vpn", password, b"unused")

    assert (done.error is not None) is error
    assert user == ("" if error else "joe")
    assert slept == ([1.0] if error else [])
    assert not any(password.decode() in text for text in told)
