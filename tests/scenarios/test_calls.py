"""Calling a peer: several addresses in turn, names that change, rounds and pauses, both ends at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Action, AddressSpec
from ikectl.engine import calls
from ikectl.errors import BackendError
from ikectl.iana.v2 import NotifyType
from ikectl.sa import asks
from ikectl.sa.events import IkeUp, Note
from ikectl.wire.v2.notify import Notify
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, gateways, rewrite, stands, tunnel, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.wiretap import Wiretap, which

DOWN, AWAY = "203.0.113.1", "203.0.113.2"
"""Where nobody is."""


def calling(*remotes: str, locals_: tuple[str, ...] = (MOON,), **moon: Any) -> tuple[Site, Wiretap]:
    """Two gateways; moon knows sun by these addresses and names."""
    site, wire = gateways(moon_host={"answers": moon.pop("answers", {})}, moon=moon)
    (made,) = site.moon.engine.connections.all
    there = tuple(map(AddressSpec.parse, remotes))
    site.moon.load(replace(made, remote_addrs=there, local_addrs=tuple(map(AddressSpec.parse, locals_))))
    return site, wire


def called(wire: Wiretap, since: int = 0) -> list[str]:
    """Whom moon sent IKE_SA_INIT, each time it turned to somebody else."""
    found: list[str] = []
    for seen in wire.all(which(IKE_SA_INIT), since=since):
        where = seen.transmit.path.remote.host
        if not seen.message.response and found[-1:] != [where]:
            found.append(where)
    return found


def test_addresses_are_tried_in_turn_until_one_answers() -> None:
    """IKE_SA_INIT --> nobody, nobody, sun: one command, one outcome; the last is who answered."""
    site, wire = calling(DOWN, AWAY, SUN)
    token = site.up(within=900)
    assert site.moon.done[token].error is None and stands(site)
    assert called(wire) == [DOWN, AWAY, SUN]
    site.world.settled()


def test_our_own_addresses_are_tried_in_turn_too() -> None:
    """Two addresses of ours: the first leads nowhere."""
    site, wire = calling(SUN, locals_=("192.0.2.77", MOON))
    site.world.move(site.moon, MOON, "192.0.2.77")
    site.world.taps.append(lambda host, transmit: transmit.path.local.host != "192.0.2.77")
    token = site.up(within=900)
    assert site.moon.done[token].error is None and stands(site)
    sources = dict.fromkeys(seen.transmit.path.local.host for seen in wire.all(which(IKE_SA_INIT, by=site.moon)))
    assert list(sources) == ["192.0.2.77", MOON]


def test_nobody_answers_and_the_operator_reads_of_each_address() -> None:
    site, wire = calling(DOWN, AWAY)
    token = site.up(within=900)
    error = site.moon.done[token].error
    assert error is not None and "IKE_SA_INIT" in error
    assert called(wire) == [DOWN, AWAY]
    wait(site, 900)
    assert called(wire) == [DOWN, AWAY], "keyingtries = 1 is one round"
    assert bare(site.moon)


def test_a_refusal_that_is_proven_ends_the_call() -> None:
    """A wrong secret is wrong at every address: the next one is not called."""
    site, wire = calling(SUN, AWAY)
    site.moon.secret = b"another one"
    token = site.up()
    assert site.moon.done[token].error and called(wire) == [SUN]
    wait(site, 900)
    assert called(wire) == [SUN]


def test_an_unproven_refusal_does_not() -> None:
    """<-- N(NO_PROPOSAL_CHOSEN) from a gateway that has other algorithms: the next one may have ours."""
    site, wire = calling(SUN, AWAY)
    rewrite(
        wire,
        which(IKE_SA_INIT, response=True),
        lambda payloads: [Notify(NotifyType.NO_PROPOSAL_CHOSEN)],
        times=None,
    )
    token = site.up(within=900)
    assert called(wire) == [SUN, AWAY]
    error = site.moon.done[token].error
    assert error is not None and "proposals" in error and "does not answer" in error


@pytest.mark.parametrize("tries", [1, 3])
def test_so_many_rounds_as_keyingtries_says(tries: int) -> None:
    """Each round calls every address; between rounds there is a pause."""
    site, wire = calling(DOWN, AWAY, keyingtries=tries)
    token = site.up(within=4000)
    assert site.moon.done[token].error
    assert called(wire) == [DOWN, AWAY] * tries


def test_a_peer_that_is_down_for_long() -> None:
    """start_action = start, keyingtries = 0: one record, a round every five minutes or so, and back when it is back."""
    site, wire = gateways(
        moon={"keyingtries": 0},
        moon_children=(child(start_action=Action.START), child("more", local="10.9.0.0/16", start_action=Action.START)),
        sun_children=(child(mirror=True), child("more", mirror=True, local="10.9.0.0/16")),
    )
    gone = wire.hold(which(by=site.moon))
    day = 24 * 3600.0
    wait(site, day)
    rounds = len(wire.all(which(IKE_SA_INIT, by=site.moon))) / 6
    longest = calls.LONGEST_PAUSE + 165
    assert day / longest - 5 < rounds < day / (longest * (1 - calls.PAUSE_JITTER) - 80)
    assert len(site.moon.machines) <= 1 and len(list(site.moon.engine.connections.calls)) == 1
    gone.stop()
    wait(site, longest + 5)
    assert {one.name for one in site.moon.children} == {"net", "more"} and len(site.sun.machines) == 1
    assert not list(site.moon.engine.connections.calls)
    site.world.settled()


def test_pauses_are_not_in_step() -> None:
    """Two gateways that lost the same peer call it at different instants."""
    instants = []
    for seed in (1, 2):
        site, wire = gateways(seed=seed, moon={"keyingtries": 0}, moon_children=(child(start_action=Action.START),))
        wire.hold(which(by=site.moon))
        wait(site, 3000)
        firsts = wire.all(which(IKE_SA_INIT, by=site.moon))
        instants.append([round(seen.at) for seen in firsts if seen.at > 1000])
    assert instants[0] and instants[0] != instants[1]


def test_a_name_is_looked_up_for_every_round() -> None:
    """The peer moves while it is called: the next round goes to where its name leads now."""
    where = {"sun.example.org": AWAY}
    asked: list[str] = []

    def resolve(ask: asks.Resolve) -> tuple[bytes, ...]:
        asked.append(ask.host)
        return (AddressSpec.parse(where[ask.host]).low,)

    site, wire = calling("sun.example.org", keyingtries=0, answers={asks.Resolve: resolve})
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 100)
    where["sun.example.org"] = SUN
    wait(site, 200)
    assert site.moon.done[token].error is None and stands(site)
    assert called(wire) == [AWAY, SUN] and len(asked) == 2


def test_all_addresses_of_a_name_are_tried_and_old_ones_when_it_is_not_found() -> None:
    found: list[tuple[bytes, ...]] = [(AddressSpec.parse(DOWN).low, AddressSpec.parse(AWAY).low)]

    def resolve(ask: asks.Resolve) -> tuple[bytes, ...]:
        if not found:
            raise BackendError("the name server is away")
        return found.pop()

    site, wire = calling("sun.example.org", keyingtries=2, answers={asks.Resolve: resolve})
    token = site.up(within=4000)
    assert called(wire) == [DOWN, AWAY, DOWN, AWAY] and site.moon.done[token].error


def test_a_name_that_is_not_found_is_looked_up_again() -> None:
    """start_action = start before the network is there: the name is found in a later round."""
    known: dict[str, bytes] = {}

    def resolve(ask: asks.Resolve) -> tuple[bytes, ...]:
        if ask.host not in known:
            raise BackendError(f"cannot look up {ask.host}")
        return (known[ask.host],)

    site, _ = calling("sun.example.org", keyingtries=0, answers={asks.Resolve: resolve})
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 60)
    assert token not in site.moon.done and bare(site.moon)
    known["sun.example.org"] = AddressSpec.parse(SUN).low
    wait(site, 120)
    assert site.moon.done[token].error is None and stands(site)


def test_without_one_the_reason_is_told() -> None:
    site, _ = calling("%any")
    token = site.up()
    assert "remote_addrs" in str(site.moon.done[token].error)
    site, _ = calling("sun.example.org")
    token = site.up()
    assert "sun.example.org has no address" in str(site.moon.done[token].error)


def test_down_ends_a_call_also_between_two_attempts() -> None:
    site, wire = gateways(moon={"keyingtries": 0}, moon_children=(child(start_action=Action.START),))
    wire.hold(which(by=site.moon))
    wait(site, 400)
    while site.moon.machines:
        wait(site, 1)
    mark = len(wire.seen)
    token = site.moon.terminate(site.world.now, "site")
    assert site.moon.drain() and site.moon.done[token].error is None and site.moon.done[token].matches == 1
    wait(site, 2000)
    assert len(wire.seen) == mark and bare(site.moon)


def test_unloading_ends_a_call_and_loading_again_begins_another() -> None:
    site, wire = gateways(moon={"keyingtries": 0}, moon_children=(child(start_action=Action.START),))
    gone = wire.hold(which(by=site.moon))
    wait(site, 400)
    (made,) = site.moon.engine.connections.all
    site.moon.engine.connections.unload("site", site.world.now)
    wait(site, 10)
    mark = len(wire.seen)
    wait(site, 1000)
    assert len(wire.seen) == mark and bare(site.moon)
    gone.stop()
    site.moon.load(made, site.world.now)
    wait(site, 5)
    assert stands(site)


def test_commands_that_come_meanwhile_share_the_call() -> None:
    """Three ups while the peer is silent: one IKE SA, three outcomes; a fourth in the pause calls at once."""
    site, wire = gateways(moon={"keyingtries": 0})
    gone = wire.hold(which(by=site.moon))
    tokens = [site.moon.initiate("site", "net", 0.0) for _ in range(3)]
    wait(site, 10)
    assert len(site.moon.machines) == 1
    while site.moon.machines:
        wait(site, 1)
    gone.stop()
    tokens.append(site.moon.initiate("site", "net", site.world.now))
    wait(site, 2)
    assert [site.moon.done[token].error for token in tokens] == [None] * 4 and stands(site)


@pytest.mark.parametrize("seed", range(1, 13))
def test_both_ends_call_back_at_once(seed: int) -> None:
    """dpd_action = restart on both: the network is away for a while, then both call; packets pass in the end."""
    site, wire = tunnel(
        seed=seed,
        link=Link(loss=0.1, duplication=0.05, jitter=0.3),
        moon={"dpd_delay": 20},
        sun={"dpd_delay": 20},
        moon_children=(child(dpd_action=Action.START),),
        sun_children=(child(mirror=True, dpd_action=Action.START),),
    )
    cut = wire.hold(lambda seen: True)
    wait(site, 1200)
    assert not site.moon.children and not site.sun.children
    cut.stop()
    wait(site, 900)
    assert site.moon.children and site.sun.children
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    assert len(site.moon.machines) == len(site.sun.machines) <= 2
    site.world.settled()


def test_who_was_called_back_meanwhile_does_not_call() -> None:
    """moon pauses, sun calls: there is one IKE SA, and moon asks for the child that sun did not bring."""
    both = (child(dpd_action=Action.START), child("more", local="10.9.0.0/16", dpd_action=Action.START))
    mirrored = (child(mirror=True), child("more", mirror=True, local="10.9.0.0/16"))
    site, wire = tunnel(moon={"dpd_delay": 10}, moon_children=both, sun_children=mirrored)
    site.moon.initiate("site", "more", site.world.now)
    wait(site, 2)
    cut = wire.hold(lambda seen: True)
    wait(site, 600)
    assert not site.moon.children
    for machine in site.sun.machines:
        machine.close("power cut", site.world.now)
    while site.moon.machines:
        wait(site, 1)
    cut.stop()
    mark = len(wire.seen)
    site.sun.initiate("site", "net", site.world.now)
    wait(site, 30)
    assert {one.name for one in site.moon.children} == {"net", "more"}
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    assert not wire.all(which(IKE_SA_INIT, by=site.moon, response=False), since=mark)
    site.world.settled()


def test_an_attempt_that_proved_nothing_gives_way_to_the_peers() -> None:
    """Our IKE_SA_INIT is lost, and the peer's comes through: ours is not repeated."""
    site, wire = gateways()
    lost = wire.hold(which(IKE_SA_INIT, by=site.moon, response=False))
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    site.sun.initiate("site", "net", site.world.now)
    wait(site, 1)
    lost.stop()
    wait(site, 30)
    assert site.moon.done[token].error is None and stands(site)
    assert len(site.moon.machines) == 1 and len(site.moon.saw(IkeUp)) == 1
    assert any("called meanwhile" in note.why for note in site.moon.saw(Note)) or not wire.all(
        which(IKE_AUTH, by=site.moon, response=False)
    )


def test_hundreds_of_peers_that_are_away() -> None:
    """What the next deadline costs does not depend on how many connections wait."""
    host = Host("moon", MOON, 1)
    site, _ = gateways(moon={"keyingtries": 0}, moon_children=(child(start_action=Action.START),))
    (made,) = site.moon.engine.connections.all
    for number in range(300):
        host.load(replace(made, name=f"site-{number}"))
    now = 0.0
    while now < 400:
        at = host.engine.deadline()
        assert at is not None
        now = max(now, at)
        host.engine.tick(now)
        host.drain()
    assert len(list(host.engine.connections.calls)) == 300
    assert len(host.machines) <= 300


def test_the_ike_sa_alone_and_a_child_are_one_call() -> None:
    """Whoever wants the IKE SA has it as soon as it stands, whatever else is wanted of the peer."""
    site, _ = gateways()
    tokens = [site.moon.initiate("site", child, 0.0) for child in ("net", "", "net", "")]
    wait(site, 5)
    assert [site.moon.done[token].error for token in tokens] == [None] * 4
    assert stands(site) and len(site.moon.machines) == 1


def test_what_is_up_is_not_brought_up_twice() -> None:
    """A call that goes on over the standing SA for one child leaves the other as it is."""
    site, _ = tunnel(moon_children=(child(), child("more", local="10.9.0.0/16")),
                     sun_children=(child(mirror=True), child("more", mirror=True, local="10.9.0.0/16")))  # fmt: skip
    tokens = [site.moon.initiate("site", name, site.world.now) for name in ("more", "net", "more", "")]
    wait(site, 5)
    assert [site.moon.done[token].error for token in tokens] == [None] * 4
    assert sum(one.name == "net" for one in site.moon.children) == 1
