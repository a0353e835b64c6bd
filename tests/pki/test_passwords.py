"""Which password is whose."""

from __future__ import annotations

import pytest

from ikectl.crypto.mschapv2 import nt_hash
from ikectl.errors import CredentialError
from ikectl.pki.passwords import Passwords
from ikectl.pki.store import Store
from ikectl.values.identity import Identity, IdentityPattern


def owners(*texts: str) -> list[IdentityPattern]:
    return [IdentityPattern.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("owner", "user"),
    [
        ("carol", "carol"),
        ("carol@example.org", "carol@example.org"),
        ("EXAMPLE\\carol", "EXAMPLE\\carol"),
        ("keyid:carol", "carol"),
        ("office:carol", "office:carol"),
        ("10.0.0.5", "10.0.0.5"),
        ("k\u00e4the", "k\u00e4the"),
    ],
)
def test_names_of_users_are_what_was_written(owner: str, user: str) -> None:
    held = Passwords()
    held.add("p", owners(owner), b"squeamish")
    assert held.find(user) == b"squeamish"
    assert held.find(user.upper() if user.islower() else user.lower() + "x") is None


def test_one_password_for_several_users_goes_as_a_whole() -> None:
    held = Passwords()
    held.add("p", owners("carol", "dave", "carol"), b"squeamish")
    assert held.find("carol") == held.find("dave") == b"squeamish"
    assert held.remove("p")
    assert not held.remove("p")
    assert held.find("carol") is held.find("dave") is None


def test_the_one_loaded_first_counts_and_a_name_loaded_again_is_replaced() -> None:
    held = Passwords()
    held.add("a", owners("carol"), b"first")
    held.add("b", owners("carol"), b"second")
    held.add("", owners("carol"), b"third")
    assert held.find("carol") == b"first"
    held.add("a", owners("carol"), b"newest")
    assert held.find("carol") == b"second"
    held.clear()
    assert held.find("carol") is None


@pytest.mark.parametrize(
    ("texts", "secret"), [(["carol"], b""), ([], b"x"), (["*.example.org"], b"x"), (["%any"], b"x")]
)
def test_nothing_and_nobody_are_refused(texts: list[str], secret: bytes) -> None:
    with pytest.raises(CredentialError, match="needs the names of its users"):
        Passwords().add("p", owners(*texts), secret)


def test_a_password_is_no_key_and_a_key_no_password() -> None:
    store = Store()
    store.add_secret("ike", owners("carol"), b"key")
    store.add_password("xauth", owners("carol"), b"password")
    assert store.password("carol") == b"password"
    assert store.remove_secret("xauth")
    assert store.password("carol") is None
    store.add_password("xauth", owners("carol"), b"password")
    store.clear()
    assert store.password("carol") is None
    assert "password" not in repr(vars(store.passwords))


def test_nt_hashes_stand_beside_passwords() -> None:
    store = Store()
    hashed = nt_hash(b"Ar3etTnp")
    store.add_nt_hash("ntlm-carol", (Identity.parse("carol"),), hashed)
    store.add_password("eap-dave", (Identity.parse("dave"),), b"UgaM65Va")

    assert store.nt_hash("carol") == hashed and store.password("carol") is None
    assert store.nt_hash("dave") == nt_hash(b"UgaM65Va")
    assert store.nt_hash("bob") is None
    with pytest.raises(CredentialError, match="16 octets, not 8"):
        store.add_nt_hash("ntlm-bob", (Identity.parse("bob"),), b"UgaM65Va")
    assert store.remove_secret("ntlm-carol") and store.nt_hash("carol") is None
    store.clear()
    assert store.nt_hash("dave") is None
