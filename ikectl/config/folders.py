"""The folders beside swanctl.conf: certificates, CRLs and private keys, for the model and for vici."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from ikectl.config.credentials import (
    Container,
    NeedsPassphrase,
    read_certificates,
    read_container,
    read_crl,
    read_key,
)
from ikectl.config.model import Certificate, Crl, PrivateKey
from ikectl.config.read import MAX_VALUE
from ikectl.config.schema import KEY_FOLDERS
from ikectl.config.tree import NOWHERE, Errors, Files, Place
from ikectl.values.secret import Secret

_CERTIFICATE_FOLDERS = (
    # folder    flag of load-cert
    ("x509",    b"NONE"),
    ("x509ca",  b"CA"),
    ("x509ocsp", b"OCSP"),
)  # fmt: skip
_LATER_FOLDERS = (
    ("x509aa", "attribute authorities"),
    ("x509ac", "attribute certificates"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One vici command. Secrets in the message are `Secret`, so that it may be printed."""

    command: str
    message: dict[str, Any]


class Folders:
    """Reads them, and gathers what they hold; mistakes go to `errors`, messages for a daemon to `requests`."""

    def __init__(self, directory: str, files: Files, errors: Errors, requests: list[Request]) -> None:
        self.directory = directory
        self.files = files
        self.errors = errors
        self.requests = requests
        self.certs: list[Certificate] = []
        self.crls: list[Crl] = []
        self.keys: list[PrivateKey] = []

    def certificate_folders(self) -> None:
        for folder, flag in _CERTIFICATE_FOLDERS:
            for path in self.folder(folder):
                octets = self.read(path, Place(path))
                for der in self.certificates(octets, path, Place(path)):
                    self.add_certificate(der, flag)

    def add_certificate(self, der: bytes, flag: bytes) -> None:
        self.certs.append(Certificate(der, flag == b"CA", flag == b"OCSP"))
        self.requests.append(Request("load-cert", {"type": b"X509", "flag": flag, "data": der}))

    def crl_folder(self) -> None:
        for path in self.folder("x509crl"):
            octets = self.read(path, Place(path))
            if octets is None:
                continue
            try:
                der = read_crl(octets)
            except ValueError as error:
                self.errors.add(str(error), Place(path))
                continue
            if len(der) > MAX_VALUE:
                self.errors.add(
                    f"a CRL larger than {MAX_VALUE >> 10} KiB; name it as authorities.<name>.crl_uris = file://{path}, "
                    "and keep it in another folder",
                    Place(path),
                )
                continue
            self.crls.append(Crl(der, path))
            self.requests.append(Request("load-cert", {"type": b"X509_CRL", "flag": b"NONE", "data": der}))

    def later_folders(self) -> None:
        """What these hold would be ignored otherwise; a CRL ignored is a revoked certificate accepted."""
        for folder, what in _LATER_FOLDERS:
            for path in self.folder(folder):
                self.errors.add(f"{what} are not built yet; move the file out of {folder}/", Place(path))

    def key_folders(self, passphrases: dict[str, dict[str, tuple[Secret, Place]]]) -> None:
        for folder in KEY_FOLDERS:
            known = passphrases[folder]
            unused = dict(known)
            for path in self.folder(folder):
                name = posixpath.basename(path)
                unused.pop(name, None)
                self._keys_of(path, folder, known.get(name, (None, NOWHERE))[0])
            for name, (_, place) in unused.items():
                self.errors.add(f"there is no file {name!r} in {folder}/", place)

    def _keys_of(self, path: str, folder: str, passphrase: Secret | None) -> None:
        """The key of a file, and of a container also its certificates."""
        octets = self.read(path, Place(path))
        if octets is None:
            return
        try:
            if folder == "pkcs12":
                self._container(read_container(octets, passphrase))
                return
            key = read_key(octets, passphrase)
        except NeedsPassphrase:
            name = posixpath.basename(path)
            self.errors.add(
                f"the key is encrypted; add secrets {{ {folder}-1 {{ file = {name} secret = ... }} }}",
                Place(path),
            )
            return
        except ValueError as error:
            self.errors.add(str(error), Place(path))
            return
        if folder in ("rsa", "ecdsa") and key.kind != folder:
            self.errors.add(f"a key of type {key.kind} in {folder}/; move it to private/", Place(path))
            return
        self._add_key(key)

    def _add_key(self, key: PrivateKey) -> None:
        self.keys.append(key)
        self.requests.append(Request("load-key", {"type": key.kind.encode(), "data": key.data}))

    def _container(self, found: Container) -> None:
        for der, ca in found.certificates:
            self.add_certificate(der, b"CA" if ca else b"NONE")
        for key in found.keys:
            self._add_key(key)

    # -- files

    def folder(self, folder: str) -> list[str]:
        return [
            path
            for path in self.files.glob(posixpath.join(self.directory, folder, "*"))
            if not posixpath.basename(path).startswith(".")
        ]

    def read(self, path: str, place: Place, label: str = "") -> bytes | None:
        try:
            return self.files.read(path)
        except OSError as error:
            where = f"{label}: " if label else ""
            self.errors.add(f"{where}cannot read {path}: {error.strerror or type(error).__name__}", place)
            return None

    def certificates(self, octets: bytes | None, what: str, place: Place) -> tuple[bytes, ...]:
        if octets is None:
            return ()
        try:
            return read_certificates(octets)
        except ValueError as error:
            text = str(error) if what == place.path else f"{what}: {error}"
            self.errors.add(text, place)
            return ()
