"""SessionTickets: sealed and opened by keys that never leave this process, each taken once (RFC 5723 §5, §9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ikectl.errors import WireError
from ikectl.sa import asks, tickets
from ikectl.sa.tickets import MAX_TICKET_OCTETS, Issued, Opened
from ikectl.values.secret import Secret

MAX_LIFETIME = 86400
"""Seconds a ticket is good at most, whatever the lifetime of its IKE SA."""
KEY_OCTETS = 32
KEY_ID_OCTETS = 8
NONCE_OCTETS = 12
FORMAT = 1
HEAD_OCTETS = 1 + KEY_ID_OCTETS + NONCE_OCTETS
MAX_SPENT = 100_000
"""Tickets remembered as taken: some 20 MiB. With one more all that were given so far are worth nothing."""


class SessionTickets:
    """A gateway's. A ticket is format, key id, nonce, and the content under AES-256-GCM.

    A key seals for MAX_LIFETIME and opens for as long behind that, so there are two at most. At a restart both are
    lost, and with them all tickets.
    """

    def __init__(self, random: Callable[[int], bytes], clock: Callable[[], float]) -> None:
        """`clock` tells the engine's instants."""
        self._random, self._clock = random, clock
        self._keys: dict[bytes, Secret] = {}
        """The latest last."""
        self._drawn_at = 0.0
        self._spent: dict[bytes, float] = {}
        """Until when to remember each ticket that was taken, by key id and nonce."""

    @property
    def immediate(self) -> Mapping[type[asks.Ask[Any]], Callable[[Any], Any]]:
        """What it answers."""
        return {asks.SealTicket: self.seal, asks.OpenTicket: self.open, asks.SpendTicket: self.spend}

    def forget(self) -> None:
        """Whatever was given is worth nothing any more: what it rested on has changed."""
        self._keys, self._spent = {}, {}

    def seal(self, ask: asks.SealTicket) -> Issued | None:
        """Answers SealTicket."""
        now, session = self._clock(), ask.session
        if not session.reauth_by and ask.proof:
            session = replace(session, reauth_by=now + ask.proof)
        left = [MAX_LIFETIME, ask.lifetime or MAX_LIFETIME]
        if session.reauth_by:
            left.append(int(session.reauth_by - now))
        lifetime = min(left)
        if lifetime <= 0:
            return None
        content = tickets.write(Opened(session, ask.connection, ask.demands, now + lifetime))
        name, key = self._sealing_key(now)
        head = bytes((FORMAT,)) + name + self._random(NONCE_OCTETS)
        octets = head + AESGCM(key).encrypt(head[-NONCE_OCTETS:], content, head)
        return Issued(octets, lifetime) if len(octets) <= MAX_TICKET_OCTETS else None

    def open(self, ask: asks.OpenTicket) -> Opened | None:
        """Answers OpenTicket."""
        now, found = self._clock(), self._content(ask.octets)
        if found is None or found.until <= now or _serial(ask.octets) in self._spent:
            return None
        session = found.session
        if session.reauth_by:
            found.session = replace(session, proven_for=max(int(session.reauth_by - now), 1))
        return found

    def spend(self, ask: asks.SpendTicket) -> bool:
        """Answers SpendTicket."""
        found = self.open(asks.OpenTicket(ask.octets))
        if found is None:
            return False
        if len(self._spent) >= MAX_SPENT:
            self._sweep()
        if len(self._spent) >= MAX_SPENT:
            # Rather all clients prove themselves anew than that one ticket is taken twice.
            self.forget()
        else:
            self._spent[_serial(ask.octets)] = found.until
        return True

    def _content(self, octets: bytes) -> Opened | None:
        if not HEAD_OCTETS < len(octets) <= MAX_TICKET_OCTETS or octets[0] != FORMAT:
            return None
        head = octets[:HEAD_OCTETS]
        key = self._keys.get(head[1 : 1 + KEY_ID_OCTETS])
        if key is None:
            return None
        try:
            return tickets.read(AESGCM(key).decrypt(head[-NONCE_OCTETS:], octets[HEAD_OCTETS:], head))
        except (InvalidTag, WireError):
            return None

    def _sealing_key(self, now: float) -> tuple[bytes, Secret]:
        if not self._keys or now - self._drawn_at >= MAX_LIFETIME:
            # What the last key but one has sealed expired before this instant.
            latest = dict(list(self._keys.items())[-1:])
            self._keys = {**latest, self._random(KEY_ID_OCTETS): Secret(self._random(KEY_OCTETS))}
            self._drawn_at = now
            self._sweep()
        return next(reversed(self._keys.items()))

    def _sweep(self) -> None:
        now = self._clock()
        self._spent = {serial: until for serial, until in self._spent.items() if until > now}


def _serial(octets: bytes) -> bytes:
    return octets[1:HEAD_OCTETS]
