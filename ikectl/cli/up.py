"""`ikectl up`, `down` and `rekey`: change what is there, and tell the story while it happens."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from ikectl.cli.failure import ExitCode, Failure
from ikectl.cli.log import story_line
from ikectl.cli.names import Meant, Names, alive, configured, resolve, together
from ikectl.cli.render import count, number, plain, show, show_json
from ikectl.vici.client import Client, CommandFailed
from ikectl.vici.message import Draft, Tree, section, text, texts

STANDING = frozenset(("INSTALLED", "REKEYING"))


def up(client: Client, name: str, timeout: float, as_json: bool, childless: bool = False) -> None:
    """Establish a child, or every child of a connection; what stands already is left alone.

    `timeout` in seconds for each child; 0 waits as long as the daemon tries. `childless`: the IKE SA alone.
    """
    known = configured(client)
    meant = resolve(name, known)
    if childless and meant.child:
        raise Failure(
            ExitCode.USAGE, f"{meant} is a child", f"for the IKE SA alone: ikectl up {meant.connection} --childless"
        )
    targets = [meant] if childless else _targets(meant, known)
    results = [_up(client, each, timeout, as_json) for each in targets]
    if as_json:
        show_json(results)
    if not all(result["success"] for result in results):
        failed = [str(result["name"]) for result in results if not result["success"]]
        reasons = {str(result["errmsg"]) for result in results if not result["success"]}
        raise Failure(ExitCode.REFUSED, "; ".join(sorted(reasons)), _advice(failed))


def _targets(meant: Meant, known: list[Names]) -> list[Meant]:
    """A connection's children but for shunts, or the connection itself if it has none."""
    if meant.child:
        return [meant]
    owner = next(each for each in known if each.connection == meant.connection)
    children = [child for child in owner.children if child not in owner.shunts]
    return [Meant(meant.connection, child) for child in children] or [meant]


def _up(client: Client, meant: Meant, timeout: float, as_json: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"name": str(meant), "success": True, "changed": False}
    if (child := _standing(client, meant)) is not None:
        if not as_json:
            show(Text.assemble((str(meant), "bold"), " is up already: ", _selectors(child)))
        return result
    request: dict[str, str] = {"ike": meant.connection, "timeout": str(round(timeout * 1000))}
    if meant.child:
        request["child"] = meant.child
    result["log"] = []
    try:
        _story(client, "initiate", request, as_json, result["log"])
    except CommandFailed as error:
        return {**result, "success": False, "errmsg": str(error)}
    except KeyboardInterrupt:
        raise Failure(
            ExitCode.INTERRUPTED, "no longer waiting; the daemon goes on trying", f"to stop it: ikectl down {meant}"
        ) from None
    if not as_json:
        child = _standing(client, meant)
        show(Text.assemble((str(meant), "bold"), " is ", ("up", "green"), ": " if child else "", _selectors(child)))
    return {**result, "changed": True}


def _standing(client: Client, meant: Meant) -> Tree | None:
    """The child, if it carries traffic now."""
    if not meant.child:
        return None
    standing = None
    for event in client.stream("list-sas", "list-sa", {"ike": meant.connection, "child": meant.child}):
        for keys in event.values():
            for child in section(section(keys).get("child-sas")).values():
                if text(section(child).get("state")) in STANDING:
                    standing = section(child)
    return standing


def _selectors(child: Tree | None) -> str:
    if child is None:
        return ""
    return f"{' '.join(texts(child.get('local-ts')))} === {' '.join(texts(child.get('remote-ts')))}"


def _advice(failed: list[str]) -> str:
    return f"the lines above tell why; the peer's log may tell more. Look again with: ikectl up {failed[0]}"


def down(client: Client, name: str, number_of: int, force: bool, timeout: float, as_json: bool) -> None:
    """Close a connection's SAs or one child. What is down already is no failure."""
    known = together(configured(client), alive(client))
    meant = resolve(name, known)
    request: dict[str, str] = {**_request(meant, number_of), "timeout": str(round(timeout * 1000))}
    if force:
        request["force"] = "yes"
    story: list[dict[str, Any]] = []
    closed = 0
    try:
        response = _story(client, "terminate", request, as_json, story)
        closed = number(response.get("terminated")) or 0
    except CommandFailed as error:
        if number(error.response.get("matches")) != 0:
            raise Failure(
                ExitCode.REFUSED,
                f"{meant}: {error}",
                f"to close it without the peer's word: ikectl down --force {name}",
            ) from error
        if number_of:
            raise Failure(
                ExitCode.NO_SUCH_NAME, f"{meant} has no SA #{number_of}", "see the numbers with: ikectl sas"
            ) from error
    if as_json:
        show_json({"name": str(meant), "success": True, "changed": closed > 0, "terminated": closed, "log": story})
    elif closed:
        show(Text.assemble((str(meant), "bold"), " is ", ("down", "red"), f" ({count(closed, 'SA')} closed)"))
    else:
        show(Text.assemble((str(meant), "bold"), " was down already"))


def rekey(client: Client, name: str, number_of: int, reauth: bool, as_json: bool) -> None:
    """Replace the keys of a connection's IKE SAs, or of one child, with fresh ones; `reauth`: by new IKE SAs."""
    known = together(configured(client), alive(client))
    meant = resolve(name, known)
    try:
        response = client.request("rekey", _request(meant, number_of) | ({"reauth": "yes"} if reauth else {}))
    except CommandFailed as error:
        raise _failure(str(meant), meant, error) from error
    matches = number(response.get("matches")) or 0
    if as_json:
        show_json({"name": str(meant), "success": True, "matches": matches})
    else:
        what = "child SA" if meant.child else "IKE SA"
        show(f"{meant}: rekeying {count(matches, what)}; watch it with: ikectl sas --watch {meant}")


def configure(client: Client, name: str, ask: bool, as_json: bool) -> None:
    """Send a connection's clients what their pools have now; `ask`: ask its peers about themselves."""
    known = together(configured(client), alive(client))
    meant = resolve(name, known)
    story: list[dict[str, Any]] = []
    try:
        response = _story(
            client, "configure", {"ike": meant.connection} | ({"ask": "yes"} if ask else {}), as_json, story
        )
    except CommandFailed as error:
        raise _failure(meant.connection, meant, error) from error
    matches = number(response.get("matches")) or 0
    if as_json:
        show_json({"name": meant.connection, "success": True, "matches": matches, "log": story})
    else:
        show(f"{meant.connection}: {'asked' if ask else 'told'} on {count(matches, 'IKE SA')}")


def _failure(what: str, meant: Meant, error: CommandFailed) -> Failure:
    """Why nothing was done to the SAs of `what`: there are none, or the daemon says."""
    if number(error.response.get("matches")) == 0:
        return Failure(ExitCode.NO_SUCH_NAME, f"{what} is not up", f"bring it up with: ikectl up {meant}")
    return Failure(ExitCode.REFUSED, f"{what}: {error}")


def redirect(client: Client, name: str, gateway: str, number_of: int, as_json: bool) -> None:
    """Send the clients of a connection to another gateway."""
    meant = resolve(name, together(configured(client), alive(client)))
    request = {"ike": meant.connection, "gateway": gateway} | ({"ike-id": str(number_of)} if number_of else {})
    try:
        response = client.request("redirect", request)
    except CommandFailed as error:
        raise Failure(ExitCode.REFUSED, f"{meant}: {error}") from error
    matches = number(response.get("matches")) or 0
    if as_json:
        show_json({"name": str(meant), "success": True, "matches": matches})
    else:
        show(f"{meant}: {count(matches, 'client')} told to go to {gateway}")


def _request(meant: Meant, number_of: int) -> dict[str, str]:
    request = {"ike": meant.connection}
    if meant.child:
        request["child"] = meant.child
    if number_of:
        request["ike-id"] = str(number_of)
    return request


def _story(client: Client, command: str, request: Draft, as_json: bool, lines: list[dict[str, Any]]) -> Tree:
    """The answer of a command. Its log lines are shown as they come, and put into `lines`. Raises CommandFailed."""
    story = client.stream(command, "control-log", request)
    for line in story:
        lines.append(plain(line))
        if not as_json:
            show(story_line(line))
    return story.response
