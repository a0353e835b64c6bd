"""Debian's strongSwan: charon, configured by swanctl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.lab.peers.base import ViciPeer

CHARON = "/usr/lib/ipsec/charon"

# Plugins are named one by one: with all of Debian's loaded, kernel-libipsec
# crashes charon where there is no /dev/net/tun, and starting takes longer.
# Rekeyed children are kept for a second, not five, before they are dropped.
# Aggressive Mode with a pre-shared key has to be allowed here, for all peers.
CONF = """
charon {{
    load = random nonce openssl aes sha1 sha2 md5 hmac kdf mgf1 gmp gcm ccm ctr chapoly curve25519 cmac xcbc \
           pem pkcs1 pkcs8 pubkey x509 constraints revocation kernel-netlink socket-default vici xauth-generic \
           {plugins}
    threads = 8
    delete_rekeyed_delay = 1
    i_dont_care_about_security_and_use_aggressive_mode_psk = yes
    {options}
    plugins {{
        vici {{ socket = unix:///run/charon.vici }}
        {plugin_options}
    }}
    filelog {{
        stderr {{
            default = 1
            ike = 2
            time_format = %H:%M:%S
            time_add_ms = yes
            flush_line = yes
        }}
    }}
}}
"""


class StrongSwan(ViciPeer):
    """One charon."""

    socket_name = "charon.vici"

    plugins: ClassVar[str] = ""
    """More plugins to load."""
    options: ClassVar[str] = ""
    """More lines for the section `charon` of strongswan.conf."""
    plugin_options: ClassVar[str] = ""
    """More lines for its section `plugins`."""

    def command(self) -> list[str]:
        return [CHARON]

    def environment(self) -> Mapping[str, str]:
        return {"STRONGSWAN_CONF": "/run/strongswan.conf"}

    def prepare(self) -> None:
        conf = CONF.format(plugins=self.plugins, options=self.options, plugin_options=self.plugin_options)
        (self.directory / "strongswan.conf").write_text(conf)

    def ready(self) -> None:
        super().ready()
        self.load((self.swanctl / "swanctl.conf").read_text())


class UnityStrongSwan(StrongSwan):
    """A charon that speaks Cisco's Unity extension, and writes name servers it is given to /run/resolv.conf."""

    plugins = "unity resolve"
    options = "cisco_unity = yes"
    plugin_options = "resolve { file = /run/resolv.conf }"
