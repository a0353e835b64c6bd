"""What the kernel calls the algorithms of `crypto/transforms.py`.

A cipher for children is a row there and a row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ikectl.crypto.proposal import ChildSuite
from ikectl.crypto.transforms import Encryption, Integrity
from ikectl.errors import BackendError
from ikectl.iana.v2 import EncryptionId as E
from ikectl.iana.v2 import IntegrityId as I

# fmt: off
AEADS: dict[E, str] = {
    # The ICV length is that of the transform's own row. Keys end with the salt.
    E.AES_GCM_16:         "rfc4106(gcm(aes))",
    E.AES_GCM_12:         "rfc4106(gcm(aes))",
    E.AES_GCM_8:          "rfc4106(gcm(aes))",
    E.CHACHA20_POLY1305:  "rfc7539esp(chacha20,poly1305)",
    E.AES_CCM_16:         "rfc4309(ccm(aes))",
    E.AES_CCM_12:         "rfc4309(ccm(aes))",
    E.AES_CCM_8:          "rfc4309(ccm(aes))",
    E.NULL_AUTH_AES_GMAC: "rfc4543(gcm(aes))",
}

CIPHERS: dict[E, str] = {
    E.AES_CBC:            "cbc(aes)",
    E.AES_CTR:            "rfc3686(ctr(aes))",
    E.CAMELLIA_CBC:       "cbc(camellia)",
    E.DES3:               "cbc(des3_ede)",
    E.DES:                "cbc(des)",
    E.NULL:               "ecb(cipher_null)",
}

MACS: dict[I, str] = {
    I.HMAC_SHA2_256_128:  "hmac(sha256)",
    I.HMAC_SHA2_384_192:  "hmac(sha384)",
    I.HMAC_SHA2_512_256:  "hmac(sha512)",
    I.AES_CMAC_96:        "cmac(aes)",
    I.AES_XCBC_96:        "xcbc(aes)",
    I.HMAC_SHA1_96:       "hmac(sha1)",
    I.HMAC_MD5_96:        "hmac(md5)",
}
# fmt: on

SHA256_96_BITS = 96
"""What peers of Linux before 2.6.33 truncate SHA-256 to; configured, never negotiated."""


@dataclass(frozen=True, slots=True)
class Named:
    """An algorithm as the kernel names it; `icv_bits` is 0 for a cipher without integrity of its own."""

    name: str
    icv_bits: int = 0


@dataclass(frozen=True, slots=True)
class KernelSuite:
    """The algorithms of one child; absent ones are None. `aead` excludes both others."""

    aead: Named | None
    cipher: Named | None
    mac: Named | None


@lru_cache(1024)
def kernel_suite(suite: ChildSuite, sha256_96: bool = False) -> KernelSuite:
    """What to ask of the kernel for `suite`. Raises BackendError for what Linux does not have."""
    encryption, integrity = suite.encryption, suite.integrity
    mac = _mac(integrity, sha256_96) if integrity is not None else None
    if encryption is None:
        return KernelSuite(None, None, mac)
    if encryption.id in AEADS:
        return KernelSuite(Named(AEADS[encryption.id], 8 * encryption.icv_octets), None, None)
    name = CIPHERS.get(encryption.id)
    if name is None:
        raise BackendError(_cannot(encryption, "aes256gcm16 or aes128-sha256"))
    return KernelSuite(None, Named(name), mac)


def _mac(row: Integrity, sha256_96: bool) -> Named:
    name = MACS.get(row.id)
    if name is None:
        raise BackendError(_cannot(row, "sha256"))
    if sha256_96 and row.id is I.HMAC_SHA2_256_128:
        return Named(name, SHA256_96_BITS)
    return Named(name, 8 * row.icv_octets)


def _cannot(row: Encryption | Integrity, instead: str) -> str:
    return f"the kernel has no {row.name}; offer {instead} in esp_proposals instead"
