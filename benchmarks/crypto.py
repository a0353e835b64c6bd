"""What each primitive costs: `python -m benchmarks.crypto [--json] [WORD ...]`.

Microseconds of CPU for one call, the best of several runs. A word keeps the
cases whose names hold it. Selections are of an offer seen before, as it is
when many clients share a configuration, unless they are called new.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ikectl.crypto import kdf_v2, ke, transforms
from ikectl.crypto.proposal import (
    ChildSuite,
    IkeSuite,
    accepted,
    default_esp,
    default_ike,
    offer,
    parse_proposal,
    select,
)
from ikectl.crypto.signature import PrivateKey, auth_payload_data, schemes_for, sign, verify
from ikectl.errors import NoProposalChosen
from ikectl.iana.v2 import HashAlgorithm, Protocol, TransformType
from ikectl.wire.v2.sa import Transform

Case = tuple[str, Callable[[], object]]

RUNS = 5
RUN_FOR = 0.02
"""Seconds of one run, at least one call."""

OCTETS = bytes(300)
"""A message as long as an IKE_AUTH with certificates left out."""


def tape() -> Callable[[int], bytes]:
    count = itertools.count()
    return lambda octets: hashlib.shake_128(next(count).to_bytes(8, "big")).digest(octets)


def key_exchanges() -> Iterator[Case]:
    random = tape()
    for row in transforms.KE:
        method = row.id
        pair = ke.generate(method, random)
        public, _ = ke.answer(method, pair.public, random)
        yield f"{row.keywords[0]}: generate", lambda m=method: ke.generate(m, random)
        yield f"{row.keywords[0]}: combine", lambda pair=pair, public=public: ke.combine(pair, public)
        yield f"{row.keywords[0]}: answer", lambda m=method, p=pair.public: ke.answer(m, p, random)


def ciphers() -> Iterator[Case]:
    random = tape()
    for row in transforms.ENCRYPTION:
        if not row.ike:
            continue
        word = row.keywords[0]
        suite = IkeSuite.of(parse_proposal(f"{word}-sha256-prfsha256-x25519", Protocol.IKE))
        e, a = random(suite.encryption_octets), random(suite.integrity_octets)
        iv, plain = random(row.iv_octets), OCTETS[: len(OCTETS) // row.block_octets * row.block_octets]
        sealed = suite.ike_cipher(e, a).seal(iv, b"header", plain)
        yield (
            f"{word}: make and seal",
            lambda s=suite, k=(e, a), iv=iv, p=plain: s.ike_cipher(*k).seal(iv, b"header", p),
        )
        yield (
            f"{word}: make and open",
            lambda s=suite, k=(e, a), iv=iv, c=sealed: s.ike_cipher(*k).open(iv, b"header", c),
        )


def derivations() -> Iterator[Case]:
    for row in transforms.PRF:
        prf, key = row.prf, bytes(row.prf.key_octets)
        yield f"{row.keywords[0]}: prf", lambda prf=prf, key=key: prf.compute(key, OCTETS)
        yield f"{row.keywords[0]}: prf+ of 168", lambda prf=prf, key=key: prf.plus(key, OCTETS[:80], 168)
    for row in transforms.INTEGRITY:
        yield f"{row.keywords[0]}: mac", lambda mac=row.mac: mac.compute(bytes(mac.key_octets), OCTETS)
    suite = IkeSuite.of(parse_proposal("aes256gcm16-prfsha256-x25519", Protocol.IKE))
    esp = ChildSuite.of(parse_proposal("aes256gcm16", Protocol.ESP))
    n, spi = bytes(32), bytes(8)
    yield "keys of an IKE SA", lambda: kdf_v2.derive_ike(suite, n, n, n, spi, spi)
    yield "keys of a rekeyed IKE SA", lambda: kdf_v2.derive_rekeyed_ike(suite, suite.prf, n, n, n, n, spi, spi)
    yield "keys of a child", lambda: kdf_v2.derive_child(suite.prf, esp, n, n, n)


def selections() -> Iterator[Case]:
    configured, made = default_ike(), offer(default_ike())
    chosen = select(made, configured)
    children = offer(default_esp(), b"spi4")
    count = itertools.count()

    def new(fits: bool) -> object:
        number = next(count)
        strange = Transform(TransformType.ENCR, 1024 + number % 64000, number // 64000)
        fresh = [p._replace(transforms=(strange, *(p.transforms if fits else p.transforms[3:]))) for p in made]
        try:
            return select(fresh, configured)
        except NoProposalChosen as refusal:
            return refusal

    yield "select, IKE", lambda: select(made, configured)
    yield "select, ESP without key exchange", lambda: select(children, default_esp(), without_ke=True)
    yield "select, new offer", lambda: new(True)
    yield "select, new offer refused", lambda: new(False)
    yield "accept an answer", lambda: accepted(made, chosen)
    yield "suite of a proposal", lambda: IkeSuite.of(chosen)


def signatures() -> Iterator[Case]:
    keys: dict[str, PrivateKey] = {
        "rsa-2048": rsa.generate_private_key(65537, 2048),
        "ecdsa-256": ec.generate_private_key(ec.SECP256R1()),
        "ecdsa-384": ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
    }
    hashes = tuple(HashAlgorithm)
    for name, key in keys.items():
        scheme = schemes_for(key.public_key(), hashes)[0]
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        data = auth_payload_data(scheme, sign(key, scheme, OCTETS))
        yield f"{name} ({scheme}): sign", lambda key=key, s=scheme: sign(key, s, OCTETS)
        yield f"{name} ({scheme}): verify", lambda k=spki, s=scheme, d=data: verify(k, s.method, d, OCTETS, hashes)


def measured(function: Callable[[], object]) -> float:
    """Seconds of CPU for one call."""
    calls, best = 1, float("inf")
    function()
    for _ in range(RUNS):
        while True:
            start = time.process_time()
            for _ in range(calls):
                function()
            spent = time.process_time() - start
            if spent >= RUN_FOR:
                break
            calls *= 2
        best = min(best, spent / calls)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="a list of objects with case and cpu_us")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only the cases whose names hold a word")
    arguments = parser.parse_args()
    cases = itertools.chain(key_exchanges(), ciphers(), derivations(), selections(), signatures())
    results = []
    for case, function in cases:
        if arguments.words and not any(word in case for word in arguments.words):
            continue
        results.append({"case": case, "cpu_us": round(measured(function) * 1e6, 2)})
        if not arguments.json:
            print(f"{case:<44} {results[-1]['cpu_us']:>10} µs", flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
