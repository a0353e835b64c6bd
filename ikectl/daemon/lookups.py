"""Lookups: certificates that peers name by hash and URL, fetched once and kept for a while."""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from ikectl.daemon.answers import Later
from ikectl.daemon.fetch import Fetcher
from ikectl.errors import CredentialError
from ikectl.pki import bundle
from ikectl.pki.certificate import MAX_CERTIFICATE_OCTETS
from ikectl.pki.recent import Recent
from ikectl.sa.asks import FetchCertificates

MAX_KEPT = 256
"""Answers remembered by their digest: peers come back."""


class Lookups:
    """Answers `FetchCertificates`. No redirect is followed: the place was allowed, not what it points to."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._known: Recent[tuple[bytes, ...]] = Recent(MAX_KEPT)

    @property
    def later(self) -> Later:
        """What waits."""
        return {FetchCertificates: self.fetch}

    async def fetch(self, ask: FetchCertificates) -> tuple[bytes, ...]:
        about = ask.digest, ask.bundle
        known = self._known.get(about)
        if known is not None:
            return known
        most = bundle.MAX_BUNDLE_OCTETS if ask.bundle else MAX_CERTIFICATE_OCTETS
        octets = await self._fetcher.get(ask.uri, most, redirects=False)
        if not compare_digest(hashlib.sha1(octets, usedforsecurity=False).digest(), ask.digest):
            raise CredentialError(f"what is at {ask.uri} is not what the peer's hash is of")
        found = bundle.certificates(octets) if ask.bundle else (octets,)
        self._known.put(about, found)
        return found
