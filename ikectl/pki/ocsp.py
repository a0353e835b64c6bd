"""OCSP (RFC 6960): requests, and responses verified. What is asked where, and by whom, is not decided here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import SignatureAlgorithmOID

from ikectl.crypto.signature import PublicKey, load_public_key
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.pki.certificate import Certificate
from ikectl.pki.crl import WEAK_HASHES
from ikectl.pki.finding import Finding, Status, instant, reason_words

MAX_RESPONSE_OCTETS = 64 * 1024
"""A response for one certificate has 0.5 to 4 KiB, with the responder's certificates."""

NONCE_OCTETS = 32
"""RFC 9654 §2.1."""

WITHOUT_NEXT_UPDATE = timedelta(minutes=5)
"""For how long a response is good that does not say (newer information is always available, RFC 6960 §4.2.2.1)."""

MAX_RESPONDER_CERTIFICATES = 8
MAX_SINGLE_RESPONSES = 32

_PSS_HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())


def request(certificate: Certificate, issuer: Certificate, nonce: bytes) -> bytes:
    """DER of an OCSPRequest for one certificate; an empty nonce is none.

    SHA-1 names it: the hash that every responder knows (RFC 5019 §2.1.1).
    """
    name = hashlib.sha1(issuer.subject.data, usedforsecurity=False).digest()
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, issuer.key_id, certificate.serial, hashes.SHA1())
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def judge(
    octets: bytes,
    certificate: Certificate,
    issuer: Certificate,
    at: datetime,
    *,
    nonce: bytes | None = None,
    origin: str,
    trusted: Iterable[Certificate] = (),
    revoked: Callable[[Certificate], bool] = lambda signer: False,
) -> Finding:
    """What a response (DER) says of `certificate`.

    It must be signed by `issuer`, by a responder that `issuer` itself
    delegated this to (RFC 6960 §4.2.2.2), or by one of `trusted`; `revoked`
    tells whether a delegated responder lost its right. A `nonce` that comes
    back must be ours; responders may leave it out (RFC 9654 §2.1), and then
    the response's own dates must do.

    Raises:
        CredentialError: it cannot be used, and why.
    """
    response = _read(octets)
    _demand_signature(response, issuer, at, trusted, revoked, origin)
    answered = _find(response.extensions, x509.OCSPNonce)
    if nonce is not None and answered is not None and answered.nonce != nonce:
        raise CredentialError(f"the OCSP response from {origin} answers another request than ours: its nonce differs")
    single = _about(response, certificate, issuer, origin)
    since = single.this_update_utc
    until = single.next_update_utc
    if until is None:
        until = (at if nonce is not None and answered is not None else since) + WITHOUT_NEXT_UPDATE
    source = f"the OCSP response from {origin} of {instant(since)}"
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        return Finding(
            Status.REVOKED, since, until, source, single.revocation_time_utc, reason_words(single.revocation_reason)
        )
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise CredentialError(f"{source} does not know the certificate")
    finding = Finding(Status.GOOD, since, until, source)
    if not finding.fresh(at):
        when = "is not valid yet: compare the clocks" if since > at else f"is stale since {instant(until)}"
        raise CredentialError(f"{source} {when}")
    return finding


def _read(octets: bytes) -> ocsp.OCSPResponse:
    if len(octets) > MAX_RESPONSE_OCTETS:
        raise CredentialError(f"an OCSP response of {len(octets)} octets is larger than we read")
    try:
        response = ocsp.load_der_ocsp_response(octets)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            words = response.response_status.name.lower().replace("_", " ")
            raise CredentialError(f"the OCSP responder answered: {words}")
        for extension in response.extensions:
            if extension.critical and not isinstance(extension.value, x509.OCSPNonce):
                raise CredentialError("the OCSP response has a critical extension we do not know")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CredentialError(f"the OCSP response cannot be read: {error}") from None
    return response


def _find(extensions: x509.Extensions, kind: type[x509.OCSPNonce]) -> x509.OCSPNonce | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _about(
    response: ocsp.OCSPResponse, certificate: Certificate, issuer: Certificate, origin: str
) -> ocsp.OCSPSingleResponse:
    """The single response whose CertID is that of the certificate (RFC 6960 §4.1.1)."""
    for number, single in enumerate(_singles(response)):
        if number == MAX_SINGLE_RESPONSES:
            break
        if single.serial_number != certificate.serial:
            continue
        try:
            name, key = _issuer_hashes(certificate, issuer, single.hash_algorithm)
        except (UnsupportedAlgorithm, ValueError):
            continue
        if (name, key) == (single.issuer_name_hash, single.issuer_key_hash):
            return single
    raise CredentialError(f"the OCSP response from {origin} is not about this certificate")


def _singles(response: ocsp.OCSPResponse) -> Iterator[ocsp.OCSPSingleResponse]:
    try:
        yield from response.responses
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"the OCSP response cannot be read: {error}") from None


def _issuer_hashes(
    certificate: Certificate, issuer: Certificate, algorithm: hashes.HashAlgorithm
) -> tuple[bytes, bytes]:
    """Hashes of the issuer's name and of its subjectPublicKey bits."""
    built = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(
            x509.load_der_x509_certificate(certificate.der), x509.load_der_x509_certificate(issuer.der), algorithm
        )
        .build()
    )
    return built.issuer_name_hash, built.issuer_key_hash


# -- who signed it -------------------------------------------------------------


def _demand_signature(
    response: ocsp.OCSPResponse,
    issuer: Certificate,
    at: datetime,
    trusted: Iterable[Certificate],
    revoked: Callable[[Certificate], bool],
    origin: str,
) -> None:
    """Raises CredentialError unless somebody signed it who may."""
    refusal = f"the OCSP response from {origin} is signed by nobody who may: neither {issuer} nor a responder of it"
    for signer in (issuer, *trusted):
        if _named(response, signer) and _signed(response, signer.spki):
            return
    for delegated in _delegated(response):
        if not _named(response, delegated) or not _signed(response, delegated.spki):
            continue
        why = _unfit(delegated, issuer, at, revoked)
        if not why:
            return
        refusal = f"the OCSP response from {origin} is signed by {delegated}, which may not: {why}"
    raise CredentialError(refusal)


def _delegated(response: ocsp.OCSPResponse) -> Iterator[Certificate]:
    try:
        held = response.certificates[:MAX_RESPONDER_CERTIFICATES]
    except ValueError:
        return
    for each in held:
        try:
            yield Certificate.read(each.public_bytes(serialization.Encoding.DER))
        except CredentialError:
            continue


def _named(response: ocsp.OCSPResponse, signer: Certificate) -> bool:
    """Whether the ResponderID is that of `signer` (RFC 6960 §4.2.2.3)."""
    name = response.responder_name
    if name is not None:
        return name.public_bytes() == signer.subject.data
    return response.responder_key_hash == signer.key_id


def _unfit(responder: Certificate, issuer: Certificate, at: datetime, revoked: Callable[[Certificate], bool]) -> str:
    """Why a responder may not sign for `issuer`; empty if it may."""
    if not responder.vouches.ocsp:
        return "its certificate is not for OCSP signing"
    if not responder.not_before <= at <= responder.not_after:
        return "its certificate is not valid now"
    try:
        parsed = x509.load_der_x509_certificate(responder.der)
        parsed.verify_directly_issued_by(x509.load_der_x509_certificate(issuer.der))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return f"its certificate is not issued by {issuer}"
    if responder.signed_with in WEAK_HASHES:
        return f"its certificate is signed with {responder.signed_with.upper()}"
    return "its certificate was revoked" if revoked(responder) else ""


def _signed(response: ocsp.OCSPResponse, spki: bytes) -> bool:
    try:
        key = load_public_key(spki)
        return any(_verifies(response, key, scheme) for scheme in _schemes(response, key))
    except (AuthenticationFailed, UnsupportedAlgorithm, ValueError):
        return False


def _schemes(response: ocsp.OCSPResponse, key: PublicKey) -> Iterator[tuple[object, ...]]:
    """What `verify` of that key takes after signature and octets. The library does not tell the parameters of PSS."""
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        for hashing in _PSS_HASHES if isinstance(key, rsa.RSAPublicKey) else ():
            yield padding.PSS(padding.MGF1(hashing), padding.PSS.AUTO), hashing
        return
    algorithm = response.signature_hash_algorithm
    if algorithm is None:
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            yield ()
    elif algorithm.name in WEAK_HASHES:
        raise ValueError("a broken hash")
    elif isinstance(key, rsa.RSAPublicKey):
        yield padding.PKCS1v15(), algorithm
    elif isinstance(key, ec.EllipticCurvePublicKey):
        yield (ec.ECDSA(algorithm),)


def _verifies(response: ocsp.OCSPResponse, key: PublicKey, scheme: tuple[object, ...]) -> bool:
    try:
        key.verify(response.signature, response.tbs_response_bytes, *scheme)  # type: ignore[arg-type]
    except InvalidSignature:
        return False
    return True
