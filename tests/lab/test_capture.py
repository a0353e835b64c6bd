"""Packets are what their headers say (RFC 791, RFC 8200, RFC 3948 §2)."""

import struct

from tests.lab.capture import read_packet


def ipv4(protocol: int, body: bytes, fragment: int = 0) -> bytes:
    length = 20 + len(body)
    addresses = bytes([192, 0, 2, 1, 198, 51, 100, 1])
    return struct.pack("!BBHHHBBH", 0x45, 0, length, 1, fragment, 64, protocol, 0) + addresses + body


def udp(source: int, destination: int, body: bytes) -> bytes:
    return ipv4(17, struct.pack("!HHHH", source, destination, 8 + len(body), 0) + body)


IKE_AUTH_RESPONSE = struct.pack("!8s8sBBBBII", b"initiatr", b"responde", 46, 0x20, 35, 0x20, 1, 28)


def test_ike_on_port_500() -> None:
    packet = read_packet(0.0, udp(500, 500, IKE_AUTH_RESPONSE))
    assert (packet.kind, packet.ports, packet.exchange) == ("ike", (500, 500), "IKE_AUTH response 1")
    assert str(packet) == "192.0.2.1 > 198.51.100.1 500>500 ike IKE_AUTH response 1 (28 octets)"


def test_port_4500_carries_four_things() -> None:
    kinds = {
        bytes(4) + IKE_AUTH_RESPONSE: "ike",
        b"\xca\xfe\x00\x01" + bytes(20): "esp-in-udp",
        b"\xff": "keepalive",
    }
    for body, kind in kinds.items():
        assert read_packet(0.0, udp(23456, 4500, body)).kind == kind
    assert read_packet(0.0, udp(23456, 4501, b"\xff")).kind == "udp"


def test_the_marker_is_no_part_of_the_message() -> None:
    assert read_packet(0.0, udp(4500, 4500, bytes(4) + IKE_AUTH_RESPONSE)).body == IKE_AUTH_RESPONSE


def test_spis() -> None:
    esp, ah = struct.pack("!II", 0xCAFE0001, 7), struct.pack("!BBHII", 4, 4, 0, 0xCAFE0002, 7)
    assert read_packet(0.0, ipv4(50, esp + bytes(16))).spi == 0xCAFE0001
    assert read_packet(0.0, ipv4(51, ah + bytes(16))).spi == 0xCAFE0002
    assert read_packet(0.0, udp(4500, 4500, esp + bytes(16))).spi == 0xCAFE0001


def test_fragments_are_not_looked_into() -> None:
    assert read_packet(0.0, ipv4(17, bytes(16), fragment=0x2000)).kind == "fragment"
    assert read_packet(0.0, ipv4(17, bytes(16), fragment=0x0005)).kind == "fragment"


def test_ipv6() -> None:
    def packet(following: int, body: bytes) -> bytes:
        return struct.pack("!IHBB", 6 << 28, len(body), following, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + body

    assert read_packet(0.0, packet(58, b"\x80\x00" + bytes(6))).kind == "icmp"
    assert read_packet(0.0, packet(58, b"\x87\x00" + bytes(6))).kind == "discovery"
    esp = read_packet(0.0, packet(50, b"\xca\xfe\x00\x03" + bytes(20)))
    assert (esp.kind, esp.source, esp.destination, esp.spi) == ("esp", "::1", "::2", 0xCAFE0003)
