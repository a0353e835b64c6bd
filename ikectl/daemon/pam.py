"""PAM as a backend of logins: each login is a thread in libpam, with its prompts put to the user's end.

The service is `ikectl`, or the profile of `xauth-pam:PROFILE`. A file /etc/pam.d/ikectl for system accounts:

    auth    required  pam_unix.so
    account required  pam_unix.so

Only the `auth` and `account` stacks run; there is no session. The first hidden
prompt gets the password that came with the name, every further one goes to the
user as a challenge.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ikectl.daemon.libpam import BROKEN, HOPELESS, Outcome, Result, Style, authenticate
from ikectl.errors import BackendError
from ikectl.sa.asks import BeginLogin, CheckPassword
from ikectl.sa.logins import Accepted, Challenge, LoginAnswer, PromptKind, Rejected
from ikectl.values.path import site_of
from ikectl.values.secret import Secret

SERVICE = "ikectl"
MAX_LOGINS = 32
"""Threads at most. Libpam cannot be interrupted, so one that hangs counts until it ends."""
MAX_OF_SITE = 8
"""Those of one site (an address, a /64 of IPv6): who never replies to prompts must leave room for others."""
ANSWER_WITHIN = 20.0
"""Seconds PAM has for each step. It may ask servers of its own, which time out earlier."""
REPLY_WITHIN = 120.0
"""Seconds the user has for each prompt: time to look at a token card twice."""
MAX_NOTES = 8
"""Messages of modules that are passed on together."""
_LATE = Rejected(f"no reply to PAM's prompt within {REPLY_WITHIN:.0f} s", final=True)
_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d")

_KINDS = (
    (re.compile(r"\s*(otp-\w+|s/key) \d+ \w+", re.ASCII), PromptKind.OTP),
    (re.compile(r"\bnew pin\b", re.IGNORECASE), PromptKind.NEXT_PIN),
    (re.compile(r"\b(pass|token|card)code\b", re.IGNORECASE), PromptKind.NEXT_PASSCODE),
)
"""What prompts of well-known modules ask for (draft-beaulieu-ike-xauth-02 App. A lets gateways look)."""


def challenge(style: int, prompt: str, notes: str) -> Challenge:
    """How to put a prompt. As a password when in doubt: that is what every client understands (Examples A-1 to A-3)."""
    text = " ".join((notes, prompt.strip())).strip()
    for pattern, kind in _KINDS:
        if found := pattern.search(prompt):
            return Challenge(kind, found[0].strip() if kind is PromptKind.OTP else text)
    return Challenge(PromptKind.ANSWER if style == Style.VISIBLE else PromptKind.PASSWORD, text)


class Pam:
    """The backend. A login's profile names the service whose stacks run, `confdir` replaces /etc/pam.d.

    `random` (octet count -> octets) names dialogues.
    """

    def __init__(self, random: Callable[[int], bytes], confdir: str | None = None) -> None:
        self._random = random
        self._confdir = confdir
        self._room = _Room()
        self._dialogues: dict[bytes, _Dialogue] = {}

    async def begin(self, ask: BeginLogin) -> LoginAnswer:
        return Challenge(PromptKind.PASSWORD)

    async def check(self, ask: CheckPassword) -> LoginAnswer:
        """Raises BackendError when PAM does not work or takes too long."""
        if 0 in ask.password or "\0" in ask.user:
            return Rejected("a name or password with a zero octet")
        if ask.state:
            dialogue = self._dialogues.pop(ask.state, None)
            if dialogue is None:
                return _LATE
            dialogue.reply(ask.password)
        else:
            dialogue = self._start(ask)
        step = await dialogue.step()
        if isinstance(step, Challenge):
            state = step.state = self._random(16)
            self._dialogues[state] = dialogue
            dialogue.ended = lambda: self._dialogues.pop(state, None)
            return step
        return _LATE if dialogue.late else self._judge(step, dialogue.notes, ask.profile or SERVICE)

    def _start(self, ask: CheckPassword) -> _Dialogue:
        site = site_of(ask.remote)
        self._room.enter(site)
        dialogue = _Dialogue(ask.password)

        def run() -> None:
            host, service = str(ipaddress.ip_address(ask.remote)), ask.profile or SERVICE
            outcome: Outcome | BackendError
            try:
                outcome = authenticate(service, ask.user, host, dialogue.converse, self._confdir)
            except BackendError as error:
                outcome = error
            finally:
                self._room.leave(site)
            dialogue.end(outcome)

        threading.Thread(target=run, name="pam", daemon=True).start()
        return dialogue

    def _judge(self, outcome: Outcome, notes: str, service: str) -> LoginAnswer:
        if outcome.code == Result.SUCCESS:
            return Accepted(outcome.user, notes)
        why = f"PAM: {outcome.text}" + (f" ({notes})" if notes else "")
        if self._confdir is None and not any(os.path.exists(f"{path}/{service}") for path in _DIRECTORIES):
            raise BackendError(f"{why}; there is no /etc/pam.d/{service}: it says who may log in")
        if outcome.code in BROKEN:
            raise BackendError(why)
        return Rejected(why, outcome.code in HOPELESS)


class _Room:
    """How many threads there are, for whom. They leave by themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_site: dict[bytes, int] = {}

    def enter(self, site: bytes) -> None:
        """Raises BackendError where there is no room."""
        with self._lock:
            of_site, total = self._by_site.get(site, 0), sum(self._by_site.values())
            if total >= MAX_LOGINS:
                raise BackendError(f"PAM is busy with {total} logins")
            if of_site >= MAX_OF_SITE:
                raise BackendError(f"PAM is busy with {of_site} logins from there")
            self._by_site[site] = of_site + 1

    def leave(self, site: bytes) -> None:
        with self._lock:
            self._by_site[site] -= 1
            if not self._by_site[site]:
                del self._by_site[site]


class _Dialogue:
    """A thread in libpam, and its steps as the event loop sees them."""

    def __init__(self, password: Secret) -> None:
        self._loop = asyncio.get_running_loop()
        self._steps: asyncio.Queue[Challenge | Outcome | BackendError] = asyncio.Queue()
        self._replies: SimpleQueue[Secret] = SimpleQueue()
        self._password: Secret | None = password
        self._given_up = False
        self.late = False
        """The user did not reply in time."""
        self._notes: deque[str] = deque(maxlen=MAX_NOTES)
        self.ended: Callable[[], object] = lambda: None
        """Called in the loop when the thread is done."""

    @property
    def notes(self) -> str:
        """What modules said since the last prompt."""
        said = " ".join(self._notes)
        self._notes.clear()
        return said

    # -- in the event loop

    async def step(self) -> Challenge | Outcome:
        """What libpam comes to next. Raises BackendError."""
        step: Challenge | Outcome | BackendError | None = None
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                step = await self._steps.get()
        except TimeoutError:
            raise BackendError(f"PAM did not answer within {ANSWER_WITHIN:.0f} s") from None
        finally:
            self._given_up = step is None  # nobody waits: its next prompt ends it
        if isinstance(step, BackendError):
            raise step
        return step

    def reply(self, text: Secret) -> None:
        self._replies.put(text)

    # -- in the thread

    def converse(self, style: int, message: str) -> bytes | None:
        """libpam's conversation: informs, takes the password once, then asks the user and waits."""
        if style in (Style.INFO, Style.ERROR):
            self._notes.append(message.strip())
            return b""
        if self._given_up:
            return None
        if style == Style.HIDDEN and self._password is not None:
            password, self._password = self._password, None
            return password
        self._tell(challenge(style, message, self.notes))
        try:
            return self._replies.get(timeout=REPLY_WITHIN)
        except Empty:
            self.late = self._given_up = True
            return None

    def end(self, step: Outcome | BackendError) -> None:
        self._tell(step)
        self._in_loop(lambda: self.ended())

    def _tell(self, step: Challenge | Outcome | BackendError) -> None:
        self._in_loop(lambda: self._steps.put_nowait(step))

    def _in_loop(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop was closed: the daemon ends, and nobody waits any more
            self._given_up = True
