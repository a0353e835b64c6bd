"""Post-quantum pre-shared keys (RFC 8784): a secret mixed into SK_d, SK_pi and SK_pr, which no quantum computer finds.

Both ends say USE_PPK in IKE_SA_INIT. The initiator names its key in the
request of IKE_AUTH whose AUTH is its last (PPK_IDENTITY), and adds what AUTH
would be without the key (NO_PPK_AUTH) unless it insists on it. A responder
that has the key says so by an empty PPK_IDENTITY, and both use the mixed keys
from that AUTH on; one that has not takes NO_PPK_AUTH, and none is mixed.
"""

from __future__ import annotations

from ikectl.config.model import Connection
from ikectl.crypto.kdf_v2 import mix_ppk
from ikectl.errors import AuthenticationFailed, CredentialError, PeerMisbehaved
from ikectl.iana.v2 import NotifyType, PpkIdType
from ikectl.sa.asks import FindPpk, HasPpks
from ikectl.sa.events import Note
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import USE_PPK, Notify

IN_USE = Notify(NotifyType.PPK_IDENTITY)
"""A responder's word that it has the key (RFC 8784 §3)."""


def named(identity: Identity) -> Notify:
    """PPK_IDENTITY with PPK_ID_FIXED (RFC 8784 §5.1): the octets of the identity, without its kind."""
    return Notify(NotifyType.PPK_IDENTITY, bytes((PpkIdType.FIXED,)) + identity.data)


# -- the initiator ------------------------------------------------------------


async def ours(sa: IkeSa, identity: Identity) -> list[Notify]:
    """USE_PPK, if the key of our ppk_id is loaded. Raises CredentialError if it is not and has to be."""
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and shake is not None
    shake.ppk = await FindPpk(identity.data)
    if shake.ppk is None:
        why = f"no post-quantum key of {identity} is loaded: add a secrets.ppk section with that id"
        if connection.ppk_required:
            raise CredentialError(why)
        sa.emit(Note(sa, f"{why}; going on without"))
        return []
    return [USE_PPK]


def agreed(sa: IkeSa, reply: Message) -> bool:
    """Whether the responder knows of such keys as well. Raises PeerMisbehaved if it must and does not."""
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and shake is not None
    if shake.ppk is None:
        return False
    if reply.notify(NotifyType.USE_PPK) is not None:
        return True
    if connection.ppk_required:
        raise PeerMisbehaved(
            "the peer has no post-quantum keys, and ppk_required = yes; load one there, or say no here"
        )
    return False


def must_be_used(connection: Connection, used: bool) -> None:
    """Raises AuthenticationFailed where the key was not used that has to be."""
    if connection.ppk_required and not used:
        raise AuthenticationFailed(
            f"connection {connection.name} has ppk_required = yes, and the peer did not use a post-quantum key that is "
            "known to both; compare ppk_id and secrets.ppk of both ends"
        )


# -- the responder ------------------------------------------------------------


async def echoed() -> list[Notify]:
    """USE_PPK to an initiator that said so, if any such key is loaded here; which one it means is not known yet."""
    return [USE_PPK] if await HasPpks() else []


async def found(connection: Connection, notify: Notify) -> Secret | None:
    """The key that the initiator names, if it is loaded and the connection does not want another one.

    Raises PeerMisbehaved for a PPK_IDENTITY without an identity. The type is for ends that agreed on a meaning of
    their own (RFC 8784 §5.1); to us both types are octets.
    """
    kind, identity = notify.data[:1], notify.data[1:]
    if not identity or kind not in (bytes((PpkIdType.OPAQUE,)), bytes((PpkIdType.FIXED,))):
        raise PeerMisbehaved("PPK_IDENTITY has no identity of a known type (RFC 8784 §5.1)")
    if connection.ppk_id is not None and connection.ppk_id.data != identity:
        return None
    return await FindPpk(identity)


# -- both -----------------------------------------------------------------------


def mix(sa: IkeSa, ppk: Secret) -> None:
    """The keys with the key in them. What is sealed already does not change: SK_e and SK_a stay (RFC 8784 §3)."""
    assert sa.suite is not None and sa.keys is not None
    sa.keys = mix_ppk(sa.suite.prf, ppk, sa.keys)
