"""Requests about the databases as a whole: their sizes, hashing, and what holds without a policy."""

import struct
from typing import ClassVar, Final

from . import messages as msg
from . import structs
from .errors import Malformed
from .messages import Message
from .model import Defaults, HashThreshold, SadInfo, SpdInfo, record
from .request import ASK, Request, due
from .uapi import Type

_ALL_FLAGS: Final = struct.pack("=I", 0xFFFFFFFF)


@record
class GetSadInfo(Request[SadInfo]):
    """How large the SA database is."""

    TYPE: ClassVar[int] = Type.GETSADINFO
    FLAGS: ClassVar[int] = ASK

    def body(self) -> bytes:
        return _ALL_FLAGS

    def answer(self, reply: Message) -> SadInfo:
        due(reply, Type.NEWSADINFO).head()
        attributes = reply.attributes()
        buckets, most = attributes.fields(msg.SAD_HINFO) or (0, 0)
        return SadInfo(attributes.number(msg.SAD_CNT), buckets, most)


@record
class GetSpdInfo(Request[SpdInfo]):
    """How large the policy database is, and which hash thresholds hold."""

    TYPE: ClassVar[int] = Type.GETSPDINFO
    FLAGS: ClassVar[int] = ASK

    def body(self) -> bytes:
        return _ALL_FLAGS

    def answer(self, reply: Message) -> SpdInfo:
        due(reply, Type.NEWSPDINFO).head()
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
    FLAGS: ClassVar[int] = ASK

    def body(self) -> bytes:
        return structs.USERPOLICY_DEFAULT.pack(0, 0, 0)

    def answer(self, reply: Message) -> Defaults:
        return Defaults(*due(reply, Type.GETDEFAULT).head())
