"""CertificateBundle (RFC 7296 §3.6): certificates and CRLs in one file, as hash and URL may name it."""

from __future__ import annotations

from collections.abc import Iterator

from ikectl.errors import CredentialError

MAX_BUNDLE_OCTETS = 128 * 1024
MAX_MEMBERS = 32
_SEQUENCE, _CERTIFICATE = 0x30, 0xA0  # [0] and [1], EXPLICIT


def certificates(octets: bytes) -> tuple[bytes, ...]:
    """DER of the certificates of a bundle in their order; CRLs in it are left out. Raises CredentialError."""
    if len(octets) > MAX_BUNDLE_OCTETS:
        raise CredentialError(f"a bundle of {len(octets)} octets is larger than we read")
    outer = list(_members(octets))
    if len(outer) != 1 or outer[0][0] != _SEQUENCE:
        raise CredentialError("it is no bundle of certificates")
    return tuple(member for tag, member in _members(outer[0][1]) if tag == _CERTIFICATE)


def _members(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of the values that lie side by side, in DER."""
    at = 0
    for _ in range(MAX_MEMBERS):
        if at == len(octets):
            return
        head = octets[at : at + 2]
        if len(head) < 2:
            break
        length, at = head[1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(octets[at : at + size], "big"), at + size
        if at + length > len(octets):
            break
        yield head[0], octets[at : at + length]
        at += length
    raise CredentialError("the bundle is damaged, or has too many members")
