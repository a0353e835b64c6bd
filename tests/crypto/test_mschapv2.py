"""MD4 and MS-CHAPv2 against RFC 1320 §A.5, RFC 2759 §9.2 and RFC 3079 §3.5.3."""

from __future__ import annotations

import pytest

from ikectl.crypto.md4 import md4
from ikectl.crypto.mschapv2 import authenticator_response, bare_user, nt_hash, nt_response, session_key

CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")


@pytest.mark.parametrize(
    "text, digest",
    [
        ("", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        ("a", "bde52cb31de33e46245e05fbdbd6fb24"),
        ("abc", "a448017aaf21d8525fc10ae87aa6729d"),
        ("message digest", "d9130a8164549fe818874806e1c7014b"),
        ("abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4"),
        ("1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4(text: str, digest: str) -> None:
    assert md4(text.encode()).hex() == digest


def test_the_nt_hash_is_of_utf_16() -> None:
    assert nt_hash(b"clientPass") == HASH
    assert nt_hash("Grüße".encode()) == md4("Grüße".encode("utf-16-le"))
    assert nt_hash(b"\xfc") == md4("ü".encode("utf-16-le"))
    assert "44EB" not in repr(nt_hash(b"clientPass")).upper()


def test_response() -> None:
    assert nt_response(CHALLENGE, PEER_CHALLENGE, b"User", HASH) == RESPONSE


def test_authenticator_response() -> None:
    made = authenticator_response(CHALLENGE, PEER_CHALLENGE, b"User", HASH, RESPONSE)
    assert made.hex().upper() == "407A5589115FD0D6209F510FE9C04566932CDA56"


def test_keys() -> None:
    """RFC 3079 §3.5.3: the server's send key, which is 128 bits of the master send key, is the client's receive key."""
    made = session_key(HASH, RESPONSE)

    assert made[16:32].hex().upper() == "8B7CDC149B993A1BA118CB153F56DCCB"
    assert made[32:] == bytes(32) and len(made) == 64


def test_a_domain_does_not_count() -> None:
    assert bare_user(rb"CORP\carol") == b"carol"
    assert bare_user(b"carol") == b"carol"
