"""examples/demo on a kernel that has ESP, which in here is the guest's."""

from __future__ import annotations

import subprocess
import sys

from tests.lab.guest import ROOT


def test_the_demo_uses_a_kernel_that_has_esp() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.lab.demo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "this machine's kernel has ESP" in done.stdout
    assert "5 packets transmitted, 5 received" in done.stdout
    assert "10 ESP packets in all, 0 pings in the clear" in done.stdout
    assert "IKE_AUTH request" in done.stdout
    assert subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout == ""
