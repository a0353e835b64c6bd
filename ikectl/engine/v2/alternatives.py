"""Alternatives: other answers to our IKE_SA_INIT, until IKE_AUTH proves one (RFC 7296 §2.4, §2.21.1).

Nothing of IKE_SA_INIT is authenticated. Who sees our request and answers
faster than the peer, but cannot keep the peer's answer from us, must not do
more than delay us: so further answers are kept, and tried one after the other
when the one before proved nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.exchange.v2.base import first_error
from ikectl.exchange.v2.ike_sa_init import IkeSaInit
from ikectl.iana.v2 import NotifyType
from ikectl.values.path import Path
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.sa import SA

LIMIT = 3
"""Answers kept beside the one in use."""


@dataclass(slots=True, eq=False)
class Alternatives:
    """What it takes to begin again behind IKE_SA_INIT."""

    exchange: IkeSaInit
    request: bytes
    """Our IKE_SA_INIT request, as it was answered."""
    path: Path
    """Where it went."""
    kept: tuple[bytes, ...] = ()

    def keep(self, response: bytes, used: bytes) -> None:
        """Keep another response, if it may be one that leads on; `used` is the one in use."""
        if len(self.kept) < LIMIT and response != used and response not in self.kept and leads_on(response):
            self.kept += (response,)

    def next(self) -> bytes:
        """The response to try next, which is kept no longer."""
        response, self.kept = self.kept[0], self.kept[1:]
        return response


def leads_on(response: bytes) -> bool:
    """Whether a response has the form of one that chooses; cookies and refusals lead nowhere any more."""
    try:
        message = Message.read(response)
        return (
            message.spi_r != bytes(8)
            and message.critical_unknown is None
            and first_error(message) is None
            and message.notify(NotifyType.COOKIE) is None
            and all(message.get(kind) is not None for kind in (SA, KE, Nonce))
        )
    except (WireError, PeerMisbehaved):
        return False
