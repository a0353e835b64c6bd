"""ikectld, ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.lab.peers.base import Refused, ViciPeer


class Ikectl(ViciPeer):
    """One ikectld, run from the checkout."""

    socket_name = "ikectl/ikectl.vici"

    def command(self) -> list[str]:
        daemon = [sys.executable, "-m", "ikectl.daemon.main"]
        return [*daemon, "--config", "/run/swanctl/swanctl.conf", "--vici", f"/run/{self.socket_name}"]

    def cli(self, *words: str) -> str:
        """What `ikectl WORDS` prints, on this gateway.

        Raises:
            Refused: its exit status was not 0.
        """
        program = Path(sys.executable).with_name("ikectl")
        command = [str(program), "--socket", str(self.directory / self.socket_name), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Refused(f"ikectl {' '.join(words)}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout
