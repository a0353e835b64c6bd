"""Numbers of linux/xfrm.h and of the netlink header, as enums.

Source: include/uapi/linux/xfrm.h, include/uapi/linux/netlink.h and
include/uapi/linux/udp.h of Linux 6.18.  The public model carries plain ``int``
where the kernel may know a number that this file does not; members of these
enums are ints and are what decoding returns for the numbers known here.
"""

from enum import IntEnum, IntFlag

NETLINK_XFRM = 6
SOL_NETLINK = 270

AF_UNSPEC = 0
AF_INET = 2
AF_INET6 = 10

UNLIMITED = (1 << 64) - 1
"""XFRM_INF: no limit on octets or packets."""

REPLAY_WINDOW_MAX = 4096
"""XFRMA_REPLAY_ESN_MAX: the largest replay window, in packets."""

LEGACY_WINDOW_MAX = 32
"""The largest window that struct xfrm_replay_state, with its one u32 of bitmap, can hold."""

ALGORITHM_NAME_MAX = 63
"""Octets of an algorithm name; the kernel's field of 64 keeps one for the terminator."""

TEMPLATES_MAX = 6
"""XFRM_MAX_DEPTH: templates of one policy, and SAs moved by one MIGRATE."""


class Type(IntEnum):
    """Message types (XFRM_MSG_*), and the three types every netlink family shares."""

    ERROR = 2
    DONE = 3
    OVERRUN = 4
    NEWSA = 0x10
    DELSA = 0x11
    GETSA = 0x12
    NEWPOLICY = 0x13
    DELPOLICY = 0x14
    GETPOLICY = 0x15
    ALLOCSPI = 0x16
    ACQUIRE = 0x17
    EXPIRE = 0x18
    UPDPOLICY = 0x19
    UPDSA = 0x1A
    POLEXPIRE = 0x1B
    FLUSHSA = 0x1C
    FLUSHPOLICY = 0x1D
    NEWAE = 0x1E
    GETAE = 0x1F
    REPORT = 0x20
    MIGRATE = 0x21
    NEWSADINFO = 0x22
    GETSADINFO = 0x23
    NEWSPDINFO = 0x24
    GETSPDINFO = 0x25
    MAPPING = 0x26
    SETDEFAULT = 0x27
    GETDEFAULT = 0x28


class Attr(IntEnum):
    """Attributes (XFRMA_*)."""

    ALG_AUTH = 1
    ALG_CRYPT = 2
    ALG_COMP = 3
    ENCAP = 4
    TMPL = 5
    SA = 6
    POLICY = 7
    SEC_CTX = 8
    LTIME_VAL = 9
    REPLAY_VAL = 10
    REPLAY_THRESH = 11
    ETIMER_THRESH = 12
    SRCADDR = 13
    COADDR = 14
    LASTUSED = 15
    POLICY_TYPE = 16
    MIGRATE = 17
    ALG_AEAD = 18
    KMADDRESS = 19
    ALG_AUTH_TRUNC = 20
    MARK = 21
    TFCPAD = 22
    REPLAY_ESN_VAL = 23
    SA_EXTRA_FLAGS = 24
    PROTO = 25
    ADDRESS_FILTER = 26
    PAD = 27
    OFFLOAD_DEV = 28
    SET_MARK = 29
    SET_MARK_MASK = 30
    IF_ID = 31
    MTIMER_THRESH = 32
    SA_DIR = 33
    NAT_KEEPALIVE_INTERVAL = 34
    SA_PCPU = 35
    IPTFS_DROP_TIME = 36
    IPTFS_REORDER_WINDOW = 37
    IPTFS_DONT_FRAG = 38
    IPTFS_INIT_DELAY = 39
    IPTFS_MAX_QSIZE = 40
    IPTFS_PKT_SIZE = 41


class SadAttr(IntEnum):
    """Attributes of NEWSADINFO (XFRMA_SAD_*)."""

    CNT = 1
    HINFO = 2


class SpdAttr(IntEnum):
    """Attributes of NEWSPDINFO (XFRMA_SPD_*)."""

    INFO = 1
    HINFO = 2
    IPV4_HTHRESH = 3
    IPV6_HTHRESH = 4


class ErrorAttr(IntEnum):
    """Attributes of an extended acknowledgement (NLMSGERR_ATTR_*)."""

    MSG = 1
    OFFS = 2


class MessageFlag(IntFlag):
    """Flags of struct nlmsghdr (NLM_F_*); those of replies share bits with those of requests."""

    REQUEST = 0x1
    MULTI = 0x2
    ACK = 0x4
    ECHO = 0x8
    DUMP_INTR = 0x10
    REPLACE = 0x100  # in requests; NEWAE insists on it
    DUMP = 0x300  # ROOT | MATCH, in requests
    CAPPED = 0x100  # in acknowledgements: the request is not repeated
    ACK_TLVS = 0x200  # in acknowledgements: attributes follow


class SocketOption(IntEnum):
    """Options of a netlink socket (NETLINK_*)."""

    ADD_MEMBERSHIP = 1
    CAP_ACK = 10
    EXT_ACK = 11


class Group(IntEnum):
    """Multicast groups (XFRMNLGRP_*): what a listener may subscribe to."""

    ACQUIRE = 1
    EXPIRE = 2
    SA = 3
    POLICY = 4
    AEVENTS = 5
    REPORT = 6
    MIGRATE = 7
    MAPPING = 8


class Proto(IntEnum):
    """IP protocols an SA can have; ANY stands for all of them when flushing."""

    ANY = 255  # IPSEC_PROTO_ANY
    ESP = 50
    AH = 51
    COMP = 108
    ROUTING = 43  # Mobile IPv6
    DSTOPTS = 60  # Mobile IPv6


class Mode(IntEnum):
    """Modes (XFRM_MODE_*)."""

    TRANSPORT = 0
    TUNNEL = 1
    ROUTEOPTIMIZATION = 2  # Mobile IPv6
    IN_TRIGGER = 3  # Mobile IPv6
    BEET = 4
    IPTFS = 5  # RFC 9347, Linux 6.14


class Direction(IntEnum):
    """Direction of a policy (XFRM_POLICY_*)."""

    IN = 0
    OUT = 1
    FWD = 2


class SaDirection(IntEnum):
    """Direction an SA is bound to (XFRM_SA_DIR_*, Linux 6.10)."""

    IN = 1
    OUT = 2


class Action(IntEnum):
    """What a policy does with a packet it matches."""

    ALLOW = 0
    BLOCK = 1


class DefaultAction(IntEnum):
    """What happens to a packet that no policy matches (XFRM_USERPOLICY_*)."""

    UNSPEC = 0  # leave as it is
    BLOCK = 1
    ACCEPT = 2


class PolicyType(IntEnum):
    """Which of the two policy databases (XFRM_POLICY_TYPE_*)."""

    MAIN = 0
    SUB = 1
    ANY = 255


class Share(IntEnum):
    """Who may share an SA (XFRM_SHARE_*)."""

    ANY = 0
    SESSION = 1
    USER = 2
    UNIQUE = 3


class SaFlag(IntFlag):
    """Flags of an SA (XFRM_STATE_*)."""

    NOECN = 1
    DECAP_DSCP = 2
    NOPMTUDISC = 4
    WILDRECV = 8
    ICMP = 16
    AF_UNSPEC = 32
    ALIGN4 = 64
    ESN = 128


class SaExtraFlag(IntFlag):
    """More flags of an SA (XFRM_SA_XFLAG_*)."""

    DONT_ENCAP_DSCP = 1
    OSEQ_MAY_WRAP = 2


class PolicyFlag(IntFlag):
    """Flags of a policy (XFRM_POLICY_*)."""

    LOCALOK = 1
    ICMP = 2
    CPU_ACQUIRE = 4  # Linux 6.13


class OffloadFlag(IntFlag):
    """Flags of XFRMA_OFFLOAD_DEV (XFRM_OFFLOAD_*)."""

    IPV6 = 1  # never read by any kernel
    INBOUND = 2
    PACKET = 4


class EncapType(IntEnum):
    """What carries ESP (UDP_ENCAP_*, TCP_ENCAP_*)."""

    NONE = 0
    ESPINUDP_NON_IKE = 1
    ESPINUDP = 2  # RFC 3948
    ESPINTCP = 7  # RFC 8229


class AeFlag(IntFlag):
    """What an NEWAE message carries (RTHR..ETHR) or why it was sent (CR, CE, CU)."""

    RTHR = 1  # replay threshold
    RVAL = 2  # replay value
    LVAL = 4  # lifetime value
    ETHR = 8  # timer threshold
    CR = 16  # cause: replay update
    CE = 32  # cause: timer expiry
    CU = 64  # cause: an update by some key manager
