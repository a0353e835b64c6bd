"""What is known of revocation, what to fetch to know more, and what a policy makes of it. Fetches nothing.

`Revocations` holds CRLs and OCSP findings, all of them verified with the key
of the CA concerned. For a path that leads to a trusted CA, and for no other,
`next_query` says what to fetch; `learn` takes the answer, `give_up` a failure;
`settle` judges. Who fetches, and how patiently, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from itertools import pairwise

from ikectl.errors import CredentialError, Revoked
from ikectl.pki import ocsp
from ikectl.pki.certificate import Certificate
from ikectl.pki.crl import Crl, look_up
from ikectl.pki.finding import Finding, Status, instant
from ikectl.pki.recent import Recent
from ikectl.values.record import record

MAX_FETCHED_CRLS = 256
MAX_FETCHED_OCTETS = 64 << 20
"""Of all CRLs that were fetched; the oldest go first."""
MAX_FINDINGS = 4096
"""Certificates whose state is remembered, some 300 octets each and as much again for an OCSP response's DER."""
RETRY_AFTER = timedelta(seconds=60)
"""A source that failed is left alone for this long, so that a dead server delays one handshake and not each."""
MAX_FAILURES = 512


class Strictness(StrEnum):
    """`remote.revocation`, in swanctl's words."""

    STRICT = "strict"
    """Every certificate must be known to be good."""
    IFURI = "ifuri"
    """Likewise, if it or its CA says where that is told."""
    RELAXED = "relaxed"
    """What is revoked is refused, and only that."""


class Kind(Enum):
    """What is fetched."""

    OCSP = "OCSP"
    CRL = "CRL"
    DELTA = "delta CRL"


@record
class Query:
    """Something to fetch: a GET of `uri`, or for OCSP a POST of `body`."""

    kind: Kind
    uri: str
    certificate: Certificate
    issuer: Certificate
    body: bytes = b""
    nonce: bytes = b""
    configured: bool = False
    """Whether the operator named the place, rather than a certificate; only then it may be a file of ours."""

    @property
    def about(self) -> tuple[object, ...]:
        """Two queries that are alike in this have the same answer."""
        if self.kind is Kind.OCSP:
            return self.kind, self.uri, self.issuer.authority, self.certificate.serial
        return self.kind, self.uri, self.issuer.authority


@record
class Sources:
    """Where an authority is configured to tell of revocation, before what its certificates say."""

    crls: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()


@record
class _Told:
    """A finding from OCSP, with the response that it is from."""

    finding: Finding
    der: bytes


class Revocations:
    """All that this host knows of revocation. Not for several threads at once."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[bytes, Sources]] = {}
        """Name of an authority -> hash of its key, its sources."""
        self._signers: dict[str, list[Certificate]] = {}
        """Who loaded it -> OCSP responders trusted for every CA."""
        self._loaded: dict[str, dict[bytes, Crl]] = {}
        """Who loaded it -> CRLs by digest."""
        self._fetched: dict[tuple[object, ...], Crl] = {}
        """By what they were fetched for, the oldest first."""
        self._told: Recent[_Told] = Recent(MAX_FINDINGS)
        self._listed: Recent[Finding] = Recent(MAX_FINDINGS)
        """What CRLs say, so that long ones are not walked through for every handshake."""
        self._failures: Recent[tuple[datetime, str]] = Recent(MAX_FAILURES)
        self._genuine: Recent[bool] = Recent(2 * MAX_FETCHED_CRLS)
        """(digest of a CRL, hash of a CA's key) -> whether that CA made it."""
        self._by_issuer: dict[bytes, list[Crl]] | None = None
        """DER of a name -> CRLs that bear it; None when it is to be made anew."""

    # -- what is configured

    def set_sources(self, name: str, authority: bytes, sources: Sources) -> None:
        """`authority` is the hash of the CA's key; sources of the same name are replaced."""
        self._sources[name] = authority, sources
        self._failures.clear()

    def drop_sources(self, name: str) -> None:
        self._sources.pop(name, None)

    def add_crl(self, octets: bytes, owner: str, origin: str) -> None:
        """A CRL from a file or a client; whose it is shows when it is looked at. Raises CredentialError."""
        crl = Crl.read(octets, origin)
        self._loaded.setdefault(owner, {})[crl.digest] = crl
        self._changed()

    def add_signer(self, signer: Certificate, owner: str) -> None:
        """An OCSP responder that the operator trusts, whoever issued its certificate."""
        self._signers.setdefault(owner, []).append(signer)

    def forget(self, owner: str) -> None:
        """What `owner` loaded."""
        self._loaded.pop(owner, None)
        self._signers.pop(owner, None)
        self._changed()

    def flush(self, kinds: Iterable[Kind] = Kind) -> None:
        """What was fetched or received, and what failed."""
        wanted = set(kinds)
        if Kind.OCSP in wanted:
            self._told.clear()
        if Kind.CRL in wanted:
            self._fetched.clear()
            self._changed()
        self._failures.clear()

    # -- what is held

    def crls(self) -> Iterator[Crl]:
        """Loaded ones first; each once."""
        seen = {crl.digest: crl for held in self._loaded.values() for crl in held.values()}
        seen.update({crl.digest: crl for crl in self._fetched.values()})
        yield from seen.values()

    def signers(self) -> Iterator[Certificate]:
        """OCSP responders that were loaded."""
        yield from dict.fromkeys(signer for held in self._signers.values() for signer in held)

    def responses(self) -> Iterator[bytes]:
        """OCSP responses (DER) that are remembered."""
        yield from (told.der for told in self._told.values())

    # -- what to fetch

    def next_query(
        self, path: Sequence[Certificate], tried: set[tuple[object, ...]], at: datetime, random: Callable[[int], bytes]
    ) -> Query | None:
        """What to fetch next for a path (leaf to anchor) that was found good; None when nothing would help.

        What it gives is in `tried` from then on.
        """
        for certificate, issuer in pairwise(path):
            for query in self._queries(certificate, issuer, at):
                if query.about in tried or self._failed(query, at):
                    continue
                tried.add(query.about)
                if query.kind is Kind.OCSP:
                    query.nonce = random(ocsp.NONCE_OCTETS)
                    query.body = ocsp.request(certificate, issuer, query.nonce)
                return query
        return None

    def own_query(
        self, certificate: Certificate, issuer: Certificate, tried: set[tuple[object, ...]], at: datetime
    ) -> Query | None:
        """OCSP for a certificate of ours, whatever CRLs say of it; as `next_query`, but without a nonce.

        What we pass on is for others, and may be one that the responder made for everybody.
        """
        if self.response(certificate, issuer, at) is not None:
            return None
        for query in self._wanted(certificate, issuer, Kind.OCSP):
            if query.about not in tried and not self._failed(query, at):
                tried.add(query.about)
                query.body = ocsp.request(certificate, issuer, b"")
                return query
        return None

    def _queries(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Iterator[Query]:
        """OCSP first: it is small and young. A CRL serves all certificates of its CA; a delta CRL makes it younger."""
        if not self._settled(certificate, issuer, at):
            yield from self._wanted(certificate, issuer, Kind.OCSP)
            yield from self._wanted(certificate, issuer, Kind.CRL)
        if self.response(certificate, issuer, at) is not None:
            return
        for base in self._genuine_crls(certificate, issuer):
            deltas = dict.fromkeys((*base.deltas, *certificate.pointers.deltas))
            if deltas and not any(delta.completes(base) and at <= delta.until for delta in self._deltas(issuer)):
                yield from (Query(Kind.DELTA, uri, certificate, issuer) for uri in deltas)

    def _wanted(self, certificate: Certificate, issuer: Certificate, kind: Kind) -> Iterator[Query]:
        """Configured places first, as they are meant to help where the certificate's do not."""
        configured = dict.fromkeys(
            uri
            for authority, sources in self._sources.values()
            if authority == issuer.authority
            for uri in (sources.ocsp if kind is Kind.OCSP else sources.crls)
        )
        for uri in configured:
            yield Query(kind, uri, certificate, issuer, configured=True)
        for uri in certificate.pointers.ocsp if kind is Kind.OCSP else certificate.pointers.crls:
            if uri not in configured:
                yield Query(kind, uri, certificate, issuer)

    def _failed(self, query: Query, at: datetime) -> bool:
        failure = self._failures.get(query.about)
        return failure is not None and at < failure[0] + RETRY_AFTER

    # -- answers

    def learn(self, query: Query, answer: bytes | Crl, at: datetime) -> None:
        """Takes what a query brought, if it is genuine: octets, or a CRL that `opened` has read.

        Raises CredentialError, and remembers that.
        """
        try:
            if isinstance(answer, Crl):
                self._keep(query, answer, at)
            elif query.kind is Kind.OCSP:
                self._hear(answer, query.certificate, query.issuer, at, query.uri, query.nonce or None)
            else:
                self._keep(query, opened(query, answer), at)
        except CredentialError as error:
            self.give_up(query, str(error), at)
            raise

    def give_up(self, query: Query, why: str, at: datetime) -> None:
        """The query failed: it is not repeated for a while."""
        self._failures.put(query.about, (at, why))

    def hear(self, octets: bytes, path: Sequence[Certificate], at: datetime) -> bool:
        """An OCSP response that the peer sent itself (RFC 4806); whether it is of use for a certificate of `path`."""
        for certificate, issuer in pairwise(path):
            try:
                self._hear(octets, certificate, issuer, at, "the peer", None)
                return True
            except CredentialError:
                continue
        return False

    def _hear(
        self,
        octets: bytes,
        certificate: Certificate,
        issuer: Certificate,
        at: datetime,
        origin: str,
        nonce: bytes | None,
    ) -> None:
        def revoked(signer: Certificate) -> bool:
            listed = self._by_crl(signer, issuer, at)
            return listed is not None and listed.status is Status.REVOKED

        finding = ocsp.judge(
            octets, certificate, issuer, at, nonce=nonce, origin=origin, trusted=self.signers(), revoked=revoked
        )
        known = self._told.get(_name(certificate, issuer))
        if known is None or known.finding.since <= finding.since:
            self._told.put(_name(certificate, issuer), _Told(finding, octets))

    def _keep(self, query: Query, crl: Crl, at: datetime) -> None:
        if (crl.base is not None) is not (query.kind is Kind.DELTA):
            raise CredentialError(f"{query.uri} holds {crl}, where a {query.kind.value} should be")
        if crl.until < at:
            raise CredentialError(f"{crl} is stale since {instant(crl.until)}: its CA must publish a new one")
        known = self._fetched.pop(query.about, None)
        if known is not None and (known.number, known.since) > (crl.number, crl.since):
            crl = known  # an older one, replayed or from a lazy mirror
        self._fetched[query.about] = crl
        self._genuine.put((crl.digest, query.issuer.authority), True)
        self._changed()
        while len(self._fetched) > MAX_FETCHED_CRLS or sum(len(each.der) for each in self._fetched.values()) > (
            MAX_FETCHED_OCTETS
        ):
            del self._fetched[next(iter(self._fetched))]

    # -- judging

    def response(self, certificate: Certificate, issuer: Certificate, at: datetime) -> bytes | None:
        """A fresh OCSP response (DER) about a certificate."""
        told = self._told.get(_name(certificate, issuer))
        return told.der if told is not None and told.finding.fresh(at) else None

    def open(self, path: Sequence[Certificate], strictness: str, at: datetime) -> bool:
        """Whether something is to be fetched before a path (leaf to anchor) can be judged; if not, it was judged.

        Raises:
            Revoked: a certificate of it was revoked.
            CredentialError: what the policy wants is not known, and there is nowhere to ask.
        """
        for certificate, issuer in pairwise(path):
            self._demand_alive(certificate, issuer, at)
        for certificate, issuer in pairwise(path):
            if any(not self._failed(query, at) for query in self._queries(certificate, issuer, at)):
                return True
        self.demand(path, strictness, at)
        return False

    def demand(self, path: Sequence[Certificate], strictness: str, at: datetime) -> None:
        """Judge a path by what is known, when no more is to be had. Raises as `open` does."""
        leaf = path[0]
        if len(path) == 1 and not leaf.self_issued and _refuses(strictness, leaf.pointers.named):
            raise CredentialError(
                f"remote.revocation = {strictness}, but the CA that issued the certificate of {leaf} "
                f"({leaf.issuer}) is not known here; put it into x509ca/"
            )
        for certificate, issuer in pairwise(path):
            finding = self._demand_alive(certificate, issuer, at)
            if finding is None or not finding.fresh(at):
                self._demand_known(certificate, issuer, strictness, at)

    def _demand_alive(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Finding | None:
        finding = self.finding(certificate, issuer, at)
        if finding is not None and finding.status is Status.REVOKED:
            raise Revoked(_obituary(certificate, issuer, finding))
        return finding

    def why_unknown(self, path: Sequence[Certificate], at: datetime) -> list[str]:
        """For each certificate of a path that is not known to be good: which one, and what was tried."""
        return [
            f"{certificate}: {self._story(certificate, issuer, at)}"
            for certificate, issuer in pairwise(path)
            if not self._settled(certificate, issuer, at)
        ]

    def finding(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Finding | None:
        """The word on a certificate, fresh or not; None if there is none.

        What was revoked for good stays so, whatever a slower source says; else the youngest word counts.
        """
        told = self._told.get(_name(certificate, issuer))
        listed = self._by_crl(certificate, issuer, at)
        found = [finding for finding in (told.finding if told else None, listed) if finding is not None]
        return _weightiest(found, at)

    def _settled(self, certificate: Certificate, issuer: Certificate, at: datetime) -> bool:
        finding = self.finding(certificate, issuer, at)
        return finding is not None and (finding.status is Status.REVOKED or finding.fresh(at))

    def _by_crl(self, certificate: Certificate, issuer: Certificate, at: datetime) -> Finding | None:
        about = _name(certificate, issuer)
        known = self._listed.get(about)
        if known is not None and known.fresh(at):
            return known
        deltas = self._deltas(issuer)
        found = [look_up(certificate, crl, deltas, at) for crl in self._genuine_crls(certificate, issuer)]
        finding = _weightiest(found, at)
        if finding is not None:
            self._listed.put(about, finding)
        return finding

    def _genuine_crls(self, certificate: Certificate, issuer: Certificate) -> list[Crl]:
        """Base CRLs of the issuer, made by its key, that cover the certificate."""
        return [crl for crl in self._of(issuer) if crl.base is None and crl.covers(certificate)]

    def _deltas(self, issuer: Certificate) -> list[Crl]:
        return [crl for crl in self._of(issuer) if crl.base is not None]

    def _of(self, issuer: Certificate) -> list[Crl]:
        """Those that bear the issuer's name and were made by its key."""
        if self._by_issuer is None:
            self._by_issuer = {}
            for crl in self.crls():
                self._by_issuer.setdefault(crl.issuer, []).append(crl)
        return [crl for crl in self._by_issuer.get(issuer.subject.data, ()) if self._by(crl, issuer)]

    def _changed(self) -> None:
        self._listed.clear()
        self._by_issuer = None

    def _by(self, crl: Crl, issuer: Certificate) -> bool:
        about = crl.digest, issuer.authority
        genuine = self._genuine.get(about)
        if genuine is None:
            try:
                crl.demand_signed_by(issuer)
                genuine = True
            except CredentialError:
                genuine = False
            self._genuine.put(about, genuine)
        return genuine

    # -- words

    def _demand_known(self, certificate: Certificate, issuer: Certificate, strictness: str, at: datetime) -> None:
        """Raises CredentialError if the policy does not let pass what is not known to be good."""
        named = certificate.pointers.named or any(
            True for kind in (Kind.OCSP, Kind.CRL) for _ in self._wanted(certificate, issuer, kind)
        )
        if _refuses(strictness, named):
            raise CredentialError(
                f"remote.revocation = {strictness}, and nothing tells that the certificate of {certificate} was not "
                f"revoked by {issuer}: {self._story(certificate, issuer, at)}"
            )

    def _story(self, certificate: Certificate, issuer: Certificate, at: datetime) -> str:
        """What was tried, and what to do."""
        tried = []
        finding = self.finding(certificate, issuer, at)
        if finding is not None and not finding.fresh(at):
            tried.append(f"{finding.source} is stale since {instant(finding.until)}")
        for kind in (Kind.OCSP, Kind.CRL):
            for query in self._wanted(certificate, issuer, kind):
                failure = self._failures.get(query.about)
                tried.append(f"{kind.value} at {query.uri}: {failure[1] if failure else 'no answer in time'}")
        if tried:
            return (
                "; ".join(tried)
                + "; make one of these answer, put a fresh CRL into x509crl/, or let revocation be relaxed"
            )
        return (
            "the certificate names no CRL and no OCSP responder; set crl_uris or ocsp_uris in the section "
            "authorities of this CA, or put its CRL into x509crl/"
        )


def opened(query: Query, octets: bytes) -> Crl:
    """The CRL that answers a query, read and proven to be by the issuer. Raises CredentialError.

    With some hundred thousand entries that takes a while. It touches nothing of anybody's, so any thread may do it.
    """
    crl = Crl.read(octets, query.uri)
    crl.demand_signed_by(query.issuer)
    return crl


def _refuses(strictness: str, named: bool) -> bool:
    """Whether a policy refuses what is not known; `named`: there is a place where it is told."""
    return strictness == Strictness.STRICT or (strictness == Strictness.IFURI and named)


def _weightiest(found: Iterable[Finding], at: datetime) -> Finding | None:
    """What was revoked for good; else the youngest of those that still tell something; else what is stale."""

    def weight(finding: Finding) -> tuple[bool, bool, datetime]:
        tells = finding.status is Status.REVOKED or finding.fresh(at)
        return finding.final, tells, finding.since

    return max(found, key=weight, default=None)


def _name(certificate: Certificate, issuer: Certificate) -> tuple[bytes, int]:
    return issuer.authority, certificate.serial


def _obituary(certificate: Certificate, issuer: Certificate, finding: Finding) -> str:
    when = f" on {instant(finding.revoked_at)}" if finding.revoked_at is not None else ""
    why = f" ({finding.reason})" if finding.reason else ""
    return (
        f"the certificate of {certificate} (serial {certificate.serial:x}) was revoked by {issuer}{when}{why}, says "
        f"{finding.source}; its owner needs a new certificate"
    )
