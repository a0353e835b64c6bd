"""Nat: a masquerading router between inside and outside."""

from __future__ import annotations

from dataclasses import dataclass, field

from ikectl.values.path import Endpoint


@dataclass
class Nat:
    """Hosts with an address in `inside` appear as `outside`, each port mapped to one from `first_port` on."""

    inside: frozenset[str]
    outside: str
    first_port: int = 20000
    _forth: dict[Endpoint, int] = field(default_factory=dict)
    _back: dict[int, Endpoint] = field(default_factory=dict)

    def cross(self, source: Endpoint, destination: Endpoint) -> tuple[Endpoint, Endpoint] | None:
        """Source and destination after the router; None if it lets nothing of that sort in."""
        if source.host in self.inside:
            port = self._forth.get(source)
            if port is None:
                port = self._forth[source] = self.first_port + len(self._forth)
                self._back[port] = source
            return Endpoint.parse(self.outside, port), destination
        if destination.host == self.outside:
            inner = self._back.get(destination.port)
            return None if inner is None else (source, inner)
        if destination.host in self.inside:
            return None
        return source, destination

    def forward(self, port: int, inner: Endpoint) -> None:
        """Let what comes to `port` from outside in, to `inner`."""
        self._forth[inner] = port
        self._back[port] = inner

    def rebind(self) -> None:
        """Forget all mappings, as after a restart; the next packet out gets a new port."""
        self.first_port += 1000
        self._forth.clear()
        self._back.clear()
