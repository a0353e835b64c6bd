"""What a kernel has, found out by trying, and from which numbers its SPIs come."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from typing import Final

import xfrm
from ikectl.kernel.backend import FIRST_CPI, LAST_CPI, Features
from ikectl.kernel.translate import COMPRESSION, no_protocol

SPI_LOW: Final = 0xC0000000
SPI_HIGH: Final = 0xCFFFFFFF
"""Our inbound SPIs; far from those that administrators choose by hand."""

TCP_ULP: Final = 31
"""linux/tcp.h; the socket module lacks it."""
ESPINTCP: Final = b"espintcp"


def spi_range(proto: xfrm.Proto) -> tuple[int, int]:
    """The lowest and the highest of our inbound SPIs, or CPIs."""
    return (FIRST_CPI, LAST_CPI) if proto == xfrm.Proto.COMP else (SPI_LOW, SPI_HIGH)


def look(channel: xfrm.Channel) -> Features:
    """What the kernel can do. IPComp is for those who configure it: its absence is no lack."""
    esp, ah, comp = (_has(channel, proto) for proto in (xfrm.Proto.ESP, xfrm.Proto.AH, xfrm.Proto.COMP))
    lacking = tuple(no_protocol(name) for name, there in (("esp", esp), ("ah", ah)) if not there)
    return Features(esp, ah, comp, esp and has_esp_in_tcp(), lacking)


def has_esp_in_tcp() -> bool:
    """Whether a TCP socket can be handed to the kernel's ESP. Of IPv6 the kernel has it where it has it of IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return take_esp(sock)


def take_esp(sock: socket.socket) -> bool:
    """Let the kernel part ESP from IKE on this TCP connection, both ways; whether it does.

    What is read then is one message of IKE with its marker, what is sent gets its length from the kernel.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, ESPINTCP)
    except OSError:
        return False
    return True


def _has(channel: xfrm.Channel, proto: xfrm.Proto) -> bool:
    """Whether the kernel can make an SA of this protocol: one between nobody is made and removed."""
    here = IPv4Address("127.0.0.1")
    comp = xfrm.Comp(COMPRESSION) if proto == xfrm.Proto.COMP else None
    mac = None if comp else xfrm.Auth("hmac(sha256)", bytes(32), 128)
    cipher = xfrm.Crypt("ecb(cipher_null)", b"") if proto == xfrm.Proto.ESP else None
    low, high = spi_range(proto)
    try:
        spi = channel.ask(xfrm.AllocSpi(here, here, proto, low=low, high=high))
        sa = xfrm.Sa(here, here, spi, proto, xfrm.Mode.TRANSPORT, crypt=cipher, auth=mac, comp=comp)
        outcome, _ = channel.batch([xfrm.UpdSa(sa), xfrm.DelSa(sa.id)])
    except xfrm.XfrmError as error:
        outcome = error
    return not (isinstance(outcome, xfrm.Unsupported) and (outcome.protocol or comp or not outcome.algorithms))
