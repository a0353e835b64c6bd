"""Rekeying and deletion with strongSwan, started by either side, under traffic."""

from __future__ import annotations

import pytest

from tests.interop.configurations import MOON, SUN
from tests.interop.conftest import Site
from tests.lab.world import until


def spis(site: Site) -> list[str]:
    """The SPIs of moon's children, inbound and outbound."""
    return sorted(spi for child in site.moon.children() for spi in (child["spi-in"], child["spi-out"]))


@pytest.mark.conformance("v2-85", "v2-88")
def test_child_rekeyed(site: Site, initiator: str) -> None:
    site.configure(esp="aes256gcm16-x25519")
    site.moon.up("net")
    before = spis(site)
    rekeyer, _ = site.ends(initiator)

    with site.world.pinging("alice", "bob") as ping:
        rekeyer.rekey(child="net")
        until(lambda: len(spis(site)) == 2 and not set(spis(site)) & set(before), "one new child, the old gone")
        until(lambda: len(site.sun.children()) == 1, "sun dropped the old child too")
        crossed = len(site.world.wire("router").packets("esp"))
        until(lambda: len(site.world.wire("router").packets("esp")) > crossed + 10, "traffic on the new child")
    assert ping.stop().lost == 0


@pytest.mark.conformance("v2-33", "v2-87")
def test_ike_sa_rekeyed(site: Site, initiator: str) -> None:
    site.configure()
    site.moon.up("net")
    (before,) = site.moon.sas()
    rekeyer, _ = site.ends(initiator)

    with site.world.pinging("alice", "bob") as ping:
        rekeyer.rekey(ike="site")
        until(
            lambda: [sa["initiator-spi"] for sa in site.moon.sas()] not in ([before["initiator-spi"]], []),
            "a new IKE SA",
        )
        for peer in (site.moon, site.sun):
            until(lambda peer=peer: [sa["state"] for sa in peer.sas()] == ["ESTABLISHED"], "one IKE SA is left")
    assert ping.stop().lost == 0

    assert spis(site) == sorted(spi for child in before["children"] for spi in (child["spi-in"], child["spi-out"]))
    site.moon.rekey(child="net")  # the children moved over: the new IKE SA can rekey them
    until(lambda: len(spis(site)) == 2 and spis(site)[0] not in str(before), "a rekeyed child")
    assert site.world.ping("alice", "bob").lost == 0


@pytest.mark.conformance("v2-89")
def test_rekeyed_from_both_sides_at_once(site: Site) -> None:
    site.configure(esp="aes256gcm16-x25519")
    site.moon.up("net")
    before = spis(site)
    with site.world.pinging("alice", "bob") as ping:
        site.moon.rekey(child="net")
        site.sun.rekey(child="net")
        for peer in (site.moon, site.sun):
            until(
                lambda peer=peer: (
                    [child["state"] for child in peer.children()] == ["INSTALLED"]
                    and peer.children()[0]["spi-in"] not in before
                ),
                f"one new child on {peer.node}",
            )
    assert ping.stop().lost == 0


@pytest.mark.conformance("v2-84")
def test_second_child(site: Site, initiator: str) -> None:
    """CREATE_CHILD_SA adds what IKE_AUTH did not bring."""
    more = "host {\n local_ts = %s\n remote_ts = %s\n esp_proposals = aes128gcm16-ecp256\n}"
    site.configure(
        moon=MOON.but(children=more % ("10.1.0.1", "10.2.0.1")),
        sun=SUN.but(children=more % ("10.2.0.1", "10.1.0.1")),
    )
    first, second = site.ends(initiator)
    first.up("net")
    first.up("host")
    assert len(first.sas()) == len(second.sas()) == 1
    assert {child["name"] for child in second.children()} == {"net", "host"}
    assert site.world.ping("alice", "bob").lost == 0


@pytest.mark.conformance("v2-95")
def test_child_deleted(site: Site, initiator: str) -> None:
    site.configure()
    site.moon.up("net")
    deleter, other = site.ends(initiator)

    deleter.down(child="net")
    until(lambda: not other.children(), "the child is gone on the other side")
    for node in ("moon", "sun"):
        assert "proto esp" not in site.world.xfrm(node)
    assert [sa["state"] for sa in other.sas()] == ["ESTABLISHED"]


@pytest.mark.conformance("v2-98")
def test_ike_sa_deleted(site: Site, initiator: str) -> None:
    site.configure()
    site.moon.up("net")
    deleter, other = site.ends(initiator)

    deleter.down(ike="site")
    until(lambda: not other.sas(), "the IKE SA is gone on the other side")
    assert not deleter.sas()
    for node in ("moon", "sun"):
        assert "proto esp" not in site.world.xfrm(node)


@pytest.mark.conformance("v2-35", "v2-42")
def test_wishes_that_the_peer_does_not_share(site: Site, initiator: str) -> None:
    """strongSwan takes one request at a time, whatever SET_WINDOW_SIZE says, and is no cluster: all goes on as ever."""
    more = "host {\n local_ts = %s\n remote_ts = %s\n}\n other {\n local_ts = %s\n remote_ts = %s\n}"
    near, far = ("10.1.0.1", "10.2.0.1"), ("10.1.0.3", "10.2.0.3")
    site.configure(
        moon=MOON.but(connection="window = 8\nmessage_id_sync = yes", children=more % (*near, *far)),
        sun=SUN.but(children=more % (*near[::-1], *far[::-1])),
    )
    first, second = site.ends(initiator)
    for name in ("net", "host", "other"):
        first.up(name)
    first.rekey(ike="site")
    until(lambda: [sa["state"] for sa in first.sas()] == ["ESTABLISHED"], "one IKE SA is left")
    for name in ("net", "host", "other"):
        first.rekey(child=name)
    until(lambda: len(first.children()) == 3 and len(second.children()) == 3, "three children, each renewed")
    assert len(second.sas()) == 1
    assert site.world.ping("alice", "bob").lost == 0
