"""Framing of SK and SKF (RFC 7296 §3.14, RFC 7383 §2.5)."""

from __future__ import annotations

import hmac

import pytest

from ikectl.errors import IntegrityFailure, WireError
from ikectl.iana.v2 import ExchangeType, PayloadType
from ikectl.wire.header import Header
from ikectl.wire.payload import read_chain, write_chain
from ikectl.wire.v2 import SK, SKF, Message, Nonce, PuzzleSolution, VendorId, open_sealed, seal
from ikectl.wire.v2.sealed import Piece, clear_form, join_fragments, open_fragment, seal_chain, seal_fragments

SPI_I = bytes.fromhex("0102030405060708")
SPI_R = bytes.fromhex("1112131415161718")


class Blocks:
    """Blocks of 8 octets, an IV of 8, an ICV of 12, and a cipher that leaves the plain text as it is."""

    iv_octets = 8
    icv_octets = 12
    block_octets = 8

    def seal(self, iv: bytes, associated: bytes, plain: bytes, /) -> bytes:
        assert len(iv) == 8
        assert len(plain) % 8 == 0
        return plain + self._icv(iv, associated, plain)

    def open(self, iv: bytes, associated: bytes, sealed: bytes, /) -> bytes:
        plain, icv = sealed[:-12], sealed[-12:]
        if not hmac.compare_digest(self._icv(iv, associated, plain), icv):
            raise IntegrityFailure
        return plain

    def _icv(self, iv: bytes, associated: bytes, plain: bytes) -> bytes:
        return hmac.digest(b"key", associated + iv + plain, "sha256")[:12]


IV = b"\xaa" * 8


def message(*payloads: VendorId | Nonce) -> Message:
    return Message(SPI_I, SPI_R, ExchangeType.INFORMATIONAL, 3, False, True, list(payloads))


def protected(plain: bytes, first: int = 43, before: bytes = b"") -> bytes:
    """A datagram whose SK payload holds exactly this plain text, some octets of payloads before it."""
    length = 28 + len(before) + 4 + 8 + len(plain) + 12
    head = SPI_I + SPI_R + bytes((43 if before else 46, 0x20, 37, 0x08, 0, 0, 0, 3)) + length.to_bytes(4, "big")
    associated = head + before + bytes((first, 0)) + (4 + 8 + len(plain) + 12).to_bytes(2, "big")
    return associated + IV + Blocks().seal(IV, associated, plain)


def opened(datagram: bytes) -> Message:
    return open_sealed(Header.read(datagram), datagram, Blocks())


def test_a_protected_message_octet_by_octet() -> None:
    datagram = seal(message(VendorId(b"ab")), Blocks(), IV)
    assert datagram[:-12] == SPI_I + SPI_R + bytes.fromhex(
        "2e 20 25 08 00000003 0000003c"  # SK, version 2.0, INFORMATIONAL, from the initiator, 60 octets
        "2b 00 0020 aaaaaaaaaaaaaaaa"  # inside is a vendor id; 32 octets with IV and ICV
        "00 00 0006 6162 00 01"  # the vendor id, one octet of padding, the Pad Length
    )
    assert datagram == protected(bytes.fromhex("00 00 0006 6162 00 01"))
    assert opened(datagram) == message(VendorId(b"ab"))


@pytest.mark.conformance("v2-39")
def test_a_message_with_nothing_inside() -> None:
    datagram = seal(message(), Blocks(), IV)
    assert datagram[28:29] == b"\0"
    assert datagram[40:48] == b"\0\0\0\0\0\0\0\x07"
    assert opened(datagram) == message()


def test_padding_is_the_least_the_blocks_need() -> None:
    for octets in range(24):
        datagram = seal(message(VendorId(bytes(octets))), Blocks(), IV)
        assert datagram[-13] == -(4 + octets + 1) % 8
        assert opened(datagram) == message(VendorId(bytes(octets)))


@pytest.mark.conformance("v2-20")
@pytest.mark.parametrize("padding", [3, 11, 59, 251])
def test_padding_of_any_content_and_length_is_accepted(padding: int) -> None:
    plain = bytes.fromhex("00 00 0004") + b"\xa5" * padding + bytes((padding,))
    assert opened(protected(plain)) == message(VendorId(b""))


@pytest.mark.conformance("v2-20")
def test_a_pad_length_of_255() -> None:
    plain = bytes.fromhex("00 00 0008 61626364") + b"\x01" * 255 + b"\xff"
    assert opened(protected(plain)) == message(VendorId(b"abcd"))


def test_more_padding_than_there_is_text_is_refused() -> None:
    with pytest.raises(WireError, match="octets of padding"):
        opened(protected(bytes(7) + b"\x08"))
    assert opened(protected(bytes(7) + b"\x07", first=0)) == message()


@pytest.mark.conformance("v2-19")
def test_inner_payloads_begin_with_the_type_the_sk_payload_names() -> None:
    assert opened(protected(bytes.fromhex("00 00 0014") + bytes(16) + bytes(3) + b"\x03", first=40)) == message(
        Nonce(bytes(16))
    )


@pytest.mark.conformance("v2-19")
def test_payloads_before_the_sk_payload_are_covered_and_left_out() -> None:
    plain = bytes.fromhex("00 00 0006 6162 00 01")
    datagram = protected(plain, before=bytes.fromhex("2e 00 0005 21"))
    assert Message.read(datagram).payloads[0] == VendorId(b"!")
    assert opened(datagram) == message(VendorId(b"ab"))
    with pytest.raises(IntegrityFailure):
        opened(datagram.replace(b"\x05!", b"\x05?"))


@pytest.mark.conformance("v2-14")
@pytest.mark.parametrize("plain", ["00 00 0009 6162 00 01", "2b 00 0006 6162 00 01", "00 00 0003 6162 00 01"])
def test_a_malformed_content_is_a_wire_error_once_it_verified(plain: str) -> None:
    with pytest.raises(WireError):
        opened(protected(bytes.fromhex(plain)))


def test_an_encrypted_payload_inside_is_refused() -> None:
    with pytest.raises(WireError, match="inside"):
        opened(protected(bytes.fromhex("00 00 0004 000000 03"), first=46))


@pytest.mark.conformance("v2-21")
def test_every_changed_octet_is_seen() -> None:
    datagram = seal(message(VendorId(b"ab")), Blocks(), IV)
    for place in {*range(len(datagram))} - {16, 17, *range(24, 28), 30, 31}:
        changed = bytearray(datagram)
        changed[place] ^= 0x40
        with pytest.raises(IntegrityFailure):
            opened(bytes(changed))


def test_a_message_without_protection_is_refused() -> None:
    for clear in (message(), message(VendorId(b"ab"))):
        with pytest.raises(IntegrityFailure, match="not protected"):
            opened(clear.write())


@pytest.mark.parametrize("octets", [0, 1, 8, 19, 20, 21, 27, 29])
def test_lengths_that_the_cipher_cannot_have_are_refused(octets: int) -> None:
    outer = message()
    outer.payloads = [SK(PayloadType.NONE, bytes(octets))]
    with pytest.raises(IntegrityFailure, match="length"):
        opened(outer.write())


@pytest.mark.conformance("v2-108")
def test_a_fragment_octet_by_octet() -> None:
    first, octets = write_chain([SKF(PayloadType.IDI, 1, 2, b"\xaa\xbb")])
    assert (first, octets) == (PayloadType.SKF, bytes.fromhex("23 00 000a 0001 0002 aabb"))
    assert read_chain(first, octets) == [SKF(PayloadType.IDI, 1, 2, b"\xaa\xbb")]
    with pytest.raises(WireError, match="follow the last payload"):
        read_chain(first, octets + bytes(4))


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize(("number", "total"), [(0, 0), (0, 1), (2, 1), (65535, 1)])
def test_a_fragment_number_that_cannot_be_is_refused(number: int, total: int) -> None:
    body = number.to_bytes(2, "big") + total.to_bytes(2, "big")
    with pytest.raises(WireError, match=f"fragment {number} of {total}"):
        read_chain(PayloadType.SKF, b"\0\0\0\x08" + body)


def cut(chain: bytes, limit: int) -> tuple[bytes, ...]:
    first = PayloadType.VENDOR_ID if chain else PayloadType.NONE
    return seal_fragments(message().write_header, first, chain, Blocks(), lambda: IV, limit)


def pieces_of(datagrams: tuple[bytes, ...]) -> list[Piece]:
    return [open_fragment(Header.read(each), each, Blocks()) for each in datagrams]


@pytest.mark.conformance("v2-108")
@pytest.mark.parametrize("octets", [0, 1, 39, 40, 100, 3000])
@pytest.mark.parametrize("limit", [64, 65, 71, 200, 1280])
def test_fragments_keep_to_their_limit_and_make_the_message_again(octets: int, limit: int) -> None:
    first, chain = write_chain([VendorId((bytes(range(256)) * 12)[:octets])] if octets else [])
    datagrams = cut(chain, limit)
    assert max(map(len, datagrams)) <= limit
    pieces = pieces_of(datagrams)
    assert [each.number for each in pieces] == list(range(1, len(datagrams) + 1))
    assert {each.total for each in pieces} == {len(datagrams)}
    assert [each.first for each in pieces] == [first, *[PayloadType.NONE] * (len(pieces) - 1)]
    whole = join_fragments(pieces)
    assert write_chain(whole.payloads) == (first, chain)


@pytest.mark.conformance("v2-108")
def test_a_fragment_says_its_place_under_the_protection() -> None:
    """Number and total are part of what the checksum covers (RFC 7383 §2.5)."""
    datagram = cut(write_chain([VendorId(bytes(99))])[1], 100)[0]
    for at in range(len(datagram)):
        changed = bytearray(datagram)
        changed[at] ^= 4
        with pytest.raises((IntegrityFailure, WireError)):
            pieces_of((bytes(changed),))


@pytest.mark.parametrize("limit", [100, 200, 1280])
def test_a_solution_stands_in_clear_before_the_first_fragment_alone(limit: int) -> None:
    """HDR, PS, SKF{1/n} and HDR, SKF{2/n} (RFC 7383 §2.5.3), none longer than the limit, and PS authenticated."""
    solution = PuzzleSolution((b"aaaa", b"bbbb", b"cccc", b"dddd"))
    first, chain = write_chain([VendorId(bytes(range(250)))])
    datagrams = seal_fragments(message().write_header, first, chain, Blocks(), lambda: IV, limit, solution)
    assert max(map(len, datagrams)) <= limit
    read = [Message.read(each) for each in datagrams]
    assert [each.get(PuzzleSolution) for each in read] == [solution, *[None] * (len(datagrams) - 1)]
    assert write_chain(join_fragments(pieces_of(datagrams)).payloads) == (first, chain)
    for at in range(len(datagrams[0])):
        changed = bytearray(datagrams[0])
        changed[at] ^= 4
        with pytest.raises((IntegrityFailure, WireError)):
            pieces_of((bytes(changed),))


def test_a_solution_stands_in_clear_before_the_encrypted_payload() -> None:
    """HDR, PS, SK{...} (RFC 8019 §7.2.2), octet by octet."""
    solution = PuzzleSolution((b"a", b"b", b"c", b"d"))
    first, chain = write_chain([VendorId(b"xyz")])
    datagram = seal_chain(message().write_header, first, chain, Blocks(), IV, solution)
    assert datagram[16] == PayloadType.PS and datagram[28:40] == bytes.fromhex("2e 00 0008 61626364 2b 00 0020")
    assert int.from_bytes(datagram[24:28], "big") == len(datagram)
    assert opened(datagram).payloads == [VendorId(b"xyz")]
    for at in range(len(datagram)):
        changed = bytearray(datagram)
        changed[at] ^= 4
        with pytest.raises((IntegrityFailure, WireError)):
            opened(bytes(changed))


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        cut(b"", 28 + 4 + 4 + 8 + 7 + 12)


def test_a_whole_message_is_no_fragment_and_the_other_way_round() -> None:
    whole = seal(message(VendorId(b"ab")), Blocks(), IV)
    with pytest.raises(IntegrityFailure, match="no fragment"):
        pieces_of((whole,))
    with pytest.raises(IntegrityFailure, match="not protected"):
        opened(cut(b"", 100)[0])


@pytest.mark.conformance("v2-110")
def test_int_auth_covers_a_message_as_if_it_had_been_sent_whole() -> None:
    """RFC 9242 §3.3.2: whatever way it travels."""
    payloads = [VendorId(bytes(300))]
    inner = Message(SPI_I, SPI_R, ExchangeType.IKE_INTERMEDIATE, 1, False, True, list(payloads))
    first, chain = write_chain(payloads)
    whole = seal(inner, Blocks(), IV)
    fragments = seal_fragments(inner.write_header, first, chain, Blocks(), lambda: IV, 150)
    joined = join_fragments(pieces_of(fragments))
    assert joined.clear_form == opened(whole).clear_form == clear_form(fragments[0], chain) == clear_form(whole, chain)


@pytest.mark.conformance("v2-110")
def test_int_auth_covers_payloads_in_clear_too() -> None:
    """RFC 9242 §3.3.2: A has the unencrypted payloads, and its length counts them; octet by octet."""
    chain, ahead = bytes.fromhex("00000005 aa"), bytes.fromhex("2e000006 bbcc")
    header = SPI_I + SPI_R + bytes.fromhex("2b 20 2b 08 00000001")
    inside = bytes.fromhex("2b00 0009") + chain  # a vendor ID within SK
    expected = header + (28 + len(ahead) + len(inside)).to_bytes(4, "big") + ahead + inside
    sealed = header + bytes(4) + ahead + bytes.fromhex("2b00 00ff") + b"IV, ciphertext and ICV"
    assert clear_form(sealed, chain, 28 + len(ahead)) == expected
    as_fragment = header + bytes(4) + b"\x35" + ahead[1:] + bytes.fromhex("2b00 00ff 00010002") + b"and so on"
    assert clear_form(as_fragment, chain, 28 + len(ahead)) == expected, "SKF is SK, had it been sent whole"


def test_what_is_opened_knows_what_stood_before_it() -> None:
    inner = Message(SPI_I, SPI_R, ExchangeType.IKE_INTERMEDIATE, 1, False, True, [VendorId(b"inner")])
    plain, ahead = seal(inner, Blocks(), IV), bytes.fromhex("2e000006 bbcc")
    length = (len(plain) + len(ahead)).to_bytes(4, "big")
    cleared = plain[:16] + b"\x2b" + plain[17:24] + length + ahead
    associated = cleared + plain[28:32]
    chain = write_chain(inner.payloads)[1]
    padded = chain + bytes(-(len(chain) + 1) % Blocks.block_octets)
    body = padded + bytes((len(padded) - len(chain),))
    datagram = associated + IV + Blocks().seal(IV, associated, body)
    found = opened(datagram)
    assert found.payloads == inner.payloads
    assert found.clear_form == clear_form(datagram, chain, 28 + len(ahead))
    assert ahead in found.clear_form
