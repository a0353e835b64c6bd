"""The few layouts that several payloads share, compiled once.

Everything on the wire is in network byte order. Fields the RFC calls RESERVED
are `x` in a layout: written as zero, ignored when read (RFC 7296 §2.5).
"""

from __future__ import annotations

from struct import Struct

GENERIC = Struct("!BBH")
"""Generic payload header (§3.2): next payload, critical and reserved bits, length, these octets counted."""

GENERIC_OCTETS = GENERIC.size

CRITICAL = 0x80
"""The critical bit in the second octet of the generic payload header."""

U16 = Struct("!H")
U32 = Struct("!I")
