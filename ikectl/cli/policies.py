"""`ikectl policies`, `install` and `uninstall`: traps and shunts, which are policies without SAs."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from ikectl.cli.failure import ExitCode, Failure
from ikectl.cli.names import Meant, Names, configured, resolve, together
from ikectl.cli.render import plain, show, show_json
from ikectl.vici.client import Client, CommandFailed
from ikectl.vici.message import Tree, section, text, texts

ALL = {"trap": "yes", "pass": "yes", "drop": "yes"}
WHAT = {"PASS": ("passes as it is", "yellow"), "DROP": ("is dropped", "red")}


def policies(client: Client, as_json: bool) -> None:
    """Print what stands."""
    found = [section(node) for event in client.stream("list-policies", "list-policy", ALL) for node in event.values()]
    if as_json:
        show_json([plain(keys) for keys in found])
        return
    if not found:
        show("No traps or shunts.\nSet one with: ikectl install NAME    (or start_action = trap)")
    for keys in found:
        show(_line(keys))


def _line(keys: Tree) -> Text:
    what, style = WHAT.get(text(keys.get("mode")), ("calls for a child", "green"))
    traffic = f"{' '.join(texts(keys.get('local-ts')))} === {' '.join(texts(keys.get('remote-ts')))}"
    name = f"{text(keys.get('ike'))}/{text(keys.get('child'))}"
    return Text.assemble((name, "bold"), "   ", (traffic, "cyan"), "   ", (what, style))


def install(client: Client, name: str, as_json: bool) -> None:
    """Let the policies of a child stand by themselves, or those of every child of a connection."""
    known = configured(client)
    _each(client, "install", _targets(resolve(name, known), known), "stands", as_json)


def uninstall(client: Client, name: str, as_json: bool) -> None:
    """Take them away; children that they brought up stay."""
    standing = [
        Names(text(section(node).get("ike")), (text(section(node).get("child")),))
        for event in client.stream("list-policies", "list-policy", ALL)
        for node in event.values()
    ]
    known = together(standing)
    if not known:
        configured_too = resolve(name, configured(client))
        raise Failure(ExitCode.REFUSED, f"nothing of {configured_too} stands", "see what does with: ikectl policies")
    _each(client, "uninstall", _targets(resolve(name, known), known), "is gone", as_json)


def _targets(meant: Meant, known: list[Names]) -> list[Meant]:
    if meant.child:
        return [meant]
    children = next(each.children for each in known if each.connection == meant.connection)
    return [Meant(meant.connection, child) for child in children]


def _each(client: Client, command: str, targets: list[Meant], done: str, as_json: bool) -> None:
    results: list[dict[str, Any]] = []
    for meant in targets:
        try:
            client.request(command, {"ike": meant.connection, "child": meant.child})
            results.append({"name": str(meant), "success": True})
            if not as_json:
                show(Text.assemble((str(meant), "bold"), f" {done}"))
        except CommandFailed as error:
            results.append({"name": str(meant), "success": False, "errmsg": str(error)})
    if as_json:
        show_json(results)
    failed = [str(result["errmsg"]) for result in results if not result["success"]]
    if failed:
        raise Failure(ExitCode.REFUSED, "; ".join(failed), "see what stands with: ikectl policies")
