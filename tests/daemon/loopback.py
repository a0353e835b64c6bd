"""Two daemons in one event loop: real shells and sockets on 127.0.0.0/8, and kernels that only write down."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any

from ikectl.config.model import Connection
from ikectl.daemon import answers
from ikectl.daemon.control import DaemonControl
from ikectl.daemon.logins import Logins
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.puzzles import PuzzleSolver
from ikectl.daemon.shell import Shell
from ikectl.daemon.tcp import TcpSettings, TcpStreams
from ikectl.engine.commands import Initiate, LoadConnection
from ikectl.engine.engine import Engine
from ikectl.kernel.dryrun import DryRun
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.env import Env, Settings
from ikectl.sa.events import CommandDone, Event
from ikectl.values.path import Endpoint, Path
from tests.sim.site import child, connection

PORT = 15500
WITHIN = 20.0
"""Seconds until a test gives up."""


class Loopback:
    """Plain sockets, which any user may open, at one address and ports 15500 and 19500."""

    def __init__(self, address: str) -> None:
        self.sockets: dict[int, socket.socket] = {}
        for port in (PORT, PORT + 4000):
            sock = self.sockets[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind((address, port))

    def __iter__(self) -> Iterator[socket.socket]:
        return iter(self.sockets.values())

    def drain(self, sock: socket.socket, limit: int) -> Iterator[tuple[bytes, Path]]:
        for _ in range(limit):
            try:
                data, peer = sock.recvfrom(65536)
            except BlockingIOError:
                return
            yield data, Path(Endpoint.parse(*sock.getsockname()), Endpoint.parse(*peer))

    def send(self, data: bytes, path: Path) -> None:
        if path.local.port not in self.sockets:
            raise OSError(f"no socket has port {path.local.port}")
        self.sockets[path.local.port].sendto(data, (path.remote.host, path.remote.port))

    def close(self) -> None:
        for sock in self:
            sock.close()


class Running:
    """One daemon without main, vici socket or XFRM."""

    def __init__(
        self,
        address: str,
        config: str | None = None,
        logins: Callable[[Store], Logins] | None = None,
        tcp_port: int | None = None,
        **settings: Any,
    ) -> None:
        """`logins` makes what checks users, of the store; `settings` are those of `Settings`."""
        self.address = address
        self.sockets = Loopback(address)
        self.kernel = DryRun()
        self.store = Store()
        self.events: list[Event] = []
        self._news = asyncio.Event()
        chosen = Settings(**{"ike_port": PORT, "natt_port": PORT + 4000, "retransmit_timeout": 0.2, **settings})
        self.pools = AddressPools()
        table = answers.immediate(
            self.store,
            self.kernel,
            lambda remote: Endpoint.parse(address, 0).address,
            lambda: (Endpoint.parse(address, 0).address,),
            self.pools,
        )
        checking = logins(self.store) if logins is not None else Logins.of(self.store, secrets.token_bytes, lambda: 0.0)
        self.streams = TcpStreams(TcpSettings(tcp_port, privileged=False))
        table[asks.CloseStream] = self.streams.finish
        self.solver = PuzzleSolver()
        later = {**answers.LATER, **checking.later, **self.solver.later, asks.OpenStream: self.streams.open}
        engine = Engine(Env(lambda number: secrets.token_bytes, chosen), {**table, **checking.immediate})
        self.shell = Shell(engine, self.sockets, self.kernel, later, [self._observe], self.streams)
        self.control = DaemonControl(self.shell, self.kernel, self.store, self.pools, config)
        self.shell.start()
        self.streams.start(self.shell)

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def load(self, peer: str, **more: Any) -> None:
        mirror = self.address > peer
        self.store.add_secret("ike", (), b"between friends")
        self.shell.command(LoadConnection(self.connection(peer, mirror, **more)))

    def connection(self, peer: str, mirror: bool, **more: Any) -> Connection:
        names = ("sun.example.org", "moon.example.org") if mirror else ("moon.example.org", "sun.example.org")
        return connection(
            **{
                "local": self.address,
                "remote": peer,
                "local_id": names[0],
                "remote_id": names[1],
                "local_port": PORT,
                "remote_port": PORT,
                "children": (child(mirror=mirror),),
                **more,
            }
        )

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for events until `true()` is."""
        async with asyncio.timeout(WITHIN):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def done(self, token: int) -> CommandDone:
        """How a command ended."""
        await self.until(lambda: self.outcome(token) is not None)
        outcome = self.outcome(token)
        assert outcome is not None
        return outcome

    def outcome(self, token: int) -> CommandDone | None:
        return next((e for e in self.events if isinstance(e, CommandDone) and e.token == token), None)

    async def up(self) -> None:
        """Bring child `net` up."""
        self.shell.command(Initiate(1, "site", "net"))
        assert (await self.done(1)).error is None

    def stop(self) -> None:
        self.control.stop()
        self.shell.stop()
        self.streams.close()
        self.sockets.close()
        self.kernel.close()
