"""Two namespaces joined by a cable, for tests of what the kernel does with real packets.

The process itself is in the left one (fixture `netns`); the right one has a name, as
another host would.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import TypeVar

import pytest

from xfrm import Channel, EventStream
from xfrm.events import Event

RIGHT = "right"
LEFT_ADDRESS = ip_address("192.0.2.1")
RIGHT_ADDRESS = ip_address("192.0.2.2")
LEFT6 = ip_address("2001:db8::1")
RIGHT6 = ip_address("2001:db8::2")
EVENT_FOR = 20.0
"""Seconds until a test gives up waiting for an event that has to come."""

E = TypeVar("E", bound=Event)

_TOPOLOGY = f"""\
link add wire type veth peer name wire netns {RIGHT}
address add {LEFT_ADDRESS}/24 dev wire
address add 192.0.2.11/24 dev wire
address add {LEFT6}/64 dev wire nodad
link set wire up
"""
_RIGHT_TOPOLOGY = f"""\
address add {RIGHT_ADDRESS}/24 dev wire
address add 192.0.2.12/24 dev wire
address add {RIGHT6}/64 dev wire nodad
link set wire up
link set lo up
"""


def ip_batch(commands: str, *options: str) -> None:
    """Several `ip` commands in one process."""
    subprocess.run(["ip", *options, "-batch", "-"], input=commands, text=True, check=True, capture_output=True)


def ping(address: IPv4Address | IPv6Address, *options: str, wait: int = 10) -> bool:
    """Whether one echo request from the left side is answered within `wait` seconds."""
    command = ["ping", "-n", "-c1", f"-W{wait}", *options, str(address)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@dataclass(slots=True)
class Pair:
    """A channel to either side's databases."""

    left: Channel
    right: Channel

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.left.close()
        self.right.close()


@pytest.fixture
def pair(netns: None) -> Iterator[Pair]:
    """192.0.2.1 (and .11) here, 192.0.2.2 (and .12) there, IPv6 likewise."""
    subprocess.run(["ip", "netns", "add", RIGHT], check=True)
    try:
        ip_batch(_TOPOLOGY)
        ip_batch(_RIGHT_TOPOLOGY, "-n", RIGHT)
        with Pair(Channel(), Channel(RIGHT)) as both:
            yield both
    finally:
        subprocess.run(["ip", "netns", "delete", RIGHT], check=True)


@dataclass(slots=True)
class Listener:
    """Events as they come; what is not asked for is kept in `others`."""

    stream: EventStream
    others: list[Event] = field(default_factory=list)

    async def next(self, kind: type[E]) -> E:
        """The next event of one kind."""
        async with asyncio.timeout(EVENT_FOR):
            async for event in self.stream:
                if isinstance(event, kind):
                    return event
                self.others.append(event)
        raise AssertionError("the stream ended")
