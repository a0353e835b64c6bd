"""IKE_AUTH, responder's half: an initiator is let in, over as many requests as that takes (RFC 7296 §1.2, RFC 4739)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ikectl.auth.base import AuthContext
from ikectl.auth.eap.base import name_of, shown
from ikectl.auth.eap.server import EapServer, closeness
from ikectl.auth.table import prove, verify
from ikectl.config.match import Round, for_identities
from ikectl.config.model import AuthKind, Connection, Unique
from ikectl.errors import AuthenticationFailed, BackendError, CannotProve, CredentialError, PeerMisbehaved, Refused
from ikectl.exchange import children
from ikectl.exchange.v2 import auth_methods, childless, ppk
from ikectl.exchange.v2 import child as agreement
from ikectl.exchange.v2.base import Answer, Reply
from ikectl.exchange.v2.certreq import wanted
from ikectl.exchange.v2.child import Keying
from ikectl.exchange.v2.proofs import MAX_MESSAGES, check_keyed, context, establish, heard, keyed, own_identity
from ikectl.exchange.v2.refusal import mismatch
from ikectl.exchange.v2.riders import answers, says_first_contact
from ikectl.iana.v2 import AuthMethod, IdType, NotifyType
from ikectl.sa.events import AuthFailed, ChildFailed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.identity import NO_MATCH, Identity
from ikectl.wire.payload import Payload
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH, CERT, IDi, IDr
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import ANOTHER_AUTH_FOLLOWS, AUTHENTICATION_FAILED, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr

_KINDS = {
    AuthMethod.SHARED_KEY_MIC: AuthKind.PSK,
    AuthMethod.NULL: AuthKind.NULL,
}
"""What an initiator's AUTH tells of its method; everything else is a signature."""


@dataclass(slots=True, eq=False)
class Admission:
    """How far an initiator has come: a round of its own, and one of ours, at a time. Stands in the handshake."""

    opening: Message
    """The first request: what it asks for is seen to when everybody is proven."""
    connection: Connection | None = None
    about: AuthContext | None = None
    """Who both ends say they are in the latest rounds."""
    theirs: int = 0
    """Rounds in which the peer proved itself."""
    ours: int = 0
    """Rounds in which we did."""
    more: bool = True
    """The peer has another round to come."""
    eap: EapServer | None = None
    """The peer's round, while it goes on by EAP; until its AUTH came."""
    rivals: Sequence[Connection] = ()
    """Connections that want the same of it, of other users perhaps."""
    ppk: bytes = b""
    """Identity of the post-quantum key that was mixed in (RFC 8784, RFC 9867)."""
    user: str = ""
    """Who EAP proved the peer to be."""
    named: IDi | None = None
    """As whom the peer proves itself in the present round."""
    last_words: tuple[Payload, ...] = ()
    """What tells the peer that it is not let in, instead of AUTHENTICATION_FAILED."""
    messages: int = 0

    @property
    def over(self) -> bool:
        """Whether both ends have proven all they should."""
        return self.connection is not None and not self.more and self.ours == len(self.connection.local)

    def who(self, sa: IkeSa) -> str:
        """Who is let in, in words."""
        return f"user {self.user!r}" if self.user else str(sa.remote_id)

    async def take(self, sa: IkeSa, request: Message) -> list[Payload]:
        """Judge one request; what proves us in the response. Raises AuthenticationFailed, CredentialError."""
        self.messages += 1
        if self.messages > MAX_MESSAGES:
            raise AuthenticationFailed(f"more than {MAX_MESSAGES} messages of authentication")
        told: list[Payload] = []
        if self.eap is not None:
            told = await self._converse(sa, self.eap, request)
        elif self.more:
            told = await self._judge(sa, request)
        connection = self.connection
        assert connection is not None
        if self.ours == len(connection.local):
            return told
        ours = self.ours
        payloads = await self._prove(sa, connection) + told
        # Where EAP is our proof, the peer's EAP ends this round of ours, too.
        if self.ours < len(connection.local) and connection.local[ours].auth.kind is not AuthKind.EAP:
            if self.opening.notify(NotifyType.MULTIPLE_AUTH_SUPPORTED) is None:
                raise AuthenticationFailed(
                    f"the peer takes no second round of authentication (RFC 4739), and connection {connection.name} "
                    f"has {len(connection.local)} local sections"
                )
            payloads.append(ANOTHER_AUTH_FOLLOWS)
        return payloads

    async def _judge(self, sa: IkeSa, request: Message) -> list[Payload]:
        """The peer's next round: choose the connection by it, and check the proof. Without one EAP begins (§2.16)."""
        shake, named, proof = sa.handshake, request.one(IDi), request.get(AUTH)
        assert shake is not None
        claimed = named.identity
        if claimed.is_any:
            raise AuthenticationFailed("the peer gave an identity of the reserved type 0")
        shake.wanted = wanted(request, shake.wanted)
        shake.methods = shake.methods or auth_methods.accepted(request)
        # Behind EAP another round is announced with the AUTH that ends it.
        more = None if proof is None else NotifyType.ANOTHER_AUTH_FOLLOWS in request.said
        connection = self._choose(shake.candidates, claimed, request, Round(_kind(proof), self.theirs, more))
        if not self.theirs:
            sa.remote_id = claimed
            sa.local_id = await own_identity(sa, connection.local[0])
        about = self.about
        if about is None or not self.theirs:
            assert sa.local_id is not None
            about = self.about = context(sa, connection, sa.local_id, claimed)
        remote, self.named = connection.remote[self.theirs], named
        heard(about, sa, named, claimed)
        if proof is None or more is None:
            self.connection = connection
            self.rivals = [each for each in shake.candidates if _alike_but_for_users(each, connection, self.theirs)]
            users = tuple(each.remote[self.theirs].eap_id for each in self.rivals)
            local = connection.local[min(self.ours, len(connection.local) - 1)]
            self.eap = EapServer(remote, claimed, sa.path.remote.address, local, sa.random, users)
            first = await self.eap.begin()
            if self.eap.verdict is False:
                # Nothing of EAP was said yet: a refusal as any other.
                raise AuthenticationFailed(f"EAP cannot begin: {self.eap.why}")
            return [EAP.read(first)]
        told: list[Payload] = []
        if sa.uses_ppk:
            proof, about, told = await self._mix(sa, connection, request, proof)
        await verify(remote, about, proof, request.all(CERT))
        self.connection, self.more = connection, more
        self.theirs += 1
        return told

    async def _mix(
        self, sa: IkeSa, connection: Connection, request: Message, proof: AUTH
    ) -> tuple[AUTH, AuthContext, list[Payload]]:
        """Mix in the post-quantum key the peer names, if we have it (RFC 8784 §3).

        Returns the proof to judge, what it rests on, and what to say of the key.
        Raises AuthenticationFailed if we have it not and the peer insists on it.
        """
        about, notify = self.about, request.notify(NotifyType.PPK_IDENTITY)
        assert about is not None and self.named is not None
        if notify is None:
            return proof, about, []
        if self.ppk:
            raise AuthenticationFailed("the peer names a post-quantum key a second time")
        key = await ppk.found(connection, notify)
        if key is not None:
            ppk.mix(sa, key)
            sa.ppk, self.ppk = True, notify.data[1:]
            renewed = context(sa, connection, about.local_id, about.remote_id)
            self.about = heard(renewed, sa, self.named, about.remote_id)
            return proof, self.about, [ppk.IN_USE]
        excuse = request.notify(NotifyType.NO_PPK_AUTH)
        if excuse is None:
            raise AuthenticationFailed(
                f"the peer insists on a post-quantum key whose identity is {shown(notify.data[1:])!r}, and connection "
                f"{connection.name} has no such key; add it to secrets.ppk"
            )
        return AUTH(proof.method, excuse.data), about, []

    async def _converse(self, sa: IkeSa, eap: EapServer, request: Message) -> list[Payload]:
        """The next message of EAP; after its success the peer's AUTH is due, and answered by ours (§2.16)."""
        running = eap.verdict is None
        if running:
            message = EAP.read(await eap.take(request.one(EAP).body()))
            if eap.verdict is False:
                self.last_words = (message,)
                raise AuthenticationFailed(f"EAP: {eap.why}")
            return [message]
        about, user = self.about, eap.identity
        if eap.verdict is not True or user is None:
            raise AuthenticationFailed("the peer goes on after EAP failed")
        assert about is not None
        more = request.notify(NotifyType.ANOTHER_AUTH_FOLLOWS) is not None
        connection = self._choose_by_user(user, more)
        proof = request.one(AUTH)
        told: list[Payload] = []
        if sa.uses_ppk:
            proof, about, told = await self._mix(sa, connection, request, proof)
        check_keyed(about, eap.msk, proof)
        self.connection, self.more = connection, more
        if self.ours < len(connection.local) and connection.local[self.ours].auth.kind is AuthKind.EAP:
            if not (eap.mutual and eap.msk):
                raise AuthenticationFailed(
                    "the EAP method proves the peer and not us, who have no other proof (RFC 5998)"
                )
            self.ours += 1
        self.theirs += 1
        self.eap, self.user = None, name_of(user)
        return [keyed(about, eap.msk), *told]

    def _choose(self, candidates: Sequence[Connection], claimed: Identity, request: Message, now: Round) -> Connection:
        """The connection for this round, perhaps another one than before that wants the same of the earlier rounds."""
        proven, wanted = self.connection, request.get(IDr)
        if proven is not None:
            candidates = [each for each in candidates if each is proven or _alike(each, proven, self.theirs, self.ours)]
        connection, why = for_identities(candidates, claimed, None if wanted is None else wanted.identity, now)
        if connection is None:
            raise AuthenticationFailed(why)
        return connection

    def _choose_by_user(self, user: Identity, more: bool) -> Connection:
        """The connection for whom EAP proved, of those that wanted the same of it; the first one where it is equal."""
        connection, done = self.connection, self.theirs
        assert connection is not None and self.about is not None
        best = NO_MATCH
        for each in [connection, *self.rivals]:
            close = closeness(each.remote[done].eap_id, user, self.about.remote_id)
            if (len(each.remote) > done + 1) is more and close > best:
                best, connection = close, each
        if not best:
            raise AuthenticationFailed(
                f"user {name_of(user)!r} {'announces another' if more else 'ends with this'} round of authentication, "
                f"and no connection for it wants {'one' if more else 'no further one'}"
            )
        return connection

    async def _prove(self, sa: IkeSa, connection: Connection) -> list[Payload]:
        """Our next round: IDr, CERTs, AUTH; where EAP is our proof, who we are, once (RFC 5998 §3)."""
        about = self.about
        assert about is not None
        local = connection.local[self.ours]
        if local.auth.kind is AuthKind.EAP:
            if self.messages > 1:
                return []
            if self.opening.notify(NotifyType.EAP_ONLY_AUTHENTICATION) is None:
                raise AuthenticationFailed(
                    f"{about.remote_id} does not take EAP as our proof (RFC 5998); set {local.name}.auth = pubkey"
                )
            return [IDr.of(about.local_id)]
        if self.ours:
            about = self.about = context(sa, connection, await own_identity(sa, local), about.remote_id)
        own = await prove(local, about)
        self.ours += 1
        return [IDr.of(about.local_id), *own.certs, own.auth]


def _kind(proof: AUTH | None) -> AuthKind:
    """The method of proof that an AUTH payload is of: EAP where there is none, a signature unless it says otherwise."""
    if proof is None:
        return AuthKind.EAP
    return _KINDS.get(proof.method, AuthKind.PUBKEY)


def _alike(one: Connection, other: Connection, theirs: int, ours: int) -> bool:
    """Whether what was proven for one connection is proven for the other: the same demands in the rounds so far."""
    demands = ([replace(each, name="") for each in connection.remote[:theirs]] for connection in (one, other))
    claims = ([replace(each, name="") for each in connection.local[:ours]] for connection in (one, other))
    return next(demands) == next(demands) and next(claims) == next(claims)


def _alike_but_for_users(one: Connection, other: Connection, done: int) -> bool:
    """Whether EAP goes on for one as for the other: the same demands before it and in it, but for who the user is."""
    if len(one.remote) <= done or len(one.local) != len(other.local):
        return False
    ours, theirs = (replace(each.remote[done], name="", eap_id=None) for each in (one, other))
    return ours == theirs and _alike(one, other, done, len(other.local))


@dataclass(slots=True, eq=False)
class AnswerIkeAuth(Answer):
    """One request of IKE_AUTH, and with the last one the first child."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        shake, suite = sa.handshake, sa.suite
        assert shake is not None and suite is not None
        if shake.rounds != len(suite.additional):
            raise PeerMisbehaved("IKE_AUTH before all negotiated key exchanges were done (RFC 9370 §2.2.2)")
        admission: Admission = shake.admission or Admission(request, ppk=shake.ppk_named)
        shake.admission = admission
        try:
            payloads = await admission.take(sa, request)
            if not admission.over:
                return Reply(payloads)
            self._check(sa, admission)
        except (AuthenticationFailed, CredentialError) as failure:
            sa.emit(AuthFailed(sa, not isinstance(failure, CannotProve), str(failure)))
            # Every failure looks alike on the wire (§2.21.2).
            last_words = admission.last_words or (AUTHENTICATION_FAILED,)
            return Reply(list(last_words), close=f"authentication failed: {failure}")
        assert admission.connection is not None
        childless.check(admission.connection, admission.opening)
        sa.connection, sa.user = admission.connection, admission.user
        keying = Keying(shake.nonce_i, shake.nonce_r)
        establish(sa)
        return Reply(payloads + await self._settle(sa, admission.opening, keying))

    def _check(self, sa: IkeSa, admission: Admission, dead: int = 0) -> None:
        """What may keep out a peer that proved itself; `dead` of its SAs do not count. Raises AuthenticationFailed."""
        assert admission.connection is not None and sa.local_id is not None and sa.remote_id is not None
        if admission.theirs != len(admission.connection.remote):
            raise AuthenticationFailed(f"{admission.theirs} rounds are not those of {admission.connection.name}")
        wanted = admission.connection.ppk_id
        ppk.must_be_used(admission.connection, sa.ppk and (wanted is None or wanted.data == admission.ppk))
        nobody = sa.remote_id.kind is IdType.NULL and not admission.user
        unique = Unique.NO if nobody else admission.connection.unique  # there is none to be unique
        already = sa.env.connected(sa.local_id, sa.remote_id, admission.user) - dead
        if not already:
            return
        if unique is not Unique.NEVER and says_first_contact(sa, admission.opening) and not sa.is_hidden:
            return
        if unique is Unique.KEEP:
            raise AuthenticationFailed(
                f"{admission.who(sa)} is connected already, and unique = keep keeps the older SA"
            )
        if unique is not Unique.REPLACE and already >= sa.env.settings.max_sas_of_peer:
            hint = (
                "it has no identity to be told from others by" if nobody else "unique = replace lets the latest stand"
            )
            raise AuthenticationFailed(
                f"{admission.who(sa)} has {already} IKE SAs already, which is all that one peer may have; {hint}"
            )

    async def _settle(self, sa: IkeSa, request: Message, keying: Keying) -> list[Payload]:
        """What riders say, and SA, TSi, TSr, or the notify that says why not; the IKE SA stands either way."""
        connection, payloads = sa.connection, []
        assert connection is not None
        try:
            said = request.said
            for kind in answers(connection.extras):
                if kind.calls in said:
                    payloads += await kind().answer(sa, request)
            if SA not in said or TSi not in said or TSr not in said:
                sa.emit(Note(sa, "the peer asked for no child with IKE_AUTH"))
                return payloads
            choice = agreement.choose(sa, request, connection.negotiable, without_ke=True)
            child, answer, selectors = await agreement.answer(sa, choice, keying)
        except Refused as refusal:
            sa.emit(mismatch(sa, refusal))
            return [*payloads, Notify(refusal.notify, refusal.data)]
        except BackendError as failure:
            sa.emit(ChildFailed(sa, "", str(failure)))
            return [*payloads, Notify(NotifyType.TEMPORARY_FAILURE)]
        children.announce(sa, child)
        return [*payloads, answer, *selectors]
