"""ikectld, ours."""

from __future__ import annotations

import sys

from tests.lab.peers.base import ViciPeer


class Ikectl(ViciPeer):
    """One ikectld, run from the checkout."""

    socket_name = "ikectl/ikectl.vici"

    def command(self) -> list[str]:
        daemon = [sys.executable, "-m", "ikectl.daemon.main"]
        return [*daemon, "--config", "/run/swanctl/swanctl.conf", "--vici", f"/run/{self.socket_name}"]
