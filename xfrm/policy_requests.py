"""Requests about policies, and about moving them."""

import errno as _errno
from typing import ClassVar

from . import messages as msg
from . import structs
from .codec import pack_kmaddress, pack_mark, pack_migrations, pack_offload, pack_policy_type, pack_selector
from .errors import Unsupported, XfrmError, error_for
from .messages import Message
from .model import Address, Encap, KmAddress, Migration, Offload, Policy, PolicyIndex, PolicyInfo, PolicyKey, record
from .policy_codec import pack_policy, pack_policy_info, pack_policy_name, pack_templates, read_policy
from .request import ASK, DUMP, Request, due, spell_policy
from .sa_codec import pack_encap
from .uapi import TEMPLATES_MAX, PolicyType, Proto, Type


@record
class NewPolicy(Request[None]):
    """Add a policy.  Refused with Exists when one with the same key stands, whatever its priority."""

    TYPE: ClassVar[int] = Type.NEWPOLICY

    policy: Policy

    def body(self) -> bytes:
        return pack_policy(self.policy)

    def describe(self) -> str:
        return f"{Type(self.TYPE).name} {spell_policy(self.policy.key)}"


@record
class UpdPolicy(NewPolicy):
    """Add a policy or replace the one that has the same key."""

    TYPE: ClassVar[int] = Type.UPDPOLICY


@record
class DelPolicy(Request[None]):
    """Delete a policy, by its key or by its index.  Refused with Gone when there is none."""

    TYPE: ClassVar[int] = Type.DELPOLICY

    name: PolicyKey | PolicyIndex

    def body(self) -> bytes:
        return pack_policy_name(self.name)

    def describe(self) -> str:
        return f"DELPOLICY {spell_policy(self.name)}"


@record
class GetPolicy(Request[PolicyInfo]):
    """Read one policy."""

    TYPE: ClassVar[int] = Type.GETPOLICY
    FLAGS: ClassVar[int] = ASK

    name: PolicyKey | PolicyIndex

    def body(self) -> bytes:
        return pack_policy_name(self.name)

    def answer(self, reply: Message) -> PolicyInfo:
        due(reply, Type.NEWPOLICY).head()
        return read_policy(reply.payload[: structs.USERPOLICY_INFO.size], reply.attributes())

    def describe(self) -> str:
        return f"GETPOLICY {spell_policy(self.name)}"


@record
class FlushPolicy(Request[None]):
    """Delete every policy of one database."""

    TYPE: ClassVar[int] = Type.FLUSHPOLICY

    type: int = PolicyType.MAIN

    def body(self) -> bytes:
        return pack_policy_type(self.type) if self.type else b""


@record
class ExpirePolicy(Request[None]):
    """Make a policy expire now: a POLEXPIRE event, and with ``hard`` its end.

    A policy is found by index when it has one, else by selector.
    """

    TYPE: ClassVar[int] = Type.POLEXPIRE

    policy: Policy
    hard: bool = False

    def body(self) -> bytes:
        policy = self.policy
        body = structs.USER_POLEXPIRE.pack(pack_policy_info(policy), self.hard)
        if policy.type:
            body += pack_policy_type(policy.type)
        if policy.mark is not None:
            body += pack_mark(policy.mark)
        return body + msg.IF_ID.pack(policy.if_id) if policy.if_id else body

    def describe(self) -> str:
        return f"POLEXPIRE {spell_policy(self.policy.key)}"


@record
class AcquireSa(Request[None]):
    """Ask all key managers for the SAs that ``policy`` needs, as a packet from ``src`` to ``dst`` would."""

    TYPE: ClassVar[int] = Type.ACQUIRE

    src: Address
    dst: Address
    policy: Policy
    proto: int = Proto.ESP
    seq: int = 0

    def body(self) -> bytes:
        policy = self.policy
        head = structs.USER_ACQUIRE.pack(
            structs.ID.pack(self.dst.packed, 0, self.proto),
            self.src.packed,
            pack_selector(policy.selector),
            pack_policy_info(policy),
            0xFFFFFFFF,
            0xFFFFFFFF,
            0xFFFFFFFF,
            self.seq,
        )
        body = head + pack_templates(policy.templates)
        return body if policy.mark is None else body + pack_mark(policy.mark)

    def describe(self) -> str:
        return f"ACQUIRE {spell_policy(self.policy.key)}"


@record
class Migrate(Request[None]):
    """Move a policy's templates and SAs to other addresses (RFC 5555, and MOBIKE's RFC 4555).

    ``policy`` names the policy, ``encap`` replaces the SAs' encapsulation, ``if_id`` and
    ``offload`` likewise; ``kmaddress`` tells other key managers where to find the peer.
    """

    TYPE: ClassVar[int] = Type.MIGRATE

    policy: PolicyKey
    migrations: tuple[Migration, ...]
    kmaddress: KmAddress | None = None
    encap: Encap | None = None
    offload: Offload | None = None

    def body(self) -> bytes:
        if not 0 < len(self.migrations) <= TEMPLATES_MAX:
            raise ValueError(f"{len(self.migrations)} migrations, the kernel takes 1 to {TEMPLATES_MAX}")
        name = self.policy
        parts = [structs.USERPOLICY_ID.pack(pack_selector(name.selector), 0, name.direction)]
        if name.type:
            parts.append(pack_policy_type(name.type))
        if self.kmaddress is not None:
            parts.append(pack_kmaddress(self.kmaddress))
        parts.append(pack_migrations(self.migrations))
        if self.encap is not None:
            parts.append(pack_encap(self.encap))
        if name.mark is not None:
            parts.append(pack_mark(name.mark))
        if name.if_id:
            parts.append(msg.IF_ID.pack(name.if_id))
        if self.offload is not None:
            parts.append(pack_offload(self.offload))
        return b"".join(parts)

    def describe(self) -> str:
        return f"MIGRATE {spell_policy(self.policy)}"

    def refused(self, errno: int, kernel: str) -> XfrmError:
        if errno == _errno.ENOPROTOOPT:
            return Unsupported(errno, self.describe(), kernel, protocol="MIGRATE")
        return error_for(errno, self.describe(), kernel)


@record
class DumpPolicy(Request[PolicyInfo]):
    """Every policy of both databases, socket policies included; ``answer`` is called for each."""

    TYPE: ClassVar[int] = Type.GETPOLICY
    FLAGS: ClassVar[int] = DUMP

    def body(self) -> bytes:
        return b""

    def answer(self, reply: Message) -> PolicyInfo:
        due(reply, Type.NEWPOLICY).head()
        return read_policy(reply.payload[: structs.USERPOLICY_INFO.size], reply.attributes())
