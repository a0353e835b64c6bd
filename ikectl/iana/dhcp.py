"""DHCPv4 numbers (IANA "BOOTP and DHCP Parameters"), as far as they are read here."""

from __future__ import annotations

from ikectl.iana.registry import Registry


class MessageType(Registry):
    """DHCP message type, option 53 (RFC 2132 §9.6; FORCERENEW: RFC 3203)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8
    FORCERENEW = 9


class Option(Registry):
    """DHCP options (RFC 2132; RELAY_AGENT_INFORMATION: RFC 3046)."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DOMAIN_NAME_SERVER = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    NETBIOS_NAME_SERVER = 44
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    MAX_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_ID = 61
    RELAY_AGENT_INFORMATION = 82
    END = 255


class RelaySuboption(Registry):
    """Sub-options of relay agent information (RFC 3046 §3)."""

    CIRCUIT_ID = 1
    REMOTE_ID = 2


class HardwareType(Registry):
    """Hardware types (IANA "ARP Parameters")."""

    ETHERNET = 1
    IPSEC_TUNNEL = 31
    """RFC 3456 §4.1: a virtual interface in IPsec tunnel mode."""


message_type = MessageType.lookup()
