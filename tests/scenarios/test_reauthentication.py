"""Reauthentication: a new IKE SA from scratch in the place of the old one (RFC 7296 §2.8.3, RFC 4478)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Action, Unique
from ikectl.engine.commands import Rekey, Selection
from ikectl.iana.v2 import NotifyType
from ikectl.sa.env import Settings
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.v2.notify import Delete, auth_lifetime, auth_lifetime_notify
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    bare,
    gateways,
    notifies,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.link import Link
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which

HOUR = 3600
ANEW: dict[str, Any] = {"reauth_time": HOUR, "over_time": 360, "rand_time": 360}
BREAK_FIRST = {"settings": Settings(make_before_break=False)}
TWO_CHILDREN: dict[str, Any] = {
    "moon_children": (child(), child("lab", local="10.3.0.0/16")),
    "sun_children": (child(mirror=True), child("lab", local="10.3.0.0/16", mirror=True)),
}


def spis(site: Site) -> list[bytes]:
    """Of the IKE SAs at moon."""
    return [machine.sa.spi_i + machine.sa.spi_r for machine in site.moon.machines]


def together(site: Site) -> bool:
    """One IKE SA at either end, the same one, with the children of `TWO_CHILDREN`."""
    return len(site.moon.machines) == len(site.sun.machines) == 1 and all(
        sorted(each.name for each in host.children) == ["lab", "net"] for host in (site.moon, site.sun)
    )


def both_up(**options: Any) -> tuple[Site, Wiretap]:
    site, wire = tunnel(**TWO_CHILDREN, **options)
    site.moon.initiate("site", "lab", site.world.now)
    wait(site, 5)
    assert together(site)
    return site, wire


@pytest.mark.conformance("v2-100")
def test_the_new_sa_is_made_before_the_old_one_is_deleted() -> None:
    """IKE_SA_INIT, IKE_AUTH with the first child, CREATE_CHILD_SA for the other; DELETE of the old IKE SA last."""
    site, wire = both_up(moon=ANEW)
    (old,) = spis(site)
    mark = len(wire.seen)
    behind: list[float] = []
    while site.world.now < HOUR + 60 and old in spis(site):
        assert site.world.step(HOUR + 60)
        assert site.world.carries(site.moon, site.sun), "packets pass all the while"
        if not site.world.carries(site.sun, site.moon):
            behind.append(site.world.now)
    wait(site, 30)
    assert len(behind) == 2, "sun sends on each new child at once, moon receives there when the answer has come"
    assert spis(site) != [old] and together(site)
    asked = wire.messages(which(by=site.moon, response=False), since=mark)
    assert [each.exchange for each in asked] == [IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL]
    assert NotifyType.INITIAL_CONTACT not in notifies(asked[1]), "the old one is known to both"
    assert asked[3].spi_i + asked[3].spi_r == old and asked[3].all(Delete)
    assert HOUR - 360 <= wire.all(which(IKE_SA_INIT, by=site.moon), since=mark)[0].at <= HOUR
    site.world.settled()


@pytest.mark.conformance("v2-100")
def test_or_it_is_deleted_first() -> None:
    """make_before_break = no: DELETE, then IKE_SA_INIT and the rest."""
    site, wire = both_up(moon=ANEW, moon_host=BREAK_FIRST)
    (old,) = spis(site)
    mark = len(wire.seen)
    wait(site, HOUR + 60)
    assert spis(site) != [old] and together(site)
    asked = wire.messages(which(by=site.moon, response=False), since=mark)
    assert [each.exchange for each in asked] == [INFORMATIONAL, IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA]
    assert NotifyType.INITIAL_CONTACT in notifies(asked[2]), "no other one is left"
    site.world.settled()


@pytest.mark.conformance("v2-100")
def test_the_responder_says_how_long_it_trusts() -> None:
    """N(AUTH_LIFETIME) in the last IKE_AUTH response; an initiator without a time of its own obeys it (RFC 4478)."""
    site, wire = both_up(sun=ANEW)
    (answer,) = wire.messages(which(IKE_AUTH, response=True))
    notify = answer.notify(NotifyType.AUTH_LIFETIME)
    assert notify is not None and auth_lifetime(notify) == HOUR
    assert not wire.messages(which(IKE_AUTH, response=False, holds=NotifyType.AUTH_LIFETIME))
    (old,) = spis(site)
    wait(site, HOUR)
    assert spis(site) != [old] and together(site)
    (first, second) = wire.all(which(IKE_SA_INIT, by=site.moon))
    assert 0.8 * HOUR < second.at - first.at < HOUR
    site.world.settled()


@pytest.mark.conformance("v2-100")
def test_the_responder_may_say_so_later() -> None:
    """INFORMATIONAL {N(AUTH_LIFETIME)}: by the responder to the initiator alone, also after rekeying (RFC 4478 §3)."""
    site, wire = tunnel()
    site.sun.rekey(site.world.now, "site")
    wait(site, 60)
    assert not sa_of(site.moon).initiator and sa_of(site.moon).caller
    (old,) = spis(site)
    answer = Impostor(wire, site.sun).request(INFORMATIONAL, [auth_lifetime_notify(600)])
    assert answer is not None and not answer.payloads
    Impostor(wire, site.moon).request(INFORMATIONAL, [auth_lifetime_notify(600)])
    assert not sa_of(site.sun).reauth_at
    wait(site, 620)
    assert spis(site) != [old] and stands(site)


@pytest.mark.conformance("v2-100")
@pytest.mark.parametrize("rekeyer", ["moon", "sun"])
def test_rekeying_proves_nothing(rekeyer: str) -> None:
    """The IKE SA is rekeyed several times; authentication is still due when it was at the first."""
    site, wire = both_up(moon=ANEW)
    due = sa_of(site.moon).reauth_at
    for _ in range(3):
        wait(site, 300)
        getattr(site, rekeyer).rekey(site.world.now, "site")
    wait(site, 60)
    assert sa_of(site.moon).reauth_at == due and sa_of(site.moon).spi_i == sa_of(site.sun).spi_i
    site.world.run(due + 30)
    assert wire.all(which(IKE_SA_INIT, by=site.moon))[-1].at == due and together(site)
    assert sa_of(site.moon).reauth_at > due
    site.world.settled()


@pytest.mark.conformance("v2-100")
def test_what_was_not_proven_again_ends_at_the_responder() -> None:
    """The peer does not care: `over_time` behind `reauth_time` the SA is deleted, and not started again by itself."""
    site, wire = both_up(sun=ANEW)
    machine = site.moon.machines[0]
    machine.sa.reauth_at = 0.0
    machine.schedule.pop("reauth", None)
    wait(site, HOUR + 300)
    assert together(site)
    wait(site, 120)
    deletes = wire.messages(which(INFORMATIONAL, by=site.sun, holds=Delete))
    assert len(deletes) == 1 and bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-100")
@pytest.mark.parametrize("action", [{"start_action": Action.START}, {"close_action": Action.START}, {}])
def test_an_sa_that_could_not_be_rekeyed_ends_and_comes_back_if_it_is_wanted(action: dict[str, Action]) -> None:
    """Every rekeying is lost: at the hard lifetime the SA is deleted; children that are to be up come back."""
    lives = {"rekey_time": HOUR, "over_time": 360}
    site, wire = gateways(moon=lives, moon_children=(child(**action),))
    site.up()
    (old,) = spis(site)
    sa_of(site.moon).connection = None  # nothing to rekey with
    machine = site.moon.machines[0]
    sa_of(site.moon).connection = next(iter(site.moon.engine.connections.all))
    machine.schedule.pop("rekey", None)
    wait(site, HOUR + 400)
    assert old not in spis(site)
    assert stands(site) if action else bare(site.moon)
    assert len(wire.all(which(INFORMATIONAL, by=site.moon, holds=Delete))) == 1


@pytest.mark.conformance("v2-100")
@pytest.mark.parametrize("unique", list(Unique))
@pytest.mark.parametrize("end", ["moon", "sun"])
@pytest.mark.parametrize("host", [{}, BREAK_FIRST])
def test_one_sa_is_left_whatever_the_policy_of_uniqueness(unique: Unique, end: str, host: dict[str, Any]) -> None:
    """never, no, keep, replace; `keep` at the responder refuses what is made before the other is broken."""
    policy = {end: {"unique": unique} | (ANEW if end == "moon" else {})}
    site, _ = both_up(**({"moon": ANEW} | policy), moon_host=host)
    (old,) = spis(site)
    wait(site, HOUR + 60)
    kept = unique is Unique.KEEP and end == "sun" and not host
    assert (spis(site) == [old]) is kept and together(site)
    wait(site, 400)
    assert spis(site) != [old] and together(site), "the hard lifetime breaks what had to be broken first"
    site.world.settled()


def test_a_responder_whose_children_are_to_be_up_starts_nothing_of_its_own() -> None:
    """close_action = start at sun: the old SA is deleted by moon, but what it had stands on the new one."""
    children = {
        "moon_children": (child(close_action=Action.START),),
        "sun_children": (child(mirror=True, close_action=Action.START, dpd_action=Action.START),),
    }
    site, wire = tunnel(moon=ANEW, **children)
    wait(site, HOUR + 120)
    assert stands(site) and len(site.moon.machines) == len(site.sun.machines) == 1
    assert len(wire.all(which(IKE_SA_INIT, by=site.sun, response=False))) == 0
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == 2


@pytest.mark.conformance("v2-100")
def test_a_failed_attempt_leaves_the_old_sa_and_is_repeated() -> None:
    site, _ = both_up(moon=ANEW)
    (old,) = spis(site)
    secret, site.sun.secret = site.sun.secret, b"another one"
    due = sa_of(site.moon).reauth_at
    site.world.run(due + 20)
    assert spis(site) == [old] and together(site)
    site.sun.secret = secret
    wait(site, 60)
    assert spis(site) != [old] and together(site)
    site.world.settled()


def test_an_old_sa_that_dies_meanwhile_is_not_missed() -> None:
    """Amid it the peer deletes the old one: the new one goes on with all children."""
    site, wire = both_up(moon=ANEW)
    (old,) = spis(site)
    rule = wire.hold(which(IKE_AUTH, by=site.sun))
    site.world.run(sa_of(site.moon).reauth_at + 1)
    site.sun.machines[0].delete("by hand", 0, site.world.now)
    wait(site, 2)
    assert old not in spis(site)
    wire.release(rule)
    wait(site, 120)
    assert together(site)
    site.world.settled()


def test_both_die_and_all_comes_back() -> None:
    """The old one is deleted by the peer, then the attempt fails: the children are called for again."""
    site, wire = both_up(moon=ANEW)
    secret, site.sun.secret = site.sun.secret, b"another one"
    rule = wire.hold(which(IKE_AUTH, by=site.sun))
    site.world.run(sa_of(site.moon).reauth_at + 1)
    (machine,) = site.sun.machines
    machine.delete("by hand", 0, site.world.now)
    wait(site, 2)
    wire.release(rule)
    wait(site, 1)
    site.sun.secret = secret
    wait(site, 400)
    assert together(site)
    site.world.settled()


@pytest.mark.parametrize("host", [{}, BREAK_FIRST])
def test_on_command(host: dict[str, Any]) -> None:
    site, _ = both_up(moon_host=host)
    (old,) = spis(site)
    site.moon.engine.command(Rekey(77, Selection("site"), reauth=True), site.world.now)
    site.moon.engine.command(Rekey(78, Selection("site"), reauth=True), site.world.now)
    wait(site, 30)
    assert spis(site) != [old] and together(site)
    assert site.moon.done[77].error is None and site.moon.done[78].error is None


def test_a_rekeying_amid_it_changes_nothing() -> None:
    """The old SA is rekeyed by the peer while the new one is on its way: its heir is what is deleted."""
    site, wire = both_up(moon=ANEW)
    (old,) = spis(site)
    rule = wire.hold(which(IKE_SA_INIT, by=site.sun))
    site.world.run(sa_of(site.moon).reauth_at + 1)
    site.sun.rekey(site.world.now, "site")
    wait(site, 2)
    wire.release(rule)
    wait(site, 30)
    assert old not in spis(site) and together(site)
    site.world.settled()


@pytest.mark.parametrize("host", [{}, BREAK_FIRST])
def test_a_rekeying_of_ours_that_ends_late_leaves_nothing(host: dict[str, Any]) -> None:
    """Our own rekeying is not answered until the new SA stands: what it made has to go as well."""
    site, wire = both_up(moon=ANEW, moon_host=host)
    (old,) = spis(site)
    site.moon.rekey(site.world.now, "site")
    rule = wire.hold(which(CREATE_CHILD_SA, by=site.sun), times=1)
    site.moon.engine.command(Rekey(77, Selection("site"), reauth=True), site.world.now)
    wait(site, 3)
    wire.release(rule)
    wait(site, 60)
    assert old not in spis(site) and together(site)
    site.world.settled()


@pytest.mark.conformance("v2-100")
@pytest.mark.parametrize("host", [{}, BREAK_FIRST])
def test_on_a_bad_network_from_both_ends_at_once(host: dict[str, Any]) -> None:
    """Loss, duplicates, disorder; sun, which did not begin, authenticates anew on command at the same time."""
    for seed in range(25):
        site = Site(seed, link=Link(), moon=ANEW, moon_host=host, **TWO_CHILDREN)
        site.up()
        site.moon.initiate("site", "lab", site.world.now)
        wait(site, 5)
        site.world.link = Link(loss=0.15, duplication=0.2, jitter=0.3)
        (machine,) = site.moon.machines
        assert isinstance(machine.sa, IkeSa)
        site.world.run(machine.sa.reauth_at)
        if seed % 2:
            site.sun.engine.command(Rekey(9, Selection("site"), reauth=True), site.world.now)
        site.world.run(site.world.now + 700)
        site.world.link = Link()
        wait(site, 500)
        names = {each.name for each in site.moon.children}
        assert names == {"net", "lab"}, site.world.violation(f"seed {seed}: {names}")
        site.world.settled()
