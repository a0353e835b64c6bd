"""IKE SAs without a child in IKE_AUTH (RFC 6023)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Childless, Connection, Unique
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import IkeFailed, Note
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
from tests.scenarios.stage import CREATE_CHILD_SA, IKE_AUTH, IKE_SA_INIT, gateways, notifies, rewrite, stands, wait
from tests.sim.link import Link
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which

ALLOW, PREFER, FORCE, NEVER = Childless.ALLOW, Childless.PREFER, Childless.FORCE, Childless.NEVER
SUPPORTED = NotifyType.CHILDLESS_IKEV2_SUPPORTED


def ends(moon: Childless, sun: Childless, **options: Any) -> tuple[Site, Wiretap]:
    return gateways(moon={"childless": moon}, sun={"childless": sun}, **options)


def call(site: Site, name: str = "net") -> str | None:
    """What becomes of moon's attempt to bring up the child, or the IKE SA alone: the error."""
    token = site.moon.initiate("site", name, site.world.now)
    wait(site, 60)
    return site.moon.done[token].error


def carries_child(wire: Wiretap) -> bool:
    """Whether moon asked for a child in IKE_AUTH."""
    found = [wire.messages(which(IKE_AUTH, response=False))[0].get(kind) is not None for kind in (SA, TSi, TSr)]
    assert len(set(found)) == 1
    return found[0]


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("sun", Childless)
def test_who_takes_them_says_so(sun: Childless) -> None:
    """<-- HDR, SAr1, KEr, Nr, N(CHILDLESS_IKEV2_SUPPORTED); an initiator says nothing."""
    site, wire = ends(PREFER, sun)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 5)
    asked, answered = wire.messages(which(IKE_SA_INIT))
    assert SUPPORTED not in notifies(asked)
    assert (SUPPORTED in notifies(answered)) is (sun is not NEVER)


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("moon", Childless)
@pytest.mark.parametrize("sun", [ALLOW, PREFER])
def test_the_first_child(moon: Childless, sun: Childless) -> None:
    """In IKE_AUTH, or with prefer and force behind it by CREATE_CHILD_SA, with a key exchange of its own."""
    site, wire = ends(moon, sun, moon_children=(child(esp="aes128gcm16-x25519"),))
    site.sun.load(site_of(site, esp="aes128gcm16-x25519"))
    assert call(site) is None
    separate = moon in (PREFER, FORCE)
    assert carries_child(wire) is not separate
    assert len(wire.messages(which(CREATE_CHILD_SA))) == (2 if separate else 0)
    assert stands(site)
    site.world.settled()


def site_of(site: Site, **more: Any) -> Connection:
    """sun's connection with another child."""
    connection = site.sun.engine.connections.get("site")
    assert connection is not None
    return replace(connection, children=(child(mirror=True, **more),))


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("moon", [ALLOW, PREFER, FORCE, NEVER])
def test_an_ike_sa_alone(moon: Childless) -> None:
    """HDR, SK {IDi, AUTH} -->  <-- HDR, SK {IDr, AUTH}: no child, no failure; one may follow, from either end."""
    site, wire = ends(moon, ALLOW)
    assert call(site, "") is None
    assert not carries_child(wire) and len(site.moon.machines) == len(site.sun.machines) == 1
    assert not site.moon.children and not wire.all(which(CREATE_CHILD_SA))
    token = site.sun.initiate("site", "net", site.world.now)
    wait(site, 5)
    assert site.sun.done[token].error is None and stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-75")
def test_not_without_the_notify() -> None:
    """The responder announced nothing: an IKE SA alone is not asked for, and force has no other way."""
    for moon, name, why in (
        (ALLOW, "", "name a child to bring up, or set childless = allow there"),
        (FORCE, "net", "childless = force wants one"),
        (FORCE, "", "name a child"),
    ):
        site, wire = ends(moon, NEVER)
        assert why in (call(site, name) or "")
        assert not wire.all(which(IKE_AUTH)) and not site.moon.machines


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("moon", [ALLOW, PREFER, NEVER])
def test_a_peer_that_takes_none_gets_its_child_at_once(moon: Childless) -> None:
    site, wire = ends(moon, NEVER)
    assert call(site) is None and stands(site)
    assert carries_child(wire) and not wire.all(which(CREATE_CHILD_SA))


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("sun", [NEVER, FORCE])
def test_what_the_responder_does_not_take_is_malformed_to_it(sun: Childless) -> None:
    """never: no child in IKE_AUTH; force: a child in it. <-- HDR, SK {N(INVALID_SYNTAX)}, and the SA is gone."""
    site, wire = ends(ALLOW, sun)
    if sun is NEVER:
        announce = Notify(SUPPORTED)
        rewrite(wire, which(IKE_SA_INIT, response=True), lambda payloads: [*payloads, announce])
        site.sun.load(site_of(site))
        rewrite(wire, which(IKE_AUTH, response=False), _without_child)
    error = call(site)
    assert notifies(wire.messages(which(IKE_AUTH, response=True))[0]) == [NotifyType.INVALID_SYNTAX]
    assert "INVALID_SYNTAX" in (error or "") and "RFC 6023" in (error or "")
    assert not site.moon.machines or all(not m.sa.children for m in site.moon.machines)
    wait(site, 100)
    assert not site.moon.machines and not site.sun.machines and site.sun.saw(IkeFailed)
    assert any(f"childless = {sun.value}" in note.text() for note in site.sun.saw(Note))


def _without_child(payloads: list[Payload]) -> list[Payload]:
    return [each for each in payloads if not isinstance(each, SA | TSi | TSr)]


@pytest.mark.conformance("v2-75")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["net", ""])
def test_on_a_bad_network(seed: int, name: str) -> None:
    """Loss and repeats; both ends begin at once."""
    about = {"childless": PREFER, "unique": Unique.NEVER}
    site, _ = gateways(moon=about, sun=about, seed=seed, link=Link(loss=0.2, duplication=0.2, jitter=0.2))
    tokens = [(host, host.initiate("site", name, 0.0)) for host in (site.moon, site.sun)]
    wait(site, 400)
    assert all(host.done[token].error is None for host, token in tokens)
    assert bool(site.moon.children) is bool(name)
    assert site.world.carries(site.moon, site.sun) or not name
    site.world.settled()


def test_who_fails_to_prove_itself_tells_whoever_waits_for_the_child() -> None:
    """The child was to come behind IKE_AUTH, which fails: the command ends with the reason."""
    site, _ = ends(PREFER, ALLOW, sun_host={"secret": b"another one"})
    assert "AUTHENTICATION_FAILED" in (call(site) or "")
    wait(site, 60)
    assert not site.moon.machines
