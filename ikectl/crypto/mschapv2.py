"""The sums of MS-CHAPv2 (RFC 2759 §8) and of the keys that come of it (RFC 3079 §3.4).

`user` is octets without a domain: what stands before a backslash counts
nowhere in them (RFC 2759 §4).
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from ikectl.crypto.md4 import md4
from ikectl.values.secret import Secret

HASH_OCTETS = 16
"""Of an NT hash."""
CHALLENGE_OCTETS = 16
RESPONSE_OCTETS = 24
MAX_PASSWORD = 256
"""Characters of a password (RFC 2759 §8.1: 0 to 256 Unicode characters)."""

_SIGNING = b"Magic server to client signing constant"
_ITERATION = b"Pad to make it do more than one iteration"
_MASTER = b"This is the MPPE Master Key"
_CLIENT_SENDS = b"On the client side, this is the send key; on the server side, it is the receive key."
_CLIENT_RECEIVES = b"On the client side, this is the receive key; on the server side, it is the send key."


def nt_hash(password: bytes) -> Secret:
    """NtPasswordHash (§8.3): MD4 of the password in UTF-16, little-endian. `password` is UTF-8; if not, Latin-1."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        text = password.decode("latin-1")
    return Secret(md4(text.encode("utf-16-le")))


def bare_user(name: bytes) -> bytes:
    """The name without its domain."""
    return name.rpartition(b"\\")[2]


def nt_response(challenge: bytes, peer_challenge: bytes, user: bytes, hashed: bytes) -> bytes:
    """GenerateNTResponse (§8.1), 24 octets, of the NT hash of the password."""
    key, short = hashed.ljust(21, b"\0"), _challenge_hash(peer_challenge, challenge, user)
    return b"".join(_des(key[at : at + 7], short) for at in (0, 7, 14))


def authenticator_response(
    challenge: bytes, peer_challenge: bytes, user: bytes, hashed: bytes, response: bytes
) -> bytes:
    """GenerateAuthenticatorResponse (§8.7), 20 octets, which go as `S=` and hex."""
    digest = _sha1(md4(hashed) + response + _SIGNING)
    return _sha1(digest + _challenge_hash(peer_challenge, challenge, user) + _ITERATION)


def session_key(hashed: bytes, response: bytes) -> Secret:
    """The MSK, 64 octets: MasterReceiveKey and MasterSendKey of the server (RFC 3079 §3.4), then zeros."""
    master = _sha1(md4(hashed) + response + _MASTER)[:16]
    halves = (_sha1(master + bytes(40) + magic + b"\xf2" * 40)[:16] for magic in (_CLIENT_SENDS, _CLIENT_RECEIVES))
    return Secret(b"".join(halves) + bytes(32))


def _challenge_hash(peer_challenge: bytes, challenge: bytes, user: bytes) -> bytes:
    """§8.2."""
    return _sha1(peer_challenge + challenge + user)[:8]


def _des(key: bytes, block: bytes) -> bytes:
    """One block under 56 bits of key, which take a bit of parity after each seven (§8.6); nobody looks at parity."""
    bits = int.from_bytes(key, "big")
    spread = bytes(((bits >> (49 - 7 * at)) & 0x7F) << 1 for at in range(8))
    encryptor = Cipher(TripleDES(spread * 3), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def _sha1(octets: bytes) -> bytes:
    return hashlib.sha1(octets, usedforsecurity=False).digest()
