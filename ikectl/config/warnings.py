"""What a connection or a secret may be and an operator should know before peers find it out."""

from __future__ import annotations

from collections.abc import Iterator

from ikectl.config.model import AuthKind, Connection, SecretKind, SharedSecret

PPK_OCTETS = 32
"""256 bits, which a quantum computer makes 128 of (RFC 8784 §6)."""


def warnings(connection: Connection) -> Iterator[str]:
    """One line each, with the next step."""
    local, remote = connection.local[0], connection.remote[0]
    calls = any(spec.concrete or spec.hostname for spec in connection.remote_addrs)
    if calls and local.auth.kind is AuthKind.PSK and remote.id.identity is None:
        yield (
            f"connection {connection.name} calls a peer whose identity may be {remote.id}, and proves itself with a "
            "pre-shared key to whoever answers there, who may then try secrets offline, or be another holder of the "
            "same secret; set remote.id to the peer's identity"
        )


def secret_warnings(secret: SharedSecret) -> Iterator[str]:
    """The same of a secret, with nothing of its content but how long it is."""
    if secret.kind is SecretKind.PPK and len(secret.data) < PPK_OCTETS:
        yield (
            f"post-quantum key {secret.name} has {len(secret.data)} octets: who poses as the peer may try keys "
            "offline, and who records the traffic too, once key exchanges can be broken; "
            f"make it {PPK_OCTETS} random octets"
        )
