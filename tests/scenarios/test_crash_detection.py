"""Quick crash detection: a token shows that the peer has lost the IKE SA (RFC 6290)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Action
from ikectl.iana.v2 import NotifyType
from ikectl.sa.crash_tokens import CrashSecrets
from ikectl.sa.events import IkeDown
from ikectl.values.path import Endpoint
from ikectl.values.secret import Secret
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from tests.scenarios.stage import IKE_AUTH, INFORMATIONAL, gateways, sa_of, stands, wait
from tests.sim.forge import Stranger, chain_of, clear
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.wiretap import Wiretap, which

ELSEWHERE = "192.0.2.77"
TOKEN = NotifyType.QUICK_CRASH_DETECTION
QCD: dict[str, Any] = {"moon": {"qcd": True, "dpd_delay": 30}, "sun": {"qcd": True}}
BACK = {"moon_children": (child(dpd_action=Action.START),)}


def secret(letter: str) -> Secret:
    return Secret(letter.encode() * 32)


def prepared(**options: Any) -> tuple[Site, Wiretap]:
    site, wire = gateways(**(QCD | options))
    for host in (site.moon, site.sun):
        host.engine.env.crash_secrets = CrashSecrets(secret(host.name[0]))
    site.up()
    assert stands(site)
    return site, wire


def crash(host: Host) -> None:
    """It forgets all SAs and starts again with a new secret, its configuration as before."""
    loaded = list(host.engine.connections.all)
    env = host.engine.env
    again = Host(host.name, host.address, 99, settings=env.settings)
    again.engine.env.crash_secrets = CrashSecrets(secret("x"), (env.crash_secrets.current,))
    host.engine, host.kernel, host.answers = again.engine, again.kernel, again.answers
    for connection in loaded:
        host.load(connection)


def unprotected(site: Site, tokens: list[bytes]) -> None:
    """INVALID_IKE_SPI with tokens comes to moon, as the answer to what it asks just now."""
    machine = site.moon.machines[0]
    (request,) = machine.window.in_flight
    notifies = [Notify(NotifyType.INVALID_IKE_SPI), *(Notify(TOKEN, token) for token in tokens)]
    sa = machine.sa
    octets = clear(
        chain_of(notifies),
        exchange=INFORMATIONAL,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        message_id=request.message_id,
        response=True,
        initiator=not sa.initiator,
    )
    site.world.deliver(octets, Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 500))
    site.world.flush()


def test_each_end_gives_its_token_under_protection() -> None:
    """IKE_AUTH {..., N(QUICK_CRASH_DETECTION)} each way; each end keeps the other's."""
    site, wire = prepared()
    asked, answered = wire.messages(which(IKE_AUTH))
    told = [message.notify(TOKEN) for message in (asked, answered)]
    assert told[0] is not None and told[1] is not None and told[0].data != told[1].data
    assert sa_of(site.sun).crash_token == told[0].data and sa_of(site.moon).crash_token == told[1].data


@pytest.mark.parametrize("end", ["moon", "sun"])
def test_who_does_not_want_it_neither_gives_nor_keeps(end: str) -> None:
    site, wire = prepared(**{end: QCD[end] | {"qcd": False}})
    assert all(sa_of(host).crash_token == b"" for host in (site.moon, site.sun) if host.name == end)
    own = wire.messages(which(IKE_AUTH, by=site.moon if end == "moon" else site.sun))
    assert all(message.notify(TOKEN) is None for message in own)


def test_a_crash_is_noticed_at_the_first_question() -> None:
    """INFORMATIONAL --> <-- N(INVALID_IKE_SPI), N(QUICK_CRASH_DETECTION): the SA is dead, and made again."""
    site, wire = prepared(**BACK)
    old = sa_of(site.moon).spi_i
    crash(site.sun)
    wait(site, 35)
    answers = [seen for seen in wire.all() if seen.message.notify(NotifyType.INVALID_IKE_SPI) is not None]
    assert len(answers) == 1 and answers[0].message.notify(TOKEN) is not None
    assert "it was restarted" in site.moon.saw(IkeDown)[0].text()
    wait(site, 5)
    assert sa_of(site.moon).spi_i != old and stands(site)
    site.world.settled()


@pytest.mark.parametrize("by", ["mobike", "nat"])
def test_whoever_moved_gets_another_token(by: str) -> None:
    """A token is for the address that its taker has (§5.2), and is replaced with it (§4.4)."""
    if by == "mobike":
        site, wire = prepared(
            moon=QCD["moon"] | {"mobike": True, "local": "%any"},
            sun=QCD["sun"] | {"mobike": True, "remote": "%any"},
            **BACK,
        )
        before = sa_of(site.moon).crash_token
        site.world.move(site.moon, ELSEWHERE)
    else:
        nat = Nat(frozenset({MOON}), "203.0.113.5")
        site, wire = prepared(nats=(nat,), sun=QCD["sun"] | {"remote": "%any"}, **BACK)
        before = sa_of(site.moon).crash_token
        nat.outside = "203.0.113.6"
        wait(site, 31)  # until moon asks whether sun lives
    wait(site, 5)
    assert len(wire.messages(which(INFORMATIONAL, by=site.sun, response=False, holds=TOKEN))) == 1
    assert before != sa_of(site.moon).crash_token and stands(site)
    crash(site.sun)
    wait(site, 70)
    assert "it was restarted" in site.moon.saw(IkeDown)[0].text() and stands(site)
    site.world.settled()


def test_a_peer_that_moves_again_and_again_gets_one_token_at_a_time() -> None:
    """While one is under way the next ones wait as one, and the last address counts."""
    site, wire = prepared(
        moon=QCD["moon"] | {"mobike": True, "local": "%any"}, sun=QCD["sun"] | {"mobike": True, "remote": "%any"}
    )
    rule = wire.hold(which(INFORMATIONAL, by=site.moon, response=True))
    for number in range(80, 88):
        site.world.move(site.moon, f"192.0.2.{number}")
        wait(site, 1)
    (machine,) = site.sun.machines
    assert len(machine.queue) <= 2
    wire.release(rule)
    wait(site, 60)
    secrets, sa = site.sun.engine.env.crash_secrets, sa_of(site.moon)
    assert sa.crash_token == secrets.token(sa.spi_i, sa.spi_r, sa.path.local.address)
    assert stands(site)


@pytest.mark.parametrize(("restarted", "answers"), [(True, 50), (False, 2)])
def test_many_peers_learn_of_a_crash_within_seconds(restarted: bool, answers: int) -> None:
    """Answers to strangers are few (RFC 7296 §2.21.4); with tokens they are as many as a gateway has clients."""
    site, wire = prepared()
    if restarted:
        crash(site.sun)
    told = 0
    for number in range(100):
        wait(site, 0.0199)
        stranger = Stranger(wire, site.sun, f"203.0.113.{number + 1}")
        told += len(stranger.ask((0, b""), exchange=INFORMATIONAL, spi_i=b"initiatr", spi_r=b"respondr"))
    assert told == answers


def test_without_a_token_silence_has_to_tell() -> None:
    """Nothing unprotected ends an SA: the request is repeated until retransmission gives up (RFC 7296 §2.4)."""
    site, _ = prepared(**BACK)
    crash(site.sun)
    site.sun.engine.env.crash_secrets = CrashSecrets()
    wait(site, 60)
    assert not site.moon.saw(IkeDown)
    wait(site, 300)
    assert site.moon.saw(IkeDown) and stands(site)


@pytest.mark.parametrize("known", ["", "wrong", "short", "ours", "many"])
def test_a_token_that_does_not_match_changes_nothing(known: str) -> None:
    site, wire = prepared()
    rule = wire.hold(which(INFORMATIONAL, by=site.sun))
    wait(site, 31)
    right = sa_of(site.moon).crash_token
    wrong = {
        "": [],
        "wrong": [right[:-1] + bytes((right[-1] ^ 1,))],
        "short": [right[:-1], b""],
        "ours": [sa_of(site.sun).crash_token],
        "many": [bytes((number,)) * 32 for number in range(100)],
    }[known]
    unprotected(site, wrong)
    wire.release(rule)
    wait(site, 120)
    assert stands(site) and not site.moon.saw(IkeDown)
    site.world.settled()


def test_the_token_must_answer_something() -> None:
    """The right token, where nothing was asked: dropped, for a peer that lost the SA answers, and does not ask."""
    site, _ = prepared()
    sa = sa_of(site.moon)
    notifies = [Notify(NotifyType.INVALID_IKE_SPI), Notify(TOKEN, sa.crash_token)]
    octets = clear(
        chain_of(notifies), exchange=INFORMATIONAL, spi_i=sa.spi_i, spi_r=sa.spi_r, message_id=2, response=True,
        initiator=False,
    )  # fmt: skip
    site.world.deliver(octets, Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 500))
    wait(site, 1)
    assert stands(site)


def test_no_token_of_a_living_sa_is_ever_shown() -> None:
    """Whoever asks sun for tokens of the SPIs that stand, from moon's address or another, gets none that kills it."""
    site, wire = prepared()
    right = sa_of(site.moon).crash_token
    sa = sa_of(site.moon)
    for number in range(3):
        for spi_r in (sa.spi_r, b"somebody"):
            octets = clear((0, b""), exchange=INFORMATIONAL, spi_i=sa.spi_i, spi_r=spi_r, message_id=number)
            site.world.deliver(octets, Endpoint.parse(MOON, 500), Endpoint.parse(SUN, 500))
            wait(site, 2)
    site.sun.machines[0].close("lost for another reason", site.world.now)
    mark = len(wire.seen)
    wait(site, 60)
    assert wire.all(since=mark)
    told = [notify.data for message in wire.messages() for notify in _clear_tokens(message)]
    assert right not in told


def _clear_tokens(message: Message) -> list[Notify]:
    return message.notifies(TOKEN) if message.notify(NotifyType.INVALID_IKE_SPI) is not None else []


@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_a_rekeyed_sa_gets_tokens_of_its_own(rekeyer: str) -> None:
    """INFORMATIONAL {N(QUICK_CRASH_DETECTION)} by either end, on the new SA."""
    site, _ = prepared(**BACK)
    before = {sa_of(host).crash_token for host in (site.moon, site.sun)}
    getattr(site, rekeyer).rekey(site.world.now, "site")
    wait(site, 10)
    after = {sa_of(host).crash_token for host in (site.moon, site.sun)}
    assert len(after) == 2 and b"" not in after and not after & before
    crash(site.sun)
    wait(site, 45)
    assert "it was restarted" in site.moon.saw(IkeDown)[-1].text() and stands(site)


def test_crashes_on_a_bad_network() -> None:
    """Loss, duplicates, disorder, rekeyings by both ends at once, then a crash: the tunnel is back."""
    for seed in range(20):
        site, _ = prepared(**BACK, seed=seed)
        site.world.link = Link(loss=0.1, duplication=0.2, jitter=0.3)
        for host in (site.moon, site.sun):
            host.rekey(site.world.now, "site")
        wait(site, 100)
        crash(site.sun)
        wait(site, 300)
        site.world.link = Link()
        wait(site, 300)
        assert stands(site), site.world.violation(f"seed {seed}")
        site.world.settled()
