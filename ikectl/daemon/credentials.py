"""The credential store as the control protocol sees it: who loaded what, under which name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ikectl.config.model import Authority, Certificate, PrivateKey, SharedSecret
from ikectl.pki.store import Store
from ikectl.vici.ports import CertificateView

OWNER = "vici"
"""Owner, in the store, of certificates that were loaded one by one."""


class StoreCredentials:
    """`vici.ports.Credentials` over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._authorities: dict[str, bytes] = {}

    async def load_certificate(self, certificate: Certificate) -> None:
        self._store.add_certificate(certificate.data, certificate.ca, OWNER)

    async def load_key(self, key: PrivateKey) -> str:
        return self._store.add_key(key.data)

    async def unload_key(self, key_id: str) -> bool:
        return self._store.remove_key(key_id)

    def keys(self) -> Iterable[str]:
        return self._store.key_ids

    async def load_secret(self, secret: SharedSecret) -> None:
        self._store.add_secret(secret.name, secret.owners, secret.data)

    async def unload_secret(self, name: str) -> bool:
        return self._store.remove_secret(name)

    def secrets(self) -> Iterable[str]:
        return self._store.secrets.names

    async def load_authority(self, authority: Authority) -> None:
        """The new certificate is judged before the old one of that name goes."""
        owner = _owner(authority.name)
        if self._authorities.get(authority.name) == authority.cacert:
            return
        self._store.add_certificate(authority.cacert, True, owner + "\0new")
        self._store.remove_certificates(owner)
        self._store.add_certificate(authority.cacert, True, owner)
        self._store.remove_certificates(owner + "\0new")
        self._authorities[authority.name] = authority.cacert

    async def unload_authority(self, name: str) -> bool:
        self._store.remove_certificates(_owner(name))
        return self._authorities.pop(name, None) is not None

    def authorities(self) -> Mapping[str, bytes]:
        return self._authorities

    def certificates(self) -> Iterator[CertificateView]:
        for certificate, ca, has_private_key in self._store.certificates():
            yield CertificateView(certificate.der, ca, has_private_key)

    async def flush_certificates(self) -> None:
        """Nothing to do: certificates that came from peers or the network are not kept."""

    async def clear(self) -> None:
        """Authorities stay: they have commands of their own."""
        self._store.remove_certificates(OWNER)
        for key_id in self._store.key_ids:
            self._store.remove_key(key_id)
        for name in self._store.secrets.names:
            self._store.remove_secret(name)


def _owner(authority: str) -> str:
    return f"authority {authority}"
