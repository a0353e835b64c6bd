"""Session tickets: sealed, opened, taken once, and worth nothing behind their time (RFC 5723)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.config.model import Loaded, SharedSecret
from ikectl.crypto.proposal import parse_proposal
from ikectl.crypto.suite import IkeSuite
from ikectl.daemon import tickets
from ikectl.daemon.credentials import Credentials
from ikectl.daemon.tickets import MAX_LIFETIME, SessionTickets
from ikectl.errors import WireError
from ikectl.iana.v2 import Protocol
from ikectl.pki.store import Store
from ikectl.sa import tickets as contents
from ikectl.sa.asks import OpenTicket, SealTicket, SpendTicket
from ikectl.sa.tickets import MAX_TICKET_OCTETS, Opened, Session
from ikectl.values.identity import Identity
from ikectl.values.secret import Secret
from tests.sim.tape import Tape
from tests.sim.users import now as run

SUITES = ("aes128gcm16-prfsha256-x25519", "aes256-sha512-ecp384", "aes128ctr-sha1-modp2048-ke1_mlkem768-ke3_x448")


def session(ike: str = SUITES[0], user: str = "carol") -> Session:
    suite = IkeSuite.of(parse_proposal(ike, Protocol.IKE))
    ends = Identity.parse("sun.example.org"), Identity.parse("moon.example.org")
    return Session(*ends, b"initiatr", b"respondr", suite, Secret(bytes(range(32))), user, True, 0.0, 0.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def gateway(seed: int = 1) -> tuple[SessionTickets, Clock]:
    clock = Clock()
    return SessionTickets(Tape(seed, "tickets"), clock), clock


def ask(lifetime: int = 0, proof: int = 0, of: Session | None = None) -> SealTicket:
    return SealTicket(of or session(), "site", b"digest" * 5, lifetime, proof)


def sealed(gate: SessionTickets, lifetime: int = 0, proof: int = 0) -> bytes:
    issued = gate.seal(ask(lifetime, proof))
    assert issued is not None
    return issued.octets


@pytest.mark.parametrize("ike", SUITES)
def test_what_goes_in_comes_out(ike: str) -> None:
    state = Opened(session(ike, "düster"), "site", b"digest", 12.5)
    assert contents.read(contents.write(state)) == state
    gate, clock = gateway()
    issued = gate.seal(ask(of=session(ike)))
    assert issued is not None and issued.lifetime == MAX_LIFETIME
    opened = gate.open(OpenTicket(issued.octets))
    assert opened == Opened(session(ike), "site", b"digest" * 5, clock.now + MAX_LIFETIME)


def test_what_is_cut_is_no_content() -> None:
    octets = contents.write(Opened(session(), "site", b"digest", 12.5))
    for length in range(len(octets)):
        with pytest.raises(WireError):
            contents.read(octets[:length])


def test_secrets_do_not_show() -> None:
    text = repr(session())
    assert "secret octets" in text and bytes(range(32)).hex() not in text
    gate, _ = gateway()
    assert bytes(range(32)) not in sealed(gate) and b"carol" not in sealed(gate)


@pytest.mark.conformance("v2-113")
def test_it_is_taken_once() -> None:
    gate, _ = gateway()
    ticket, other = sealed(gate), sealed(gate)
    assert gate.open(OpenTicket(ticket)) is not None, "to look at it is not to take it"
    assert gate.spend(SpendTicket(ticket)) is True
    assert gate.spend(SpendTicket(ticket)) is False and gate.open(OpenTicket(ticket)) is None
    assert gate.open(OpenTicket(other)) is not None


@pytest.mark.conformance("v2-113")
def test_only_ours_and_only_whole() -> None:
    gate, stranger = gateway()[0], gateway(2)[0]
    ticket = sealed(gate)
    sealed(stranger)
    assert stranger.open(OpenTicket(ticket)) is None
    for at in range(len(ticket)):
        changed = ticket[:at] + bytes((ticket[at] ^ 1,)) + ticket[at + 1 :]
        assert gate.open(OpenTicket(changed)) is None and gate.spend(SpendTicket(changed)) is False
    for cut in (b"", ticket[:1], ticket[:21], ticket[:-1], ticket + b"x", bytes(5000)):
        assert gate.open(OpenTicket(cut)) is None


@pytest.mark.parametrize(("lifetime", "proof", "good"), [(0, 0, MAX_LIFETIME), (100, 0, 100), (0, 50, 50), (9, 50, 9)])
def test_how_long_it_is_good(lifetime: int, proof: int, good: int) -> None:
    gate, clock = gateway()
    issued = gate.seal(ask(lifetime, proof))
    assert issued is not None and issued.lifetime == good
    clock.now += good - 1
    opened = gate.open(OpenTicket(issued.octets))
    assert opened is not None and opened.session.reauth_by == (1000.0 + proof if proof else 0.0)
    assert opened.session.proven_for == (max(proof - good + 1, 1) if proof else 0)
    clock.now += 1
    assert gate.open(OpenTicket(issued.octets)) is None and gate.spend(SpendTicket(issued.octets)) is False


def test_what_was_proven_is_not_prolonged() -> None:
    gate, _ = gateway()
    resumed = replace(session(), reauth_by=1030.0)
    issued = gate.seal(ask(0, 5000, resumed))
    assert issued is not None and issued.lifetime == 30
    assert gate.seal(ask(0, 5000, replace(resumed, reauth_by=1000.0))) is None


def test_keys_are_two_at_most_and_each_lives_as_long_as_its_tickets() -> None:
    gate, clock = gateway()
    first = sealed(gate)
    clock.now += MAX_LIFETIME - 1
    last = sealed(gate)
    assert last[:9] == first[:9]
    clock.now += 1
    fresh = sealed(gate)
    assert fresh[:9] != last[:9] and gate.open(OpenTicket(last)) is not None
    clock.now += MAX_LIFETIME - 2
    assert gate.open(OpenTicket(last)) is not None
    clock.now += 2
    sealed(gate)
    assert gate.open(OpenTicket(last)) is None and len(gate._keys) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired ones go first; if that is not enough all tickets do: none is ever taken twice."""
    monkeypatch.setattr(tickets, "MAX_SPENT", 4)
    gate, clock = gateway()
    for _ in range(4):
        assert gate.spend(SpendTicket(sealed(gate, 10)))
    clock.now += 11
    ours = [sealed(gate, 1000) for _ in range(6)]
    assert [gate.spend(SpendTicket(ticket)) for ticket in ours] == [True] * 5 + [False]
    assert [gate.spend(SpendTicket(ticket)) for ticket in ours] == [False] * 6
    assert gate.spend(SpendTicket(sealed(gate)))


def test_what_is_too_long_is_not_made() -> None:
    gate, _ = gateway()
    assert gate.seal(ask(of=session(user="x" * MAX_TICKET_OCTETS))) is None


@pytest.mark.parametrize("what", ["secret", "replaced", "authority", "all", "file"])
def test_what_is_withdrawn_ends_all_tickets(what: str) -> None:
    """A user whose secret is gone, or an authority, must not come in by what was proven before."""
    gate, _ = gateway()
    credentials = Credentials(Store(), gate.forget)
    secret = SharedSecret("carol", (), Secret(b"of carol"))
    run(credentials.load_secret(secret))
    ticket = sealed(gate)
    assert gate.open(OpenTicket(ticket)) is not None
    if what == "secret":
        run(credentials.unload_secret("carol"))
    elif what == "replaced":
        run(credentials.load_secret(secret))
    elif what == "authority":
        run(credentials.unload_authority("ca"))
    elif what == "all":
        run(credentials.clear())
    else:
        credentials.load_file(Loaded())
    assert gate.open(OpenTicket(ticket)) is None and gate.spend(SpendTicket(ticket)) is False
