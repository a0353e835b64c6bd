"""`ikectl conns`: the connections the daemon has."""

from __future__ import annotations

from rich.text import Text

from ikectl.cli.names import configured, unknown
from ikectl.cli.render import named, number, show, show_json
from ikectl.values.duration import format_time
from ikectl.vici.client import Client
from ikectl.vici.message import Tree, section, text, texts


def conns(client: Client, name: str, as_json: bool) -> None:
    """Print the connections; one of them if it is named."""
    events = list(client.stream("list-conns", "list-conn", {"ike": name} if name else None))
    if name and not events:
        raise unknown(name, configured(client))
    if as_json:
        show_json([thing for event in events for thing in named(event, "children")])
        return
    if not events:
        show("No connections.\nLoad some with: ikectl load    (or ikectl load FILE)")
    for position, event in enumerate(events):
        for conn, keys in event.items():
            if position:
                show("")
            _show(conn, section(keys))


def _show(name: str, keys: Tree) -> None:
    show(Text.assemble((name, "bold"), (f"   {text(keys.get('version'))}", "dim")))
    for side in ("local", "remote"):
        rounds = [section(node) for key, node in keys.items() if key.startswith(f"{side}-") and isinstance(node, dict)]
        proof = "; ".join(_round(each) for each in rounds)
        addresses = ", ".join(texts(keys.get(f"{side}_addrs")))
        port = text(keys.get(f"{side}_port"), "500")
        show(_row(side, f"{addresses}{'' if port == '500' else f' port {port}'}   {proof}"))
    if more := _more(keys):
        show(_row("more", more))
    show(_row("times", _times(keys)))
    for child, node in section(keys.get("children")).items():
        _show_child(child, section(node))


def _round(keys: Tree) -> str:
    name = text(keys.get("xauth_id")) or text(keys.get("eap_id")) or text(keys.get("id"))
    who = f"{name} " if name else ""
    certs = [f"certificate {subject}" for subject in texts(keys.get("certs"))]
    cas = [f"CA {subject}" for subject in texts(keys.get("cacerts"))]
    more = [text(keys.get(key)) for key in ("method", "xauth", "eap-type") if key in keys]
    return who + f"by {', '.join([' '.join([text(keys.get('class')), *more]), *certs, *cas])}"


def _more(keys: Tree) -> str:
    """What is said only where it is not the usual."""
    words = ["aggressive mode"] if "aggressive" in keys else []
    pushed = " (the gateway pushes)" if text(keys.get("pull")) == "no" else ""
    if "vips" in keys:
        words.append(f"asks for the inner address {', '.join(texts(keys['vips']))}{pushed}")
    if "pools" in keys:
        words.append(f"inner addresses from {', '.join(texts(keys['pools']))}{pushed}")
    return ", ".join(words)


def _times(keys: Tree) -> str:
    words = []
    for key, what in (
        ("rekey_time", "rekey every"),
        ("reauth_time", "authenticate every"),
        ("dpd_delay", "check the peer after"),
        ("dpd_timeout", "give it up after"),
    ):
        if seconds := number(keys.get(key)):
            words.append(f"{what} {format_time(seconds)}")
    return ", ".join(words) or "none"


def _show_child(name: str, keys: Tree) -> None:
    local, remote = " ".join(texts(keys.get("local-ts"))), " ".join(texts(keys.get("remote-ts")))
    more = [text(keys.get("mode")).lower()]
    if seconds := number(keys.get("rekey_time")):
        more.append(f"rekey every {format_time(seconds)}")
    for key, what in (("dpd_action", "if the peer is gone:"), ("close_action", "if the peer closes it:")):
        if text(keys.get(key), "none") not in ("none", "clear"):
            more.append(f"{what} {text(keys.get(key))}")
    show(Text.assemble("  ", (name, "bold"), "   ", (f"{local} === {remote}", "cyan"), f"   {', '.join(more)}"))


def _row(label: str, value: str) -> Text:
    return Text.assemble((f"  {label:<8}", "dim"), value)
