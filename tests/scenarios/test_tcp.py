"""IKE inside TCP (RFC 9329): who opens a connection, what goes on it, and what happens when it breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.config.model import Action, AddressSpec, Tcp
from ikectl.engine.commands import Rekey, Remapped
from ikectl.engine.v2.dialler import MAX_REDIALS
from ikectl.iana.v2 import NotifyType, PayloadType
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from ikectl.sa.events import ChildFailed, Dropped, IkeDown, Note, Retransmitted, RetransmitTimeout
from ikectl.values.path import Endpoint, Path, Stream
from ikectl.wire.header import NON_ESP_MARKER
from tests.scenarios.stage import (
    INFORMATIONAL,
    bare,
    gateways,
    sa_of,
    stands,
    wait,
)
from tests.sim.link import Link
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child
from tests.sim.tape import Tape
from tests.sim.wiretap import Wiretap, which

LONG: dict[str, Any] = {
    "moon_children": (child(local=",".join(f"10.1.{n}.0/24" for n in range(40))),),
    "sun_children": (child(mirror=True, local=",".join(f"10.1.{n}.0/24" for n in range(40))),),
}
ELSEWHERE, OUTSIDE = "192.0.2.77", "203.0.113.1"
UPDATE = NotifyType.UPDATE_SA_ADDRESSES


def called(tcp: Tcp = Tcp.YES, **options: Any) -> tuple[Site, Wiretap]:
    """moon calls sun by TCP, where sun listens."""
    options["moon"] = {"tcp": tcp, **options.get("moon", {})}
    site, wire = gateways(**options)
    site.sun.listens = True
    return site, wire


def inside(**options: Any) -> tuple[Site, Wiretap]:
    """The same, and it is up."""
    site, wire = called(**options)
    token = site.up()
    assert site.moon.done[token].error is None, site.moon.done[token].error
    assert stands(site)
    return site, wire


def meets(site: Site) -> bool:
    """Both ends use one and the same connection, for IKE and for their children."""
    near, far = sa_of(site.moon).path, sa_of(site.sun).path
    (wire,) = [each for each in site.world.streams.alive if each.near == near]
    ends = {child.path for child in site.moon.children}, {child.path for child in site.sun.children}
    return wire.far == far and ends == ({near}, {far}) and stands(site)


def notes(host: Any) -> str:
    return "\n".join(note.text() for note in host.saw(Note))


# -- coming up -----------------------------------------------------------------


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_all_of_it_goes_on_one_connection(late: float) -> None:
    site, _ = inside(moon_host={"late": late}, sun_host={"late": late})
    (stream,) = site.world.streams.alive
    assert (stream.opener, stream.near.remote) == (site.moon, Endpoint.parse(SUN, 4500))
    assert all(transmit.path.tcp for _, transmit in site.world.sent)
    assert all(message.startswith(NON_ESP_MARKER) for message in stream.carried)  # §3.1
    assert meets(site)
    assert all(child.encap and child.path.tcp for host in (site.moon, site.sun) for child in host.children)


def test_on_another_port() -> None:
    site, _ = inside(moon={"remote_tcp_port": 443})
    assert sa_of(site.moon).path.remote.port == 443
    assert meets(site)


def test_nobody_listens() -> None:
    site, _ = called()
    site.sun.listens = False
    token = site.up()
    assert "Connection refused" in (site.moon.done[token].error or "")
    assert bare(site.moon)


def test_other_addresses_of_the_peer_are_called_next() -> None:
    site, _ = called(moon={"remote": SUN})
    connection = site.moon.engine.connections.get("site")
    assert connection is not None
    both = (AddressSpec.parse("198.51.100.9"), AddressSpec.parse(SUN))
    site.moon.load(replace(connection, remote_addrs=both))
    token = site.up()
    assert site.moon.done[token].error is None
    assert meets(site)


def test_a_nat_changes_nothing() -> None:
    """§6.5, §6.6: it is seen, but ports and encapsulation stay, and it needs no keepalives."""
    site, _ = inside(nats=(Nat(frozenset({MOON}), OUTSIDE),), sun={"remote": "%any"})
    ours = sa_of(site.moon)
    assert ours.nat.local and ours.path.remote.port == 4500 and ours.path.tcp
    said = len(site.world.sent)
    wait(site, 300)
    assert len(site.world.sent) == said
    assert meets(site)


def test_no_fragments_in_a_stream() -> None:
    """§7.5: announced, for the SA may go elsewhere, and yet not used."""
    small = Settings(fragment_size=576)
    site, _ = inside(moon_host={"settings": small}, sun_host={"settings": small}, **LONG)
    assert NotifyType.IKEV2_FRAGMENTATION_SUPPORTED in sa_of(site.moon).extensions
    (stream,) = site.world.streams.alive
    assert max(map(len, stream.carried)) > 576
    assert [each for each in stream.carried if each[4 + 16] == PayloadType.SKF] == []


def test_a_link_that_loses_datagrams_loses_none_of_these() -> None:
    site, _ = inside(link=Link(loss=1.0))
    assert site.moon.saw(Retransmitted) == []


def test_no_cookies_for_who_has_shown_to_receive() -> None:
    """§6.3."""
    site, _ = inside(sun_host={"settings": Settings(cookie_threshold=0)})
    first = [each for each in site.world.streams.alive[0].carried if each[4 + 18] == 34]  # exchange type
    assert len(first) == 2


def test_ikev1_is_not_spoken_there() -> None:
    site, _ = called()
    seen = Stream(Endpoint.parse(SUN, 4500), Endpoint.parse(MOON, 40000))
    first = bytes(range(1, 9)) + bytes(8) + bytes((1, 0x10, 2, 0)) + bytes(4) + (28).to_bytes(4, "big")
    site.sun.receive(NON_ESP_MARKER + first, seen, 0.0)
    site.world.flush()
    assert "IKE version 1" in site.sun.saw(Dropped)[0].why


def test_an_error_is_the_peers_word() -> None:
    """§6.4: nobody else can speak on the connection, so there is nothing to wait for."""
    site, _ = called(sun_ike="aes256gcm16-prfsha512-ecp384")
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, 2.0)
    assert "NO_PROPOSAL_CHOSEN" in (site.moon.done[token].error or "")


# -- datagrams first -----------------------------------------------------------


def test_fallback_is_not_used_where_datagrams_arrive() -> None:
    site, _ = called(Tcp.FALLBACK)
    site.up()
    assert stands(site)
    assert site.world.streams.all == []


def test_fallback_when_datagrams_do_not() -> None:
    """§5.1: a new IKE_SA_INIT, with another SPI."""
    site, _ = called(Tcp.FALLBACK, link=Link(loss=1.0))
    site.up(within=15.0)
    assert meets(site)
    spis = {transmit.data.removeprefix(NON_ESP_MARKER)[:8] for _, transmit in site.world.sent}
    assert len(spis) == 2
    assert "by TCP" in notes(site.moon)


# -- when it breaks ---------------------------------------------------------------


@pytest.mark.parametrize("mobike", [False, True])
@pytest.mark.parametrize("late", [0.0, 1.0])
def test_who_called_opens_another_one(mobike: bool, late: float) -> None:
    """§6.1: with MOBIKE an update of addresses tells the peer, without it an empty INFORMATIONAL."""
    site, wire = inside(moon={"mobike": mobike}, sun={"mobike": mobike}, moon_host={"late": late})
    before = sa_of(site.moon)
    site.world.streams.cut()
    wait(site, 5)
    assert sa_of(site.moon) is before and before.state is IkeState.ESTABLISHED
    assert len(site.world.streams.all) == 2
    assert meets(site)
    update = which(INFORMATIONAL, holds=UPDATE, response=False)
    assert bool([seen for seen in wire.seen if update(seen)]) is mobike
    assert site.moon.saw(IkeDown) == site.sun.saw(IkeDown) == []


def test_what_has_no_answer_is_said_again() -> None:
    """§6.2: not on the same connection, at once on the next one."""
    site, _ = inside()
    site.world.streams.alive[0].silent = True
    token = site.moon.rekey(site.world.now, "site")
    wait(site, 20)
    assert token not in site.moon.done
    assert site.moon.saw(Retransmitted) == []
    site.world.streams.cut()
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert meets(site)


def test_what_came_too_early_is_said_again_late() -> None:
    """TCP brought it, and the peer dropped it: that it does not answer is no reason to lose the SA."""
    site, wire = inside()
    wire.hold(which(response=False), times=1)
    token = site.moon.rekey(site.world.now, "site")
    wait(site, 40)
    assert site.moon.done[token].error is None
    assert len(site.moon.saw(Retransmitted)) == 1


def test_silence_ends_the_sa_as_it_does_with_datagrams() -> None:
    site, _ = inside()
    site.world.streams.alive[0].silent = True
    token = site.moon.rekey(site.world.now, "site")
    wait(site, 200)
    assert "does not answer CREATE_CHILD_SA" in (site.moon.done[token].error or "")
    (gone,) = site.moon.saw(RetransmitTimeout)
    assert "(TCP) did not answer" in gone.text() and "UDP" not in gone.text()


def test_the_responders_request_follows_too() -> None:
    site, _ = inside()
    site.world.streams.alive[0].silent = True
    token = site.sun.rekey(site.world.now, "site")
    wait(site, 10)
    assert token not in site.sun.done
    site.world.streams.cut()
    wait(site, 5)
    assert site.sun.done[token].error is None
    assert meets(site)


def test_it_calls_again_and_again() -> None:
    site, _ = inside()
    site.world.streams.blocked = True
    site.world.streams.cut()
    wait(site, 20)
    assert sa_of(site.moon).state is IkeState.ESTABLISHED
    assert notes(site.moon).count("trying again in") >= 4
    site.world.streams.blocked = False
    wait(site, 20)
    assert meets(site)


def test_and_gives_up_in_the_end() -> None:
    site, _ = inside(moon_children=(child(dpd_action=Action.START),))
    site.world.streams.blocked = True
    site.world.streams.cut()
    wait(site, 240)
    (down,) = site.moon.saw(IkeDown)
    assert "the TCP connection is gone, and there is no other" in down.why
    assert notes(site.moon).count("trying again in") == MAX_REDIALS - 1
    site.world.streams.blocked = False
    wait(site, 600)
    assert len(site.moon.children) == 1  # dpd_action = restart


def test_the_responder_calls_nobody() -> None:
    site, _ = inside()
    site.moon.listens = True
    site.world.streams.blocked = True
    site.world.streams.cut()
    site.sun.rekey(site.world.now, "site")
    site.world.streams.blocked = False
    for each in site.moon.machines:
        each.close("lost its memory", site.world.now)
    wait(site, 400)
    assert [each.opener for each in site.world.streams.all] == [site.moon]
    assert bare(site.sun)


def test_it_breaks_before_there_is_an_sa() -> None:
    site, _ = called()
    token = site.moon.initiate("site", "net", 0.0)
    site.world.flush()
    site.world.streams.cut("Connection reset by peer")
    assert "Connection reset by peer" in (site.moon.done[token].error or "")
    assert bare(site.moon)


def test_it_breaks_after_a_rekeying() -> None:
    """The SA that was replaced, and is deleted just now, goes with the one that replaced it."""
    site, wire = inside()
    rule = wire.hold(which(INFORMATIONAL, response=True))
    site.moon.rekey(site.world.now, "site")
    wait(site, 2)
    assert rule.caught
    rule.stop()
    site.world.streams.cut()
    wait(site, 60)
    assert len(site.moon.machines) == len(site.sun.machines) == 1
    assert meets(site)


def test_deleted_while_it_breaks() -> None:
    site, wire = inside()
    wire.hold(which(INFORMATIONAL, response=False), times=1)
    token = site.moon.terminate(site.world.now, "site")
    wait(site, 1)
    site.world.streams.cut()
    wait(site, 1)
    assert site.moon.done[token].error is None
    assert bare(site.moon) and bare(site.sun)


def test_deleted_when_there_is_no_other() -> None:
    site, wire = inside()
    wire.hold(which(INFORMATIONAL, response=False), times=1)
    token = site.moon.terminate(site.world.now, "site")
    wait(site, 1)
    site.world.streams.blocked = True
    site.world.streams.cut()
    assert site.moon.done[token].error is None
    assert bare(site.moon)


def test_closed_when_the_sa_is_gone() -> None:
    """§6.1: by who opened it."""
    site, _ = inside()
    site.moon.terminate(site.world.now, "site")
    wait(site, 1)
    assert site.world.streams.alive == []


def test_not_closed_by_a_rekeying() -> None:
    site, _ = inside()
    site.moon.rekey(site.world.now, "site")
    wait(site, 60)
    assert len(site.world.streams.all) == 1
    assert meets(site)


def test_authenticated_anew_on_a_connection_of_its_own() -> None:
    """§6.1: no two IKE SAs share one, unless one is the rekeying of the other."""
    site, _ = inside()
    site.moon.engine.command(Rekey(77, reauth=True), site.world.now)
    wait(site, 10)
    assert len(site.world.streams.all) == 2
    assert len(site.world.streams.alive) == 1
    assert meets(site)


# -- whom the responder follows ------------------------------------------------------


def test_a_repeat_of_a_stranger_leads_nobody_away() -> None:
    """§6.1: a message that came before, on another connection, is answered there and changes nothing."""
    site, _ = inside()
    site.moon.rekey(site.world.now, child="net")
    wait(site, 1)
    old = [t.data for host, t in site.world.sent if host is site.moon][-1]
    before = sa_of(site.sun).path
    site.sun.receive(old, Stream(Endpoint.parse(SUN, 4500), Endpoint.parse("203.0.113.66", 666)), site.world.now)
    site.world.flush()
    assert sa_of(site.sun).path == before
    assert meets(site)


def test_a_datagram_leads_nobody_out_of_tcp() -> None:
    site, wire = inside()
    before = sa_of(site.sun).path
    rule = wire.hold(which(by=site.moon))
    site.moon.rekey(site.world.now, child="net")
    wait(site, 1)
    (held,) = rule.caught
    there = Path(Endpoint.parse(SUN, 4500), Endpoint.parse("203.0.113.66", 4500))
    site.sun.receive(held.transmit.data, there, site.world.now)
    site.world.flush()
    assert sa_of(site.sun).path == before


@pytest.mark.parametrize("mobike", [False, True])
def test_esp_from_elsewhere_leads_no_child_out_of_tcp(mobike: bool) -> None:
    """The kernel reports another port of the peer's NAT for ESP inside TCP as well."""
    site, _ = inside(
        nats=(Nat(frozenset({MOON}), OUTSIDE),), moon={"mobike": mobike}, sun={"remote": "%any", "mobike": mobike}
    )
    (child,) = site.sun.children
    before = child.path
    site.sun.engine.command(Remapped(child, Endpoint(before.remote.address, 31000)), site.world.now)
    wait(site, 1)
    assert child.path == before and sa_of(site.sun).path == before
    assert meets(site)


# -- moving ------------------------------------------------------------------------


def test_mobike_moves_it_by_another_connection() -> None:
    """§7.1."""
    site, _ = inside(moon={"mobike": True, "local": "%any"}, sun={"mobike": True, "local": "%any", "remote": "%any"})
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 5)
    assert sa_of(site.moon).path.local.host == ELSEWHERE
    assert len(site.world.streams.alive) == 1
    assert meets(site)


# -- without ESP inside TCP ------------------------------------------------------------


def test_a_child_that_could_not_go_there_is_not_begun() -> None:
    site, _ = called()
    site.moon.kernel.esp_in_tcp = False
    token = site.up()
    assert "cannot carry ESP inside TCP" in (site.moon.done[token].error or "")
    assert bare(site.moon) and site.world.sent == []


def test_the_ike_sa_alone_goes_there() -> None:
    site, _ = called()
    site.moon.kernel.esp_in_tcp = False
    token = site.moon.initiate("site", "", 0.0)
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert sa_of(site.moon).path.tcp
    token = site.moon.initiate("site", "net", site.world.now)
    wait(site, 5)
    assert "cannot carry ESP inside TCP" in (site.moon.done[token].error or "")
    assert sa_of(site.moon).state is IkeState.ESTABLISHED


def test_a_gateway_refuses_the_child_and_keeps_the_ike_sa() -> None:
    site, _ = called()
    site.sun.kernel.esp_in_tcp = False
    token = site.up()
    assert site.moon.done[token].error is not None
    assert sa_of(site.sun).state is sa_of(site.moon).state is IkeState.ESTABLISHED
    assert site.sun.children == site.moon.children == []
    assert "cannot carry ESP inside TCP" in site.sun.saw(ChildFailed)[0].why


# -- any life -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_rekeyed_while_connections_break(seed: int) -> None:
    """Both ends rekey, connections go silent and break, addresses change: all of it stands in the end."""
    tape = Tape(seed, "life")
    mobike = tape.chance(0.5)
    late = {"late": 0.5 * tape.chance(0.5)}
    moon, sun = {"mobike": mobike, "local": "%any"}, {"mobike": mobike, "local": "%any", "remote": "%any"}
    site, _ = inside(seed=seed, moon=moon, sun=sun, moon_host=late, sun_host=late)
    here = MOON
    for _ in range(12):
        host = site.moon if tape.chance(0.5) else site.sun
        if tape.chance(0.5):
            host.rekey(site.world.now, "site" if tape.chance(0.5) else "", "net" if tape.chance(0.5) else "")
        if tape.chance(0.2):
            for stream in site.world.streams.alive:
                stream.silent = True
        if mobike and tape.chance(0.2):
            here = ELSEWHERE if here == MOON else MOON
            site.world.move(site.moon, here)
        wait(site, 3 * tape.fraction() ** 3)
        if tape.chance(0.4):
            site.world.streams.cut()
    for stream in site.world.streams.alive:
        if stream.silent:
            site.world.streams.cut()
    wait(site, 400)  # what is redundant and on no connection any more is given up
    assert len(site.moon.machines) == len(site.sun.machines) == 1, site.world.ladder[-80:]
    assert meets(site)
