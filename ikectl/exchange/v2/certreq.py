"""CERTREQ: which certification authorities each end trusts (RFC 7296 §3.7)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import AuthKind, Connection
from ikectl.iana.v2 import CertEncoding, NotifyType
from ikectl.sa.asks import Authorities
from ikectl.sa.ike_sa import NOTHING_WANTED, Wanted
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import CERTREQ
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify


def wanted(message: Message, before: Wanted = NOTHING_WANTED) -> Wanted:
    """What its sender wants of our certificates, by this message and what it said `before` (RFC 7296 §3.6, §3.7)."""
    said = message.said
    if CERTREQ not in said and NotifyType.HTTP_CERT_LOOKUP_SUPPORTED not in said:
        return before
    requests = message.all(CERTREQ)
    named = [each.authorities for each in requests if each.encoding is CertEncoding.X509_SIGNATURE]
    return Wanted(
        before.encodings.union([each.encoding for each in requests]),
        before.authorities or tuple([authority for each in named for authority in each]),
        before.looks_up or NotifyType.HTTP_CERT_LOOKUP_SUPPORTED in said,
    )


def announced(connections: Sequence[Connection]) -> list[Payload]:
    """That we do: only where the configuration says from where."""
    if [connection for connection in connections if connection.wants_certificates and connection.cert_uris]:
        return [Notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED)]
    return []


async def request_certificates(connections: Sequence[Connection]) -> list[CERTREQ]:
    """CERTREQs: the CAs trusted for these connections (RFC 7296 §3.7), and OCSP responses where wanted (RFC 4806)."""
    asking = [connection for connection in connections if connection.wants_certificates]
    if not asking:
        return []
    remotes = [remote for connection in asking for remote in connection.remote if remote.auth.kind is AuthKind.PUBKEY]
    certified = tuple(remote for remote in remotes if not remote.pubkeys or remote.cacerts)
    trusted = await Authorities(certified) if certified else ()
    requests = [CERTREQ(CertEncoding.X509_SIGNATURE, trusted)] if trusted else []
    if trusted and any(connection.ocsp.requests for connection in asking):
        # No responder is named: any that the CA vouches for will do (RFC 4806 §3.1).
        requests.append(CERTREQ(CertEncoding.OCSP_CONTENT, ()))
    if any(remote.pubkeys for remote in remotes):
        requests.append(CERTREQ(CertEncoding.RAW_PUBLIC_KEY, ()))  # names no authority (RFC 7670 §3)
    return requests
