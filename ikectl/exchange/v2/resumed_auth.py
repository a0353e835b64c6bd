"""IKE_AUTH of a resumed IKE SA: both ends show that they have the keys of the ticket (RFC 5723 §5.2).

AUTH = prf(SK_px, <message octets>), the octets being those of RFC 7296 §2.15
with the two messages of IKE_SESSION_RESUME in the place of IKE_SA_INIT.
Nobody proves again who he is, so the identities must be those of the ticket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hmac import compare_digest

from ikectl.auth.octets import signed_octets
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.exchange.v2 import childless
from ikectl.exchange.v2.answer_ike_auth import Admission, AnswerIkeAuth
from ikectl.exchange.v2.base import Reply
from ikectl.exchange.v2.child import Keying
from ikectl.exchange.v2.ike_auth import IkeAuth, Progress
from ikectl.exchange.v2.proofs import context, establish
from ikectl.iana.v2 import AuthMethod
from ikectl.sa.asks import SpendTicket
from ikectl.sa.events import AuthFailed, Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.identity import Identity
from ikectl.values.secret import NO_SECRET
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import AUTHENTICATION_FAILED


def proof_of(sa: IkeSa, by_initiator: bool, id_body: bytes) -> bytes:
    """The content of the AUTH of one end, given the body of its ID payload."""
    shake, keys, suite = sa.handshake, sa.keys, sa.suite
    assert shake is not None and keys is not None and suite is not None
    if by_initiator:
        octets = signed_octets(shake.request, shake.nonce_r, suite.prf, keys.sk_pi, id_body)
        return suite.prf.compute(keys.sk_pi, octets)
    octets = signed_octets(shake.response, shake.nonce_i, suite.prf, keys.sk_pr, id_body)
    return suite.prf.compute(keys.sk_pr, octets)


def own_proof(sa: IkeSa, local_id: Identity) -> AUTH:
    """Our AUTH."""
    return AUTH(AuthMethod.SHARED_KEY_MIC, proof_of(sa, sa.initiator, IDi.of(local_id).body()))


def check_proof(sa: IkeSa, named: IDi | IDr, expected: Identity, proof: AUTH) -> None:
    """Judge the peer's AUTH. Raises AuthenticationFailed."""
    if named.identity != expected:
        raise AuthenticationFailed(f"the peer is {named.identity}, and the session it resumes is one with {expected}")
    right = proof_of(sa, not sa.initiator, named.body())
    if proof.method is not AuthMethod.SHARED_KEY_MIC or not compare_digest(right, proof.data):
        raise AuthenticationFailed(f"the AUTH payload of {expected} is not made with the keys of the resumed session")


@dataclass(slots=True, eq=False)
class ResumedAuth(IkeAuth):
    """The initiator's half: one request, whoever has how many rounds."""

    async def _first(self, sa: IkeSa) -> list[Payload]:
        session, connection = sa.resumes, sa.connection
        assert session is not None and connection is not None
        sa.local_id, sa.remote_id = session.local_id, session.remote_id
        progress = self.progress = Progress(context(sa, connection, sa.local_id, sa.remote_id))
        progress.ours = len(connection.local)
        proof = own_proof(sa, sa.local_id)
        identities: list[Payload] = [IDi.of(sa.local_id), IDr.of(sa.remote_id)]
        return [*identities, proof, *await self._along(sa, progress)]

    async def _go_on(self, sa: IkeSa, progress: Progress, reply: Message) -> list[Payload] | None:
        session, connection = sa.resumes, sa.connection
        assert session is not None and connection is not None
        check_proof(sa, reply.one(IDr), session.remote_id, reply.one(AUTH))
        progress.theirs = len(connection.remote)
        sa.ppk = session.ppk
        sa.reauth_at, sa.reauth_by = session.reauth_at, session.reauth_by
        sa.resumes = replace(session, sk_d=NO_SECRET)
        return None


@dataclass(slots=True, eq=False)
class AnswerResumedAuth(AnswerIkeAuth):
    """The responder's half. Only here, with the client proven to have the session, is the ticket taken."""

    async def respond(self, sa: IkeSa, request: Message) -> Reply:
        shake, connection, session = sa.handshake, sa.connection, sa.resumes
        assert shake is not None and connection is not None and session is not None
        try:
            await self._judge(sa, request)
        except (AuthenticationFailed, CredentialError) as failure:
            sa.emit(AuthFailed(sa, True, str(failure)))
            return Reply([AUTHENTICATION_FAILED], close=f"authentication failed: {failure}")
        childless.check(connection, request)
        assert sa.local_id is not None
        payloads: list[Payload] = [IDr.of(sa.local_id), own_proof(sa, sa.local_id)]
        sa.user, sa.ppk, sa.reauth_by = session.user, session.ppk, session.reauth_by
        sa.resumes = replace(session, sk_d=NO_SECRET)  # its keys are made
        for lost in sa.env.remains(session):
            sa.take_inner(lost)  # or it would get other addresses, as long as the lost SA holds these (§5, note 5)
        keying = Keying(shake.nonce_i, shake.nonce_r)
        establish(sa)
        sa.emit(Note(sa, f"resumed by a session ticket of {sa.remote_id}" + (f", user {sa.user!r}" if sa.user else "")))
        return Reply(payloads + await self._settle(sa, request, keying))

    async def _judge(self, sa: IkeSa, request: Message) -> None:
        """Raises AuthenticationFailed."""
        shake, connection, session = sa.handshake, sa.connection, sa.resumes
        assert shake is not None and connection is not None and session is not None
        wanted = request.get(IDr)
        if wanted is not None and wanted.identity != session.local_id:
            raise AuthenticationFailed(f"the peer wants {wanted.identity}, and its session is one with another end")
        check_proof(sa, request.one(IDi), session.remote_id, request.one(AUTH))
        sa.local_id, sa.remote_id = session.local_id, session.remote_id
        sa.ppk = session.ppk
        admission = Admission(request, connection, theirs=len(connection.remote), user=session.user)
        if session.ppk and connection.ppk_id is not None:
            admission.ppk = connection.ppk_id.data  # the connection is as it was, so it was that key
        # What it resumes is dead as soon as this stands (§4.3.2); of a line of SAs only the last one counts.
        self._check(sa, admission, sum(lost.heir is None for lost in sa.env.remains(session)))
        if not await SpendTicket(shake.ticket):
            raise AuthenticationFailed("its session ticket was taken before, or has expired")
