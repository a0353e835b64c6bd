"""Phase 1 with signatures (RFC 2409 §5.1, RFC 4754), and with the signature of one end alone (hybrid).

In hybrid mode the end whose user logs in by XAUTH sends the bare HASH where
its SIG would be: it proves nothing but that it took part in this key exchange
(draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from ikectl.auth.methods_v1 import Meaning
from ikectl.auth.peer import demand_unrevoked
from ikectl.auth.v1.base import Authentication
from ikectl.auth.v1.certificates import peer_chain
from ikectl.config.model import KeyConstraint, Local, Remote, SendCert
from ikectl.crypto.kdf_v1 import skeyid_signature
from ikectl.crypto.suite_v1 import IsakmpSuite
from ikectl.errors import AuthenticationFailed, CredentialError
from ikectl.iana.v1 import AuthMethod, CertEncoding
from ikectl.iana.v2 import HashAlgorithm, PrfId
from ikectl.pki.certificate import key_bits
from ikectl.pki.signer import IsakmpSigner
from ikectl.sa.asks import CheckChain, ChooseKeyV1, SignHash, VerifyHash
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from ikectl.wire.v1.identity import CERT
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.keying import Signature as Sig
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.payload import Payload

_ECDSA = {
    AuthMethod.ECDSA_256: HashAlgorithm.SHA2_256,
    AuthMethod.ECDSA_384: HashAlgorithm.SHA2_384,
    AuthMethod.ECDSA_521: HashAlgorithm.SHA2_512,
}
"""The methods that are not RSA's, with the hash each has of its own (RFC 4754 §3)."""

_HASHES = {
    PrfId.HMAC_SHA1: HashAlgorithm.SHA1,
    PrfId.HMAC_SHA2_256: HashAlgorithm.SHA2_256,
    PrfId.HMAC_SHA2_384: HashAlgorithm.SHA2_384,
    PrfId.HMAC_SHA2_512: HashAlgorithm.SHA2_512,
}
"""The negotiated hash as constraints name it; they have no word for MD5."""


class Signature(Authentication):
    """One phase 1 by signatures."""

    def __init__(self, method: AuthMethod, means: Meaning) -> None:
        self._method = method
        self._means = means

    async def own_identity(self, sa: IsakmpSa, local: Local) -> Identity:
        """The configured identity; else the subject of our certificate."""
        if local.id is None and self._means.we_prove:
            return (await self._signer(sa, local)).identity
        return await super().own_identity(sa, local)

    async def skeyid(self, sa: IsakmpSa) -> Secret:
        shake, suite = sa.handshake, sa.suite
        assert shake is not None and suite is not None
        return skeyid_signature(suite.prf, shake.nonce_i, shake.nonce_r, shake.shared)

    async def prove(self, sa: IsakmpSa, local: Local, hash: bytes) -> list[Payload]:
        if not self._means.we_prove:
            # Who asks for a certificate must get an empty one (hybrid-auth-05 §4.2).
            asked = sa.handshake is not None and sa.handshake.asked
            return [*([CERT(CertEncoding.X509_SIGNATURE, b"")] if asked else []), Hash(hash)]
        signer = await self._signer(sa, local)
        if local.id is None and signer.identity != sa.local_id:
            # The peer's CERTREQs came after our identity, which was taken from a certificate, had gone out.
            signer = await ChooseKeyV1(local, (), self._method)
        signature = await SignHash(signer.key_id, self._method, hash)
        certificates = signer.certificates if _wanted(sa, local) else ()
        return [*(CERT(CertEncoding.X509_SIGNATURE, der) for der in certificates), Sig(signature)]

    async def verify(self, sa: IsakmpSa, message: Message, remote: Remote, hash: bytes) -> str:
        identity = sa.remote_id
        assert identity is not None and sa.suite is not None
        if not self._means.peer_proves:
            if not compare_digest(message.one(Hash).data, hash):
                raise AuthenticationFailed(f"the HASH of {identity} is wrong")
            return "nothing yet: its user is to log in (hybrid)"
        data = message.one(Sig).data
        try:
            peer = await CheckChain(peer_chain(message, identity), remote, identity)
        except CredentialError as error:
            raise AuthenticationFailed(str(error)) from error
        await VerifyHash(peer.spki, self._method, data, hash)
        if not _fits(self._method, sa.suite, key_bits(peer.spki), remote.auth.ike):
            raise AuthenticationFailed(f"remote.auth does not accept the key and hash of {identity}")
        try:
            await demand_unrevoked(peer, remote)
        except CredentialError as error:
            raise AuthenticationFailed(str(error)) from error
        return f"{self._method} signature"

    async def _signer(self, sa: IsakmpSa, local: Local) -> IsakmpSigner:
        assert sa.handshake is not None
        return await ChooseKeyV1(local, sa.handshake.authorities, self._method)


def _wanted(sa: IsakmpSa, local: Local) -> bool:
    """Whether our certificates go out: send_cert, and whether the peer asked (RFC 4945 §3.3.6)."""
    shake = sa.handshake
    assert shake is not None
    known = (*shake.candidates, *filter(None, (sa.connection,)))
    sending = next((each.send_cert for each in known if local is each.local[0]), SendCert.IFASKED)
    return sending is SendCert.ALWAYS or (sending is SendCert.IFASKED and shake.asked)


def _fits(method: AuthMethod, suite: IsakmpSuite, bits: int, rules: Sequence[KeyConstraint]) -> bool:
    """Whether a constraint allows signatures by a key of that size. RSA signs the negotiated hash, and never as PSS."""
    key = "ecdsa" if method in _ECDSA else "rsa"
    hash = _ECDSA.get(method, _HASHES.get(suite.prf_row.id))
    return not rules or any(
        rule.key in ("", key)
        and bits >= rule.min_bits
        and not (rule.pss and key == "rsa")
        and (not rule.hashes or hash in rule.hashes)
        for rule in rules
    )
