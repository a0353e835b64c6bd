"""Interfaces for name servers in a real kernel: what goes out by them bears an inner address."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from ikectl.errors import BackendError
from ikectl.kernel.dnslinks import MAX_LINKS, DnsLinks
from tests.kernel.xfrm_pair import Pair, pair

__all__ = ["pair"]

INNER, INNER6 = ip_address("10.7.0.5").packed, ip_address("fd07::5").packed
IP_UNICAST_IF, IPV6_UNICAST_IF = 50, 76


@pytest.fixture
async def links(pair: Pair) -> AsyncIterator[DnsLinks]:
    one = DnsLinks()
    await one.start()
    yield one
    await one.stop()


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def shown() -> str:
    return ip("-o", "link")


def rules() -> str:
    return ip("rule") + ip("-6", "rule")


def routes() -> set[str]:
    """Those of the main table, but for the kernel's own of each link."""
    found = ip("-4", "route").splitlines() + ip("-6", "route").splitlines()
    return {line for line in found if not line.startswith("fe80:")}


async def test_what_goes_out_by_a_link_bears_an_inner_address(links: DnsLinks) -> None:
    """As systemd-resolved sends: the socket names the interface, and is not bound to it."""
    before = routes()
    name = await links.add((INNER, INNER6))
    index = socket.if_nametoindex(name)
    assert routes() == before, "others are routed as ever"

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, socket.htonl(index))
        sock.connect(("10.8.0.53", 53))
        assert sock.getsockname()[0] == "10.7.0.5"
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_IF, socket.htonl(index))
        sock.connect(("fd08::53", 53))
        assert sock.getsockname()[0] == "fd07::5"

    await links.remove(name)
    assert name not in shown()
    assert name not in rules()


async def test_what_a_killed_daemon_left_is_removed(links: DnsLinks) -> None:
    name = await links.add((INNER,))
    subprocess.run(["ip", "link", "add", "ikedns77", "type", "dummy"], check=True)
    other = DnsLinks()
    await other.start()
    assert f" {name}:" not in shown()
    assert name not in rules()
    assert " ikedns77:" in shown(), "it is somebody else's: it has not our alias"
    subprocess.run(["ip", "link", "del", "ikedns77"], check=True)
    await other.stop()
    await links.remove(name)


async def test_links_are_bounded_and_go_with_the_daemon(pair: Pair) -> None:
    links = DnsLinks()
    await links.start()
    for _ in range(MAX_LINKS):
        await links.add(())
    with pytest.raises(BackendError, match="more than"):
        await links.add(())
    await links.stop()
    assert "ikedns" not in shown()
    with pytest.raises(BackendError, match="ending"):
        await links.add(())


async def test_a_name_that_is_taken_is_somebody_elses(links: DnsLinks) -> None:
    """Or was ours, and the daemon was killed before it had our alias: the next name will do."""
    subprocess.run(["ip", "link", "add", "ikedns0", "type", "dummy"], check=True)
    assert await links.add((INNER,)) == "ikedns1"
    await links.remove("ikedns1")
    assert " ikedns0:" in shown()
    subprocess.run(["ip", "link", "del", "ikedns0"], check=True)
