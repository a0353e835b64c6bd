"""libpam by ctypes: one authentication of one user, with a conversation of our own. Blocks.

The bindings on PyPI answer every prompt from one password given beforehand, and
leave the host and the delay after failures out; a login of several rounds
needs the conversation itself. These are eight functions of a stable C library
(pam_start(3), pam_conv(3)), so they are declared here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

from ikectl.errors import BackendError

LIBRARY = "libpam.so.0"
MAX_PROMPTS = 32
"""In one call of the conversation: PAM_MAX_NUM_MSG of _pam_types.h."""


class Style(IntEnum):
    """Of a message of the conversation."""

    HIDDEN = 1
    VISIBLE = 2
    ERROR = 3
    INFO = 4


class Result(IntEnum):
    """Return values that mean something here."""

    SUCCESS = 0
    OPEN_ERR = 1
    SYMBOL_ERR = 2
    SERVICE_ERR = 3
    SYSTEM_ERR = 4
    BUF_ERR = 5
    PERM_DENIED = 6
    AUTH_ERR = 7
    AUTHINFO_UNAVAIL = 9
    USER_UNKNOWN = 10
    MAXTRIES = 11
    NEW_AUTHTOK_REQD = 12
    ACCT_EXPIRED = 13
    CRED_EXPIRED = 16
    CONV_ERR = 19
    ABORT = 26
    AUTHTOK_EXPIRED = 27
    MODULE_UNKNOWN = 28


BROKEN = frozenset(
    (Result.OPEN_ERR, Result.SYMBOL_ERR, Result.SERVICE_ERR, Result.BUF_ERR, Result.ABORT, Result.MODULE_UNKNOWN)
)
"""PAM itself does not work; nothing is said about the user. SYSTEM_ERR and AUTHINFO_UNAVAIL are not among them:
pam_exec says the one of a wrong password, others say either of a user they cannot judge, and guessing must be slow."""
HOPELESS = frozenset(
    (
        Result.PERM_DENIED,
        Result.MAXTRIES,
        Result.NEW_AUTHTOK_REQD,
        Result.ACCT_EXPIRED,
        Result.CRED_EXPIRED,
        Result.CONV_ERR,
        Result.AUTHTOK_EXPIRED,
    )
)
"""The user may not log in, whatever it types."""

_USER, _TTY, _RHOST, _FAIL_DELAY = 2, 3, 4, 10  # pam_set_item(3)
_DISALLOW_NULL_AUTHTOK = 0x0001

Converse = Callable[[int, str], bytes | None]
"""(style, message) -> the reply to a prompt; None breaks the conversation off. Must not raise."""


class Outcome(NamedTuple):
    """What PAM says of a user."""

    code: int
    text: str
    """What `code` means, in libpam's words."""
    user: str
    """Its name as the modules left it."""


class _Message(ctypes.Structure):
    _fields_ = [("style", c_int), ("text", c_char_p)]


class _Response(ctypes.Structure):
    _fields_ = [("text", c_void_p), ("unused", c_int)]


_Talk = ctypes.CFUNCTYPE(c_int, c_int, POINTER(POINTER(_Message)), POINTER(POINTER(_Response)), c_void_p)
_Delay = ctypes.CFUNCTYPE(None, c_int, c_uint, c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = [("talk", _Talk), ("data", c_void_p)]


class _Libraries(NamedTuple):
    pam: ctypes.CDLL
    c: ctypes.CDLL
    no_delay: Any
    """Wrong passwords are answered late, but not by letting a thread sleep."""


@cache
def _libraries() -> _Libraries:
    """Loaded when first needed: a host without PAM can do without it. Raises BackendError."""
    try:
        pam, c = ctypes.CDLL(LIBRARY), ctypes.CDLL(None)
    except OSError:
        raise BackendError(f"{LIBRARY} is not installed (Debian: apt install libpam0g)") from None
    c.calloc.restype, c.calloc.argtypes = c_void_p, (c_size_t, c_size_t)
    c.strdup.restype, c.strdup.argtypes = c_void_p, (c_char_p,)
    c.free.restype, c.free.argtypes = None, (c_void_p,)
    pam.pam_start_confdir.argtypes = (c_char_p, c_char_p, POINTER(_Conversation), c_char_p, POINTER(c_void_p))
    pam.pam_set_item.argtypes = (c_void_p, c_int, c_void_p)
    pam.pam_get_item.argtypes = (c_void_p, c_int, POINTER(c_char_p))
    pam.pam_authenticate.argtypes = pam.pam_acct_mgmt.argtypes = pam.pam_end.argtypes = (c_void_p, c_int)
    pam.pam_strerror.restype, pam.pam_strerror.argtypes = c_char_p, (c_void_p, c_int)
    return _Libraries(pam, c, _Delay(lambda result, microseconds, data: None))


def authenticate(service: str, user: str, host: str, converse: Converse, confdir: str | None = None) -> Outcome:
    """Runs the service's `auth` and `account` stacks for `user` from `host`.

    `converse` is called in this thread for every message. `confdir` replaces
    /etc/pam.d. Raises BackendError when libpam cannot begin.
    """
    pam, _, no_delay = _libraries()
    conversation = _Conversation(_Talk(_talker(converse)), None)
    handle = c_void_p()
    where = confdir.encode() if confdir is not None else None
    code = pam.pam_start_confdir(service.encode(), user.encode(), byref(conversation), where, byref(handle))
    if code != Result.SUCCESS:
        raise BackendError(f"PAM does not begin (error {code})")
    try:
        for item, text in ((_TTY, service), (_RHOST, host)):
            pam.pam_set_item(handle, item, ctypes.cast(c_char_p(text.encode()), c_void_p))
        pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(no_delay, c_void_p))
        code = pam.pam_authenticate(handle, _DISALLOW_NULL_AUTHTOK)
        if code == Result.SUCCESS:
            code = pam.pam_acct_mgmt(handle, _DISALLOW_NULL_AUTHTOK)
        text = pam.pam_strerror(handle, code).decode(errors="replace")
        return Outcome(code, text, _user(pam, handle) or user)
    finally:
        pam.pam_end(handle, code)


def _user(pam: ctypes.CDLL, handle: c_void_p) -> str:
    name = c_char_p()
    if pam.pam_get_item(handle, _USER, byref(name)) != Result.SUCCESS or name.value is None:
        return ""
    return name.value.decode(errors="replace")


def _talker(converse: Converse) -> Callable[..., int]:
    """pam_conv(3) around `converse`. libpam frees the replies."""
    c = _libraries().c

    def talk(count: int, messages: Any, responses: Any, data: int | None) -> int:
        if not 0 < count <= MAX_PROMPTS:
            return Result.CONV_ERR
        block = c.calloc(count, ctypes.sizeof(_Response))
        if not block:
            return Result.BUF_ERR
        replies = ctypes.cast(block, POINTER(_Response))
        for place in range(count):
            message = messages[place].contents
            reply = converse(message.style, (message.text or b"").decode(errors="replace"))
            if reply is None:
                _free(c, replies, place)
                return Result.CONV_ERR
            if message.style in (Style.HIDDEN, Style.VISIBLE):
                replies[place].text = c.strdup(reply)
        responses[0] = replies
        return Result.SUCCESS

    return talk


def _free(c: ctypes.CDLL, replies: Any, count: int) -> None:
    for place in range(count):
        if replies[place].text:
            c.free(replies[place].text)
    c.free(replies)
