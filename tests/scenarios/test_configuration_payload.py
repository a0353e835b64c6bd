"""The configuration payload between two hosts: moon wants inner addresses, sun has pools (RFC 7296 §2.19, §3.15)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ikectl.config.model import Pool, PoolAttribute
from ikectl.engine.commands import Configure, Rekey, Selection
from ikectl.errors import BackendError
from ikectl.iana.v2 import CfgAttribute, CfgType, NotifyType
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from ikectl.sa.events import Banner, ChildFailed, NoInnerAddress, Note
from ikectl.values.identity import Identity
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v2.cp import CP, Attribute
from ikectl.wire.v2.dns import EncryptedDns
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    bare,
    gateways,
    notifies,
    rewrite,
    sa_of,
    wait,
)
from tests.scenarios.test_eap_in_ike_auth import road as road_of_eap
from tests.sim.forge import Impostor
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child, connection
from tests.sim.wiretap import Wiretap, which
from tests.sim.world import World

A, T = CfgAttribute, CfgType
ANY4, ANY6 = bytes(4), bytes(16)
DNS = ip_address("10.2.0.10").packed
DOT = EncryptedDns(1, (DNS,), "dns.example.org", ("dot",))
DOQ = EncryptedDns(2, (DNS,), "doq.example.org", ("doq",))


def packed(*texts: str) -> tuple[bytes, ...]:
    return tuple(ip_address(text).packed for text in texts)


def pool(name: str, low: str, high: str, *attributes: PoolAttribute) -> Pool:
    first, last = packed(low, high)
    return Pool(name, first, last, attributes)


DYNAMIC: dict[str, Any] = {
    "moon_children": (child(local="dynamic"),),
    "sun_children": (child(local="10.2.0.0/16", remote="dynamic"),),
}
ROAD = pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_IP4_DNS, DNS))
SIX = pool("six", "2001:db8:3::1", "2001:db8:3::ff")


def fill(host: Host, *pools: Pool) -> None:
    """Load pools as a client of the daemon does."""
    for each in pools:
        try:
            host.pools.load(each).send(None)
        except StopIteration:
            continue


def site(
    *pools: Pool,
    vips: tuple[bytes, ...] = (ANY4,),
    remote: str = "10.2.0.0/16",
    local: str = "dynamic",
    moon: dict[str, Any] | None = None,
    sun: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Site, Wiretap]:
    """moon, which wants `vips` and reaches `remote` from there; sun, which has `pools` (a road by default)."""
    pools = pools or (ROAD,)
    made, wire = gateways(
        moon={"vips": vips, **(moon or {})},
        sun={"pools": tuple(one.name for one in pools), **(sun or {})},
        moon_children=(child(local=local, remote=remote),),
        sun_children=(child(local=remote, remote="dynamic"),),
        **options,
    )
    fill(made.sun, *pools)
    return made, wire


def comes_up(made: Site) -> None:
    token = made.up()
    assert made.moon.done[token].error is None, made.moon.done[token].error


def refused(made: Site) -> str:
    token = made.up()
    return made.moon.done[token].error or ""


def selectors(host: Host) -> list[tuple[str, str]]:
    return sorted((" ".join(map(str, each.ts_local)), " ".join(map(str, each.ts_remote))) for each in host.children)


def held(host: Host, name: str = "road") -> list[tuple[str, str]]:
    """The addresses of a pool that somebody has, and who."""
    found = next(one for one in host.pools.all() if one.name == name)
    return [(str(ip_address(lease.address)), lease.holder) for lease in found.leases() if lease.online]


def both_know(made: Site, *addresses: str) -> bool:
    """Both ends know these inner addresses, moon has them installed, once each, and packets pass."""
    found = packed(*addresses)
    return (
        sa_of(made.moon).own_vips == sa_of(made.sun).peer_vips == found
        and made.moon.kernel.addresses == dict.fromkeys(found, 1)
        and made.world.carries(made.moon, made.sun)
        and made.world.carries(made.sun, made.moon)
    )


def payloads(wire: Wiretap, kind: CfgType) -> list[CP]:
    found = [message.one(CP) for message in wire.messages(which(holds=CP))]
    return [each for each in found if each.kind is kind]


def notes(host: Host) -> str:
    return "\n".join(note.why for note in host.saw(Note))


def anew(made: Site) -> None:
    """Let moon authenticate anew."""
    made.moon.engine.command(Rekey(77, Selection("site"), reauth=True), made.world.now)


def down(made: Site) -> None:
    made.moon.terminate(made.world.now, "site")
    wait(made, 10.0)


# -- inside IKE_AUTH ------------------------------------------------------------------------


@pytest.mark.conformance("v2-82")
def test_a_client_gets_an_address_with_its_first_child() -> None:
    """HDR, SK {..., SA, TSi, TSr, CP(CFG_REQUEST)} -->  <-- HDR, SK {..., CP(CFG_REPLY), SA, TSi, TSr}"""
    made, wire = site()

    comes_up(made)

    (asked,), (given,) = payloads(wire, T.REQUEST), payloads(wire, T.REPLY)
    assert Attribute(A.INTERNAL_IP4_ADDRESS) in asked.attributes
    assert Attribute(A.INTERNAL_IP4_DNS) in asked.attributes
    assert not any(one.value for one in asked.attributes), "an empty value asks for any"
    assert given.attributes == (
        Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.1")[0]),
        Attribute(A.INTERNAL_IP4_DNS, DNS),
    )
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16")]
    assert selectors(made.sun) == [("10.2.0.0/16", "10.3.0.1/32")]
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]
    (names,) = made.moon.kernel.dns.values()
    assert (names.servers, names.sources) == ((DNS,), packed("10.3.0.1"))
    assert "moon.example.org has the inner address 10.3.0.1" in notes(made.sun)
    assert "our inner address is 10.3.0.1" in notes(made.moon)


@pytest.mark.conformance("v2-82")
def test_the_end_of_the_sa_is_the_end_of_the_lease() -> None:
    made, _ = site()
    comes_up(made)

    down(made)

    assert bare(made.moon) and bare(made.sun)
    assert not made.moon.kernel.addresses and not made.moon.kernel.dns
    assert held(made.sun) == []


def test_who_comes_again_has_the_same_address() -> None:
    made, _ = site()
    comes_up(made)
    down(made)
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org"), ("10.3.0.2", "somebody else")]


def test_another_spelling_of_its_name_gets_nobody_a_further_address() -> None:
    made, _ = site()
    comes_up(made)
    down(made)
    (old,) = made.moon.engine.connections.all
    made.moon.load(replace(old, local=(replace(old.local[0], id=Identity.parse("Moon.EXAMPLE.org")),)))

    comes_up(made)

    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.conformance("v2-82")
def test_a_certain_address_is_a_wish() -> None:
    made, wire = site(vips=packed("10.3.0.9"))

    comes_up(made)

    assert Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.9")[0]) in payloads(wire, T.REQUEST)[0].attributes
    assert both_know(made, "10.3.0.9")


def test_a_certain_address_that_somebody_has_becomes_another() -> None:
    made, _ = site(vips=packed("10.3.0.1"))
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    comes_up(made)

    assert both_know(made, "10.3.0.2")


@pytest.mark.conformance("v2-82")
def test_addresses_of_both_families_in_one_child() -> None:
    made, wire = site(ROAD, SIX, vips=(ANY4, ANY6), remote="10.2.0.0/16,2001:db8:2::/48")

    comes_up(made)

    (given,) = payloads(wire, T.REPLY)
    assert given.values(A.INTERNAL_IP6_ADDRESS) == (packed("2001:db8:3::1")[0] + bytes((128,)),)
    assert selectors(made.moon) == [("10.3.0.1/32 2001:db8:3::1/128", "10.2.0.0/16 2001:db8:2::/48")]
    assert both_know(made, "10.3.0.1", "2001:db8:3::1")
    down(made)
    assert held(made.sun) == held(made.sun, "six") == []
    assert not made.moon.kernel.addresses


def test_one_family_of_two_is_better_than_none() -> None:
    made, _ = site(vips=(ANY4, ANY6), remote="10.2.0.0/16,2001:db8:2::/48")

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    (event,) = made.sun.saw(NoInnerAddress)
    assert "none of the pools has IPv6 addresses" in event.text()


def test_several_addresses_of_one_family() -> None:
    made, _ = site(vips=(ANY4, ANY4, *packed("10.3.0.9")))

    comes_up(made)

    assert both_know(made, "10.3.0.1", "10.3.0.2", "10.3.0.9")
    assert selectors(made.moon) == [("10.3.0.1/32 10.3.0.2/32 10.3.0.9/32", "10.2.0.0/16")]
    assert len(held(made.sun)) == 3
    down(made)
    assert held(made.sun) == []


def test_pools_are_used_one_after_the_other() -> None:
    one, two = pool("one", "10.3.0.1", "10.3.0.1"), pool("two", "10.4.0.1", "10.4.0.9")
    made, _ = site(one, two, vips=(ANY4, ANY4))

    comes_up(made)

    assert both_know(made, "10.3.0.1", "10.4.0.1")


def test_ports_of_a_dynamic_selector_stay() -> None:
    made, _ = site(local="dynamic[udp/53]")

    comes_up(made)

    assert selectors(made.moon) == [("10.3.0.1/32[udp/domain]", "10.2.0.0/16")]


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.conformance("v2-74", "v2-82")
def test_an_exhausted_pool_refuses_the_child_and_keeps_the_ike_sa() -> None:
    """HDR, SK {..., CP(CFG_REQUEST)} -->  <-- HDR, SK {IDr, AUTH, N(INTERNAL_ADDRESS_FAILURE)}"""
    made, wire = site(pool("road", "10.3.0.1", "10.3.0.1"))
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    why = refused(made)

    assert "INTERNAL_ADDRESS_FAILURE: the peer has no address to give" in why
    assert NotifyType.INTERNAL_ADDRESS_FAILURE in notifies(wire.messages(which(IKE_AUTH, by=made.sun))[0])
    (event,) = made.sun.saw(NoInnerAddress)
    assert event.peer
    assert "moon.example.org: pool 'road' has no free address: all 1 are taken" in event.text()
    assert sa_of(made.moon).state is sa_of(made.sun).state is IkeState.ESTABLISHED
    assert not made.moon.kernel.addresses and not made.moon.children and not made.sun.children
    assert not made.sun.kernel.larval and not made.moon.kernel.larval


@pytest.mark.conformance("v2-74")
def test_a_gateway_without_pools_has_no_address_to_give() -> None:
    made, _ = site(sun={"pools": ()})

    assert "INTERNAL_ADDRESS_FAILURE" in refused(made)
    assert "the connection has no pools" in made.sun.saw(NoInnerAddress)[0].text()


@pytest.mark.conformance("v2-74")
def test_a_client_that_asks_for_nothing_gets_no_child_of_its_outer_address() -> None:
    """HDR, SK {..., SA, TSi, TSr} -->  <-- HDR, SK {IDr, AUTH, N(FAILED_CP_REQUIRED)}; and so later on"""
    made, wire = site(vips=())

    assert "FAILED_CP_REQUIRED: the peer wants us to ask for an address" in refused(made)
    assert sa_of(made.moon).state is sa_of(made.sun).state is IkeState.ESTABLISHED
    assert "let it ask for one (vips there)" in made.sun.saw(ChildFailed)[0].text()

    token = made.moon.initiate("site", "net", made.world.now)
    wait(made, 5.0)
    assert "FAILED_CP_REQUIRED" in (made.moon.done[token].error or "")
    assert len(wire.messages(which(CREATE_CHILD_SA, by=made.sun))) == 1
    assert not made.sun.children


def test_who_needs_no_address_may_come_without_one() -> None:
    """Only `dynamic` stands for an address out of a pool."""
    made, _ = gateways(
        sun={"pools": ("road",)},
        moon_children=(child(local="10.1.0.0/16"),),
        sun_children=(child(local="10.2.0.0/16", remote="10.1.0.0/16,dynamic"),),
    )
    fill(made.sun, ROAD)

    comes_up(made)

    assert selectors(made.sun) == [("10.2.0.0/16", "10.1.0.0/16")]
    assert held(made.sun) == []


@pytest.mark.conformance("v2-82")
def test_a_gateway_that_gives_no_address_gets_no_child_from_us() -> None:
    """What it set up, for all addresses, is deleted there."""
    made, wire = site()
    rewrite(wire, which(IKE_AUTH, by=made.sun), lambda before: [one for one in before if not isinstance(one, CP)])

    why = refused(made)

    assert "the peer gave us none of the addresses vips asks for" in why
    wait(made, 5.0)
    assert not made.moon.children and not made.sun.children
    assert sa_of(made.moon).state is IkeState.ESTABLISHED
    token = made.moon.initiate("site", "net", made.world.now)
    wait(made, 5.0)
    assert "the peer gave us none of the addresses" in (made.moon.done[token].error or "")


def test_an_address_that_cannot_be_installed_is_not_used() -> None:
    def fail(ask: asks.InstallAddress) -> None:
        raise BackendError("no way to the peer")

    made, _ = site(moon_host={"answers": {asks.InstallAddress: fail}})

    assert "the peer gave us none" in refused(made)
    assert any("10.3.0.1 cannot be installed" in event.text() for event in made.moon.saw(NoInnerAddress))
    wait(made, 5.0)
    assert not made.moon.children and not made.sun.children


def test_more_addresses_than_were_asked_for_are_not_taken() -> None:
    made, wire = site()
    more = Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.99.0.1")[0])

    def add(before: list[Any]) -> list[Any]:
        return [CP(each.kind, (*each.attributes, more)) if isinstance(each, CP) else each for each in before]

    rewrite(wire, which(IKE_AUTH, by=made.sun), add)

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    assert "ignored the inner address 10.99.0.1, which vips does not ask for" in notes(made.moon)


def test_a_child_that_fails_keeps_the_lease_for_the_next() -> None:
    made, _ = gateways(
        moon={"vips": (ANY4,)},
        sun={"pools": ("road",)},
        moon_children=(child(local="dynamic", remote="10.9.0.0/16"), child("good", local="dynamic")),
        sun_children=(child(local="10.2.0.0/16", remote="dynamic"),),
    )
    fill(made.sun, ROAD)

    assert "TS_UNACCEPTABLE" in refused(made)

    token = made.moon.initiate("site", "good", made.world.now)
    wait(made, 5.0)
    assert made.moon.done[token].error is None
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


# -- several clients -----------------------------------------------------------------------------


@pytest.mark.conformance("v2-82")
def test_three_clients_and_two_addresses() -> None:
    sun = Host("sun", "198.51.100.1", 3)
    fill(sun, pool("road", "10.3.0.1", "10.3.0.2"))
    sun.load(
        connection(
            local="198.51.100.1",
            remote="%any",
            local_id="sun.example.org",
            remote_id="*@example.org",
            pools=("road",),
            children=(child(local="10.2.0.0/16", remote="dynamic"),),
        )
    )
    clients = [Host(name, f"192.0.2.{number}", 3) for number, name in enumerate(("joe", "ann", "bob"), 1)]
    for host in clients:
        host.load(
            connection(
                local=host.address,
                remote="198.51.100.1",
                local_id=f"{host.name}@example.org",
                remote_id="sun.example.org",
                vips=(ANY4,),
                children=(child(local="dynamic"),),
            )
        )
    world = World(3, sun, *clients)

    def call(host: Host) -> str | None:
        token = host.initiate("site", "net", world.now)
        world.run_until(lambda: token in host.done)
        return host.done[token].error

    joe, ann, bob = clients
    assert call(joe) is None and call(ann) is None
    assert "INTERNAL_ADDRESS_FAILURE" in (call(bob) or "")
    assert held(sun) == [("10.3.0.1", "joe@example.org"), ("10.3.0.2", "ann@example.org")]
    joe.terminate(world.now, "site")
    world.run(world.now + 5.0)
    bob.terminate(world.now, "site")
    world.run(world.now + 5.0)
    assert call(bob) is None
    assert held(sun) == [("10.3.0.1", "bob@example.org"), ("10.3.0.2", "ann@example.org")]
    assert world.carries(bob, sun)


@pytest.mark.conformance("v2-82")
def test_the_lease_is_of_who_logged_in() -> None:
    """The identity of IKE may be anybody's, or many users'."""
    made, _ = road_of_eap(user="carol", moon={"vips": (ANY4,)}, sun={"pools": ("road",)}, **DYNAMIC)
    fill(made.sun, ROAD)

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "carol")]
    made.sun.rekey(made.world.now, "site")
    wait(made, 10.0)
    down(made)
    assert held(made.sun) == []


# -- bad networks ----------------------------------------------------------------------------------


@pytest.mark.conformance("v2-82")
@pytest.mark.parametrize("seed", range(8))
def test_a_network_that_loses_repeats_and_reorders(seed: int) -> None:
    bad = Link(loss=0.2, duplication=0.2, delay=0.02, jitter=0.5)
    late = {"late": 0.5}
    made, _ = site(ROAD, SIX, vips=(ANY4, ANY6), link=bad, seed=seed, moon_host=late, sun_host=late)

    token = made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: token in made.moon.done)
    assert made.moon.done[token].error is None, made.moon.done[token].error
    made.world.run(made.world.now + 300.0)

    assert both_know(made, "10.3.0.1", "2001:db8:3::1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]
    down(made)
    wait(made, 300.0)
    assert held(made.sun) == held(made.sun, "six") == []
    assert not made.moon.kernel.addresses


def test_a_host_that_ends_while_its_address_is_installed_keeps_nothing() -> None:
    """The answers come after the SA is gone; what they brought about is undone."""
    made, _ = site(moon_host={"late": 1.0}, sun_host={"late": 1.0})
    made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: bool(held(made.sun)))
    for host in (made.moon, made.sun):
        (machine,) = host.machines
        machine.close("the end", made.world.now)
    made.world.run(made.world.now + 300.0)

    assert not made.moon.kernel.addresses
    assert not made.moon.kernel.dns
    assert held(made.sun) == []


# -- rekeying --------------------------------------------------------------------------------------


@pytest.mark.conformance("v2-82", "v2-88")
@pytest.mark.parametrize("who", ["moon", "sun", "both"])
def test_addresses_go_to_the_rekeyed_ike_sa(who: str) -> None:
    made, _ = site()
    comes_up(made)

    for host in (made.moon, made.sun):
        if who in (host.name, "both"):
            host.rekey(made.world.now, "site")
    wait(made, 30.0)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]
    assert len(made.moon.kernel.dns) == 1
    down(made)
    assert held(made.sun) == [] and not made.moon.kernel.addresses and not made.moon.kernel.dns


@pytest.mark.conformance("v2-82")
@pytest.mark.parametrize("first_break", [False, True], ids=["make before break", "break before make"])
@pytest.mark.parametrize("seed", range(3))
def test_authenticating_anew_keeps_the_address(first_break: bool, seed: int) -> None:
    """While both SAs stand the same device has the same address twice; it goes back once."""
    settings = {"settings": Settings(make_before_break=not first_break)}
    late = {"late": 0.3 if seed else 0.0, **settings}
    made, wire = site(seed=seed, moon_host=late, sun_host=late)
    comes_up(made)
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))
    before = sa_of(made.moon)

    anew(made)
    wait(made, 60.0)

    assert sa_of(made.moon) is not before
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org"), ("10.3.0.2", "somebody else")]
    if not first_break:
        wish = Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.1")[0])
        assert wish in payloads(wire, T.REQUEST)[-1].attributes
    assert len(made.moon.kernel.dns) == 1
    down(made)
    assert held(made.sun) == [("10.3.0.2", "somebody else")]
    assert not made.moon.kernel.addresses and not made.moon.kernel.dns


def test_authenticating_anew_may_bring_another_address() -> None:
    """The gateway forgot who had what, and somebody else has it now."""
    made, _ = site()
    comes_up(made)
    (machine,) = made.sun.machines
    machine.close("lost its memory", made.world.now)
    fill(made.sun, pool("road", "10.3.0.2", "10.3.0.14"))

    anew(made)
    wait(made, 900.0)

    assert both_know(made, "10.3.0.2")
    assert selectors(made.moon) == [("10.3.0.2/32", "10.2.0.0/16")]


def test_an_address_of_the_sa_before_is_no_address() -> None:
    made, wire = site()
    comes_up(made)
    rewrite(wire, which(IKE_AUTH, by=made.sun), lambda before: [one for one in before if not isinstance(one, CP)])

    anew(made)
    wait(made, 30.0)

    assert any("the peer gave none" in event.text() for event in made.moon.saw(NoInnerAddress))
    for host in (made.moon, made.sun):
        assert all(str(each.ts_local[0]) != "0.0.0.0/0" for each in host.children)


@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_child_is_rekeyed_with_its_address(who: str) -> None:
    made, _ = site()
    comes_up(made)
    host = made.moon if who == "moon" else made.sun

    token = host.rekey(made.world.now, "site", "net")
    wait(made, 30.0)

    assert host.done[token].error is None
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16")]
    assert both_know(made, "10.3.0.1")


# -- what goes with an address -----------------------------------------------------------------------


@pytest.mark.conformance("v2-82")
def test_names_are_resolved_through_the_tunnel() -> None:
    """RFC 8598 and RFC 9464: both only because the client asks."""
    made, _ = site(
        pool(
            "road",
            "10.3.0.1",
            "10.3.0.14",
            PoolAttribute(A.INTERNAL_IP4_DNS, DNS),
            PoolAttribute(A.UNITY_DEF_DOMAIN, b"sun.example.org"),
            PoolAttribute(A.INTERNAL_DNS_DOMAIN, b"lab.example.org."),
            PoolAttribute(A.INTERNAL_DNS_DOMAIN, b"bad domain"),
            PoolAttribute(A.INTERNAL_DNSSEC_TA, bytes.fromhex("4f66 08 02 e06d")),
            PoolAttribute(A.ENCDNS_IP4, DOQ.write()),
            PoolAttribute(A.ENCDNS_IP4, DOT.write()),
            PoolAttribute(A.UNITY_BANNER, b"Welcome\x1b[2J\nto sun"),
        )
    )

    comes_up(made)

    (names,) = made.moon.kernel.dns.values()
    assert names.domains == ("sun.example.org",)
    assert names.routes == ("lab.example.org",)
    assert names.secure == (DOT,)
    assert made.moon.saw(Banner)[0].message == "Welcome?[2J / to sun"
    assert "ignored INTERNAL_DNS_DOMAIN: a domain that is none" in notes(made.moon)
    assert "the resolver doq.example.org has no DNS over TLS" in notes(made.moon)


@pytest.mark.conformance("v2-82")
@pytest.mark.parametrize(
    ("allowed", "routes"),
    [
        (("%any",), ("lab.example.org", "com")),
        (("example.org",), ("lab.example.org",)),
        (("deep.lab.example.org", "corp.com"), ("deep.lab.example.org", "corp.com")),
        (("example.net",), None),
        (("%none",), None),
    ],
)
def test_a_client_says_whose_names_a_gateway_is_asked_for(
    allowed: tuple[str, ...], routes: tuple[str, ...] | None
) -> None:
    """`dns_domains`: what a gateway claims beyond is not asked there (RFC 8598 §6)."""
    made, wire = site(
        pool(
            "road",
            "10.3.0.1",
            "10.3.0.14",
            PoolAttribute(A.INTERNAL_IP4_DNS, DNS),
            PoolAttribute(A.UNITY_DEF_DOMAIN, b"elsewhere"),
            PoolAttribute(A.INTERNAL_DNS_DOMAIN, b"lab.example.org"),
            PoolAttribute(A.INTERNAL_DNS_DOMAIN, b"com"),
        ),
        moon={"dns_domains": allowed},
    )
    comes_up(made)
    asked = wire.messages(which(IKE_AUTH))[0].one(CP)
    assert bool(asked.values(A.INTERNAL_IP4_DNS)) is (allowed != ("%none",))
    assert [names.routes for names in made.moon.kernel.dns.values()] == ([] if routes is None else [routes])
    for names in made.moon.kernel.dns.values():
        assert names.narrow is (allowed != ("%any",))
        assert names.domains == (() if names.narrow else ("elsewhere",))
    assert both_know(made, "10.3.0.1")


def test_without_split_dns_the_client_splits() -> None:
    """A gateway that would answer for all names is asked for those that are allowed."""
    made, _ = site(moon={"dns_domains": ("example.org",)})
    comes_up(made)
    (names,) = made.moon.kernel.dns.values()
    assert names.routes == ("example.org",) and names.narrow


def test_a_client_asks_after_as_much_silence_as_its_gateway_wants() -> None:
    made, wire = site(
        pool(
            "road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, (30).to_bytes(4, "big"))
        )
    )
    comes_up(made)
    made.world.run(made.world.now + 100.0)

    assert len(wire.messages(which(INFORMATIONAL, by=made.moon, response=False))) == 3
    made.moon.rekey(made.world.now, "site")
    wait(made, 10.0)
    mark = len(wire.seen)
    made.world.run(made.world.now + 100.0)
    assert len(wire.messages(which(INFORMATIONAL, by=made.moon, response=False), since=mark)) == 3


@pytest.mark.conformance("v2-82")
def test_unknown_attributes_and_those_of_ikev1_are_left_out() -> None:
    made, wire = site(
        pool(
            "road",
            "10.3.0.1",
            "10.3.0.14",
            PoolAttribute(20000, b"whatever"),
            PoolAttribute(5, (60).to_bytes(4, "big")),
            PoolAttribute(A.UNITY_PFS, 1),
        )
    )

    comes_up(made)

    (given,) = payloads(wire, T.REPLY)
    assert [int(one.type) for one in given.attributes] == [A.INTERNAL_IP4_ADDRESS, 20000]
    assert both_know(made, "10.3.0.1")


# -- INFORMATIONAL -----------------------------------------------------------------------------------


def configure(made: Site, ask: bool = False) -> None:
    """Let sun send its clients what its pools have now, or ask its peers about themselves."""
    made.sun.engine.command(Configure(78, Selection("site"), ask), made.world.now)


@pytest.mark.conformance("v2-82")
def test_an_end_asks_the_other_for_its_version() -> None:
    """HDR, SK {CP(CFG_REQUEST, APPLICATION_VERSION)} -->  <-- HDR, SK {CP(CFG_REPLY, ...)} (§2.20)"""
    made, wire = site()
    comes_up(made)
    mark = len(wire.seen)

    configure(made, ask=True)
    wait(made, 1.0)

    asked, told = wire.messages(which(INFORMATIONAL), since=mark)
    assert asked.one(CP) == CP(T.REQUEST, (Attribute(A.APPLICATION_VERSION),))
    assert told.one(CP) == CP(T.REPLY, (Attribute(A.APPLICATION_VERSION, b"ikectl"),))
    assert "the peer is 'ikectl'" in notes(made.sun)
    assert both_know(made, "10.3.0.1")


@pytest.mark.conformance("v2-82")
def test_a_request_after_the_first_finds_the_same_address() -> None:
    made, wire = site()
    comes_up(made)
    impostor = Impostor(wire, made.moon)

    answer = impostor.request(INFORMATIONAL, [CP(T.REQUEST, (Attribute(A.INTERNAL_IP4_ADDRESS),))])

    assert answer is not None
    assert answer.one(CP).values(A.INTERNAL_IP4_ADDRESS) == packed("10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.conformance("v2-82")
def test_an_address_may_come_with_a_later_child() -> None:
    """HDR, SK {CP(CFG_REQUEST), SA, Ni, TSi, TSr} -->  <-- HDR, SK {CP(CFG_REPLY), SA, Nr, TSi, TSr}"""
    made, wire = site(vips=())
    assert "FAILED_CP_REQUIRED" in refused(made)
    wanted = CP(T.REQUEST, (Attribute(A.INTERNAL_IP4_ADDRESS),))
    inner = wire.messages(which(IKE_AUTH, by=made.moon))[0]
    anywhere = TSi((TrafficSelector.ANY4,))

    answer = Impostor(wire, made.moon).request(
        CREATE_CHILD_SA, [wanted, inner.one(SA), Nonce(bytes(range(32))), anywhere, inner.one(TSr)]
    )

    assert answer is not None
    assert answer.one(CP).values(A.INTERNAL_IP4_ADDRESS) == packed("10.3.0.1")
    assert str(answer.one(TSi).selectors[0]) == "10.3.0.1/32"
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.conformance("v2-83")
def test_a_gateway_sets_what_its_pools_have_now() -> None:
    """HDR, SK {CP(CFG_SET)} -->  <-- HDR, SK {CP(CFG_ACK)}"""
    made, wire = site()
    comes_up(made)
    other = ip_address("10.2.0.11").packed
    fill(made.sun, pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_IP4_DNS, other)))

    configure(made)
    wait(made, 1.0)

    (told,), (taken,) = payloads(wire, T.SET), payloads(wire, T.ACK)
    assert told.values(A.INTERNAL_IP4_DNS) == (other,)
    assert taken.attributes == (Attribute(A.INTERNAL_IP4_ADDRESS), Attribute(A.INTERNAL_IP4_DNS))
    (names,) = made.moon.kernel.dns.values()
    assert names.servers == (other,)
    assert both_know(made, "10.3.0.1")
    assert "the peer took its configuration: INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS" in notes(made.sun)


@pytest.mark.conformance("v2-83")
def test_another_address_than_before_takes_a_new_child() -> None:
    made, wire = site()
    comes_up(made)
    sa_of(made.sun).peer_vips = packed("10.3.0.9")
    impostor = Impostor(wire, made.sun)

    impostor.request(INFORMATIONAL, [CP(T.SET, (Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.9")[0]),))])
    wait(made, 10.0)

    assert sa_of(made.moon).own_vips == packed("10.3.0.9")
    assert made.moon.kernel.addresses == dict.fromkeys(packed("10.3.0.9"), 1)
    assert selectors(made.moon) == [("10.3.0.9/32", "10.2.0.0/16")]
    assert made.world.carries(made.moon, made.sun)


@pytest.mark.conformance("v2-83")
def test_nobody_configures_a_host_that_wants_nothing() -> None:
    made, wire = site()
    comes_up(made)
    impostor = Impostor(wire, made.moon)

    answer = impostor.request(INFORMATIONAL, [CP(T.SET, (Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.9")[0]),))])

    assert answer is not None and answer.payloads == [CP(T.ACK)]
    assert not made.sun.kernel.addresses and sa_of(made.sun).own_vips == ()
    assert "none is wanted (vips)" in notes(made.sun)


@pytest.mark.conformance("v2-83")
@pytest.mark.parametrize("kind", [T.REPLY, T.ACK, CfgType(9)])
def test_an_answer_to_nothing_is_ignored(kind: CfgType) -> None:
    made, wire = site()
    comes_up(made)

    answer = Impostor(wire, made.moon).request(INFORMATIONAL, [CP(kind)])

    assert answer is not None and list(answer.payloads) == []
    assert both_know(made, "10.3.0.1")


@pytest.mark.conformance("v2-83")
def test_a_peer_that_ignores_a_set_is_told_of() -> None:
    """RFC 7296 §3.15: it may."""
    made, wire = site()
    comes_up(made)
    rewrite(wire, which(INFORMATIONAL, by=made.moon, response=True), lambda before: [])

    configure(made)
    wait(made, 5.0)

    assert made.sun.done[78].error == "the peer takes no configuration that it did not ask for"
    assert both_know(made, "10.3.0.1")
