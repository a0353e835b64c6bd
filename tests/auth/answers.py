"""Answers the asks of one authentication from a store, as the shell would."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from ikectl.crypto import ke, signature, signature_v1
from ikectl.errors import IkectlError
from ikectl.pki import isakmp
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.asks import Ask, CheckChain, ChooseKey, SharedSecret, Sign, Verify
from tests.pki.certs import NOW

T = TypeVar("T")


def answers(store: Store) -> Mapping[type, Callable[[Any], object]]:
    return {
        SharedSecret: lambda ask: store.shared_secret(
            ask.local_id, ask.remote_id, ask.local_address, ask.remote_address
        ),
        ChooseKey: lambda ask: store.choose(ask.local, ask.authorities, ask.hashes, ask.methods),
        Sign: lambda ask: store.sign(ask.key_id, ask.scheme, ask.octets),
        CheckChain: lambda ask: store.check(ask.certificates, ask.remote, ask.identity, NOW, ask.responses),
        Verify: lambda ask: signature.verify(ask.spki, ask.method, ask.data, ask.octets, ask.hashes),
        asks.UsableMethods: lambda ask: isakmp.usable(store, ask.local, ask.methods),
        asks.ChooseKeyV1: lambda ask: isakmp.choose(store, ask.local, ask.authorities, ask.method, ask.fingerprint),
        asks.SignHash: lambda ask: isakmp.sign_hash(store, ask.key_id, ask.method, ask.hash),
        asks.VerifyHash: lambda ask: signature_v1.verify(ask.spki, ask.method, ask.data, ask.hash),
        asks.Encrypt: lambda ask: signature_v1.rsa_encrypt(ask.spki, ask.data),
        asks.Decrypt: lambda ask: isakmp.decrypt(store, ask.key_id, ask.data, ask.random),
        asks.KnownCertificate: lambda ask: store.known(ask.remote, ask.identity, NOW),
        asks.AuthorityNames: lambda ask: store.authority_names(ask.remotes),
        asks.GenerateKe: lambda ask: ke.generate(ask.method, ask.random),
    }


def run(coroutine: Coroutine[Ask[Any], Any, T], store: Store) -> T:
    """`drive` with what the store answers."""
    return drive(coroutine, answers(store))


def drive(coroutine: Coroutine[Ask[Any], Any, T], table: Mapping[type[Any], Callable[[Any], object]]) -> T:
    """Drives `coroutine` to its end; errors of answers are thrown into it."""
    try:
        ask = coroutine.send(None)
        while True:
            try:
                answer = table[type(ask)](ask)
            except IkectlError as error:
                ask = coroutine.throw(error)
            else:
                ask = coroutine.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
