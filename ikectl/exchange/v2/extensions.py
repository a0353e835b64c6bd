"""Extensions: what both ends announce in IKE_SA_INIT that they know, one row for each.

A row is a notify without content that each end sends which knows the
extension; it is in use once both did. An initiator announces what its
connection allows; a responder echoes what it heard and allows as well. What
the extension then does is the business of whoever looks at `IkeSa.extensions`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ikectl.config.model import Connection, Fragmentation
from ikectl.iana.v2 import NotifyType
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import IKEV2_FRAGMENTATION_SUPPORTED, Notify

# fmt: off
ROWS: tuple[tuple[Notify, Callable[[Connection], bool]], ...] = (
    # RFC 7383 §2.3
    (IKEV2_FRAGMENTATION_SUPPORTED, lambda connection: connection.fragmentation is not Fragmentation.NO),
)
# fmt: on


def announced(connection: Connection) -> list[Notify]:
    """What the initiator says."""
    return [notify for notify, allows in ROWS if allows(connection)]


def agreed(connection: Connection, heard: Message, *also: NotifyType) -> frozenset[NotifyType]:
    """What is in use: the peer's message says it, and the connection allows it; `also` by rules of their own."""
    said = heard.said
    kinds = [notify.type for notify, allows in ROWS if notify.type in said and allows(connection)]
    return _shared((*kinds, *also))


def echoed(agreed_on: frozenset[NotifyType]) -> list[Notify]:
    """What the responder says."""
    return [notify for notify, _ in ROWS if notify.type in agreed_on]


@lru_cache(256)
def _shared(kinds: tuple[NotifyType, ...]) -> frozenset[NotifyType]:
    """One set for all SAs that agreed on the same."""
    return frozenset(kinds)
