"""ikectld as a program: two of them in the lab, told to start, reload, end and die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from tests.interop.configurations import MOON, SUN
from tests.lab.fixtures import Lab
from tests.lab.namespaces import entered
from tests.lab.peers.ikectl import Ikectl
from tests.lab.topology import BEHIND_NAT, SITE_TO_SITE
from tests.lab.world import World, until


def gateways(lab: Lab, moon: str = MOON.conf(), sun: str = SUN.conf()) -> tuple[World, Ikectl, Ikectl]:
    world = lab.lay(SITE_TO_SITE)
    return world, world.ikectl("moon", conf=moon), world.ikectl("sun", conf=sun)


def nothing_installed(world: World, node: str) -> bool:
    """No SA, no policy but those of sockets, no route of ours."""
    return (
        not world.run(node, "ip", "xfrm", "state", "list", "nokeys")
        and not world.run(node, "ip", "xfrm", "policy", "list", "nosock")
        and "table 220" not in world.run(node, "ip", "route", "show", "table", "all")
    )


def nothing_left(world: World, node: str) -> bool:
    """The rule for our routes is gone as well."""
    return nothing_installed(world, node) and "220" not in world.run(node, "ip", "rule")


def test_a_tunnel_between_two_and_for_the_gateways_themselves(lab: Lab) -> None:
    world, moon, sun = gateways(lab)
    moon.up("net")
    assert world.ping("alice", "bob", count=3).lost == 0
    # Source routes: the gateway itself speaks from inside its network.
    until(lambda: "10.2.0.0/24" in world.run("moon", "ip", "route", "show", "table", "220"), "a route on moon")
    assert world.ping("moon", "bob", count=2).lost == 0
    assert len(world.wire("router").packets("esp")) == 10
    (child,) = sun.children()
    assert (child["packets-in"], child["packets-out"]) == ("5", "5")

    moon.down(ike="site")
    until(lambda: nothing_installed(world, "moon"), "routes and policies gone")
    assert sun.sas() == []


def test_a_tunnel_over_ipv6(lab: Lab) -> None:
    six = {"local_addrs": "2001:db8:1::1", "remote_addrs": "2001:db8:2::1"}
    world, moon, _ = gateways(
        lab,
        MOON.but(**six, local_ts="fd01::/64", remote_ts="fd02::/64").conf(),
        SUN.but(
            local_addrs="2001:db8:2::1", remote_addrs="2001:db8:1::1", local_ts="fd02::/64", remote_ts="fd01::/64"
        ).conf(),
    )
    moon.up("net")
    assert world.ping("alice", "bob", count=2, version=6).lost == 0
    until(lambda: "fd02::/64" in world.run("moon", "ip", "-6", "route", "show", "table", "220"), "a route on moon")
    assert world.ping("moon", "bob", count=2, version=6).lost == 0


def test_everything_through_the_tunnel_but_what_carries_it(lab: Lab) -> None:
    """remote_ts 0.0.0.0/0 covers the peer itself: IKE and ESP must keep their way all the same."""
    world, moon, _ = gateways(
        lab,
        MOON.but(remote_ts="0.0.0.0/0", local_addrs="%any").conf(),
        SUN.but(local_ts="0.0.0.0/0").conf(),
    )
    moon.up("net")
    until(lambda: "default" in world.run("moon", "ip", "route", "show", "table", "220"), "a default route on moon")
    assert world.ping("alice", "bob", count=2).lost == 0
    assert world.ping("moon", "bob", count=2).lost == 0
    assert "10.1.0.10 dev to-alice" in world.run("moon", "ip", "route", "get", "10.1.0.10")
    moon.rekey(ike="site")
    until(lambda: [sa["uniqueid"] for sa in moon.sas() if sa["state"] == "ESTABLISHED"] == ["2"], "a new IKE SA")
    moon.down(ike="site")
    moon.up("net")
    assert world.ping("alice", "bob", count=2).lost == 0


def test_the_end_is_told_to_the_peer_and_leaves_nothing(lab: Lab) -> None:
    world, moon, sun = gateways(lab)
    moon.up("net")
    moon.stop()
    assert nothing_left(world, "moon")
    assert sun.sas() == []
    assert "deleted" in sun.log() or "closed" in sun.log()
    sun.stop()
    assert nothing_left(world, "sun")


def test_a_peer_that_does_not_confirm_holds_up_the_end_only_briefly(lab: Lab) -> None:
    world, moon, sun = gateways(lab)
    moon.up("net")
    sun.kill()
    moon.stop()
    assert "some peers did not confirm in time" in moon.log()
    assert nothing_left(world, "moon")


def test_after_a_kill_the_next_one_cleans_up_and_goes_on(lab: Lab) -> None:
    world, moon, sun = gateways(lab)
    moon.up("net")
    until(lambda: "table 220" in world.run("moon", "ip", "route", "show", "table", "all"), "a route on moon")
    world.run("moon", "ip", "route", "add", "10.99.0.0/16", "via", "192.0.2.254", "table", "220")
    moon.kill()
    assert not nothing_left(world, "moon")
    moon = world.ikectl("moon", conf=MOON.conf())
    assert not world.run("moon", "ip", "xfrm", "state", "list", "nokeys")
    assert "220" not in world.run("moon", "ip", "rule")
    routes = world.run("moon", "ip", "route", "show", "table", "220")
    assert "10.99.0.0/16" in routes  # somebody else's
    assert "10.2.0.0/24" not in routes
    moon.up("net")
    assert world.ping("alice", "bob", count=2).lost == 0
    until(lambda: len(sun.sas()) == 1, "the old SA gone, as this was a first contact")


def test_a_limit_on_packets_rekeys_without_loss(lab: Lab) -> None:
    world, moon, sun = gateways(lab, MOON.but(child="rekey_packets = 20").conf())
    moon.up("net")
    with world.pinging("alice", "bob") as ping:
        until(lambda: moon.log().count("rekeyed: ") >= 2, "the second rekeying")
    assert ping.result is not None
    assert ping.result.lost == 0
    until(lambda: len(moon.children()) == len(sun.children()) == 1, "old children gone")


def hang_up(world: World, node: str) -> None:
    """SIGHUP to the daemon on a node, found by its socket."""
    listening = world.run(node, "ss", "-Hlupn", "sport", "=", ":500")
    for pid in {word.partition("=")[2] for word in listening.replace(",", " ").split() if word.startswith("pid=")}:
        os.kill(int(pid), signal.SIGHUP)


def test_hangup_reads_the_configuration_again(lab: Lab) -> None:
    world, moon, _ = gateways(lab)
    moon.write(MOON.conf().replace("site {", "other {"))
    hang_up(world, "moon")
    until(lambda: moon.vici().get_conns() == {"conns": [b"other"]}, "the new connection")

    moon.write(MOON.conf().replace("esp_proposals", "esp_propsals"))
    hang_up(world, "moon")
    until(lambda: "nothing of the new configuration was loaded" in moon.log(), "a refusal")
    assert "swanctl.conf:" in moon.log()
    assert "esp_proposals" in moon.log()
    assert moon.vici().get_conns() == {"conns": [b"other"]}


def test_secrets_are_not_in_the_log(lab: Lab) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.peer(Loud, "moon", conf=MOON.conf())
    sun = world.peer(Loud, "sun", conf=SUN.conf())
    moon.up("net")
    keys = [
        word for word in world.run("sun", "ip", "xfrm", "state").split() if word.startswith("0x") and len(word) > 40
    ]
    assert keys
    logs = moon.log() + sun.log()
    assert "IKE SA established" in logs
    assert MOON.secret not in logs
    for key in keys:
        assert key[2:] not in logs


class Loud(Ikectl):
    """One that logs all there is."""

    def command(self) -> list[str]:
        return [*super().command(), "--log-level", "4"]


NOBODY = 65534
UNPRIVILEGED = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
    # The third one reads the checkout, which an installed daemon has no need of.
    *(f"--{kind}=-all,+net_admin,+net_bind_service,+dac_read_search"
      for kind in ("inh-caps", "ambient-caps", "bounding-set")),
)  # fmt: skip


class Unprivileged(Ikectl):
    """One that runs as systemd/ikectld.service lets it: no root, two capabilities."""

    def prepare(self) -> None:
        super().prepare()
        runtime = self.directory / "ikectl"
        runtime.mkdir(mode=0o750)
        os.chown(runtime, NOBODY, NOBODY)

    def command(self) -> list[str]:
        return [*UNPRIVILEGED, *super().command()]


def test_two_capabilities_are_enough(lab: Lab) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.peer(Unprivileged, "moon", conf=MOON.conf())
    sun = world.peer(Unprivileged, "sun", conf=SUN.conf())
    moon.up("net")
    assert world.ping("alice", "bob", count=2).lost == 0
    until(lambda: "10.2.0.0/24" in world.run("moon", "ip", "route", "show", "table", "220"), "a route on moon")
    assert "warning" not in moon.log()
    moon.stop()
    assert nothing_left(world, "moon")
    assert sun.sas() == []


# -- refusing to start -----------------------------------------------------------------


def started(world: World, node: str, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a daemon that is expected to end by itself."""
    with entered(world.namespace(node)):
        done = subprocess.run(
            [sys.executable, "-m", "ikectl.daemon.main", *arguments], capture_output=True, text=True, timeout=60
        )
    return done.returncode, done.stdout + done.stderr


def test_a_port_that_another_daemon_has(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    world = lab.lay(SITE_TO_SITE)
    moon = world.ikectl("moon", conf=MOON.conf())
    socket = tmp_path_factory.mktemp("second") / "ikectl.vici"
    status, text = started(world, "moon", "--vici", str(socket))
    assert status == 1
    assert "cannot use UDP port 500: another program has it" in text
    assert moon.running()
    assert moon.sas() == []


@pytest.mark.parametrize("mobike", ["yes", "no"])
def test_traffic_goes_on_when_the_peers_nat_forgets_it(lab: Lab, mobike: str) -> None:
    """The router in the middle starts over and gives another port: the first packet in ESP tells where moon is now.

    With MOBIKE the children alone follow: the IKE SA is the initiator's to move (RFC 4555 §3.8).
    """
    world = lab.lay(BEHIND_NAT)
    option = f"mobike = {mobike}"
    moon = world.ikectl("moon", conf=MOON.but(local_addrs="192.168.0.2", connection=option).conf())
    sun = world.ikectl("sun", conf=SUN.but(remote_addrs="%any", connection=option).conf())
    moon.up("net")
    assert world.ping("alice", "bob", count=2).lost == 0
    (before,) = sun.sas()
    # Taking its interface down makes the kernel drop every connection that masquerades as it.
    world.run("nat", "ip", "link", "set", "to-router", "down")
    world.run("nat", "ip", "link", "set", "to-router", "up")
    world.run("nat", "ip", "route", "replace", "default", "via", "192.0.2.254")
    # It does so in its own time: the first pings may still go over the old port.
    pinged = partial(world.ping, "alice", "bob", within=1)
    until(lambda: pinged().received and before["remote-port"] not in ports(world), "pings over the new port")
    (after,) = sun.sas()
    assert after["uniqueid"] == before["uniqueid"]
    assert (after["remote-port"] == before["remote-port"]) is (mobike == "yes")
    assert world.ping("alice", "bob", count=5).lost == 0


def ports(world: World) -> set[str]:
    """Between which UDP ports sun's kernel carries ESP."""
    encaps = [info.sa.encap for info in world.states("sun") if info.sa.encap is not None]
    return {str(port) for encap in encaps for port in (encap.src_port, encap.dst_port)}
