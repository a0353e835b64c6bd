"""TLS in memory: two ends of it, what they say about failures, and how many there may be."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

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


@pytest.mark.parametrize("newest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("version", [5, 0xFF], ids=["of no version there is", "of one that is no number"])
def test_a_certificate_that_only_openssl_takes(version: int, newest: int, tmp_path: Path) -> None:
    """OpenSSL hands on what cannot be read here: that ends the session, and nothing else."""
    key = rsa.generate_private_key(65537, 2048)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "carol")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(9999)).sign(key, SHA256())
    der = made.public_bytes(Encoding.DER)
    assert der.count(bytes.fromhex("a003020102")) == 1
    der = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a0030201") + bytes((version,)))
    (tmp_path / "der").write_bytes(der)
    client = SSL.Context(SSL.TLS_METHOD)
    client.use_certificate_file(tmp_path / "der", crypto.FILETYPE_ASN1)
    client.use_privatekey(key)
    client.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    ours = Session(client, False)
    (key_id,) = STORE.key_ids
    theirs = Tls(STORE, newest).begin(BeginTls(True, key_id, (SUN.der, *SUN.chain), True))
    turns = [theirs.step(ours.step(b"", b"").records, b"")]
    while turns[-1].records:
        said = ours.step(turns[-1].records, b"").records
        if not said:
            break
        turns.append(theirs.step(said, b""))
    assert "certificate cannot be read" in turns[-1].failed
    assert turns[-1].records == b"" and turns[-1].peer == () and not turns[-1].established


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
