"""One NETLINK_XFRM socket, used synchronously.

The kernel carries out an XFRM request inside our ``send`` and queues the answer
before ``send`` returns, so there is nothing to wait for: reading right after
sending never blocks, and a caller inside an event loop loses nothing by it.  (What
does take time, the kernel building keys or loading a module, happens in ``send``.)
"""

import ctypes
import errno as _errno
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, Final, TypeVar

from .errors import Interrupted, Malformed, NoAnswer, Overrun, XfrmError, error_for
from .messages import Message, walk
from .requests import Request
from .uapi import NETLINK_XFRM, SOL_NETLINK, MessageFlag, SocketOption, Type

A = TypeVar("A")

DATAGRAM_MAX: Final = 1 << 16
"""Octets read at once; the kernel fills at most 32 KiB of one dump datagram."""

BATCH_REQUESTS: Final = 64
BATCH_OCTETS: Final = 1 << 16
"""What goes into one send: bounded so that requests fit the send buffer and answers the receive buffer."""

RECEIVE_BUFFER: Final = 1 << 20
PATIENCE_MS: Final = 5000
"""How long an answer may take that should have been there already."""

_ACK: Final = Struct("=IHHIIi").unpack_from
_ACK_SIZE: Final = 36
_CLONE_NEWNET: Final = 0x40000000
_NETNS_DIRECTORY: Final = "/run/netns"


def open_socket(netns: str | None = None, receive_buffer: int = RECEIVE_BUFFER) -> socket.socket:
    """A NETLINK_XFRM socket bound to this or another network namespace, talking to the kernel alone.

    ``netns`` is a name as ``ip netns`` shows it, or a path such as /proc/1/ns/net.

    Raises:
        XfrmError: Gone without such a namespace, Denied, Unsupported without XFRM.
    """
    try:
        sock = _make_socket() if netns is None else _make_socket_in(netns)
    except OSError as error:
        raise error_for(
            error.errno or _errno.EIO, f"NETLINK_XFRM in {netns or 'this namespace'}", ""
        ) from error
    try:
        _tune(sock, receive_buffer)
    except OSError as error:
        sock.close()
        raise error_for(error.errno or _errno.EIO, "NETLINK_XFRM", "") from error
    return sock


def _make_socket() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_XFRM)


def _make_socket_in(netns: str) -> socket.socket:
    """A namespace belongs to a thread, so a thread of its own visits it and nobody has to come back."""
    path = netns if "/" in netns else f"{_NETNS_DIRECTORY}/{netns}"
    outcome: list[socket.socket | OSError] = []

    def visit() -> None:
        try:
            place = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)  # os.setns exists from Python 3.12 on
                if libc.setns(place, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter {path}")
                outcome.append(_make_socket())
            finally:
                os.close(place)
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=visit, name="xfrm-netns")
    thread.start()
    thread.join()
    (made,) = outcome
    if isinstance(made, OSError):
        raise made
    return made


def _tune(sock: socket.socket, receive_buffer: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, 33, receive_buffer)  # SO_RCVBUFFORCE, beyond rmem_max
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(SOL_NETLINK, SocketOption.CAP_ACK, 1)  # refusals shall not repeat our keys
    sock.setsockopt(SOL_NETLINK, SocketOption.EXT_ACK, 1)
    sock.bind((0, 0))
    # Connected to the kernel: nobody else's unicast is delivered to us.
    sock.connect((0, 0))


class Channel:
    """Requests and their answers over one socket; not for several threads at once.

    >>> with Channel() as channel:                                      # doctest: +SKIP
    ...     channel.batch([NewSa(inbound), NewSa(outbound), NewPolicy(policy)])
    [None, None, None]
    """

    __slots__ = ("_buffer", "_netns", "_seq", "_socket", "_view")

    def __init__(self, netns: str | None = None) -> None:
        self._netns = netns
        self._socket = open_socket(netns)
        self._seq = 0
        self._buffer = bytearray(DATAGRAM_MAX)
        self._view = memoryview(self._buffer)

    @property
    def netns(self) -> str | None:
        """The namespace it was opened in, None for the process's own."""
        return self._netns

    def close(self) -> None:
        """Close the socket; a dump under way ends with it."""
        self._socket.close()

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- requests ----------------------------------------------------------------

    def ask(self, request: Request[A]) -> A:
        """Send one request and return its answer.

        Raises:
            XfrmError: the kernel's refusal, as the class that says what it means.
            ValueError: the request cannot be packed; nothing was sent.
        """
        (outcome,) = self.batch((request,))
        if isinstance(outcome, XfrmError):
            raise outcome
        answer: A = outcome
        return answer

    def batch(self, requests: Sequence[Request[Any]]) -> list[Any]:
        """Send requests together; for each, in order, its answer or its XfrmError (not raised).

        The kernel carries them out in order and goes on after a refusal: undoing what stands
        is the caller's.  A refused send or an overrun gives that error for every request
        whose fate is unknown.

        Raises:
            ValueError: a request cannot be packed; none was sent.
        """
        first = self._seq + 1
        encoded = [request.encode(first + place & 0xFFFFFFFF) for place, request in enumerate(requests)]
        outcomes: list[Any] = [_PENDING] * len(requests)
        self._seq = first + len(requests) - 1 & 0xFFFFFFFF
        start = 0
        while start < len(encoded):
            end, octets = start, 0
            while (
                end < len(encoded)
                and end - start < BATCH_REQUESTS
                and (octets < BATCH_OCTETS or end == start)
            ):
                octets += len(encoded[end])
                end += 1
            try:
                self._exchange(b"".join(encoded[start:end]), requests, first, start, end, outcomes)
            except XfrmError as error:
                for place in range(start, len(encoded)):
                    if outcomes[place] is _PENDING:
                        outcomes[place] = error
                break
            start = end
        return outcomes

    def _exchange(
        self,
        octets: bytes,
        requests: Sequence[Request[Any]],
        first: int,
        start: int,
        end: int,
        outcomes: list[Any],
    ) -> None:
        """One send; settles ``outcomes[start:end]``, matching every message by its sequence number."""
        self._send(octets)
        waiting = end - start
        while waiting:
            size = self._receive()
            if size == _ACK_SIZE:
                _size, kind, _flags, seq, _pid, code = _ACK(self._buffer)
                place = seq - first & 0xFFFFFFFF
                if kind == Type.ERROR and code == 0 and start <= place < end and outcomes[place] is _PENDING:
                    outcomes[place] = None
                    waiting -= 1
                    continue
            for message in walk(bytes(self._view[:size])):
                place = message.seq - first & 0xFFFFFFFF
                if start <= place < end and outcomes[place] is _PENDING:  # not the rest of an older exchange
                    outcomes[place] = _outcome(requests[place], message)
                    waiting -= 1

    def dump(self, request: Request[A]) -> Iterator[list[A]]:
        """The answers of a dump, as many at a time as the kernel puts into one datagram.

        The socket belongs to the dump until it ends; give each its own channel.

        Raises:
            Interrupted: the database changed under the dump, after all answers were given.
            XfrmError: the kernel's refusal.
        """
        self._seq = self._seq + 1 & 0xFFFFFFFF
        self._send(request.encode(self._seq))
        interrupted = False
        while True:
            found: list[A] = []
            done = False
            for message in walk(bytes(self._view[: self._receive()])):
                if message.seq != self._seq:
                    continue
                interrupted |= bool(message.flags & MessageFlag.DUMP_INTR)
                if message.type in (Type.DONE, Type.ERROR):
                    errno, kernel = message.error()
                    if errno:
                        raise request.refused(errno, kernel)
                    done = True
                else:
                    found.append(request.answer(message))
            if found:
                yield found
            if done:
                break
        if interrupted:
            raise Interrupted(_errno.EINTR, request.describe())

    # -- octets ------------------------------------------------------------------

    def _send(self, octets: bytes) -> None:
        try:
            self._socket.send(octets)
        except OSError as error:
            raise error_for(error.errno or _errno.EIO, "send to NETLINK_XFRM", "") from error

    def _receive(self) -> int:
        """One datagram into the buffer; its size."""
        while True:
            try:
                size = self._socket.recv_into(self._buffer, 0, socket.MSG_DONTWAIT | socket.MSG_TRUNC)
            except BlockingIOError:
                self._wait()
                continue
            except OSError as error:
                if error.errno == _errno.ENOBUFS:
                    raise Overrun(_errno.ENOBUFS, "answers from NETLINK_XFRM") from error
                raise error_for(error.errno or _errno.EIO, "receive from NETLINK_XFRM", "") from error
            if size > DATAGRAM_MAX:
                raise Malformed(f"a datagram of {size} octets, more than {DATAGRAM_MAX}")
            return size

    def _wait(self) -> None:
        """Answers are queued before send returns; should a kernel ever differ, wait, but not for ever."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(PATIENCE_MS):
            raise NoAnswer(_errno.ETIMEDOUT, "answer from NETLINK_XFRM")


_PENDING: Final = object()


def _outcome(request: Request[Any], message: Message) -> Any:
    """What a message with a request's sequence number means for it."""
    try:
        if message.type == Type.ERROR:
            errno, kernel = message.error()
            return request.refused(errno, kernel) if errno else None
        return request.answer(message)
    except Malformed as error:
        return error
