"""examples/demo: two ikectld gateways, one encrypted ping, and what can be seen of it.

The same world as in the tests, told on the terminal. Runs in the host's kernel
when that has ESP and we are root, otherwise in a guest.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.lab.capture import Packet
from tests.lab.guest import ROOT, Guest, GuestFailed
from tests.lab.namespaces import entered
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import World

STARTED_AT = time.monotonic() - (time.time() - float(os.environ.get("DEMO_STARTED_AT", time.time())))
"""When the demo began, on this kernel's monotonic clock: a guest's begins at its own boot."""

EXAMPLE = ROOT / "examples" / "site-to-site"
PINGS = 5
PICTURE = """\
    alice ---------- moon ========== router ========== sun ---------- bob
    10.1.0.10        192.0.2.1                  198.51.100.1        10.2.0.10
"""

# A guest's console is a terminal of unknown width; in_guest() tells it ours.
WIDTH = os.environ.get("DEMO_WIDTH")
if WIDTH or not sys.stdout.isatty():
    console = Console(highlight=False, width=int(WIDTH or 120), height=50)
else:
    console = Console(highlight=False)


class Failed(Exception):
    """The demo did not show what it is for."""


def step(text: str) -> None:
    """Say what happens now, and how long after the start."""
    console.print(f"\n[bold cyan]{time.monotonic() - STARTED_AT:5.1f} s[/]  [bold]{escape(text)}[/]", soft_wrap=True)


def told(text: str) -> None:
    """Show what a program printed."""
    for line in text.rstrip().splitlines():
        console.print(f"    {escape(line)}", soft_wrap=True)


def story(world: World) -> None:
    """What there is to see, from the first packet to the last counter."""
    router = world.wire("router")
    told(PICTURE)

    step("ikectld starts on moon and sun, with examples/site-to-site/*.conf")
    moon = world.ikectl("moon", conf=(EXAMPLE / "moon.conf").read_text())
    sun = world.ikectl("sun", conf=(EXAMPLE / "sun.conf").read_text())

    step("without a tunnel alice does not reach bob: the router knows no private network")
    if world.ping("alice", "bob", within=1).received:
        raise Failed("alice reached bob without a tunnel")
    console.print("    no answer")
    router.forget()

    step("moon: ikectl up net")
    told(moon.cli("up", "net"))

    step("alice: ping bob")
    pinged = world.ping("alice", "bob", count=PINGS)
    told(pinged.output)
    if pinged.lost:
        raise Failed(f"{pinged.lost} of {pinged.sent} pings were not answered")

    step("what crossed the router")
    ladder(world, router.packets("ike"))
    esp, clear = router.packets("esp", "esp-in-udp"), router.packets("icmp")
    for packet in esp[:4]:
        console.print(f"    {escape(str(packet))}")
    console.print(f"    [bold]{len(esp)} ESP packets[/] in all, {len(clear)} pings in the clear")
    if len(esp) != 2 * PINGS or clear:
        raise Failed("the pings did not cross as ESP")

    step("moon: ikectl sas")
    told(moon.cli("sas"))

    step("what the kernels counted")
    counters(world)

    step("moon: ikectl down site")
    told(moon.cli("down", "site"))
    if sun.sas():
        raise Failed("sun still has an IKE SA")


def ladder(world: World, packets: list[Packet]) -> None:
    """IKE messages as a ladder between moon and sun."""
    suns = {str(address.ip) for address in world.topology.addresses("sun")}
    console.print(f"    moon{'sun':>52}")
    for packet in packets:
        text = f" {packet.exchange}, {len(packet.body)} octets "
        leftwards = packet.source in suns
        arrow = f"|<{text:->48}--|" if leftwards else f"|--{text:-<48}>|"
        console.print(f"      {arrow}", style="yellow" if leftwards else "green", markup=False)


def counters(world: World) -> None:
    """Octets and packets of every SA, as each gateway's kernel counted them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for heading in ("    gateway", "SPI", "from", "to", "cipher", "octets", "packets"):
        table.add_column(heading, justify="right" if heading in ("octets", "packets") else "left")
    for node in ("moon", "sun"):
        for info in world.states(node):
            sa = info.sa
            cipher = sa.aead.name if sa.aead else sa.crypt.name if sa.crypt else ""
            row = (f"    {node}", f"{sa.spi:08x}", str(sa.src), str(sa.dst), cipher)
            table.add_row(*row, str(info.usage.octets), str(info.usage.packets))
    console.print(table)


def host_has_esp() -> bool:
    """Whether this kernel takes an ESP SA from us; tried in a namespace of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    state = "xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel aead rfc4106(gcm(aes))"
    try:
        with entered(None):
            for command in (["link", "add", "one", "type", "veth"], [*state.split(), "0x" + "00" * 20, "128"]):
                if subprocess.run(["ip", *command], capture_output=True).returncode != 0:
                    return False
    except OSError:
        return False
    return True


def here() -> int:
    """Tell the story in this kernel; clean up whatever happens."""
    step("five network namespaces")
    world = World(SITE_TO_SITE, prefix=f"ikectl-{os.getpid()}-")
    try:
        story(world)
    except Exception as error:
        console.print(f"\n[bold red]The demo failed:[/] {escape(str(error))}")
        for peer in world.peers.values():
            console.print(f"\n--- {peer.node}'s log")
            told(peer.log(30))
        return 1
    finally:
        world.close()
    step("namespaces and daemons are gone. That was an encrypted ping.")
    return 0


def in_guest() -> int:
    """Tell it in the embedded kernel, whose console is our standard output."""
    started_at = time.time() - (time.monotonic() - STARTED_AT)
    environment = {"DEMO_STARTED_AT": str(started_at), "TERM": "dumb"}
    environment |= {"DEMO_WIDTH": str(console.width), "COLUMNS": str(console.width)}
    if console.is_terminal:
        environment["TERM"] = os.environ.get("TERM", "xterm")
    command = [sys.executable, "-m", "tests.lab.demo", "--here"]
    guest = Guest("demo", command, environment=environment, piped=True)
    guest.prepare()
    guest.start()
    try:
        for line in guest.lines():
            print(line, flush=True)
        return guest.wait()
    except GuestFailed as error:
        console.print(f"[bold red]The embedded kernel failed:[/] {escape(str(error))}")
        return 1
    finally:
        guest.stop()
        guest.forget()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    arguments = sys.argv[1:]
    if unknown := set(arguments) - {"--here", "--embedded"}:
        print(f"demo: no such option: {' '.join(sorted(unknown))} (there is --embedded)", file=sys.stderr)
        return 2
    if "--here" in arguments:
        return here()
    if "--embedded" not in arguments and host_has_esp():
        step("this machine's kernel has ESP: using it, in namespaces of their own")
        return here()
    step("booting the embedded kernel (user-mode Linux): this machine's network is left alone")
    return in_guest()


if __name__ == "__main__":
    sys.exit(main())
