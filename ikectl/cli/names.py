"""What a NAME on the command line means: a connection, a child, or connection/child."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import typer

from ikectl.cli.failure import ExitCode, Failure
from ikectl.vici.client import DEFAULT_SOCKET, Client, ClientError
from ikectl.vici.message import Tree, section, text


@dataclass(frozen=True, slots=True)
class Names:
    """A connection and the names of its children."""

    connection: str
    children: tuple[str, ...]
    shunts: tuple[str, ...] = ()
    """Those children that have no SA to bring up."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What a name stands for. `child` is empty where the whole connection is meant."""

    connection: str
    child: str = ""

    def __str__(self) -> str:
        return f"{self.connection}/{self.child}" if self.child else self.connection


def configured(client: Client) -> list[Names]:
    """The connections the daemon has."""
    return [
        _names(name, section(section(keys).get("children")))
        for event in client.stream("list-conns", "list-conn")
        for name, keys in event.items()
    ]


def _names(connection: str, children: Tree) -> Names:
    shunts = [child for child, keys in children.items() if text(section(keys).get("mode")) in ("PASS", "DROP")]
    return Names(connection, tuple(children), tuple(shunts))


def alive(client: Client) -> list[Names]:
    """The connections and children of the SAs there are, even if their configuration is gone."""
    children: dict[str, dict[str, None]] = {}
    for event in client.stream("list-sas", "list-sa"):
        for name, keys in event.items():
            seen = children.setdefault(name, {})
            for child in section(section(keys).get("child-sas")).values():
                seen[text(section(child).get("name"))] = None
    return [Names(name, tuple(seen)) for name, seen in children.items()]


def together(*lists: Iterable[Names]) -> list[Names]:
    """One list, each connection once."""
    children: dict[str, dict[str, None]] = {}
    for each in (each for names in lists for each in names):
        children.setdefault(each.connection, {}).update(dict.fromkeys(each.children))
    return [Names(name, tuple(seen)) for name, seen in children.items()]


def resolve(name: str, known: list[Names]) -> Meant:
    """A connection of that name, else the one child of that name, else connection/child.

    Raises:
        Failure: nothing has that name, or children of several connections have.
    """
    if any(each.connection == name for each in known):
        return Meant(name)
    owners = [each.connection for each in known if name in each.children]
    if len(owners) == 1:
        return Meant(owners[0], name)
    if owners:
        choices = " or ".join(f"{owner}/{name}" for owner in owners)
        raise Failure(ExitCode.NO_SUCH_NAME, f"several connections have a child '{name}'", f"say which one: {choices}")
    for each in known:
        # Names may hold slashes, so the known ones decide where to cut.
        child = name.removeprefix(f"{each.connection}/")
        if child != name and child in each.children:
            return Meant(each.connection, child)
    raise unknown(name, known)


def unknown(name: str, known: list[Names]) -> Failure:
    """Nothing has this name: say what was perhaps meant, or what there is."""
    everything = list_all(known)
    close = get_close_matches(name, everything, 3, 0.5)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif known:
        names = [each.connection for each in known]
        hint = f"there is {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
    else:
        hint = "the daemon has no connections; load some with: ikectl load"
    return Failure(ExitCode.NO_SUCH_NAME, f"there is no connection or child '{name}'", hint)


def list_all(known: list[Names]) -> list[str]:
    """Every way to name something: connections, children with one owner, connection/child for the others."""
    names = dict.fromkeys(each.connection for each in known)
    owners: dict[str, list[str]] = {}
    for each in known:
        for child in each.children:
            owners.setdefault(child, []).append(each.connection)
    names |= dict.fromkeys(child for child, of in owners.items() if len(of) == 1)
    names |= dict.fromkeys(f"{owner}/{child}" for child, of in owners.items() if len(of) > 1 for owner in of)
    return list(names)


def socket_of(context: typer.Context) -> str:
    """The socket the user chose, also while the shell is completing a word."""
    return str(context.find_root().params.get("socket") or DEFAULT_SOCKET)


def complete_configured(context: typer.Context, incomplete: str) -> list[str]:
    """Names of connections and children, asked of the daemon; none if it does not answer."""
    return _complete(context, incomplete, with_sas=False)


def complete_alive(context: typer.Context, incomplete: str) -> list[str]:
    """Likewise, and the names of SAs whose configuration is gone."""
    return _complete(context, incomplete, with_sas=True)


def _complete(context: typer.Context, incomplete: str, with_sas: bool) -> list[str]:
    try:
        with Client(socket_of(context)) as client:
            known = together(configured(client), alive(client) if with_sas else ())
    except ClientError:
        return []
    return [name for name in list_all(known) if name.startswith(incomplete)]
