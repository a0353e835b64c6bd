"""The conversation of EAP around its methods, both halves (RFC 3748 §2, §4; RFC 4137).

The same machines run in IKE and inside the tunnels of TTLS and PEAP. Requests
and responses go in lockstep over something reliable: what is out of turn ends
the conversation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from ikectl.auth.eap.base import (
    MAX_IDENTITY,
    MAX_ROUNDS,
    MAX_TYPES_SHOWN,
    PeerContext,
    PeerMethod,
    Proven,
    ServerContext,
    ServerMethod,
    identity_of,
    label,
    listed,
    name_of,
    shown,
)
from ikectl.errors import AuthenticationFailed, CannotProve, CredentialError, IkectlError, WireError
from ikectl.iana.eap import EapCode, EapType, eap_type
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage


class PeerDialogue:
    """The half that answers. `methods` are those we take, best first."""

    def __init__(self, context: PeerContext, methods: Sequence[EapType]) -> None:
        self.context = context
        self.methods = tuple(methods)
        self.method: PeerMethod | None = None
        self.succeeded = False
        self.notice = ""
        """What the server wanted the user to know, for the log."""
        self._rounds = 0
        self._missing: list[str] = []
        """What kept us from methods that the server asked for."""
        self._last: tuple[bytes, bytes] | None = None
        """The last request and our response to it."""

    @property
    def msk(self) -> Secret | None:
        """What the method made, once it succeeded; None for a method that makes no key."""
        return self.method.msk if self.method is not None and self.succeeded else None

    @property
    def mutual(self) -> bool:
        """Whether the server is proven by the method too (RFC 5998 §4)."""
        return self.method is not None and self.method.mutual

    async def take(self, octets: bytes) -> bytes:
        """Our response to a request; empty after a success.

        Raises AuthenticationFailed: the server says no, is not the right one,
        or breaks the rules. CredentialError: something of ours is missing.
        """
        try:
            packet = EapMessage.read(octets)
        except WireError as error:
            raise AuthenticationFailed(f"the EAP server breaks the rules: {error}") from None
        if self.succeeded:
            raise AuthenticationFailed(f"an EAP {packet.code} after the success")
        match packet.code:
            case EapCode.REQUEST:
                return await self._answer(packet, octets)
            case EapCode.SUCCESS:
                self._settle()
                return b""
            case EapCode.FAILURE:
                raise CannotProve(self._refusal())
        raise AuthenticationFailed("the EAP server sends a response, as if it were the client")

    def finish(self) -> bool:
        """Whether all was said that lets a success be believed, where something else than EAP tells it (TTLS)."""
        return self.method is not None and self.method.done

    async def _answer(self, packet: EapMessage, octets: bytes) -> bytes:
        if self._last is not None and self._last[0] == octets:
            return self._last[1]
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise AuthenticationFailed(f"the EAP server does not come to an end within {MAX_ROUNDS} requests")
        kind, data = await self._data(packet)
        response = EapMessage(EapCode.RESPONSE, packet.identifier, kind, data).write()
        self._last = octets, response
        return response

    async def _data(self, packet: EapMessage) -> tuple[EapType, bytes]:
        match packet.type:
            case EapType.IDENTITY if self.method is None:
                return EapType.IDENTITY, name_of(self.context.user).encode()[:MAX_IDENTITY]
            case EapType.NOTIFICATION:
                self.notice = shown(packet.data)
                return EapType.NOTIFICATION, b""
            case kind if self.method is None:
                return await self._begin(packet)
            case kind if kind == self.method.type:
                return kind, await self.method.take(packet)
        raise AuthenticationFailed(
            f"the EAP server asks for {label(packet.type)} in the midst of {label(self.method.type)}"
        )

    async def _begin(self, packet: EapMessage) -> tuple[EapType, bytes]:
        """Begins the method asked for, or says which ones we take (§5.3.1)."""
        kind = packet.type
        assert kind is not None
        if kind in (EapType.NAK, EapType.IDENTITY):
            raise AuthenticationFailed(f"the EAP server asks for {label(kind)}, which is no method")
        if kind in self.methods:
            method = self.context.methods[kind](self.context)
            try:
                data = await method.take(packet)
            except CredentialError as error:
                self._missing.append(f"{label(kind)}: {error}")
                self.methods = tuple(other for other in self.methods if other != kind)
                if not self.methods:
                    raise
            else:
                self.method = method
                return kind, data
        return EapType.NAK, bytes(self.methods) or b"\0"

    def _settle(self) -> None:
        if self.method is None:
            raise AuthenticationFailed("the EAP server says that we succeeded, before we proved anything")
        if not self.method.done:
            raise AuthenticationFailed(
                f"the EAP server says that we succeeded in the midst of {label(self.method.type)}"
            )
        self.succeeded = True

    def _refusal(self) -> str:
        user = name_of(self.context.user)
        if self.method is None and self._missing:
            return f"the EAP server refuses {user!r}; it asked for " + ", and for ".join(self._missing)
        if self.method is None:
            return (
                f"the EAP server refuses {user!r}: it does not know this eap_id, or has none of the methods we take "
                f"({listed(self.methods) or 'none'}); compare auth and eap_id with what it expects"
            )
        why = self.method.why or "compare eap_id and what proves it with what the server knows, and read its log"
        return f"the EAP server refuses {user!r} by {label(self.method.type)}: {why}"


class ServerDialogue:
    """The half that asks. `methods` are those we offer, one after the other, as long as the peer wants another."""

    def __init__(self, context: ServerContext, methods: Sequence[EapType], ask_identity: bool) -> None:
        self.context = context
        self.methods = list(methods)
        self.method: ServerMethod | None = None
        self.proven: Proven | None = None
        self.verdict: bool | None = None
        self.why = ""
        self._ask_identity = ask_identity
        self._identifier = self._heard = context.random(1)[0]
        """Of the request under way, and of the last response: a success or failure has the latter (§4.2)."""
        self._rounds = 0
        self._fresh = True
        """Whether the request under way is the first of a method, so that the peer may want another."""

    async def begin(self) -> bytes:
        """The first request."""
        if self._ask_identity:
            return self._request(EapType.IDENTITY, b"")
        return await self._guarded(self._offer())

    async def take(self, octets: bytes) -> bytes:
        """The next request, or a success or failure; `verdict` tells which. Raises nothing that a peer can cause."""
        return await self._guarded(self._take(octets))

    def fail(self, why: str) -> bytes:
        """Ends the conversation with a failure; `why` is for the log."""
        self.verdict, self.why, self.proven = False, why, None
        return EapMessage(EapCode.FAILURE, self._heard).write()

    async def _guarded(self, step: Awaitable[bytes]) -> bytes:
        try:
            return await step
        except IkectlError as error:
            return self.fail(str(error))

    async def _take(self, octets: bytes) -> bytes:
        packet = EapMessage.read(octets)
        if self.verdict is not None:
            raise AuthenticationFailed("the client goes on after the end of EAP")
        if packet.code is not EapCode.RESPONSE or packet.identifier != self._identifier:
            raise AuthenticationFailed(f"an EAP {packet.code} {packet.identifier} that answers no request of ours")
        self._heard = packet.identifier
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise AuthenticationFailed(f"EAP comes to no end within {MAX_ROUNDS} requests")
        if self._ask_identity:
            return await self._identity(packet)
        if packet.type == EapType.NAK:
            return await self._other(packet.data)
        if self.method is None or packet.type != self.method.type:
            raise AuthenticationFailed(f"the client answers {label(packet.type)} to another question")
        self._fresh = False
        self._identifier = (self._identifier + 1) % 256
        step = await self.method.take(packet, self._identifier)
        if isinstance(step, Proven):
            self.proven, self.verdict = step, True
            return EapMessage(EapCode.SUCCESS, self._heard).write()
        return EapMessage(EapCode.REQUEST, self._identifier, self.method.type, step).write()

    async def _identity(self, packet: EapMessage) -> bytes:
        if packet.type != EapType.IDENTITY:
            raise AuthenticationFailed(f"the client does not say who it is, but answers {label(packet.type)}")
        if not 0 < len(packet.data) <= MAX_IDENTITY:
            raise AuthenticationFailed(f"an EAP identity of {len(packet.data)} octets; set one on the client")
        self._ask_identity = False
        self.context.claimed = identity_of(packet.data)
        return await self._offer()

    async def _other(self, wanted: bytes) -> bytes:
        """The peer takes other methods (§5.3.1)."""
        if self.method is None or not self._fresh:
            raise AuthenticationFailed("the client wants another EAP method in the midst of one")
        offered = self.method.type
        self.methods = [kind for kind in self.methods if kind in wanted]
        if not self.methods:
            kinds = listed([eap_type(number) for number in wanted if number][:MAX_TYPES_SHOWN])
            raise AuthenticationFailed(
                f"the client wants none of the EAP methods of remote.auth, the last of which was {label(offered)}; "
                f"it takes {kinds or 'no other'}"
            )
        return await self._offer()

    async def _offer(self) -> bytes:
        """Begins the next method; one that we cannot prove ourselves by is left out, if there are others."""
        self._fresh = True
        while True:
            kind = self.methods.pop(0)
            self.method = self.context.methods[kind](self.context)
            try:
                data = await self.method.begin((self._identifier + 1) % 256)
            except CredentialError:
                if not self.methods:
                    raise
            else:
                return self._request(kind, data)

    def _request(self, kind: EapType, data: bytes) -> bytes:
        self._identifier = (self._identifier + 1) % 256
        return EapMessage(EapCode.REQUEST, self._identifier, kind, data).write()
