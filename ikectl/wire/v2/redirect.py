"""Data of REDIRECT and REDIRECTED_FROM (RFC 5685 §8): a gateway, by its address or name."""

from __future__ import annotations

from ipaddress import ip_address

from ikectl.errors import WireError
from ikectl.iana.v2 import NotifyType
from ikectl.values.domain import is_domain
from ikectl.values.hosts import is_of_a_host
from ikectl.wire.v2.notify import Notify

IPV4, IPV6, FQDN = 1, 2, 3
"""Types of identity of a gateway (§8.1)."""
_LENGTHS = {IPV4: 4, IPV6: 16}
LONGEST = 255
"""Octets of an identity: its length has one octet."""


def redirect(notify: Notify) -> tuple[str, bytes]:
    """The new gateway as text, an address or a name, and the nonce that came with it (empty after IKE_SA_INIT).

    Raises WireError.
    """
    data = notify.data
    if len(data) < 2 or len(data) < 2 + data[1]:
        raise WireError("a REDIRECT that is cut short")
    kind, octets, nonce = data[0], data[2 : 2 + data[1]], data[2 + data[1] :]
    if kind in _LENGTHS and len(octets) == _LENGTHS[kind]:
        if not is_of_a_host(octets):
            raise WireError(f"a REDIRECT to {ip_address(octets)}, which is no gateway's address")
        return str(ip_address(octets)), nonce
    name = octets.decode("ascii", "replace")
    if kind != FQDN or not is_domain(name):
        raise WireError(f"a REDIRECT to a gateway of type {kind} with {len(octets)} octets, which is none")
    return name, nonce


def redirect_notify(gateway: str, nonce: bytes = b"") -> Notify:
    """REDIRECT to a gateway, an address or a name; `nonce` is the initiator's, in IKE_SA_INIT alone (§3)."""
    return Notify(NotifyType.REDIRECT, _identity(gateway) + nonce)


def redirected_from_notify(address: bytes) -> Notify:
    """REDIRECTED_FROM: who sent us, a packed address."""
    return Notify(NotifyType.REDIRECTED_FROM, _identity(str(ip_address(address))))


def _identity(gateway: str) -> bytes:
    try:
        octets = ip_address(gateway).packed
        kind = IPV4 if len(octets) == _LENGTHS[IPV4] else IPV6
    except ValueError:
        octets, kind = gateway.encode("ascii"), FQDN
    return bytes((kind, len(octets))) + octets
