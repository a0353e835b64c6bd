"""Traps: a packet calls for its child, whatever became of the last one; and shunts, which call for nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Action, AddressSpec, Fresh, Mark, Mode
from ikectl.engine.commands import Resolved
from ikectl.errors import BackendError
from ikectl.sa import asks
from ikectl.sa.events import IkeUp, Note
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import IKE_AUTH, bare, gateways, stands, wait
from tests.sim.link import Link
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.wiretap import Wiretap, which

BOTH = pytest.mark.parametrize("versions", [1, 2])
IKE = {1: "aes128-sha256-modp2048", 2: "aes128gcm16-prfsha256-x25519"}

PING = "10.1.0.7[icmp/8(0)]", "10.2.0.9[icmp/8(0)]"
TCP = "10.1.0.7[tcp/40000]", "10.2.0.9[tcp/443]"


def ts(text: str) -> TrafficSelector:
    network = SelectorSpec.parse(text).network
    assert network is not None
    return network


def trapped(**options: Any) -> tuple[Site, Wiretap]:
    """moon has a trap for `net`, and sun answers."""
    more = options.pop("child", {})
    children = (child(**{"start_action": Action.TRAP, **more}),)
    site, wire = gateways(moon_children=children, **options)
    wait(site, 1)
    return site, wire


@BOTH
def test_a_packet_calls_for_its_child(versions: int) -> None:
    """Loading says nothing to anybody; the first packet brings the child up, and the trap stays."""
    ends = {"version": versions}
    site, _ = trapped(moon=ends, sun=ends, ike=IKE[versions])
    (sentry,) = site.moon.kernel.sentries
    assert bare(site.moon) and not site.world.sent
    assert site.moon.packet(*PING, site.world.now)
    wait(site, 5)
    assert stands(site) and site.moon.kernel.sentries == [sentry]
    assert [one.reqid for one in site.moon.children] == [sentry.reqid], "so that the policies of both are served"
    site.world.settled()


@pytest.mark.conformance("v2-76")
def test_the_packet_comes_first_in_the_selectors() -> None:
    """IKE_AUTH {..., TSi(packet, network), TSr(packet, network)} (RFC 7296 §2.9)."""
    site, wire = trapped()
    site.moon.packet(*TCP, site.world.now)
    wait(site, 5)
    (asked,) = wire.messages(which(IKE_AUTH, by=site.moon))
    assert asked.one(TSi).selectors == (ts("10.1.0.7[tcp/40000]"), ts("10.1.0.0/16"))
    assert asked.one(TSr).selectors == (ts("10.2.0.9[tcp/443]"), ts("10.2.0.0/16"))
    (answer,) = wire.messages(which(IKE_AUTH, by=site.sun))
    assert answer.one(TSi).selectors == (ts("10.1.0.0/16"),) and stands(site)


@pytest.mark.conformance("v2-76")
def test_a_peer_that_narrows_keeps_the_packet_and_others_call_again() -> None:
    """sun has but one host of the network: its child is narrow; a packet for another child of sun's calls anew."""
    narrow = (
        child("one", mirror=True, remote="10.2.0.9/32"),
        child("two", mirror=True, remote="10.2.0.10/32"),
    )
    site, _ = trapped(sun_children=narrow)
    (sentry,) = site.moon.kernel.sentries
    site.moon.packet(*TCP, site.world.now)
    wait(site, 5)
    (first,) = site.moon.children
    assert first.ts_remote == (ts("10.2.0.9"),) and first.reqid != sentry.reqid
    site.moon.packet("10.1.0.7[tcp/40001]", "10.2.0.9[tcp/443]", site.world.now)
    wait(site, 5)
    assert len(site.moon.children) == 1, "that child carries it"
    site.moon.packet("10.1.0.7[tcp/40001]", "10.2.0.10[tcp/443]", site.world.now)
    wait(site, 5)
    assert {one.ts_remote for one in site.moon.children} == {(ts("10.2.0.9"),), (ts("10.2.0.10"),)}
    assert len({one.reqid for one in site.moon.children} | {sentry.reqid}) == 3
    assert len(site.moon.machines) == 1
    site.world.settled()


def test_many_packets_are_one_child() -> None:
    """Packets that come while the child is negotiated, and the kernel's news that come late."""
    site, _ = trapped(link=Link(delay=0.5))
    for number in range(20):
        site.moon.packet(f"10.1.0.{number + 1}[udp/{1000 + number}]", "10.2.0.9[udp/53]", site.world.now)
        wait(site, 0.2)
    site.moon.packet(*TCP, site.world.now)
    wait(site, 10)
    assert stands(site) and len(site.moon.saw(IkeUp)) == 1
    assert sum("calls for" in note.why for note in site.moon.saw(Note)) == 1


@pytest.mark.parametrize("seed", range(1, 11))
def test_packets_at_both_ends_at_once(seed: int) -> None:
    """Both have traps, and packets meet: what comes of it carries, and calls for no more."""
    site, wire = gateways(
        seed=seed,
        link=Link(loss=0.15, duplication=0.1, jitter=0.3),
        moon_children=(child(start_action=Action.TRAP),),
        sun_children=(child(mirror=True, start_action=Action.TRAP),),
    )
    wait(site, 1)
    site.moon.packet(*PING, site.world.now)
    site.sun.packet(PING[1], PING[0], site.world.now)
    wait(site, 300)
    assert site.moon.children and len(site.moon.machines) == len(site.sun.machines) <= 2
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    mark = len(wire.seen)
    site.moon.packet(*PING, site.world.now)
    site.sun.packet(PING[1], PING[0], site.world.now)
    wait(site, 30)
    assert len(wire.seen) == mark
    reqids = {one.reqid for one in site.moon.children}
    assert reqids == {site.moon.kernel.sentries[0].reqid}
    site.world.settled()


def test_the_trap_stays_when_the_child_goes() -> None:
    """down, then the next packet: up again."""
    site, _ = trapped()
    for _ in range(3):
        site.moon.packet(*PING, site.world.now)
        wait(site, 5)
        assert stands(site)
        site.moon.terminate(site.world.now, "site")
        wait(site, 40)
        assert bare(site.moon) and len(site.moon.kernel.sentries) == 1


def test_a_peer_that_refuses_is_asked_again_by_the_next_packet() -> None:
    site, wire = trapped()
    site.moon.secret = b"another one"
    for number in range(3):
        site.moon.packet(*PING, site.world.now)
        wait(site, 40)
        assert bare(site.moon) and len(wire.messages(which(IKE_AUTH, by=site.sun))) == number + 1
    site.moon.secret = site.sun.secret
    site.moon.packet(*PING, site.world.now)
    wait(site, 5)
    assert stands(site)


def test_a_peer_that_is_silent_is_called_once_at_a_time() -> None:
    site, wire = trapped()
    wire.hold(lambda seen: True)
    for _ in range(30):
        site.moon.packet(*PING, site.world.now)
        wait(site, 5)
        assert len(site.moon.machines) <= 1
    assert len(wire.all(which(by=site.moon))) == 6


@pytest.mark.conformance("v2-40")
def test_dpd_action_trap() -> None:
    """The peer dies: nothing is called until a packet wants it."""
    site, wire = gateways(moon={"dpd_delay": 10}, moon_children=(child(dpd_action=Action.TRAP),))
    site.up()
    cut = wire.hold(lambda seen: True)
    wait(site, 400)
    cut.stop()
    assert not site.moon.machines and [one.name for one in site.moon.kernel.sentries] == ["net"]
    mark = len(wire.seen)
    wait(site, 1000)
    assert len(wire.seen) == mark
    site.moon.packet(*PING, site.world.now)
    wait(site, 5)
    assert site.moon.children and site.world.carries(site.moon, site.sun)


@BOTH
@pytest.mark.parametrize("whole", [False, True], ids=["child", "ike"])
def test_close_action_trap(versions: int, whole: bool) -> None:
    """The peer deletes the child, or the IKE SA with it: the next packet brings it back."""
    ends = {"version": versions}
    site, _ = gateways(moon=ends, sun=ends, ike=IKE[versions], moon_children=(child(close_action=Action.TRAP),))
    site.up()
    assert not site.moon.kernel.sentries
    site.sun.terminate(site.world.now, "" if whole else "site", "" if whole else "net")
    wait(site, 60)
    assert not site.moon.children and len(site.moon.kernel.sentries) == 1
    site.moon.packet(*PING, site.world.now)
    wait(site, 5)
    assert site.moon.children and site.world.carries(site.moon, site.sun)


def test_trap_and_start() -> None:
    """Up at once, and trapped for when it goes."""
    site, _ = trapped(child={"start_action": Action.TRAP_START})
    wait(site, 5)
    assert stands(site) and len(site.moon.kernel.sentries) == 1
    (up,) = site.moon.children
    assert up.reqid == site.moon.kernel.sentries[0].reqid


def test_a_child_renewed_under_a_trap_keeps_its_number() -> None:
    site, _ = trapped(child={"rekey_time": 600, "life_time": 700})
    site.moon.packet(*PING, site.world.now)
    wait(site, 3000)
    assert stands(site)
    assert {one.reqid for one in site.moon.children} == {site.moon.kernel.sentries[0].reqid}
    site.world.settled()


# -- installed and taken away --------------------------------------------------------


def done(site: Site, token: int) -> str | None:
    wait(site, 1)
    return site.moon.done[token].error


def test_install_and_uninstall() -> None:
    """By command, for a child whose configuration starts nothing; twice is once."""
    site, _ = gateways()
    assert done(site, site.moon.install(0.0)) is None
    assert done(site, site.moon.install(site.world.now)) is None
    assert len(site.moon.kernel.sentries) == 1
    site.moon.packet(*PING, site.world.now)
    wait(site, 5)
    assert stands(site)
    assert done(site, site.moon.install(site.world.now, gone=True)) is None
    assert not site.moon.kernel.sentries and stands(site), "the child stays"
    assert "no policy" in str(done(site, site.moon.install(site.world.now, gone=True)))


def test_what_cannot_be_trapped_is_said_and_why() -> None:
    site, _ = gateways(moon={"remote": "%any"})
    assert "remote_addrs" in str(done(site, site.moon.install(0.0)))
    assert "no child" in str(done(site, site.moon.install(0.0, child="nat")))
    marked = child(mark_out=Mark(0, 0xFF, Fresh.CHILD))
    site, _ = gateways(moon_children=(marked,))
    assert "%unique" in str(done(site, site.moon.install(0.0)))
    site, _ = gateways()
    site.moon.kernel.refuse = 1
    assert "no room" in str(done(site, site.moon.install(0.0)))
    assert not site.moon.kernel.sentries and not list(site.moon.engine.env.sentries)


def test_a_trap_of_the_configuration_that_fails_is_tried_again() -> None:
    """No room in the kernel, for the moment."""
    site, _ = gateways()
    (made,) = site.moon.engine.connections.all
    site.moon.kernel.refuse = 2
    site.moon.load(replace(made, children=(child(start_action=Action.TRAP),)))
    wait(site, 100)
    assert not site.moon.kernel.sentries
    wait(site, 100)
    assert len(site.moon.kernel.sentries) == 1


def test_a_reload_keeps_what_did_not_change() -> None:
    """Another child changes: the trap is the same one. It changes itself: it goes and comes. It goes: it goes."""
    site, _ = trapped()
    (made,) = site.moon.engine.connections.all
    (before,) = site.moon.kernel.sentries
    site.moon.load(replace(made, children=(*made.children, child("more", local="10.9.0.0/16"))), site.world.now)
    wait(site, 1)
    assert site.moon.kernel.sentries == [before]
    wider = child(local="10.0.0.0/8", start_action=Action.TRAP)
    site.moon.load(replace(made, children=(wider,)), site.world.now)
    wait(site, 1)
    (after,) = site.moon.kernel.sentries
    assert after.ts_local == (ts("10.0.0.0/8"),) and list(site.moon.engine.env.sentries) == [after]
    site.moon.engine.connections.unload("site", site.world.now)
    wait(site, 1)
    assert not site.moon.kernel.sentries and not list(site.moon.engine.env.sentries)


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_peer_given_by_name(late: float) -> None:
    """The name is not known at first, then it is, then it leads elsewhere: the trap follows."""
    where: dict[str, bytes] = {}

    def resolve(ask: asks.Resolve) -> tuple[bytes, ...]:
        if ask.host not in where:
            raise BackendError(f"cannot look up {ask.host}")
        return (where[ask.host],)

    site, _ = gateways(moon_host={"answers": {asks.Resolve: resolve}, "late": late})
    (made,) = site.moon.engine.connections.all
    named = replace(made, remote_addrs=(AddressSpec.parse("sun.example.org"),))
    site.moon.load(replace(named, children=(child(start_action=Action.TRAP),)))
    wait(site, 10)
    assert not site.moon.kernel.sentries
    for address in ("203.0.113.9", SUN):
        where["sun.example.org"] = AddressSpec.parse(address).low
        site.moon.engine.command(Resolved("sun.example.org", (where["sun.example.org"],)), site.world.now)
        wait(site, 2)
        (sentry,) = site.moon.kernel.sentries
        assert sentry.path is not None and sentry.path.remote.host == address
    site.moon.packet(*PING, site.world.now)
    wait(site, 10)
    assert stands(site) and list(site.moon.engine.env.sentries) == site.moon.kernel.sentries


def test_what_is_removed_while_it_is_set_is_gone() -> None:
    """Answers come late: uninstall overtakes install."""
    site, _ = gateways(moon_host={"late": 1.0})
    first = site.moon.install(0.0)
    site.moon.install(0.0, gone=True)
    wait(site, 5)
    assert site.moon.done[first].error is not None
    assert not site.moon.kernel.sentries and not list(site.moon.engine.env.sentries)


# -- shunts --------------------------------------------------------------------------


def test_shunts_stand_and_nobody_negotiates_them() -> None:
    """mode = pass at sun, for what moon asks: sun has no such child to give."""
    lan = child("net", mirror=True, mode=Mode.PASS, start_action=Action.TRAP)
    site, _ = gateways(sun_children=(lan, child("other", mirror=True, local="10.77.0.0/16")))
    wait(site, 1)
    (shunt,) = site.sun.kernel.sentries
    assert (shunt.reqid, shunt.path) == (0, None)
    token = site.up()
    assert "TS_UNACCEPTABLE" in str(site.moon.done[token].error)
    assert site.sun.kernel.sentries == [shunt]


def test_a_shunt_cannot_be_brought_up() -> None:
    site, _ = gateways(moon_children=(child(mode=Mode.DROP),))
    token = site.moon.initiate("site", "net", 0.0)
    assert site.moon.drain() and "shunt" in str(site.moon.done[token].error)
    assert done(site, site.moon.install(0.0)) is None and bare(site.moon)


def test_dynamic_is_everybody_in_a_shunt() -> None:
    site, _ = gateways(moon_children=(child(mode=Mode.PASS, local="dynamic", remote="dynamic[udp/53]"),))
    assert done(site, site.moon.install(0.0)) is None
    (shunt,) = site.moon.kernel.sentries
    assert shunt.ts_local == (TrafficSelector.ANY4, TrafficSelector.ANY6)
    assert shunt.ts_remote == (ts("0.0.0.0/0[udp/53]"), ts("::/0[udp/53]"))
    assert MOON not in str(shunt.ts_local)
