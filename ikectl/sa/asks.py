"""The closed list of questions an exchange may put to the world, and nothing else it may do.

An `Ask[T]` is a small record; `await ask` gives its `T` or raises an
`IkectlError`. Whether it is answered in place (a table of functions) or by
another process, and when, is the shell's matter: the exchange cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from ikectl.config.model import Local, PoolAttribute, Remote
from ikectl.crypto.ke import KePair
from ikectl.crypto.signature import Scheme
from ikectl.iana import v1
from ikectl.iana.v2 import AuthMethod, HashAlgorithm, KeyExchangeMethod, PrfId, Protocol
from ikectl.pki.chain import Peer
from ikectl.pki.signer import Fingerprint, IsakmpSigner, Signer
from ikectl.sa.logins import LoginAnswer, MschapAnswer, PromptKind
from ikectl.sa.tickets import Issued, Opened, Session
from ikectl.sa.tls import TlsSession, TlsTurn
from ikectl.values.identity import Identity
from ikectl.values.path import Path
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.v2.auth_methods import ProofMethod
from ikectl.wire.v2.dns import EncryptedDns

if TYPE_CHECKING:
    from ikectl.sa.child_sa import ChildSa
    from ikectl.sa.sentries import Sentry

T = TypeVar("T")


class Ask(Generic[T]):
    """A question whose answer is a `T`."""

    __slots__ = ()

    def __await__(self) -> Generator[Ask[T], T, T]:
        return (yield self)


# -- key exchange ---------------------------------------------------------


@record
class GenerateKe(Ask[KePair]):
    """An ephemeral key pair, made from `random` (octet count -> octets)."""

    method: KeyExchangeMethod
    random: Callable[[int], bytes]


@record
class CombineKe(Ask[Secret]):
    """The shared secret of our `pair` and the peer's public value (initiator's side).

    Raises PeerMisbehaved for a public value that is not good.
    """

    pair: KePair
    public: bytes


@record
class AnswerKe(Ask[tuple[bytes, Secret]]):
    """(our public value, the shared secret) for the initiator's public value (responder's side).

    Raises PeerMisbehaved for a public value that is not good.
    """

    method: KeyExchangeMethod
    public: bytes
    random: Callable[[int], bytes]


# -- puzzles (RFC 8019) ----------------------------------------------------


class Found(NamedTuple):
    """Keys of a puzzle, and the seconds it took to find them."""

    keys: tuple[bytes, ...]
    seconds: float


@record
class SearchPuzzle(Ask[Found]):
    """Keys whose prf results over `data` end in so many zero bits: up to `wanted`, of `tries` from number `start` on.

    Takes seconds of a processor. Raises BackendError if too many wait for that already.
    """

    prf: PrfId
    data: bytes
    bits: int
    start: int
    tries: int
    wanted: int


# -- credentials ----------------------------------------------------------


@record
class SharedSecret(Ask[Secret]):
    """The pre-shared key for a pair of identities. An end of unknown identity is looked up by its address (packed).

    Raises CredentialError if there is none.
    """

    local_id: Identity
    remote_id: Identity
    local_address: bytes
    remote_address: bytes
    named: bool = False
    """Only a secret that names the peer exactly will do, none that is for anybody or for many."""


@record
class FindPpk(Ask[Secret | None]):
    """The post-quantum pre-shared key of an identity, given as octets (RFC 8784); None if there is none."""

    identity: bytes


@record
class HasPpks(Ask[bool]):
    """Whether any post-quantum pre-shared key is loaded."""


@record
class ChooseKey(Ask[Signer]):
    """Which key, certificate chain and signature scheme to prove ourselves with.

    `authorities` are the SHA-1 hashes of the CERTREQs received (empty: any),
    `hashes` what the peer's SIGNATURE_HASH_ALGORITHMS listed (None: it sent
    none, so the method numbers older than RFC 7427 must serve).
    Raises CredentialError.
    """

    local: Local
    authorities: tuple[bytes, ...]
    hashes: tuple[HashAlgorithm, ...] | None
    methods: frozenset[ProofMethod] | None = None
    """What the peer says it takes (RFC 9593): one of these, if we have any."""


@record
class Sign(Ask[bytes]):
    """A signature over `octets`, in the form `scheme` puts on the wire. Raises CredentialError."""

    key_id: str
    scheme: Scheme
    octets: bytes


@record
class CheckChain(Ask[Peer]):
    """The peer's key, once its chain and identity are good for `remote`. Is the answer `open`, ask CheckRevocation.

    Raises CredentialError (NoTrustPath, Expired, Revoked).
    """

    certificates: tuple[bytes, ...]
    remote: Remote
    identity: Identity
    responses: tuple[bytes, ...] = ()
    """OCSP responses (DER) that the peer sent along (RFC 4806)."""


@record
class CheckRevocation(Ask[None]):
    """That none of the certificates of a good path (DER, leaf to CA) was revoked; may ask servers for seconds.

    To be asked only of a peer that proved to have the leaf's key: who it is
    decides which servers are asked. Raises Revoked, CredentialError.
    """

    path: tuple[bytes, ...]
    remote: Remote


@record
class FetchCertificates(Ask[tuple[bytes, ...]]):
    """The certificate (DER) that a peer named by hash and URL, or those of a bundle (RFC 7296 §3.6).

    The caller has made sure that the configuration allows the URI. Raises BackendError, CredentialError.
    """

    uri: str
    digest: bytes
    """SHA-1 of what is there."""
    bundle: bool


@record
class OwnResponse(Ask[bytes]):
    """A fresh OCSP response (DER) about our own certificate, for the peer; empty if none is to be had.

    May ask the responder that our certificate names, and takes seconds then.
    """

    certificates: tuple[bytes, ...]
    """The leaf (DER) first."""


@record
class Verify(Ask[Scheme]):
    """The scheme by which `data` is a good signature over `octets`. Raises AuthenticationFailed."""

    spki: bytes
    method: AuthMethod
    data: bytes
    octets: bytes
    hashes: tuple[HashAlgorithm, ...]
    """The hash algorithms we announced; others are refused."""


@record
class Authorities(Ask[tuple[bytes, ...]]):
    """SHA-1 hashes of the CA keys we trust for these remote ends, for CERTREQ (RFC 7296 §3.7)."""

    remotes: tuple[Remote, ...]


# -- credentials of IKEv1's phase 1 ----------------------------------------


@record
class ChooseKeyV1(Ask[IsakmpSigner]):
    """Which key and certificate chain to prove ourselves with by `method` (RFC 2409 §5.1 to §5.3).

    `authorities` are the DER names of the CERTREQs received (empty: any).
    With a `fingerprint` only the certificate it is of will do.
    Raises CredentialError.
    """

    local: Local
    authorities: tuple[bytes, ...]
    method: v1.AuthMethod
    fingerprint: Fingerprint | None = None


@record
class UsableMethods(Ask[tuple[v1.AuthMethod, ...]]):
    """Those of `methods` by which we can prove ourselves as `local` wants, given our keys; their order is kept.

    Raises CredentialError if there is none.
    """

    local: Local
    methods: tuple[v1.AuthMethod, ...]


@record
class SignHash(Ask[bytes]):
    """The content of a SIG payload for HASH_I or HASH_R. Raises CredentialError."""

    key_id: str
    method: v1.AuthMethod
    hash: bytes


@record
class VerifyHash(Ask[None]):
    """Whether `data` is a SIG for `hash` by the key of `spki`. Raises AuthenticationFailed."""

    spki: bytes
    method: v1.AuthMethod
    data: bytes
    hash: bytes


@record
class Encrypt(Ask[bytes]):
    """`data` under the RSA key of `spki`. Raises CredentialError if it is no RSA key, or too short for that."""

    spki: bytes
    data: bytes


@record
class Decrypt(Ask[bytes]):
    """What was encrypted to our key. Wrong padding gives other octets, never an error, so that nobody learns of it.

    Raises CredentialError if we do not have the key.
    """

    key_id: str
    data: bytes
    random: Callable[[int], bytes]


@record
class KnownCertificate(Ask[Peer]):
    """The certificate of a peer who sends none: of `remote.certs`, else one loaded here that speaks for it.

    `identity` None: it is not known yet, and `remote` alone must tell.
    Raises CredentialError if there is none, or none that is good for `remote`.
    """

    remote: Remote
    identity: Identity | None


@record
class AuthorityNames(Ask[tuple[bytes, ...]]):
    """DER names of the CAs we trust for these remote ends, for CERTREQ (RFC 2408 §3.10, RFC 4945 §3.2.7)."""

    remotes: tuple[Remote, ...]


# -- users ----------------------------------------------------------------


@record
class BeginLogin(Ask[LoginAnswer]):
    """What `backend` wants of a user who logs in from `remote` (a packed address), first of all.

    `profile` is the backend's matter: a PAM service. Raises BackendError when
    the backend does not work.
    """

    backend: str
    remote: bytes
    profile: str = ""


@record
class CheckPassword(Ask[LoginAnswer]):
    """What `backend` makes of a reply. A wrong one is answered late, so that guessing is slow.

    `password` is what `kind` asked for; for CHAP an octet and the MD5 over it,
    the password and `challenge` (RFC 1994 §4.1). `state` is that of the
    Challenge replied to. Raises BackendError when the backend does not work.
    """

    backend: str
    user: str
    password: Secret
    remote: bytes
    kind: PromptKind
    state: bytes = b""
    challenge: bytes = b""
    profile: str = ""


@record
class UserSecret(Ask[Secret]):
    """The password of a user of ours, to log in elsewhere. Raises CredentialError if there is none."""

    user: str


@record
class UserHash(Ask[Secret]):
    """The NT hash of a user of ours: what MS-CHAPv2 needs of a password. Raises CredentialError if there is none."""

    user: str


@record
class CheckMschap(Ask[MschapAnswer]):
    """Whether `response` is what a user's password makes of both challenges (RFC 2759). A wrong one is answered late.

    `name` is the name that the peer put into the sum, its domain included; it
    is `user` unless the peer writes the two in different ways. `remote` is a
    packed address. Raises BackendError when the backend does not work.
    """

    user: str
    name: bytes
    challenge: bytes
    """Ours, 16 octets."""
    peer_challenge: bytes
    response: bytes
    """24 octets."""
    remote: bytes


@record
class BeginTls(Ask[TlsSession]):
    """A connection of TLS 1.2 or 1.3 in memory.

    `certificates` (DER, the leaf first) with the key `key_id` prove ourselves;
    a client may have none. A server asks for a certificate if `wants` is set;
    a client always does. Raises CredentialError, and BackendError for too
    many at once.
    """

    server: bool
    key_id: str = ""
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    wants: bool = False


@record
class StepTls(Ask[TlsTurn]):
    """What TLS makes of `received`, with `plain` to be said inside once the handshake is complete."""

    session: TlsSession
    received: bytes = b""
    plain: bytes = field(default=b"", repr=False)


@record
class ExportTls(Ask[Secret]):
    """Keying material of a complete handshake (RFC 5705)."""

    session: TlsSession
    label: bytes
    context: bytes | None
    octets: int


@record
class Prompt(Ask[Secret]):
    """What `user` replies to a gateway's `message`. Raises CredentialError if nobody can tell."""

    user: str
    message: str
    kind: PromptKind


# -- session tickets (RFC 5723) --------------------------------------------


@record
class SealTicket(Ask[Issued | None]):
    """A ticket for an IKE SA that stands; None if it would be too long.

    `lifetime` bounds it in seconds, and so does `proof`, the seconds for which the client's proof holds from now on
    if the session does not say itself; 0 is no bound.
    """

    session: Session
    connection: str
    demands: bytes
    lifetime: int
    proof: int


@record
class OpenTicket(Ask[Opened | None]):
    """What a ticket of ours says; None if it is none, expired, or was taken before."""

    octets: bytes


@record
class SpendTicket(Ask[bool]):
    """Let nobody take that ticket any more; whether it was still to be taken."""

    octets: bytes


# -- the kernel -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What a child carried so far."""

    bytes_in: int = 0
    packets_in: int = 0
    bytes_out: int = 0
    packets_out: int = 0
    idle_in_for: float | None = None
    """Seconds since the last packet in; None if there was none."""
    idle_out_for: float | None = None


@record
class AllocSpi(Ask[int]):
    """A fresh inbound SPI for `protocol`, reserved in the kernel. Raises BackendError.

    For IPCOMP it is a CPI: 256 to 61439 (RFC 3173 §3.3).
    """

    protocol: Protocol
    path: Path


@record
class FreeSpi(Ask[None]):
    """Give back an SPI that no child came to use."""

    protocol: Protocol
    path: Path
    spi: int


@record
class InstallChild(Ask[None]):
    """Put the named halves of `child` into the kernel, with companions and policies; all of it or nothing.

    Inbound comes first: the peer may send before our outbound half stands.
    Raises BackendError.
    """

    child: ChildSa
    inbound: bool = True
    outbound: bool = True


@record
class RemoveChild(Ask[None]):
    """Take the named halves of `child` out of the kernel; what is gone already is no error."""

    child: ChildSa
    inbound: bool = True
    outbound: bool = True


@record
class MovePath(Ask[None]):
    """Move both halves of `child` from path `old` to `child.path`. Raises BackendError."""

    child: ChildSa
    old: Path


# -- TCP -------------------------------------------------------------------


@record
class SkipNumbers(Ask[None]):
    """Leave out that many packet numbers in what is sent on `child` (RFC 6311 §5.2).

    Raises BackendError where so many are not left, or the kernel cannot: the child should be replaced.
    """

    child: ChildSa
    packets: int


@record
class OpenStream(Ask[Path]):
    """A TCP connection between these ends, its prefix sent; the same with our port (RFC 9329 §6.1).

    `esp`: children are to go through it, too. Raises BackendError: nobody listens there, or the kernel cannot.
    """

    path: Path
    esp: bool


@record
class CloseStream(Ask[None]):
    """An SA has nothing more to say on it: close it when all was sent, unless another SA is on it.

    One that is gone already is no error.
    """

    path: Path


# -- policies without SAs ----------------------------------------------------


@record
class InstallSentry(Ask[None]):
    """Let these policies stand without an SA; all of them or none. Raises BackendError."""

    sentry: Sentry


@record
class RemoveSentry(Ask[None]):
    """Take these policies away; what is gone already is no error."""

    sentry: Sentry


@record
class QueryUse(Ask[Usage]):
    """What `child` carried so far. Raises BackendError."""

    child: ChildSa


# -- what we give to peers by mode config ----------------------------------


class Provision(NamedTuple):
    """What pools have: addresses of 4 and 16 octets, either or both, and the attributes of all of them."""

    octets: tuple[int, ...]
    attributes: tuple[PoolAttribute, ...]


@record
class DescribePools(Ask[Provision]):
    """What the pools named have to give; one that is not loaded has nothing."""

    pools: tuple[str, ...]


class Leased(NamedTuple):
    """An inner address (packed) out of a pool."""

    pool: str
    address: bytes


@record
class Lease(Ask[Leased]):
    """An inner address for a peer, to be given back with `Release`. Raises NoAddress.

    `identity` is the peer's identity as text, or USER and the user's name
    (`pools.pool`), `octets` 4 or 16 for the family, `wanted` the packed address
    the peer asks for, if any, and `remote` its packed outer address and port.
    """

    pools: tuple[str, ...]
    identity: str
    octets: int
    wanted: bytes = b""
    remote: bytes = b""


@record
class Release(Ask[None]):
    """Give a leased address back; gone already is no error."""

    pool: str
    identity: str
    address: bytes


# -- what a peer's mode config gives us ------------------------------------


@record
class InstallAddress(Ask[None]):
    """Put an inner address of ours on the interface that leads to `remote`. Raises BackendError.

    Whoever installs the same address again shares it; it goes with the last
    `RemoveAddress`. An address that this host has already stays as it is.
    """

    address: bytes
    """Packed, as is `remote`, the peer's outer address."""
    remote: bytes
    prefix: int = 0
    """Bits of the network it is in; 0: a host of its own (32 or 128), which routes nothing else to it."""
    interface: str = ""
    """Another interface to put it on."""


@record
class RemoveAddress(Ask[None]):
    """One fewer needs this address; gone already is no error."""

    address: bytes


@record
class InstallDns(Ask[None]):
    """Let this host ask these name servers (packed addresses). Raises BackendError.

    `owner` names the IKE SA, to tell its servers from those of others; told again, it replaces them.
    Domains that are none are left out.
    """

    owner: str
    servers: tuple[bytes, ...]
    domains: tuple[str, ...] = ()
    """Searched for names without a dot."""
    routes: tuple[str, ...] = ()
    """The only domains whose names the servers are for; empty: for all names."""
    secure: tuple[EncryptedDns, ...] = ()
    """Servers that speak DNS over TLS, the best first: better than `servers` where this host can."""
    sources: tuple[bytes, ...] = ()
    """Addresses of ours from which the servers are reached."""
    narrow: bool = False
    """No names but those of `routes` may be asked there: where a resolver cannot tell them apart it is told nothing."""


@record
class RemoveDns(Ask[None]):
    """`owner` needs its name servers no longer; gone already is no error."""

    owner: str


# -- names and routes -----------------------------------------------------


@record
class Resolve(Ask[tuple[bytes, ...]]):
    """The packed addresses of a host name. Raises BackendError."""

    host: str


@record
class OwnAddresses(Ask[tuple[bytes, ...]]):
    """The packed addresses of this host that others can reach: on interfaces that are up, none of loopback or link."""


@record
class SourceAddress(Ask[bytes]):
    """The packed address the kernel would send from to reach `remote`. Raises BackendError."""

    remote: bytes
