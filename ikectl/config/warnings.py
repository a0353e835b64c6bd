"""What a connection may say and an operator should know before peers find it out."""

from __future__ import annotations

from collections.abc import Iterator

from ikectl.config.model import AuthKind, Connection


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
