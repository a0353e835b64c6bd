"""Ciphers of the encrypted payload, bound to the keys of one direction (RFC 7296 §3.14, RFC 5282).

A bound cipher holds keys and nothing of the library: objects of OpenSSL are
built when a message comes and dropped after it, since thousands of SAs sit
idle for hours. Its IV, ICV and block lengths are those of its transform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from ikectl.crypto.integrity import Mac, verify
from ikectl.errors import IntegrityFailure


class SkCipher(Protocol):
    """Seals and opens one direction.

    `associated` reaches from the IKE header to the generic header of the SK
    payload. Padding is the caller's: `seal` wants whole blocks.
    """

    iv_octets: int
    icv_octets: int
    block_octets: int
    counter_iv: bool
    """IVs need only never repeat under these keys, so a counter serves; otherwise they must be random."""

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        """Ciphertext and ICV."""

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        """The plain text. Raises IntegrityFailure."""


class AeadAlgorithm(Protocol):
    """An AEAD as its RFC defines it: the nonce is complete, the ICV of its full length for the transform."""

    def seal(self, key: bytes, nonce: bytes, plain: bytes, associated: bytes, /) -> bytes:
        """Ciphertext and ICV."""

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes, /) -> bytes:
        """The plain text. Raises InvalidTag; `sealed` is at least as long as the ICV."""


class Gcm:
    """AES-GCM with the full ICV of 16 octets (RFC 4106, RFC 5282)."""

    def seal(self, key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        return AESGCM(key).encrypt(nonce, plain, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        return AESGCM(key).decrypt(nonce, sealed, associated)


class ShortGcm:
    """AES-GCM with its ICV cut to 8 or 12 octets (RFC 4106 §6)."""

    def __init__(self, icv_octets: int) -> None:
        self._icv = icv_octets

    def seal(self, key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        return AESGCM(key).encrypt(nonce, plain, associated)[: len(plain) + self._icv]

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        mode = modes.GCM(nonce, sealed[-self._icv :], min_tag_length=self._icv)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        decryptor.authenticate_additional_data(associated)
        plain = decryptor.update(sealed[: -self._icv])
        decryptor.finalize()
        return plain


class Ccm:
    """AES-CCM with an ICV of 8, 12 or 16 octets and a nonce of 11 (RFC 4309, RFC 5282)."""

    def __init__(self, icv_octets: int) -> None:
        self._icv = icv_octets

    def seal(self, key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        return AESCCM(key, tag_length=self._icv).encrypt(nonce, plain, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        return AESCCM(key, tag_length=self._icv).decrypt(nonce, sealed, associated)


class ChaChaPoly:
    """ChaCha20 and Poly1305 (RFC 7634)."""

    def seal(self, key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        return ChaCha20Poly1305(key).encrypt(nonce, plain, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)


class BlockAlgorithm(Protocol):
    """A cipher without integrity. `key` includes the salt, if the mode has one, at its end."""

    def encrypt(self, key: bytes, iv: bytes, plain: bytes, /) -> bytes:
        """Of the same length."""

    def decrypt(self, key: bytes, iv: bytes, ciphertext: bytes, /) -> bytes:
        """Of the same length. The ciphertext has whole blocks."""


class Cbc:
    """CBC mode of a block cipher (RFC 2451, RFC 3602, RFC 4312). IVs must be unpredictable."""

    def __init__(self, algorithm: Callable[[bytes], CipherAlgorithm]) -> None:
        self._algorithm = algorithm

    def encrypt(self, key: bytes, iv: bytes, plain: bytes) -> bytes:
        encryptor = Cipher(self._algorithm(key), modes.CBC(iv)).encryptor()
        return encryptor.update(plain) + encryptor.finalize()

    def decrypt(self, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
        decryptor = Cipher(self._algorithm(key), modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()


class DesCbc(Cbc):
    """DES in CBC mode (RFC 2405), which the library knows as 3DES with one key three times."""

    def __init__(self) -> None:
        super().__init__(lambda key: TripleDES(key * 3))


class AesCtr:
    """AES-CTR: 4 octets of nonce at the key's end, 8 of IV, a counter from 1 (RFC 3686, RFC 5930)."""

    NONCE_OCTETS = 4
    FIRST_BLOCK = b"\0\0\0\1"

    def encrypt(self, key: bytes, iv: bytes, plain: bytes) -> bytes:
        counter = key[-self.NONCE_OCTETS :] + iv + self.FIRST_BLOCK
        encryptor = Cipher(algorithms.AES(key[: -self.NONCE_OCTETS]), modes.CTR(counter)).encryptor()
        return encryptor.update(plain) + encryptor.finalize()

    decrypt = encrypt


class BoundAead:
    """An AEAD with its key, at whose end stands the salt, as derivation leaves it (RFC 5282 §7.1)."""

    __slots__ = ("_algorithm", "_key", "_salt_octets", "icv_octets")

    iv_octets = 8
    block_octets = 1
    counter_iv = True

    def __init__(self, algorithm: AeadAlgorithm, key: bytes, salt_octets: int, icv_octets: int) -> None:
        self._algorithm = algorithm
        self._key = key
        self._salt_octets = salt_octets
        self.icv_octets = icv_octets

    def seal(self, iv: bytes, associated: bytes, plain: bytes) -> bytes:
        key, salt_octets = self._key, self._salt_octets
        return self._algorithm.seal(key[:-salt_octets], key[-salt_octets:] + iv, plain, associated)

    def open(self, iv: bytes, associated: bytes, sealed: bytes) -> bytes:
        if len(iv) != self.iv_octets or len(sealed) < self.icv_octets:
            raise IntegrityFailure("the encrypted payload is too short")
        key, salt_octets = self._key, self._salt_octets
        try:
            return self._algorithm.open(key[:-salt_octets], key[-salt_octets:] + iv, sealed, associated)
        except InvalidTag:
            raise IntegrityFailure("the integrity check value does not match") from None


class BoundPair:
    """A cipher and a MAC with their keys: the MAC covers everything before the ICV (RFC 7296 §3.14)."""

    __slots__ = (
        "_algorithm",
        "_key",
        "_mac",
        "_mac_key",
        "block_octets",
        "counter_iv",
        "icv_octets",
        "iv_octets",
    )

    def __init__(
        self,
        algorithm: BlockAlgorithm,
        key: bytes,
        iv_octets: int,
        block_octets: int,
        mac: Mac,
        mac_key: bytes,
    ) -> None:
        self._algorithm = algorithm
        self._key = key
        self._mac = mac
        self._mac_key = mac_key
        self.iv_octets = iv_octets
        self.icv_octets = mac.icv_octets
        self.block_octets = block_octets
        self.counter_iv = block_octets == 1

    def seal(self, iv: bytes, associated: bytes, plain: bytes) -> bytes:
        ciphertext = self._algorithm.encrypt(self._key, iv, plain)
        return ciphertext + self._mac.compute(self._mac_key, associated + iv + ciphertext)

    def open(self, iv: bytes, associated: bytes, sealed: bytes) -> bytes:
        ciphertext, icv = sealed[: -self.icv_octets], sealed[-self.icv_octets :]
        if len(iv) != self.iv_octets or len(ciphertext) % self.block_octets:
            raise IntegrityFailure("the encrypted payload is not made of whole blocks")
        verify(self._mac, self._mac_key, associated + iv + ciphertext, icv)
        return self._algorithm.decrypt(self._key, iv, ciphertext)
