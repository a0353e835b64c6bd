"""Key exchange: MODP, elliptic curves, X25519 and X448, ML-KEM; every public value checked (RFC 6989).

All ephemeral secrets come from the `random` that is passed in, and serve one
exchange. Public values are what a KE payload carries: MODP values as long as
the prime (RFC 7296 §3.4), x and y of a point without a leading octet
(RFC 5903 §7, RFC 6954 §3), the octets of RFC 7748, and for ML-KEM the
encapsulation key one way and the ciphertext the other.

Nothing else may know of MODP groups: the library has marked finite-field
Diffie-Hellman for removal, and when it goes, only `Modp` needs another home.

The library knows no brainpoolP224r1 (method 27), so it is not here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import KeyExchangeMethod as K
from ikectl.values.secret import Secret

with warnings.catch_warnings():
    # The deprecation is why MODP lives in this one file; the major version is pinned.
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric.dh import (
        DHParameterNumbers,
        DHPrivateNumbers,
        DHPublicNumbers,
    )

Random = Callable[[int], bytes]
"""Octet count -> octets nobody can predict."""

SURPLUS_OCTETS = 8
"""Drawn beyond a group order's length before reducing, so that the bias is below 2^-64 (FIPS 186-5 A.2.1)."""


@dataclass(slots=True)
class KePair:
    """An ephemeral key pair of the initiator of an exchange. Pickles without the library's object."""

    method: K
    public: bytes
    private: Secret
    key: Any = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return KePair, (self.method, self.public, self.private)


def generate(method: K, random: Random) -> KePair:
    """A fresh key pair. Raises KeyError for a method that is not in METHODS."""
    ke = METHODS[method]
    private = Secret(ke.draw(random))
    key = ke.key(private)
    return KePair(method, ke.public(key), private, key)


def combine(pair: KePair, peer_public: bytes) -> Secret:
    """The shared secret, for the end that made `pair` and had `peer_public` in answer.

    Raises PeerMisbehaved for a public value that is not good.
    """
    ke = METHODS[pair.method]
    _check_length(pair.method, peer_public, ke.responder_octets)
    key = ke.key(pair.private) if pair.key is None else pair.key
    try:
        return Secret(ke.combine(key, peer_public))
    except ValueError:
        raise _not_good(pair.method) from None


def answer(method: K, peer_public: bytes, random: Random) -> tuple[bytes, Secret]:
    """Our public value and the shared secret, for the end that answers `peer_public`.

    Raises PeerMisbehaved for a public value that is not good.
    """
    ke = METHODS[method]
    _check_length(method, peer_public, ke.initiator_octets)
    try:
        public, shared = ke.answer(peer_public, random)
    except ValueError:
        raise _not_good(method) from None
    return public, Secret(shared)


def _check_length(method: K, public: bytes, octets: int) -> None:
    if len(public) != octets:
        raise PeerMisbehaved(f"a public value of {len(public)} octets for {method}, which has {octets}")


def _not_good(method: K) -> PeerMisbehaved:
    return PeerMisbehaved(f"the public value for {method} is not one of its group")


class KeMethod(Protocol):
    """One method. `key` is an object of the library, made of drawn octets.

    ValueError means that the peer's public value is bad.
    """

    @property
    def initiator_octets(self) -> int:
        """Length of the public value in the request."""

    @property
    def responder_octets(self) -> int:
        """Length of the public value in the answer."""

    def draw(self, random: Random, /) -> bytes:
        """Octets a private key is made of."""

    def key(self, private: bytes, /) -> Any:
        """The private key."""

    def public(self, key: Any, /) -> bytes:
        """Its public value."""

    def combine(self, key: Any, peer_public: bytes, /) -> bytes:
        """The shared secret. Raises ValueError."""

    def answer(self, peer_public: bytes, random: Random, /) -> tuple[bytes, bytes]:
        """Public value and shared secret of the responder. Raises ValueError."""


class DiffieHellman:
    """What all methods share in which both ends do the same."""

    def draw(self, random: Random) -> bytes:
        raise NotImplementedError

    def key(self, private: bytes) -> Any:
        raise NotImplementedError

    def public(self, key: Any) -> bytes:
        raise NotImplementedError

    def combine(self, key: Any, peer_public: bytes) -> bytes:
        raise NotImplementedError

    def answer(self, peer_public: bytes, random: Random) -> tuple[bytes, bytes]:
        key = self.key(self.draw(random))
        shared = self.combine(key, peer_public)
        return self.public(key), shared


class Montgomery(DiffieHellman):
    """X25519 and X448 (RFC 8031). The library refuses the all-zero result, as RFC 7748 §6 lets it."""

    def __init__(self, private: Any, public: Any, octets: int) -> None:
        self._private = private.from_private_bytes
        self._public = public.from_public_bytes
        self._octets = self.initiator_octets = self.responder_octets = octets

    def draw(self, random: Random) -> bytes:
        return random(self._octets)

    def key(self, private: bytes) -> Any:
        return self._private(private)

    def public(self, key: Any) -> bytes:
        public: bytes = key.public_key().public_bytes_raw()
        return public

    def combine(self, key: Any, peer_public: bytes) -> bytes:
        shared: bytes = key.exchange(self._public(peer_public))
        return shared


class Curve(DiffieHellman):
    """Prime curves of cofactor 1 (RFC 5903, RFC 6954): x | y goes out, x is shared.

    The library checks that the peer's point is on the curve (RFC 6989 §2.3);
    the point at infinity has no such encoding.
    """

    UNCOMPRESSED = b"\x04"

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._curve = curve
        self._order = curve.group_order
        coordinate_octets = (curve.key_size + 7) // 8
        self.initiator_octets = self.responder_octets = 2 * coordinate_octets
        self._draw_octets = (self._order.bit_length() + 7) // 8 + SURPLUS_OCTETS

    def draw(self, random: Random) -> bytes:
        return random(self._draw_octets)

    def key(self, private: bytes) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(private, "big") % (self._order - 1) + 1, self._curve)

    def public(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def combine(self, key: ec.EllipticCurvePrivateKey, peer_public: bytes) -> bytes:
        point = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, self.UNCOMPRESSED + peer_public)
        return key.exchange(ec.ECDH(), point)


class Modp(DiffieHellman):
    """Diffie-Hellman modulo a prime (RFC 2409 §6, RFC 3526, RFC 5114), at the speed of OpenSSL.

    The library makes private keys of its own choice, ours must come from
    `random`; so the public value is computed as the secret shared with the
    generator. Values outside 2 to p-2 are refused (RFC 6989 §2.1).

    Exponents have twice the group's strength or more, 256 bits at least
    (RFC 3526 §8, RFC 7919 §5.2).
    """

    def __init__(self, bits: int, exponent_bits: int) -> None:
        self.initiator_octets = self.responder_octets = bits // 8
        self._exponent_octets = exponent_bits // 8

    @cached_property
    def numbers(self) -> DHParameterNumbers:
        """Prime, generator and, if it is not (p-1)/2, the order of the generator."""
        raise NotImplementedError

    def draw(self, random: Random) -> bytes:
        return random(self._exponent_octets)

    def exponent(self, private: bytes) -> int:
        """The highest bit is set: no exponent is short."""
        return int.from_bytes(private, "big") | 1 << len(private) * 8 - 1

    def key(self, private: bytes) -> Any:
        # The library wants a public value beside the exponent and makes no use of it.
        return DHPrivateNumbers(self.exponent(private), self._generator_numbers).private_key()

    def public(self, key: Any) -> bytes:
        public: bytes = key.exchange(self._generator)
        return public

    def combine(self, key: Any, peer_public: bytes) -> bytes:
        shared: bytes = key.exchange(DHPublicNumbers(self._checked(peer_public), self.numbers).public_key())
        return shared

    def _checked(self, public: bytes) -> int:
        value = int.from_bytes(public, "big")
        if not 1 < value < self.numbers.p - 1:
            raise ValueError("out of range")
        return value

    @cached_property
    def _generator_numbers(self) -> DHPublicNumbers:
        return DHPublicNumbers(self.numbers.g, self.numbers)

    @cached_property
    def _generator(self) -> Any:
        return self._generator_numbers.public_key()


class SafePrime(Modp):
    """p = 2^n - 2^(n-64) - 1 + 2^64 ([2^(n-130) pi] + k), (p-1)/2 prime, generator 2 (RFC 3526 §2)."""

    def __init__(self, bits: int, k: int, exponent_bits: int) -> None:
        super().__init__(bits, exponent_bits)
        self._bits = bits
        self._k = k

    @cached_property
    def numbers(self) -> DHParameterNumbers:
        n = self._bits
        return DHParameterNumbers((1 << n) - (1 << n - 64) - 1 + ((_pi(n - 130) + self._k) << 64), 2)


class OakleyPrime(SafePrime):
    """The two groups OpenSSL does not know by name: it would test p for primality in every exchange.

    Python's own power is used. It does not run in constant time, which costs
    groups of this weakness nothing: the exponent serves once, and breaking the
    group is the easier way.
    """

    def key(self, private: bytes) -> int:
        return self.exponent(private)

    def public(self, key: int) -> bytes:
        return pow(2, key, self.numbers.p).to_bytes(self.initiator_octets, "big")

    def combine(self, key: int, peer_public: bytes) -> bytes:
        return pow(self._checked(peer_public), key, self.numbers.p).to_bytes(self.initiator_octets, "big")


class Subgroup(Modp):
    """A group with a generator of prime order q, far smaller than p (RFC 5114 §2).

    The library is told q, and so refuses values outside the subgroup of that
    order (RFC 6989 §2.2).
    """

    def __init__(self, p: str, g: str, q: str) -> None:
        self._pgq = int(p, 16), int(g, 16), int(q, 16)
        super().__init__(self._pgq[0].bit_length(), self._pgq[2].bit_length() + 8 * SURPLUS_OCTETS)

    @cached_property
    def numbers(self) -> DHParameterNumbers:
        return DHParameterNumbers(*self._pgq)

    def exponent(self, private: bytes) -> int:
        return int.from_bytes(private, "big") % (self._pgq[2] - 1) + 1


@lru_cache(16)
def _pi(bits: int) -> int:
    """Pi times 2^bits, rounded down: 16 arctan(1/5) - 4 arctan(1/239)."""
    guard = 64
    one = 1 << bits + guard

    def arctan(inverse: int) -> int:
        power = total = one // inverse
        divisor, square = 1, inverse * inverse
        while power:
            power //= -square
            divisor += 2
            total += power // divisor
        return total

    return (16 * arctan(5) - 4 * arctan(239)) >> guard


class Kem:
    """ML-KEM-768 and 1024 (FIPS 203). The library checks the modulus of an encapsulation key.

    Encapsulation draws its own randomness: the library takes none.
    """

    SEED_OCTETS = 64

    def __init__(self, private: Any, public: Any, key_octets: int, ciphertext_octets: int) -> None:
        self._private = private.from_seed_bytes
        self._public = public.from_public_bytes
        self.initiator_octets = key_octets
        self.responder_octets = ciphertext_octets

    def draw(self, random: Random) -> bytes:
        return random(self.SEED_OCTETS)

    def key(self, private: bytes) -> Any:
        return self._private(private)

    def public(self, key: Any) -> bytes:
        public: bytes = key.public_key().public_bytes_raw()
        return public

    def combine(self, key: Any, peer_public: bytes) -> bytes:
        shared: bytes = key.decapsulate(peer_public)
        return shared

    def answer(self, peer_public: bytes, random: Random) -> tuple[bytes, bytes]:
        shared, ciphertext = self._public(peer_public).encapsulate()
        return ciphertext, shared


class Kem512:
    """ML-KEM-512 by kyber-py, since `cryptography` has the two larger sets only.

    It is pure Python and not constant time; a pair serves one decapsulation,
    which leaves a listener one sample. Ten milliseconds each way. For peers
    that insist: prefer ML-KEM-768.
    """

    SEED_OCTETS = 64
    initiator_octets = 800
    responder_octets = 768

    def draw(self, random: Random) -> bytes:
        return random(self.SEED_OCTETS)

    def key(self, private: bytes) -> tuple[bytes, bytes]:
        encapsulation, decapsulation = self._kem().key_derive(bytes(private))
        return encapsulation, decapsulation

    def public(self, key: tuple[bytes, bytes]) -> bytes:
        return key[0]

    def combine(self, key: tuple[bytes, bytes], peer_public: bytes) -> bytes:
        shared: bytes = self._kem().decaps(key[1], peer_public)
        return shared

    def answer(self, peer_public: bytes, random: Random) -> tuple[bytes, bytes]:
        kem = self._kem()
        kem.random_bytes = random
        shared, ciphertext = kem.encaps(peer_public)
        return ciphertext, shared

    def _kem(self) -> Any:
        from kyber_py.ml_kem.default_parameters import DEFAULT_PARAMETERS  # rarely wanted: not at start
        from kyber_py.ml_kem.ml_kem import ML_KEM

        return ML_KEM(DEFAULT_PARAMETERS["ML512"])


# RFC 5114 §2.1 to §2.3: p, g, q.
_RFC5114_22 = (
    "b10b8f96a080e01dde92de5eae5d54ec52c99fbcfb06a3c69a6a9dca52d23b616073e28675a23d189838ef1e2ee652c0"
    "13ecb4aea906112324975c3cd49b83bfaccbdd7d90c4bd7098488e9c219a73724effd6fae5644738faa31a4ff55bccc0"
    "a151af5f0dc8b4bd45bf37df365c1a65e68cfda76d4da708df1fb2bc2e4a4371",
    "a4d1cbd5c3fd34126765a442efb99905f8104dd258ac507fd6406cff14266d31266fea1e5c41564b777e690f5504f213"
    "160217b4b01b886a5e91547f9e2749f4d7fbd7d3b9a92ee1909d0d2263f80a76a6a24c087a091f531dbf0a0169b6a28a"
    "d662a4d18e73afa32d779d5918d08bc8858f4dcef97c2a24855e6eeb22b3b2e5",
    "f518aa8781a8df278aba4e7d64b7cb9d49462353",
)
_RFC5114_23 = (
    "ad107e1e9123a9d0d660faa79559c51fa20d64e5683b9fd1b54b1597b61d0a75e6fa141df95a56dbaf9a3c407ba1df15"
    "eb3d688a309c180e1de6b85a1274a0a66d3f8152ad6ac2129037c9edefda4df8d91e8fef55b7394b7ad5b7d0b6c12207"
    "c9f98d11ed34dbf6c6ba0b2c8bbc27be6a00e0a0b9c49708b3bf8a317091883681286130bc8985db1602e714415d9330"
    "278273c7de31efdc7310f7121fd5a07415987d9adc0a486dcdf93acc44328387315d75e198c641a480cd86a1b9e587e8"
    "be60e69cc928b2b9c52172e413042e9b23f10b0e16e79763c9b53dcf4ba80a29e3fb73c16b8e75b97ef363e2ffa31f71"
    "cf9de5384e71b81c0ac4dffe0c10e64f",
    "ac4032ef4f2d9ae39df30b5c8ffdac506cdebe7b89998caf74866a08cfe4ffe3a6824a4e10b9a6f0dd921f01a70c4afa"
    "ab739d7700c29f52c57db17c620a8652be5e9001a8d66ad7c17669101999024af4d027275ac1348bb8a762d0521bc98a"
    "e247150422ea1ed409939d54da7460cdb5f6c6b250717cbef180eb34118e98d119529a45d6f834566e3025e316a330ef"
    "bb77a86f0c1ab15b051ae3d428c8f8acb70a8137150b8eeb10e183edd19963ddd9e263e4770589ef6aa21e7f5f2ff381"
    "b539cce3409d13cd566afbb48d6c019181e1bcfe94b30269edfe72fe9b6aa4bd7b5a0f1c71cfff4c19c418e1f6ec0179"
    "81bc087f2a7065b384b890d3191f2bfa",
    "801c0d34c58d93fe997177101f80535a4738cebcbf389a99b36371eb",
)
_RFC5114_24 = (
    "87a8e61db4b6663cffbbd19c651959998ceef608660dd0f25d2ceed4435e3b00e00df8f1d61957d4faf7df4561b2aa30"
    "16c3d91134096faa3bf4296d830e9a7c209e0c6497517abd5a8a9d306bcf67ed91f9e6725b4758c022e0b1ef4275bf7b"
    "6c5bfc11d45f9088b941f54eb1e59bb8bc39a0bf12307f5c4fdb70c581b23f76b63acae1caa6b7902d52526735488a0e"
    "f13c6d9a51bfa4ab3ad8347796524d8ef6a167b5a41825d967e144e5140564251ccacb83e6b486f6b3ca3f7971506026"
    "c0b857f689962856ded4010abd0be621c3a3960a54e710c375f26375d7014103a4b54330c198af126116d2276e11715f"
    "693877fad7ef09cadb094ae91e1a1597",
    "3fb32c9b73134d0b2e77506660edbd484ca7b18f21ef205407f4793a1a0ba12510dbc15077be463fff4fed4aac0bb555"
    "be3a6c1b0c6b47b1bc3773bf7e8c6f62901228f8c28cbb18a55ae31341000a650196f931c77a57f2ddf463e5e9ec144b"
    "777de62aaab8a8628ac376d282d6ed3864e67982428ebc831d14348f6f2f9193b5045af2767164e1dfc967c1fb3f2e55"
    "a4bd1bffe83b9c80d052b985d182ea0adb2a3b7313d3fe14c8484b1e052588b9b7d2bbd2df016199ecd06e1557cd0915"
    "b3353bbb64e0ec377fd028370df92b52c7891428cdc67eb6184b523d1db246c32f63078490f00ef8d647d148d4795451"
    "5e2327cfef98c582664b4c0f6cc41659",
    "8cf83642a709a097b447997640129da299b1a47d1eb3750ba308b0fe64f5fbd3",
)

# fmt: off
METHODS: dict[K, KeMethod] = {
    #                            bits        k  exponent bits
    K.MODP_768:      OakleyPrime( 768,  149686, 256),   # RFC 2409 §6.1
    K.MODP_1024:     OakleyPrime(1024,  129093, 256),   # RFC 2409 §6.2
    K.MODP_1536:     SafePrime(  1536,  741804, 256),   # RFC 3526 §2
    K.MODP_2048:     SafePrime(  2048,  124476, 256),   # RFC 3526 §3
    K.MODP_3072:     SafePrime(  3072, 1690314, 320),   # RFC 3526 §4
    K.MODP_4096:     SafePrime(  4096,  240904, 384),   # RFC 3526 §5
    K.MODP_6144:     SafePrime(  6144,  929484, 384),   # RFC 3526 §6
    K.MODP_8192:     SafePrime(  8192, 4743158, 448),   # RFC 3526 §7
    K.MODP_1024_160: Subgroup(*_RFC5114_22),
    K.MODP_2048_224: Subgroup(*_RFC5114_23),
    K.MODP_2048_256: Subgroup(*_RFC5114_24),
    K.ECP_192:       Curve(ec.SECP192R1()),             # RFC 5114 §2.4
    K.ECP_224:       Curve(ec.SECP224R1()),             # RFC 5114 §2.5
    K.ECP_256:       Curve(ec.SECP256R1()),             # RFC 5903
    K.ECP_384:       Curve(ec.SECP384R1()),
    K.ECP_521:       Curve(ec.SECP521R1()),
    K.ECP_256_BP:    Curve(ec.BrainpoolP256R1()),       # RFC 6954
    K.ECP_384_BP:    Curve(ec.BrainpoolP384R1()),
    K.ECP_512_BP:    Curve(ec.BrainpoolP512R1()),
    K.CURVE_25519:   Montgomery(X25519PrivateKey, X25519PublicKey, 32),
    K.CURVE_448:     Montgomery(X448PrivateKey, X448PublicKey, 56),
    K.ML_KEM_512:    Kem512(),
    K.ML_KEM_768:    Kem(MLKEM768PrivateKey, MLKEM768PublicKey, 1184, 1088),
    K.ML_KEM_1024:   Kem(MLKEM1024PrivateKey, MLKEM1024PublicKey, 1568, 1568),
}
# fmt: on
"""Every method that can be negotiated. Its names are in `transforms.KE`."""
