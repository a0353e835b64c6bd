"""Phase 1 by public key encryption: what RFC 2409 §5.2 and §5.3 need beside RSA itself.

In the revised mode only the nonce goes under the public key. The payloads
behind it are encrypted by a key made of the nonce, which only the owner of
the private key can make as well.
"""

from __future__ import annotations

from ikectl.crypto.kdf_v1 import cipher_key
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import WireError
from ikectl.values.secret import Secret


def certificate_hash(suite: IsakmpSuite, certificate: bytes) -> bytes:
    """HASH(1): the negotiated hash of the certificate (DER) whose key was encrypted to (§5.2)."""
    return suite.digest(certificate)


def ephemeral_key(suite: IsakmpSuite, nonce: bytes, cookie: bytes) -> Secret:
    """Ke_i of the initiator's nonce and cookie, Ke_r of the responder's (§5.3).

    Ne = prf(nonce, cookie), stretched as SKEYID_e is. To be dropped after use.

    Raises PeerMisbehaved if the cipher's key would be a weak one.
    """
    return cipher_key(suite, suite.prf.compute(nonce, cookie))


class EphemeralCipher:
    """The cipher of one end's payloads in one message under Ke_i or Ke_r, in their order (§5.3).

    The IV of the first is zero, that of each other one the last block of the
    one before it.
    """

    def __init__(self, suite: IsakmpSuite, key: bytes) -> None:
        self._suite = suite
        self._key = Secret(key)
        self._iv = bytes(suite.block_octets)

    def encrypt(self, body: bytes) -> bytes:
        """The body of the next payload, padded: zeros, and one octet that counts them. There is always padding."""
        block = self._suite.block_octets
        zeros = -(len(body) + 1) % block
        encrypted = self._suite.encrypt(self._key, self._iv, body + bytes(zeros) + bytes((zeros,)))
        self._iv = encrypted[-block:]
        return encrypted

    def decrypt(self, data: bytes) -> bytes:
        """The body of the next payload without its padding.

        Raises:
            IntegrityFailure: it is not made of whole blocks.
            WireError: its padding counts more octets than there are, as it will under a wrong key.
        """
        plain = self._suite.decrypt(self._key, self._iv, data)
        self._iv = data[-self._suite.block_octets :]
        end = len(plain) - 1 - plain[-1]
        if end < 0:
            raise WireError("the padding is longer than the payload")
        return plain[:end]
