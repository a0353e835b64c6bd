"""Refusals of children in words: of ours for the log, of the peer's for whoever wanted the child."""

from __future__ import annotations

from ikectl.errors import Refused, TsUnacceptable
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import ChildFailed, ProposalMismatch, TsMismatch
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.v2.notify import Notify


def refusal_text(error: Notify | None) -> str:
    """What an operator should look at when the peer refused a child."""
    if error is None:
        return "the peer answered without a child and without a reason"
    hints = {
        NotifyType.TS_UNACCEPTABLE: "compare local_ts and remote_ts with the peer's, mirrored",
        NotifyType.NO_PROPOSAL_CHOSEN: "compare esp_proposals and ah_proposals with the peer's",
        NotifyType.NO_ADDITIONAL_SAS: "the peer allows no more children on this IKE SA; raise its limit there",
        NotifyType.SINGLE_PAIR_REQUIRED: "the peer takes one address at each end for a child: write these in "
        "local_ts and remote_ts, or let packets ask for them (start_action = trap)",
        NotifyType.INTERNAL_ADDRESS_FAILURE: "the peer has no address to give",
        NotifyType.FAILED_CP_REQUIRED: "the peer wants us to ask for an address",
    }
    hint = hints.get(error.type)
    return f"the peer answered {error.type}" + (f": {hint}" if hint else "")


def mismatch(sa: IkeSa, refusal: Refused, child: str = "") -> TsMismatch | ProposalMismatch | ChildFailed:
    """The event that tells operators of our refusal of a child."""
    if isinstance(refusal, TsUnacceptable):
        return TsMismatch(sa, child, str(refusal))
    if refusal.notify is NotifyType.NO_PROPOSAL_CHOSEN:
        return ProposalMismatch(sa, child, str(refusal))
    return ChildFailed(sa, child, str(refusal))
