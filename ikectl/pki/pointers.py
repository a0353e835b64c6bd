"""Where a certificate's issuer says whether it was revoked: CDP, AIA and freshestCRL (RFC 5280 §4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ikectl.values.record import record

MAX_URIS = 8
"""Of each kind read of one certificate or CRL; two or three are usual."""
MAX_URI_OCTETS = 1024


@record
class Pointers:
    """URIs in the order of the certificate, those of distribution points that we can use."""

    crls: tuple[str, ...] = ()
    deltas: tuple[str, ...] = ()
    """freshestCRL (§4.2.1.15)."""
    ocsp: tuple[str, ...] = ()
    named: bool = False
    """Whether it names any place at all, of use to us or not."""

    @classmethod
    def of(cls, parsed: x509.Certificate) -> Self:
        """Points of other CRL issuers and of some reasons only are left out: such a CRL would not settle the matter."""
        crls: tuple[str, ...] = ()
        deltas: tuple[str, ...] = ()
        ocsp: tuple[str, ...] = ()
        named = False
        for extension in parsed.extensions:
            match extension.value:
                case x509.CRLDistributionPoints() as points:
                    crls, named = uris(points), True
                case x509.FreshestCRL() as points:
                    deltas = uris(points)
                case x509.AuthorityInformationAccess() as accesses:
                    wanted = AuthorityInformationAccessOID.OCSP
                    ocsp = _bounded(_uris(each.access_location for each in accesses if each.access_method == wanted))
                    named = named or bool(ocsp)
        return cls(crls, deltas, ocsp, named)


def uris(points: Iterable[x509.DistributionPoint]) -> tuple[str, ...]:
    """Of the points whose CRL is the issuer's own and has all reasons."""
    whole = (point.full_name or () for point in points if point.reasons is None and point.crl_issuer is None)
    return _bounded(uri for names in whole for uri in _uris(names))


def _uris(names: Iterable[x509.GeneralName]) -> Iterator[str]:
    return (name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))


def _bounded(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(uri for uri in dict.fromkeys(found) if len(uri) <= MAX_URI_OCTETS)[:MAX_URIS]
