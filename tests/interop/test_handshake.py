"""IKE_SA_INIT and IKE_AUTH with strongSwan, each side initiating: methods, ciphers, groups."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.certificates import Authority, Credential


def tunnel_carries(site: Site, initiator: str) -> None:
    """The initiator brings the tunnel up; pings cross it and nothing crosses beside it."""
    first, second = site.ends(initiator)
    first.up("net")
    assert site.world.ping("alice", "bob", count=3).lost == 0

    wire = site.world.wire("router")
    assert len(wire.packets("esp")) == 6
    assert not wire.packets("icmp")
    for peer in (first, second):
        (sa,) = peer.sas()
        (child,) = sa["children"]
        assert (sa["state"], child["state"]) == ("ESTABLISHED", "INSTALLED")
        assert (child["packets-in"], child["packets-out"]) == ("3", "3")


@pytest.fixture(scope="module", params=["rsa", "ecdsa", "ed25519"])
def credentials(request: pytest.FixtureRequest) -> list[Credential]:
    """Certificates of one kind for both ends, moon's from an intermediate authority."""
    root = Authority.root("Lab Root", request.param)
    west = root.intermediate("Lab West", request.param)
    return [west.issue("moon.example.org", request.param), root.issue("sun.example.org", request.param)]


@pytest.mark.conformance("v2-32", "v2-61")
def test_pre_shared_key(site: Site, initiator: str) -> None:
    site.configure()
    tunnel_carries(site, initiator)


@pytest.mark.conformance("v2-62", "v2-63", "v2-66")
def test_certificates(site: Site, initiator: str, credentials: list[Credential]) -> None:
    site.configure(auth="pubkey", credentials=credentials)
    tunnel_carries(site, initiator)


@pytest.mark.conformance("v2-53", "v2-54", "v2-60")
@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        ("aes128gcm16-prfsha256-x25519", "aes128gcm16"),
        ("aes256gcm16-prfsha512-x25519", "aes256gcm16-esn"),
        ("aes256-sha256-x25519", "aes256-sha256"),
        ("aes128-sha512-x25519", "aes128-sha512"),
        ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305"),
    ],
)
def test_ciphers(site: Site, initiator: str, ike: str, esp: str) -> None:
    site.configure(ike=ike, esp=esp)
    tunnel_carries(site, initiator)


@pytest.mark.conformance("v2-53", "v2-54", "v2-84")
@pytest.mark.parametrize("group", ["x25519", "ecp256", "ecp384", "modp2048"])
def test_groups(site: Site, initiator: str, group: str) -> None:
    site.configure(ike=f"aes256-sha256-{group}", esp=f"aes256-sha256-{group}")
    tunnel_carries(site, initiator)


@pytest.mark.conformance("v2-62", "v2-66")
def test_raw_public_keys(site: Site, initiator: str, credentials: list[Credential]) -> None:
    """strongSwan sends none, and recognises ours by the signature."""
    for peer in (site.moon, site.sun):
        for credential in credentials:
            peer.write_public_key(credential)
    ends = {"moon": MOON, "sun": SUN}
    changed = {
        name: gateway.but(local=f"pubkeys = {gateway.id}.pub", remote=f"pubkeys = {gateway.peer}.pub")
        for name, gateway in ends.items()
    }
    site.configure(**changed, auth="pubkey", peer_auth="pubkey", certificates=False, credentials=credentials)
    tunnel_carries(site, initiator)
