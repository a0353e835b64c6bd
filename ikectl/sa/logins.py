"""Logins of users: what a peer can be asked for, and what checking its answer may come to.

A backend (local secrets, PAM, ...) opens a login by saying what it wants, and
answers each reply with an end or with what it wants next. So one vocabulary
serves XAUTH's generic, CHAP, one-time password and SecurID dialogues
(draft-beaulieu-ike-xauth-02 §5, §6.3, App. A).
"""

from __future__ import annotations

from enum import StrEnum

from ikectl.values.record import record
from ikectl.values.secret import Secret


class PromptKind(StrEnum):
    """What the user is asked for."""

    PASSWORD = "password"
    """Name and password."""
    CHAP = "chap"
    """Name, and the password hidden by a challenge (RFC 1994 §4.1)."""
    OTP_NAME = "otp-name"
    """The name alone, to find the challenge of its one-time passwords."""
    OTP = "otp"
    """Name and the one-time password that a challenge asks for (RFC 2289)."""
    PASSCODE = "passcode"
    """Name and what a token card shows."""
    NEXT_PASSCODE = "next-passcode"
    """Name and the next passcode of a token that is out of step."""
    NEXT_PIN = "next-pin"
    """A new PIN."""
    ANSWER = "answer"
    """Whatever the message asks."""


@record
class Accepted:
    """The user is who it says. `user` is its name as the backend has it, `message` a word for it."""

    user: str
    message: str = ""


@record
class Rejected:
    """The user is not, and `why` is for the log alone. `final`: another try cannot end better."""

    why: str
    final: bool = False


@record
class Challenge:
    """The backend wants more. `message` is shown to the user; for `OTP` it is the challenge itself.

    `state` names the dialogue to the backend, which gets it back with the reply.
    """

    kind: PromptKind
    message: str = ""
    state: bytes = b""


@record
class Keyed:
    """The user knows the password, and both ends have a key of it (MS-CHAPv2)."""

    user: str
    proof: bytes
    """20 octets by which the user's end sees that we know the password (RFC 2759 §8.7)."""
    msk: Secret
    """64 octets."""


LoginAnswer = Accepted | Rejected | Challenge
MschapAnswer = Keyed | Rejected
