"""`ikectl pools`: the address pools, and who has which address of them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from rich.text import Text

from ikectl.cli.failure import ExitCode, Failure
from ikectl.cli.render import number, plain, show, show_json
from ikectl.vici.client import Client
from ikectl.vici.message import Tree, section, text

_STYLES = {"online": "green", "offline": "dim"}


def pools(client: Client, name: str, as_json: bool) -> None:
    """Print the pools with their leases; one of them if it is named."""
    question = {"leases": "yes"} | ({"name": name} if name else {})
    found = client.request("get-pools", question)
    if name and not found:
        raise _unknown(name, list(client.request("get-pools")))
    if as_json:
        show_json([_facts(pool, section(node)) for pool, node in found.items()])
        return
    if not found:
        show("No pools.\nThey come with the configuration: ikectl load")
    for position, (pool, node) in enumerate(found.items()):
        if position:
            show("")
        _show(pool, section(node))


def _unknown(name: str, known: list[str]) -> Failure:
    close = get_close_matches(name, known, 3, 0.5)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif known:
        hint = f"there is {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
    else:
        hint = "the daemon has no pools; load some with: ikectl load"
    return Failure(ExitCode.NO_SUCH_NAME, f"there is no pool '{name}'", hint)


def _facts(name: str, keys: Tree) -> dict[str, Any]:
    facts = plain({key: node for key, node in keys.items() if key != "leases"})
    leases = [plain(section(lease)) for lease in section(keys.get("leases")).values()]
    return {"name": name, **facts, "leases": leases}


def _show(name: str, keys: Tree) -> None:
    online, offline, size = (number(keys.get(key)) or 0 for key in ("online", "offline", "size"))
    use = f"{online:,} of {size:,} in use"
    kept = f", {offline:,} kept for who had them" if offline else ""
    style = "red" if online == size else "dim"
    show(Text.assemble((name, "bold"), (f"   from {text(keys.get('base'))}", "cyan"), (f"   {use}{kept}", style)))
    leases = [section(lease) for lease in section(keys.get("leases")).values()]
    width = max((len(text(lease.get("address"))) for lease in leases), default=0)
    for lease in leases:
        status = text(lease.get("status"))
        address = text(lease.get("address")).ljust(width)
        show(Text.assemble(f"  {address}  ", (f"{status:<8}", _STYLES.get(status, "")), text(lease.get("identity"))))
    if unlisted := number(keys.get("unlisted")):
        show(Text(f"  and {unlisted:,} more", "dim"))
