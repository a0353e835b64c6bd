"""The benchmarks measure what they say: every case shakes hands, every row is there, memory stays within its aim.

No test looks at times: these are for people, on a quiet machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KIB_PER_SA = 4.1
"""The aim for an established SA with one child."""


def printed(module: str, *arguments: str) -> Any:
    """The JSON a benchmark prints, in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def test_both_ends_of_every_kind_of_handshake() -> None:
    found = printed("handshake", "--json", "--count", "3")
    cases = {"PSK+X25519", "PSK+ECP-256", "PSK+MODP-2048", "RSA-2048", "ECDSA-256", "PSK+X25519+ML-KEM-768"}
    cases |= {"PSK+X25519 plain"}
    cases |= {"main PSK+ECP-256", "main PSK+MODP-2048", "main RSA-2048"}
    cases |= {"aggressive PSK+ECP-256", "aggressive PSK+MODP-2048"}
    assert {(row["case"], row["role"]) for row in found} == {
        (case, role) for case in cases for role in ("initiator", "responder")
    }
    for row in found:
        assert set(row) == {"case", "role", "cpu_us", "primitives_us", "per_second"}
        assert all(float(str(row[key])) > 0 for key in ("cpu_us", "primitives_us", "per_second"))


def test_an_established_sa_is_small() -> None:
    """Counted by Python's allocator, because the resident size of few SAs tells nothing."""
    found = printed("memory", "--run", "traced", "--count", "400")
    assert 0 < found["traced_per_sa"] <= KIB_PER_SA * 1024


def test_the_netlink_benchmark_runs_on_any_machine() -> None:
    """What its kernel lacks is said in the row, not by failing."""
    assert all(float(str(row["cpu_us"])) > 0 for row in printed("netlink", "--json"))
