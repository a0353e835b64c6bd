"""CREATE_CHILD_SA for further children: with and without PFS, and every refusal (RFC 7296 §1.3.1, §2.17, §2.25)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.crypto.kdf_v2 import derive_child
from ikectl.crypto.proposal import ChildSuite
from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.notify import Notify, invalid_ke_notify
from ikectl.wire.v2.sa import SA
from tests.scenarios.stage import (
    CREATE_CHILD_SA,
    INFORMATIONAL,
    gateways,
    notifies,
    rewrite,
    sa_of,
    stands,
    tunnel,
    wait,
)
from tests.sim.forge import Impostor
from tests.sim.site import Site, child
from tests.sim.wiretap import Wiretap, which


def two(esp: str = "aes128gcm16", **options: Any) -> tuple[Site, Wiretap]:
    """A tunnel, and a second child `lan` that is not up yet."""
    lan = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16", "esp": esp}
    return tunnel(
        moon_children=(child(), child("lan", **lan)),
        sun_children=(child(mirror=True), child("lan", mirror=True, **lan)),
        **options,
    )


def names(site: Site) -> tuple[list[str], list[str]]:
    return sorted(c.name for c in site.moon.children), sorted(c.name for c in site.sun.children)


@pytest.mark.conformance("v2-84")
@pytest.mark.parametrize("esp", ["aes128gcm16", "aes128gcm16-x25519", "aes256-sha256-modp2048"])
@pytest.mark.parametrize("who", ["moon", "sun"])
def test_a_second_child(esp: str, who: str) -> None:
    """HDR, SK {SA, Ni, [KEi,] TSi, TSr} -->  <-- HDR, SK {SA, Nr, [KEr,] TSi, TSr}; KE just where PFS is asked for."""
    site, wire = two(esp)
    host = site.moon if who == "moon" else site.sun
    token = host.initiate("site", "lan", site.world.now)
    wait(site, 5)
    asked, answered = wire.messages(which(CREATE_CHILD_SA))
    assert host.done[token].error is None and names(site) == (["lan", "net"],) * 2
    pfs = "-x" in esp or "modp" in esp
    assert (asked.get(KE) is not None) is (answered.get(KE) is not None) is pfs
    assert not asked.all(Notify) and asked.one(Nonce).value != answered.one(Nonce).value
    assert site.world.carries(site.moon, site.sun) and site.world.carries(site.sun, site.moon)
    (child_sa,) = (c for c in host.children if c.name == "lan")
    sa = sa_of(host)
    assert sa.suite is not None and sa.keys is not None
    plain = derive_child(
        sa.suite.prf,
        ChildSuite.of(answered.one(SA).proposals[0]),
        sa.keys.sk_d,
        asked.one(Nonce).value,
        answered.one(Nonce).value,
    )
    half = next(half for half in host.kernel.outbound.values() if half.child is child_sa)
    assert (half.key == plain.encr_i + plain.integ_i) is not pfs, "with PFS the new secret is in KEYMAT (§2.17)"
    site.world.settled()


@pytest.mark.conformance("v2-94")
@pytest.mark.parametrize("name", ["lan", "net", ""])
def test_the_group_of_a_later_exchange_is_corrected(name: str) -> None:
    """HDR, SK {..., KE(31)} -->  <-- HDR, SK {N(INVALID_KE_PAYLOAD, 19)};  the same with KE(19) -->"""
    esp = "aes128gcm16-x25519-ecp256"
    lan = {"local": "10.7.0.0/16", "remote": "10.8.0.0/16"}
    mine = child(esp=esp), child("lan", esp=esp, **lan)
    theirs = child(mirror=True, esp="aes128gcm16-ecp256"), child("lan", mirror=True, esp="aes128gcm16-ecp256", **lan)
    site, wire = tunnel(moon_children=mine, sun_children=theirs, ike="aes128gcm16-prfsha256-x25519-ecp256")
    if name == "":
        # The peer's mind has changed since the SA was made.
        rewrite(wire, which(CREATE_CHILD_SA, response=True), lambda _: [invalid_ke_notify(KeyExchangeMethod.ECP_256)])
    token = (
        site.moon.initiate("site", "lan", site.world.now)
        if name == "lan"
        else site.moon.rekey(site.world.now, "site", name)
    )
    wait(site, 10)
    asked = wire.messages(which(CREATE_CHILD_SA, by=site.moon))
    answers = wire.messages(which(CREATE_CHILD_SA, by=site.sun))
    assert [message.one(KE).method for message in asked[:2]] == [
        KeyExchangeMethod.CURVE_25519,
        KeyExchangeMethod.ECP_256,
    ]
    assert [message.message_id for message in asked[:2]] == [2, 3], "a new exchange, not the old one again"
    if name != "":
        assert notifies(answers[0]) == [NotifyType.INVALID_KE_PAYLOAD]
        assert answers[0].all(Notify)[0].data == b"\0\x13"
        assert site.moon.done[token].error is None
        assert names(site) == ((["lan", "net"],) * 2 if name == "lan" else (["net"],) * 2)
        site.world.settled()


@pytest.mark.conformance("v2-94")
@pytest.mark.parametrize("name", ["lan", "net", ""])
@pytest.mark.parametrize("group", [KeyExchangeMethod.ECP_384, KeyExchangeMethod.CURVE_25519])
def test_a_correction_that_cannot_be_followed(name: str, group: KeyExchangeMethod) -> None:
    """<-- N(INVALID_KE_PAYLOAD) with a group that we did not offer, or just used: it fails."""
    site, wire = two("aes128gcm16-x25519", ike="aes128gcm16-prfsha256-x25519")
    site.moon.initiate("site", "lan", site.world.now)
    wait(site, 5)
    if name == "lan":
        site.moon.terminate(site.world.now, "site", "lan")
        wait(site, 5)
    wire.hold(which(CREATE_CHILD_SA, by=site.moon))
    mark = len(wire.seen)
    impostor = Impostor(wire, site.sun)
    token = (
        site.moon.initiate("site", "lan", site.world.now)
        if name == "lan"
        else site.moon.rekey(site.world.now, "site", "lan" if name == "net" else "")
    )
    site.world.flush()
    impostor.respond(wire.seen[mark], [invalid_ke_notify(group)])
    wait(site, 3)
    assert site.moon.done[token].error is not None
    assert len(wire.all(which(CREATE_CHILD_SA, by=site.moon), since=mark)) == 1
    assert len(site.moon.machines) == 1 and not site.moon.kernel.larval
    assert all(c.state.name == "INSTALLED" for c in site.moon.children)


@pytest.mark.conformance("v2-114")
@pytest.mark.parametrize("kind", [NotifyType.NO_PROPOSAL_CHOSEN, NotifyType(12345)])
@pytest.mark.parametrize("name", ["lan", "net", ""])
def test_a_refused_exchange_leaves_what_there_was(kind: NotifyType, name: str) -> None:
    """<-- HDR, SK {N(error)}, known or not: the exchange failed, SA and children go on (§3.10.1)."""
    site, wire = two()
    wire.hold(which(CREATE_CHILD_SA, by=site.moon), times=1)
    impostor = Impostor(wire, site.sun)
    if name == "lan":
        token = site.moon.initiate("site", "lan", site.world.now)
    else:
        token = site.moon.rekey(site.world.now, "site", name)
    site.world.flush()
    impostor.respond(wire.seen[-1], [Notify(kind)])
    assert str(kind) in (site.moon.done[token].error or "") and stands(site)
    assert impostor.request(INFORMATIONAL, []) is not None
    wait(site, 600)
    assert stands(site) and not site.moon.kernel.larval
    site.world.settled()


@pytest.mark.conformance("v2-114")
def test_a_status_nobody_knows_is_ignored() -> None:
    """N(>= 16384), N(QUICK_CRASH_DETECTION), N(40961) in every message; an unknown error in a request, too."""
    site, wire = gateways()
    noise = [
        Notify(NotifyType.QUICK_CRASH_DETECTION, bytes(32)),
        Notify(NotifyType(40961), b"private"),
        Notify(NotifyType(17000)),
    ]
    rewrite(wire, which(), lambda payloads: [*payloads, *noise], times=None)
    rewrite(wire, which(response=False), lambda payloads: [*payloads, *noise, Notify(NotifyType(8191))], times=None)
    site.up()
    for name in ("net", ""):
        site.sun.rekey(site.world.now, "site", name)
        wait(site, 10)
    assert stands(site)
    site.world.settled()


@pytest.mark.conformance("v2-92")
@pytest.mark.parametrize("name", ["lan", "net", ""])
def test_a_busy_peer_is_asked_again_later(name: str) -> None:
    """<-- HDR, SK {N(TEMPORARY_FAILURE)} twice: waits that double, then it works (§2.25)."""
    site, wire = two()
    busy = wire.hold(which(CREATE_CHILD_SA, by=site.moon), times=2)
    impostor = Impostor(wire, site.sun)
    if name == "lan":
        token = site.moon.initiate("site", "lan", site.world.now)
    else:
        token = site.moon.rekey(site.world.now, "site", name)
    for turn in (1, 2):
        site.world.run_until(lambda: len(busy.caught) == turn, 60)  # noqa: B023
        impostor.respond(busy.caught[-1], [Notify(NotifyType.TEMPORARY_FAILURE)])
        assert token not in site.moon.done
    wait(site, 60)
    assert site.moon.done[token].error is None
    tries = [seen.at for seen in wire.all(which(CREATE_CHILD_SA, by=site.moon))]
    assert len(tries) == 3 and 3 < tries[1] - tries[0] < tries[2] - tries[1]
    assert names(site) == ((["lan", "net"],) * 2 if name == "lan" else (["net"],) * 2)
    site.world.settled()


@pytest.mark.conformance("v2-92")
@pytest.mark.parametrize("name", ["lan", "net", ""])
def test_a_peer_that_stays_busy_is_given_up_after_minutes(name: str) -> None:
    """<-- HDR, SK {N(TEMPORARY_FAILURE)} for ever: it fails in the end, the SA goes on."""
    site, wire = two()
    impostor = Impostor(wire, site.sun)
    busy = wire.hold(which(CREATE_CHILD_SA, by=site.moon))
    if name == "lan":
        token = site.moon.initiate("site", "lan", site.world.now)
    else:
        token = site.moon.rekey(site.world.now, "site", name)
    start = site.world.now
    while token not in site.moon.done:
        count = len(busy.caught)
        site.world.run_until(lambda: len(busy.caught) > count or token in site.moon.done, 400)  # noqa: B023
        if len(busy.caught) > count:
            impostor.respond(busy.caught[-1], [Notify(NotifyType.TEMPORARY_FAILURE)])
    assert "busy" in (site.moon.done[token].error or "") and 60 < site.world.now - start < 900
    assert stands(site) and not site.moon.kernel.larval
