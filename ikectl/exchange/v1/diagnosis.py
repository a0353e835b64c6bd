"""What the peer's refusal, or its silence, most likely means.

In IKEv1 a peer says no with one word that names no reason, often in clear,
or it says nothing. What we had said ourselves, and how far the two got, tells
the rest: what was offered, which end was to prove what, and what could not
pass on the way. The texts are for the operator, and hold no secret.
"""

from __future__ import annotations

from collections.abc import Sequence

from ikectl.config.model import AuthKind, Child, Connection, Fragmentation
from ikectl.crypto.proposal_v1 import in_words
from ikectl.iana.v1 import NotifyType, VendorId
from ikectl.sa.association import IkeState
from ikectl.sa.isakmp_sa import IsakmpSa
from ikectl.values.selector import TrafficSelector

WHOLE_OCTETS = 1232
"""A longer message in one datagram may be cut by IP on its way, and many firewalls drop what is cut."""
MAX_NAMED = 4
"""Proposals and words of the peer that a text repeats."""

_N = NotifyType

# fmt: off
UNREADABLE = frozenset((_N.PAYLOAD_MALFORMED, _N.INVALID_PAYLOAD_TYPE, _N.UNEQUAL_PAYLOAD_LENGTHS,
                        _N.INVALID_HASH_INFORMATION, _N.INVALID_FLAGS))
CERTIFICATES = frozenset((_N.INVALID_CERT_ENCODING, _N.INVALID_CERTIFICATE, _N.CERT_TYPE_UNSUPPORTED,
                          _N.INVALID_CERT_AUTHORITY, _N.CERTIFICATE_UNAVAILABLE, _N.INVALID_SIGNATURE))
# fmt: on


# -- what was configured, in the words of the configuration -----------------------


def proposals_of(connection: Connection) -> str:
    """What phase 1 offers: `aes256-sha256-modp2048, ...`."""
    return _some([word for proposal in connection.proposals if (word := in_words(proposal))])


def proofs_of(connection: Connection) -> str:
    """How both ends are to prove themselves: `psk`, `pubkey here and psk there, then XAUTH of the peer's user`."""
    ours, theirs = connection.local[0].auth.kind, connection.remote[0].auth.kind
    text = str(ours.value) if ours is theirs else f"{ours.value} here and {theirs.value} there"
    if AuthKind.XAUTH in (ours, theirs):
        return f"{text} (hybrid)"
    if connection.xauth_client is not None:
        return f"{text}, then XAUTH of our user"
    return f"{text}, then XAUTH of the peer's user" if connection.xauth_server is not None else text


def terms_of(config: Child) -> str:
    """What a child offers: `ESP aes256-sha256 in tunnel mode`."""
    kinds = (("ESP", config.esp_proposals), ("AH", config.ah_proposals))
    words = [f"{kind} {_some([in_words(each) for each in found])}" for kind, found in kinds if found]
    more = " with IPComp" if config.ipcomp else ""
    return f"{(' and ' if config.bundle else ' or ').join(words)} in {config.mode.value} mode{more}"


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return ", ".join(words[:MAX_NAMED]) + more


def mode_name(sa: IsakmpSa) -> str:
    """The mode that our phase 1 takes."""
    return "aggressive mode" if sa.connection is not None and sa.connection.aggressive else "main mode"


def _us(sa: IsakmpSa) -> str:
    """Who we are, as far as that was settled."""
    return f"that we are {str(sa.local_id)!r}" if sa.local_id is not None else "our identity"


def _uses_psk(sa: IsakmpSa) -> bool:
    return sa.connection is not None and sa.connection.local[0].auth.kind is AuthKind.PSK


# -- refusals -------------------------------------------------------------------------


def refused(types: Sequence[NotifyType], sa: IsakmpSa, hint: str = "") -> str:
    """What the peer said; `hint`, else what that means for phase 1, behind it."""
    said = ", ".join(str(kind) for kind in types[:MAX_NAMED])
    hint = hint or next((text for kind in types if (text := _of_phase1(kind, sa))), "")
    return f"the peer answered {said}" + (f": {hint}" if hint else "")


def _of_phase1(kind: NotifyType, sa: IsakmpSa) -> str:
    connection = sa.connection
    if connection is None:
        return ""
    if kind is _N.NO_PROPOSAL_CHOSEN:
        return (
            f"it takes none of our {proposals_of(connection)} with {proofs_of(connection)} in {mode_name(sa)}, or has "
            f"no IKEv1 connection for {sa.path.local.host}; compare proposals, auth, aggressive and version of both "
            "ends: its log names what differs"
        )
    if kind is _N.AUTHENTICATION_FAILED:
        return _unproven(sa)
    if kind is _N.INVALID_ID_INFORMATION:
        return f"it does not accept {_us(sa)}: compare local.id here with what it expects"
    if kind in UNREADABLE and _uses_psk(sa):
        return "most likely the pre-shared keys differ: compare the secrets of both ends"
    if kind in CERTIFICATES:
        return "it does not accept our certificate or signature: compare its trusted CA with the issuer of ours"
    return _OTHERS.get(kind, "")


def _unproven(sa: IsakmpSa) -> str:
    if sa.state is not IkeState.CONNECTING or sa.keys is not None:
        return f"it does not accept {_us(sa)}, or our proof of it; its log says why"
    if not sa.initiator:
        return "it lacks the secret or certificate for its own part, or does not accept ours; its log says which"
    if not _uses_psk(sa):
        return "it lacks a certificate or key for its own part, or does not accept ours; its log says which"
    whom = f"{str(sa.local_id)!r}" if mode_name(sa) == "aggressive mode" else sa.path.local.host
    return f"it does not know {whom}, or has no pre-shared key for it; its log says which"


_OTHERS: dict[NotifyType, str] = {
    _N.INVALID_KEY_INFORMATION: "it does not accept our key exchange group: compare the groups in proposals",
    _N.INVALID_MAJOR_VERSION: "it does not speak IKEv1: set version = 2",
    _N.INVALID_EXCHANGE_TYPE: "it does not take our mode: main mode and aggressive mode must be the same at both ends",
    _N.UNSUPPORTED_EXCHANGE_TYPE: "it does not take our mode: compare aggressive at both ends",
    _N.INVALID_COOKIE: "it does not know this IKE SA any more",
    _N.DOI_NOT_SUPPORTED: "it speaks no IPsec",
    _N.SITUATION_NOT_SUPPORTED: "it wants security labels, which are not spoken here",
}


def child_refused(
    types: Sequence[NotifyType], sa: IsakmpSa, config: Child, asked: tuple[TrafficSelector, TrafficSelector] | None
) -> str:
    """What the peer's no to a quick mode of ours means."""
    hint = ""
    if _N.NO_PROPOSAL_CHOSEN in types:
        hint = (
            f"it does not take our {terms_of(config)}: compare esp_proposals, ah_proposals (a group in them is PFS), "
            "mode and ipcomp of both ends; its log names what differs"
        )
    elif _N.INVALID_ID_INFORMATION in types:
        pair = f"{asked[0]} === {asked[1]}" if asked is not None else "traffic selectors"
        hint = f"it has no child for our {pair}: its local_ts must be our remote_ts and the other way round, and equal"
    elif _N.INVALID_KEY_INFORMATION in types:
        hint = "compare the PFS group in esp_proposals of both ends"
    return refused(types, sa, hint)


# -- silence -----------------------------------------------------------------------------


def too_long(sa: IsakmpSa, octets: int) -> str:
    """A hint where the longest datagram of our message may not pass; empty where it will."""
    if octets <= WHOLE_OCTETS:
        return ""
    connection = sa.connection
    force = "fragmentation = force here"
    if connection is not None and connection.fragmentation is not Fragmentation.NO:
        said = VendorId.FRAGMENTATION in sa.peer
        force = f"the peer announced {'its' if said else 'no'} IKE fragmentation; {force}"
    return f"it has {octets} octets, and firewalls may drop what IP cuts ({force})"


def no_first_answer(sa: IsakmpSa) -> str:
    """Nothing came back at all."""
    mode, remote = mode_name(sa), sa.path.remote
    who = f"our identity {str(sa.local_id)!r}" if mode == "aggressive mode" else f"our address {sa.path.local.host}"
    return (
        f"the peer does not answer message 1 of {mode}: nothing came back from {remote}; check the address, that the "
        f"peer runs, and UDP {remote.port} both ways; some peers keep silent where they have no connection for {who} "
        f"or do not allow {mode}"
    )


def no_fourth(sa: IsakmpSa, octets: int) -> str:
    """Message 2 of main mode came, 4 does not."""
    missing = "pre-shared key for our address " + sa.path.local.host if _uses_psk(sa) else "key or certificate for us"
    reasons = [reason for reason in (too_long(sa, octets), f"it may have no {missing}, which its log says") if reason]
    return (
        f"the peer does not answer message 3 of main mode: {sa.path.remote} took our proposal, so the way is open; "
        + "; ".join(reasons)
    )


def no_sixth(sa: IsakmpSa, octets: int) -> str:
    """Message 4 of main mode came, 6 does not."""
    reasons = []
    if sa.path.remote.port != sa.env.settings.ike_port:
        nat = "there is a NAT, and " if sa.nat.found else ""
        reasons.append(f"{nat}this message is the first to UDP {sa.path.remote.port}, which must pass both ways")
    reasons.append(too_long(sa, octets))
    if _uses_psk(sa):
        reasons.append("most likely it cannot read it because the pre-shared keys differ")
    else:
        reasons.append("its own certificate may make message 6 too long for the way (fragmentation there)")
    reasons.append(f"or it does not accept {_us(sa)}; its log says which")
    return f"the peer does not answer message 5 of main mode: {'; '.join(filter(None, reasons))}"


def stopped(sa: IsakmpSa, step: int) -> str:
    """Responder: the initiator says no more after our message `step`."""
    remote, port = sa.path.remote, sa.env.settings.natt_port
    if mode_name(sa) == "aggressive mode" and step == 2 and sa.keys is not None:
        why = f"it does not accept {_us(sa)} or our proof, which its log says, or our answer or its message 3 is lost"
        return f"the peer did not go on after message 2 of aggressive mode: {why}"
    if step == 2:
        why = f"our answer does not reach {remote}, or it does not like what we chose; its log says which"
        return f"the peer did not go on after message 2 of main mode: {why}"
    reasons = []
    if sa.nat.found:
        reasons.append(f"there is a NAT, so its message 5 comes to UDP {port}, which must pass both ways")
    if not _uses_psk(sa):
        reasons.append("message 5 with its certificate may be too long for the way (fragmentation there)")
    reasons.append("it may lack a secret or certificate for us, which its log says")
    return f"the peer did not go on after message 4 of main mode: {'; '.join(reasons)}"


def child_unanswered(sa: IsakmpSa, config: Child, asked: tuple[TrafficSelector, TrafficSelector] | None) -> str:
    """No word to a quick mode of ours."""
    pair = f" for {asked[0]} === {asked[1]}" if asked is not None else ""
    return (
        f"the peer does not answer child {config.name}: phase 1 stands, so the way was open; it has forgotten the IKE "
        f"SA, or keeps silent where it does not take our {terms_of(config)}{pair}: compare both with its configuration"
    )
