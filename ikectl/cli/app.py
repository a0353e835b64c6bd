"""The program `ikectl`: what can be typed. What happens then is in the modules named after it.

Two of them are imported only when they are meant, because they bring X.509 and
the whole configuration along, and a look at the SAs should not wait for that.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from typing import Annotated

import typer
from rich.text import Text

from ikectl.cli import conns as conns_command
from ikectl.cli import log as log_command
from ikectl.cli import pools as pools_command
from ikectl.cli import sas as sas_command
from ikectl.cli import up as up_command
from ikectl.cli.failure import EXIT_CODES, Failure, daemon
from ikectl.cli.names import complete_alive, complete_configured, socket_of
from ikectl.cli.render import console, safe, show, show_json
from ikectl.vici.client import DEFAULT_SOCKET
from ikectl.vici.message import text

app = typer.Typer(
    name="ikectl",
    help="Look at and control IPsec tunnels: ask the ikectld that runs on this machine.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Number = Annotated[int, typer.Option("--id", min=0, help="Only the IKE SA of this number; see ikectl sas.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A connection, a child, or connection/child.",
        autocompletion=complete_configured,
        show_default=False,
    ),
]
AliveName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A connection, a child, or connection/child.",
        autocompletion=complete_alive,
        show_default=False,
    ),
]


@app.callback()
def options(
    socket: Annotated[
        str,
        typer.Option(
            "--socket",
            "-S",
            envvar="IKECTL_SOCKET",
            metavar="PATH",
            help="Where the daemon listens.",
        ),
    ] = DEFAULT_SOCKET,
) -> None:
    """Options that all commands share."""


@app.command()
def up(
    context: typer.Context,
    name: Name,
    timeout: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for each child; 0: while the daemon tries."),
    ] = 0,
    childless: Annotated[
        bool,
        typer.Option("--childless", help="The IKE SA alone, where the peer takes it so (RFC 6023)."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Establish a connection's children, or one child, and show what happens meanwhile."""
    with daemon(socket_of(context)) as client:
        up_command.up(client, name, timeout, as_json, childless)


@app.command()
def down(
    context: typer.Context,
    name: AliveName,
    number: Number = 0,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for the peer's word.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait; 0 waits until it is done.")] = 0,
    as_json: Json = False,
) -> None:
    """Close a connection's SAs, or one child."""
    with daemon(socket_of(context)) as client:
        up_command.down(client, name, number, force, timeout, as_json)


@app.command()
def rekey(
    context: typer.Context,
    name: AliveName,
    number: Number = 0,
    reauth: Annotated[
        bool, typer.Option("--reauth", help="Make IKE SAs anew, so that both ends prove themselves.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replace the keys of a connection's IKE SAs, or of one child."""
    with daemon(socket_of(context)) as client:
        up_command.rekey(client, name, number, reauth, as_json)


@app.command()
def configure(
    context: typer.Context,
    name: AliveName,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the peers about themselves instead.")] = False,
    as_json: Json = False,
) -> None:
    """Send clients what their address pools have now (CFG_SET of IKEv2)."""
    with daemon(socket_of(context)) as client:
        up_command.configure(client, name, ask, as_json)


@app.command()
def install(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let the next packet bring a child up (trap), or pass or drop its packets (shunt)."""
    from ikectl.cli import policies as policies_command

    with daemon(socket_of(context)) as client:
        policies_command.install(client, name, as_json)


@app.command()
def uninstall(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Take a trap or a shunt away; SAs stay."""
    from ikectl.cli import policies as policies_command

    with daemon(socket_of(context)) as client:
        policies_command.uninstall(client, name, as_json)


@app.command()
def policies(context: typer.Context, as_json: Json = False) -> None:
    """Show the traps and shunts that stand."""
    from ikectl.cli import policies as policies_command

    with daemon(socket_of(context)) as client:
        policies_command.policies(client, as_json)


@app.command()
def redirect(
    context: typer.Context,
    name: AliveName,
    gateway: Annotated[str, typer.Option("--to", metavar="GATEWAY", help="Address or name of the other gateway.")],
    number: Number = 0,
    as_json: Json = False,
) -> None:
    """Send a connection's clients to another gateway."""
    with daemon(socket_of(context)) as client:
        up_command.redirect(client, name, gateway, number, as_json)


@app.command()
def sas(
    context: typer.Context,
    name: AliveName = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw again and again, with rates.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two pictures of --watch.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Show the SAs: states, ends, algorithms, selectors, traffic."""
    if watch and as_json:
        raise typer.BadParameter("--watch is for eyes; leave --json out")
    with daemon(socket_of(context)) as client:
        if watch:
            sas_command.watch(client, name, every)
        else:
            sas_command.sas(client, name, as_json)


@app.command()
def conns(context: typer.Context, name: Name = "", as_json: Json = False) -> None:
    """Show the connections that the daemon has."""
    with daemon(socket_of(context)) as client:
        conns_command.conns(client, name, as_json)


@app.command()
def certs(context: typer.Context, as_json: Json = False) -> None:
    """Show the certificates that the daemon has, and how long they are still valid."""
    from ikectl.cli import certs as certs_command

    with daemon(socket_of(context)) as client:
        certs_command.certs(client, as_json)


@app.command()
def pools(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pool.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Show the address pools, and who has which address of them."""
    with daemon(socket_of(context)) as client:
        pools_command.pools(client, name, as_json)


@app.command()
def load(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|DIRECTORY",
            help="A swanctl.conf or TOML file, or a directory with one.",
            show_default=True,
        ),
    ] = "/etc/swanctl",
    as_json: Json = False,
) -> None:
    """Load a configuration, whole or not at all; what it no longer holds is unloaded."""
    from ikectl.cli import config as config_command

    configuration = config_command.read(source)
    with daemon(socket_of(context)) as client:
        config_command.load(client, configuration, as_json)


@app.command()
def log(context: typer.Context, name: Name = "", as_json: Json = False) -> None:
    """Show the daemon's log as it happens; of one connection if it is named."""
    with daemon(socket_of(context)) as client:
        log_command.log(client, name, as_json)


@app.command()
def version(context: typer.Context, as_json: Json = False) -> None:
    """Show the versions of the daemon and of this program."""
    ours = version_of("ikectl")
    with daemon(socket_of(context)) as client:
        answer = client.request("version")
    facts = {key: text(node) for key, node in answer.items()}
    if as_json:
        show_json({**facts, "client": ours})
    else:
        show(f"{facts.get('daemon')} {facts.get('version')} on {facts.get('sysname')} {facts.get('release')}")
        show(f"ikectl {ours}")


def main(arguments: list[str] | None = None) -> None:
    """Run the program; leaves by SystemExit with one of the exit codes of `failure`."""
    try:
        app(arguments)
    except Failure as failure:
        err = console(stderr=True)
        err.print(safe(Text.assemble(("ikectl: ", "red"), failure.what)))
        if failure.hint:
            err.print(safe(Text.assemble(("  -> ", "dim"), failure.hint)))
        sys.exit(int(failure.code))


if __name__ == "__main__":
    main()
