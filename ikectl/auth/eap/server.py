"""EapServer: a peer proves itself to us by EAP, for IKE (RFC 7296 §2.16)."""

from __future__ import annotations

from ikectl.auth.eap.base import Random, ServerContext, name_of
from ikectl.auth.eap.dialogue import ServerDialogue
from ikectl.auth.eap.table import SERVERS
from ikectl.config.model import Local, Remote
from ikectl.errors import AuthenticationFailed
from ikectl.values.identity import MATCH_EXACT, NO_MATCH, Identity, IdentityPattern
from ikectl.values.secret import Secret


def closeness(wanted: IdentityPattern | None, user: Identity, claimed: Identity) -> int:
    """How well a proven user fits `remote.eap_id`; without one it has to be who the peer is to IKE. 0: not at all."""
    if wanted is not None:
        return wanted.match(user)
    return MATCH_EXACT if user.same(claimed) or name_of(user) == name_of(claimed) else NO_MATCH


class EapServer:
    """One conversation: `begin`, then `take` each message, until `verdict` is not None.

    It is asked who it is only where `remote.eap_id` says who may come;
    otherwise the IKE identity counts, and has to be that of the user proven.
    """

    def __init__(
        self,
        remote: Remote,
        identity: Identity,
        remote_address: bytes,
        local: Local,
        random: Random,
        users: tuple[IdentityPattern | None, ...] = (),
    ) -> None:
        """`identity` is the IKE identity that the peer claims, `local` that by which methods of TLS prove ourselves.

        `random` (octet count -> octets) makes challenges. `users` are those of other connections that want the same
        proof: whoever of them it is, the caller finds the connection.
        """
        self._users = (remote.eap_id, *users)
        context = ServerContext(remote, local, identity, remote_address, random, SERVERS)
        methods = [kind for kind in remote.auth.eap if kind in SERVERS]
        self._dialogue = ServerDialogue(context, methods, any(each is not None for each in self._users))
        self._identity = identity

    async def begin(self) -> bytes:
        """The first request."""
        return await self._dialogue.begin()

    async def take(self, message: bytes) -> bytes:
        """The next request, or a success or failure; `verdict` tells which. Raises nothing that a peer can cause."""
        reply = await self._dialogue.take(message)
        if self._dialogue.verdict:
            try:
                self._admit()
            except AuthenticationFailed as failure:
                return self._dialogue.fail(str(failure))
        return reply

    def _admit(self) -> None:
        """Whether who is proven may come. Raises AuthenticationFailed."""
        assert self._dialogue.proven is not None
        user = self._dialogue.proven.user
        if any(closeness(wanted, user, self._identity) for wanted in self._users):
            return
        wanted = self._users[0]
        if wanted is not None:
            raise AuthenticationFailed(f"user {name_of(user)!r} is proven; remote.eap_id wants {wanted}")
        raise AuthenticationFailed(
            f"user {name_of(user)!r} is proven, but the peer is {self._identity}; "
            "set remote.eap_id to say which users may log in"
        )

    @property
    def verdict(self) -> bool | None:
        """How it ended; None while it goes on."""
        return self._dialogue.verdict

    @property
    def why(self) -> str:
        """Why the verdict is no, for the log."""
        return self._dialogue.why

    @property
    def msk(self) -> Secret | None:
        """What goes into AUTH; None for a method that makes no key, and before the end."""
        return self._dialogue.proven.msk if self._dialogue.proven is not None else None

    @property
    def identity(self) -> Identity | None:
        """Who is proven."""
        return self._dialogue.proven.user if self._dialogue.proven is not None else None

    @property
    def mutual(self) -> bool:
        """Whether the method lets the peer see that it is us (RFC 5998 §4)."""
        return self._dialogue.method is not None and self._dialogue.method.mutual
