"""NO_ADDITIONAL_SAS: what the peer does not take on this IKE SA gets one of its own (RFC 7296 §1.3, §4)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Action, Unique
from ikectl.engine.annexes import MAX_ANNEXES
from ikectl.iana.v2 import NotifyType
from ikectl.sa.env import Settings
from ikectl.sa.events import ChildFailed
from ikectl.wire.v2.notify import Notify
from tests.scenarios.stage import CREATE_CHILD_SA, IKE_SA_INIT, gateways, notifies, rewrite, stands, tunnel, wait
from tests.scenarios.test_configuration_payload import ROAD, fill
from tests.sim.forge import Impostor
from tests.sim.host import Host
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which

ONE = {"settings": Settings(max_children=1)}


def several(number: int, **options: Any) -> tuple[Site, Wiretap]:
    """A tunnel, whose peer takes one child on an IKE SA, and further children that are not up yet."""
    networks = [(f"10.7.{place}.0/24", f"10.8.{place}.0/24") for place in range(number)]
    more = options.pop("each", {})
    mine = [child(f"lan{at}", local=net[0], remote=net[1], **more) for at, net in enumerate(networks)]
    theirs = [child(f"lan{at}", local=net[0], remote=net[1], mirror=True) for at, net in enumerate(networks)]
    return tunnel(
        moon_children=(child(**more), *mine),
        sun_children=(child(mirror=True), *theirs),
        **{"sun_host": ONE, **options},
    )


def spread(host: Host) -> list[list[str]]:
    """The names of the children, by IKE SA."""
    return [sorted(each.name for each in machine.sa.living_children) for machine in host.machines]


@pytest.mark.conformance("v2-93")
def test_a_child_that_the_peer_does_not_take_gets_an_ike_sa_of_its_own() -> None:
    """<-- HDR, SK {N(NO_ADDITIONAL_SAS)};  IKE_SA_INIT, IKE_AUTH {...} -->  A rekeying is no further child."""
    site, wire = several(1)
    token = site.moon.initiate("site", "lan0", site.world.now)
    wait(site, 5)
    (answer,) = wire.messages(which(CREATE_CHILD_SA, by=site.sun))
    assert notifies(answer) == [NotifyType.NO_ADDITIONAL_SAS]
    assert site.moon.done[token].error is None
    assert spread(site.moon) == spread(site.sun) == [["net"], ["lan0"]]
    for host in (site.moon, site.sun):
        token = host.rekey(site.world.now, "site")
        wait(site, 20)
        assert host.done[token].error is None
    assert spread(site.moon) == spread(site.sun) == [["net"], ["lan0"]]
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.world.settled()


def test_each_of_several_children_wanted_at_once() -> None:
    site, _wire = several(4)
    tokens = [site.moon.initiate("site", f"lan{number}", site.world.now) for number in range(4)]
    wait(site, 20)
    assert [site.moon.done[token].error for token in tokens] == [None] * 4
    assert sorted(spread(site.moon)) == sorted(spread(site.sun)) == [["lan0"], ["lan1"], ["lan2"], ["lan3"], ["net"]]
    site.world.settled()


def test_a_place_that_is_free_again_is_taken_before_another_ike_sa_is_made() -> None:
    site, _wire = several(2)
    site.moon.initiate("site", "lan0", site.world.now)
    wait(site, 5)
    site.moon.terminate(site.world.now, child="net")
    wait(site, 5)
    token = site.moon.initiate("site", "lan1", site.world.now)
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert spread(site.moon) == spread(site.sun) == [["lan1"], ["lan0"]]
    site.world.settled()


@pytest.mark.parametrize("unique", [Unique.REPLACE, Unique.NO, Unique.KEEP])
def test_ours_do_not_replace_each_other(unique: Unique) -> None:
    site, _wire = several(2, moon={"unique": unique})
    for number in range(2):
        site.moon.initiate("site", f"lan{number}", site.world.now)
    wait(site, 10)
    assert spread(site.moon) == [["net"], ["lan0"], ["lan1"]]
    token = site.moon.rekey(site.world.now, "site", "")
    wait(site, 10)
    assert site.moon.done[token].error is None
    site.world.settled()


def test_a_peer_that_allows_one_ike_sa_only_does_not_make_us_call_for_ever() -> None:
    """Each new IKE SA ends the older one, whose child is wanted back: there must be an end."""
    site, wire = several(1, each={"close_action": Action.START}, sun={"unique": Unique.REPLACE})
    site.moon.initiate("site", "lan0", site.world.now)
    mark = len(wire.seen)
    wait(site, 200)
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon), since=mark)) <= MAX_ANNEXES + 2
    assert any("are enough" in event.why for event in site.moon.saw(ChildFailed))


def test_a_peer_that_takes_no_child_at_all_is_not_asked_elsewhere() -> None:
    """IKE SAs without a child, as configured, and every child refused."""
    site, wire = several(1)
    site.moon.terminate(site.world.now, child="net")
    wait(site, 5)
    rewrite(wire, which(CREATE_CHILD_SA, response=True), lambda _: [Notify(NotifyType.NO_ADDITIONAL_SAS)], times=None)
    mark = len(wire.seen)
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 20)
    assert "raise its limit there" in (site.moon.done[token].error or "")
    assert not wire.all(which(IKE_SA_INIT), since=mark)


def test_a_client_with_an_inner_address_is_told_what_to_do() -> None:
    """The address is the first SA's, and a second one would come with another."""
    networks = {"net": "10.2.0.0/16", "lan": "10.4.0.0/16"}
    site, _ = gateways(
        moon={"vips": (bytes(4),)},
        sun={"pools": ("road",)},
        moon_children=tuple(child(name, local="dynamic", remote=n) for name, n in networks.items()),
        sun_children=tuple(child(name, local=n, remote="dynamic") for name, n in networks.items()),
        sun_host=ONE,
    )
    fill(site.sun, ROAD)
    assert site.moon.done[site.up()].error is None
    token = site.moon.initiate("site", "lan", site.world.now)
    wait(site, 5)
    error = site.moon.done[token].error or ""
    assert "NO_ADDITIONAL_SAS" in error and "write one child for all of the traffic" in error
    assert len(site.moon.machines) == 1


@pytest.mark.conformance("v2-93")
@pytest.mark.parametrize("name", ["net", ""])
def test_a_peer_that_rekeys_nothing_is_authenticated_anew(name: str) -> None:
    """§4: who takes no CREATE_CHILD_SA answers NO_ADDITIONAL_SAS; the SA is made from scratch, and the old one goes."""
    site, wire = tunnel()
    (before,) = site.moon.machines
    wire.hold(which(CREATE_CHILD_SA, by=site.moon), times=1)
    impostor = Impostor(wire, site.sun)
    token = site.moon.rekey(site.world.now, "site", name)
    site.world.flush()
    impostor.respond(wire.seen[-1], [Notify(NotifyType.NO_ADDITIONAL_SAS)])
    wait(site, 10)
    assert site.moon.done[token].error is None
    (after,) = [machine for machine in site.moon.machines if machine.sa.living_children]
    assert after.sa.spi_i != before.sa.spi_i
    wait(site, 60)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-93")
@pytest.mark.parametrize("name", ["net", ""])
def test_who_was_called_keeps_what_there_is(name: str) -> None:
    site, wire = tunnel()
    wire.hold(which(CREATE_CHILD_SA, by=site.sun), times=1)
    impostor = Impostor(wire, site.moon)
    token = site.sun.rekey(site.world.now, "site", name)
    site.world.flush()
    impostor.respond(wire.seen[-1], [Notify(NotifyType.NO_ADDITIONAL_SAS)])
    assert "NO_ADDITIONAL_SAS" in (site.sun.done[token].error or "") and stands(site)
