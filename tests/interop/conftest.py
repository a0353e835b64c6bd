"""Two gateways that stay up for a whole file of stories: moon runs ours, sun runs strongSwan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from tests.interop.configurations import MOON, SUN, Gateway
from tests.lab.certificates import Credential
from tests.lab.fixtures import Lab
from tests.lab.peers.base import Peer
from tests.lab.peers.ikectl import Ikectl
from tests.lab.peers.strongswan import StrongSwan
from tests.lab.topology import SITE_TO_SITE, Topology
from tests.lab.world import World


class Site:
    """A world with an IKE daemon on moon and one on sun.

    Args:
        ours: which of the two runs ikectld.
        theirs: what the other runs.
    """

    ENDS: ClassVar[Mapping[str, Gateway]] = {"moon": MOON, "sun": SUN}
    """The configurations that stories change."""
    OURS: ClassVar[type[Peer]] = Ikectl

    def __init__(self, lab: Lab, topology: Topology, ours: str = "moon", theirs: type[Peer] = StrongSwan) -> None:
        self.world: World = lab.lay(topology)
        kinds: dict[str, type[Peer]] = {"moon": theirs, "sun": theirs, ours: self.OURS}
        self.moon = self.world.peer(kinds["moon"], "moon", conf="")
        self.sun = self.world.peer(kinds["sun"], "sun", conf="")

    def configure(
        self,
        moon: Gateway | None = None,
        sun: Gateway | None = None,
        credentials: Sequence[Credential] = (),
        **both: Any,
    ) -> None:
        """Load both ends; `both` are fields of Gateway that are the same on either."""
        for peer, gateway in ((self.moon, moon or self.ENDS["moon"]), (self.sun, sun or self.ENDS["sun"])):
            own = [credential for credential in credentials if credential.name == gateway.id]
            peer.load(self.text(peer, gateway.but(**both)), own)

    def text(self, peer: Peer, gateway: Gateway) -> str:
        """The swanctl.conf of one end."""
        return gateway.conf()

    def ends(self, initiator: str) -> tuple[Peer, Peer]:
        """Initiator and responder."""
        return (self.moon, self.sun) if initiator == "moon" else (self.sun, self.moon)

    def clear(self) -> None:
        """No SA is left on either end, whatever the last story did; and the record of the wire is empty."""
        for peer in (self.moon, self.sun):
            if peer.running() and peer.sas():
                peer.down(ike="site")
        self.world.wire("router").forget()


@pytest.fixture(scope="module")
def standing_site(module_lab: Lab) -> Site:
    return Site(module_lab, SITE_TO_SITE)


@pytest.fixture
def site(standing_site: Site) -> Iterator[Site]:
    """The file's two gateways, without SAs."""
    standing_site.clear()
    yield standing_site


@pytest.fixture(params=["moon", "sun"], ids=["we-initiate", "strongswan-initiates"])
def initiator(request: pytest.FixtureRequest) -> str:
    """Each story told twice."""
    return str(request.param)
