"""Certificates named by hash and URL (RFC 7296 §3.6): ours for peers that fetch, and theirs where we do.

What is fetched is named by somebody who has proven nothing yet. So it is
fetched only from places that the configuration names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ikectl.errors import AuthenticationFailed, BackendError
from ikectl.iana.v2 import CertEncoding
from ikectl.pki.chain import MAX_PEER_CERTIFICATES
from ikectl.sa.asks import FetchCertificates
from ikectl.wire.v2.identity import CERT

SHA1_OCTETS = 20
MAX_LOOKUPS = 4
"""Fetches for one peer: a leaf and its CAs, or one bundle."""
_REST = re.compile(r"[A-Za-z0-9/_~-]+(\.[A-Za-z0-9/_~-]+)*", re.ASCII)
"""What may follow the configured beginning: a path that does not climb, and nothing else."""
_BY_URI = (CertEncoding.HASH_AND_URL_X509, CertEncoding.HASH_AND_URL_BUNDLE)


def by_uri(der: bytes, uri: str) -> CERT:
    """A certificate of ours, as hash and URL."""
    digest = hashlib.sha1(der, usedforsecurity=False).digest()
    return CERT(CertEncoding.HASH_AND_URL_X509, digest + uri.encode())


async def certificates_of(certs: Sequence[CERT], allowed: Sequence[str]) -> tuple[bytes, ...]:
    """The X.509 certificates (DER) of CERT payloads in their order; what they name by URI is fetched.

    A URI that `allowed` does not cover is passed over, as long as something else is there.

    Raises AuthenticationFailed if nothing is, and where what is allowed does not come.
    """
    found: list[bytes] = []
    lookups, passed_over = 0, ""
    for cert in certs[: 2 * MAX_PEER_CERTIFICATES]:
        if cert.encoding is CertEncoding.X509_SIGNATURE:
            found.append(cert.data)
        elif cert.encoding in _BY_URI:
            uri = cert.data[SHA1_OCTETS:].decode("ascii", "replace")
            if not any(uri.startswith(base) and _REST.fullmatch(uri, len(base)) for base in allowed):
                passed_over = uri[:200] if uri.isprintable() else "junk"
                continue
            lookups += 1
            if lookups > MAX_LOOKUPS:
                raise AuthenticationFailed(f"the peer names more than {MAX_LOOKUPS} certificates by URL")
            found += await _fetched(uri, cert)
    if not found and any(cert.encoding in _BY_URI for cert in certs):
        raise AuthenticationFailed(
            f"the peer names its certificate by URL ({passed_over}), and cert_uris of this connection does not allow "
            "to fetch that"
        )
    return tuple(found)


async def _fetched(uri: str, cert: CERT) -> tuple[bytes, ...]:
    try:
        return await FetchCertificates(uri, cert.data[:SHA1_OCTETS], cert.encoding is CertEncoding.HASH_AND_URL_BUNDLE)
    except BackendError as failure:
        raise AuthenticationFailed(f"the peer's certificate at {uri} was not fetched: {failure}") from failure


__all__ = ["by_uri", "certificates_of"]
