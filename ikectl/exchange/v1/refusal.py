"""What a refusal says in IKEv1 (RFC 2408 §3.14.1, §5.4 to §5.15)."""

from __future__ import annotations

from ikectl.errors import (
    AuthenticationFailed,
    CredentialError,
    DoiNotSupported,
    IkectlError,
    InvalidKe,
    NoProposalChosen,
    PeerMisbehaved,
    SituationNotSupported,
    TsUnacceptable,
    WireError,
)
from ikectl.iana.v1 import NotifyType
from ikectl.wire.v1.notify import Notify

# fmt: off
WORDS: tuple[tuple[type[IkectlError], NotifyType], ...] = (
    (DoiNotSupported,       NotifyType.DOI_NOT_SUPPORTED),
    (SituationNotSupported, NotifyType.SITUATION_NOT_SUPPORTED),
    (NoProposalChosen,      NotifyType.NO_PROPOSAL_CHOSEN),
    (TsUnacceptable,        NotifyType.INVALID_ID_INFORMATION),
    (InvalidKe,             NotifyType.INVALID_KEY_INFORMATION),
    (AuthenticationFailed,  NotifyType.AUTHENTICATION_FAILED),
    (CredentialError,       NotifyType.AUTHENTICATION_FAILED),
    (PeerMisbehaved,        NotifyType.PAYLOAD_MALFORMED),
    (WireError,             NotifyType.PAYLOAD_MALFORMED),
)
# fmt: on
"""The first class that fits decides. For what is not here IKEv1 has no word: the peer runs into its timeout."""

EXPLAINED: dict[NotifyType, str] = {
    NotifyType.NO_PROPOSAL_CHOSEN: "compare the proposals with the peer's, and in phase 1 how both ends authenticate",
    NotifyType.INVALID_ID_INFORMATION: "compare local_ts and remote_ts with the peer's: IKEv1 wants them alike",
    NotifyType.AUTHENTICATION_FAILED: "the peer does not accept our identity or proof; its log says why",
    NotifyType.PAYLOAD_MALFORMED: "most likely the pre-shared keys differ",
    NotifyType.INVALID_HASH_INFORMATION: "most likely the pre-shared keys differ",
    NotifyType.INVALID_KEY_INFORMATION: "the peer does not accept our key exchange group",
}
"""What a peer's refusal most likely means."""


def refusal_of(error: IkectlError) -> Notify | None:
    """The notify that tells the peer of a failure; None where there is none."""
    for kind, word in WORDS:
        if isinstance(error, kind):
            return Notify(word)
    return None


def explain(types: list[NotifyType]) -> str:
    """What the peer said, with the next step where one is known."""
    said = ", ".join(str(kind) for kind in types[:4])
    hint = next((EXPLAINED[kind] for kind in types if kind in EXPLAINED), "")
    return f"the peer answered {said}" + (f": {hint}" if hint else "")
