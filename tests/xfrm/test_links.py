"""xfrm interfaces as a kernel that has them reports them."""

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from tests.xfrm.vectors import load
from xfrm.links import XfrmInterface, read_interface


def read(name: str) -> XfrmInterface | None:
    link = ifinfmsg(load("links.txt")[name])
    link.decode()
    return read_interface(link)


def test_an_xfrm_interface() -> None:
    found = read("ipsec1")
    assert found is not None
    assert (found.name, found.if_id, found.link, found.up) == ("ipsec1", 43, 1, False)
    assert found.index > 1


def test_other_links() -> None:
    assert read("lo") is None
    assert read("other") is None
