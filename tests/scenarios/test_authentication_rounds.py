"""Several rounds of authentication (RFC 4739), and an end that proves nothing (RFC 7619)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ikectl.config.model import Auth, AuthKind, Connection, Local, Remote, Unique
from ikectl.iana.v2 import AuthMethod, IdType, NotifyType
from ikectl.sa import asks
from ikectl.sa.env import Settings
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import (
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    bare,
    gateways,
    notifies,
    rewrite,
    sa_of,
    stands,
    wait,
)
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.wiretap import Wiretap, which

MORE, KNOWS = NotifyType.ANOTHER_AUTH_FOLLOWS, NotifyType.MULTIPLE_AUTH_SUPPORTED
SECRETS = {"carol.example.org": b"of carol", "safe.example.org": b"of the safe"}


def secret_of(ask: asks.SharedSecret) -> Secret:
    """A key of its own for whoever has a second round."""
    for name, secret in SECRETS.items():
        if name in (str(ask.local_id), str(ask.remote_id)):
            return Secret(secret)
    return Secret(b"between the gateways")


def wants(host: Host, local: Sequence[str] = (), remote: Sequence[str] = (), kind: AuthKind = AuthKind.PSK) -> None:
    """Further rounds for the host's connection, by identity."""
    (made,) = host.engine.connections.all
    host.load(
        replace(
            made,
            local=(*made.local, *(Local(f"local-{n}", Auth(kind), Identity.parse(n)) for n in local)),
            remote=(*made.remote, *(Remote(f"remote-{n}", Auth(kind), IdentityPattern.parse(n)) for n in remote)),
        )
    )


def rounds(
    ours: Sequence[str] = ("carol.example.org",), theirs: Sequence[str] = (), **options: object
) -> tuple[Site, Wiretap]:
    """moon proves itself as `ours` too, sun as `theirs`."""
    asked = {"answers": {asks.SharedSecret: secret_of}}
    site, wire = gateways(moon_host=asked, sun_host=asked, **options)
    wants(site.moon, ours, theirs)
    wants(site.sun, theirs, ours)
    return site, wire


def error(site: Site, token: int) -> str:
    return site.moon.done[token].error or ""


@pytest.mark.conformance("v2-72")
def test_an_initiator_with_two_proofs() -> None:
    """RFC 4739 §2.1.

    HDR, SK {IDi, AUTH, SA, TSi, TSr, N(MULTIPLE_AUTH_SUPPORTED), N(ANOTHER_AUTH_FOLLOWS)} -->
                                                          <-- HDR, SK {IDr, AUTH}
    HDR, SK {IDi', AUTH} -->                              <-- HDR, SK {SA, TSi, TSr}
    """
    site, wire = rounds()
    assert not error(site, site.up()) and stands(site)
    first, second = wire.messages(which(IKE_AUTH, by=site.moon))
    assert {KNOWS, MORE} <= set(notifies(first)) and not notifies(second)
    assert second.one(IDi).identity == Identity.parse("carol.example.org")
    assert [type(payload) for payload in second.payloads] == [IDi, AUTH]
    proven, settled = wire.messages(which(IKE_AUTH, by=site.sun))
    assert [type(payload) for payload in proven.payloads] == [IDr, AUTH]
    assert settled.get(AUTH) is None and settled.get(SA) is not None
    assert sa_of(site.sun).remote_id == Identity.parse("moon.example.org")


@pytest.mark.conformance("v2-72")
def test_a_responder_that_takes_one_round_alone() -> None:
    """Without its MULTIPLE_AUTH_SUPPORTED no ANOTHER_AUTH_FOLLOWS may be said (§2.1); so nobody learns who we are."""
    site, wire = rounds()

    def silent(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not isinstance(each, Notify) or each.type is not KNOWS]

    rewrite(wire, which(IKE_SA_INIT, response=True), silent, None)
    assert "the peer takes no second round of authentication" in error(site, site.up())
    assert not wire.messages(which(IKE_AUTH))


@pytest.mark.conformance("v2-72")
@pytest.mark.parametrize("ours", [(), ("carol.example.org",)])
def test_a_responder_with_two_proofs(ours: tuple[str, ...]) -> None:
    """It announces its second round in the response to the first; an initiator with nothing more to say asks for it."""
    site, wire = rounds(ours, ("safe.example.org",))
    assert not error(site, site.up()) and stands(site)
    first, second = wire.messages(which(IKE_AUTH, by=site.sun))
    assert MORE in notifies(first) and second.one(IDr).identity == Identity.parse("safe.example.org")
    asked = wire.messages(which(IKE_AUTH, by=site.moon))[1]
    assert [type(payload) for payload in asked.payloads] == ([IDi, AUTH] if ours else [])


@pytest.mark.conformance("v2-72")
@pytest.mark.parametrize("seed", range(8))
def test_rounds_over_a_bad_line(seed: int) -> None:
    link = Link(loss=0.25, duplication=0.25, jitter=0.3)
    site, _ = rounds(("carol.example.org",), ("safe.example.org",), link=link, seed=seed)
    assert not error(site, site.up())
    site.world.settled()
    assert len(site.moon.children) == len(site.sun.children) == 1


@pytest.mark.conformance("v2-72")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_second_proof_that_is_wrong(who: str) -> None:
    """The first round alone lets nobody in: no SA and no child on either side."""
    site, wire = rounds(("carol.example.org",), ("safe.example.org",))

    def spoil(payloads: list[Payload]) -> list[Payload]:
        return [AUTH(each.method, bytes(len(each.data))) if isinstance(each, AUTH) else each for each in payloads]

    def second(payloads: list[Payload]) -> list[Payload]:
        named = [str(each.identity) for each in payloads if isinstance(each, IDi | IDr)]
        return spoil(payloads) if set(named) & set(SECRETS) else payloads

    rewrite(wire, which(IKE_AUTH, response=who == "sun"), second, times=None)
    token = site.up()
    assert error(site, token) and bare(site.moon) and bare(site.sun)
    assert (site.sun if who == "moon" else site.moon).saw(AuthFailed)
    if who == "sun":
        # It was its last word, so it believes in the SA and has to be told (RFC 7296 §2.21.2).
        (told,) = wire.messages(which(INFORMATIONAL, by=site.moon))
        assert notifies(told) == [NotifyType.AUTHENTICATION_FAILED]


@pytest.mark.conformance("v2-72")
@pytest.mark.parametrize(
    ("moon", "sun", "why"),
    [
        ((), ("carol.example.org",), "ends with round 1 of authentication, and site wants more"),
        (("carol.example.org",), ("dave.example.org",), "no connection expects the identity 'carol.example.org'"),
    ],
)
def test_rounds_that_are_not_those_configured(moon: tuple[str, ...], sun: tuple[str, ...], why: str) -> None:
    asked = {"answers": {asks.SharedSecret: secret_of}}
    site, _ = gateways(moon_host=asked, sun_host=asked)
    wants(site.moon, moon)
    wants(site.sun, (), sun)
    assert "AUTHENTICATION_FAILED" in error(site, site.up())
    assert any(why in event.text() for event in site.sun.saw(AuthFailed)), [e.text() for e in site.sun.saw(AuthFailed)]
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-72")
def test_a_gateway_of_one_round_does_not_offer_another() -> None:
    """Without its MULTIPLE_AUTH_SUPPORTED there is no second round (RFC 4739 §2.1), and nobody tells it who he is."""
    asked = {"answers": {asks.SharedSecret: secret_of}}
    site, wire = gateways(moon_host=asked, sun_host=asked)
    wants(site.moon, ("carol.example.org",))
    assert "the peer takes no second round of authentication" in error(site, site.up())
    assert KNOWS not in notifies(wire.messages(which(IKE_SA_INIT, by=site.sun))[0])
    assert not wire.messages(which(IKE_AUTH)) and bare(site.moon)


@pytest.mark.conformance("v2-72")
@pytest.mark.parametrize(
    ("configured", "why"),
    [
        (0, "the peer proved itself 2 times; there are 1 remote sections"),
        (2, "the peer proved itself 2 times; there are 3 remote sections"),
    ],
)
def test_a_responder_with_other_rounds_than_configured(configured: int, why: str) -> None:
    asked = {"answers": {asks.SharedSecret: secret_of}}
    site, _ = gateways(moon_host=asked, sun_host=asked)
    wants(site.moon, (), ("safe.example.org", "*.example.org")[:configured])
    wants(site.sun, ("safe.example.org",))
    found = error(site, site.up())
    assert found and (why in found or configured == 0) and bare(site.moon)
    site.world.run(site.world.now + 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-72")
def test_the_connection_may_change_with_the_second_round() -> None:
    """Two connections want the same of the first round; whose second one fits is the peer's."""
    site, _ = rounds()
    (made,) = site.sun.engine.connections.all
    other = Remote("remote-x", Auth(AuthKind.PSK), IdentityPattern.parse("dave.example.org"))
    renamed: Connection = replace(made, name="first", remote=(made.remote[0], other))
    site.sun.engine.connections.unload("site", 0.0)
    site.sun.load(renamed)
    site.sun.load(made)
    assert not error(site, site.up())
    assert [machine.sa.name for machine in site.sun.machines] == ["site"]


@pytest.mark.conformance("v2-72")
def test_a_peer_that_never_ends() -> None:
    """Responses that only announce another round: the initiator gives up."""
    site, wire = rounds((), ("safe.example.org",))

    def another(payloads: list[Payload]) -> list[Payload]:
        return [each for each in payloads if not isinstance(each, SA)] + [Notify(MORE)]

    rewrite(wire, which(IKE_AUTH, response=True), another, times=None)
    assert error(site, site.up()) and bare(site.moon)


# -- no authentication --------------------------------------------------------------------------


def anonymous(**options: object) -> tuple[Site, Wiretap]:
    """Neither end proves anything, and neither wants the other to."""
    site, wire = gateways(**options)
    nothing = Auth(AuthKind.NULL)
    for host in (site.moon, site.sun):
        (made,) = host.engine.connections.all
        host.load(replace(made, local=(Local(auth=nothing),), remote=(Remote(auth=nothing),)))
    return site, wire


def test_two_ends_that_prove_nothing() -> None:
    """HDR, SK {IDi(ID_NULL), AUTH(NULL), ...}: traffic is encrypted, for nobody in particular (RFC 7619 §2)."""
    site, wire = anonymous()
    assert not error(site, site.up()) and stands(site)
    for message in wire.messages(which(IKE_AUTH)):
        named = message.get(IDi) or message.one(IDr)
        assert named.identity == Identity(IdType.NULL, b"") and message.one(AUTH).method is AuthMethod.NULL
    assert NotifyType.INITIAL_CONTACT not in notifies(wire.messages(which(IKE_AUTH, by=site.moon))[0])


def test_nobody_does_not_end_the_sa_of_somebody_else_like_it() -> None:
    """RFC 7619 §2.5: INITIAL_CONTACT of a peer that proves nothing is ignored."""
    site, wire = anonymous()
    rewrite(wire, which(IKE_AUTH, by=site.moon), lambda payloads: [*payloads, Notify(NotifyType.INITIAL_CONTACT)], None)
    site.up()
    site.up()
    assert not error(site, site.up()) and len(site.sun.machines) >= 1
    assert not any(machine.sa.contacted for machine in site.sun.machines)


def test_nobody_claims_no_first_contact() -> None:
    """An initiator that proves nothing, to a gateway that does (RFC 7619 §2.5)."""
    site, wire = gateways()
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    site.moon.load(replace(ours, local=(Local(auth=Auth(AuthKind.NULL)),)))
    site.sun.load(replace(theirs, remote=(Remote(auth=Auth(AuthKind.NULL)),)))
    assert not error(site, site.up()) and stands(site)
    assert NotifyType.INITIAL_CONTACT not in notifies(wire.messages(which(IKE_AUTH, by=site.moon))[0])


@pytest.mark.parametrize("unique", [Unique.REPLACE, Unique.KEEP])
def test_nobody_neither_replaces_nor_keeps_out_somebody_else_like_it(unique: Unique) -> None:
    """Who has no identity has none in common with others: each such peer is another one."""
    site, _ = anonymous(sun={"unique": unique})
    (made,) = site.moon.engine.connections.all
    site.up()
    site.moon.load(replace(made, name="another", unique=Unique.NEVER))
    token = site.moon.initiate("another", "net", site.world.now)
    wait(site, 30)
    assert site.moon.done[token].error is None and len(site.sun.machines) == 2


@pytest.mark.parametrize("spoilt", ["name", "data"])
def test_nobody_with_a_name_or_a_wrong_mac_is_refused(spoilt: str) -> None:
    site, wire = anonymous()

    def change(payloads: list[Payload]) -> list[Payload]:
        if spoilt == "name":
            return [IDi.of(Identity.parse("moon.example.org")) if isinstance(p, IDi) else p for p in payloads]
        return [AUTH(p.method, bytes(32)) if isinstance(p, AUTH) else p for p in payloads]

    rewrite(wire, which(IKE_AUTH, response=False), change)
    site.up()
    assert bare(site.moon) and bare(site.sun) and site.sun.saw(AuthFailed)


def test_nobody_is_not_let_in_where_a_proof_is_wanted() -> None:
    site, _ = gateways()
    (made,) = site.moon.engine.connections.all
    site.moon.load(replace(made, local=(Local(auth=Auth(AuthKind.NULL)),)))
    assert error(site, site.up()) and bare(site.sun)
    assert any("another proof" in e.text() or "expects" in e.text() for e in site.sun.saw(AuthFailed))


def test_strangers_are_counted_whatever_they_say() -> None:
    """INITIAL_CONTACT of nobody counts for nothing, so it does not get round the limit of SAs either."""
    site, wire = anonymous(sun_host={"settings": Settings(max_sas_of_peer=2)})
    rewrite(wire, which(IKE_AUTH, by=site.moon), lambda payloads: [*payloads, Notify(NotifyType.INITIAL_CONTACT)], None)
    (made,) = site.moon.engine.connections.all
    for number in range(4):
        site.moon.load(replace(made, name=f"again{number}", unique=Unique.NEVER))
        token = site.moon.initiate(f"again{number}", "net", site.world.now)
        site.world.run_until(lambda token=token: token in site.moon.done)  # type: ignore[misc]
    assert len(site.sun.machines) == 2
    assert any("which is all that one peer may have" in event.text() for event in site.sun.saw(AuthFailed))
