"""Users with their passwords, and what a daemon's logins answer about them, without penalties and without waiting."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from ikectl.crypto.mschapv2 import nt_hash
from ikectl.daemon.logins import LocalUsers, Logins, MschapUsers
from ikectl.sa import asks
from ikectl.sa.logins import PromptKind
from ikectl.values.secret import Secret

T = TypeVar("T")


def user_answers(passwords: Mapping[str, bytes]) -> dict[type[Any], Any]:
    """Answers of a host that knows these passwords: of others, and of its own users."""
    known = {user: Secret(password) for user, password in passwords.items()}
    hashes = {user: nt_hash(password) for user, password in passwords.items()}
    backends = {"generic": LocalUsers(known.get, bytes), "chap": LocalUsers(known.get, bytes, PromptKind.CHAP)}
    logins = Logins({}, known.get, hashes.get, bytes, lambda: 0.0)
    return {
        **logins.immediate,
        asks.BeginLogin: lambda ask: now(backends[ask.backend].begin(ask)),
        asks.CheckPassword: lambda ask: now(backends[ask.backend].check(ask)),
        asks.CheckMschap: MschapUsers(hashes.get, bytes).check,
    }


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
