"""Attributes inside the tunnel of EAP-TTLS: those of Diameter (RFC 5281 §10)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from ikectl.errors import AuthenticationFailed

_HEADER = Struct("!II")
"""Code; flags and length of the whole without padding (§10.1)."""
_VENDOR, _MANDATORY = 0x80000000, 0x40000000
MAX_AVPS = 32
"""In one message: two or three in practice."""

MICROSOFT = 311
USER_NAME, USER_PASSWORD, EAP_MESSAGE = (0, 1), (0, 2), (0, 79)
MS_CHAP_ERROR, MS_CHAP_CHALLENGE = (MICROSOFT, 2), (MICROSOFT, 11)
MS_CHAP2_RESPONSE, MS_CHAP2_SUCCESS = (MICROSOFT, 25), (MICROSOFT, 26)
KNOWN = frozenset(
    (USER_NAME, USER_PASSWORD, EAP_MESSAGE, MS_CHAP_ERROR, MS_CHAP_CHALLENGE, MS_CHAP2_RESPONSE, MS_CHAP2_SUCCESS)
)


class Avp(NamedTuple):
    """`kind` is (vendor, code)."""

    kind: tuple[int, int]
    data: bytes

    def write(self) -> bytes:
        vendor, code = self.kind
        head = 12 if vendor else 8
        flags = (_VENDOR if vendor else 0) | _MANDATORY
        extra = vendor.to_bytes(4, "big") if vendor else b""
        return _HEADER.pack(code, flags | (head + len(self.data))) + extra + self.data + bytes(-len(self.data) % 4)


def write_avps(avps: Sequence[Avp]) -> bytes:
    return b"".join(avp.write() for avp in avps)


def read_avps(octets: bytes) -> dict[tuple[int, int], bytes]:
    """The data of each kind; parts of one kind are put together, as a long EAP-Message has them (§11.2.1).

    Raises AuthenticationFailed, also for one that must be understood and is not.
    """
    found: dict[tuple[int, int], bytes] = {}
    at = count = 0
    while at < len(octets):
        count += 1
        if count > MAX_AVPS or len(octets) - at < _HEADER.size:
            raise AuthenticationFailed("malformed attributes inside EAP-TTLS")
        code, rest = _HEADER.unpack_from(octets, at)
        length, head = rest & 0xFFFFFF, 12 if rest & _VENDOR else 8
        if not head <= length <= len(octets) - at:
            raise AuthenticationFailed("an attribute inside EAP-TTLS says another length than it has")
        vendor = int.from_bytes(octets[at + 8 : at + 12], "big") if head == 12 else 0
        kind = vendor, code
        if kind in KNOWN:
            found[kind] = found.get(kind, b"") + octets[at + head : at + length]
        elif rest & _MANDATORY:
            raise AuthenticationFailed(f"the attribute {code} of vendor {vendor} inside EAP-TTLS is not known here")
        at += length + -length % 4
    return found
