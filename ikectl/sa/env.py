"""Env: what an SA may know of the world. Randomness and settings; no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ikectl.config.model import Connection
from ikectl.sa.crash_tokens import CrashSecrets
from ikectl.sa.events import Event
from ikectl.sa.marks import Marks
from ikectl.sa.reqids import Reqids
from ikectl.sa.sentries import Sentries
from ikectl.values.identity import Identity

if TYPE_CHECKING:
    from ikectl.sa.association import Association
    from ikectl.sa.ike_sa import IkeSa
    from ikectl.sa.tickets import Session

Random = Callable[[int], bytes]
"""Octet count -> octets nobody can predict."""

Chance = Callable[[Random], float]
"""The source of an SA -> a number from 0 up to but excluding 1."""


def drawn(random: Random) -> float:
    """A number from 0 up to but excluding 1, as unpredictable as the source."""
    return int.from_bytes(random(4), "big") / 2**32


@dataclass(frozen=True, slots=True)
class Settings:
    """Daemon-wide settings, each with its default and reason. Durations in seconds."""

    ike_port: int = 500
    natt_port: int = 4500
    retransmit_timeout: float = 4.0
    """Wait before the first repeat of a request."""
    retransmit_base: float = 1.8
    """Each further wait is this many times longer."""
    retransmit_tries: int = 5
    """Repeats before giving up: 165 s in all with the defaults above."""
    retransmit_jitter: float = 0.1
    """A wait is shortened by up to this fraction, so that many tunnels do not repeat in step."""
    half_open_timeout: float = 30.0
    """A responder's SA without IKE_AUTH is dropped after this."""
    half_open_hurried: float = 10.0
    """The same while puzzles are asked, for one whose peer solved none: the place is wanted by others, and the peer
    can still repeat its IKE_AUTH once (RFC 8019 §4.1)."""
    handshake_limit: float = 120.0
    """One that goes on by EAP or further rounds is dropped after this: time for a user to find a token."""
    half_open_limit: int = 20_000
    """Half-open SAs kept at most; beyond it IKE_SA_INIT requests are dropped."""
    cookie_threshold: int = 30
    """Half-open SAs from which on every IKE_SA_INIT must bring a cookie (RFC 7296 §2.6)."""
    cookie_threshold_ip: int = 3
    """The same for one address."""
    block_threshold: int = 5
    """Half-open SAs of one address from which on its IKE_SA_INIT requests are dropped."""
    puzzle_threshold: int = 5_000
    """Half-open SAs from which on every IKE_SA_INIT must bring the solution of a puzzle (RFC 8019): a quarter of
    those that may be. Honest peers go on within a second, so that only thousands a second of them would come to that
    many, while those who know no puzzles, strongSwan among them, then have to wait. Beyond `half_open_limit`: never."""
    puzzle_difficulty: int = 14
    """Zero bits asked first: some 65,000 tries, a fraction of a second; each bit doubles that."""
    puzzle_most: int = 18
    """Zero bits asked at most: some 1,000,000 tries, seconds of an honest peer."""
    puzzle_auth: int = 0
    """Zero bits asked again before IKE_AUTH, of those who solved a puzzle; 0: none. That is for responders which
    compute the keys only then, perhaps several times (RFC 8019 §7.2): ours has them since IKE_SA_INIT, and a false
    IKE_AUTH costs it one MAC."""
    puzzle_legacy: float = 50.0
    """How many SAs a second peers without a solution may begin, drawn by lot: with `half_open_hurried` they
    never hold more than 500 places."""
    puzzle_limit: int = 20
    """Zero bits that we find ourselves at most, as an initiator, some 4,000,000 tries: nobody has proven yet to be the
    gateway that asks."""
    aggressive_limit: int = 200
    """Half-open SAs from which on no aggressive mode is answered: each first message costs a key exchange."""
    keep_alive: float = 20.0
    """NAT keepalive interval (RFC 3948 §4)."""
    delete_rekeyed_delay: float = 5.0
    """How long the inbound half of a replaced child stays for packets under way."""
    max_children: int = 256
    """Children of one IKE SA; NO_ADDITIONAL_SAS beyond (RFC 7296 §1.3)."""
    max_sas_of_peer: int = 1024
    """IKE SAs of one peer: of its identity, and user where one logged in. Where `unique` lets several stand, one peer
    that may log in could otherwise fill the memory; a group that shares an identity and a secret is smaller, too."""
    max_queue: int = 64
    """Exchanges that may wait for the window of one IKE SA."""
    make_before_break: bool = True
    """Reauthentication makes the new IKE SA before it deletes the old one, so that no packet is lost."""
    busy_retry: float = 5.0
    """First wait after TEMPORARY_FAILURE; doubles each time (RFC 7296 §2.25)."""
    busy_tries: int = 6
    """Retries after TEMPORARY_FAILURE before giving up: about five minutes in all."""
    fragment_size: int = 1280
    """A longer IKEv2 message is cut into datagrams of at most so many octets, IP header and all, where both ends
    take fragments (RFC 7383 §2.5.1): what every IPv6 path takes, and nearly every IPv4 path, tunnels and all.
    0: what every path takes, which with IPv4 is 576."""
    invalid_spi_rate: float = 1.0
    """Answers to messages of unknown SAs: at most one in this many seconds (RFC 7296 §2.21.4)."""
    crash_token_rate: float = 0.02
    """The same where a crash token goes with them (RFC 6290 §4.5): a thousand clients of a gateway that was restarted
    learn of it within half a minute; and whoever forges addresses turns 60 kbit/s on somebody, no more."""


@dataclass(slots=True)
class Env:
    """Shared by all SAs of one engine.

    `random_for` gives each IKE SA its own source, so that in a simulation one
    more draw in one SA does not shift what the others see.
    """

    random_for: Callable[[int], Random]
    settings: Settings = field(default_factory=Settings)
    chance: Chance = drawn
    """For waits, so that many tunnels do not act in step. Nobody gains by predicting it: the daemon asks no kernel."""
    reqids: Reqids = field(default_factory=Reqids)
    marks: Marks = field(default_factory=Marks)
    sentries: Sentries = field(default_factory=Sentries)
    crash_secrets: CrashSecrets = field(default_factory=CrashSecrets)
    """To prove later that we lost an IKE SA; set by the daemon, if it has a place to keep them."""
    events: list[Event] = field(default_factory=list)
    """Where facts report; the engine drains it, and it stays this list."""
    tell: Callable[[Event], None] = field(init=False)
    """Reports one more."""
    last_child: int = 0
    last_ike: int = 0
    is_taken: Callable[[bytes], bool] = lambda spi: False
    """Whether an IKE SPI is in use on this host; set by the engine."""

    connected: Callable[[Identity, Identity, str], int] = lambda local, remote, user: 0
    """How many SAs stand between our and a peer's identity, of that user; set by the engine."""

    is_first_contact: Callable[[Association], bool] = lambda sa: False
    """Whether nobody else here has or calls the peer of this SA by the same identities; set by the engine."""

    expecting: Callable[[Identity], Sequence[Connection]] = lambda identity: ()
    """The loaded connections that expect that very identity of a peer; set by the engine."""
    kin: Callable[[Association], Sequence[Association]] = lambda sa: ()
    """The other SAs that stand between the ends of this one; set by the engine."""
    remains: Callable[[Session], Sequence[IkeSa]] = lambda session: ()
    """What is left here of a session that is resumed: its SA, and those that replaced it; set by the engine."""

    def __post_init__(self) -> None:
        self.tell = self.events.append

    def next_ike(self) -> int:
        """A fresh unique id for an IKE SA."""
        self.last_ike += 1
        return self.last_ike

    def next_spi(self, random: Random) -> bytes:
        """A fresh IKE SPI: 8 octets, not zero, not in use (RFC 7296 §2.6, §3.1)."""
        while True:
            spi = random(8)
            if spi != bytes(8) and not self.is_taken(spi):
                return spi

    def next_child(self) -> int:
        """A fresh unique id for a child."""
        self.last_child += 1
        return self.last_child
