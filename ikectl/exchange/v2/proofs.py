"""What both halves of IKE_AUTH rest a proof of identity on (RFC 7296 §2.15, §2.16)."""

from __future__ import annotations

from hmac import compare_digest

from ikectl.auth.base import AuthContext, CertPolicy
from ikectl.auth.octets import signed_octets
from ikectl.auth.psk import psk_auth
from ikectl.config.model import AuthKind, Connection, Local, SendCert
from ikectl.errors import AuthenticationFailed
from ikectl.iana.v2 import AuthMethod, CertEncoding, IdType
from ikectl.sa.asks import ChooseKey
from ikectl.sa.association import IkeState
from ikectl.sa.events import IkeUp
from ikectl.sa.ike_sa import IkeSa, Wanted
from ikectl.values.identity import Identity
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.v2.identity import AUTH, IDi, IDr

ANYBODY = Identity(IdType.ANY, b"")
"""Whom we expect while the configuration names nobody and the peer has not spoken."""
NOBODY = Identity(IdType.NULL, b"")
"""ID_NULL: an end that does not say who it is (RFC 7619 §2.2)."""

MAX_MESSAGES = 128
"""Requests of IKE_AUTH in one handshake: several rounds, each with an EAP method of many messages, and no more."""


def covered(sa: IkeSa, by_initiator: bool, id_body: bytes) -> bytes:
    """What the AUTH of one end covers, given the body of its ID payload (RFC 7296 §2.15)."""
    shake, keys, suite = sa.handshake, sa.keys, sa.suite
    assert shake is not None and keys is not None and suite is not None
    if by_initiator:
        octets = signed_octets(shake.request, shake.nonce_r, suite.prf, keys.sk_pi, id_body)
    else:
        octets = signed_octets(shake.response, shake.nonce_i, suite.prf, keys.sk_pr, id_body)
    if shake.intermediates:
        # RFC 9242 §3.3.1: IntAuth of both ends and the message ID of the (first) IKE_AUTH request.
        octets += shake.int_auth_i + shake.int_auth_r + (1 + shake.intermediates).to_bytes(4, "big")
    return octets


def context(sa: IkeSa, connection: Connection, local_id: Identity, remote_id: Identity) -> AuthContext:
    """What proving ourselves as `local_id` needs; `heard` adds the peer's side."""
    shake, suite, keys = sa.handshake, sa.suite, sa.keys
    assert shake is not None and suite is not None and keys is not None
    own, other = (keys.sk_pi, keys.sk_pr) if sa.initiator else (keys.sk_pr, keys.sk_pi)
    about = AuthContext(
        prf=suite.prf,
        octets_local=covered(sa, sa.initiator, IDi.of(local_id).body()),  # IDi and IDr are laid out alike
        octets_remote=b"",
        local_id=local_id,
        remote_id=remote_id,
        path=sa.path,
        sk_local=own,
        sk_remote=other,
    )
    if connection.by_key_pair:
        about.peer_hashes, about.methods = shake.hashes, shake.methods
        about.authorities, about.certs = shake.wanted.authorities, _cert_policy(connection, shake.wanted)
    return about


def _cert_policy(connection: Connection, wanted: Wanted) -> CertPolicy:
    always, if_asked = connection.send_cert is SendCert.ALWAYS, connection.send_cert is SendCert.IFASKED
    return CertPolicy(
        send=always or (if_asked and bool(wanted.encodings)),
        send_ocsp=CertEncoding.OCSP_CONTENT in wanted.encodings and connection.ocsp.replies,
        send_uris=wanted.looks_up,
        uris=connection.cert_uris,
        send_raw_key=always or (if_asked and CertEncoding.RAW_PUBLIC_KEY in wanted.encodings),
        hear_ocsp=connection.ocsp.requests,
    )


def heard(about: AuthContext, sa: IkeSa, peer: IDi | IDr, identity: Identity) -> AuthContext:
    """The same once the peer's ID payload came, with that identity; its reserved octets are covered by AUTH, too."""
    if identity is not about.remote_id and identity != about.remote_id:
        about.remote_id, about.shared_key = identity, None
    about.octets_remote = covered(sa, not sa.initiator, peer.body())
    return about


def keyed(about: AuthContext, msk: Secret | None) -> AUTH:
    """Our AUTH at the end of EAP, by the key of the method; one that makes none leaves SK_pi and SK_pr (§2.16)."""
    return AUTH(AuthMethod.SHARED_KEY_MIC, psk_auth(about.prf, msk or about.sk_local, about.octets_local))


def check_keyed(about: AuthContext, msk: Secret | None, proof: AUTH) -> None:
    """The peer's AUTH at the end of EAP, likewise. Raises AuthenticationFailed."""
    expected = psk_auth(about.prf, msk or about.sk_remote, about.octets_remote)
    if proof.method is not AuthMethod.SHARED_KEY_MIC or not compare_digest(expected, proof.data):
        raise AuthenticationFailed(f"the AUTH payload of {about.remote_id} is not made with the key of EAP")


async def own_identity(sa: IkeSa, local: Local) -> Identity:
    """The configured identity; else the certificate's subject, else our address (swanctl's rule).

    Raises CredentialError when there is no key to take the subject from.
    """
    assert sa.handshake is not None
    if local.auth.kind is AuthKind.NULL:
        return NOBODY
    if local.id is not None:
        return local.id
    if local.auth.kind is not AuthKind.PUBKEY or local.pubkeys:
        return Identity.of_address(sa.path.local.address)
    signer = await ChooseKey(local, sa.handshake.wanted.authorities, sa.handshake.hashes, sa.handshake.methods)
    return signer.identity


def establish(sa: IkeSa) -> None:
    """Both ends are proven: the SA stands, and what only the handshake needed is forgotten."""
    assert sa.keys is not None
    sa.move(IkeState.ESTABLISHED)
    sa.proven = sa.path
    sa.caller = sa.initiator
    sa.handshake = None
    sa.keys.sk_pi = sa.keys.sk_pr = NO_SECRET
    sa.emit(IkeUp(sa))
