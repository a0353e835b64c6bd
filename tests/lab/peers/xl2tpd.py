"""Debian's xl2tpd with pppd: L2TP and PPP, as an L2TP network server or as a client of one.

It sees its directory's `xl2tpd` as /etc/xl2tpd and `ppp` as /etc/ppp, so that the
files of an example serve as they are:

    server = world.program(Xl2tpd.reading(xl2tpd={"xl2tpd.conf": ...}, ppp={"options.xl2tpd": ...}), "sun")
    client = world.program(Xl2tpd.reading(...), "moon")
    client.dial("vpn")
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

    def dial(self, name: str) -> None:
        """Call the server of this `lac` section; returns at once."""
        (self.directory / CONTROL).write_text(f"c {name}\n")

    def hang_up(self, name: str) -> None:
        """End the call; returns at once."""
        (self.directory / CONTROL).write_text(f"d {name}\n")

    def links(self) -> list[tuple[str, str, str]]:
        """PPP links that are up on its node: interface, own address, the other end's."""
        with entered(self.namespace):
            shown = subprocess.run(["ip", "-4", "address", "show", "up"], capture_output=True, text=True, check=True)
        return re.findall(r"inet (\S+) peer (\S+)/32 scope global (ppp\d+)", shown.stdout)
