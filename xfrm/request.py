"""What every request has: a type, a body, an answer, and words for a refusal.

A request is a record around records.  ``Channel.ask``, ``Channel.batch`` and the
methods of ``Xfrm`` take them; nothing here does IO.  A request describes itself in
errors by addresses, SPI and names of algorithms, never by keys.
"""

import struct
from typing import ClassVar, Final, Generic, TypeVar

from . import messages as msg
from .codec import PROTOS
from .errors import Malformed, XfrmError, error_for
from .messages import Message
from .model import Address, PolicyIndex, PolicyKey
from .uapi import MessageFlag, Proto, Type

A_co = TypeVar("A_co", covariant=True)

ACK: Final = int(MessageFlag.REQUEST | MessageFlag.ACK)
ASK: Final = int(MessageFlag.REQUEST)
REPLACE: Final = int(MessageFlag.REQUEST | MessageFlag.ACK | MessageFlag.REPLACE)
DUMP: Final = int(MessageFlag.REQUEST | MessageFlag.DUMP)


class Request(Generic[A_co]):
    """One message to the kernel whose answer is an ``A_co`` (None for a plain acknowledgement)."""

    __slots__ = ()

    TYPE: ClassVar[int]
    FLAGS: ClassVar[int] = ACK

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


def due(reply: Message, wanted: int) -> Message:
    """The reply, if it is of the type that was due."""
    if reply.type != wanted:
        raise Malformed(f"message type {reply.type:#x} where {wanted:#x} was due")
    return reply


def spell_protocol(proto: int) -> str:
    """'esp', 'ah' ... for people."""
    known = PROTOS.get(proto)
    return known.name.lower() if isinstance(known, Proto) else f"protocol {proto}"


def spell_sa(proto: int, src: Address | None, dst: Address, spi: int) -> str:
    """An SA for people."""
    return f"{spell_protocol(proto)} {src or 'any'} > {dst} spi {spi:#010x}"


def spell_policy(name: PolicyKey | PolicyIndex) -> str:
    """A policy for people."""
    if isinstance(name, PolicyIndex):
        return f"index {name.index}"
    chosen = name.selector
    ways = ("in", "out", "fwd")
    way = ways[name.direction] if 0 <= name.direction < len(ways) else str(name.direction)
    return f"{chosen.src}/{chosen.src_prefix} > {chosen.dst}/{chosen.dst_prefix} {way}"
