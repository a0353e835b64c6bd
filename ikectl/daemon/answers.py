"""Who answers which question of the engine: functions in place, coroutines for what waits.

A new ask is a row here. Functions are called inside the engine's step and must
not wait; coroutines run as tasks and their result is handed to the engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from ikectl.crypto import ke, signature, signature_v1
from ikectl.daemon.clock import wall
from ikectl.daemon.nameservers import NameServers
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.resolve import resolve
from ikectl.kernel.addresses import InnerAddresses
from ikectl.kernel.backend import KernelBackend
from ikectl.pki import isakmp
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.asks import Ask

Immediate = dict[type[Ask[Any]], Callable[[Any], Any]]
Later = Mapping[type[Ask[Any]], Callable[[Any], Awaitable[Any]]]


def of_credentials(store: Store, clock: Callable[[], datetime] = wall) -> Immediate:
    """Key exchange, signatures, secrets and chains: everything that a store of credentials can answer."""
    return {
        asks.GenerateKe: lambda ask: ke.generate(ask.method, ask.random),
        asks.CombineKe: lambda ask: ke.combine(ask.pair, ask.public),
        asks.AnswerKe: lambda ask: ke.answer(ask.method, ask.public, ask.random),
        asks.SharedSecret: lambda ask: store.shared_secret(
            ask.local_id, ask.remote_id, ask.local_address, ask.remote_address, ask.named
        ),
        asks.FindPpk: lambda ask: store.ppks.find(ask.identity),
        asks.HasPpks: lambda ask: bool(store.ppks),
        asks.ChooseKey: lambda ask: store.choose(ask.local, ask.authorities, ask.hashes, ask.methods),
        asks.Sign: lambda ask: store.sign(ask.key_id, ask.scheme, ask.octets),
        asks.CheckChain: lambda ask: store.check(ask.certificates, ask.remote, ask.identity, clock(), ask.responses),
        asks.Verify: lambda ask: signature.verify(ask.spki, ask.method, ask.data, ask.octets, ask.hashes),
        asks.Authorities: lambda ask: store.authorities(ask.remotes),
        asks.ChooseKeyV1: lambda ask: isakmp.choose(store, ask.local, ask.authorities, ask.method, ask.fingerprint),
        asks.UsableMethods: lambda ask: isakmp.usable(store, ask.local, ask.methods),
        asks.SignHash: lambda ask: isakmp.sign_hash(store, ask.key_id, ask.method, ask.hash),
        asks.VerifyHash: lambda ask: signature_v1.verify(ask.spki, ask.method, ask.data, ask.hash),
        asks.Encrypt: lambda ask: signature_v1.rsa_encrypt(ask.spki, ask.data),
        asks.Decrypt: lambda ask: isakmp.decrypt(store, ask.key_id, ask.data, ask.random),
        asks.KnownCertificate: lambda ask: store.known(ask.remote, ask.identity, clock()),
        asks.AuthorityNames: lambda ask: store.authority_names(ask.remotes),
    }


def immediate(
    store: Store,
    kernel: KernelBackend,
    source: Callable[[bytes], bytes],
    own: Callable[[], tuple[bytes, ...]],
    pools: AddressPools,
) -> Immediate:
    """What is answered in place. `source` tells the address we would send from to a remote one, `own` all we have."""
    return {
        **of_credentials(store),
        asks.DescribePools: pools.describe,
        asks.Lease: pools.lease,
        asks.Release: pools.release,
        asks.AllocSpi: lambda ask: kernel.alloc_spi(ask.protocol, ask.path),
        asks.FreeSpi: lambda ask: kernel.free_spi(ask.protocol, ask.path, ask.spi),
        asks.InstallChild: lambda ask: kernel.install(ask.child, ask.inbound, ask.outbound),
        asks.RemoveChild: lambda ask: kernel.remove(ask.child, ask.inbound, ask.outbound),
        asks.MovePath: lambda ask: kernel.move(ask.child, ask.old),
        asks.SkipNumbers: lambda ask: kernel.skip(ask.child, ask.packets),
        asks.InstallSentry: lambda ask: kernel.install_sentry(ask.sentry),
        asks.RemoveSentry: lambda ask: kernel.remove_sentry(ask.sentry),
        asks.QueryUse: lambda ask: kernel.query(ask.child),
        asks.OwnAddresses: lambda ask: own(),
        asks.SourceAddress: lambda ask: source(ask.remote),
    }


LATER: Later = {
    asks.Resolve: resolve,
}
"""What waits, and needs nothing of the daemon's."""


def later(addresses: InnerAddresses, names: NameServers) -> Later:
    """All that waits."""
    return {
        **LATER,
        asks.InstallAddress: addresses.install,
        asks.RemoveAddress: addresses.remove,
        asks.InstallDns: names.install,
        asks.RemoveDns: names.remove,
    }
