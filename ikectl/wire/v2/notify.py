"""Notify and Delete payloads, and typed views of what a notify carries (RFC 7296 §3.10, §3.11).

A view is asked for after the type was looked at. Each checks the exact length
and raises WireError when the data is of another.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, unpack
from typing import ClassVar, NamedTuple, Self

from ikectl.errors import WireError
from ikectl.iana.v2 import (
    CompressionTransform,
    HashAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    Protocol,
    compression_transform,
    hash_algorithm,
    key_exchange_method,
    notify_type,
    payload_type,
    protocol,
)
from ikectl.values.record import record
from ikectl.wire.octets import U16, U32
from ikectl.wire.payload import Payload, payload

CHILD_SPI_OCTETS = 4
NAT_HASH_OCTETS = 20  # SHA-1, §2.23
MAX_COOKIE_OCTETS = 64  # §2.6
PPK_CONFIRMATION_OCTETS = 8  # RFC 9867 §3.1
COOKIE2_OCTETS = range(8, 65)  # RFC 4555 §4.2.5

_NOTIFY = Struct("!BBH")  # protocol, SPI size, type
_pack, _unpack = _NOTIFY.pack, _NOTIFY.unpack_from


@payload(PayloadType.NOTIFY)
@record
class Notify(Payload):
    """Notify payload (§3.10).

    `protocol` and `spi` name a child SA in REKEY_SA and CHILD_SA_NOT_FOUND and
    are empty otherwise; on receipt they are kept and mean nothing there.
    """

    REPEATS: ClassVar = True

    type: NotifyType
    data: bytes = b""
    protocol: Protocol = Protocol.NONE
    spi: bytes = b""

    @classmethod
    def read(cls, body: bytes) -> Notify:
        if (known := _BARE.get(body)) is not None:
            return known
        protocol_id, spi_octets, number = _unpack(body)
        if not spi_octets:
            return cls(notify_type(number), body[4:], protocol(protocol_id))
        data_at = 4 + spi_octets
        if data_at > len(body):
            raise WireError(f"a notify cannot hold its SPI of {spi_octets} octets")
        return cls(notify_type(number), body[data_at:], protocol(protocol_id), body[4:data_at])

    def body(self) -> bytes:
        return _pack(self.protocol, len(self.spi), self.type) + self.spi + self.data


_BARE = {Notify(kind).body(): Notify(kind) for kind in NotifyType}
"""Notifies that say all by their type, by their octets: messages are full of them."""


@payload(PayloadType.DELETE)
@record
class Delete(Payload):
    """Delete payload (§3.11): the sender's inbound SPIs, or for the IKE SA itself none."""

    REPEATS: ClassVar = True
    LAYOUT: ClassVar = Struct("!BBH")  # protocol, SPI size, number of SPIs
    SPI_OCTETS: ClassVar = {Protocol.IKE: 0, Protocol.AH: CHILD_SPI_OCTETS, Protocol.ESP: CHILD_SPI_OCTETS}

    protocol: Protocol
    spis: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, body: bytes) -> Self:
        protocol_id, octets, count = cls.LAYOUT.unpack_from(body)
        kind = protocol(protocol_id)
        if octets != cls.SPI_OCTETS.get(kind, octets):
            raise WireError(f"a delete for {kind} with SPIs of {octets} octets")
        if len(body) - 4 != octets * count or (count and not octets):
            raise WireError(f"a delete of {len(body)} octets cannot hold {count} SPIs of {octets}")
        return cls(kind, tuple(body[start : start + octets] for start in range(4, len(body), octets or 1)))

    def body(self) -> bytes:
        octets = len(self.spis[0]) if self.spis else self.SPI_OCTETS.get(self.protocol, 0)
        return self.LAYOUT.pack(self.protocol, octets, len(self.spis)) + b"".join(self.spis)


# Constant notifies, made once. Treat them as values, as all records.
INITIAL_CONTACT = Notify(NotifyType.INITIAL_CONTACT)
EAP_ONLY_AUTHENTICATION = Notify(NotifyType.EAP_ONLY_AUTHENTICATION)
MULTIPLE_AUTH_SUPPORTED = Notify(NotifyType.MULTIPLE_AUTH_SUPPORTED)
ANOTHER_AUTH_FOLLOWS = Notify(NotifyType.ANOTHER_AUTH_FOLLOWS)
USE_TRANSPORT_MODE = Notify(NotifyType.USE_TRANSPORT_MODE)
ESP_TFC_PADDING_NOT_SUPPORTED = Notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)
NON_FIRST_FRAGMENTS_ALSO = Notify(NotifyType.NON_FIRST_FRAGMENTS_ALSO)
ADDITIONAL_TS_POSSIBLE = Notify(NotifyType.ADDITIONAL_TS_POSSIBLE)
NO_PROPOSAL_CHOSEN = Notify(NotifyType.NO_PROPOSAL_CHOSEN)
TS_UNACCEPTABLE = Notify(NotifyType.TS_UNACCEPTABLE)
AUTHENTICATION_FAILED = Notify(NotifyType.AUTHENTICATION_FAILED)
INVALID_SYNTAX = Notify(NotifyType.INVALID_SYNTAX)
TEMPORARY_FAILURE = Notify(NotifyType.TEMPORARY_FAILURE)
NO_ADDITIONAL_SAS = Notify(NotifyType.NO_ADDITIONAL_SAS)
CHILDLESS_IKEV2_SUPPORTED = Notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED)
IKEV2_FRAGMENTATION_SUPPORTED = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
INTERMEDIATE_EXCHANGE_SUPPORTED = Notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)
USE_PPK = Notify(NotifyType.USE_PPK)
USE_PPK_INT = Notify(NotifyType.USE_PPK_INT)
REPLAY_COUNTER_SYNC_SUPPORTED = Notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED)
MESSAGE_ID_SYNC_SUPPORTED = Notify(NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED)
MOBIKE_SUPPORTED = Notify(NotifyType.MOBIKE_SUPPORTED)
UPDATE_SA_ADDRESSES = Notify(NotifyType.UPDATE_SA_ADDRESSES)
NO_ADDITIONAL_ADDRESSES = Notify(NotifyType.NO_ADDITIONAL_ADDRESSES)


class ChildSpi(NamedTuple):
    """The child SA a notify speaks of: AH or ESP, and an SPI of 4 octets."""

    protocol: Protocol
    spi: bytes


def invalid_ke_group(notify: Notify) -> KeyExchangeMethod:
    """The method INVALID_KE_PAYLOAD asks for: exactly two octets (§1.2, §1.3)."""
    return key_exchange_method(U16.unpack(_data(notify, U16.size))[0])


def invalid_ke_notify(method: KeyExchangeMethod) -> Notify:
    """INVALID_KE_PAYLOAD asking for that method."""
    return Notify(NotifyType.INVALID_KE_PAYLOAD, U16.pack(method))


def signature_hashes(notify: Notify) -> tuple[HashAlgorithm, ...]:
    """What SIGNATURE_HASH_ALGORITHMS lists, two octets each (RFC 7427 §4)."""
    if len(notify.data) % 2:
        raise _wrong_length(notify)
    return tuple(map(hash_algorithm, unpack(f"!{len(notify.data) // 2}H", notify.data)))


def signature_hashes_notify(hashes: Iterable[HashAlgorithm]) -> Notify:
    """SIGNATURE_HASH_ALGORITHMS with that list; keep the result, it is the same for every peer."""
    return Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"".join(map(U16.pack, hashes)))


def window_size(notify: Notify) -> int:
    """The window of SET_WINDOW_SIZE, at least 1 (§2.3)."""
    (window,) = U32.unpack(_data(notify, U32.size))
    if not window:
        raise WireError("a window of no messages")
    return int(window)


def window_size_notify(window: int) -> Notify:
    """SET_WINDOW_SIZE: how many requests may be outstanding towards us."""
    return Notify(NotifyType.SET_WINDOW_SIZE, U32.pack(window))


def auth_lifetime(notify: Notify) -> int:
    """Seconds until AUTH_LIFETIME wants a reauthentication (RFC 4478 §3)."""
    return int(U32.unpack(_data(notify, U32.size))[0])


def auth_lifetime_notify(seconds: int) -> Notify:
    """AUTH_LIFETIME: how many seconds the peer has until it must have authenticated anew."""
    return Notify(NotifyType.AUTH_LIFETIME, U32.pack(seconds))


def message_id(notify: Notify) -> int:
    """The message ID that INVALID_MESSAGE_ID complains of (§2.3)."""
    return int(U32.unpack(_data(notify, U32.size))[0])


def message_id_notify(number: int) -> Notify:
    """INVALID_MESSAGE_ID about the request of that number."""
    return Notify(NotifyType.INVALID_MESSAGE_ID, U32.pack(number))


class Position(NamedTuple):
    """Where one end stands (RFC 6311 §5.1): M1 and P1 in a request, P2 and M2 in its response."""

    nonce: bytes
    """4 octets that the response gives back."""
    send: int
    """Message ID of the next request it will send."""
    receive: int
    """Of the next request it expects."""


_POSITION = Struct("!4sII")


def message_id_sync(notify: Notify) -> Position:
    """What IKEV2_MESSAGE_ID_SYNC says of its sender (RFC 6311 §5.1)."""
    return Position(*_POSITION.unpack(_data(notify, _POSITION.size)))


def message_id_sync_notify(position: Position) -> Notify:
    """IKEV2_MESSAGE_ID_SYNC."""
    return Notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, _POSITION.pack(*position))


def replay_counter_sync(notify: Notify) -> int:
    """How many packet numbers IPSEC_REPLAY_COUNTER_SYNC wants left out; 8 octets with ESN (RFC 6311 §5.2)."""
    if len(notify.data) not in (4, 8):
        raise WireError(f"{notify.type} of {len(notify.data)} octets")
    return int.from_bytes(notify.data, "big")


def child_spi(notify: Notify) -> ChildSpi:
    """The child SA of CHILD_SA_NOT_FOUND, INVALID_SELECTORS or REKEY_SA (§3.10.1)."""
    if notify.protocol not in (Protocol.AH, Protocol.ESP) or len(notify.spi) != CHILD_SPI_OCTETS:
        raise WireError(f"{notify.type} without the SPI of a child SA")
    return ChildSpi(notify.protocol, notify.spi)


def rekey_spi(notify: Notify) -> ChildSpi:
    """The child SA that REKEY_SA replaces, by its sender's inbound SPI (§1.3.3)."""
    return child_spi(notify)


def rekey_notify(protocol: Protocol, spi: bytes) -> Notify:
    """REKEY_SA for the child with that inbound SPI of ours (4 octets)."""
    return Notify(NotifyType.REKEY_SA, b"", protocol, spi)


def invalid_spi(notify: Notify) -> bytes:
    """The SPI (4 octets) of an ESP or AH packet that INVALID_SPI did not know (§1.5)."""
    return _data(notify, CHILD_SPI_OCTETS)


def critical_payload(notify: Notify) -> PayloadType:
    """The type that UNSUPPORTED_CRITICAL_PAYLOAD names: exactly one octet (§2.5)."""
    return payload_type(_data(notify, 1)[0])


def nat_hash(notify: Notify) -> bytes:
    """The SHA-1 of NAT_DETECTION_SOURCE_IP or NAT_DETECTION_DESTINATION_IP (§2.23)."""
    return _data(notify, NAT_HASH_OCTETS)


def cookie(notify: Notify) -> bytes:
    """A COOKIE of 1 to 64 octets (§2.6)."""
    if not 0 < len(notify.data) <= MAX_COOKIE_OCTETS:
        raise _wrong_length(notify)
    return notify.data


def cookie2(notify: Notify) -> bytes:
    """A COOKIE2 of 8 to 64 octets (RFC 4555 §4.2.5)."""
    if len(notify.data) not in COOKIE2_OCTETS:
        raise _wrong_length(notify)
    return notify.data


class Compression(NamedTuple):
    """IPComp as an end wants to receive it: the CPI, and the algorithm."""

    cpi: int
    transform: CompressionTransform


_COMPRESSION = Struct("!HB")


def compression(notify: Notify) -> Compression:
    """What IPCOMP_SUPPORTED offers or takes; attributes may follow, of which none is defined (§2.22)."""
    if len(notify.data) < _COMPRESSION.size:
        raise _wrong_length(notify)
    cpi, transform = _COMPRESSION.unpack_from(notify.data)
    return Compression(cpi, compression_transform(transform))


def compression_notify(wanted: Compression) -> Notify:
    """IPCOMP_SUPPORTED with that CPI of ours."""
    return Notify(NotifyType.IPCOMP_SUPPORTED, _COMPRESSION.pack(*wanted))


def additional_address(notify: Notify) -> bytes:
    """The packed address of ADDITIONAL_IP4_ADDRESS or ADDITIONAL_IP6_ADDRESS (RFC 4555 §4.2.2)."""
    return _data(notify, 4 if notify.type == NotifyType.ADDITIONAL_IP4_ADDRESS else 16)


def additional_address_notify(address: bytes) -> Notify:
    """ADDITIONAL_IP4_ADDRESS or ADDITIONAL_IP6_ADDRESS for a packed address (RFC 4555 §4.2.2)."""
    four = len(address) == 4
    return Notify(NotifyType.ADDITIONAL_IP4_ADDRESS if four else NotifyType.ADDITIONAL_IP6_ADDRESS, address)


class NamedPpk(NamedTuple):
    """A post-quantum key that an initiator has: PPK_ID with its type (RFC 8784 §5.1), and what shows that it has it."""

    named: bytes
    confirmation: bytes


def ppk_identity_key(notify: Notify) -> NamedPpk:
    """What PPK_IDENTITY_KEY names (RFC 9867 §3.1): type, at least one octet of identity, and the confirmation."""
    if len(notify.data) < 2 + PPK_CONFIRMATION_OCTETS:
        raise _wrong_length(notify)
    return NamedPpk(notify.data[:-PPK_CONFIRMATION_OCTETS], notify.data[-PPK_CONFIRMATION_OCTETS:])


def ppk_identity_key_notify(key: NamedPpk) -> Notify:
    """PPK_IDENTITY_KEY for a key."""
    return Notify(NotifyType.PPK_IDENTITY_KEY, key.named + key.confirmation)


class Ends(NamedTuple):
    """The addresses (packed, of one length) and UDP ports that a message was sent between."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int


def no_nats(notify: Notify) -> Ends:
    """What NO_NATS_ALLOWED says the message was sent between (RFC 4555 §4.2.6)."""
    data = notify.data
    if len(data) not in (12, 36):
        raise _wrong_length(notify)
    octets = (len(data) - 4) // 2
    ports = int.from_bytes(data[-4:-2], "big"), int.from_bytes(data[-2:], "big")
    return Ends(data[:octets], data[octets : 2 * octets], *ports)


def no_nats_notify(ends: Ends) -> Notify:
    """NO_NATS_ALLOWED for a message that is sent between these ends (RFC 4555 §4.2.6)."""
    ports = U16.pack(ends.source_port) + U16.pack(ends.destination_port)
    return Notify(NotifyType.NO_NATS_ALLOWED, ends.source + ends.destination + ports)


def _data(notify: Notify, octets: int) -> bytes:
    if len(notify.data) != octets:
        raise _wrong_length(notify)
    return notify.data


def _wrong_length(notify: Notify) -> WireError:
    return WireError(f"{notify.type} with {len(notify.data)} octets of data")
