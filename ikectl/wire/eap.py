"""EAP packets (RFC 3748 §4), which IKEv2's EAP payload and the tunnels of TTLS and PEAP carry."""

from __future__ import annotations

from dataclasses import field
from struct import Struct
from typing import ClassVar, Self

from ikectl.errors import WireError
from ikectl.iana.eap import EapCode, EapType, eap_code, eap_type
from ikectl.values.record import record

MAX_PACKET = 16 * 1024
"""Octets of a packet we read. Packets fit the link's MTU, for EAP cannot fragment them (RFC 3748 §3.1), and the methods
that say more do so in parts; some peers' parts are as long as a record of TLS."""


@record
class EapMessage:
    """One EAP packet. Success and failure have no type.

    `data` may hold a password and is not printed.
    """

    LAYOUT: ClassVar = Struct("!BBH")  # code, identifier, length of all

    code: EapCode
    identifier: int
    type: EapType | None = None
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Raises WireError. What follows the packet is padding and ignored (§4)."""
        if len(octets) > MAX_PACKET:
            raise WireError(f"an EAP packet of {len(octets)} octets; {MAX_PACKET} are the most")
        if len(octets) < cls.LAYOUT.size:
            raise WireError(f"an EAP packet of {len(octets)} octets is none")
        number, identifier, length = cls.LAYOUT.unpack_from(octets)
        if not cls.LAYOUT.size <= length <= len(octets):
            raise WireError(f"an EAP packet says {length} octets and has {len(octets)}")
        code = eap_code(number)
        if code in (EapCode.SUCCESS, EapCode.FAILURE):
            if length != cls.LAYOUT.size:
                raise WireError(f"an EAP {code} of {length} octets")
            return cls(code, identifier)
        if code not in (EapCode.REQUEST, EapCode.RESPONSE):
            raise WireError(f"an EAP packet of code {code}")
        if length == cls.LAYOUT.size:
            raise WireError(f"an EAP {code} without a type")
        return cls(code, identifier, eap_type(octets[4]), octets[5:length])

    def write(self) -> bytes:
        body = b"" if self.type is None else bytes((self.type,)) + self.data
        return self.LAYOUT.pack(self.code, self.identifier, self.LAYOUT.size + len(body)) + body
