"""What does not fit is refused by name, and leaves nothing behind."""

from __future__ import annotations

import pytest

from tests.interop.v1.configurations import ENDS
from tests.interop.v1.conftest import OldSite, ladder
from tests.lab.peers.base import Refused
from tests.lab.peers.ikectl import Ikectl
from tests.lab.world import until


def refused(site: OldSite, initiator: str, within: float = 10, **changes: object) -> str:
    """The initiator's changes make it fail within so many seconds; returns what its operator is told."""
    site.configure(**{initiator: ENDS[initiator].but(**changes)})  # type: ignore[arg-type]
    first, second = site.ends(initiator)
    with pytest.raises(Refused) as told:
        first.up("net", within)
    until(lambda: not first.children() and not second.children(), "nothing is left")
    for node in ("moon", "sun"):
        assert "proto esp" not in site.world.xfrm(node)
    return str(told.value)


@pytest.mark.conformance("v1-16")
def test_wrong_secret(site: OldSite, initiator: str) -> None:
    """Main Mode's fifth message cannot be read. strongSwan goes on asking; ours says what is wrong, in either role."""
    told = refused(site, initiator, within=2, secret="another secret")
    ours = site.moon
    assert isinstance(ours, Ikectl)
    if initiator == "moon":
        assert "secret" in told
    else:
        assert "secret" in ours.log().lower()


@pytest.mark.conformance("v1-27")
def test_no_common_phase_1_proposal(site: OldSite, initiator: str) -> None:
    told = refused(site, initiator, ike="aes256-sha512-modp3072")
    assert "NO_PROP" in told
    assert set(ladder(site)) == {"MAIN_MODE", "INFORMATIONAL"}


@pytest.mark.conformance("v1-27")
def test_no_common_phase_2_proposal(site: OldSite, initiator: str) -> None:
    told = refused(site, initiator, esp="aes192-sha384")
    assert "NO_PROP" in told
    assert [sa["state"] for sa in site.moon.sas()] == ["ESTABLISHED"]


@pytest.mark.conformance("v1-22")
def test_no_common_networks(site: OldSite, initiator: str) -> None:
    told = refused(site, initiator, local_ts="10.77.0.0/24", remote_ts="10.78.0.0/24")
    assert "INVALID_ID" in told or "INVAL_ID" in told


@pytest.mark.conformance("v1-19")
def test_aggressive_mode_not_configured(site: OldSite, initiator: str) -> None:
    refused(site, initiator, connection="aggressive = yes\nkeyingtries = 1")
    assert "QUICK_MODE" not in ladder(site)
