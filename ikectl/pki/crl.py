"""Certificate revocation lists, base and delta (RFC 5280 §5), read and verified.

What we do not use: indirect CRLs (of another issuer than the certificate's)
and those of some reasons only. Neither could clear a certificate by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from ikectl.crypto.signature import load_public_key
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.pki.certificate import Certificate, is_pem
from ikectl.pki.finding import Finding, Status, instant, reason_words
from ikectl.pki.pointers import uris
from ikectl.pki.signed import is_signed_by

MAX_CRL_OCTETS = 16 << 20
"""The largest CRLs of public CAs have 10 MiB; those of VPNs a few KiB."""

WEAK_HASHES = frozenset(("md5", "sha1", "unknown"))
"""In signatures of CRLs and OCSP responses: whoever forges one brings a revoked certificate back."""

_KNOWN = frozenset(
    kind.oid
    for kind in (
        x509.CRLNumber,
        x509.DeltaCRLIndicator,
        x509.IssuingDistributionPoint,
        x509.AuthorityKeyIdentifier,
        x509.FreshestCRL,
    )
)


@dataclass(frozen=True, eq=False, slots=True)
class Crl:
    """One CRL as it was issued; `signed_by` says whether it is genuine."""

    parsed: x509.CertificateRevocationList
    der: bytes
    digest: bytes
    """SHA-256 of the DER: its name here."""
    issuer: bytes
    """DER of the issuer's name."""
    since: datetime
    until: datetime
    number: int
    """cRLNumber; -1 where there is none."""
    base: int | None
    """BaseCRLNumber of a delta CRL (§5.2.4); None: this is a base CRL."""
    scope: x509.IssuingDistributionPoint | None
    deltas: tuple[str, ...]
    """Where its delta CRLs are."""
    origin: str
    """URI or file, for the operator."""

    @classmethod
    def read(cls, octets: bytes, origin: str) -> Self:
        """From DER or PEM. Raises CredentialError for anything that is no CRL we can use."""
        if len(octets) > MAX_CRL_OCTETS:
            raise CredentialError(f"a CRL of {len(octets)} octets is larger than we read")
        try:
            if not is_pem(octets):
                return cls._of(x509.load_der_x509_crl(octets), octets, origin)
            parsed = x509.load_pem_x509_crl(octets)
            return cls._of(parsed, parsed.public_bytes(serialization.Encoding.DER), origin)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType) as error:
            raise CredentialError(f"the CRL cannot be read: {error}") from None
        except (x509.InvalidVersion, x509.DuplicateExtension) as error:
            raise CredentialError(f"the CRL cannot be read: {error}") from None

    @classmethod
    def _of(cls, parsed: x509.CertificateRevocationList, der: bytes, origin: str) -> Self:
        number, base, scope = -1, None, None
        deltas: tuple[str, ...] = ()
        for extension in parsed.extensions:
            if extension.critical and extension.oid not in _KNOWN:
                raise ValueError(f"it has a critical extension we do not know ({extension.oid.dotted_string})")
            match extension.value:
                case x509.CRLNumber() as value:
                    number = value.crl_number
                case x509.DeltaCRLIndicator() as value:
                    base = value.crl_number
                case x509.FreshestCRL() as value:
                    deltas = uris(value)
                case x509.IssuingDistributionPoint() as value:
                    scope = value
        if scope is not None and (scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs):
            raise ValueError("it is indirect, of some reasons only, or of attribute certificates")
        if parsed.next_update_utc is None:
            raise ValueError("it has no nextUpdate, which RFC 5280 §5.1.2.5 demands")
        return cls(
            parsed=parsed,
            der=der,
            digest=hashlib.sha256(der).digest(),
            issuer=parsed.issuer.public_bytes(),
            since=parsed.last_update_utc,
            until=parsed.next_update_utc,
            number=number,
            base=base,
            scope=scope,
            deltas=deltas,
            origin=origin,
        )

    def demand_signed_by(self, issuer: Certificate) -> None:
        """Raises CredentialError unless the key of that CA made it (§6.3.3 (f), (g))."""
        if issuer.subject.data != self.issuer:
            raise CredentialError(f"{self} is not by {issuer}")
        if not issuer.vouches.crls:
            raise CredentialError(f"the key usage of {issuer} allows it to sign no CRLs")
        try:
            hashing = self.parsed.signature_hash_algorithm
            if hashing is not None and hashing.name in WEAK_HASHES:
                raise CredentialError(f"{self} is signed with {hashing.name.upper()}, which is not accepted")
            genuine = is_signed_by(self.parsed, self.der, load_public_key(issuer.spki))
        except (AuthenticationFailed, UnsupportedAlgorithm, ValueError, TypeError) as error:
            raise CredentialError(f"the signature of {self} cannot be checked: {error}") from None
        if not genuine:
            raise CredentialError(f"the signature of {self} is wrong, or by another key than that of {issuer}")

    def covers(self, certificate: Certificate) -> bool:
        """Whether the certificate is in its scope, so that not to be listed means to be good (§6.3.3 (b) (2))."""
        scope = self.scope
        if scope is None:
            return True
        if (scope.only_contains_user_certs and certificate.is_ca) or (
            scope.only_contains_ca_certs and not certificate.is_ca
        ):
            return False
        if scope.relative_name is not None:
            return False
        names = [name.value for name in scope.full_name or () if isinstance(name, x509.UniformResourceIdentifier)]
        return scope.full_name is None or not set(names).isdisjoint(certificate.pointers.crls)

    def entry(self, certificate: Certificate) -> x509.RevokedCertificate | None:
        """What it says of the certificate, if it is listed. Walks through the list."""
        return self.parsed.get_revoked_certificate_by_serial_number(certificate.serial)

    def completes(self, base: Crl) -> bool:
        """Whether this delta CRL may be put on top of `base` (§5.2.4)."""
        return (
            self.base is not None
            and base.base is None
            and self.issuer == base.issuer
            and self.scope == base.scope
            and self.base <= base.number <= self.number
        )

    def __str__(self) -> str:
        return f"the {'delta CRL' if self.base is not None else 'CRL'} from {self.origin} of {instant(self.since)}"


def look_up(certificate: Certificate, base: Crl, deltas: Iterable[Crl], at: datetime) -> Finding:
    """What a base CRL and the newest fresh one of `deltas` say of a certificate that `base` covers.

    All of them are genuine. With a delta the base CRL may be older than its
    nextUpdate: together they are complete (§5.2.4).
    """
    fitting = [delta for delta in deltas if delta.completes(base) and delta.since <= at <= delta.until]
    newest = max(fitting, key=lambda delta: (delta.number, delta.since), default=None)
    told = newest.entry(certificate) if newest is not None else None
    source = newest or base
    if told is None:
        told, source = base.entry(certificate), newest if newest is not None else base
    reason = _reason(told) if told is not None else None
    since, until = (source.since, source.until)
    text = str(base) if newest is None else f"{newest}, with {base}"
    if told is None or reason is x509.ReasonFlags.remove_from_crl:
        return Finding(Status.GOOD, since, until, text)
    return Finding(Status.REVOKED, since, until, text, told.revocation_date_utc, reason_words(reason))


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, ValueError):
        return None
