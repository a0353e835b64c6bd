"""TLS in memory: two ends of it, what they say about failures, and how many there may be."""

from __future__ import annotations

import gc

import pytest

from ikectl.daemon import tls
from ikectl.daemon.tls import Session, Tls
from ikectl.errors import BackendError, CredentialError
from ikectl.pki.store import Store
from ikectl.sa.asks import BeginTls
from tests.auth.eap.talk import leaf, store_of

SUN = leaf("sun")
STORE = store_of(SUN)


def server() -> BeginTls:
    (key_id,) = STORE.key_ids
    return BeginTls(True, key_id, (SUN.der, *SUN.chain))


def pair(made: Tls) -> tuple[Session, Session]:
    return made.begin(BeginTls(False)), made.begin(server())


def shaken(ours: Session, theirs: Session) -> None:
    records = ours.step(b"", b"").records
    while records:
        records = theirs.step(records, b"").records
        if records:
            records = ours.step(records, b"").records


def test_two_ends() -> None:
    ours, theirs = pair(Tls(STORE))
    shaken(ours, theirs)

    turn = theirs.step(ours.step(b"", b"hello").records, b"")
    assert bytes(turn.plain) == b"hello" and turn.established and turn.tls13
    assert ours.step(b"", b"").peer == (SUN.der, *SUN.chain)
    assert ours.export(b"label", None, 64) == theirs.export(b"label", None, 64)
    assert "hello" not in repr(turn)


def test_octets_that_are_no_tls() -> None:
    _, theirs = pair(Tls(STORE))
    turn = theirs.step(b"GET / HTTP/1.0\r\n\r\n", b"")
    assert turn.failed.startswith("TLS failed: ") and not turn.established


def test_a_key_that_is_not_of_the_certificate() -> None:
    other = leaf("moon")
    store = store_of(other)
    (key_id,) = store.key_ids
    with pytest.raises(CredentialError, match="OpenSSL cannot use our certificate"):
        Tls(store).begin(BeginTls(True, key_id, (SUN.der,)))
    with pytest.raises(CredentialError, match="was unloaded"):
        Tls(Store()).begin(server())


def test_handshakes_at_once_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "MAX_SESSIONS", 3)
    made = Tls(STORE)
    held = [made.begin(server()) for _ in range(3)]
    with pytest.raises(BackendError, match="3 TLS handshakes are under way"):
        made.begin(server())
    assert made.begin(BeginTls(False)), "our own are ours to begin"
    held.clear()
    gc.collect()
    assert made.begin(server())
