"""Addresses that a host on a network may have, whoever names them."""

from __future__ import annotations

from ipaddress import ip_address

BROADCAST = bytes((255, 255, 255, 255))


def is_of_a_host(packed: bytes) -> bool:
    """Whether the address (4 or 16 octets) may be another host's, whatever the link that leads there.

    Peers name addresses for us to use or to send to. Loopback would have us talk to ourselves, multicast and broadcast
    to many, and a link-local address means nothing without its link.
    """
    one = ip_address(packed)
    return not (one.is_loopback or one.is_multicast or one.is_unspecified or one.is_link_local or packed == BROADCAST)
