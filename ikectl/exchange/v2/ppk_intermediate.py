"""Post-quantum pre-shared keys in IKE_INTERMEDIATE: in all keys before anybody says who he is (RFC 9867 §3.1).

Both ends said USE_PPK_INT in IKE_SA_INIT (see `ppk`). The initiator's last
IKE_INTERMEDIATE names the keys it has, each with eight octets that show that it
has it (PPK_IDENTITY_KEY). The responder answers with the identity of one that
it has too (PPK_IDENTITY), or with none; then all keys are derived anew, behind
whatever else the exchange changed in them. Whether there may be an SA without
such a key is for each end to judge.
"""

from __future__ import annotations

from hmac import compare_digest

from ikectl.auth.eap.base import shown
from ikectl.crypto.kdf_v2 import IkeKeys, derive_with_ppk, ppk_confirmation
from ikectl.errors import AuthenticationFailed, PeerMisbehaved
from ikectl.exchange.v2.ppk import identity_in, must_be_used, named
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.asks import FindPpk
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import NamedPpk, Notify, ppk_identity_key, ppk_identity_key_notify

MAX_NAMED = 8
"""Keys of one request that are looked up; an initiator has one or two, and nobody has proven who it is."""


def is_due(sa: IkeSa) -> bool:
    """Whether an IKE_INTERMEDIATE still has to settle which key is used."""
    return sa.handshake is not None and sa.handshake.ppk_in is ExchangeType.IKE_INTERMEDIATE


def mixed_in(sa: IkeSa, keys: IkeKeys, ppk: Secret | None) -> IkeKeys:
    """The keys with the post-quantum key in them."""
    shake, suite = sa.handshake, sa.suite
    assert shake is not None and suite is not None and ppk is not None
    return derive_with_ppk(suite, keys.sk_d, ppk, shake.nonce_i, shake.nonce_r, sa.spi_i, sa.spi_r)


def _confirmation(sa: IkeSa, ppk: Secret) -> bytes:
    shake, suite = sa.handshake, sa.suite
    assert shake is not None and suite is not None
    return ppk_confirmation(suite.prf, ppk, shake.nonce_i, shake.nonce_r, sa.spi_i, sa.spi_r)


# -- the initiator ------------------------------------------------------------


def ours(sa: IkeSa) -> Notify:
    """PPK_IDENTITY_KEY of our key."""
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and connection.ppk_id is not None and shake is not None and shake.ppk is not None
    return ppk_identity_key_notify(NamedPpk(named(connection.ppk_id).data, _confirmation(sa, shake.ppk)))


def heard(sa: IkeSa, reply: Message) -> bool:
    """Whether the responder has our key. Raises AuthenticationFailed if it must and has not, PeerMisbehaved."""
    connection, answer = sa.connection, reply.notify(NotifyType.PPK_IDENTITY)
    assert connection is not None and connection.ppk_id is not None
    if answer is None:
        must_be_used(connection, False)
        sa.emit(Note(sa, f"the peer does not have our post-quantum key of {connection.ppk_id}; it is not used"))
        return False
    if answer.data != named(connection.ppk_id).data:
        raise PeerMisbehaved("the peer chose a post-quantum key that we did not name (RFC 9867 §3.1)")
    return True


def refused(sa: IkeSa) -> str:
    """What the responder most likely means by AUTHENTICATION_FAILED."""
    assert sa.connection is not None
    return (
        f"it requires a post-quantum key and does not have ours of {sa.connection.ppk_id}; "
        "compare ppk_id and secrets.ppk of both ends"
    )


# -- the responder ------------------------------------------------------------


@record
class Chosen:
    """A key that both ends have."""

    identity: bytes
    key: Secret
    answer: Notify
    """PPK_IDENTITY, which tells the initiator."""


async def choose(sa: IkeSa, request: Message) -> Chosen | None:
    """The first of the initiator's keys that we have as well, and that some connection takes.

    Raises AuthenticationFailed if there is none and every connection that it
    may be about requires one; PeerMisbehaved, WireError. Who only says the
    name of a key learns nothing of whether it is loaded here.
    """
    shake = sa.handshake
    assert shake is not None
    wanted = {None if each.ppk_id is None else each.ppk_id.data for each in shake.candidates}
    failures = []
    for notify in request.notifies(NotifyType.PPK_IDENTITY_KEY)[:MAX_NAMED]:
        claimed = ppk_identity_key(notify)
        identity = identity_in(claimed.named)
        key = await FindPpk(identity) if None in wanted or identity in wanted else None
        if key is None:
            failures.append(f"it names {shown(identity)!r}, which is not in secrets.ppk or not the ppk_id wanted here")
        elif compare_digest(_confirmation(sa, key), claimed.confirmation):
            return Chosen(identity, key, Notify(NotifyType.PPK_IDENTITY, claimed.named))
        else:
            failures.append(f"its secret of {shown(identity)!r} is not the one in secrets.ppk here")
    why = "the peer has no post-quantum key in common with us: " + ("; ".join(failures) or "it names none")
    if all(each.ppk_required for each in shake.candidates):
        raise AuthenticationFailed(f"{why}; and ppk_required = yes")
    sa.emit(Note(sa, why))
    return None
