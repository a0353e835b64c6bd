"""Answers the asks of one XAUTH login from a script, as a daemon's backends would."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ikectl.auth.xauth import Verdict, XauthClient, XauthServer
from ikectl.errors import CredentialError, IkectlError
from ikectl.iana.v1 import ConfigAttribute
from ikectl.sa.asks import Ask, BeginLogin, CheckPassword, Prompt, UserSecret
from ikectl.sa.logins import Challenge, LoginAnswer, PromptKind
from ikectl.values.secret import Secret
from ikectl.wire.v1.attributes import Attribute

T = TypeVar("T")
A = ConfigAttribute
REMOTE = bytes((192, 0, 2, 7))


@dataclass
class Script:
    """A backend that gives `answers` one after the other, and a user's end that knows `secrets` and `replies`."""

    answers: list[LoginAnswer | IkectlError] = field(default_factory=list)
    opening: LoginAnswer | IkectlError = field(default_factory=lambda: Challenge(PromptKind.PASSWORD))
    secrets: dict[str, bytes] = field(default_factory=dict)
    replies: list[bytes] = field(default_factory=list)
    asked: list[Ask[Any]] = field(default_factory=list)

    @property
    def checks(self) -> list[CheckPassword]:
        return [ask for ask in self.asked if isinstance(ask, CheckPassword)]

    @property
    def prompts(self) -> list[Prompt]:
        return [ask for ask in self.asked if isinstance(ask, Prompt)]

    def answer(self, ask: Ask[Any]) -> object:
        self.asked.append(ask)
        match ask:
            case BeginLogin():
                return self.opening
            case CheckPassword():
                return self.answers.pop(0)
            case UserSecret(user) if user in self.secrets:
                return Secret(self.secrets[user])
            case Prompt() if self.replies:
                return Secret(self.replies.pop(0))
        return CredentialError("nobody knows")

    def run(self, coroutine: Coroutine[Ask[Any], Any, T]) -> T:
        try:
            ask = coroutine.send(None)
            while True:
                answer = self.answer(ask)
                ask = coroutine.throw(answer) if isinstance(answer, IkectlError) else coroutine.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


def counting(octets: int) -> bytes:
    """1, 2, 3, ..."""
    return bytes(range(1, octets + 1))


def talk(
    script: Script, server: XauthServer, client: XauthClient
) -> tuple[Verdict, list[tuple[Attribute, ...]], list[tuple[Attribute, ...]]]:
    """A whole login: (the server's verdict, requests, replies)."""
    requests: list[tuple[Attribute, ...]] = []
    replies: list[tuple[Attribute, ...]] = []
    step = script.run(server.begin())
    while not isinstance(step, Verdict):
        requests.append(step)
        replies.append(script.run(client.take(step)).attributes)
        step = script.run(server.take(replies[-1]))
    return step, requests, replies


def shape(attributes: Sequence[Attribute]) -> list[tuple[str, int | bytes]]:
    """(name without XAUTH_, value) of each."""
    return [(str(A(kind)).removeprefix("XAUTH_"), value) for kind, value in attributes]
