"""The whole program: the other commands, what goes wrong before any command, completion."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ikectl.cli.certs import certs
from ikectl.cli.log import log
from ikectl.vici.client import Client
from tests.cli.conftest import Run
from tests.vici.credentials import END, made
from tests.vici.serving import Served

# -- the daemon is not there


def test_the_daemon_does_not_run(run: Run, tmp_path: Path) -> None:
    ran = run("sas", socket=str(tmp_path / "none"))
    assert ran.code == 3
    assert "ikectld is not running" in ran.err
    assert "systemctl start ikectld" in ran.err
    assert ran.out == ""


def test_the_daemon_goes_away(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "short")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        listener.shutdown(socket.SHUT_RD)
        ran = run("sas", socket=path)
    assert ran.code == 3


def test_the_socket_comes_from_the_environment(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ikectl.cli.app import main

    monkeypatch.setenv("IKECTL_SOCKET", served.path)
    with pytest.raises(SystemExit) as ended:
        main(["version"])
    assert ended.value.code == 0
    assert "ikectld 0.1.0 on Linux" in capsys.readouterr().out


def test_wrong_usage(run: Run) -> None:
    assert run("dance").code == 2
    assert run("up").code == 2


def test_help_tells_the_exit_codes(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert "Exit codes:" in ran.out


# -- version, conns, log, certs


def test_version(run: Run) -> None:
    facts = json.loads(run("version", "--json").out)
    assert facts["daemon"] == "ikectld"
    assert facts["client"] == "0.1.0"


def test_conns(run: Run) -> None:
    out = run("conns", "office").out
    assert (
        out
        == """\
office   IKEv2
  local   192.0.2.1   gw-a.example.org by pre-shared key
  remote  198.51.100.2   gw-b.example.org by pre-shared key
  times   rekey every 4h, check the peer after 30s
  net   10.1.0.0/16 === 10.2.0.0/16   tunnel, rekey every 1h
  refused   dynamic === 10.3.0.0/16   tunnel, rekey every 1h
  endless   dynamic === 10.4.0.0/16[tcp/https]   tunnel, rekey every 1h
"""
    )
    assert run("conns").out.startswith(out + "\nbranch")


def test_conns_of_ikev1(run: Run, served: Served) -> None:
    road = {
        "version": "1",
        "reauth_time": "8h",
        "dpd_delay": "30s",
        "dpd_timeout": "2m",
        "local": {"auth": "rsa-encryption"},
        "remote-1": {"auth": "rsa-encryption"},
        "remote-2": {"auth": "xauth-pam:vpn"},
    }
    with Client(served.path) as client:
        client.request("load-conn", {"road": road})
    assert (
        run("conns", "road").out
        == """\
road   IKEv1
  local   %any   by public key rsa-encryption
  remote  %any   %any by public key rsa-encryption; %any by XAuth pam:vpn
  times   authenticate every 8h, check the peer after 30s, give it up after 2m
"""
    )


def test_conns_as_json(run: Run) -> None:
    office, branch = json.loads(run("conns", "--json").out)
    assert (office["name"], office["rekey_time"], office["dpd_delay"]) == ("office", 14400, 30)
    assert [child["name"] for child in branch["children"]] == ["lan", "net"]


def test_conns_of_a_name_that_nothing_has(run: Run) -> None:
    assert run("conns", "ofice").code == 4


def test_no_connections(run: Run, served: Served) -> None:
    served.call(served.memory.loaded.clear)
    assert "ikectl load" in run("conns").out


class Interrupted(Exception):
    """Stands for the user's control-C."""


@pytest.mark.parametrize("as_json", [False, True])
def test_log(served: Served, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    lines = 0

    def clock() -> datetime:
        nonlocal lines
        lines += 1
        if lines == 4:
            raise Interrupted
        return datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)

    with Client(served.path) as client, Client(served.path) as other:
        # Registered by hand first, so that no line can be missed between the two clients.
        client.register("log")
        for name in ("branch", "office", "branch"):
            child = "net" if name == "office" else "lan"
            list(other.stream("initiate", "control-log", {"ike": name, "child": child}))
        with pytest.raises(Interrupted):
            log(client, "branch", as_json, clock)
    shown = capsys.readouterr().out.splitlines()
    if as_json:
        told: list[dict[str, Any]] = [json.loads(line) for line in shown]
        assert {line["ikesa-name"] for line in told} == {"branch"}
        assert told[0]["at"] == "2026-11-22T03:04:05+00:00"
        assert told[0]["level"] == 1
    else:
        assert shown[0] == "03:04:05 IKE branch[1] initiating branch"
        assert len(shown) == 3


def test_certs(served: Served, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ikectl load" in run("certs").out
    with Client(served.path) as client:
        client.request("load-cert", {"type": "X509", "flag": "CA", "data": made().ca})
        client.request("load-cert", {"type": "X509", "flag": "NONE", "data": made().certificate})
        client.request("load-key", {"type": "any", "data": made().key})
        for at, validity in (
            (datetime(2035, 12, 1, tzinfo=UTC), "for another 29d"),
            (datetime(2036, 12, 1, tzinfo=UTC), "ended 337d ago"),
            (datetime(2025, 12, 1, tzinfo=UTC), "not valid before 2026-01-01"),
        ):
            certs(client, False, at)
            out = capsys.readouterr().out
            assert "C=CH, O=Example, CN=gw-a.example.org   own, serial 7" in out
            assert "C=CH, O=Example, CN=Root CA   CA, serial 7" in out
            assert validity in out
    own, ca = json.loads(run("certs", "--json").out)
    assert (own["ca"], own["has_privkey"], ca["ca"]) == (False, True, True)
    assert own["not_after"] == END.isoformat()


# -- completion


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("up ", {"office", "branch", "lan", "refused", "endless", "office/net", "branch/net"}),
        ("up of", {"office", "office/net"}),
        ("conns b", {"branch", "branch/net"}),
    ],
)
def test_names_are_completed_from_the_daemon(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    expected: set[str],
) -> None:
    assert complete(f"ikectl --socket {served.path} {words}", monkeypatch, capsys) == expected


def test_completion_is_silent_without_a_daemon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert complete(f"ikectl --socket {tmp_path / 'none'} up ", monkeypatch, capsys) == set()


def complete(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What bash would offer at the end of this line."""
    from ikectl.cli.app import app

    words = line.split(" ")
    monkeypatch.setenv("_IKECTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="ikectl")
    return set(capsys.readouterr().out.split())
