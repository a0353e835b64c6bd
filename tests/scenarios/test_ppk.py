"""Post-quantum pre-shared keys (RFC 8784): agreed in IKE_SA_INIT, named in IKE_AUTH, in all keys from then on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ikectl.auth.psk import psk_auth
from ikectl.config.model import Auth, AuthKind, Local, Remote
from ikectl.crypto.kdf_v2 import IkeKeys, mix_ppk
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import AuthMethod, NotifyType
from ikectl.sa.events import AuthFailed, IkeFailed, Note
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from ikectl.wire.payload import Payload
from ikectl.wire.v2.identity import AUTH, IDi, IDr
from ikectl.wire.v2.keying import Nonce
from ikectl.wire.v2.notify import Notify
from tests.scenarios.quantum import FALSE, KEY, MINE, OTHER, outcome, sites
from tests.scenarios.stage import IKE_AUTH, IKE_SA_INIT, bare, gateways, notifies, rewrite, sa_of, stands, wait
from tests.sim.link import Link
from tests.sim.site import Site
from tests.sim.users import user_answers
from tests.sim.wiretap import Wiretap, which

N = NotifyType
WANTED = {"ppk_id": MINE, "ppk_intermediate": False}
REQUIRED = {**WANTED, "ppk_required": True}


def said(wire: Wiretap) -> list[list[NotifyType]]:
    """What of all this each message of the handshake said."""
    kinds = (N.USE_PPK, N.PPK_IDENTITY, N.NO_PPK_AUTH)
    messages = [*wire.messages(which(IKE_SA_INIT)), *wire.messages(which(IKE_AUTH))]
    return [[kind for kind in notifies(message) if kind in kinds] for message in messages]


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("ike", ["aes128gcm16-prfsha256-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"])
def test_the_keys_are_those_of_the_rfc(ike: str) -> None:
    """N(USE_PPK) both ways; IKE_AUTH with N(PPK_IDENTITY, 2 | id), N(NO_PPK_AUTH) -->  <-- N(PPK_IDENTITY)

    SK_d, SK_pi and SK_pr each become prf+(PPK, what they were); AUTH is made with these, NO_PPK_AUTH with those.
    """
    site, wire = sites(WANTED, ike=ike)
    before: list[IkeKeys] = []

    def note(*_: object) -> bool:
        for machine in site.sun.machines:
            if not before and machine.sa.keys is not None:
                before.append(replace(machine.sa.keys))
        return True

    site.world.taps.append(note)
    assert not outcome(site) and stands(site)
    assert said(wire) == [[N.USE_PPK], [N.USE_PPK], [N.PPK_IDENTITY, N.NO_PPK_AUTH], [N.PPK_IDENTITY]]
    asked, answered = wire.messages(which(IKE_AUTH))
    name, empty = asked.notify(N.PPK_IDENTITY), answered.notify(N.PPK_IDENTITY)
    assert name is not None and name.data == b"\x02quantum" and empty is not None and not empty.data
    assert sa_of(site.moon).ppk and sa_of(site.sun).ppk
    suite, (plain,) = sa_of(site.sun).suite, before
    if suite is not None and not suite.additional:
        mixed = mix_ppk(suite.prf, KEY["quantum"], plain)
        for host in (site.moon, site.sun):
            keys = sa_of(host).keys
            assert keys is not None and keys.sk_d == mixed.sk_d != plain.sk_d and keys.sk_ei == plain.sk_ei
        init, answer = wire.seen[:2]
        secret = Secret(site.moon.secret)
        nonces = init.message.one(Nonce).value, answer.message.one(Nonce).value

        def proof(octets: bytes, nonce: bytes, sk_p: bytes, body: bytes) -> bytes:
            return psk_auth(suite.prf, secret, octets + nonce + suite.prf.compute(sk_p, body))

        body = asked.one(IDi).body()
        excuse = asked.notify(N.NO_PPK_AUTH)
        assert excuse is not None and excuse.data == proof(init.octets, nonces[1], plain.sk_pi, body)
        assert asked.one(AUTH).data == proof(init.octets, nonces[1], mixed.sk_pi, body)
        assert answered.one(AUTH).data == proof(answer.octets, nonces[0], mixed.sk_pr, answered.one(IDr).body())
    for name_ in ("net", ""):
        site.moon.rekey(site.world.now, "site", name_)
        wait(site, 10)
    assert stands(site) and sa_of(site.moon).ppk
    site.world.settled()


# fmt: off
TABLE = [
    # initiator, its keys, responder, its keys: whether the key is used, or why there is no IKE SA
    ({},       {},    {},       {},    False),
    ({},       KEY,   {},       KEY,   False),   # without ppk_id an initiator has no use for it
    ({},       {},    WANTED,   KEY,   False),
    ({},       {},    REQUIRED, KEY,   "AUTHENTICATION_FAILED"),
    (WANTED,   KEY,   {},       {},    False),
    (WANTED,   KEY,   {},       KEY,   True),
    (WANTED,   KEY,   WANTED,   KEY,   True),
    (WANTED,   KEY,   REQUIRED, KEY,   True),
    (WANTED,   KEY,   {},       {"": KEY["quantum"]}, True),  # a key without an identity fits any
    (WANTED,   KEY,   {},       OTHER, False),   # NO_PPK_AUTH is what is judged
    (WANTED,   {},    {},       KEY,   False),
    (WANTED,   KEY,   REQUIRED, OTHER, "AUTHENTICATION_FAILED"),
    (WANTED,   KEY,   {"ppk_id": Identity.parse("other")}, KEY | OTHER, False),
    (WANTED,   KEY,   {},       FALSE, "AUTHENTICATION_FAILED"),
    (REQUIRED, KEY,   {},       KEY,   True),
    (REQUIRED, KEY,   {},       {},    "the peer has no post-quantum keys"),
    (REQUIRED, KEY,   {},       OTHER, "AUTHENTICATION_FAILED"),  # there is no NO_PPK_AUTH
    (REQUIRED, {},    {},       KEY,   "no post-quantum key of quantum is loaded"),
]
# fmt: on


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize(("moon", "moon_has", "sun", "sun_has", "wanted"), TABLE)
def test_what_comes_of_each_configuration(
    moon: dict[str, Any], moon_has: dict[str, bytes], sun: dict[str, Any], sun_has: dict[str, bytes], wanted: bool | str
) -> None:
    """RFC 8784 §3, table 1, and the initiator's side of it."""
    site, wire = sites(moon, sun, moon_has, sun_has)
    error = outcome(site)
    if isinstance(wanted, str):
        assert wanted in error
        wait(site, 60)
        assert bare(site.moon) and bare(site.sun)
        told = [event.text() for host in (site.moon, site.sun) for event in host.events if hasattr(event, "text")]
        assert any("post-quantum key" in text or "MAC mismatch" in text for text in told)
    else:
        assert not error and stands(site)
        assert sa_of(site.moon).ppk is sa_of(site.sun).ppk is wanted
        site.world.settled()
        assert any(N.PPK_IDENTITY in kinds for kinds in said(wire)[3:]) is wanted
    for host in (site.moon, site.sun):
        for key in (*moon_has.values(), *sun_has.values()):
            assert not any(
                key.decode() in repr(event) + event.text() for event in host.saw(Note) + host.saw(AuthFailed)
            )


def test_an_unknown_identity_is_told_in_short() -> None:
    """Nobody is proven yet who says it: a line of the log is neither as long nor as written as a stranger likes."""
    site, wire = sites(REQUIRED, {}, KEY, OTHER)

    def long(payloads: list[Payload]) -> list[Payload]:
        named = Notify(N.PPK_IDENTITY, b"\2" + b"\n" + b"x" * 40_000)
        return [named if isinstance(p, Notify) and p.type is N.PPK_IDENTITY else p for p in payloads]

    rewrite(wire, which(IKE_AUTH, by=site.moon), long)
    assert "AUTHENTICATION_FAILED" in outcome(site)
    (told,) = site.sun.saw(AuthFailed)
    assert "xxx" in told.text() and "\\n" not in told.text() and len(told.text()) < 800


@pytest.mark.conformance("v2-73")
def test_a_responder_that_requires_it_is_not_answered_without() -> None:
    """The initiator's NO_PPK_AUTH does not help: ppk_required of the responder wants the key itself."""
    site, _ = sites(WANTED, REQUIRED, KEY, FALSE | OTHER)
    assert "AUTHENTICATION_FAILED" in outcome(site)
    site, _ = sites(WANTED, {"ppk_required": True}, KEY, OTHER)
    assert "AUTHENTICATION_FAILED" in outcome(site)
    assert any("ppk_required" in event.text() for event in site.sun.saw(AuthFailed))


@pytest.mark.conformance("v2-73")
def test_a_responder_cannot_leave_out_what_the_initiator_requires() -> None:
    """<-- HDR, SK {IDr, AUTH} without N(PPK_IDENTITY): the responder did not use it, so there is no SA."""
    site, wire = sites(REQUIRED)

    def without(payloads: list[Payload]) -> list[Payload]:
        return [p for p in payloads if not (isinstance(p, Notify) and p.type is N.PPK_IDENTITY)]

    rewrite(wire, which(IKE_AUTH, by=site.sun, response=True), without)
    assert "ppk_required = yes" in outcome(site)
    wait(site, 60)
    assert bare(site.moon) and bare(site.sun)


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize(
    ("data", "fails"),
    [(b"\x01quantum", False), (b"", True), (b"\x02", True), (b"\x00quantum", True), (b"\x03quantum", True)],
)
def test_both_types_of_identity_and_no_other(data: bytes, fails: bool) -> None:
    """PPK_ID_OPAQUE and PPK_ID_FIXED (RFC 8784 §5.1); anything else is N(INVALID_SYNTAX)."""
    site, wire = sites(WANTED)

    def renamed(payloads: list[Payload]) -> list[Payload]:
        return [Notify(p.type, data) if isinstance(p, Notify) and p.type is N.PPK_IDENTITY else p for p in payloads]

    rewrite(wire, which(IKE_AUTH, by=site.moon), renamed)
    error = outcome(site)
    assert ("INVALID_SYNTAX" in error) if fails else (not error and sa_of(site.sun).ppk)


@pytest.mark.conformance("v2-73")
def test_the_key_survives_bad_links() -> None:
    up = 0
    for seed in range(60):
        site, _ = sites(WANTED, seed=seed, link=Link(loss=0.25, duplication=0.2, jitter=0.3))
        token = site.up(within=1200.0)
        if site.moon.done[token].error is None:
            up += 1
            assert sa_of(site.moon).ppk
        assert not site.moon.saw(AuthFailed) and not site.sun.saw(AuthFailed)
    assert up > 50


def by_eap(method: EapType, **options: Any) -> tuple[Site, Wiretap]:
    """moon proves itself by EAP, sun by a pre-shared key; both have the post-quantum key."""
    users = user_answers({"carol": b"of carol alone"})
    site, wire = gateways(
        moon={**WANTED, **options},
        sun=options,
        moon_host={"ppks": KEY, "answers": users},
        sun_host={"ppks": KEY, "answers": users},
    )
    auth = Auth(AuthKind.EAP, eap=(method,))
    (ours,) = site.moon.engine.connections.all
    (theirs,) = site.sun.engine.connections.all
    site.moon.load(replace(ours, local=(Local("local", auth, Identity.parse("carol")),)))
    pattern = IdentityPattern.parse("%any")
    site.sun.load(replace(theirs, remote=(Remote("remote", auth, pattern, eap_id=pattern),)))
    return site, wire


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("method", [EapType.MD5, EapType.MSCHAPV2])
@pytest.mark.parametrize("required", [False, True])
def test_with_eap_the_last_auth_has_it(method: EapType, required: bool) -> None:
    """HDR, SK {AUTH, N(PPK_IDENTITY), N(NO_PPK_AUTH)} -->  <-- HDR, SK {AUTH, N(PPK_IDENTITY), SA, TSi, TSr}"""
    site, wire = by_eap(method, ppk_required=required)
    assert not outcome(site) and stands(site) and sa_of(site.moon).ppk and sa_of(site.sun).ppk
    excuse = [] if required else [N.NO_PPK_AUTH]
    asked = wire.messages(which(IKE_AUTH, by=site.moon))
    assert [N.PPK_IDENTITY in notifies(message) for message in asked] == [False] * (len(asked) - 1) + [True]
    assert said(wire)[-2:] == [[N.PPK_IDENTITY, *excuse], [N.PPK_IDENTITY]]
    site.world.settled()


@pytest.mark.conformance("v2-73")
def test_with_eap_a_responder_without_the_key_takes_the_other_proof() -> None:
    site, _ = by_eap(EapType.MSCHAPV2)
    site.sun.ppks.remove("quantum")
    site.sun.ppks.add("other", (Identity.parse("other"),), b"another")
    assert not outcome(site) and stands(site) and not sa_of(site.sun).ppk and not sa_of(site.moon).ppk
    site.world.settled()


@pytest.mark.conformance("v2-73")
@pytest.mark.parametrize("sun_has", [KEY, OTHER])
def test_with_several_rounds_the_last_one_names_it(sun_has: dict[str, bytes]) -> None:
    """RFC 4739: each end proves itself twice; the keys change with the initiator's last AUTH."""
    site, wire = sites(WANTED, sun_has=sun_has)
    for host in (site.moon, site.sun):
        (connection,) = host.engine.connections.all
        again = replace(connection.local[0], name="local-2"), replace(connection.remote[0], name="remote-2")
        host.load(replace(connection, local=(connection.local[0], again[0]), remote=(connection.remote[0], again[1])))
    assert not outcome(site) and stands(site)
    asked = wire.messages(which(IKE_AUTH, by=site.moon, response=False))
    assert [N.PPK_IDENTITY in notifies(message) for message in asked] == [False, True]
    assert sa_of(site.moon).ppk is sa_of(site.sun).ppk is (sun_has is KEY)
    site.world.settled()


def test_an_initiator_says_what_to_add() -> None:
    site, _ = sites(REQUIRED, moon_has={})
    outcome(site)
    assert not site.sun.machines and not site.world.sent
    assert any("secrets.ppk" in event.text() for event in site.moon.saw(IkeFailed) + site.moon.saw(AuthFailed))
    site, _ = sites(WANTED, moon_has={})
    assert not outcome(site)
    assert any("going on without" in note.text() for note in site.moon.saw(Note))


def test_the_wrong_method_of_an_excuse_is_no_way_in() -> None:
    """NO_PPK_AUTH is judged as AUTH would be: one that is made up lets nobody in."""
    site, wire = sites(WANTED, sun_has=OTHER)

    def forged(payloads: list[Payload]) -> list[Payload]:
        return [Notify(p.type, bytes(32)) if isinstance(p, Notify) and p.type is N.NO_PPK_AUTH else p for p in payloads]

    rewrite(wire, which(IKE_AUTH, by=site.moon), forged)
    assert "AUTHENTICATION_FAILED" in outcome(site)
    (auth,) = {message.one(AUTH).method for message in wire.messages(which(IKE_AUTH, by=site.moon, holds=AUTH))}
    assert auth is AuthMethod.SHARED_KEY_MIC
