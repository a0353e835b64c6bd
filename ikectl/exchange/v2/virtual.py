"""What `dynamic` stands for in IKEv2 while inner addresses are given: on our side, on the peer's (RFC 7296 §2.19)."""

from __future__ import annotations

from collections.abc import Iterable

from ikectl.config.model import Child
from ikectl.errors import AddressRequired, TsUnacceptable
from ikectl.exchange import children
from ikectl.exchange.children import Selectors
from ikectl.sa.association import IkeState
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.selector import narrow


def own_offered(sa: IkeSa, config: Child) -> Selectors:
    """Our side's traffic in an offer. While we ask for inner addresses, `dynamic` is all of their families: the
    responder narrows it to those it gives. Raises TsUnacceptable.
    """
    assert sa.connection is not None
    if not sa.connection.vips or sa.state is not IkeState.CONNECTING:
        if children.lacks_address(sa, config):
            raise TsUnacceptable(children.NO_ADDRESS)
        return children.own_selectors(sa, config)
    families = dict.fromkeys(len(address) == 16 for address in sa.connection.vips)
    return tuple(dict.fromkeys(spec.anywhere(v6) for spec in config.local_ts for v6 in families))


def own_agreed(sa: IkeSa, config: Child, agreed: Selectors) -> Selectors:
    """Of what was agreed on for our side what our inner addresses have part in. Raises TsUnacceptable."""
    assert sa.connection is not None
    if not sa.connection.vips:
        return agreed
    if children.lacks_address(sa, config):
        raise TsUnacceptable(children.NO_ADDRESS)
    ours = children.own_selectors(sa, config)
    found = narrow(agreed, ours)
    if not found:
        said, have = (" ".join(map(str, each)) for each in (agreed, ours))
        raise TsUnacceptable(f"the peer answered {said} for our side, where we have {have}")
    return found


def own_wanted(sa: IkeSa, config: Child) -> Selectors:
    """The traffic of our side that a peer may ask for; `dynamic` is nothing while we have no inner address."""
    if not children.lacks_address(sa, config):
        return children.own_selectors(sa, config)
    return tuple(spec.network for spec in config.local_ts if spec.network is not None)


def peer_wanted(sa: IkeSa, config: Child) -> Selectors:
    """The traffic of the peer's side that we allow. Where pools are there for it, `dynamic` is what it got of them, and
    never the outer address of who got nothing.
    """
    assert sa.connection is not None
    if not sa.connection.pools or sa.peer_vips:
        return children.peer_selectors(sa, config)
    return tuple(spec.network for spec in config.remote_ts if spec.network is not None)


def require(sa: IkeSa, configured: Iterable[Child]) -> None:
    """Raises AddressRequired where one of the children is for inner addresses of the peer, and it has none."""
    if any(peer_wanted(sa, config) != children.peer_selectors(sa, config) for config in configured):
        raise AddressRequired(
            "the peer has no inner address of ours, and remote_ts is dynamic: let it ask for one (vips there), or "
            "leave out pools"
        )
