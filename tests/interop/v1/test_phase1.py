"""Main and Aggressive Mode with strongSwan, each side initiating: methods, ciphers, hashes, groups."""

from __future__ import annotations

import pytest

from tests.interop.v1.configurations import ENDS, MOON, SUN
from tests.interop.v1.conftest import OldSite, carries, ladder
from tests.lab.certificates import Authority, Credential
from tests.lab.world import until


def stands(site: OldSite, initiator: str) -> None:
    """The initiator brings the tunnel up, and it carries."""
    first, second = site.ends(initiator)
    first.up("net")
    until(lambda: [child["state"] for child in second.children()] == ["INSTALLED"], "the third message came")
    carries(site, first, second)


@pytest.mark.conformance("v1-1", "v1-12", "v1-13", "v1-14", "v1-21", "v1-24")
def test_main_mode(site: OldSite, initiator: str) -> None:
    site.configure()
    stands(site, initiator)
    assert ladder(site) == ["MAIN_MODE"] * 6 + ["QUICK_MODE"] * 3


@pytest.mark.conformance("v1-18")
def test_aggressive_mode(site: OldSite, initiator: str) -> None:
    site.configure(connection="aggressive = yes")
    stands(site, initiator)
    assert ladder(site) == ["AGGRESSIVE"] * 3 + ["QUICK_MODE"] * 3


@pytest.mark.conformance("v1-18")
def test_aggressive_mode_from_an_unknown_address(site: OldSite, initiator: str) -> None:
    """The responder knows the initiator by its name alone: what Main Mode with a secret cannot do."""
    ends = {name: end.but(connection="aggressive = yes") for name, end in ENDS.items()}
    responder = "sun" if initiator == "moon" else "moon"
    ends[responder] = ends[responder].but(remote_addrs="%any")
    site.configure(ends["moon"], ends["sun"])
    stands(site, initiator)


@pytest.mark.conformance("v1-15", "v1-40")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_rsa_certificates(site: OldSite, initiator: str, mode: str, rsa: list[Credential]) -> None:
    site.configure(auth="pubkey", connection="aggressive = yes" * (mode == "aggressive"), credentials=rsa)
    stands(site, initiator)


@pytest.mark.conformance("v1-40")
@pytest.mark.parametrize("kind", ["ecdsa", "ecdsa384"])
def test_ecdsa_certificates(site: OldSite, initiator: str, kind: str) -> None:
    root = Authority.root("Lab Elliptic Root", kind)
    credentials = [root.issue("moon.example.org", kind), root.issue("sun.example.org", kind)]
    site.configure(auth="pubkey", credentials=credentials, ike="aes128-sha384-modp2048")
    stands(site, initiator)


@pytest.mark.conformance("v1-12", "v1-13", "v1-24")
@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        ("3des-md5-modp1024", "3des-md5"),
        ("3des-sha1-modp1536", "3des-sha1"),
        ("aes256-sha1-modp1024", "aes256-sha1"),
        ("aes192-sha512-ecp384", "aes256-sha512"),
        ("camellia128-sha256-modp2048", "camellia128-sha256"),
        ("aes256-sha384-ecp256", "aes256gcm16"),
        ("aes128-sha256-modp2048", "null-sha256"),
    ],
)
def test_algorithms(site: OldSite, initiator: str, ike: str, esp: str) -> None:
    site.configure(ike=ike, esp=esp)
    stands(site, initiator)


@pytest.mark.conformance("v1-7", "v1-8")
def test_one_of_many(site: OldSite, initiator: str) -> None:
    """The initiator offers many, the responder takes the one that it has."""
    one = {"ike": "aes128-sha256-modp2048", "esp": "aes128-sha256"}
    many = {
        "ike": "aes256-sha384-modp3072,aes128-sha256-modp2048,3des-sha1-modp1024",
        "esp": "aes256gcm16,aes128-sha256,3des-sha1",
    }
    offers = {"moon": one, "sun": one} | {initiator: many}
    site.configure(MOON.but(**offers["moon"]), SUN.but(**offers["sun"]))
    stands(site, initiator)
    (sa,) = site.moon.sas()
    assert (sa["encr-alg"], sa["encr-keysize"], sa["dh-group"]) == ("AES_CBC", "128", "MODP_2048")


@pytest.mark.conformance("v1-37")
def test_large_certificates_travel_in_pieces(site: OldSite, initiator: str, rsa: list[Credential]) -> None:
    site.configure(auth="pubkey", connection="fragmentation = yes\nsend_cert = always", credentials=rsa)
    stands(site, initiator)
    assert "FRAGMENT of MAIN_MODE" in ladder(site)
    assert not site.world.wire("router").packets("fragment")


@pytest.mark.conformance("v1-37")
def test_large_certificates_unfragmented(site: OldSite, initiator: str, rsa: list[Credential]) -> None:
    site.configure(auth="pubkey", connection="fragmentation = no\nsend_cert = always", credentials=rsa)
    stands(site, initiator)
    assert not [step for step in ladder(site) if step.startswith("FRAGMENT")]
