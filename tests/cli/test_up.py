"""`ikectl up`, `down` and `rekey`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from ikectl.engine.commands import Initiate
from ikectl.vici.client import Client
from tests.cli.conftest import Run
from tests.vici.serving import Served


def test_up_tells_the_story_and_what_came_of_it(run: Run) -> None:
    ran = run("up", "office/net")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "IKE office[1] initiating office"
    assert lines[1].startswith("IKE office[1] IKE SA established between 192.0.2.1[gw-a.example.org]")
    assert lines[2].startswith("CHD office[1] child net{1} established")
    assert lines[3] == "office/net is up: 10.1.0.0/16 === 10.2.0.0/16"


def test_up_finds_a_child_by_its_name_alone(run: Run) -> None:
    ran = run("up", "lan")
    assert ran.code == 0
    assert "branch/lan is up" in ran.out


def test_up_of_a_connection_is_up_of_all_its_children(run: Run) -> None:
    ran = run("up", "branch")
    assert ran.code == 0
    assert "branch/lan is up" in ran.out and "branch/net is up" in ran.out


def test_up_leaves_alone_what_stands(run: Run, served: Served) -> None:
    run("up", "lan")
    ran = run("up", "lan")
    assert (ran.code, ran.out) == (0, "branch/lan is up already: 10.1.0.0/16 === 10.2.0.0/16\n")
    assert len(served.memory.commands) == 1


def test_up_that_fails_says_why_and_what_to_do(run: Run) -> None:
    ran = run("up", "refused")
    assert ran.code == 1
    assert "peer authentication failed: the peer's key is another one" in ran.out
    assert "did not prove its identity" in ran.err
    assert "the lines above tell why" in ran.err


def test_up_that_takes_too_long(run: Run) -> None:
    ran = run("up", "endless", "--timeout", "0.02")
    assert ran.code == 1
    assert "not established after 20 ms; the attempt goes on" in ran.err


def test_up_as_json(run: Run) -> None:
    ran = run("up", "office/net", "--json")
    (result,) = json.loads(ran.out)
    assert (result["name"], result["success"], result["changed"]) == ("office/net", True, True)
    assert [line["ikesa-uniqueid"] for line in result["log"]] == [1, 1, 1]
    (again,) = json.loads(run("up", "office/net", "--json").out)
    assert again == {"name": "office/net", "success": True, "changed": False}
    ran = run("up", "refused", "--json")
    (failed,) = json.loads(ran.out)
    assert ran.code == 1
    assert failed["success"] is False
    assert "did not prove" in failed["errmsg"]
    assert any("peer authentication failed" in line["msg"] for line in failed["log"]), "scripts learn why as people do"


def test_a_name_that_several_children_have(run: Run) -> None:
    ran = run("up", "net")
    assert ran.code == 4
    assert "several connections have a child 'net'" in ran.err
    assert "office/net or branch/net" in ran.err


def test_a_name_that_nothing_has(run: Run) -> None:
    ran = run("up", "ofice")
    assert ran.code == 4
    assert "there is no connection or child 'ofice'" in ran.err
    assert "did you mean office" in ran.err
    assert "there is office, branch" in run("down", "xyzxyz").err


def test_no_connections_at_all(run: Run, served: Served) -> None:
    served.call(served.memory.loaded.clear)
    assert "load some with: ikectl load" in run("up", "office").err


def test_down(run: Run, served: Served) -> None:
    run("up", "branch")
    ran = run("down", "branch")
    assert ran.code == 0
    assert "IKE branch[1] IKE SA closed: deleted by us" in ran.out
    assert ran.out.endswith("branch is down (1 SA closed)\n")
    assert not served.memory.sas


def test_down_of_one_child(run: Run, served: Served) -> None:
    run("up", "branch")
    ran = run("down", "lan")
    assert ran.code == 0
    assert ran.out.endswith("branch/lan is down (1 SA closed)\n")
    (sa,) = served.memory.sas.values()
    assert [child.name for child in sa.children.values()] == ["net"]


def test_what_is_down_already_is_no_failure(run: Run) -> None:
    ran = run("down", "office")
    assert (ran.code, ran.out) == (0, "office was down already\n")
    result = json.loads(run("down", "office", "--json").out)
    assert result == {"name": "office", "success": True, "changed": False, "terminated": 0, "log": []}


def test_down_of_an_sa_by_its_number(run: Run, served: Served) -> None:
    served.call(served.memory.populate, 3)
    ran = run("down", "office", "--id", "2", "--force")
    assert ran.code == 0
    assert list(served.memory.sas) == [1, 3]
    assert "force=True" in repr(served.memory.commands[-1])
    ran = run("down", "office", "--id", "9")
    assert ran.code == 4
    assert "office has no SA #9" in ran.err


def test_down_of_what_is_no_longer_configured(run: Run, served: Served) -> None:
    run("up", "branch")
    with Client(served.path) as client:
        client.request("unload-conn", {"name": "branch"})
    assert run("down", "branch").code == 0
    assert not served.memory.sas


def test_rekey(run: Run) -> None:
    run("up", "lan")
    ran = run("rekey", "lan")
    assert (ran.code, ran.out) == (0, "branch/lan: rekeying 1 child SA; watch it with: ikectl sas --watch branch/lan\n")
    assert json.loads(run("rekey", "branch", "--json").out) == {"name": "branch", "success": True, "matches": 1}


def test_configure(run: Run) -> None:
    run("up", "branch/lan")
    ran = run("configure", "branch")
    assert ran.code == 0
    assert ran.out.endswith("branch: told on 1 IKE SA\n") and "took its configuration" in ran.out
    asked = json.loads(run("configure", "branch", "--ask", "--json").out.splitlines()[-1])
    assert (asked["name"], asked["success"], asked["matches"]) == ("branch", True, 1)
    assert "the peer is 'ikectl'" in asked["log"][0]["msg"]


def test_configure_of_what_is_down(run: Run) -> None:
    ran = run("configure", "office")
    assert ran.code == 4
    assert "office is not up" in ran.err


def test_rekey_of_what_is_down(run: Run) -> None:
    ran = run("rekey", "office")
    assert ran.code == 4
    assert "office is not up" in ran.err
    assert "ikectl up office" in ran.err


def test_who_interrupts_is_told_that_the_attempt_goes_on(served: Served) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "ikectl.cli.app", "--socket", served.path, "up", "endless"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "IKE office[1] initiating office\n"
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "the daemon goes on trying" in err
    assert "ikectl down office/endless" in err


def test_up_without_a_child(run: Run, served: Served) -> None:
    """The IKE SA alone; not of a child, which is the contrary."""
    ran = run("up", "branch", "--childless")
    assert ran.code == 0 and "branch is up" in ran.out
    (command,) = served.memory.commands
    assert isinstance(command, Initiate) and (command.ike, command.child) == ("branch", "")
    ran = run("up", "branch/lan", "--childless")
    assert ran.code == 2 and "ikectl up branch --childless" in ran.err
