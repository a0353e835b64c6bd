"""A swanctl directory to vici messages and to the model: swanctl.conf, and the folders beside it.

One way for all: the file is read to a tree, the files it names are put into
the tree, the tree is checked and built with file and line at hand, and then
turned into the messages a client sends. A daemon that builds from those
messages gets the same model.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from ikectl.config.attributes import build_pool
from ikectl.config.build import build_authority, build_connection, need_exact, need_users
from ikectl.config.folders import Folders, Request
from ikectl.config.model import (
    Authority,
    Connection,
    Loaded,
    Pool,
    SecretKind,
    SharedSecret,
)
from ikectl.config.parse import parse_file
from ikectl.config.read import check, items_of
from ikectl.config.schema import (
    CHILD,
    CONNECTION,
    KEY_FOLDERS,
    LOCAL,
    NTLM,
    PASSPHRASE,
    POOL,
    PPK,
    REMOTE,
    ROOT,
    SECRETS,
    SHARED,
    Group,
)
from ikectl.config.tree import Errors, Files, Place, Section, Value, suggestion
from ikectl.values.secret import Secret

_CERTIFICATE_LISTS = (
    # sections  options with the folder their files are in
    ("local",   {"certs": "x509", "pubkeys": "pubkey"}),
    ("remote",  {"certs": "x509", "cacerts": "x509ca", "pubkeys": "pubkey"}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration without mistakes: the model, and the requests that carry it to a daemon.

    The requests are in swanctl's order: credentials, authorities, pools,
    connections.
    """

    loaded: Loaded
    requests: tuple[Request, ...]


def load(path: str, files: Files) -> Configuration:
    """Reads swanctl.conf (or .toml) and the folders beside it. Raises ConfigErrors with every mistake."""
    errors = Errors()
    root = parse_file(path, files, errors)
    configuration = _Loader(path, files, errors).run(root)
    errors.raise_any()
    return configuration


def load_file(path: str, files: Files) -> Loaded:
    """The model alone. Raises ConfigErrors with every mistake."""
    return load(path, files).loaded


def to_vici(path: str, files: Files) -> list[tuple[str, dict[str, Any]]]:
    """The (command, message) pairs that load it into a daemon. Raises ConfigErrors with every mistake."""
    return [(request.command, request.message) for request in load(path, files).requests]


class _Loader:
    def __init__(self, path: str, files: Files, errors: Errors) -> None:
        self.directory = posixpath.dirname(path)
        self.path = path
        self.files = files
        self.errors = errors
        self.requests: list[Request] = []
        self._folders = Folders(self.directory, files, errors, self.requests)

    def run(self, root: Section) -> Configuration:
        self._check_root(root)
        self._folders.certificate_folders()
        self._folders.crl_folder()
        self._folders.later_folders()
        secrets = self._secrets(root.sections.get("secrets"))
        authorities = self._authorities(root.sections.get("authorities"))
        pools = self._pools(root.sections.get("pools"))
        connections = self._connections(root.sections.get("connections"), pools)
        found = self._folders
        loaded = Loaded(
            connections, secrets, authorities, tuple(found.certs), tuple(found.keys), pools, tuple(found.crls)
        )
        return Configuration(loaded, tuple(self.requests))

    def _check_root(self, root: Section) -> None:
        """Sections of other names are there to be referred to, unless they look like a slip."""
        for key, value in root.values.items():
            hint = suggestion(key, ROOT.names)
            self.errors.add(f"unknown option {key[:40]!r} outside every section{hint}", value.place)
        for name, section in root.sections.items():
            near = suggestion(name, ROOT.names)
            if near and ROOT.group(name) is None and not section.referred:
                self.errors.add(f"unknown section {name[:40]!r}{near}", section.place)
        for name, section in root.sections.items():
            group = ROOT.group(name)
            if group is None:
                continue
            for key, value in section.values.items():
                self.errors.add(f"{name}: unknown option {key[:40]!r}; {name} holds sections only", value.place)

    # -- credentials ----------------------------------------------------

    def _secrets(self, section: Section | None) -> tuple[SharedSecret, ...]:
        passphrases: dict[str, dict[str, tuple[Secret, Place]]] = {folder: {} for folder in KEY_FOLDERS}
        shared: list[SharedSecret] = []
        messages: list[Request] = []
        for name, child in (section.sections if section else {}).items():
            group = SECRETS.group(name)
            label = f"secrets.{name}"
            if group is None:
                self.errors.add(f"unknown secret {name[:40]!r}{suggestion(name, SECRETS.names)}", child.place)
            elif not group.built:
                self.errors.add(f"{label}: not built yet; leave the section out", child.place)
            elif group is PASSPHRASE:
                folder = next(folder for folder in KEY_FOLDERS if name.startswith(folder))
                self._passphrase(child, label, passphrases[folder])
            else:
                secret = self._shared(child, label, group)
                if secret is not None:
                    shared.append(secret)
                    messages.append(Request("load-shared", _shared_message(child, secret)))
        self._folders.key_folders(passphrases)
        self.requests += messages
        return tuple(shared)

    def _shared(self, section: Section, label: str, group: Group) -> SharedSecret | None:
        checked = check(section, group, label, self.errors)
        data = checked.values["secret"]
        if data is None and checked.good:
            self.errors.add(f"{label}: set secret", section.place)
        if data is None or not checked.good:
            return None
        owners = tuple(checked.extra.values())
        if group is SHARED:
            return SharedSecret(section.name, owners, data)
        try:
            (need_exact if group is PPK else need_users)(owners)
        except ValueError as error:
            self.errors.add(f"{label}: {error}", section.place)
            return None
        kind = SecretKind.PPK if group is PPK else SecretKind.NTLM if group is NTLM else SecretKind.USER
        return SharedSecret(section.name, owners, data, kind)

    def _passphrase(self, section: Section, label: str, into: dict[str, tuple[Secret, Place]]) -> None:
        checked = check(section, PASSPHRASE, label, self.errors)
        file, secret = checked.values["file"], checked.values["secret"]
        if checked.good and (file is None or secret is None):
            missing = "file" if file is None else "secret"
            self.errors.add(f"{label}: set {missing}", section.place)
        elif checked.good:
            into[posixpath.basename(file)] = (secret, checked.place("file"))

    # -- authorities and connections ------------------------------------

    def _authorities(self, section: Section | None) -> tuple[Authority, ...]:
        built: list[Authority] = []
        for name, child in (section.sections if section else {}).items():
            cacert = child.values.get("cacert")
            if cacert is not None:
                blob = self._inline(cacert, "x509ca", f"authorities.{name}.cacert", single=True)
                child = _replaced(child, {"cacert": blob})
            authority = build_authority(child, self.errors, self.files.read)
            if authority is not None:
                built.append(authority)
                self.requests.append(Request("load-authority", {name: _authority_message(authority)}))
        return tuple(built)

    def _pools(self, section: Section | None) -> tuple[Pool, ...]:
        built: list[Pool] = []
        for child in (section.sections if section else {}).values():
            pool = build_pool(child, self.errors)
            if pool is None:
                continue
            for other in built:
                if len(other.low) == len(pool.low) and other.low <= pool.high and pool.low <= other.high:
                    why = f"pools.{pool.name}: overlaps {other.name}; give each its own addresses"
                    self.errors.add(why, child.place)
            built.append(pool)
            self.requests.append(Request("load-pool", {child.name: _plain(child, POOL)}))
        return tuple(built)

    def _connections(self, section: Section | None, pools: tuple[Pool, ...]) -> tuple[Connection, ...]:
        built: list[Connection] = []
        names = [pool.name for pool in pools]
        for child in (section.sections if section else {}).values():
            whole = self._with_certificates(child)
            connection = build_connection(whole, self.errors, self.files.read)
            if connection is not None:
                for name in connection.pools:
                    if name not in names:
                        why = f"{child.name}.pools: there is no pool {name!r}{suggestion(name, names)}"
                        self.errors.add(why, child.values["pools"].place)
                built.append(connection)
                self.requests.append(Request("load-conn", {child.name: _message(whole, connection)}))
        return tuple(built)

    def _with_certificates(self, connection: Section) -> Section:
        """The connection with the contents of files in the place of their names."""
        sections = dict(connection.sections)
        for name, section in connection.sections.items():
            for prefix, folders in _CERTIFICATE_LISTS:
                if name.startswith(prefix):
                    changed = {
                        key: self._inline(section.values[key], folder, f"{connection.name}.{name}.{key}")
                        for key, folder in folders.items()
                        if key in section.values
                    }
                    sections[name] = _replaced(section, changed)
        whole = _replaced(connection, {})
        whole.sections = sections
        return whole

    def _inline(self, value: Value, folder: str, label: str, *, single: bool = False) -> Value:
        """The DER octets of the named files.

        What follows the first certificate of a file is loaded too: it helps to build chains.
        """
        names = value.items if value.items is not None else tuple(value.octets.split(b","))
        blobs: list[bytes] = []
        for name in filter(None, (name.strip() for name in names)):
            text = name.decode(errors="replace")
            path = posixpath.join(self.directory, folder, text)
            if folder == "pubkey":
                blobs += filter(None, [self._folders.read(path, value.place, label)])
                continue
            ders = self._folders.certificates(
                self._folders.read(path, value.place, label), f"{label}: {path}", value.place
            )
            blobs += ders[:1]
            for der in ders[1:]:
                self._folders.add_certificate(der, b"NONE")
        if single and len(blobs) == 1:
            return Value(blobs[0], value.place)
        return Value(b"", value.place, tuple(blobs))


def _replaced(section: Section, values: dict[str, Value]) -> Section:
    return Section(section.name, section.place, {**section.values, **values}, dict(section.sections))


def _shared_message(section: Section, secret: SharedSecret) -> dict[str, Any]:
    owners = [value.octets for key, value in section.values.items() if key != "secret"]
    kind = secret.kind.value.encode()
    return {"id": secret.name.encode(), "type": kind, "data": secret.data, "owners": owners}


def _authority_message(authority: Authority) -> dict[str, Any]:
    lists = {"crl_uris": authority.crl_uris, "ocsp_uris": authority.ocsp_uris}
    base = {"cert_uri_base": authority.cert_uri_base.encode()} if authority.cert_uri_base else {}
    return (
        {"cacert": authority.cacert}
        | base
        | {key: [uri.encode() for uri in uris] for key, uris in lists.items() if uris}
    )


def _message(section: Section, connection: Connection) -> dict[str, Any]:
    """A connection as load-conn carries it: lists where vici has lists, certificates as octets.

    Certificates that `cert.file` names were read already and go into the lists.
    """
    local = {side.name: side for side in connection.local}
    remote = {side.name: side for side in connection.remote}
    message = _plain(section, CONNECTION)
    for name, child in section.sections.items():
        if name == "children":
            message[name] = {key: _plain(value, CHILD) for key, value in child.sections.items()}
        elif name in local:
            message[name] = _plain(child, LOCAL) | _blobs(certs=local[name].certs, pubkeys=local[name].pubkeys)
        else:
            peer = remote[name]
            message[name] = _plain(child, REMOTE) | _blobs(certs=peer.certs, cacerts=peer.cacerts, pubkeys=peer.pubkeys)
    return message


def _plain(section: Section, group: Group) -> dict[str, Any]:
    """The options of a section without those inside it."""
    message: dict[str, Any] = {}
    for key, value in section.values.items():
        option = group.option(key)
        if option is not None and option.many:
            message[key] = list(items_of(option, value))
        else:
            message[key] = value.octets if value.items is None else value.items[0]
    return message


def _blobs(**lists: tuple[bytes, ...]) -> dict[str, Any]:
    return {key: list(blobs) for key, blobs in lists.items() if blobs}
