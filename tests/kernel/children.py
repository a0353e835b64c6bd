"""Children for the adapter, keyed alike on both ends, without any negotiation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import shake_256
from itertools import count
from typing import Any

from ikectl.config.model import Child, Mode
from ikectl.crypto.kdf_v2 import ChildKeys
from ikectl.crypto.proposal import ChildSuite, parse_proposal
from ikectl.iana.v2 import Protocol
from ikectl.kernel.netlink import NetlinkKernel
from ikectl.sa.child_sa import ChildSa, Companion, Particulars
from ikectl.sa.env import Env
from ikectl.sa.ike_sa import IkeSa
from ikectl.sa.reqids import Policies, PolicyKey
from ikectl.values.path import Endpoint, Path
from ikectl.values.secret import Secret
from ikectl.values.selector import TrafficSelector
from tests.kernel.xfrm_pair import LEFT_ADDRESS, RIGHT, RIGHT_ADDRESS

LEFT_INNER, RIGHT_INNER = "192.0.2.11", "192.0.2.12"
"""Addresses inside the tunnel; both are on the cable too, so that unprotected packets would pass as well."""

_numbers = count(1)


def path(local: str = str(LEFT_ADDRESS), remote: str = str(RIGHT_ADDRESS), port: int = 500) -> Path:
    return Path(Endpoint.parse(local, port), Endpoint.parse(remote, port))


def selectors(*texts: str) -> tuple[TrafficSelector, ...]:
    return tuple(map(TrafficSelector.of_network, texts))


def keys(suite: ChildSuite, seed: int) -> ChildKeys:
    """Keys of the right lengths; 3DES takes any, parity is not looked at."""

    def octets(label: str, length: int) -> Secret:
        return Secret(shake_256(f"{seed} {label}".encode()).digest(length))

    encr, integ = suite.encryption_octets, suite.integrity_octets
    return ChildKeys(octets("ei", encr), octets("ai", integ), octets("er", encr), octets("ar", integ))


def child(
    way: Path | None = None,
    *,
    initiator: bool = True,
    suite: str = "aes128gcm16",
    protocol: Protocol = Protocol.ESP,
    local: tuple[TrafficSelector, ...] | None = None,
    remote: tuple[TrafficSelector, ...] | None = None,
    spi_in: int = 0,
    spi_out: int = 0,
    reqid: int = 1,
    encap: bool = False,
    seed: int = 1,
    beside: Sequence[Protocol] = (),
    **config: Any,
) -> ChildSa:
    """One end's facts of a child; `config` are swanctl's words, `beside` the protocols of its companions."""
    way = way or path()
    proposal = parse_proposal(suite, protocol)
    number = next(_numbers)
    env = Env(lambda sa: lambda octets: bytes(octets))
    chosen = ChildSuite.of(proposal)
    return ChildSa(
        uniqueid=number,
        ike=IkeSa(env, env.random_for(1), 1, initiator, bytes(8), bytes(8), way),
        config=Child("net", (proposal,), **config),
        initiator=initiator,
        protocol=protocol,
        mode=config.get("mode", Mode.TUNNEL),
        suite=chosen,
        spi_in=spi_in,
        spi_out=spi_out,
        ts_local=local or selectors(LEFT_INNER if initiator else RIGHT_INNER),
        ts_remote=remote or selectors(RIGHT_INNER if initiator else LEFT_INNER),
        path=way,
        encap=encap,
        policies=Policies(PolicyKey(None, "", (), (), b"", reqid=number), reqid),
        if_id_in=config.get("if_id_in", 0),
        if_id_out=config.get("if_id_out", 0),
        keys=keys(chosen, seed),
        particulars=Particulars(companions=tuple(companion(protocol, seed) for protocol in beside)),
    )


def companion(protocol: Protocol, seed: int) -> Companion:
    """AH with HMAC-SHA-256, or IPComp."""
    if protocol is Protocol.IPCOMP:
        return Companion(protocol, 0, 0)
    suite = ChildSuite.of(parse_proposal("sha256", protocol))
    return Companion(protocol, 0, 0, suite, keys(suite, seed + 1000))


@dataclass
class Ends:
    """An adapter on either side of the cable."""

    left: NetlinkKernel
    right: NetlinkKernel

    def pair(self, way: Path | None = None, **facts: Any) -> tuple[ChildSa, ChildSa]:
        """Both ends of a child, with SPIs reserved, nothing installed."""
        mine = child(way, **facts)
        back = Path(mine.path.remote, mine.path.local)
        theirs = child(
            back,
            initiator=False,
            **{**facts, "local": mine.ts_remote, "remote": mine.ts_local},
        )
        mine.spi_in = theirs.spi_out = self.left.alloc_spi(mine.protocol, mine.path)
        mine.spi_out = theirs.spi_in = self.right.alloc_spi(mine.protocol, back)
        for one, other in zip(mine.companions, theirs.companions, strict=True):
            one.spi_in = other.spi_out = self.left.alloc_spi(one.protocol, mine.path)
            one.spi_out = other.spi_in = self.right.alloc_spi(one.protocol, back)
        return mine, theirs

    def up(self, way: Path | None = None, **facts: Any) -> tuple[ChildSa, ChildSa]:
        """Likewise, installed."""
        mine, theirs = self.pair(way, **facts)
        self.right.install(theirs)
        self.left.install(mine)
        return mine, theirs


@contextmanager
def adapters() -> Iterator[Ends]:
    left, right = NetlinkKernel.open(), NetlinkKernel.open(RIGHT)
    try:
        yield Ends(left, right)
    finally:
        left.close()
        right.close()


def moved(way: Path, **ends: str) -> Path:
    """The path with another address at one end."""
    return replace(way, **{end: Endpoint.parse(address, way.local.port) for end, address in ends.items()})
