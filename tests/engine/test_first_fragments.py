"""First messages in fragments: put together for those that mean it, and bounded for all others."""

from __future__ import annotations

import pytest

from ikectl.config.model import Fragmentation
from ikectl.engine.v1.first_fragments import MAX_SENDERS, FirstFragments
from ikectl.errors import WireError
from ikectl.iana.v1 import ExchangeType
from ikectl.wire.header import Header
from ikectl.wire.v1.fragment import split
from ikectl.wire.v1.keying import VendorId
from ikectl.wire.v1.message import Message
from tests.scenarios.v1.stage import gateways, stands, wait
from tests.sim.link import Link

IKE = ",".join(
    f"{cipher}-{integrity}-modp4096"
    for cipher in ("aes128", "aes192", "aes256", "camellia128", "camellia256")
    for integrity in ("sha256", "sha384", "sha512", "sha1")
)
AGGRESSIVE = {"aggressive": True, "aggressive_psk": True}
ADDRESS = bytes((192, 0, 2, 1))


def first(cookie: bytes) -> bytes:
    return Message(cookie, bytes(8), ExchangeType.AGGRESSIVE, 0, [VendorId(bytes(3000))]).write()


def pieces(message: bytes) -> list[tuple[Header, bytes]]:
    return [(Header.read(octets), octets) for octets in split(message, 1232, 7)]


@pytest.mark.conformance("v1-37")
def test_a_forced_first_message_begins_an_sa() -> None:
    """The path drops what is longer than 1240 octets; nobody announced anything yet."""
    site = gateways(
        ike=IKE, both={**AGGRESSIVE, "fragmentation": Fragmentation.FORCE}, link=Link(mtu=1240, duplication=0.3)
    )
    site.up()
    wait(site, 40)
    assert stands(site)


def test_pieces_of_many_strangers_are_bounded() -> None:
    waiting = FirstFragments()
    honest = pieces(first(b"honesty!"))
    assert waiting.add(*honest[0], ADDRESS) is None
    for number in range(MAX_SENDERS):
        waiting.add(*pieces(first(number.to_bytes(8, "big")))[0], ADDRESS)
    assert [waiting.add(*piece, ADDRESS) for piece in honest[1:]] == [None] * (len(honest) - 1), "it made room"
    assert [waiting.add(*piece, ADDRESS) for piece in honest[:1]][-1] == first(b"honesty!")


def test_pieces_from_elsewhere_do_not_mix() -> None:
    waiting, honest = FirstFragments(), pieces(first(b"honesty!"))
    for piece in honest[:-1]:
        waiting.add(*piece, ADDRESS)
    assert waiting.add(*honest[-1], bytes((203, 0, 113, 9))) is None


def test_another_cookie_inside_is_refused() -> None:
    waiting = FirstFragments()
    outer = [
        (header, octets[:8].replace(octets[:8], b"innocent") + octets[8:])
        for header, octets in pieces(first(b"guilty!!"))
    ]
    with pytest.raises(WireError):
        for _, octets in outer:
            waiting.add(Header.read(octets), octets, ADDRESS)
