"""Logins: who checks the passwords of users, by the name of a backend; and the passwords of our own.

Wrong passwords are answered late, the more so the more often a name or a site
(an address, a /64 of IPv6) was wrong lately. A site that was wrong waits for a
yes as well: else who guesses would not wait for the no. A name does not, or
anybody could slow down its owner.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hmac import compare_digest
from types import MappingProxyType
from typing import Protocol, Self

from ikectl.auth.otp import one_time_password
from ikectl.auth.xauth import chap
from ikectl.config.model import Connection, XauthBackend
from ikectl.crypto.mschapv2 import authenticator_response, bare_user, nt_response, session_key
from ikectl.daemon.answers import Immediate, Later
from ikectl.daemon.pam import Pam
from ikectl.daemon.penalties import Penalties
from ikectl.errors import BackendError, ConfigError, ConfigErrors, CredentialError
from ikectl.pki.store import Store
from ikectl.sa.asks import BeginLogin, CheckMschap, CheckPassword, Prompt, UserHash, UserSecret
from ikectl.sa.logins import Accepted, Challenge, Keyed, LoginAnswer, MschapAnswer, PromptKind, Rejected
from ikectl.values.path import site_of
from ikectl.values.secret import Secret

UNBUILT: Mapping[str, str] = MappingProxyType(
    {XauthBackend.RADIUS: "this version has no connector to RADIUS; use xauth with secrets.xauth*, or xauth-pam"}
)
"""Backends that a configuration may name, but that nothing here serves, and what to do instead."""


def check_backends(connections: Iterable[Connection]) -> None:
    """Raises ConfigErrors for connections whose users nobody here can check."""
    servers = [(connection, server) for connection in connections if (server := connection.xauth_server) is not None]
    errors = [
        ConfigError(f"connections.{connection.name}.{server.name}.auth: {UNBUILT[server.auth.backend]}")
        for connection, server in servers
        if server.auth.backend in UNBUILT
    ]
    if errors:
        raise ConfigErrors(errors)


class Backend(Protocol):
    """Checks users. Both may raise BackendError when it does not work."""

    async def begin(self, ask: BeginLogin) -> LoginAnswer:
        """What is wanted of a user first."""

    async def check(self, ask: CheckPassword) -> LoginAnswer:
        """What a reply leads to."""


Users = Callable[[str], Secret | None]
"""A user's name -> its password, if it is known here."""
Sleep = Callable[[float], Awaitable[None]]


class LocalUsers:
    """The backend of `secrets.xauth*` and `secrets.eap*`: passwords known here, asked for plainly or by CHAP."""

    def __init__(self, users: Users, random: Callable[[int], bytes], kind: PromptKind = PromptKind.PASSWORD) -> None:
        self._users = users
        self._kind = kind
        self._nobody = Secret(random(16))
        """Compared with where there is no such user, so that takes as long."""

    async def begin(self, ask: BeginLogin) -> LoginAnswer:
        return Challenge(self._kind)

    async def check(self, ask: CheckPassword) -> LoginAnswer:
        known = self._users(ask.user)
        secret = known if known is not None else self._nobody
        if ask.kind is PromptKind.CHAP:
            good = bool(ask.password) and compare_digest(chap(ask.password[0], secret, ask.challenge), ask.password)
        else:  # by hashes: of passwords themselves the comparison would tell the length
            good = compare_digest(hashlib.sha256(secret).digest(), hashlib.sha256(ask.password).digest())
        if known is None:
            return Rejected(f"no user {ask.user!r} in secrets.xauth* or secrets.eap*")
        return Accepted(ask.user) if good else Rejected(f"wrong password of user {ask.user!r}")


class MschapUsers:
    """Checks users by MS-CHAPv2, out of `secrets.eap*`, `secrets.xauth*` and `secrets.ntlm*`."""

    def __init__(self, hashes: Users, random: Callable[[int], bytes]) -> None:
        self._hashes = hashes
        self._nobody = Secret(random(16))

    def check(self, ask: CheckMschap) -> MschapAnswer:
        found = self._hashes(ask.user)
        known = found if found is not None else self._nobody
        user = bare_user(ask.name)
        wanted = nt_response(ask.challenge, ask.peer_challenge, user, known)
        good = compare_digest(wanted, ask.response)
        if found is None:
            return Rejected(f"no user {ask.user!r} in secrets.eap*, secrets.xauth* or secrets.ntlm*")
        if not good:
            return Rejected(f"wrong password of user {ask.user!r}")
        proof = authenticator_response(ask.challenge, ask.peer_challenge, user, known, wanted)
        return Keyed(ask.user, proof, session_key(known, wanted))


class NoAuth:
    """The backend that asks nothing, for clients that insist on XAUTH after a certificate."""

    async def begin(self, ask: BeginLogin) -> LoginAnswer:
        return Accepted("")

    async def check(self, ask: CheckPassword) -> LoginAnswer:
        return Rejected("nobody was asked")


class Logins:
    """Answers BeginLogin and CheckPassword by the backends, all else from the passwords and NT hashes known here."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        users: Users,
        hashes: Users,
        random: Callable[[int], bytes],
        now: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._backends = backends
        self._users = users
        self._hashes = hashes
        self._mschap = MschapUsers(hashes, random)
        self._now = now
        self._sleep = sleep
        self._penalties = Penalties()

    @classmethod
    def of(cls, store: Store, random: Callable[[int], bytes], now: Callable[[], float]) -> Self:
        """With all backends there are, over the passwords in `store`. `now` tells monotonic seconds."""
        backends: dict[str, Backend] = {
            XauthBackend.LOCAL: LocalUsers(store.password, random),
            XauthBackend.CHAP: LocalUsers(store.password, random, PromptKind.CHAP),
            XauthBackend.PAM: Pam(random),
            XauthBackend.NOAUTH: NoAuth(),
        }
        return cls(backends, store.password, store.nt_hash, random, now)

    @property
    def immediate(self) -> Immediate:
        """What is answered in place."""
        return {UserSecret: self.secret, UserHash: self.hash, Prompt: self.prompt}

    @property
    def later(self) -> Later:
        """What waits."""
        return {BeginLogin: self.begin, CheckPassword: self.check, CheckMschap: self.check_mschap}

    async def begin(self, ask: BeginLogin) -> LoginAnswer:
        return await self._backend(ask.backend).begin(ask)

    async def check(self, ask: CheckPassword) -> LoginAnswer:
        answer = await self._backend(ask.backend).check(ask)
        await self._wait(isinstance(answer, Rejected), ask.backend, ask.user, ask.remote)
        return answer

    async def check_mschap(self, ask: CheckMschap) -> MschapAnswer:
        answer = self._mschap.check(ask)
        await self._wait(isinstance(answer, Rejected), XauthBackend.LOCAL, ask.user, ask.remote)
        return answer

    async def _wait(self, wrong: bool, backend: str, user: str, remote: bytes) -> None:
        """Until the answer may be told."""
        now = self._now()
        owner = XauthBackend.LOCAL if backend == XauthBackend.CHAP else backend  # one password, asked for in two ways
        site, name = ("site", site_of(remote)), ("user", owner, user)
        if wrong:
            delay = max(self._penalties.failed(name, now), self._penalties.failed(site, now))
        else:
            delay = self._penalties.due(site, now)
        if delay:
            await self._sleep(delay)

    def secret(self, ask: UserSecret) -> Secret:
        found = self._users(ask.user)
        if found is None:
            raise CredentialError(
                f"no password of user {ask.user!r} is known: put it into a secrets.eap or secrets.xauth section "
                "with this id"
            )
        return found

    def hash(self, ask: UserHash) -> Secret:
        found = self._hashes(ask.user)
        if found is None:
            raise CredentialError(
                f"no password of user {ask.user!r} is known: put it into a secrets.eap section with this id, "
                "or its NT hash into secrets.ntlm"
            )
        return found

    def prompt(self, ask: Prompt) -> Secret:
        """From what is configured, and never the same password a second time: that could lock the account."""
        asked = f"the gateway asks user {ask.user!r} for: {ask.message or ask.kind}"
        match ask.kind:
            case PromptKind.PASSCODE:
                return self.secret(UserSecret(ask.user))
            case PromptKind.OTP:
                return one_time_password(ask.message, self.secret(UserSecret(ask.user)))
            case PromptKind.PASSWORD:
                raise CredentialError(f"{asked}; the configured password was given, so it may be wrong (secrets.xauth)")
            case PromptKind.NEXT_PIN:
                raise CredentialError(f"{asked}; set it by the means of the token's owner, then connect again")
        raise CredentialError(f"{asked}; only a password can be configured, so have the gateway ask for no more")

    def _backend(self, name: str) -> Backend:
        found = self._backends.get(name)
        if found is None:
            raise BackendError(UNBUILT.get(name) or f"there is no backend {name!r}")
        return found
