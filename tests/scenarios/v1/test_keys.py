"""Keys, IVs and hashes from outside: recomputed with nothing but HMAC, out of what was said on the wire (RFC 2409)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from ikectl.crypto import ke
from ikectl.sa import asks
from ikectl.wire.header import HEADER_OCTETS
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import KE, Hash, Nonce
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.sa import SA
from tests.scenarios.v1.stage import AGGRESSIVE_PSK, gateways, sa_of, stands, wait, watched_tunnel
from tests.sim.site import Site, child
from tests.sim.wiretap_v1 import AGGRESSIVE, MAIN, PHASE_1, QUICK, Seen, Wiretap, which

PSK = b"a secret between friends"
MODES: dict[str, dict[str, Any]] = {"main": {}, "aggressive": AGGRESSIVE_PSK}
Prf = Callable[[bytes, bytes], bytes]


def prf_of(name: str) -> Prf:
    return lambda key, octets: hmac.digest(key, octets, name)


def shared_secrets(site: Site) -> list[bytes]:
    """The g^xy that sun computes from now on, in order."""
    found: list[bytes] = []

    def combine(ask: asks.CombineKe) -> Any:
        found.append(bytes(ke.combine(ask.pair, ask.public)))
        return ke.combine(ask.pair, ask.public)

    site.moon.answers[asks.CombineKe] = combine
    return found


def up(**options: Any) -> tuple[Site, Wiretap, list[bytes]]:
    """A tunnel, its wire, and what Diffie-Hellman gave."""
    site = gateways(**options)
    wire, secrets = Wiretap(site.world), shared_secrets(site)
    token = site.up()
    assert site.moon.done[token].error is None and stands(site)
    return site, wire, secrets


class Ledger:
    """All that RFC 2409 §5 derives, by hand."""

    def __init__(self, wire: Wiretap, shared: bytes, hash_name: str = "sha256") -> None:
        self.prf = prf_of(hash_name)
        self.digest = partial(hashlib.new, hash_name)
        steps = [seen.message for seen in wire.fresh() if seen.message.exchange in PHASE_1]
        said = {True: [], False: []}  # type: dict[bool, list[Message]]
        for seen in wire.fresh():
            if seen.message.exchange in PHASE_1:
                said[wire.began(seen)].append(seen.message)
        self.cookie_i, self.cookie_r = steps[-1].cookie_i, steps[-1].cookie_r
        self.public_i, self.public_r = (_first(said[who], KE).public for who in (True, False))
        self.nonce_i, self.nonce_r = (_first(said[who], Nonce).value for who in (True, False))
        self.id_i, self.id_r = (_body(said[who], ID) for who in (True, False))
        self.hash_i, self.hash_r = (_first(said[who], Hash).data for who in (True, False))
        self.sa_i = _body(said[True], SA)
        cookies = self.cookie_i + self.cookie_r
        self.skeyid = self.prf(PSK, self.nonce_i + self.nonce_r)
        self.d = self.prf(self.skeyid, shared + cookies + b"\0")
        self.a = self.prf(self.skeyid, self.d + shared + cookies + b"\1")
        self.e = self.prf(self.skeyid, self.a + shared + cookies + b"\2")

    def iv(self, octets: bytes) -> bytes:
        return self.digest(octets).digest()[:16]


def _first(messages: list[Message], kind: type[Any]) -> Any:
    return next(each for message in messages for each in message.all(kind))


def _body(messages: list[Message], kind: type[Any]) -> bytes:
    return next(message.body_of(each) for message in messages for each in message.all(kind))


def opened(key: bytes, iv: bytes, octets: bytes) -> bytes:
    decryptor = Cipher(AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(octets) + decryptor.finalize()


@pytest.mark.conformance("v1-12", "v1-14")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hash_name", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_skeyid_and_both_hashes(mode: str, hash_name: str) -> None:
    """prf(psk, Ni | Nr); _d, _a, _e in a chain; HASH_I and HASH_R over the whole SA body of moon and the ID bodies."""
    site, wire, secrets = up(ike=f"aes128-{hash_name}-ecp256", both=MODES[mode])
    book = Ledger(wire, secrets[0], hash_name)
    for host in (site.moon, site.sun):
        keys = sa_of(host).keys
        assert keys is not None
        assert (keys.skeyid_d, keys.skeyid_a) == (book.d, book.a) and keys.cipher_key == book.e[:16]
        assert not keys.skeyid and not keys.skeyid_e, "not needed any more"
    initiators = book.public_i + book.public_r + book.cookie_i + book.cookie_r
    responders = book.public_r + book.public_i + book.cookie_r + book.cookie_i
    assert book.hash_i == book.prf(book.skeyid, initiators + book.sa_i + book.id_i)
    assert book.hash_r == book.prf(book.skeyid, responders + book.sa_i + book.id_r)


@pytest.mark.conformance("v1-12")
@pytest.mark.parametrize(
    ("ike", "hash_name", "octets"),
    [("aes256-md5-ecp256", "md5", 32), ("3des-md5-ecp256", "md5", 24), ("aes256-sha1-ecp256", "sha1", 32)],
)
def test_a_cipher_key_longer_than_skeyid_e_is_stretched(ike: str, hash_name: str, octets: int) -> None:
    """K1 = prf(SKEYID_e, 0), K2 = prf(SKEYID_e, K1) ... (App. B), and both ends understand each other."""
    site, wire, secrets = up(ike=ike)
    book = Ledger(wire, secrets[0], hash_name)
    first = book.prf(book.e, b"\0")
    stretched = first + book.prf(book.e, first)
    for host in (site.moon, site.sun):
        keys = sa_of(host).keys
        assert keys is not None and keys.cipher_key == stretched[:octets]


@pytest.mark.conformance("v1-13")
@pytest.mark.parametrize("mode", MODES)
def test_the_chain_of_ivs(mode: str) -> None:
    """hash(g^xi | g^xr), then block by block; for each message ID hash(last block of phase 1 | M-ID), then again so."""
    site, wire, secrets = up(ike="aes128-sha256-ecp256", both=MODES[mode])
    for host in (site.sun, site.moon):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
    book = Ledger(wire, secrets[0])
    last = book.iv(book.public_i + book.public_r)
    chains: dict[int, bytes] = {0: last}
    checked: list[Seen] = []
    for seen in wire.fresh(which(encrypted=True)):
        number = seen.message.message_id
        start = chains.get(number) or book.iv(chains[0] + number.to_bytes(4, "big"))
        plain = opened(book.e[:16], start, seen.octets[HEADER_OCTETS:])
        assert plain[1] == 0 and int.from_bytes(plain[2:4], "big") <= len(plain)
        assert seen.iv == start and len(seen.octets[HEADER_OCTETS:]) % 16 == 0
        chains[number] = seen.octets[-16:]
        checked.append(seen)
    assert len({seen.message.message_id for seen in checked}) >= 5
    assert {seen.host.name for seen in checked} == {"moon", "sun"}


@pytest.mark.conformance("v1-21")
@pytest.mark.parametrize("mode", MODES)
def test_the_three_hashes_of_quick_mode(mode: str) -> None:
    """(1) M-ID | rest, (2) M-ID | Ni | rest, (3) 0 | M-ID | Ni | Nr; each quick mode under a number of its own."""
    site, wire, secrets = up(ike="aes128-sha256-ecp256", both=MODES[mode])
    for host in (site.sun, site.moon):
        host.rekey(site.world.now, "site", "net")
        wait(site, 10)
    book = Ledger(wire, secrets[0])
    by_number: dict[int, list[Message]] = {}
    for seen in wire.fresh(which(QUICK)):
        by_number.setdefault(seen.message.message_id, []).append(seen.message)
    assert len(by_number) == 3 and 0 not in by_number
    assert len({number >> 16 for number in by_number}) == 3, "they are random and no counter"
    for number, messages in by_number.items():
        first, second, third = messages
        m_id = number.to_bytes(4, "big")
        nonce_i, nonce_r = first.one(Nonce).value, second.one(Nonce).value
        assert first.one(Hash).data == book.prf(book.a, m_id + first.after_first)
        assert second.one(Hash).data == book.prf(book.a, m_id + nonce_i + second.after_first)
        assert third.one(Hash).data == book.prf(book.a, b"\0" + m_id + nonce_i + nonce_r)
        assert len(third.payloads) == 1
    for seen in wire.fresh():
        if seen.message.exchange not in (MAIN, AGGRESSIVE, QUICK):
            covered = seen.message.message_id.to_bytes(4, "big") + seen.message.after_first
            assert seen.message.payloads[0] == Hash(book.prf(book.a, covered))


ESP = {
    "aes128-sha1": (16, 20),
    "aes256-sha512": (32, 64),
    "3des-md5": (24, 16),
    "null-sha256": (0, 32),
    "aes256gcm16": (36, 0),
    "camellia192-sha384": (24, 48),
}


@pytest.mark.conformance("v1-24", "v1-23")
@pytest.mark.parametrize("pfs", [False, True], ids=["", "PFS"])
@pytest.mark.parametrize("esp", ESP)
def test_keymat_of_each_direction(esp: str, pfs: bool) -> None:
    """K1 = prf(SKEYID_d, [g^xy] 3 | SPI | Ni | Nr), Kn = prf(SKEYID_d, Kn-1 | ...); cut in order: cipher, integrity."""
    words = f"{esp}-ecp256" if pfs else esp
    site, wire, secrets = up(
        ike="aes128-sha256-ecp256",
        moon_children=(child(esp=words),),
        sun_children=(child(esp=words, mirror=True),),
    )
    book = Ledger(wire, secrets[0])
    assert len(secrets) == 1 + pfs
    first, second, _ = (seen.message for seen in wire.fresh(which(QUICK)))
    spi_i, spi_r = (message.one(SA).proposals[0].spi for message in (first, second))
    nonces = first.one(Nonce).value + second.one(Nonce).value
    encr, integ = ESP[esp]
    for spi, receiver, sender in ((spi_r, site.sun, site.moon), (spi_i, site.moon, site.sun)):
        seed = (secrets[1] if pfs else b"") + b"\3" + spi + nonces  # by the SPI that the receiver chose
        block, octets = b"", b""
        while len(octets) < encr + integ:
            block = book.prf(book.d, block + seed)
            octets += block
        (inbound,), (outbound,) = receiver.kernel.inbound.items(), sender.kernel.outbound.items()
        assert inbound[0][1] == outbound[0][1] == int.from_bytes(spi, "big")
        assert inbound[1].key == outbound[1].key == octets[: encr + integ]


@pytest.mark.conformance("v1-23")
def test_pfs_has_one_group_in_all_transforms() -> None:
    """Two ciphers and PFS: the group is in each transform and the KE is of it; message 2 has both, too (§5.5)."""
    words = "aes128-sha1-modp2048,aes256-sha256-modp2048"
    site, wire = watched_tunnel(moon_children=(child(esp=words),), sun_children=(child(esp=words, mirror=True),))
    first, second, _ = (seen.message for seen in wire.fresh(which(QUICK)))
    for message in (first, second):
        groups = {
            attribute.value
            for proposal in message.one(SA).proposals
            for transform in proposal.transforms
            for attribute in transform.attributes
            if attribute.type == 3
        }
        assert groups == {14} and len(message.one(KE).public) == 256
    assert stands(site)
