"""IKE SAs without a child in IKE_AUTH (RFC 6023): who takes them, and who begins them.

The responder announces in IKE_SA_INIT that it takes them; nobody else has to
(RFC 6023 §3). The child that is wanted all the same comes by CREATE_CHILD_SA.
"""

from __future__ import annotations

from ikectl.config.model import Child, Childless, Connection
from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import NotifyType
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import CHILDLESS_IKEV2_SUPPORTED, Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr


def announced(connection: Connection) -> tuple[Notify, ...]:
    """What a responder says of itself."""
    return () if connection.childless is Childless.NEVER else (CHILDLESS_IKEV2_SUPPORTED,)


def is_announced(reply: Message) -> bool:
    """Whether the responder takes IKE SAs without a child."""
    return NotifyType.CHILDLESS_IKEV2_SUPPORTED in reply.said


def obstacle(connection: Connection, child: Child | None, taken: bool) -> str:
    """Why an initiator cannot go on to IKE_AUTH; empty if it can. `taken`: the peer announced itself."""
    if taken or (child is not None and connection.childless is not Childless.FORCE):
        return ""
    why = "the peer takes no IKE SA without a child (RFC 6023)"
    if child is None:
        return f"{why}: name a child to bring up, or set childless = allow there"
    return f"{why}, and childless = force wants one: set childless = prefer here, or allow there"


def is_separate(connection: Connection, taken: bool) -> bool:
    """Whether the first child comes by an exchange of its own, behind IKE_AUTH."""
    return taken and connection.childless in (Childless.PREFER, Childless.FORCE)


def check(connection: Connection, request: Message) -> None:
    """Whether a peer may have an IKE SA with or without a child, as its IKE_AUTH asks for. Raises PeerMisbehaved.

    INVALID_SYNTAX is what the extension knows for a responder that takes none (RFC 6023 §3).
    """
    if connection.childless not in (Childless.NEVER, Childless.FORCE):
        return
    wants_child = any(request.get(kind) is not None for kind in (SA, TSi, TSr))
    if not wants_child and connection.childless is Childless.NEVER:
        raise PeerMisbehaved("it asks for an IKE SA without a child, and childless = never takes none")
    if wants_child and connection.childless is Childless.FORCE:
        raise PeerMisbehaved("it asks for a child in IKE_AUTH, and childless = force wants it behind; set that there")
