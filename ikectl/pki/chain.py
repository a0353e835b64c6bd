"""The verdict on a peer's certificates at a given time.

Paths are built and checked by OpenSSL (signatures, validity, CA-ness and path
length, key usage of CAs, name constraints, unknown critical extensions), never
here. cryptography's own verifier does not fit: its profile is the web's and
refuses every Ed25519, Ed448 and brainpool CA. What is added here is IKE's:
what a leaf may be used for (RFC 4945), whether it speaks for the identity, and
what the configuration pins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from OpenSSL import crypto as openssl

from ikectl.errors import CredentialError, Expired, NoTrustPath
from ikectl.pki.certificate import Certificate
from ikectl.pki.constraints import Constraint, Trust, has_policy, key_fits, signature_fits
from ikectl.pki.finding import instant
from ikectl.values.identity import Identity
from ikectl.values.record import record

MAX_PEER_CERTIFICATES = 10
"""CERT payloads looked at; a chain of intermediates is two or three long in practice."""

MAX_PATH = 8
"""Certificates of one path, leaf and trust anchor included."""

# X509_V_ERR_*, stable numbers of openssl/x509_vfy.h
_NOT_YET_VALID, _HAS_EXPIRED = 9, 10
_UNISSUED = (2, 19, 20, 21)
MAX_SHOWN = 4
"""CAs that a refusal names."""
_REASONS = {
    2: "no trusted CA issued the certificate of {name}",
    7: "the signature on the certificate of {name} is wrong",
    18: "the certificate of {name} is self-signed, and no remote.certs names it",
    19: "the root {name} is not a CA we trust",
    20: "no trusted CA issued the certificate of {name} (issuer {issuer})",
    21: "no trusted CA issued the certificate of {name} (issuer {issuer})",
    24: "{name} is no CA but issued a certificate",
    25: "the CA {name} allows no path of this length",
    32: "the key usage of {name} allows it to sign no certificates",
    34: "the certificate of {name} has a critical extension we do not know",
    41: "the certificate of {name} has an extension that cannot be read",
    47: "a name in the certificate of {name} is outside what its CA may name",
    48: "a name in the certificate of {name} is one its CA must not name",
    79: "{name} is no CA (basicConstraints, keyUsage) but issued a certificate",
}


@record
class Verdict:
    """A leaf found good for an identity: its key, and for how long the finding holds."""

    spki: bytes
    valid_from: datetime
    valid_until: datetime
    path: tuple[Certificate, ...]
    """From the leaf to a CA we trust; alone where the leaf is trusted by itself and no such CA issued it."""


class Peer(NamedTuple):
    """A peer whose chain is good."""

    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    path: tuple[bytes, ...]
    """DER of its certificates, the leaf first, those of the CAs included."""
    open: bool = False
    """Whether something must be fetched before it is known that none of them was revoked."""


def check(
    certificates: Sequence[bytes],
    trust: Trust,
    identity: Identity,
    at: datetime,
    *,
    anchors: Iterable[Certificate] = (),
    intermediates: Iterable[Certificate] = (),
) -> Verdict:
    """Judge the peer's certificates (DER, the leaf first: RFC 7296 §3.6).

    A leaf that `trust.certs` names is trusted by that alone, self-signed or
    not, while it is valid; with `trust.cacerts` as well both must hold.
    `trust.cacerts` replace `anchors`, and may be intermediates. Others of the
    peer's certificates only help to build the path; junk among them is ignored.

    Raises:
        NoTrustPath, Expired, CredentialError: with the reason for the log.
    """
    if not certificates:
        raise CredentialError(f"{identity} sent no certificate, and none is known here")
    leaf = Certificate.of_peer(certificates[0])
    if not leaf.confirms(identity):
        raise CredentialError(f"the certificate of {leaf} does not speak for {identity}, only for {listed(leaf)}")
    if leaf.unfit:
        raise CredentialError(f"the certificate of {leaf} is not for IKE: {leaf.unfit}")
    if trust.certs and leaf.der not in trust.certs:
        raise NoTrustPath(f"the certificate of {leaf} is none of remote.certs")

    helpers = [*_readable(certificates[1:MAX_PEER_CERTIFICATES]), *intermediates]
    if trust.cacerts:
        roots = [Certificate.of_peer(der) for der in trust.cacerts]
    elif trust.certs:
        roots = [leaf]
    else:
        roots = list(anchors)
    path = build_path(leaf, helpers, roots, at)
    _demand_strength(path, trust.auth.chain)
    whole = path if len(path) > 1 else _issuers(leaf, helpers, anchors, at)
    _demand_names(whole, trust)
    return Verdict(
        leaf.spki,
        max(certificate.not_before for certificate in path),
        min(certificate.not_after for certificate in path),
        whole,
    )


def _issuers(
    leaf: Certificate, helpers: Sequence[Certificate], anchors: Iterable[Certificate], at: datetime
) -> tuple[Certificate, ...]:
    """The path above a leaf that is trusted by itself; alone if no CA we trust issued it."""
    if leaf.self_issued:
        return (leaf,)
    try:
        return build_path(leaf, helpers, list(anchors), at)
    except CredentialError:
        return (leaf,)


def build_path(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    at: datetime | None,
) -> tuple[Certificate, ...]:
    """The path from `leaf` to one of `anchors`, both included, good at `at` (None: whenever).

    Any anchor ends a path, self-signed or not. Raises NoTrustPath, Expired, CredentialError.
    """
    try:
        store = openssl.X509Store()
        for anchor in anchors:
            store.add_cert(anchor.native)
        if at is None:
            store.set_flags(openssl.X509StoreFlags.PARTIAL_CHAIN | _NO_CHECK_TIME)
        else:
            store.set_flags(openssl.X509StoreFlags.PARTIAL_CHAIN)
            store.set_time(at.astimezone(UTC))
        context = openssl.X509StoreContext(store, leaf.native, [helper.native for helper in intermediates])
        path = context.get_verified_chain()
    except openssl.X509StoreContextError as error:
        raise _judgement(error, leaf, at, anchors) from None
    except openssl.Error:
        raise CredentialError(f"OpenSSL cannot use the certificate of {leaf} or of a CA") from None
    if len(path) > MAX_PATH:
        raise NoTrustPath(f"the path from {leaf} to a trusted CA is longer than {MAX_PATH} certificates")
    known = {certificate.der: certificate for certificate in (*intermediates, *anchors, leaf)}
    try:
        return tuple(known[openssl.dump_certificate(openssl.FILETYPE_ASN1, member)] for member in path)
    except KeyError:
        raise CredentialError(f"a certificate of the path from {leaf} is not in DER") from None


_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL does not name


def _demand_strength(path: Sequence[Certificate], rules: Sequence[Constraint]) -> None:
    """Refuse keys and signatures an attacker may forge, or the configuration does not want.

    An anchor's own signature proves nothing and is not looked at.
    """
    for certificate in path:
        if not key_fits(certificate, rules):
            kind, bits = certificate.kind.upper(), certificate.key_bits
            raise CredentialError(f"the {kind} key of {certificate} with {bits} bits is not accepted")
    for certificate, issuer in pairwise(path):
        if not signature_fits(certificate, issuer, rules):
            scheme = "RSA-PSS with " if certificate.signed_pss else ""
            raise CredentialError(
                f"the certificate of {certificate} is signed with {scheme}{certificate.signed_with.upper()}, "
                "which is not accepted"
            )


def _demand_names(path: Sequence[Certificate], trust: Trust) -> None:
    """Refuse a path without the CA or the policies that the configuration wants."""
    leaf, *cas = path
    # OpenSSL can be asked this, but this binding of it not for "any policy will do" (RFC 5280 §6.1.1 (c)).
    explicit = any(
        member.explicit_after is not None and member.explicit_after <= index
        for index, member in enumerate(path[:-1] or path)
    )
    if explicit and not any(has_policy(path, policy) for policy in leaf.policies):
        raise NoTrustPath(
            f"a CA above the certificate of {leaf} wants a certificate policy, which not all certificates of the path "
            "assert"
        )
    if trust.ca_id is not None and not any(ca.confirms(trust.ca_id) for ca in cas):
        through = ", ".join(map(str, cas)) or "no CA known here"
        raise NoTrustPath(f"remote.ca_id wants {trust.ca_id} above the certificate of {leaf}, and found {through}")
    for policy in trust.cert_policy:
        if not has_policy(path, policy):
            raise CredentialError(
                f"the certificate of {leaf} or a CA above it does not assert the policy {policy} of "
                f"remote.cert_policy; the certificate itself has {', '.join(sorted(leaf.policies)) or 'none'}"
            )


def _readable(certificates: Iterable[bytes]) -> list[Certificate]:
    found = []
    for der in certificates:
        try:
            found.append(Certificate.of_peer(der))
        except CredentialError:
            continue
    return found


def _judgement(
    error: openssl.X509StoreContextError, leaf: Certificate, at: datetime | None, anchors: Sequence[Certificate]
) -> CredentialError:
    code = error.errors[0]
    try:
        subject = Certificate.of_peer(openssl.dump_certificate(openssl.FILETYPE_ASN1, error.certificate))
    except openssl.Error:
        subject = leaf  # what concerns the whole path, as policies do, is said of no certificate
    if at is not None and code == _HAS_EXPIRED:
        return Expired(
            f"the certificate of {subject} expired {_span(at - subject.not_after)} ago, on "
            f"{instant(subject.not_after)}; its owner needs a new one, unless the clock here is wrong ({instant(at)})"
        )
    if at is not None and code == _NOT_YET_VALID:
        return Expired(
            f"the certificate of {subject} becomes valid in {_span(subject.not_before - at)}, on "
            f"{instant(subject.not_before)}; is the clock here right ({instant(at)})?"
        )
    text = _REASONS.get(code, "the certificate of {name} is not trusted: " + str(error.errors[2]))
    return NoTrustPath(text.format(name=subject, issuer=subject.issuer) + _advice(code, anchors))


def _advice(code: int, anchors: Sequence[Certificate]) -> str:
    """Where nobody we trust issued a certificate: whom we trust, and what to do."""
    if code not in _UNISSUED:
        return ""
    known = ", ".join(map(str, anchors[:MAX_SHOWN])) + (", ..." if len(anchors) > MAX_SHOWN else "")
    return f"; trusted here {'are ' + known if known else 'is no CA'}: load its CA, or let its owner have one of these"


def _span(duration: timedelta) -> str:
    """`3 days`, `5 hours`, `2 minutes`: the largest unit that fits."""
    seconds = int(duration.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def listed(certificate: Certificate) -> str:
    shown = ", ".join(str(name) for name in certificate.names[:5])
    return shown + (", ..." if len(certificate.names) > 5 else "") if shown else "nobody"
