"""Post-quantum pre-shared keys by their identities (RFC 8784)."""

from __future__ import annotations

import pytest

from ikectl.errors import CredentialError
from ikectl.pki.store import Store
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret

CAROL, DAVE = Identity.parse("carol@example.org"), Identity.parse("0x0123ab")


def test_a_key_is_found_by_the_octets_of_its_identity() -> None:
    store = Store()
    assert not store.ppks and store.ppks.find(b"carol@example.org") is None
    store.add_ppk("one", (CAROL, IdentityPattern.parse("@#0123ab")), b"first")
    store.add_ppk("two", (CAROL,), b"second")
    assert store.ppks and store.ppks.find(b"carol@example.org") == b"first"
    assert type(store.ppks.find(CAROL.data)) is Secret and store.ppks.find(b"\x01\x23\xab") == b"first"
    store.add_ppk("one", (DAVE,), b"third")
    assert store.ppks.find(CAROL.data) == b"second" and store.ppks.find(b"carol") is None
    assert store.remove_secret("two") and store.ppks.find(CAROL.data) is None
    assert not store.remove_secret("two")


def test_a_key_without_identities_fits_where_none_is_named() -> None:
    store = Store()
    store.add_ppk("", (), b"for all")
    store.add_ppk("carol", (CAROL,), b"of carol")
    assert store.ppks.find(CAROL.data) == b"of carol" and store.ppks.find(b"anybody") == b"for all"
    store.clear()
    assert not store.ppks and store.ppks.find(b"anybody") is None


def test_what_cannot_serve_is_refused() -> None:
    for owners, key in (((CAROL,), b""), ((IdentityPattern.parse("*.example.org"),), b"key")):
        with pytest.raises(CredentialError):
            Store().add_ppk("one", owners, key)
