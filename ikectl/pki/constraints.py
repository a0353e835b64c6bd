"""What a configuration demands of keys and signatures, and whether one meets it.

The protocols here are met by the records of `config.model`, a neighbour that
this floor does not import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ikectl.crypto.signature import Scheme
from ikectl.iana.v2 import HashAlgorithm
from ikectl.pki.certificate import ANY_POLICY, Certificate
from ikectl.values.identity import Identity

MIN_RSA_BITS = 2048
"""Shorter RSA keys are refused unless the configuration names a shorter minimum."""

_BROKEN_HASHES = frozenset(("md5", "sha1", "unknown"))
_HASH_NAMES = {
    HashAlgorithm.SHA1: "sha1",
    HashAlgorithm.SHA2_256: "sha256",
    HashAlgorithm.SHA2_384: "sha384",
    HashAlgorithm.SHA2_512: "sha512",
}


class Constraint(Protocol):
    """One acceptable sort of key and signature: `config.model.KeyConstraint`."""

    @property
    def key(self) -> str:
        """A word of `crypto.signature.KEY_TYPES`; "" for any."""

    @property
    def min_bits(self) -> int:
        """The shortest key accepted; 0 leaves it to us."""

    @property
    def pss(self) -> bool:
        """Whether RSA signatures must be RSASSA-PSS."""

    @property
    def hashes(self) -> tuple[HashAlgorithm, ...]:
        """The hashes accepted in signatures; empty leaves it to us."""


class AuthConstraints(Protocol):
    """What is demanded of keys and signatures; alternatives, empty for nothing in particular."""

    @property
    def chain(self) -> Sequence[Constraint]:
        """Of the certificates of a path."""

    @property
    def ike(self) -> Sequence[Constraint]:
        """Of the signature in AUTH."""


class Trust(Protocol):
    """What a configuration says of the peers it accepts: `config.model.Remote`."""

    @property
    def certs(self) -> tuple[bytes, ...]:
        """The exact end-entity certificates accepted, DER; empty: any."""

    @property
    def cacerts(self) -> tuple[bytes, ...]:
        """The CAs one of which must have issued it, DER; empty: any we trust."""

    @property
    def auth(self) -> AuthConstraints:
        """The method with its constraints."""

    @property
    def ca_id(self) -> Identity | None:
        """An identity that some CA of the path must have."""

    @property
    def cert_policy(self) -> tuple[str, ...]:
        """Certificate policies (OIDs) that all of the path must have."""

    @property
    def revocation(self) -> str:
        """strict, ifuri or relaxed: `revocation.Strictness`."""


def key_fits(certificate: Certificate, rules: Sequence[Constraint]) -> bool:
    """Whether the key of a certificate is of an accepted kind and long enough."""
    floor = MIN_RSA_BITS if certificate.kind == "rsa" else 0
    if not rules:
        return certificate.key_bits >= floor
    return any(
        rule.key in ("", certificate.kind) and certificate.key_bits >= (rule.min_bits or floor) for rule in rules
    )


def has_policy(path: Sequence[Certificate], policy: str) -> bool:
    """Whether a certificate policy holds for the leaf of a path (leaf to anchor).

    Every certificate but the anchor asserts it; CAs may do so by anyPolicy,
    unless a CA of the path restricts that. Policies that a CA maps to others
    (RFC 5280 §4.2.1.5) do not count as these.
    """
    leaf, *cas = path[:-1] if len(path) > 1 else path
    lax = not any(ca.inhibits_any for ca in path[1:])
    return policy in leaf.policies and all(policy in ca.policies or (lax and ANY_POLICY in ca.policies) for ca in cas)


def signature_fits(certificate: Certificate, issuer: Certificate, rules: Sequence[Constraint]) -> bool:
    """Whether the signature of `issuer` on `certificate` is of an accepted kind."""
    used = certificate.signed_with
    if used == "identity":
        return True  # EdDSA brings its own hash; its key was judged already
    if not rules:
        return used not in _BROKEN_HASHES
    return any(
        rule.key in ("", issuer.kind)
        and (certificate.signed_pss or not (rule.pss and issuer.kind == "rsa"))
        and (used in map(_HASH_NAMES.get, rule.hashes) if rule.hashes else used not in _BROKEN_HASHES)
        for rule in rules
    )


def scheme_fits(scheme: Scheme, key_bits: int, rules: Sequence[Constraint]) -> bool:
    """Whether a signature in AUTH, by a key of that size, is of an accepted kind."""
    if not rules:
        return True
    return any(
        rule.key in ("", scheme.key)
        and key_bits >= rule.min_bits
        and (scheme.pss or not (rule.pss and scheme.key == "rsa"))
        and (not rule.hashes or scheme.hash in rule.hashes or scheme.hash is HashAlgorithm.IDENTITY)
        for rule in rules
    )
