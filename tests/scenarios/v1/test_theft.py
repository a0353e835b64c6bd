"""What belongs to one peer of IKEv1 and may not come to another: identity, hash of a key, traffic, children, leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ikectl.config.model import Connection, Fresh, Mark, Mode, Pool, Unique
from ikectl.crypto import ke
from ikectl.crypto.kdf_v1 import derive, phase2_iv, skeyid_signature
from ikectl.crypto.proposal import parse_proposal
from ikectl.crypto.proposal_v1 import offer_phase2
from ikectl.engine.outside import Transmit
from ikectl.engine.v1 import talk
from ikectl.iana.v1 import VENDOR_OCTETS, EncapsulationMode, NotifyType, ProtocolId, TransactionType, id_type
from ikectl.iana.v1 import VendorId as Vendor
from ikectl.iana.v2 import KeyExchangeMethod, Protocol
from ikectl.pki.store import Store
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.events import AuthFailed, ChildDown, TsMismatch
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.path import Endpoint
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Hash, Nonce, VendorId
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.nat import NatD
from ikectl.wire.v1.notify import Delete, dpd_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA, Transform
from ikectl.wire.v1.transaction import Attributes
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    IKE,
    calls,
    gateways,
    is_up,
    sa_of,
    stands,
    tunnel,
    wait,
    watched,
)
from tests.scenarios.v1.test_authentication import Party, between, leaf, up
from tests.scenarios.v1.test_mode_config import fill
from tests.scenarios.v1.test_mode_config import site as with_pool
from tests.scenarios.v1.test_xauth import asks_for_login, logs_in, user
from tests.scenarios.v1.test_xauth import site as with_users
from tests.sim.forge_v1 import Impostor, Peer, clear
from tests.sim.host import Host
from tests.sim.nat import Nat
from tests.sim.site import ESP, MOON, SUN, Site, child, connection
from tests.sim.wiretap_v1 import AGGRESSIVE, MAIN, TRANSACTION, Wiretap, which
from tests.sim.world import World

MARS, OUTSIDE, ELSEWHERE = "192.0.2.2", "203.0.113.9", "198.18.0.66"
VICTIM = "8.8.8.8"
SITE, GROUP = b"very strong site secret", b"group secret"


def behind_nat(**options: Any) -> tuple[Site, Wiretap]:
    """As `watched`, moon behind a NAT that hides mars, too."""
    return watched(nats=(Nat(frozenset({MOON, MARS}), OUTSIDE),), sun={"remote": "%any"}, **options)


def recorded(impostor: Impostor) -> list[bytes]:
    """What it says from now on, as it is on the wire."""
    said: list[bytes] = []
    deliver = impostor.deliver
    impostor.deliver = lambda octets: said.append(octets) or deliver(octets)  # type: ignore[method-assign, func-returns-value]
    return said


class Anybody(Peer):
    """A stranger who offers signatures: without any credential it has the keys of the ISAKMP SA to be."""

    def __init__(self, wire: Wiretap, target: Host, address: str = MOON) -> None:
        super().__init__(wire, target, address, group=KeyExchangeMethod.ECP_256)

    def transform(self, number: int = 1, **other: int | bytes) -> Transform:
        return super().transform(number, **{"AUTH_METHOD": 3, **other})

    def make_keys(self) -> None:
        assert self.suite is not None
        self.shared = ke.combine(self.pair, self.their_public)
        skeyid = skeyid_signature(self.suite.prf, self.nonce, self.their_nonce, self.shared)
        self.keys = derive(self.suite, skeyid, self.shared, *self.cookies)
        self._note()

    def inform(self, payloads: Sequence[Payload]) -> None:
        """An informational exchange before phase 1 is over."""
        assert self.suite is not None
        number = self.new_id()
        self.say(payloads, message_id=number, iv=phase2_iv(self.suite, self.first_iv(), number))


# -- an identity ----------------------------------------------------------------------------


def gateway_of_many(
    owners: Sequence[str], of_site: Sequence[str] = ("site.example.org",), **options: Any
) -> tuple[Host, Wiretap]:
    """sun has a site at moon's address with a secret of its own, and road warriors whose secret is of `owners`."""
    store = Store()
    store.add_secret("site", [IdentityPattern.parse(end) for end in of_site], SITE)
    store.add_secret("road", [IdentityPattern.parse(owner) for owner in owners], GROUP)
    secrets = {
        asks.SharedSecret: lambda ask: store.shared_secret(
            ask.local_id, ask.remote_id, ask.local_address, ask.remote_address, ask.named
        )
    }
    sun = Host("sun", SUN, 1, answers=secrets)
    common: dict[str, Any] = {"local": SUN, "local_id": "sun.example.org", "ike": IKE, "version": 1}
    sun.load(connection("site", remote=MOON, remote_id="site.example.org", children=(child(mirror=True),), **common))
    sun.load(connection("road", remote="%any", remote_id="%any", **common, **options))
    return sun, Wiretap(World(1, sun))


@pytest.mark.parametrize("owners", [[], ["%any"], ["sun.example.org"]])
def test_who_knows_the_secret_of_a_group_is_not_the_site_behind_whose_nat_it_sits(owners: list[str]) -> None:
    """A road warrior calls from the site's public address, with the site's identity and the group's secret."""
    sun, wire = gateway_of_many(owners)
    Peer(wire, sun, MOON, secret=GROUP, name="site.example.org").main()
    assert not is_up(sun)
    assert sun.saw(AuthFailed)


def test_the_site_itself_gets_in() -> None:
    sun, wire = gateway_of_many(["%any"])
    Peer(wire, sun, MOON, secret=SITE, name="site.example.org").main()
    assert is_up(sun)
    assert sa_of(sun).name == "site"


# -- the hash of a key ----------------------------------------------------------------------------

CLAIMS = {
    "the site": ID.of(Identity.parse("site.example.org")),
    "nobody": ID(id_type(0), 0, 0, b""),
    "nobody with data": ID(id_type(0), 0, 0, b"xx"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_aggressive_mode_for_road_warriors_gives_nobody_the_hash_of_a_sites_key(claim: str) -> None:
    """A stranger names the site, whose connection never allowed aggressive mode, to look for its key offline."""
    sun, wire = gateway_of_many(["%any"], ("site.example.org", "sun.example.org"), **AGGRESSIVE_PSK)
    stranger = Peer(wire, sun, "198.18.7.7", secret=SITE)
    stranger.identity = CLAIMS[claim]
    stranger.aggressive_1()
    for answer in stranger.heard:
        assert answer.one(Hash) != stranger.proof(answer.body_of(answer.one(ID)), theirs=True)


def test_a_road_warrior_itself_is_answered_in_aggressive_mode() -> None:
    sun, wire = gateway_of_many(["%any"], **AGGRESSIVE_PSK)
    joe = Peer(wire, sun, "198.18.7.7", secret=GROUP, name="joe.example.org")
    joe.aggressive_1()
    joe.aggressive_3()
    assert is_up(sun)


# -- traffic ----------------------------------------------------------------------------------------


def offer() -> SA:
    proposals = (parse_proposal(ESP, Protocol.ESP),)
    return offer_phase2(proposals, {ProtocolId.ESP: b"\xaa\xbb\xcc\xdd"}, EncapsulationMode.UDP_TUNNEL)


def test_a_peer_behind_a_nat_gets_no_tunnel_for_an_address_it_only_claims() -> None:
    """Quick mode from a forged address, for traffic of that address; the same octets again from its own."""
    ends: dict[str, Any] = {"local": "dynamic", "remote": "10.2.0.0/16"}
    site, wire = behind_nat(moon_children=(child(**ends),), sun_children=(child(mirror=True, **ends),))
    site.up()
    peer, real = Impostor(wire, site.moon), sa_of(site.sun).path.remote
    said = recorded(peer)
    victim = TrafficSelector.of_address(ip_address(VICTIM).packed)
    ids = [ID.of_selector(victim), ID.of_selector(TrafficSelector.of_network("10.2.0.0/16"))]
    peer.here = Endpoint.parse(VICTIM, 4500)
    quick = peer.quick([offer(), Nonce(b"n" * 16), *ids])
    site.world.deliver(bytes(4) + said[-1], real, Endpoint.parse(SUN, 4500))
    site.world.flush()
    peer.here = real
    if quick.answer is not None and quick.answer.all(Nonce):
        quick.confirm()
    wait(site, 2)
    assert not site.sun.children and not site.sun.kernel.inbound


NO_MARK = Mark()


def neighbours(mark: Mark = NO_MARK, **second: Any) -> tuple[World, Host, Host, Host]:
    """moon and mars behind one NAT, each wants transport mode to sun; both have called."""
    moon, mars, sun = Host("moon", MOON, 1), Host("mars", MARS, 2), Host("sun", SUN, 3)
    ends: dict[str, Any] = {"local": "dynamic", "remote": "dynamic", "mode": Mode.TRANSPORT}
    for host, name in ((moon, "moon"), (mars, "mars")):
        own = {"local_id": f"{name}.example.org", **(second if host is mars else {})}
        host.load(connection(local=host.address, ike=IKE, version=1, children=(child(**ends),), **own))
    marked = child(mirror=True, mark_in=mark, mark_out=mark, **ends)
    about: dict[str, Any] = {
        "local": SUN,
        "remote": "%any",
        "local_id": "sun.example.org",
        "remote_id": "*.example.org",
    }
    sun.load(connection(ike=IKE, version=1, children=(marked,), **about))
    world = World(1, moon, mars, sun, nats=(Nat(frozenset({MOON, MARS}), OUTSIDE),))
    for host in (moon, mars):
        host.initiate("site", "net", world.now)
        world.run(world.now + 5)
    return world, moon, mars, sun


def test_a_peer_gets_nothing_of_what_is_for_its_neighbour_behind_the_same_nat() -> None:
    """Both look alike to the gateway; the second is told no, and the operator how to have both."""
    _, moon, mars, sun = neighbours()
    (kept,) = sun.children
    assert str(kept.ike.remote_id) == "moon.example.org"
    half = sun.kernel.sending_on(kept.reqid)
    assert half is not None and moon.kernel.receives(half) and not mars.kernel.receives(half)
    (refused,) = sun.saw(TsMismatch)
    assert "held by moon.example.org" in refused.why and "mark_in = %unique" in refused.why


def test_neighbours_with_marks_of_their_own_both_have_a_tunnel() -> None:
    _, moon, mars, sun = neighbours(Mark(0, 0xFFFFFFFF, Fresh.CHILD))
    first, second = sun.children
    assert first.reqid != second.reqid and first.marks != second.marks
    for host, each in ((moon, first), (mars, second)):
        half = sun.kernel.sending_on(each.reqid)
        assert half is not None and host.kernel.receives(half)


def test_the_same_peer_shares_what_it_renews() -> None:
    """A renewed child, and that of another phase 1, keep the reqid."""
    world, moon, _, sun = neighbours()
    (first,) = sun.children
    moon.rekey(world.now, "site", "net")
    world.run(world.now + 5)
    moon.rekey(world.now, "site")
    world.run(world.now + 5)
    moon.rekey(world.now, "site", "net")
    world.run(world.now + 200)
    (last,) = sun.children
    assert last is not first and last.reqid == first.reqid


# -- the way to a peer -----------------------------------------------------------------------------------


def replayed(site: Site, octets: bytes) -> None:
    """Somebody without keys plays old octets again from an address of his own."""
    for _ in range(2):
        site.world.deliver(bytes(4) + octets, Endpoint.parse(ELSEWHERE, 6666), Endpoint.parse(SUN, 4500))
        wait(site, 1)


def test_what_was_ignored_moves_nobody_when_it_comes_again() -> None:
    """An ACK of no transaction, recorded, and played an hour later from elsewhere."""
    site, wire = behind_nat()
    site.up()
    impostor = Impostor(wire, site.moon)
    said = recorded(impostor)
    impostor.say([Attributes(TransactionType.ACK, 7)], TRANSACTION)
    before = sa_of(site.sun).path
    wait(site, 3600)
    replayed(site, said[0])
    assert sa_of(site.sun).path == before
    assert [each.path for each in site.sun.children] == [before]


def test_no_old_message_is_fresh_again_however_many_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of message IDs is bounded: when it is full nothing new is taken, and phase 1 was run again before."""
    monkeypatch.setattr(talk, "MAX_MESSAGE_IDS", 64)
    monkeypatch.setattr(talk, "RENEW_AT_MESSAGE_IDS", 48)
    site, wire = behind_nat()
    site.up()
    impostor = Impostor(wire, site.moon)
    said, sa = recorded(impostor), sa_of(site.sun)
    quiet = wire.hold(which(MAIN), times=None)  # the new phase 1 comes to nothing as yet
    answers = []
    for number in range(1, 80):
        answers.append(len(impostor.say([dpd_notify(NotifyType.R_U_THERE, *impostor.cookies, number)])))
    assert answers[0] and not answers[-1] and len(sa.message_ids) < 70
    before = sa.path
    replayed(site, said[0])
    assert sa.path == before and all(each.path == before for each in site.sun.children)
    assert quiet
    quiet.stop()
    wait(site, 200)
    assert [each.sa.state for each in site.sun.machines] == [IkeState.ESTABLISHED]
    assert site.sun.machines[0].sa is not sa and stands(site)


# -- children ---------------------------------------------------------------------------------------------


def test_a_stranger_who_proved_nothing_deletes_nobodys_children() -> None:
    """With signatures it has the keys of its own half-open SA, names the victim, and the SPI it saw in ESP."""
    site = up(between(Party([leaf("moon")]), Party([leaf("sun")])))
    wire = Wiretap(site.world)
    (before,) = site.sun.children
    stranger = Anybody(wire, site.sun)
    stranger.main_1()
    stranger.main_3()
    stranger.main_5(change=lambda payloads: payloads[:1])  # an identity and no proof
    stranger.inform([Delete(ProtocolId.ESP, (before.spi_out.to_bytes(4, "big"),))])
    assert site.sun.children == [before]
    assert not site.sun.saw(ChildDown)


def test_a_stranger_who_proved_nothing_moves_nobody() -> None:
    """Phase 1 goes on from the address it began at, whatever comes under its keys from elsewhere."""
    site = between(Party([leaf("moon")]), Party([leaf("sun")]))
    stranger = Anybody(Wiretap(site.world), site.sun)
    stranger.main_1(vendors=[VendorId(VENDOR_OCTETS[Vendor.NAT_T_RFC3947])])
    assert stranger.suite is not None
    suns = stranger.suite.digest(b"".join(stranger.cookies) + ip_address(SUN).packed + (500).to_bytes(2, "big"))
    stranger.main_3(more=[NatD(suns), NatD(bytes(32))])  # as if it were behind a NAT, and so might move
    assert sa_of(site.sun).nat.remote and not sa_of(site.sun).nat.local
    before, stranger.here = sa_of(site.sun).path, Endpoint.parse(ELSEWHERE, 4500)
    stranger.there = Endpoint.parse(SUN, 4500)
    stranger.inform([dpd_notify(NotifyType.R_U_THERE, *stranger.cookies, 1)])
    assert sa_of(site.sun).path == before


def test_after_a_crash_what_the_peer_lost_goes_here_as_well() -> None:
    """moon starts anew and says INITIAL-CONTACT: its dead children are no heirloom for the new SA."""
    two = (child(), child("more", local="10.5.0.0/16"))
    mirrored = (child(mirror=True), child("more", mirror=True, local="10.5.0.0/16"))
    site = tunnel(moon_children=two, sun_children=mirrored)
    site.moon.initiate("site", "more", site.world.now)
    wait(site, 2)
    dead = list(site.sun.children)
    assert len(dead) == 2
    reborn = Host("moon", MOON, 99)
    (made,) = site.moon.engine.connections.all
    reborn.load(made)
    site.world.hosts[MOON] = site.moon = reborn
    site.up()
    wait(site, 5)
    assert is_up(site.sun) and sa_of(site.sun).contacted
    (alive,) = site.sun.children
    assert alive not in dead and stands(site)


# -- an attempt ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["no identity", "a wrong hash"])
def test_who_answers_aggressive_mode_faster_does_not_end_the_attempt(kind: str) -> None:
    """A forged message 2 leaves nothing behind: the true one, right after it, is taken."""
    site = gateways(both=AGGRESSIVE_PSK)
    forged: list[bytes] = []

    def tap(host: Host, transmit: Transmit) -> bool:
        if host is site.moon and transmit.data[18] == AGGRESSIVE and transmit.data[8:16] == bytes(8) and not forged:
            said = Message.read(transmit.data)
            more = [] if kind == "no identity" else [ID.of(Identity.parse("sun.example.org")), Hash(bytes(32))]
            answer = [said.one(SA), said.one(KE), Nonce(b"x" * 16), *more]
            cookies = {"cookie_i": transmit.data[:8], "cookie_r": b"attacker"}
            forged.append(clear(answer, exchange=AGGRESSIVE, **cookies))  # type: ignore[arg-type]
            early = site.world.now + 0.001
            site.world.at(early, lambda: site.world.deliver(forged[0], transmit.path.remote, transmit.path.local))
        return True

    site.world.taps.append(tap)
    token = site.up()
    assert forged and site.moon.done[token].error is None
    assert stands(site)


@pytest.mark.parametrize("exchange", [MAIN, AGGRESSIVE])
def test_a_responder_cannot_call_itself_by_our_own_cookie(exchange: int) -> None:
    """With one cookie for both ends, and our own values sent back, our HASH would be its HASH."""
    site, _, peer, first = calls(both=AGGRESSIVE_PSK if exchange is AGGRESSIVE else {})
    said = first.message
    answer: list[Payload] = [said.one(SA)]
    if exchange is AGGRESSIVE:
        answer += [said.one(KE), said.one(Nonce), said.one(ID), Hash(bytes(32))]
    mark = len(site.world.sent)
    peer.deliver(clear(answer, cookie_i=said.cookie_i, cookie_r=said.cookie_i, exchange=exchange))
    assert len(site.world.sent) == mark
    assert [each.sa.spi_r for each in site.moon.machines] == [bytes(8)]


# -- a place ---------------------------------------------------------------------------------------------------


def a_second_device(site: Site, name: str, *, at: str = MARS, **options: Any) -> Host:
    """mars: the same group, the user of that name; it says no INITIAL-CONTACT. It has called."""
    (moons,) = site.moon.engine.connections.all
    mars = Host("mars", at, 5, answers=user({"joe": b"foobar", "ann": b"tulips"}[name]))
    local = (moons.local[0], replace(moons.local[1], xauth_id=name))
    spec = connection(local=at, ike=IKE).local_addrs
    mars.load(replace(moons, local_addrs=spec, local=local, unique=Unique.NEVER, **options))
    site.world.hosts[at] = mars
    mars.initiate("site", "net", site.world.now)
    wait(site, 20)
    return mars


def for_anybody(plain: Connection) -> Connection:
    anybody = connection(remote="%any").remote_addrs
    return replace(asks_for_login(plain), remote_addrs=anybody)


def test_unique_keep_is_about_users_where_users_log_in() -> None:
    """joe is in; whoever else comes as joe is sent away, and ann of the same group is not."""
    ends: dict[str, Any] = {"local": "dynamic", "remote": "10.2.0.0/16"}
    site = with_users(
        sun=for_anybody,
        sun_more={"unique": Unique.KEEP},
        sun_children=(child(mirror=True, **ends),),
        moon=lambda plain: replace(logs_in(plain), children=(child(**ends),)),
    )
    site.up()
    (joes,) = [each.sa for each in site.sun.machines]
    again = a_second_device(site, "joe")
    assert [each.sa for each in site.sun.machines] == [joes] and not again.machines
    assert not again.children
    ann = a_second_device(site, "ann", at="192.0.2.3")
    assert {each.sa.user for each in site.sun.machines} == {"joe", "ann"} and ann.children
    site.moon.rekey(site.world.now, "site")
    wait(site, 60)
    assert {each.sa.user for each in site.sun.machines} == {"joe", "ann"}, "who renews phase 1 is no other"
    assert joes not in [each.sa for each in site.sun.machines]


# -- a lease -----------------------------------------------------------------------------------------------------


def test_members_of_a_group_behind_one_nat_do_not_share_a_lease() -> None:
    """They have one identity and one address; who asks for the address that the other holds gets another."""
    nat = Nat(frozenset({MOON, MARS}), OUTSIDE)
    site = with_pool(sun={"remote": "%any", "unique": Unique.NEVER}, nats=(nat,))
    site.up()
    (plain,) = site.moon.engine.connections.all
    (wanted,) = sa_of(site.moon).own_vips
    mars = Host("mars", MARS, 5)
    mars.load(replace(plain, local_addrs=connection(local=MARS).local_addrs, vips=(wanted,)))
    site.world.hosts[MARS] = mars
    mars.initiate("site", "net", site.world.now)
    wait(site, 5)
    (given,) = sa_of(mars).own_vips
    assert given != wanted and mars.children
    for host in (site.moon, mars):
        (own,) = host.children
        (theirs,) = [each for each in site.sun.children if each.spi_in == own.spi_out]
        half = site.sun.kernel.sending_on(theirs.reqid)
        assert half is not None and host.kernel.receives(half)


def test_a_user_does_not_inherit_the_lease_of_a_host_with_that_name() -> None:
    """A host called joe had an address; the user joe of somebody else asks for it."""
    pool = Pool("road", ip_address("10.3.0.1").packed, ip_address("10.3.0.14").packed)
    site = with_users(moon=lambda plain: replace(logs_in(plain), vips=(pool.low,)), sun_more={"pools": ("road",)})
    fill(site.sun, pool)
    leased = site.sun.pools.lease(asks.Lease(("road",), "joe", 4))
    site.sun.pools.release(asks.Release("road", "joe", leased.address))
    assert leased.address == pool.low
    site.up()
    wait(site, 5)
    assert sa_of(site.moon).own_vips == (ip_address("10.3.0.2").packed,)
