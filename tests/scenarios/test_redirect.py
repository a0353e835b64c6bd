"""A gateway sends its client to another one: in IKE_SA_INIT, in IKE_AUTH, amid a session (RFC 5685)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.engine.calls import MAX_REDIRECTS
from ikectl.engine.commands import Redirect
from ikectl.errors import BackendError
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import NotifyType
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed, Note
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.path import Endpoint
from ikectl.wire.payload import Payload
from ikectl.wire.v2.cp import CP
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import Delete, Notify
from ikectl.wire.v2.redirect import redirect, redirect_notify
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, INFORMATIONAL, bare, notifies, rewrite, wait
from tests.scenarios.test_configuration_payload import ROAD, fill
from tests.sim.forge import Impostor, chain_of, clear
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.users import user_answers
from tests.sim.wiretap import Wiretap, which

STAR = "203.0.113.7"
CLIENT: dict[str, Any] = {"follow_redirects": True}


def gateway(host: Host, **options: Any) -> None:
    """The other end of moon's connection, at that host."""
    ends = {"local": host.address, "remote": MOON, "local_id": "sun.example.org", "remote_id": "moon.example.org"}
    host.load(connection(children=(child(mirror=True),), **ends, **options))


def three(seed: int = 1, *, link: Link | None = None, sun: dict[str, Any] | None = None, **options: Any) -> Any:
    """moon, sun and star, a second gateway of the same identity; moon's peer is sun."""
    client = options.pop("client", CLIENT)
    answers = {asks.Resolve: _resolve, asks.SourceAddress: lambda ask: bytes((192, 0, 2, 1))}
    site = Site(seed, moon=client, sun=sun, link=link, moon_host={"answers": answers}, **options)
    star = Host("star", STAR, seed)
    gateway(star)
    site.world.hosts[STAR] = star
    return site, star, Wiretap(site.world)


def _resolve(ask: asks.Resolve) -> tuple[bytes, ...]:
    if ask.host != "star.example.org":
        raise BackendError(f"{ask.host} has no address")
    return (bytes((203, 0, 113, 7)),)


def at(site: Site, star: Host) -> bool:
    """moon's one child stands with star, and sun has nothing."""
    (machine,) = site.moon.machines
    return (
        machine.sa.path.remote.host == STAR
        and len(site.moon.children) == len(star.children) == 1
        and site.world.carries(site.moon, star)
        and site.world.carries(star, site.moon)
        and bare(site.sun)
    )


@pytest.mark.conformance("v2-52")
@pytest.mark.parametrize("name", [STAR, "star.example.org"])
def test_before_anything_is_negotiated(name: str) -> None:
    """IKE_SA_INIT, N(REDIRECT_SUPPORTED) --> <-- N(REDIRECT); then to star, N(REDIRECTED_FROM)."""
    site, star, wire = three(sun={"redirect_to": name})
    token = site.up()
    assert site.moon.done[token].error is None and at(site, star)
    first, answer, second = wire.messages(which(IKE_SA_INIT))[:3]
    assert NotifyType.REDIRECT_SUPPORTED in notifies(first)
    told = answer.notify(NotifyType.REDIRECT)
    assert told is not None and len(answer.payloads) == 1 and answer.spi_r == bytes(8)
    assert redirect(told) == (name, first.one(Nonce).value)
    from_sun = second.notify(NotifyType.REDIRECTED_FROM)
    assert from_sun is not None and from_sun.data == bytes((1, 4, 198, 51, 100, 1))
    assert NotifyType.REDIRECT_SUPPORTED not in notifies(second)
    site.world.settled()


@pytest.mark.conformance("v2-52")
def test_who_does_not_follow_is_served_where_it_is() -> None:
    site, _, wire = three(sun={"redirect_to": STAR}, client={})
    token = site.up()
    assert site.moon.done[token].error is None and len(site.sun.children) == 1
    assert NotifyType.REDIRECT_SUPPORTED not in notifies(wire.messages(which(IKE_SA_INIT))[0])


@pytest.mark.conformance("v2-52")
@pytest.mark.parametrize("client", [CLIENT, {}])
@pytest.mark.parametrize("nonce", [b"", b"another nonce of another request", None])
def test_a_redirect_of_a_stranger_is_ignored(client: dict[str, Any], nonce: bytes | None) -> None:
    """Without our nonce, or though we do not follow: as if it never came.

    With our nonce (None), which whoever is on the way sees: it waits, and the gateway's own answer comes in time.
    """
    site, _, wire = three(client=client)

    rule = wire.hold(which(IKE_SA_INIT, by=site.sun))
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 1)
    (asked,) = wire.messages(which(IKE_SA_INIT, by=site.moon))
    told = redirect_notify(STAR, asked.one(Nonce).value if nonce is None else nonce)
    octets = clear(chain_of([told]), spi_i=asked.spi_i, response=True, initiator=False)
    site.world.deliver(octets, Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 500))
    site.world.flush()
    wire.release(rule)
    wait(site, 10)
    assert site.moon.done[token].error is None
    assert site.moon.machines[0].sa.path.remote.host == SUN and site.moon.machines[0].sa.redirect == ""
    assert len(site.moon.children) == len(site.sun.children) == 1
    site.world.settled()


def users(site: Site, *gateways: Host) -> None:
    """moon proves itself by EAP from now on, to these."""
    eap, anybody = Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,)), IdentityPattern.parse("%any")
    for host in (site.moon, *gateways):
        host.answers.update(user_answers({"carol": b"of carol alone"}))
        (made,) = host.engine.connections.all
        if host is site.moon:
            host.load(replace(made, local=(Local("local", eap, Identity.parse("carol")),)))
        else:
            host.load(replace(made, remote=(Remote("remote", eap, anybody, eap_id=anybody),)))


@pytest.mark.conformance("v2-52")
@pytest.mark.parametrize("proven", [True, False])
def test_in_ike_auth_before_the_client_proved_itself(proven: bool) -> None:
    """IDi --> <-- IDr, AUTH, N(REDIRECT): the gateway need not wait for EAP, but has to prove itself (§6)."""
    site, star, wire = three()
    users(site, site.sun, star)

    def away(payloads: list[Payload]) -> list[Payload]:
        said = [each for each in payloads if not isinstance(each, EAP)]
        told = said if proven else [AUTH(each.method, bytes(32)) if isinstance(each, AUTH) else each for each in said]
        return [*told, redirect_notify(STAR)]

    rewrite(wire, which(IKE_AUTH, by=site.sun), away)
    token = site.up()
    wait(site, 40)  # until sun waits no more
    if proven:
        assert site.moon.done[token].error is None and at(site, star)
        assert len(wire.messages(which(IKE_AUTH, by=site.sun))) == 1 and not site.moon.saw(AuthFailed)
    else:
        assert site.moon.saw(AuthFailed) and not star.machines
    site.world.settled()


@pytest.mark.conformance("v2-52")
def test_in_ike_auth_when_the_connection_is_known() -> None:
    """IKE_AUTH --> <-- IDr, AUTH, N(REDIRECT), no child; DELETE; then to star."""
    site, star, wire = three(sun={"redirect_to": STAR})
    made = next(iter(site.sun.engine.connections.all))
    site.sun.load(replace(made, name="a", redirect_to="", remote=_expecting(made, "mars.example.org")))
    site.sun.load(replace(made, name="site"))
    site.sun.engine.connections.unload("site", 0.0)
    site.sun.load(replace(made, name="site"))
    token = site.up()
    assert site.moon.done[token].error is None and at(site, star)
    (answer, _) = wire.messages(which(IKE_AUTH, response=True))
    told = answer.notify(NotifyType.REDIRECT)
    assert told is not None and redirect(told) == (STAR, b"")
    deletes = wire.messages(which(INFORMATIONAL, by=site.moon, holds=Delete))
    assert len(deletes) == 1
    site.world.settled()


@pytest.mark.conformance("v2-52")
def test_a_client_that_is_sent_away_gets_no_address_first() -> None:
    """The gateway's pool is not drained by clients that it sends on."""
    site, _, wire = three(client={**CLIENT, "vips": (bytes(4),)}, sun={"redirect_to": STAR})
    made = next(iter(site.sun.engine.connections.all))
    fill(site.sun, ROAD)
    site.sun.engine.connections.unload("site", 0.0)
    site.sun.load(replace(made, name="a", redirect_to="", remote=_expecting(made, "mars.example.org")))
    site.sun.load(replace(made, pools=("road",)))
    site.up()
    told = next(each for each in wire.messages(which(IKE_AUTH, response=True)) if each.notify(NotifyType.REDIRECT))
    assert not told.all(CP)
    (pool,) = site.sun.pools.all()
    assert not list(pool.leases()), "not even one that is kept for it"


def _expecting(made: Any, name: str) -> Any:
    return (replace(made.remote[0], id=IdentityPattern.parse(name)),)


@pytest.mark.conformance("v2-52")
def test_amid_a_session() -> None:
    """<-- INFORMATIONAL {N(REDIRECT)}; IKE SA and child with star, then DELETE to sun. No packet is lost meanwhile."""
    site, star, wire = three()
    site.up()
    site.sun.engine.command(Redirect(5, STAR, "site"), site.world.now)
    wait(site, 10)
    assert site.sun.done[5].error is None and at(site, star)
    story = [(seen.host.name, seen.message.exchange) for seen in wire.seen if not seen.message.response]
    assert story[-4:] == [("sun", INFORMATIONAL), ("moon", IKE_SA_INIT), ("moon", IKE_AUTH), ("moon", INFORMATIONAL)]
    site.world.settled()


def test_amid_a_session_that_the_gateway_rekeyed() -> None:
    """Who called first is the client, whoever made the present IKE SA."""
    site, star, _ = three()
    site.up()
    site.sun.rekey(site.world.now, "site")
    wait(site, 5)
    site.sun.engine.command(Redirect(5, STAR, "site"), site.world.now)
    wait(site, 10)
    assert at(site, star)
    site.world.settled()


def test_a_gateway_that_is_not_there_leaves_us_where_we_are() -> None:
    site, star, _ = three()
    site.up()
    del site.world.hosts[star.address]
    site.sun.engine.command(Redirect(5, STAR, "site"), site.world.now)
    wait(site, 600)
    assert site.moon.machines[0].sa.path.remote.host == SUN and len(site.moon.children) == 1
    site.sun.engine.command(Redirect(6, "nowhere.example.org", "site"), site.world.now)
    wait(site, 60)
    assert len(site.moon.machines) == 1 and site.moon.machines[0].sa.path.remote.host == SUN


def test_only_clients_that_follow_are_sent_on() -> None:
    site, _, wire = three(client={})
    site.up()
    site.sun.engine.command(Redirect(5, STAR, "site"), site.world.now)
    assert "none of these clients follows" in (_error(site.sun, 5) or "")
    Impostor(wire, site.sun).request(INFORMATIONAL, [redirect_notify(STAR)])
    wait(site, 10)
    assert site.moon.machines[0].sa.path.remote.host == SUN, "we did not say that we follow"


def _error(host: Host, token: int) -> str | None:
    host.drain()
    return host.done[token].error


def test_a_client_sends_no_gateway_away() -> None:
    """Only who was called may say so."""
    site, _, wire = three()
    site.up()
    Impostor(wire, site.moon).request(INFORMATIONAL, [redirect_notify(STAR)])
    wait(site, 10)
    assert len(site.sun.machines) == 1 and len(site.sun.children) == 1


def test_gateways_that_send_us_to_and_fro() -> None:
    """At most MAX_REDIRECTS within five minutes; then it is told (RFC 5685 §7)."""
    site, star, wire = three(sun={"redirect_to": STAR})
    gateway(star, redirect_to=SUN)
    token = site.up()
    assert f"sent to another gateway {MAX_REDIRECTS} times" in (site.moon.done[token].error or "")
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == MAX_REDIRECTS + 1
    assert bare(site.moon) and bare(site.sun) and bare(star)


def test_gateways_that_send_standing_sas_to_and_fro() -> None:
    """The same bound, whoever stands meanwhile: beyond it the client stays where it is (RFC 5685 §7)."""
    site, star, _ = three()
    site.up()
    places = []
    for _ in range(MAX_REDIRECTS + 3):
        here, there = (star, SUN) if star.machines else (site.sun, STAR)
        here.engine.command(Redirect(5, there, "site"), site.world.now)
        wait(site, 5)
        places.append(site.moon.machines[0].sa.path.remote.host)
    assert places[:MAX_REDIRECTS] == [STAR, SUN, STAR, SUN, STAR] and set(places[MAX_REDIRECTS:]) == {STAR}
    assert [note for note in site.moon.saw(Note) if f"sent to another gateway {MAX_REDIRECTS} times" in note.why]
    wait(site, 300)
    star.engine.command(Redirect(5, SUN, "site"), site.world.now)
    wait(site, 5)
    assert site.moon.machines[0].sa.path.remote.host == SUN, "that is long ago"
    site.world.settled()


@pytest.mark.parametrize("data", [b"", b"\x01\x04ab", b"\x03\x03a b", b"\x09\x01a"])
def test_a_malformed_redirect_is_as_none(data: bytes) -> None:
    site, _, wire = three()
    site.up()
    answer = Impostor(wire, site.sun).request(INFORMATIONAL, [Notify(NotifyType.REDIRECT, data)])
    assert answer is not None and not answer.payloads
    wait(site, 10)
    assert len(site.moon.children) == len(site.sun.children) == 1


@pytest.mark.parametrize("way", ["init", "session"])
def test_on_a_bad_network(way: str) -> None:
    """Loss, duplicates, disorder; a rekeying at the same time."""
    there = 0
    for seed in range(25):
        options = {"redirect_to": STAR} if way == "init" else {}
        site, star, _ = three(seed, sun=options, link=Link(loss=0.15, duplication=0.2, jitter=0.3))
        site.up(within=1200)
        if way == "session":
            site.sun.engine.command(Redirect(5, STAR, "site"), site.world.now)
            site.moon.rekey(site.world.now, "site")
        site.world.run(site.world.now + 400)
        site.world.link = Link()
        wait(site, 400)
        assert len(site.moon.machines) < 2, site.world.violation(f"seed {seed}")
        there += bool(site.moon.machines) and at(site, star)
        site.world.settled()
    assert there > 15
