"""Phase 1: what main mode and aggressive mode have in common (RFC 2409 §5).

The modes say which message carries what. Here is what the payloads mean: how
an SA is chosen, keys are made, identities are judged, and what stands when
both ends are proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from hmac import compare_digest

from ikectl.auth.methods_v1 import Meaning, Phase1Kind, meaning, offered
from ikectl.auth.v1.base import NONCE_LENGTHS, Authentication, Keying
from ikectl.config.match import for_identities, presumed_peers
from ikectl.config.model import AuthKind, Connection, Fragmentation, Local
from ikectl.crypto.kdf_v1 import derive, hash_i, hash_r, phase1_iv
from ikectl.crypto.proposal_v1 import Lifetime, Phase1Choice, offer_phase1, select_phase1
from ikectl.crypto.signature_v1 import hash_prf
from ikectl.crypto.transforms import KE_BY_METHOD
from ikectl.crypto.transforms_v1 import PHASE1, Phase, life_attributes, said
from ikectl.errors import (
    AuthenticationFailed,
    CredentialError,
    DoiNotSupported,
    NoProposalChosen,
    PeerMisbehaved,
    SituationNotSupported,
)
from ikectl.exchange.v1.natt import FORMS, best_form, suspicion
from ikectl.iana.v1 import (
    FRAGMENTATION_CAPABILITIES,
    IPSEC_DOI,
    SIT_IDENTITY_ONLY,
    VENDOR_OCTETS,
    AuthMethod,
    NotifyType,
    ProtocolId,
    VendorId,
)
from ikectl.iana.v2 import IdType, KeyExchangeMethod
from ikectl.sa.asks import SharedSecret, UsableMethods
from ikectl.sa.association import IkeState
from ikectl.sa.events import IkeUp, Note
from ikectl.sa.isakmp_sa import Awaited, IsakmpSa, Phase1
from ikectl.values.identity import Identity
from ikectl.values.secret import NO_SECRET, Secret
from ikectl.wire.v1.identity import ID
from ikectl.wire.v1.keying import VendorId as Vendor
from ikectl.wire.v1.message import Message
from ikectl.wire.v1.notify import responder_lifetime, responder_lifetime_notify
from ikectl.wire.v1.payload import Payload
from ikectl.wire.v1.sa import SA, Transform

NONCE_OCTETS = 32
MAX_SECRETS = 8
"""Pre-shared keys tried on message 5 of main mode, where several peers may come from one address."""

ANYBODY = Identity(IdType.ANY, b"")
"""Whom we expect while the configuration names nobody and the peer has not spoken."""

PORTS = frozenset({(0, 0), (17, 0), (17, 500), (17, 4500)})
"""Protocol and port of a phase 1 identity (RFC 2407 §4.6.2). 17/4500 is sent behind a NAT, 17/0 by Cisco's VPN 3000."""


# -- the SA ------------------------------------------------------------------------


async def own_methods(connection: Connection, initiator: bool) -> tuple[AuthMethod, ...]:
    """The methods that do what the connection wants and that our keys suit: a number stands for one kind of key.

    Raises CredentialError if a key is wanted and none suits.
    """
    methods = offered(connection, initiator)
    if not methods or not connection.local[0].auth.kind.needs_certificates:
        return methods
    return await UsableMethods(connection.local[0], methods)


def our_offer(connection: Connection, methods: tuple[AuthMethod, ...], *, group: KeyExchangeMethod | None = None) -> SA:
    """Our SA payload. Raises NoProposalChosen if the configuration leaves nothing to offer."""
    if not methods:
        raise NoProposalChosen(
            f"connection {connection.name}: IKEv1 has no method by which the ends prove themselves so; "
            "both sides must use the same kind of auth"
        )
    seconds = connection.isakmp_time + connection.over_time if connection.isakmp_time else 0
    try:
        return offer_phase1(
            connection.proposals, methods, Lifetime(seconds, connection.life_bytes // 1024), group=group
        )
    except ValueError as failure:
        raise NoProposalChosen(str(failure)) from None


def first_of(offer: SA) -> SA:
    """An offer of its first transform alone."""
    proposal = offer.proposals[0]
    return SA((proposal._replace(transforms=proposal.transforms[:1]),))


def check_situation(offer: SA) -> None:
    """Raises DoiNotSupported, SituationNotSupported (RFC 2408 §5.4)."""
    if offer.doi != IPSEC_DOI:
        raise DoiNotSupported(f"the peer speaks of DOI {offer.doi}, which is not IPsec's")
    if offer.situation != SIT_IDENTITY_ONLY:
        raise SituationNotSupported(f"the peer's situation {offer.situation} needs security labels")


async def choose_sa(offer: SA, candidates: Sequence[Connection]) -> tuple[Phase1Choice, tuple[Connection, ...]]:
    """The choice out of the peer's offer, and the candidates that allow it, best first.

    They may be thousands, of which most share proposals and methods: the offer
    is compared with each such pair once.
    Raises DoiNotSupported, SituationNotSupported, NoProposalChosen.
    """
    check_situation(offer)
    usable, lacking = await _methods(candidates)
    kinds = [(id(each.proposals), methods) for each, methods in zip(candidates, usable, strict=True)]
    distinct = {kind: each.proposals for kind, each in zip(kinds, candidates, strict=True) if kind[1]}
    failures: list[tuple[int, str, NoProposalChosen]] = []
    for kind_of, ours in distinct.items():
        try:
            choice = select_phase1(offer, ours, kind_of[1])
        except NoProposalChosen as refusal:
            failures.append((refusal.distance, candidates[kinds.index(kind_of)].name, refusal))
            continue
        allowing = {kind for kind, others in distinct.items() if _allows(choice, others, kind[1])}
        return choice, tuple(each for kind, each in zip(kinds, candidates, strict=True) if kind in allowing)
    if not failures:
        raise NoProposalChosen(lacking or "no connection that speaks IKEv1 is configured for these addresses")
    _, name, nearest = min(failures, key=lambda each: each[0])
    raise NoProposalChosen(f"connection {name}: {nearest}") if len(failures) > 1 else nearest


async def _methods(candidates: Sequence[Connection]) -> tuple[list[tuple[AuthMethod, ...]], str]:
    """What each of them may be answered with; those without a key that suits with nothing, and why that is."""
    known: dict[tuple[Local, tuple[AuthMethod, ...]], tuple[AuthMethod, ...]] = {}
    found, lacking = [], ""
    for connection in candidates:
        methods, local = offered(connection, False), connection.local[0]
        if methods and local.auth.kind.needs_certificates:
            if (local, methods) not in known:
                try:
                    known[local, methods] = await own_methods(connection, False)
                except CredentialError as failure:
                    known[local, methods] = ()
                    lacking = lacking or f"connection {connection.name} cannot prove who we are: {failure}"
            methods = known[local, methods]
        found.append(methods)
    return found, lacking


def _allows(choice: Phase1Choice, configured: object, methods: tuple[AuthMethod, ...]) -> bool:
    if choice.method not in methods:
        return False
    try:
        select_phase1(choice.answer, configured, (choice.method,))  # type: ignore[arg-type]
    except NoProposalChosen:
        return False
    return True


FACTS = (
    "spi_r",
    "suite",
    "method",
    "life_time",
    "life_bytes",
    "keys",
    "last_block",
    "peer",
    "natt",
    "nat",
    "path",
    "local_id",
    "remote_id",
)
"""What a message of phase 1 may change."""


def keep(sa: IsakmpSa) -> Callable[[], None]:
    """What takes the facts back to how they are now, should the message under judgement prove nothing."""
    facts, shake = [(name, getattr(sa, name)) for name in FACTS], copy(sa.handshake)

    def take_back() -> None:
        for name, value in facts:
            setattr(sa, name, value)
        sa.handshake = shake

    return take_back


def take_choice(sa: IsakmpSa, choice: Phase1Choice) -> None:
    """The suite, method and lifetime are facts from now on."""
    sa.suite, sa.method = choice.suite, choice.method
    sa.life_time = choice.lifetime.seconds
    sa.life_bytes = choice.lifetime.kilobytes * 1024


def roles(sa: IsakmpSa) -> Meaning:
    """What the negotiated method means to us."""
    return meaning(sa.method, sa.initiator)


# -- vendor ids ----------------------------------------------------------------------


def vendor_ids(connection: Connection | None) -> list[Payload]:
    """What we announce: that which the peer has to know, and nothing about ourselves."""
    wanted = [*FORMS, VendorId.DPD]
    octets = [VENDOR_OCTETS[each] for each in wanted]
    if connection is not None:
        if connection.xauth_client is not None or connection.xauth_server is not None:
            octets.append(VENDOR_OCTETS[VendorId.XAUTH])
        if connection.pools or connection.vips:
            octets.append(VENDOR_OCTETS[VendorId.UNITY])
        if connection.fragmentation is not Fragmentation.NO:
            octets.append(VENDOR_OCTETS[VendorId.FRAGMENTATION] + FRAGMENTATION_CAPABILITIES)
    return [Vendor(each) for each in octets]


def hear_vendors(sa: IsakmpSa, message: Message) -> None:
    """What the peer announces; none of it is proven, and none of it opens anything."""
    sa.peer |= message.vendors
    sa.natt = best_form(sa.peer)


def hear_more_vendors(sa: IsakmpSa, message: Message) -> None:
    """What the peer announces later: Cisco's IOS says DPD, XAUTH and Unity beside its public value only.

    Forms of NAT traversal count in the first two messages alone, for both ends choose by them (RFC 3947 §3.1).
    """
    sa.peer |= message.vendors


# -- keys ------------------------------------------------------------------------------


def check_keying(sa: IsakmpSa, keying: Keying) -> None:
    """Raises PeerMisbehaved for a nonce or a public value of the wrong length."""
    assert sa.suite is not None
    if len(keying.nonce) not in NONCE_LENGTHS:
        raise PeerMisbehaved(f"a nonce of {len(keying.nonce)} octets; 8 to 256 are legal (RFC 2409 §5)")
    octets = KE_BY_METHOD[sa.suite.ke].initiator_octets
    if len(keying.public) != octets:
        raise PeerMisbehaved(f"a public value of {len(keying.public)} octets; {sa.suite.ke} has {octets}")


async def make_keys(sa: IsakmpSa, method: Authentication) -> None:
    """SKEYID and all that follows from it, and the first IV (RFC 2409 §5, App. B)."""
    shake, suite = sa.handshake, sa.suite
    assert shake is not None and suite is not None
    sa.keys = derive(suite, await method.skeyid(sa), shake.shared, sa.spi_i, sa.spi_r)
    sa.last_block = phase1_iv(suite, shake.public_i, shake.public_r)


def hash_of(sa: IsakmpSa, by_initiator: bool, id_body: bytes) -> bytes:
    """HASH_I or HASH_R, given the body of that end's ID payload (RFC 2409 §5)."""
    shake, suite, keys = sa.handshake, sa.suite, sa.keys
    assert shake is not None and suite is not None and keys is not None
    compute = hash_i if by_initiator else hash_r
    return compute(
        hash_prf(sa.method, suite),
        keys.skeyid,
        shake.public_i,
        shake.public_r,
        sa.spi_i,
        sa.spi_r,
        shake.sa_body,
        id_body,
    )


async def find_secret(sa: IsakmpSa, local_id: Identity, remote_id: Identity, *, named: bool = False) -> Secret:
    """The pre-shared key of two identities; of an unknown one by its address. Raises CredentialError."""
    path = sa.path
    return await SharedSecret(local_id, remote_id, path.local.address, path.remote.address, named)


async def secrets_by_address(sa: IsakmpSa, candidates: Sequence[Connection]) -> tuple[Secret, ...]:
    """The pre-shared keys that may be the peer's, whose identity comes only under their protection.

    RFC 2409 §5.4: in main mode the key is found by address. Several peers may
    share one (a range, a wildcard), so each candidate's key is found by the
    identity that candidate expects too. Raises CredentialError if there is none.
    """
    found: dict[Secret, None] = {}
    refusal = CredentialError("no connection with a pre-shared key fits the peer's address")
    for connection in candidates:
        local_id = connection.local[0].id or Identity.of_address(sa.path.local.address)
        for remote_id in presumed_peers(connection, sa.path.remote.address):
            try:
                found[await find_secret(sa, local_id, remote_id)] = None
                break
            except CredentialError as failure:
                refusal = failure
        if len(found) == MAX_SECRETS:
            break
    if not found:
        raise refusal
    return tuple(found)


# -- identities --------------------------------------------------------------------------


def claimed_identity(payload: ID) -> Identity:
    """Who the peer says it is. Raises PeerMisbehaved for a port that phase 1 does not have (RFC 2407 §4.6.2)."""
    if (payload.protocol, payload.port) not in PORTS:
        raise PeerMisbehaved(
            f"a phase 1 identity with protocol {payload.protocol} and port {payload.port}; 0/0 and 17/500 are legal"
        )
    return payload.identity


async def choose_connection(sa: IsakmpSa, claimed: Identity) -> Connection:
    """The responder's connection for an identity, once it is certain who holds which key.

    Raises AuthenticationFailed.
    """
    shake = sa.handshake
    assert shake is not None
    connection, why = for_identities(shake.candidates, claimed)
    if connection is None:
        raise AuthenticationFailed(why)
    return connection


async def hold_to_secret(sa: IsakmpSa, connection: Connection, claimed: Identity) -> None:
    """The key in use must be the one that belongs to the identity claimed, or who knows any key could be anybody.

    A key that names the peer's address, and no other, serves for whatever
    identity the connection of that very address expects: but not a key that is
    for many, whose holders may share that address behind a NAT.
    Raises AuthenticationFailed.
    """
    shake = sa.handshake
    assert shake is not None and sa.local_id is not None
    if not shake.psk:
        return
    remote = sa.path.remote.address
    bound = any(spec.concrete == remote for spec in connection.remote_addrs)
    named = Identity.of_address(remote)
    for identity, exactly in ((claimed, False), (named, True)) if bound else ((claimed, False),):
        try:
            if compare_digest(await find_secret(sa, sa.local_id, identity, named=exactly), shake.psk):
                return
        except CredentialError:
            continue
    raise AuthenticationFailed(f"the pre-shared key in use is not that of {claimed}")


def uses_psk(connection: Connection) -> bool:
    """Whether both ends prove themselves by a pre-shared key."""
    return connection.local[0].auth.kind is AuthKind.PSK


# -- the end of phase 1 ------------------------------------------------------------------


def hear_lifetime(sa: IsakmpSa, message: Message) -> None:
    """RESPONDER-LIFETIME: the peer ends the SA earlier than we asked (RFC 2407 §4.6.3.1)."""
    seconds = told_seconds(message, PHASE1)
    if seconds and (not sa.life_time or seconds < sa.life_time):
        sa.life_time = seconds
        sa.emit(Note(sa, f"the peer ends the ISAKMP SA after {seconds} seconds"))


def told_seconds(message: Message, phase: Phase) -> int:
    """The seconds of a RESPONDER-LIFETIME; 0 where there is none, or it makes no sense."""
    notify = message.notify(NotifyType.RESPONDER_LIFETIME)
    return 0 if notify is None else said(Transform(0, 0, responder_lifetime(notify)), phase).lifetime.seconds


def finish(sa: IsakmpSa, connection: Connection) -> None:
    """Both ends are proven as far as phase 1 goes; what only it needed is forgotten."""
    assert sa.keys is not None
    sa.connection = connection
    sa.proven = (sa.handshake.arrived if sa.handshake is not None else None) or sa.path
    sa.handshake = None
    sa.keys.skeyid = sa.keys.skeyid_e = NO_SECRET
    about = roles(sa)
    sa.has_proof = about.peer_proves
    if about.peer_logs_in or about.we_log_in:
        sa.move(IkeState.AUTHENTICATING)
        sa.awaited |= {Awaited.XAUTH}
    else:
        establish(sa)


def establish(sa: IsakmpSa) -> None:
    """Nothing is left to prove: the SA stands."""
    sa.awaited -= {Awaited.XAUTH}
    sa.move(IkeState.ESTABLISHED)
    sa.emit(IkeUp(sa))
    if hint := suspicion(sa):
        sa.emit(Note(sa, hint))


def new_phase1(sa: IsakmpSa) -> Phase1:
    """The facts of a phase 1 that begins now."""
    sa.handshake = Phase1()
    sa.move(IkeState.CONNECTING)
    return sa.handshake


def wants_secret(sa: IsakmpSa) -> bool:
    """Whether the negotiated method rests on a pre-shared key."""
    return roles(sa).phase1 is Phase1Kind.PSK


# -- who is who ----------------------------------------------------------------------------


async def identify_initiator(sa: IsakmpSa, method: Authentication) -> None:
    """Before our keys go out: who we are, whom we expect, and the pre-shared key of both. Raises CredentialError."""
    connection, shake = sa.connection, sa.handshake
    assert connection is not None and shake is not None
    sa.local_id = await method.own_identity(sa, connection.local[0])
    sa.remote_id = connection.remote[0].id.identity or ANYBODY
    if wants_secret(sa):
        shake.psk = await find_secret(sa, sa.local_id, sa.remote_id)


def our_id(sa: IsakmpSa) -> ID:
    """Our ID payload."""
    assert sa.local_id is not None
    return ID.of(sa.local_id)


def peers_id(message: Message, method: Authentication, keying: Keying) -> tuple[Identity, bytes]:
    """Who the peer says it is, and the body of its ID payload as the hashes cover it. Raises PeerMisbehaved."""
    if keying.identity is not None:
        return claimed_identity(keying.identity), keying.id_body
    payload = message.one(ID)
    return claimed_identity(payload), message.body_of(payload)


async def judge_responder(
    sa: IsakmpSa, message: Message, method: Authentication, claimed: Identity, id_body: bytes
) -> None:
    """The responder's proof and identity are what the connection wants. Raises AuthenticationFailed."""
    connection = sa.connection
    assert connection is not None
    remote = connection.remote[0]
    if claimed.is_any or not remote.id.match(claimed):
        raise AuthenticationFailed(
            f"the peer says it is {str(claimed)!r}, and remote.id is {remote.id}: let one of them be the other's"
        )
    expected, sa.remote_id = sa.remote_id, claimed
    try:
        await method.verify(sa, message, remote, hash_of(sa, False, id_body))
        if expected != claimed:
            await hold_to_secret(sa, connection, claimed)
    except AuthenticationFailed:
        sa.remote_id = expected
        raise


async def judge_initiator(
    sa: IsakmpSa, message: Message, method: Authentication, claimed: Identity, id_body: bytes
) -> Connection:
    """The connection of an initiator that proved itself. Raises AuthenticationFailed."""
    if claimed.is_any:
        raise AuthenticationFailed("the peer gave an identity of the reserved type 0")
    connection = await choose_connection(sa, claimed)
    sa.remote_id = claimed
    sa.local_id = await method.own_identity(sa, connection.local[0])
    await method.verify(sa, message, connection.remote[0], hash_of(sa, True, id_body))
    await hold_to_secret(sa, connection, claimed)
    return connection


def own_lifetime(sa: IsakmpSa, connection: Connection) -> list[Payload]:
    """RESPONDER-LIFETIME, where we end the SA earlier than the peer asked (RFC 2407 §4.6.3.1)."""
    ours = connection.isakmp_time + connection.over_time if connection.isakmp_time else 0
    if not ours or (sa.life_time and sa.life_time <= ours):
        return []
    attributes = life_attributes(Lifetime(ours), PHASE1)
    return [responder_lifetime_notify(ProtocolId.ISAKMP, sa.spi_i + sa.spi_r, attributes)]
