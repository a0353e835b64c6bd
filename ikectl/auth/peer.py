"""What follows a good chain: that none of its certificates was revoked."""

from __future__ import annotations

from ikectl.config.model import Remote
from ikectl.errors import BackendError, CredentialError
from ikectl.pki.chain import Peer
from ikectl.sa.asks import CheckRevocation


async def demand_unrevoked(peer: Peer, remote: Remote) -> None:
    """Ask for what is still open about a peer that proved to have the key. Raises CredentialError."""
    if not peer.open:
        return
    try:
        await CheckRevocation(peer.path, remote)
    except BackendError as failure:
        # Nobody is let in because the question was lost; and the peer is told, as of any other refusal.
        raise CredentialError(f"it could not be found out whether the peer's certificate was revoked: {failure}") from (
            failure
        )


__all__ = ["demand_unrevoked"]
