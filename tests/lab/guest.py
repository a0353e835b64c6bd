"""A guest: user-mode Linux, run for the time of one command.

User-mode Linux (Debian's `user-mode-linux`) is a whole kernel built as a
program. Nothing needs root, and the host's network is not in sight. The
guest's root file system is the host's, read-only (hostfs), so that the same
.venv and the same daemons run inside; `.lab` alone is writable, everything
else that a program must write (/run, $TMPDIR) is memory.

    python -m tests.lab.guest ip link       any command in a guest, from the shell
"""

from __future__ import annotations

import compileall
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

LAB = ROOT / ".lab"
"""The one directory that guests may write; artefacts of failed tests are under it."""

BOOT_FOR = 90.0
"""Seconds a guest may take until its init runs; two are usual on an idle machine."""

MEMORY = "1G"

FAREWELL = "reboot: System halted"
"""The kernel's last words, which no option silences."""

SHIM = LAB / "xstate.so"
"""Built by setup.sh on processors whose register state is too long for UML (see xstate.c)."""


class GuestFailed(Exception):
    """The guest did not boot, or ended without its command's exit status."""


class Guest:
    """One boot of the embedded kernel, running one command.

    Args:
        name: begins the name of the directory under .lab/guests with this boot's files (the
            caller's process id ends it); programs inside see it as $IKECTL_GUEST.
        command: argument list to run inside, in the checkout, as the guest's root.
        core: host core to stay on; system calls are three to four times cheaper than
            when the host moves the kernel's processes about.
        environment: added to the guest's otherwise small environment.
        interactive: standard input and output are the caller's, not a log's.
        piped: standard output is for the caller to read (`lines()`), not a log's.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int = 0,
        environment: Mapping[str, str] | None = None,
        interactive: bool = False,
        piped: bool = False,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.core = core
        self.environment = dict(environment or {})
        self.interactive = interactive
        self.piped = piped
        self.directory = LAB / "guests" / f"{name}.{os.getpid()}"
        self.console = self.directory / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def prepare(self) -> None:
        """Make this boot's directory; what runs before this one left there goes away.

        Also compiles the project: the guest cannot keep bytecode, and would
        compile again for every program it starts.
        """
        for package in ("ikectl", "xfrm", "tests"):
            compileall.compile_dir(ROOT / package, quiet=2)
        _forget_old_boots(self.directory.parent)
        self.forget()
        self.directory.mkdir(parents=True)

    def start(self) -> None:
        """Boot; returns at once.

        Raises:
            GuestFailed: user-mode-linux is not installed.
        """
        kernel = shutil.which("linux.uml")
        if kernel is None:
            raise GuestFailed("linux.uml is not installed: tests/lab/setup.sh sees to it (as root)")
        init = self.directory / "init"
        init.write_text(self._init_script())
        init.chmod(0o755)

        host = {"PATH": os.environ.get("PATH", ""), "TMPDIR": str(_roomy_directory())}
        if SHIM.exists():
            host["LD_PRELOAD"] = str(SHIM.relative_to(ROOT))  # the list's separator is the space
        arguments = [
            kernel,
            f"mem={MEMORY}",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f'init="{init}"',
            f"uml_dir={self.directory}/",
            "umid=kernel",
            "con=null",
            "con0=fd:0,fd:1",
            "con1=null",
            "quiet",
            "loglevel=3",
            "selinux=0",
            "panic=-1",
        ]
        if cores := os.sched_getaffinity(0):
            arguments = ["taskset", "-c", str(sorted(cores)[self.core % len(cores)]), *arguments]
        self._started_at = time.monotonic()
        with self.console.open("wb") as log:
            self._process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=host,
                stdin=None if self.interactive else subprocess.DEVNULL,
                stdout=None if self.interactive else subprocess.PIPE if self.piped else log,
                stderr=subprocess.STDOUT,
                start_new_session=not self.interactive,
            )

    def running(self) -> bool:
        """Whether the kernel still runs.

        Raises:
            GuestFailed: its init did not start within BOOT_FOR.
        """
        if self._process is None or self._process.poll() is not None:
            return False
        if time.monotonic() - self._started_at > BOOT_FOR and not (self.directory / "booted").exists():
            self.stop()
            raise GuestFailed(f"the guest did not boot within {BOOT_FOR:.0f} s\n{self.console_tail()}")
        return True

    def status(self) -> int:
        """The command's exit status, once `running()` is false.

        Raises:
            GuestFailed: the kernel ended before the command did.
        """
        path = self.directory / "status"
        if not path.exists():
            raise GuestFailed(f"the guest ended before its command did\n{self.console_tail()}")
        return int(path.read_text())

    def wait(self) -> int:
        """Wait for the command and return its exit status."""
        assert self._process is not None
        while self.running():
            try:
                self._process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
        return self.status()

    def lines(self) -> Iterator[str]:
        """What the command prints, line by line, until it ends; for a piped guest."""
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip("\r\n")
            if text != FAREWELL:
                yield text

    def stop(self) -> None:
        """Take the guest down, whatever it does: its processes are one session of their own."""
        if self._process is None:
            return
        if not self.interactive:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Remove this boot's files."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def console_tail(self, lines: int = 40) -> str:
        """The end of what the kernel and the command printed, for a failure report."""
        if not self.console.exists():
            return ""
        text = self.console.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- the last lines of {self.console}", *text])

    def _init_script(self) -> str:
        """A script without arguments: the kernel's command line has neither room nor quoting for them."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "IKECTL_GUEST": self.name,
            **self.environment,
        }
        words = [f"{key}={shlex.quote(value)}" for key, value in environment.items()]
        python = [sys.executable, str(Path(__file__).with_name("init.py"))]
        arguments = [*python, str(LAB), str(self.directory), str(ROOT), *self.command]
        return f"#!/bin/sh\nexec env -i {' '.join(words)} {shlex.join(arguments)}\n"


def _roomy_directory() -> Path:
    """Where the guest's memory can be a file: memory itself, unless a container keeps /dev/shm small."""
    needed = 1 << 30
    for directory in (Path("/dev/shm"), Path("/tmp"), LAB):
        if directory.is_dir() and os.access(directory, os.W_OK):
            free = os.statvfs(directory)
            if free.f_bavail * free.f_frsize > needed:
                return directory
    return LAB


def _forget_old_boots(directory: Path) -> None:
    """Remove what boots left whose starting process is gone."""
    for left in directory.glob("*.*"):
        owner = left.name.rpartition(".")[2]
        if not (owner.isdigit() and Path("/proc", owner).exists()):
            shutil.rmtree(left, ignore_errors=True)


def main() -> int:
    """Run the command line's words in a guest of its own, on this terminal."""
    guest = Guest("shell", sys.argv[1:] or ["bash"], interactive=True)
    guest.prepare()
    guest.start()
    try:
        return guest.wait()
    finally:
        guest.stop()
        guest.forget()


if __name__ == "__main__":
    sys.exit(main())
