"""IKE_INTERMEDIATE and additional key exchanges (RFC 9242, RFC 9370)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from ikectl.crypto import ke
from ikectl.crypto.proposal import IkeSuite
from ikectl.errors import BackendError, IkectlError, NoProposalChosen
from ikectl.iana.v2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ikectl.sa.asks import AnswerKe
from ikectl.sa.events import IkeFailed, MessageSent
from ikectl.wire.payload import Payload
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import INTERMEDIATE_EXCHANGE_SUPPORTED, Notify
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import IKE_SA_INIT, bare, gateways, notifies, sa_of
from tests.sim.forge import Impostor, Stranger
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, SUN, Site
from tests.sim.wiretap import Seen, which
from tests.sim.world import Violation

HYBRID = "aes128gcm16-prfsha256-x25519-ke1_mlkem768"


def exchanges(host: Host) -> list[str]:
    return [str(event.exchange) for event in host.saw(MessageSent)]


SEVEN = "ke1_mlkem512-ke2_mlkem768-ke3_mlkem1024-ke4_ecp256-ke5_ecp384-ke6_x448-ke7_modp2048"


@pytest.mark.conformance("v2-110", "v2-111", "v2-112")
@pytest.mark.parametrize("rounds", ["ke1_mlkem768", "ke1_mlkem768-ke2_ecp256", "ke3_ecp384-ke5_x448", SEVEN])
def test_ml_kem_is_mixed_in_before_anybody_proves_anything(rounds: str) -> None:
    """IKE_SA_INIT with ADDKE and INTERMEDIATE_EXCHANGE_SUPPORTED; IKE_INTERMEDIATE {KE} each way; IKE_AUTH."""
    site = Site(ike=f"aes128gcm16-prfsha256-x25519-{rounds}")
    token = site.up()
    assert site.moon.done[token].error is None
    times = rounds.count("-") + 1
    assert exchanges(site.moon) == ["IKE_SA_INIT", *["IKE_INTERMEDIATE"] * times, "IKE_AUTH"]
    site.world.settled()
    site.moon.rekey(site.world.now, "site")
    site.world.run(site.world.now + 5)
    site.world.settled()


@pytest.mark.conformance("v2-110")
def test_a_peer_without_it_gets_the_classic_proposal() -> None:
    site = Site(ike=f"{HYBRID},aes128gcm16-prfsha256-x25519", sun_ike="aes128gcm16-prfsha256-x25519")
    token = site.up()
    assert site.moon.done[token].error is None
    assert exchanges(site.moon) == ["IKE_SA_INIT", "IKE_AUTH"]


def test_every_round_survives_loss() -> None:
    up = 0
    for seed in range(60):
        site = Site(seed, ike=HYBRID, link=Link(loss=0.25, duplication=0.1, jitter=0.2))
        token = site.up(within=1200.0)
        up += site.moon.done[token].error is None
    assert up > 50


def test_auth_covers_the_rounds() -> None:
    """What an attacker changes in IKE_INTERMEDIATE, if he could, shows in AUTH: here our own record of it."""
    site = Site(ike=HYBRID)

    def spoil(host: Host, transmit: object) -> bool:
        for machine in site.sun.machines:
            shake = machine.sa.handshake
            if shake is not None and shake.int_auth_i:
                shake.int_auth_i = bytes(32)
        return True

    site.world.taps.append(spoil)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is not None and "AUTHENTICATION_FAILED" in site.moon.done[token].error


def test_ike_auth_before_the_rounds_is_refused() -> None:
    """A peer that skips the additional key exchange gets no SA."""
    site = Site(ike=HYBRID)
    site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: ExchangeType.IKE_INTERMEDIATE.name in exchanges(site.moon))
    (machine,) = site.moon.machines
    shake = machine.sa.handshake
    assert shake is not None
    machine.queue.clear()
    with pytest.raises(Violation):
        # The round is in flight; its request is forged into an IKE_AUTH by skipping the exchange.
        from ikectl.exchange.v2.ike_auth import IkeAuth

        machine.window.give_up()
        machine.window.next_request = 1
        site.world.taps.append(lambda host, transmit: host is not site.moon or transmit.data[18] != 43)
        machine.begin(IkeAuth(None), site.world.now)
        site.world.run_until(lambda: bool(site.sun.machines and site.sun.machines[0].sa.established_at), within=60.0)
    assert not any(machine.sa.established_at for machine in site.sun.machines)


@pytest.mark.conformance("v2-50")
@pytest.mark.parametrize(
    "spoilt",
    [
        Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"odd"),  # with all that must be there
        None,  # ADDKE chosen, but no INTERMEDIATE_EXCHANGE_SUPPORTED
    ],
)
def test_a_response_that_is_found_wrong_changes_nothing(spoilt: Notify | None) -> None:
    """<-- HDR, SA, KE, Nr, N(NAT_DETECTION... of nobody): all good but one thing; then the genuine one comes."""
    site, wire = gateways(ike=HYBRID)
    held = wire.hold(which(IKE_SA_INIT, by=site.sun), times=1)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    asked = wire.seen[0].message
    forger = Stranger(wire, site.moon, SUN)
    public, _ = ke.answer(asked.one(KE).method, asked.one(KE).public, forger.random)
    sources, destinations = NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP
    forged: list[Payload] = [asked.one(SA), KE(asked.one(KE).method, public), Nonce(forger.random(32))]
    forged += [Notify(sources, bytes(20)), Notify(destinations, bytes(20))]
    forged += [INTERMEDIATE_EXCHANGE_SUPPORTED, spoilt] if spoilt else []
    sa = sa_of(site.moon)
    assert sa.handshake is not None
    before = (sa.path, sa.nat, sa.spi_r, sa.keys, sa.suite, asdict(sa.handshake))
    assert not forger.ask(forged, spi_i=asked.spi_i, spi_r=forger.spi, response=True, initiator=False)
    assert (sa.path, sa.nat, sa.spi_r, sa.keys, sa.suite, asdict(sa.handshake)) == before
    wire.release(held)
    site.world.run_until(lambda: "IKE_INTERMEDIATE" in exchanges(site.moon))
    assert sa.spi_r == sa_of(site.sun).spi_r, "the genuine one is taken up"


CLASSIC = "aes128gcm16-prfsha256-x25519"


@pytest.mark.conformance("v2-110", "v2-111")
@pytest.mark.parametrize("rounds", ["ke1_mlkem768", "ke1_mlkem768-ke2_ecp256-ke2_none", "ke1_none-ke2_mlkem768"])
def test_what_the_configuration_wants_is_not_given_up_for_a_peer_without_it(rounds: str) -> None:
    """HDR, SA(classic), KE, Ni -->  <-- HDR, N(NO_PROPOSAL_CHOSEN), though all but ADDKE fits; and the log says why."""
    site = Site(ike=CLASSIC, sun_ike=f"{CLASSIC}-{rounds}")
    token = site.up()
    assert site.moon.done[token].error is not None and not site.sun.machines
    (why,) = {event.text() for event in site.sun.saw(IkeFailed)}
    assert "the peer does not know IKE_INTERMEDIATE" in why and rounds.split("-")[0] in why


@pytest.mark.conformance("v2-110")
@pytest.mark.parametrize("offered", [CLASSIC, f"{CLASSIC}-ke1_mlkem768-ke1_none,{CLASSIC}"])
@pytest.mark.parametrize(
    "configured", [f"{CLASSIC}-ke1_mlkem768-ke1_none", f"{HYBRID},{CLASSIC}", f"{CLASSIC}-ke1_none-ke3_ecp256-ke3_none"]
)
def test_what_may_be_left_out_is_left_out_for_a_peer_without_it(offered: str, configured: str) -> None:
    """The peer says no INTERMEDIATE_EXCHANGE_SUPPORTED, and even so may list additional key exchanges."""
    site, wire = gateways(ike=configured)
    stranger = Stranger(wire, site.sun, MOON)
    (answer,) = stranger.ask(stranger.initial(offered))
    (chosen,) = answer.message.one(SA).proposals
    assert IkeSuite.of(chosen).additional == () and chosen.number == offered.count(",") + 1
    assert not any(transform.type >= TransformType.ADDKE1 for transform in chosen.transforms)
    suite = sa_of(site.sun).suite
    assert suite is not None and suite.additional == ()


@pytest.mark.conformance("v2-110")
def test_additional_key_exchanges_without_the_exchange_for_them_are_of_unknown_types() -> None:
    """RFC 9370 §2.2.1: HDR, SA(.. ADDKE1(.., NONE)), KE, Ni without the notify -->  <-- HDR, N(NO_PROPOSAL_CHOSEN)"""
    site, wire = gateways(ike=f"{CLASSIC}-ke1_mlkem768-ke1_none")
    stranger = Stranger(wire, site.sun, MOON)
    (answer,) = stranger.ask(stranger.initial(f"{CLASSIC}-ke1_mlkem768-ke1_none"))
    assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN]
    assert any("does not announce IKE_INTERMEDIATE" in event.text() for event in site.sun.saw(IkeFailed))


@pytest.mark.conformance("v2-110")
@pytest.mark.parametrize("configured", [CLASSIC, HYBRID])
def test_who_lists_additional_key_exchanges_hears_that_the_exchange_is_known(configured: str) -> None:
    """<-- HDR, SA(.. ADDKE1(NONE)), KE, Nr, N(INTERMEDIATE_EXCHANGE_SUPPORTED), or these types were unknown ones."""
    site, wire = gateways(ike=configured)
    stranger = Stranger(wire, site.sun, MOON)
    offered = stranger.initial(f"{CLASSIC}-ke1_mlkem768-ke1_none")
    (answer,) = stranger.ask([*offered, INTERMEDIATE_EXCHANGE_SUPPORTED])
    (chosen,) = answer.message.one(SA).proposals
    assert len(IkeSuite.of(chosen).additional) == (configured is HYBRID)
    assert NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED in notifies(answer.message)


INTERMEDIATE = ExchangeType.IKE_INTERMEDIATE


def half_way(ike: str = HYBRID, **options: Any) -> tuple[Site, Impostor, Stranger]:
    """One that nobody knows did IKE_SA_INIT with sun, and now says what it likes."""
    site, wire = gateways(ike=ike, **options)
    wire.hold(lambda seen: seen.host is site.moon and seen.message.exchange is not ExchangeType.IKE_SA_INIT)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.5)
    return site, Impostor(wire, site.moon), Stranger(wire, site.sun, MOON)


def public(stranger: Stranger, method: KeyExchangeMethod) -> KE:
    return KE(method, ke.generate(method, stranger.random).public)


@pytest.mark.conformance("v2-110", "v2-112")
def test_who_has_proven_nothing_keeps_us_no_busier_than_agreed() -> None:
    """Of IKE_INTERMEDIATE without end those that are due are answered; the next one is malformed, and ends the SA."""
    computed: list[object] = []

    def answer(ask: AnswerKe) -> object:
        computed.append(ask.method)
        return ke.answer(ask.method, ask.public, ask.random)

    site, impostor, stranger = half_way(CLASSIC + "-ke1_ecp256", sun_host={"answers": {AnswerKe: answer}})
    for number in range(1, 40):
        impostor.cipher = impostor.wire.cipher(impostor.sa.spi_i, impostor.sa.spi_r, True)
        found = impostor.request(INTERMEDIATE, [public(stranger, KeyExchangeMethod.ECP_256)], message_id=number)
        if number > 1:
            assert found is None or notifies(found) == [NotifyType.INVALID_SYNTAX]
    assert computed == [KeyExchangeMethod.CURVE_25519, KeyExchangeMethod.ECP_256]
    site.world.run(60.0)
    assert bare(site.sun)


@pytest.mark.conformance("v2-112")
def test_what_does_not_verify_changes_nothing_that_auth_covers() -> None:
    """Octets of anybody with the right SPIs and number: no key exchange, and IntAuth stays what it was."""
    site, wire = gateways(ike=f"{CLASSIC}-ke1_ecp256")
    sent: list[bytes] = []

    def spoil(seen: Seen) -> bool:
        if seen.host is site.moon and seen.message.exchange is INTERMEDIATE and not sent:
            for at in (-1, -20, 40, 20):
                spoilt = bytearray(seen.octets)
                spoilt[at] ^= 1
                sent.append(bytes(spoilt))
            return True
        return False

    wire.hold(spoil)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: bool(sent))
    stranger = Stranger(wire, site.sun, MOON)
    for octets in sent:
        assert not stranger.send(octets)
    site.world.run_until(lambda: bool(site.moon.done), within=60.0)
    assert site.moon.done[token].error is None


@pytest.mark.parametrize("failure", [BackendError("no worker is free"), NoProposalChosen("not this one")])
def test_an_exchange_that_fails_ends_what_nobody_proved(failure: IkectlError) -> None:
    """<-- HDR, SK {N(TEMPORARY_FAILURE)}: nobody may begin it again and again, and IntAuth has the failed one in it."""

    def answer(ask: AnswerKe) -> object:
        if ask.method is KeyExchangeMethod.ML_KEM_768:
            raise failure
        return ke.answer(ask.method, ask.public, ask.random)

    site, wire = gateways(ike=HYBRID, sun_host={"answers": {AnswerKe: answer}})
    error = site.moon.done[site.up()].error
    assert error is not None and "the peer answered IKE_INTERMEDIATE with" in error
    assert len(wire.messages(which(INTERMEDIATE, by=site.sun, response=True))) == 1
    site.world.run(60.0)
    assert bare(site.moon) and bare(site.sun)
