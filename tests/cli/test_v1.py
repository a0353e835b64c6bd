"""`ikectl sas` and `ikectl conns` of IKEv1."""

from __future__ import annotations

import json
from dataclasses import replace

from rich.console import Group
from rich.text import Text

from ikectl.cli.sas import picture
from ikectl.engine.view import ChildSaView, IkeSaView
from ikectl.vici import shapes
from ikectl.vici.client import Client
from ikectl.vici.message import Draft, Tree, decode, encode, section
from tests.cli.conftest import Run
from tests.scenarios.v1.stage import gateways, sa_of
from tests.scenarios.v1.test_xauth import site as logging_in
from tests.sim.host import Host
from tests.sim.site import Site
from tests.vici.serving import Served

ROAD: Draft = {
    "version": "1",
    "remote_addrs": ["%any"],
    "aggressive": "yes",
    "pull": "no",
    "pools": ["road"],
    "local": {"auth": "pubkey", "id": "gw.example.org"},
    "remote": {"auth": "pubkey"},
    "remote-2": {"auth": "xauth-pam:vpn"},
    "children": {"all": {"local_ts": ["0.0.0.0/0"]}},
}


def listed(host: Host, now: float) -> Tree:
    """What `list-sas` says of its only SA."""
    sa = sa_of(host)
    children = tuple(ChildSaView.of(child, now) for child in sa.living_children)
    view = IkeSaView.of(sa, now, children, host.machines[0].tasks)
    return decode(encode(shapes.ike_sa(view, children)))


def lines(host: Host, now: float) -> list[str]:
    """What `ikectl sas` prints of it."""
    drawn = picture([(name, section(keys)) for name, keys in listed(host, now).items()], None)
    assert isinstance(drawn, Group)
    return [line.plain for line in drawn.renderables if isinstance(line, Text)]


def up(site: Site) -> Site:
    token = site.up()
    assert site.moon.done[token].error is None
    return site


def test_the_picture_of_an_isakmp_sa() -> None:
    site = up(gateways(both={"reauth_time": 3600, "encap": True}))
    shown = lines(site.moon, site.world.now)
    assert shown[0].startswith("site ESTABLISHED") and shown[0].endswith("IKEv1  #1")
    assert shown[1:4] == [
        "  local   192.0.2.1:4500           moon.example.org   behind NAT",
        "  remote  198.51.100.1:4500        sun.example.org   behind NAT",
        "  suite   AES_CBC_128 / PRF_HMAC_SHA2_256 / MODP_2048",
    ]
    assert shown[4] == "  auth    psk   NAT-T (RFC 3947)"
    assert shown[5].startswith("  next    reauth in 59m")
    assert "ESP in UDP tunnel" in shown[7]


def test_the_user_behind_phase_1() -> None:
    site = up(logging_in())
    keys = section(listed(site.sun, site.world.now)["site"])
    assert (keys["version"], keys["remote-xauth-id"]) == (b"1", b"joe")
    assert keys["auth-method"] == b"psk, then XAUTH of the initiator"
    assert any("sun.example.org" in line for line in lines(site.moon, site.world.now))
    assert any("user joe" in line for line in lines(site.sun, site.world.now))


def test_while_the_user_logs_in_it_is_not_there_yet() -> None:
    site = logging_in()
    site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: bool(site.sun.machines) and site.sun.machines[0].sa.state.name == "AUTHENTICATING")
    keys = section(listed(site.sun, site.world.now)["site"])
    assert keys["state"] == b"CONNECTING" and keys["tasks-active"] == [b"AskXauth"]
    assert "established" not in keys


def test_conns(run: Run, served: Served) -> None:
    with Client(served.path) as client:
        client.request("load-conn", {"road": ROAD})
    out = run("conns", "road").out
    assert "road   IKEv1" in out
    assert "by public key; %any by XAuth pam:vpn" in out
    assert "  more    aggressive mode, inner addresses from road (the gateway pushes)\n" in out
    (road,) = json.loads(run("conns", "road", "--json").out)
    assert (road["aggressive"], road["pull"], road["pools"]) == (True, False, ["road"])


def test_conns_of_a_client(run: Run, served: Served) -> None:
    client_side = {key: node for key, node in ROAD.items() if key not in ("pools", "aggressive", "remote-2")}
    client_side |= {"vips": ["0.0.0.0"], "pull": "yes"}
    with Client(served.path) as client:
        client.request("load-conn", {"road": client_side})
    assert "  more    asks for the inner address 0.0.0.0\n" in run("conns", "road").out


def test_ipcomp_shows_its_numbers() -> None:
    site = up(gateways())
    view = ChildSaView.of(site.moon.children[0], site.world.now)
    assert "cpi-in" not in shapes.child_sa(view)
    keys = shapes.child_sa(replace(view, cpi=(0x1F3A, 2)))
    assert (keys["cpi-in"], keys["cpi-out"]) == ("1f3a", "0002")
