"""Renewing phase 1 and phase 2, by either end and by both at once (RFC 2408 §4, RFC 2409 §5.5)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.errors import BackendError
from ikectl.sa.asks import InstallChild
from ikectl.sa.association import IkeState
from ikectl.sa.events import ChildDown, IkeRekeyed
from ikectl.wire.v1.notify import Delete
from tests.scenarios.v1.stage import AGGRESSIVE_PSK, bare, stands, tunnel, wait, watched_tunnel
from tests.sim.host import Host
from tests.sim.site import Site, child
from tests.sim.wiretap_v1 import INFORMATIONAL, QUICK, which

MODES: dict[str, dict[str, Any]] = {"main": {}, "aggressive": AGGRESSIVE_PSK}
IN_MODES = pytest.mark.parametrize("mode", MODES)
ENDS = pytest.mark.parametrize("ends", [["moon"], ["sun"], ["moon", "sun"], ["sun", "moon"]], ids="+".join)
SOON = {"ike": "aes128-sha256-ecp256"}


def hosts(site: Site, names: list[str]) -> list[Host]:
    return [getattr(site, name) for name in names]


def carrying(site: Site) -> bool:
    """A packet of either end gets through just now."""
    return site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)


def always_carrying(site: Site, seconds: float) -> None:
    """Let time pass, and look after each step whether a packet would get through."""
    until = site.world.now + seconds
    while site.world.step(until):
        assert carrying(site), f"at {site.world.now} a packet would be lost"
    site.world.now = until


@pytest.mark.conformance("v1-38")
@IN_MODES
@ENDS
def test_phase_1_run_again_keeps_the_children(mode: str, ends: list[str]) -> None:
    """A second phase 1 stands: the children pass to it as they are, the first is deleted, and no packet is lost."""
    site, wire = watched_tunnel(both=MODES[mode], **SOON)
    before = {host.name: [(c.spi_in, c.spi_out) for c in host.children] for host in (site.moon, site.sun)}
    old = site.moon.machines[0].sa.spi_i
    mark = len(wire.seen)
    tokens = [(host, host.rekey(site.world.now, "site")) for host in hosts(site, ends)]
    always_carrying(site, 200)
    assert all(host.done[token].error is None for host, token in tokens)
    for host in (site.moon, site.sun):
        (machine,) = host.machines
        assert machine.sa.spi_i != old and machine.sa.state is IkeState.ESTABLISHED
        assert [(c.spi_in, c.spi_out) for c in host.children] == before[host.name]
        assert host.saw(IkeRekeyed) and not host.saw(ChildDown)
    assert not wire.fresh(which(QUICK), mark)
    site.world.settled()
    site.sun.terminate(site.world.now)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-38")
@IN_MODES
@ENDS
def test_quick_modes_go_over_the_newest_phase_1(mode: str, ends: list[str]) -> None:
    """Both SAs stand for a while; what is renewed and asked for meanwhile is under the newer cookies."""
    more = {"moon_children": (child(), child("more", local="10.7.0.0/16")),
            "sun_children": (child(mirror=True), child("more", mirror=True, local="10.7.0.0/16"))}  # fmt: skip
    site, wire = watched_tunnel(both=MODES[mode], **SOON, **more)
    old = site.moon.machines[0].sa.spi_i
    for host in hosts(site, ends):
        host.rekey(site.world.now, "site")
    wait(site, 1)
    mark = len(wire.seen)
    site.sun.rekey(site.world.now, "site", "net")
    site.moon.initiate("site", "more", site.world.now)
    wait(site, 1)
    quick = wire.fresh(which(QUICK), mark)
    assert len(quick) == 6 and old not in {seen.message.cookie_i for seen in quick}
    wait(site, 200)
    assert len(site.moon.children) == len(site.sun.children) == 2 and carrying(site)
    site.world.settled()


@pytest.mark.conformance("v1-38")
@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("by", ["moon", "sun"])
def test_phase_1_is_renewed_amid_a_quick_mode(by: str, place: int) -> None:
    """A message of a quick mode is held back while a new phase 1 takes over: the child is made all the same, once."""
    site, wire = watched_tunnel(**SOON)
    begins, answers = (site.moon, site.sun) if by == "moon" else (site.sun, site.moon)
    says = answers if place == 2 else begins
    held = wire.hold(which(QUICK, by=says, place=3 if place == 3 else 1))
    begins.rekey(site.world.now, "site", "net")
    wait(site, 0.5)
    assert held.caught
    answers.rekey(site.world.now, "site")
    wait(site, 2)
    wire.release(held)
    wait(site, 300)
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    assert len(site.moon.children) == len(site.sun.children) == 1 and carrying(site)
    site.world.settled()


@pytest.mark.conformance("v1-38")
def test_a_deleted_phase_1_leaves_the_children_to_the_other() -> None:
    """Two phases 1 stand; the older one is deleted by the peer: the children live on under the newer (RFC 2408 §4)."""
    site, wire = watched_tunnel(**SOON)
    wire.hold(which(INFORMATIONAL, by=site.moon))
    site.moon.rekey(site.world.now, "site")
    wait(site, 1)
    wait(site, 150)
    assert stands(site)
    assert len(site.moon.machines) == 1 and not site.moon.saw(ChildDown)


@ENDS
@pytest.mark.parametrize("esp", ["aes128gcm16", "aes128-sha1-ecp256"], ids=["", "PFS"])
def test_no_packet_is_lost_while_a_child_is_renewed(esp: str, ends: list[str]) -> None:
    site = tunnel(moon_children=(child(esp=esp),), sun_children=(child(esp=esp, mirror=True),), **SOON)
    spis = {c.spi_in for c in site.moon.children}
    for host in hosts(site, ends):
        host.rekey(site.world.now, "site", "net")
    always_carrying(site, 300)
    assert spis.isdisjoint(c.spi_in for c in site.moon.children)
    site.world.settled()


@ENDS
def test_lifetimes_renew_by_themselves(ends: list[str]) -> None:
    """A day in which children last an hour and phase 1 three: packets get through at any instant."""
    times = {"rekey_time": 3240, "life_time": 3600, "rand_time": 360}
    phase1 = {"reauth_time": 9000, "over_time": 900, "rand_time": 900}
    mine = {f"{name}_children": (child(mirror=name == "sun", **(times if name in ends else {})),)
            for name in ("moon", "sun")}  # fmt: skip
    site = tunnel(**SOON, **mine, **dict.fromkeys(ends, phase1))
    always_carrying(site, 86400)
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    assert 1 <= len(site.moon.children) <= 2
    assert len(site.moon.saw(IkeRekeyed)) >= 8


def test_a_hard_lifetime_ends_what_nobody_renews() -> None:
    """No rekeying is configured: the child is deleted at its end, and the ISAKMP SA at its own."""
    site, wire = watched_tunnel(**SOON, moon_children=(child(life_time=600),))
    wait(site, 601)
    assert not site.moon.children and not site.sun.children
    assert wire.fresh(which(INFORMATIONAL, holds=Delete))


@pytest.mark.conformance("v1-38")
def test_renewing_what_is_gone_says_so() -> None:
    site, _ = watched_tunnel(**SOON)
    site.sun.terminate(site.world.now, "site")
    wait(site, 1)
    token = site.moon.rekey(site.world.now, "site")
    wait(site, 1)
    assert "no SA matches" in str(site.moon.done[token].error)


@pytest.mark.conformance("v1-38")
def test_a_renewal_that_the_kernel_refuses_is_tried_again() -> None:
    """The peer has a child that we have not: it is told; the old one goes on, and the next attempt succeeds."""
    site, wire = watched_tunnel()
    (old,) = site.moon.children
    kernel, refused = site.moon.kernel, []

    def once(ask: InstallChild) -> None:
        if not refused:
            refused.append(ask.child.spi_in)
            raise BackendError("no room")
        kernel.install(ask)

    site.moon.answers[InstallChild] = once
    token = site.moon.rekey(site.world.now, child="net")
    wait(site, 2)
    assert "no room" in str(site.moon.done[token].error)
    assert [each.spi_in for each in site.moon.children] == [old.spi_in]
    (told,) = wire.messages(which(INFORMATIONAL, by=site.moon, holds=Delete))
    assert told.one(Delete).spis == (refused[0].to_bytes(4, "big"),)
    assert old.spi_out in [each.spi_in for each in site.sun.children] and carrying(site)
    wait(site, 30)
    (new,) = site.moon.children
    assert new.spi_in not in (old.spi_in, refused[0]) and carrying(site) and stands(site)
