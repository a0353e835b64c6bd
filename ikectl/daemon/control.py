"""Control: the daemon as its control protocol sees it, and the configuration file beside it."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

import structlog

from ikectl.config.load import load_file
from ikectl.config.model import Connection, Loaded
from ikectl.daemon.clock import wall
from ikectl.daemon.credentials import Credentials
from ikectl.daemon.files import FILES, read
from ikectl.daemon.logins import check_backends
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.resolve import resolve
from ikectl.daemon.shell import Shell
from ikectl.engine.commands import (
    LoadConnection,
    Resolved,
    Selection,
    UnloadConnection,
)
from ikectl.engine.engine import Engine
from ikectl.engine.look import view_ike, view_sa
from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.errors import BackendError, IkectlError
from ikectl.kernel.backend import KernelBackend
from ikectl.pki.store import Store
from ikectl.sa.asks import Resolve, Usage
from ikectl.sa.association import Association
from ikectl.sa.child_sa import ChildSa
from ikectl.sa.sentries import Sentry
from ikectl.vici.ports import Begun, Stats, Version

log = structlog.get_logger(__name__)

LISTED_A_TURN = 32
"""SAs listed before others have their turn; with 20,000 of them a list takes a while."""
LOOKUP_PERIOD = 300.0
"""Seconds between look-ups of the host names that connections mention."""


def our_version() -> str:
    """Of the package, as installed."""
    try:
        return version("ikectl")
    except PackageNotFoundError:
        return "unknown"


class DaemonControl:
    """What `vici.ports.Control` says."""

    def __init__(
        self,
        shell: Shell,
        kernel: KernelBackend,
        store: Store,
        pools: AddressPools,
        config: str | None,
        withdrawn: Callable[[], None] = lambda: None,
    ) -> None:
        """`config` is the path of the daemon's own swanctl.conf, read again on demand.

        `withdrawn` is told when what peers proved may not be good any more.
        """
        self._shell = shell
        self._kernel = kernel
        self._config = config
        self._credentials = Credentials(store, withdrawn)
        self._pools = pools
        self._from_file: dict[str, Connection] = {}
        self._began, self._since = shell.now, wall()
        self._lookups: asyncio.Task[None] | None = None

    @property
    def credentials(self) -> Credentials:
        return self._credentials

    @property
    def pools(self) -> AddressPools:
        return self._pools

    @property
    def _engine(self) -> Engine:
        return self._shell.engine

    # -- the daemon

    def version(self) -> Version:
        about = platform.uname()
        return Version("ikectld", our_version(), about.system, about.release, about.machine)

    def stats(self) -> Stats:
        return Stats(
            running_for=self._shell.now - self._began,
            since=self._since.astimezone().strftime("%b %d %H:%M:%S %Y"),
            ike_sas=sum(1 for _ in self._engine.machines()),
            half_open=self._engine.half_open,
        )

    async def reload_settings(self) -> None:
        if self._config is not None:
            self.load(load_file(self._config, FILES))

    def load(self, loaded: Loaded) -> None:
        """Put what the configuration file says in the place of what it said before.

        Raises ConfigErrors, CredentialError or PoolRefused. Connections that clients loaded stay, unless the file
        names one alike.
        """
        check_backends(loaded.connections)
        self._pools.load_file(loaded.pools)
        self._credentials.load_file(loaded)
        connections = {connection.name: connection for connection in loaded.connections}
        for name in self._from_file:
            if name not in connections and self._engine.connections.get(name) is self._from_file[name]:
                self._shell.command(UnloadConnection(name))
        self._from_file = connections
        for connection in connections.values():
            if self._engine.connections.get(connection.name) != connection:
                self._shell.command(LoadConnection(connection))
        self._look_up_soon()
        log.info(
            "configuration loaded",
            connections=len(loaded.connections),
            secrets=len(loaded.secrets),
            keys=len(loaded.keys),
            certificates=len(loaded.certs) + len(loaded.authorities),
            pools=len(loaded.pools),
            group="cfg",
        )

    # -- connections

    def connections(self) -> Iterable[Connection]:
        return self._engine.connections.all

    async def load_connection(self, connection: Connection) -> None:
        check_backends((connection,))
        if self._engine.connections.get(connection.name) != connection:
            self._shell.command(LoadConnection(connection))
            if any(_hosts((connection,))):
                self._look_up_soon()

    async def unload_connection(self, name: str) -> bool:
        if self._engine.connections.get(name) is None:
            return False
        self._shell.command(UnloadConnection(name))
        return True

    def read_file(self, path: str) -> bytes:
        return read(path)

    # -- SAs

    def command(self, command: Begun) -> None:
        self._shell.command(command)

    def is_calling(self, ike: str) -> bool:
        return ike in self._engine.connections.calls

    def sentries(self) -> Iterable[Sentry]:
        return self._engine.env.sentries

    async def ike_sas(self, selection: Selection) -> AsyncIterator[IkeSaView]:
        connections = self._engine.connections
        machines = connections.of(selection.ike) if selection.ike else list(self._engine.machines())
        for place, machine in enumerate(machines):
            if place % LISTED_A_TURN == LISTED_A_TURN - 1:
                await asyncio.sleep(0)
            if selection.ike_id in (0, machine.sa.uniqueid):
                yield view_ike(machine, self._shell.now, self._usage)

    def view(self, sa: Association) -> IkeSaView:
        return view_sa(sa, self._shell.now)

    def view_child(self, child: ChildSa) -> ChildSaView:
        return ChildSaView.of(child, self._shell.now)

    def _usage(self, child: ChildSa) -> Usage | None:
        try:
            return self._kernel.query(child)
        except BackendError as error:
            log.warning("the kernel does not tell what a child carried", child=child.name, why=str(error))
            return None

    # -- names

    def stop(self) -> None:
        """No further look-ups."""
        if self._lookups is not None:
            self._lookups.cancel()

    def _look_up_soon(self) -> None:
        if self._lookups is not None:
            self._lookups.cancel()
            self._lookups = None
        if any(_hosts(self._engine.connections.all)):
            self._lookups = asyncio.get_running_loop().create_task(self._look_up())

    async def _look_up(self) -> None:
        """Keep the addresses of host names, so that peers calling from them are known."""
        while True:
            for host in tuple(dict.fromkeys(_hosts(self._engine.connections.all))):
                try:
                    addresses = await resolve(Resolve(host))
                except IkectlError as error:
                    log.warning("name not found", host=host, why=str(error), group="cfg")
                else:
                    self._shell.command(Resolved(host, addresses))
            await asyncio.sleep(LOOKUP_PERIOD)


def _hosts(connections: Iterable[Connection]) -> Iterator[str]:
    """The host names that connections mention."""
    for connection in connections:
        for spec in (*connection.local_addrs, *connection.remote_addrs):
            if spec.hostname is not None:
                yield spec.hostname
