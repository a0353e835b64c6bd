"""XAUTH: a user logs in behind phase 1 (draft-beaulieu-ike-xauth-02).

     gateway                            user's end
     REQUEST(NAME="" PASSWORD="")  -->
                                   <--  REPLY(NAME PASSWORD)
     ...                                                       as often as it takes
     SET(STATUS)                   -->
                                   <--  ACK

All of it is one transaction: one identifier (§6), and of ours one message ID.
Gateways that take another message ID for each pair are understood too. Until
it is done nothing but informational exchanges may happen, and a login that
fails ends the SA (§6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ikectl.auth.xauth import Attributes as AttributeList
from ikectl.auth.xauth import Verdict, XauthClient, XauthServer
from ikectl.errors import PeerMisbehaved
from ikectl.exchange.v1.authenticated import first_steps
from ikectl.exchange.v1.base import Done, Exchange, Ignore, Say, Turn
from ikectl.exchange.v1.informational import TellDelete
from ikectl.exchange.v1.phase1 import establish
from ikectl.iana.v1 import ExchangeType, TransactionType, config_attribute
from ikectl.sa.association import IkeState
from ikectl.sa.events import AuthFailed, Note
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.transaction import Attributes


def is_login(attributes: Attributes) -> bool:
    """Whether a transaction is about XAUTH, not mode config."""
    return any(config_attribute(attribute.type).is_xauth for attribute in attributes.attributes)


@dataclass(slots=True, eq=False)
class AskXauth(Exchange):
    """The gateway's half. Which login it is stands in the round of the connection that wants one."""

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION

    token: int = 0
    identifier: int = 0
    server: XauthServer | None = None
    verdict: Verdict | None = None
    """Once it is decided, and until the user's end has acknowledged it."""

    def may_begin(self, sa: IsakmpSa) -> bool:
        return sa.state is IkeState.AUTHENTICATING

    async def begin(self, sa: IsakmpSa) -> Turn:
        assert sa.connection is not None and sa.connection.xauth_server is not None
        auth = sa.connection.xauth_server.auth
        self.server = XauthServer(auth.backend, sa.path.remote.address, sa.random, auth.profile)
        self.identifier = int.from_bytes(sa.random(2), "big")
        return self._go_on(sa, await self.server.begin())

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        assert self.server is not None
        said = message.get(Attributes)
        due = TransactionType.REPLY if self.verdict is None else TransactionType.ACK
        # Its identifier must be ours (§6), but some say 0; the message ID already tells what it answers.
        if said is None or said.type != due:
            return Ignore(f"not the {due} of this transaction")
        if self.verdict is None:
            before = self.server.refused
            step = await self.server.take(said.attributes)
            if self.server.refused != before and not isinstance(step, Verdict):
                sa.emit(Note(sa, f"a login failed, and may be tried again: {self.server.refused}"))
            return self._go_on(sa, step)
        if not self.verdict.success:
            return _failed(self.verdict)
        sa.user = self.verdict.user
        establish(sa)
        return Done(follow=first_steps(sa))

    def _go_on(self, sa: IsakmpSa, step: AttributeList | Verdict) -> Turn:
        if not isinstance(step, Verdict):
            return Say([Attributes(TransactionType.REQUEST, self.identifier, step)])
        self.verdict = step
        if step.success:
            sa.emit(Note(sa, f"user {step.user!r} logged in" if step.user else "no user had to log in"))
        else:
            sa.emit(AuthFailed(sa, True, step.why))
        if step.gave_up:
            return _failed(step)
        return Say([Attributes(TransactionType.SET, self.identifier, step.attributes())])

    def unanswered(self, sa: IsakmpSa, octets: int = 0) -> str:
        if self.verdict is None:
            return "the peer does not answer XAUTH: most likely it is not configured to log in as a user"
        return "the peer does not acknowledge how its login ended"

    @property
    def subject(self) -> str:
        return "XAUTH"


@dataclass(slots=True, eq=False)
class AnswerXauth(Exchange):
    """The user's half."""

    type: ClassVar[ExchangeType] = ExchangeType.TRANSACTION
    REPEATS: ClassVar[bool] = False  # the gateway repeats what we did not answer

    token: int = 0

    async def take(self, sa: IsakmpSa, message: Message) -> Turn:
        said = message.one(Attributes)
        if sa.connection is None or sa.connection.xauth_client is None:
            raise PeerMisbehaved("the peer asks for a login by XAUTH, and none is configured (auth = xauth)")
        if said.type == TransactionType.REQUEST:
            return await self._reply(sa, said, sa.connection.xauth_client.xauth_id)
        if said.type == TransactionType.SET:
            return self._settle(sa, said, sa.connection.xauth_client.xauth_id)
        return Ignore(f"a {said.type} that answers nothing")

    async def _reply(self, sa: IsakmpSa, said: Attributes, user: str) -> Turn:
        login, again = self._login(sa, said, user)
        reply = await login.take(said.attributes)
        if reply.message:
            sa.emit(Note(sa, f"the gateway says: {reply.message}"))
        payloads: list[Payload] = [Attributes(TransactionType.REPLY, said.identifier, reply.attributes)]
        if reply.failed:
            sa.emit(AuthFailed(sa, False, reply.failed))
            return _failed(Verdict(False, user, reply.failed), payloads)
        # A gateway that took another message ID takes another for what follows too.
        return Done(payloads) if again else Say(payloads)

    def _settle(self, sa: IsakmpSa, said: Attributes, user: str) -> Turn:
        verdict = self._login(sa, said, user)[0].settle(said.attributes)
        sa.login = None
        # Its attributes do not matter and had better not be there (§6.1).
        payloads: list[Payload] = [Attributes(TransactionType.ACK, said.identifier)]
        if not verdict.success:
            sa.emit(AuthFailed(sa, False, verdict.why))
            return _failed(verdict, payloads)
        welcome = f"; the gateway says: {verdict.message}" if verdict.message else ""
        sa.emit(Note(sa, f"logged in as {user!r}{welcome}"))
        if sa.state is not IkeState.AUTHENTICATING:
            return Done(payloads)  # once more during the life of the SA (§5)
        establish(sa)
        return Done(payloads, follow=first_steps(sa))

    def _login(self, sa: IsakmpSa, said: Attributes, user: str) -> tuple[XauthClient, bool]:
        """(the conversation of this identifier, whether it began under another message ID)."""
        login = sa.login
        if login is not None and login[0] == said.identifier:
            return login[1], login[2] is not self
        client = XauthClient(user, sa.random)
        sa.login = said.identifier, client, self
        return client, False

    @property
    def subject(self) -> str:
        return "XAUTH"


def _failed(verdict: Verdict, payloads: list[Payload] | None = None) -> Done:
    """The SA must go when its user does not get in (§6)."""
    why = f"XAUTH failed: {verdict.why}"
    return Done(payloads, failed=why, follow=(TellDelete((), True, why),))
