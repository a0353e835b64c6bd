"""Debian's xl2tpd with pppd: L2TP and PPP, as an L2TP network server or as a client of one.

It sees its directory's `xl2tpd` as /etc/xl2tpd and `ppp` as /etc/ppp, so that the
files of an example serve as they are:

    lns = world.program(Xl2tpd.reading(xl2tpd={"xl2tpd.conf": ...}, ppp={"options.xl2tpd": ...}), "sun")
    client = world.program(Xl2tpd.client("198.51.100.1", user="alice", password="..."), "moon")
    client.dial()
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.lab.namespaces import entered
from tests.lab.peers.base import Program

CONTROL = "l2tp-control"
"""The FIFO that xl2tpd takes commands from, in its /run."""

CLIENT = """
[global]
port = {port}
[lac vpn]
lns = {server}
pppoptfile = /etc/ppp/options.client
length bit = yes
"""

# MSCHAPv2, as Windows and Android want it, without PPP's own compression and encryption.
CLIENT_OPTIONS = """
ipcp-accept-local
ipcp-accept-remote
refuse-eap
refuse-pap
refuse-chap
refuse-mschap
noccp
noauth
nodefaultroute
mtu 1280
mru 1280
name {user}
password {password}
"""


class Xl2tpd(Program):
    """One xl2tpd."""

    instead = {"xl2tpd": "/etc/xl2tpd", "ppp": "/etc/ppp"}

    def __init__(
        self, node: str, namespace: str, directory: Path, xl2tpd: Mapping[str, str], ppp: Mapping[str, str]
    ) -> None:
        super().__init__(node, namespace, directory)
        self._files = {"xl2tpd": xl2tpd, "ppp": ppp}

    @classmethod
    def reading(cls, xl2tpd: Mapping[str, str], ppp: Mapping[str, str]) -> Callable[[str, str, Path], Xl2tpd]:
        """One with these files, by name, in /etc/xl2tpd and /etc/ppp."""
        return partial(cls, xl2tpd=xl2tpd, ppp=ppp)

    @classmethod
    def client(cls, server: str, user: str, password: str, port: int = 1701) -> Callable[[str, str, Path], Xl2tpd]:
        """One that calls a server when it is told to (`dial`), from this UDP port of its own."""
        conf = CLIENT.format(server=server, port=port)
        options = CLIENT_OPTIONS.format(user=user, password=password)
        return cls.reading({"xl2tpd.conf": conf}, {"options.client": options, "options": ""})

    def command(self) -> list[str]:
        return ["xl2tpd", "-D", "-c", "/etc/xl2tpd/xl2tpd.conf", "-p", "/run/xl2tpd.pid", "-C", f"/run/{CONTROL}"]

    def prepare(self) -> None:
        for name, files in self._files.items():
            for file, text in files.items():
                path = self.directory / name / file
                path.write_text(text)
                path.chmod(0o600)

    def ready(self) -> None:
        self.waiting((self.directory / CONTROL).is_fifo, "makes no control channel")

    def dial(self) -> None:
        """Call the server; returns at once."""
        (self.directory / CONTROL).write_text("c vpn\n")

    def hang_up(self) -> None:
        """End the call; returns at once."""
        (self.directory / CONTROL).write_text("d vpn\n")

    def links(self) -> list[tuple[str, str, str]]:
        """PPP links that are up on its node: interface, own address, the other end's."""
        with entered(self.namespace):
            shown = subprocess.run(["ip", "-4", "address", "show", "up"], capture_output=True, text=True, check=True)
        return re.findall(r"inet (\S+) peer (\S+)/32 scope global (ppp\d+)", shown.stdout)
