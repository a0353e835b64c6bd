"""Transport mode through NATs: whose address a selector has, at which end (RFC 7296 §2.23.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Child, Fresh, Mark, Mode
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import TsMismatch
from ikectl.values.path import Endpoint
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.wire.payload import Payload
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import CREATE_CHILD_SA, IKE_AUTH, gateways, notifies, rewrite, sa_of, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import Wiretap, which

OUTSIDE, OTHER_SIDE = "203.0.113.1", "203.0.113.2"
UNIQUE = Mark(0, 0xFFFFFFFF, Fresh.CHILD)


def transport(*, local: str = "dynamic", remote: str = "dynamic", **more: Any) -> Child:
    """A child in transport mode between the very ends, or of a protocol between them."""
    specs = {"local_ts": (SelectorSpec.parse(local),), "remote_ts": (SelectorSpec.parse(remote),)}
    return replace(child(mode=Mode.TRANSPORT, **more), **specs)


def packed(address: str) -> bytes:
    return Endpoint.parse(address, 0).address


def ts(*words: str) -> tuple[TrafficSelector, ...]:
    return tuple(SelectorSpec.parse(word).resolve(bytes(4)) for word in words)


def client(mine: Child | None = None, theirs: Child | None = None, **options: Any) -> tuple[Site, Wiretap]:
    """moon is behind a NAT, sun is not."""
    nat = Nat(frozenset({MOON}), OUTSIDE)
    sun = {"remote": "%any", **options.pop("sun", {})}
    ends = {"moon_children": (mine or transport(),), "sun_children": (theirs or transport(),)}
    return gateways(nats=(nat,), sun=sun, **ends, **options)


def server(**options: Any) -> tuple[Site, Wiretap]:
    """sun is behind a NAT that lets IKE in; moon calls its outside."""
    nat = Nat(frozenset({SUN}), OTHER_SIDE)
    for port in (500, 4500):
        nat.forward(port, Endpoint.parse(SUN, port))
    ends = {"moon_children": (transport(),), "sun_children": (transport(),)}
    return gateways(nats=(nat,), moon={"remote": OTHER_SIDE}, **ends, **options)


def ends_of(host: Host) -> tuple[str, str, bytes]:
    """The selectors of its only child, and its peer's own address as far as it knows."""
    (one,) = host.children
    assert one.mode is Mode.TRANSPORT and one.encap
    return str(one.ts_local[0]), str(one.ts_remote[0]), one.peer_original


@pytest.mark.conformance("v2-106")
def test_a_client_behind_a_nat() -> None:
    """TSi is moon's own address, TSr the server's; sun takes the address it sees, remembers the other, says so."""
    site, wire = client()
    token = site.up()
    assert site.moon.done[token].error is None
    asked, answered = wire.messages(which(IKE_AUTH))
    assert asked.one(TSi).selectors == ts(f"{MOON}/32") and asked.one(TSr).selectors == ts(f"{SUN}/32")
    assert answered.one(TSi).selectors == ts(f"{OUTSIDE}/32") and answered.one(TSr).selectors == ts(f"{SUN}/32")
    assert ends_of(site.moon) == (f"{MOON}/32", f"{SUN}/32", b"")
    assert ends_of(site.sun) == (f"{SUN}/32", f"{OUTSIDE}/32", packed(MOON))
    site.world.settled()


@pytest.mark.conformance("v2-106")
def test_a_server_behind_a_nat() -> None:
    """TSr is the address that moon calls; sun takes its own and answers with it; moon goes back to the outside."""
    site, wire = server()
    token = site.up()
    assert site.moon.done[token].error is None
    asked, answered = wire.messages(which(IKE_AUTH))
    assert asked.one(TSr).selectors == ts(f"{OTHER_SIDE}/32") and answered.one(TSr).selectors == ts(f"{SUN}/32")
    assert ends_of(site.moon) == (f"{MOON}/32", f"{OTHER_SIDE}/32", packed(SUN))
    assert ends_of(site.sun) == (f"{SUN}/32", f"{MOON}/32", b"")


@pytest.mark.conformance("v2-106")
def test_both_behind_nats() -> None:
    moons, suns = Nat(frozenset({MOON}), OUTSIDE), Nat(frozenset({SUN}), OTHER_SIDE)
    for port in (500, 4500):
        suns.forward(port, Endpoint.parse(SUN, port))
    ends = {"moon_children": (transport(),), "sun_children": (transport(),)}
    site, _ = gateways(nats=(moons, suns), moon={"remote": OTHER_SIDE}, sun={"remote": "%any"}, **ends)
    token = site.up()
    assert site.moon.done[token].error is None
    assert ends_of(site.moon) == (f"{MOON}/32", f"{OTHER_SIDE}/32", packed(SUN))
    assert ends_of(site.sun) == (f"{SUN}/32", f"{OUTSIDE}/32", packed(MOON))


@pytest.mark.conformance("v2-106")
@pytest.mark.parametrize("stage", [client, server], ids=["client", "server"])
@pytest.mark.parametrize("who", ["moon", "sun", "both"])
def test_rekeyed_from_either_end(stage: Any, who: str) -> None:
    """CREATE_CHILD_SA names the addresses anew, each its own; what stands in the kernels stays the same."""
    site, wire = stage(link=Link(delay=0.05))
    site.up()
    before = ends_of(site.moon), ends_of(site.sun)
    for host in (site.moon, site.sun):
        if who in (host.name, "both"):
            host.rekey(site.world.now, "site", "net")
    wait(site, 60)
    assert (ends_of(site.moon), ends_of(site.sun)) == before
    assert wire.all(which(CREATE_CHILD_SA)) and not site.sun.saw(TsMismatch)
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    site.world.settled()


@pytest.mark.conformance("v2-106")
@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_network(seed: int) -> None:
    site, _ = client(seed=seed, link=Link(loss=0.25, duplication=0.2, delay=0.05, jitter=0.3))
    token = site.up()
    assert site.moon.done[token].error is None
    wait(site, 60)
    assert ends_of(site.moon) == (f"{MOON}/32", f"{SUN}/32", b"")
    assert ends_of(site.sun) == (f"{SUN}/32", f"{OUTSIDE}/32", packed(MOON))
    site.world.settled()


@pytest.mark.conformance("v2-106")
def test_protocols_and_ports_stay_as_they_are() -> None:
    site, _ = client(transport(local="dynamic[udp/1701]", remote="dynamic[udp]"), transport(remote="dynamic[udp]"))
    site.up()
    assert ends_of(site.sun) == (f"{SUN}/32[udp]", f"{OUTSIDE}/32[udp/l2f]", packed(MOON))


@pytest.mark.conformance("v2-106", "v2-80")
def test_without_transport_mode_the_substitution_is_undone() -> None:
    """sun has a tunnel for moon's own address: that is what it finds when it does not choose transport mode."""
    site, wire = client(theirs=child("net", mirror=True, local=f"{MOON}/32", remote=f"{SUN}/32"))
    token = site.up()
    assert "transport" in (site.moon.done[token].error or "")
    answered = wire.messages(which(IKE_AUTH, by=site.sun))[0]
    assert answered.notify(NotifyType.USE_TRANSPORT_MODE) is None
    assert answered.one(TSi).selectors == ts(f"{MOON}/32")
    wait(site, 10)
    assert not site.moon.children and not site.sun.children
    site.world.settled()


@pytest.mark.conformance("v2-106", "v2-77")
def test_a_network_in_transport_mode_through_a_nat() -> None:
    """TSi of more than one address can only be wrong: TS_UNACCEPTABLE, and sun says why."""
    site, wire = client(transport(local="192.0.2.0/24"))
    token = site.up()
    assert notifies(wire.messages(which(IKE_AUTH, by=site.sun))[0]) == [NotifyType.TS_UNACCEPTABLE]
    assert site.moon.done[token].error and not site.sun.children and len(site.sun.machines) == 1
    (told,) = site.sun.saw(TsMismatch)
    assert "192.0.2.0/24 in transport mode through a NAT: only a single address can be" in told.text()


@pytest.mark.conformance("v2-106", "v2-78")
def test_an_answer_with_other_addresses_is_substituted_too() -> None:
    """<-- TSi = anything of one address: behind the NAT it is ours all the same (verification comes after)."""
    site, wire = client()

    def instead(payloads: list[Payload]) -> list[Payload]:
        return [TSi(ts("203.0.113.77/32")) if isinstance(each, TSi) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=True), instead)
    token = site.up()
    assert site.moon.done[token].error is None and ends_of(site.moon)[0] == f"{MOON}/32"


@pytest.mark.conformance("v2-106")
def test_a_lie_about_a_nat() -> None:
    """encap = yes: the addresses seen are the real ones, so nothing changes but the UDP around ESP."""
    ends = {"moon_children": (transport(),), "sun_children": (transport(),)}
    site, _ = gateways(moon={"encap": True}, **ends)
    token = site.up()
    assert site.moon.done[token].error is None
    assert ends_of(site.moon) == (f"{MOON}/32", f"{SUN}/32", b"")
    assert ends_of(site.sun) == (f"{SUN}/32", f"{MOON}/32", packed(MOON))


def two_clients(theirs: Child) -> tuple[Site, Wiretap, Host]:
    """moon and mars behind one NAT."""
    inside = "192.0.2.3"
    nat = Nat(frozenset({MOON, inside}), OUTSIDE)
    site, wire = gateways(
        nats=(nat,),
        moon_children=(transport(),),
        sun_children=(theirs,),
        sun={"remote": "%any", "remote_id": "%any"},
    )
    mars = Host("mars", inside, 1)
    mars.load(connection(local=inside, local_id="mars.example.org", children=(transport(),)))
    site.world.hosts[inside] = mars
    return site, wire, mars


@pytest.mark.conformance("v2-106")
def test_two_clients_behind_one_nat_are_told_apart_by_marks() -> None:
    """The same address and ports twice: unique marks keep them apart, through rekeyings too."""
    site, _, mars = two_clients(transport(mark_in=UNIQUE, mark_out=UNIQUE, set_mark_in=UNIQUE))
    site.up()
    token = mars.initiate("site", "net", site.world.now)
    wait(site, 30)
    assert mars.done[token].error is None and len(site.sun.children) == 2
    marks = {one.ike.remote_id: one.marks.into for one in site.sun.children}
    assert len(set(marks.values())) == 2
    assert {one.peer_original for one in site.sun.children} == {packed(MOON), packed("192.0.2.3")}
    for host in (site.moon, mars, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 60)
    assert {one.ike.remote_id: one.marks.into for one in site.sun.children} == marks
    assert site.world.carries(site.moon, site.sun) and site.world.carries(mars, site.sun)


@pytest.mark.conformance("v2-106")
def test_without_marks_the_second_client_gets_nothing_of_the_firsts() -> None:
    """<-- N(TS_UNACCEPTABLE): what is for the first would go to whoever came last."""
    site, _, mars = two_clients(transport())
    site.up()
    token = mars.initiate("site", "net", site.world.now)
    wait(site, 30)
    assert "TS_UNACCEPTABLE" in (mars.done[token].error or "")
    assert [one.ike.remote_id for one in site.sun.children] == [sa_of(site.moon).local_id]
    (told,) = site.sun.saw(TsMismatch)
    assert "set mark_in = %unique and mark_out = %unique" in told.text()
