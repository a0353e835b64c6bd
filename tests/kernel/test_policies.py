"""Which policies a child needs, how they rank, and who gets the one place there is. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.model import Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.policies import (
    FIRST_INDEX,
    LAST_INDEX,
    MAX_FLOWS,
    Act,
    Direction,
    Flow,
    PolicyTable,
    Rule,
    Slot,
    Template,
    flows,
    masked,
    priority,
)
from ikectl.values.selector import SelectorSpec, TrafficSelector

PORTS = st.integers(0, 65535)


def ts(text: str) -> TrafficSelector:
    return SelectorSpec.parse(text).resolve(b"\x0a\x00\x00\x01")


# -- flows --------------------------------------------------------------------------


def test_networks_need_one_flow() -> None:
    (flow,) = flows([ts("10.1.0.0/16")], [ts("10.2.3.0/24")])
    assert flow == Flow(bytes([10, 1, 0, 0]), 16, bytes([10, 2, 3, 0]), 24)
    assert flow.reversed == Flow(bytes([10, 2, 3, 0]), 24, bytes([10, 1, 0, 0]), 16)


def test_a_range_is_covered_by_networks_and_never_exceeded() -> None:
    found = flows([ts("10.0.0.1-10.0.0.6")], [ts("10.2.0.1")])
    assert [(flow.source[3], flow.source_bits) for flow in found] == [(1, 32), (2, 31), (4, 31), (6, 32)]


def test_selectors_of_different_family_or_protocol_make_no_flow() -> None:
    assert flows([ts("10.0.0.0/8")], [ts("fd00::/8")]) == ()
    assert flows([ts("10.0.0.0/8[tcp]")], [ts("10.0.0.0/8[udp]")]) == ()


def test_the_protocol_may_be_in_either_selector() -> None:
    (flow,) = flows([ts("10.0.0.0/8")], [ts("10.0.0.0/8[udp/53]")])
    assert (flow.protocol, flow.source_port_mask, flow.destination_port, flow.destination_port_mask) == (
        17,
        0,
        53,
        0xFFFF,
    )
    back = flow.reversed
    assert (back.source_port, back.source_port_mask, back.destination_port_mask) == (53, 0xFFFF, 0)


def test_icmp_type_and_code_are_in_the_same_ports_both_ways() -> None:
    (flow,) = flows([ts("10.0.0.0/8[icmp/8(0)]")], [ts("10.0.0.0/8[icmp]")])
    assert (flow.source_port, flow.source_port_mask) == (8, 0xFFFF)
    assert (flow.destination_port, flow.destination_port_mask) == (0, 0xFFFF)
    assert (flow.reversed.source_port, flow.reversed.destination_port_mask) == (8, 0xFFFF)
    (kind,) = flows([ts("10.0.0.0/8[icmp/3]")], [ts("10.0.0.0/8[icmp]")])
    assert (kind.source_port, kind.source_port_mask, kind.destination_port_mask) == (3, 0xFFFF, 0)
    assert flows([ts("10.0.0.0/8[icmp/3]")], [ts("10.0.0.0/8[icmp/8]")]) == ()


@given(PORTS, PORTS)
def test_masks_cover_a_range_exactly(one: int, other: int) -> None:
    start, end = sorted((one, other))
    pieces = list(masked(start, end))
    assert len(pieces) <= 30
    covered = 0
    for number, mask in pieces:
        assert number & mask == number
        assert start <= number and number | ~mask & 0xFFFF <= end
        covered += 0x10000 - mask if mask else 0x10000
    assert covered == end - start + 1


def test_any_port_is_mask_zero() -> None:
    assert list(masked(0, 65535)) == [(0, 0)]
    assert list(masked(443, 443)) == [(443, 0xFFFF)]


def test_too_many_flows_are_refused() -> None:
    with pytest.raises(BackendError, match=f"more than {MAX_FLOWS}"):
        flows([ts("10.0.0.1-10.255.255.254[udp/1-65534]")], [ts("10.0.0.1-10.255.255.254")])


def test_opaque_ports_are_refused() -> None:
    with pytest.raises(BackendError, match="OPAQUE"):
        flows([ts("10.0.0.0/8[udp/opaque]")], [ts("10.0.0.0/8")])


# -- ranks --------------------------------------------------------------------------


def rank(local: str, remote: str, interface: int = 0) -> int:
    return priority(flows([ts(local)], [ts(remote)], interface)[0])


def test_the_smaller_selector_has_the_smaller_number() -> None:
    ranks = [
        rank("10.1.2.3", "10.2.0.0/24"),
        rank("10.1.0.0/16[tcp/80]", "10.2.0.0/24", interface=3),
        rank("10.1.0.0/16[tcp/80]", "10.2.0.0/24"),
        rank("10.1.0.0/16[tcp/80-81]", "10.2.0.0/24"),
        rank("10.1.0.0/16[tcp]", "10.2.0.0/24"),
        rank("10.1.0.0/16", "10.2.0.0/24", interface=3),
        rank("10.1.0.0/16", "10.2.0.0/24"),
        rank("10.1.0.0/16", "10.2.0.0/23"),
        rank("0.0.0.0/0", "0.0.0.0/0"),
    ]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert ranks[-1] == 400_000
    assert rank("fd00::1[tcp/80]", "fd00::2[tcp/80]", interface=1) > 0


# -- the table ------------------------------------------------------------------------


def slot(direction: Direction = Direction.OUT, third: int = 1) -> Slot:
    return Slot(Flow(bytes([10, 1, third, 0]), 24, bytes([10, 2, 0, 0]), 24), direction)


def rule(reqid: int, rank: int = 100) -> Rule:
    return Rule(rank, (Template(b"\x01" * 4, b"\x02" * 4, Protocol.ESP, Mode.TUNNEL, reqid),))


def test_the_first_adds_and_the_last_deletes() -> None:
    table = PolicyTable()
    added = table.add(slot(), rule(1))
    assert added is not None and added.act is Act.ADD
    assert table.add(slot(), rule(1)) is None
    assert table.remove(slot(), rule(1)) is None
    deleted = table.remove(slot(), rule(1))
    assert deleted is not None and (deleted.act, deleted.index) == (Act.DELETE, added.index)
    assert len(table) == 0
    assert table.remove(slot(), rule(1)) is None


def test_the_better_rank_stands_then_the_latest() -> None:
    table = PolicyTable()
    table.add(slot(), rule(1, rank=100))
    assert table.add(slot(), rule(2, rank=200)) is None
    third = table.add(slot(), rule(3, rank=100))
    assert third is not None and (third.act, third.rule) == (Act.REPLACE, rule(3, rank=100))
    assert table.remove(slot(), rule(1, rank=100)) is None
    back = table.remove(slot(), rule(3, rank=100))
    assert back is not None and (back.act, back.rule) == (Act.REPLACE, rule(2, rank=200))


def test_indexes_are_ours_distinct_and_tell_the_direction() -> None:
    table = PolicyTable()
    indexes = []
    for direction in Direction:
        for third in range(50):
            change = table.add(slot(direction, third), rule(1))
            assert change is not None
            assert change.index & 7 == direction
            assert FIRST_INDEX <= change.index <= LAST_INDEX
            indexes.append(change.index)
    assert len(set(indexes)) == len(indexes) == len(table)
    assert {change.index for change in table.standing()} == set(indexes)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.integers(1, 4)), max_size=60))
def test_a_kernel_that_follows_holds_the_best_of_what_is_wanted(steps: list[tuple[bool, int, int]]) -> None:
    table = PolicyTable()
    kernel: dict[Slot, Rule] = {}
    wanted: dict[tuple[Slot, Rule], int] = {}
    for add, third, number in steps:
        wish = slot(third=third), rule(number, rank=100 + number // 2)
        if add:
            change = table.add(*wish)
            wanted[wish] = wanted.get(wish, 0) + 1
        elif wanted.get(wish):
            change = table.remove(*wish)
            wanted[wish] -= 1
        else:
            assert table.remove(*wish) is None
            continue
        if change is not None and change.act is Act.DELETE:
            del kernel[change.slot]
        elif change is not None:
            assert (change.act is Act.ADD) == (change.slot not in kernel)
            kernel[change.slot] = change.rule
    held = {each for each, holders in wanted.items() if holders}
    assert set(kernel) == {place for place, _ in held}
    for place, stands in kernel.items():
        assert (place, stands) in held
        assert stands.priority == min(each.priority for where, each in held if where == place)
