"""Message: an IKEv2 message as payloads (RFC 7296 §3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v2 import ExchangeType, NotifyType, PayloadType
from ikectl.wire.header import (
    FLAG_INITIATOR,
    FLAG_RESPONSE,
    HEADER_OCTETS,
    VERSION_2,
    Header,
    write_header,
)
from ikectl.wire.payload import Payload, Unknown, read_chain, write_chain
from ikectl.wire.v2.notify import Notify

P = TypeVar("P", bound=Payload)


@dataclass(slots=True, repr=False)
class Message:
    """A message, in clear or with its SK payload still closed.

    `initiator` says that the sender is the original initiator of the IKE SA.
    `version` is the octet of the header. A message is a value: payloads are not
    added later, because look-ups go through an index.
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
    said: dict[object, list[Any]] = field(init=False, compare=False)
    """By payload class, and by notify type as well, what there is, in order."""

    def __post_init__(self) -> None:
        self.said = {}
        found = self.said.setdefault
        for each in self.payloads:
            found(each.__class__, []).append(each)
        for notify in self.said.get(Notify, ()):
            found(notify.type, []).append(notify)

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
        return cls.under(header, read_chain(header.next_payload, datagram, HEADER_OCTETS))

    @classmethod
    def under(cls, header: Header, payloads: list[Payload]) -> Self:
        """The message of these payloads that came with that header. Raises WireError if it is of another version."""
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
            payloads,
            header.version,
        )

    def write(self) -> bytes:
        """The octets of the message, header and all."""
        first, chain = write_chain(self.payloads)
        return self.write_header(first, HEADER_OCTETS + len(chain)) + chain

    def write_header(self, first: PayloadType, length: int) -> bytes:
        """The header for a message of that length, which counts the header."""
        ends = self.spi_i, self.spi_r
        return write_header(
            *ends, self.exchange, self.message_id, self.response, self.initiator, first, length, self.version
        )

    def one(self, kind: type[P]) -> P:
        """The payload of that class. Raises PeerMisbehaved unless there is exactly one."""
        found: P
        try:
            (found,) = self.said[kind]
        except (KeyError, ValueError):
            raise self._not_one(kind) from None
        return found

    def get(self, kind: type[P]) -> P | None:
        """The payload of that class, or None. Raises PeerMisbehaved if there are several."""
        return self.one(kind) if kind in self.said else None

    def all(self, kind: type[P]) -> list[P]:
        """All payloads of that class, in order."""
        return self.said.get(kind, [])

    def notify(self, kind: NotifyType) -> Notify | None:
        """The first notify of that type, or None."""
        return self.said[kind][0] if kind in self.said else None

    def notifies(self, kind: NotifyType) -> list[Notify]:
        """All notifies of that type, in order; NAT detection sends several (§2.23)."""
        return self.said.get(kind, [])

    @property
    def errors(self) -> list[Notify]:
        """The notifies that say an error, in order (§3.10.1)."""
        return [notify for notify in self.all(Notify) if notify.type.is_error]

    @property
    def critical_unknown(self) -> PayloadType | None:
        """The type of the first unknown payload with its critical bit set (§2.5)."""
        if Unknown in self.said:
            for unknown in self.all(Unknown):
                if unknown.critical:
                    return unknown.type
        return None

    def __repr__(self) -> str:
        """One line as in the ladders of the RFC, with no content of any payload."""
        names = ", ".join(
            f"N({each.type})" if isinstance(each, Notify) else type(each).__name__ for each in self.payloads
        )
        return f"<{self.exchange} {self._half} {self.message_id} {{{names}}}>"

    def _not_one(self, kind: type[Payload]) -> PeerMisbehaved:
        found = len(self.all(kind))
        having = f"with {found}" if found else "without"
        return PeerMisbehaved(f"{self.exchange} {self._half} {having} {kind.__name__}")

    @property
    def _half(self) -> str:
        return "response" if self.response else "request"
