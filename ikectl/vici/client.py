"""A blocking vici client, small enough for a command line; it waits for one answer at a time.

with Client() as daemon:
    print(daemon.request("version"))
    for event in daemon.stream("list-sas", "list-sa"):
        ...
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ikectl.vici.message import Draft, Frames, MessageError, Packet, PacketType, Tree, decode, encode, text

DEFAULT_SOCKET = "/run/ikectl/ikectl.vici"
CONNECT_FOR = 5.0  # seconds that a local socket may take to let us in


class ClientError(Exception):
    """Something between us and the daemon went wrong."""


class NotRunning(ClientError):
    """Nothing listens at the socket."""


class NotAllowed(ClientError):
    """We may not open the socket."""


class ConnectionLost(ClientError):
    """The daemon went away, or speaks something that is not vici."""


class UnknownCommand(ClientError):
    """The daemon knows no such command or event."""


class CommandFailed(ClientError):
    """The daemon did not do it; the text is its reason. `response` is the whole answer."""

    def __init__(self, why: str, response: Tree) -> None:
        super().__init__(why)
        self.response = response


class Client:
    """One connection to the daemon. Use it as a context manager, or call `close`."""

    def __init__(self, path: str = DEFAULT_SOCKET) -> None:
        """Raises NotRunning, NotAllowed, ClientError."""
        self.path = path
        self._frames = Frames()
        self._early: list[Packet] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_FOR)
            self._socket.connect(os.fspath(path))
            self._socket.settimeout(None)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NotRunning(f"nothing listens at {path}") from error
        except PermissionError as error:
            self._socket.close()
            raise NotAllowed(f"no permission to open {path}") from error
        except OSError as error:
            self._socket.close()
            raise ClientError(f"cannot open {path}: {error.strerror or error}") from error

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request(self, command: str, message: Draft | None = None) -> Tree:
        """The answer to a command.

        Raises:
            CommandFailed: the answer says `success=no`.
            UnknownCommand, ConnectionLost.
        """
        self._send(Packet(PacketType.CMD_REQUEST, command, encode(message or {})))
        packet = self._receive()
        while packet.type is PacketType.EVENT:  # of a registration made earlier
            packet = self._receive()
        return self._response(command, packet)

    def stream(self, command: str, event: str, message: Draft | None = None) -> Stream:
        """Run a command and iterate over the messages of `event` that it sends meanwhile."""
        return Stream(self, command, event, message or {})

    def register(self, event: str) -> None:
        """Ask for events of this name. Raises UnknownCommand: there are none of this name."""
        self._registration(PacketType.EVENT_REGISTER, event)

    def events(self) -> Iterator[tuple[str, Tree]]:
        """(name, message) of every event registered for, without end."""
        while True:
            packet = self._early.pop(0) if self._early else self._receive()
            if packet.type is PacketType.EVENT:
                yield packet.name, _message(packet)

    def _registration(self, kind: PacketType, event: str) -> None:
        self._send(Packet(kind, event))
        while (packet := self._receive()).type is PacketType.EVENT:
            if kind is PacketType.EVENT_REGISTER:
                self._early.append(packet)
        if packet.type is PacketType.EVENT_UNKNOWN:
            raise UnknownCommand(f"the daemon has no event {event}")
        if packet.type is not PacketType.EVENT_CONFIRM:
            raise ConnectionLost(f"the daemon answered with a packet of type {packet.type.name}")

    def _response(self, command: str, packet: Packet) -> Tree:
        if packet.type is PacketType.CMD_UNKNOWN:
            raise UnknownCommand(f"the daemon has no command {command}; is it older than this program?")
        if packet.type is not PacketType.CMD_RESPONSE:
            raise ConnectionLost(f"the daemon answered with a packet of type {packet.type.name}")
        response = _message(packet)
        if "success" in response and response["success"] != b"yes":
            raise CommandFailed(text(response.get("errmsg"), "the daemon gave no reason"), response)
        return response

    def _send(self, packet: Packet) -> None:
        try:
            frame = packet.frame()
        except MessageError as error:
            raise ClientError(f"cannot ask for this: {error}") from error
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise ConnectionLost(f"the daemon closed the connection: {error.strerror or error}") from error

    def _receive(self) -> Packet:
        try:
            while (octets := self._frames.next()) is None:
                more = self._socket.recv(65536)
                if not more:
                    raise ConnectionLost("the daemon closed the connection")
                self._frames.feed(more)
            return Packet.read(octets)
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error.strerror or error}") from error
        except MessageError as error:
            raise ConnectionLost(f"the daemon does not speak vici: {error}") from error


class Stream:
    """The events of one command, to be iterated once. At the end the answer is in `response`.

    Iterating raises what `Client.request` raises. Leaving the loop early
    leaves the rest of the answer unread: close the client then.
    """

    def __init__(self, client: Client, command: str, event: str, message: Draft) -> None:
        self.response: Tree = {}
        self._client = client
        self._command = command
        self._event = event
        self._message = message

    def __iter__(self) -> Iterator[Tree]:
        client = self._client
        client.register(self._event)
        client._send(Packet(PacketType.CMD_REQUEST, self._command, encode(self._message)))
        while (packet := client._receive()).type is PacketType.EVENT:
            if packet.name == self._event:
                yield _message(packet)
        client._registration(PacketType.EVENT_UNREGISTER, self._event)
        self.response = client._response(self._command, packet)


def _message(packet: Packet) -> Tree:
    try:
        return decode(packet.body)
    except MessageError as error:
        raise ConnectionLost(f"the daemon does not speak vici: {error}") from error
