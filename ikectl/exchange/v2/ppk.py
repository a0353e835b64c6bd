"""Post-quantum pre-shared keys (RFC 8784): a secret mixed into SK_d, SK_pi and SK_pr, which no quantum computer finds.

Both ends say USE_PPK in IKE_SA_INIT. The initiator names its key in the
request of IKE_AUTH whose AUTH is its last (PPK_IDENTITY), and adds what AUTH
would be without the key (NO_PPK_AUTH) unless it insists on it. A responder
that has the key says so by an empty PPK_IDENTITY, and both use the mixed keys
from that AUTH on; one that has not takes NO_PPK_AUTH, and none is mixed.

Beside that an initiator may say USE_PPK_INT; a responder that says it as well,
in place of USE_PPK, has it mixed in before (`ppk_intermediate`, RFC 9867 §3.1).
"""

from __future__ import annotations

from ikectl.config.model import Connection
from ikectl.crypto.kdf_v2 import mix_ppk
from ikectl.errors import AuthenticationFailed, CredentialError, PeerMisbehaved
from ikectl.iana.v2 import ExchangeType, NotifyType, PpkIdType
from ikectl.sa.asks import FindPpk, HasPpks
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import USE_PPK, USE_PPK_INT, Notify

IN_USE = Notify(NotifyType.PPK_IDENTITY)
"""A responder's word that it has the key (RFC 8784 §3)."""


def named(identity: Identity) -> Notify:
    """PPK_IDENTITY with PPK_ID_FIXED (RFC 8784 §5.1): the octets of the identity, without its kind."""
    return Notify(NotifyType.PPK_IDENTITY, bytes((PpkIdType.FIXED,)) + identity.data)


# -- the initiator ------------------------------------------------------------


async def ours(sa: IkeSa, identity: Identity) -> list[Notify]:
    """USE_PPK, and USE_PPK_INT, if the key of our ppk_id is loaded.

    Raises CredentialError if it is not and has to be.
    """
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and shake is not None
    shake.ppk = await FindPpk(identity.data)
    if shake.ppk is None:
        why = f"no post-quantum key of {identity} is loaded: add a secrets.ppk section with that id"
        if connection.ppk_required:
            raise CredentialError(why)
        sa.emit(Note(sa, f"{why}; going on without"))
        return []
    return [USE_PPK, USE_PPK_INT] if connection.ppk_intermediate else [USE_PPK]


def agreed(sa: IkeSa, reply: Message) -> ExchangeType | None:
    """In which exchange the responder wants the key, which knows of such as well; None: in none.

    Raises PeerMisbehaved if it must know and does not, or contradicts itself.
    """
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and shake is not None
    if shake.ppk is None:
        return None
    if connection.ppk_intermediate and reply.notify(NotifyType.USE_PPK_INT) is not None:
        if reply.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
            raise PeerMisbehaved("the peer wants a post-quantum key in IKE_INTERMEDIATE, which it does not know")
        return ExchangeType.IKE_INTERMEDIATE
    if reply.notify(NotifyType.USE_PPK) is not None:
        return ExchangeType.IKE_AUTH
    if connection.ppk_required:
        raise PeerMisbehaved(
            "the peer has no post-quantum keys, and ppk_required = yes; load one there, or say no here"
        )
    return None


def must_be_used(connection: Connection, used: bool) -> None:
    """Raises AuthenticationFailed where the key was not used that has to be."""
    if connection.ppk_required and not used:
        raise AuthenticationFailed(
            f"connection {connection.name} has ppk_required = yes, and the peer did not use a post-quantum key that is "
            "known to both; compare ppk_id and secrets.ppk of both ends"
        )


# -- the responder ------------------------------------------------------------


async def taken(connection: Connection, request: Message) -> ExchangeType | None:
    """In which exchange a key is to be mixed in, if any is loaded here; which one is not known yet.

    The earlier one, if the initiator knows it: then its identity is protected as well (RFC 9867 §3.1).
    """
    plain = request.notify(NotifyType.USE_PPK) is not None
    early = (
        connection.ppk_intermediate
        and request.notify(NotifyType.USE_PPK_INT) is not None
        and request.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is not None
    )
    if not (plain or early) or not await HasPpks():
        return None
    return ExchangeType.IKE_INTERMEDIATE if early else ExchangeType.IKE_AUTH


def answer(exchange: ExchangeType | None) -> list[Notify]:
    """What says so: one of the two, never both (RFC 9867 §3.1)."""
    return _ANSWERS[exchange]


_ANSWERS: dict[ExchangeType | None, list[Notify]] = {
    None: [],
    ExchangeType.IKE_AUTH: [USE_PPK],
    ExchangeType.IKE_INTERMEDIATE: [USE_PPK_INT],
}


def identity_in(named: bytes) -> bytes:
    """The identity in a PPK_ID. Raises PeerMisbehaved if there is none.

    The type is for ends that agreed on a meaning of their own (RFC 8784 §5.1); to us both types are octets.
    """
    kind, identity = named[:1], named[1:]
    if not identity or kind not in (bytes((PpkIdType.OPAQUE,)), bytes((PpkIdType.FIXED,))):
        raise PeerMisbehaved("a PPK_ID has no identity of a known type (RFC 8784 §5.1)")
    return identity


async def found(connection: Connection, notify: Notify) -> Secret | None:
    """The key that the initiator names, if it is loaded and the connection does not want another one.

    Raises PeerMisbehaved for a PPK_IDENTITY without an identity.
    """
    identity = identity_in(notify.data)
    if connection.ppk_id is not None and connection.ppk_id.data != identity:
        return None
    return await FindPpk(identity)


# -- both -----------------------------------------------------------------------


def mix(sa: IkeSa, ppk: Secret) -> None:
    """The keys with the key in them. What is sealed already does not change: SK_e and SK_a stay (RFC 8784 §3)."""
    assert sa.suite is not None and sa.keys is not None
    sa.keys = mix_ppk(sa.suite.prf, ppk, sa.keys)
