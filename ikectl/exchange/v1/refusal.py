"""What a refusal says in IKEv1 (RFC 2408 §3.14.1, §5.4 to §5.15)."""

from __future__ import annotations

from ikectl.errors import (
    AuthenticationFailed,
    BackendError,
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
    (BackendError,          NotifyType.NO_PROPOSAL_CHOSEN),
)
# fmt: on
"""The first class that fits decides. For what is not here IKEv1 has no word: the peer runs into its timeout."""


def refusal_of(error: IkectlError) -> Notify | None:
    """The notify that tells the peer of a failure; None where there is none."""
    for kind, word in WORDS:
        if isinstance(error, kind):
            return Notify(word)
    return None
