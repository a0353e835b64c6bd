"""The adapter in a real kernel: children that carry packets, and nothing left where they were."""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ikectl.config.model import TFC_MTU, CopyDscp, HwOffload, Mark, Mode
from ikectl.crypto import transforms
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.algorithms import AEADS, CIPHERS, MACS
from ikectl.kernel.backend import Expired, Mapped
from ikectl.kernel.netlink import NetlinkKernel
from ikectl.kernel.policies import FIRST_INDEX
from ikectl.sa.child_sa import Particulars
from ikectl.values.path import Endpoint, Path
from tests.kernel.children import LEFT_INNER, RIGHT_INNER, Ends, adapters, child, keys, moved, path, selectors
from tests.kernel.test_xfrm_traffic import encap_socket
from tests.kernel.xfrm_pair import LEFT6, LEFT_ADDRESS, RIGHT, RIGHT6, RIGHT_ADDRESS, Pair, ip_batch, pair, ping
from tests.lab.namespaces import entered
from xfrm import (
    Aead,
    Channel,
    DelSa,
    Direction,
    DumpPolicy,
    DumpSa,
    GetSa,
    GetSpdInfo,
    HashThreshold,
    NewPolicy,
    NewSa,
    Policy,
    PolicyFlag,
    Proto,
    Sa,
    SaExtraFlag,
    SaFlag,
    SaId,
    Selector,
    Template,
)

__all__ = ["pair"]

INNER = ("-I", LEFT_INNER)
"""ping from inside the tunnel."""


@pytest.fixture
def ends(pair: Pair) -> Iterator[Ends]:
    with adapters() as both:
        yield both


def sas(channel: Channel) -> list[Sa]:
    return [info.sa for found in channel.dump(DumpSa()) for info in found]


def policies(channel: Channel) -> list[Policy]:
    """All but those of sockets."""
    found = [info.policy for found in channel.dump(DumpPolicy()) for info in found]
    return [policy for policy in found if policy.direction <= Direction.FWD]


def empty(channel: Channel) -> bool:
    return not sas(channel) and not policies(channel)


def reached() -> bool:
    return ping(ip_address(RIGHT_INNER), *INNER)


# -- all algorithms --------------------------------------------------------------

COMBINED = [row.keywords[0].format(row.key_bits) for row in transforms.ENCRYPTION if row.combined]
PLAIN = [row.keywords[0].format(row.key_bits) for row in transforms.ENCRYPTION if not row.combined]
KEYED = [row.keywords[0] for row in transforms.INTEGRITY]
SUITES = [
    *((Protocol.ESP, suite) for suite in COMBINED),
    *((Protocol.ESP, f"{cipher}-sha256") for cipher in PLAIN),
    *((Protocol.ESP, f"aes128-{mac}") for mac in KEYED),
    *((Protocol.AH, mac) for mac in KEYED),
    (Protocol.ESP, "aes128gcm16-esn"),
    (Protocol.ESP, "aes128-sha256-esn"),
    (Protocol.AH, "sha256-esn"),
]


@pytest.mark.parametrize(("protocol", "suite"), SUITES, ids=lambda value: str(value))
def test_every_algorithm_carries_packets(ends: Ends, pair: Pair, protocol: Protocol, suite: str) -> None:
    mine, theirs = ends.up(suite=suite, protocol=protocol)
    assert reached()
    for kernel, one in ((ends.left, mine), (ends.right, theirs)):
        usage = kernel.query(one)
        assert (usage.packets_in, usage.packets_out) == (1, 1)
        assert usage.bytes_in == usage.bytes_out == 84
    ends.left.remove(mine)
    ends.right.remove(theirs)
    assert empty(pair.left)
    assert empty(pair.right)


def test_what_the_transforms_table_has_the_kernel_table_names() -> None:
    assert {row.id for row in transforms.ENCRYPTION} == {*AEADS, *CIPHERS}
    assert {row.id for row in transforms.INTEGRITY} == {*MACS}


# -- modes and families -----------------------------------------------------------


def test_the_policies_of_a_tunnel(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up()
    found = {Direction(policy.direction): policy for policy in policies(pair.left)}
    assert set(found) == {Direction.IN, Direction.OUT, Direction.FWD}
    inward = Template(RIGHT_ADDRESS, LEFT_ADDRESS, Proto.ESP, reqid=1)
    assert found[Direction.IN].templates == found[Direction.FWD].templates == (inward,)
    assert found[Direction.OUT].templates == (Template(LEFT_ADDRESS, RIGHT_ADDRESS, Proto.ESP, reqid=1),)
    assert found[Direction.OUT].selector == Selector.between(f"{LEFT_INNER}/32", f"{RIGHT_INNER}/32")
    assert found[Direction.IN].selector == Selector.between(f"{RIGHT_INNER}/32", f"{LEFT_INNER}/32")
    assert {policy.priority for policy in found.values()} == {336_000}
    assert all(policy.index >= FIRST_INDEX for policy in found.values())
    assert sorted(sa.spi for sa in sas(pair.left)) == sorted((mine.spi_in, mine.spi_out))


@pytest.mark.parametrize("protocol", [Protocol.ESP, Protocol.AH])
def test_transport_mode(ends: Ends, pair: Pair, protocol: Protocol) -> None:
    ends.up(
        mode=Mode.TRANSPORT,
        protocol=protocol,
        suite="sha256" if protocol is Protocol.AH else "aes128gcm16",
        local=selectors(f"{LEFT_ADDRESS}/32"),
        remote=selectors(f"{RIGHT_ADDRESS}/32"),
    )
    assert ping(RIGHT_ADDRESS)
    assert {policy.direction for policy in policies(pair.left)} == {Direction.IN, Direction.OUT}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("6", "6"), ("6", "4"), ("4", "6")],
    ids=["six-in-six", "four-in-six", "six-in-four"],
)
def test_families_mix(ends: Ends, outer: str, inner: str) -> None:
    if inner == "6":
        ip_batch("address add fd00:1::1/64 dev wire nodad\nroute add fd00:2::/64 via 2001:db8::2 src fd00:1::1")
        ip_batch("address add fd00:2::1/64 dev wire nodad\nroute add fd00:1::/64 via 2001:db8::1", "-n", RIGHT)
    way = path(str(LEFT6), str(RIGHT6)) if outer == "6" else path()
    inside = ("fd00:1::/64", "fd00:2::/64") if inner == "6" else (LEFT_INNER, RIGHT_INNER)
    mine, _ = ends.up(way, local=selectors(inside[0]), remote=selectors(inside[1]))
    assert ping(ip_address("fd00:2::1")) if inner == "6" else reached()
    assert ends.left.query(mine).packets_in == 1


def test_several_selectors_and_both_families_in_one_child(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up(
        local=selectors(LEFT_INNER, "10.7.0.0/16", "fd00:1::/64"),
        remote=selectors(RIGHT_INNER, "fd00:2::/64"),
    )
    assert reached()
    assert len(policies(pair.left)) == 3 * (2 + 1)
    ends.left.remove(mine)
    assert empty(pair.left)


def test_udp_encapsulation_goes_to_the_ports_of_the_path(ends: Ends, pair: Pair) -> None:
    way = Path(Endpoint.parse(str(LEFT_ADDRESS), 4500), Endpoint.parse(str(RIGHT_ADDRESS), 34567))
    mine, _ = ends.up(way, encap=True)
    found = {sa.spi: sa.encap for sa in sas(pair.left)}
    inward, outward = found[mine.spi_in], found[mine.spi_out]
    assert inward is not None and (inward.src_port, inward.dst_port) == (34567, 4500)
    assert outward is not None and (outward.src_port, outward.dst_port) == (4500, 34567)


def test_ah_does_not_go_into_udp(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair(encap=True, suite="sha256", protocol=Protocol.AH)
    with pytest.raises(BackendError, match="AH does not pass a NAT"):
        ends.left.install(mine)
    assert empty(pair.left)


# -- options -----------------------------------------------------------------------


def _sa_options(ends: Ends, pair: Pair, **config: Any) -> tuple[Sa, Sa]:
    mine, _ = ends.up(**config)
    found = {sa.spi: sa for sa in sas(pair.left)}
    return found[mine.spi_in], found[mine.spi_out]


def test_header_options(ends: Ends, pair: Pair) -> None:
    inward, outward = _sa_options(ends, pair)
    assert inward.flags == outward.flags == SaFlag.AF_UNSPEC
    assert not outward.extra_flags


def test_header_options_the_other_way(ends: Ends, pair: Pair) -> None:
    inward, outward = _sa_options(
        ends, pair, copy_df=False, copy_ecn=False, copy_dscp=CopyDscp.IN, icmp=True, replay_window=64
    )
    common = SaFlag.AF_UNSPEC | SaFlag.NOECN | SaFlag.NOPMTUDISC | SaFlag.ICMP
    assert inward.flags == common | SaFlag.DECAP_DSCP
    assert outward.flags == common
    assert outward.extra_flags == SaExtraFlag.DONT_ENCAP_DSCP
    assert inward.replay.window == 64
    assert outward.replay.window == 0
    assert all(policy.flags & PolicyFlag.ICMP for policy in policies(pair.left))
    assert reached()


@pytest.mark.conformance("v2-81")
@pytest.mark.parametrize("octets", [1000, TFC_MTU])
def test_padding_hides_the_length(ends: Ends, pair: Pair, octets: int) -> None:
    """TFC (RFC 4303 §2.7): a small packet is as long as that on its way, and the other kernel takes it off again."""
    mine, theirs = ends.pair()
    mine.particulars = Particulars(tfc_padding=octets)
    ends.left.install(mine)
    ends.right.install(theirs)
    (outward,) = (sa for sa in sas(pair.left) if sa.spi == mine.spi_out)
    assert outward.tfc_pad == octets
    assert not any(sa.tfc_pad for sa in sas(pair.left) if sa.spi == mine.spi_in)
    assert reached()
    assert ends.right.query(theirs).bytes_in >= min(octets, 1300), "a ping has 84"
    assert ends.left.query(mine).bytes_in < 200


def test_marks_and_interface_ids(ends: Ends, pair: Pair) -> None:
    inward, outward = _sa_options(
        ends,
        pair,
        mark_in=Mark(1, 0xFF),
        mark_out=Mark(2, 0xFF),
        mark_in_sa=True,
        set_mark_in=Mark(3, 0xFF),
        set_mark_out=Mark(4, 0xFF),
        if_id_in=7,
        if_id_out=8,
    )
    values = [(mark.value if mark else None) for sa in (inward, outward) for mark in (sa.mark, sa.output_mark)]
    assert values == [1, 3, 2, 4]
    assert (inward.if_id, outward.if_id) == (7, 8)
    for policy in policies(pair.left):
        assert policy.mark is not None
        assert (policy.mark.value, policy.if_id) == ((2, 8) if policy.direction == Direction.OUT else (1, 7))


def test_marked_children_leave_nothing_behind(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up(mark_in=Mark(1, 0xFF), mark_out=Mark(2, 0xFF), mark_in_sa=True, if_id_in=7, if_id_out=8)
    ends.left.remove(mine)
    assert empty(pair.left)


def test_truncated_sha256(ends: Ends, pair: Pair) -> None:
    inward, outward = _sa_options(ends, pair, suite="aes128-sha256", sha256_96=True)
    assert inward.auth is not None and outward.auth is not None
    assert inward.auth.trunc_bits == outward.auth.trunc_bits == 96
    assert reached()


def test_policies_for_one_interface(ends: Ends, pair: Pair) -> None:
    mine, theirs = ends.pair()
    mine.config = replace(mine.config, interface="wire")  # a name of this namespace
    ends.right.install(theirs)
    ends.left.install(mine)
    indexes = {policy.direction: policy.selector.ifindex for policy in policies(pair.left)}
    assert indexes == {Direction.IN: 0, Direction.FWD: 0, Direction.OUT: socket.if_nametoindex("wire")}
    assert reached()
    mine, _ = ends.pair(interface="nosuch")
    with pytest.raises(BackendError, match="no interface 'nosuch'"):
        ends.left.install(mine)


def test_no_policies(ends: Ends, pair: Pair) -> None:
    ends.up(policies=False)
    assert len(sas(pair.left)) == 2
    assert not policies(pair.left)


def test_outbound_forward_policies(ends: Ends, pair: Pair) -> None:
    ends.up(policies_fwd_out=True)
    found = [policy for policy in policies(pair.left) if policy.direction == Direction.FWD]
    assert len(found) == 2
    (outward,) = (policy for policy in found if policy.selector.src == ip_address(LEFT_INNER))
    assert outward.templates == ()


def test_a_fixed_priority(ends: Ends, pair: Pair) -> None:
    ends.up(priority=4711)
    assert {policy.priority for policy in policies(pair.left)} == {4711}


def test_extended_sequence_numbers_want_a_window(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair(suite="aes128gcm16-esn", replay_window=0)
    with pytest.raises(BackendError, match="set replay_window"):
        ends.left.install(mine)
    assert empty(pair.left)


def test_offload_to_an_interface_that_is_not_there(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair(hw_offload=HwOffload.CRYPTO)
    with pytest.raises(BackendError, match="no interface has the address"):
        ends.left.install(mine)
    assert empty(pair.left)


# -- halves and successors -----------------------------------------------------------


def test_a_responder_sends_only_when_told(ends: Ends, pair: Pair) -> None:
    mine, theirs = ends.pair()
    ends.right.install(theirs, outbound=False)
    assert {policy.direction for policy in policies(pair.right)} == {Direction.IN, Direction.FWD}
    assert [sa.spi for sa in sas(pair.right)] == [theirs.spi_in]
    ends.left.install(mine)
    ends.right.install(theirs, inbound=False)
    assert reached()
    ends.right.remove(theirs, inbound=False)
    assert [sa.spi for sa in sas(pair.right)] == [theirs.spi_in]
    ends.right.remove(theirs)
    assert empty(pair.right)


def test_a_successor_takes_over_and_shares_the_policies(ends: Ends, pair: Pair) -> None:
    old, peers_old = ends.up(seed=1)
    indexes = {policy.index for policy in policies(pair.left)}
    new, peers_new = ends.pair(seed=2)
    ends.right.install(peers_new, outbound=False)
    ends.left.install(new)
    ends.left.remove(old, inbound=False)
    assert reached()  # one way on the new child, the other on the old one
    assert ends.left.query(old).packets_in == ends.left.query(new).packets_out == 1
    ends.right.install(peers_new, inbound=False)
    ends.right.remove(peers_old)
    ends.left.remove(old)
    assert reached()
    assert {policy.index for policy in policies(pair.left)} == indexes
    ends.left.remove(new)
    assert empty(pair.left)


def test_the_latest_of_two_peers_with_one_network_has_the_policies(ends: Ends, pair: Pair) -> None:
    first, _ = ends.up(reqid=1)
    second = child(path(remote="192.0.2.99"), reqid=2, spi_out=77)
    second.spi_in = ends.left.alloc_spi(Protocol.ESP, second.path)
    ends.left.install(second)
    assert {template.reqid for policy in policies(pair.left) for template in policy.templates} == {2}
    ends.left.remove(second)
    assert {template.reqid for policy in policies(pair.left) for template in policy.templates} == {1}
    assert reached()
    ends.left.remove(first)
    assert empty(pair.left)


def test_a_peer_that_moves_takes_its_children_along(ends: Ends, pair: Pair) -> None:
    ip_batch("address add 192.0.2.22/24 dev wire", "-n", RIGHT)
    mine, theirs = ends.up()
    assert reached()
    old, peers_old = mine.path, theirs.path
    mine.path = moved(old, remote="192.0.2.22")
    theirs.path = moved(peers_old, local="192.0.2.22")
    ends.left.move(mine, old)
    ends.right.move(theirs, peers_old)
    assert reached()
    assert ends.left.query(mine).packets_in == 2
    assert {sa.dst for sa in sas(pair.left)} == {LEFT_ADDRESS, ip_address("192.0.2.22")}
    assert max(sa.replay.seq for sa in sas(pair.left)) == 2
    ends.left.remove(mine)
    assert empty(pair.left)


# -- limits --------------------------------------------------------------------------


def test_limits_are_told(ends: Ends, pair: Pair) -> None:
    """The kernel looks when a packet comes, whether those before reached a limit."""
    mine, _ = ends.up(rekey_packets=2, life_packets=3)
    assert not ends.left.expired()
    for _ in range(3):
        assert reached()
    assert told(ends.left) == [Expired(mine, False)]
    assert not reached()
    assert told(ends.left) == [Expired(mine, True)]
    ends.left.remove(mine)
    assert empty(pair.left)


def told(kernel: NetlinkKernel) -> list[Expired]:
    """What is told, once something is."""
    assert select.select([kernel], [], [], 10)[0]
    return list(kernel.expired())


def test_limits_are_spread_and_time_has_a_margin(ends: Ends, pair: Pair) -> None:
    inward, outward = _sa_options(
        ends, pair, rekey_bytes=10_000, rand_bytes=5_000, life_bytes=20_000, life_time=100, rand_packets=3
    )
    for sa in (inward, outward):
        assert 5_000 <= sa.lifetime.soft_octets <= 10_000
        assert sa.lifetime.hard_octets == 20_000
        assert sa.lifetime.hard_add_for == 160
        assert sa.lifetime.soft_add_for == 0


# -- failures ------------------------------------------------------------------------


def _foreign_sa(spi: int) -> Sa:
    return Sa(LEFT_ADDRESS, RIGHT_ADDRESS, spi, reqid=9, aead=Aead("rfc4106(gcm(aes))", bytes(20), 128))


def test_an_outbound_sa_that_is_there_already_rolls_all_back(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair()
    pair.left.ask(NewSa(_foreign_sa(mine.spi_out)))
    with pytest.raises(BackendError, match="does not touch it"):
        ends.left.install(mine)
    (left_over,) = sas(pair.left)
    assert left_over.reqid == 9
    assert not policies(pair.left)
    pair.left.ask(DelSa(left_over.id))


@pytest.mark.parametrize("direction", list(Direction))
def test_a_policy_of_somebody_else_rolls_all_back_and_stays(ends: Ends, pair: Pair, direction: Direction) -> None:
    between = (f"{LEFT_INNER}/32", f"{RIGHT_INNER}/32")
    selector = Selector.between(*(between if direction is Direction.OUT else reversed(between)))
    foreign = Policy(selector, direction, priority=5)
    pair.left.ask(NewPolicy(foreign))
    mine, _ = ends.pair()
    with pytest.raises(BackendError, match="another program"):
        ends.left.install(mine)
    assert not sas(pair.left)
    (left_over,) = policies(pair.left)
    assert (left_over.priority, left_over.templates) == (5, ())


def test_a_failure_gives_back_what_an_earlier_peer_had(ends: Ends, pair: Pair) -> None:
    first, _ = ends.up(reqid=1)
    second = child(path(remote="192.0.2.99"), reqid=2, spi_out=77)
    second.spi_in = ends.left.alloc_spi(Protocol.ESP, second.path)
    pair.left.ask(NewSa(replace(_foreign_sa(77), dst=ip_address("192.0.2.99"))))
    with pytest.raises(BackendError):
        ends.left.install(second)
    assert {template.reqid for policy in policies(pair.left) for template in policy.templates} == {1}
    assert reached()
    ends.left.remove(first)
    assert not policies(pair.left)


def test_a_failed_second_half_leaves_the_first(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.pair()
    ends.left.install(mine, outbound=False)
    pair.left.ask(NewSa(_foreign_sa(mine.spi_out)))
    with pytest.raises(BackendError):
        ends.left.install(mine, inbound=False)
    assert {sa.reqid for sa in sas(pair.left)} == {1, 9}
    assert {policy.direction for policy in policies(pair.left)} == {Direction.IN, Direction.FWD}


def test_a_reservation_that_ended_is_no_trouble(ends: Ends, pair: Pair) -> None:
    mine, theirs = ends.pair()
    pair.left.ask(DelSa(SaId(LEFT_ADDRESS, mine.spi_in)))
    ends.left.install(mine)
    ends.right.install(theirs)
    assert reached()


def test_what_is_gone_already_is_no_error(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up()
    subprocess.run(["ip", "xfrm", "state", "flush"], check=True)
    subprocess.run(["ip", "xfrm", "policy", "flush"], check=True)
    assert ends.left.query(mine).packets_in == 0
    ends.left.remove(mine)
    ends.left.remove(mine)
    assert empty(pair.left)


def test_reservations_are_given_back(ends: Ends, pair: Pair) -> None:
    spi = ends.left.alloc_spi(Protocol.ESP, path())
    assert [sa.spi for sa in sas(pair.left)] == [spi]
    ends.left.free_spi(Protocol.ESP, path(), spi)
    ends.left.free_spi(Protocol.ESP, path(), spi)
    assert empty(pair.left)


# -- beginning and end -----------------------------------------------------------------


def test_the_kernel_has_esp_and_ah(ends: Ends, pair: Pair) -> None:
    assert ends.left.features.esp
    assert ends.left.features.ah
    assert ends.left.features.lacking == ()
    assert empty(pair.left)


def test_closing_removes_everything_of_ours_and_nothing_else(pair: Pair) -> None:
    foreign = Policy(Selector.between("10.9.0.0/16", "10.8.0.0/16"), Direction.OUT, priority=5)
    pair.left.ask(NewPolicy(foreign))
    pair.left.ask(NewSa(_foreign_sa(55)))
    before = pair.left.ask(GetSpdInfo())
    with adapters() as both:
        both.up()
        both.left.alloc_spi(Protocol.AH, path())
        assert pair.left.ask(GetSpdInfo()).threshold4 == HashThreshold(0, 32)
        assert len(sas(pair.left)) == 4
    assert [sa.spi for sa in sas(pair.left)] == [55]
    assert [policy.priority for policy in policies(pair.left)] == [5]
    after = pair.left.ask(GetSpdInfo())
    assert (after.threshold4, after.threshold6) == (before.threshold4, before.threshold6)


@pytest.mark.parametrize("mode", [Mode.TUNNEL, Mode.TRANSPORT])
def test_what_a_killed_daemon_left_is_removed_at_start(pair: Pair, mode: Mode) -> None:
    pair.left.ask(NewPolicy(Policy(Selector.between("10.9.0.0/16", "10.8.0.0/16"), Direction.OUT, priority=5)))
    pair.left.ask(NewSa(_foreign_sa(55)))
    with adapters() as killed:
        killed.up(mode=mode)
        NetlinkKernel.open().close()
        assert [sa.spi for sa in sas(pair.left)] == [55]
        assert [policy.priority for policy in policies(pair.left)] == [5]
        assert len(sas(pair.right)) == 2


def test_moved_children_keep_their_keys(ends: Ends, pair: Pair) -> None:
    mine, _ = ends.up()
    key = pair.left.ask(GetSa(SaId(RIGHT_ADDRESS, mine.spi_out))).sa.aead
    old, mine.path = mine.path, moved(mine.path, remote="192.0.2.22")
    ends.left.move(mine, old)
    assert pair.left.ask(GetSa(SaId(ip_address("192.0.2.22"), mine.spi_out))).sa.aead == key


# -- a peer's NAT ------------------------------------------------------------------------


def test_a_new_port_of_the_peers_nat_is_told_once(ends: Ends, pair: Pair) -> None:
    way = Path(Endpoint.parse(str(LEFT_ADDRESS), 4500), Endpoint.parse(str(RIGHT_ADDRESS), 4500))
    with ExitStack() as sockets:
        sockets.enter_context(encap_socket(LEFT_ADDRESS, 4500))
        with entered(RIGHT):
            sockets.enter_context(encap_socket(RIGHT_ADDRESS, 4500))
        mine, theirs = ends.up(way, encap=True)
        assert reached()
        assert list(ends.left.mappings()) == []
        # From now on the right side's packets carry another source port, as if its NAT had forgotten it.
        old = theirs.path
        theirs.path = Path(Endpoint.parse(str(RIGHT_ADDRESS), 4501), old.remote)
        ends.right.remove(theirs, inbound=False)
        theirs.keys = keys(theirs.suite, 1)
        ends.right.install(theirs, inbound=False)
        for _ in range(3):
            reached()
        assert list(ends.left.expired()) == []  # which reads the same events
        assert list(ends.left.mappings()) == [Mapped(mine, Endpoint.parse(str(RIGHT_ADDRESS), 4501))]
        assert list(ends.left.mappings()) == []
        # Packets go there once the child was moved, and nothing is new any more.
        before, mine.path = mine.path, Path(mine.path.local, Endpoint.parse(str(RIGHT_ADDRESS), 4501))
        ends.left.move(mine, before)
        reached()
        assert list(ends.left.mappings()) == []
