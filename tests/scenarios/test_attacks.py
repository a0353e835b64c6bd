"""What somebody in between, a malicious peer or a failing kernel may not bring about."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ikectl.config.model import Fresh, Mark, Mode
from ikectl.crypto.proposal import parse_proposal
from ikectl.engine.commands import Selection, Terminate
from ikectl.engine.outside import Transmit
from ikectl.errors import BackendError
from ikectl.exchange.v2.informational import Liveness
from ikectl.iana.v2 import NotifyType, PayloadType, Protocol
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.env import Settings
from ikectl.sa.events import Fault, TsMismatch
from ikectl.values.path import Endpoint, Path
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.sa import SA
from ikectl.wire.v2.ts import TSi, TSr
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
from tests.sim.host import Host
from tests.sim.nat import Nat
from tests.sim.site import MOON, SUN, Site, child, connection
from tests.sim.wiretap import which
from tests.sim.world import World


def racer(site: Site, **options: object) -> Host:
    """Somebody on the wire who poses as sun and answers faster; sun's own answers arrive all the same."""
    evil = Host("evil", SUN, 666, secret=b"a wrong guess", **options)  # type: ignore[arg-type]
    evil.load(
        connection(
            local=SUN,
            remote=MOON,
            local_id="sun.example.org",
            remote_id="moon.example.org",
            children=(child(mirror=True),),
        )
    )

    def tap(host: Host, transmit: Transmit) -> bool:
        if host is site.moon:
            evil.receive(transmit.data, Path(transmit.path.remote, transmit.path.local), site.world.now)
            for answer in evil.drain()[0]:
                site.world.at(
                    site.world.now + 0.001,
                    lambda answer=answer: site.world.deliver(  # type: ignore[misc]
                        answer.data, answer.path.local, answer.path.remote
                    ),
                )
        return True

    site.world.taps.append(tap)
    return evil


@pytest.mark.conformance("v2-38")
def test_who_answers_faster_and_refuses_only_delays() -> None:
    """The racer's IKE_SA_INIT answer comes first, then its sealed AUTHENTICATION_FAILED; sun's is used in the end."""
    site, _ = gateways()
    racer(site)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, within=60.0)
    assert site.moon.done[token].error is None
    wait(site, 1)
    assert stands(site)


@pytest.mark.conformance("v2-38")
def test_who_answers_faster_and_fails_to_prove_itself_only_delays() -> None:
    """The racer knows the group's secret, but is not sun: its proof is good and its identity is not."""
    site, _ = gateways()
    evil = racer(site)
    evil.secret = site.moon.secret
    nameless = next(iter(evil.engine.connections.all))
    evil.load(replace(nameless, local=(replace(nameless.local[0], id=None),)))
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done, within=60.0)
    assert site.moon.done[token].error is None
    wait(site, 1)
    assert stands(site)


@pytest.mark.parametrize("body", [b"", b"\0\0\0\x08\0\0\0\x0e"], ids=["empty", "NO_PROPOSAL_CHOSEN"])
def test_junk_behind_the_true_answer_changes_nothing(body: bytes) -> None:
    """Another IKE_SA_INIT response comes late and leads nowhere; one IKE_AUTH is lost: it is repeated as ever."""
    site, wire = gateways()
    wire.hold(which(IKE_AUTH, by=site.moon), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(1.0)
    (init,) = wire.all(which(IKE_SA_INIT, by=site.sun))
    first = bytes((PayloadType.NOTIFY if body else PayloadType.NONE,))
    length = (28 + len(body)).to_bytes(4, "big")
    junk = init.octets[:8] + b"stranger" + first + init.octets[17:24] + length + body
    site.world.deliver(junk, Endpoint.parse(SUN, 500), Endpoint.parse(MOON, 500))
    site.world.run_until(lambda: token in site.moon.done, within=60.0)
    assert site.moon.done[token].error is None
    wait(site, 1)
    assert stands(site)


def test_two_sa_payloads_are_a_fault_of_the_peer_and_not_ours() -> None:
    site, wire = tunnel()
    peer = Impostor(wire, site.moon)
    offer = SA((parse_proposal("aes128gcm16", Protocol.ESP)._replace(spi=b"abcd"),))
    answer = peer.request(CREATE_CHILD_SA, [offer, offer])
    assert notifies(answer) == [NotifyType.INVALID_SYNTAX]
    assert not site.sun.saw(Fault)


def test_an_sa_closed_amid_a_simultaneous_rekeying_leaves_a_way_out() -> None:
    site, wire = tunnel()
    wire.hold(which(CREATE_CHILD_SA, by=site.moon, response=False))
    quiet = wire.hold(which(INFORMATIONAL, by=site.sun))
    site.moon.rekey(site.world.now, "site")
    site.sun.rekey(site.world.now, "site")
    wait(site, 1)
    old = next(machine for machine in site.moon.machines if machine.sa.rival)
    site.moon.engine.command(Terminate(0, Selection(ike_id=old.sa.uniqueid), True), site.world.now)
    quiet.stop()
    next(m for m in site.sun.machines if m.sa.state is IkeState.ESTABLISHED).begin(Liveness(), site.world.now)
    wait(site, 5)
    assert not site.moon.saw(Fault)
    wait(site, 600)
    assert bare(site.moon)


def test_initial_contact_is_not_said_over_a_connection_of_the_same_identities() -> None:
    """Two connections between the same two identities: the second must not make the peer drop the first (§2.4)."""
    site, wire = tunnel()
    site.moon.load(connection("second", children=(child("other", local="10.3.0.0/16"),)))
    site.sun.load(
        connection(
            "second",
            local=SUN,
            remote=MOON,
            local_id="sun.example.org",
            remote_id="moon.example.org",
            children=(child("other", mirror=True, local="10.3.0.0/16"),),
        )
    )
    site.moon.initiate("second", "other", site.world.now)
    wait(site, 5)
    (first, second) = wire.messages(which(IKE_AUTH, by=site.moon))
    assert NotifyType.INITIAL_CONTACT in notifies(first) and NotifyType.INITIAL_CONTACT not in notifies(second)
    assert len(site.sun.machines) == 2


def test_liveness_goes_on_when_the_kernel_cannot_tell() -> None:
    site, _ = tunnel(moon={"dpd_delay": 10})

    def fail(ask: asks.QueryUse) -> asks.Usage:
        raise BackendError("the kernel is out of sorts")

    site.moon.answers[asks.QueryUse] = fail
    site.world.taps.append(lambda host, transmit: False)
    wait(site, 400)
    assert bare(site.moon)


def test_one_failing_removal_keeps_nothing_else_in_the_kernel() -> None:
    more = (child(), child("more", local="10.5.0.0/16"))
    mirrored = (child(mirror=True), child("more", mirror=True, local="10.5.0.0/16"))
    site, _ = tunnel(moon_children=more, sun_children=mirrored)
    site.moon.initiate("site", "more", site.world.now)
    wait(site, 1)
    first, second = site.moon.children
    remove = site.moon.answers[asks.RemoveChild]

    def stubborn(ask: asks.RemoveChild) -> None:
        if ask.child is first:
            raise BackendError("no")
        remove(ask)

    site.moon.answers[asks.RemoveChild] = stubborn
    site.world.check = lambda: None  # type: ignore[method-assign]  # what stays is what the kernel would not give up
    site.moon.terminate(site.world.now, "site")
    wait(site, 5)
    assert not site.moon.machines
    assert [half.child for half in site.moon.kernel.inbound.values()] == [first]
    assert second not in [half.child for half in site.moon.kernel.outbound.values()]


def test_lifetimes_are_kept_however_many_end_at_once() -> None:
    names = [f"c{number}" for number in range(6)]
    ours = tuple(child(name, local=f"10.{i + 10}.0.0/16", life_time=60) for i, name in enumerate(names))
    theirs = tuple(child(name, mirror=True, local=f"10.{i + 10}.0.0/16") for i, name in enumerate(names))
    site = Site(moon_children=ours, sun_children=theirs, moon_host={"settings": Settings(max_queue=2)})
    for name in names:
        site.moon.initiate("site", name, site.world.now)
        wait(site, 0.2)
    assert len(site.moon.children) == 6
    wait(site, 90)
    assert not site.moon.children and not site.sun.children


def test_sas_that_came_and_went_leave_no_keys_and_no_alarms() -> None:
    site = Site(moon={"rekey_time": 14400}, sun={"rekey_time": 14400})
    for _ in range(5):
        site.up()
        (machine,) = site.moon.machines
        site.moon.terminate(site.world.now, "site")
        wait(site, 60)
        assert machine.sa.keys is None
    assert site.moon.engine.deadline() is None or site.moon.engine.deadline() > site.world.now  # type: ignore[operator]
    assert not list(site.moon.engine._router.machines)


def test_a_closed_sa_sends_no_keepalives() -> None:
    """Keepalive and half-open limit fall due at one instant, after the host slept."""
    site, _ = tunnel()
    (machine,) = site.moon.machines
    machine.schedule["expire"] = site.world.now + 5
    machine.schedule["keepalive"] = site.world.now + 5
    machine.close("for the test", site.world.now)
    mark = len(site.world.sent)
    for _ in range(5):
        site.world.now += 100
        machine.tick(site.world.now)
    site.world.flush()
    assert len(site.world.sent) == mark


def test_another_address_is_not_followed_before_authentication() -> None:
    """The connection was chosen by the address of IKE_SA_INIT; IKE_AUTH from elsewhere moves nothing there."""
    site, wire = gateways(sun_children=(child(mirror=True, local="dynamic"),), moon_children=(child(local="dynamic"),))
    held = wire.hold(which(IKE_AUTH, by=site.moon), times=1)
    site.moon.initiate("site", "net", 0.0)
    site.world.run(1.0)
    (auth,) = wire.all(which(IKE_AUTH, by=site.moon))
    site.world.deliver(auth.octets, Endpoint.parse("203.0.113.66", 500), Endpoint.parse(SUN, 500))
    site.world.flush()
    assert held and sa_of(site.sun).path.remote == Endpoint.parse(MOON, 500)


def test_a_peer_behind_a_nat_gets_no_tunnel_for_an_address_it_only_claims() -> None:
    """CREATE_CHILD_SA from a forged address, for traffic of that address; the same octets again from its own."""
    ends: dict[str, Any] = {"local": "dynamic", "remote": "10.2.0.0/16"}
    site, wire = gateways(
        nats=(Nat(frozenset({MOON}), "203.0.113.9"),),
        sun={"remote": "%any"},
        moon_children=(child(**ends),),
        sun_children=(child(mirror=True, **ends),),
    )
    site.moon.initiate("site", "net", site.world.now)
    wait(site, 5)
    peer, victim = Impostor(wire, site.moon), ip_address("8.8.8.8")
    real, there, number = sa_of(site.sun).path.remote, Endpoint.parse(SUN, 4500), peer.machine.window.next_request
    proposal = parse_proposal("aes128gcm16", Protocol.ESP)._replace(spi=b"abcd")
    wanted = TSi((TrafficSelector.of_address(victim.packed),)), TSr((TrafficSelector.of_network("10.2.0.0/16"),))
    asked = peer.seal(CREATE_CHILD_SA, [SA((proposal,)), Nonce(b"n" * 32), *wanted], message_id=number)
    for source in (Endpoint(victim.packed, 4500), real):
        peer.path = Path(source, there)
        peer.deliver(asked)
    peer.request(INFORMATIONAL, [], message_id=number + 1)
    wait(site, 1)
    assert not site.sun.children and not site.sun.kernel.inbound


NEIGHBOURS = "203.0.113.9"


def neighbours(mark: Mark) -> tuple[Host, Host, Host]:
    """moon and mars behind one NAT; each has transport mode to sun, or wants it."""
    moon, mars, sun = Host("moon", MOON, 1), Host("mars", "192.0.2.2", 2), Host("sun", SUN, 3)
    ends: dict[str, Any] = {"local": "dynamic", "mode": Mode.TRANSPORT}
    for host in (moon, mars):
        net = child(remote="dynamic", **ends)
        host.load(connection(local=host.address, local_id=f"{host.name}.example.org", children=(net,)))
    marked = child(remote="dynamic", mark_in=mark, mark_out=mark, **ends)
    about: dict[str, Any] = {"local_id": "sun.example.org", "remote_id": "*.example.org"}
    sun.load(connection(local=SUN, remote="%any", children=(marked,), **about))
    world = World(1, moon, mars, sun, nats=(Nat(frozenset({MOON, mars.address}), NEIGHBOURS),))
    for host in (moon, mars):
        host.initiate("site", "net", world.now)
        world.run(world.now + 5)
    return moon, mars, sun


def test_a_peer_gets_nothing_of_what_is_for_its_neighbour_behind_the_same_nat() -> None:
    """Their own addresses differ, those that the NAT gives their packets do not: the second is refused."""
    moon, mars, sun = neighbours(Mark())
    (kept,) = sun.children
    half = sun.kernel.sending_on(kept.reqid)
    assert half is not None and moon.kernel.receives(half) and not mars.kernel.receives(half)
    (refused,) = sun.saw(TsMismatch)
    assert "held by moon.example.org" in refused.why and "mark_in = %unique" in refused.why
    assert not mars.children and not mars.kernel.larval and not sun.kernel.larval


def test_neighbours_with_marks_of_their_own_both_have_a_tunnel() -> None:
    moon, mars, sun = neighbours(Mark(0, 0xFFFFFFFF, Fresh.CHILD))
    first, second = sun.children
    assert first.reqid != second.reqid and first.marks != second.marks
    for host, each in ((moon, first), (mars, second)):
        half = sun.kernel.sending_on(each.reqid)
        assert half is not None and host.kernel.receives(half)


def test_a_peer_cannot_pile_up_ike_sas_by_rekeying() -> None:
    """Rekey after rekey and no DELETE: the second in a row is put off until the first is cleared up."""
    site, wire = tunnel()
    wire.hold(which(INFORMATIONAL, by=site.moon))
    for _ in range(4):
        site.moon.rekey(site.world.now, "site")
        wait(site, 1)
    assert len(site.sun.machines) == 2


@pytest.mark.parametrize("stage", range(4))
def test_what_a_late_answer_brings_about_is_undone(stage: int) -> None:
    """The SA is closed while the kernel has not answered yet; nothing stays in it."""
    site, _ = gateways(moon_host={"late": 1.0})
    site.moon.initiate("site", "net", 0.0)
    for _ in range(400):
        site.world.step(100.0)
        waiting = [type(ask) for _, ask in site.moon.engine._outside.waiting.values()]
        if (asks.AllocSpi if stage % 2 else asks.InstallChild) in waiting:
            break
    for machine in site.moon.machines:
        machine.close("for the test", site.world.now)
    wait(site, 300)
    assert bare(site.moon)
