"""Rekeying of children and of the IKE SA by one end (RFC 7296 §1.3.2, §1.3.3, §2.8, §2.17, §2.18)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ikectl.crypto.kdf_v2 import derive_rekeyed_ike
from ikectl.crypto.proposal import IkeSuite, parse_proposal
from ikectl.iana.v2 import NotifyType, Protocol
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.values.secret import Secret
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Delete, Notify, rekey_notify, rekey_spi
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    IKE_AUTH,
    INFORMATIONAL,
    notifies,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor, Stranger
from tests.sim.site import MOON, child
from tests.sim.wiretap import which


def spi(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.conformance("v2-85", "v2-88")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_child_is_rekeyed_without_a_gap(who: str) -> None:
    """HDR, SK {N(REKEY_SA), SA, Ni, TSi, TSr} -->  <-- HDR, SK {SA, Nr, TSi, TSr};  HDR, SK {D} -->  <-- HDR, SK {D}"""
    site, wire = tunnel()
    host, peer = (site.moon, site.sun) if who == "moon" else (site.sun, site.moon)
    old = host.children[0]
    mark = len(wire.seen)
    told: list[bool] = []

    def watch() -> None:
        told.append(site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon))

    site.world.taps.append(lambda *_: watch() is None)
    token = host.rekey(site.world.now, "site", "net")
    held = wire.hold(which(INFORMATIONAL, by=host, response=False))
    wait(site, 1)
    asked, answered = wire.messages(since=mark)[:2]
    (notify,) = asked.notifies(NotifyType.REKEY_SA)
    assert rekey_spi(notify) == (Protocol.ESP, spi(old.spi_in)), "the SPI that the rekeying end receives on"
    assert answered.notify(NotifyType.REKEY_SA) is None
    # Both stand: the initiator sends on the new one, the responder still on the old one; both receive on both.
    assert len(host.kernel.inbound) == len(peer.kernel.inbound) == 2
    sends, receives = host.kernel.sending_on(old.reqid), peer.kernel.sending_on(old.reqid)
    assert sends is not None and receives is not None
    assert sends.child.spi_in != old.spi_in and receives.child.spi_out == old.spi_in
    assert host.kernel.receives(receives) and peer.kernel.receives(sends)
    wire.release(held)
    wait(site, 1)
    (delete,) = wire.messages(which(by=host, holds=Delete), since=mark)
    assert delete.one(Delete).spis == (spi(old.spi_in),)
    (paired,) = wire.messages(which(by=peer, holds=Delete), since=mark)
    assert paired.one(Delete).spis == (spi(old.spi_out),)
    after = peer.kernel.sending_on(old.reqid)
    assert after is not None and after.child.spi_out != old.spi_in, "outbound has moved"
    wait(site, 20)
    assert len(host.kernel.inbound) == len(peer.kernel.inbound) == 1
    assert host.done[token].error is None and stands(site) and all(told)
    assert len(host.kernel.outbound) == 1 and host.children[0].reqid == old.reqid
    site.world.settled()


@pytest.mark.conformance("v2-86")
@pytest.mark.parametrize("victim", ["moon", "sun"])
def test_a_child_that_is_not_there_cannot_be_rekeyed(victim: str) -> None:
    """HDR, SK {N(REKEY_SA, 0xdeadbeef), ...} -->  <-- HDR, SK {N(CHILD_SA_NOT_FOUND, ESP, 0xdeadbeef)}"""
    site, wire = tunnel()
    peer = site.sun if victim == "moon" else site.moon
    impostor = Impostor(wire, peer)
    inner = wire.messages(which(IKE_AUTH, by=site.moon))[0].payloads[-4:-1]
    nonce = Nonce(bytes(range(32)))
    ours = peer.children[0].spi_in
    for kind, number in ((Protocol.ESP, 0xDEADBEEF), (Protocol.AH, ours), (Protocol.ESP, peer.children[0].spi_out)):
        answer = impostor.request(CREATE_CHILD_SA, [rekey_notify(kind, spi(number)), inner[0], nonce, *inner[1:]])
        assert answer is not None
        (notify,) = answer.payloads
        assert isinstance(notify, Notify) and notify.type is NotifyType.CHILD_SA_NOT_FOUND
        assert (notify.protocol, notify.spi) == (kind, spi(number))
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-86", "v2-85")
def test_a_child_the_peer_has_lost_is_made_anew() -> None:
    """HDR, SK {N(REKEY_SA), ...} -->  <-- HDR, SK {N(CHILD_SA_NOT_FOUND)};  HDR, SK {SA, Ni, TSi, TSr} -->  (§2.25)"""
    site, wire = tunnel()
    wire.hold(which(CREATE_CHILD_SA, by=site.moon), times=1)
    impostor = Impostor(wire, site.sun)
    lost = site.moon.children[0]
    token = site.moon.rekey(site.world.now, "site", "net")
    site.world.flush()
    refusal = Notify(NotifyType.CHILD_SA_NOT_FOUND, b"", Protocol.ESP, spi(lost.spi_in))
    impostor.respond(wire.seen[-1], [refusal])
    assert lost not in site.moon.children and (Protocol.ESP, lost.spi_in) not in site.moon.kernel.inbound
    wait(site, 5)
    assert site.moon.done[token].error is None
    assert len(site.moon.children) == 1
    assert site.world.carries(site.moon, site.sun)


@pytest.mark.conformance("v2-87")
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_an_ike_sa_is_rekeyed_with_the_old_prf(who: str) -> None:
    """HDR, SK {SA(SPI), Ni, KEi} -->  <-- HDR, SK {SA(SPI), Nr, KEr};  HDR, SK {D(IKE)} -->  <-- HDR, SK {}

    From HMAC-SHA2-256 to HMAC-SHA2-384: SKEYSEED with the old one, the keys from the new one (§2.18).
    """
    shared: list[bytes] = []
    site, wire = tunnel()
    host, peer = (site.moon, site.sun) if who == "moon" else (site.sun, site.moon)
    old = sa_of(host)
    assert old.suite is not None and old.keys is not None
    kept = old.keys.sk_d, old.suite.prf, old.spi_i, old.spi_r
    children = {(c.spi_in, c.spi_out) for c in host.children}
    words = "aes256gcm16-prfsha384-x25519"
    for end in (host, peer):
        sa = sa_of(end)
        assert sa.connection is not None
        sa.connection = replace(sa.connection, proposals=(parse_proposal(words, Protocol.IKE),))
    combine = host.answers[asks.CombineKe]

    def remember(ask: asks.CombineKe) -> Secret:
        secret: Secret = combine(ask)
        shared.append(bytes(secret))
        return secret

    host.answers[asks.CombineKe] = remember
    mark = len(wire.seen)
    token = host.rekey(site.world.now, "site")
    wait(site, 10)
    assert host.done[token].error is None
    asked, answered, delete, empty = wire.messages(since=mark)
    new = sa_of(host)
    mine, theirs = asked.one(SA).proposals[0].spi, answered.one(SA).proposals[0].spi
    assert (new.spi_i, new.spi_r) == (mine, theirs) and not {mine, theirs} & set(kept[2:])
    assert asked.get(KE) is not None and answered.get(KE) is not None
    suite = IkeSuite.of(answered.one(SA).proposals[0])
    nonces = asked.one(Nonce).value, answered.one(Nonce).value
    keys = derive_rekeyed_ike(suite, kept[1], kept[0], shared[0], *nonces, mine, theirs)
    assert new.keys is not None
    assert (new.keys.sk_d, new.keys.sk_ei, new.keys.sk_er) == (keys.sk_d, keys.sk_ei, keys.sk_er)
    assert kept[1].octets == 32 and suite.prf.octets == 48  # type: ignore[attr-defined]
    assert delete.one(Delete) == Delete(Protocol.IKE) and empty.payloads == []
    assert (delete.spi_i, delete.spi_r) == kept[2:], "the old one is deleted under its own SPIs"
    assert {(c.spi_in, c.spi_out) for c in host.children} == children and stands(site)
    assert all(c.ike is new for c in host.children)
    site.world.settled()
    peer.rekey(site.world.now, "site", "net")
    wait(site, 10)
    assert stands(site)


@pytest.mark.conformance("v2-87", "v2-88")
def test_a_replaced_ike_sa_that_nobody_deletes_goes_in_the_end() -> None:
    """The rekeying end forgot its DELETE: the other one sends it after a while; children are not touched."""
    site, wire = tunnel()
    stranger = Stranger(wire, site.sun, MOON)
    impostor = Impostor(wire, site.moon)
    offer = SA((parse_proposal("aes128gcm16-prfsha256-x25519", Protocol.IKE)._replace(spi=b"newSPIii"),))
    _, ke, nonce = stranger.initial()
    answer = impostor.request(CREATE_CHILD_SA, [offer, nonce, ke])
    assert answer is not None and answer.get(KE) is not None
    assert [machine.sa.state for machine in site.sun.machines] == [IkeState.REKEYED, IkeState.ESTABLISHED]
    busy = impostor.request(CREATE_CHILD_SA, [offer, nonce, ke])
    assert notifies(busy) == [NotifyType.TEMPORARY_FAILURE]
    mark = len(wire.seen)
    wait(site, 100)
    (delete,) = {seen.message.one(Delete).protocol for seen in wire.all(which(by=site.sun, holds=Delete), since=mark)}
    assert delete is Protocol.IKE and len(site.sun.children) == 1 and len(site.sun.machines) == 1


@pytest.mark.conformance("v2-87")
def test_an_ike_rekeying_needs_a_key_exchange() -> None:
    """HDR, SK {SA, Ni} without KE -->  <-- HDR, SK {N(INVALID_KE_PAYLOAD)}: never without (§1.3.2)."""
    site, wire = tunnel()
    impostor = Impostor(wire, site.moon)
    offer = SA((parse_proposal("aes128gcm16-prfsha256-x25519", Protocol.IKE)._replace(spi=b"newSPIii"),))
    answer = impostor.request(CREATE_CHILD_SA, [offer, Nonce(bytes(32))])
    assert notifies(answer) == [NotifyType.INVALID_KE_PAYLOAD] and len(site.sun.machines) == 1
    assert stands(site)


@pytest.mark.conformance("v2-85", "v2-87")
def test_lifetimes_bring_rekeyings_about() -> None:
    """A week of one hour for children and four for IKE SAs, by either end: one tunnel all the time."""
    hours = {"rekey_time": 3600, "life_time": 3960, "rand_time": 360}
    ike = {"rekey_time": 14400, "over_time": 1440, "rand_time": 1440}
    site, wire = tunnel(
        moon_children=(child(**hours),), sun_children=(child(mirror=True, **hours),), moon=dict(ike), sun=dict(ike)
    )
    for _ in range(48):
        wait(site, 3600)
        assert stands(site)
    wait(site, 30)
    rekeyed = wire.messages(which(CREATE_CHILD_SA, response=False))
    assert sum(message.notify(NotifyType.REKEY_SA) is not None for message in rekeyed) >= 45
    assert sum(message.one(SA).proposals[0].protocol is Protocol.IKE for message in rekeyed) >= 10
    assert len(site.moon.kernel.inbound) in (1, 2)


def test_a_child_that_nobody_rekeys_ends_with_its_lifetime() -> None:
    site, wire = tunnel(moon_children=(child(life_time=100),))
    wait(site, 150)
    assert not site.moon.children and not site.sun.children and len(site.moon.machines) == 1
    assert wire.messages(which(by=site.moon, holds=Delete))
    site.world.settled()
