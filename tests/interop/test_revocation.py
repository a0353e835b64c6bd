"""CRL and OCSP with strongSwan as the peer that is judged, each side initiating: good, revoked, and not to be known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.configurations import MOON
from tests.interop.conftest import Site
from tests.interop.test_handshake import tunnel_carries
from tests.lab.certificates import Authority, Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Refused
from tests.lab.peers.http_server import PORT, HttpServer
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

CA_SERVER = f"http://192.0.2.254:{PORT}"


@pytest.fixture(scope="module")
def laid(module_lab: Lab) -> tuple[Site, HttpServer]:
    site = Site(module_lab, SITE_TO_SITE)
    return site, site.world.program(HttpServer, "router")


@pytest.fixture
def site(laid: tuple[Site, HttpServer]) -> Iterator[Site]:
    laid[0].clear()
    yield laid[0]


@pytest.fixture
def server(laid: tuple[Site, HttpServer]) -> HttpServer:
    return laid[1]


class Pki:
    """A CA of its own for each story, so that nothing remembered counts."""

    def __init__(self, label: str, crl: bool = False, ocsp: bool = False) -> None:
        self.label = label
        self.root = Authority.root(f"Root {label}")
        self.moon = self.root.issue("moon.example.org")
        self.sun = self.root.issue(
            "sun.example.org",
            crl_uri=f"{CA_SERVER}/{label}.crl" if crl else "",
            ocsp_uri=f"{CA_SERVER}/{label}.ocsp" if ocsp else "",
        )

    @property
    def credentials(self) -> list[Credential]:
        return [self.moon, self.sun]


def configure(site: Site, pki: Pki, policy: str) -> None:
    """moon (ours) looks whether sun (strongSwan) was revoked."""
    site.configure(moon=MOON.but(remote=f"revocation = {policy}"), auth="pubkey", credentials=pki.credentials)


def refused(site: Site, initiator: str, why: str) -> None:
    first, second = site.ends(initiator)
    with pytest.raises(Refused):
        first.up("net")
    until(lambda: not first.children() and not second.children(), "nothing is left")
    assert why in site.moon.log()


@pytest.mark.conformance("v2-68")
def test_a_good_certificate_by_crl(site: Site, server: HttpServer, initiator: str) -> None:
    pki = Pki(f"good-{initiator}", crl=True)
    server.publish(f"{pki.label}.crl", pki.root.crl())
    configure(site, pki, "strict")
    tunnel_carries(site, initiator)
    assert server.asked(f"{pki.label}.crl") == 1


@pytest.mark.conformance("v2-68")
def test_a_revoked_certificate_by_crl(site: Site, server: HttpServer, initiator: str) -> None:
    pki = Pki(f"revoked-{initiator}", crl=True)
    server.publish(f"{pki.label}.crl", pki.root.crl(pki.sun))
    configure(site, pki, "relaxed")
    refused(site, initiator, f"was revoked by C=CH, O=ikectl lab, CN=Root {pki.label}")


@pytest.mark.conformance("v2-68")
@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
def test_ocsp(site: Site, server: HttpServer, initiator: str, revoked: bool) -> None:
    pki = Pki(f"ocsp-{revoked}-{initiator}", ocsp=True)
    server.publish(f"{pki.label}.ocsp", pki.root.ocsp(pki.sun, revoked=revoked))
    configure(site, pki, "strict")
    if revoked:
        refused(site, initiator, "(key compromise), says the OCSP response from")
    else:
        tunnel_carries(site, initiator)
    assert server.asked(f"{pki.label}.ocsp") == 1


@pytest.mark.conformance("v2-68")
def test_a_crl_that_is_not_there(site: Site, server: HttpServer, initiator: str) -> None:
    pki = Pki(f"gone-{initiator}", crl=True)
    configure(site, pki, "ifuri")
    refused(site, initiator, "the server answered 404")
    configure(site, pki, "relaxed")
    tunnel_carries(site, initiator)
