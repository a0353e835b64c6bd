"""`ikectl pools`: what there is to hand out, and who has it."""

from __future__ import annotations

import json

import pytest

from ikectl.sa.asks import Lease, Release
from ikectl.vici.client import Client
from tests.cli.conftest import Run
from tests.vici.serving import Served


@pytest.fixture
def pools(served: Served) -> Served:
    """Two pools: carol is there, dave was."""
    with Client(served.path) as client:
        client.request("load-pool", {"road": {"addrs": "10.9.0.8-10.9.0.11"}})
        client.request("load-pool", {"six": {"addrs": "2001:db8::10/127"}})
    addresses = served.memory.pools
    served.call(addresses.lease, Lease(("road",), "carol@example.org", 4))
    dave = served.call(addresses.lease, Lease(("road",), "dave", 4))
    served.call(addresses.release, Release("road", "dave", dave.address))
    return served


def test_pools_and_leases(run: Run, pools: Served) -> None:
    road = """\
road   from 10.9.0.8   1 of 4 in use, 1 kept for who had them
  10.9.0.8  online  carol@example.org
  10.9.0.9  offline dave
"""
    assert run("pools").out == road + "\nsix   from 2001:db8::10   0 of 2 in use\n"
    assert run("pools", "road").out == road


def test_pools_as_json(run: Run, pools: Served) -> None:
    road, six = json.loads(run("pools", "--json").out)
    assert (road["name"], road["base"], road["size"], road["online"], road["offline"]) == ("road", "10.9.0.8", 4, 1, 1)
    assert road["leases"] == [
        {"address": "10.9.0.8", "identity": "carol@example.org", "status": "online"},
        {"address": "10.9.0.9", "identity": "dave", "status": "offline"},
    ]
    assert six["leases"] == []


def test_no_pools(run: Run) -> None:
    assert "ikectl load" in run("pools").out
    assert json.loads(run("pools", "--json").out) == []
    ran = run("pools", "road")
    assert ran.code == 4
    assert "the daemon has no pools" in ran.err


@pytest.mark.parametrize(("name", "hint"), [("raod", "did you mean road?"), ("office", "there is road, six")])
def test_a_name_that_no_pool_has(run: Run, pools: Served, name: str, hint: str) -> None:
    ran = run("pools", name)
    assert ran.code == 4
    assert f"there is no pool '{name}'" in ran.err
    assert hint in ran.err


def test_names_cannot_steer_the_terminal(run: Run, pools: Served) -> None:
    pools.call(pools.memory.pools.lease, Lease(("six",), "\x1b[2Jmallory", 16))
    out = run("pools", "six").out
    assert "\x1b" not in out
    assert "mallory" in out


def test_more_than_a_message_holds(run: Run, pools: Served) -> None:
    with Client(pools.path) as client:
        client.request("load-pool", {"many": {"addrs": "10.10.0.0/16"}})
    for number in range(4000):
        pools.call(pools.memory.pools.lease, Lease(("many",), f"{number:0100}", 4))
    assert run("pools", "many").out.splitlines()[-1].startswith("  and 1,9")
