"""Records: what they show, what they refuse, and the attributes that ip 6.1 does not know."""

import pickle
from dataclasses import replace
from ipaddress import ip_address

import pytest

from xfrm import (
    Aead,
    AllocSpi,
    Auth,
    Comp,
    Crypt,
    Denied,
    Direction,
    Encap,
    GetPolicy,
    Iptfs,
    Migrate,
    Migration,
    Mode,
    NewPolicy,
    NewSa,
    Offload,
    OffloadFlag,
    Policy,
    PolicyIndex,
    Replay,
    Request,
    Sa,
    SaDirection,
    SaFlag,
    Selector,
    Template,
    Unsupported,
    UpdSa,
)
from xfrm.errors import XfrmError, error_for

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
A6 = ip_address("2001:db8::1")
SECRET = b"hidden-from-everyone"
GCM = Aead("rfc4106(gcm(aes))", SECRET, 128)
SA = Sa(
    A, B, 0x1234, aead=GCM, crypt=Crypt("cbc(aes)", SECRET), auth=Auth("hmac(sha1)", SECRET), comp=Comp("x", SECRET)
)
NETS = Selector.between("10.1.0.0/16", "10.2.0.0/16")


def attributes(request: Request[object], skip: int) -> dict[int, str]:
    """Number -> payload in hex, of a message that begins with `skip` octets of struct."""
    octets = request.encode(0)[16 + skip :]
    found = {}
    while octets:
        size, number = int.from_bytes(octets[:2], "little"), int.from_bytes(octets[2:4], "little")
        found[number] = octets[4:size].hex()
        octets = octets[size + 3 & ~3 :]
    return found


@pytest.mark.parametrize("shown", [SA, NewSa(SA), UpdSa(SA), GCM, SA.auth, SA.crypt, SA.comp])
def test_keys_are_not_shown(shown: object) -> None:
    for text in (repr(shown), str(shown), f"{shown}"):
        assert "hidden" not in text
        assert SECRET.hex() not in text
        assert "<20 octets>" in text


@pytest.mark.parametrize(
    "change",
    [{"spi": -1}, {"spi": 1 << 32}, {"proto": 256}, {"reqid": 1 << 32}, {"src": A6}, {"if_id": -1}, {"mode": "tunnel"}],
)
def test_what_does_not_fit_is_refused_without_keys(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="NEWSA") as caught:
        NewSa(replace(SA, **change)).encode(1)  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (NewSa(replace(SA, aead=Aead("x" * 64, SECRET, 128))), "64 octets"),
        (NewSa(replace(SA, replay=Replay(4097))), "4096"),
        (NewSa(replace(SA, replay=Replay(64, bitmap=1 << 64))), "wider"),
        (NewSa(replace(SA, encap=Encap(70000, 4500))), "NEWSA"),
        (NewSa(replace(SA, selector=Selector(A, 32, A6, 128))), "mixes families"),
        (NewPolicy(Policy(NETS, Direction.OUT, (Template(A, B),) * 7)), "7 templates"),
        (Migrate(Policy(NETS, Direction.OUT).key, ()), "0 migrations"),
        (Migrate(Policy(NETS, Direction.OUT).key, (Migration(A, B, A, B),) * 7), "7 migrations"),
        (GetPolicy(PolicyIndex(1 << 32)), "GETPOLICY"),
        (AllocSpi(A, B, low=-1), "ALLOCSPI"),
    ],
)  # fmt: skip
def test_what_the_kernel_would_refuse_is_not_sent(request_: Request[object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        request_.encode(1)
    assert "hidden" not in str(caught.value)


def test_selector_between() -> None:
    assert NETS.src == ip_address("10.1.0.0")
    assert (NETS.src_prefix, NETS.dst_prefix, NETS.src_port_mask) == (16, 16, 0)
    assert Selector.between("::/0", "::/0", 58, src_port=0).src_port_mask == 0xFFFF
    with pytest.raises(ValueError, match="mixes families"):
        Selector.between("10.0.0.0/8", "::/0")
    with pytest.raises(ValueError, match="host bits"):
        Selector.between("10.0.0.1/8", "10.0.0.0/8")


BARE = Sa(A, B, 0x1234)


@pytest.mark.parametrize(
    ("change", "number", "payload"),
    [
        ({"direction": SaDirection.OUT}, 33, "02"),
        ({"nat_keepalive_for": 20}, 34, "14000000"),
        ({"cpu": 3}, 35, "03000000"),
        ({"cpu": 0}, 35, "00000000"),
        ({"mapping_max_age_for": 60}, 32, "3c000000"),
        ({"iptfs": Iptfs(drop_time_us=1_000_000)}, 36, "40420f00"),
        ({"iptfs": Iptfs(reorder_window=3)}, 37, "0300"),
        ({"iptfs": Iptfs(dont_fragment=True)}, 38, ""),
        ({"iptfs": Iptfs(init_delay_us=10)}, 39, "0a000000"),
        ({"iptfs": Iptfs(max_queue_octets=10)}, 40, "0a000000"),
        ({"iptfs": Iptfs(packet_octets=1400)}, 41, "78050000"),
        ({"offload": Offload(5, OffloadFlag.INBOUND | OffloadFlag.PACKET)}, 28, "0500000006000000"),
    ],
)
def test_attributes_newer_than_ip(change: dict[str, object], number: int, payload: str) -> None:
    """Numbers and sizes as in linux/xfrm.h of 6.18."""
    assert attributes(NewSa(replace(BARE, **change)), 224) == {number: payload}  # type: ignore[arg-type]


def test_offloaded_policy_and_directed_spi() -> None:
    policy = Policy(NETS, Direction.OUT, offload=Offload(5, OffloadFlag.PACKET))
    assert attributes(NewPolicy(policy), 168) == {28: "0500000004000000"}
    request = AllocSpi(A, B, if_id=9, direction=SaDirection.IN, cpu=1, mode=Mode.IPTFS)
    assert attributes(request, 232) == {31: "09000000", 33: "01", 35: "01000000"}


def test_the_window_is_in_one_place_only() -> None:
    """In the SA itself up to 32, else in XFRMA_REPLAY_ESN_VAL with zero in the SA."""
    window_at = 16 + 215
    assert NewSa(replace(BARE, replay=Replay(32))).encode(0)[window_at] == 32
    for wide in (replace(BARE, replay=Replay(33)), replace(BARE, replay=Replay(8), flags=SaFlag.ESN)):
        assert NewSa(wide).encode(0)[window_at] == 0
        assert list(attributes(NewSa(wide), 224)) == [23]


@pytest.mark.parametrize(
    "error",
    [
        error_for(1, "GETSA", "because"),
        XfrmError(22, "GETSA"),
        Unsupported(38, "NEWSA", "why", algorithms=("a", "b")),
        Unsupported(93, "NEWSA", "", protocol="esp"),
    ],
)
def test_errors_survive_pickling(error: XfrmError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.errno, again.request, again.kernel) == (error.errno, error.request, error.kernel)


def test_errors_are_os_errors() -> None:
    error = error_for(1, "GETSADINFO", "")
    assert isinstance(error, Denied)
    assert isinstance(error, OSError)
    assert str(error) == "[Errno 1] GETSADINFO: operation not permitted"
    assert "a or b" in str(Unsupported(38, "NEWSA", algorithms=("a", "b")))
