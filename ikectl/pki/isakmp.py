"""What phase 1 of IKEv1 does with the keys of a store: sign a bare hash, decrypt, choose by the method's number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ikectl.crypto import signature_v1
from ikectl.crypto.signature import PublicKey
from ikectl.errors import CredentialError
from ikectl.iana.v1 import AuthMethod
from ikectl.pki.certificate import Certificate, key_kind
from ikectl.pki.constraints import AuthConstraints
from ikectl.pki.signer import Fingerprint, IsakmpSigner
from ikectl.pki.store import Own, Store

_CURVES = {
    AuthMethod.ECDSA_256: "secp256r1",
    AuthMethod.ECDSA_384: "secp384r1",
    AuthMethod.ECDSA_521: "secp521r1",
}
"""The methods that are not RSA's (RFC 4754 §3)."""


def choose(
    store: Store,
    local: Own,
    authorities: tuple[bytes, ...],
    method: AuthMethod,
    fingerprint: Fingerprint | None = None,
) -> IsakmpSigner:
    """The key and certificates to sign or decrypt with by `method`.

    Of the candidates one that leads to a CA of `authorities` (DER names) is
    taken before the others; when there is none, the first serves. With a
    `fingerprint` only the certificate it is of will do.

    Raises:
        CredentialError: no certificate, no key, or none that suits the method.
    """
    # Only names that can decide anything: what is remembered must not grow by what peers say.
    wanted = _issuers(store, local).intersection(authorities)

    def make(certificate: Certificate, key: PublicKey, sent: tuple[bytes, ...]) -> IsakmpSigner:
        if fingerprint is not None and not fingerprint.is_of(certificate.der):
            raise CredentialError("the peer encrypted to a certificate that is none of ours here")
        if not _suits(key, method, local.auth):
            raise CredentialError(f"the key of {certificate} does not suit {method} and local.auth")
        return IsakmpSigner(certificate.key_id.hex(), certificate.key_bits, certificate.subject, sent)

    def liked(path: Sequence[Certificate]) -> bool:
        return not wanted or any(member.issuer.data in wanted for member in path)

    return store.first(local, ("IKEv1", wanted, method, fingerprint), make, liked)


def _issuers(store: Store, local: Own) -> frozenset[bytes]:
    """DER names of all who issued a certificate that may be on a path of ours."""
    held = (certificate for certificate, _, _ in store.certificates())
    own = (Certificate.of_peer(der) for der in local.certs)
    return frozenset(certificate.issuer.data for certificate in (*held, *own))


def usable(store: Store, local: Own, methods: Sequence[AuthMethod]) -> tuple[AuthMethod, ...]:
    """Those of `methods` that a key of ours suits. Raises CredentialError if there is none."""
    found: list[AuthMethod] = []
    refusal = CredentialError("no method needs a key")
    for method in methods:
        try:
            choose(store, local, (), method)
            found.append(method)
        except CredentialError as error:
            refusal = error
    if not found:
        raise refusal
    return tuple(found)


def _suits(key: PublicKey, method: AuthMethod, auth: AuthConstraints) -> bool:
    """Whether `method` means this kind of key, and local.auth allows it. RSA is PKCS#1 v1.5 here, never PSS."""
    curve = _CURVES.get(method)
    if curve is None:
        fits = isinstance(key, rsa.RSAPublicKey)
    else:
        fits = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == curve
    kind, bits = key_kind(key)
    return fits and (
        not auth.ike
        or any(
            rule.key in ("", kind) and bits >= rule.min_bits and not (rule.pss and kind == "rsa") for rule in auth.ike
        )
    )


def sign_hash(store: Store, key_id: str, method: AuthMethod, hash: bytes) -> bytes:
    """The content of a SIG payload for HASH_I or HASH_R (RFC 2409 §5.1). Raises CredentialError."""
    return signature_v1.sign(store.key(key_id), method, hash)


def decrypt(store: Store, key_id: str, data: bytes, random: Callable[[int], bytes]) -> bytes:
    """What was encrypted to our RSA key; other octets where the padding is wrong. Raises CredentialError."""
    return signature_v1.rsa_decrypt(store.key(key_id), data, random)
