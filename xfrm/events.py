"""What the kernel tells listeners, one record per message.

Which group brings what: ACQUIRE: Acquire.  EXPIRE: Expire, PolicyExpire.  SA: SaAdded,
SaUpdated, SaDeleted, SasFlushed.  POLICY: PolicyAdded, PolicyUpdated, PolicyDeleted,
PoliciesFlushed, DefaultsChanged.  AEVENTS: AsyncEvent.  REPORT: Report.  MIGRATE:
Migrated.  MAPPING: Mapping.  Overrun comes when the kernel had to drop events.
"""

from collections.abc import Callable
from socket import htonl, htons
from typing import Final, TypeAlias

from . import messages as msg
from . import structs
from .codec import PROTOS, need_selector, read_address, read_kmaddress, read_migrations, read_policy_type
from .errors import Malformed
from .messages import Message
from .model import (
    Address,
    AeState,
    Defaults,
    KmAddress,
    Migration,
    PolicyIndex,
    PolicyInfo,
    PolicyKey,
    SaId,
    SaInfo,
    Selector,
    record,
)
from .policy_codec import read_policy, read_policy_key
from .sa_codec import read_ae, read_encap, read_sa, read_sa_id
from .uapi import AF_INET, AF_INET6, Type


@record
class Acquire:
    """A packet met a policy and found no SA: somebody should negotiate one.

    ``src`` and ``dst`` are the wanted SA's ends, ``selector`` the packet's own addresses
    and ports, ``policy`` the policy with its templates.  ``seq`` goes into the SA (or
    AllocSpi) that answers, so that the kernel replaces its larval SA.
    """

    src: Address
    dst: Address
    proto: int
    selector: Selector
    policy: PolicyInfo
    seq: int
    if_id: int = 0
    cpu: int | None = None


@record
class Expire:
    """An SA reached its soft limit, or its hard one and is gone; ``info`` has its counters, no keys."""

    info: SaInfo
    hard: bool


@record
class PolicyExpire:
    """A policy reached its soft limit, or its hard one and is gone."""

    info: PolicyInfo
    hard: bool


@record
class SaAdded:
    """Somebody added an SA."""

    info: SaInfo


@record
class SaUpdated:
    """Somebody updated an SA."""

    info: SaInfo


@record
class SaDeleted:
    """Somebody deleted an SA; ``info`` is what it was."""

    id: SaId
    info: SaInfo | None


@record
class SasFlushed:
    """Somebody flushed all SAs of a protocol."""

    proto: int


@record
class PolicyAdded:
    """Somebody added a policy."""

    info: PolicyInfo


@record
class PolicyUpdated:
    """Somebody replaced a policy."""

    info: PolicyInfo


@record
class PolicyDeleted:
    """Somebody deleted a policy, naming it by selector or by index; ``info`` is what it was."""

    name: PolicyKey | PolicyIndex
    info: PolicyInfo | None


@record
class PoliciesFlushed:
    """Somebody flushed one policy database."""

    type: int


@record
class DefaultsChanged:
    """Somebody changed what becomes of packets without a policy."""

    defaults: Defaults


@record
class AsyncEvent:
    """Counters of an SA, by threshold, by timer or by somebody's update; ``state.flags`` says which."""

    state: AeState


@record
class Report:
    """A Mobile IPv6 packet arrived that no SA wanted."""

    proto: int
    selector: Selector | None
    address: Address | None


@record
class Migrated:
    """Somebody moved a policy and its SAs."""

    policy: PolicyKey
    migrations: tuple[Migration, ...]
    kmaddress: KmAddress | None
    encap_ports: tuple[int, int] | None


@record
class Mapping:
    """A peer behind a NAT has a new address or port: ESP in UDP arrived from elsewhere."""

    id: SaId
    reqid: int
    old_src: Address
    old_port: int
    new_src: Address
    new_port: int


@record
class Overrun:
    """Events were lost because the receive buffer was full: compare with a dump."""


Event: TypeAlias = (
    Acquire | Expire | PolicyExpire | SaAdded | SaUpdated | SaDeleted | SasFlushed | PolicyAdded
    | PolicyUpdated | PolicyDeleted | PoliciesFlushed | DefaultsChanged | AsyncEvent | Report | Migrated
    | Mapping | Overrun
)  # fmt: skip


def _sa_info(message: Message) -> SaInfo:
    message.head()
    return read_sa(message.payload[: structs.USERSA_INFO.size], message.attributes())


def _policy_info(message: Message) -> PolicyInfo:
    message.head()
    return read_policy(message.payload[: structs.USERPOLICY_INFO.size], message.attributes())


def _acquire(message: Message) -> Acquire:
    identity, src, selector, policy, _auth, _crypt, _comp, seq = message.head()
    attributes = message.attributes()
    info = read_policy(policy, attributes)
    wanted = need_selector(selector)
    dst, _spi, proto = structs.ID.unpack(identity)
    # The struct names no family for the SA's ends: the templates have it, else the packet.
    ends = info.policy.templates[0].dst if info.policy.templates else wanted.dst
    family = AF_INET if ends.version == 4 else AF_INET6
    cpu = attributes.fields(msg.SA_PCPU)
    return Acquire(
        read_address(src, family), read_address(dst, family), PROTOS.get(proto, proto), wanted, info, seq,
        attributes.number(msg.IF_ID), None if cpu is None else cpu[0],
    )  # fmt: skip


def _expire(message: Message) -> Expire:
    state, hard = message.head()
    return Expire(read_sa(state, message.attributes()), hard != 0)


def _policy_expire(message: Message) -> PolicyExpire:
    policy, hard = message.head()
    return PolicyExpire(read_policy(policy, message.attributes()), hard != 0)


def _sa_deleted(message: Message) -> SaDeleted:
    message.head()
    attributes = message.attributes()
    state = attributes.get(msg.SA.type)
    if state is None:
        return SaDeleted(read_sa_id(message.payload[: structs.USERSA_ID.size], attributes), None)
    if len(state) != structs.USERSA_INFO.size:
        raise Malformed(f"an SA of {len(state)} octets inside DELSA")
    return SaDeleted(read_sa_id(message.payload[: structs.USERSA_ID.size], attributes), read_sa(state, attributes))


def _policy_deleted(message: Message) -> PolicyDeleted:
    _selector, index, _direction = message.head()
    attributes = message.attributes()
    policy = attributes.get(msg.POLICY.type)
    if policy is not None and len(policy) != structs.USERPOLICY_INFO.size:
        raise Malformed(f"a policy of {len(policy)} octets inside DELPOLICY")
    info = None if policy is None else read_policy(policy, attributes)
    if index:
        # Deleted by index: the selector in front was never filled in.
        mark = None if info is None else info.policy.mark
        return PolicyDeleted(PolicyIndex(index, mark, attributes.number(msg.IF_ID), read_policy_type(attributes)), info)
    return PolicyDeleted(read_policy_key(message), info)


def _report(message: Message) -> Report:
    proto, selector = message.head()
    wanted = need_selector(selector)
    coaddr = message.attributes().fields(msg.COADDR)
    family = AF_INET if wanted.dst.version == 4 else AF_INET6
    return Report(PROTOS.get(proto, proto), wanted, None if coaddr is None else read_address(coaddr[0], family))


def _migrated(message: Message) -> Migrated:
    attributes = message.attributes()
    encap = read_encap(attributes, AF_INET)
    return Migrated(
        read_policy_key(message),
        read_migrations(attributes),
        read_kmaddress(attributes),
        None if encap is None else (encap.src_port, encap.dst_port),
    )


def _mapping(message: Message) -> Mapping:
    identity, reqid, old_src, new_src, old_port, new_port = message.head()
    dst, spi, family, proto = structs.USERSA_ID.unpack(identity)
    name = SaId(read_address(dst, family), htonl(spi), PROTOS.get(proto, proto))
    return Mapping(
        name,
        reqid,
        read_address(old_src, family),
        htons(old_port),
        read_address(new_src, family),
        htons(new_port),
    )


_READERS: Final[dict[int, Callable[[Message], Event]]] = {
    Type.ACQUIRE:      _acquire,
    Type.EXPIRE:       _expire,
    Type.POLEXPIRE:    _policy_expire,
    Type.NEWSA:        lambda message: SaAdded(_sa_info(message)),
    Type.UPDSA:        lambda message: SaUpdated(_sa_info(message)),
    Type.DELSA:        _sa_deleted,
    Type.FLUSHSA:      lambda message: SasFlushed(*message.head()),
    Type.NEWPOLICY:    lambda message: PolicyAdded(_policy_info(message)),
    Type.UPDPOLICY:    lambda message: PolicyUpdated(_policy_info(message)),
    Type.DELPOLICY:    _policy_deleted,
    Type.FLUSHPOLICY:  lambda message: PoliciesFlushed(read_policy_type(message.attributes())),
    Type.GETDEFAULT:   lambda message: DefaultsChanged(Defaults(*message.head())),
    Type.NEWAE:        lambda message: AsyncEvent(read_ae(message)),
    Type.REPORT:       _report,
    Type.MIGRATE:      _migrated,
    Type.MAPPING:      _mapping,
}  # fmt: skip


def read_event(message: Message) -> Event | None:
    """The event in a multicast message; None for a type that a later kernel may have added.

    Raises:
        Malformed: the octets do not have the shape of their type.
    """
    reader = _READERS.get(message.type)
    return None if reader is None else reader(message)
