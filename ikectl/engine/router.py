"""Router: from a datagram to the machine it is for; and what strangers get who have none.

Everything here reads unauthenticated octets. So it keeps nothing for a
stranger beyond a bounded number of half-open SAs, asks for cookies when these
grow many (RFC 7296 §2.6) and for puzzles to be solved when they grow very many
(RFC 8019), and answers unknown SPIs rarely (§2.21.4).
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from ikectl.engine.cookies import NO_PUZZLE, Cookies
from ikectl.engine.driver import Driver
from ikectl.engine.half_open import HalfOpen
from ikectl.engine.outside import Outside
from ikectl.engine.puzzles import Puzzles, prf_for
from ikectl.engine.v1.first_fragments import FirstFragments
from ikectl.errors import PeerMisbehaved, WireError
from ikectl.iana import v1
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.events import Dropped, Note
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.wire.header import FLAG_INITIATOR, NO_SPI, NON_ESP_MARKER, Header
from ikectl.wire.v1.message import Message as MessageV1
from ikectl.wire.v1.notify import Notify as NotifyV1
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.puzzle import Demand, PuzzleSolution, puzzle_notify

AnyDriver = Driver[Any]

MAJOR_VERSION = 2

INITIAL = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)
"""What begins an SA of IKEv2, unprotected; the same limits hold for either."""

MAX_SHOWN = 3
"""Half-open SAs of one session ticket: that of its owner, of a try that the owner gave up, of somebody who saw it. No
key exchange and no puzzle stands before them, so one ticket shown from many addresses must not fill all places."""

LOOKED_AT = 64
"""Half-open SAs that are looked at to find one which may make room: the work for a stranger's message is bounded."""

PUZZLES_TOLD_EVERY = 60.0
"""Seconds between two notes that strangers have to solve puzzles."""

MAX_INITIAL_OCTETS = 16 * 1024
"""A longer IKE_SA_INIT is dropped. The greatest honest ones have some 3 KiB, for they must do without
fragmentation (RFC 7383 §2.1). What strangers send costs work before cookies are asked for, and a responder
keeps it until IKE_AUTH: this times `half_open_limit` is all they can fill."""


@record
class Stranger:
    """The first message of a peer that was let in, and its octets, marker taken off."""

    message: Message | MessageV1
    datagram: bytes
    puzzle: Demand | None = None
    """To be solved next, of one that has solved a puzzle to get in."""
    hurried: bool = False
    """It got in without work while others have to do some: its place is kept for a shorter time."""


class Router:
    """SPI -> machine, and the doorkeeping of IKE_SA_INIT."""

    __slots__ = (
        "_cookies",
        "_first_fragments",
        "_last_complaint",
        "_outside",
        "_puzzles",
        "_puzzles_told",
        "half_open",
        "half_open_v1",
        "machines",
    )

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        random = outside.env.random_for(0)
        self._cookies = Cookies(random)
        self._puzzles = Puzzles(outside.env.settings, random)
        self._puzzles_told = float("-inf")
        self._first_fragments = FirstFragments()
        self._last_complaint = float("-inf")
        self.machines: dict[bytes, AnyDriver] = {}
        """By our SPI."""
        self.half_open = HalfOpen()
        """Responders without IKE_AUTH."""
        self.half_open_v1 = HalfOpen()
        """Those of IKEv1 in phase 1."""

    def receive(self, datagram: bytes, path: Path, now: float) -> Stranger | None:
        """Hand a datagram to its machine; the first message of a peer that may have an SA is returned.

        `datagram` is a UDP payload as it came, or a message of a stream without its length.
        """
        settings = self._outside.env.settings
        if path.local.port != settings.ike_port or path.tcp:
            # RFC 3948 §2.2, RFC 9329 §3: here a marker tells IKE from ESP, which the kernel takes;
            # a single 0xFF is a NAT keepalive (RFC 3948 §2.3, RFC 9329 §6.6).
            if datagram[:4] != NON_ESP_MARKER:
                return None
            datagram = datagram[4:]
        try:
            header = Header.read(datagram)
        except WireError as failure:
            self._drop(path, str(failure))
            return None
        major = header.version >> 4
        if major == MAJOR_VERSION:
            return self._receive_v2(header, datagram, path, now)
        if major == 1 and not path.tcp:  # RFC 9329 is about IKEv2
            return self._receive_v1(header, datagram, path, now)
        self._other_version(header, path, now)
        return None

    def _receive_v2(self, header: Header, datagram: bytes, path: Path, now: float) -> Stranger | None:
        initial = header.exchange in INITIAL
        if initial:
            if len(datagram) > MAX_INITIAL_OCTETS:
                self._drop(
                    path, f"an {header.exchange} of {len(datagram)} octets; {MAX_INITIAL_OCTETS} are taken at most"
                )
                return None
            if not header.is_response:
                return self._initial(header, datagram, path, now)
        if header.flags & FLAG_INITIATOR:
            ours, theirs = header.spi_r, header.spi_i
        else:
            ours, theirs = header.spi_i, header.spi_r
        machine = self.machines.get(ours)
        if machine is None or machine.sa.VERSION != MAJOR_VERSION:
            self._unknown(header, path, now)
        elif not initial and machine.sa.their_spi not in (theirs, NO_SPI):
            self._drop(path, "its other SPI is not that of the SA")
        else:
            machine.receive(header, datagram, path, now)
        return None

    def _receive_v1(self, header: Header, datagram: bytes, path: Path, now: float) -> Stranger | None:
        """Nothing in a message of IKEv1 says which cookie is ours (RFC 2408 §3.1)."""
        for ours, theirs in ((header.spi_r, header.spi_i), (header.spi_i, header.spi_r)):
            machine = self.machines.get(ours)
            if machine is None or machine.sa.their_spi not in (theirs, NO_SPI):
                continue
            if machine.sa.VERSION == 1:
                machine.receive(header, datagram, path, now)
            else:
                machine.other_version(path, now)
            return None
        if header.spi_r == NO_SPI:
            return self._initial_v1(header, datagram, path, now)
        self._drop(path, "it is for an ISAKMP SA that is not here")
        return None

    def _initial_v1(self, header: Header, datagram: bytes, path: Path, now: float) -> Stranger | None:
        """Message 1 of main or aggressive mode: in clear, message ID 0 (RFC 2408 §3.1)."""
        kind = v1.exchange_type(header.exchange)
        if kind not in (v1.ExchangeType.IDENTITY_PROTECTION, v1.ExchangeType.AGGRESSIVE):
            self._drop(path, f"{kind} does not begin an ISAKMP SA")
            return None
        if header.message_id or header.spi_i == NO_SPI or len(datagram) > MAX_INITIAL_OCTETS:
            self._drop(path, "the first message of phase 1 has message ID 0, a cookie, and a reasonable size")
            return None
        if self._is_repeated(self.half_open_v1, header, datagram, path):
            return None
        try:
            if int(header.next_payload) == v1.PayloadType.FRAGMENT:
                whole = self._first_fragments.add(header, datagram, path.remote.address)
                return None if whole is None else self._initial_v1_whole(whole, path, now)
            message = MessageV1.read(datagram, header)
        except WireError as failure:
            self._drop(path, str(failure))
            return None
        if message.unknown is not None:
            self._drop(path, f"a payload of the unknown type {message.unknown}")  # RFC 2408 §5.3
            return None
        if not self._admitted_v1(kind, path, now):
            self._drop(path, "too many half-open SAs")
            return None
        return Stranger(message, datagram)

    def _initial_v1_whole(self, datagram: bytes, path: Path, now: float) -> Stranger | None:
        """Message 1 that was put together. Raises WireError for fragments of fragments."""
        header = Header.read(datagram)
        if int(header.next_payload) == v1.PayloadType.FRAGMENT or header.spi_r != NO_SPI:
            raise WireError("fragments of what is no first message")
        return self._initial_v1(header, datagram, path, now)

    def _admitted_v1(self, kind: v1.ExchangeType, path: Path, now: float) -> bool:
        """Whether a new half-open SA may be made for this peer.

        IKEv1 has no cookies that would show that it receives before we keep anything (RFC 2408 §2.5.3). So who
        has answered us once is safe from strangers, and of those that have not the oldest makes room. A first
        message of aggressive mode costs us a key exchange and gets no such favour.
        """
        settings, address, known = self._outside.env.settings, path.remote.address, self.half_open_v1
        crowded = known.of_site(address) >= settings.block_threshold
        if kind is v1.ExchangeType.AGGRESSIVE:
            return not crowded and len(known) < min(settings.aggressive_limit, settings.half_open_limit)
        if not crowded and len(known) < settings.half_open_limit:
            return True
        waiting = known.oldest(address if crowded else None)
        oldest = next((driver for driver in islice(waiting, LOOKED_AT) if driver.is_unanswered), None)
        if oldest is None:
            return False
        oldest.close("another first message made room of it", now)
        return True

    def _is_repeated(self, half_open: HalfOpen, header: Header, datagram: bytes, path: Path) -> bool:
        """Whether the first message of a half-open SA came again; it then gets its answer again."""
        known = half_open.made_by(header.spi_i, path.remote.address)
        if known is None or known[1] != datagram:
            return False
        known[0].repeat(datagram, path)  # which says nothing while the answer is being made
        return True

    def _initial(self, header: Header, datagram: bytes, path: Path, now: float) -> Stranger | None:
        if not header.from_initiator or header.message_id or header.spi_r != NO_SPI or header.spi_i == NO_SPI:
            self._drop(
                path, f"an {header.exchange} request has message ID 0, no responder SPI and comes from the initiator"
            )
            return None
        if self._is_repeated(self.half_open, header, datagram, path):
            return None
        try:
            message = Message.read(datagram, header)
            nonce = message.one(Nonce).value
        except (WireError, PeerMisbehaved) as failure:
            self._drop(path, str(failure))
            return None
        if message.critical_unknown is not None:
            # RFC 7296 §2.5: the type octet is the data; nothing is kept.
            refusal = Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes((message.critical_unknown,)))
            self.reply_to_stranger(header, [refusal], path)
            return None
        admitted = self._admitted(message, nonce, header, path, now)
        if not admitted:
            return None
        hurried = admitted is True and self._puzzles.bits(len(self.half_open), 0) is not None
        return Stranger(message, datagram, self._puzzles.for_auth(admitted), hurried)

    def _admitted(self, message: Message, nonce: bytes, header: Header, path: Path, now: float) -> bool | Demand:
        """Whether a new half-open SA may be made for this peer (RFC 7296 §2.6), and for which puzzle solved."""
        settings, address = self._outside.env.settings, path.remote.address
        of_site, waiting = self.half_open.of_site(address), len(self.half_open)
        if of_site >= settings.block_threshold or waiting >= settings.half_open_limit:
            self._drop(path, "too many half-open SAs")
            return False
        bits = self._puzzles.bits(waiting, of_site)
        crowded = waiting >= settings.cookie_threshold or of_site >= settings.cookie_threshold_ip
        if bits is None and (path.tcp or not crowded):
            return True  # who has a TCP connection has shown that it receives (RFC 9329 §6.3)
        shown = message.notify(NotifyType.COOKIE)
        asked = None if shown is None else self._cookies.asked_with(shown.data, nonce, address, header.spi_i, now)
        if bits is not None and header.exchange is ExchangeType.IKE_SA_INIT:
            return self._worked(message, header, asked, bits, path, now)
        if asked is not None:
            return True
        cookie = self._cookies.make(nonce, address, header.spi_i, now)
        self.reply_to_stranger(header, [Notify(NotifyType.COOKIE, cookie)], path)
        return False

    def _worked(
        self, message: Message, header: Header, asked: Demand | None, bits: int, path: Path, now: float
    ) -> bool | Demand:
        """Whether a peer has worked enough for a place, or is let in without; else it gets a puzzle (RFC 8019 §7.1).

        `asked` is what its cookie was given with. A session ticket is no matter of this: it names no prf, costs no
        key exchange, and leaves nothing half open if it is not good (§4.5).
        """
        self._tell_of_puzzles(bits, now)
        try:
            solution, chosen = message.get(PuzzleSolution), prf_for(message)
        except PeerMisbehaved as failure:
            self._drop(path, str(failure))
            return False
        if chosen is None:
            # §7.1.1.2: no puzzle can be given, and no SA can come of it.
            self.reply_to_stranger(header, [Notify(NotifyType.NO_PROPOSAL_CHOSEN)], path)
            return False
        shown = message.notify(NotifyType.COOKIE)
        if shown is not None and asked is not None and asked != NO_PUZZLE:
            if solution is None and self._puzzles.drawn(now):
                return True
            if solution is not None and self._puzzles.suffices(solution, shown.data, asked, bits):
                if self.half_open.made_by(header.spi_i, path.remote.address) is None:
                    return asked
                # Else one solution would do for as many key exchanges as somebody likes.
                self._drop(path, "a solution is good for one half-open SA at a time")
                return False
        demand = Demand(chosen, bits)
        cookie = self._cookies.make(message.one(Nonce).value, path.remote.address, header.spi_i, now, demand)
        self.reply_to_stranger(header, [Notify(NotifyType.COOKIE, cookie), puzzle_notify(demand)], path)
        return False

    def _tell_of_puzzles(self, bits: int, now: float) -> None:
        """Let the operator know, once a minute while it lasts."""
        if now - self._puzzles_told >= PUZZLES_TOLD_EVERY:
            self._puzzles_told = now
            why = f"{len(self.half_open)} half-open IKE SAs: whoever calls has to solve a puzzle of {bits} bits first"
            self._outside.env.events.append(Note(None, f"{why}, but for a few drawn by lot (RFC 8019)"))

    def add(self, machine: AnyDriver) -> None:
        """Route messages to a new machine."""
        self.machines[machine.sa.our_spi] = machine

    def add_half_open(self, machine: AnyDriver, request: bytes, ticket: bytes = b"") -> None:
        """Count a responder whose peer has yet to prove itself, the first message of that, and what ticket it shows."""
        self._of(machine).add(machine, request, ticket)

    def drop_half_open(self, machine: AnyDriver) -> None:
        """It went on, or it is gone; nothing happens if it was not counted."""
        self._of(machine).drop(machine)

    def _of(self, machine: AnyDriver) -> HalfOpen:
        return self.half_open_v1 if machine.sa.VERSION == 1 else self.half_open

    @property
    def waiting(self) -> int:
        """Half-open SAs in all."""
        return len(self.half_open) + len(self.half_open_v1)

    def remove(self, machine: AnyDriver) -> None:
        """Forget a machine."""
        if self.machines.get(machine.sa.our_spi) is machine:
            del self.machines[machine.sa.our_spi]

    def _other_version(self, header: Header, path: Path, now: float) -> None:
        """Only a request of a higher major version is answered (RFC 7296 §2.5), and not often."""
        if header.major > MAJOR_VERSION and not header.is_response and self._may_complain(now):
            self.reply_to_stranger(header, [Notify(NotifyType.INVALID_MAJOR_VERSION)], path)
        self._drop(path, f"IKE version {header.major}")

    def _unknown(self, header: Header, path: Path, now: float) -> None:
        """A message for an SA we do not have: tell a requester, rarely; never answer a response (§2.21.4).

        Had we the SA before we started, the peer knows one of the tokens (RFC 6290 §4.5).
        """
        self._drop(path, "it is for an SA that is not here")
        secrets, ends = self._outside.env.crash_secrets, (header.spi_i, header.spi_r)
        known = bool(secrets.earlier) and NO_SPI not in ends
        if not header.is_response and self._may_complain(now, known):
            proofs = secrets.proofs(*ends, path.remote.address) if known else ()
            tokens = [Notify(NotifyType.QUICK_CRASH_DETECTION, proof) for proof in proofs]
            self.reply_to_stranger(header, [Notify(NotifyType.INVALID_IKE_SPI), *tokens], path)

    def _may_complain(self, now: float, with_token: bool = False) -> bool:
        """Whether to answer a stranger, or a peer that may have been none before we started."""
        settings = self._outside.env.settings
        every = settings.crash_token_rate if with_token else settings.invalid_spi_rate
        if now - self._last_complaint < every:
            return False
        self._last_complaint = now
        return True

    def not_version_2(self, message: Message, path: Path, now: float) -> None:
        """Tell a peer that begins with IKEv2 that for its address there is IKEv1 alone (RFC 2408 §5.2)."""
        self._drop(path, "IKEv2, and connections for its address speak IKEv1")
        if self._may_complain(now):
            why = f"{path.remote.host} calls by IKEv2, and what has its address speaks IKEv1 alone"
            self._outside.env.events.append(Note(None, f"{why}: set version = 0, or 1 at the peer"))
            notify = NotifyV1(v1.NotifyType.INVALID_MAJOR_VERSION)
            cookies = message.spi_i, message.spi_r
            refusal = MessageV1(*cookies, v1.ExchangeType.INFORMATIONAL, message.message_id, [notify])
            self._outside.transmit(refusal.write(), path)

    def takes_ticket(self, message: Message, ticket: bytes, wanted: bool, path: Path) -> bool:
        """Whether a session ticket may begin a half-open SA; else its bearer is told (RFC 5723 §4.3.2).

        `wanted`: there is a connection for its address that takes tickets.
        """
        if wanted and self.half_open.of_ticket(ticket) < MAX_SHOWN:
            return True
        why = "that began enough half-open SAs" if wanted else "and no connection for its address takes any"
        self._drop(path, f"a session ticket, {why}")
        ends = message.spi_i, NO_SPI
        refusal = Message(*ends, message.exchange, 0, True, False, [Notify(NotifyType.TICKET_NACK)])
        self._outside.transmit(refusal.write(), path)
        return False

    def reply_to_stranger(self, header: Header, payloads: list[Notify], path: Path) -> None:
        """An unprotected response that copies the request's SPIs, exchange and number; no state is kept."""
        message = Message(
            header.spi_i,
            header.spi_r,
            header.exchange,
            header.message_id,
            True,
            not header.from_initiator,
            list(payloads),
        )
        self._outside.transmit(message.write(), path)

    def _drop(self, path: Path, why: str) -> None:
        self._outside.env.events.append(Dropped(None, path, why))
