"""EAP inside IKE_AUTH: what travels when, and that nobody is let in, or told a password, too early (RFC 7296 §2.16)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.auth.psk import psk_auth
from ikectl.config.model import Auth, AuthKind, Local, Remote, Unique
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.payload import Payload
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import IKE_AUTH, bare, gateways, notifies, rewrite, sa_of, stands, wait
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.users import user_answers
from tests.sim.wiretap import Wiretap, which

USERS = {"carol": b"of carol alone", "dave": b"of dave", "erin": b"of erin"}
BOTH = [EapType.MD5, EapType.MSCHAPV2]


def road(
    method: EapType = EapType.MSCHAPV2, user: str = "carol", known: dict[str, bytes] | None = None, **options: Any
) -> tuple[Site, Wiretap]:
    """moon proves itself by EAP, sun by a pre-shared key."""
    site, wire = gateways(
        moon_host={"answers": user_answers(known or USERS)}, sun_host={"answers": user_answers(USERS)}, **options
    )
    auth, psk = Auth(AuthKind.EAP, eap=(method,)), Auth(AuthKind.PSK)
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    named = Identity.parse(user)
    site.moon.load(replace(ours, local=(Local("local", auth, named),), remote=(replace(ours.remote[0], auth=psk),)))
    pattern = IdentityPattern.parse("%any")
    site.sun.load(replace(theirs, remote=(Remote("remote", auth, pattern, eap_id=pattern),)))
    return site, wire


def kinds(message: Message) -> list[type[Payload]]:
    return [type(payload) for payload in message.payloads if not isinstance(payload, Notify)]


def error(site: Site, token: int) -> str:
    return site.moon.done[token].error or ""


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("method", BOTH)
def test_who_says_what_when(method: EapType) -> None:
    """RFC 7296 §2.16.

    HDR, SK {IDi, IDr, SA, TSi, TSr} -->      <-- HDR, SK {IDr, AUTH, EAP}
    HDR, SK {EAP} -->                         <-- HDR, SK {EAP (success)}
    HDR, SK {AUTH} -->                        <-- HDR, SK {AUTH, SA, TSi, TSr}
    """
    site, wire = road(method)
    assert not error(site, site.up()) and stands(site)
    asked, answered = wire.messages(which(IKE_AUTH, by=site.moon)), wire.messages(which(IKE_AUTH, by=site.sun))
    assert AUTH not in kinds(asked[0]) and SA in kinds(asked[0]) and EAP not in kinds(asked[0])
    assert kinds(answered[0]) == [IDr, AUTH, EAP]
    assert all(kinds(message) == [EAP] for message in (*asked[1:-1], *answered[1:-1]))
    assert kinds(asked[-1]) == [AUTH] and kinds(answered[-1])[:2] == [AUTH, SA]
    assert sa_of(site.sun).user == "carol" and sa_of(site.sun).remote_id == Identity.parse("carol")


@pytest.mark.conformance("v2-70")
def test_a_method_without_a_key_leaves_the_keys_of_the_ike_sa() -> None:
    """AUTH of both ends is then made with SK_pi and SK_pr, computed here by hand (§2.16)."""
    site, wire = road(EapType.MD5)
    site.up()
    (suite, keys) = next(iter(wire.keys.values()))
    init, answer = wire.seen[:2]
    proof = wire.messages(which(IKE_AUTH, by=site.moon))[-1].one(AUTH)
    named = wire.messages(which(IKE_AUTH, by=site.moon))[0].one(IDi)
    nonce = next(payload for payload in answer.message.payloads if type(payload).__name__ == "Nonce")
    octets = init.octets + nonce.value + suite.prf.compute(keys.sk_pi, named.body())  # type: ignore[attr-defined]
    assert proof.data == psk_auth(suite.prf, keys.sk_pi, octets)


@pytest.mark.conformance("v2-70")
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("known", [{"carol": b"a guess"}, {"dave": b"of dave"}])
def test_a_wrong_password_or_none(method: EapType, known: dict[str, bytes]) -> None:
    """<-- HDR, SK {EAP (failure)}: it ends there, and nothing stands."""
    site, _ = road(method, known=known)
    assert error(site, site.up()) and bare(site.moon)
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-69", "v2-70")
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("seed", range(4))
def test_eap_over_a_bad_line(method: EapType, seed: int) -> None:
    site, _ = road(method, link=Link(loss=0.25, duplication=0.25, jitter=0.3), seed=seed)
    assert not error(site, site.up())
    site.world.settled()
    assert len(site.moon.children) == len(site.sun.children) == 1


@pytest.mark.conformance("v2-69")
@pytest.mark.parametrize("spoilt", ["wrong", "missing"])
def test_a_gateway_that_does_not_prove_itself_learns_nothing(spoilt: str) -> None:
    """No EAP response leaves before the AUTH of the first response was good (§2.16)."""
    site, wire = road()

    def spoil(payloads: list[Payload]) -> list[Payload]:
        if spoilt == "missing":
            return [each for each in payloads if not isinstance(each, AUTH)]
        return [AUTH(each.method, bytes(32)) if isinstance(each, AUTH) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=True), spoil)
    assert error(site, site.up()) and bare(site.moon)
    assert not any(message.get(EAP) for message in wire.messages(which(IKE_AUTH, by=site.moon)))
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-70")
@pytest.mark.parametrize("who", ["moon", "sun"])
@pytest.mark.parametrize("method", BOTH)
def test_who_does_not_know_the_key_of_eap(who: str, method: EapType) -> None:
    """The AUTH behind EAP is what ties it to this IKE SA: a wrong one ends it on either side."""
    site, wire = road(method)

    def spoil(payloads: list[Payload]) -> list[Payload]:
        if any(isinstance(each, IDi | IDr) for each in payloads):
            return payloads
        return [AUTH(each.method, bytes(32)) if isinstance(each, AUTH) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=who == "sun"), spoil, times=None)
    assert error(site, site.up())
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)
    assert (site.sun if who == "moon" else site.moon).saw(AuthFailed)


@pytest.mark.conformance("v2-70")
def test_success_without_a_login_is_none() -> None:
    """An EAP-Success out of turn: the client gives up, whatever AUTH comes with it."""
    site, wire = road()

    def forge(payloads: list[Payload]) -> list[Payload]:
        return [EAP(3, each.identifier) if isinstance(each, EAP) else each for each in payloads]

    rewrite(wire, which(IKE_AUTH, response=True), forge, times=None)
    assert error(site, site.up()) and bare(site.moon)


@pytest.mark.conformance("v2-70")
def test_a_client_that_goes_on_without_success_is_not_let_in() -> None:
    """AUTH in place of the EAP response: no SA."""
    site, wire = road()

    def forge(payloads: list[Payload]) -> list[Payload]:
        return [AUTH(2, bytes(32)) if isinstance(each, EAP) else each for each in payloads]  # type: ignore[arg-type]

    rewrite(wire, which(IKE_AUTH, response=False), forge, times=None)
    site.up()
    wait(site, 60)
    assert bare(site.sun) and bare(site.moon)


@pytest.mark.conformance("v2-71")
def test_eap_alone_needs_a_method_that_proves_both() -> None:
    """RFC 5998 §4: a password method proves nothing of the gateway; neither end goes on with it."""
    site, _ = road()
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    site.moon.load(replace(ours, remote=(replace(ours.remote[0], auth=ours.local[0].auth),)))
    site.sun.load(replace(theirs, local=(replace(theirs.local[0], auth=ours.local[0].auth),)))
    assert error(site, site.up()) and bare(site.moon)
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v2-71")
@pytest.mark.parametrize("which_end", ["moon", "sun"])
def test_eap_alone_is_only_for_both(which_end: str) -> None:
    """A gateway may leave out AUTH only if the client said EAP_ONLY_AUTHENTICATION; a client may insist on none."""
    site, wire = road()
    host = site.moon if which_end == "moon" else site.sun
    (made,) = host.engine.connections.all
    eap = Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,))
    if which_end == "moon":
        host.load(replace(made, remote=(replace(made.remote[0], auth=eap),)))
    else:
        host.load(replace(made, local=(replace(made.local[0], auth=eap),)))
    assert error(site, site.up())
    said = NotifyType.EAP_ONLY_AUTHENTICATION in notifies(wire.messages(which(IKE_AUTH, by=site.moon))[0])
    assert said is (which_end == "moon")
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


def test_a_connection_that_waits_for_eap_cannot_begin() -> None:
    site, _ = road()
    token = site.sun.initiate("site", "net", site.world.now)
    site.world.run_until(lambda: token in site.sun.done)
    assert "only the peer can begin" in (site.sun.done[token].error or "")


def test_users_are_told_apart_where_one_sa_each_is_kept() -> None:
    """unique = keep: carol again is refused, under another IKE identity too."""
    site, _ = road()
    for host in (site.moon, site.sun):
        (made,) = host.engine.connections.all
        host.load(replace(made, unique=Unique.KEEP))
    site.up()
    (made,) = site.moon.engine.connections.all
    assert sa_of(site.sun).user == "carol"
    elsewhere = replace(made.local[0], id=Identity.parse("192.0.2.77"), eap_id=Identity.parse("carol"))
    again = replace(made, name="again", unique=Unique.NEVER, local=(elsewhere,))
    site.moon.load(again)
    token = site.moon.initiate("again", "net", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is not None
    assert any("user" in event.text() and "keep" in event.text() for event in site.sun.saw(AuthFailed))


@pytest.mark.parametrize(("user", "name"), [("carol", "staff"), ("dave", "site"), ("erin", None)])
def test_the_user_picks_the_connection(user: str, name: str | None) -> None:
    """Two connections want the same proof, of other users: which one it is shows when the user is proven."""
    site, _ = road(user=user)
    (made,) = site.sun.engine.connections.all
    site.sun.engine.connections.unload("site", 0.0)
    for label, pattern in (("site", "dave"), ("staff", "carol")):
        wanted = replace(made.remote[0], eap_id=IdentityPattern.parse(pattern))
        site.sun.load(replace(made, name=label, remote=(wanted,)))
    failed = error(site, site.up())
    assert bool(failed) is (name is None)
    assert [machine.sa.name for machine in site.sun.machines] == ([name] if name else [])


def test_another_round_behind_eap() -> None:
    """The AUTH that ends EAP announces it (RFC 4739 §2.1)."""
    site, wire = road()
    psk = Auth(AuthKind.PSK)
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    site.moon.load(replace(ours, local=(*ours.local, Local("device", psk, Identity.parse("device")))))
    site.sun.load(replace(theirs, remote=(*theirs.remote, Remote("device", psk, IdentityPattern.parse("device")))))
    assert not error(site, site.up()) and stands(site)
    asked = wire.messages(which(IKE_AUTH, by=site.moon))
    ending = [message for message in asked if NotifyType.ANOTHER_AUTH_FOLLOWS in notifies(message)]
    assert [kinds(message) for message in ending] == [[AUTH]] and kinds(asked[-1]) == [IDi, AUTH]


@pytest.mark.parametrize("end", ["moon", "sun", "another"])
def test_a_round_behind_eap_that_only_one_end_knows_of(end: str) -> None:
    """A gateway that has no connection of two rounds offers none, so that nobody tells it who he is (RFC 4739 §2.1)."""
    site, wire = road()
    psk = Auth(AuthKind.PSK)
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    device = replace(theirs, remote=(*theirs.remote, Remote("device", psk, IdentityPattern.parse("device"))))
    if end != "sun":
        site.moon.load(replace(ours, local=(*ours.local, Local("device", psk, Identity.parse("device")))))
    if end == "sun":
        site.sun.load(device)
    if end == "another":
        users = replace(device.remote[0], id=IdentityPattern.parse("nobody.example.org"))
        site.sun.load(replace(device, name="another", remote=(users, *device.remote[1:])))
    assert error(site, site.up()) and bare(site.moon)
    wait(site, 130)
    assert bare(site.sun) and bool(site.sun.saw(AuthFailed)) is (end != "moon")
    assert bool(wire.messages(which(IKE_AUTH))) is (end != "moon")


def test_a_user_of_one_connection_is_none_of_another_in_its_first_round() -> None:
    """staff wants alice and then anybody, admin wants root and then carol: alice and carol together are not root."""
    site, _ = road()
    eap, gateway = Auth(AuthKind.EAP, eap=(EapType.MSCHAPV2,)), Identity.parse("moon.example.org")
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    users = [Local(name, eap, gateway, eap_id=Identity.parse(name)) for name in ("dave", "carol")]
    site.moon.load(replace(ours, local=tuple(users)))
    for name, wanted in (("site", ("dave", "%any")), ("admin", ("erin", "carol"))):
        pattern = IdentityPattern.parse("%any")
        asked = [Remote(f"r{user}", eap, pattern, eap_id=IdentityPattern.parse(user)) for user in wanted]
        site.sun.load(replace(theirs, name=name, remote=tuple(asked)))
    assert not error(site, site.up())
    assert [machine.sa.name for machine in site.sun.machines] == ["site"]


@pytest.mark.parametrize("method", [*BOTH, EapType.GTC])
def test_no_password_is_told_to_somebody_who_proved_nothing(method: EapType) -> None:
    """A gateway that is nobody in its first round, and proves itself in a second one: too late for a password."""
    site, wire = road(method)
    nothing = Auth(AuthKind.NULL)
    (ours,), (theirs,) = site.moon.engine.connections.all, site.sun.engine.connections.all
    site.moon.load(replace(ours, remote=(Remote(auth=nothing), *ours.remote)))
    site.sun.load(replace(theirs, local=(Local(auth=nothing), *theirs.local)))
    assert error(site, site.up()) and bare(site.moon)
    said = [message.one(EAP) for message in wire.messages(which(IKE_AUTH, by=site.moon)) if message.get(EAP)]
    assert all(each.data[:1] in (b"", bytes((EapType.NAK,)), bytes((EapType.IDENTITY,))) for each in said)
