"""Sections to model, from files and from vici messages alike, collecting all mistakes.

In the trees read here certificates are octets already: `load.py` puts the
contents of files in, a vici client sends them so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ikectl.config import mistakes, traps
from ikectl.config.attributes import build_pool
from ikectl.config.credentials import read_certificate, read_crl, read_key, read_public_key, subject_of
from ikectl.config.kinds import MAX_NAME, U32, raw_secret
from ikectl.config.model import (
    AuthKind,
    Authority,
    Certificate,
    Child,
    Connection,
    Crl,
    Dhcp,
    Local,
    Pool,
    PrivateKey,
    PublicKey,
    Remote,
    SecretKind,
    SharedSecret,
)
from ikectl.config.read import Checked, check
from ikectl.config.schema import AUTHORITY, CERT, CHILD, CONNECTION, LOCAL, REMOTE
from ikectl.config.tree import Errors, Section, ViciTree, from_vici, suggestion
from ikectl.crypto.mschapv2 import HASH_OCTETS
from ikectl.crypto.signature import KEY_TYPES
from ikectl.errors import ConfigErrors
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.wire.v2.sa import Proposal

MAX_CHILDREN = 1000
MAX_OWNERS = 255
MAX_ROUNDS = 4
"""Of IKEv2's authentication (RFC 4739 sets no limit): each costs a message more, and nobody has as many proofs."""
MAX_ROUNDS_V1 = 2
"""Phase 1, then XAUTH."""

ReadFile = Callable[[str], bytes]
"""Octets of a file by absolute path; raises OSError."""


def connection_from_vici(name: str, tree: ViciTree, read_file: ReadFile | None = None) -> Connection:
    """The connection of a load-conn message. `read_file` serves `cert.file`. Raises ConfigErrors."""
    errors = Errors()
    connection = build_connection(from_vici(name, tree), errors, read_file)
    errors.raise_any()
    assert connection is not None
    return connection


def authority_from_vici(name: str, tree: ViciTree, read_file: ReadFile | None = None) -> Authority:
    """The authority of a load-authority message. Raises ConfigErrors."""
    errors = Errors()
    authority = build_authority(from_vici(name, tree), errors, read_file)
    errors.raise_any()
    assert authority is not None
    return authority


def pool_from_vici(name: str, tree: ViciTree) -> Pool:
    """The pool of a load-pool message. Raises ConfigErrors."""
    errors = Errors()
    pool = build_pool(from_vici(name, tree), errors)
    errors.raise_any()
    assert pool is not None
    return pool


def secret_from_vici(message: ViciTree) -> SharedSecret:
    """The pre-shared key or password of a load-shared message; its name is empty if none was sent.

    Raises ConfigErrors.
    """
    kind = _message_word(message, "type", ("ike", "eap", "xauth", "ntlm", "ppk"), ())
    owners = _message_list(message, "owners")
    try:
        data = raw_secret(_message_octets(message, "data"))
        if kind == "ntlm" and len(data) != HASH_OCTETS:
            raise ValueError(f"an NT hash has {HASH_OCTETS} octets, not {len(data)}")
        name = _message_octets(message, "id", b"").decode()
        if len(owners) > MAX_OWNERS:
            raise ValueError(f"owners: more than {MAX_OWNERS}")
        patterns = tuple(IdentityPattern.parse(owner.decode()) for owner in owners)
        if kind == "ppk":
            need_exact(patterns)
        elif kind != "ike":
            need_users(patterns)
    except ValueError as error:
        why = "not valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise _refused(f"{kind} secret: {why}") from None
    kinds = {"ike": SecretKind.IKE, "ntlm": SecretKind.NTLM, "ppk": SecretKind.PPK}
    return SharedSecret(name, patterns, data, kinds.get(kind, SecretKind.USER))


def need_exact(owners: Sequence[IdentityPattern]) -> None:
    """A post-quantum key is looked up by octets (RFC 8784 §5.1). Raises ValueError for a pattern."""
    for owner in owners:
        if owner.identity is None:
            raise ValueError(f"{str(owner)!r} is a pattern, and a post-quantum key has identities as they are")


def need_users(owners: Sequence[IdentityPattern]) -> None:
    """A password is for users by name: without one, any name would do with it. Raises ValueError."""
    if not owners:
        raise ValueError("a password needs the name of its user; set id")
    for owner in owners:
        if owner.identity is None:
            raise ValueError(f"{str(owner)!r} is a pattern, and a password needs the name of its user")


def certificate_from_vici(message: ViciTree) -> Certificate | Crl | PublicKey:
    """What a load-cert message carries. Raises ConfigErrors."""
    kind = _message_word(
        message,
        "type",
        ("x509", "x509ca", "x509ocsp", "x509_crl", "x509crl", "pubkey"),
        ("x509_ac", "x509aa", "x509ac", "ocsp_response"),
    )
    flag = _message_word(message, "flag", ("none", "ca", "ocsp"), ("aa",), default="none")
    data = _message_octets(message, "data")
    try:
        if kind in ("x509_crl", "x509crl"):
            return Crl(read_crl(data), "a client")
        if kind == "pubkey":
            return PublicKey(read_public_key(data))
        der = read_certificate(data)
    except ValueError as error:
        raise _refused(f"certificate: {error}") from None
    return Certificate(der, ca=kind == "x509ca" or flag == "ca", ocsp=kind == "x509ocsp" or flag == "ocsp")


def key_from_vici(message: ViciTree) -> PrivateKey:
    """The private key of a load-key message, which is not encrypted. Raises ConfigErrors."""
    known = ("any", "pkcs8", *(word for word, *_ in KEY_TYPES))
    kind = _message_word(message, "type", known, ("dsa", "bliss"), default="any")
    try:
        key = read_key(_message_octets(message, "data"))
    except ValueError as error:
        raise _refused(f"private key: {error}") from None
    if kind not in ("any", "pkcs8", key.kind):
        raise _refused(f"private key: type {kind} was announced, but it is {key.kind}")
    return key


def build_connection(section: Section, errors: Errors, read_file: ReadFile | None = None) -> Connection | None:
    """None when there was a mistake, which is in `errors`."""
    before = len(errors.found)
    label = section.name
    if not _good_name(label):
        errors.add(f"{label[:40]!r}: a name is 1 to {MAX_NAME} printable characters", section.place)
    checked = check(section, CONNECTION, label, errors)
    values = checked.values
    options_good = checked.good
    mistakes.options(checked, errors)
    found = _rounds(checked, errors, read_file)
    if found is not None and options_good:
        mistakes.rounds(checked, found, errors)
    children = _build_children(section, label, values["version"], errors)
    if len(errors.found) != before or found is None:
        return None
    _fill_times(checked)
    values["proposals"] = _numbered(values["proposals"])
    values["dhcp"] = _dhcp(values)
    connection = Connection(name=label, local=found.local, remote=found.remote, children=children, **values)
    for child, option, why in traps.mistakes(connection):
        place = section.sections["children"].sections[child].values[option].place
        errors.add(f"{label}.children.{child}.{option}: {why}", place)
    return connection if len(errors.found) == before else None


def _fill_times(checked: Checked) -> None:
    values = checked.values
    if values["reauth_time"] and not checked.says("rekey_time"):
        values["rekey_time"] = 0
    longest = max(values["rekey_time"], values["reauth_time"])
    _fill(values, "over_time", longest // 10)
    _fill(values, "rand_time", values["over_time"])
    # What is subtracted must leave something of either time.
    set_times = [time for time in (values["rekey_time"], values["reauth_time"]) if time]
    values["rand_time"] = min(values["rand_time"], min(set_times, default=0))


def _dhcp(values: dict[str, Any]) -> Dhcp | None:
    client = values["dhcp"]
    server, giaddr, interface = (values.pop(f"dhcp_{key}") for key in ("server", "giaddr", "interface"))
    if not client and server is None:
        return None
    return Dhcp(client, server or b"", giaddr or b"", interface or "")


def build_authority(section: Section, errors: Errors, read_file: ReadFile | None = None) -> Authority | None:
    """None when there was a mistake, which is in `errors`."""
    label = f"authorities.{section.name}" if section.place.path else section.name
    before = len(errors.found)
    checked = check(section, AUTHORITY, label, errors)
    given = [key for key in ("cacert", "file") if checked.values[key] is not None]
    if checked.good and len(given) != 1:
        errors.add(f"{label}: set one of cacert and file", section.place)
    if len(errors.found) != before:
        return None
    octets = checked.values["cacert"]
    if octets is None:
        octets = _read(checked, "file", errors, read_file)
    cacert = _certificate(octets, checked, given[0], errors)
    if cacert is None:
        return None
    values = checked.values
    return Authority(section.name, cacert, values["crl_uris"], values["ocsp_uris"], values["cert_uri_base"] or "")


def _rounds(checked: Checked, errors: Errors, read_file: ReadFile | None) -> mistakes.Rounds | None:
    """Both sides' rounds; None when there was a mistake in one."""
    before = len(errors.found)
    section, v1 = checked.section, checked.values["version"] == 1
    local_sections, remote_sections = (_sections(section, side, v1, errors) for side in ("local", "remote"))
    local = [_build_local(each, checked.label, errors, read_file) for each in local_sections]
    remote = [_build_remote(each, checked.label, errors, read_file) for each in remote_sections]
    if len(errors.found) != before:
        return None
    places = {each.name: each.place for each in (*local_sections, *remote_sections)}
    return mistakes.Rounds(tuple(local) or (Local(),), tuple(remote) or (Remote(),), places)


def _build_local(section: Section, label: str, errors: Errors, read_file: ReadFile | None) -> Local:
    checked = check(section, LOCAL, f"{label}.{section.name}", errors)
    certs = _certificates(checked, "certs", "cert", errors, read_file)
    auth, identity = checked.values["auth"], checked.values["id"]
    if auth is None:
        return Local()
    if identity is not None and identity.is_any:
        identity = None
    user = checked.values["xauth_id"] or ""
    if auth.kind is AuthKind.XAUTH and identity is not None:
        user = user or str(identity)
    if identity is None and len(certs) == 1:
        identity = Identity.of_dn(subject_of(certs[0]))
    eap_id = checked.values["eap_id"]
    if eap_id is not None and eap_id.is_any:
        eap_id = None
    return Local(section.name, auth, identity, certs, user, checked.values["pubkeys"], eap_id, checked.values["aaa_id"])


def _build_remote(section: Section, label: str, errors: Errors, read_file: ReadFile | None) -> Remote:
    checked = check(section, REMOTE, f"{label}.{section.name}", errors)
    certs = _certificates(checked, "certs", "cert", errors, read_file)
    cacerts = _certificates(checked, "cacerts", "cacert", errors, read_file)
    auth = checked.values["auth"]
    if auth is None or checked.values["id"] is None:
        return Remote()
    return Remote(
        section.name,
        auth,
        checked.values["id"].comparing(checked.values["rdn_matching"]),
        certs,
        cacerts,
        checked.values["eap_id"],
        revocation=checked.values["revocation"],
        ca_id=checked.values["ca_id"],
        cert_policy=checked.values["cert_policy"],
        pubkeys=checked.values["pubkeys"],
    )


def _sections(section: Section, prefix: str, v1: bool, errors: Errors) -> list[Section]:
    """The authentication rounds of a side in their order: by `round` where it is set, else as they are written."""
    found = [child for name, child in section.sections.items() if name.startswith(prefix)]
    most = MAX_ROUNDS_V1 if v1 else MAX_ROUNDS
    for further in found[most:]:
        if v1:
            why = f"IKEv1 has no third authentication round; keep two {prefix} sections"
        else:
            why = f"{most} rounds of authentication are enough; keep {most} {prefix} sections"
        errors.add(f"{section.name}.{further.name}: {why}", further.place)
    return sorted(found[:most], key=_round_number)


def _round_number(section: Section) -> int:
    """0 for what is no number: that is said when the section is read."""
    value = section.values.get("round")
    octets = value.octets if value is not None else b""
    try:
        return int(U32.read(octets)) if octets else 0
    except ValueError:
        return 0


def _build_children(section: Section, label: str, version: int | None, errors: Errors) -> tuple[Child, ...]:
    listing = section.sections.get("children")
    if listing is None:
        return ()
    for key, value in listing.values.items():
        errors.add(f"{label}.children: unknown option {key[:40]!r}; children are sections", value.place)
    if len(listing.sections) > MAX_CHILDREN:
        errors.add(f"{label}.children: more than {MAX_CHILDREN} children", listing.place)
        return ()
    built = (
        _build_child(child, f"{label}.children.{name}", version, errors) for name, child in listing.sections.items()
    )
    return tuple([child for child in built if child is not None])


def _build_child(section: Section, label: str, version: int | None, errors: Errors) -> Child | None:
    if not _good_name(section.name):
        errors.add(f"{label[:80]!r}: a name is 1 to {MAX_NAME} printable characters", section.place)
    checked = check(section, CHILD, label, errors)
    if not checked.good:
        return None
    mistakes.child_options(checked, version, errors)
    values = checked.values
    if not values["esp_proposals"] and not values["ah_proposals"]:
        esp = CHILD.option("esp_proposals")
        assert esp is not None
        values["esp_proposals"] = esp.kind.read(b"default")
    esp_count = len(values["esp_proposals"])
    numbered = _numbered(values["esp_proposals"] + values["ah_proposals"])
    values["esp_proposals"], values["ah_proposals"] = numbered[:esp_count], numbered[esp_count:]
    if values["rekey_time"] is None:
        life = values["life_time"]
        values["rekey_time"] = 3600 if life is None else life - life // 10
    for unit in ("time", "bytes", "packets"):
        rekey = values[f"rekey_{unit}"]
        _fill(values, f"life_{unit}", rekey + rekey // 10)
        _fill(values, f"rand_{unit}", max(values[f"life_{unit}"] - rekey, 0))
        # What is subtracted from the soft limit must leave something of it.
        values[f"rand_{unit}"] = min(values[f"rand_{unit}"], rekey)
    for way in ("in", "out"):
        if values[f"set_mark_{way}"] is None:
            values[f"set_mark_{way}"] = values[f"mark_{way}"]
    values["interface"] = values["interface"] or ""
    return Child(name=section.name, **values)


def _fill(values: dict[str, Any], key: str, default: int) -> None:
    if values[key] is None:
        values[key] = default


def _numbered(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Numbered from 1 on, as an offer must be (RFC 7296 §3.3.1).

    One tuple for all connections that say the same, however they are loaded:
    thousands may be compared with a peer's offer, and are so at one stroke.
    """
    return _shared(
        tuple(
            Proposal(number, proposal.protocol, proposal.spi, proposal.transforms)
            for number, proposal in enumerate(proposals, 1)
        )
    )


@lru_cache(1024)
def _shared(proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    return proposals


def _certificates(
    checked: Checked, key: str, prefix: str, errors: Errors, read_file: ReadFile | None
) -> tuple[bytes, ...]:
    """DER of the `certs` list, then of the `cert<suffix>` sections."""
    found = [_certificate(octets, checked, key, errors) for octets in checked.values[key] or ()]
    for name, child in checked.section.sections.items():
        if not name.startswith(prefix):
            continue
        one = check(child, CERT, f"{checked.label}.{name}", errors)
        if one.values["file"] is None:
            if one.good:
                errors.add(f"{one.label}: set file", child.place)
            continue
        found.append(_certificate(_read(one, "file", errors, read_file), one, "file", errors))
    return tuple(der for der in found if der is not None)


def _certificate(octets: bytes | None, checked: Checked, key: str, errors: Errors) -> bytes | None:
    if octets is None:
        return None
    try:
        return read_certificate(octets)
    except ValueError as error:
        errors.add(f"{checked.label}.{key}: {error}", checked.place(key))
        return None


def _read(checked: Checked, key: str, errors: Errors, read_file: ReadFile | None) -> bytes | None:
    path = checked.values[key]
    why = ""
    if not path.startswith("/"):
        why = "must be an absolute path"
    elif read_file is None:
        why = "files are not read here; send the certificate itself"
    else:
        try:
            return read_file(path)
        except OSError as error:
            why = f"cannot read {path}: {error.strerror or type(error).__name__}"
    errors.add(f"{checked.label}.{key}: {why}", checked.place(key))
    return None


def _good_name(name: str) -> bool:
    return 0 < len(name.encode(errors="replace")) <= MAX_NAME and name.isprintable()


# -- flat messages ----------------------------------------------------------


def _refused(why: str) -> ConfigErrors:
    errors = Errors()
    errors.add(why)
    return ConfigErrors(errors.found)


def _message_octets(message: ViciTree, key: str, default: bytes | None = None) -> bytes:
    value = message.get(key, default)
    if not isinstance(value, bytes):
        raise _refused(f"{key}: is missing" if value is None else f"{key}: must be a single value")
    return value


def _message_list(message: ViciTree, key: str) -> list[bytes]:
    value = message.get(key, ())
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, Mapping):
        raise _refused(f"{key}: must be a list")
    return list(value)


def _message_word(
    message: ViciTree, key: str, known: tuple[str, ...], later: tuple[str, ...], default: str | None = None
) -> str:
    octets = _message_octets(message, key, default.encode() if default else None)
    word = octets.decode("ascii", "replace").lower()
    if word in later:
        raise _refused(f"{key} {word}: not built yet")
    if word not in known:
        raise _refused(f"{key}: {word[:40]!r} is unknown{suggestion(word, (*known, *later))}")
    return word
