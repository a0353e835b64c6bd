"""Why it does not come up: what either end tells its operator, for every mistake people make in IKEv1.

The end that refuses says what was offered, what is configured, what is nearest
and what to change; the other one what its peer's word, or silence, most likely
means. Nothing of it holds a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Child, Fragmentation, Mode, SendCert
from ikectl.crypto.proposal import parse_proposal
from ikectl.engine.outside import Transmit
from ikectl.errors import CredentialError
from ikectl.iana.v2 import Protocol
from ikectl.sa import asks
from ikectl.sa.events import (
    AuthFailed,
    ChildFailed,
    CommandDone,
    MessageReceived,
    MessageSent,
    NoInnerAddress,
    ProposalMismatch,
    Retransmitted,
    RetransmitTimeout,
    TsMismatch,
)
from ikectl.vici.feed import BROADCASTS
from tests.scenarios.v1.stage import AGGRESSIVE_PSK, gateways, tunnel, wait
from tests.scenarios.v1.test_authentication import CA, Party, between, leaf
from tests.scenarios.v1.test_xauth import site as logging_in
from tests.scenarios.v1.test_xauth import user
from tests.sim.host import Host
from tests.sim.site import Site, child

SECRET = b"a secret between friends"
AES256 = "aes256-sha256-modp2048"


def story(host: Host) -> list[str]:
    """What that end logs, but for the ladder of messages; no secret is in it, however it is printed."""
    for event in host.events:
        assert SECRET.decode() not in event.text() and SECRET.decode() not in repr(event)
        assert "foobar" not in event.text() and "tulips" not in event.text()
    ladder = (MessageSent, MessageReceived, CommandDone)
    return [event.text() for event in host.events if event.level <= 1 and not isinstance(event, ladder)]


def outcome(site: Site) -> str:
    """What `ikectl up` says at moon, which failed."""
    token = site.moon.initiate("site", "net", site.world.now)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 60)
    error = site.moon.done[token].error
    assert error is not None
    return error


def holds(text: str, *parts: str) -> None:
    assert [part for part in parts if part not in text] == [], text


def alert(host: Host, kind: type[Any]) -> Any:
    """The only event of a class, which vici's clients hear of as an alert."""
    assert BROADCASTS[kind][0] == "alert"
    (event,) = host.saw(kind)
    return event


# -- the proposals of phase 1 -----------------------------------------------------------

PHASE_1 = {
    "cipher": ("3des-sha256-modp2048", "no common encryption algorithm (offered 3DES_CBC; configured AES_CBC_256)"),
    "key length": ("aes128-sha256-modp2048", "(offered AES_CBC_128; configured AES_CBC_256)"),
    "hash": ("aes256-sha1-modp2048", "no common hash (offered SHA1; configured SHA2_256)"),
    "group": ("aes256-sha256-modp1024", "no common group (offered MODP_1024; configured MODP_2048)"),
    "two": ("aes128-sha1-modp2048", "AES_CBC_256); no common hash (offered SHA1; configured SHA2_256)"),
}


@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
@pytest.mark.parametrize("kind", PHASE_1)
def test_proposals_that_differ(kind: str, mode: dict[str, Any]) -> None:
    offered, why = PHASE_1[kind]
    site = gateways(ike=offered, sun_ike=AES256, both=mode)
    error = outcome(site)
    told = alert(site.sun, ProposalMismatch)
    holds(told.text(), f"our {AES256}", why, f"let the peer offer {AES256}, or take {offered} into proposals")
    assert told.child == ""
    name = "aggressive mode" if mode else "main mode"
    holds(error, "NO_PROPOSAL_CHOSEN", f"none of our {offered} with psk in {name}", "192.0.2.1", "its log names")
    assert any("not authenticated; waiting for another answer" in line for line in story(site.moon))
    assert story(site.sun)


def test_the_nearest_of_several_connections_is_named() -> None:
    site = gateways(ike="aes256-sha1-modp2048", sun_ike=AES256)
    (other,) = gateways(ike="3des-md5-modp1024").sun.engine.connections.all
    site.sun.load(replace(other, name="far"))
    outcome(site)
    holds(alert(site.sun, ProposalMismatch).text(), "connection site: nearest", "no common hash")


def test_proofs_that_differ() -> None:
    certified = Party([leaf("sun")])
    site = between(Party(auth=Auth(AuthKind.PSK)), certified, ike=AES256)
    holds(outcome(site), f"{AES256} with psk in main mode", "compare proposals, auth")
    why = "(offered PRE_SHARED_KEY: psk; configured RSA_SIGNATURE: pubkey with RSA)"
    holds(alert(site.sun, ProposalMismatch).text(), why, "both ends must prove themselves in the same way")


def test_one_end_wants_a_login() -> None:
    site = logging_in(sun=lambda plain: plain)
    holds(outcome(site), "psk, then XAUTH of our user")
    holds(alert(site.sun, ProposalMismatch).text(), "offered XAUTH_INIT_PRE_SHARED: psk, then XAUTH of the initiator")
    site = logging_in(moon=lambda plain: plain)
    holds(outcome(site), "with psk in main mode")
    holds(alert(site.sun, ProposalMismatch).text(), "configured XAUTH_INIT_PRE_SHARED: psk, then XAUTH")


def test_a_responder_without_a_key() -> None:
    site = between(Party([leaf("moon")]), Party(), ike=AES256)
    holds(outcome(site), "NO_PROPOSAL_CHOSEN")
    holds(alert(site.sun, ProposalMismatch).text(), "connection site cannot prove who we are", "no certificate")


def test_aggressive_mode_where_it_is_not_allowed() -> None:
    site = gateways(moon=AGGRESSIVE_PSK)
    holds(outcome(site), "in aggressive mode", "compare proposals, auth, aggressive")
    holds(alert(site.sun, ProposalMismatch).text(), "asks for aggressive mode", "set aggressive = yes here")


# -- versions and addresses -----------------------------------------------------------------


def test_ikev1_where_only_ikev2_is_configured() -> None:
    site = gateways(sun={"version": 2})
    holds(outcome(site), "no IKEv1 connection for 192.0.2.1", "version of both ends")
    holds(" ".join(story(site.sun)), "calls 198.51.100.1 by IKEv1", "(site) speaks IKEv2 alone: set version = 0")


def test_ikev2_where_only_ikev1_is_configured() -> None:
    site = gateways(moon={"version": 2})
    holds(outcome(site), "the peer speaks IKEv1 alone: set version = 1, or 0, here")
    holds(" ".join(story(site.sun)), "192.0.2.1 calls by IKEv2", "speaks IKEv1 alone: set version = 0")


def test_either_version_tells_both_tries() -> None:
    site = gateways(ike=AES256, sun_ike="3des-md5-modp1024", moon={"version": 0}, sun={"version": 2})
    holds(
        outcome(site),
        "by IKEv1: the peer answered NO_PROPOSAL_CHOSEN",
        "before that, by IKEv2: the peer answered NO_PROPOSAL",
    )


def test_nobody_is_configured_for_the_address() -> None:
    site = gateways(sun={"remote": "203.0.113.9"})
    outcome(site)
    holds(" ".join(story(site.sun)), "192.0.2.1 calls 198.51.100.1 by IKEv1", "compare local_addrs and remote_addrs")


# -- secrets and identities -----------------------------------------------------------------


def test_pre_shared_keys_differ_in_main_mode() -> None:
    site = gateways(sun_host={"secret": b"tulips"})
    why = outcome(site)
    holds(
        why, "message 5 of main mode", "the pre-shared keys differ", "accept that we are 'moon.example.org'", "its log"
    )
    told = alert(site.sun, AuthFailed)
    assert told.peer
    holds(told.text(), "does not decrypt", "the pre-shared secrets of both ends differ", "for 192.0.2.1 here")
    holds(story(site.sun)[-1], "IKE SA not established", "secrets of both ends differ")


def test_pre_shared_keys_differ_in_aggressive_mode() -> None:
    site = gateways(both=AGGRESSIVE_PSK, sun_host={"secret": b"tulips"})
    holds(outcome(site), "the pre-shared keys of moon.example.org and sun.example.org differ")
    assert sum("differ" in line for line in story(site.moon)) == 2, "when it comes, and as what became of it"
    holds(story(site.sun)[-1], "did not go on after message 2 of aggressive mode", "that we are 'sun.example.org'")


def test_no_secret_at_the_initiator() -> None:
    site = gateways(moon_host={"secret": b""})
    holds(outcome(site), "no secret for sun.example.org")
    assert not alert(site.moon, AuthFailed).peer
    holds(story(site.sun)[-1], "AUTHENTICATION_FAILED: it lacks the secret or certificate for its own part")


@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_no_secret_at_the_responder(mode: dict[str, Any]) -> None:
    site = gateways(both=mode, sun_host={"secret": b""})
    whom = "'moon.example.org'" if mode else "192.0.2.1"
    holds(outcome(site), f"AUTHENTICATION_FAILED: it does not know {whom}, or has no pre-shared key for it")
    told = alert(site.sun, AuthFailed).text()
    holds(
        told, "no secret for", *(() if mode else ("main mode finds it by the peer's address", "an id with 192.0.2.1"))
    )


@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_the_initiator_is_somebody_else(mode: dict[str, Any]) -> None:
    site = gateways(both=mode, moon={"local_id": "luna.example.org"})
    holds(outcome(site), "AUTHENTICATION_FAILED", "'luna.example.org'", "its log says")
    why = "no connection expects the identity 'luna.example.org'; those for these addresses expect moon.example.org"
    holds(alert(site.sun, AuthFailed).text(), why)


@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_the_responder_is_somebody_else(mode: dict[str, Any]) -> None:
    site = gateways(both=mode, moon={"remote_id": "sol.example.org"})
    holds(outcome(site), "the peer says it is 'sun.example.org', and remote.id is sol.example.org: let one of them")
    assert alert(site.moon, AuthFailed).peer
    holds(story(site.sun)[-1], "accept that we are 'sun.example.org'", "its log says")


# -- certificates ------------------------------------------------------------------------------


def _expired(name: str) -> Any:
    return CA.leaf(f"{name}.example.org", "rsa-2048", names=(f"{name}.example.org",), ends=timedelta(days=-3))


REFUSED: dict[str, tuple[Callable[[], Party], Callable[[], Party], str]] = {
    "untrusted": (lambda: Party([leaf("moon", strange=True)]), lambda: Party([leaf("sun")]), "issuer C=CH, O=ikectl"),
    "expired": (lambda: Party([_expired("moon")]), lambda: Party([leaf("sun")]), "expired 3 days ago"),
    "not sent": (
        lambda: Party([leaf("moon")], more={"send_cert": SendCert.NEVER}),
        lambda: Party([leaf("sun")]),
        "moon.example.org sent no certificate, and none is known here",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_certificate_of_the_initiator_is_refused(kind: str) -> None:
    moon, sun, why = REFUSED[kind]
    site = between(moon(), sun())
    holds(outcome(site), "AUTHENTICATION_FAILED: it does not accept that we are 'moon.example.org'", "its log says why")
    holds(alert(site.sun, AuthFailed).text(), why)


def test_an_expired_certificate_of_the_responder() -> None:
    site = between(Party([leaf("moon")]), Party([_expired("sun")]))
    holds(outcome(site), "expired 3 days ago")
    holds(story(site.sun)[-1], "does not accept that we are 'sun.example.org', or our proof of it; its log says why")


def test_no_certificate_at_the_initiator() -> None:
    site = between(Party(), Party([leaf("sun")]))
    holds(outcome(site), "no certificate with its private key is loaded")
    assert not alert(site.moon, AuthFailed).peer


# -- users and inner addresses ----------------------------------------------------------------


def test_a_wrong_password() -> None:
    site = logging_in(moon_answers=user(b"tulips"))
    holds(outcome(site), "XAUTH failed", "Login incorrect")
    told = story(site.sun)
    holds(" ".join(told), "a login failed, and may be tried again: wrong password of user 'joe'")
    holds(alert(site.sun, AuthFailed).text(), "wrong password of user 'joe'; the user's end did not try again")


def test_no_password_at_the_users_end() -> None:
    site = logging_in(moon_answers=user(None))
    holds(outcome(site), "XAUTH failed: no password of user 'joe' is known")
    holds(alert(site.sun, AuthFailed).text(), "the user's end gave up")


def test_a_gateway_without_pools() -> None:
    site = gateways(
        moon={"vips": (bytes(4),)}, moon_children=(child(local="dynamic"),),
        sun_children=(child(mirror=True, local="dynamic"),),
    )  # fmt: skip
    holds(outcome(site), "child net: local_ts is dynamic", "none of the addresses vips asks for")
    holds(alert(site.sun, NoInnerAddress).text(), "the connection has no pools")
    holds(alert(site.moon, NoInnerAddress).text(), "the peer gave none; its log says why")


# -- quick mode -----------------------------------------------------------------------------------

ESP = "aes256-sha256"
PHASE_2: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "cipher": ({"esp": "aes128-sha256"}, {}, "ESP aes128-sha256 in tunnel mode",
               "no common encryption algorithm (offered AES_CBC_128; configured AES_CBC_256)"),
    "integrity": ({"esp": "aes256-sha1"}, {}, "ESP aes256-sha1 in tunnel mode",
                  "no common integrity algorithm (offered HMAC_SHA1_96; configured HMAC_SHA2_256_128)"),
    "PFS here alone": ({"esp": "aes256-sha256-modp2048"}, {}, "ESP aes256-sha256-modp2048",
                       "no common group (offered MODP_2048; configured none)"),
    "PFS there alone": ({}, {"esp": "aes256-sha256-modp2048"}, "ESP aes256-sha256 in",
                        "no common group (offered none; configured MODP_2048)"),
    "mode": ({"mode": Mode.TRANSPORT}, {}, "in transport mode",
             "no common encapsulation mode (offered TRANSPORT; configured TUNNEL)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PHASE_2)
def test_proposals_of_a_child_that_differ(kind: str) -> None:
    moon, sun, ours, why = PHASE_2[kind]
    site = gateways(
        moon_children=(child(**{"esp": ESP, **moon}),), sun_children=(child(mirror=True, **{"esp": ESP, **sun}),)
    )
    holds(outcome(site), "child net: the peer answered NO_PROPOSAL_CHOSEN", ours, "compare esp_proposals")
    told = alert(site.sun, ProposalMismatch)
    assert told.child == "net", "or the alert would be about the IKE SA"
    holds(told.text(), why, "let the peer offer ESP aes256-sha256")
    (failed,) = site.moon.saw(ChildFailed)
    holds(failed.text(), ours)
    assert sum("NO_PROPOSAL_CHOSEN" in line for line in story(site.moon)) == 1, "it is said once"


def test_ah_and_esp() -> None:
    ah = _ah()
    site = gateways(moon_children=(ah,))
    holds(outcome(site), "AH sha256 in tunnel mode")
    holds(alert(site.sun, ProposalMismatch).text(), "the peer's proposal 1 for AH: configured is ESP")


def _ah() -> Child:
    return replace(child(), esp_proposals=(), ah_proposals=(parse_proposal("sha256", Protocol.AH),))


SELECTORS = {
    "wider": ("10.0.0.0/8", "10.0.0.0/8 is not within local_ts"),
    "elsewhere": ("10.9.0.0/16", "10.9.0.0/16 is not within local_ts"),
}


@pytest.mark.parametrize("kind", SELECTORS)
def test_networks_that_differ(kind: str) -> None:
    asked, why = SELECTORS[kind]
    site = gateways(moon_children=(child(remote=asked),))
    holds(outcome(site), "INVALID_ID_INFORMATION", f"no child for our 10.1.0.0/16 === {asked}", "its local_ts must be")
    told = alert(site.sun, TsMismatch).text()
    holds(told, f"the peer asks for 10.1.0.0/16 (its side) === {asked} (ours)", "configured are net:", why)
    holds(told, "IKEv1 cannot narrow: let both ends have the same networks")


def test_our_network_differs() -> None:
    site = gateways(moon_children=(child(local="10.9.0.0/16"),))
    outcome(site)
    holds(alert(site.sun, TsMismatch).text(), "10.9.0.0/16 is not within remote_ts")


def test_ports_that_differ() -> None:
    site = gateways(
        moon_children=(child(remote="10.2.0.0/16[tcp/80]"),),
        sun_children=(child(mirror=True, remote="10.2.0.0/16[tcp/443]"),),
    )
    outcome(site)
    holds(alert(site.sun, TsMismatch).text(), "10.2.0.0/16[tcp/http] (ours)", "10.2.0.0/16[tcp/https]")


# -- silence ---------------------------------------------------------------------------------------


def losing(site: Site, *numbers: int) -> Site:
    """The messages of these numbers, of all different ones in order, never arrive."""
    known: dict[bytes, int] = {}

    def tap(host: Host, transmit: Transmit) -> bool:
        return known.setdefault(bytes(transmit.data), len(known) + 1) not in numbers

    site.world.taps.append(tap)
    return site


SILENCE: dict[int, tuple[tuple[str, ...], str, str]] = {
    1: (("message 1 of main mode", "nothing came back from 198.51.100.1:500", "UDP 500 both ways"), "", "1 of main"),
    3: (("message 3 of main mode", "took our proposal, so the way is open", "no pre-shared key for our address"),
        "did not go on after message 2 of main mode", "message 3 of main mode"),
    4: (("message 3 of main mode", "no pre-shared key for our address 192.0.2.1"),
        "did not go on after message 4 of main mode", "message 3 of main mode"),
    5: (("message 5 of main mode", "pre-shared keys differ"),
        "did not go on after message 4 of main mode", "message 5 of main mode"),
    6: (("message 5 of main mode", "its log says which"), "IKE SA established", "message 5 of main mode"),
    7: (("does not answer child net", "phase 1 stands", "10.1.0.0/16 === 10.2.0.0/16"),
        "IKE SA established", "message 1 of quick mode for child net"),
}  # fmt: skip


@pytest.mark.parametrize("number", SILENCE)
def test_silence(number: int) -> None:
    why, there, step = SILENCE[number]
    site = losing(gateways(), number)
    holds(outcome(site), *why)
    holds(" ".join(story(site.sun)), there)
    assert BROADCASTS[Retransmitted][0] == BROADCASTS[RetransmitTimeout][0] == "alert"
    repeats = site.moon.saw(Retransmitted)
    holds(repeats[0].text(), step, "(repeat 1")
    (gave_up,) = site.moon.saw(RetransmitTimeout)
    holds(gave_up.text(), "198.51.100.1:500 did not answer", step, f"sent {len(repeats) + 1} times")


def test_a_quick_mode_that_nobody_confirms() -> None:
    site = losing(gateways(), 8)
    outcome(site)
    holds(" ".join(story(site.sun)), "the peer did not confirm child net: message 3 of quick mode did not come")


def test_the_nat_traversal_port_is_blocked() -> None:
    site = gateways(both={"encap": True})
    site.world.taps.append(lambda host, transmit: transmit.path.local.port != 4500)
    why = outcome(site)
    holds(why, "message 5 of main mode: there is a NAT, and this message is the first to UDP 4500, which must pass")
    holds(story(site.sun)[-1], "there is a NAT, so its message 5 comes to UDP 4500")


def test_long_messages_do_not_pass() -> None:
    whole = {"fragmentation": Fragmentation.NO}
    site = between(Party([leaf("moon")], more=whole), Party([leaf("sun")], more=whole))
    site.world.taps.append(lambda host, transmit: len(transmit.data) < 1000)
    why = outcome(site)
    holds(why, "message 5 of main mode", "too long for the way (fragmentation there)", "accept that we are")
    holds(story(site.sun)[-1], "its certificate may be too long for the way")


def test_nobody_knows_us_in_aggressive_mode() -> None:
    site = losing(gateways(both=AGGRESSIVE_PSK), 1)
    holds(outcome(site), "message 1 of aggressive mode", "no connection for our identity 'moon.example.org'")


# -- the ladder -------------------------------------------------------------------------------------


def test_the_ladder_in_operators_words() -> None:
    site = tunnel()
    ladder = [event.text() for event in site.moon.events if isinstance(event, MessageSent)]
    assert ladder[0].startswith("sent     IDENTITY_PROTECTION (main mode) [ SA V")
    assert ladder[2].startswith("sent     IDENTITY_PROTECTION (main mode) [ ID HASH N(INITIAL_CONTACT) ] (")
    quick = next(event for event in site.moon.saw(MessageSent) if event.message_id)
    assert quick.text().startswith(f"sent     QUICK_MODE {quick.message_id:08x} [ HASH SA No ID ID ] (")


def test_a_repeat_names_its_message_id_as_the_ladder_does() -> None:
    site = losing(gateways(), 7)
    outcome(site)
    quick = next(event for event in site.moon.saw(MessageSent) if event.message_id)
    repeated = site.moon.saw(Retransmitted)[0].text()
    assert repeated == (
        f"no answer yet: sent message 1 of quick mode for child net again (repeat 1, message ID {quick.message_id:08x})"
    )


def test_the_stores_refusals_hold_no_secret() -> None:
    def refuse(ask: asks.SharedSecret) -> Any:
        raise CredentialError(f"no shared secret of {ask.local_id} and {ask.remote_id} is loaded")

    site = gateways(sun_host={"answers": {asks.SharedSecret: refuse}})
    outcome(site)
    holds(" ".join(story(site.sun)), "no shared secret of sun.example.org and 192.0.2.1 is loaded; main mode")
