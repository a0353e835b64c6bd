"""Digital signatures with certificates (RFC 7296 §2.15, RFC 7427)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.auth.base import AuthContext, Proof
from ikectl.auth.peer import demand_unrevoked
from ikectl.config.model import Local, Remote
from ikectl.crypto.signature import auth_payload_data
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v2 import AuthMethod, CertEncoding
from ikectl.pki.certificate import key_bits
from ikectl.pki.chain import MAX_PEER_CERTIFICATES
from ikectl.pki.constraints import scheme_fits
from ikectl.sa.asks import CheckChain, ChooseKey, OwnResponse, Sign, Verify
from ikectl.wire.v2.identity import AUTH, CERT

_METHODS = frozenset(
    (
        AuthMethod.RSA_SIGNATURE,
        AuthMethod.ECDSA_256,
        AuthMethod.ECDSA_384,
        AuthMethod.ECDSA_521,
        AuthMethod.DIGITAL_SIGNATURE,
    )
)


class Signature:
    """AUTH methods 1, 9 to 11 and 14; 14 only when both sent SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4)."""

    async def prove(self, local: Local, context: AuthContext) -> Proof:
        try:
            signer = await ChooseKey(local, context.authorities, context.peer_hashes)
            signature = await Sign(signer.key_id, signer.scheme, context.octets_local)
        except CredentialError as error:
            raise AuthenticationFailed(f"cannot prove ourselves: {error}") from error
        certificates = signer.certificates if context.send_certs else ()
        certs = [CERT(CertEncoding.X509_SIGNATURE, der) for der in certificates]
        if certs and context.send_ocsp:
            response = await OwnResponse(signer.certificates)
            certs += [CERT(CertEncoding.OCSP_CONTENT, response)] if response else []
        return Proof(
            AUTH(signer.scheme.method, auth_payload_data(signer.scheme, signature)),
            certs,
            signer.scheme.name,
        )

    async def verify(self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
        if auth.method not in _METHODS:
            raise AuthenticationFailed(f"a signature is configured, but the peer used {auth.method}")
        if auth.method == AuthMethod.DIGITAL_SIGNATURE and context.peer_hashes is None:
            raise AuthenticationFailed(
                "the peer used the Digital Signature method, which needs SIGNATURE_HASH_ALGORITHMS from both"
            )
        chain = tuple(cert.data for cert in certs if cert.encoding == CertEncoding.X509_SIGNATURE)
        responses = tuple(cert.data for cert in certs if cert.encoding == CertEncoding.OCSP_CONTENT)
        try:
            peer = await CheckChain(
                chain[:MAX_PEER_CERTIFICATES], remote, context.remote_id, responses if context.hear_ocsp else ()
            )
            scheme = await Verify(peer.spki, auth.method, auth.data, context.octets_remote, context.our_hashes)
        except CredentialError as error:
            raise AuthenticationFailed(str(error)) from error
        if context.peer_hashes is not None and scheme.hash not in context.our_hashes:
            # Method 1 leaves the hash to the sender: no way around what both announced (RFC 7427 §5).
            raise AuthenticationFailed(f"signed as {scheme}, whose hash we did not announce")
        rules = remote.auth.ike
        if rules and not scheme_fits(scheme, key_bits(peer.spki), rules):
            raise AuthenticationFailed(f"remote.auth does not accept {scheme} of {context.remote_id}")
        try:
            await demand_unrevoked(peer, remote)
        except CredentialError as error:
            raise AuthenticationFailed(str(error)) from error
        return scheme.name
