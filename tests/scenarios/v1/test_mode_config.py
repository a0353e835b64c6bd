"""Mode config between two hosts: moon wants inner addresses, sun has pools (draft-dukes-ike-mode-cfg-02)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import count
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Local, Pool, PoolAttribute, Remote
from ikectl.engine.v1.machine import IsakmpMachine
from ikectl.errors import BackendError
from ikectl.exchange.v1.modecfg import PullConfig
from ikectl.iana.v1 import ConfigAttribute, ExchangeType, TransactionType
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.events import Banner, MessageSent, NoInnerAddress, Note
from ikectl.sa.isakmp_sa import Awaited
from ikectl.sa.logins import Accepted, Challenge, PromptKind
from ikectl.values.secret import Secret
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.transaction import Attributes
from tests.scenarios.v1.stage import IKE, bare, gateways, sa_of, wait
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site, child, connection

A, T = ConfigAttribute, TransactionType
ANY4, ANY6 = bytes(4), bytes(16)
DNS = ip_address("10.2.0.10").packed
NETS = bytes((10, 2, 0, 0, 255, 255, 0, 0)) + bytes(6)
MORE_NETS = NETS + bytes((10, 7, 1, 0, 255, 255, 255, 0)) + bytes(6)


def packed(*texts: str) -> tuple[bytes, ...]:
    return tuple(ip_address(text).packed for text in texts)


def pool(name: str, low: str, high: str, *attributes: PoolAttribute) -> Pool:
    first, last = packed(low, high)
    return Pool(name, first, last, attributes)


ROAD = pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_IP4_DNS, DNS))


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
    pull: bool = True,
    moon: dict[str, Any] | None = None,
    sun: dict[str, Any] | None = None,
    **options: Any,
) -> Site:
    """moon, which wants `vips` and reaches `remote` from there; sun, which has `pools` (a road by default)."""
    pools = pools or (ROAD,)
    made = gateways(
        moon={"vips": vips, "pull": pull, **(moon or {})},
        sun={"pools": tuple(one.name for one in pools), "pull": pull, **(sun or {})},
        moon_children=(child(local="dynamic", remote=remote),),
        sun_children=(child(local=remote, remote="dynamic"),),
        **options,
    )
    fill(made.sun, *pools)
    return made


def comes_up(made: Site) -> None:
    token = made.up()
    assert made.moon.done[token].error is None, made.moon.done[token].error


def refused(made: Site) -> str:
    token = made.up()
    return made.moon.done[token].error or ""


def transactions(host: Host) -> list[Attributes]:
    """What it said in transactions, without repeats."""
    sent = [event for event in host.saw(MessageSent) if event.exchange is ExchangeType.TRANSACTION]
    return [each for event in sent for each in event.payloads if isinstance(each, Attributes)]


def kinds(host: Host) -> list[str]:
    return [str(each.type) for each in transactions(host)]


def order(host: Host) -> list[ExchangeType]:
    return list(dict.fromkeys(event.exchange for event in host.saw(MessageSent)))


def selectors(host: Host) -> list[tuple[str, str]]:
    return sorted((str(each.ts_local[0]), str(each.ts_remote[0])) for each in host.children)


def held(host: Host, name: str = "road") -> list[tuple[str, str]]:
    """The addresses of a pool that somebody has, and who."""
    found = next(one for one in host.pools.all() if one.name == name)
    return [(str(ip_address(lease.address)), lease.holder) for lease in found.leases() if lease.online]


def both_know(made: Site, *addresses: str) -> bool:
    """Both ends know these inner addresses, and moon has them installed, once each."""
    found = packed(*addresses)
    return (
        sa_of(made.moon).own_vips == sa_of(made.sun).peer_vips == found
        and made.moon.kernel.addresses == dict.fromkeys(found, 1)
        and made.world.carries(made.moon, made.sun)
        and made.world.carries(made.sun, made.moon)
    )


def down(made: Site) -> None:
    made.moon.terminate(made.world.now, "site")
    wait(made, 10.0)


# -- pull --------------------------------------------------------------------------------


@pytest.mark.conformance("v1-35")
@pytest.mark.parametrize("aggressive", [False, True], ids=["main mode", "aggressive mode"])
def test_the_client_asks_for_an_address_before_its_quick_mode(aggressive: bool) -> None:
    made = site(both={"aggressive": aggressive}, sun={"aggressive_psk": True})

    comes_up(made)

    assert kinds(made.moon) == ["REQUEST"]
    assert kinds(made.sun) == ["REPLY"]
    assert order(made.moon)[-2:] == [ExchangeType.TRANSACTION, ExchangeType.QUICK_MODE]
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16")]
    assert selectors(made.sun) == [("10.2.0.0/16", "10.3.0.1/32")]
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]
    (names,) = made.moon.kernel.dns.values()
    assert names.servers == (DNS,)


@pytest.mark.conformance("v1-35")
def test_the_end_of_the_sa_is_the_end_of_the_lease() -> None:
    made = site()
    comes_up(made)

    down(made)

    assert bare(made.moon)
    assert bare(made.sun)
    assert not made.moon.kernel.addresses
    assert not made.moon.kernel.dns
    assert held(made.sun) == []


def test_who_comes_again_has_the_same_address() -> None:
    made = site()
    comes_up(made)
    down(made)
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org"), ("10.3.0.2", "somebody else")]


def test_the_client_asks_for_a_certain_address() -> None:
    made = site(vips=packed("10.3.0.9"))

    comes_up(made)

    assert both_know(made, "10.3.0.9")


def test_a_certain_address_that_somebody_has_becomes_another() -> None:
    made = site(vips=packed("10.3.0.1"))
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    comes_up(made)

    assert both_know(made, "10.3.0.2")


def test_addresses_of_both_families() -> None:
    """Each of them has a quick mode of its own."""
    six = pool("six", "2001:db8:3::1", "2001:db8:3::ff")
    made = site(ROAD, six, vips=(ANY4, ANY6), remote="10.2.0.0/16,2001:db8:2::/48")

    comes_up(made)

    assert both_know(made, "10.3.0.1", "2001:db8:3::1")
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16"), ("2001:db8:3::1/128", "2001:db8:2::/48")]
    down(made)
    assert held(made.sun) == held(made.sun, "six") == []


def test_an_exhausted_pool_answers_without_an_address_and_says_so() -> None:
    made = site(pool("road", "10.3.0.1", "10.3.0.1"))
    made.sun.pools.lease(asks.Lease(("road",), "somebody else", 4))

    why = refused(made)

    assert "the peer gave us none of the addresses" in why
    (event,) = made.sun.saw(NoInnerAddress)
    assert event.peer
    assert "moon.example.org: pool 'road' has no free address: all 1 are taken" in event.text()
    assert not made.moon.saw(NoInnerAddress)[0].peer
    assert sa_of(made.moon).state is IkeState.ESTABLISHED
    assert not made.moon.kernel.addresses
    assert transactions(made.sun)[0].get(A.INTERNAL_IP4_ADDRESS) is None


def test_a_server_without_pools_answers_nothing_but_answers() -> None:
    made = site(sun={"pools": ()})

    assert "the peer gave us none" in refused(made)
    (reply,) = transactions(made.sun)
    assert (reply.type, reply.attributes) == (T.REPLY, ())


def test_an_address_that_cannot_be_installed_is_not_used() -> None:
    def fail(ask: asks.InstallAddress) -> None:
        raise BackendError("no way to the peer")

    made = site(moon_host={"answers": {asks.InstallAddress: fail}})

    assert "the peer gave us none" in refused(made)
    assert any("10.3.0.1 cannot be installed" in event.text() for event in made.moon.saw(NoInnerAddress))
    assert not made.moon.children


# -- push ---------------------------------------------------------------------------------


@pytest.mark.conformance("v1-35")
def test_the_server_sends_an_address_and_the_client_waits_for_it() -> None:
    made = site(pull=False)

    comes_up(made)

    assert kinds(made.sun) == ["SET"]
    assert kinds(made.moon) == ["ACK"]
    (ack,) = transactions(made.moon)
    assert ack.attributes == (Attribute(A.INTERNAL_IP4_ADDRESS, b""), Attribute(A.INTERNAL_IP4_DNS, b""))
    assert both_know(made, "10.3.0.1")
    assert order(made.moon)[-1] is ExchangeType.QUICK_MODE


def test_a_server_that_calls_its_client_pushes_first() -> None:
    made = site(pull=False)
    token = made.sun.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: token in made.sun.done)

    assert made.sun.done[token].error is None
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16")]


def test_a_server_that_calls_its_client_waits_to_be_asked() -> None:
    made = site()
    token = made.sun.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: token in made.sun.done)

    assert made.sun.done[token].error is None
    assert kinds(made.moon) == ["REQUEST"]
    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16")]


def test_a_client_to_which_nothing_is_pushed_does_not_wait_without_end() -> None:
    made = site(pull=False, sun={"pools": ()})

    assert "the peer gave us none" in refused(made)
    assert any("did not come" in note.why for note in made.moon.saw(Note))
    assert Awaited.CONFIG not in sa_of(made.moon).awaited


def test_an_address_the_client_does_not_take_goes_back() -> None:
    """Acknowledged is what is accepted (§2)."""
    six = pool("six", "2001:db8:3::1", "2001:db8:3::ff")
    made = site(ROAD, six, pull=False)

    comes_up(made)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun, "six") == []
    assert any("does not take the inner address 2001:db8:3::1" in note.why for note in made.sun.saw(Note))


def test_nobody_configures_a_host_that_wants_nothing() -> None:
    made = site(vips=(), moon={"pull": True}, sun={"pull": False})

    made.up()

    (ack,) = transactions(made.moon)
    assert (ack.type, ack.attributes) == (T.ACK, ())
    assert not made.moon.kernel.addresses
    assert sa_of(made.moon).own_vips == ()


# -- bad networks ---------------------------------------------------------------------------


@pytest.mark.conformance("v1-35")
@pytest.mark.parametrize("pull", [True, False], ids=["pull", "push"])
@pytest.mark.parametrize("seed", range(6))
def test_a_network_that_loses_repeats_and_reorders(seed: int, pull: bool) -> None:
    bad = Link(loss=0.2, duplication=0.2, delay=0.02, jitter=0.5)
    late = {"late": 0.5}
    made = site(pull=pull, link=bad, seed=seed, moon_host=late, sun_host=late)

    token = made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: token in made.moon.done)
    assert made.moon.done[token].error is None, made.moon.done[token].error
    made.world.run(made.world.now + 300.0)

    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.parametrize("pull", [True, False], ids=["pull", "push"])
@pytest.mark.parametrize("number", range(11))
def test_any_datagram_may_be_lost_once(number: int, pull: bool) -> None:
    made = site(pull=pull)
    sent = count()
    made.world.taps.append(lambda host, transmit: next(sent) != number)

    comes_up(made)
    made.world.run(made.world.now + 10.0)

    assert next(sent) >= 11
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


def test_a_host_that_ends_while_its_address_is_installed_keeps_nothing() -> None:
    """The answers come after the SA is gone; what they brought about is undone."""
    made = site(moon_host={"late": 1.0}, sun_host={"late": 1.0})
    made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: bool(held(made.sun)))
    made.moon.terminate(made.world.now, "site", force=True)
    made.sun.terminate(made.world.now, "site", force=True)
    made.world.run(made.world.now + 300.0)

    assert not made.moon.kernel.addresses
    assert not made.moon.kernel.dns
    assert held(made.sun) == []


# -- again -----------------------------------------------------------------------------------


@pytest.mark.conformance("v1-35", "v1-38")
@pytest.mark.parametrize("pull", [True, False], ids=["pull", "push"])
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_new_phase_1_keeps_the_address(who: str, pull: bool) -> None:
    made = site(pull=pull)
    comes_up(made)
    wait(made, 300.0)
    host = getattr(made, who)

    token = host.rekey(made.world.now, "site")
    made.world.run(made.world.now + 120.0)

    assert host.done[token].error is None
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]
    assert [kind for kind in kinds(made.moon) if kind in ("REQUEST", "ACK")] == ["REQUEST" if pull else "ACK"] * 2
    down(made)
    assert held(made.sun) == []
    assert not made.moon.kernel.addresses
    assert not made.moon.kernel.dns


def test_a_second_request_is_answered_with_the_same_address() -> None:
    """An address with an end is asked for again before that, on a message ID of its own."""
    made = site(
        pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_ADDRESS_EXPIRY, (600).to_bytes(4, "big")))
    )
    comes_up(made)

    made.world.run(made.world.now + 1500.0)

    numbers = [event.message_id for event in made.moon.saw(MessageSent) if event.exchange is ExchangeType.TRANSACTION]
    assert len(numbers) == len(set(numbers)) == 4
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


def test_an_address_that_is_not_renewed_is_not_used_any_longer() -> None:
    made = site(
        pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_ADDRESS_EXPIRY, (60).to_bytes(4, "big")))
    )
    comes_up(made)
    made.world.taps.append(lambda host, transmit: False)

    made.world.run(made.world.now + 300.0)

    assert bare(made.moon)
    assert not made.moon.kernel.addresses


def test_another_address_than_before_takes_new_children() -> None:
    """The server forgot who had what, and somebody else has it now."""
    made = site()
    comes_up(made)
    (machine,) = made.sun.machines
    machine.close("lost its memory", made.world.now)
    made.sun.pools.release(asks.Release("road", "moon.example.org", packed("10.3.0.1")[0]))
    fill(made.sun, pool("road", "10.3.0.2", "10.3.0.14"))

    made.moon.rekey(made.world.now, "site")
    wait(made, 200.0)

    assert both_know(made, "10.3.0.2")
    assert selectors(made.moon) == [("10.3.0.2/32", "10.2.0.0/16")]


# -- XAUTH --------------------------------------------------------------------------------------


def with_login(made: Site) -> Site:
    xauth = Auth(AuthKind.XAUTH)

    def change(host: Host, **more: Any) -> None:
        (plain,) = host.engine.connections.all
        host.load(replace(plain, **more))

    (moon,), (sun,) = made.moon.engine.connections.all, made.sun.engine.connections.all
    change(made.moon, local=(*moon.local, Local("local-2", xauth, xauth_id="joe")))
    change(made.sun, remote=(*sun.remote, Remote("remote-2", xauth)))
    return made


LOGIN: dict[str, Any] = {
    "moon_host": {"answers": {asks.UserSecret: lambda ask: Secret(b"tulips")}},
    "sun_host": {
        "answers": {
            asks.BeginLogin: lambda ask: Challenge(PromptKind.PASSWORD),
            asks.CheckPassword: lambda ask: Accepted(ask.user),
        }
    },
}


@pytest.mark.conformance("v1-34", "v1-35")
@pytest.mark.parametrize("pull", [True, False], ids=["pull", "push"])
def test_login_then_config_then_quick_mode(pull: bool) -> None:
    made = with_login(site(pull=pull, **LOGIN))

    comes_up(made)

    mine, its = (["REQUEST"], ["REPLY"]) if pull else (["ACK"], ["SET"])
    assert kinds(made.moon) == ["REPLY", "ACK", *mine]
    assert kinds(made.sun) == ["REQUEST", "SET", *its]
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "joe")], "of the user, not of the identity many may share"


@pytest.mark.conformance("v1-34", "v1-35")
def test_no_address_before_the_login() -> None:
    """A client that asks too early is not answered, and asks again."""
    made = with_login(site(**LOGIN))
    made.moon.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: bool(made.moon.machines) and sa_of(made.moon).state is IkeState.AUTHENTICATING)
    (machine,) = made.moon.machines
    assert isinstance(machine, IsakmpMachine)

    machine.begin(PullConfig(), now=made.world.now)
    wait(made, 60.0)

    assert kinds(made.moon)[0] == "REQUEST"
    assert kinds(made.sun)[:2] == ["REQUEST", "SET"]
    assert kinds(made.sun)[2:] == ["REPLY", "REPLY"], "both are answered once the user is known"
    assert both_know(made, "10.3.0.1")
    assert held(made.sun) == [("10.3.0.1", "joe")]


# -- Unity ---------------------------------------------------------------------------------------

UNITY = (
    PoolAttribute(A.UNITY_BANNER, b"Welcome\x1b[2J\nto sun"),
    PoolAttribute(A.UNITY_DEF_DOMAIN, b"sun.example.org"),
    PoolAttribute(A.UNITY_SPLIT_DNS, b"lab.example.org,example.net"),
    PoolAttribute(A.UNITY_SPLIT_INCLUDE, MORE_NETS),
)
ROAD_OF_UNITY = pool("road", "10.3.0.1", "10.3.0.14", PoolAttribute(A.INTERNAL_IP4_DNS, DNS), *UNITY)


@pytest.mark.conformance("v1-35")
@pytest.mark.parametrize("pull", [True, False], ids=["pull", "push"])
def test_split_networks_take_the_place_of_everything(pull: bool) -> None:
    """Each of them has a quick mode of its own, for IKEv1 has one network in each ID."""
    made = site(ROAD_OF_UNITY, remote="0.0.0.0/0", pull=pull)

    comes_up(made)
    wait(made, 10.0)

    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/16"), ("10.3.0.1/32", "10.7.1.0/24")]
    assert both_know(made, "10.3.0.1")
    (banner,) = made.moon.saw(Banner)
    assert banner.message == "Welcome?[2J / to sun"
    (names,) = made.moon.kernel.dns.values()
    assert names.domains == ("sun.example.org",)
    assert names.routes == ("lab.example.org", "example.net")


def test_a_network_that_is_configured_stays_as_it_is() -> None:
    made = site(ROAD_OF_UNITY, remote="10.2.0.0/24")

    comes_up(made)

    assert selectors(made.moon) == [("10.3.0.1/32", "10.2.0.0/24")]


def test_a_peer_that_knows_no_unity_is_told_nothing_of_it() -> None:
    made = site(ROAD_OF_UNITY, pull=False, vips=(ANY4,))
    made.sun.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: bool(made.sun.machines) and sa_of(made.sun).state is IkeState.CONNECTING)
    (machine,) = made.sun.machines

    def forget(host: Host, transmit: object) -> bool:
        machine.sa.peer = frozenset()
        return True

    made.world.taps.append(forget)
    wait(made, 10.0)

    (pushed,) = transactions(made.sun)
    assert {each.type for each in pushed.attributes} == {A.INTERNAL_IP4_ADDRESS, A.INTERNAL_IP4_DNS}


# -- several clients ---------------------------------------------------------------------------------


def test_users_of_one_group_have_an_address_each_and_keep_it() -> None:
    """They share an identity and a key; when one of them goes, the other's children and address stay."""
    made = with_login(site(sun={"remote": "192.0.2.0/24"}, **LOGIN))
    other = Host("other", "192.0.2.9", 9, answers={asks.UserSecret: lambda ask: Secret(b"roses")})
    plain = connection(
        ike=IKE, version=1, local=other.address, vips=(ANY4,), children=(child(local="dynamic", remote="10.2.0.0/16"),)
    )
    other.load(replace(plain, local=(*plain.local, Local("local-2", Auth(AuthKind.XAUTH), xauth_id="ann"))))
    made.world.hosts[other.address] = other
    comes_up(made)
    token = other.initiate("site", "net", made.world.now)
    made.world.run_until(lambda: token in other.done)
    assert other.done[token].error is None
    assert held(made.sun) == [("10.3.0.1", "joe"), ("10.3.0.2", "ann")]

    other.terminate(made.world.now, "site")
    wait(made, 10.0)

    assert held(made.sun) == [("10.3.0.1", "joe")]
    assert selectors(made.sun) == [("10.2.0.0/16", "10.3.0.1/32")]
    assert both_know(made, "10.3.0.1")
