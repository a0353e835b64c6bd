"""Engines with credentials and a kernel that forgets, for benchmarks: no IO, no simulation around them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from random import random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ikectl.config.model import (
    AddressSpec,
    Auth,
    AuthKind,
    Child,
    Connection,
    Fragmentation,
    Local,
    Remote,
    SendCert,
    Unique,
)
from ikectl.crypto.proposal import parse_proposal
from ikectl.daemon.answers import of_credentials
from ikectl.engine.engine import Engine
from ikectl.iana.v2 import Protocol
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.env import Env, Settings
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.path import Endpoint
from ikectl.values.secret import Secret
from ikectl.values.selector import SelectorSpec

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
GATEWAY = Endpoint.parse("192.0.2.1", 500)
SECRET = Secret(b"correct horse battery staple")


@dataclass(frozen=True)
class Case:
    """One way to shake hands: proposals, and the key behind certificates (None: a pre-shared key).

    `mode` is the phase 1 of IKEv1, `main` or `aggressive`, with a quick mode behind it; empty for IKEv2. `plain` leaves
    out what both ends would agree on beside RFC 7296: MOBIKE and fragmentation.
    """

    name: str
    ike: str
    key: Callable[[], Any] | None = None
    esp: str = "aes128gcm16"
    mode: str = ""
    plain: bool = False


def rsa_2048() -> Any:
    return rsa.generate_private_key(65537, 2048)


def ecdsa_256() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


CASES = (
    Case("PSK+X25519", "aes128gcm16-prfsha256-x25519"),
    Case("PSK+X25519 plain", "aes128gcm16-prfsha256-x25519", plain=True),
    Case("PSK+ECP-256", "aes128gcm16-prfsha256-ecp256"),
    Case("PSK+MODP-2048", "aes128gcm16-prfsha256-modp2048"),
    Case("RSA-2048", "aes128gcm16-prfsha256-x25519", rsa_2048),
    Case("ECDSA-256", "aes128gcm16-prfsha256-x25519", ecdsa_256),
    Case("PSK+X25519+ML-KEM-768", "aes128gcm16-prfsha256-x25519-ke1_mlkem768"),
    Case("main PSK+ECP-256", "aes128-sha256-ecp256", mode="main"),
    Case("main PSK+MODP-2048", "aes128-sha256-modp2048", mode="main"),
    Case("main RSA-2048", "aes128-sha256-ecp256", rsa_2048, mode="main"),
    Case("aggressive PSK+ECP-256", "aes128-sha256-ecp256", mode="aggressive"),
    Case("aggressive PSK+MODP-2048", "aes128-sha256-modp2048", mode="aggressive"),
)


class Credentials:
    """A CA and a certificate for the gateway and for all clients, made once per case."""

    def __init__(self, make_key: Callable[[], Any] | None) -> None:
        self.stores = {"gateway": Store(), "client": Store()}
        self.certs: dict[str, bytes] = {}
        if make_key is None:
            for store in self.stores.values():
                store.add_secret("all", [], SECRET)
            return
        ca_key = make_key()
        ca = _certificate("benchmark CA", ca_key, None, None)
        for who, store in self.stores.items():
            key = make_key()
            leaf = _certificate(f"{who}.example.org", key, ca, ca_key)
            self.certs[who] = leaf.public_bytes(serialization.Encoding.DER)
            store.add_certificate(ca.public_bytes(serialization.Encoding.DER), ca=True)
            store.add_certificate(self.certs[who])
            store.add_key(
                key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )

    def auth(self) -> Auth:
        return Auth(AuthKind.PUBKEY if self.certs else AuthKind.PSK)

    def answers(self, who: str, spis: Callable[[], int]) -> Mapping[type[Any], Callable[[Any], Any]]:
        """Every ask, answered in place as the daemon does, the kernel's by doing nothing."""
        store = self.stores[who]
        return {
            **of_credentials(store, lambda: NOW),
            asks.AllocSpi: lambda ask: spis(),
            asks.FreeSpi: _nothing,
            asks.InstallChild: _nothing,
            asks.RemoveChild: _nothing,
            asks.QueryUse: lambda ask: asks.Usage(),
            asks.OwnAddresses: lambda ask: (),
        }


def _nothing(ask: object) -> None:
    return None


def _certificate(cn: str, key: Any, issuer: x509.Certificate | None, issuer_key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(cn)]), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def engine(who: str, credentials: Credentials) -> Engine:
    """An engine that lets a flood of handshakes in, all of one peer."""
    spi = count(0xC0000001)
    settings = Settings(
        cookie_threshold=1 << 30, cookie_threshold_ip=1 << 30, block_threshold=1 << 30, max_sas_of_peer=1 << 30
    )
    env = Env(lambda number: os.urandom, settings, chance=lambda _: random())
    return Engine(env, credentials.answers(who, lambda: next(spi)))


def connection(
    case: Case, credentials: Credentials, who: str, own: str, peer: str, remote: str, name: str
) -> Connection:
    """The gateway's connection for all clients, or one client's.

    `own` and `remote` are addresses, `name` and `peer` identities.
    """
    certs = (credentials.certs[who],) if credentials.certs else ()
    return Connection(
        "bench",
        (parse_proposal(case.ike, Protocol.IKE),),
        version=1 if case.mode else 2,
        aggressive=case.mode == "aggressive",
        aggressive_psk=True,
        local_addrs=(AddressSpec.parse("%any"),) if who == "gateway" else (AddressSpec.parse(own),),
        remote_addrs=(AddressSpec.parse(remote),),
        unique=Unique.NEVER,
        mobike=not case.plain,
        fragmentation=Fragmentation.NO if case.plain else Fragmentation.YES,
        send_cert=SendCert.ALWAYS,
        local=(Local(auth=credentials.auth(), id=Identity.parse(name), certs=certs),),
        remote=(Remote(auth=credentials.auth(), id=IdentityPattern.parse(peer)),),
        children=(
            Child(
                "net",
                (parse_proposal(case.esp, Protocol.ESP),),
                local_ts=(SelectorSpec.parse("10.0.0.0/8" if who == "gateway" else "dynamic"),),
                remote_ts=(SelectorSpec.parse("dynamic" if who == "gateway" else "10.0.0.0/8"),),
            ),
        ),
    )
