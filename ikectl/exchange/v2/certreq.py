"""CERTREQ: which certification authorities each end trusts (RFC 7296 §3.7)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import AuthKind, Connection
from ikectl.iana.v2 import CertEncoding
from ikectl.sa.asks import Authorities
from ikectl.wire.v2.identity import CERTREQ
from ikectl.wire.v2.message import Message


def authorities(message: Message) -> tuple[bytes, ...]:
    """All CA hashes of the X.509 CERTREQs in a message."""
    return tuple(
        [
            authority
            for request in message.all(CERTREQ)
            if request.encoding is CertEncoding.X509_SIGNATURE
            for authority in request.authorities
        ]
    )


async def request_certificates(connections: Sequence[Connection]) -> CERTREQ | None:
    """A CERTREQ naming the CAs trusted for these connections (RFC 7296 §3.7), None if none is wanted."""
    remotes = [
        remote
        for connection in connections
        if connection.send_certreq
        for remote in connection.remote
        if remote.auth.kind is AuthKind.PUBKEY
    ]
    if not remotes:
        return None
    trusted = await Authorities(tuple(remotes))
    return CERTREQ(CertEncoding.X509_SIGNATURE, trusted) if trusted else None
