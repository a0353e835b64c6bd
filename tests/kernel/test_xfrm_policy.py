"""Policies in a real kernel: what goes in comes out, and what names them."""

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from xfrm import (
    Action,
    Channel,
    DefaultAction,
    Defaults,
    DelPolicy,
    Denied,
    Direction,
    DumpPolicy,
    Exists,
    ExpirePolicy,
    FlushPolicy,
    GetDefault,
    GetPolicy,
    GetSadInfo,
    GetSpdInfo,
    Gone,
    HashThreshold,
    Invalid,
    Lifetime,
    Mark,
    Mode,
    NewPolicy,
    Policy,
    PolicyFlag,
    PolicyIndex,
    PolicyType,
    Proto,
    Selector,
    SetDefault,
    SetHashThresholds,
    Share,
    Template,
    UpdPolicy,
    Xfrm,
)

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
TEMPLATE = Template(A, B, reqid=7)
BASE = Policy(Selector.between("10.1.0.0/16", "10.2.0.0/24"), Direction.OUT, (TEMPLATE,), priority=1000)
NOWHERE = ip_address("0.0.0.0")

POLICIES = {
    **{d.name.lower(): replace(BASE, direction=d) for d in Direction},
    "ipv6": Policy(Selector.between("2001:db8:1::/48", "::/0"), Direction.OUT, (Template(A6, B6, reqid=1),)),
    "four-in-six": replace(BASE, templates=(Template(A6, B6, reqid=1),)),
    "transport": replace(BASE, templates=(Template(NOWHERE, NOWHERE, mode=Mode.TRANSPORT, reqid=3),)),
    "bundle": replace(
        BASE,
        direction=Direction.IN,  # an optional template must not be a tunnel on the way out
        templates=(Template(A, B, Proto.COMP, optional=True), Template(A, B, mode=Mode.TRANSPORT, reqid=9)),
    ),
    "spi": replace(BASE, templates=(Template(A, B, Proto.AH, reqid=7, spi=0x1234),)),
    "pass": replace(BASE, templates=()),
    "block": replace(BASE, templates=(), action=Action.BLOCK),
    "ports": replace(BASE, selector=Selector.between("10.1.0.0/16", "10.2.0.0/24", 6, dst_port=443)),
    "port-range": replace(BASE, selector=replace(BASE.selector, proto=17, src_port=0x1000, src_port_mask=0xF000)),
    "icmp": replace(BASE, selector=Selector.between("10.1.0.0/16", "10.2.0.0/24", 1, src_port=8, dst_port=0)),
    "device": replace(BASE, selector=replace(BASE.selector, ifindex=1)),
    "mark": replace(BASE, mark=Mark(0x10, 0xFF)),
    "if_id": replace(BASE, if_id=42),
    "limits": replace(BASE, lifetime=Lifetime(1 << 40, 1 << 41, 1 << 33, 1 << 34, 100, 200, 300, 400)),
    "flags": replace(BASE, flags=PolicyFlag.LOCALOK | PolicyFlag.ICMP),
    "share": replace(BASE, share=Share.UNIQUE),
    "sub": replace(BASE, type=PolicyType.SUB),
}


@pytest.fixture
def channel(netns: None) -> Iterator[Channel]:
    with Channel() as opened:
        yield opened


def policies(channel: Channel) -> list[Policy]:
    return [info.policy for piece in channel.dump(DumpPolicy()) for info in piece]


@pytest.mark.parametrize("name", POLICIES)
def test_what_goes_in_comes_out(channel: Channel, name: str) -> None:
    policy = POLICIES[name]
    channel.ask(NewPolicy(policy))
    info = channel.ask(GetPolicy(policy.key))
    # Sharing among users is stored with templates alone; the policy's own is not kept.
    wanted = replace(policy, share=info.policy.share, index=info.policy.index)
    assert info.policy == wanted
    assert info.policy.index & 7 == policy.direction
    assert info.usage.added_at > 0
    assert policies(channel) == [info.policy]
    channel.ask(DelPolicy(policy.key))
    assert policies(channel) == []


def test_index_of_our_own(channel: Channel) -> None:
    index = 1000 << 3 | Direction.OUT
    channel.ask(NewPolicy(replace(BASE, index=index, if_id=9, mark=Mark(1, 3))))
    name = PolicyIndex(index, Mark(1, 3), 9)
    assert channel.ask(GetPolicy(name)).policy.index == index
    with pytest.raises(Gone):
        channel.ask(DelPolicy(PolicyIndex(index)))  # mark and if_id are part of the name
    channel.ask(DelPolicy(name))
    with pytest.raises(Gone, match="index 8001"):
        channel.ask(DelPolicy(name))


def test_index_with_the_wrong_direction(channel: Channel) -> None:
    with pytest.raises(Invalid):
        channel.ask(NewPolicy(replace(BASE, index=1000 << 3 | Direction.IN)))


def test_index_in_use_is_not_taken_twice(channel: Channel) -> None:
    index = 1000 << 3 | Direction.OUT
    other = replace(BASE, selector=Selector.between("10.3.0.0/16", "10.4.0.0/16"), index=index)
    assert channel.batch([NewPolicy(replace(BASE, index=index)), NewPolicy(other)]) == [None, None]
    assert channel.ask(GetPolicy(BASE.key)).policy.index == index
    assert channel.ask(GetPolicy(other.key)).policy.index != index


def test_update_replaces(channel: Channel) -> None:
    channel.ask(UpdPolicy(BASE))
    index = channel.ask(GetPolicy(BASE.key)).policy.index
    moved = replace(BASE, templates=(Template(A, ip_address("192.0.2.99"), reqid=7),))
    with pytest.raises(Exists):
        channel.ask(NewPolicy(moved))
    channel.ask(UpdPolicy(moved))
    assert channel.ask(GetPolicy(BASE.key)).policy == replace(moved, index=index)


def test_batch_goes_on_after_a_refusal(channel: Channel) -> None:
    inward = replace(BASE, direction=Direction.IN)
    outcomes = channel.batch(
        [
            NewPolicy(BASE),
            NewPolicy(BASE),
            GetPolicy(BASE.key),
            GetSpdInfo(),
            DelPolicy(inward.key),
            NewPolicy(inward),
        ]
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Exists)
    assert outcomes[2].policy.templates == BASE.templates
    assert outcomes[3].count_out == 1
    assert isinstance(outcomes[4], Gone)
    assert outcomes[5] is None
    assert len(policies(channel)) == 2


def test_large_batches_and_dumps_in_pieces(channel: Channel) -> None:
    many = [
        replace(BASE, selector=replace(BASE.selector, dst=ip_address(f"10.2.{n >> 8}.{n & 255}"), dst_prefix=32))
        for n in range(500)
    ]
    assert channel.batch([NewPolicy(policy) for policy in many]) == [None] * len(many)
    pieces = list(channel.dump(DumpPolicy()))
    assert len(pieces) > 1
    assert {info.policy.selector for piece in pieces for info in piece} == {policy.selector for policy in many}
    assert channel.batch([DelPolicy(policy.key) for policy in many]) == [None] * len(many)
    assert channel.ask(GetSpdInfo()).count_out == 0


async def test_async_client(netns: None) -> None:
    async with Xfrm() as xfrm:
        await xfrm.add_policy(BASE)
        assert [info.policy.selector async for info in xfrm.dump_policies()] == [BASE.selector]
        info = await xfrm.get_policy(BASE.key)
        await xfrm.update_policy(replace(BASE, priority=5))
        assert (await xfrm.get_policy(BASE.key)).policy.priority == 5
        await xfrm.delete_policy(PolicyIndex(info.policy.index))
        assert (await xfrm.spd_info()).count_out == 0
        assert (await xfrm.sad_info()).count == 0
        assert await xfrm.batch([NewPolicy(BASE), FlushPolicy()]) == [None, None]
        with pytest.raises(Gone):
            await xfrm.get_policy(BASE.key)


def test_flush_by_type(channel: Channel) -> None:
    sub = replace(BASE, type=PolicyType.SUB)
    assert channel.batch([NewPolicy(BASE), NewPolicy(sub), FlushPolicy()]) == [None] * 3
    assert [policy.type for policy in policies(channel)] == [PolicyType.SUB]
    channel.ask(FlushPolicy(PolicyType.SUB))
    assert policies(channel) == []


def test_hash_thresholds(channel: Channel) -> None:
    before = channel.ask(GetSpdInfo())
    channel.ask(SetHashThresholds(HashThreshold(0, 32), HashThreshold(0, 128)))
    info = channel.ask(GetSpdInfo())
    assert (info.threshold4, info.threshold6) == (HashThreshold(0, 32), HashThreshold(0, 128))
    channel.ask(SetHashThresholds(ipv4=before.threshold4))
    info = channel.ask(GetSpdInfo())
    assert (info.threshold4, info.threshold6) == (before.threshold4, HashThreshold(0, 128))
    with pytest.raises(Invalid):
        channel.ask(SetHashThresholds(HashThreshold(33, 33)))


def test_default_policy(channel: Channel) -> None:
    assert channel.ask(GetDefault()) == Defaults(DefaultAction.ACCEPT, DefaultAction.ACCEPT, DefaultAction.ACCEPT)
    channel.ask(SetDefault(Defaults(inbound=DefaultAction.BLOCK)))
    assert channel.ask(GetDefault()) == Defaults(DefaultAction.BLOCK, DefaultAction.ACCEPT, DefaultAction.ACCEPT)


def test_expire_by_request(channel: Channel) -> None:
    channel.ask(NewPolicy(BASE))
    channel.ask(ExpirePolicy(BASE, hard=True))
    with pytest.raises(Gone):
        channel.ask(GetPolicy(BASE.key))


def test_database_sizes(channel: Channel) -> None:
    assert channel.batch([NewPolicy(replace(BASE, direction=d)) for d in Direction]) == [None] * 3
    info = channel.ask(GetSpdInfo())
    assert (info.count_out, info.count_fwd) == (1, 1)
    assert info.buckets > 0
    assert channel.ask(GetSadInfo()).count == 0


def test_without_the_capability(netns: None) -> None:
    os.seteuid(65534)
    try:
        with Channel() as channel, pytest.raises(Denied):
            channel.ask(GetSadInfo())
    finally:
        os.seteuid(0)
