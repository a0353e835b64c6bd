"""The key schedule of IKEv1 (RFC 2409 §5, §5.5 and Appendix B).

Nonces are the bodies of their payloads, g^xi and g^xr those of the key
exchange payloads, cookies the eight octets of the header. What the RFC calls
prf is HMAC of the negotiated hash. Nothing here looks at an SA.
"""

from __future__ import annotations

from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.crypto.prf import Prf
from ikectl.crypto.suite import ChildSuite
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import PeerMisbehaved
from ikectl.iana.v2 import EncryptionId
from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret

DES_KEY_OCTETS = 8

# fmt: off
_WEAK_DES = frozenset(bytes(octet & 0xFE for octet in bytes.fromhex(key)) for key in (
    # Weak, then pairs of semi-weak keys (RFC 2409 App. A, SP 800-67 §3.3.2); parity bits do not count.
    "0101010101010101", "1f1f1f1f0e0e0e0e", "e0e0e0e0f1f1f1f1", "fefefefefefefefe",
    "01fe01fe01fe01fe", "fe01fe01fe01fe01", "1fe01fe00ef10ef1", "e01fe01ff10ef10e",
    "01e001e001f101f1", "e001e001f101f101", "1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e",
    "011f011f010e010e", "1f011f010e010e01", "e0fee0fef1fef1fe", "fee0fee0fef1fef1",
))
# fmt: on


@record
class IsakmpKeys:
    """SKEYID and what comes of it (§5). `cipher_key` is as long as the cipher wants it (App. B)."""

    skeyid: Secret
    skeyid_d: Secret
    skeyid_a: Secret
    skeyid_e: Secret
    cipher_key: Secret


# -- SKEYID --------------------------------------------------------------------


def skeyid_psk(prf: Prf, secret: bytes, nonce_i: bytes, nonce_r: bytes) -> Secret:
    """SKEYID with a pre-shared key (§5.4)."""
    return Secret(prf.compute(secret, nonce_i + nonce_r))


def skeyid_signature(prf: Prf, nonce_i: bytes, nonce_r: bytes, g_xy: bytes) -> Secret:
    """SKEYID with signatures (§5.1)."""
    return Secret(prf.compute(nonce_i + nonce_r, g_xy))


def skeyid_encryption(suite: IsakmpSuite, nonce_i: bytes, nonce_r: bytes, cookie_i: bytes, cookie_r: bytes) -> Secret:
    """SKEYID with either mode of public key encryption (§5.2, §5.3): its key is the bare hash of the nonces."""
    return Secret(suite.prf.compute(suite.digest(nonce_i + nonce_r), cookie_i + cookie_r))


def derive(suite: IsakmpSuite, skeyid: bytes, g_xy: bytes, cookie_i: bytes, cookie_r: bytes) -> IsakmpKeys:
    """SKEYID_d, SKEYID_a, SKEYID_e and the cipher's key (§5, App. B).

    Raises PeerMisbehaved if the cipher's key would be a weak one.
    """
    compute = suite.prf.compute
    common = g_xy + cookie_i + cookie_r
    skeyid_d = compute(skeyid, common + b"\0")
    skeyid_a = compute(skeyid, skeyid_d + common + b"\1")
    skeyid_e = compute(skeyid, skeyid_a + common + b"\2")
    return IsakmpKeys(Secret(skeyid), Secret(skeyid_d), Secret(skeyid_a), Secret(skeyid_e), cipher_key(suite, skeyid_e))


def cipher_key(suite: IsakmpSuite, source: bytes) -> Secret:
    """The cipher's key out of SKEYID_e, or out of Ne_i or Ne_r of §5.3 (App. B).

    Its first octets; if there are too few, those of K1 | K2 | ... with
    K1 = prf(source, 0) and Kn = prf(source, Kn-1), the 0 being one octet.
    A weak DES key is passed over for the next eight octets.

    Raises PeerMisbehaved if nothing but weak keys can be had.
    """
    octets = suite.encryption.key_octets
    if suite.encryption.id is EncryptionId.DES:
        return _des_key(source)
    if octets > len(source):
        block, blocks = suite.prf.compute(source, b"\0"), [b""]
        while len(blocks) * len(block) < octets + len(block):
            blocks.append(block)
            block = suite.prf.compute(source, block)
        source = b"".join(blocks)
    key = Secret(source[:octets])
    refuse_weak(suite.encryption.id, key)
    return key


def _des_key(source: bytes) -> Secret:
    for start in range(0, len(source) - DES_KEY_OCTETS + 1, DES_KEY_OCTETS):
        key = source[start : start + DES_KEY_OCTETS]
        if not _is_weak_des(key):
            return Secret(key)
    raise _weak()


def refuse_weak(cipher: EncryptionId, key: bytes) -> None:
    """Refuse the keys that undo a cipher: RFC 2405 §2.3 for DES, RFC 2451 §2.3 for 3DES.

    Three keys of which two neighbours are alike are no more than one DES key.

    Raises PeerMisbehaved.
    """
    if cipher is EncryptionId.DES and _is_weak_des(key):
        raise _weak()
    if cipher is EncryptionId.DES3:
        first, second, third = (_without_parity(key[start : start + DES_KEY_OCTETS]) for start in (0, 8, 16))
        if second in (first, third):
            raise _weak()


def _without_parity(key: bytes) -> bytes:
    return bytes(octet & 0xFE for octet in key)


def _is_weak_des(key: bytes) -> bool:
    return _without_parity(key) in _WEAK_DES


def _weak() -> PeerMisbehaved:
    return PeerMisbehaved("the exchange gave a weak key; it must be run again")


# -- IVs -----------------------------------------------------------------------


def phase1_iv(suite: IsakmpSuite, g_xi: bytes, g_xr: bytes) -> bytes:
    """IV of the first encrypted message of phase 1; every further one is the last block before it (App. B)."""
    return suite.digest(g_xi + g_xr)[: suite.block_octets]


def phase2_iv(suite: IsakmpSuite, last_block: bytes, message_id: int) -> bytes:
    """First IV of the exchange `message_id` after phase 1, whose last ciphertext block is `last_block` (App. B)."""
    return suite.digest(last_block + message_id.to_bytes(4, "big"))[: suite.block_octets]


# -- HASH_I and HASH_R ---------------------------------------------------------


def hash_i(
    prf: Prf,
    skeyid: bytes,
    g_xi: bytes,
    g_xr: bytes,
    cookie_i: bytes,
    cookie_r: bytes,
    sa_body: bytes,
    id_body: bytes,
) -> bytes:
    """HASH_I (§5): `sa_body` is all of the initiator's SA payload but its generic header, `id_body` that of IDii."""
    return prf.compute(skeyid, b"".join((g_xi, g_xr, cookie_i, cookie_r, sa_body, id_body)))


def hash_r(
    prf: Prf,
    skeyid: bytes,
    g_xi: bytes,
    g_xr: bytes,
    cookie_i: bytes,
    cookie_r: bytes,
    sa_body: bytes,
    id_body: bytes,
) -> bytes:
    """HASH_R (§5): over the initiator's SA payload as well; `id_body` is that of IDir."""
    return prf.compute(skeyid, b"".join((g_xr, g_xi, cookie_r, cookie_i, sa_body, id_body)))


# -- children ------------------------------------------------------------------


def keymat(
    prf: Prf,
    skeyid_d: bytes,
    protocol: int,
    spi: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    g_xy: bytes,
    octets: int,
) -> bytes:
    """The first `octets` of KEYMAT for the SA that `spi` names (§5.5).

    `g_xy` is quick mode's own, empty without PFS. Both SAs of a pair have
    keys of their own because each has an SPI of its own.
    """
    seed = b"".join((g_xy, bytes((protocol,)), spi, nonce_i, nonce_r))
    block = prf.compute(skeyid_d, seed)
    blocks = [block]
    while len(blocks) * len(block) < octets:
        blocks.append(prf.compute(skeyid_d, blocks[-1] + seed))
    return b"".join(blocks)[:octets]


def derive_child(
    prf: Prf,
    suite: ChildSuite,
    skeyid_d: bytes,
    protocol: int,
    spi_i: bytes,
    spi_r: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    g_xy: bytes = b"",
) -> ChildKeys:
    """The keys of both SAs of one protocol (§5.5): the cipher's first, then those of integrity.

    `spi_i` was chosen by the initiator of quick mode and names what it
    receives, so what it sends is under the keys of `spi_r`. `protocol` is the
    IPsec DOI's number.

    Raises PeerMisbehaved if a key is weak (RFC 2405 §2.3, RFC 2451 §2.3).
    """
    encr = suite.encryption_octets
    octets = encr + suite.integrity_octets
    if not octets:
        return ChildKeys(NO_SECRET, NO_SECRET, NO_SECRET, NO_SECRET)
    from_i = keymat(prf, skeyid_d, protocol, spi_r, nonce_i, nonce_r, g_xy, octets)
    from_r = keymat(prf, skeyid_d, protocol, spi_i, nonce_i, nonce_r, g_xy, octets)
    if suite.encryption is not None:
        refuse_weak(suite.encryption.id, from_i[:encr])
        refuse_weak(suite.encryption.id, from_r[:encr])
    return ChildKeys(Secret(from_i[:encr]), Secret(from_i[encr:]), Secret(from_r[:encr]), Secret(from_r[encr:]))
