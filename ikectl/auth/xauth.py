"""XAUTH, the login of a user behind phase 1 (draft-beaulieu-ike-xauth-02), both halves without IO.

A conversation works on lists of attributes: the gateway's REQUEST and the
user's REPLY as often as it takes, then SET with the status, and ACK. Message
ids, identifiers and repeats are the exchange's matter. A login that goes wrong
in any way ends in a Verdict that says no; the reason is for the log alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from hmac import compare_digest
from types import MappingProxyType
from typing import NamedTuple

from ikectl.errors import IkectlError, PeerMisbehaved
from ikectl.iana.v1 import ConfigAttribute, XauthStatus, XauthType, config_attribute, xauth_type
from ikectl.sa.asks import BeginLogin, CheckPassword, Prompt, UserSecret
from ikectl.sa.logins import Accepted, Challenge, LoginAnswer, PromptKind, Rejected
from ikectl.values.record import record
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.v1.attributes import Attribute, number, octets_of

MAX_ROUNDS = 16
"""Requests in one login. The longest dialogue of the draft (Example A-6) takes four, with retries twelve."""
MAX_TRIES = 3
"""Names and passwords a user may try in one login, as with login(1)."""
MAX_OCTETS = 512
"""Of one attribute. PAM takes 512 for a password, RADIUS 128 (RFC 2865 §5.2), and no name or answer is longer."""
MAX_ATTRIBUTES = 32
"""In one message: there are eleven kinds, and some gateways add a few of their own."""
MAX_MESSAGE = 256
"""Characters of a message to the user that we send or repeat."""
CHALLENGE_OCTETS = 16
"""Of a CHAP challenge, as in the draft's Example A-8; nobody may guess it (RFC 1994 §2.3)."""

Random = Callable[[int], bytes]
Attributes = tuple[Attribute, ...]

A = ConfigAttribute
ASKED = frozenset(
    (A.XAUTH_USER_NAME, A.XAUTH_USER_PASSWORD, A.XAUTH_PASSCODE, A.XAUTH_DOMAIN, A.XAUTH_NEXT_PIN, A.XAUTH_ANSWER)
)
"""What a gateway may ask for."""


class Form(NamedTuple):
    """How a prompt looks in attributes."""

    type: XauthType | None
    """None: no XAUTH_TYPE, which stands for generic (§6.2)."""
    asks: tuple[ConfigAttribute, ...]
    """The last one is the proof, the name is not."""
    text: ConfigAttribute = A.XAUTH_MESSAGE
    """Where the text of the challenge goes."""


FORMS: Mapping[PromptKind, Form] = MappingProxyType(
    {
        PromptKind.PASSWORD:      Form(None, (A.XAUTH_USER_NAME, A.XAUTH_USER_PASSWORD)),
        PromptKind.CHAP:          Form(XauthType.RADIUS_CHAP, (A.XAUTH_USER_NAME, A.XAUTH_USER_PASSWORD)),
        PromptKind.OTP_NAME:      Form(XauthType.OTP, (A.XAUTH_USER_NAME,)),
        PromptKind.OTP:           Form(XauthType.OTP, (A.XAUTH_USER_NAME, A.XAUTH_USER_PASSWORD), A.XAUTH_CHALLENGE),
        PromptKind.PASSCODE:      Form(None, (A.XAUTH_USER_NAME, A.XAUTH_PASSCODE)),
        PromptKind.NEXT_PASSCODE: Form(None, (A.XAUTH_USER_NAME, A.XAUTH_PASSCODE)),
        PromptKind.NEXT_PIN:      Form(None, (A.XAUTH_NEXT_PIN,)),
        PromptKind.ANSWER:        Form(None, (A.XAUTH_ANSWER,)),
    }
)  # fmt: skip
"""NEXT_PIN and ANSWER stand alone but for a message (§6.2)."""
RETRIED = frozenset((PromptKind.PASSWORD, PromptKind.PASSCODE))
"""Openings that are put again to who failed: people type these. The others are computed by machines."""
NEEDS_MESSAGE: Mapping[PromptKind, str] = MappingProxyType(
    {PromptKind.ANSWER: "Please answer", PromptKind.NEXT_PIN: "Enter your new PIN"}
)
"""What is said where a message must not be missing (§6.2: ANSWER), or nobody would know what to do."""


@record
class Verdict:
    """How a login ended. `why` is for the log, `message` for the user."""

    success: bool
    user: str = ""
    why: str = ""
    message: str = ""
    gave_up: bool = False
    """The user's end ended the login itself: there is nobody to set a status for (§5)."""

    def attributes(self) -> Attributes:
        """What SET carries: the status, and perhaps a word about it (§6.1)."""
        status = Attribute(A.XAUTH_STATUS, int(XauthStatus.OK if self.success else XauthStatus.FAIL))
        return (status, *_message(self.message))


# -- the gateway --------------------------------------------------------------


class XauthServer:
    """One login, as the gateway asks for it. `begin`, then `take` each reply, until there is a Verdict."""

    __slots__ = (
        "_backend",
        "_challenge",
        "_first",
        "_nonce",
        "_profile",
        "_random",
        "_remote",
        "_rounds",
        "_tried",
        "_tries",
        "_user",
        "refused",
    )

    def __init__(self, backend: str, remote: bytes, random: Random, profile: str = "") -> None:
        """`backend` with its `profile` checks users who come from `remote` (a packed address).

        `random` (octet count -> octets) makes challenges.
        """
        self._backend = backend
        self._profile = profile
        self._remote = remote
        self._random = random
        self._challenge = Challenge(PromptKind.PASSWORD)
        self._first = True
        """Whether the challenge is the first of its try."""
        self._nonce = b""
        self._rounds = 0
        self._tries = 0
        self._user = ""
        self._tried: list[tuple[str, Secret]] = []
        """What was refused already. Programs say it again and again, and some backends lock accounts over that."""
        self.refused = ""
        """Why the last try that came to nothing did, while the user may try again."""

    async def begin(self) -> Attributes | Verdict:
        """The first request."""
        return await self._open("")

    async def take(self, reply: Sequence[Attribute]) -> Attributes | Verdict:
        """The next request, or how the login ended."""
        if any(attribute.type == A.XAUTH_STATUS for attribute in reply):  # can be nothing but FAIL (§6.2)
            why = "the user's end gave up: it cannot answer, or the user does not want to"
            if self.refused:
                why = f"{self.refused}; the user's end did not try again"
            return Verdict(False, self._user, why, gave_up=True)
        try:
            user, proof = self._read(reply)
            return await self._judge(user, proof)
        except IkectlError as error:
            return self._no(str(error))

    async def _open(self, message: str) -> Attributes | Verdict:
        """Begins a try."""
        self._first = True
        self._user = ""
        try:
            return self._next(await BeginLogin(self._backend, self._remote, self._profile), message)
        except IkectlError as error:
            return self._no(str(error))

    async def _judge(self, user: str, proof: Secret) -> Attributes | Verdict:
        opening = self._first and self._challenge.kind in RETRIED
        if opening and any(name == user and compare_digest(old, proof) for name, old in self._tried):
            return self._no("the same name and password again")
        kind, state = self._challenge.kind, self._challenge.state
        answer = await CheckPassword(self._backend, user, proof, self._remote, kind, state, self._nonce, self._profile)
        if isinstance(answer, Rejected):
            self._tries += 1
            if opening:
                self._tried.append((user, proof))
            if opening and not answer.final and self._tries < MAX_TRIES:
                self.refused = answer.why
                return await self._open("Login incorrect, please try again")
            return self._no(answer.why)
        self._first = False
        return self._next(answer, "")

    def _next(self, answer: LoginAnswer, message: str) -> Attributes | Verdict:
        match answer:
            case Accepted(user, text):
                return Verdict(True, user or self._user, message=text)
            case Rejected(why):
                return self._no(why)
            case Challenge():
                self._rounds += 1
                if self._rounds > MAX_ROUNDS:
                    return self._no(f"no end after {MAX_ROUNDS} requests")
                self._challenge = answer
                return self._request(answer, message)

    def _request(self, challenge: Challenge, message: str) -> Attributes:
        form = FORMS[challenge.kind]
        self._nonce = self._random(CHALLENGE_OCTETS) if challenge.kind is PromptKind.CHAP else b""
        parts: list[Attribute] = []
        if form.type is not None:
            parts.append(Attribute(A.XAUTH_TYPE, int(form.type)))
        if form.text == A.XAUTH_CHALLENGE:
            parts.append(Attribute(A.XAUTH_CHALLENGE, challenge.message.encode()))
            parts += _message(message)
        else:
            parts += _message(challenge.message or message or NEEDS_MESSAGE.get(challenge.kind, ""))
        if self._nonce:
            parts.append(Attribute(A.XAUTH_CHALLENGE, self._nonce))
        parts += (Attribute(asked, b"") for asked in form.asks)
        return tuple(parts)

    def _read(self, reply: Sequence[Attribute]) -> tuple[str, Secret]:
        """(the user's name, what proves it). Raises PeerMisbehaved, without a word of what was said."""
        form = FORMS[self._challenge.kind]
        said = _by_kind(reply)
        if A.XAUTH_TYPE in said and number(said[A.XAUTH_TYPE]) != (form.type or XauthType.GENERIC):
            raise PeerMisbehaved("the reply is of another XAUTH type than the request")
        if A.XAUTH_USER_NAME in form.asks:
            user = _name(_text(said, A.XAUTH_USER_NAME))
            if self._user and user != self._user:
                raise PeerMisbehaved("the user's name changed within one login")
            self._user = user
        match form.asks[-1]:
            case A.XAUTH_USER_NAME:
                return self._user, NO_SECRET
            case proof if self._challenge.kind is PromptKind.CHAP:
                return self._user, Secret(_octets(said, proof))
            case proof:
                return self._user, Secret(_text(said, proof))

    def _no(self, why: str) -> Verdict:
        return Verdict(False, self._user, why)


# -- the user's end -----------------------------------------------------------


@record
class Reply:
    """Our reply to a request. `message` is what the gateway says; `failed` why we cannot answer, or empty."""

    attributes: Attributes = field(repr=False)
    message: str = ""
    failed: str = ""


class XauthClient:
    """One login of ours: `take` each request, and `settle` what the gateway sets in the end.

    The configured password is given once. A gateway that asks again wants
    something else, and saying the same could lock the account.
    """

    __slots__ = ("_given", "_random", "_rounds", "_user")

    def __init__(self, user: str, random: Random) -> None:
        """`user` is the name we log in with; `random` makes the identifiers of CHAP."""
        self._user = user
        self._random = random
        self._given = False
        self._rounds = 0

    async def take(self, request: Sequence[Attribute]) -> Reply:
        """Fills in what is asked. What we cannot answer makes the whole reply FAIL (§5, §6.1)."""
        message = ""
        said: Mapping[ConfigAttribute, Attribute] = {}
        try:
            said = _by_kind(request)
            message = _shown(said.get(A.XAUTH_MESSAGE))
            self._rounds += 1
            if self._rounds > MAX_ROUNDS:
                raise PeerMisbehaved(f"no end after {MAX_ROUNDS} requests")
            return Reply(await self._fill(said, message), message)
        except IkectlError as error:
            fail = Attribute(A.XAUTH_STATUS, int(XauthStatus.FAIL))
            type_ = [said[A.XAUTH_TYPE]] if A.XAUTH_TYPE in said else []
            return Reply((*type_, fail), message, str(error))

    def settle(self, attributes: Sequence[Attribute]) -> Verdict:
        """What a SET says of the login. Anything but a clear OK is a no."""
        try:
            said = _by_kind(attributes)
            good = A.XAUTH_STATUS in said and number(said[A.XAUTH_STATUS]) == XauthStatus.OK
        except IkectlError as error:
            return Verdict(False, self._user, str(error))
        message = _shown(said.get(A.XAUTH_MESSAGE))
        if good:
            return Verdict(True, self._user, message=message)
        said_why = f": {message}" if message else ""
        return Verdict(False, self._user, f"the gateway refused user {self._user!r}{said_why}", message)

    async def _fill(self, said: Mapping[ConfigAttribute, Attribute], message: str) -> Attributes:
        type_ = said.get(A.XAUTH_TYPE)
        kind = xauth_type(number(type_)) if type_ is not None else XauthType.GENERIC
        challenge = _raw(said[A.XAUTH_CHALLENGE]) if A.XAUTH_CHALLENGE in said else b""
        if kind not in (XauthType.GENERIC, XauthType.RADIUS_CHAP, XauthType.OTP, XauthType.SKEY):
            raise PeerMisbehaved(f"the gateway asks for authentication of XAUTH type {kind}, which nobody knows here")
        if kind is XauthType.GENERIC and challenge:
            raise PeerMisbehaved("a challenge in a request of the generic XAUTH type (must not be, §6.2)")
        parts = [type_] if type_ is not None else []
        for asked in said:
            if asked in ASKED:
                parts.append(Attribute(asked, bytes(await self._answer(asked, kind, challenge, message))))
        return tuple(parts)

    async def _answer(self, asked: ConfigAttribute, kind: XauthType, challenge: bytes, message: str) -> bytes:
        match asked:
            case A.XAUTH_USER_NAME:
                return self._user.encode()
            case A.XAUTH_DOMAIN:
                domain, backslash, _ = self._user.partition("\\")
                return domain.encode() if backslash else b""
            case A.XAUTH_USER_PASSWORD if kind is XauthType.RADIUS_CHAP:
                return chap(self._random(1)[0], await UserSecret(self._user), challenge)
            case A.XAUTH_USER_PASSWORD if kind is not XauthType.GENERIC:
                return await Prompt(self._user, challenge.decode(errors="replace")[:MAX_MESSAGE], PromptKind.OTP)
            case A.XAUTH_USER_PASSWORD if not self._given:
                self._given = True
                return await UserSecret(self._user)
        first, self._given = not self._given, True
        return await Prompt(self._user, message, self._prompt(asked, first))

    @staticmethod
    def _prompt(asked: ConfigAttribute, first: bool) -> PromptKind:
        if asked == A.XAUTH_PASSCODE:
            return PromptKind.PASSCODE if first else PromptKind.NEXT_PASSCODE
        kinds = {A.XAUTH_USER_PASSWORD: PromptKind.PASSWORD, A.XAUTH_NEXT_PIN: PromptKind.NEXT_PIN}
        return kinds.get(asked, PromptKind.ANSWER)


# -- both ---------------------------------------------------------------------


def chap(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """What takes the password's place with RADIUS-CHAP: the identifier and MD5(identifier, secret, challenge).

    Raises PeerMisbehaved without a challenge (RFC 1994 §4.1: it must be there).
    """
    if not challenge:
        raise PeerMisbehaved("RADIUS-CHAP without a challenge")
    octet = bytes((identifier,))
    return octet + hashlib.md5(octet + secret + challenge, usedforsecurity=False).digest()


def _by_kind(attributes: Sequence[Attribute]) -> dict[ConfigAttribute, Attribute]:
    """The attributes of XAUTH by their kind; others are left out. Raises PeerMisbehaved, showing no value."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise PeerMisbehaved(f"{len(attributes)} attributes in one message of XAUTH")
    found: dict[ConfigAttribute, Attribute] = {}
    for attribute in attributes:
        kind = config_attribute(attribute.type)
        if not kind.is_xauth:
            continue
        if kind in found:
            raise PeerMisbehaved(f"{kind} twice in one message")
        if isinstance(attribute.value, bytes) and len(attribute.value) > MAX_OCTETS:
            raise PeerMisbehaved(f"{kind} of {len(attribute.value)} octets; {MAX_OCTETS} are the most")
        found[kind] = attribute
    return found


def _raw(attribute: Attribute) -> bytes:
    """The octets a request gives. In basic form, which some ask in, it gives none."""
    return attribute.value if isinstance(attribute.value, bytes) else b""


def _octets(said: Mapping[ConfigAttribute, Attribute], kind: ConfigAttribute) -> bytes:
    attribute = said.get(kind)
    value = octets_of(attribute) if attribute is not None else b""
    if not value:
        raise PeerMisbehaved(f"the reply has no {kind}")
    return value


def _text(said: Mapping[ConfigAttribute, Attribute], kind: ConfigAttribute) -> bytes:
    """What was said, without the zero octet that some clients end strings with (§6.2: need not be there)."""
    value = _octets(said, kind).removesuffix(b"\0")
    if not value:
        raise PeerMisbehaved(f"the reply has an empty {kind}")
    return value


def _name(octets: bytes) -> str:
    """A user's name that may stand in a log. Raises PeerMisbehaved."""
    try:
        name = octets.decode()
    except UnicodeDecodeError:
        raise PeerMisbehaved("the user's name is not UTF-8") from None
    if not name.isprintable():
        raise PeerMisbehaved("the user's name has characters that cannot be printed")
    return name


def _message(text: str) -> list[Attribute]:
    return [Attribute(A.XAUTH_MESSAGE, text[:MAX_MESSAGE].encode())] if text else []


def _shown(attribute: Attribute | None) -> str:
    """A gateway's message as it may be shown: it comes from outside."""
    text = _raw(attribute).decode(errors="replace") if attribute is not None else ""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:MAX_MESSAGE]


__all__ = ["Reply", "Verdict", "XauthClient", "XauthServer", "chap"]
