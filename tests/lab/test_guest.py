"""What a guest is, what it may write, and what pytest makes of it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.lab.guest import LAB, ROOT, Guest

NESTED = """
import ctypes
import subprocess
import pytest

def test_outside(): pass

@pytest.mark.parametrize("word", ["one", "two words"])
def test_fine(netns, word):
    assert subprocess.run(["ip", "xfrm", "state", "count"]).returncode == 0

def test_broken(netns):
    left = "left"
    assert left == "right"

def test_dies(netns):
    print("good night", flush=True)
    ctypes.CDLL(None).reboot(0x4321FEDC)

def test_never_reached(netns): pass
"""


def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest with the lab's plugins, in a directory of its own."""
    (directory / "conftest.py").write_text('pytest_plugins = ["tests.lab.plugin", "tests.lab.fixtures"]\n')
    (directory / "test_nested.py").write_text(NESTED)
    (directory / "empty.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--rootdir={directory}"]
    command += ["-c", str(directory / "empty.ini"), str(directory), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def test_a_command_in_a_guest() -> None:
    script = f"""
        uname -r; id -u; ip xfrm state count
        touch {ROOT}/written 2>&1; touch {LAB}/written && rm {LAB}/written && echo the lab is writable
        touch $TMPDIR/written && echo memory is writable
        echo $GREETING; exit 7
    """
    guest = Guest("trial", ["sh", "-c", script], environment={"GREETING": "good evening"})
    guest.prepare()
    guest.start()
    try:
        assert guest.wait() == 7
        console = guest.console.read_text()
    finally:
        guest.stop()
        guest.forget()
    assert "Read-only file system" in console
    for line in ("SAD count 0", "the lab is writable", "memory is writable", "good evening"):
        assert line in console
    assert not guest.running()


def test_lab_tests_report_as_if_they_ran_here(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "not dies and not never")
    assert "1 failed, 3 passed" in done.stdout
    assert "AssertionError: assert 'left' == 'right'" in done.stdout
    assert done.returncode == 1


def test_a_guest_that_goes_away_fails_its_tests(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "dies or never")
    assert "2 failed" in done.stdout
    assert "the guest ended without finishing this test" in done.stdout
    assert "reboot: System halted" in done.stdout


def test_no_guest_boots_for_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "outside", PATH="/nowhere")
    assert "1 passed" in done.stdout


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "broken", PATH="/nowhere")
    assert "linux.uml is not installed: tests/lab/setup.sh sees to it" in done.stdout
