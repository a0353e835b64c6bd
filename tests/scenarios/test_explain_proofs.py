"""Why a certificate or a password is not good: what the end that refuses says, and what the refused one is told to do.

As in `test_explain.py`: in the outcome of the command, in the log, and in an
alert for vici's clients, of the kind that says which end did not prove itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ikectl.config.model import Revocation
from ikectl.iana.eap import EapType
from ikectl.sa.events import AuthFailed
from tests.pki.certs import Authority, Identified, Listed, points
from tests.scenarios.test_eap_in_ike_auth import road
from tests.scenarios.test_explain import alert, holds
from tests.scenarios.test_revocation import CA, URI, Server, certificates, silent, site_with
from tests.sim.host import Host
from tests.sim.site import Site

OTHER = Authority.root("other CA")


def leaf(name: str, ca: Authority = CA, **options: Any) -> Identified:
    options.setdefault("names", (f"{name}.example.org",))
    return ca.leaf(f"{name}.example.org", extensions=points(crl=URI), **options)


def wrong_ca(name: str) -> tuple[Identified, Server]:
    return leaf(name, OTHER), CA.crl


def expired(name: str) -> tuple[Identified, Server]:
    return leaf(name, starts=timedelta(days=-90), ends=timedelta(days=-2)), CA.crl


def early(name: str) -> tuple[Identified, Server]:
    return leaf(name, starts=timedelta(days=4), ends=timedelta(days=90)), CA.crl


def revoked(name: str) -> tuple[Identified, Server]:
    gone = leaf(name)
    return gone, lambda: CA.crl(Listed(gone))


def unknown(name: str) -> tuple[Identified, Server]:
    return leaf(name), silent


CASES = {
    "of a CA that nobody knows here": (
        wrong_ca,
        ("no trusted CA issued", "CN=other CA", "trusted here are C=CH, O=ikectl, CN=CA: load its CA"),
    ),
    "expired": (expired, ("expired 2 days ago, on 2026-02-27", "needs a new one, unless the clock here is wrong")),
    "not valid yet": (early, ("becomes valid in 4 days, on 2026-03-05", "is the clock here right (2026-03-01")),
    "revoked": (revoked, ("was revoked by C=CH, O=ikectl, CN=CA", "says the CRL from http", "needs a new certificate")),
    "of unknown state": (
        unknown,
        ("remote.revocation = strict", "no answer within 8 seconds", "make one of these answer"),
    ),
}


def outcome(site: Site) -> str:
    token = site.up()
    site.world.run(site.world.now + 60)
    error = site.moon.done[token].error
    assert error is not None
    return error


def is_told(site: Site, host: Host) -> None:
    """The end that was not accepted hears nothing but that; it can look at what it sent."""
    told = alert(site, host, AuthFailed, "local-auth-failed")
    holds(told, "AUTHENTICATION_FAILED", f"our identity {host.name}.example.org", "read the peer's log")
    holds(told, "our certificate may be of a CA unknown there, expired, revoked, or not for this id")


@pytest.mark.conformance("v2-62", "v2-68")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("refused", ["moon", "sun"], ids=["initiator", "responder"])
def test_certificates(refused: str, case: str) -> None:
    make, parts = CASES[case]
    other = "sun" if refused == "moon" else "moon"
    bad, server = make(refused)
    site, _ = site_with(server, Revocation.STRICT, other, leaves={**certificates(), refused: bad})
    error = outcome(site)
    hosts = {"moon": site.moon, "sun": site.sun}
    holds(alert(site, hosts[other], AuthFailed, "peer-auth-failed"), *parts)
    is_told(site, hosts[refused])
    holds(error, *(parts if other == "moon" else ("AUTHENTICATION_FAILED", "read the peer's log")))


@pytest.mark.parametrize("lacking", ["moon", "sun"], ids=["initiator", "responder"])
def test_a_certificate_of_ours_that_does_not_name_us(lacking: str) -> None:
    """Nothing is shown to the peer then, and who lacks it is told what there is."""
    made = {**certificates(), lacking: leaf(lacking, names=("venus.example.org",))}
    site, _ = site_with(CA.crl, Revocation.RELAXED, leaves=made)
    outcome(site)
    host = site.moon if lacking == "moon" else site.sun
    told = alert(site, host, AuthFailed, "local-auth-failed")
    holds(told, f"none of our certificates names {lacking}.example.org", "venus.example.org", "set local.id to a name")


@pytest.mark.parametrize("method", [EapType.MSCHAPV2, EapType.MD5])
def test_a_wrong_password(method: EapType) -> None:
    site, _ = road(method, known={"carol": b"a guess"})
    error = outcome(site)
    holds(alert(site, site.moon, AuthFailed, "local-auth-failed"), "the EAP server refuses 'carol'", error)
    holds(alert(site, site.sun, AuthFailed, "peer-auth-failed"), "wrong password of user 'carol'")


def test_a_user_that_nobody_knows() -> None:
    site, _ = road(user="zoe", known={"zoe": b"of zoe"})
    outcome(site)
    holds(alert(site, site.sun, AuthFailed, "peer-auth-failed"), "no user 'zoe' in secrets.eap")


def test_a_password_that_is_not_here() -> None:
    site, _ = road(known={"dave": b"of dave"})
    error = outcome(site)
    holds(error, "no password of user 'carol' is known", "put it into a secrets.eap section")
    holds(alert(site, site.moon, AuthFailed, "local-auth-failed"), error)
