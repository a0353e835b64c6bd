"""Why it does not come up: what either end tells its operator, for every mistake people make in IKEv2.

The end that refuses says what was offered, what is configured, what is nearest
and what to change; the other one what its peer's word, or silence, most likely
means. Both hear it from the log, and vici's clients as an alert. Nothing of it
holds a secret.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from ikectl.config.model import Fragmentation, Mode
from ikectl.engine.look import view_sa
from ikectl.engine.view import ChildSaView
from ikectl.errors import CredentialError
from ikectl.exchange.v2.diagnosis import unanswered
from ikectl.sa import asks
from ikectl.sa.events import AuthFailed, ChildFailed, Event, IkeFailed, Note, ProposalMismatch, TsMismatch
from ikectl.vici.feed import BROADCASTS, broadcasts
from tests.scenarios.stage import IKE_AUTH, gateways, tunnel, wait
from tests.sim.host import Host
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import which

SECRET = b"a secret between friends"


class Clients:
    """As much of the daemon as alerts need."""

    def __init__(self, host: Host, now: float) -> None:
        self.host, self.now = host, now

    def view(self, sa: Any) -> Any:
        return view_sa(sa, self.now)

    def view_child(self, child: Any) -> ChildSaView:
        return ChildSaView.of(child, self.now)


def alerts(host: Host, now: float) -> list[dict[str, Any]]:
    """What vici's clients hear."""
    found = []
    for event in host.events:
        for name, message in broadcasts(event, Clients(host, now), lambda name: name == "alert"):  # type: ignore[arg-type]
            assert name == "alert"
            found.append(dict(message))
    return found


def keys(site: Site) -> list[str]:
    """Everything that must not be shown, as text and as hex."""
    secret = [SECRET.decode(), SECRET.hex(), "another secret", b"another secret".hex()]
    made = []
    for host in (site.moon, site.sun):
        for machine in host.machines:
            if machine.sa.keys is not None:
                made += [bytes(getattr(machine.sa.keys, name)).hex() for name in ("sk_d", "sk_ei", "sk_er")]
    return [*secret, *filter(None, made)]


def nothing_secret(site: Site) -> None:
    """However it is printed."""
    hidden = keys(site)
    for host in (site.moon, site.sun):
        told = [event.text() for event in host.events] + [repr(event) for event in host.events]
        told += [str(alert) for alert in alerts(host, site.world.now)] + [str(done) for done in host.done.values()]
        for word in hidden:
            assert not [line for line in told if word in line]


def outcome(site: Site, within: float = 900.0) -> str:
    """What `ikectl up` says at moon, which failed."""
    token = site.moon.initiate("site", "net", site.world.now)
    site.world.run_until(lambda: token in site.moon.done, within)
    wait(site, 60)
    error = site.moon.done[token].error
    assert error is not None
    nothing_secret(site)
    return error


def holds(text: str, *parts: str) -> None:
    assert [part for part in parts if part not in text] == [], text


def alert(site: Site, host: Host, kind: type[Event], word: str) -> str:
    """The reason of the only event of a class, which vici's clients hear of as an alert of that type."""
    assert BROADCASTS[kind][0] == "alert"
    (event,) = host.saw(kind)
    assert [each["msg"] for each in alerts(host, site.world.now) if each["type"] == word] == [event.text()]
    return str(event.text())


# -- proposals of the IKE SA -------------------------------------------------------------

OURS = "aes256gcm16-prfsha384-x25519"
IKE = {
    "cipher": ("aes128gcm16-prfsha384-x25519", "algorithm (offered AES_GCM_16_128; configured AES_GCM_16_256)"),
    "prf": ("aes256gcm16-prfsha256-x25519", "(offered PRF_HMAC_SHA2_256; configured PRF_HMAC_SHA2_384)"),
    "group": ("aes256gcm16-prfsha384-ecp256", "no common key exchange (offered ECP_256; configured CURVE_25519)"),
}  # fmt: skip


@pytest.mark.conformance("v2-49")
@pytest.mark.parametrize("kind", IKE)
def test_proposals_that_differ(kind: str) -> None:
    offered, why = IKE[kind]
    site, _ = gateways(ike=offered, sun_ike=OURS)
    error = outcome(site)
    told = alert(site, site.sun, ProposalMismatch, "proposal-mismatch-ike")
    holds(told, "connection site: nearest are the peer's proposal 1", f"our {OURS}", why)
    holds(told, f"let the peer offer {OURS}", f"or take {offered} into proposals")
    holds(error, "NO_PROPOSAL_CHOSEN", offered, "192.0.2.1", "its log names what differs")
    holds(alert(site, site.moon, ProposalMismatch, "proposal-mismatch-ike"), error)


def test_all_that_was_offered_is_told_when_it_is_more() -> None:
    site, _ = gateways(ike="aes128gcm16-prfsha256-x25519,aes128-sha1-modp2048", sun_ike=f"{OURS},aes256-sha512-x448")
    outcome(site)
    told = alert(site, site.sun, ProposalMismatch, "proposal-mismatch-ike")
    holds(told, "offered in all: AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE_25519, AES_CBC_128/", "configured as well: ")


def test_a_peer_that_no_connection_has_addresses_for() -> None:
    site, _ = gateways(sun={"remote": "203.0.113.7"})
    error = outcome(site)
    (note,) = [note.why for note in site.sun.saw(Note) if "compare local_addrs" in note.why]
    holds(note, f"{MOON} calls {SUN} by IKEv2", "there is site (198.51.100.1 with 203.0.113.7)")
    holds(error, "NO_PROPOSAL_CHOSEN", f"has no connection for {MOON}")


@pytest.mark.parametrize("ours", [1, 2])
def test_a_peer_that_speaks_the_other_version(ours: int) -> None:
    site, _ = gateways(moon={"version": 3 - ours}, sun={"version": ours})
    holds(outcome(site), "IKEv1")


def test_a_peer_that_is_silent() -> None:
    site, wire = gateways()
    wire.hold(which(by=site.sun))
    error = outcome(site)
    holds(error, "the peer does not answer IKE_SA_INIT: nothing came back from 198.51.100.1:500; check the address")
    holds(error, "UDP 500 both ways", f"no connection for our address {MOON}")
    assert [each["type"] for each in alerts(site.moon, site.world.now)].count("retransmit-send-timeout") == 1


@pytest.mark.parametrize("fragments", ["yes", "no"])
def test_a_peer_that_says_no_more_after_the_first_answer(fragments: str) -> None:
    """The way is open, but what is long, or goes to another port, does not come through."""
    site, wire = gateways(moon={"mobike": True, "fragmentation": Fragmentation(fragments)}, sun={"mobike": True})
    wire.hold(which(IKE_AUTH))
    error = outcome(site)
    holds(error, "the peer does not answer IKE_AUTH: 198.51.100.1 answered IKE_SA_INIT, so the way was open")
    holds(error, "the first to UDP 4500, which must pass both ways", "its log says")
    long = unanswered(site.moon.saw(IkeFailed)[-1].sa, IKE_AUTH, 3000)
    assert ("fragmentation = no here" in long) is (fragments == "no") and "3000 octets" in long


def test_a_peer_that_falls_silent() -> None:
    site, wire = tunnel()
    wire.hold(which())
    token = site.moon.rekey(site.world.now, "site")
    wait(site, 400)
    holds(site.moon.done[token].error or "", "is down, cannot be reached, or has forgotten the IKE SA")


# -- identities and proofs ---------------------------------------------------------------

IDS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "mistyped": ({}, {"remote_id": "mon.example.org"}, ("'moon.example.org'", "nearest is mon.example.org")),
    "of another kind": (
        {"local_id": "keyid:moon.example.org"},
        {},
        ("sends moon.example.org as KEY_ID", "remote.id means it as FQDN"),
    ),
    "somebody else": ({}, {"remote_id": "venus.example.net"}, ("expect venus.example.net", "set remote.id here")),
    "asks for another": (
        {"remote_id": "mars.example.org"},
        {},
        ("asks for the identity 'mars.example.org'", "connections for it have sun.example.org"),
    ),
}


@pytest.mark.conformance("v2-65")
@pytest.mark.parametrize("case", IDS)
def test_identities_that_differ(case: str) -> None:
    moon, sun, parts = IDS[case]
    site, _ = gateways(moon=moon, sun=sun)
    error = outcome(site)
    holds(alert(site, site.sun, AuthFailed, "peer-auth-failed"), *parts)
    holds(error, "AUTHENTICATION_FAILED", "compare both ends' id, secret or certificates", "read the peer's log")
    asked = moon.get("remote_id", "sun.example.org")
    holds(error, f"or has nobody called {asked} for it", "the pre-shared keys of both ends may differ")
    holds(alert(site, site.moon, AuthFailed, "local-auth-failed"), "AUTHENTICATION_FAILED")


def test_secrets_that_differ() -> None:
    site, _ = gateways()
    site.moon.secret = b"another secret"
    outcome(site)
    told = alert(site, site.sun, AuthFailed, "peer-auth-failed")
    holds(
        told, "the pre-shared keys of sun.example.org and moon.example.org differ", "compare the secrets of both ends"
    )


def test_no_secret_at_all() -> None:
    def nothing(ask: asks.SharedSecret) -> Any:
        raise CredentialError(f"no shared secret of {ask.local_id} and {ask.remote_id} is loaded")

    site, _ = gateways(moon_host={"answers": {asks.SharedSecret: nothing}})
    holds(outcome(site), "no shared secret of moon.example.org and sun.example.org is loaded")


def test_a_responder_that_is_somebody_else() -> None:
    """It chose its own identity, which ours does not take."""
    site, wire = gateways(moon={"remote_id": "*.example.net"})
    error = outcome(site)
    holds(error, "the peer is sun.example.org", "id wants *.example.net")
    holds(alert(site, site.moon, AuthFailed, "peer-auth-failed"), "set remote.id", "sun.example.org")
    assert wire.all()


# -- children ----------------------------------------------------------------------------


def no_child(site: Site) -> tuple[str, str]:
    """What ours says, and theirs; the IKE SA stands."""
    error = outcome(site)
    assert len(site.moon.machines) == 1
    return error, alert(site, site.moon, ChildFailed, "keep-on-child-sa-failure")


@pytest.mark.conformance("v2-74", "v2-77")
def test_selectors_that_do_not_meet() -> None:
    site, _ = gateways(sun_children=(child(mirror=True, local="10.7.0.0/16"),))
    error, told = no_child(site)
    for text in (error, told):
        holds(text, "TS_UNACCEPTABLE", "10.1.0.0/16 (here) === 10.2.0.0/16 (there)")
        holds(text, "there local_ts = 10.2.0.0/16 and remote_ts = 10.1.0.0/16 would fit")
    theirs = alert(site, site.sun, TsMismatch, "ts-mismatch")
    holds(theirs, "the peer offers 10.1.0.0/16 === 10.2.0.0/16", "net: 10.7.0.0/16 === 10.2.0.0/16")
    holds(theirs, "nearest is net, but for remote_ts: set it to 10.1.0.0/16 here, or the peer's local_ts to ours")


def test_selectors_of_which_neither_side_fits() -> None:
    site, _ = gateways(sun_children=(child(mirror=True, local="10.7.0.0/16", remote="10.8.0.0/16"),))
    no_child(site)
    holds(alert(site, site.sun, TsMismatch, "ts-mismatch"), "write the same networks at both ends, mirrored")
    site, _ = gateways(sun_children=(child(mirror=True, remote="10.8.0.0/16"),))
    no_child(site)
    holds(alert(site, site.sun, TsMismatch, "ts-mismatch"), "but for local_ts: set it to 10.2.0.0/16 here")


@pytest.mark.conformance("v2-74")
def test_proposals_of_a_child_that_differ() -> None:
    site, _ = gateways(moon_children=(child(esp="aes256gcm16"),))
    error, _ = no_child(site)
    holds(error, "NO_PROPOSAL_CHOSEN", "none of our aes256gcm16", "mode (tunnel)")
    theirs = alert(site, site.sun, ProposalMismatch, "proposal-mismatch-child")
    holds(theirs, "for child net")
    holds(theirs, "(offered AES_GCM_16_256; configured AES_GCM_16_128)", "let the peer offer aes128gcm16")
    holds(theirs, "or take aes256gcm16", "into esp_proposals")


def test_modes_that_differ() -> None:
    """We want transport mode, the peer has a tunnel for these hosts."""
    hosts = {"local": f"{MOON}/32", "remote": f"{SUN}/32"}
    site, _ = gateways(
        moon_children=(child(mode=Mode.TRANSPORT, **hosts),), sun_children=(child(mirror=True, **hosts),)
    )
    error, _ = no_child(site)
    holds(error, "the peer declined transport mode; set mode = tunnel here or transport there")


# -- nothing of it is anybody's secret -----------------------------------------------------


def test_no_line_is_endless_or_breaks() -> None:
    """Whatever a stranger calls itself, a line stays a line."""
    site, _ = gateways(moon={"local_id": "keyid:#" + "0a1b5b33316d" * 60})
    outcome(site)
    for host in (site.moon, site.sun):
        for event in host.events:
            assert event.text().isprintable() and len(event.text()) < 4000
            assert not re.search(r"[\x00-\x1f\x7f]", event.text())


def test_the_other_connections_are_named() -> None:
    site, _ = gateways(sun={"remote_id": "venus.example.net"})
    more = connection("second", local=SUN, remote="%any", local_id="mars.example.org", remote_id="moon.example.org")
    site.sun.load(more)
    outcome(site)
    holds(
        alert(site, site.sun, AuthFailed, "peer-auth-failed"),
        "asks for the identity 'sun.example.org'",
        "others do not fit either: site: expects venus.example.net",
    )
