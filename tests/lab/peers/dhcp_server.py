"""A DHCP server: Debian's dnsmasq, with DNS switched off.

It serves networks it is not connected to through relay agents: the giaddr of a
request chooses the range, and the answer goes to the relay, with the relay
agent information (RFC 3046) that the request had.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.peers.base import Program


@dataclass(frozen=True)
class DhcpLease:
    """One line of the server's book."""

    hardware: str
    address: str
    name: str
    client: str
    """Client identifier in hexadecimal with colons, or *."""


class DhcpServer(Program):
    """One dnsmasq."""

    def __init__(self, node: str, namespace: str, directory: Path, options: tuple[str, ...]) -> None:
        super().__init__(node, namespace, directory)
        self._options = options

    @classmethod
    def serving(
        cls, first: str, last: str, netmask: str = "255.255.255.0", *options: str
    ) -> Callable[[str, str, Path], DhcpServer]:
        """One that leases a range for an hour; `options` are more of dnsmasq's, without the leading dashes."""
        return partial(cls, options=(f"dhcp-range={first},{last},{netmask},1h", *options))

    def command(self) -> list[str]:
        words = ["no-daemon", "conf-file=/dev/null", "port=0", "user=root", "no-ping", "no-resolv", "no-hosts"]
        words += ["log-dhcp", "dhcp-authoritative", "dhcp-leasefile=/run/leases", "pid-file=/run/dnsmasq.pid"]
        return ["dnsmasq", *(f"--{word}" for word in (*words, *self._options))]

    def ready(self) -> None:
        self.waiting(lambda: "DHCP, IP range" in self.log() or "DHCP, sockets" in self.log(), "does not serve")

    def leases(self) -> list[DhcpLease]:
        """What is leased at present."""
        path = self.directory / "leases"
        lines = path.read_text().splitlines() if path.exists() else []
        fields = [line.split() for line in lines]
        return [DhcpLease(hardware, address, name, client) for _, hardware, address, name, client in fields]

    def messages(self, kind: str) -> list[str]:
        """The log's lines of one kind of message: DHCPDISCOVER, DHCPREQUEST, DHCPRELEASE ..."""
        return [line for line in self.log().splitlines() if re.search(rf"\b{kind}\(", line)]
