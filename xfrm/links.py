"""xfrm interfaces: links that stand for one if_id, so that routes choose the SAs.

An SA or policy with ``if_id`` N belongs to the interface with that id: what is
routed into it meets the policies of N alone, and what N's SAs decapsulate comes
out of it.  Addresses, routes and everything else about a link are pyroute2's.
"""

import errno as _errno
from typing import Any, Final

from pyroute2 import AsyncIPRoute, NetlinkError

from .errors import Gone, Unsupported, XfrmError, error_for
from .model import record
from .sockets import netlink_socket

_NETLINK_ROUTE: Final = 0
_KIND: Final = "xfrm"


@record
class XfrmInterface:
    """One xfrm interface; ``link`` is the ifindex of the device below it, 0 when it has none."""

    name: str
    index: int
    if_id: int
    link: int
    up: bool


class Interfaces:
    """The xfrm interfaces of a network namespace (Linux 4.19, CONFIG_XFRM_INTERFACE).

    >>> async with Interfaces() as interfaces:                          # doctest: +SKIP
    ...     index = await interfaces.create("ipsec0", if_id=42)
    """

    def __init__(self, netns: str | None = None) -> None:
        """``netns`` as for ``sockets.netlink_socket``."""
        self._netns = netns

    async def __aenter__(self) -> "Interfaces":
        sock = netlink_socket(_NETLINK_ROUTE, self._netns)
        self._route = AsyncIPRoute(fileno=sock.detach(), groups=0, ext_ack=True)
        await self._route.__aenter__()
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._route.__aexit__(*reason)

    async def create(self, name: str, if_id: int, link: int | None = None) -> int:
        """Make an interface, down and without addresses; its ifindex.

        ``link`` is the ifindex of the device below it, which only hardware offload needs; the
        kernel does not look whether there is one.

        Raises:
            XfrmError: Exists for a name or if_id in use, Unsupported, Denied, Invalid for a name too long.
        """
        wish: dict[str, Any] = {"ifname": name, "kind": _KIND, "xfrm_if_id": if_id}
        if link is not None:
            wish["xfrm_link"] = link
        try:
            await self._route.link("add", **wish)
        except NetlinkError as error:
            raise _translate(error, f"xfrm interface {name}") from None
        return (await self._find(name)).index

    async def delete(self, name: str) -> None:
        """Remove an interface.

        Raises:
            XfrmError: Gone without an xfrm interface of that name, Denied.
        """
        found = await self._find(name)
        try:
            await self._route.link("del", index=found.index)
        except NetlinkError as error:
            raise _translate(error, f"xfrm interface {name}") from None

    async def list(self) -> list[XfrmInterface]:
        """All of them, in order of index."""
        try:
            links = [link async for link in await self._route.link("dump")]
        except NetlinkError as error:
            raise _translate(error, "list of interfaces") from None
        found = [interface for link in links if (interface := read_interface(link)) is not None]
        return sorted(found, key=lambda interface: interface.index)

    async def _find(self, name: str) -> XfrmInterface:
        for interface in await self.list():
            if interface.name == name:
                return interface
        raise Gone(_errno.ENODEV, f"xfrm interface {name}")


def read_interface(link: Any) -> XfrmInterface | None:
    """An interface from pyroute2's message, or None for any other kind of link."""
    info = link.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != _KIND:
        return None
    own = info.get_attr("IFLA_INFO_DATA")
    if_id = own.get_attr("IFLA_XFRM_IF_ID") if own is not None else None
    below = own.get_attr("IFLA_XFRM_LINK") if own is not None else None
    return XfrmInterface(link.get_attr("IFLA_IFNAME"), link["index"], if_id or 0, below or 0, bool(link["flags"] & 1))


def _translate(error: NetlinkError, what: str) -> XfrmError:
    """pyroute2's error as ours; the kernel says EOPNOTSUPP for a kind of link it does not have."""
    code = int(error.code)
    if code == _errno.EOPNOTSUPP:
        return Unsupported(code, what, protocol="xfrm interfaces")
    if code == _errno.ENODEV:
        return Gone(code, what)
    return error_for(code, what, "")
