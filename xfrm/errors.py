"""What can go wrong between us and the kernel, as one tree.

The class says what a caller can do about it; ``errno`` and ``kernel`` (the words
of the kernel's extended acknowledgement, often empty) say what happened.  No
error carries key material: requests describe themselves by addresses, SPI and
algorithm names alone.
"""

import errno as _errno
import os


class XfrmError(OSError):
    """The kernel refused a request, or the conversation with it failed.

    Attributes:
        errno: the kernel's code, or the nearest one for an error found here.
        request: what was asked, for people; never with keys.
        kernel: the kernel's own explanation, or ''.
    """

    def __init__(self, errno: int, request: str = "", kernel: str = "") -> None:
        reason = os.strerror(errno).lower()
        text = f"{request}: {reason}" if request else reason
        super().__init__(errno, f"{text} ({kernel})" if kernel else text)
        self.request = request
        self.kernel = kernel

    def __reduce__(self) -> tuple[type["XfrmError"], tuple[int | None, str, str]]:
        return type(self), (self.errno, self.request, self.kernel)


class Exists(XfrmError):
    """There already is an SA, policy or interface of that name (EEXIST)."""


class Gone(XfrmError):
    """There is no such SA or policy: deleted, expired, or never there (ESRCH, ENOENT)."""


class Denied(XfrmError):
    """We lack CAP_NET_ADMIN in this network namespace, or an LSM objects (EPERM, EACCES)."""


class Invalid(XfrmError):
    """The kernel finds the request contradictory (EINVAL, ERANGE, EMSGSIZE); ``kernel`` may say where."""


class Exhausted(XfrmError):
    """Out of memory, buffers, or free SPIs in the range asked for (ENOMEM, ENOBUFS, EBUSY)."""


class Unsupported(XfrmError):
    """This kernel lacks a protocol, mode, algorithm or feature that the request needs.

    Attributes:
        protocol: 'esp', 'ah', 'comp' ... when the protocol or mode itself is missing, else ''.
        algorithms: kernel names of which one is missing (the kernel does not always say
            which), else empty.
    """

    def __init__(
        self,
        errno: int,
        request: str = "",
        kernel: str = "",
        protocol: str = "",
        algorithms: tuple[str, ...] = (),
    ) -> None:
        lacking = protocol or " or ".join(algorithms)
        super().__init__(errno, f"{request}: this kernel lacks {lacking}" if lacking else request, kernel)
        self.request = request
        self.protocol = protocol
        self.algorithms = algorithms

    def __reduce__(self) -> tuple[type["XfrmError"], tuple[int | None, str, str, str, tuple[str, ...]]]:  # type: ignore[override]
        return type(self), (self.errno, self.request, self.kernel, self.protocol, self.algorithms)


class Overrun(XfrmError):
    """The kernel dropped replies because our receive buffer was full (ENOBUFS on receive)."""


class Interrupted(XfrmError):
    """A dump is inconsistent because the database changed meanwhile (NLM_F_DUMP_INTR): ask again."""


class Malformed(XfrmError):
    """The kernel's octets do not have the shape linux/xfrm.h gives them."""

    def __init__(self, why: str) -> None:
        super().__init__(_errno.EBADMSG, why)

    def __reduce__(self) -> tuple[type["XfrmError"], tuple[str]]:  # type: ignore[override]
        return type(self), (self.request,)


class NoAnswer(XfrmError):
    """The kernel did not answer in time (ETIMEDOUT); whether it acted is unknown."""


_CLASSES: dict[int, type[XfrmError]] = {
    _errno.EEXIST: Exists,
    _errno.ESRCH: Gone,
    _errno.ENOENT: Gone,
    _errno.EPERM: Denied,
    _errno.EACCES: Denied,
    _errno.EINVAL: Invalid,
    _errno.ERANGE: Invalid,
    _errno.EMSGSIZE: Invalid,
    _errno.ENOMEM: Exhausted,
    _errno.ENOBUFS: Exhausted,
    _errno.EBUSY: Exhausted,
    _errno.ENOSYS: Unsupported,
    _errno.EOPNOTSUPP: Unsupported,
    _errno.EPROTONOSUPPORT: Unsupported,
    _errno.EAFNOSUPPORT: Unsupported,
    _errno.ENOPROTOOPT: Unsupported,
    _errno.ECONNREFUSED: Unsupported,  # no NETLINK_XFRM listener in the kernel at all
}


def error_for(errno: int, request: str, kernel: str) -> XfrmError:
    """The class that an errno means when nothing about the request says otherwise."""
    return _CLASSES.get(errno, XfrmError)(errno, request, kernel)
