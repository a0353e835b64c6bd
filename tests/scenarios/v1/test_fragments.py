"""IKEv1 fragmentation between two ends, in any order, doubled, forged and too many (MS-IKEE §2.2.3.1, §3.3.5.3)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from ikectl.config.model import Fragmentation
from ikectl.engine.outside import Transmit
from ikectl.iana.v1 import NotifyType
from ikectl.wire.header import Header
from ikectl.wire.v1.fragment import Fragment, split
from ikectl.wire.v1.keying import VendorId as Vendor
from ikectl.wire.v1.notify import Notify
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    is_up,
    notifies,
    stands,
    wait,
    watched,
    watched_tunnel,
)
from tests.sim.forge_v1 import Impostor
from tests.sim.host import Host
from tests.sim.link import Link
from tests.sim.site import child
from tests.sim.wiretap_v1 import INFORMATIONAL, MAIN, which

LONG = [
    f"{cipher}-{integrity}-modp4096"
    for cipher in ("aes128", "aes192", "aes256", "camellia128", "camellia192", "camellia256")
    for integrity in ("sha1", "sha256", "sha384", "sha512", "md5")
]
PROBE = Notify(NotifyType.R_U_THERE)


def wordy(**options: Any) -> dict[str, Any]:
    """A child whose quick mode begins with a long message: thirty suites and a large group."""
    esp = ",".join(LONG)
    return {"moon_children": (child(esp=esp),), "sun_children": (child(esp=esp, mirror=True),), **options}


@pytest.mark.conformance("v1-37")
def test_long_messages_go_in_fragments_where_both_ends_announced_them() -> None:
    """Vendor id 4048b7d5... both ways; no datagram of ours is longer than 1280 octets with its headers."""
    _, wire = watched_tunnel(**wordy())
    for seen in wire.fresh(which(MAIN))[:2]:
        assert any(each.data.startswith(bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3"))
                   for each in seen.message.all(Vendor))  # fmt: skip
    pieces = wire.fresh(which(holds=Fragment))
    assert pieces and max(len(seen.transmit.data) for seen in wire.seen) <= 1232
    by_id: dict[tuple[str, int], list[Fragment]] = {}
    for seen in pieces:
        (piece,) = seen.message.all(Fragment)
        by_id.setdefault((seen.host.name, piece.id), []).append(piece)
    for found in by_id.values():
        assert [each.number for each in found] == list(range(1, len(found) + 1))
        assert [each.last for each in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("off", ["moon", "sun"])
def test_no_fragments_where_one_end_has_none(off: str) -> None:
    site, wire = watched_tunnel(**wordy(**{off: {"fragmentation": Fragmentation.NO}}))
    assert not wire.all(which(holds=Fragment)) and stands(site)


@pytest.mark.conformance("v1-37")
def test_they_can_be_forced() -> None:
    """fragmentation = force does without the peer's announcement."""
    _, wire = watched_tunnel(**wordy(moon={"fragmentation": Fragmentation.FORCE}, sun={}))
    assert wire.all(which(by=wire.seen[0].host, holds=Fragment))


@pytest.mark.conformance("v1-37")
def test_on_a_path_that_drops_long_datagrams() -> None:
    site, _ = watched_tunnel(**wordy(link=Link(mtu=1240)))
    for host in (site.moon, site.sun):
        host.rekey(site.world.now, "site", "net")
        wait(site, 60)
    assert stands(site)


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", [{}, AGGRESSIVE_PSK], ids=["main", "aggressive"])
def test_fragments_on_a_bad_network(mode: dict[str, Any], seed: int) -> None:
    """Lost, doubled and overtaking pieces: whole messages are said again until they are whole."""
    site, _ = watched(**wordy(both=mode, seed=seed, link=Link(loss=0.15, duplication=0.2, jitter=0.5)))
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    site.world.link = Link()
    wait(site, 100)
    if site.moon.done[token].error is None:
        assert stands(site)


def pieces_of(octets: bytes, count: int, number: int = 7) -> list[bytes]:
    """The datagrams that carry a message in that many pieces."""
    size = -(-len(octets) // count)
    found = split(octets, size + 36, number)
    assert len(found) == count
    return found


def probe(impostor: Impostor, number: int = 99) -> bytes:
    """A protected message that is answered: R-U-THERE."""
    cookies = b"".join(impostor.cookies)
    notify = Notify(NotifyType.R_U_THERE, (1000 + number).to_bytes(4, "big"), PROBE.protocol, cookies)
    return impostor.seal(impostor.hashed([notify], number), INFORMATIONAL, number)


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("by", ["moon", "sun"])
def test_in_any_order(by: str, order: tuple[int, ...]) -> None:
    """Three pieces however they come: the answer goes out at the last one to come, and once."""
    site, wire = watched_tunnel()
    impostor = Impostor(wire, getattr(site, by))
    pieces = pieces_of(probe(impostor), 3)
    answers = [notifies(impostor.deliver(pieces[at])) for at in order]
    assert answers == [[], [], [NotifyType.R_U_THERE_ACK]]


@pytest.mark.conformance("v1-37")
def test_doubled_pieces_and_a_message_that_comes_again() -> None:
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    first, second = pieces_of(probe(impostor), 2)
    for each in (first, first, first):
        assert impostor.deliver(each) == []
    assert notifies(impostor.deliver(second)) == [NotifyType.R_U_THERE_ACK]
    assert impostor.deliver(second) == [] and impostor.deliver(first) == []
    assert stands(site)


@pytest.mark.conformance("v1-37")
@pytest.mark.parametrize(
    "odd", ["number 0", "nothing in it", "two in one", "another fragment in it", "of other cookies"]
)
def test_odd_pieces_are_dropped(odd: str) -> None:
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    good = probe(impostor)
    head = {"cookie_i": impostor.cookie_i, "cookie_r": impostor.cookie_r}
    if odd == "number 0":
        impostor.deliver(impostor.clear((132, b"\0\0\0\x09\0\7\0\1x"), INFORMATIONAL, **head))
    elif odd == "nothing in it":
        impostor.deliver(impostor.clear((132, b"\0\0\0\x08\0\7\1\1"), INFORMATIONAL, **head))
    elif odd == "two in one":
        impostor.deliver(impostor.clear([Fragment(7, 1, False, good[:20]), Fragment(7, 2, True, good[20:])], 5, **head))
    elif odd == "another fragment in it":
        nested = pieces_of(good, 2)[0]
        for each in pieces_of(nested, 2):
            impostor.deliver(each)
    else:
        for each in pieces_of(b"stranger" + good[8:], 2):
            impostor.deliver(impostor.cookie_i + each[8:])
    wait(site, 1)
    assert stands(site)
    assert notifies(impostor.deliver(good)) == [NotifyType.R_U_THERE_ACK], "the whole one still counts"


@pytest.mark.conformance("v1-37")
def test_what_strangers_leave_in_pieces_shuts_nobody_out() -> None:
    """Anybody who saw the cookies can send pieces of what never becomes whole: the peer's get through."""
    site, wire = watched_tunnel()
    impostor = Impostor(wire, site.moon)
    for number in range(100):
        for piece in (1, 2, 255):
            assert impostor.deliver(impostor.clear([Fragment(number, piece, False, bytes(60000))], INFORMATIONAL)) == []
    answers = [notifies(impostor.deliver(each)) for each in pieces_of(probe(impostor), 3)]
    assert answers[-1] == [NotifyType.R_U_THERE_ACK] and stands(site)


@pytest.mark.conformance("v1-37")
def test_forged_pieces_among_the_true_ones_only_delay() -> None:
    """Somebody adds a wrong piece to each message of moon: its repeats get through."""
    site, _ = watched(**wordy())

    def spoil(host: Host, transmit: Transmit) -> bool:
        data = transmit.data
        if host is site.moon and int(Header.read(data).next_payload) == 132 and len(spoilt) < 6:
            junk = data[:-40] + bytes(40)
            spoilt.append(junk)
            path = transmit.path
            site.world.at(site.world.now + 0.001, lambda: site.world.deliver(junk, path.local, path.remote))
        return True

    spoilt: list[bytes] = []
    site.world.taps.append(spoil)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 60)
    assert spoilt and site.moon.done[token].error is None and stands(site)


@pytest.mark.conformance("v1-37")
def test_messages_of_phase_1_may_come_in_pieces() -> None:
    """Messages 3 and 5 in pieces at the responder; one for an SA that is not there makes nothing."""
    site, wire = watched()
    peer = caller(wire, site)
    for each in pieces_of(peer.clear([peer.offer()], MAIN, cookie_i=b"whatever"), 2):
        peer.deliver(each)
    wait(site, 40)
    assert bare(site.sun)
    peer.main_1()
    deliver = peer.deliver

    def cut(octets: bytes) -> Any:
        return [seen for each in pieces_of(octets, 3) for seen in deliver(each)]

    peer.deliver = cut  # type: ignore[method-assign]
    peer.main_3()
    peer.main_5()
    assert len(peer.heard) == 3 and is_up(site.sun)
