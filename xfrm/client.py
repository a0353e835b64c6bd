"""The asyncio client: one method per request, dumps as iterators, events as a stream."""

import asyncio
import errno as _errno
import socket
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final, TypeVar

from .channel import DATAGRAM_MAX, Channel
from .database_requests import GetDefault, GetSadInfo, GetSpdInfo, SetDefault, SetHashThresholds
from .errors import Malformed, error_for
from .events import Event, Overrun, read_event
from .messages import Message, walk
from .model import (
    Address,
    AddressFilter,
    AeState,
    Defaults,
    Encap,
    HashThreshold,
    KmAddress,
    Mark,
    Migration,
    Policy,
    PolicyIndex,
    PolicyInfo,
    PolicyKey,
    Sa,
    SadInfo,
    SaId,
    SaInfo,
    SpdInfo,
)
from .policy_requests import DelPolicy, DumpPolicy, FlushPolicy, GetPolicy, Migrate, NewPolicy, UpdPolicy
from .request import Request
from .sa_requests import AllocSpi, DelSa, DumpSa, FlushSa, GetAe, GetSa, NewAe, NewSa, UpdSa
from .sockets import xfrm_socket
from .uapi import SOL_NETLINK, Group, Mode, PolicyType, Proto, SocketOption

A = TypeVar("A")

EVENT_BUFFER: Final = 8 << 20
"""Octets of receive buffer for events: some ten thousand of them before the kernel drops any."""


class Xfrm:
    """The kernel's SAs and policies, in this network namespace or another.

    A request is carried out inside the call, without waiting (see ``channel``): what is
    asynchronous here are dumps, which let others run between datagrams, and events.
    Every method raises an XfrmError for a refusal and ValueError for a request that
    cannot be packed.

    >>> async with Xfrm() as xfrm:                                      # doctest: +SKIP
    ...     await xfrm.add_sa(Sa(src, dst, spi=0x1234, aead=Aead("rfc4106(gcm(aes))", key, 128)))
    ...     async for info in xfrm.dump_sas():
    ...         print(info.sa, info.usage.octets)
    """

    def __init__(self, netns: str | None = None) -> None:
        """Open the socket; ``netns`` is a name or a path as for ``sockets.netlink_socket``."""
        self.channel = Channel(netns)

    @classmethod
    def open(cls, netns: str | None = None) -> "Xfrm":
        """The same as the constructor, for those who like to see a socket opened."""
        return cls(netns)

    def close(self) -> None:
        """Close the request socket; dumps and event streams have their own."""
        self.channel.close()

    async def __aenter__(self) -> "Xfrm":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def ask(self, request: Request[A]) -> A:
        """Any one request."""
        return self.channel.ask(request)

    async def batch(self, requests: Sequence[Request[Any]]) -> list[Any]:
        """Several requests on one send; an answer or an XfrmError for each (see ``Channel.batch``)."""
        return self.channel.batch(requests)

    # -- SAs ---------------------------------------------------------------------

    async def add_sa(self, sa: Sa) -> None:
        """Add an SA; Exists when its name is taken, Unsupported when the kernel lacks what it needs."""
        self.channel.ask(NewSa(sa))

    async def update_sa(self, sa: Sa) -> None:
        """Complete a larval SA or change a live one; Gone when there is none."""
        self.channel.ask(UpdSa(sa))

    async def delete_sa(self, sa: SaId | Sa) -> None:
        """Delete an SA; Gone when there is none."""
        self.channel.ask(DelSa(sa.id if isinstance(sa, Sa) else sa))

    async def get_sa(self, sa: SaId | Sa) -> SaInfo:
        """Read an SA with keys and counters; Gone when there is none."""
        return self.channel.ask(GetSa(sa.id if isinstance(sa, Sa) else sa))

    async def alloc_spi(
        self, src: Address, dst: Address, proto: int = Proto.ESP, mode: int = Mode.TUNNEL, reqid: int = 0,
        low: int = 0xC0000000, high: int = 0xCFFFFFFF, seq: int = 0, mark: Mark | None = None, if_id: int = 0,
    ) -> int:  # fmt: skip
        """Reserve an SPI between ``low`` and ``high``, both included; Exhausted when none is free."""
        return self.channel.ask(AllocSpi(src, dst, proto, mode, reqid, low, high, seq, mark, if_id))

    async def flush_sas(self, proto: int = Proto.ANY) -> None:
        """Delete every SA of a protocol, or of all."""
        self.channel.ask(FlushSa(proto))

    def dump_sas(self, proto: int = 0, between: AddressFilter | None = None) -> AsyncGenerator[SaInfo, None]:
        """Every SA, as the kernel hands them out; Interrupted at the end if the database changed."""
        return self._dump(DumpSa(proto, between))

    async def get_ae(self, sa: SaId, thresholds: bool = True) -> AeState:
        """Read an SA's counters without its keys."""
        return self.channel.ask(GetAe(sa, thresholds))

    async def new_ae(self, state: AeState) -> None:
        """Set an SA's counters and thresholds."""
        self.channel.ask(NewAe(state))

    # -- policies ----------------------------------------------------------------

    async def add_policy(self, policy: Policy) -> None:
        """Add a policy; Exists when its key is taken."""
        self.channel.ask(NewPolicy(policy))

    async def update_policy(self, policy: Policy) -> None:
        """Add a policy or replace the one with the same key."""
        self.channel.ask(UpdPolicy(policy))

    async def delete_policy(self, name: PolicyKey | PolicyIndex) -> None:
        """Delete a policy by key or, at a cost that does not grow with their number, by index."""
        self.channel.ask(DelPolicy(name))

    async def get_policy(self, name: PolicyKey | PolicyIndex) -> PolicyInfo:
        """Read a policy; Gone when there is none."""
        return self.channel.ask(GetPolicy(name))

    async def flush_policies(self, kind: int = PolicyType.MAIN) -> None:
        """Delete every policy of one database."""
        self.channel.ask(FlushPolicy(kind))

    def dump_policies(self) -> AsyncGenerator[PolicyInfo, None]:
        """Every policy, socket policies included; Interrupted at the end if the database changed."""
        return self._dump(DumpPolicy())

    async def migrate(
        self, policy: PolicyKey, migrations: Sequence[Migration], kmaddress: KmAddress | None = None,
        encap: Encap | None = None,
    ) -> None:  # fmt: skip
        """Move a policy's templates and SAs to other addresses; Unsupported without CONFIG_XFRM_MIGRATE."""
        self.channel.ask(Migrate(policy, tuple(migrations), kmaddress, encap))

    # -- databases ---------------------------------------------------------------

    async def sad_info(self) -> SadInfo:
        """Size of the SA database."""
        return self.channel.ask(GetSadInfo())

    async def spd_info(self) -> SpdInfo:
        """Size of the policy database and its hash thresholds."""
        return self.channel.ask(GetSpdInfo())

    async def set_hash_thresholds(self, ipv4: HashThreshold | None = None, ipv6: HashThreshold | None = None) -> None:
        """Which policies are found by hash."""
        self.channel.ask(SetHashThresholds(ipv4, ipv6))

    async def get_default(self) -> Defaults:
        """What becomes of packets without a policy."""
        return self.channel.ask(GetDefault())

    async def set_default(self, defaults: Defaults) -> None:
        """Change it."""
        self.channel.ask(SetDefault(defaults))

    # -- streams -----------------------------------------------------------------

    async def _dump(self, request: Request[A]) -> AsyncGenerator[A, None]:
        with Channel(self.channel.netns) as channel:
            for found in channel.dump(request):
                for item in found:
                    yield item
                await asyncio.sleep(0)

    def events(self, groups: Iterable[int] = tuple(Group), receive_buffer: int = EVENT_BUFFER) -> "EventStream":
        """Listen to multicast groups from now on; all of them by default."""
        return EventStream(groups, self.channel.netns, receive_buffer)


class EventStream:
    """Events of the groups asked for, in the kernel's order, from the moment it was made.

    >>> async with xfrm.events([Group.ACQUIRE, Group.EXPIRE]) as events:    # doctest: +SKIP
    ...     async for event in events:
    ...         match event:
    ...             case Acquire(): ...
    ...             case Overrun(): ...     # some were lost: dump and compare

    A message that cannot be read raises Malformed from one step; the stream goes on with
    the next.  The kernel's receive buffer is the only queue of any length.
    """

    def __init__(
        self,
        groups: Iterable[int],
        netns: str | None = None,
        receive_buffer: int = EVENT_BUFFER,
        sock: socket.socket | None = None,
    ) -> None:
        """``sock`` is one opened elsewhere, which we close; the rest as ``Xfrm.events`` and ``Xfrm`` say.

        Raises:
            XfrmError: as ``sockets.xfrm_socket``; Invalid for a group the kernel does not have.
        """
        self._socket = xfrm_socket(netns, receive_buffer) if sock is None else sock
        self._ready: deque[Event | Malformed] = deque()
        try:
            self._socket.setblocking(False)
            for group in groups:
                self._socket.setsockopt(SOL_NETLINK, SocketOption.ADD_MEMBERSHIP, group)
        except OSError as error:
            self._socket.close()
            raise error_for(error.errno or _errno.EIO, "subscription to NETLINK_XFRM", "") from error

    def fileno(self) -> int:
        """For a loop that watches the socket itself and calls ``pending``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    async def __aenter__(self) -> "EventStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Event:
        while not self._ready and not self._read():
            await self._readable()
        event = self._ready.popleft()
        if isinstance(event, Malformed):
            raise event
        return event

    def pending(self) -> Event | None:
        """The next event if there is one already; never waits."""
        while not self._ready:
            if not self._read():
                return None
        event = self._ready.popleft()
        if isinstance(event, Malformed):
            raise event
        return event

    def _read(self) -> bool:
        """One datagram into events; False when there is none (or one with nothing for us)."""
        try:
            octets = self._socket.recv(DATAGRAM_MAX)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != _errno.ENOBUFS:
                raise error_for(error.errno or _errno.EIO, "events of NETLINK_XFRM", "") from error
            self._ready.append(Overrun())
            return True
        try:
            for message in walk(octets):
                self._add(message)
        except Malformed as error:
            self._ready.append(error)
        return True

    def _add(self, message: Message) -> None:
        try:
            event = read_event(message)
        except Malformed as error:
            self._ready.append(error)
        else:
            if event is not None:
                self._ready.append(event)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._socket, _settle, arrived)
        try:
            await arrived
        finally:
            loop.remove_reader(self._socket)


def _settle(arrived: "asyncio.Future[None]") -> None:
    if not arrived.done():
        arrived.set_result(None)
