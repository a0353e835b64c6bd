"""NAT traversal of IKEv1: who knows which form of it, NAT-D payloads, the port (RFC 3947 §3, §4; drafts 02 and 03)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ikectl.iana.v1 import EncapsulationMode, VendorId
from ikectl.iana.v2 import IdType
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.sa.nat import Nat, detection_hash, judge
from ikectl.values.path import Endpoint, Path
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.nat import NatD, NatDDraft, NatHash
from ikectl.wire.v1.payload import Payload

FORMS = (
    VendorId.NAT_T_RFC3947,
    VendorId.NAT_T_DRAFT_03,
    VendorId.NAT_T_DRAFT_02N,
    VendorId.NAT_T_DRAFT_02,
)
"""Best first. The drafts differ from the RFC in numbers alone (RFC 3947 §9), and -02 is said in two ways."""

ADDRESSES = (IdType.IPV4_ADDR, IdType.IPV6_ADDR)

NOWHERE = Endpoint(bytes(4), 0)
"""The address in a NAT-D that lies, for `encap = yes`."""

# fmt: off
MODES: dict[tuple[bool, bool, bool], EncapsulationMode] = {
    # transport, in UDP, draft
    (False, False, False): EncapsulationMode.TUNNEL,
    (False, False, True):  EncapsulationMode.TUNNEL,
    (True,  False, False): EncapsulationMode.TRANSPORT,
    (True,  False, True):  EncapsulationMode.TRANSPORT,
    (False, True,  False): EncapsulationMode.UDP_TUNNEL,
    (False, True,  True):  EncapsulationMode.UDP_TUNNEL_DRAFT,
    (True,  True,  False): EncapsulationMode.UDP_TRANSPORT,
    (True,  True,  True):  EncapsulationMode.UDP_TRANSPORT_DRAFT,
}
# fmt: on


def best_form(said: frozenset[VendorId]) -> VendorId | None:
    """The best form of NAT traversal that the peer announced; we know them all."""
    return next((form for form in FORMS if form in said), None)


def is_draft(sa: IsakmpSa) -> bool:
    """Whether the private numbers of the drafts are spoken."""
    return sa.natt is not None and sa.natt is not VendorId.NAT_T_RFC3947


def mode_of(sa: IsakmpSa, transport: bool) -> EncapsulationMode:
    """The encapsulation mode to negotiate for a child (RFC 3947 §5.1)."""
    return MODES[transport, sa.nat.found, is_draft(sa)]


def nat_payloads(sa: IsakmpSa) -> list[Payload]:
    """Our NAT-D payloads, the receiver's address first (RFC 3947 §3.2); none without a form in common.

    With `encap = yes` our own address is a lie, so that both ends believe in a
    NAT and ESP goes in UDP.
    """
    if sa.natt is None:
        return []
    assert sa.suite is not None
    lie = sa.connection is not None and sa.connection.encap
    kind: type[NatHash] = NatDDraft if is_draft(sa) else NatD
    ends = (sa.path.remote, NOWHERE if lie else sa.path.local)
    return [kind(detection_hash(sa.spi_i, sa.spi_r, end, sa.suite.digest)) for end in ends]


def judge_nat(sa: IsakmpSa, message: Message) -> None:
    """Take the verdict of the peer's NAT-D payloads into the facts."""
    assert sa.suite is not None
    hashes: list[bytes] = [each.hash for each in (*message.all(NatD), *message.all(NatDDraft))]
    path = (sa.handshake.arrived if sa.handshake is not None else None) or sa.path
    if sa.natt is not None:
        sa.nat = judge(sa.spi_i, sa.spi_r, path.local, path.remote, hashes[1:], hashes[:1], sa.suite.digest)
        if sa.connection is not None and sa.connection.encap:
            sa.nat = Nat(True, sa.nat.remote, sa.nat.known)


def suspicion(sa: IsakmpSa) -> str:
    """What hints at a NAT that the two cannot speak of, because the peer announced no NAT traversal; empty if nothing.

    ESP then most likely comes to nothing, though phase 1 goes well.
    """
    if sa.natt is not None:
        return ""
    signs = []
    named, local, remote = sa.remote_id, ip_address(sa.path.local.address), ip_address(sa.path.remote.address)
    if named is not None and named.kind in ADDRESSES and named.data != sa.path.remote.address:
        signs.append(f"the peer says it is {named} and calls from {remote}")
    if not sa.initiator and sa.path.remote.port not in (sa.env.settings.ike_port, sa.env.settings.natt_port):
        signs.append(f"it calls from port {sa.path.remote.port}")
    if local.is_private and remote.is_global:
        signs.append(f"our {local} is a private address and its {remote} is not")
    if not signs:
        return ""
    why = ", ".join(signs)
    return f"most likely there is a NAT between ({why}), and the peer knows no NAT traversal: ESP will not pass"


def float_ports(sa: IsakmpSa) -> None:
    """The initiator goes on from port 4500 where a NAT was found (RFC 3947 §4)."""
    settings = sa.env.settings
    if sa.nat.found and sa.path.remote.port == settings.ike_port:
        sa.path = Path(
            replace(sa.path.local, port=settings.natt_port),
            replace(sa.path.remote, port=settings.natt_port),
        )
