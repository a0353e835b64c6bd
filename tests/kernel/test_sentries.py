"""Traps and shunts in a real kernel: what packets ask for, what passes, what does not, and what is left."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

import xfrm
from ikectl.config.model import Child, Mode
from ikectl.crypto.proposal import parse_proposal
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.backend import Wanted
from ikectl.kernel.netlink import NetlinkKernel
from ikectl.kernel.policies import PRIORITY_BASE, sentry_wishes
from ikectl.kernel.sentries import described
from ikectl.sa.sentries import Sentry
from ikectl.values.selector import SelectorSpec, TrafficSelector
from tests.kernel.children import LEFT_INNER, RIGHT_INNER, Ends, adapters, path, selectors
from tests.kernel.test_children import INNER, policies, sas
from tests.kernel.xfrm_pair import Pair, pair, ping
from tests.lab.namespaces import entered
from xfrm import Selector
from xfrm.events import Acquire

__all__ = ["pair"]

EVERYTHING = (TrafficSelector.ANY4, TrafficSelector.ANY6)
REQID = 77


@pytest.fixture
def ends(pair: Pair) -> Iterator[Ends]:
    with adapters() as both:
        yield both


def ts(text: str) -> TrafficSelector:
    network = SelectorSpec.parse(text).network
    assert network is not None
    return network


def sentry(mode: Mode = Mode.TUNNEL, local: tuple[TrafficSelector, ...] = (), remote: tuple[TrafficSelector, ...] = (),
           name: str = "net", **config: object) -> Sentry:  # fmt: skip
    """A trap between the inner addresses; of another mode, a shunt."""
    trap = mode in (Mode.TUNNEL, Mode.TRANSPORT)
    return Sentry(
        "(unnamed)",
        Child(name, (parse_proposal("aes128gcm16", Protocol.ESP),), mode=mode, **config),  # type: ignore[arg-type]
        local or selectors(LEFT_INNER),
        remote or selectors(RIGHT_INNER),
        path() if trap else None,
        REQID if trap else 0,
    )


def asked(kernel: NetlinkKernel) -> list[Wanted]:
    """What packets asked for; waits for the kernel's word."""
    select.select([kernel.fileno()], [], [], 10)
    return list(kernel.acquired())


def inner_ping() -> bool:
    return ping(ip_address(RIGHT_INNER), *INNER, wait=2)


# -- traps -----------------------------------------------------------------------------


@pytest.mark.conformance("v2-76")
def test_a_packet_asks_for_its_child_and_goes_on_it(ends: Ends) -> None:
    """No SA: the packet is dropped, and asks once; the SAs stand: packets pass; they go: packets ask again."""
    trap = sentry()
    ends.left.install_sentry(trap)
    for _ in range(2):
        assert not inner_ping()
        (wanted,) = asked(ends.left)
        assert wanted.sentry is trap
        assert str(wanted.packet.local) == f"{LEFT_INNER}/32[icmp/8(0)]"
        assert str(wanted.packet.remote) == f"{RIGHT_INNER}/32[icmp/8(0)]"
        assert not inner_ping() and not ends.left.acquired(), "one request at a time"
        mine, theirs = ends.up(reqid=REQID)
        assert inner_ping()
        ends.left.remove(mine)
        ends.right.remove(theirs)
    ends.left.remove_sentry(trap)
    assert inner_ping(), "unprotected, as without us"


def test_ports_are_told(ends: Ends) -> None:
    ends.left.install_sentry(sentry())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LEFT_INNER, 4711))
        sock.connect((RIGHT_INNER, 53))
        sock.send(b"anybody?")  # dropped without a word: the kernel keeps no packet for a child that is yet to come
    (wanted,) = asked(ends.left)
    assert wanted.packet.local == ts(f"{LEFT_INNER}[udp/4711]")
    assert wanted.packet.remote == ts(f"{RIGHT_INNER}[udp/53]")


def test_a_narrower_child_answers_the_request_too(ends: Ends) -> None:
    """The child has a number of its own; the kernel's larval SA goes, so that other packets ask at once."""
    wide = sentry(local=selectors("192.0.2.0/24"), remote=selectors("192.0.2.0/24"))
    ends.left.install_sentry(wide)
    with xfrm.Channel() as channel:
        assert not inner_ping() and asked(ends.left)
        assert [sa.spi for sa in sas(channel)] == [0]
        mine, _ = ends.up(reqid=REQID + 1)
        assert inner_ping()
        assert 0 not in [sa.spi for sa in sas(channel)]
        assert not ping(ip_address("192.0.2.99"), *INNER, wait=1)
        (wanted,) = asked(ends.left)
        assert wanted.packet.remote == ts("192.0.2.99[icmp/8(0)]")
        ends.left.remove(mine)


def test_a_child_stands_in_the_place_of_its_trap(ends: Ends) -> None:
    """One policy for each direction: the child's while it lives, the trap's before and after."""
    trap = sentry()
    with xfrm.Channel() as channel:
        ends.left.install_sentry(trap)
        before = {(one.direction, one.priority) for one in policies(channel)}
        mine, theirs = ends.up(reqid=REQID)
        during = {(one.direction, one.priority) for one in policies(channel)}
        assert during == {(direction, rank - 1) for direction, rank in before} and len(during) == 3
        ends.left.remove_sentry(trap)
        assert {(one.direction, one.priority) for one in policies(channel)} == during and inner_ping()
        ends.left.install_sentry(trap)
        ends.left.remove(mine)
        ends.right.remove(theirs)
        assert {(one.direction, one.priority) for one in policies(channel)} == before
        ends.left.remove_sentry(trap)
        assert policies(channel) == []


def test_what_a_trap_would_protect_is_not_taken_in_clear(ends: Ends) -> None:
    """RFC 4301 §5.2: the right end knows of no tunnel, and what it sends is dropped here."""
    with entered("right"):
        assert ping(ip_address(LEFT_INNER), "-I", RIGHT_INNER, wait=2)
    ends.left.install_sentry(sentry())
    with entered("right"):
        assert not ping(ip_address(LEFT_INNER), "-I", RIGHT_INNER, wait=2)


def test_transport_mode_asks_too(ends: Ends) -> None:
    trap = sentry(Mode.TRANSPORT)
    ends.left.install_sentry(trap)
    assert not inner_ping()
    (wanted,) = asked(ends.left)
    assert wanted.sentry is trap


def test_policies_of_others_ask_somebody_else(ends: Ends) -> None:
    """An ACQUIRE with a number that is none of ours."""
    ends.left.install_sentry(sentry())
    with xfrm.Channel() as channel:
        template = xfrm.Template(ip_address("192.0.2.1"), ip_address("192.0.2.2"), xfrm.Proto.ESP, xfrm.Mode.TUNNEL, 5)
        foreign = xfrm.Policy(
            Selector.between("192.0.2.1/32", "192.0.2.88/32"), xfrm.Direction.OUT, (template,), priority=7
        )
        channel.ask(xfrm.NewPolicy(foreign))
        assert not ping(ip_address("192.0.2.88"), wait=1)
        assert asked(ends.left) == []
        channel.ask(xfrm.DelPolicy(foreign.key))


# -- shunts ----------------------------------------------------------------------------


def test_what_is_dropped_and_what_passes_nevertheless(ends: Ends) -> None:
    """drop for everything, pass for one address, a tunnel for another; all at once and in any order."""
    assert inner_ping()
    drop = sentry(Mode.DROP, EVERYTHING, EVERYTHING, "rest")
    ends.left.install_sentry(drop)
    assert not inner_ping()
    lan = sentry(Mode.PASS, (TrafficSelector.ANY4,), selectors(RIGHT_INNER), "lan")
    ends.left.install_sentry(lan)
    assert inner_ping()
    ends.left.remove_sentry(lan)
    assert not inner_ping()
    mine, theirs = ends.up()
    assert inner_ping(), "the tunnel ranks before what drops the rest"
    ends.left.remove(mine)
    ends.right.remove(theirs)
    ends.left.remove_sentry(drop)
    assert inner_ping()


def test_the_lan_stays_reachable_under_a_tunnel_for_everything(ends: Ends) -> None:
    """0.0.0.0/0 goes into a trap; the network of the LAN, less specific at one end, does not."""
    ends.left.install_sentry(sentry(local=selectors(LEFT_INNER), remote=(TrafficSelector.ANY4,)))
    assert not inner_ping() and asked(ends.left)
    network = selectors("192.0.2.0/24")
    lan = sentry(Mode.PASS, network, network, "lan")
    ends.left.install_sentry(lan)
    assert inner_ping()
    ends.left.remove_sentry(lan)
    assert not inner_ping()


def test_nothing_is_left_behind(ends: Ends) -> None:
    """Neither by closing nor by being killed."""
    with xfrm.Channel() as channel:
        killed = NetlinkKernel.open()
        killed.install_sentry(sentry())
        killed.install_sentry(sentry(Mode.DROP, EVERYTHING, EVERYTHING, "rest"))
        assert len(policies(channel)) > 5
        NetlinkKernel.open().close()
        assert policies(channel) == []
        killed.close()
        ends.left.install_sentry(sentry(Mode.PASS, EVERYTHING, EVERYTHING, "all"))
        ends.left.close()
        assert policies(channel) == []


def test_what_cannot_be_set_leaves_nothing(ends: Ends) -> None:
    with xfrm.Channel() as channel:
        with pytest.raises(BackendError, match="no interface"):
            ends.left.install_sentry(sentry(interface="nowhere0"))
        with pytest.raises(BackendError, match="OPAQUE"):
            ends.left.install_sentry(sentry(local=(ts("10.0.0.0/8[udp/opaque]"),)))
        assert policies(channel) == []
        ends.left.remove_sentry(sentry())  # was never there


# -- without a kernel --------------------------------------------------------------------


def acquire(**selector: object) -> Acquire:
    wanted = Selector(ip_address("10.1.0.1"), 32, ip_address("10.2.0.2"), 32, **selector)  # type: ignore[arg-type]
    policy = xfrm.PolicyInfo(xfrm.Policy(wanted, xfrm.Direction.OUT), xfrm.Usage())
    return Acquire(wanted.src, wanted.dst, xfrm.Proto.ESP, wanted, policy, 1)


@pytest.mark.parametrize(
    ("selector", "local", "remote"),
    [
        ({}, "10.1.0.1/32", "10.2.0.2/32"),
        ({"proto": 6, "src_port": 40000, "dst_port": 443}, "10.1.0.1/32[tcp/40000]", "10.2.0.2/32[tcp/https]"),
        ({"proto": 6}, "10.1.0.1/32[tcp]", "10.2.0.2/32[tcp]"),
        ({"proto": 47, "src_port": 1, "dst_port": 2}, "10.1.0.1/32[gre]", "10.2.0.2/32[gre]"),
        ({"proto": 1, "src_port": 3, "dst_port": 4}, "10.1.0.1/32[icmp/3(4)]", "10.2.0.2/32[icmp/3(4)]"),
    ],
)  # fmt: skip
def test_a_packet_as_selectors_have_it(selector: dict[str, int], local: str, remote: str) -> None:
    """Fragments have no ports, and other protocols none at all."""
    packet = described(acquire(**selector))
    assert (str(packet.local), str(packet.remote)) == (local, remote)


def test_how_sentries_rank() -> None:
    """Every pass before every SA, every drop behind; a trap just behind its own child."""
    broad, narrow = EVERYTHING, selectors("10.1.0.1")
    ranks = {
        (mode, broadness is broad): sentry_wishes(sentry(mode, broadness, broadness))[0][1].priority
        for mode in (Mode.PASS, Mode.TUNNEL, Mode.DROP)
        for broadness in (broad, narrow)
    }
    order = sorted(ranks, key=lambda key: ranks[key])
    assert order == [(mode, wide) for mode in (Mode.PASS, Mode.TUNNEL, Mode.DROP) for wide in (False, True)]
    assert min(ranks.values()) > 0 and ranks[Mode.PASS, True] < PRIORITY_BASE // 3 + 1


def test_a_priority_of_the_operators_own() -> None:
    assert {rule.priority for _, rule in sentry_wishes(sentry(Mode.DROP, priority=17))} == {17}


def test_the_directions() -> None:
    """What passes is forwarded both ways; transport mode forwards nothing."""
    ways = {
        mode: sorted(slot.direction.name for slot, _ in sentry_wishes(sentry(mode)))
        for mode in (Mode.PASS, Mode.DROP, Mode.TUNNEL, Mode.TRANSPORT)
    }
    assert ways[Mode.PASS] == ["FWD", "FWD", "IN", "OUT"]
    assert ways[Mode.DROP] == ways[Mode.TUNNEL] == ["FWD", "IN", "OUT"] and ways[Mode.TRANSPORT] == ["IN", "OUT"]
