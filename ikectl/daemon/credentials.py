"""Credentials: the store as clients and the configuration file see it, each by its own things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ikectl.config.model import Authority, Certificate, Crl, Loaded, PrivateKey, PublicKey, SecretKind, SharedSecret
from ikectl.pki import certificate as pki
from ikectl.pki.revocation import Kind, Sources
from ikectl.pki.store import Store
from ikectl.vici.ports import CertificateView

FILE, CLIENTS = "file", "vici"
"""Who loaded a certificate."""


class Credentials:
    """What `vici.ports.Credentials` says, and `load_file` for the daemon's own configuration."""

    def __init__(self, store: Store, withdrawn: Callable[[], None] = lambda: None) -> None:
        """`withdrawn` is told when what somebody proved may not be good any more."""
        self._withdrawn = withdrawn
        self._store = store
        self._secrets: dict[str, str] = {}
        """Name -> who loaded it; likewise for keys."""
        self._keys: dict[str, str] = {}
        self._authorities: dict[str, Authority] = {}
        self._file_authorities: set[str] = set()
        self._public_keys: dict[bytes, None] = {}

    # -- over the control protocol

    async def load_certificate(self, certificate: Certificate) -> None:
        self._add_certificate(certificate, CLIENTS)

    async def load_crl(self, crl: Crl) -> None:
        self._store.revocations.add_crl(crl.data, CLIENTS, crl.origin)
        self._withdrawn()

    async def load_public_key(self, key: PublicKey) -> None:
        self._public_keys[key.data] = None

    def public_keys(self) -> Iterable[bytes]:
        return tuple(self._public_keys)

    async def load_key(self, key: PrivateKey) -> str:
        return self._add_key(key, CLIENTS)

    async def unload_key(self, key_id: str) -> bool:
        self._keys.pop(key_id, None)
        return self._store.remove_key(key_id)

    def keys(self) -> Iterable[str]:
        return self._store.key_ids

    async def load_secret(self, secret: SharedSecret) -> None:
        self._add_secret(secret, CLIENTS)

    async def unload_secret(self, name: str) -> bool:
        self._secrets.pop(name, None)
        self._withdrawn()
        return self._store.remove_secret(name)

    def secrets(self) -> Iterable[str]:
        return tuple(self._secrets)

    async def load_authority(self, authority: Authority) -> None:
        self._add_authority(authority)
        self._file_authorities.discard(authority.name)

    async def unload_authority(self, name: str) -> bool:
        return self._remove_authority(name)

    def authorities(self) -> Mapping[str, Authority]:
        return dict(self._authorities)

    def certificates(self) -> Iterable[CertificateView]:
        for certificate, ca, key in list(self._store.certificates()):
            yield CertificateView(certificate.der, ca, key)

    def signers(self) -> Iterable[bytes]:
        return [signer.der for signer in self._store.revocations.signers()]

    def crls(self) -> Iterable[bytes]:
        return [crl.der for crl in self._store.revocations.crls()]

    def ocsp_responses(self) -> Iterable[bytes]:
        return self._store.revocations.responses()

    async def flush_certificates(self, crls: bool = True, responses: bool = True) -> None:
        self._store.revocations.flush(kind for kind, wanted in ((Kind.CRL, crls), (Kind.OCSP, responses)) if wanted)

    async def clear(self) -> None:
        self._public_keys.clear()
        self._forget(CLIENTS)

    # -- from the configuration file

    def load_file(self, loaded: Loaded) -> None:
        """Put these in the place of what an earlier reading of the file gave. Raises CredentialError."""
        self._forget(FILE)
        for name in list(self._file_authorities):
            self._remove_authority(name)
        for certificate in loaded.certs:
            self._add_certificate(certificate, FILE)
        for crl in loaded.crls:
            self._store.revocations.add_crl(crl.data, FILE, crl.origin)
        for key in loaded.keys:
            self._add_key(key, FILE)
        for secret in loaded.secrets:
            self._add_secret(secret, FILE)
        for authority in loaded.authorities:
            self._add_authority(authority)
            self._file_authorities.add(authority.name)

    # -- both

    def _add_certificate(self, certificate: Certificate, owner: str) -> None:
        if certificate.ocsp:
            self._store.revocations.add_signer(pki.Certificate.read(certificate.data), owner)
        else:
            self._store.add_certificate(certificate.data, certificate.ca, owner)

    def _add_key(self, key: PrivateKey, owner: str) -> str:
        key_id = self._store.add_key(key.data)
        self._keys[key_id] = owner
        return key_id

    def _add_secret(self, secret: SharedSecret, owner: str) -> None:
        self._store.remove_secret(secret.name)
        if secret.name in self._secrets:
            self._withdrawn()
        store = self._store
        add = {SecretKind.USER: store.add_password, SecretKind.NTLM: store.add_nt_hash, SecretKind.PPK: store.add_ppk}
        add.get(secret.kind, store.add_secret)(secret.name, secret.owners, secret.data)
        self._secrets[secret.name] = owner

    def _add_authority(self, authority: Authority) -> None:
        self._store.remove_certificates(_owner(authority.name))
        cacert = self._store.add_certificate(authority.cacert, True, _owner(authority.name))
        self._store.revocations.set_sources(
            authority.name, cacert.authority, Sources(authority.crl_uris, authority.ocsp_uris)
        )
        self._store.set_cert_uri_base(authority.name, cacert, authority.cert_uri_base)
        self._authorities[authority.name] = authority

    def _remove_authority(self, name: str) -> bool:
        self._store.remove_certificates(_owner(name))
        self._store.revocations.drop_sources(name)
        self._store.set_cert_uri_base(name, None, "")
        self._file_authorities.discard(name)
        self._withdrawn()
        return self._authorities.pop(name, None) is not None

    def _forget(self, owner: str) -> None:
        for key_id in [key_id for key_id, loader in self._keys.items() if loader == owner]:
            del self._keys[key_id]
            self._store.remove_key(key_id)
        for name in [name for name, loader in self._secrets.items() if loader == owner]:
            del self._secrets[name]
            self._store.remove_secret(name)
        self._store.remove_certificates(owner)
        self._store.revocations.forget(owner)
        self._withdrawn()


def _owner(authority: str) -> str:
    return f"authority {authority}"
