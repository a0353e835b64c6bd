"""`ikectl sas`: the SAs there are, for eyes that are tired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ikectl.cli.names import Meant, alive, configured, resolve, together
from ikectl.cli.render import ago, ahead, console, count, number, plain, safe, show_json, size
from ikectl.values.duration import format_time
from ikectl.vici.client import Client
from ikectl.vici.message import Tree, section, text, texts

GOOD = frozenset(("ESTABLISHED", "INSTALLED"))
PASSING = frozenset(("CREATED", "CONNECTING", "REKEYING", "INSTALLING", "REKEYED"))

# Octets moved since the picture before, by (direction, uniqueid of the child); empty without one.
Before = dict[tuple[str, str], int]


def sas(client: Client, name: str, as_json: bool) -> None:
    """Print the SAs that `name` means; all of them if it is empty."""
    meant = meaning(client, name)
    found = list(find(client, meant))
    if as_json:
        show_json([_as_json(conn, keys) for conn, keys in found])
    else:
        console().print(picture(found, meant))


def watch(client: Client, name: str, every: float, pause: Callable[[float], None] = time.sleep) -> None:
    """The same, drawn again every so many seconds, with rates, until interrupted."""
    meant = meaning(client, name)
    before: Before = {}
    out = console()
    with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while True:
            found = list(find(client, meant))
            live.update(picture(found, meant, before, every), refresh=True)
            before = moved(found)
            pause(every)


def meaning(client: Client, name: str) -> Meant | None:
    return resolve(name, together(configured(client), alive(client))) if name else None


def find(client: Client, meant: Meant | None) -> Iterator[tuple[str, Tree]]:
    """(connection, keys) of the SAs."""
    request = {"ike": meant.connection, **({"child": meant.child} if meant.child else {})} if meant else {}
    for event in client.stream("list-sas", "list-sa", request):
        for name, keys in event.items():
            yield name, section(keys)


def moved(found: list[tuple[str, Tree]]) -> Before:
    return {
        (way, text(section(child).get("uniqueid"))): number(section(child).get(f"bytes-{way}")) or 0
        for _, keys in found
        for child in section(keys.get("child-sas")).values()
        for way in ("in", "out")
    }


def _as_json(name: str, keys: Tree) -> dict[str, object]:
    children = section(keys.get("child-sas"))
    own = {key: node for key, node in keys.items() if key != "child-sas"}
    return {"name": name, **plain(own), "children": [plain(section(child)) for child in children.values()]}


# -- the picture


def picture(
    found: list[tuple[str, Tree]], meant: Meant | None, before: Before | None = None, every: float = 0.0
) -> RenderableType:
    if not found:
        if meant:
            return Text(f"{meant} is down.\nBring it up with: ikectl up {meant}")
        return Text("No SAs.\nBring one up with: ikectl up NAME    (names: ikectl conns)")
    parts: list[Text] = []
    for name, keys in found:
        if parts:
            parts.append(Text())
        parts += _ike_sa(name, keys)
        for child in section(keys.get("child-sas")).values():
            parts += _child_sa(section(child), before or {}, every)
    return Group(*(safe(part) for part in parts))


def _ike_sa(name: str, keys: Tree) -> list[Text]:
    head = Text.assemble((name, "bold"), " ", _state(keys))
    if "established" in keys:
        head.append(f" {ago(keys['established'])}")
    head.append(f"   IKEv{text(keys.get('version'))}  #{text(keys.get('uniqueid'))}", "dim")
    lines = [head, _end("local", keys), _end("remote", keys)]
    if "encr-alg" in keys:
        lines.append(_row("suite", suite(keys)))
    if "auth-method" in keys:
        lines.append(_row("auth", f"{text(keys['auth-method'])}   {text(keys.get('nat-t')) or 'no NAT traversal'}"))
    if times := _times(keys, {"rekey-time": "rekey", "reauth-time": "reauth"}):
        lines.append(_row("next", times))
    if busy := [task for how in ("active", "passive", "queued") for task in texts(keys.get(f"tasks-{how}"))]:
        lines.append(_row("doing", ", ".join(busy)))
    role = "we began" if "initiator" in keys else "the peer began"
    spi_i, spi_r = text(keys.get("initiator-spi")), text(keys.get("responder-spi"))
    lines.append(_row("SPIs", f"{spi_i} initiator  {spi_r} responder  ({role})", "dim"))
    return lines


def _end(side: str, keys: Tree) -> Text:
    host, port = text(keys.get(f"{side}-host")), text(keys.get(f"{side}-port"))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    nat = "   TCP" if side == "remote" and "transport" in keys else ""
    if f"nat-{side}" in keys:
        nat = "   behind NAT"
    elif side == "local" and "nat-fake" in keys:
        nat = "   UDP forced"
    login = keys.get("remote-xauth-id") or keys.get("remote-eap-id")
    user = f"   user {text(login)}" if side == "remote" and login else ""
    vips = f"   inside {', '.join(texts(keys[f'{side}-vips']))}" if f"{side}-vips" in keys else ""
    return Text.assemble(_label(side), f"{address:<24} {text(keys.get(f'{side}-id'))}{user}{vips}", (nat, "yellow"))


def _times(keys: Tree, what: dict[str, str]) -> str:
    return ", ".join(f"{word} {ahead(keys[key])}" for key, word in what.items() if key in keys)


def _child_sa(keys: Tree, before: Before, every: float) -> list[Text]:
    carrier = "TCP" if "transport" in keys else "UDP"
    where = f" in {carrier}" if "encap" in keys else ""
    kind = f"{text(keys.get('protocol'))}{where} {text(keys.get('mode')).lower()}"
    age = f" {ago(keys['install-time'])}" if "install-time" in keys else ""
    head = Text.assemble("  ", (text(keys.get("name")), "bold"), " ", _state(keys), f"{age}   {kind}")
    numbers = f"  #{text(keys.get('uniqueid'))} reqid {text(keys.get('reqid'))}"
    head.append(numbers, "dim")
    local, remote = " ".join(texts(keys.get("local-ts"))), " ".join(texts(keys.get("remote-ts")))
    lines = [head, Text.assemble("    ", (f"{local} === {remote}", "cyan"))]
    lines.append(_row("suite", suite(keys), indent=4))
    lines += [_flow(way, keys, before, every) for way in ("in", "out")]
    if times := _times(keys, {"rekey-time": "rekey", "life-time": "ends"}):
        lines.append(_row("next", times, indent=4))
    return lines


def _flow(way: str, keys: Tree, before: Before, every: float) -> Text:
    octets, packets = number(keys.get(f"bytes-{way}")) or 0, number(keys.get(f"packets-{way}")) or 0
    words = f"{size(octets)} in {count(packets, 'packet')}"
    last = number(keys.get(f"use-{way}"))
    if packets and last is not None:
        words += f", last {format_time(last)} ago" if last else ", just now"
    moved_before = before.get((way, text(keys.get("uniqueid"))))
    if moved_before is not None and every:
        words += f", {size(int(max(0, octets - moved_before) / every))}/s"
    line = _row(way, words, indent=4)
    line.append(f"   SPI {text(keys.get(f'spi-{way}'))}", "dim")
    return line


def suite(keys: Tree) -> str:
    """`AES_GCM_16_256 / PRF_HMAC_SHA2_256 / CURVE_25519`."""
    words = [_sized(keys, "encr"), _sized(keys, "integ"), text(keys.get("prf-alg"))]
    exchanges = [text(keys.get("dh-group")), *(text(keys.get(f"ake{number}")) for number in range(1, 8))]
    words.append(" + ".join(exchange for exchange in exchanges if exchange))
    words.append("ESN" if "esn" in keys else "")
    return " / ".join(word for word in words if word)


def _sized(keys: Tree, what: str) -> str:
    name, bits = text(keys.get(f"{what}-alg")), text(keys.get(f"{what}-keysize"))
    return f"{name}_{bits}" if name and bits else name


def _state(keys: Tree) -> tuple[str, str]:
    state = text(keys.get("state"))
    colour = "green" if state in GOOD else "yellow" if state in PASSING else "red"
    return state, colour


def _label(word: str, indent: int = 2) -> tuple[str, str]:
    return f"{'':{indent}}{word:<8}", "dim"


def _row(label: str, value: str, style: str = "", indent: int = 2) -> Text:
    return Text.assemble(_label(label, indent), (value, style))
