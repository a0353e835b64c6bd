"""One-time passwords of RFC 2289, the user's end: a pass-phrase answers a challenge."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor
from types import MappingProxyType

from ikectl.errors import CredentialError
from ikectl.values.secret import Secret

MAX_SEQUENCE = 9999
"""Hashings at most. Sequences begin at a few hundred; each hashing is one the gateway makes us do."""

_CHALLENGE = re.compile(
    r"\s*otp-(?P<hash>[a-z0-9]+)\s+(?P<sequence>[0-9]{1,9})\s+(?P<seed>[A-Za-z0-9]{1,16})(?=[\s,]|$)"
)
"""RFC 2289 §6: `otp-<algorithm> <sequence> <seed>`; what follows does not matter (RFC 2243)."""


def one_time_password(challenge: str, passphrase: bytes) -> Secret:
    """The password for `challenge`, in hexadecimal digits, which every server takes (§6).

    Raises CredentialError for a challenge that is none, or of an unknown hash.
    """
    found = _CHALLENGE.match(challenge)
    if found is None:
        raise CredentialError("the gateway's one-time password challenge is not of the form `otp-md5 499 seed`")
    fold = _FOLDS.get(found["hash"])
    if fold is None:
        raise CredentialError(f"one-time passwords by {found['hash'][:20]} are unknown here; use {' or '.join(_FOLDS)}")
    sequence = int(found["sequence"])
    if sequence > MAX_SEQUENCE:
        raise CredentialError(f"a one-time password number {sequence}; {MAX_SEQUENCE} is the highest that is computed")
    value = fold(found["seed"].lower().encode() + passphrase)  # §6: the seed in lower case, then the pass-phrase
    for _ in range(sequence):
        value = fold(value)
    return Secret(value.hex().encode())


def _xor(*parts: bytes) -> bytes:
    return reduce(xor, (int.from_bytes(part) for part in parts)).to_bytes(8)


def _md5(octets: bytes) -> bytes:
    digest = hashlib.md5(octets, usedforsecurity=False).digest()
    return _xor(digest[:8], digest[8:])


def _sha1(octets: bytes) -> bytes:
    """Words are folded, then written with their least significant octet first (RFC 2289 App. A)."""
    digest = hashlib.sha1(octets, usedforsecurity=False).digest()
    folded = _xor(digest[:8], digest[8:16], digest[16:] + bytes(4))
    return folded[3::-1] + folded[:3:-1]


_FOLDS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType({"md5": _md5, "sha1": _sha1})
"""MD4, the third of RFC 2289, is no longer to be had."""
