"""Reads tests/vectors/strongswan-5.9.8-psk.txt; the file says where its messages come from."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ikectl.errors import IntegrityFailure

_PATH = Path(__file__).parent.parent / "vectors" / "strongswan-5.9.8-psk.txt"


class Gcm:
    """AES-GCM with a 16-octet ICV as RFC 5282 uses it; the last four octets of the key are the salt."""

    iv_octets = 8
    icv_octets = 16
    block_octets = 1

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key[:-4])
        self._salt = key[-4:]

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        return self._aead.encrypt(self._salt + iv, plain, associated)

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        try:
            return self._aead.decrypt(self._salt + iv, sealed, associated)
        except InvalidTag:
            raise IntegrityFailure from None


def _read() -> tuple[dict[tuple[str, str], bytes], list[bytes]]:
    keys: dict[tuple[str, str], bytes] = {}
    messages: list[bytes] = []
    blocks = _PATH.read_text().split("\n\n")
    for block in blocks:
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        octets = bytes.fromhex("".join(lines[1:]))
        match lines[0].split("#")[0].split():
            case ["key", spi_i, name]:
                keys[spi_i, name] = octets
            case ["message", _]:
                messages.append(octets)
    return keys, messages


KEYS, MESSAGES = _read()


def cipher(datagram: bytes) -> Gcm:
    """The cipher under which a captured message was sealed."""
    from_initiator = datagram[19] & 0x08
    return Gcm(KEYS[datagram[:8].hex(), "SK_ei" if from_initiator else "SK_er"])
