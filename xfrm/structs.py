"""The kernel's structs as tables of fields, each compiled to one ``struct.Struct``.

A row is a field's name and its type, in the order of the C declaration quoted
above the table.  Padding is written out (C puts it there by itself, ``struct``
with ``=`` does not) and every size is asserted at import, so a table that
disagrees with the kernel does not survive the first import.

A nested struct is one field of octets: it is packed by its own table and put
in whole, which costs less than one long call and lets constant parts (zeroed
counters, unlimited lifetimes) be prepared once.  Fields in network byte order
(``be16``, ``be32``) are packed like host ones and are given through ``htons``
and ``htonl``; the table says which they are.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

_CODES: Final = {
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s32": "i",
    "be16": "H", "be32": "I",
    "addr": "16s",          # xfrm_address_t: four octets and zeros, or sixteen
    "name": "64s",          # char[64], zero-terminated
    "pad1": "x", "pad2": "2x", "pad3": "3x", "pad4": "4x", "pad7": "7x",
}  # fmt: skip


class Layout:
    """One C struct: its table of fields and the compiled Struct made from it.

    ``pack(*values)`` takes the fields in the order of the table without the
    padding; ``unpack(octets)`` wants exactly ``size`` octets and ``unpack_from(octets, offset)``
    at least as many.  All three raise struct.error, which the codec translates.
    """

    __slots__ = ("code", "fields", "name", "pack", "size", "unpack", "unpack_from")

    def __init__(self, name: str, size: int, *fields: tuple[str, "str | Layout"]) -> None:
        self.name = name
        self.size: int = size
        self.fields = fields
        self.code = "".join(f"{kind.size}s" if isinstance(kind, Layout) else _CODES[kind] for _, kind in fields)
        packer = Struct("=" + self.code)
        if packer.size != size:
            raise AssertionError(f"struct {name} is {packer.size} octets by its table, {size} in the kernel")
        self.pack: Callable[..., bytes] = packer.pack
        self.unpack: Callable[[bytes], tuple[Any, ...]] = packer.unpack
        self.unpack_from: Callable[..., tuple[Any, ...]] = packer.unpack_from

    def __repr__(self) -> str:
        return f"Layout({self.name!r}, {self.size})"


# -- netlink itself (linux/netlink.h) ----------------------------------------

# struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type; __u16 nlmsg_flags; __u32 nlmsg_seq; __u32 nlmsg_pid; };
HEADER = Layout("nlmsghdr", 16, ("len", "u32"), ("type", "u16"), ("flags", "u16"), ("seq", "u32"), ("pid", "u32"))

# struct nlattr { __u16 nla_len; __u16 nla_type; };
ATTRIBUTE = Layout("nlattr", 4, ("len", "u16"), ("type", "u16"))

# struct nlmsgerr { int error; struct nlmsghdr msg; };
ERROR = Layout("nlmsgerr", 20, ("error", "s32"), ("msg", HEADER))

# -- parts -------------------------------------------------------------------

# struct xfrm_selector { xfrm_address_t daddr; xfrm_address_t saddr; __be16 dport; __be16 dport_mask;
#   __be16 sport; __be16 sport_mask; __u16 family; __u8 prefixlen_d; __u8 prefixlen_s; __u8 proto;
#   int ifindex; __kernel_uid32_t user; };
SELECTOR = Layout(
    "xfrm_selector", 56,
    ("daddr", "addr"), ("saddr", "addr"),
    ("dport", "be16"), ("dport_mask", "be16"), ("sport", "be16"), ("sport_mask", "be16"),
    ("family", "u16"), ("prefixlen_d", "u8"), ("prefixlen_s", "u8"), ("proto", "u8"), ("pad", "pad3"),
    ("ifindex", "s32"), ("user", "u32"),
)  # fmt: skip

# struct xfrm_id { xfrm_address_t daddr; __be32 spi; __u8 proto; };
ID = Layout("xfrm_id", 24, ("daddr", "addr"), ("spi", "be32"), ("proto", "u8"), ("pad", "pad3"))

# struct xfrm_lifetime_cfg { __u64 soft_byte_limit, hard_byte_limit, soft_packet_limit, hard_packet_limit,
#   soft_add_expires_seconds, hard_add_expires_seconds, soft_use_expires_seconds, hard_use_expires_seconds; };
LIFETIME_CFG = Layout(
    "xfrm_lifetime_cfg", 64,
    ("soft_byte_limit", "u64"), ("hard_byte_limit", "u64"),
    ("soft_packet_limit", "u64"), ("hard_packet_limit", "u64"),
    ("soft_add_expires_seconds", "u64"), ("hard_add_expires_seconds", "u64"),
    ("soft_use_expires_seconds", "u64"), ("hard_use_expires_seconds", "u64"),
)  # fmt: skip

# struct xfrm_lifetime_cur { __u64 bytes; __u64 packets; __u64 add_time; __u64 use_time; };
LIFETIME_CUR = Layout(
    "xfrm_lifetime_cur", 32, ("bytes", "u64"), ("packets", "u64"), ("add_time", "u64"), ("use_time", "u64")
)

# struct xfrm_stats { __u32 replay_window; __u32 replay; __u32 integrity_failed; };
STATS = Layout("xfrm_stats", 12, ("replay_window", "u32"), ("replay", "u32"), ("integrity_failed", "u32"))

# struct xfrm_user_tmpl { struct xfrm_id id; __u16 family; xfrm_address_t saddr; __u32 reqid; __u8 mode;
#   __u8 share; __u8 optional; __u32 aalgos; __u32 ealgos; __u32 calgos; };
TMPL = Layout(
    "xfrm_user_tmpl", 64,
    ("id", ID), ("family", "u16"), ("pad", "pad2"), ("saddr", "addr"), ("reqid", "u32"),
    ("mode", "u8"), ("share", "u8"), ("optional", "u8"), ("pad", "pad1"),
    ("aalgos", "u32"), ("ealgos", "u32"), ("calgos", "u32"),
)  # fmt: skip

# -- what a message begins with ----------------------------------------------

# struct xfrm_usersa_info { struct xfrm_selector sel; struct xfrm_id id; xfrm_address_t saddr;
#   struct xfrm_lifetime_cfg lft; struct xfrm_lifetime_cur curlft; struct xfrm_stats stats; __u32 seq;
#   __u32 reqid; __u16 family; __u8 mode; __u8 replay_window; __u8 flags; };
USERSA_INFO = Layout(
    "xfrm_usersa_info", 224,
    ("sel", SELECTOR), ("id", ID), ("saddr", "addr"), ("lft", LIFETIME_CFG), ("curlft", LIFETIME_CUR),
    ("stats", STATS), ("seq", "u32"), ("reqid", "u32"), ("family", "u16"), ("mode", "u8"),
    ("replay_window", "u8"), ("flags", "u8"), ("pad", "pad7"),
)  # fmt: skip

# struct xfrm_usersa_id { xfrm_address_t daddr; __be32 spi; __u16 family; __u8 proto; };
USERSA_ID = Layout(
    "xfrm_usersa_id",
    24,
    ("daddr", "addr"),
    ("spi", "be32"),
    ("family", "u16"),
    ("proto", "u8"),
    ("pad", "pad1"),
)

# struct xfrm_aevent_id { struct xfrm_usersa_id sa_id; xfrm_address_t saddr; __u32 flags; __u32 reqid; };
AEVENT_ID = Layout("xfrm_aevent_id", 48, ("sa_id", USERSA_ID), ("saddr", "addr"), ("flags", "u32"), ("reqid", "u32"))

# struct xfrm_userspi_info { struct xfrm_usersa_info info; __u32 min; __u32 max; };
USERSPI_INFO = Layout("xfrm_userspi_info", 232, ("info", USERSA_INFO), ("min", "u32"), ("max", "u32"))

# struct xfrm_userpolicy_info { struct xfrm_selector sel; struct xfrm_lifetime_cfg lft;
#   struct xfrm_lifetime_cur curlft; __u32 priority; __u32 index; __u8 dir; __u8 action; __u8 flags;
#   __u8 share; };
USERPOLICY_INFO = Layout(
    "xfrm_userpolicy_info", 168,
    ("sel", SELECTOR), ("lft", LIFETIME_CFG), ("curlft", LIFETIME_CUR), ("priority", "u32"), ("index", "u32"),
    ("dir", "u8"), ("action", "u8"), ("flags", "u8"), ("share", "u8"), ("pad", "pad4"),
)  # fmt: skip

# struct xfrm_userpolicy_id { struct xfrm_selector sel; __u32 index; __u8 dir; };
USERPOLICY_ID = Layout("xfrm_userpolicy_id", 64, ("sel", SELECTOR), ("index", "u32"), ("dir", "u8"), ("pad", "pad3"))

# struct xfrm_user_acquire { struct xfrm_id id; xfrm_address_t saddr; struct xfrm_selector sel;
#   struct xfrm_userpolicy_info policy; __u32 aalgos; __u32 ealgos; __u32 calgos; __u32 seq; };
USER_ACQUIRE = Layout(
    "xfrm_user_acquire", 280,
    ("id", ID), ("saddr", "addr"), ("sel", SELECTOR), ("policy", USERPOLICY_INFO),
    ("aalgos", "u32"), ("ealgos", "u32"), ("calgos", "u32"), ("seq", "u32"),
)  # fmt: skip

# struct xfrm_user_expire { struct xfrm_usersa_info state; __u8 hard; };
USER_EXPIRE = Layout("xfrm_user_expire", 232, ("state", USERSA_INFO), ("hard", "u8"), ("pad", "pad7"))

# struct xfrm_user_polexpire { struct xfrm_userpolicy_info pol; __u8 hard; };
USER_POLEXPIRE = Layout("xfrm_user_polexpire", 176, ("pol", USERPOLICY_INFO), ("hard", "u8"), ("pad", "pad7"))

# struct xfrm_usersa_flush { __u8 proto; };
USERSA_FLUSH = Layout("xfrm_usersa_flush", 1, ("proto", "u8"))

# struct xfrm_user_report { __u8 proto; struct xfrm_selector sel; };
USER_REPORT = Layout("xfrm_user_report", 60, ("proto", "u8"), ("pad", "pad3"), ("sel", SELECTOR))

# struct xfrm_user_mapping { struct xfrm_usersa_id id; __u32 reqid; xfrm_address_t old_saddr;
#   xfrm_address_t new_saddr; __be16 old_sport; __be16 new_sport; };
USER_MAPPING = Layout(
    "xfrm_user_mapping", 64,
    ("id", USERSA_ID), ("reqid", "u32"), ("old_saddr", "addr"), ("new_saddr", "addr"),
    ("old_sport", "be16"), ("new_sport", "be16"),
)  # fmt: skip

# struct xfrm_userpolicy_default { __u8 in; __u8 fwd; __u8 out; };
USERPOLICY_DEFAULT = Layout("xfrm_userpolicy_default", 3, ("in", "u8"), ("fwd", "u8"), ("out", "u8"))

# -- what an attribute holds -------------------------------------------------

# struct xfrm_algo { char alg_name[64]; unsigned int alg_key_len; char alg_key[]; };
ALGO = Layout("xfrm_algo", 68, ("alg_name", "name"), ("alg_key_len", "u32"))

# struct xfrm_algo_auth { char alg_name[64]; unsigned int alg_key_len; unsigned int alg_trunc_len;
#   char alg_key[]; };
ALGO_AUTH = Layout("xfrm_algo_auth", 72, ("alg_name", "name"), ("alg_key_len", "u32"), ("alg_trunc_len", "u32"))

# struct xfrm_algo_aead { char alg_name[64]; unsigned int alg_key_len; unsigned int alg_icv_len;
#   char alg_key[]; };
ALGO_AEAD = Layout("xfrm_algo_aead", 72, ("alg_name", "name"), ("alg_key_len", "u32"), ("alg_icv_len", "u32"))

# struct xfrm_encap_tmpl { __u16 encap_type; __be16 encap_sport; __be16 encap_dport;
#   xfrm_address_t encap_oa; };
ENCAP_TMPL = Layout(
    "xfrm_encap_tmpl", 24,
    ("encap_type", "u16"), ("encap_sport", "be16"), ("encap_dport", "be16"), ("pad", "pad2"),
    ("encap_oa", "addr"),
)  # fmt: skip

# struct xfrm_mark { __u32 v; __u32 m; };
MARK = Layout("xfrm_mark", 8, ("v", "u32"), ("m", "u32"))

# struct xfrm_replay_state { __u32 oseq; __u32 seq; __u32 bitmap; };
REPLAY_STATE = Layout("xfrm_replay_state", 12, ("oseq", "u32"), ("seq", "u32"), ("bitmap", "u32"))

# struct xfrm_replay_state_esn { unsigned int bmp_len; __u32 oseq; __u32 seq; __u32 oseq_hi; __u32 seq_hi;
#   __u32 replay_window; __u32 bmp[]; };
REPLAY_STATE_ESN = Layout(
    "xfrm_replay_state_esn", 24,
    ("bmp_len", "u32"), ("oseq", "u32"), ("seq", "u32"), ("oseq_hi", "u32"), ("seq_hi", "u32"),
    ("replay_window", "u32"),
)  # fmt: skip

# struct xfrm_user_sec_ctx { __u16 len; __u16 exttype; __u8 ctx_alg; __u8 ctx_doi; __u16 ctx_len; };
USER_SEC_CTX = Layout(
    "xfrm_user_sec_ctx",
    8,
    ("len", "u16"),
    ("exttype", "u16"),
    ("ctx_alg", "u8"),
    ("ctx_doi", "u8"),
    ("ctx_len", "u16"),
)

# struct xfrm_user_offload { int ifindex; __u8 flags; };
USER_OFFLOAD = Layout("xfrm_user_offload", 8, ("ifindex", "s32"), ("flags", "u8"), ("pad", "pad3"))

# struct xfrm_userpolicy_type { __u8 type; __u16 reserved1; __u8 reserved2; };
USERPOLICY_TYPE = Layout(
    "xfrm_userpolicy_type", 6,
    ("type", "u8"), ("pad", "pad1"), ("reserved1", "u16"), ("reserved2", "u8"), ("pad", "pad1"),
)  # fmt: skip

# struct xfrm_user_kmaddress { xfrm_address_t local; xfrm_address_t remote; __u32 reserved; __u16 family; };
USER_KMADDRESS = Layout(
    "xfrm_user_kmaddress", 40,
    ("local", "addr"), ("remote", "addr"), ("reserved", "u32"), ("family", "u16"), ("pad", "pad2"),
)  # fmt: skip

# struct xfrm_user_migrate { xfrm_address_t old_daddr, old_saddr, new_daddr, new_saddr; __u8 proto; __u8 mode;
#   __u16 reserved; __u32 reqid; __u16 old_family; __u16 new_family; };
USER_MIGRATE = Layout(
    "xfrm_user_migrate", 76,
    ("old_daddr", "addr"), ("old_saddr", "addr"), ("new_daddr", "addr"), ("new_saddr", "addr"),
    ("proto", "u8"), ("mode", "u8"), ("reserved", "u16"), ("reqid", "u32"),
    ("old_family", "u16"), ("new_family", "u16"),
)  # fmt: skip

# struct xfrm_address_filter { xfrm_address_t saddr; xfrm_address_t daddr; __u16 family; __u8 splen;
#   __u8 dplen; };
ADDRESS_FILTER = Layout(
    "xfrm_address_filter", 36,
    ("saddr", "addr"), ("daddr", "addr"), ("family", "u16"), ("splen", "u8"), ("dplen", "u8"),
)  # fmt: skip

# struct xfrmu_sadhinfo { __u32 sadhcnt; __u32 sadhmcnt; };
SAD_HINFO = Layout("xfrmu_sadhinfo", 8, ("sadhcnt", "u32"), ("sadhmcnt", "u32"))

# struct xfrmu_spdinfo { __u32 incnt; __u32 outcnt; __u32 fwdcnt; __u32 inscnt; __u32 outscnt;
#   __u32 fwdscnt; };
SPD_INFO = Layout(
    "xfrmu_spdinfo", 24,
    ("incnt", "u32"), ("outcnt", "u32"), ("fwdcnt", "u32"), ("inscnt", "u32"), ("outscnt", "u32"),
    ("fwdscnt", "u32"),
)  # fmt: skip

# struct xfrmu_spdhinfo { __u32 spdhcnt; __u32 spdhmcnt; };
SPD_HINFO = Layout("xfrmu_spdhinfo", 8, ("spdhcnt", "u32"), ("spdhmcnt", "u32"))

# struct xfrmu_spdhthresh { __u8 lbits; __u8 rbits; };
SPD_HTHRESH = Layout("xfrmu_spdhthresh", 2, ("lbits", "u8"), ("rbits", "u8"))
