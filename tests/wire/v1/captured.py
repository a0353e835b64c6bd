"""Reads tests/vectors/strongswan-5.9.8-v1.txt, and opens what is in it; the file says where it comes from.

The keys of the ISAKMP SAs are given; the IVs follow from the messages, and are
worked out here anew (RFC 2409 App. B), beside the project's own way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ikectl.iana.v1 import ExchangeType
from ikectl.sa.fragments import Fragments
from ikectl.wire.header import HEADER_OCTETS, Header
from ikectl.wire.v1 import KE, Fragment, Message

_PATH = Path(__file__).parent.parent.parent / "vectors" / "strongswan-5.9.8-v1.txt"

BLOCK = 16
PHASE_1 = (ExchangeType.IDENTITY_PROTECTION, ExchangeType.AGGRESSIVE)


@dataclass(slots=True)
class Story:
    """One ISAKMP SA: its datagrams with their senders, and its keys."""

    hash: str
    keys: dict[str, bytes] = field(default_factory=dict)
    datagrams: list[tuple[str, bytes]] = field(default_factory=list)

    def digest(self, *octets: bytes) -> bytes:
        return hashlib.new(self.hash, b"".join(octets)).digest()

    def whole(self) -> list[bytes]:
        """The messages, fragments put together and repetitions left out."""
        waiting = {sender: Fragments() for sender, _ in self.datagrams}
        found: list[bytes] = []
        for sender, datagram in self.datagrams:
            if datagram[16] == Fragment.TYPE:
                piece = waiting[sender].add(Message.read(datagram).one(Fragment))
                if piece is None:
                    continue
                datagram = piece
            if datagram not in found:
                found.append(datagram)
        return found

    def opened(self) -> list[tuple[bytes, Message, bytes]]:
        """Datagram, message and IV (empty for one in clear), in order."""
        found: list[tuple[bytes, Message, bytes]] = []
        public: list[bytes] = []
        ivs: dict[int, bytes] = {}
        phase_1 = b""
        for datagram in self.whole():
            header = Header.read(datagram)
            if not header.flags & 1:
                message = Message.read(datagram, header)
                public += [each.public for each in message.all(KE)]
                found.append((datagram, message, b""))
                continue
            number = header.message_id
            if not phase_1:
                phase_1 = self.digest(*public)[:BLOCK]
            if number:
                iv = ivs.get(number) or self.digest(phase_1, number.to_bytes(4, "big"))[:BLOCK]
            else:
                iv = phase_1
            found.append((datagram, Message.open(header, self.decrypt(iv, datagram[HEADER_OCTETS:])), iv))
            if number:
                ivs[number] = datagram[-BLOCK:]
            else:
                phase_1 = datagram[-BLOCK:]
        return found

    def decrypt(self, iv: bytes, octets: bytes) -> bytes:
        decryptor = Cipher(AES(self.keys["cipher"]), CBC(iv)).decryptor()
        return decryptor.update(octets) + decryptor.finalize()


def _read() -> dict[str, Story]:
    stories: dict[str, Story] = {}
    story = Story("")
    for block in _PATH.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        octets = bytes.fromhex("".join(lines[1:]))
        match lines[0].split():
            case ["story", name, hash_name]:
                story = stories[name] = Story(hash_name)
            case ["key", kind]:
                story.keys[kind] = octets
            case ["message", sender]:
                story.datagrams.append((sender, octets))
    return stories


STORIES = _read()
