"""SUPPORTED_AUTH_METHODS: by which methods an end takes its peer's proof (RFC 9593 §3.2)."""

from __future__ import annotations

from collections.abc import Iterable

from ikectl.errors import WireError
from ikectl.iana.v2 import AuthMethod, NotifyType, auth_method
from ikectl.wire.v2.notify import Notify

ProofMethod = tuple[AuthMethod, bytes]
"""A method of AUTH, and for digital signatures the DER AlgorithmIdentifier of RFC 7427 §3."""

WITHOUT_KEYS = frozenset({AuthMethod.SHARED_KEY_MIC, AuthMethod.NULL})
"""Methods that no certificate belongs to: their announcements have two octets (§3.2.1)."""
ANY_AUTHORITY = 0
"""Cert Link of a method that goes with certificates of any authority that CERTREQ names (§3.2.2)."""
MAX_METHODS = 64
"""Announcements that are looked at: more than twice what there is."""


def auth_methods_notify(methods: Iterable[ProofMethod]) -> Notify:
    """For these methods, the most wanted first."""
    announcements = []
    for method, identifier in methods:
        rest = b"" if method in WITHOUT_KEYS else bytes((ANY_AUTHORITY,)) + identifier
        announcements.append(bytes((2 + len(rest), method)) + rest)
    return Notify(NotifyType.SUPPORTED_AUTH_METHODS, b"".join(announcements))


def auth_methods(notify: Notify) -> frozenset[ProofMethod]:
    """What a peer takes, whatever authorities it links methods to. Raises WireError for octets that are no list."""
    found: set[ProofMethod] = set()
    rest = notify.data
    for _ in range(MAX_METHODS):
        if not rest:
            break
        octets = rest[0]
        if not 2 <= octets <= len(rest):
            raise WireError(f"an announcement of an authentication method has an impossible length of {octets} octets")
        found.add((auth_method(rest[1]), rest[3:octets]))
        rest = rest[octets:]
    return frozenset(found)
