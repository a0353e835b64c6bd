"""Who the peer of a phase 1 with a pre-shared key is, and what becomes of those who are not (RFC 2409 §5, §5.4)."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Unique
from ikectl.errors import CredentialError
from ikectl.iana.v1 import IdType, NotifyType
from ikectl.sa import asks
from ikectl.sa.association import IkeState
from ikectl.sa.events import AuthFailed
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint
from ikectl.values.secret import Secret
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.notify import initial_contact_notify
from ikectl.wire.v1.payload import Payload
from tests.scenarios.v1.stage import (
    AGGRESSIVE_PSK,
    bare,
    caller,
    calls,
    is_up,
    notifies,
    rewrite,
    sa_of,
    stands,
    wait,
    watched,
)
from tests.sim.forge_v1 import Peer
from tests.sim.site import MOON, SUN, child, connection
from tests.sim.wiretap_v1 import AGGRESSIVE, MAIN, which

WRONG = b"another secret"


# -- main mode ---------------------------------------------------------------------


@pytest.mark.conformance("v1-16")
def test_message_5_under_a_wrong_secret_changes_nothing() -> None:
    """IDii, HASH_I * cannot be read: no answer, no new state; who knows the secret still gets in with the same SA."""
    site, wire = watched()
    liar = caller(wire, site, secret=WRONG)
    liar.main_1()
    liar.main_3()
    before = sa_of(site.sun)
    block, state, ids = before.last_block, before.state, dict(before.message_ids)
    assert liar.main_5() == []
    assert (before.last_block, before.state, before.message_ids) == (block, state, ids)
    assert state is IkeState.CONNECTING and not site.sun.saw(AuthFailed)
    liar.unsay(0)
    liar.secret = site.sun.secret
    liar.make_keys()
    liar.main_5()
    assert is_up(site.sun)


@pytest.mark.conformance("v1-16")
def test_two_ends_with_different_secrets_never_meet() -> None:
    site, _ = watched(moon_host={"secret": WRONG})
    token = site.moon.initiate("site", "net", 0.0)
    site.world.run_until(lambda: token in site.moon.done)
    assert "pre-shared keys differ" in str(site.moon.done[token].error)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-16")
def test_message_6_under_a_wrong_secret_is_not_taken() -> None:
    """Nonsense for message 6: moon goes on waiting, and takes the one it can read."""
    site, wire, peer, first = calls()
    peer.main_2(first)
    peer.main_4()
    mark = len(wire.seen)
    good = peer.keys
    assert good is not None
    wrong = Peer(wire, site.moon, SUN, secret=WRONG, name="sun.example.org", seed=8)
    wrong.initiator, wrong.cookie_i, wrong.cookie_r = False, *peer.cookies
    wrong.pair, wrong.nonce, wrong.suite, wrong.sa_body = peer.pair, peer.nonce, peer.suite, peer.sa_body
    wrong.their_public, wrong.their_nonce = peer.their_public, peer.their_nonce
    wrong.make_keys()
    start = wire.iv(peer.cookies, 0, site.moon)
    wrong.deliver(wrong.seal([wrong.identity, wrong.proof()], MAIN, 0, iv=start))
    assert sa_of(site.moon).state is IkeState.CONNECTING and len(wire.seen) == mark
    peer.main_6()
    assert is_up(site.moon)


@pytest.mark.conformance("v1-16", "v1-14")
@pytest.mark.parametrize("step", [5, 6])
def test_a_wrong_hash_that_can_be_read_proves_nobody(step: int) -> None:
    """The right secret, and a HASH over something else: AUTHENTICATION-FAILED at most, and no SA."""
    if step == 5:
        site, wire = watched()
        peer = caller(wire, site)
        peer.main_1()
        peer.main_3()
        seen = peer.main_5(lambda payloads: [payloads[0], Hash(bytes(32))])
        host = site.sun
    else:
        site, wire, peer, first = calls()
        peer.main_2(first)
        peer.main_4()
        seen = peer.main_6(lambda payloads: [payloads[0], Hash(bytes(32))])
        host = site.moon
    assert set(notifies(seen)) <= {NotifyType.AUTHENTICATION_FAILED}
    assert not host.children and not is_up(host)
    wait(site, 60)
    assert bare(host)


@pytest.mark.conformance("v1-16")
@pytest.mark.parametrize("side", ["responder", "initiator"])
def test_the_proof_must_come_encrypted(side: str) -> None:
    """Message 5 or 6 in clear, with a right HASH: not heard."""
    if side == "responder":
        site, wire = watched()
        peer = caller(wire, site)
        peer.main_1()
        peer.main_3()
        host = site.sun
    else:
        site, wire, peer, first = calls()
        peer.main_2(first)
        peer.main_4()
        host = site.moon
    assert peer.deliver(peer.clear([peer.identity, peer.proof()], MAIN)) == []
    assert not is_up(host)


def secret_by_address(table: dict[str, bytes]) -> Any:
    """Answers for a host whose secrets belong to addresses alone."""

    def find(ask: asks.SharedSecret) -> Secret:
        remote = Endpoint(ask.remote_address, 0).host
        nobody_else = ask.remote_id.is_any or ask.remote_id == Identity.of_address(ask.remote_address)
        if nobody_else and remote in table:
            return Secret(table[remote])
        raise CredentialError(f"no secret of {ask.remote_id}")

    return {"answers": {asks.SharedSecret: find}}


@pytest.mark.conformance("v1-17")
def test_the_secret_of_main_mode_is_found_by_address() -> None:
    """Two peers, each with a secret of its own, known by their addresses alone (ID_IPV4_ADDR)."""
    table = {MOON: b"moon's own", "192.0.2.7": b"the other's"}
    site, wire = watched(
        sun={"remote": "192.0.2.0/24", "remote_id": "%any", "local_id": SUN}, sun_host=secret_by_address(table)
    )
    for address, secret in table.items():
        peer = Peer(wire, site.sun, address, secret=secret, name=address)
        assert peer.identity.kind is IdType.IPV4_ADDR
        peer.main()
        assert len(peer.heard) == 3, address
        theirs = peer.heard[2].one(ID)
        assert theirs == ID.of(Identity.parse(SUN))
        assert peer.heard[2].one(Hash) == peer.proof(peer.heard[2].body_of(theirs), theirs=True)
    stolen = Peer(wire, site.sun, "192.0.2.7", secret=table[MOON], name=MOON, seed=9).main()
    assert len(stolen.heard) == 2, "moon's secret is no use from elsewhere"


@pytest.mark.conformance("v1-17")
def test_the_initiator_finds_its_secret_by_address_too() -> None:
    options = {"remote_id": "%any", "local_id": MOON}
    site, wire = watched(
        moon=options,
        moon_host=secret_by_address({SUN: b"between addresses"}),
        sun={"remote_id": MOON, "local_id": SUN},
        sun_host={"secret": b"between addresses"},
    )
    site.up()
    assert stands(site)
    (five,) = wire.fresh(which(MAIN, by=site.moon, encrypted=True))
    assert five.message.one(ID).kind is IdType.IPV4_ADDR


@pytest.mark.conformance("v1-17")
def test_who_knows_a_secret_is_not_just_anybody() -> None:
    """The identity of another connection under the secret of this address: refused."""
    site, wire = watched()
    site.sun.load(connection("other", version=1, ike="aes128-sha256-modp2048", local=SUN, remote="192.0.2.9",
                             local_id="sun.example.org", remote_id="boss.example.org",
                             children=(child("other", mirror=True),)))  # fmt: skip
    peer = caller(wire, site, name="boss.example.org").main()
    assert len(peer.heard) == 2 and not is_up(site.sun)
    assert site.sun.saw(AuthFailed)


# -- identities ------------------------------------------------------------------------

PORTS = {
    "0/0": (0, 0, True),
    "17/500": (17, 500, True),
    "17/4500": (17, 4500, True),
    "6/500": (6, 500, False),
    "17/501": (17, 501, False),
    "0/500": (0, 500, False),
    "255/65535": (255, 65535, False),
}


def with_port(protocol: int, port: int) -> Any:
    def change(payloads: list[Payload]) -> list[Payload]:
        return [ID(each.kind, protocol, port, each.data) if isinstance(each, ID) else each for each in payloads]

    return change


@pytest.mark.conformance("v1-20")
@pytest.mark.parametrize("said", PORTS)
def test_the_port_of_a_phase_1_identity_at_the_responder(said: str) -> None:
    """0/0, 17/500 and, for NAT traversal, 17/4500 are legal (RFC 2407 §4.6.2)."""
    protocol, port, legal = PORTS[said]
    site, wire = watched()
    peer = caller(wire, site)
    peer.identity = ID(peer.identity.kind, protocol, port, peer.identity.data)
    peer.main()
    assert is_up(site.sun) is legal


@pytest.mark.conformance("v1-20")
@pytest.mark.parametrize("mode", ["main", "aggressive"])
@pytest.mark.parametrize("said", PORTS)
def test_the_port_of_a_phase_1_identity_at_the_initiator(said: str, mode: str) -> None:
    """sun's ID says it, proven rightly."""
    protocol, port, legal = PORTS[said]
    if mode == "main":
        site, wire = watched()
        rewrite(wire, which(MAIN, by=site.sun, holds=ID), with_port(protocol, port), times=None)
    else:
        site, wire = watched(both=AGGRESSIVE_PSK)

        def bent(payloads: list[Payload]) -> list[Payload]:
            changed = with_port(protocol, port)(payloads)
            named = next(each for each in changed if isinstance(each, ID))
            cookies = sa_of(site.sun).cookie_i, sa_of(site.sun).cookie_r
            return [*changed, wire.proof(cookies, False, named.body())]

        rewrite(wire, which(AGGRESSIVE, by=site.sun, holds=ID), bent, times=None)
    site.moon.initiate("site", "net", 0.0)
    wait(site, 2)
    assert is_up(site.moon) is legal


@pytest.mark.conformance("v1-20")
def test_our_own_identities_say_no_port() -> None:
    site, wire = watched()
    site.up()
    said = [seen.message.one(ID) for seen in wire.fresh(which(MAIN, holds=ID))]
    assert [(each.protocol, each.port) for each in said] == [(0, 0), (0, 0)]


# -- aggressive mode ----------------------------------------------------------------------


@pytest.mark.conformance("v1-18")
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_the_third_message_comes_in_clear_or_encrypted(encrypted: bool) -> None:
    """SA, KE, Ni, IDii --> <-- SA, KE, Nr, IDir, HASH_R; HASH_I -->, either way; then quick mode in either case."""
    site, wire = watched(sun=AGGRESSIVE_PSK)
    peer = caller(wire, site)
    (second,) = peer.aggressive_1()
    message = second.message
    assert [type(each).__name__ for each in message.payloads[:5]] == ["SA", "KE", "Nonce", "ID", "Hash"]
    assert not message.encrypted and message.message_id == 0
    assert message.one(Hash) == peer.proof(message.body_of(message.one(ID)), theirs=True)
    assert not is_up(site.sun)
    peer.aggressive_3(encrypted=encrypted)
    assert is_up(site.sun)
    wait(site, 10)
    assert not [seen for seen in wire.all(which(AGGRESSIVE, by=site.sun)) if seen.repeated]


@pytest.mark.conformance("v1-18", "v1-29")
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_initial_contact_in_the_third_message_counts_only_encrypted(encrypted: bool) -> None:
    """An older SA of the same peer stands; INITIAL-CONTACT beside HASH_I ends it if it came encrypted."""
    site, wire = watched(both=AGGRESSIVE_PSK, sun={"unique": Unique.NO})
    site.up()
    old = sa_of(site.sun)
    peer = caller(wire, site)
    peer.aggressive_1()
    peer.aggressive_3(lambda payloads: [*payloads, initial_contact_notify(*peer.cookies)], encrypted=encrypted)
    states = {machine.sa.spi_i: machine.sa.state for machine in site.sun.machines}
    assert states[peer.cookie_i] is IkeState.ESTABLISHED
    assert (old.spi_i in states) is not encrypted


@pytest.mark.conformance("v1-18")
def test_our_own_aggressive_mode_is_three_messages() -> None:
    site, wire = watched(both=AGGRESSIVE_PSK)
    site.up()
    assert stands(site)
    steps = wire.all(which(AGGRESSIVE))
    assert [seen.host.name for seen in steps] == ["moon", "sun", "moon"]
    assert [seen.message.encrypted for seen in steps] == [False, False, True]
    assert [type(each).__name__ for each in steps[0].message.payloads[:4]] == ["SA", "KE", "Nonce", "ID"]


@pytest.mark.conformance("v1-18")
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
@pytest.mark.parametrize("fault", ["wrong secret", "no HASH", "another one's HASH"])
def test_a_wrong_third_message_makes_no_sa(fault: str, encrypted: bool) -> None:
    site, wire = watched(sun=AGGRESSIVE_PSK)
    peer = caller(wire, site, secret=WRONG if fault == "wrong secret" else site.sun.secret)
    peer.aggressive_1()

    def bent(payloads: list[Payload]) -> list[Payload]:
        if fault == "no HASH":
            return [peer.identity]
        return [peer.proof(theirs=True)] if fault == "another one's HASH" else payloads

    peer.aggressive_3(bent, encrypted=encrypted)
    assert not is_up(site.sun) and not site.sun.children
    wait(site, 60)
    assert bare(site.sun)


@pytest.mark.conformance("v1-18")
@pytest.mark.parametrize("fault", ["wrong secret", "wrong identity", "wrong HASH"])
def test_a_wrong_second_message_makes_no_sa(fault: str) -> None:
    """moon calls in aggressive mode; whoever answers is not sun."""
    secret = {"sun_host": {"secret": WRONG}} if fault == "wrong secret" else {}
    site, wire = watched(both=AGGRESSIVE_PSK, **secret)

    def bent(payloads: list[Payload]) -> list[Payload]:
        named = ID.of(Identity.parse("eve.example.org"))
        cookies = sa_of(site.sun).cookie_i, sa_of(site.sun).cookie_r
        body = named.body() if fault == "wrong identity" else b"nobody"
        others = [named if isinstance(each, ID) and fault == "wrong identity" else each for each in payloads]
        return [*others, wire.proof(cookies, False, body)]

    if not secret:
        rewrite(wire, which(AGGRESSIVE, by=site.sun), bent, times=None)
    token = site.moon.initiate("site", "net", 0.0)
    wait(site, 2)
    assert not is_up(site.moon) and not site.moon.children
    site.world.run_until(lambda: token in site.moon.done)
    assert site.moon.done[token].error
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v1-19", "v1-18")
def test_an_unknown_identity_gets_no_hash_to_guess_by() -> None:
    """Aggressive mode for somebody sun does not know: refused without a proof of ours."""
    site, wire = watched(sun=AGGRESSIVE_PSK)
    seen = caller(wire, site, name="eve.example.org").aggressive_1()
    assert notifies(seen) == [NotifyType.AUTHENTICATION_FAILED]
    assert not any(message.all(Hash) for message in wire.messages())
