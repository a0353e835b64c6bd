"""IKE_AUTH, initiator's half: both ends prove who they are, and the first child comes up (RFC 7296 §1.2, §2.15, §2.16).

One request is enough for most. EAP takes as many as its method has messages,
and further rounds of authentication follow one another (RFC 4739).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ikectl.auth.base import AuthContext
from ikectl.auth.eap.peer import EapPeer
from ikectl.auth.table import prove, verify
from ikectl.config.model import AuthKind, Child, Connection, Remote
from ikectl.crypto.kdf_v2 import IkeKeys
from ikectl.errors import AuthenticationFailed, BackendError, CannotProve, CredentialError, PeerMisbehaved, Refused
from ikectl.exchange import children
from ikectl.exchange.v2 import auth_methods, ppk, redirect, session_ticket
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.base import Case, Done, Exchange, Next, first_error
from ikectl.exchange.v2.certreq import announced, request_certificates
from ikectl.exchange.v2.child import ChildOffer, Keying
from ikectl.exchange.v2.create_child import singly
from ikectl.exchange.v2.delete import DeleteChildren, Farewell
from ikectl.exchange.v2.diagnosis import unaccepted
from ikectl.exchange.v2.proofs import ANYBODY, MAX_MESSAGES, check_keyed, context, establish, heard, keyed, own_identity
from ikectl.exchange.v2.refusal import refusal_text
from ikectl.exchange.v2.rider import Rider
from ikectl.exchange.v2.riders import riders
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.events import AuthFailed, ChildFailed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH, CERT, IDi, IDr
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import (
    ANOTHER_AUTH_FOLLOWS,
    AUTHENTICATION_FAILED,
    EAP_ONLY_AUTHENTICATION,
    MULTIPLE_AUTH_SUPPORTED,
    Notify,
)
from ikectl.wire.v2.sa import SA

FINAL = frozenset(
    {NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD}
)
"""Errors that end the IKE SA whatever was proven before them (RFC 7296 §2.21.2)."""


_NO_PROOF = (AuthKind.EAP, AuthKind.NULL)
"""Of a round of the peer: EAP proves it when ours is over, and nothing proves nobody."""


@dataclass(slots=True, eq=False)
class Progress:
    """Where authentication stands: handed from one request of IKE_AUTH to the next."""

    about: AuthContext
    offer: ChildOffer | None = None
    riders: list[Rider] = field(default_factory=list)
    ours: int = 0
    """Rounds in which we have said all we have to say."""
    theirs: int = 0
    """Rounds in which the peer proved itself."""
    named: IDr | None = None
    """Whom the peer proved, or is about to prove, to be."""
    eap: EapPeer | None = None
    """Our round, while it goes on by EAP; until the peer proved that it knows the key."""
    messages: int = 0
    plain: IkeKeys | None = None
    """The keys without our post-quantum key, until the peer said whether it has it (RFC 8784)."""
    ppk: list[Payload] = field(default_factory=list)
    """What names it, to go with our last AUTH."""


@dataclass(slots=True, eq=False)
class IkeAuth(Exchange):
    """One request and its response, with the first child unless `child` is None (RFC 7296 §1.2)."""

    type: ClassVar[ExchangeType] = ExchangeType.IKE_AUTH

    child: Child | None
    token: int = 0
    progress: Progress | None = None
    said: list[Payload] = field(default_factory=list)
    """Payloads of a request after the first."""

    async def request(self, sa: IkeSa) -> list[Payload] | None:
        """Raises CredentialError, BackendError."""
        return await self._first(sa) if self.progress is None else self.said

    async def _first(self, sa: IkeSa) -> list[Payload]:
        connection = sa.connection
        assert sa.handshake is not None and connection is not None
        by_eap = connection.remote[0].auth.kind is AuthKind.EAP
        if by_eap:
            _check_eap(connection)
        expected = connection.remote[0].id.identity
        sa.local_id = await own_identity(sa, connection.local[0])
        sa.remote_id = expected or ANYBODY
        progress = self.progress = Progress(context(sa, connection, sa.local_id, sa.remote_id))
        identity, *proof = await self._round(sa, progress)
        payloads: list[Payload] = [identity]
        auth = proof.pop() if proof and isinstance(proof[-1], AUTH) else None
        payloads += proof
        if connection.wants_certificates:
            payloads += announced((connection,))
            payloads += await request_certificates((connection,))
        if expected is not None:
            payloads.append(IDr.of(expected))
        if auth is not None:
            payloads.append(auth)
        payloads += await self._along(sa, progress)
        if by_eap:
            payloads.append(EAP_ONLY_AUTHENTICATION)
        payloads += progress.ppk
        if sa.handshake.methods is not None:
            # RFC 9593 §3.1
            payloads += auth_methods.announced((connection,))
        if connection.has_rounds:
            payloads.append(MULTIPLE_AUTH_SUPPORTED)
            payloads += self._announcement(sa, progress)
        if sa.handshake.solution is not None:
            payloads.insert(0, sa.handshake.solution)
        return payloads

    async def _along(self, sa: IkeSa, progress: Progress) -> list[Payload]:
        """What the first request has beside identity and proof: the child, and what riders say."""
        assert sa.connection is not None
        payloads: list[Payload] = []
        if self.child is not None:
            progress.offer = await agreement.offer(sa, self.child, without_ke=True)
            payloads.append(progress.offer.sa_payload())
            payloads += progress.offer.selectors()
        for kind in riders(sa.connection.extras):
            rider = kind()
            payloads += await rider.ask(sa)
            progress.riders.append(rider)
        return payloads

    async def _round(self, sa: IkeSa, progress: Progress) -> list[Payload]:
        """Our next round: identity, certificates and proof; the identity alone asks for EAP (RFC 7296 §2.16)."""
        connection = sa.connection
        assert connection is not None
        local = connection.local[progress.ours]
        if progress.ours:
            own = await own_identity(sa, local)
            peer = progress.named
            progress.about = context(sa, connection, own, peer.identity if peer is not None else ANYBODY)
            if peer is not None:
                heard(progress.about, sa, peer, peer.identity)
        about, remote = progress.about, connection.remote
        if local.auth.kind is AuthKind.EAP:
            # Passwords that can be guessed from what is said are for a peer that proved itself before.
            only = all(each.auth.kind in _NO_PROOF for each in remote[: max(progress.theirs, 1)])
            # The section it is to prove: the next of EAP, behind proofs that come meanwhile; else one it proved before.
            order = (*remote[progress.theirs :], *remote)
            demands = next((each for each in order if each.auth.kind is AuthKind.EAP), None)
            progress.eap = EapPeer(local, about.local_id, sa.random, about.remote_id, only, demands)
            return [IDi.of(about.local_id)]
        without = await self._mix(sa, progress) if sa.uses_ppk else None
        proof = await prove(local, progress.about)
        if without is not None and not connection.ppk_required:
            self._excuse(progress, (await prove(local, without)).auth)
        progress.ours += 1
        return [IDi.of(about.local_id), *proof.certs, proof.auth]

    async def _mix(self, sa: IkeSa, progress: Progress) -> AuthContext | None:
        """Before our last proof mix in the post-quantum key, as both ends have such; what it rests on without it."""
        shake, connection = sa.handshake, sa.connection
        assert shake is not None and connection is not None
        if progress.ours + 1 != len(connection.local):
            return None
        assert shake.ppk is not None and connection.ppk_id is not None
        without, progress.plain = progress.about, sa.keys
        ppk.mix(sa, shake.ppk)
        self._renew(sa, progress)
        progress.ppk = [ppk.named(connection.ppk_id)]
        return without

    @staticmethod
    def _excuse(progress: Progress, auth: AUTH) -> None:
        """What our AUTH is without the key, for a peer that has it not."""
        progress.ppk.append(Notify(NotifyType.NO_PPK_AUTH, auth.data))

    def _renew(self, sa: IkeSa, progress: Progress) -> None:
        """The keys changed, and with them what proofs rest on."""
        assert sa.connection is not None
        progress.about = context(sa, sa.connection, progress.about.local_id, progress.about.remote_id)
        if progress.named is not None:
            heard(progress.about, sa, progress.named, progress.about.remote_id)

    def _hear_ppk(self, sa: IkeSa, progress: Progress, plain: IkeKeys, reply: Message) -> None:
        """Whether the peer has the key as well. Raises AuthenticationFailed if it must and has not."""
        assert sa.connection is not None
        progress.plain = None
        sa.ppk = reply.notify(NotifyType.PPK_IDENTITY) is not None
        ppk.must_be_used(sa.connection, sa.ppk)
        if not sa.ppk:
            sa.emit(Note(sa, f"the peer does not have the post-quantum key of {sa.connection.ppk_id}; it is not used"))
            sa.keys = plain
            self._renew(sa, progress)

    def _announcement(self, sa: IkeSa, progress: Progress) -> list[Payload]:
        """That another round of ours comes, beside what ends one (RFC 4739 §2.1)."""
        assert sa.connection is not None
        if progress.eap is not None and not progress.eap.succeeded:
            return []
        return [ANOTHER_AUTH_FOLLOWS] if progress.ours < len(sa.connection.local) else []

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        """The responder proved itself, or did so before and goes on."""
        progress = self.progress
        assert progress is not None and sa.connection is not None and sa.handshake is not None
        try:
            said = await self._go_on(sa, progress, reply)
        except redirect.Redirected as away:
            await self.abandon(sa, str(away))
            return Done(close=str(away))
        except (AuthenticationFailed, CredentialError) as failure:
            why = str(failure)
            # What EAP misses is our own; the certificate of its server is judged as the peer's failure.
            missing = progress.eap is not None and isinstance(failure, CredentialError)
            sa.emit(AuthFailed(sa, not (missing or isinstance(failure, CannotProve)), why))
            await self.abandon(sa, why)
            if not self._is_last(sa, progress, reply):
                return Done(close=why)  # it waits for more of us, which will not come
            # RFC 7296 §2.21.2: the responder believes in this SA; tell it, in an exchange of its own.
            return Done(follow=(Farewell(AUTHENTICATION_FAILED, f"peer authentication failed: {why}"),), failed=why)
        if said is not None:
            return Done(follow=(IkeAuth(self.child, self.token, progress, said),))
        keying = Keying(sa.handshake.nonce_i, sa.handshake.nonce_r)
        establish(sa)
        done = await self._settle(sa, progress, keying, reply)
        done.follow += session_ticket.promised(sa, reply)
        return done

    def _is_last(self, sa: IkeSa, progress: Progress, reply: Message) -> bool:
        """Whether neither end has more to say, so that the responder takes the SA for established."""
        assert sa.connection is not None
        follows = reply.notify(NotifyType.ANOTHER_AUTH_FOLLOWS) is not None
        return progress.ours == len(sa.connection.local) and not follows

    async def _go_on(self, sa: IkeSa, progress: Progress, reply: Message) -> list[Payload] | None:
        """Judge what the peer proves; what to say next, None when both ends have proven all they should.

        Raises AuthenticationFailed, CredentialError, Redirected.
        """
        connection = sa.connection
        assert connection is not None
        progress.messages += 1
        if progress.messages > MAX_MESSAGES:
            raise AuthenticationFailed(f"the peer asks for more than {MAX_MESSAGES} messages of authentication")
        if progress.plain is not None:
            self._hear_ppk(sa, progress, progress.plain, reply)
        proof = reply.get(AUTH)
        if progress.eap is not None and progress.eap.succeeded:
            self._judge_key(sa, progress, progress.eap, proof)
        elif proof is not None:
            await self._judge(sa, progress, reply, proof)
        elif progress.named is None:
            self._expect(sa, progress, reply)
        if progress.theirs and (progress.eap is not None or progress.ours < len(connection.local)):
            # A gateway that is proven need not hear more of us first (RFC 5685 §6).
            redirect.obey(sa, reply)
        if progress.eap is not None:
            return await self._converse(sa, progress, progress.eap, reply)
        if progress.ours < len(connection.local):
            return [*await self._round(sa, progress), *progress.ppk, *self._announcement(sa, progress)]
        if NotifyType.ANOTHER_AUTH_FOLLOWS in reply.said:
            return []
        if progress.theirs != len(connection.remote):
            raise AuthenticationFailed(
                f"the peer proved itself {progress.theirs} times; there are {len(connection.remote)} remote sections"
            )
        return None

    async def _judge(self, sa: IkeSa, progress: Progress, reply: Message, proof: AUTH) -> None:
        """The peer's AUTH in its next round. Raises AuthenticationFailed."""
        assert sa.connection is not None
        if progress.theirs == len(sa.connection.remote):
            raise AuthenticationFailed(f"the peer proves itself more than {progress.theirs} times")
        remote = sa.connection.remote[progress.theirs]
        if remote.auth.kind is AuthKind.EAP:
            raise AuthenticationFailed(
                f"the peer proves itself by {proof.method}, and {remote.name}.auth wants EAP alone (RFC 5998); "
                f"set {remote.name}.auth to what it has"
            )
        self._hear_name(sa, progress, remote, reply)
        await verify(remote, progress.about, proof, reply.all(CERT))
        progress.theirs += 1

    def _expect(self, sa: IkeSa, progress: Progress, reply: Message) -> None:
        """The peer asks for EAP before it proved itself: right only if EAP is to prove it (RFC 5998 §3)."""
        assert sa.connection is not None
        remote = sa.connection.remote[0]
        if remote.auth.kind is not AuthKind.EAP:
            raise AuthenticationFailed("the peer asks for EAP and has not proven itself; nobody is told our password")
        self._hear_name(sa, progress, remote, reply)

    def _hear_name(self, sa: IkeSa, progress: Progress, remote: Remote, reply: Message) -> None:
        """Who the peer says it is. Raises AuthenticationFailed for somebody else than expected."""
        named = reply.one(IDr)
        claimed = named.identity
        if not remote.id.match(claimed):
            raise AuthenticationFailed(
                f"the peer is {claimed}, and {remote.name}.id wants {remote.id}: set remote.id to {claimed} if "
                "that is whom you mean, or let the peer have the identity that is wanted"
            )
        progress.named = named
        if not progress.theirs:
            sa.remote_id = claimed
        heard(progress.about, sa, named, claimed)
        if progress.eap is not None:
            progress.eap.meet(claimed)

    async def _converse(self, sa: IkeSa, progress: Progress, eap: EapPeer, reply: Message) -> list[Payload]:
        """Our answer to an EAP message; after its success our AUTH."""
        assert sa.connection is not None
        message = await eap.take(reply.one(EAP).body())
        if eap.notice:
            sa.emit(Note(sa, f"the EAP server says: {eap.notice}"))
            eap.notice = ""
        if not eap.succeeded:
            return [EAP.read(message)]
        remote = sa.connection.remote
        alone = progress.theirs < len(remote) and remote[progress.theirs].auth.kind is AuthKind.EAP
        if alone and not (eap.mutual and eap.msk):
            raise AuthenticationFailed("the EAP method proves us and not the peer, which has no other proof (RFC 5998)")
        without = await self._mix(sa, progress) if sa.uses_ppk else None
        if without is not None and not sa.connection.ppk_required:
            self._excuse(progress, keyed(without, eap.msk))
        progress.ours += 1
        return [keyed(progress.about, eap.msk), *progress.ppk, *self._announcement(sa, progress)]

    def _judge_key(self, sa: IkeSa, progress: Progress, eap: EapPeer, proof: AUTH | None) -> None:
        """The peer's AUTH at the end of EAP (RFC 7296 §2.16)."""
        assert sa.connection is not None
        if proof is None:
            raise AuthenticationFailed("the peer did not prove that it knows the key of EAP")
        check_keyed(progress.about, eap.msk, proof)
        remote = sa.connection.remote
        if progress.theirs < len(remote) and remote[progress.theirs].auth.kind is AuthKind.EAP:
            progress.theirs += 1
        progress.eap = None

    async def _settle(self, sa: IkeSa, progress: Progress, keying: Keying, reply: Message) -> Done:
        """Riders and child; a failure here leaves the IKE SA standing (RFC 7296 §1.2, §2.21.2)."""
        offer = progress.offer
        try:
            for rider in progress.riders:
                await rider.take(sa, reply)
        except (Refused, BackendError, PeerMisbehaved) as failure:
            if offer is None:
                return Done(failed=str(failure))
            return await self._undo(sa, offer, reply, str(failure))
        if offer is None:
            return Done()
        said = reply.said
        single = singly(offer, self.token) if NotifyType.SINGLE_PAIR_REQUIRED in said else ()
        if single:
            await offer.withdraw()
            return Done(follow=single)
        error = first_error(reply)
        if error is not None or SA not in said:
            return await self._undo(sa, offer, reply, refusal_text(error, offer))
        try:
            child = await agreement.accept(sa, offer, reply, keying)
        except (Refused, BackendError, PeerMisbehaved) as failure:
            return await self._undo(sa, offer, reply, str(failure))
        children.announce(sa, child)
        return Done()

    async def _undo(self, sa: IkeSa, offer: ChildOffer, reply: Message, why: str) -> Done:
        """There is no child. If the peer believes in one it is deleted there by the SPI it knows of ours."""
        sa.emit(ChildFailed(sa, offer.config.name, why))
        why = f"child {offer.config.name} not established: {why}"
        if reply.all(SA):
            return Done(follow=(DeleteChildren.of_offer(offer),), failed=why)
        await offer.withdraw()
        return Done(failed=why)

    async def on_refused(self, sa: IkeSa, reply: Message) -> Next:
        """An error and no AUTH: the responder did not accept us, and keeps nothing."""
        error, progress = first_error(reply), self.progress
        assert error is not None and progress is not None and sa.connection is not None
        if (
            error.type not in FINAL
            and progress.eap is None
            and progress.theirs == len(sa.connection.remote)
            and self._is_last(sa, progress, reply)
        ):
            return await self.on_answer(sa, reply)  # both were proven before; the child alone is refused
        why = f"the peer answered {error.type}"
        if error.type is NotifyType.AUTHENTICATION_FAILED:
            why = unaccepted(sa, sa.connection, max(progress.ours - 1, 0))
        elif error.type is NotifyType.INVALID_SYNTAX:
            wanted = "without a child" if progress.offer is None else "with a child in it"
            why += f": it found our IKE_AUTH malformed, or takes none {wanted} (RFC 6023)"
        sa.emit(AuthFailed(sa, False, why))
        await self.abandon(sa, why)
        return Done(close=why)

    async def on_less(self, sa: IkeSa, reply: Message) -> Next:
        """No AUTH: right only where the peer proved itself in an earlier response (RFC 4739 §2.1)."""
        assert self.progress is not None
        if not self.progress.theirs:
            raise self.answers_nothing(reply)
        return await self.on_answer(sa, reply)

    async def abandon(self, sa: IkeSa, why: str) -> None:
        if self.progress is None:
            return
        if self.progress.offer is not None:
            await self.progress.offer.withdraw()
        for rider in self.progress.riders:
            await rider.abandon(sa)

    cases = (
        Case(on_answer, required=(AUTH,)),
        Case(on_answer, required=(EAP,)),
        Case(on_refused, error=True),
        Case(on_less),
    )


def _check_eap(connection: Connection) -> None:
    """That the peer proves itself by EAP is for us to ask only if we do, too. Raises CredentialError."""
    if connection.local[0].auth.kind is not AuthKind.EAP:
        raise CredentialError(
            f"connection {connection.name} waits for a peer that proves itself by EAP: only the peer can begin"
        )
