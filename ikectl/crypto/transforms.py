"""THE table of transforms: every algorithm that can be negotiated, one row each.

To add a cipher: a row here, a row in `kernel/algorithms.py` so that children
can use it, a published vector in `tests/crypto`. Keywords are those of
swanctl.conf; the first of a row is the one we print. `name` is what operators
see in `list-sas`. Lengths of ciphers are salt, IV, ICV and block in octets.

`weak` rows serve old peers: they are in no default proposal. The v1 columns
hold the numbers of IKEv1: in phase 1 attributes, in the IPsec DOI as ESP
transform, authentication attribute or AH transform; 0 where IKEv1 has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from ikectl.crypto import ke
from ikectl.crypto.cipher import AeadAlgorithm, AesCtr, BlockAlgorithm, Cbc, Ccm, ChaChaPoly, DesCbc, Gcm, ShortGcm
from ikectl.crypto.integrity import Cmac, Hmac, Mac, Xcbc, aes_cmac, aes_xcbc
from ikectl.crypto.prf import AesPrf, HmacPrf, Prf, fit_cmac, fit_xcbc
from ikectl.iana.v2 import EncryptionId as E
from ikectl.iana.v2 import EsnId, Protocol, TransformType
from ikectl.iana.v2 import IntegrityId as I
from ikectl.iana.v2 import KeyExchangeMethod as K
from ikectl.iana.v2 import PrfId as P
from ikectl.wire.v2.sa import Transform


@dataclass(frozen=True, slots=True)
class Encryption:
    """One cipher with one key length. Lengths in octets but for `key_bits`."""

    id: E
    keywords: tuple[str, ...]
    key_bits: int
    """Of the cipher's own key; the salt comes after it in the key material."""
    key_attribute: bool
    """The transform carries a Key Length attribute (RFC 7296 §3.3.5)."""
    salt_octets: int
    iv_octets: int
    icv_octets: int
    """Of an AEAD's own ICV; 0 for others."""
    block_octets: int
    """Plain text is padded to a multiple of this in the SK payload."""
    aead: AeadAlgorithm | None = field(compare=False)
    block: BlockAlgorithm | None = field(compare=False)
    combined: bool
    """It protects integrity as well, so no integrity transform goes with it (RFC 5282 §8)."""
    ike: bool
    """May protect an IKE SA."""
    weak: bool
    v1_ike: int
    v1_esp: int

    @property
    def name(self) -> str:
        return _OTHER_NAMES.get(self.id, self.id.name)

    @property
    def transform(self) -> Transform:
        return Transform(TransformType.ENCR, self.id, self.key_bits if self.key_attribute else 0)

    @property
    def counter_iv(self) -> bool:
        """IVs must be unique, not unpredictable (RFC 5282 §3.1, RFC 5930 §2)."""
        return self.block_octets == 1

    @property
    def key_octets(self) -> int:
        """What is taken from the key material: key, then salt."""
        return self.key_bits // 8 + self.salt_octets


@dataclass(frozen=True, slots=True)
class Integrity:
    """One MAC. `mac` knows its key and ICV lengths."""

    id: I
    keywords: tuple[str, ...]
    mac: Mac = field(compare=False)
    prf: P
    """The prf an IKE proposal means when it names this integrity algorithm and no prf."""
    weak: bool
    v1_auth: int
    v1_ah: int

    @property
    def name(self) -> str:
        return self.id.name

    @property
    def transform(self) -> Transform:
        return Transform(TransformType.INTEG, self.id)

    @property
    def key_octets(self) -> int:
        return self.mac.key_octets

    @property
    def icv_octets(self) -> int:
        return self.mac.icv_octets


@dataclass(frozen=True, slots=True)
class PrfRow:
    """One pseudo-random function. `v1_hash` is IKEv1's hash attribute, whose HMAC is its prf."""

    id: P
    keywords: tuple[str, ...]
    prf: Prf = field(compare=False)
    weak: bool
    v1_hash: int

    @property
    def name(self) -> str:
        return f"PRF_{self.id.name}"

    @property
    def transform(self) -> Transform:
        return Transform(TransformType.PRF, self.id)


@dataclass(frozen=True, slots=True)
class KeRow:
    """One key exchange method; how it works is in `ke.METHODS`. IKEv1 numbers its groups alike."""

    id: K
    keywords: tuple[str, ...]
    kem: bool
    """The responder encapsulates, and its public value is a ciphertext."""
    weak: bool
    v1_group: int

    @property
    def name(self) -> str:
        return self.id.name

    @property
    def transform(self) -> Transform:
        return Transform(TransformType.KE, self.id)

    @property
    def initiator_octets(self) -> int:
        """Length of the initiator's public value."""
        return ke.METHODS[self.id].initiator_octets

    @property
    def responder_octets(self) -> int:
        """Length of the responder's public value."""
        return ke.METHODS[self.id].responder_octets


_OTHER_NAMES = {E.DES: "DES_CBC", E.DES3: "3DES_CBC", E.NULL_AUTH_AES_GMAC: "NULL_AES_GMAC"}
"""Where operators know a cipher by another name than the registry's."""


def _cipher(
    id: E,
    keywords: str,
    sizes: tuple[int, ...],
    lengths: tuple[int, int, int, int],
    v1: tuple[int, int],
    aead: AeadAlgorithm | None = None,
    block: BlockAlgorithm | None = None,
    *,
    combined: bool = False,
    weak: bool = False,
) -> list[Encryption]:
    """One row for each key length; `{}` in a keyword stands for it."""
    salt, iv, icv, block_octets = lengths
    return [
        Encryption(
            id=id,
            keywords=tuple(keyword.format(bits) for keyword in keywords.split()),
            key_bits=bits,
            key_attribute=len(sizes) > 1,
            salt_octets=salt,
            iv_octets=iv,
            icv_octets=icv,
            block_octets=block_octets,
            aead=aead,
            block=block,
            combined=combined or aead is not None,
            ike=aead is not None or block is not None,
            weak=weak,
            v1_ike=v1[0],
            v1_esp=v1[1],
        )
        for bits in sizes
    ]


# fmt: off
SIZES = (128, 192, 256)

ENCRYPTION: tuple[Encryption, ...] = (
    #        id              keywords                  bits    salt IV ICV block  v1: IKE, ESP
    *_cipher(E.AES_GCM_16,   "aes{}gcm16 aes{}gcm128", SIZES,  (4,  8, 16,  1), (0, 20), aead=Gcm()),
    *_cipher(E.AES_GCM_12,   "aes{}gcm12 aes{}gcm96",  SIZES,  (4,  8, 12,  1), (0, 19), aead=ShortGcm(12)),
    *_cipher(E.AES_GCM_8,    "aes{}gcm8 aes{}gcm64",   SIZES,  (4,  8,  8,  1), (0, 18), aead=ShortGcm(8)),
    *_cipher(E.CHACHA20_POLY1305, "chacha20poly1305",  (256,), (4,  8, 16,  1), (0,  0), aead=ChaChaPoly()),
    *_cipher(E.AES_CCM_16,   "aes{}ccm16 aes{}ccm128", SIZES,  (3,  8, 16,  1), (0, 16), aead=Ccm(16)),
    *_cipher(E.AES_CCM_12,   "aes{}ccm12 aes{}ccm96",  SIZES,  (3,  8, 12,  1), (0, 15), aead=Ccm(12)),
    *_cipher(E.AES_CCM_8,    "aes{}ccm8 aes{}ccm64",   SIZES,  (3,  8,  8,  1), (0, 14), aead=Ccm(8)),
    *_cipher(E.AES_CBC,      "aes{}",                  SIZES,  (0, 16,  0, 16), (7, 12), block=Cbc(AES)),
    *_cipher(E.AES_CTR,      "aes{}ctr",               SIZES,  (4,  8,  0,  1), (0, 13), block=AesCtr()),
    *_cipher(E.CAMELLIA_CBC, "camellia{}",             SIZES,  (0, 16,  0, 16), (8, 22), block=Cbc(Camellia)),
    *_cipher(E.DES3,         "3des",                   (192,), (0,  8,  0,  8), (5,  3), block=Cbc(TripleDES),
             weak=True),
    *_cipher(E.DES,          "des",                    (64,),  (0,  8,  0,  8), (1,  2), block=DesCbc(), weak=True),
    # For children only: RFC 7296 §5 forbids NULL for IKE, and RFC 4543 is for ESP and AH.
    *_cipher(E.NULL_AUTH_AES_GMAC, "aes{}gmac",        SIZES,  (4,  8, 16,  1), (0, 23), combined=True),
    *_cipher(E.NULL,         "null",                   (0,),   (0,  0,  0,  1), (0, 11), weak=True),
)

INTEGRITY: tuple[Integrity, ...] = (
    #         id                   keywords                hash, key, ICV          prf              weak   v1: auth, AH
    Integrity(I.HMAC_SHA2_256_128, ("sha256", "sha2_256"), Hmac("sha256", 32, 16), P.HMAC_SHA2_256, False, 5, 5),
    Integrity(I.HMAC_SHA2_384_192, ("sha384", "sha2_384"), Hmac("sha384", 48, 24), P.HMAC_SHA2_384, False, 6, 6),
    Integrity(I.HMAC_SHA2_512_256, ("sha512", "sha2_512"), Hmac("sha512", 64, 32), P.HMAC_SHA2_512, False, 7, 7),
    Integrity(I.AES_CMAC_96,       ("aescmac",),           Cmac(),                 P.AES128_CMAC,   False, 0, 0),
    Integrity(I.AES_XCBC_96,       ("aesxcbc",),           Xcbc(),                 P.AES128_XCBC,   False, 9, 9),
    Integrity(I.HMAC_SHA1_96,      ("sha1", "sha"),        Hmac("sha1", 20, 12),   P.HMAC_SHA1,     True,  2, 3),
    Integrity(I.HMAC_MD5_96,       ("md5",),               Hmac("md5", 16, 12),    P.HMAC_MD5,      True,  1, 2),
)

PRF: tuple[PrfRow, ...] = (
    #      id               keywords                       implementation              weak  v1 hash
    PrfRow(P.HMAC_SHA2_256, ("prfsha256", "prfsha2_256"),  HmacPrf(hashes.SHA256()),   False, 4),
    PrfRow(P.HMAC_SHA2_384, ("prfsha384", "prfsha2_384"),  HmacPrf(hashes.SHA384()),   False, 5),
    PrfRow(P.HMAC_SHA2_512, ("prfsha512", "prfsha2_512"),  HmacPrf(hashes.SHA512()),   False, 6),
    PrfRow(P.AES128_CMAC,   ("prfaescmac",),               AesPrf(aes_cmac, fit_cmac), False, 0),
    PrfRow(P.AES128_XCBC,   ("prfaesxcbc",),               AesPrf(aes_xcbc, fit_xcbc), False, 0),
    PrfRow(P.HMAC_SHA1,     ("prfsha1", "prfsha"),         HmacPrf(hashes.SHA1()),     True,  2),
    PrfRow(P.HMAC_MD5,      ("prfmd5",),                   HmacPrf(hashes.MD5()),      True,  1),
)

KE: tuple[KeRow, ...] = (
    #     method           keywords                   kem    weak   v1 group
    KeRow(K.CURVE_25519,   ("x25519", "curve25519"),  False, False, 31),   # v1: not registered, but in use
    KeRow(K.CURVE_448,     ("x448", "curve448"),      False, False, 32),
    KeRow(K.ECP_256,       ("ecp256",),               False, False, 19),
    KeRow(K.ECP_384,       ("ecp384",),               False, False, 20),
    KeRow(K.ECP_521,       ("ecp521",),               False, False, 21),
    KeRow(K.ECP_256_BP,    ("ecp256bp",),             False, False, 28),
    KeRow(K.ECP_384_BP,    ("ecp384bp",),             False, False, 29),
    KeRow(K.ECP_512_BP,    ("ecp512bp",),             False, False, 30),
    KeRow(K.MODP_2048,     ("modp2048",),             False, False, 14),
    KeRow(K.MODP_3072,     ("modp3072",),             False, False, 15),
    KeRow(K.MODP_4096,     ("modp4096",),             False, False, 16),
    KeRow(K.MODP_6144,     ("modp6144",),             False, False, 17),
    KeRow(K.MODP_8192,     ("modp8192",),             False, False, 18),
    KeRow(K.ML_KEM_768,    ("mlkem768",),             True,  False, 0),
    KeRow(K.ML_KEM_1024,   ("mlkem1024",),            True,  False, 0),
    KeRow(K.ML_KEM_512,    ("mlkem512",),             True,  True,  0),    # see ke.Kem512
    KeRow(K.MODP_2048_256, ("modp2048s256",),         False, True,  24),   # RFC 8247 §2.4 on these three
    KeRow(K.MODP_2048_224, ("modp2048s224",),         False, True,  23),
    KeRow(K.MODP_1024_160, ("modp1024s160",),         False, True,  22),
    KeRow(K.ECP_224,       ("ecp224",),               False, True,  26),
    KeRow(K.ECP_192,       ("ecp192",),               False, True,  25),
    KeRow(K.MODP_1536,     ("modp1536",),             False, True,  5),
    KeRow(K.MODP_1024,     ("modp1024",),             False, True,  2),
    KeRow(K.MODP_768,      ("modp768",),              False, True,  1),
)
# fmt: on

NO_INTEGRITY = Transform(TransformType.INTEG, I.NONE)
NO_KE = Transform(TransformType.KE, K.NONE)
NO_ESN = Transform(TransformType.ESN, EsnId.NO_ESN)
ESN = Transform(TransformType.ESN, EsnId.ESN)

ADDITIONAL = tuple(TransformType(number) for number in range(TransformType.ADDKE1, TransformType.ADDKE7 + 1))
"""Additional key exchanges (RFC 9370 §2.2.1)."""

KEY_EXCHANGES = frozenset((TransformType.KE, *ADDITIONAL))

MANDATORY: dict[Protocol, tuple[TransformType, ...]] = {
    Protocol.IKE: (TransformType.ENCR, TransformType.PRF, TransformType.KE),
    Protocol.ESP: (TransformType.ENCR,),
    Protocol.AH: (TransformType.INTEG,),
}
"""Without these a proposal is none (RFC 7296 §3.3.3). Integrity beside a cipher depends on the cipher."""

Row = Encryption | Integrity | PrfRow | KeRow

BY_TRANSFORM: dict[Transform, Row] = {row.transform: row for table in (ENCRYPTION, INTEGRITY, PRF, KE) for row in table}
"""The row of a transform as it stands on the wire; `row_of` knows additional key exchanges too."""

BY_KEYWORD: dict[str, Row] = {
    keyword: row for table in (ENCRYPTION, INTEGRITY, PRF, KE) for row in table for keyword in row.keywords
}
BY_KEYWORD |= {word: BY_KEYWORD[f"{word}128"] for word in ("aes", "camellia")}

ENCRYPTION_BY_TRANSFORM = {row.transform: row for row in ENCRYPTION}
INTEGRITY_BY_TRANSFORM = {row.transform: row for row in INTEGRITY}
PRF_BY_TRANSFORM = {row.transform: row for row in PRF}
PRF_BY_ID = {row.id: row for row in PRF}
KE_BY_METHOD = {row.id: row for row in KE}


def row_of(transform: Transform) -> Row | None:
    """The row of a transform, also of an additional key exchange; None if we know none."""
    kind, number, _, _ = transform
    return BY_TRANSFORM.get(Transform(TransformType.KE, number) if kind in ADDITIONAL else transform)
