"""ike-scan, a stranger that asks: what does an IKEv1 responder say to whom, and what gives it away.

seen = ike_scan(world, "bob", "198.51.100.1", "--trans=7/256,2/4,1,14")
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from tests.lab.namespaces import entered
from tests.lab.world import World

PROGRAM = "ike-scan"

# Once, and half a second of patience: everything in the lab is near.
MANNERS = ("--retry=1", "--timeout=500", "--nodns", "--multiline")


@dataclass(frozen=True)
class Scanned:
    """What ike-scan learned from one responder."""

    kind: str
    """"main", "aggressive", "notify" or "" for silence."""
    transform: dict[str, str]
    """Attributes of the transform that came back: {"Enc": "AES", "Hash": "SHA1", ...}."""
    notify: str
    """Text of a notify: "NO-PROPOSAL-CHOSEN"."""
    vendor_ids: tuple[str, ...]
    """Vendor IDs as hexadecimal, known or not."""
    implementation: str
    """What ike-scan takes the responder for by the intervals of its repetitions; empty when it does not know."""
    output: str


def ike_scan(world: World, node: str, target: str, *options: str) -> Scanned:
    """Scan one address from a node; UDP source port 500, as a daemon would."""
    with entered(world.namespace(node)):
        done = subprocess.run([PROGRAM, *MANNERS, *options, target], capture_output=True, text=True)
    return read(done.stdout + done.stderr)


def read(output: str) -> Scanned:
    """Read what ike-scan prints for one host."""
    kind, notify = "", ""
    if "Main Mode Handshake returned" in output:
        kind = "main"
    elif "Aggressive Mode Handshake returned" in output:
        kind = "aggressive"
    elif found := re.search(r"Notify message \d+ \(([^)]*)\)", output):
        kind, notify = "notify", found[1]
    transform: dict[str, str] = {}
    if found := re.search(r"SA=\(([^)]*\)?[^)]*)\)", output):
        transform = dict(word.split("=", 1) for word in found[1].split() if "=" in word)
    vendor_ids = tuple(re.findall(r"VID=([0-9a-f]+)", output))
    guess = re.search(r"Implementation guess: (.*)", output)
    return Scanned(kind, transform, notify, vendor_ids, guess[1].strip() if guess else "", output)
