"""Both versions of IKE beside each other: who answers which, and how version = 0 falls back (RFC 2408 §5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.iana.v1 import ExchangeType, NotifyType
from ikectl.iana.v2 import NotifyType as NotifyTypeV2
from ikectl.sa.association import IkeState
from ikectl.values.path import Endpoint
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import Notify
from ikectl.wire.v2.notify import Notify as NotifyV2
from tests.scenarios.stage import gateways as gateways_v2
from tests.scenarios.v1.stage import AGGRESSIVE_PSK, bare, caller, stands, wait, watched, watched_tunnel
from tests.sim.forge import Stranger
from tests.sim.forge_v1 import Impostor, Peer
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import Wiretap as WiretapV2
from tests.sim.wiretap_v1 import INFORMATIONAL, MAIN, which
from tests.sim.wiretap_v1 import Wiretap as WiretapV1

IKE = "aes128-sha256-ecp256"


def versions(moon: int, sun: int, /, **options: Any) -> tuple[Site, WiretapV1, WiretapV2]:
    """Two gateways that speak these versions, 0 for either."""
    site = Site(ike=IKE, moon={"version": moon, **options.pop("moon", {})},
                sun={"version": sun, **options.pop("sun", {})}, **options)  # fmt: skip
    return site, WiretapV1(site.world), WiretapV2(site.world)


def spoken(site: Site) -> tuple[set[int], set[int]]:
    """The versions of the SAs at either end."""
    return {m.sa.VERSION for m in site.moon.machines}, {m.sa.VERSION for m in site.sun.machines}


# -- one version alone ---------------------------------------------------------------


@pytest.mark.conformance("v1-39")
def test_ikev2_at_an_ikev1_only_node() -> None:
    """IKE_SA_INIT --> <-- N(INVALID-MAJOR-VERSION) of IKEv1, in clear; nothing is kept, few are answered."""
    site, wire = watched()
    stranger = Stranger(WiretapV2(site.world), site.sun, MOON)
    for _ in range(10):
        stranger.ask()
    (refusal,) = wire.messages()
    assert refusal.exchange is INFORMATIONAL and not refusal.encrypted and refusal.cookie_i == stranger.spi
    assert [notify.type for notify in refusal.all(Notify)] == [NotifyType.INVALID_MAJOR_VERSION]
    assert bare(site.sun) and site.sun.engine.half_open == 0


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_ikev1_at_an_ikev2_only_node(mode: str) -> None:
    """SA --> at a node that speaks IKEv2 alone: no SA, nothing that goes on; a refusal at most."""
    site, _ = gateways_v2()
    wire = WiretapV1(site.world)
    peer = caller(wire, site)
    seen = (peer.main_1 if mode == "main" else peer.aggressive_1)()
    assert not peer.heard
    for each in seen:
        assert each.message.exchange is INFORMATIONAL and not each.message.encrypted
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v1-39")
def test_an_initiator_of_ikev1_does_not_take_ikev2_for_an_answer() -> None:
    site, wire, tap = versions(1, 1)
    held = wire.hold(which(by=site.sun))
    site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    cookie = wire.seen[0].message.cookie_i
    stranger = Stranger(tap, site.moon, SUN)
    for response in (False, True):
        stranger.ask([NotifyV2(NotifyTypeV2.NO_PROPOSAL_CHOSEN)], spi_i=cookie, spi_r=b"whatever", response=response)
        stranger.ask(spi_i=cookie, spi_r=b"whatever", response=response, initiator=False)
    assert [machine.sa.state for machine in site.moon.machines] == [IkeState.CONNECTING]
    wire.release(held)
    wait(site, 20)
    assert stands(site)


@pytest.mark.conformance("v1-39")
def test_an_sa_of_one_version_hears_nothing_of_the_other() -> None:
    """Datagrams of IKEv2 with the cookies of an ISAKMP SA, and of IKEv1 with the SPIs of an IKE SA."""
    site, wire = watched_tunnel()
    tap = WiretapV2(site.world)
    cookies = Impostor(wire, site.moon).cookies
    for exchange in (34, 35, 36, 37):
        for response in (False, True):
            for initiator in (False, True):
                Stranger(tap, site.sun, MOON).ask(
                    [NotifyV2(NotifyTypeV2.INVALID_SYNTAX)], spi_i=cookies[0], spi_r=cookies[1], exchange=exchange,
                    response=response, initiator=initiator, message_id=1,
                )  # fmt: skip
    wait(site, 60)
    assert stands(site) and spoken(site) == ({1}, {1})
    site, tap = gateways_v2()
    wire = WiretapV1(site.world)
    site.up()
    (machine,) = site.moon.machines
    peer = Peer(wire, site.sun, MOON)
    for exchange in (MAIN, ExchangeType.AGGRESSIVE, INFORMATIONAL, ExchangeType.QUICK_MODE):
        notify = Notify(NotifyType.INVALID_MAJOR_VERSION)
        peer.deliver(peer.clear([notify], exchange, cookie_i=machine.sa.spi_i, cookie_r=machine.sa.spi_r))
    wait(site, 60)
    assert stands(site) and spoken(site) == ({2}, {2})


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize("version", [0x00, 0x30, 0x50, 0xF0])
def test_versions_nobody_speaks(version: int) -> None:
    """Major 0 is dropped; a higher one than 2 is answered by IKEv2's INVALID_MAJOR_VERSION, rarely; no state."""
    site, wire = watched()
    tap = WiretapV2(site.world)
    peer = caller(wire, site)
    for _ in range(5):
        peer.main_1(version=version)
    assert bare(site.sun) and not wire.seen and len(tap.seen) <= 1
    for seen in tap.seen:
        assert [each.type for each in seen.message.all(NotifyV2)] == [NotifyTypeV2.INVALID_MAJOR_VERSION]


# -- version = 0 -----------------------------------------------------------------------


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize(("moon", "sun", "result"), [(1, 0, 1), (2, 0, 2), (0, 2, 2), (0, 0, 2), (0, 1, 1)])
def test_either_version_is_answered_and_ikev2_is_preferred(moon: int, sun: int, result: int) -> None:
    site, _, _ = versions(moon, sun)
    token = site.up()
    assert site.moon.done[token].error is None
    assert stands(site) and spoken(site) == ({result}, {result})


@pytest.mark.conformance("v1-39")
def test_falling_back_where_the_peer_says_that_it_knows_ikev1_alone() -> None:
    """IKE_SA_INIT --> <-- N(INVALID-MAJOR-VERSION); SA --> ...: at the next repeat, not after all of them."""
    site, wire, tap = versions(0, 1)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    refusal = wire.messages(which(INFORMATIONAL, by=site.sun))[0]
    assert [notify.type for notify in refusal.all(Notify)] == [NotifyType.INVALID_MAJOR_VERSION]
    first = wire.all(which(MAIN, by=site.moon))[0]
    assert len(tap.seen) <= 2 and first.at < 10


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_falling_back_where_nobody_answers(mode: dict[str, Any]) -> None:
    """IKE_SA_INIT --> and silence, to the end; SA --> ..., and one command has one outcome."""
    site, wire, tap = versions(0, 1, moon=mode, sun=mode)
    tap.hold(lambda seen: True)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site) and spoken(site) == ({1}, {1})
    assert len(tap.seen) > 3 and wire.all(which(by=site.moon))[0].at > 60


@pytest.mark.conformance("v1-39")
def test_falling_back_where_ikev2_has_no_proposal_in_common() -> None:
    """sun speaks IKEv2 with other algorithms, and IKEv1 with ours."""
    site, _, tap = versions(0, 1)
    strict = connection("strict", ike="aes256-sha512-ecp521", version=2, local=SUN, remote=MOON,
                        local_id="sun.example.org", remote_id="moon.example.org",
                        children=(child(mirror=True),))  # fmt: skip
    site.sun.load(strict)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site) and spoken(site) == ({1}, {1})
    refusals = [each.type for seen in tap.seen for each in seen.message.all(NotifyV2)]
    assert NotifyTypeV2.NO_PROPOSAL_CHOSEN in refusals


@pytest.mark.conformance("v1-39")
@pytest.mark.parametrize(("moon", "refuses"), [(1, 2), (2, 1)])
def test_who_speaks_one_version_does_not_fall_back(moon: int, refuses: int) -> None:
    site, _, _ = versions(moon, refuses)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


def test_a_refusal_in_between_does_not_force_ikev1_on_two_that_speak_ikev2() -> None:
    """Somebody says INVALID-MAJOR-VERSION first; the true answer comes second and is taken."""
    site, wire, tap = versions(0, 0)
    held = tap.hold(lambda seen: seen.host is site.sun, times=1)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 0.5)
    spi = tap.seen[0].message.spi_i
    refusal = Message(spi, bytes(8), INFORMATIONAL, 0, [Notify(NotifyType.INVALID_MAJOR_VERSION)]).write()
    site.world.deliver(refusal, Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 500))
    tap.release(held)
    wait(site, 20)
    assert stands(site) and spoken(site) == ({2}, {2}) and not wire.all(which(MAIN))


@pytest.mark.conformance("v1-39")
def test_one_daemon_serves_both_at_once_on_the_same_ports() -> None:
    """moon comes with IKEv1, mars with IKEv2; both renew and leave, neither knows of the other."""
    site, wire, tap = versions(1, 0)
    mars = Host("mars", "192.0.2.9", 3)
    ends = {"local": "192.0.2.9", "local_id": "mars.example.org", "ike": IKE}
    mars.load(connection(children=(child(local="10.3.0.0/16"),), **ends))
    site.sun.load(connection("mars", version=0, local=SUN, remote="192.0.2.9", local_id="sun.example.org",
                             remote_id="mars.example.org", ike=IKE,
                             children=(child(mirror=True, local="10.3.0.0/16"),)))  # fmt: skip
    site.world.hosts[mars.address] = mars
    for host in (site.moon, mars):
        host.initiate("site", "net", 0.0)
    wait(site, 5)
    assert {machine.sa.VERSION for machine in site.sun.machines} == {1, 2} and len(site.sun.children) == 2
    for name in ("net", ""):
        for host in (site.moon, mars):
            host.rekey(site.world.now, "site", name)
        wait(site, 130)
    assert site.world.carries(site.moon, site.sun) and site.world.carries(mars, site.sun)
    assert len(site.sun.machines) == 2
    site.world.settled()
    mars.terminate(site.world.now)
    wait(site, 60)
    assert bare(mars) and stands(site) and wire.seen and tap.seen
