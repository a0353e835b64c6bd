"""The cryptographic primitives of one handshake, called bare: what no protocol code can save."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from benchmarks.peers import SECRET, Case, Credentials, connection
from ikectl.auth.base import ANNOUNCED_HASHES
from ikectl.auth.methods_v1 import offered
from ikectl.auth.psk import psk_auth
from ikectl.config.model import Local
from ikectl.crypto import ke, signature_v1
from ikectl.crypto.kdf_v1 import derive, hash_i, hash_r, skeyid_psk, skeyid_signature
from ikectl.crypto.kdf_v1 import derive_child as derive_child_v1
from ikectl.crypto.kdf_v2 import derive_child, derive_ike, derive_intermediate
from ikectl.crypto.prf import Prf
from ikectl.crypto.proposal import ChildSuite, IkeSuite, accepted, offer, parse_proposal
from ikectl.crypto.proposal_v1 import offer_phase1, select_phase1
from ikectl.crypto.signature import auth_payload_data, verify
from ikectl.iana.v1 import AuthMethod as AuthMethodV1
from ikectl.iana.v2 import AuthMethod, KeyExchangeMethod, Protocol
from ikectl.pki import isakmp
from ikectl.pki.certificate import Certificate

Work = Callable[[], object]


def primitives(case: Case, credentials: Credentials, role: str) -> Work:
    """A function that does all primitives of `role` once.

    An additional key exchange has an IKE_INTERMEDIATE of its own: keys anew,
    a message of about 1,200 octets each way, and both of them under the prf
    for AUTH (RFC 9370 §2.2.2, RFC 9242 §3.3).
    """
    if case.mode:
        return _of_v1(case, credentials, role)
    suite = IkeSuite.of(_settled(case.ike, Protocol.IKE))
    child = ChildSuite.of(_settled(case.esp, Protocol.ESP))
    prf = suite.prf
    first, *more = (_exchange(method, role) for method in (suite.ke, *suite.additional))
    nonce_i, nonce_r, spi_i, spi_r = (secrets.token_bytes(n) for n in (32, 32, 8, 8))
    octets, aad, plain, long, iv = secrets.token_bytes(350), bytes(32), bytes(200), bytes(1200), bytes(8)
    prove, check = _authentication(credentials, prf, octets)

    def work() -> None:
        keys = derive_ike(suite, first(), nonce_i, nonce_r, spi_i, spi_r)
        for exchange in more:
            sealed = suite.ike_cipher(keys.sk_ei, keys.sk_ai).seal(iv, aad, long)
            suite.ike_cipher(keys.sk_ei, keys.sk_ai).open(iv, aad, sealed)
            prf.compute(keys.sk_pi, long)
            prf.compute(keys.sk_pr, long)
            keys = derive_intermediate(suite, keys.sk_d, exchange(), nonce_i, nonce_r, spi_i, spi_r)
        sealed = suite.ike_cipher(keys.sk_ei, keys.sk_ai).seal(iv, aad, plain)
        suite.ike_cipher(keys.sk_ei, keys.sk_ai).open(iv, aad, sealed)
        prf.compute(keys.sk_pi, octets[:20])
        prf.compute(keys.sk_pr, octets[:20])
        prove()
        check()
        derive_child(prf, child, keys.sk_d, nonce_i, nonce_r)

    return work


def _of_v1(case: Case, credentials: Credentials, role: str) -> Work:
    """The same for a phase 1 of IKEv1 and a quick mode without PFS (RFC 2409 §5, §5.5).

    Messages of about 100 octets are encrypted and decrypted: two of phase 1, or one of aggressive mode, and three
    of quick mode, each of these under a HASH.
    """
    methods = offered(connection(case, credentials, "client", "10.0.0.1", "%any", "192.0.2.1", "client"), True)
    choice = select_phase1(
        offer_phase1([parse_proposal(case.ike, Protocol.IKE)], methods),
        [parse_proposal(case.ike, Protocol.IKE)],
        methods,
    )
    suite, child = choice.suite, ChildSuite.of(_settled(case.esp, Protocol.ESP))
    prf, exchange = suite.prf, _exchange(suite.ke, role)
    nonce_i, nonce_r, spi_i, spi_r = (secrets.token_bytes(n) for n in (32, 32, 8, 8))
    public, sa_body, plain, iv = (secrets.token_bytes(n) for n in (64, 100, 96, 16))
    messages = 5 if case.mode == "main" else 4
    prove, check = _authentication_v1(credentials, choice.method)

    def work() -> None:
        shared = exchange()
        if credentials.certs:
            skeyid = skeyid_signature(prf, nonce_i, nonce_r, shared)
        else:
            skeyid = skeyid_psk(prf, SECRET, nonce_i, nonce_r)
        keys = derive(suite, skeyid, shared, spi_i, spi_r)
        hash_i(prf, skeyid, public, public, spi_i, spi_r, sa_body, plain)
        hash_r(prf, skeyid, public, public, spi_i, spi_r, sa_body, plain)
        prove()
        check()
        for number in range(messages):
            cipher = suite.encrypt if number % 2 else suite.decrypt
            cipher(keys.cipher_key, iv, plain)
        for _ in range(3):
            prf.compute(keys.skeyid_a, plain)
        derive_child_v1(prf, child, keys.skeyid_d, 3, spi_i[:4], spi_r[:4], nonce_i, nonce_r)

    return work


def _authentication_v1(credentials: Credentials, method: AuthMethodV1) -> tuple[Work, Work]:
    """SIG made and checked; with a pre-shared key HASH is all there is."""
    if not credentials.certs:
        return (lambda: None), (lambda: None)
    store, leaf = credentials.stores["gateway"], credentials.certs["gateway"]
    signer = isakmp.choose(store, Local(certs=(leaf,)), (), method, None)
    spki, hashed = Certificate.read(leaf).spki, secrets.token_bytes(32)
    signature = isakmp.sign_hash(store, signer.key_id, method, hashed)
    return (
        lambda: isakmp.sign_hash(store, signer.key_id, method, hashed),
        lambda: signature_v1.verify(spki, method, signature, hashed),
    )


def _settled(words: str, protocol: Protocol) -> Any:
    (proposal,) = offer([parse_proposal(words, protocol)])
    return accepted((proposal,), proposal)


def _exchange(method: KeyExchangeMethod, role: str) -> Callable[[], bytes]:
    pair = ke.generate(method, secrets.token_bytes)
    if role == "responder":
        return lambda: ke.answer(method, pair.public, secrets.token_bytes)[1]
    # To a KEM's fresh key an old ciphertext is as good as any: decapsulation takes the same time.
    public = ke.answer(method, pair.public, secrets.token_bytes)[0]
    return lambda: ke.combine(ke.generate(method, secrets.token_bytes), public)


def _authentication(credentials: Credentials, prf: Prf, octets: bytes) -> tuple[Work, Work]:
    """Ours made, and the peer's checked."""
    if not credentials.certs:

        def mac() -> bytes:
            return psk_auth(prf, SECRET, octets)

        return mac, mac
    store, leaf = credentials.stores["gateway"], credentials.certs["gateway"]
    signer = store.choose(Local(certs=(leaf,)), (), ANNOUNCED_HASHES)
    spki = Certificate.read(leaf).spki
    signature = auth_payload_data(signer.scheme, store.sign(signer.key_id, signer.scheme, octets))
    return (
        lambda: store.sign(signer.key_id, signer.scheme, octets),
        lambda: verify(spki, AuthMethod.DIGITAL_SIGNATURE, signature, octets, ANNOUNCED_HASHES),
    )
