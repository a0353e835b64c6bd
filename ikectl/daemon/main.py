"""ikectld: puts the daemon together, and takes it apart again.

In order: configuration is read (and nothing is touched when it has a mistake),
the kernel is opened, sockets are bound, connections loaded, and only then the
control socket appears and systemd is told. At the end peers are told first.
"""

from __future__ import annotations

import asyncio
import grp
import os
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import random
from typing import Annotated, Any

import structlog
import typer

from ikectl.config.load import load_file
from ikectl.config.model import Loaded
from ikectl.daemon import answers, crash_secrets, heap
from ikectl.daemon.control import DaemonControl, our_version
from ikectl.daemon.dhcp_client import DhcpHosts
from ikectl.daemon.dhcp_relay import RelayAgent
from ikectl.daemon.fetch import Fetcher
from ikectl.daemon.files import FILES
from ikectl.daemon.log import EventLog, Levels, setup
from ikectl.daemon.logins import Logins
from ikectl.daemon.lookups import Lookups
from ikectl.daemon.nameservers import NameServers
from ikectl.daemon.notify import notify, watchdog_period
from ikectl.daemon.pools import AddressPools
from ikectl.daemon.puzzles import PuzzleSolver
from ikectl.daemon.resolved import Resolved
from ikectl.daemon.revocation import RevocationChecks
from ikectl.daemon.roaming import Whereabouts
from ikectl.daemon.shell import Shell
from ikectl.daemon.tcp import TcpSettings, TcpStreams
from ikectl.daemon.tickets import SessionTickets
from ikectl.daemon.tls import Tls
from ikectl.daemon.udp import UdpSettings, UdpSockets
from ikectl.daemon.vici_socket import ViciSocket
from ikectl.engine.commands import AddressesChanged, Terminate
from ikectl.engine.engine import Engine
from ikectl.errors import BackendError, ConfigErrors, IkectlError
from ikectl.kernel.addresses import InnerAddresses
from ikectl.kernel.dnslinks import DnsLinks
from ikectl.kernel.interfaces import SourceRoutes, source_address
from ikectl.kernel.netlink import NetlinkKernel
from ikectl.kernel.translate import NO_ESP_IN_TCP
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.env import Env, Settings
from ikectl.sa.events import CommandDone, Event

log = structlog.get_logger(__name__)

CONFIG = "/etc/swanctl/swanctl.conf"
VICI = "/run/ikectl/ikectl.vici"
FAREWELL_WITHIN = 2.0
"""Seconds that peers get at the end to confirm that their SAs are deleted."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; see `main`."""

    config: str | None
    vici: str
    vici_group: int | None
    levels: Levels
    farewell: float
    fwmark: int
    routes: bool
    state: str | None
    tcp_port: int | None


class Daemon:
    """One ikectld. `run` returns when it was told to end and everything is cleaned up."""

    def __init__(self, options: Options, loaded: Loaded) -> None:
        self._options = options
        self._loaded = loaded
        self._told: asyncio.Event = asyncio.Event()
        self._farewell: tuple[int, asyncio.Event] | None = None

    async def run(self) -> None:
        """Raises IkectlError when it cannot begin."""
        async with AsyncExitStack() as stack:
            shell, control = await self._assemble(stack)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._told.set)
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload(control)))
            watchdog = loop.create_task(_stay_alive())
            stack.callback(watchdog.cancel)
            heap.settle()
            notify("READY=1", f"STATUS={len(self._loaded.connections)} connections loaded")
            log.info("ready", version=our_version(), pid=os.getpid(), vici=self._options.vici)
            await self._told.wait()
            notify("STOPPING=1")
            log.info("ending")
            await self._say_farewell(shell)

    async def _assemble(self, stack: AsyncExitStack) -> tuple[Shell, DaemonControl]:
        options = self._options
        routes = SourceRoutes()
        await routes.start()
        stack.push_async_callback(routes.stop)
        whereabouts = Whereabouts()
        stack.push_async_callback(whereabouts.stop)
        await whereabouts.start()
        addresses = InnerAddresses()
        stack.push_async_callback(addresses.stop)
        await addresses.start()
        names = NameServers(Path(options.vici).with_name("resolv.conf"), resolved=Resolved(DnsLinks()))
        stack.push_async_callback(names.stop)
        await names.start()
        kernel = NetlinkKernel.open(interface_of=routes.interface_of)
        stack.callback(kernel.close)
        for line in kernel.features.lacking:
            log.warning(line, group="knl")
        settings = Settings()
        sockets = UdpSockets(UdpSettings(settings.ike_port, settings.natt_port, options.fwmark))
        stack.callback(sockets.close)
        streams = TcpStreams(TcpSettings(options.tcp_port, options.fwmark, kernel.features.esp_in_tcp))
        stack.callback(streams.close)
        if options.tcp_port is not None and not kernel.features.esp_in_tcp:
            log.warning(NO_ESP_IN_TCP, group="knl")

        store = Store()
        pools = AddressPools()
        tickets = SessionTickets(secrets.token_bytes, asyncio.get_running_loop().time)
        logins = Logins.of(store, secrets.token_bytes, asyncio.get_running_loop().time)
        table = {
            **answers.immediate(store, kernel, source_address, whereabouts.addresses, pools),
            **logins.immediate,
            **Tls(store).immediate,
            **tickets.immediate,
            asks.CloseStream: streams.finish,
        }
        if options.routes:
            _with_routes(table, routes)
        env = Env(lambda number: secrets.token_bytes, settings, chance=lambda _: random())
        if options.state is not None:
            env.crash_secrets = crash_secrets.renew(Path(options.state))
        engine = Engine(env, table)
        fetcher = Fetcher()
        stack.push_async_callback(fetcher.close)
        checks = RevocationChecks(store, fetcher, secrets.token_bytes)
        stack.push_async_callback(checks.close)
        solver = PuzzleSolver()
        stack.push_async_callback(solver.close)
        later = {
            **answers.later(addresses, names),
            **logins.later,
            **checks.later,
            **Lookups(fetcher).later,
            **solver.later,
        }
        later[asks.OpenStream] = streams.open
        shell = Shell(engine, sockets, kernel, later, (EventLog(options.levels), self._observe), streams)
        for dhcp in (
            RelayAgent(shell, source_address, secrets.token_bytes),
            DhcpHosts(shell, lambda ask: later[type(ask)](ask), secrets.token_bytes),
        ):
            shell.observe(dhcp.observe)
            stack.callback(dhcp.close)
        control = DaemonControl(shell, kernel, store, pools, options.config, tickets.forget)
        socket = ViciSocket(control, options.vici, options.vici_group)
        shell.observe(socket.publish)
        shell.start()
        stack.callback(shell.stop)
        streams.start(shell)

        async def moved() -> None:
            # Inner addresses first: routes prefer them, and those follow the children.
            await addresses.restore()
            shell.command(AddressesChanged())
            if options.routes:
                routes.restore()

        whereabouts.observe(moved)
        stack.callback(control.stop)
        control.load(self._loaded)
        await socket.start()
        stack.push_async_callback(socket.stop)
        return shell, control

    def _observe(self, event: Event) -> None:
        if self._farewell is not None and isinstance(event, CommandDone) and event.token == self._farewell[0]:
            self._farewell[1].set()

    async def _reload(self, control: DaemonControl) -> None:
        """SIGHUP: the configuration file again. One with mistakes changes nothing."""
        notify("RELOADING=1", f"MONOTONIC_USEC={int(asyncio.get_running_loop().time() * 1_000_000)}")
        try:
            await control.reload_settings()
        except ConfigErrors as errors:
            for error in errors.errors:
                log.error(str(error), group="cfg")
            log.error("nothing of the new configuration was loaded; correct it and reload again", group="cfg")
        except IkectlError as error:
            log.error(str(error), group="cfg")
        notify("READY=1")

    async def _say_farewell(self, shell: Shell) -> None:
        """Delete all IKE SAs, and wait a little for the peers to confirm; then without them."""
        token, done = -1, asyncio.Event()
        self._farewell = token, done
        shell.command(Terminate(token))
        try:
            async with asyncio.timeout(self._options.farewell):
                await done.wait()
        except TimeoutError:
            log.info("some peers did not confirm in time; they will find out by themselves")
        shell.command(Terminate(token, force=True))


def _with_routes(table: answers.Immediate, routes: SourceRoutes) -> None:
    """Let routes follow the outbound halves of children, and the traps that call for them."""
    install, remove = table[asks.InstallChild], table[asks.RemoveChild]
    post, dismiss = table[asks.InstallSentry], table[asks.RemoveSentry]

    def installed(ask: asks.InstallChild) -> None:
        install(ask)
        if ask.outbound:
            routes.want(ask.child)

    def removed(ask: asks.RemoveChild) -> None:
        if ask.outbound:
            routes.unwant(ask.child)
        remove(ask)

    def posted(ask: asks.InstallSentry) -> None:
        post(ask)
        routes.want(ask.sentry)

    def dismissed(ask: asks.RemoveSentry) -> None:
        routes.unwant(ask.sentry)
        dismiss(ask)

    move = table[asks.MovePath]

    def moved(ask: asks.MovePath) -> None:
        move(ask)
        if ask.child.outbound:
            routes.unwant(ask.child)
            routes.want(ask.child)

    table[asks.MovePath] = moved
    table[asks.InstallChild] = installed
    table[asks.RemoveChild] = removed
    table[asks.InstallSentry] = posted
    table[asks.RemoveSentry] = dismissed


async def _stay_alive() -> None:
    """Tell systemd's watchdog that the loop still turns."""
    period = watchdog_period()
    while period is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(period)


# -- the command line ----------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ikectld {our_version()}")
        raise typer.Exit


def _levels(text: str) -> Levels:
    try:
        return Levels.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _group(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise typer.BadParameter(f"there is no group {name!r}; `groupadd --system {name}` makes it") from None


def _config(path: str | None) -> str | None:
    """The configuration file: as named, or the one in a directory, or the usual one if it is there."""
    if path is None:
        return CONFIG if os.path.exists(CONFIG) else None
    if os.path.isdir(path):
        names = [os.path.join(path, name) for name in ("swanctl.conf", "swanctl.toml")]
        return next((name for name in names if os.path.exists(name)), names[0])
    return path


def _vici(uri: str) -> str:
    return uri.removeprefix("unix://")


def run(
    config: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=f"swanctl.conf or .toml, or the directory it is in. Without it {CONFIG}, if that is there.",
        ),
    ] = None,
    vici: Annotated[str, typer.Option(metavar="URI", help="Where to listen for ikectl and swanctl.")] = VICI,
    vici_group: Annotated[
        str | None, typer.Option(metavar="NAME", help="The group that may use that socket, besides root.")
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(metavar="LEVELS", help="-1 silent, 0 what matters, 1 the story, 2 to 4 details; 1,ike=2,net=3."),
    ] = "1",
    farewell: Annotated[
        float, typer.Option(min=0, help="Seconds that peers get at the end to confirm their deletion.")
    ] = FAREWELL_WITHIN,
    fwmark: Annotated[int, typer.Option(min=0, help="Mark on all IKE packets sent, for routing rules.")] = 0,
    tcp_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Take IKEv2 inside TCP, too, on this port (RFC 9329); usually 4500."),
    ] = None,
    routes: Annotated[
        bool, typer.Option(help="Let this host itself reach remote networks, by routes in table 220.")
    ] = True,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="STATE_DIRECTORY",
            help="Where to keep what proves to peers, after a restart, that SAs are lost (option qcd).",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it.")] = False,
) -> None:
    """The IKE daemon: negotiates IKEv2 and puts IPsec into the kernel.

    Runs in the foreground and logs to standard error. SIGHUP reads the
    configuration again, SIGTERM deletes all SAs and ends.
    """
    setup()
    path = _config(config)
    options = Options(
        path, _vici(vici), _group(vici_group), _levels(log_level), farewell, fwmark, routes, state, tcp_port
    )
    try:
        loaded = load_file(path, FILES) if path is not None else Loaded()
    except ConfigErrors as errors:
        _refuse([str(error) for error in errors.errors], f"correct {path} and start again; nothing was loaded")
    except OSError as error:
        _refuse([f"cannot read {path}: {error.strerror or error}"], "name the file with --config")
    try:
        asyncio.run(_serve(options, loaded))
    except BackendError as error:
        _refuse([str(error)], "nothing was left behind in the kernel")
    except IkectlError as error:
        _refuse([str(error)], "correct the configuration and start again")


async def _serve(options: Options, loaded: Loaded) -> None:
    await Daemon(options, loaded).run()


def _refuse(reasons: list[str], then: str) -> Any:
    for reason in reasons:
        print(f"ikectld: {reason}", file=sys.stderr)
    print(f"ikectld: not started: {then}", file=sys.stderr)
    raise typer.Exit(1)


app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
"""Its pretty tracebacks would print local variables, and keys are among these."""
app.command()(run)


def main() -> None:
    """The program `ikectld`."""
    app(prog_name="ikectld")


if __name__ == "__main__":
    main()
