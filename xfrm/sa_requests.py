"""Requests about SAs."""

import errno as _errno
from typing import ClassVar, Final

from . import messages as msg
from . import structs
from .codec import MODES, pack_address_filter, pack_mark
from .errors import Exhausted, Unsupported, XfrmError, error_for
from .messages import Message
from .model import Address, AddressFilter, AeState, Mark, Sa, SaId, SaInfo, record
from .request import ASK, DUMP, REPLACE, Request, due, spell_protocol, spell_sa
from .sa_codec import pack_ae, pack_ae_question, pack_sa, pack_sa_info, pack_sa_name, read_ae, read_sa
from .uapi import Mode, Proto, Type

ZERO_LIFETIME: Final = bytes(structs.LIFETIME_CFG.size)


@record
class NewSa(Request[None]):
    """Add an SA.  Refused with Exists when destination, SPI, protocol and mark are taken."""

    TYPE: ClassVar[int] = Type.NEWSA

    sa: Sa

    def body(self) -> bytes:
        return pack_sa(self.sa)

    def describe(self) -> str:
        sa = self.sa
        return f"{Type(self.TYPE).name} {spell_sa(sa.proto, sa.src, sa.dst, sa.spi)}"

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
                lacking = f"{spell_protocol(self.sa.proto)} for IPv{self.sa.dst.version}"
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
        return f"DELSA {spell_sa(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


@record
class GetSa(Request[SaInfo]):
    """Read one SA with its keys and counters."""

    TYPE: ClassVar[int] = Type.GETSA
    FLAGS: ClassVar[int] = ASK

    id: SaId

    def body(self) -> bytes:
        return pack_sa_name(self.id)

    def answer(self, reply: Message) -> SaInfo:
        due(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes())

    def describe(self) -> str:
        return f"GETSA {spell_sa(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


@record
class AllocSpi(Request[int]):
    """Reserve an SPI with a larval SA, which ``UpdSa`` completes or ``DelSa`` removes; the answer is the SPI.

    The larval SA goes by itself after net.core.xfrm_acq_expires seconds.  ``low`` and
    ``high`` are the first and last SPI allowed.
    """

    TYPE: ClassVar[int] = Type.ALLOCSPI
    FLAGS: ClassVar[int] = ASK

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
        parts = [structs.USERSPI_INFO.pack(pack_sa_info(wish, ZERO_LIFETIME), self.low, self.high)]
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
        due(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes()).sa.spi

    def describe(self) -> str:
        return f"ALLOCSPI {spell_protocol(self.proto)} {self.src} > {self.dst} from {self.low:#x} to {self.high:#x}"

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
        body = structs.USER_EXPIRE.pack(pack_sa_info(self.sa, ZERO_LIFETIME), self.hard)
        return body if self.sa.mark is None else body + pack_mark(self.sa.mark)

    def describe(self) -> str:
        sa = self.sa
        return f"EXPIRE {spell_sa(sa.proto, sa.src, sa.dst, sa.spi)}"


@record
class NewAe(Request[None]):
    """Set counters and thresholds of an SA, as failover does; the parts that are None stay.

    Refused with Gone without such an SA, with Invalid while it is larval.
    """

    TYPE: ClassVar[int] = Type.NEWAE
    FLAGS: ClassVar[int] = REPLACE

    state: AeState

    def body(self) -> bytes:
        return pack_ae(self.state)

    def describe(self) -> str:
        name = self.state.id
        return f"NEWAE {spell_sa(name.proto, self.state.src, name.dst, name.spi)}"


@record
class GetAe(Request[AeState]):
    """Read counters of an SA, and its thresholds when wanted; no keys travel."""

    TYPE: ClassVar[int] = Type.GETAE
    FLAGS: ClassVar[int] = ASK

    id: SaId
    thresholds: bool = True

    def body(self) -> bytes:
        return pack_ae_question(self.id, self.thresholds)

    def answer(self, reply: Message) -> AeState:
        return read_ae(due(reply, Type.NEWAE))

    def describe(self) -> str:
        return f"GETAE {spell_sa(self.id.proto, self.id.src, self.id.dst, self.id.spi)}"


@record
class DumpSa(Request[SaInfo]):
    """Every SA, or those of one protocol or between some addresses; ``answer`` is called for each."""

    TYPE: ClassVar[int] = Type.GETSA
    FLAGS: ClassVar[int] = DUMP

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
        due(reply, Type.NEWSA).head()
        return read_sa(reply.payload[: structs.USERSA_INFO.size], reply.attributes())
