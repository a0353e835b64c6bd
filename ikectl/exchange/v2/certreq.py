"""CERTREQ: which certification authorities each end trusts (RFC 7296 §3.7)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import AuthKind, Connection
from ikectl.iana.v2 import CertEncoding, NotifyType
from ikectl.sa.asks import Authorities
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import CERTREQ
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify


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


def encodings(message: Message) -> frozenset[CertEncoding]:
    """What the CERTREQs in a message ask for."""
    return frozenset(request.encoding for request in message.all(CERTREQ))


def looks_up(message: Message) -> bool:
    """Whether its sender fetches certificates by hash and URL (RFC 7296 §3.6)."""
    return message.notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED) is not None


def announced(connections: Sequence[Connection]) -> list[Payload]:
    """That we do: only where the configuration says from where."""
    wanted = any(connection.cert_uris and connection.send_certreq for connection in connections)
    return [Notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED)] if wanted else []


async def request_certificates(connections: Sequence[Connection]) -> list[CERTREQ]:
    """CERTREQs: the CAs trusted for these connections (RFC 7296 §3.7), and OCSP responses where wanted (RFC 4806)."""
    asking = [connection for connection in connections if connection.send_certreq]
    remotes = [remote for connection in asking for remote in connection.remote if remote.auth.kind is AuthKind.PUBKEY]
    if not remotes:
        return []
    certified = tuple(remote for remote in remotes if not remote.pubkeys or remote.cacerts)
    trusted = await Authorities(certified) if certified else ()
    requests = [CERTREQ(CertEncoding.X509_SIGNATURE, trusted)] if trusted else []
    if trusted and any(connection.ocsp.requests for connection in asking):
        # No responder is named: any that the CA vouches for will do (RFC 4806 §3.1).
        requests.append(CERTREQ(CertEncoding.OCSP_CONTENT, ()))
    if any(remote.pubkeys for remote in remotes):
        requests.append(CERTREQ(CertEncoding.RAW_PUBLIC_KEY, ()))  # names no authority (RFC 7670 §3)
    return requests
