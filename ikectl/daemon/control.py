"""The daemon as the control protocol sees it: an engine, a store, and the host they run on."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from importlib.metadata import version as package_version

from ikectl.config.model import Connection
from ikectl.daemon.credentials import StoreCredentials
from ikectl.engine.commands import Command, Initiate, LoadConnection, Rekey, Selection, Terminate, UnloadConnection
from ikectl.engine.engine import Engine
from ikectl.engine.machine import Machine
from ikectl.engine.view import ChildSaView, IkeSaView, TasksView
from ikectl.errors import BackendError
from ikectl.pki.store import Store
from ikectl.sa.asks import Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.ike_sa import IkeSa
from ikectl.vici.ports import Stats, Version

MAX_FILE = 1 << 20  # octets of a certificate file that a request names

Query = Callable[[ChildSa], Awaitable[Usage]]
"""What a child carried so far, from the kernel. Raises BackendError."""

Reload = Callable[[], Awaitable[None]]
"""Read the daemon's own configuration again. Raises ConfigErrors."""


class EngineControl:
    """`vici.ports.Control` over an engine.

    `clock` gives the engine's monotonic seconds, `pump` carries out what the
    engine wants done after a command.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        clock: Callable[[], float],
        pump: Callable[[], None],
        query: Query,
        reload: Reload,
    ) -> None:
        self.credentials = StoreCredentials(store)
        self._engine = engine
        self._clock = clock
        self._pump = pump
        self._query = query
        self._reload = reload
        self._began_at = clock()
        self._since = time.strftime("%b %d %H:%M:%S %Y")

    # -- facts

    def version(self) -> Version:
        host = os.uname()
        return Version("ikectld", package_version("ikectl"), host.sysname, host.release, host.machine)

    def stats(self) -> Stats:
        ike_sas = sum(1 for _ in self._engine.machines())
        return Stats(self._clock() - self._began_at, self._since, ike_sas, self._engine.half_open)

    async def reload_settings(self) -> None:
        await self._reload()

    def read_file(self, path: str) -> bytes:
        """Raises OSError: it cannot be read, or is longer than a certificate can be."""
        with open(path, "rb") as file:
            octets = file.read(MAX_FILE + 1)
        if len(octets) > MAX_FILE:
            raise OSError(f"longer than {MAX_FILE} octets")
        return octets

    # -- connections and commands

    def connections(self) -> Iterable[Connection]:
        return self._engine.connections.all

    async def load_connection(self, connection: Connection) -> None:
        self._do(LoadConnection(connection))

    async def unload_connection(self, name: str) -> bool:
        if self._engine.connections.get(name) is None:
            return False
        self._do(UnloadConnection(name))
        return True

    def command(self, command: Initiate | Terminate | Rekey) -> None:
        self._do(command)

    def _do(self, command: Command) -> None:
        self._engine.command(command, self._clock())
        self._pump()

    # -- SAs

    async def ike_sas(self, selection: Selection) -> AsyncIterator[IkeSaView]:
        for machine in self._engine.machines():
            sa = machine.sa
            if selection.ike not in ("", sa.name) or selection.ike_id not in (0, sa.uniqueid):
                continue
            children = [await self._used(child) for child in sa.living_children]
            yield IkeSaView.of(sa, self._clock(), tuple(children), _tasks(machine))

    async def _used(self, child: ChildSa) -> ChildSaView:
        try:
            usage: Usage | None = await self._query(child)
        except BackendError:
            usage = None  # it left the kernel while we asked
        return ChildSaView.of(child, self._clock(), usage)

    def view(self, sa: IkeSa) -> IkeSaView:
        now = self._clock()
        return IkeSaView.of(sa, now, tuple(ChildSaView.of(child, now) for child in sa.living_children))

    def view_child(self, child: ChildSa) -> ChildSaView:
        return ChildSaView.of(child, self._clock())


def _tasks(machine: Machine) -> TasksView:
    return TasksView(
        queued=tuple(type(exchange).__name__ for exchange in machine.queue),
        active=(type(machine.active).__name__,) if machine.active is not None else (),
        passive=(machine.answering.name,) if machine.answering is not None else (),
    )
