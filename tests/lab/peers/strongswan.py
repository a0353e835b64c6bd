"""Debian's strongSwan: charon, configured by swanctl."""

from __future__ import annotations

from collections.abc import Mapping

from tests.lab.peers.base import ViciPeer

CHARON = "/usr/lib/ipsec/charon"

# Plugins are named one by one: with all of Debian's loaded, kernel-libipsec
# crashes charon where there is no /dev/net/tun, and starting takes longer.
# Rekeyed children are kept for a second, not five, before they are dropped.
CONF = """
charon {
    load = random nonce openssl aes sha1 sha2 hmac kdf mgf1 gmp gcm ccm ctr chapoly curve25519 cmac xcbc des \
           pem pkcs1 pkcs8 pubkey x509 constraints revocation kernel-netlink socket-default vici
    threads = 8
    delete_rekeyed_delay = 1
    plugins {
        vici { socket = unix:///run/charon.vici }
    }
    filelog {
        stderr {
            default = 1
            ike = 2
            time_format = %H:%M:%S
            time_add_ms = yes
            flush_line = yes
        }
    }
}
"""


class StrongSwan(ViciPeer):
    """One charon."""

    socket_name = "charon.vici"

    def command(self) -> list[str]:
        return [CHARON]

    def environment(self) -> Mapping[str, str]:
        return {"STRONGSWAN_CONF": "/run/strongswan.conf"}

    def prepare(self) -> None:
        super().prepare()
        (self.directory / "strongswan.conf").write_text(CONF)

    def ready(self) -> None:
        super().ready()
        self.load((self.swanctl / "swanctl.conf").read_text())
