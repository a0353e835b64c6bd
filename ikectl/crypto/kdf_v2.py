"""The key schedule of IKEv2 (RFC 7296 §2.13 to §2.18), with RFC 9370, RFC 8784 and RFC 9867.

Nonces and SPIs are those of the exchange that makes the keys; "initiator" is
its initiator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ikectl.crypto.prf import Prf
from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.v2.notify import PPK_CONFIRMATION_OCTETS

if TYPE_CHECKING:
    from ikectl.crypto.proposal import ChildSuite, IkeSuite


RESUMPTION = b"Resumption"
"""10 ASCII octets, no terminating zero (RFC 5723 §5.1)."""


@record
class IkeKeys:
    """The seven keys of an IKE SA (§2.14). SK_a are empty with AEAD; SK_e end with the salt, if any."""

    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret


@record
class ChildKeys:
    """The keys of both ESP or AH SAs of a child; the `_i` ones protect what the initiator sends (§2.17).

    Encryption keys end with the salt, as the kernel wants them. What the suite
    does not use is empty.
    """

    encr_i: Secret
    integ_i: Secret
    encr_r: Secret
    integ_r: Secret


def derive_ike(suite: IkeSuite, shared: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """Keys of an IKE SA made by IKE_SA_INIT (§2.14)."""
    prf = suite.prf
    cut = prf.nonce_octets
    skeyseed = prf.compute(nonce_i[:cut] + nonce_r[:cut], shared)
    return _expand(suite, skeyseed, nonce_i + nonce_r + spi_i + spi_r)


def derive_rekeyed_ike(
    suite: IkeSuite,
    old_prf: Prf,
    old_sk_d: bytes,
    shared: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    spi_i: bytes,
    spi_r: bytes,
    additional: bytes = b"",
) -> IkeKeys:
    """Keys of an IKE SA that replaces another (§2.18): the old prf makes SKEYSEED, the new one the rest.

    `additional` is SK(1) | ... | SK(n) of RFC 9370 §2.2.4.
    """
    nonces = nonce_i + nonce_r
    skeyseed = old_prf.compute(old_sk_d, shared + nonces + additional)
    return _expand(suite, skeyseed, nonces + spi_i + spi_r)


def derive_resumed(
    suite: IkeSuite, old_sk_d: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """Keys of an IKE SA that resumes another one (RFC 5723 §5.1); algorithms and `old_sk_d` are those of the other.

    Nonces and SPIs are those of IKE_SESSION_RESUME.
    """
    nonces = nonce_i + nonce_r
    skeyseed = suite.prf.compute(old_sk_d, RESUMPTION + nonces)
    return _expand(suite, skeyseed, nonces + spi_i + spi_r)


def derive_intermediate(
    suite: IkeSuite, sk_d: bytes, shared: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys after one additional key exchange in IKE_INTERMEDIATE (RFC 9370 §2.2.2).

    Nonces and SPIs are those of IKE_SA_INIT.
    """
    return derive_rekeyed_ike(suite, suite.prf, sk_d, shared, nonce_i, nonce_r, spi_i, spi_r)


def mix_ppk(prf: Prf, ppk: bytes, keys: IkeKeys) -> IkeKeys:
    """The keys with a post-quantum pre-shared key mixed into SK_d, SK_pi and SK_pr (RFC 8784 §3)."""
    octets = prf.key_octets
    return IkeKeys(
        Secret(prf.plus(ppk, keys.sk_d, octets)),
        keys.sk_ai,
        keys.sk_ar,
        keys.sk_ei,
        keys.sk_er,
        Secret(prf.plus(ppk, keys.sk_pi, octets)),
        Secret(prf.plus(ppk, keys.sk_pr, octets)),
    )


def derive_with_ppk(
    suite: IkeSuite, sk_d: bytes, ppk: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """All keys anew, with a post-quantum pre-shared key in them (RFC 9867 §3.1): SKEYSEED is prf+(PPK, SK_d).

    Nonces and SPIs are those of IKE_SA_INIT, `sk_d` is what the last additional key exchange left.
    """
    skeyseed = suite.prf.plus(ppk, sk_d, suite.prf.key_octets)
    return _expand(suite, skeyseed, nonce_i + nonce_r + spi_i + spi_r)


def ppk_confirmation(prf: Prf, ppk: bytes, nonce_i: bytes, nonce_r: bytes, spi_i: bytes, spi_r: bytes) -> bytes:
    """What shows in IKE_INTERMEDIATE that its sender has the key (RFC 9867 §3.1)."""
    return prf.compute(ppk, nonce_i + nonce_r + spi_i + spi_r)[:PPK_CONFIRMATION_OCTETS]


def derive_child(
    prf: Prf,
    suite: ChildSuite,
    sk_d: bytes,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: bytes = b"",
    additional: bytes = b"",
) -> ChildKeys:
    """KEYMAT of a child (§2.17). `prf` is the IKE SA's; `shared` the exchange's own secret, if it had one.

    `additional` is SK(1) | ... | SK(n) of RFC 9370 §2.2.4.
    """
    encr, integ = suite.encryption_octets, suite.integrity_octets
    half = encr + integ
    material = prf.plus(sk_d, shared + nonce_i + nonce_r + additional, 2 * half)
    return ChildKeys(
        Secret(material[:encr]),
        Secret(material[encr:half]) if integ else NO_SECRET,
        Secret(material[half : half + encr]),
        Secret(material[half + encr :]) if integ else NO_SECRET,
    )


def _expand(suite: IkeSuite, skeyseed: bytes, seed: bytes) -> IkeKeys:
    d, a, e = suite.prf.key_octets, suite.integrity_octets, suite.encryption_octets
    material = suite.prf.plus(skeyseed, seed, 3 * d + 2 * (a + e))
    ai, ar, ei, er = d, d + a, d + 2 * a, d + 2 * a + e
    pi = er + e
    pr = pi + d
    return IkeKeys(
        Secret(material[:ai]),
        Secret(material[ai:ar]) if a else NO_SECRET,
        Secret(material[ar:ei]) if a else NO_SECRET,
        Secret(material[ei:er]),
        Secret(material[er:pi]),
        Secret(material[pi:pr]),
        Secret(material[pr:]),
    )
