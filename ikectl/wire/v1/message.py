"""Message: an IKEv1 message as payloads, in clear or decrypted (RFC 2408 §3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana.v1 import PRIVATE_TYPES, ExchangeType, NotifyType, PayloadType, exchange_type
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.wire.header import HEADER, HEADER_OCTETS, Header
from ikectl.wire.octets import GENERIC_OCTETS
from ikectl.wire.v1.keying import VendorId
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v1.payload import Payload, Unknown, read_chain, write_chain

VERSION_1 = 0x10

FLAG_ENCRYPTION = 0x01
FLAG_COMMIT = 0x02
FLAG_AUTH_ONLY = 0x04
KNOWN_FLAGS = FLAG_ENCRYPTION | FLAG_COMMIT | FLAG_AUTH_ONLY

P = TypeVar("P", bound=Payload)


@dataclass(slots=True, repr=False)
class Message:
    """A message and its payloads.

    `encrypted` says that it travels, or came, encrypted. A message is a value:
    payloads are not added after the first look-up, because look-ups go through
    an index, nor to a message that was read, because it keeps its octets.
    """

    cookie_i: bytes
    cookie_r: bytes
    exchange: ExchangeType
    message_id: int
    payloads: list[Payload]
    encrypted: bool = False
    commit: bool = False
    auth_only: bool = False
    _bodies: list[bytes] | None = field(default=None, init=False, compare=False)
    _chain: bytes = field(default=b"", init=False, compare=False)
    """What was read: bodies, and the octets of the chain without padding."""
    _index: dict[object, list[Any]] | None = field(default=None, init=False, compare=False)

    @classmethod
    def read(cls, datagram: bytes, header: Header | None = None) -> Self:
        """From the octets of a datagram in clear, the non-ESP marker taken off.

        What the payloads mean, and whether they belong here, is not looked at.

        Raises:
            WireError: malformed, encrypted, of another major version, or with
                flags nobody defined (RFC 2408 §5.2).
        """
        if header is None:
            header = Header.read(datagram)
        if header.flags & FLAG_ENCRYPTION:
            raise WireError("the message is encrypted")
        return cls._of(header, datagram, HEADER_OCTETS, padded=False)

    @classmethod
    def open(cls, header: Header, plain: bytes) -> Self:
        """From the header of an encrypted message and what its body decrypted to, padding and all.

        Raises:
            WireError: malformed. A wrong key looks like that too.
        """
        return cls._of(header, plain, 0, padded=True)

    @classmethod
    def _of(cls, header: Header, octets: bytes, start: int, *, padded: bool) -> Self:
        if header.major != VERSION_1 >> 4:
            raise WireError(f"a message of IKE version {header.major}")
        flags = header.flags
        if flags & ~KNOWN_FLAGS:
            raise WireError(f"flags {flags:#04x} in a message of IKEv1")
        payloads, bodies, end = read_chain(header.next_payload, octets, start, padded=padded)
        message = cls(
            header.spi_i,
            header.spi_r,
            exchange_type(header.exchange),
            header.message_id,
            payloads,
            flags & FLAG_ENCRYPTION != 0,
            flags & FLAG_COMMIT != 0,
            flags & FLAG_AUTH_ONLY != 0,
        )
        message._bodies = bodies
        message._chain = octets[start:end]
        return message

    def write(self) -> bytes:
        """The octets of a message in clear, header and all. Raises ValueError for one that is to be encrypted."""
        if self.encrypted:
            raise ValueError("an encrypted message has to be framed with its cipher")
        first, chain = write_chain(self.payloads)
        return self.write_header(first, HEADER_OCTETS + len(chain)) + chain

    def write_header(self, first: int, length: int) -> bytes:
        """The header for a message of that length, which counts the header."""
        flags = (
            (FLAG_ENCRYPTION if self.encrypted else 0)
            | (FLAG_COMMIT if self.commit else 0)
            | (FLAG_AUTH_ONLY if self.auth_only else 0)
        )
        return HEADER.pack(
            self.cookie_i, self.cookie_r, first, VERSION_1, self.exchange, flags, self.message_id, length
        )

    def one(self, kind: type[P]) -> P:
        """The payload of that class. Raises PeerMisbehaved unless there is exactly one."""
        found = self.get(kind)
        if found is None:
            raise PeerMisbehaved(f"{self.exchange} message without {kind.__name__}")
        return found

    def get(self, kind: type[P]) -> P | None:
        """The payload of that class, or None. Raises PeerMisbehaved if there are several."""
        found: list[P] | None = (self._index or self._indexed()).get(kind)
        if found is None:
            return None
        if len(found) > 1:
            raise PeerMisbehaved(f"{self.exchange} message with {len(found)} {kind.__name__}")
        return found[0]

    def all(self, kind: type[P]) -> list[P]:
        """All payloads of that class, in order."""
        return (self._index or self._indexed()).get(kind, [])

    def notify(self, kind: NotifyType) -> Notify | None:
        """The first notify of that type, or None."""
        found = (self._index or self._indexed()).get(kind)
        return None if found is None else found[0]

    @property
    def errors(self) -> list[Notify]:
        """The notifies that say an error, in order."""
        return [notify for notify in self.all(Notify) if notify.type.is_error]

    @property
    def vendors(self) -> frozenset[Vendor]:
        """Which vendor ids we know are said."""
        return frozenset(known for each in self.all(VendorId) if (known := each.vendor) is not None)

    @property
    def unknown(self) -> PayloadType | None:
        """The type of the first payload of a reserved type (RFC 2408 §5.3: INVALID-PAYLOAD-TYPE).

        Those of private types are skipped: whoever sends one has no way to ask whether we know it. Cisco's ASA
        puts one of type 128, about keepalives, behind the proof of phase 1.
        """
        return next((each.type for each in self.all(Unknown) if each.type < PRIVATE_TYPES), None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The words for the payloads, in order, for logs."""
        return tuple(each.short for each in self.payloads)

    def body_of(self, payload: Payload) -> bytes:
        """The body of one of these payloads: as it came, or as it will be sent.

        Hashes cover the peer's octets, which another writer may have formed
        otherwise than we would (RFC 2409 §5). Raises ValueError for a payload
        that is not in this message.
        """
        for at, each in enumerate(self.payloads):
            if each is payload:
                return payload.body() if self._bodies is None else self._bodies[at]
        raise ValueError(f"{type(payload).__name__} is not in this message")

    @property
    def after_first(self) -> bytes:
        """The octets of the chain behind its first payload, generic headers counted, padding not.

        That is what HASH covers in all that follows phase 1 (RFC 2409 §5.5, §5.7).
        """
        if self._bodies is None:
            return write_chain(self.payloads[1:])[1]
        return self._chain[GENERIC_OCTETS + len(self._bodies[0]) :] if self._bodies else b""

    def __repr__(self) -> str:
        """One line as in the ladders of the RFC, with no content of any payload."""
        star = "*" if self.encrypted else ""
        return f"<{self.exchange} {self.message_id:08x}{star} {{{', '.join(self.kinds)}}}>"

    def _indexed(self) -> dict[object, list[Any]]:
        """Payloads by their class, notifies by their type as well. Made once: look for `_index` first."""
        index: dict[object, list[Any]] = {}
        self._index = index
        for each in self.payloads:
            index.setdefault(each.__class__, []).append(each)
        for notify in index.get(Notify, ()):
            index.setdefault(notify.type, []).append(notify)
        return index


def frame(message: Message, encrypt: Callable[[bytes], bytes], block_octets: int) -> bytes:
    """The octets of the message with its payloads encrypted.

    They are filled up with zeros to a whole block, and not at all where they
    fill one already (RFC 2409 App. B). `encrypt` returns as many octets as it
    is given.

    Raises:
        ValueError: the message is not `encrypted`, or something is too large for its field.
    """
    if not message.encrypted:
        raise ValueError("a message in clear is written, not framed")
    first, chain = write_chain(message.payloads)
    sealed = encrypt(chain + bytes(-len(chain) % block_octets))
    return message.write_header(first, HEADER_OCTETS + len(sealed)) + sealed
