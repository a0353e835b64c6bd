"""examples/demo in the embedded kernel, from the outside."""

import subprocess

from tests.lab.guest import ROOT


def test_the_demo_in_the_embedded_kernel() -> None:
    done = subprocess.run([ROOT / "examples" / "demo", "--embedded"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "booting the embedded kernel" in done.stdout
    assert "5 packets transmitted, 5 received" in done.stdout
    assert "10 ESP packets in all, 0 pings in the clear" in done.stdout


def test_an_unknown_option_is_named() -> None:
    done = subprocess.run([ROOT / "examples" / "demo", "--fast"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such option: --fast" in done.stderr
