"""Octet by octet, what we send is what `ip xfrm` sends."""

from ipaddress import ip_address

import pytest

from tests.xfrm.vectors import load
from xfrm import (
    NO_LIMITS,
    Action,
    AddressFilter,
    Aead,
    AllocSpi,
    Auth,
    Comp,
    Crypt,
    DefaultAction,
    Defaults,
    DelPolicy,
    DelSa,
    Direction,
    DumpPolicy,
    DumpSa,
    Encap,
    EncapType,
    FlushPolicy,
    FlushSa,
    GetDefault,
    GetPolicy,
    GetSa,
    GetSadInfo,
    GetSpdInfo,
    HashThreshold,
    Lifetime,
    Mark,
    Mode,
    NewPolicy,
    NewSa,
    Offload,
    OffloadFlag,
    Policy,
    PolicyFlag,
    PolicyIndex,
    PolicyKey,
    PolicyType,
    Proto,
    Replay,
    Request,
    Sa,
    SaExtraFlag,
    SaFlag,
    SaId,
    SecurityContext,
    Selector,
    SetDefault,
    SetHashThresholds,
    Template,
    UpdPolicy,
    UpdSa,
)

RECORDED = load("ip-xfrm.txt")

A, B = ip_address("10.0.0.1"), ip_address("10.0.0.2")
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
ANY = ip_address("0.0.0.0")
SPI = 0xC0FFEE01
GCM = Aead("rfc4106(gcm(aes))", bytes(range(20)), 128)
CBC = Crypt("cbc(aes)", bytes.fromhex("00112233445566778899aabbccddeeff"))
SHA2 = Auth("hmac(sha256)", bytes(range(32)), 128)
NETS = Selector.between("10.1.0.0/16", "10.2.0.0/24")
TEMPLATE = Template(A, B, reqid=7)
NAME = SaId(B, SPI, src=A)  # ip always adds the source
SEQ_BY_IP = 1 << 24  # ip writes this host-order number in network order
LO = 1

REQUESTS: dict[str, Request[object]] = {
    "newsa-aead": NewSa(Sa(A, B, SPI, reqid=7, aead=GCM, replay=Replay(32))),
    "newsa-auth-crypt": NewSa(Sa(A, B, SPI, mode=Mode.TRANSPORT, reqid=7, auth=SHA2, crypt=CBC)),
    "newsa-ipv6": NewSa(Sa(A6, B6, 0xC0FFEE06, reqid=7, aead=GCM)),
    "newsa-auth-untruncated": NewSa(Sa(A, B, SPI, auth=Auth("hmac(sha1)", b"\1\2"), crypt=CBC)),
    "newsa-ah": NewSa(Sa(A, B, SPI, Proto.AH, Mode.TRANSPORT, auth=SHA2)),
    "newsa-comp": NewSa(Sa(A, B, 0x1234, Proto.COMP, comp=Comp("deflate"))),
    "newsa-esn": NewSa(Sa(A, B, SPI, aead=GCM, flags=SaFlag.ESN, replay=Replay(128))),
    "newsa-esn-counters": NewSa(
        Sa(A, B, SPI, aead=GCM, flags=SaFlag.ESN, replay=Replay(64, seq=1 << 32 | 5, oseq=2 << 32 | 6))
    ),
    "newsa-large-window": NewSa(Sa(A, B, SPI, aead=GCM, replay=Replay(100))),
    "newsa-replay-counters": NewSa(Sa(A, B, SPI, aead=GCM, replay=Replay(32, seq=5, oseq=6))),
    "newsa-encap": NewSa(Sa(A, B, SPI, aead=GCM, encap=Encap(4500, 34567, original=ip_address("192.0.2.9")))),
    "newsa-encap-tcp": NewSa(Sa(A, B, SPI, aead=GCM, encap=Encap(4500, 34567, EncapType.ESPINTCP))),
    "newsa-marks": NewSa(
        Sa(A, B, SPI, aead=GCM, mark=Mark(0x10, 0xFF), output_mark=Mark(0x20, 0xF0), if_id=0x55)
    ),
    "newsa-output-mark": NewSa(Sa(A, B, SPI, aead=GCM, output_mark=Mark(0x20))),
    "newsa-flags": NewSa(
        Sa(
            A, B, SPI, mode=Mode.BEET, aead=GCM, tfc_pad=1400,
            flags=SaFlag.NOECN | SaFlag.DECAP_DSCP | SaFlag.NOPMTUDISC | SaFlag.AF_UNSPEC | SaFlag.ALIGN4,
            extra_flags=SaExtraFlag.DONT_ENCAP_DSCP | SaExtraFlag.OSEQ_MAY_WRAP,
        )
    ),
    "newsa-offload": NewSa(Sa(A, B, SPI, aead=GCM, offload=Offload(LO, OffloadFlag.INBOUND))),
    "newsa-coaddr": NewSa(
        Sa(A6, B6, 0, Proto.DSTOPTS, Mode.ROUTEOPTIMIZATION, coaddr=ip_address("2001:db8::7"))
    ),
    "newsa-security": NewSa(
        Sa(A, B, SPI, aead=GCM, security=SecurityContext(b"system_u:object_r:ipsec_t:s0\0"))
    ),
    "newsa-selector": NewSa(
        Sa(
            A, B, SPI, mode=Mode.TRANSPORT, seq=9 * SEQ_BY_IP, aead=GCM,
            selector=Selector(
                ip_address("10.1.0.0"), 16, ip_address("10.2.0.1"), 32, 17, 1000, 0xFFFF, 2000, 0xFFFF, LO
            ),
        )
    ),
    "newsa-limits": NewSa(Sa(A, B, SPI, aead=GCM, lifetime=Lifetime(50, 60, 70, 80, 10, 20, 30, 40))),
    "updsa": UpdSa(Sa(A, B, SPI, reqid=7, aead=GCM)),
    "delsa": DelSa(SaId(B, SPI, mark=Mark(0x10, 0xFF), src=A)),
    "getsa": GetSa(NAME),
    "allocspi": AllocSpi(A, B, reqid=3, seq=5 * SEQ_BY_IP, mark=Mark(1, 3), low=0x1000, high=0x2000),
    "flushsa": FlushSa(0),          # to ip, all protocols is none
    "flushsa-esp": FlushSa(Proto.ESP),
    "dumpsa-between": DumpSa(between=AddressFilter(ip_address("10.0.0.0"), 8, ip_address("10.1.0.0"), 16)),
    "getsadinfo": GetSadInfo(),
    "newpolicy": NewPolicy(Policy(NETS, Direction.OUT, (TEMPLATE,), priority=1234)),
    "newpolicy-ipv6": NewPolicy(
        Policy(
            Selector.between("2001:db8:1::/48", "::/0"), Direction.FWD,
            (Template(A6, B6, Proto.AH, Mode.TRANSPORT, 7, 0x99, optional=True),),
        )
    ),
    "newpolicy-two-templates": NewPolicy(
        Policy(
            Selector.between("10.1.0.0/16", "10.2.0.0/24", 6, dst_port=443), Direction.IN,
            (Template(ANY, ANY, Proto.COMP, optional=True), TEMPLATE), index=8,
        )
    ),
    "newpolicy-everything": NewPolicy(
        Policy(
            Selector(ip_address("10.1.0.0"), 16, ip_address("10.2.0.0"), 24, ifindex=LO), Direction.OUT,
            (TEMPLATE,), priority=9, index=17, action=Action.BLOCK, lifetime=Lifetime(hard_add_for=60),
            flags=PolicyFlag.LOCALOK | PolicyFlag.ICMP, type=PolicyType.SUB, mark=Mark(1, 3), if_id=9,
            security=SecurityContext(b"label\0"),
        )
    ),
    "newpolicy-icmp": NewPolicy(
        Policy(Selector.between("10.0.0.0/8", "0.0.0.0/0", 1, src_port=8, dst_port=0), Direction.OUT)
    ),
    "updpolicy": UpdPolicy(Policy(NETS, Direction.IN, (TEMPLATE,))),
    "delpolicy": DelPolicy(PolicyKey(NETS, Direction.OUT, Mark(1, 3), 9, PolicyType.SUB)),
    "delpolicy-security": DelPolicy(PolicyKey(NETS, Direction.OUT, security=SecurityContext(b"label\0"))),
    "delpolicy-index": DelPolicy(PolicyIndex(17)),
    "getpolicy-index": GetPolicy(PolicyIndex(26, if_id=9)),
    "flushpolicy": FlushPolicy(),
    "flushpolicy-sub": FlushPolicy(PolicyType.SUB),
    "dumppolicy": DumpPolicy(),
    "getspdinfo": GetSpdInfo(),
    "thresholds": SetHashThresholds(HashThreshold(16, 24), HashThreshold(32, 64)),
    "setdefault": SetDefault(Defaults(inbound=DefaultAction.BLOCK, out=DefaultAction.ACCEPT)),
    "getdefault": GetDefault(),
}  # fmt: skip


def test_every_recorded_message_has_its_request() -> None:
    assert sorted(REQUESTS) == sorted(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_octets(name: str) -> None:
    recorded = RECORDED[name]
    assert REQUESTS[name].encode(0).hex() == (recorded + bytes(-len(recorded) % 4)).hex()


def test_limits_of_none_are_the_prepared_ones() -> None:
    """Equal limits pack equally, whether they are the shared record or not."""
    one = NewSa(Sa(A, B, SPI, aead=GCM, lifetime=NO_LIMITS)).encode(1)
    assert NewSa(Sa(A, B, SPI, aead=GCM, lifetime=Lifetime())).encode(1) == one
