"""What refusals and silence mean: each word of the peer, by how far the two got."""

from __future__ import annotations

from typing import Any

import pytest

from ikectl.config.model import Auth, AuthKind, Child, Connection, Fragmentation, Local, Remote
from ikectl.crypto.kdf_v1 import IsakmpKeys
from ikectl.crypto.proposal import default_ike, parse_proposal
from ikectl.exchange.v1 import diagnosis
from ikectl.exchange.v1.natt import suspicion
from ikectl.iana.v1 import NotifyType, VendorId
from ikectl.iana.v2 import Protocol
from ikectl.sa.association import IkeState
from ikectl.sa.env import Env
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.sa.nat import Nat
from ikectl.values.identity import Identity
from ikectl.values.path import Endpoint, Path
from ikectl.values.secret import NO_SECRET

N = NotifyType
PSK, PUBKEY, XAUTH = Auth(AuthKind.PSK), Auth(AuthKind.PUBKEY), Auth(AuthKind.XAUTH)
IKE = (parse_proposal("aes256-sha256-modp2048", Protocol.IKE),)
NO_KEYS = IsakmpKeys(NO_SECRET, NO_SECRET, NO_SECRET, NO_SECRET, NO_SECRET)


def connection(auth: Auth = PSK, **more: Any) -> Connection:
    options = {"proposals": IKE, "local": (Local(auth=auth),), "remote": (Remote(auth=auth),), **more}
    return Connection("site", version=1, **options)


def sa(known: Connection | None, port: int = 500, *, initiator: bool = True, far: bool = False) -> IsakmpSa:
    """An SA in phase 1; `far`: its keys are made and we said who we are."""
    ends = Path(Endpoint.parse("192.0.2.1", port), Endpoint.parse("198.51.100.1", port))
    made = IsakmpSa(Env(lambda number: bytes), bytes, 1, initiator, bytes(8), bytes(8), ends, known)
    made.state = IkeState.CONNECTING
    if far:
        made.keys, made.local_id = NO_KEYS, Identity.parse("moon.example.org")
    return made


MEANINGS: dict[str, tuple[NotifyType, Auth, bool, str]] = {
    "proposals": (N.NO_PROPOSAL_CHOSEN, PSK, False, "none of our aes256-sha256-modp2048 with psk in main mode"),
    "no secret there": (N.AUTHENTICATION_FAILED, PSK, False, "does not know 192.0.2.1, or has no pre-shared key"),
    "no key there": (N.AUTHENTICATION_FAILED, PUBKEY, False, "lacks a certificate or key for its own part"),
    "proof": (N.AUTHENTICATION_FAILED, PSK, True, "does not accept that we are 'moon.example.org', or our proof"),
    "identity": (N.INVALID_ID_INFORMATION, PSK, True, "compare local.id here with what it expects"),
    "unreadable": (N.PAYLOAD_MALFORMED, PSK, True, "most likely the pre-shared keys differ"),
    "hash": (N.INVALID_HASH_INFORMATION, PSK, True, "most likely the pre-shared keys differ"),
    "certificate": (N.INVALID_CERT_AUTHORITY, PUBKEY, True, "compare its trusted CA with the issuer of ours"),
    "group": (N.INVALID_KEY_INFORMATION, PSK, False, "compare the groups in proposals"),
    "version": (N.INVALID_MAJOR_VERSION, PSK, False, "set version = 2"),
    "mode": (N.UNSUPPORTED_EXCHANGE_TYPE, PSK, False, "compare aggressive at both ends"),
}


@pytest.mark.parametrize("kind", MEANINGS)
def test_what_a_word_of_the_peer_means(kind: str) -> None:
    word, auth, far, meaning = MEANINGS[kind]
    text = diagnosis.refused([word], sa(connection(auth), far=far))
    assert text.startswith(f"the peer answered {word}: ") and meaning in text


def test_what_has_no_meaning_is_repeated() -> None:
    assert diagnosis.refused([N.PAYLOAD_MALFORMED], sa(connection(PUBKEY))) == "the peer answered PAYLOAD_MALFORMED"
    assert diagnosis.refused([N(8191)], sa(None)) == "the peer answered 8191"
    many = diagnosis.refused([N(number) for number in range(100, 200)], sa(connection()))
    assert many == "the peer answered 100, 101, 102, 103", "whatever the peer sends, it stays short"


def test_the_responder_hears_that_the_initiator_lacks_something() -> None:
    text = diagnosis.refused([N.AUTHENTICATION_FAILED], sa(connection(), initiator=False))
    assert "it lacks the secret or certificate for its own part" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "psk"),
        ({"remote": (Remote(auth=PUBKEY),)}, "psk here and pubkey there"),
        ({"local": (Local(auth=PSK), Local("local-2", XAUTH, xauth_id="joe"))}, "psk, then XAUTH of our user"),
        ({"remote": (Remote(auth=PSK), Remote("remote-2", XAUTH))}, "psk, then XAUTH of the peer's user"),
        ({"local": (Local(auth=XAUTH),), "remote": (Remote(auth=PUBKEY),)}, "xauth here and pubkey there (hybrid)"),
    ],
)
def test_how_both_ends_prove_themselves(more: dict[str, Any], words: str) -> None:
    assert diagnosis.proofs_of(connection(**more)) == words


def test_proposals_without_numbers_in_ikev1_are_not_named() -> None:
    words = diagnosis.proposals_of(connection(proposals=default_ike()))
    assert "gcm" not in words and "prf" not in words and "aes256-aes128-sha384" in words


def test_what_a_child_offers() -> None:
    esp = tuple(parse_proposal(word, Protocol.ESP) for word in ("aes256-sha256-modp2048", "aes128-sha1"))
    ah = (parse_proposal("sha256", Protocol.AH),)
    assert diagnosis.terms_of(Child("net", esp)) == "ESP aes256-sha256-modp2048, aes128-sha1 in tunnel mode"
    assert diagnosis.terms_of(Child("net", (), ah, ipcomp=True)) == "AH sha256 in tunnel mode with IPComp"
    assert diagnosis.terms_of(Child("net", esp[1:], ah)) == "ESP aes128-sha1 or AH sha256 in tunnel mode"
    assert diagnosis.terms_of(Child("net", esp[1:], ah, bundle=True)) == "ESP aes128-sha1 and AH sha256 in tunnel mode"
    many = diagnosis.terms_of(Child("net", esp * 5))
    assert "and 6 more" in many


def test_a_message_that_may_be_cut_on_its_way() -> None:
    assert diagnosis.too_long(sa(connection()), diagnosis.WHOLE_OCTETS) == ""
    peer = sa(connection())
    assert "announced no IKE fragmentation; fragmentation = force here" in diagnosis.too_long(peer, 1800)
    peer.peer = frozenset({VendorId.FRAGMENTATION})
    assert "announced its IKE fragmentation" in diagnosis.too_long(peer, 1800)
    off = diagnosis.too_long(sa(connection(fragmentation=Fragmentation.NO)), 1800)
    assert off == "it has 1800 octets, and firewalls may drop what IP cuts (fragmentation = force here)"


def test_message_5_over_the_port_of_nat_traversal() -> None:
    through = sa(connection(PUBKEY), 4500, far=True)
    through.nat = Nat(True, False)
    text = diagnosis.no_sixth(through, 1800)
    assert text.index("there is a NAT, and this message is the first to UDP 4500") < text.index("it has 1800 octets")
    assert "pre-shared" not in text and "its own certificate may make message 6 too long" in text


def test_refusals_of_children() -> None:
    net = Child("net", (parse_proposal("aes128-sha1-modp1024", Protocol.ESP),))
    group = diagnosis.child_refused([N.INVALID_KEY_INFORMATION], sa(connection()), net, None)
    assert group.endswith("compare the PFS group in esp_proposals of both ends")
    traffic = diagnosis.child_refused([N.INVALID_ID_INFORMATION], sa(connection()), net, None)
    assert "no child for our traffic selectors" in traffic


# -- a NAT that nobody can speak of ------------------------------------------------


def test_nothing_hints_at_a_nat() -> None:
    here = sa(connection(), initiator=False)
    assert suspicion(here) == ""
    here.remote_id = Identity.parse("198.51.100.1")
    assert suspicion(here) == ""


def test_a_peer_with_another_address_than_its_own() -> None:
    here = sa(connection(), initiator=False)
    here.remote_id = Identity.parse("192.168.0.2")
    assert "says it is 192.168.0.2 and calls from 198.51.100.1" in suspicion(here)
    assert "the peer knows no NAT traversal" in suspicion(here)
    here.natt = VendorId.NAT_T_DRAFT_03
    assert suspicion(here) == "", "then NAT detection tells"


def test_a_port_and_addresses_that_only_a_nat_explains() -> None:
    assert "it calls from port 61000" in suspicion(sa(connection(), 61000, initiator=False))
    here = sa(connection())
    here.path = Path(Endpoint.parse("192.168.0.2", 500), Endpoint.parse("8.8.8.8", 500))
    assert "our 192.168.0.2 is a private address and its 8.8.8.8 is not" in suspicion(here)
