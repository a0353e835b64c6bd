"""swanctl.conf for the two gateways, from the few things in which stories differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

SECRET = "a secret that both gateways know"


@dataclass(frozen=True)
class Gateway:
    """One end of the connection `site` with the child `net`.

    Fields are swanctl's words; `peer` is the other end. Subclassing by `but`:
    `MOON.but(ike="aes128-sha256-modp2048")`.
    """

    id: str
    local_addrs: str
    remote_addrs: str
    local_ts: str
    remote_ts: str
    peer: str
    version: int = 2
    auth: str = "psk"
    peer_auth: str = ""
    """How the peer proves itself; empty: as this end does."""
    certificates: bool = True
    """Whether auth = pubkey names the certificate of `id`."""
    ike: str = "aes256gcm16-prfsha384-x25519"
    esp: str = "aes256gcm16"
    ah: str = ""
    mode: str = "tunnel"
    secret: str = SECRET
    connection: str = ""
    """More lines for the connection."""
    local: str = ""
    """More lines for its section local."""
    remote: str = ""
    """More lines for its section remote."""
    child: str = ""
    """More lines for the child."""
    children: str = ""
    """More children."""
    secrets: str = ""
    """More secrets."""
    pools: str = ""
    """Pools."""
    connections: str = ""
    """More connections."""

    def but(self, **changes: Any) -> Gateway:
        return replace(self, **changes)

    def conf(self) -> str:
        """The text of swanctl.conf."""
        certificate = f"certs = {self.id}.pem" if self.auth == "pubkey" and self.certificates else ""
        protocol = f"ah_proposals = {self.ah}" if self.ah else f"esp_proposals = {self.esp}"
        return f"""
connections {{
    site {{
        version = {self.version}
        local_addrs = {self.local_addrs}
        remote_addrs = {self.remote_addrs}
        proposals = {self.ike}
        {self.connection}
        local {{
            auth = {self.auth}
            id = {self.id}
            {certificate}
            {self.local}
        }}
        remote {{
            auth = {self.peer_auth or self.auth}
            id = {self.peer}
            {self.remote}
        }}
        children {{
            net {{
                local_ts = {self.local_ts}
                remote_ts = {self.remote_ts}
                {protocol}
                mode = {self.mode}
                {self.child}
            }}
            {self.children}
        }}
    }}
    {self.connections}
}}
secrets {{
    ike-site {{
        id-1 = {self.id}
        id-2 = {self.peer}
        secret = "{self.secret}"
    }}
    {self.secrets}
}}
pools {{
    {self.pools}
}}
"""


MOON = Gateway(
    id="moon.example.org",
    peer="sun.example.org",
    local_addrs="192.0.2.1",
    remote_addrs="198.51.100.1",
    local_ts="10.1.0.0/24",
    remote_ts="10.2.0.0/24",
)
SUN = Gateway(
    id="sun.example.org",
    peer="moon.example.org",
    local_addrs="198.51.100.1",
    remote_addrs="192.0.2.1",
    local_ts="10.2.0.0/24",
    remote_ts="10.1.0.0/24",
)
