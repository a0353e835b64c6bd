"""Netlink sockets, in this network namespace or another."""

import ctypes
import errno as _errno
import os
import socket
import threading
from ipaddress import ip_network
from typing import Final

from .errors import error_for
from .model import Policy, Selector
from .policy_codec import pack_policy_info
from .uapi import NETLINK_XFRM, SOL_NETLINK, Direction, SocketOption

_CLONE_NEWNET: Final = 0x40000000
_NETNS_DIRECTORY: Final = "/run/netns"
_SO_RCVBUFFORCE: Final = 33
_IP_XFRM_POLICY: Final = 17
_IPV6_XFRM_POLICY: Final = 35


def netlink_socket(protocol: int, netns: str | None = None) -> socket.socket:
    """A netlink socket that belongs to a network namespace, whoever uses it later.

    ``netns`` is a name as ``ip netns`` shows it, or a path such as /proc/1/ns/net; None is
    the calling thread's own namespace.

    Raises:
        XfrmError: Gone without such a namespace, Denied, Unsupported without the protocol.
    """
    try:
        return _make(protocol) if netns is None else _make_in(protocol, netns)
    except OSError as error:
        raise error_for(error.errno or _errno.EIO, f"netlink in {netns or 'this namespace'}", "") from error


def xfrm_socket(netns: str | None, receive_buffer: int) -> socket.socket:
    """A NETLINK_XFRM socket that talks to the kernel alone, with short acknowledgements that explain.

    ``receive_buffer`` in octets; without CAP_NET_ADMIN the kernel keeps it to net.core.rmem_max.

    Raises:
        XfrmError: as ``netlink_socket``.
    """
    sock = netlink_socket(NETLINK_XFRM, netns)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        # A refusal repeats the request, keys and all, unless told not to.
        sock.setsockopt(SOL_NETLINK, SocketOption.CAP_ACK, 1)
        sock.setsockopt(SOL_NETLINK, SocketOption.EXT_ACK, 1)
        sock.bind((0, 0))
        # Connected to the kernel: nobody else's unicast is delivered to us.
        sock.connect((0, 0))
    except OSError as error:
        sock.close()
        raise error_for(error.errno or _errno.EIO, "NETLINK_XFRM", "") from error
    return sock


def bypass_policies(sock: socket.socket) -> None:
    """Exempt an IPv4 or IPv6 socket from all policies, both ways: what a key manager's own sockets need.

    Without it the ESP in UDP that a socket receives would itself be held against the
    policies for the packets inside.

    Raises:
        XfrmError: Denied without CAP_NET_ADMIN, Unsupported.
    """
    if sock.family == socket.AF_INET6:
        level, option, anywhere = socket.IPPROTO_IPV6, _IPV6_XFRM_POLICY, ip_network("::/0")
    else:
        level, option, anywhere = socket.IPPROTO_IP, _IP_XFRM_POLICY, ip_network("0.0.0.0/0")
    try:
        for direction in (Direction.IN, Direction.OUT):
            policy = Policy(Selector.between(anywhere, anywhere), direction)
            sock.setsockopt(level, option, pack_policy_info(policy))
    except OSError as error:
        raise error_for(error.errno or _errno.EIO, "bypass policy of a socket", "") from error


def _make(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)


def _make_in(protocol: int, netns: str) -> socket.socket:
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
                outcome.append(_make(protocol))
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
