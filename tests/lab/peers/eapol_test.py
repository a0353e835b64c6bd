"""wpa_supplicant's EAP client, as `eapol_test`, against an EAP server of ours.

It speaks RADIUS to whom it tests, so the few lines of an authenticator are
here: EAP out of Access-Request, the answer into Access-Challenge, and at the
end the key, which eapol_test compares with its own (RFC 2865, RFC 3579,
RFC 2548 §2.4).
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ikectl.auth.eap.server import EapServer

SECRET = b"between authenticator and server"
REQUEST, ACCEPT, REJECT, CHALLENGE = 1, 2, 3, 11
VENDOR, STATE, EAP, AUTHENTICATOR = 26, 24, 79, 80
MICROSOFT, SEND_KEY, RECEIVE_KEY = 311, 16, 17
_HEADER = 20
PART = 250

Step = Callable[[bytes], bytes]
"""An EAP packet of the client -> the server's answer."""


@dataclass(frozen=True)
class Outcome:
    """How one login ended: what eapol_test says, and all that it printed."""

    success: bool
    printed: str

    @property
    def tls13(self) -> bool:
        return "Using TLS version TLSv1.3" in self.printed


def log_in(network: str, directory: Path, server: EapServer, begin: Callable[[], bytes], take: Step) -> Outcome:
    """One login by the options of `network` (wpa_supplicant.conf), with files in `directory`.

    A success means that both ends have the same key.
    """
    (directory / "network.conf").write_text(f"network={{\nkey_mgmt=WPA-EAP\n{network}\n}}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        door.settimeout(20)
        port = str(door.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(door, server, begin, take))
        thread.start()
        command = ["eapol_test", "-c", "network.conf", "-a", "127.0.0.1", "-p", port, "-s", SECRET.decode(), "-t", "15"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        thread.join()
    return Outcome(done.returncode == 0, done.stdout + done.stderr)


def _serve(door: socket.socket, server: EapServer, begin: Callable[[], bytes], take: Step) -> None:
    """Answers requests until the server has its verdict."""
    asked = begin()
    first = True
    while server.verdict is None:
        try:
            request, client = door.recvfrom(8192)
        except TimeoutError:
            return
        packet = b"".join(value for kind, value in _attributes(request) if kind == EAP)
        if first:  # it was asked who it is by nobody: the identifier is its own
            packet, first = packet[:1] + asked[1:2] + packet[2:], False
        door.sendto(_reply(request, take(packet), server), client)


def _attributes(packet: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER
    while at < len(packet):
        kind, length = packet[at], packet[at + 1]
        yield kind, packet[at + 2 : at + length]
        at += length


def _attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, 2 + len(value))) + value


def _reply(request: bytes, eap: bytes, server: EapServer) -> bytes:
    """RFC 2865 §3, RFC 3579 §3.2."""
    authenticator = request[4:_HEADER]
    body = b"".join(_attribute(EAP, eap[at : at + PART]) for at in range(0, len(eap), PART))
    if server.verdict is None:
        body += _attribute(STATE, b"\1")
    elif server.msk is not None:
        body += _key(RECEIVE_KEY, server.msk[:32], b"\x80\1", authenticator)
        body += _key(SEND_KEY, server.msk[32:64], b"\x80\2", authenticator)
    body += _attribute(AUTHENTICATOR, bytes(16))
    code = CHALLENGE if server.verdict is None else ACCEPT if server.verdict else REJECT
    head = bytes((code, request[1])) + (_HEADER + len(body)).to_bytes(2, "big")
    body = body[:-16] + hmac.digest(SECRET, head + authenticator + body, "md5")
    return head + hashlib.md5(head + authenticator + body + SECRET).digest() + body


def _key(kind: int, key: bytes, salt: bytes, authenticator: bytes) -> bytes:
    """A key under the shared secret (RFC 2548 §2.4.2)."""
    plain = bytes((len(key),)) + key
    plain += bytes(-len(plain) % 16)
    hidden, last = b"", authenticator + salt
    for at in range(0, len(plain), 16):
        pad = hashlib.md5(SECRET + last).digest()
        last = bytes(a ^ b for a, b in zip(plain[at : at + 16], pad, strict=True))
        hidden += last
    return _attribute(VENDOR, MICROSOFT.to_bytes(4, "big") + _attribute(kind, salt + hidden))
