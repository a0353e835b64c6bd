"""Phase 1 by public key encryption between two daemons of ours: no other free one has it (RFC 2409 §5.2, §5.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.v1.configurations import ENDS
from tests.interop.v1.conftest import OldSite, carries, ladder
from tests.lab.certificates import Authority, Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.ikectl import Ikectl
from tests.lab.topology import SITE_TO_SITE
from tests.lab.world import until


@pytest.fixture(scope="module")
def standing_site(module_lab: Lab) -> OldSite:
    return OldSite(module_lab, SITE_TO_SITE, theirs=Ikectl)


@pytest.fixture
def site(standing_site: OldSite) -> Iterator[OldSite]:
    standing_site.clear()
    yield standing_site


@pytest.fixture(scope="module")
def ends() -> dict[str, Credential]:
    root = Authority.root("Lab Root", "rsa")
    return {name: root.issue(f"{name}.example.org", "rsa") for name in ("moon", "sun")}


@pytest.mark.parametrize("mode", ["main", "aggressive"])
@pytest.mark.parametrize("auth", ["rsa-encryption", "rsa-encryption-revised"])
def test_public_key_encryption(site: OldSite, auth: str, mode: str, ends: dict[str, Credential]) -> None:
    """Each end has the other's certificate before: nothing is sent of it, nor of the identities in clear."""
    for name, other in (("moon", "sun"), ("sun", "moon")):
        peer = getattr(site, name)
        known = peer.swanctl / "x509" / f"{other}.example.org.pem"
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_bytes(ends[other].certificate.public_bytes(Encoding.PEM))
        gateway = ENDS[name].but(
            auth=auth,
            local=f"certs = {name}.example.org.pem",
            remote=f"certs = {other}.example.org.pem",
            connection="aggressive = yes" * (mode == "aggressive"),
        )
        peer.load(gateway.conf(), [ends[name]])
    site.moon.up("net")
    until(lambda: [child["state"] for child in site.sun.children()] == ["INSTALLED"], "the third message came")
    carries(site, site.moon, site.sun)
    first = {"main": ["MAIN_MODE"] * 6, "aggressive": ["AGGRESSIVE"] * 3}[mode]
    assert ladder(site) == [*first, *["QUICK_MODE"] * 3]
    assert not any(b"example.org" in packet.body for packet in site.world.wire("router").packets("ike"))
