"""Message: an IKEv2 message as payloads (RFC 7296 §3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v2 import ExchangeType, NotifyType, PayloadType
from ikectl.wire.header import (
    FLAG_INITIATOR,
    FLAG_RESPONSE,
    HEADER,
    HEADER_OCTETS,
    VERSION_2,
    Header,
)
from ikectl.wire.payload import Payload, Unknown, read_chain, write_chain
from ikectl.wire.v2.notify import Notify

P = TypeVar("P", bound=Payload)


@dataclass(slots=True, repr=False)
class Message:
    """A message, in clear or with its SK payload still closed.

    `initiator` says that the sender is the original initiator of the IKE SA.
    `version` is the octet of the header. A message is a value: payloads are not
    added after the first look-up, because look-ups go through an index.
    """

    spi_i: bytes
    spi_r: bytes
    exchange: ExchangeType
    message_id: int
    response: bool
    initiator: bool
    payloads: list[Payload]
    version: int = VERSION_2
    clear_form: bytes = field(default=b"", init=False, compare=False)
    """Of an opened IKE_INTERMEDIATE message: the octets IntAuth covers (RFC 9242 §3.3.2)."""
    _index: dict[object, list[Any]] | None = field(default=None, init=False, compare=False)

    @classmethod
    def read(cls, datagram: bytes, header: Header | None = None) -> Self:
        """From the octets of a datagram, the non-ESP marker taken off.

        A higher minor version is read as 2.0 (§2.5). What the payloads mean,
        and whether they belong here, is not looked at.

        Raises:
            WireError: malformed, or of another major version.
        """
        if header is None:
            header = Header.read(datagram)
        if header.version >> 4 != VERSION_2 >> 4:
            raise WireError(f"a message of IKE version {header.version >> 4}")
        flags = header.flags
        return cls(
            header.spi_i,
            header.spi_r,
            header.exchange,
            header.message_id,
            flags & FLAG_RESPONSE != 0,
            flags & FLAG_INITIATOR != 0,
            read_chain(header.next_payload, datagram, HEADER_OCTETS),
            header.version,
        )

    def write(self) -> bytes:
        """The octets of the message, header and all."""
        first, chain = write_chain(self.payloads)
        return self.write_header(first, HEADER_OCTETS + len(chain)) + chain

    def write_header(self, first: PayloadType, length: int) -> bytes:
        """The header for a message of that length, which counts the header."""
        flags = (FLAG_INITIATOR if self.initiator else 0) | (FLAG_RESPONSE if self.response else 0)
        return HEADER.pack(self.spi_i, self.spi_r, first, self.version, self.exchange, flags, self.message_id, length)

    def one(self, kind: type[P]) -> P:
        """The payload of that class. Raises PeerMisbehaved unless there is exactly one."""
        found: list[P] | None = (self._index or self._indexed()).get(kind)
        if found is None:
            raise PeerMisbehaved(f"{self.exchange} {self._half} without {kind.__name__}")
        if len(found) > 1:
            raise self._repeated(found)
        return found[0]

    def get(self, kind: type[P]) -> P | None:
        """The payload of that class, or None. Raises PeerMisbehaved if there are several."""
        found: list[P] | None = (self._index or self._indexed()).get(kind)
        if found is None:
            return None
        if len(found) > 1:
            raise self._repeated(found)
        return found[0]

    def all(self, kind: type[P]) -> list[P]:
        """All payloads of that class, in order."""
        return (self._index or self._indexed()).get(kind, [])

    @property
    def said(self) -> Mapping[object, Sequence[Any]]:
        """By payload class and by notify type what there is, in order; for those who look for several things."""
        return self._index or self._indexed()

    def notify(self, kind: NotifyType) -> Notify | None:
        """The first notify of that type, or None."""
        found = (self._index or self._indexed()).get(kind)
        return None if found is None else found[0]

    def notifies(self, kind: NotifyType) -> list[Notify]:
        """All notifies of that type, in order; NAT detection sends several (§2.23)."""
        return (self._index or self._indexed()).get(kind, [])

    @property
    def errors(self) -> list[Notify]:
        """The notifies that say an error, in order (§3.10.1)."""
        return [notify for notify in self.all(Notify) if notify.type.is_error]

    @property
    def critical_unknown(self) -> PayloadType | None:
        """The type of the first unknown payload with its critical bit set (§2.5)."""
        for unknown in (self._index or self._indexed()).get(Unknown, ()):
            if unknown.critical:
                kind: PayloadType = unknown.type
                return kind
        return None

    def __repr__(self) -> str:
        """One line as in the ladders of the RFC, with no content of any payload."""
        names = ", ".join(
            f"N({each.type})" if isinstance(each, Notify) else type(each).__name__ for each in self.payloads
        )
        return f"<{self.exchange} {self._half} {self.message_id} {{{names}}}>"

    def _repeated(self, found: list[Any]) -> PeerMisbehaved:
        return PeerMisbehaved(f"{self.exchange} {self._half} with {len(found)} {type(found[0]).__name__}")

    @property
    def _half(self) -> str:
        return "response" if self.response else "request"

    def _indexed(self) -> dict[object, list[Any]]:
        """Payloads by their class, notifies by their type as well. Made once: look for `_index` first."""
        index: dict[object, list[Any]] = {}
        self._index = index
        for each in self.payloads:
            kind = each.__class__
            if kind in index:
                index[kind].append(each)
            else:
                index[kind] = [each]
        for notify in index.get(Notify, ()):
            index.setdefault(notify.type, []).append(notify)
        return index
