"""Packets through SAs of ours, and the events the kernel raises about them."""

import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.kernel.xfrm_pair import (
    LEFT6,
    LEFT_ADDRESS,
    RIGHT,
    RIGHT6,
    RIGHT_ADDRESS,
    Listener,
    Pair,
    pair,
    ping,
)
from tests.lab.namespaces import entered
from xfrm import (
    AcquireSa,
    Address,
    Aead,
    AeFlag,
    AeState,
    Auth,
    Channel,
    Comp,
    Crypt,
    DefaultAction,
    Defaults,
    DelPolicy,
    DelSa,
    Direction,
    Encap,
    EventStream,
    ExpirePolicy,
    ExpireSa,
    FlushPolicy,
    FlushSa,
    GetPolicy,
    GetSa,
    Gone,
    Group,
    KmAddress,
    Lifetime,
    Migrate,
    Migration,
    Mode,
    NewAe,
    NewPolicy,
    NewSa,
    Policy,
    PolicyIndex,
    PolicyType,
    Proto,
    Replay,
    Sa,
    SaFlag,
    Selector,
    SetDefault,
    Template,
    UpdPolicy,
    UpdSa,
    Usage,
    bypass_policies,
)
from xfrm.events import (
    Acquire,
    AsyncEvent,
    DefaultsChanged,
    Expire,
    Mapping,
    Migrated,
    Overrun,
    PoliciesFlushed,
    PolicyAdded,
    PolicyDeleted,
    PolicyExpire,
    PolicyUpdated,
    Report,
    SaAdded,
    SaDeleted,
    SasFlushed,
    SaUpdated,
)

__all__ = ["pair"]

GCM = Aead("rfc4106(gcm(aes))", bytes(range(20)), 128)
OUTBOUND = Sa(LEFT_ADDRESS, RIGHT_ADDRESS, 0x1001, reqid=7, aead=GCM, replay=Replay(32))
INBOUND = Sa(RIGHT_ADDRESS, LEFT_ADDRESS, 0x1002, reqid=7, aead=GCM, replay=Replay(32))


def load_module(name: str) -> None:
    """A kernel module that the guest does not load by itself."""
    subprocess.run(["modprobe", "--dirname", "/run/modules", name], check=True)


def host(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def policies(src: Address, dst: Address, *templates: Template) -> list[Policy]:
    """What the host at `src` needs to talk to `dst` through `templates`: out, and in, which is the mirror."""
    mirrored = tuple(replace(template, src=template.dst, dst=template.src) for template in templates)
    return [
        Policy(Selector.between(host(src), host(dst)), Direction.OUT, templates),
        Policy(Selector.between(host(dst), host(src)), Direction.IN, mirrored),
    ]


def template_of(sa: Sa) -> Template:
    return Template(sa.src, sa.dst, sa.proto, sa.mode, sa.reqid)


def install(pair: Pair, there: list[Sa], back: list[Sa]) -> None:
    """All SAs on both sides, and policies around them."""
    outer, inner = there[-1], there[0]
    for channel, src, dst, way in (
        (pair.left, inner.src, inner.dst, there),
        (pair.right, inner.dst, inner.src, back),
    ):
        rules = policies(src, dst, *(template_of(sa) for sa in way))
        outcome = channel.batch([*(NewSa(sa) for sa in (*there, *back)), *(NewPolicy(rule) for rule in rules)])
        assert outcome == [None] * len(outcome)
    assert outer.proto in (Proto.ESP, Proto.AH)


@pytest.fixture
async def listener(netns: None) -> AsyncIterator[Listener]:
    """Everything the left side's kernel tells."""
    async with EventStream(Group) as stream:
        yield Listener(stream)


# -- traffic -------------------------------------------------------------------

CIPHERS: dict[str, dict[str, object]] = {
    "gcm": {"aead": GCM},
    "ccm": {"aead": Aead("rfc4309(ccm(aes))", bytes(19), 128)},
    "chacha20": {"aead": Aead("rfc7539esp(chacha20,poly1305)", bytes(36), 128)},
    "cbc-sha256": {
        "aead": None, "crypt": Crypt("cbc(aes)", bytes(16)), "auth": Auth("hmac(sha256)", bytes(32), 128)
    },
    "ctr-xcbc": {
        "aead": None, "crypt": Crypt("rfc3686(ctr(aes))", bytes(20)), "auth": Auth("xcbc(aes)", bytes(16), 96)
    },
    "transport": {"mode": Mode.TRANSPORT},
    "esn": {"flags": SaFlag.ESN, "replay": Replay(128)},
    "window-1024": {"replay": Replay(1024)},
    "ah": {"proto": Proto.AH, "aead": None, "auth": Auth("hmac(sha512)", bytes(64), 256)},
}  # fmt: skip


@pytest.mark.parametrize("name", CIPHERS)
def test_ping_and_counters(pair: Pair, name: str) -> None:
    change = CIPHERS[name]
    outbound, inbound = (replace(sa, **change) for sa in (OUTBOUND, INBOUND))  # type: ignore[arg-type]
    install(pair, [outbound], [inbound])
    assert ping(RIGHT_ADDRESS)
    for channel in (pair.left, pair.right):
        for sa in (outbound, inbound):
            usage = channel.ask(GetSa(sa.id)).usage
            assert usage.packets == 1
            assert usage.octets >= 64
            assert usage.used_at > 0
    assert pair.left.ask(GetPolicy(policies(LEFT_ADDRESS, RIGHT_ADDRESS)[0].key)).usage.used_at > 0


def test_ping_over_ipv6(pair: Pair) -> None:
    outbound, inbound = replace(OUTBOUND, src=LEFT6, dst=RIGHT6), replace(INBOUND, src=RIGHT6, dst=LEFT6)
    install(pair, [outbound], [inbound])
    # Neighbour discovery would need the SA that it has to find the way for.
    pass_through = [
        NewPolicy(Policy(Selector.between("::/0", "::/0", 58, src_port=kind), way, priority=0))
        for kind in (135, 136)
        for way in (Direction.IN, Direction.OUT)
    ]
    for channel in (pair.left, pair.right):
        for direction in (Direction.IN, Direction.OUT):
            ends = (LEFT6, RIGHT6) if (channel is pair.left) == (direction == Direction.OUT) else (RIGHT6, LEFT6)
            sa = outbound if ends[0] == LEFT6 else inbound
            rule = Policy(Selector.between(host(ends[0]), host(ends[1])), direction, (template_of(sa),), priority=9)
            assert channel.ask(UpdPolicy(rule)) is None
        assert channel.batch(pass_through) == [None] * 4
    assert ping(RIGHT6)
    assert pair.right.ask(GetSa(outbound.id)).usage.packets == 1


def test_compressed_and_encrypted(pair: Pair) -> None:
    load_module("deflate")
    there = [
        Sa(LEFT_ADDRESS, RIGHT_ADDRESS, 0x2001, Proto.COMP, Mode.TUNNEL, 9, comp=Comp("deflate")),
        replace(OUTBOUND, mode=Mode.TRANSPORT),
    ]
    back = [
        Sa(RIGHT_ADDRESS, LEFT_ADDRESS, 0x2002, Proto.COMP, Mode.TUNNEL, 9, comp=Comp("deflate")),
        replace(INBOUND, mode=Mode.TRANSPORT),
    ]
    for channel, src, dst, way in (
        (pair.left, LEFT_ADDRESS, RIGHT_ADDRESS, there),
        (pair.right, RIGHT_ADDRESS, LEFT_ADDRESS, back),
    ):
        out, into = policies(src, dst, *(template_of(sa) for sa in way))
        into = replace(into, templates=(replace(into.templates[0], optional=True), into.templates[1]))
        requests = [*(NewSa(sa) for sa in (*there, *back)), NewPolicy(out), NewPolicy(into)]
        assert channel.batch(requests) == [None] * len(requests)
    assert ping(RIGHT_ADDRESS, "-s", "1000", "-p", "00")
    compressed = pair.right.ask(GetSa(there[0].id)).usage
    assert compressed.packets == 1
    # What ESP carried is shorter than the thousand zeros of the ping.
    assert pair.right.ask(GetSa(there[1].id)).usage.octets < 500


# -- NAT traversal -------------------------------------------------------------

UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2


def encap_socket(address: Address, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    bypass_policies(sock)
    sock.bind((str(address), port))
    return sock


async def test_mapping_when_the_peer_moves_behind_its_nat(pair: Pair, listener: Listener) -> None:
    outbound = replace(OUTBOUND, encap=Encap(4500, 4500))
    inbound = replace(INBOUND, encap=Encap(4500, 4500))
    with ExitStack() as sockets:
        sockets.enter_context(encap_socket(LEFT_ADDRESS, 4500))
        with entered(RIGHT):
            sockets.enter_context(encap_socket(RIGHT_ADDRESS, 4500))
        install(pair, [outbound], [inbound])
        assert ping(RIGHT_ADDRESS)
        # From now on the right side's packets carry another source port.
        pair.right.ask(UpdSa(replace(inbound, encap=Encap(4501, 4500))))
        ping(RIGHT_ADDRESS, wait=1)
        event = await listener.next(Mapping)
    assert event.id == inbound.id
    assert (event.reqid, event.old_src, event.old_port) == (7, RIGHT_ADDRESS, 4500)
    assert (event.new_src, event.new_port) == (RIGHT_ADDRESS, 4501)


# -- events of traffic ---------------------------------------------------------


async def test_acquire_and_its_answer(pair: Pair, listener: Listener) -> None:
    out, into = policies(LEFT_ADDRESS, RIGHT_ADDRESS, template_of(OUTBOUND))
    assert pair.left.batch([NewPolicy(out), NewPolicy(into)]) == [None, None]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", (str(RIGHT_ADDRESS), 9))
    event = await listener.next(Acquire)
    assert (event.src, event.dst, event.proto) == (LEFT_ADDRESS, RIGHT_ADDRESS, Proto.ESP)
    assert (event.selector.src, event.selector.dst) == (LEFT_ADDRESS, RIGHT_ADDRESS)
    assert (event.selector.proto, event.selector.dst_port) == (socket.IPPROTO_UDP, 9)
    assert event.policy.policy.templates == out.templates
    assert event.policy.policy.selector == out.selector
    assert event.seq > 0
    # The SA that answers carries the sequence number and takes the larval one's place.
    assert pair.left.batch([NewSa(replace(OUTBOUND, seq=event.seq)), NewSa(INBOUND)]) == [None, None]
    back = policies(RIGHT_ADDRESS, LEFT_ADDRESS, template_of(INBOUND))
    assert pair.right.batch([NewSa(OUTBOUND), NewSa(INBOUND), *map(NewPolicy, back)]) == [None] * 4
    assert ping(RIGHT_ADDRESS)


async def test_acquire_by_request(netns: None, listener: Listener) -> None:
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS, template_of(OUTBOUND))[0]
    with Channel() as channel:
        channel.ask(NewPolicy(rule))
        channel.ask(AcquireSa(LEFT_ADDRESS, RIGHT_ADDRESS, rule, seq=5))
    event = await listener.next(Acquire)
    assert (event.src, event.dst) == (LEFT_ADDRESS, RIGHT_ADDRESS)


async def test_soft_and_hard_expiry(pair: Pair, listener: Listener) -> None:
    limits = Lifetime(soft_packets=2, hard_packets=4)
    install(pair, [replace(OUTBOUND, lifetime=limits)], [INBOUND])
    for _ in range(3):  # the limit is looked at before a packet is counted
        assert ping(RIGHT_ADDRESS)
    soft = await listener.next(Expire)
    assert not soft.hard
    assert soft.info.sa.id == OUTBOUND.id
    assert soft.info.sa.lifetime == limits
    assert soft.info.usage.packets == 2
    for _ in range(3):
        ping(RIGHT_ADDRESS, wait=1)
    hard = await listener.next(Expire)
    assert hard.hard
    assert hard.info.sa.id == OUTBOUND.id
    with pytest.raises(Gone):
        pair.left.ask(GetSa(OUTBOUND.id))


async def test_expiry_by_time(netns: None, listener: Listener) -> None:
    with Channel() as channel:
        channel.ask(NewSa(replace(OUTBOUND, lifetime=Lifetime(hard_add_for=1))))
        assert (await listener.next(Expire)).hard
        with pytest.raises(Gone):
            channel.ask(GetSa(OUTBOUND.id))


async def test_policy_expiry(netns: None, listener: Listener) -> None:
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS, template_of(OUTBOUND))[0]
    with Channel() as channel:
        channel.ask(NewPolicy(replace(rule, lifetime=Lifetime(hard_add_for=1))))
        event = await listener.next(PolicyExpire)
        assert event.hard
        assert event.info.policy.selector == rule.selector
        assert event.info.policy.templates == rule.templates
        with pytest.raises(Gone):
            channel.ask(GetPolicy(rule.key))


async def test_async_event_by_packets(pair: Pair, listener: Listener) -> None:
    install(pair, [replace(OUTBOUND, replay_threshold=2)], [INBOUND])
    for _ in range(3):
        assert ping(RIGHT_ADDRESS)
    event = await listener.next(AsyncEvent)
    assert event.state.id == OUTBOUND.id
    assert event.state.flags & AeFlag.CR
    assert event.state.replay is not None
    assert event.state.replay.oseq >= 2


IPV6_DSTOPTS = 59
EXPERIMENTAL = 253  # an IP protocol without a checksum, which would cover the home address
HOME_ADDRESS_OPTION = bytes.fromhex("0002 01020000 c910")  # header, PadN, option 201 of 16 octets (RFC 6275 §6.3)


async def test_report_of_a_mobile_packet_without_policy(pair: Pair, listener: Listener) -> None:
    """A mobile node away from home claims its home address; nothing here allows the route it chose."""
    load_module("mip6")
    home = ip_address("2001:db8:77::7")
    route = Sa(home, LEFT6, 0, Proto.DSTOPTS, Mode.ROUTEOPTIMIZATION, coaddr=RIGHT6)
    pair.left.ask(NewSa(route))
    assert pair.left.ask(GetSa(replace(route.id, src=home))).sa.coaddr == RIGHT6
    with entered(RIGHT):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, EXPERIMENTAL)
    with sock:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_DSTOPTS, HOME_ADDRESS_OPTION + home.packed)
        sock.sendto(b"hello", (str(LEFT6), 0))
    event = await listener.next(Report)
    assert event.proto == Proto.DSTOPTS
    assert event.selector is not None
    assert (event.selector.src, event.selector.dst) == (home, LEFT6)
    assert event.selector.proto == EXPERIMENTAL
    assert event.address == RIGHT6


# -- events of requests --------------------------------------------------------


async def test_every_change_is_told(netns: None, listener: Listener) -> None:
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS, template_of(OUTBOUND))[0]
    with Channel() as channel:
        channel.ask(NewSa(OUTBOUND))
        added = await listener.next(SaAdded)
        assert added.info.sa.id == OUTBOUND.id
        assert added.info.sa.aead == GCM
        channel.ask(UpdSa(replace(OUTBOUND, lifetime=Lifetime(hard_add_for=3600))))
        assert (await listener.next(SaUpdated)).info.sa.lifetime.hard_add_for == 3600
        channel.ask(ExpireSa(OUTBOUND))
        assert not (await listener.next(Expire)).hard
        usage = Usage(5000, 50, 1_700_000_000, 1_700_000_001)
        channel.ask(NewAe(AeState(OUTBOUND.id, LEFT_ADDRESS, usage=usage)))
        told = (await listener.next(AsyncEvent)).state
        assert told.flags & AeFlag.CU
        assert told.usage == usage
        channel.ask(DelSa(OUTBOUND.id))
        deleted = await listener.next(SaDeleted)
        assert deleted.id == OUTBOUND.id
        assert deleted.info is not None
        assert deleted.info.sa.reqid == 7
        channel.ask(NewSa(OUTBOUND))
        channel.ask(FlushSa(Proto.ESP))
        assert (await listener.next(SasFlushed)).proto == Proto.ESP

        channel.ask(NewPolicy(rule))
        assert (await listener.next(PolicyAdded)).info.policy.selector == rule.selector
        channel.ask(UpdPolicy(replace(rule, priority=3)))
        updated = (await listener.next(PolicyUpdated)).info.policy
        assert updated.priority == 3
        channel.ask(ExpirePolicy(rule))
        assert not (await listener.next(PolicyExpire)).hard
        channel.ask(DelPolicy(rule.key))
        gone = await listener.next(PolicyDeleted)
        assert gone.info is not None
        assert gone.info.policy.templates == rule.templates
        assert gone.name == rule.key
        channel.ask(NewPolicy(rule))
        index = channel.ask(GetPolicy(rule.key)).policy.index
        channel.ask(DelPolicy(PolicyIndex(index)))
        assert (await listener.next(PolicyDeleted)).name == PolicyIndex(index)
        assert channel.batch([NewPolicy(rule), FlushPolicy()]) == [None, None]  # an empty flush is not told
        assert (await listener.next(PoliciesFlushed)).type == PolicyType.MAIN
        channel.ask(SetDefault(Defaults(fwd=DefaultAction.BLOCK)))
        assert (await listener.next(DefaultsChanged)).defaults.fwd == DefaultAction.BLOCK
    assert listener.stream.pending() is None


async def test_events_lost_are_told(netns: None) -> None:
    requests = [NewSa(replace(OUTBOUND, spi=0x2000 + n)) for n in range(200)]
    async with EventStream([Group.SA], receive_buffer=4096) as stream:
        with Channel() as channel:
            assert channel.batch(requests) == [None] * len(requests)
            listener = Listener(stream)
            await listener.next(Overrun)
            while stream.pending() is not None:
                pass
            channel.ask(FlushSa())
        # The stream goes on after the gap.
        assert (await listener.next(SasFlushed)).proto == Proto.ANY


async def test_only_the_groups_asked_for(netns: None) -> None:
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS, template_of(OUTBOUND))[0]
    async with EventStream([Group.POLICY]) as stream:
        with Channel() as channel:
            assert channel.batch([NewSa(OUTBOUND), NewPolicy(rule), FlushPolicy()]) == [None] * 3
        assert isinstance(stream.pending(), PolicyAdded)
        assert stream.pending() == PoliciesFlushed(PolicyType.MAIN)
        assert stream.pending() is None


# -- moving --------------------------------------------------------------------


async def test_migrate_moves_policy_and_sa(pair: Pair, listener: Listener) -> None:
    install(pair, [OUTBOUND], [INBOUND])
    elsewhere = ip_address("192.0.2.12")
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS)[0]
    moved = Migration(LEFT_ADDRESS, RIGHT_ADDRESS, LEFT_ADDRESS, elsewhere, reqid=7)
    pair.left.ask(Migrate(rule.key, (moved,), KmAddress(LEFT_ADDRESS, elsewhere)))
    event = await listener.next(Migrated)
    assert event.policy.selector == rule.selector
    assert event.migrations == (moved,)
    assert event.kmaddress == KmAddress(LEFT_ADDRESS, elsewhere)
    found = pair.left.ask(GetSa(replace(OUTBOUND, dst=elsewhere).id)).sa
    assert (found.src, found.dst, found.aead, found.reqid) == (LEFT_ADDRESS, elsewhere, GCM, 7)
    with pytest.raises(Gone):
        pair.left.ask(GetSa(OUTBOUND.id))
    assert pair.left.ask(GetPolicy(rule.key)).policy.templates[0].dst == elsewhere
    # The peer moves its half, too, and the tunnel carries on.
    pair.right.batch([DelSa(OUTBOUND.id), NewSa(replace(OUTBOUND, dst=elsewhere))])
    into = policies(RIGHT_ADDRESS, LEFT_ADDRESS, replace(template_of(INBOUND), src=elsewhere))[1]
    pair.right.ask(UpdPolicy(into))
    assert ping(RIGHT_ADDRESS)


def test_migrate_without_such_a_policy(netns: None) -> None:
    rule = policies(LEFT_ADDRESS, RIGHT_ADDRESS)[0]
    moved = Migration(LEFT_ADDRESS, RIGHT_ADDRESS, LEFT_ADDRESS, ip_address("192.0.2.12"))
    with Channel() as channel, pytest.raises(Gone):
        channel.ask(Migrate(rule.key, (moved,)))


# -- namespaces and interfaces -------------------------------------------------


def test_another_namespace(pair: Pair) -> None:
    pair.right.ask(NewSa(OUTBOUND))
    with Channel(f"/run/netns/{RIGHT}") as channel:
        assert channel.ask(GetSa(OUTBOUND.id)).sa.aead == GCM
    with pytest.raises(Gone):
        pair.left.ask(GetSa(OUTBOUND.id))
    with pytest.raises(Gone, match="nowhere"):
        Channel("nowhere")
