"""EAP with strongSwan, who asks and who answers: passwords, certificates, tunnels (RFC 7296 §2.16, RFC 5998).

Debian's strongSwan has no EAP-PEAP.
"""

from __future__ import annotations

import pytest

from ikectl.crypto.mschapv2 import nt_hash
from tests.interop.configurations import MOON, SUN, Gateway
from tests.interop.conftest import Site
from tests.interop.test_handshake import tunnel_carries
from tests.lab.certificates import Authority, Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer, Refused
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until

PASSWORD = "Ar3et Tnp"
ENDS = {"moon": MOON, "sun": SUN}


class EapStrongSwan(StrongSwan):
    """A charon with the methods of EAP that Debian has. GTC asks XAUTH's passwords."""

    plugins = "gcrypt eap-identity eap-md5 eap-mschapv2 eap-gtc eap-tls eap-ttls"
    plugin_options = "eap-gtc { backend = generic }\n        eap-ttls { phase2_method = mschapv2 }"


@pytest.fixture(scope="module")
def standing_site(module_lab: Lab) -> Site:
    return Site(module_lab, SITE_TO_SITE, theirs=EapStrongSwan)


@pytest.fixture(params=["moon", "sun"], ids=["we-are-the-client", "strongswan-is-the-client"])
def client(request: pytest.FixtureRequest) -> str:
    """Each story told twice."""
    return str(request.param)


@pytest.fixture(scope="module")
def credentials() -> list[Credential]:
    """Certificates for both ends, moon's from an intermediate authority."""
    root = Authority.root("Lab Root")
    return [root.intermediate("Lab West").issue("moon.example.org"), root.issue("sun.example.org")]


def secrets(password: str = PASSWORD) -> str:
    return f'eap-carol {{ id = carol\n secret = "{password}" }}'


def other(end: str) -> str:
    return "sun" if end == "moon" else "moon"


def asking(client: str, method: str, certified: bool = False, password: str = PASSWORD) -> Gateway:
    """The client proves itself by `method`, with a certificate or as carol."""
    gateway = ENDS[client]
    proof = f"certs = {gateway.id}.pem" if certified else "eap_id = carol"
    return gateway.but(auth=method, peer_auth="pubkey", local=proof, secrets=secrets(password))


def giving(server: str, method: str, certified: bool = False, secret: str = "") -> Gateway:
    """The server with its certificate."""
    proof = "" if certified else "eap_id = %any"
    return ENDS[server].but(auth="pubkey", peer_auth=method, remote=proof, secrets=secret or secrets())


def laid(site: Site, client: str, asks: Gateway, gives: Gateway, credentials: list[Credential]) -> tuple[Peer, Peer]:
    """Load both ends: (client, server)."""
    site.configure(**{client: asks, other(client): gives}, credentials=credentials)  # type: ignore[arg-type]
    return site.ends(client)


@pytest.mark.conformance("v2-69", "v2-70")
@pytest.mark.parametrize("method", ["eap-md5", "eap-mschapv2", "eap-gtc", "eap-ttls"])
def test_passwords(site: Site, client: str, method: str, credentials: list[Credential]) -> None:
    _, server = laid(site, client, asking(client, method), giving(other(client), method), credentials)
    tunnel_carries(site, client)
    (sa,) = server.sas()
    assert sa["remote-eap-id"] == "carol"


@pytest.mark.conformance("v2-69")
def test_certificates(site: Site, client: str, credentials: list[Credential]) -> None:
    laid(site, client, asking(client, "eap-tls", True), giving(other(client), "eap-tls", True), credentials)
    tunnel_carries(site, client)


@pytest.mark.conformance("v2-69")
def test_the_client_takes_whatever_the_server_asks_for(site: Site, client: str, credentials: list[Credential]) -> None:
    laid(site, client, asking(client, "eap"), giving(other(client), "eap-mschapv2"), credentials)
    tunnel_carries(site, client)


def test_an_nt_hash_in_place_of_the_password(site: Site, client: str, credentials: list[Credential]) -> None:
    """MD4 over the password in UTF-16, on the server."""
    hashed = f"ntlm-carol {{ id = carol\n secret = 0x{nt_hash(PASSWORD.encode()).hex()} }}"
    gives = giving(other(client), "eap-mschapv2", secret=hashed)
    laid(site, client, asking(client, "eap-mschapv2"), gives, credentials)
    tunnel_carries(site, client)


@pytest.mark.conformance("v2-70")
@pytest.mark.parametrize("method", ["eap-md5", "eap-mschapv2", "eap-ttls"])
def test_a_wrong_password(site: Site, client: str, method: str, credentials: list[Credential]) -> None:
    first, second = laid(
        site, client, asking(client, method, password="a guess"), giving(other(client), method), credentials
    )
    with pytest.raises(Refused):
        first.up("net")
    until(lambda: not first.sas() and not second.sas(), "nothing is left")


@pytest.mark.conformance("v2-71")
@pytest.mark.parametrize("method", ["eap-tls", "eap-ttls"])
def test_eap_alone_proves_both(site: Site, client: str, method: str, credentials: list[Credential]) -> None:
    """RFC 5998: the gateway has no AUTH of its own; its certificate is seen inside TLS."""
    certified = method == "eap-tls"
    asks = asking(client, method, certified).but(peer_auth=method)
    server = ENDS[other(client)]
    gives = giving(other(client), method, certified).but(auth=method, local=f"certs = {server.id}.pem")
    laid(site, client, asks, gives, credentials)
    tunnel_carries(site, client)
