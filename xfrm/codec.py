"""Records to octets and back: the parts that SAs, policies and events share.

Packing and reading of one thing stand side by side, so that one glance reviews
both.  ``pack_*`` raise ValueError or struct.error for a number that does not fit
its field (``Request.encode`` turns both into ValueError); ``read_*`` raise Malformed.
"""

from ipaddress import IPv4Address, IPv6Address
from socket import htonl, htons
from typing import Final, TypeVar

from . import messages as msg
from . import structs
from .errors import Malformed
from .messages import Attributes
from .model import (
    NO_LIMITS,
    Address,
    AddressFilter,
    KmAddress,
    Lifetime,
    Mark,
    Migration,
    Offload,
    SecurityContext,
    Selector,
    Stats,
    Usage,
)
from .uapi import AF_INET, AF_INET6, AF_UNSPEC, Attr, Mode, Proto

T = TypeVar("T", bound=int)

# Plain dicts: calling an enum class costs ten times as much as looking its member up.
PROTOS: Final[dict[int, int]] = {int(member): member for member in Proto}
MODES: Final[dict[int, int]] = {int(member): member for member in Mode}

# -- addresses -----------------------------------------------------------------


def family_of(address: Address) -> int:
    """AF_INET or AF_INET6."""
    return AF_INET if isinstance(address, IPv4Address) else AF_INET6


def read_address(octets: bytes, family: int) -> Address:
    """An xfrm_address_t, which needs its family from elsewhere; only AF_INET6 is the longer one."""
    if family == AF_INET6:
        return IPv6Address(octets[:16])
    return IPv4Address(octets[:4])


def read_optional_address(octets: bytes, family: int) -> Address | None:
    """The same where zeros mean that there is none."""
    return read_address(octets, family) if octets.strip(b"\0") else None


# -- selectors -----------------------------------------------------------------

NO_SELECTOR: Final = bytes(structs.SELECTOR.size)


def pack_selector(selector: Selector) -> bytes:
    """struct xfrm_selector.

    Raises:
        ValueError: source and destination are of different families.
    """
    src, dst = selector.src, selector.dst
    family = AF_INET if isinstance(src, IPv4Address) else AF_INET6
    if isinstance(dst, IPv4Address) is not (family == AF_INET):
        raise ValueError(f"a selector between {src} and {dst} mixes families")
    return structs.SELECTOR.pack(
        dst.packed,
        src.packed,
        htons(selector.dst_port),
        htons(selector.dst_port_mask),
        htons(selector.src_port),
        htons(selector.src_port_mask),
        family,
        selector.dst_prefix,
        selector.src_prefix,
        selector.proto,
        selector.ifindex,
        selector.uid,
    )


def read_selector(octets: bytes) -> Selector | None:
    """A selector, or None for one without family, which matches every family."""
    (
        dst, src, dst_port, dst_mask, src_port, src_mask, family, dst_prefix, src_prefix, proto, ifindex, uid,
    ) = structs.SELECTOR.unpack(octets)  # fmt: skip
    if family == AF_UNSPEC:
        return None
    return Selector(
        read_address(src, family), src_prefix, read_address(dst, family), dst_prefix, proto,
        htons(src_port), htons(src_mask), htons(dst_port), htons(dst_mask), ifindex, uid,
    )  # fmt: skip


def need_selector(octets: bytes) -> Selector:
    """The same where a selector without family would be a mistake of the kernel's."""
    selector = read_selector(octets)
    if selector is None:
        raise Malformed("a policy whose selector has no address family")
    return selector


# -- lifetimes and counters ----------------------------------------------------


def _pack_limits(limits: Lifetime) -> bytes:
    return structs.LIFETIME_CFG.pack(
        limits.soft_octets,
        limits.hard_octets,
        limits.soft_packets,
        limits.hard_packets,
        limits.soft_add_for,
        limits.hard_add_for,
        limits.soft_use_for,
        limits.hard_use_for,
    )


_UNLIMITED: Final = _pack_limits(NO_LIMITS)


def pack_lifetime(limits: Lifetime) -> bytes:
    """struct xfrm_lifetime_cfg; the unlimited one is prepared."""
    return _UNLIMITED if limits is NO_LIMITS else _pack_limits(limits)


def read_lifetime(octets: bytes) -> Lifetime:
    return NO_LIMITS if octets == _UNLIMITED else Lifetime(*structs.LIFETIME_CFG.unpack(octets))


def pack_usage(usage: Usage) -> tuple[int, int, int, int]:
    """The fields of struct xfrm_lifetime_cur."""
    return usage.octets, usage.packets, usage.added_at, usage.used_at


def read_usage(octets: bytes) -> Usage:
    return Usage(*structs.LIFETIME_CUR.unpack(octets))


def read_stats(octets: bytes) -> Stats:
    return Stats(*structs.STATS.unpack(octets))


# -- small attributes ----------------------------------------------------------


def pack_mark(mark: Mark) -> bytes:
    return msg.MARK.pack(mark.value, mark.mask)


def read_mark(attributes: Attributes) -> Mark | None:
    fields = attributes.fields(msg.MARK)
    return None if fields is None else Mark(*fields)


def pack_offload(offload: Offload) -> bytes:
    return msg.OFFLOAD_DEV.pack(offload.ifindex, offload.flags)


def read_offload(attributes: Attributes) -> Offload | None:
    fields = attributes.fields(msg.OFFLOAD_DEV)
    return None if fields is None else Offload(*fields)


def pack_security(context: SecurityContext) -> bytes:
    """XFRMA_SEC_CTX: struct xfrm_user_sec_ctx, which repeats its attribute's number, and the label."""
    size = len(context.context)
    head = structs.USER_SEC_CTX.pack(
        structs.USER_SEC_CTX.size + size, Attr.SEC_CTX, context.algorithm, context.doi, size
    )
    return msg.attribute(Attr.SEC_CTX, head + context.context)


def read_security(attributes: Attributes) -> SecurityContext | None:
    payload = attributes.get(Attr.SEC_CTX)
    if payload is None:
        return None
    head = structs.USER_SEC_CTX.size
    if len(payload) < head:
        raise Malformed("a security context shorter than its header")
    _size, _kind, algorithm, doi, size = structs.USER_SEC_CTX.unpack_from(payload, 0)
    if head + size > len(payload):
        raise Malformed(f"a security context of {size} octets in an attribute of {len(payload)}")
    return SecurityContext(payload[head : head + size], algorithm, doi)


def pack_policy_type(kind: int) -> bytes:
    return msg.POLICY_TYPE.pack(kind, 0, 0)


def read_policy_type(attributes: Attributes) -> int:
    return attributes.number(msg.POLICY_TYPE)


def pack_kmaddress(pair: KmAddress) -> bytes:
    return msg.KMADDRESS.pack(pair.local.packed, pair.remote.packed, 0, family_of(pair.local))


def read_kmaddress(attributes: Attributes) -> KmAddress | None:
    fields = attributes.fields(msg.KMADDRESS)
    if fields is None:
        return None
    local, remote, _reserved, family = fields
    return KmAddress(read_address(local, family), read_address(remote, family))


def pack_address_filter(chosen: AddressFilter) -> bytes:
    return msg.ADDRESS_FILTER.pack(
        chosen.src.packed, chosen.dst.packed, family_of(chosen.src), chosen.src_prefix, chosen.dst_prefix
    )


# -- migration -----------------------------------------------------------------


def pack_migrations(migrations: tuple[Migration, ...]) -> bytes:
    """XFRMA_MIGRATE: all of them in one attribute."""
    return msg.attribute(
        Attr.MIGRATE,
        b"".join(
            structs.USER_MIGRATE.pack(
                move.old_dst.packed, move.old_src.packed, move.new_dst.packed, move.new_src.packed,
                move.proto, move.mode, 0, move.reqid, family_of(move.old_src), family_of(move.new_src),
            )
            for move in migrations
        ),
    )  # fmt: skip


def read_migrations(attributes: Attributes) -> tuple[Migration, ...]:
    """Events have one attribute for each, requests one for all: both are read."""
    size = structs.USER_MIGRATE.size
    found = []
    for payload in attributes.all(Attr.MIGRATE):
        if not payload or len(payload) % size:
            raise Malformed(f"{len(payload)} octets of migrations, which have {size} each")
        for at in range(0, len(payload), size):
            (
                old_dst, old_src, new_dst, new_src, proto, mode, _reserved, reqid, old_family, new_family,
            ) = structs.USER_MIGRATE.unpack_from(payload, at)  # fmt: skip
            found.append(
                Migration(
                    read_address(old_src, old_family), read_address(old_dst, old_family),
                    read_address(new_src, new_family), read_address(new_dst, new_family),
                    PROTOS.get(proto, proto), MODES.get(mode, mode), reqid,
                )
            )  # fmt: skip
    return tuple(found)


def pack_spi(spi: int) -> int:
    """An SPI in network order, as the be32 fields want it."""
    return htonl(spi)


read_spi = pack_spi
