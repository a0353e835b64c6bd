"""What a test can do with a program of the lab, and with any IKE daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import vici
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from vici.exception import CommandException

from tests.lab.certificates import Credential
from tests.lab.namespaces import entered

# fmt: off
SWANCTL_DIRECTORIES = (
    "x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl",
    "pubkey", "private", "rsa", "ecdsa", "bliss", "pkcs8", "pkcs12",
)
# fmt: on
"""Where swanctl looks for credentials; it complains of each that is not there."""

STARTS_WITHIN = 60.0
"""Seconds until a daemon must answer; one is usual, but a guest shares its core."""

ENDS_WITHIN = 10.0
"""Seconds a daemon gets after SIGTERM to delete its SAs and leave."""


class Refused(Exception):
    """The daemon did not do what it was told; the text is its own."""


class Program(ABC):
    """One program in one namespace, from `launch` to `stop`.

    It sees its directory as /run: `self.directory / "x"` here is /run/x there.

    Args:
        node: its name in the topology.
        namespace: what `ip netns` calls that node.
        directory: its own, made here.
    """

    instead: ClassVar[Mapping[str, str]] = {}
    """Directories below its own that it sees in place of the machine's: {"ppp": "/etc/ppp"}."""

    def __init__(self, node: str, namespace: str, directory: Path) -> None:
        self.node = node
        self.namespace = namespace
        self.directory = directory
        self.log_path = directory.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start, and return when it is ready."""
        for name in ("tmp", *self.instead):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.prepare()
        # Its own /run, so that programs in one file system do not meet.
        mounts = ['mount --bind "$0" /run', *(f"mount --bind /run/{own} {path}" for own, path in self.instead.items())]
        script = " && ".join([*mounts, 'exec "$@"'])
        command = ["unshare", "--mount", "sh", "-c", script, str(self.directory), *self.command()]
        environment = {**os.environ, "TMPDIR": "/run/tmp", **self.environment()}
        with entered(self.namespace), self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.ready()

    def stop(self) -> None:
        """End it in order, or by force when it does not listen."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it as a power cut would: no message to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self, lines: int | None = None) -> str:
        """What it logged so far, or the last lines of it."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return text if lines is None else "\n".join(text.splitlines()[-lines:])

    @abstractmethod
    def command(self) -> list[str]:
        """Arguments that start the program in the foreground, logging to standard error."""

    def environment(self) -> Mapping[str, str]:
        """Added to the program's environment."""
        return {}

    def prepare(self) -> None:  # noqa: B027 -- most need nothing
        """Write what else the program reads or needs at start."""

    @abstractmethod
    def ready(self) -> None:
        """Wait until the program answers and its configuration is loaded."""

    def waiting(self, ready: Callable[[], object], what: str) -> None:
        """Wait until `ready()` is.

        Raises:
            Refused: the program ended, or it takes too long; names `what` and shows its log.
        """
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready():
            if not self.running():
                raise Refused(f"{type(self).__name__} on {self.node} ended at start:\n{self.log(40)}")
            if time.monotonic() > deadline:
                raise Refused(f"{type(self).__name__} on {self.node}: {what}\n{self.log(40)}")
            time.sleep(0.03)


class Peer(Program):
    """One IKE daemon in one namespace, configured by a swanctl.conf."""

    def __init__(self, node: str, namespace: str, directory: Path) -> None:
        super().__init__(node, namespace, directory)
        self.swanctl = directory / "swanctl"
        """Its swanctl directory: swanctl.conf, private/, x509/, x509ca/."""

    def start(self, conf: str, credentials: Sequence[Credential] = ()) -> None:
        """Start with this swanctl.conf, and return when it is loaded."""
        self.swanctl.mkdir(parents=True, exist_ok=True)
        self.write(conf, credentials)
        self.launch()

    def write(self, conf: str, credentials: Sequence[Credential] = ()) -> None:
        """Lay down its swanctl.conf and certificates; loads nothing."""
        for name in SWANCTL_DIRECTORIES:
            (self.swanctl / name).mkdir(exist_ok=True)
        (self.swanctl / "swanctl.conf").write_text(conf)
        for credential in credentials:
            credential.install(self.swanctl)

    def write_public_key(self, credential: Credential) -> None:
        """Lay the raw public key of a credential into pubkey/, as NAME.pub."""
        key = credential.key.public_key()
        octets = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.swanctl / "pubkey" / f"{credential.name}.pub").write_bytes(octets)

    @abstractmethod
    def load(self, conf: str, credentials: Sequence[Credential] = ()) -> None:
        """Replace the loaded configuration by this one.

        Raises:
            Refused: the daemon found a mistake.
        """

    @abstractmethod
    def up(self, child: str, within: float = 60.0) -> None:
        """Initiate a child (and its IKE SA); returns when it stands.

        Raises:
            Refused: it did not come up, or not within so many seconds.
        """

    @abstractmethod
    def down(self, *, child: str | None = None, ike: str | None = None) -> None:
        """Delete a child, or an IKE SA with all its children, and wait for the peer's answer."""

    @abstractmethod
    def rekey(self, *, child: str | None = None, ike: str | None = None) -> None:
        """Start rekeying a child or an IKE SA; returns at once."""

    @abstractmethod
    def sas(self, ike: str | None = None) -> list[dict[str, Any]]:
        """IKE SAs in vici's words, `name` among them, and `children`, a list of dicts likewise."""

    def children(self, name: str | None = None) -> list[dict[str, Any]]:
        """All child SAs, or those of one name."""
        return [child for sa in self.sas() for child in sa["children"] if name in (None, child["name"])]


class ViciPeer(Peer):
    """A daemon that is controlled over vici, with PyPI's client and Debian's swanctl."""

    socket_name: str
    """Where the daemon listens, below its /run."""

    _session: vici.Session | None = None
    _connection: socket.socket | None = None

    def ready(self) -> None:
        self.waiting(self._answers, f"does not answer on {self.socket_name}")

    def _answers(self) -> bool:
        try:
            self.vici().version()
        except OSError:
            self._session = None
            return False
        return True

    def vici(self) -> vici.Session:
        """A session with the daemon, kept open."""
        if self._session is None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.directory / self.socket_name))
            except OSError:
                connection.close()
                raise
            self._session, self._connection = vici.Session(connection), connection
        return self._session

    def stop(self) -> None:
        self._hang_up()
        super().stop()

    def kill(self) -> None:
        self._hang_up()
        super().kill()

    def load(self, conf: str, credentials: Sequence[Credential] = ()) -> None:
        self.write(conf, credentials)
        uri = f"unix://{self.directory / self.socket_name}"
        done = subprocess.run(
            ["swanctl", "--load-all", "--noprompt", "--uri", uri],
            env={**os.environ, "SWANCTL_DIR": str(self.swanctl)},
            capture_output=True,
            text=True,
        )
        with self.log_path.open("a") as log:
            log.write(f"swanctl --load-all: {done.stdout}{done.stderr}\n")
        if done.returncode != 0:
            raise Refused(done.stdout + done.stderr)

    def up(self, child: str, within: float = 60.0) -> None:
        self._streamed(self.vici().initiate, {"child": child, "timeout": str(round(within * 1000))})

    def down(self, *, child: str | None = None, ike: str | None = None) -> None:
        self._streamed(self.vici().terminate, _named(child, ike) | {"timeout": "60000"})

    def forget(self, sa: Mapping[str, Any]) -> None:
        """End an IKE SA of `sas()` at once, whatever state it is in; the peer may be told or not."""
        try:
            self._streamed(self.vici().terminate, {"ike-id": sa["uniqueid"], "force": "yes", "timeout": "10000"})
        except Refused:
            pass  # it went by itself meanwhile

    def rekey(self, *, child: str | None = None, ike: str | None = None) -> None:
        self.vici().rekey(_named(child, ike))

    def sas(self, ike: str | None = None) -> list[dict[str, Any]]:
        found = []
        for message in self.vici().list_sas({"ike": ike} if ike else None):
            for name, section in message.items():
                sa = _text(section)
                sa["children"] = list(sa.pop("child-sas", {}).values())
                found.append({"name": name, **sa})
        return found

    def _streamed(self, command: Any, request: dict[str, str]) -> None:
        """Run a command whose log is streamed; the log is the exception's text when it fails."""
        lines = []
        try:
            for message in command(request):
                lines.append(_text(message).get("msg", ""))
        except CommandException as error:
            raise Refused("\n".join([f"{self.node}: {error}", *lines])) from None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._session = self._connection = None


def _named(child: str | None, ike: str | None) -> dict[str, str]:
    return {key: name for key, name in (("child", child), ("ike", ike)) if name is not None}


def _text(value: Any) -> Any:
    """vici's octets as text, all the way down."""
    if isinstance(value, dict):
        return {key: _text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_text(inner) for inner in value]
    return value.decode(errors="replace")
