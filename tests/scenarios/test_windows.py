"""Several exchanges in flight at once, where both ends want it (RFC 7296 §2.3)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.iana.v2 import ExchangeType, NotifyType, Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.events import Retransmitted
from ikectl.values.path import Endpoint
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify, message_id, window_size
from ikectl.wire.v2.ts import TSi
from tests.scenarios.stage import CREATE_CHILD_SA, INFORMATIONAL, sa_of, tunnel, wait
from tests.sim.forge import Impostor
from tests.sim.site import SUN, Site, child
from tests.sim.wiretap import Wiretap, which

SET_WINDOW_SIZE = NotifyType.SET_WINDOW_SIZE
NAMES = ("a", "b", "c", "d")
ELSEWHERE = "192.0.2.77"


def children(mirror: bool) -> tuple[Any, ...]:
    ends = [
        child(name, mirror=mirror, local=f"10.1.{number}.0/24", remote=f"10.2.{number}.0/24")
        for number, name in enumerate(NAMES, 10)
    ]
    return (child(mirror=mirror, local="10.1.0.0/24", remote="10.2.0.0/24"), *ends)


def wide(near: int = 4, far: int = 4, **more: Any) -> tuple[Site, Wiretap]:
    """A tunnel of `net` whose ends have told each other their windows; further children are configured."""
    options: dict[str, Any] = {"moon_children": children(False), "sun_children": children(True), **more}
    options["moon"] = {"window": near, **more.get("moon", {})}
    options["sun"] = {"window": far, **more.get("sun", {})}
    site, wire = tunnel(**options)
    wait(site, 2)
    return site, wire


def bring_up(site: Site, *names: str) -> list[int]:
    return [site.moon.initiate("site", name, site.world.now) for name in names]


def numbers(messages: list[Message]) -> list[int]:
    """Each message ID once, in the order of its first sending."""
    return list(dict.fromkeys(message.message_id for message in messages))


def stand(site: Site, *names: str) -> bool:
    """Both ends have exactly these children, and packets pass on all of them."""
    held = [sorted(one.name for one in host.children) for host in (site.moon, site.sun)]
    return held == [sorted(names)] * 2 and site.world.carries(site.moon, site.sun)


@pytest.mark.conformance("v2-35")
def test_each_end_says_its_window_once_the_sa_stands() -> None:
    """INFORMATIONAL {N(SET_WINDOW_SIZE)} --> from both ends, after IKE_AUTH and again on a rekeyed SA."""
    site, wire = wide(4, 6)
    said = [(seen.host.name, window_size(seen.message.notifies(SET_WINDOW_SIZE)[0])) for seen in telling(wire)]
    assert sorted(said) == [("moon", 4), ("sun", 6)]
    assert all(seen.message.exchange is INFORMATIONAL for seen in telling(wire))
    assert widths(site) == [4, 4], "no more than is wanted here"
    mark = len(wire.seen)
    site.moon.rekey(site.world.now, "site", "")
    wait(site, 10)
    assert sorted(seen.host.name for seen in telling(wire, mark)) == ["moon", "sun"]
    assert widths(site) == [4, 4]
    site.world.settled()


def widths(site: Site) -> list[int]:
    """How many requests moon and sun may have in flight, as each knows it."""
    return [numbering.peer_window for host in (site.moon, site.sun) if (numbering := sa_of(host).numbering) is not None]


def telling(wire: Wiretap, since: int = 0) -> list[Any]:
    return wire.all(which(response=False, holds=SET_WINDOW_SIZE), since=since)


@pytest.mark.conformance("v2-35")
def test_who_has_a_window_of_one_says_nothing() -> None:
    site, wire = tunnel()
    wait(site, 10)
    assert not telling(wire) and sa_of(site.moon).numbering is None


@pytest.mark.conformance("v2-35")
@pytest.mark.parametrize(("moon", "sun", "at_once"), [(4, 4, 4), (4, 2, 2), (2, 8, 2), (4, 1, 1), (1, 4, 1)])
def test_as_many_are_in_flight_as_both_ends_want(moon: int, sun: int, at_once: int) -> None:
    """CREATE_CHILD_SA 2, 3, ... --> before an answer came; then the answers, the last one first."""
    site, wire = wide(moon, sun)
    held = wire.hold(which(CREATE_CHILD_SA, by=site.sun, response=True))
    mark = len(wire.seen)
    first = site.moon.machines[0].window.next_request
    tokens = bring_up(site, *NAMES)
    wait(site, 1)
    asked = wire.messages(which(CREATE_CHILD_SA, by=site.moon), since=mark)
    assert numbers(asked) == list(range(first, first + at_once))
    assert len(site.moon.machines[0].tasks.active) == at_once
    held.caught.reverse()
    wire.release(held)
    wait(site, 60)
    assert all(site.moon.done[token].error is None for token in tokens)
    assert stand(site, "net", *NAMES)
    site.world.settled()


@pytest.mark.conformance("v2-35")
def test_the_oldest_request_without_an_answer_holds_the_window() -> None:
    """2 is lost, 3 and 4 are answered: 5 waits until 2 was answered; each is repeated by itself."""
    site, wire = wide(3, 3)
    lost = wire.hold(which(CREATE_CHILD_SA, by=site.moon), times=1)
    mark = len(wire.seen)
    tokens = bring_up(site, *NAMES)
    wait(site, 1)
    first = lost.caught[0].message.message_id
    assert numbers(wire.messages(which(by=site.moon, response=False), since=mark)) == [first, first + 1, first + 2]
    assert sorted(one.name for one in site.moon.children) == ["b", "c", "net"]
    wait(site, 30)
    assert {event.message_id for event in site.moon.saw(Retransmitted)} == {first}
    assert numbers(wire.messages(which(by=site.moon, response=False), since=mark))[3] == first + 3
    assert all(site.moon.done[token].error is None for token in tokens)
    assert stand(site, "net", *NAMES)
    site.world.settled()


@pytest.mark.conformance("v2-29", "v2-30")
def test_every_request_of_the_window_may_come_again() -> None:
    """Three requests, the last one first; each repeat gets the very octets of its answer, and changes nothing."""
    site, wire = wide()
    for host in (site.moon, site.sun):
        impostor = Impostor(wire, host)
        first = impostor.machine.window.next_request
        requests = [impostor.seal(INFORMATIONAL, [], message_id=first + each) for each in range(3)]
        answers = {}
        for octets in reversed(requests):
            (seen,) = impostor.deliver(octets)
            answers[octets] = seen.octets
            assert seen.message.response
        for octets in (*requests, *requests):
            assert [seen.octets for seen in impostor.deliver(octets)] == [answers[octets]]
            assert not impostor.deliver(octets[:-1] + bytes((octets[-1] ^ 1,))), "no amplifier for who cannot seal"
        impostor.machine.window.next_request = first + 3
    assert stand(site, "net")
    site.world.settled()


@pytest.mark.conformance("v2-34")
def test_what_lies_beyond_the_window_is_not_obeyed() -> None:
    """HDR(n + 4), SK {D} --> within a window of 4 from n on: <-- INFORMATIONAL {N(INVALID_MESSAGE_ID)}, a request."""
    site, wire = wide()
    impostor = Impostor(wire, site.moon)
    first = impostor.machine.window.next_request
    mark = len(wire.seen)
    for number in (first + 4, first + 5, 2**32 - 1):
        assert impostor.request(INFORMATIONAL, [Delete(Protocol.IKE)], message_id=number) is None
    complaints = wire.messages(which(by=site.sun, holds=NotifyType.INVALID_MESSAGE_ID), since=mark)
    assert [message_id(each.notifies(NotifyType.INVALID_MESSAGE_ID)[0]) for each in complaints] == [first + 4]
    assert not complaints[0].response, "it must never be a response"
    assert not impostor.deliver(bytes(8) + impostor.seal(INFORMATIONAL, [], message_id=first + 6)[8:])
    wait(site, 100)
    octets = impostor.seal(INFORMATIONAL, [], message_id=first + 7)
    assert not impostor.deliver(octets[:-1] + bytes((octets[-1] ^ 1,))), "nobody in particular"
    assert impostor.deliver(octets)[0].message.notify(NotifyType.INVALID_MESSAGE_ID) is not None, "once in a minute"
    wait(site, 5)
    assert stand(site, "net")
    site.world.settled()


@pytest.mark.conformance("v2-35", "v2-36")
@pytest.mark.parametrize("what", ["", "site"])
def test_what_ends_or_replaces_the_ike_sa_goes_alone(what: str) -> None:
    """Rekeying or deleting the IKE SA waits for what is in flight, and what comes after waits for it."""
    site, wire = wide()
    held = wire.hold(which(CREATE_CHILD_SA, by=site.sun, response=True), times=2)
    mark = len(wire.seen)
    bring_up(site, "a", "b")
    if what:
        site.moon.terminate(site.world.now, what)
    else:
        site.moon.rekey(site.world.now, "site", "")
    bring_up(site, "c")
    wait(site, 1)
    asked = wire.messages(which(by=site.moon, response=False), since=mark)
    assert [message.exchange for message in asked] == [CREATE_CHILD_SA] * 2
    assert all(message.all(TSi) for message in asked)
    alone = wire.hold(which(by=site.sun, response=True), times=1)
    wire.release(held)
    wait(site, 1)
    asked = wire.messages(which(by=site.moon, response=False), since=mark)
    assert len(numbers(asked)) == 3 and (asked[-1].all(Delete) if what else not asked[-1].all(TSi))
    wire.release(alone)
    wait(site, 60)
    assert stand(site, "net", "a", "b", "c") or (what and not site.sun.machines)
    if not what:
        site.world.settled()


@pytest.mark.conformance("v2-35")
def test_one_child_is_the_subject_of_one_exchange_at_a_time() -> None:
    """Two rekeyings of `a` go one after the other, beside that of `b`; the second finds nothing to do."""
    site, wire = wide()
    bring_up(site, "a", "b")
    wait(site, 5)
    held = wire.hold(which(by=site.sun, response=True))
    mark = len(wire.seen)
    site.moon.rekey(site.world.now, "site", "b")
    site.moon.rekey(site.world.now, "site", "a")
    site.moon.rekey(site.world.now, "site", "a")
    wait(site, 1)
    asked = wire.messages(which(by=site.moon, response=False), since=mark)
    assert len(numbers(asked)) == 2
    wire.release(held)
    wait(site, 60)
    assert stand(site, "net", "a", "b")
    site.world.settled()


@pytest.mark.conformance("v2-35")
def test_additional_key_exchanges_are_not_torn() -> None:
    """CREATE_CHILD_SA a, b --> at once; each series of IKE_FOLLOWUP_KE is alone, and sun's rekeying waits for both."""
    esp = "aes128gcm16-x25519-ke1_ecp384-ke2_mlkem768"
    site, wire = wide(moon_children=series(False, esp), sun_children=series(True, esp))
    mark = len(wire.seen)
    tokens = bring_up(site, "a", "b")
    site.world.at(site.world.now + 0.05, lambda: site.sun.rekey(site.world.now, "site", ""))
    wait(site, 120)
    assert all(site.moon.done[token].error is None for token in tokens)
    asked = {seen.message.message_id: seen for seen in wire.all(which(by=site.moon, response=False), since=mark)}
    kinds = [seen.message.exchange for seen in asked.values()][:6]
    assert kinds == [CREATE_CHILD_SA] * 2 + [ExchangeType.IKE_FOLLOWUP_KE] * 4
    answers = wire.all(which(ExchangeType.IKE_FOLLOWUP_KE, by=site.sun), since=mark)
    for answer in answers[:3]:
        assert asked[answer.message.message_id + 1].at > answer.at, "one after the other"
    refusal = wire.messages(which(by=site.moon, holds=NotifyType.TEMPORARY_FAILURE), since=mark)
    assert len(numbers(refusal)) == 1
    assert stand(site, "net", "a", "b")
    site.world.settled()


def series(mirror: bool, esp: str) -> tuple[Any, ...]:
    ends = {"a": ("10.1.10.0/24", "10.2.10.0/24"), "b": ("10.1.11.0/24", "10.2.11.0/24")}
    made = [child(name, mirror=mirror, esp=esp, local=pair[0], remote=pair[1]) for name, pair in ends.items()]
    return (child(mirror=mirror, local="10.1.0.0/24", remote="10.2.0.0/24"), *made)


@pytest.mark.conformance("v2-35")
def test_a_rekeyed_sa_begins_with_a_window_of_one() -> None:
    """Until SET_WINDOW_SIZE came on the new SA, one request is in flight there (RFC 7296 §2.18)."""
    site, wire = wide()
    (old,) = site.moon.machines
    silent = wire.hold(lambda seen: bool(telling_one(seen)) and seen.message.spi_i != old.sa.spi_i)
    site.moon.rekey(site.world.now, "site", "")
    wait(site, 1)
    (new,) = [machine for machine in site.moon.machines if machine.sa.state is IkeState.ESTABLISHED]
    assert new.sa.numbering is None
    bring_up(site, "a", "b")
    wait(site, 1)
    assert len(new.tasks.active) == 1
    wire.release(silent)
    wait(site, 60)
    assert widths(site) == [4, 4] and stand(site, "net", "a", "b")
    site.world.settled()


def telling_one(seen: Any) -> bool:
    return not seen.message.response and bool(seen.message.notifies(SET_WINDOW_SIZE))


@pytest.mark.conformance("v2-25")
def test_a_window_of_no_messages_is_malformed() -> None:
    site, wire = wide()
    answer = Impostor(wire, site.sun).request(INFORMATIONAL, [Notify(SET_WINDOW_SIZE, bytes(4))])
    assert answer is not None and answer.notify(NotifyType.INVALID_SYNTAX) is not None
    wait(site, 60)
    assert not site.moon.machines


@pytest.mark.conformance("v2-35", "v2-107")
def test_an_update_of_addresses_does_not_wait_for_what_is_in_flight() -> None:
    """RFC 4555 §3.5: CREATE_CHILD_SA a, b --> unanswered; moon moves; they go on from there, and the update too."""
    mobile = {"mobike": True, "local": "%any"}
    site, wire = wide(moon=mobile, sun={**mobile, "remote": "%any"})
    held = wire.hold(which(CREATE_CHILD_SA, by=site.sun, response=True))
    tokens = bring_up(site, "a", "b")
    wait(site, 1)
    mark = len(wire.seen)
    site.world.move(site.moon, ELSEWHERE)
    wait(site, 1)
    sent = wire.all(which(by=site.moon, response=False), since=mark)
    assert {seen.transmit.path.local.host for seen in sent} == {ELSEWHERE}
    assert [seen.message.exchange for seen in sent][:3] == [CREATE_CHILD_SA, CREATE_CHILD_SA, INFORMATIONAL]
    assert sent[2].message.notify(NotifyType.UPDATE_SA_ADDRESSES) is not None
    wire.release(held)
    wait(site, 60)
    assert all(site.moon.done[token].error is None for token in tokens)
    for host in (site.moon, site.sun):
        assert all(one.path == sa_of(host).path for one in host.children)
    assert stand(site, "net", "a", "b") and sa_of(site.sun).path.remote.host == ELSEWHERE
    site.world.settled()


@pytest.mark.conformance("v2-107")
def test_an_update_that_a_newer_one_overtook_is_not_obeyed() -> None:
    """RFC 4555 §3.5: UPDATE_SA_ADDRESSES 5 from one address, then 4 from another: answered, and nothing else."""
    mobile = {"mobike": True, "local": "%any"}
    site, wire = wide(moon=mobile, sun={**mobile, "remote": "%any"})
    impostor = Impostor(wire, site.moon)
    first = impostor.machine.window.next_request
    update = [Notify(NotifyType.UPDATE_SA_ADDRESSES)]
    for number, address in ((first + 1, ELSEWHERE), (first, "192.0.2.66")):
        octets = impostor.seal(INFORMATIONAL, update, message_id=number)
        site.world.deliver(bytes(4) + octets, Endpoint.parse(address, 4500), Endpoint.parse(SUN, 4500))
        site.world.flush()
        answer = wire.messages(which(by=site.sun, response=True))[-1]
        assert answer.message_id == number and not answer.all(Notify)
        assert sa_of(site.sun).path.remote.host == ELSEWHERE
