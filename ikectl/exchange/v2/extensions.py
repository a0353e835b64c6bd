"""Extensions: what both ends announce in IKE_SA_INIT that they know, one row for each.

A row is a notify without content that each end sends which knows the
extension; it is in use once both did. An initiator announces what its
connection allows; a responder echoes what it heard and allows as well. What
the extension then does is the business of whoever looks at `IkeSa.extensions`.
"""

from __future__ import annotations

from functools import lru_cache

from ikectl.config.model import EXTRAS, Connection
from ikectl.iana.v2 import NotifyType
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import IKEV2_FRAGMENTATION_SUPPORTED, Notify

# fmt: off
ROWS: tuple[tuple[Notify, str], ...] = (
    # the notify, and which of `config.model.EXTRAS` allows it
    (IKEV2_FRAGMENTATION_SUPPORTED, "takes_fragments"),  # RFC 7383 §2.3
)
# fmt: on


@lru_cache(1 << len(EXTRAS))
def announced(extras: frozenset[str]) -> tuple[Notify, ...]:
    """What the initiator says whose connection has these `extras`."""
    return tuple([notify for notify, option in ROWS if option in extras])


@lru_cache(1 << len(EXTRAS))
def _allowed(extras: frozenset[str]) -> frozenset[NotifyType]:
    return frozenset([notify.type for notify in announced(extras)])


def agreed(connection: Connection, heard: Message, *also: NotifyType) -> frozenset[NotifyType]:
    """What is in use: the peer's message says it, and the connection allows it; `also` by rules of their own."""
    return _shared(_allowed(connection.extras).intersection(heard.said).union(also))


@lru_cache(256)
def echoed(agreed_on: frozenset[NotifyType]) -> tuple[Notify, ...]:
    """What the responder says."""
    return tuple([notify for notify, _ in ROWS if notify.type in agreed_on])


@lru_cache(256)
def _shared(kinds: frozenset[NotifyType]) -> frozenset[NotifyType]:
    """One set for all SAs that agreed on the same."""
    return kinds
