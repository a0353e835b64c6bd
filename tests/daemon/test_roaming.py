"""Word of addresses: what the kernel tells, what matters of it, and when it is passed on."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from ikectl.daemon.roaming import AT_LATEST, NLMSGHDR, RTM_F_CLONED, RTM_NEWROUTE, RTMSG, Whereabouts, matters
from ikectl.kernel.interfaces import PROTO
from tests.kernel.xfrm_pair import ip_batch

RTM_NEWADDR = 20


def route(protocol: int, flags: int = 0) -> bytes:
    body = RTMSG.pack(socket.AF_INET, 24, 0, 0, 254, protocol, 0, 1, flags)
    return NLMSGHDR.pack(NLMSGHDR.size + len(body), RTM_NEWROUTE, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("datagram", "tells"),
    [
        (route(4), True),
        (route(PROTO), False),
        (route(2, RTM_F_CLONED), False),
        (route(PROTO) + route(4), True),
        (route(PROTO) + route(PROTO), False),
        (NLMSGHDR.pack(NLMSGHDR.size, RTM_NEWADDR, 0, 0, 0), True),
        (struct.pack("=IHHII", 0, RTM_NEWROUTE, 0, 0, 0), True),
        (b"", False),
    ],
    ids=["route", "ours", "cached", "ours-and-another", "two-of-ours", "address", "no-length", "nothing"],
)
def test_what_matters(datagram: bytes, tells: bool) -> None:
    assert matters(datagram) is tells


@pytest.fixture
async def watched(netns: None) -> AsyncIterator[tuple[Whereabouts, asyncio.Queue[float]]]:
    """In a fresh namespace; an entry for each time word was given."""
    told: asyncio.Queue[float] = asyncio.Queue()
    whereabouts = Whereabouts()
    await whereabouts.start()

    async def tell() -> None:
        told.put_nowait(asyncio.get_running_loop().time())

    whereabouts.observe(tell)
    yield whereabouts, told
    await whereabouts.stop()


def packed(*texts: str) -> set[bytes]:
    return {ip_address(text).packed for text in texts}


async def test_addresses_come_and_go(watched: tuple[Whereabouts, asyncio.Queue[float]]) -> None:
    whereabouts, told = watched
    assert whereabouts.addresses() == ()
    ip_batch("link add one type veth peer name two\naddress add 192.0.2.1/24 dev one")
    ip_batch("address add 2001:db8::1/64 dev one nodad")
    ip_batch("address add 10.0.0.9/32 dev lo\nlink set two up\nlink set one up")
    await told.get()
    while set(whereabouts.addresses()) != packed("192.0.2.1", "2001:db8::1", "10.0.0.9"):
        await told.get()
    ip_batch("address del 192.0.2.1/24 dev one")
    await told.get()
    assert set(whereabouts.addresses()) == packed("2001:db8::1", "10.0.0.9")
    ip_batch("link set two down")
    while set(whereabouts.addresses()) != packed("10.0.0.9"):
        await told.get()


async def test_many_changes_are_one(watched: tuple[Whereabouts, asyncio.Queue[float]]) -> None:
    """A flap of twenty changes: one word, when they have ended, though not later than they may last."""
    whereabouts, told = watched
    began = asyncio.get_running_loop().time()
    ip_batch("\n".join(f"address {act} 192.0.2.{n}/32 dev lo" for n in range(10) for act in ("add", "del")))
    ip_batch("address add 192.0.2.77/32 dev lo")
    at = await asyncio.wait_for(told.get(), 10 * AT_LATEST)
    assert at > began
    while set(whereabouts.addresses()) != packed("192.0.2.77"):
        await told.get()
    assert told.qsize() == 0


async def test_inner_addresses_are_no_whereabouts(watched: tuple[Whereabouts, asyncio.Queue[float]]) -> None:
    whereabouts, told = watched
    ip_batch("address add 10.3.0.1/32 dev lo label lo:ike\naddress add 192.0.2.1/32 dev lo")
    await told.get()
    assert set(whereabouts.addresses()) == packed("192.0.2.1")
