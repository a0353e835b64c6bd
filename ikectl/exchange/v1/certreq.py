"""CERTREQ: which certification authorities each end trusts (RFC 2408 §3.10, RFC 4945 §3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import AuthKind, Connection, Remote
from ikectl.iana.v1 import CertEncoding
from ikectl.sa.asks import AuthorityNames
from ikectl.sa.isakmp_sa import Phase1
from ikectl.wire.v1.identity import CERTREQ
from ikectl.wire.v1.message import Message

MAX_REQUESTS = 20
"""CERTREQs we send, of about 100 octets each. Beyond that one for any CA takes their place (RFC 4945 §3.2.7.2)."""

_CERTIFICATES = (CertEncoding.X509_SIGNATURE, CertEncoding.PKCS7_X509)
"""What a request for certificates may be of; the second is taken for the first (RFC 4945 §3.2.4)."""


def authorities(message: Message) -> tuple[bytes, ...]:
    """DER names of the CAs that the CERTREQs of a message want; empty if any will do, or nothing is said."""
    wanted = [each.authority for each in message.all(CERTREQ) if each.encoding in _CERTIFICATES]
    return tuple(dict.fromkeys(wanted)) if all(wanted) else ()


def hear_requests(shake: Phase1, message: Message) -> None:
    """Note what certificate the peer wants. CERTREQs may be in any message; the last ones count (RFC 2408 §3.10)."""
    if message.all(CERTREQ):
        shake.asked, shake.authorities = True, authorities(message)


async def request_certificates(connections: Sequence[Connection]) -> list[CERTREQ]:
    """A CERTREQ for each CA trusted for these connections; none where no certificate is wanted, or no CA trusted."""
    remotes = tuple(
        connection.remote[0]
        for connection in connections
        if connection.send_certreq and connection.remote[0].auth.kind is AuthKind.PUBKEY
    )
    if not remotes:
        return []
    names = await AuthorityNames(_distinct(remotes))
    if len(names) > MAX_REQUESTS:
        names = (b"",)
    return [CERTREQ(CertEncoding.X509_SIGNATURE, name) for name in names]


def _distinct(remotes: Sequence[Remote]) -> tuple[Remote, ...]:
    """One of those that pin the same CAs: there may be thousands, and only that counts here."""
    return tuple({remote.cacerts: remote for remote in remotes}.values())


__all__ = ["authorities", "hear_requests", "request_certificates"]
