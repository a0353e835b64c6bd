"""Requests to the kernel, one class each: what to pack, what comes back, what a refusal means.

A request is a record around records.  ``Channel.ask``, ``Channel.batch`` and the
methods of ``Xfrm`` take them; nothing here does IO.  A request describes itself in
errors by addresses, SPI and names of algorithms, never by keys.
"""

import errno as _errno
import struct
from typing import ClassVar, Final, Generic, TypeVar

from . import messages as msg
from . import structs
from .codec import (
    MODES,
    PROTOS,
    pack_address_filter,
    pack_kmaddress,
    pack_mark,
    pack_migrations,
    pack_offload,
    pack_policy_type,
    pack_selector,
)
from .errors import Exhausted, Malformed, Unsupported, XfrmError, error_for
from .messages import Message
from .model import (
    Address,
    AddressFilter,
    AeState,
    Defaults,
    Encap,
    HashThreshold,
    KmAddress,
    Mark,
    Migration,
    Offload,
    Policy,
    PolicyIndex,
    PolicyInfo,
    PolicyKey,
    Sa,
    SadInfo,
    SaId,
    SaInfo,
    SpdInfo,
    record,
)
from .policy_codec import pack_policy, pack_policy_info, pack_policy_name, pack_templates, read_policy
from .sa_codec import (
    pack_ae,
    pack_ae_question,
    pack_encap,
    pack_sa,
    pack_sa_info,
    pack_sa_name,
    read_ae,
    read_sa,
)
from .uapi import TEMPLATES_MAX, MessageFlag, Mode, PolicyType, Proto, Type

A_co = TypeVar("A_co", covariant=True)

_ACK: Final = int(MessageFlag.REQUEST | MessageFlag.ACK)
_ASK: Final = int(MessageFlag.REQUEST)
_REPLACE: Final = int(MessageFlag.REQUEST | MessageFlag.ACK | MessageFlag.REPLACE)
_DUMP: Final = int(MessageFlag.REQUEST | MessageFlag.DUMP)
_ZERO_LIFETIME: Final = bytes(structs.LIFETIME_CFG.size)


class Request(Generic[A_co]):
    """One message to the kernel whose answer is an ``A_co`` (None for a plain acknowledgement)."""

    __slots__ = ()

    TYPE: ClassVar[int]
    FLAGS: ClassVar[int] = _ACK

    def body(self) -> bytes:
        """What follows the netlink header."""
        raise NotImplementedError

    def answer(self, reply: Message) -> A_co:
        """The answer in a reply; only called for requests that have one."""
        raise Malformed(f"{self.describe()} was answered by message type {reply.type:#x}")

    def describe(self) -> str:
        """What is asked, for people."""
        return Type(self.TYPE).name

    def refused(self, errno: int, kernel: str) -> XfrmError:
        """The error for a refusal: ``errno`` positive, ``kernel`` its explanation or ''."""
        return error_for(errno, self.describe(), kernel)

    def encode(self, seq: int) -> bytes:
        """The whole message, padded to four octets.

        Raises:
            ValueError: a number does not fit its field, or the request contradicts itself.
        """
        try:
            body = self.body()
        except (struct.error, OverflowError, ValueError) as error:
            # struct tells ranges, not values: nothing secret.  None, because the frames have keys.
            raise ValueError(f"{self.describe()}: {error}") from None
        return msg.frame(self.TYPE, self.FLAGS, seq, body)


def _reply(reply: Message, wanted: int) -> Message:
    if reply.type != wanted:
        raise Malformed(f"message type {reply.type:#x} where {wanted:#x} was due")
    return reply


def _protocol(proto: int) -> str:
    known = PROTOS.get(proto)
    return known.name.lower() if isinstance(known, Proto) else f"protocol {proto}"


def _spell(proto: int, src: Address | None, dst: Address, spi: int) -> str:
    return f"{_protocol(proto)} {src or 'any'} > {dst} spi {spi:#010x}"


def _spell_policy(name: PolicyKey | PolicyIndex) -> str:
    if isinstance(name, PolicyIndex):
        return f"index {name.index}"
    chosen = name.selector
    ways = ("in", "out", "fwd")
    way = ways[name.direction] if 0 <= name.direction < len(ways) else str(name.direction)
    return f"{chosen.src}/{chosen.src_prefix} > {chosen.dst}/{chosen.dst_prefix} {way}"


# -- SAs -----------------------------------------------------------------------


@record
class NewSa(Request[None]):
    """Add an SA.  Refused with Exists when destination, SPI, protocol and mark are taken."""

    TYPE: ClassVar[int] = Type.NEWSA

    sa: Sa

    def body(self) -> bytes:
        return pack_sa(self.sa)

    def describe(self) -> str:
        sa = self.sa
        return f"{Type(self.TYPE).name} {_spell(sa.proto, sa.src, sa.dst, sa.spi)}"

    def refused(self, errno: int, kernel: str) -> XfrmError:
        """Of all errors, those that mean a missing algorithm or protocol need the SA to be understood.

        ENOSYS: XFRM does not know the algorithm's name.  ENOENT: it does, the crypto layer
        cannot make one.  EINVAL with words about cryptography: not with this key or ICV
        length.  EPROTONOSUPPORT: no ESP, AH or IPComp for this family, or no such mode.
        """
        if errno == _errno.EPROTONOSUPPORT:
            mode = MODES.get(self.sa.mode, self.sa.mode)
            if "mode" in kernel.lower():
                lacking = f"mode {mode.name.lower() if isinstance(mode, Mode) else mode}"
            else:
                lacking = f"{_protocol(self.sa.proto)} for IPv{self.sa.dst.version}"
            return Unsupported(errno, self.describe(), kernel, protocol=lacking)
        if errno in (_errno.ENOSYS, _errno.ENOENT) or (errno == _errno.EINVAL and "crypto" in kernel.lower()):
            return Unsupported(errno, self.describe(), kernel, algorithms=self._algorithms(kernel))
        return error_for(errno, self.describe(), kernel)

    def _algorithms(self, kernel: str) -> tuple[str, ...]:
        """The names the refusal may be about; the kernel's words narrow it down where there are any."""
        sa = self.sa
        rows = (
            ("AEAD", sa.aead, sa.aead and f"{sa.aead.name} with {len(sa.aead.key) * 8} bits of key"),
            ("AUTH", sa.auth, sa.auth and f"{sa.auth.name} with {len(sa.auth.key) * 8} bits of key"),
            ("CRYPT", sa.crypt, sa.crypt and f"{sa.crypt.name} with {len(sa.crypt.key) * 8} bits of key"),
            ("COMP", sa.comp, sa.comp and sa.comp.name),
        )
        present = [(word, text) for word, algorithm, text in rows if algorithm is not None and text]
        named = tuple(text for word, text in present if f"{word} " in kernel or f"{word}_TRUNC" in kernel)
        return named or tuple(text for _, text in present)


@record
class UpdSa(NewSa):
    """Complete a larval SA, or change lifetimes and encapsulation of a live one.  Gone without one."""

    TYPE: ClassVar[int] = Type.UPDSA


@record
class DelSa(Request[None]):
    """Delete an SA.  Refused with Gone when there is none."""

    TYPE: ClassVar[int] = Type.DELSA

    id: SaId

    def body(self) -> bytes:
        return pack_sa_name(self.id)

    def describe(self) -> str:
        return f"DELSA {_spell(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


@record
class GetSa(Request[SaInfo]):
    """Read one SA with its keys and counters."""

    TYPE: ClassVar[int] = Type.GETSA
    FLAGS: ClassVar[int] = _ASK

    id: SaId

    def body(self) -> bytes:
        return pack_sa_name(self.id)

    def answer(self, reply: Message) -> SaInfo:
        _reply(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes())

    def describe(self) -> str:
        return f"GETSA {_spell(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


@record
class AllocSpi(Request[int]):
    """Reserve an SPI with a larval SA, which ``UpdSa`` completes or ``DelSa`` removes; the answer is the SPI.

    The larval SA goes by itself after net.core.xfrm_acq_expires seconds.  ``low`` and
    ``high`` are the first and last SPI allowed.
    """

    TYPE: ClassVar[int] = Type.ALLOCSPI
    FLAGS: ClassVar[int] = _ASK

    src: Address
    dst: Address
    proto: int = Proto.ESP
    mode: int = Mode.TUNNEL
    reqid: int = 0
    low: int = 0x100
    high: int = 0xFFFFFFFF
    seq: int = 0
    mark: Mark | None = None
    if_id: int = 0
    direction: int | None = None
    cpu: int | None = None

    def body(self) -> bytes:
        wish = Sa(self.src, self.dst, 0, self.proto, self.mode, self.reqid, seq=self.seq)
        parts = [structs.USERSPI_INFO.pack(pack_sa_info(wish, _ZERO_LIFETIME), self.low, self.high)]
        if self.mark is not None:
            parts.append(pack_mark(self.mark))
        if self.if_id:
            parts.append(msg.IF_ID.pack(self.if_id))
        if self.direction is not None:
            parts.append(msg.SA_DIR.pack(self.direction))
        if self.cpu is not None:
            parts.append(msg.SA_PCPU.pack(self.cpu))
        return b"".join(parts)

    def answer(self, reply: Message) -> int:
        _reply(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes()).sa.spi

    def describe(self) -> str:
        return f"ALLOCSPI {_protocol(self.proto)} {self.src} > {self.dst} from {self.low:#x} to {self.high:#x}"

    def refused(self, errno: int, kernel: str) -> XfrmError:
        if errno == _errno.ENOENT:  # nothing free in the range
            return Exhausted(errno, self.describe(), kernel)
        return error_for(errno, self.describe(), kernel)


@record
class FlushSa(Request[None]):
    """Delete every SA of one protocol, or of all."""

    TYPE: ClassVar[int] = Type.FLUSHSA

    proto: int = Proto.ANY

    def body(self) -> bytes:
        return structs.USERSA_FLUSH.pack(self.proto)


@record
class ExpireSa(Request[None]):
    """Make an SA expire now: an EXPIRE event, and with ``hard`` its end."""

    TYPE: ClassVar[int] = Type.EXPIRE

    sa: Sa
    hard: bool = False

    def body(self) -> bytes:
        body = structs.USER_EXPIRE.pack(pack_sa_info(self.sa, _ZERO_LIFETIME), self.hard)
        return body if self.sa.mark is None else body + pack_mark(self.sa.mark)

    def describe(self) -> str:
        sa = self.sa
        return f"EXPIRE {_spell(sa.proto, sa.src, sa.dst, sa.spi)}"


@record
class NewAe(Request[None]):
    """Set counters and thresholds of an SA, as failover does; the parts that are None stay.

    Refused with Gone without such an SA, with Invalid while it is larval.
    """

    TYPE: ClassVar[int] = Type.NEWAE
    FLAGS: ClassVar[int] = _REPLACE

    state: AeState

    def body(self) -> bytes:
        return pack_ae(self.state)

    def describe(self) -> str:
        name = self.state.id
        return f"NEWAE {_spell(name.proto, self.state.src, name.dst, name.spi)}"


@record
class GetAe(Request[AeState]):
    """Read counters of an SA, and its thresholds when wanted; no keys travel."""

    TYPE: ClassVar[int] = Type.GETAE
    FLAGS: ClassVar[int] = _ASK

    id: SaId
    thresholds: bool = True

    def body(self) -> bytes:
        return pack_ae_question(self.id, self.thresholds)

    def answer(self, reply: Message) -> AeState:
        return read_ae(_reply(reply, Type.NEWAE))

    def describe(self) -> str:
        return f"GETAE {_spell(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


# -- policies ------------------------------------------------------------------


@record
class NewPolicy(Request[None]):
    """Add a policy.  Refused with Exists when one with the same key stands, whatever its priority."""

    TYPE: ClassVar[int] = Type.NEWPOLICY

    policy: Policy

    def body(self) -> bytes:
        return pack_policy(self.policy)

    def describe(self) -> str:
        return f"{Type(self.TYPE).name} {_spell_policy(self.policy.key)}"


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
        return f"DELPOLICY {_spell_policy(self.name)}"


@record
class GetPolicy(Request[PolicyInfo]):
    """Read one policy."""

    TYPE: ClassVar[int] = Type.GETPOLICY
    FLAGS: ClassVar[int] = _ASK

    name: PolicyKey | PolicyIndex

    def body(self) -> bytes:
        return pack_policy_name(self.name)

    def answer(self, reply: Message) -> PolicyInfo:
        _reply(reply, Type.NEWPOLICY).head()
        return read_policy(reply.payload[: structs.USERPOLICY_INFO.size], reply.attributes())

    def describe(self) -> str:
        return f"GETPOLICY {_spell_policy(self.name)}"


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
        return f"POLEXPIRE {_spell_policy(self.policy.key)}"


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
        return f"ACQUIRE {_spell_policy(self.policy.key)}"


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
        return f"MIGRATE {_spell_policy(self.policy)}"

    def refused(self, errno: int, kernel: str) -> XfrmError:
        if errno == _errno.ENOPROTOOPT:
            return Unsupported(errno, self.describe(), kernel, protocol="MIGRATE")
        return error_for(errno, self.describe(), kernel)


# -- databases as a whole --------------------------------------------------------

_ALL_FLAGS: Final = struct.pack("=I", 0xFFFFFFFF)


@record
class GetSadInfo(Request[SadInfo]):
    """How large the SA database is."""

    TYPE: ClassVar[int] = Type.GETSADINFO
    FLAGS: ClassVar[int] = _ASK

    def body(self) -> bytes:
        return _ALL_FLAGS

    def answer(self, reply: Message) -> SadInfo:
        _reply(reply, Type.NEWSADINFO).head()
        attributes = reply.attributes()
        buckets, most = attributes.fields(msg.SAD_HINFO) or (0, 0)
        return SadInfo(attributes.number(msg.SAD_CNT), buckets, most)


@record
class GetSpdInfo(Request[SpdInfo]):
    """How large the policy database is, and which hash thresholds hold."""

    TYPE: ClassVar[int] = Type.GETSPDINFO
    FLAGS: ClassVar[int] = _ASK

    def body(self) -> bytes:
        return _ALL_FLAGS

    def answer(self, reply: Message) -> SpdInfo:
        _reply(reply, Type.NEWSPDINFO).head()
        attributes = reply.attributes()
        counts = attributes.fields(msg.SPD_INFO)
        if counts is None:
            raise Malformed("NEWSPDINFO without counts")
        count_in, count_out, count_fwd, sockets_in, sockets_out, sockets_fwd = counts
        buckets, most = attributes.fields(msg.SPD_HINFO) or (0, 0)
        return SpdInfo(
            count_in, count_out, count_fwd, sockets_in, sockets_out, sockets_fwd, buckets, most,
            HashThreshold(*(attributes.fields(msg.SPD_IPV4_HTHRESH) or (32, 32))),
            HashThreshold(*(attributes.fields(msg.SPD_IPV6_HTHRESH) or (128, 128))),
        )  # fmt: skip


@record
class SetHashThresholds(Request[None]):
    """Which policies are hashed: those whose prefixes have at least these lengths; None leaves a family."""

    TYPE: ClassVar[int] = Type.NEWSPDINFO

    ipv4: HashThreshold | None = None
    ipv6: HashThreshold | None = None

    def body(self) -> bytes:
        parts = [_ALL_FLAGS]
        if self.ipv4 is not None:
            parts.append(msg.SPD_IPV4_HTHRESH.pack(self.ipv4.local_bits, self.ipv4.remote_bits))
        if self.ipv6 is not None:
            parts.append(msg.SPD_IPV6_HTHRESH.pack(self.ipv6.local_bits, self.ipv6.remote_bits))
        return b"".join(parts)


@record
class SetDefault(Request[None]):
    """What becomes of packets without a policy; UNSPEC leaves a direction as it is."""

    TYPE: ClassVar[int] = Type.SETDEFAULT

    defaults: Defaults

    def body(self) -> bytes:
        return structs.USERPOLICY_DEFAULT.pack(self.defaults.inbound, self.defaults.fwd, self.defaults.out)


@record
class GetDefault(Request[Defaults]):
    """What becomes of packets without a policy."""

    TYPE: ClassVar[int] = Type.GETDEFAULT
    FLAGS: ClassVar[int] = _ASK

    def body(self) -> bytes:
        return structs.USERPOLICY_DEFAULT.pack(0, 0, 0)

    def answer(self, reply: Message) -> Defaults:
        return Defaults(*_reply(reply, Type.GETDEFAULT).head())


# -- dumps ---------------------------------------------------------------------


@record
class DumpSa(Request[SaInfo]):
    """Every SA, or those of one protocol or between some addresses; ``answer`` is called for each."""

    TYPE: ClassVar[int] = Type.GETSA
    FLAGS: ClassVar[int] = _DUMP

    proto: int = 0
    between: AddressFilter | None = None

    def body(self) -> bytes:
        # A dump has no struct: the attributes follow the netlink header directly.
        parts = []
        if self.proto:
            parts.append(msg.PROTO.pack(self.proto))
        if self.between is not None:
            parts.append(pack_address_filter(self.between))
        return b"".join(parts)

    def answer(self, reply: Message) -> SaInfo:
        _reply(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes())


@record
class DumpPolicy(Request[PolicyInfo]):
    """Every policy of both databases, socket policies included; ``answer`` is called for each."""

    TYPE: ClassVar[int] = Type.GETPOLICY
    FLAGS: ClassVar[int] = _DUMP

    def body(self) -> bytes:
        return b""

    def answer(self, reply: Message) -> PolicyInfo:
        _reply(reply, Type.NEWPOLICY).head()
        return read_policy(reply.payload[: structs.USERPOLICY_INFO.size], reply.attributes())
