"""NAT detection (RFC 7296 §2.23)."""

from __future__ import annotations

from hashlib import sha1

import pytest

from ikectl.sa.nat import Nat, detection_hash, judge
from ikectl.values.path import Endpoint

SPI_I, SPI_R = bytes(range(8)), bytes(8)
HERE, THERE = Endpoint.parse("192.0.2.1", 500), Endpoint.parse("2001:db8::7", 4500)


@pytest.mark.conformance("v2-101")
def test_the_hash_covers_spis_address_and_port() -> None:
    assert detection_hash(SPI_I, SPI_R, HERE) == sha1(SPI_I + SPI_R + bytes((192, 0, 2, 1)) + b"\x01\xf4").digest()
    assert detection_hash(SPI_I, SPI_R, THERE) == sha1(SPI_I + SPI_R + THERE.address + b"\x11\x94").digest()


@pytest.mark.conformance("v2-101")
def test_who_is_behind_a_translator() -> None:
    here, there = (detection_hash(SPI_I, SPI_R, end) for end in (HERE, THERE))
    other = bytes(20)
    assert judge(SPI_I, SPI_R, HERE, THERE, [there], [here]) == Nat(known=True)
    assert judge(SPI_I, SPI_R, HERE, THERE, [other], [here]) == Nat(remote=True, known=True)
    assert judge(SPI_I, SPI_R, HERE, THERE, [there], [other]) == Nat(local=True, known=True)


@pytest.mark.conformance("v2-101")
def test_one_source_of_several_is_enough_and_silence_is_not_judged() -> None:
    here, there = (detection_hash(SPI_I, SPI_R, end) for end in (HERE, THERE))
    assert not judge(SPI_I, SPI_R, HERE, THERE, [bytes(20), there], [here]).found
    assert not judge(SPI_I, SPI_R, HERE, THERE, [], []).found
