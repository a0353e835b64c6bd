"""NAT detection in IKEv2: the two notifies, and what those of the peer say (RFC 7296 §2.23, RFC 4555 §3.5, §3.8)."""

from __future__ import annotations

from ikectl.iana.v2 import NotifyType
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.nat import Nat, detection_hash, judge
from ikectl.values.path import Endpoint, Path
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Notify

SOURCE, DESTINATION = NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP

NOWHERE = Endpoint(bytes(4), 0)
"""The address in a hash that lies, for `encap = yes`."""


def nat_hashes(sa: IkeSa, spi_r: bytes, path: Path | None = None) -> list[Payload]:
    """Our two NAT_DETECTION notifies (RFC 7296 §2.23); for another path than that of the SA if told.

    With `encap = yes` the source is a lie, so that both ends believe in a NAT
    and ESP goes in UDP.
    """
    path = path or sa.path
    lie = sa.connection is not None and sa.connection.encap
    source = NOWHERE if lie else path.local
    return [
        Notify(SOURCE, detection_hash(sa.spi_i, spi_r, source)),
        Notify(DESTINATION, detection_hash(sa.spi_i, spi_r, path.remote)),
    ]


def judge_nat(sa: IkeSa, message: Message) -> None:
    """Take the NAT verdict of a message that came on the path of the SA into the facts."""
    said = message.said
    sources = [notify.data for notify in said.get(SOURCE, ())]
    destinations = [notify.data for notify in said.get(DESTINATION, ())]
    sa.nat = judge(message.spi_i, message.spi_r, sa.path.local, sa.path.remote, sources, destinations)
    if sa.connection is not None and sa.connection.encap:
        sa.nat = Nat(True, sa.nat.remote, sa.nat.known)


def to_natt_port(sa: IkeSa) -> None:
    """Go on between the NAT-T ports where a NAT was found (RFC 7296 §2.23), but not inside TCP (RFC 9329 §6.5)."""
    settings = sa.env.settings
    assert sa.connection is not None
    # With MOBIKE a NAT may come later, and the NAT-T port is open for it from the start (RFC 4555 §3.3).
    moves = sa.nat.found or (sa.nat.known and sa.connection.mobike)
    if moves and sa.path.remote.port == settings.ike_port and not sa.path.tcp:
        sa.path = Path(
            Endpoint(sa.path.local.address, settings.natt_port),
            Endpoint(sa.path.remote.address, settings.natt_port),
        )
