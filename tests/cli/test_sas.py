"""`ikectl sas`: the picture, its JSON, and the live one."""

from __future__ import annotations

import json

import pytest

from ikectl.cli.sas import watch
from ikectl.sa.asks import Usage
from ikectl.vici.client import Client
from tests.cli.conftest import Run
from tests.vici.serving import Served

PICTURE = """\
office ESTABLISHED 1h ago   IKEv2  #1
  local   192.0.2.1:4500           gw-a.example.org
  remote  198.51.100.2:4500        gw-b.example.org   behind NAT
  suite   AES_GCM_16_256 / PRF_HMAC_SHA2_256 / CURVE_25519
  next    rekey in 2h
  SPIs    a1a2a3a4a5a6a700 initiator  b1b2b3b4b5b6b700 responder  (we began)
  net INSTALLED 10m ago   ESP in UDP tunnel  #1 reqid 1
    10.1.0.0/16 === 10.2.0.0/16
    suite   AES_CBC_256 / HMAC_SHA2_256_128
    in      1.2 MiB in 9,812 packets, just now   SPI c0000001
    out     840 B in 10 packets, last 1m 5s ago   SPI c1000001
    next    rekey in 40m, ends in 56m
"""


def test_the_picture(run: Run) -> None:
    run("up", "office/net")
    ran = run("sas")
    assert (ran.code, ran.out) == (0, PICTURE)


def test_inner_addresses(run: Run, served: Served) -> None:
    run("up", "office/net")
    sa = served.memory.sas[1]
    sa.own_vips, sa.peer_vips = (bytes((10, 9, 0, 1)),), (bytes((10, 8, 0, 1)), bytes((10, 8, 0, 2)))
    out = run("sas").out
    assert "gw-a.example.org   inside 10.9.0.1\n" in out
    assert "gw-b.example.org   inside 10.8.0.1, 10.8.0.2   behind NAT\n" in out
    (sa_json,) = json.loads(run("sas", "--json").out)
    assert (sa_json["local-vips"], sa_json["remote-vips"]) == (["10.9.0.1"], ["10.8.0.1", "10.8.0.2"])


def test_the_picture_of_one_name(run: Run) -> None:
    run("up", "office/net")
    run("up", "branch")
    assert run("sas", "office").out == PICTURE
    out = run("sas", "lan").out
    assert "branch ESTABLISHED" in out and "  lan INSTALLED" in out and "  net" not in out
    assert run("sas").out.count("ESTABLISHED") == 2


def test_traffic_in_words(run: Run, served: Served) -> None:
    run("up", "office/net")
    served.call(lambda: served.memory.usage.update({1: Usage(0, 0, 1, 1, None, 3600.0)}))
    out = run("sas").out
    assert "in      0 B in 0 packets   SPI" in out
    assert "out     1 B in 1 packet, last 1h ago   SPI" in out


def test_nothing_is_up(run: Run) -> None:
    assert run("sas").out == "No SAs.\nBring one up with: ikectl up NAME    (names: ikectl conns)\n"
    assert run("sas", "office").out == "office is down.\nBring it up with: ikectl up office\n"
    assert json.loads(run("sas", "--json").out) == []


def test_sas_of_a_name_that_nothing_has(run: Run) -> None:
    assert run("sas", "ofice").code == 4


def test_json(run: Run) -> None:
    run("up", "office/net")
    (sa,) = json.loads(run("sas", "--json").out)
    assert (sa["name"], sa["uniqueid"], sa["state"], sa["established"]) == ("office", 1, "ESTABLISHED", 3600)
    assert sa["initiator"] is True
    assert sa["initiator-spi"] == "a1a2a3a4a5a6a700"
    (child,) = sa["children"]
    assert (child["name"], child["bytes-in"], child["spi-in"]) == ("net", 1_300_000, "c0000001")
    assert child["local-ts"] == ["10.1.0.0/16"]


class Interrupted(Exception):
    """Stands for the user's control-C."""


def test_watch_draws_again_and_shows_rates(run: Run, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    run("up", "office/net")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise Interrupted
        served.call(lambda: served.memory.usage.update({1: Usage(1_300_000 + 2048, 9813, 840, 10, 0.0, 65.0)}))

    with Client(served.path) as client, pytest.raises(Interrupted):
        watch(client, "office", 2.0, pause)
    out = capsys.readouterr().out
    assert pauses == [2.0, 2.0]
    assert "1.2 MiB in 9,813 packets, just now, 1.0 KiB/s" in out
    assert "840 B in 10 packets, last 1m 5s ago, 0 B/s" in out


def test_watch_is_for_eyes(run: Run) -> None:
    assert run("sas", "--watch", "--json").code == 2
