"""Records to octets and back, for anything the records can hold."""

from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from xfrm import (
    AcquireSa,
    Address,
    Aead,
    AeState,
    Auth,
    Comp,
    Crypt,
    Encap,
    ExpirePolicy,
    ExpireSa,
    Iptfs,
    KmAddress,
    Lifetime,
    Mark,
    Migrate,
    Migration,
    NewAe,
    NewPolicy,
    NewSa,
    Offload,
    Policy,
    PolicyKey,
    Replay,
    Request,
    Sa,
    SaFlag,
    SaId,
    SecurityContext,
    Selector,
    Template,
    Usage,
)
from xfrm.events import Acquire, AsyncEvent, Event, Expire, Migrated, PolicyAdded, PolicyExpire, SaAdded, read_event
from xfrm.messages import walk

E = TypeVar("E", bound=Event)

u8, u16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
u32, u64 = st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFFFFFFFFFF)
some_u32 = st.integers(1, 0xFFFFFFFF)  # zero is the same as absent
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789()_,", min_size=1, max_size=63)
keys = st.binary(max_size=80)
marks = st.builds(Mark, u32, u32)
contexts = st.builds(SecurityContext, st.binary(min_size=1, max_size=60), u8, u8)
offloads = st.builds(Offload, st.integers(1, 0x7FFFFFFF), u8)
lifetimes = st.builds(Lifetime, u64, u64, u64, u64, u64, u64, u64, u64)
usages = st.builds(Usage, u64, u64, u64, u64)


def addresses(version: int) -> st.SearchStrategy[Address]:
    return st.builds(IPv4Address, u32) if version == 4 else st.builds(IPv6Address, st.integers(0, (1 << 128) - 1))


def some_addresses(version: int) -> st.SearchStrategy[Address]:
    return addresses(version).filter(lambda address: int(address) != 0)


def selectors(version: int) -> st.SearchStrategy[Selector]:
    prefix = st.integers(0, 32 if version == 4 else 128)
    return st.builds(
        Selector, addresses(version), prefix, addresses(version), prefix, u8, u16, u16, u16, u16,
        st.integers(-(1 << 31), (1 << 31) - 1), u32,
    )  # fmt: skip


@st.composite
def replays(draw: st.DrawFn, esn: bool) -> Replay:
    window = draw(st.integers(1, 4096) if esn else st.sampled_from([0, 1, 31, 32, 33, 64, 1000, 4096]))
    if window <= 32 and not esn:
        return draw(st.builds(Replay, st.just(window), u32, u32, u32))
    words = (window + 31) // 32
    return draw(st.builds(Replay, st.just(window), u64, u64, st.integers(0, (1 << 32 * words) - 1)))


@st.composite
def sas(draw: st.DrawFn) -> Sa:
    version = draw(st.sampled_from([4, 6]))
    flags = draw(u8)
    iptfs = st.builds(
        Iptfs, st.none() | u32, st.none() | u16, st.booleans(), st.none() | u32, st.none() | u32, st.none() | u32
    )
    return draw(
        st.builds(
            Sa, addresses(version), addresses(version), u32, u8, u8, u32,
            aead=st.none() | st.builds(Aead, names, keys, u16),
            crypt=st.none() | st.builds(Crypt, names, keys),
            auth=st.none() | st.builds(Auth, names, keys, st.none() | u16),
            comp=st.none() | st.builds(Comp, names, keys),
            encap=st.none() | st.builds(Encap, u16, u16, u16, st.none() | some_addresses(version)),
            replay=replays(bool(flags & SaFlag.ESN)),
            flags=st.just(flags),
            extra_flags=u32,
            selector=st.none() | selectors(version),
            lifetime=lifetimes,
            mark=st.none() | marks,
            output_mark=st.none() | marks,
            if_id=u32,
            direction=st.none() | u8,
            tfc_pad=u32,
            offload=st.none() | offloads,
            cpu=st.none() | u32,
            iptfs=st.none() | iptfs.filter(lambda value: value != Iptfs()),
            coaddr=st.none() | addresses(version),
            security=st.none() | contexts,
            nat_keepalive_for=u32,
            mapping_max_age_for=u32,
            replay_threshold=st.none() | u32,
            timer_threshold=st.none() | u32,
            seq=u32,
            usage=st.none() | usages,
        )
    )  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    version = draw(st.sampled_from([4, 6]))
    outer = draw(st.sampled_from([4, 6]))
    templates = st.lists(
        st.builds(Template, addresses(outer), addresses(outer), u8, u8, u32, u32, st.booleans(), u8, u32, u32, u32),
        max_size=6,
    )
    return draw(
        st.builds(
            Policy, selectors(version), st.integers(0, 2), templates.map(tuple), u32, u32, u8, lifetimes, u8, u8, u8,
            st.none() | marks, u32, st.none() | contexts, st.none() | offloads,
        )
    )  # fmt: skip


def told(request: Request[None], kind: type[E]) -> E:
    """The event a listener would read if the kernel told the request as it is."""
    (message,) = walk(request.encode(7))
    assert message.seq == 7
    event = read_event(message)
    assert isinstance(event, kind)
    return event


@given(sas())
def test_sa(sa: Sa) -> None:
    info = told(NewSa(sa), SaAdded).info
    assert info.sa == sa
    assert info.usage == Usage()


@given(sas(), st.booleans())
def test_expire(sa: Sa, hard: bool) -> None:
    event = told(ExpireSa(sa, hard), Expire)
    assert event.hard == hard
    assert event.info.sa.id == sa.id


@given(policies())
def test_policy(policy: Policy) -> None:
    assert told(NewPolicy(policy), PolicyAdded).info.policy == policy


@given(policies(), st.booleans())
def test_policy_expire(policy: Policy, hard: bool) -> None:
    event = told(ExpirePolicy(policy, hard), PolicyExpire)
    assert event.hard == hard
    assert event.info.policy.selector == policy.selector


@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(addresses(v), addresses(v), selectors(v))), u32, u8)
def test_acquire(ends: tuple[Address, Address, Selector], seq: int, proto: int) -> None:
    src, dst, selector = ends
    policy = Policy(selector, 1, (Template(src, dst),))
    event = told(AcquireSa(src, dst, policy, proto, seq), Acquire)
    assert (event.src, event.dst, event.proto, event.seq) == (src, dst, proto, seq)
    assert event.policy.policy == policy


@st.composite
def ae_states(draw: st.DrawFn) -> AeState:
    version = draw(st.sampled_from([4, 6]))
    esn = draw(st.booleans())
    name = draw(st.builds(SaId, addresses(version), u32, u8, st.none() | marks))
    # A window up to 32 is the SA's own affair and not part of the counters.
    counters = replays(True) if esn else st.builds(Replay, st.just(0), some_u32, u32, u32)
    return draw(
        st.builds(
            AeState, st.just(name), st.none() | some_addresses(version), u32, u32,
            counters if esn else st.none() | counters, st.none() | usages, st.none() | u32, st.none() | u32,
            st.just(esn),
        )
    )  # fmt: skip


@given(ae_states())
def test_ae(state: AeState) -> None:
    assert told(NewAe(state), AsyncEvent).state == state


@given(
    st.sampled_from([4, 6]).flatmap(
        lambda v: st.tuples(
            selectors(v),
            st.lists(
                st.builds(
                    Migration, addresses(v), addresses(v), addresses(v), addresses(v), u8, u8, u32
                ), min_size=1, max_size=6,
            ).map(tuple),
            st.none() | st.builds(KmAddress, addresses(v), addresses(v)),
        )
    ),
    st.none() | marks, u32, st.none() | st.tuples(u16, u16),
)  # fmt: skip
def test_migrate(
    parts: tuple[Selector, tuple[Migration, ...], KmAddress | None],
    mark: Mark | None,
    if_id: int,
    ports: tuple[int, int] | None,
) -> None:
    selector, migrations, kmaddress = parts
    key = PolicyKey(selector, 1, mark, if_id)
    encap = None if ports is None else Encap(*ports)
    event = told(Migrate(key, migrations, kmaddress, encap), Migrated)
    assert event == Migrated(key, migrations, kmaddress, ports)
