"""Store: certificates, keys and shared secrets of this host.

Keys never leave it: what goes out is a handle, the hex SHA-1 of the
subjectPublicKey bits, and `sign` takes one back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from ikectl.crypto import signature
from ikectl.crypto.mschapv2 import HASH_OCTETS, nt_hash
from ikectl.crypto.signature import PrivateKey, PublicKey, Scheme
from ikectl.errors import CredentialError
from ikectl.iana.v2 import HashAlgorithm, IdType
from ikectl.pki.certificate import Certificate, is_pem, key_bits, key_digest
from ikectl.pki.chain import MAX_PEER_CERTIFICATES, MAX_SHOWN, Peer, Verdict, build_path, check, listed
from ikectl.pki.constraints import AuthConstraints, Trust, scheme_fits
from ikectl.pki.passwords import Passwords
from ikectl.pki.ppks import Ppks
from ikectl.pki.recent import Recent
from ikectl.pki.revocation import Revocations
from ikectl.pki.shared import SharedSecrets
from ikectl.pki.signer import Signer
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.record import record
from ikectl.values.secret import Secret
from ikectl.wire.v2.auth_methods import ProofMethod

S = TypeVar("S")

MAX_AUTHORITIES = 200
"""CAs named in our CERTREQ: 4 KiB of hashes. More would only fragment the message."""


class Own(Protocol):
    """What a configuration says of our own side: `config.model.Local`."""

    @property
    def id(self) -> Identity | None:
        """Our identity, if it names one."""

    @property
    def certs(self) -> tuple[bytes, ...]:
        """The certificates to choose from, DER; empty: any that speaks for `id`."""

    @property
    def pubkeys(self) -> tuple[bytes, ...]:
        """Raw public keys (SubjectPublicKeyInfo, DER), the first of which is used instead of any certificate."""

    @property
    def auth(self) -> AuthConstraints:
        """The method with its constraints."""


@record
class _Held:
    """A certificate and who loaded it."""

    certificate: Certificate
    ca: set[str]
    plain: set[str]


class Store:
    """The credentials of this host. Not for several threads at once."""

    def __init__(self) -> None:
        self.secrets = SharedSecrets()
        self.passwords = Passwords()
        self.ppks = Ppks()
        self.nt_hashes = Passwords()
        self.revocations = Revocations()
        self._certificates: dict[bytes, _Held] = {}
        self._keys: dict[str, PrivateKey] = {}
        self._bases: dict[str, tuple[bytes, str]] = {}
        """Name of an authority -> DER of its name, where what it issued is published."""
        self._verdicts: Recent[Verdict] = Recent(2048)
        self._signers: Recent[Any] = Recent(256)

    # -- certificates

    def add_certificate(self, octets: bytes, ca: bool = False, owner: str = "") -> Certificate:
        """Adds a certificate, DER or PEM; `ca` makes it one that paths may lead to or through.

        The same certificate may have several owners; it goes with the last of
        them. Raises CredentialError when it cannot be read, or is no CA but
        should be.
        """
        certificate = Certificate.read(octets)
        if ca and not certificate.is_ca:
            raise CredentialError(f"the certificate of {certificate} is not a CA's: its basicConstraints say so")
        held = self._certificates.setdefault(certificate.der, _Held(certificate, set(), set()))
        (held.ca if ca else held.plain).add(owner)
        self._forget()
        return certificate

    def remove_certificates(self, owner: str = "") -> int:
        """How many certificates went because nobody but `owner` had loaded them."""
        gone = 0
        for der, held in tuple(self._certificates.items()):
            held.ca.discard(owner)
            held.plain.discard(owner)
            if not held.ca and not held.plain:
                del self._certificates[der]
                gone += 1
        self._forget()
        return gone

    def certificates(self) -> Iterator[tuple[Certificate, bool, bool]]:
        """(certificate, whether it is held as a CA, whether we have its key) in the order of loading."""
        for held in self._certificates.values():
            yield held.certificate, bool(held.ca), held.certificate.key_id.hex() in self._keys

    def authorities(self, trusts: Sequence[Trust] = ()) -> tuple[bytes, ...]:
        """SHA-1 hashes of the CAs that peers of these configurations may come from (RFC 7296 §3.7)."""
        return tuple(dict.fromkeys(certificate.authority for certificate in self._trusted(trusts)))[:MAX_AUTHORITIES]

    def authority_names(self, trusts: Sequence[Trust] = ()) -> tuple[bytes, ...]:
        """DER names of the CAs that peers of these configurations may come from (RFC 2408 §3.10)."""
        return tuple(dict.fromkeys(ca.subject.data for ca in self._trusted(trusts)))[:MAX_AUTHORITIES]

    def _trusted(self, trusts: Sequence[Trust]) -> Iterable[Certificate]:
        pinned = [der for trust in trusts for der in trust.cacerts]
        if pinned and all(trust.cacerts for trust in trusts):
            return map(Certificate.of_peer, pinned)
        return (*map(Certificate.of_peer, pinned), *self._cas())

    # -- private keys

    def add_key(self, octets: bytes, passphrase: bytes | None = None) -> str:
        """Adds a private key, PEM or DER (PKCS#8, PKCS#1, SEC 1), and returns its handle.

        Raises CredentialError, with nothing of the key in it.
        """
        key = _load_key(octets, passphrase)
        key_id = key_digest(key.public_key()).hex()
        self._keys[key_id] = key
        self._forget()
        return key_id

    def remove_key(self, key_id: str) -> bool:
        """Whether there was such a key."""
        self._forget()
        return self._keys.pop(key_id, None) is not None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Handles in the order of loading."""
        return tuple(self._keys)

    def sign(self, key_id: str, scheme: Scheme, octets: bytes) -> bytes:
        """A signature over `octets` as `scheme` puts it into AUTH. Raises CredentialError."""
        return signature.sign(self.key(key_id), scheme, octets)

    def key(self, key_id: str) -> PrivateKey:
        """The key itself, for what uses it on the spot. Raises CredentialError."""
        key = self._keys.get(key_id)
        if key is None:
            raise CredentialError(f"the private key {key_id} was unloaded")
        return key

    # -- shared secrets

    def add_secret(self, name: str, owners: Iterable[IdentityPattern | Identity], secret: bytes) -> None:
        """Adds a pre-shared key; see `SharedSecrets`. Raises CredentialError for an empty one."""
        self.secrets.add(name, owners, secret)

    def add_password(self, name: str, owners: Iterable[IdentityPattern | Identity], secret: bytes) -> None:
        """Adds a user's password; see `Passwords`. Raises CredentialError."""
        self.passwords.add(name, owners, secret)

    def add_nt_hash(self, name: str, owners: Iterable[IdentityPattern | Identity], hashed: bytes) -> None:
        """Adds the NT hash of a user's password; see `Passwords`. Raises CredentialError."""
        if len(hashed) != HASH_OCTETS:
            raise CredentialError(f"an NT hash has {HASH_OCTETS} octets, not {len(hashed)}")
        self.nt_hashes.add(name, owners, hashed)

    def add_ppk(self, name: str, owners: Iterable[IdentityPattern | Identity], key: bytes) -> None:
        """Adds a post-quantum pre-shared key; see `Ppks`. Raises CredentialError."""
        self.ppks.add(name, owners, key)

    def remove_secret(self, name: str) -> bool:
        """Whether there was one of that name: pre-shared key, post-quantum or not, password or NT hash."""
        gone = [kind.remove(name) for kind in (self.secrets, self.passwords, self.nt_hashes, self.ppks)]
        return any(gone)

    def shared_secret(
        self, local: Identity, remote: Identity, local_address: bytes, remote_address: bytes, named: bool = False
    ) -> Secret:
        """The pre-shared key of two identities; addresses are packed, `named` as in `find`. Raises CredentialError."""
        return self.secrets.find(local, remote, local_address, remote_address, named)

    def password(self, user: str) -> Secret | None:
        """The password of the user of that name, if it is known here."""
        return self.passwords.find(user)

    def nt_hash(self, user: str) -> Secret | None:
        """What MS-CHAPv2 needs of the user's password, if it or its hash is known here."""
        password = self.passwords.find(user)
        return nt_hash(password) if password is not None else self.nt_hashes.find(user)

    def clear(self) -> None:
        """Forget everything."""
        self.secrets.clear()
        self.passwords.clear()
        self.nt_hashes.clear()
        self.ppks.clear()
        self._certificates.clear()
        self._keys.clear()
        self._forget()

    # -- judging peers

    def check(
        self,
        certificates: Sequence[bytes],
        trust: Trust,
        identity: Identity,
        at: datetime,
        responses: Sequence[bytes] = (),
    ) -> Peer:
        """A peer whose chain is good for `identity` at `at` (aware), as far as that is known here.

        A peer that sends no certificate may be known by one from
        `trust.certs` or this store. Good chains are remembered until one of
        their certificates expires or the store changes. `responses` are OCSP
        responses (DER) that it sent along (RFC 4806).

        Raises:
            NoTrustPath, Expired, Revoked, CredentialError: with the reason for the log.
        """
        verdict = self._verdict(certificates, trust, identity, at)
        for response in responses[:MAX_PEER_CERTIFICATES]:
            self.revocations.hear(response, verdict.path, at)
        unsettled = self.revocations.open(verdict.path, trust.revocation, at)
        return Peer(verdict.spki, tuple([certificate.der for certificate in verdict.path]), unsettled)

    def _verdict(self, certificates: Sequence[bytes], trust: Trust, identity: Identity, at: datetime) -> Verdict:
        digest = hashlib.sha256(b"%d %d " % (identity.kind, len(identity.data)) + identity.data)
        for der in certificates[:MAX_PEER_CERTIFICATES]:
            digest.update(b"%d " % len(der) + der)
        about = (
            digest.digest(),
            trust.certs,
            trust.cacerts,
            tuple(trust.auth.chain),
            trust.ca_id,
            trust.cert_policy,
        )
        verdict = self._verdicts.get(about)
        if verdict is None or not verdict.valid_from <= at <= verdict.valid_until:
            verdict = self._judge(certificates, trust, identity, at)
            self._verdicts.put(about, verdict)
        return verdict

    def _judge(self, certificates: Sequence[bytes], trust: Trust, identity: Identity, at: datetime) -> Verdict:
        cas = list(self._cas())
        anchors = [ca for ca in cas if ca.self_issued]
        others = [ca for ca in cas if not ca.self_issued]
        if certificates:
            return check(certificates, trust, identity, at, anchors=anchors, intermediates=others)
        refusal = CredentialError(f"{identity} sent no certificate, and none is known here")
        for der in trust.certs or self._speaking_for(identity):
            try:
                return check((der,), trust, identity, at, anchors=anchors, intermediates=others)
            except CredentialError as error:
                refusal = error
        raise refusal

    def known(self, trust: Trust, identity: Identity | None, at: datetime) -> Peer:
        """The certificate of a peer who has not sent one, good for `trust` at `at`.

        Of `trust.certs`, else of this store; without an `identity` only the
        former, whoever they name.

        Raises:
            NoTrustPath, Expired, CredentialError: with the reason for the log.
        """
        refusal = CredentialError(f"no certificate of {identity or 'the peer'} is known here")
        for der in trust.certs or (self._speaking_for(identity) if identity is not None else ()):
            try:
                named = identity or Certificate.of_peer(der).subject
                return self.check((der,), trust, named, at)
            except CredentialError as error:
                refusal = error
        raise refusal

    def _speaking_for(self, identity: Identity) -> list[bytes]:
        held = (held.certificate for held in self._certificates.values())
        return [certificate.der for certificate in held if certificate.confirms(identity)]

    # -- choosing our own key

    def choose(
        self,
        local: Own,
        authorities: tuple[bytes, ...],
        hashes: tuple[HashAlgorithm, ...] | None,
        methods: frozenset[ProofMethod] | None = None,
    ) -> Signer:
        """The key, certificates and scheme to prove ourselves with.

        Of the candidates one that a CA of `authorities` (CERTREQ hashes)
        issued is taken before the others; when there is none, or no hash is
        known here, the first serves, for peers may name some CAs and accept
        more (RFC 7296 §3.7).
        `hashes` are the peer's, None before RFC 7427; `methods` what it says it
        takes (RFC 9593), None if it does not. When we have nothing of that, what
        we have serves: the peer may take more than it says.

        Raises:
            CredentialError: no certificate, no key, or no scheme both ends know.
        """
        if methods is not None:
            try:
                return self._choose(local, authorities, hashes, methods)
            except CredentialError:
                pass
        return self._choose(local, authorities, hashes, None)

    def _choose(
        self,
        local: Own,
        authorities: tuple[bytes, ...],
        hashes: tuple[HashAlgorithm, ...] | None,
        methods: frozenset[ProofMethod] | None,
    ) -> Signer:
        if local.pubkeys:
            return self._raw(local, local.pubkeys[0], hashes, methods)
        wanted = frozenset(ca.authority for ca in self._cas()).intersection(authorities)

        def make(certificate: Certificate, key: PublicKey, sent: tuple[bytes, ...]) -> Signer:
            scheme = _scheme(certificate.key_bits, key, hashes, local.auth, methods)
            if scheme is None:
                raise CredentialError(f"no signature scheme of {certificate} suits the peer and local.auth")
            return Signer(certificate.key_id.hex(), scheme, certificate.subject, sent, tuple(map(self._uri, sent)))

        def liked(path: Sequence[Certificate]) -> bool:
            return not wanted or not wanted.isdisjoint(member.authority for member in path)

        return self.first(local, (wanted, hashes, methods), make, liked)

    def _raw(
        self,
        local: Own,
        spki: bytes,
        hashes: tuple[HashAlgorithm, ...] | None,
        methods: frozenset[ProofMethod] | None,
    ) -> Signer:
        """To prove ourselves by a key without a certificate."""
        key = signature.load_public_key(spki)
        key_id = key_digest(key).hex()
        if key_id not in self._keys:
            raise CredentialError(f"the private key of local.pubkeys ({key_id}) is not loaded")
        scheme = _scheme(key_bits(spki), key, hashes, local.auth, methods)
        if scheme is None:
            raise CredentialError("no signature scheme of local.pubkeys suits the peer and local.auth")
        return Signer(
            key_id, scheme, local.id or Identity(IdType.KEY_ID, bytes.fromhex(key_id)), public_key=spki, certificates=()
        )

    def first(
        self,
        local: Own,
        about: Hashable,
        make: Callable[[Certificate, PublicKey, tuple[bytes, ...]], S],
        liked: Callable[[Sequence[Certificate]], bool],
    ) -> S:
        """What `make` makes of the first of our certificates whose path is `liked`, else of the first.

        It is given the certificate, its key and what to send (the leaf, then
        intermediates), and may refuse by CredentialError. `about` is what it
        and `liked` rest on besides `local`: their answer is remembered by that.

        Raises CredentialError if nothing is left.
        """
        about = (local.certs, local.id, tuple(local.auth.ike), about)
        signer: S | None = self._signers.get(about)
        if signer is None:
            signer = self._first(local, make, liked)
            self._signers.put(about, signer)
        return signer

    def _first(
        self,
        local: Own,
        make: Callable[[Certificate, PublicKey, tuple[bytes, ...]], S],
        liked: Callable[[Sequence[Certificate]], bool],
    ) -> S:
        refusal = CredentialError(self._why_none(local))
        fallback: S | None = None
        for certificate in self._candidates(local):
            key = self._keys.get(certificate.key_id.hex())
            if key is None:
                refusal = CredentialError(f"the private key of {certificate} is not loaded")
                continue
            path = self._own_path(certificate)
            sent = tuple(member.der for member in path if member is certificate or not member.self_issued)
            try:
                signer = make(certificate, key.public_key(), sent)
            except CredentialError as error:
                refusal = error
                continue
            if liked(path):
                return signer
            fallback = fallback or signer
        if fallback is None:
            raise refusal
        return fallback

    def _why_none(self, local: Own) -> str:
        """What to say where none of our certificates comes into question."""
        own = [held.certificate for held in self._certificates.values() if held.certificate.key_id.hex() in self._keys]
        if local.id is None or not own:
            return "no certificate with its private key is loaded: put them into x509/ and private/, or set local.certs"
        named = "; ".join(listed(certificate) for certificate in own[:MAX_SHOWN])
        return (
            f"none of our certificates names {local.id}; those with a private key here are of {named}: set local.id to "
            "a name in one of them, or load another one"
        )

    def _candidates(self, local: Own) -> list[Certificate]:
        if local.certs:
            return [Certificate.of_peer(der) for der in local.certs]
        wanted = local.id
        return [
            held.certificate
            for held in self._certificates.values()
            if held.certificate.key_id.hex() in self._keys and (wanted is None or held.certificate.confirms(wanted))
        ]

    def set_cert_uri_base(self, name: str, ca: Certificate | None, base: str) -> None:
        """Where a CA publishes what it issued; an empty base: nowhere. One of the same name is replaced."""
        self._bases.pop(name, None)
        if ca is not None and base:
            self._bases[name] = ca.subject.data, base
        self._signers.clear()

    def _uri(self, der: bytes) -> str:
        """Where a certificate is published, by the SHA-1 of it; empty if nowhere."""
        issuer = Certificate.of_peer(der).issuer.data
        base = next((base for subject, base in self._bases.values() if subject == issuer), "")
        return base + hashlib.sha1(der, usedforsecurity=False).hexdigest() if base else ""

    def issuer_of(self, leaf: Certificate) -> Certificate | None:
        """The CA above a certificate of ours, if it is known here."""
        path = self._own_path(leaf)
        return path[1] if len(path) > 1 else None

    def _own_path(self, leaf: Certificate) -> tuple[Certificate, ...]:
        """The leaf and the CAs above it as far as they are known; nothing is trusted because of it."""
        cas = list(self._cas())
        known = {ca.subject.data for ca in cas}
        tops = [ca for ca in cas if ca.self_issued or ca.issuer.data not in known]
        try:
            return build_path(leaf, cas, tops, at=None)
        except CredentialError:
            return (leaf,)

    def _cas(self) -> Iterator[Certificate]:
        return (held.certificate for held in self._certificates.values() if held.ca)

    def _forget(self) -> None:
        self._verdicts.clear()
        self._signers.clear()


def _scheme(
    bits: int,
    key: PublicKey,
    hashes: tuple[HashAlgorithm, ...] | None,
    auth: AuthConstraints,
    methods: frozenset[ProofMethod] | None,
) -> Scheme | None:
    """The best scheme both ends know. `rsa` in local.auth stands for PKCS#1, as in swanctl; `rsa/pss` for PSS."""
    schemes = signature.schemes_for(key, hashes)
    if any(rule.key == "rsa" and not rule.pss for rule in auth.ike):
        schemes.sort(key=lambda scheme: scheme.pss)
    if methods is not None:
        schemes = [scheme for scheme in schemes if (scheme.method, scheme.identifier) in methods]
    return next((s for s in schemes if scheme_fits(s, bits, auth.ike)), None)


def _load_key(octets: bytes, passphrase: bytes | None) -> PrivateKey:
    load = serialization.load_pem_private_key if is_pem(octets) else serialization.load_der_private_key
    try:
        key = load(octets, passphrase)
    except TypeError:
        why = "needs a passphrase" if passphrase is None else "has no passphrase, but one was given"
        raise CredentialError(f"the private key {why}") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's text may quote what it read.
        raise CredentialError("the private key cannot be read: no key, damaged, or the wrong passphrase") from None
    if isinstance(key, PrivateKey):
        return key
    raise CredentialError(f"keys of type {type(key).__name__.removesuffix('PrivateKey')} do not sign in IKE")
