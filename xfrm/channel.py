"""One NETLINK_XFRM socket, used synchronously.

The kernel carries out an XFRM request inside our ``send`` and queues the answer
before ``send`` returns, so there is nothing to wait for: reading right after
sending never blocks, and a caller inside an event loop loses nothing by it.  (What
does take time, the kernel building keys or loading a module, happens in ``send``.)
"""

import errno as _errno
import select
import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, Final, TypeVar

from .errors import Interrupted, Malformed, NoAnswer, Overrun, XfrmError, error_for
from .messages import Message, walk
from .request import Request
from .sockets import xfrm_socket
from .uapi import MessageFlag, Type

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


class Channel:
    """Requests and their answers over one socket; not for several threads at once.

    >>> with Channel() as channel:                                      # doctest: +SKIP
    ...     channel.batch([NewSa(inbound), NewSa(outbound), NewPolicy(policy)])
    [None, None, None]
    """

    __slots__ = ("_buffer", "_netns", "_seq", "_socket", "_view")

    def __init__(self, netns: str | None = None, sock: socket.socket | None = None) -> None:
        """``netns`` as for ``sockets.netlink_socket``; ``sock`` is one opened elsewhere, which we close.

        Raises:
            XfrmError: as ``sockets.xfrm_socket``.
        """
        self._netns = netns
        self._socket = xfrm_socket(netns, RECEIVE_BUFFER) if sock is None else sock
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
            while end < len(encoded) and end - start < BATCH_REQUESTS and (octets < BATCH_OCTETS or end == start):
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
