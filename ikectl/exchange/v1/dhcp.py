"""What quick mode makes of DHCP over IPsec (RFC 3456): the DHCP SA, and whose an inner address is.

What the IDs of a DHCP SA say is looser than what the kernel gets: policies
that let any address pass would forward a client's messages past the relay
agent, which alone may talk to the server. So the kernel gets this host's own
address and the broadcast address, and packets to these are never forwarded.
"""

from __future__ import annotations

from ikectl.config.model import DHCP_CLIENT, DHCP_MARK, DHCP_SERVER, Child, Connection
from ikectl.errors import TsUnacceptable
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.path import Path
from ikectl.values.selector import TrafficSelector

CLIENT_PORT, SERVER_PORT = (DHCP_CLIENT.start_port,) * 2, (DHCP_SERVER.start_port,) * 2
UDP = DHCP_CLIENT.protocol
UNSPECIFIED, BROADCAST = bytes(4), b"\xff" * 4

Pair = tuple[tuple[TrafficSelector, ...], tuple[TrafficSelector, ...]]


def is_dhcp(child: Child) -> bool:
    """Whether it is a DHCP SA's."""
    return child.set_mark_in == DHCP_MARK


def asked(connection: Connection, path: Path, client: TrafficSelector, server: TrafficSelector) -> Child | None:
    """The DHCP SA's child, if the initiator's IDs ask for that and we relay.

    IDci is `0.0.0.0/UDP/port 68`, IDcr `its own Internet address/UDP/port 67`
    (RFC 3456 §4.1). Others say any network, or the client's own address.
    """
    if connection.dhcp is None or connection.dhcp.client:
        return None
    clients = _alternatives(path.remote.address, CLIENT_PORT)
    servers = _alternatives(path.local.address, SERVER_PORT)
    return connection.dhcp_child if client in clients and server in servers else None


def check_lease(sa: IsakmpSa, client: TrafficSelector) -> None:
    """Where we relay, a peer has a tunnel for an address that was leased to that very peer, and for no other.

    RFC 3456 §5: a client can set its address as it likes, so selectors must be checked. Raises TsUnacceptable.
    """
    connection = sa.connection
    if connection is None or connection.dhcp is None or connection.dhcp.client:
        return
    leased = [TrafficSelector.of_address(address) for address in sa.peer_vips]
    if not any(client.within(one) for one in leased):
        held = " and ".join(map(str, leased)) or "no address; a DHCP SA comes first"
        raise TsUnacceptable(f"the peer asks for a tunnel of {client}, and was leased {held}")


def ids(path: Path) -> tuple[TrafficSelector, TrafficSelector]:
    """What we ask for as a client, ours first: the IDs that RFC 3456 §4.1 names."""
    server = path.remote.address if not path.remote.is_v6 else UNSPECIFIED
    return (
        TrafficSelector.of_address(UNSPECIFIED, UDP, CLIENT_PORT),
        TrafficSelector.of_address(server, UDP, SERVER_PORT),
    )


def selectors(sa: IsakmpSa, child: Child) -> Pair:
    """What the kernel gets for a DHCP SA, ours first.

    The peer's addresses are any: a client may have none or its former one, a
    gateway may answer from its inner address.
    """
    ours, theirs = (CLIENT_PORT, SERVER_PORT) if child.local_ts == (DHCP_CLIENT,) else (SERVER_PORT, CLIENT_PORT)
    assert sa.connection is not None and sa.connection.dhcp is not None
    named = (BROADCAST, sa.path.local.address, sa.connection.dhcp.giaddr)
    own = [address for address in named if len(address) == 4]
    return (
        tuple(TrafficSelector.of_address(address, UDP, ours) for address in dict.fromkeys(own)),
        (TrafficSelector.of_network("0.0.0.0/0", UDP, theirs),),
    )


def _alternatives(own: bytes, ports: tuple[int, int]) -> tuple[TrafficSelector, ...]:
    """How one end of a DHCP SA is named."""
    named = (UNSPECIFIED, BROADCAST, *((own,) if len(own) == 4 else ()))
    return (
        TrafficSelector.of_network("0.0.0.0/0", UDP, ports),
        *(TrafficSelector.of_address(address, UDP, ports) for address in named),
    )
