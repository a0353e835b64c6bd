"""`ikectl install`, `uninstall` and `policies`: traps and shunts."""

from __future__ import annotations

import json

import pytest

from ikectl.vici.client import Client
from tests.cli.conftest import Run
from tests.vici.serving import Served

LAN = {
    "remote_addrs": ["203.0.113.7"],
    "local": {"auth": "psk"},
    "remote": {"auth": "psk"},
    "children": {
        "lan": {"mode": "pass", "local_ts": ["10.1.0.0/16"], "remote_ts": ["10.1.0.0/16"]},
        "rest": {"mode": "drop"},
        "refused": {},
    },
}


@pytest.fixture
def shunts(served: Served) -> Served:
    with Client(served.path) as client:
        client.request("load-conn", {"local": LAN})
    return served


def test_a_trap_comes_and_goes(run: Run) -> None:
    assert "No traps or shunts" in run("policies").out
    assert run("install", "branch/net").out == "branch/net stands\n"
    assert run("policies").out == "branch/net   10.1.0.0/16 === 10.2.0.0/16   calls for a child\n"
    (policy,) = json.loads(run("policies", "--json").out)
    assert (policy["ike"], policy["child"], policy["mode"], policy["reqid"]) == ("branch", "net", "TUNNEL", 7)
    assert run("uninstall", "branch/net").out == "branch/net is gone\n"
    assert run("policies", "--json").out == "[]\n"


def test_shunts_and_a_whole_connection(run: Run, shunts: Served) -> None:
    ran = run("install", "local")
    assert ran.code == 1 and ran.out == "local/lan stands\nlocal/rest stands\n" and "needs a peer to call" in ran.err
    assert run("policies").out.splitlines() == [
        "local/lan   10.1.0.0/16 === 10.2.0.0/16   passes as it is",
        "local/rest   10.1.0.0/16 === 10.2.0.0/16   is dropped",
    ]
    assert run("uninstall", "local").code == 0
    gone = run("uninstall", "local/lan")
    assert gone.code == 1 and "nothing of local/lan stands" in gone.err
    assert json.loads(run("install", "local/rest", "--json").out) == [{"name": "local/rest", "success": True}]


def test_up_leaves_shunts_alone(run: Run, shunts: Served) -> None:
    run("up", "local")
    assert [command.child for command in shunts.memory.commands if hasattr(command, "child")] == ["refused"]


def test_names_that_nobody_has(run: Run) -> None:
    assert run("install", "brunch").code == 4
    assert run("uninstall", "brunch").code == 4
