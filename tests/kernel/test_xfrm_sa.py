"""SAs in a kernel with real ESP, AH and IPComp: what goes in comes out."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from xfrm import (
    AddressFilter,
    Aead,
    AeState,
    AllocSpi,
    Auth,
    Channel,
    Comp,
    Crypt,
    DelSa,
    DumpSa,
    Encap,
    Exhausted,
    Exists,
    ExpireSa,
    FlushSa,
    GetAe,
    GetSa,
    GetSadInfo,
    Gone,
    Invalid,
    Lifetime,
    Mark,
    Mode,
    NewAe,
    NewSa,
    Proto,
    Replay,
    Sa,
    SaExtraFlag,
    SaFlag,
    SaId,
    SaInfo,
    Selector,
    Unsupported,
    UpdSa,
    Usage,
    XfrmError,
)

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
SPI = 0xC0FFEE01
IPIP = 4
GCM = Aead("rfc4106(gcm(aes))", bytes(range(20)), 128)
CBC = Crypt("cbc(aes)", bytes(range(16)))
SHA2 = Auth("hmac(sha256)", bytes(range(32)), 128)


@pytest.fixture(scope="module", autouse=True)
def compression() -> None:
    """IPComp's algorithm is a module of its own, which the guest does not load by itself."""
    subprocess.run(["modprobe", "--dirname", "/run/modules", "deflate"], check=True)


@pytest.fixture
def channel(netns: None) -> Iterator[Channel]:
    with Channel() as opened:
        yield opened


def as_kernel_has_it(sa: Sa) -> Sa:
    """The kernel fills a missing selector with the SA's family: any packet of it."""
    if sa.selector is None and not sa.flags & SaFlag.AF_UNSPEC:
        zero = ip_network("0.0.0.0/0" if sa.dst.version == 4 else "::/0")
        return replace(sa, selector=Selector.between(zero, zero))
    return sa


def stored(channel: Channel, sa: Sa) -> SaInfo:
    channel.ask(NewSa(sa))
    return channel.ask(GetSa(sa.id))


def every(channel: Channel, dump: DumpSa | None = None) -> list[SaInfo]:
    return [info for piece in channel.dump(dump or DumpSa()) for info in piece]


BASE = Sa(A, B, SPI, reqid=7, aead=GCM)
NO_AEAD = Sa(A, B, SPI, reqid=7, auth=SHA2)

AEADS = [
    *(Aead("rfc4106(gcm(aes))", bytes(size + 4), icv) for size in (16, 24, 32) for icv in (64, 96, 128)),
    *(Aead("rfc4309(ccm(aes))", bytes(size + 3), icv) for size in (16, 24, 32) for icv in (64, 96, 128)),
    Aead("rfc7539esp(chacha20,poly1305)", bytes(36), 128),
    Aead("rfc4543(gcm(aes))", bytes(20), 128),
]  # fmt: skip
CRYPTS = [
    *(Crypt("cbc(aes)", bytes(range(size))) for size in (16, 24, 32)),
    *(Crypt("rfc3686(ctr(aes))", bytes(size + 4)) for size in (16, 24, 32)),
    *(Crypt("cbc(camellia)", bytes(size)) for size in (16, 24, 32)),
    Crypt("cbc(des3_ede)", bytes(range(24))),
    Crypt("ecb(cipher_null)", b""),
]
AUTHS = [
    Auth("hmac(md5)", bytes(16), 96),
    Auth("hmac(sha1)", bytes(20), 96),
    Auth("hmac(sha256)", bytes(32), 128),
    Auth("hmac(sha384)", bytes(48), 192),
    Auth("hmac(sha512)", bytes(64), 256),
    Auth("xcbc(aes)", bytes(16), 96),
    Auth("cmac(aes)", bytes(16), 96),
]

SAS = {
    **{f"{a.name}-{len(a.key)}-{a.icv_bits}": replace(BASE, aead=a) for a in AEADS},
    **{f"{c.name}-{len(c.key)}": replace(NO_AEAD, crypt=c) for c in CRYPTS},
    **{f"esp-{a.name}": Sa(A, B, SPI, auth=a, crypt=CBC) for a in AUTHS},
    **{f"ah-{a.name}": Sa(A, B, SPI, Proto.AH, Mode.TRANSPORT, auth=a) for a in AUTHS},
    "comp": Sa(A, B, 0x1234, Proto.COMP, comp=Comp("deflate")),
    "ipv6": Sa(A6, B6, SPI, reqid=7, aead=GCM),
    "ah-ipv6": Sa(A6, B6, SPI, Proto.AH, auth=SHA2),
    "transport": replace(BASE, mode=Mode.TRANSPORT),
    "beet": replace(BASE, mode=Mode.BEET, selector=Selector.between("10.0.0.1", "10.0.0.2")),
    "mixed-families": replace(BASE, flags=SaFlag.AF_UNSPEC),
    "encap": replace(BASE, encap=Encap(4500, 34567)),
    "encap-original": replace(BASE, encap=Encap(4500, 34567, original=ip_address("198.51.100.7"))),
    "mark": replace(BASE, mark=Mark(0x10, 0xFF)),
    "output-mark": replace(BASE, output_mark=Mark(0x20, 0xF0)),
    "if_id": replace(BASE, if_id=42),
    "flags": replace(
        BASE, flags=SaFlag.NOECN | SaFlag.DECAP_DSCP | SaFlag.NOPMTUDISC,
        extra_flags=SaExtraFlag.DONT_ENCAP_DSCP | SaExtraFlag.OSEQ_MAY_WRAP,
    ),
    "tfc-pad": replace(BASE, tfc_pad=1400),
    "limits": replace(BASE, lifetime=Lifetime(1 << 40, 1 << 41, 1 << 33, 1 << 34, 100, 200, 300, 400)),
    "selector": replace(
        BASE, mode=Mode.TRANSPORT, selector=Selector.between("192.0.2.1", "192.0.2.2", 17, src_port=1701)
    ),
    "seq": replace(BASE, seq=77),
    "mapping-age": replace(BASE, encap=Encap(4500, 4500), mapping_max_age_for=60),
    **{f"window-{n}": replace(BASE, replay=Replay(n)) for n in (1, 32, 33, 64, 100, 4096)},
    **{
        f"esn-window-{n}": replace(BASE, replay=Replay(n), flags=SaFlag.ESN)
        for n in (1, 32, 33, 64, 128, 4096)
    },
    "counters": replace(BASE, replay=Replay(32, seq=1000, oseq=2000, bitmap=0b1011)),
    "esn-counters": replace(
        BASE, flags=SaFlag.ESN,
        replay=Replay(128, seq=5 << 32 | 1000, oseq=6 << 32 | 2000, bitmap=1 << 100 | 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAS)
def test_what_goes_in_comes_out(channel: Channel, name: str) -> None:
    sa = SAS[name]
    info = stored(channel, sa)
    assert info.sa == as_kernel_has_it(sa)
    assert info.usage.octets == info.usage.packets == 0
    assert info.usage.added_at > 0
    # An IPComp tunnel brings a companion for packets that were too short to compress.
    assert [found.sa for found in every(channel) if found.sa.proto != IPIP] == [info.sa]
    channel.ask(DelSa(sa.id))
    assert not list(channel.dump(DumpSa()))


def test_thresholds_and_preloaded_usage(channel: Channel) -> None:
    usage = Usage(1000, 10, 1_700_000_000, 1_700_000_001)
    sa = replace(BASE, replay_threshold=32, timer_threshold=100, usage=usage)
    info = stored(channel, sa)
    assert info.usage == usage
    state = channel.ask(GetAe(sa.id))
    # The kernel takes ticks, of which it has 100 a second here, and gives tenths of a second.
    assert (state.replay_threshold, state.timer_threshold) == (32, 10)
    assert state.usage == usage
    assert (state.id, state.src, state.reqid) == (sa.id, A, 7)


def test_counters_are_set_for_failover(channel: Channel) -> None:
    channel.ask(NewSa(replace(BASE, replay=Replay(32))))
    usage = Usage(5000, 50, 1_700_000_000, 1_700_000_001)
    channel.ask(NewAe(AeState(BASE.id, A, replay=Replay(32, seq=9, oseq=8, bitmap=1), usage=usage)))
    state = channel.ask(GetAe(BASE.id))
    assert state.usage == usage
    assert state.replay is not None
    assert (state.replay.seq, state.replay.oseq, state.replay.bitmap) == (9, 8, 1)
    assert channel.ask(GetSa(BASE.id)).usage == usage


def test_esn_counters_are_set_for_failover(channel: Channel) -> None:
    sa = replace(BASE, flags=SaFlag.ESN, replay=Replay(64))
    channel.ask(NewSa(sa))
    ahead = Replay(64, seq=1 << 32 | 9, oseq=2 << 32 | 8, bitmap=1 << 40)
    channel.ask(NewAe(AeState(sa.id, A, replay=ahead, esn=True)))
    state = channel.ask(GetAe(sa.id, thresholds=False))
    assert state.esn
    assert state.replay == ahead
    assert state.replay_threshold is None


def test_allocated_spi_becomes_an_sa(channel: Channel) -> None:
    spi = channel.ask(AllocSpi(A, B, reqid=7, low=0xC0000000, high=0xCFFFFFFF))
    assert 0xC0000000 <= spi <= 0xCFFFFFFF
    larval = channel.ask(GetSa(SaId(B, spi)))
    assert larval.sa.aead is None
    sa = replace(BASE, spi=spi, replay=Replay(32))
    with pytest.raises(Exists):
        channel.ask(NewSa(sa))
    channel.ask(UpdSa(sa))
    assert channel.ask(GetSa(sa.id)).sa == as_kernel_has_it(sa)


def test_a_used_up_range_of_spis(channel: Channel) -> None:
    assert channel.ask(AllocSpi(A, B, low=0x1000, high=0x1000)) == 0x1000
    with pytest.raises(Exhausted, match="0x1000"):
        channel.ask(AllocSpi(A, B, low=0x1000, high=0x1000, reqid=2))


def test_cpis_are_allocated_too(channel: Channel) -> None:
    assert 0x100 <= channel.ask(AllocSpi(A, B, Proto.COMP, low=0x100, high=0xEFFF)) <= 0xEFFF


def test_live_sa_is_updated(channel: Channel) -> None:
    sa = replace(BASE, encap=Encap(4500, 4500))
    channel.ask(NewSa(sa))
    longer = replace(sa, encap=Encap(4500, 1024), lifetime=Lifetime(hard_add_for=3600))
    channel.ask(UpdSa(longer))
    found = channel.ask(GetSa(sa.id)).sa
    assert found.encap == longer.encap
    assert found.lifetime == longer.lifetime


def test_errors_say_what_they_mean(channel: Channel) -> None:
    for request in (DelSa(BASE.id), GetSa(BASE.id), UpdSa(BASE), GetAe(BASE.id), ExpireSa(BASE)):
        with pytest.raises(Gone):
            channel.ask(request)
    channel.ask(NewSa(BASE))
    with pytest.raises(Exists, match="0xc0ffee01"):
        channel.ask(NewSa(BASE))
    with pytest.raises(Invalid):
        channel.ask(NewSa(replace(BASE, spi=SPI + 1, aead=None)))


@pytest.mark.parametrize(
    ("change", "algorithm"),
    [
        ({"aead": Aead("rfc4106(gcm(sm4))", bytes(20), 128)}, "rfc4106(gcm(sm4)) with 160 bits of key"),
        ({"aead": Aead("rfc4106(gcm(aes))", bytes(19), 128)}, "rfc4106(gcm(aes)) with 152 bits of key"),
        (
            {"aead": None, "auth": SHA2, "crypt": Crypt("cbc(nothing)", bytes(16))},
            "cbc(nothing) with 128 bits of key",
        ),
        (
            {"aead": None, "crypt": CBC, "auth": Auth("hmac(nothing)", bytes(16), 96)},
            "hmac(nothing) with 128 bits of key",
        ),
        ({"aead": None, "proto": Proto.COMP, "spi": 0x1234, "comp": Comp("zstd")}, "zstd"),
    ],
)  # fmt: skip
def test_a_missing_algorithm_is_named(channel: Channel, change: dict[str, object], algorithm: str) -> None:
    with pytest.raises(Unsupported) as caught:
        channel.ask(NewSa(replace(BASE, **change)))  # type: ignore[arg-type]
    assert caught.value.algorithms == (algorithm,)
    assert algorithm in str(caught.value)
    assert not list(channel.dump(DumpSa()))


def test_a_missing_mode_is_named(channel: Channel) -> None:
    with pytest.raises(XfrmError) as caught:
        channel.ask(NewSa(replace(BASE, mode=Mode.IPTFS)))
    assert isinstance(caught.value, Unsupported | Invalid)


def test_flush_by_protocol(channel: Channel) -> None:
    ah = Sa(A, B, SPI, Proto.AH, auth=SHA2)
    assert channel.batch([NewSa(BASE), NewSa(ah), FlushSa(Proto.ESP)]) == [None] * 3
    assert [info.sa.proto for info in every(channel)] == [Proto.AH]
    channel.ask(FlushSa())
    assert not list(channel.dump(DumpSa()))


def test_dump_of_some(channel: Channel) -> None:
    ah = Sa(A, B, SPI, Proto.AH, auth=SHA2)
    other = replace(BASE, src=ip_address("198.51.100.1"), dst=ip_address("198.51.100.2"))
    assert channel.batch([NewSa(BASE), NewSa(ah), NewSa(other)]) == [None] * 3
    assert {info.sa.proto for info in every(channel, DumpSa(Proto.AH))} == {Proto.AH}
    near = AddressFilter(ip_address("198.51.100.0"), 24, ip_address("198.51.100.0"), 24)
    assert [info.sa.dst for info in every(channel, DumpSa(between=near))] == [other.dst]


def test_dump_of_many_comes_in_pieces(channel: Channel) -> None:
    many = [NewSa(replace(BASE, spi=SPI + n)) for n in range(300)]
    assert channel.batch(many) == [None] * len(many)
    assert channel.ask(GetSadInfo()).count == len(many)
    pieces = list(channel.dump(DumpSa()))
    assert len(pieces) > 1
    assert sorted(info.sa.spi for piece in pieces for info in piece) == [SPI + n for n in range(300)]


def test_mark_belongs_to_the_name(channel: Channel) -> None:
    sa = replace(BASE, mark=Mark(5))
    channel.ask(NewSa(sa))
    with pytest.raises(Gone):
        channel.ask(GetSa(SaId(B, SPI)))
    channel.ask(DelSa(sa.id))
