"""MD4 (RFC 1320), for NT hashes and nothing else: OpenSSL has given it up, and MS-CHAPv2 is made of it.

It is broken as a hash. What MS-CHAPv2 is worth does not rest on that, but on
the password, and on the IKE SA or TLS tunnel that it runs in.
"""

from __future__ import annotations

from struct import Struct

_BLOCK = Struct("<16I")
_DIGEST = Struct("<4I")
_MASK = 0xFFFFFFFF
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_ROUNDS = (
    # order of the words (of four, for each of four steps), constant, rotations     §3.4, rounds 1 to 3
    (tuple(range(16)), 0, (3, 7, 11, 19)),
    (tuple(4 * (i % 4) + i // 4 for i in range(16)), 0x5A827999, (3, 5, 9, 13)),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), 0x6ED9EBA1, (3, 9, 11, 15)),
)


def md4(octets: bytes) -> bytes:
    """The 16 octets of the digest."""
    padded = octets + b"\x80" + bytes((55 - len(octets)) % 64) + (8 * len(octets)).to_bytes(8, "little")
    state = _START
    for block in _BLOCK.iter_unpack(padded):
        mixed = _mix(state, block)
        state = tuple((old + new) & _MASK for old, new in zip(state, mixed, strict=True))  # type: ignore[assignment]
    return _DIGEST.pack(*state)


def _mix(state: tuple[int, int, int, int], block: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = state
    for number, (order, constant, rotations) in enumerate(_ROUNDS):
        for step, word in enumerate(order):
            if number == 0:
                chosen = (b & c) | (~b & d)
            elif number == 1:
                chosen = (b & c) | (b & d) | (c & d)
            else:
                chosen = b ^ c ^ d
            total = (a + chosen + block[word] + constant) & _MASK
            turn = rotations[step % 4]
            a, b, c, d = d, ((total << turn) | (total >> (32 - turn))) & _MASK, b, c
    return a, b, c, d
