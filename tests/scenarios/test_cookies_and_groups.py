"""Cookies, the choice of the key exchange method, refusals and redirects (RFC 7296 §2.6, §2.7)."""

from __future__ import annotations

import pytest

from ikectl.iana.v2 import KeyExchangeMethod, NotifyType
from ikectl.sa.env import Settings
from ikectl.wire.v2.keying import KE, Nonce
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify, invalid_ke_group, invalid_ke_notify
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, gateways, notifies, stands, wait
from tests.sim.forge import Stranger
from tests.sim.site import MOON, SUN
from tests.sim.wiretap import Wiretap, which

X25519, ECP256, ECP384 = KeyExchangeMethod.CURVE_25519, KeyExchangeMethod.ECP_256, KeyExchangeMethod.ECP_384
BUSY = {"settings": Settings(cookie_threshold=0)}
BOTH = "aes128gcm16-prfsha256-x25519-ecp256"
ONE = "aes128gcm16-prfsha256-ecp256"


def initials(wire: Wiretap) -> list[Message]:
    return wire.messages(which(IKE_SA_INIT))


# -- cookies ----------------------------------------------------------------------


@pytest.mark.conformance("v2-43", "v2-44")
def test_a_busy_responder_wants_a_cookie_and_gets_it() -> None:
    """HDR, SA, KE, Ni -->  <-- HDR(SPIr 0), N(COOKIE);  HDR, N(COOKIE), SA, KE, Ni -->  <-- HDR, SA, KE, Nr."""
    site, wire = gateways(sun_host=BUSY)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.03)
    assert bare(site.sun) and site.sun.engine.half_open == 0, "nothing is kept of who did not show the cookie"
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    first, cookie, second, _ = initials(wire)
    assert len(cookie.payloads) == 1 and cookie.spi_r == bytes(8) and cookie.message_id == 0
    (notify,) = cookie.notifies(NotifyType.COOKIE)
    assert 1 <= len(notify.data) <= 64
    assert second.payloads == [notify, *first.payloads], "same nonce, same key, same everything, the cookie first"
    assert (second.spi_i, second.spi_r, second.message_id) == (first.spi_i, bytes(8), 0)
    assert stands(site)


@pytest.mark.conformance("v2-43")
def test_a_thousand_strangers_leave_nothing() -> None:
    """Under load nothing is remembered, and no cookie is good for another nonce, address or SPI."""
    site, wire = gateways(sun_host=BUSY)
    cookies = set()
    for number in range(1000):
        (answer,) = Stranger(wire, site.sun, MOON, seed=number).ask([Nonce(bytes(32))])
        assert notifies(answer.message) == [NotifyType.COOKIE]
        cookies.add(answer.message.payloads[0].body())
    assert len(cookies) == 1000 and bare(site.sun)


@pytest.mark.conformance("v2-43")
def test_half_open_sas_are_few_until_cookies_are_shown() -> None:
    """Three half-open SAs of one address; the fourth request has to bring a cookie, the sixth SA is refused."""
    site, wire = gateways()
    kinds = []
    for number in range(8):
        stranger = Stranger(wire, site.sun, MOON, seed=number)
        payloads = stranger.initial()
        answers = stranger.ask(payloads)
        if answers and answers[0].message.notify(NotifyType.COOKIE):
            answers = stranger.ask([answers[0].message.payloads[0], *payloads])
            kinds.append("cookie" if answers else "blocked")
        else:
            kinds.append("open" if answers else "blocked")
    assert kinds == ["open"] * 3 + ["cookie"] * 2 + ["blocked"] * 3
    assert site.sun.engine.half_open == 5
    wait(site, 40)
    assert bare(site.sun) and site.sun.engine.half_open == 0


@pytest.mark.conformance("v2-45")
def test_a_wrong_cookie_counts_as_none() -> None:
    """HDR, N(COOKIE wrong), SA, KE, Ni -->  <-- HDR, N(COOKIE): of another nonce, SPI or address, old, cut, empty."""
    site, wire = gateways(sun_host=BUSY)
    stranger = Stranger(wire, site.sun, MOON)
    payloads = stranger.initial()
    (answer,) = stranger.ask(payloads)
    cookie = answer.message.payloads[0]
    assert isinstance(cookie, Notify)
    other = Stranger(wire, site.sun, "203.0.113.77")
    other.spi = stranger.spi
    attempts = [
        stranger.ask([cookie, *payloads[:2], Nonce(bytes(32))]),
        stranger.ask([cookie, *payloads], spi_i=b"another!"),
        other.ask([cookie, *payloads]),
        *(
            stranger.ask([Notify(NotifyType.COOKIE, data), *payloads])
            for data in (b"", b"x", cookie.data[:-1], bytes(64))
        ),
    ]
    for answers in attempts:
        (refused,) = answers
        assert notifies(refused.message) == [NotifyType.COOKIE] and refused.message.spi_r == bytes(8)
    assert bare(site.sun)
    (good,) = stranger.ask([cookie, *payloads])
    assert good.message.get(KE) is not None
    wait(site, 1000)
    (stale,) = stranger.ask([cookie, *payloads])
    assert notifies(stale.message) == [NotifyType.COOKIE]


@pytest.mark.conformance("v2-44")
@pytest.mark.parametrize("octets", [0, 65])
def test_a_cookie_of_illegal_length_is_not_obeyed(octets: int) -> None:
    site, wire = gateways()
    held = wire.hold(which(IKE_SA_INIT, by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    spi = wire.seen[0].message.spi_i
    assert not forger.ask([Notify(NotifyType.COOKIE, bytes(octets))], spi_i=spi, response=True, initiator=False)
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error is None


@pytest.mark.conformance("v2-44")
def test_cookies_without_end_are_given_up() -> None:
    """A stranger who asks for ever new cookies steers a few restarts, no more."""
    site, wire = gateways()
    wire.hold(which(by=site.sun))
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    spi = wire.seen[0].message.spi_i
    for number in range(50):
        cookie = Notify(NotifyType.COOKIE, number.to_bytes(4, "big"))
        forger.ask([cookie], spi_i=spi, response=True, initiator=False)
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) <= 6
    wait(site, 600)
    assert bare(site.moon)


# -- the key exchange method ----------------------------------------------------------


@pytest.mark.conformance("v2-46", "v2-48", "v2-3")
def test_the_group_is_corrected() -> None:
    """HDR, SA, KE(31), Ni -->  <-- HDR(SPIr 0), N(INVALID_KE_PAYLOAD, 19);  HDR, SA, KE(19), Ni -->"""
    site, wire = gateways(ike=BOTH, sun_ike=ONE)
    site.up()
    first, refusal, second, answer = initials(wire)
    (notify,) = refusal.payloads
    assert isinstance(notify, Notify) and notify.type is NotifyType.INVALID_KE_PAYLOAD
    assert notify.data == (19).to_bytes(2, "big") and refusal.spi_r == bytes(8)
    assert first.one(KE).method is X25519 and second.one(KE).method is answer.one(KE).method is ECP256
    assert second.payloads[0] == first.payloads[0], "the whole proposal again (§2.7)"
    assert second.spi_i == first.spi_i and second.message_id == 0
    assert stands(site) and len(site.sun.machines) == 1


@pytest.mark.conformance("v2-46")
@pytest.mark.parametrize("data", [b"\0\x14", b"\0\x1f\0", b"", b"\0\0"])
def test_a_group_that_was_not_offered_is_not_used(data: bytes) -> None:
    """N(INVALID_KE_PAYLOAD) with 384-bit ECP, or garbage: wait for something better, then fail."""
    site, wire = gateways(ike=BOTH)
    wire.hold(which(by=site.sun))
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    spi = wire.seen[0].message.spi_i
    refusal = Notify(NotifyType.INVALID_KE_PAYLOAD, data)
    assert not forger.ask([refusal], spi_i=spi, response=True, initiator=False)
    wait(site, 200)
    assert site.moon.done[token].error is not None and bare(site.moon)
    assert all(message.one(KE).method is X25519 for message in initials(wire) if not message.response)


@pytest.mark.conformance("v2-46")
def test_the_same_correction_twice_is_obeyed_once() -> None:
    """A duplicate of N(INVALID_KE_PAYLOAD) must not replace a key pair that is under way."""
    site, wire = gateways(ike=BOTH, sun_ike=ONE)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.05)
    (refusal,) = [seen for seen in wire.seen if seen.message.notify(NotifyType.INVALID_KE_PAYLOAD)]
    for _ in range(3):
        wire.arrive(refusal)
    site.world.run_until(lambda: token in site.moon.done)
    assert len(wire.all(which(IKE_SA_INIT, by=site.moon))) == 2
    assert site.moon.done[token].error is None
    wait(site, 1)
    assert stands(site)


@pytest.mark.conformance("v2-47")
@pytest.mark.parametrize("order", ["cookie first", "group first"])
def test_cookie_and_correction_in_either_order(order: str) -> None:
    """§2.6.1: whichever comes first, both are carried along and an SA comes of it."""
    site, wire = gateways(ike=BOTH, sun_ike=ONE, sun_host=BUSY)
    if order == "group first":
        wire.hold(which(IKE_SA_INIT, by=site.sun), times=1)
        token = site.moon.initiate("site", "net", 0.0)
        site.world.run(0.1)
        forger = Stranger(wire, site.moon, SUN)
        spi = wire.seen[0].message.spi_i
        forger.ask([invalid_ke_notify(ECP256)], spi_i=spi, response=True, initiator=False)
        site.world.run_until(lambda: token in site.moon.done)
    else:
        token = site.up()
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)
    last = wire.messages(which(IKE_SA_INIT, by=site.moon))[-1]
    assert last.payloads[0] == last.notify(NotifyType.COOKIE) is not None and last.one(KE).method is ECP256


@pytest.mark.conformance("v2-48")
def test_a_key_of_another_group_than_the_chosen() -> None:
    """KE of a group that we do not take, or of one not even offered: the chosen one is named, nothing is kept."""
    site, wire = gateways(ike=ONE)
    for group in (X25519, ECP384):
        stranger = Stranger(wire, site.sun, MOON, seed=int(group))
        (answer,) = stranger.ask(stranger.initial(BOTH, group))
        (notify,) = answer.message.payloads
        assert isinstance(notify, Notify) and invalid_ke_group(notify) is ECP256
        assert answer.message.spi_r == bytes(8)
    assert bare(site.sun) and site.sun.engine.half_open == 0


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.conformance("v2-49")
def test_nothing_fits() -> None:
    """HDR, SA, KE, Ni -->  <-- HDR(SPIr 0), N(NO_PROPOSAL_CHOSEN); also when nobody is configured for that address."""
    site, wire = gateways()
    stranger = Stranger(wire, site.sun, MOON)
    for who, offer in ((stranger, "aes256-sha512-x25519"), (Stranger(wire, site.sun, "203.0.113.9"), BOTH)):
        (answer,) = who.ask(who.initial(offer))
        assert notifies(answer.message) == [NotifyType.NO_PROPOSAL_CHOSEN] and answer.message.spi_r == bytes(8)
    assert bare(site.sun) and site.sun.engine.half_open == 0


@pytest.mark.conformance("v2-50")
@pytest.mark.parametrize(
    "kind",
    [NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.INVALID_SYNTAX, NotifyType.AUTHENTICATION_FAILED, NotifyType(8191)],
)
def test_a_refusal_that_proves_nothing(kind: NotifyType) -> None:
    """<-- HDR, N(error): it fails after a while, and with the genuine answer it does not."""
    for genuine_comes in (False, True):
        site, wire = gateways()
        held = wire.hold(which(by=site.sun), times=1 if genuine_comes else None)
        token = site.moon.initiate("site", "net", 0.0)
        site.world.run(0.1)
        forger = Stranger(wire, site.moon, SUN)
        spi = wire.seen[0].message.spi_i
        for _ in range(3):
            assert not forger.ask([Notify(kind)], spi_i=spi, response=True, initiator=False)
        assert token not in site.moon.done, "somebody else may have said so"
        if genuine_comes:
            wire.release(held)
        site.world.run_until(lambda: token in site.moon.done, 60)  # noqa: B023
        assert (site.moon.done[token].error is None) is genuine_comes
        wait(site, 1)
        assert stands(site) if genuine_comes else bare(site.moon)


@pytest.mark.conformance("v2-51")
@pytest.mark.parametrize(
    ("ike", "public"),
    [
        ("aes128gcm16-prfsha256-x25519", bytes(32)),
        ("aes128gcm16-prfsha256-x25519", b"\x09" + bytes(30)),
        ("aes128gcm16-prfsha256-ecp256", bytes(63) + b"\x05"),
        ("aes128gcm16-prfsha256-ecp256", bytes(65)),
        ("aes128gcm16-prfsha256-modp2048", bytes(255) + b"\x01"),
        ("aes128gcm16-prfsha256-modp2048", bytes(256)),
        ("aes128gcm16-prfsha256-modp2048", b"\xff" * 256),
        ("aes128gcm16-prfsha256-modp2048", b"\x07" * 128),
    ],
)
def test_public_values_that_are_no_keys(ike: str, public: bytes) -> None:
    """Length, range, the curve, all zero: a responder is silent, an initiator does not go on (RFC 6989)."""
    site, wire = gateways(ike=ike)
    stranger = Stranger(wire, site.sun, MOON)
    group = {"x25519": X25519, "ecp256": ECP256}.get(ike.split("-")[-1], KeyExchangeMethod.MODP_2048)
    sa, _, nonce = stranger.initial(ike, group)
    assert not stranger.ask([sa, KE(group, public), nonce]) and bare(site.sun)
    wire.hold(which(by=site.sun))
    token = site.moon.initiate("site", "net", site.world.now)
    site.world.run(site.world.now + 0.1)
    (asked,) = wire.messages(which(IKE_SA_INIT, by=site.moon))
    forger = Stranger(wire, site.moon, SUN)
    forger.ask([sa, KE(group, public), nonce], spi_i=asked.spi_i, spi_r=b"somebody", response=True, initiator=False)
    wait(site, 300)
    assert not wire.all(which(IKE_AUTH)) and site.moon.done[token].error is not None and bare(site.moon)


@pytest.mark.conformance("v2-52")
@pytest.mark.parametrize("matching", [True, False])
def test_a_redirect_is_not_followed_unless_we_said_we_could(matching: bool) -> None:
    """<-- HDR, N(REDIRECT, 203.0.113.5, Ni): we never say REDIRECT_SUPPORTED, so it means nothing (RFC 5685 §3)."""
    site, wire = gateways()
    held = wire.hold(which(by=site.sun), times=1)
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    asked = wire.seen[0].message
    assert asked.notify(NotifyType.REDIRECT_SUPPORTED) is None
    nonce = asked.one(Nonce).value if matching else bytes(32)
    redirect = Notify(NotifyType.REDIRECT, b"\x01\x04" + bytes((203, 0, 113, 5)) + nonce)
    forger = Stranger(wire, site.moon, SUN)
    assert not forger.ask([redirect], spi_i=asked.spi_i, response=True, initiator=False)
    wire.release(held)
    site.world.run_until(lambda: token in site.moon.done)
    wait(site, 1)
    assert site.moon.done[token].error is None and stands(site)
    assert {str(seen.transmit.path.remote.host) for seen in wire.all(which(by=site.moon))} == {SUN}
