"""The cryptographic primitives of one handshake, called bare: what no protocol code can save."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Callable
from time import process_time_ns

from benchmarks.peers import NOW, SECRET, Case, Credentials
from ikectl.auth.psk import psk_auth
from ikectl.crypto import ke
from ikectl.crypto.kdf_v2 import derive_child, derive_ike
from ikectl.crypto.proposal import ChildSuite, IkeSuite, accepted, offer, parse_proposal
from ikectl.crypto.signature import verify
from ikectl.iana.v2 import AuthMethod, KeyExchangeMethod, Protocol
from ikectl.config.model import Local
from ikectl.pki.certificate import Certificate
from ikectl.auth.base import ANNOUNCED_HASHES

ROUNDS = 300


def primitives(case: Case, credentials: Credentials, role: str) -> float:
    """Median CPU microseconds of all primitives of `role`."""
    work = _work(case, credentials, role)
    for _ in range(20):
        work()
    samples = []
    for _ in range(ROUNDS):
        start = process_time_ns()
        work()
        samples.append((process_time_ns() - start) / 1000)
    return statistics.median(samples)


def _work(case: Case, credentials: Credentials, role: str) -> Callable[[], None]:
    proposal = offer([parse_proposal(case.ike, Protocol.IKE)])[0]
    child_proposal = offer([parse_proposal(case.esp, Protocol.ESP)])[0]
    suite, child = IkeSuite.of(accepted((proposal,), proposal)), ChildSuite.of(accepted((child_proposal,), child_proposal))
    methods = (suite.ke, *suite.additional)
    exchanges = [_exchange(method, role) for method in methods]
    nonce_i, nonce_r, spi_i, spi_r = (secrets.token_bytes(n) for n in (32, 32, 8, 8))
    octets, aad, plain, iv = secrets.token_bytes(350), bytes(32), bytes(200), bytes(8)
    prf = suite.prf
    prove, check = _authentication(credentials, prf, octets)

    def work() -> None:
        shared = [exchange() for exchange in exchanges][0]
        keys = derive_ike(suite, shared, nonce_i, nonce_r, spi_i, spi_r)
        sealed = suite.ike_cipher(keys.sk_ei, keys.sk_ai).seal(iv, aad, plain)
        suite.ike_cipher(keys.sk_ei, keys.sk_ai).open(iv, aad, sealed)
        prf.compute(keys.sk_pi, octets[:20])
        prf.compute(keys.sk_pr, octets[:20])
        prove()
        check()
        derive_child(prf, child, keys.sk_d, nonce_i, nonce_r)

    return work


def _exchange(method: KeyExchangeMethod, role: str) -> Callable[[], bytes]:
    pair = ke.generate(method, secrets.token_bytes)
    if role == "responder":
        return lambda: ke.answer(method, pair.public, secrets.token_bytes)[1]

    def initiate() -> bytes:
        own = ke.generate(method, secrets.token_bytes)
        return ke.combine(own, public)

    public = ke.answer(method, pair.public, secrets.token_bytes)[0]
    return initiate


def _authentication(credentials: Credentials, prf: object, octets: bytes) -> tuple[Callable[[], object], Callable[[], object]]:
    if not credentials.certs:
        mac = lambda: psk_auth(prf, SECRET, octets)  # type: ignore[arg-type]  # noqa: E731
        return mac, mac
    store, leaf = credentials.stores["gateway"], credentials.certs["gateway"]
    signer = store.choose(Local(certs=(leaf,)), (), ANNOUNCED_HASHES)
    spki = Certificate.read(leaf).spki
    from ikectl.crypto.signature import auth_payload_data

    signature = auth_payload_data(signer.scheme, store.sign(signer.key_id, signer.scheme, octets))
    return (
        lambda: store.sign(signer.key_id, signer.scheme, octets),
        lambda: verify(spki, AuthMethod.DIGITAL_SIGNATURE, signature, octets, ANNOUNCED_HASHES),
    )


__all__ = ["NOW", "primitives"]
