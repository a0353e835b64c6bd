"""Networks as short declarations.

    Topology(
        nodes={"alice": Host("moon"), "moon": Gateway("router"), "router": Router(), ...},
        links=[Link(alice="10.1.0.10/24", moon="10.1.0.1/24"), ...],
    )

A node is a network namespace; the word that makes it says where its default
route points. A link is a veth pair; the interface that leads to NODE is called
`to-NODE` on the other end. Routers know the networks they are connected to and
no others: what crosses them between two private networks went through a tunnel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_interface


@dataclass(frozen=True)
class Host:
    """Ends traffic, forwards none."""

    via: str
    """Neighbour that the default routes point to."""

    forwards = False


@dataclass(frozen=True)
class Gateway:
    """Forwards, and has a default route: where an IKE daemon runs."""

    via: str
    forwards = True


@dataclass(frozen=True)
class Router:
    """Forwards between the networks it is connected to."""

    via = None
    forwards = True


@dataclass(frozen=True)
class Nat:
    """Forwards, and hides (IPv4) what is behind it under its own address towards `via`."""

    via: str
    ports: str = ""
    """UDP source ports to change to, as "20000-30000"; empty: kept where possible."""
    serves: str = ""
    """Neighbour behind it that gets what comes for UDP ports 500 and 4500; empty: nobody does."""

    forwards = True


Node = Host | Gateway | Router | Nat


@dataclass(frozen=True, init=False)
class Link:
    """A veth pair between two nodes.

    Args:
        loss: percent of packets lost in each direction.
        delay: milliseconds added in each direction.
        ends: node name = its addresses with prefix lengths, several parted by spaces.
    """

    ends: dict[str, tuple[IPv4Interface | IPv6Interface, ...]]
    loss: float
    delay: float

    def __init__(self, *, loss: float = 0, delay: float = 0, **ends: str) -> None:
        if len(ends) != 2:
            raise ValueError(f"a link has two ends, not {len(ends)}: {', '.join(ends)}")
        addresses = {name: tuple(map(ip_interface, text.split())) for name, text in ends.items()}
        object.__setattr__(self, "ends", addresses)
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "delay", delay)

    def netem(self) -> str:
        """Arguments for tc's netem; empty for a perfect link."""
        words = [f"loss {self.loss}%"] if self.loss else []
        words += [f"delay {self.delay}ms"] if self.delay else []
        return " ".join(words)


@dataclass(frozen=True)
class Topology:
    """Nodes by name, and the links between them."""

    nodes: dict[str, Node]
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        for link in self.links:
            if strangers := link.ends.keys() - self.nodes.keys():
                raise ValueError(f"link to unknown node: {', '.join(sorted(strangers))}")
        for name, node in self.nodes.items():
            if node.via is not None and not any({name, node.via} == link.ends.keys() for link in self.links):
                raise ValueError(f"{name} goes via {node.via}, but no link leads there")

    def addresses(self, name: str) -> list[IPv4Interface | IPv6Interface]:
        """A node's addresses, in the order of its links."""
        return [address for link in self.links for address in link.ends.get(name, ())]

    def address(self, name: str, version: int = 4) -> str:
        """A node's first address of an IP version."""
        return next(str(address.ip) for address in self.addresses(name) if address.version == version)

    def neighbour_address(self, name: str, neighbour: str) -> str:
        """A node's first IPv4 address on the link to a neighbour."""
        link = next(link for link in self._links_of(name) if neighbour in link.ends)
        return next(str(address.ip) for address in link.ends[name] if address.version == 4)

    def batch(self, prefix: str = "") -> list[str]:
        """Lines for `ip -batch` that make all namespaces (named prefix + node) and veth pairs."""
        lines = [f"netns add {prefix}{name}" for name in self.nodes]
        for link in self.links:
            one, other = link.ends
            lines.append(
                f"link add name to-{other} netns {prefix}{one} type veth peer name to-{one} netns {prefix}{other}"
            )
        return lines

    def node_batch(self, name: str) -> list[str]:
        """Lines for `ip -batch` inside one node's namespace: addresses, links up, default routes."""
        lines = ["link set lo up"]
        for link in self._links_of(name):
            device = f"to-{self._neighbour(link, name)}"
            for address in link.ends[name]:
                # Duplicate address detection would keep an IPv6 address unusable for seconds.
                lines.append(f"address add {address} dev {device}{' nodad' if address.version == 6 else ''}")
            lines.append(f"link set {device} up")
            if self.nodes[name].via == self._neighbour(link, name):
                for address in link.ends[self._neighbour(link, name)]:
                    everything = "0.0.0.0/0" if address.version == 4 else "::/0"
                    lines.append(f"route add {everything} via {address.ip} dev {device}")
        return lines

    def netem_batch(self, name: str) -> list[str]:
        """Lines for `tc -batch` inside one node's namespace."""
        return [
            f"qdisc add dev to-{self._neighbour(link, name)} root netem {link.netem()}"
            for link in self._links_of(name)
            if link.netem()
        ]

    def _links_of(self, name: str) -> Iterable[Link]:
        return (link for link in self.links if name in link.ends)

    def _neighbour(self, link: Link, name: str) -> str:
        return next(other for other in link.ends if other != name)


# alice (10.1.0.10) - moon (192.0.2.1) - router - sun (198.51.100.1) - bob (10.2.0.10)
SITE_TO_SITE = Topology(
    nodes={
        "alice": Host("moon"),
        "moon": Gateway("router"),
        "router": Router(),
        "sun": Gateway("router"),
        "bob": Host("sun"),
    },
    links=[
        Link(alice="10.1.0.10/24 fd01::10/64", moon="10.1.0.1/24 fd01::1/64"),
        Link(moon="192.0.2.1/24 2001:db8:1::1/64", router="192.0.2.254/24 2001:db8:1::fe/64"),
        Link(router="198.51.100.254/24 2001:db8:2::fe/64", sun="198.51.100.1/24 2001:db8:2::1/64"),
        Link(sun="10.2.0.1/24 fd02::1/64", bob="10.2.0.10/24 fd02::10/64"),
    ],
)

# As above, but moon has a private address (192.168.0.2) behind nat (192.0.2.1), which changes ports.
BEHIND_NAT = Topology(
    nodes={
        "alice": Host("moon"),
        "moon": Gateway("nat"),
        "nat": Nat("router", ports="20000-30000"),
        "router": Router(),
        "sun": Gateway("router"),
        "bob": Host("sun"),
    },
    links=[
        Link(alice="10.1.0.10/24", moon="10.1.0.1/24"),
        Link(moon="192.168.0.2/24", nat="192.168.0.1/24"),
        Link(nat="192.0.2.1/24", router="192.0.2.254/24"),
        Link(router="198.51.100.254/24", sun="198.51.100.1/24"),
        Link(sun="10.2.0.1/24", bob="10.2.0.10/24"),
    ],
)

# Both gateways have private addresses; sun's NAT (198.51.100.1) passes IKE on to it.
BOTH_BEHIND_NAT = Topology(
    nodes={
        **BEHIND_NAT.nodes,
        "sun": Gateway("sunnat"),
        "sunnat": Nat("router", serves="sun"),
    },
    links=[
        *BEHIND_NAT.links[:3],
        Link(router="198.51.100.254/24", sunnat="198.51.100.1/24"),
        Link(sunnat="192.168.1.1/24", sun="192.168.1.2/24"),
        Link(sun="10.2.0.1/24", bob="10.2.0.10/24"),
    ],
)

# Two machines behind one NAT (192.0.2.1), as at home or in a hotel, and a gateway with a network behind it.
HOTEL = Topology(
    nodes={
        "alice": Gateway("nat"),
        "carol": Gateway("nat"),
        "nat": Nat("router"),
        "router": Router(),
        "sun": Gateway("router"),
        "bob": Host("sun"),
    },
    links=[
        Link(alice="192.168.0.2/24", nat="192.168.0.1/24"),
        Link(carol="192.168.7.2/24", nat="192.168.7.1/24"),
        Link(nat="192.0.2.1/24", router="192.0.2.254/24"),
        Link(router="198.51.100.254/24", sun="198.51.100.1/24"),
        Link(sun="10.2.0.1/24", bob="10.2.0.10/24"),
    ],
)
