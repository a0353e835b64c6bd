"""Digital signatures with certificates (RFC 7296 §2.15, RFC 7427)."""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.auth.base import AuthContext, Proof
from ikectl.auth.lookup import by_uri, certificates_of
from ikectl.auth.peer import demand_unrevoked
from ikectl.auth.raw import verify_raw
from ikectl.config.model import Local, Remote
from ikectl.crypto.signature import Scheme, auth_payload_data
from ikectl.errors import AuthenticationFailed, BackendError, CannotProve, CredentialError
from ikectl.iana.v2 import AuthMethod, CertEncoding
from ikectl.pki.certificate import key_bits
from ikectl.pki.chain import MAX_PEER_CERTIFICATES, Peer
from ikectl.pki.constraints import scheme_fits
from ikectl.pki.signer import Signer
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
            signer = await ChooseKey(local, context.authorities, context.peer_hashes, context.methods)
            signature = await Sign(signer.key_id, signer.scheme, context.octets_local)
        except CredentialError as error:
            raise CannotProve(f"cannot prove ourselves: {error}") from error
        auth = AUTH(signer.scheme.method, auth_payload_data(signer.scheme, signature))
        return Proof(auth, await self._certificates(signer, context), signer.scheme.name)

    async def _certificates(self, signer: Signer, context: AuthContext) -> list[CERT]:
        """What tells the peer our key, as far as it wants to be told."""
        if signer.public_key:
            return [CERT(CertEncoding.RAW_PUBLIC_KEY, signer.public_key)] if context.certs.send_raw_key else []
        if not context.certs.send:
            return []
        certs = [
            by_uri(der, uri) if uri and context.certs.send_uris else CERT(CertEncoding.X509_SIGNATURE, der)
            for der, uri in zip(signer.certificates, signer.uris or [""] * len(signer.certificates), strict=True)
        ]
        if context.certs.send_ocsp:
            try:
                response = await OwnResponse(signer.certificates)
            except BackendError:
                response = b""  # the peer may do without, and says so if not
            certs += [CERT(CertEncoding.OCSP_CONTENT, response)] if response else []
        return certs

    async def verify(self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]) -> str:
        if auth.method not in _METHODS:
            raise AuthenticationFailed(f"a signature is configured, but the peer used {auth.method}")
        if auth.method == AuthMethod.DIGITAL_SIGNATURE and context.peer_hashes is None:
            raise AuthenticationFailed(
                "the peer used the Digital Signature method, which needs SIGNATURE_HASH_ALGORITHMS from both"
            )
        try:
            peer, scheme = await self._signed(remote, context, auth, certs)
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

    async def _signed(
        self, remote: Remote, context: AuthContext, auth: AUTH, certs: Sequence[CERT]
    ) -> tuple[Peer, Scheme]:
        """Who signed, and how. Raises AuthenticationFailed, CredentialError."""
        if remote.pubkeys:
            found = await verify_raw(remote, context, auth, certs)
            if found is not None:
                return Peer(found[0], ()), found[1]
            if not (remote.certs or remote.cacerts):
                raise AuthenticationFailed(f"the signature of {context.remote_id} is by none of {remote.name}.pubkeys")
        chain = await certificates_of(certs, context.certs.uris)
        responses = tuple(cert.data for cert in certs if cert.encoding == CertEncoding.OCSP_CONTENT)
        peer = await CheckChain(
            chain[:MAX_PEER_CERTIFICATES], remote, context.remote_id, responses if context.certs.hear_ocsp else ()
        )
        return peer, await Verify(peer.spki, auth.method, auth.data, context.octets_remote, context.our_hashes)
