"""Refusals of children in words: of ours for the log, of the peer's for whoever wanted the child."""

from __future__ import annotations

from ikectl.crypto.keywords import format_proposal
from ikectl.errors import NoProposalChosen, Refused, TsUnacceptable
from ikectl.exchange.v2.child import ChildOffer
from ikectl.iana.v2 import NotifyType
from ikectl.sa.events import ChildFailed, ProposalMismatch, TsMismatch
from ikectl.sa.ike_sa import IkeSa
from ikectl.values.selector import TrafficSelector
from ikectl.wire.v2.notify import Notify

MAX_SHOWN = 8
"""Proposals or selectors that a line shows."""

HINTS = {
    NotifyType.TS_UNACCEPTABLE: "compare local_ts and remote_ts with the peer's, mirrored",
    NotifyType.NO_PROPOSAL_CHOSEN: "compare esp_proposals and ah_proposals with the peer's",
    NotifyType.NO_ADDITIONAL_SAS: "the peer allows no more children on this IKE SA; raise its limit there",
    NotifyType.SINGLE_PAIR_REQUIRED: "the peer takes one address at each end for a child: write these in local_ts and "
    "remote_ts, or let packets ask for them (start_action = trap)",
    NotifyType.INTERNAL_ADDRESS_FAILURE: "the peer has no address to give: its pool is empty, or names no such family",
    NotifyType.FAILED_CP_REQUIRED: "the peer wants us to ask for an address: set vips",
    NotifyType.TEMPORARY_FAILURE: "it is busy with this IKE SA, or its kernel refuses; its log tells which",
}


def refusal_text(error: Notify | None, offer: ChildOffer | None = None) -> str:
    """What an operator should look at when the peer refused a child, given what we had asked for."""
    if error is None:
        return "the peer answered without a child and without a reason"
    told = f"the peer answered {error.type}"
    if error.type is NotifyType.TS_UNACCEPTABLE and offer is not None:
        ours, theirs = _list(offer.ts_local), _list(offer.ts_remote)
        return (
            f"{told}: it has no child for {ours} (here) === {theirs} (there); compare local_ts and remote_ts with the "
            f"peer's, mirrored: there local_ts = {theirs} and remote_ts = {ours} would fit"
        )
    if error.type is NotifyType.NO_PROPOSAL_CHOSEN and offer is not None:
        words = ", ".join(dict.fromkeys(format_proposal(proposal) for proposal in offer.offered[:MAX_SHOWN]))
        return (
            f"{told}: it accepts none of our {words}, or not this mode ({offer.config.mode}); compare esp_proposals, "
            "ah_proposals and mode with the peer's"
        )
    hint = HINTS.get(error.type)
    return told + (f": {hint}" if hint else "")


def _list(selectors: tuple[TrafficSelector, ...]) -> str:
    more = " ..." if len(selectors) > MAX_SHOWN else ""
    return " ".join(map(str, selectors[:MAX_SHOWN])) + more


def mismatch(sa: IkeSa, refusal: Refused, child: str = "") -> TsMismatch | ProposalMismatch | ChildFailed:
    """The event that tells operators of our refusal of a child."""
    if isinstance(refusal, NoProposalChosen):
        child = child or refusal.subject
    if isinstance(refusal, TsUnacceptable):
        return TsMismatch(sa, child, str(refusal))
    if refusal.notify is NotifyType.NO_PROPOSAL_CHOSEN:
        return ProposalMismatch(sa, child, str(refusal))
    return ChildFailed(sa, child, str(refusal))
