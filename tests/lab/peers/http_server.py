"""A CA's HTTP server: files of its directory, for GET and, as an OCSP responder would, for POST."""

from __future__ import annotations

import sys
from typing import ClassVar

from tests.lab.peers.base import Program

PORT = 8080

_SERVER = f"""
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

class Page(SimpleHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

server = ThreadingHTTPServer(("", {PORT}), partial(Page, directory="/run/www"))
print("serving", flush=True)
server.serve_forever()
"""


class HttpServer(Program):
    """One server on port 8080 of its node; what it was asked is in its log."""

    WWW: ClassVar[str] = "www"

    def prepare(self) -> None:
        (self.directory / self.WWW).mkdir(exist_ok=True)

    def command(self) -> list[str]:
        return [sys.executable, "-u", "-c", _SERVER]

    def ready(self) -> None:
        self.waiting(lambda: "serving" in self.log(), "does not serve")

    def publish(self, name: str, octets: bytes) -> None:
        """Serve octets as /name from now on."""
        (self.directory / self.WWW / name).write_bytes(octets)

    def asked(self, name: str) -> int:
        """How often /name was asked for."""
        return self.log().count(f" /{name} HTTP")
