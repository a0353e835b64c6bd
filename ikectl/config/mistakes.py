"""What no single option shows: options that do not go together, each with the next step.

Most of it is about IKEv1: what only one version can do, and which rounds of
authentication it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ikectl.config.model import (
    ANY_DOMAIN,
    MAX_PAIRS,
    NO_DOMAIN,
    Auth,
    AuthKind,
    Childless,
    Local,
    Mode,
    Ocsp,
    Remote,
    Tcp,
    Unique,
    XauthBackend,
)
from ikectl.config.read import Checked
from ikectl.config.tree import Errors, Place
from ikectl.crypto import transforms as table
from ikectl.iana.eap import EapType
from ikectl.iana.v2 import Protocol, TransformType
from ikectl.values.selector import SelectorSpec
from ikectl.wire.v2.sa import Proposal

_V1_RSA = (AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED)
_IKEV1_KINDS = (AuthKind.XAUTH, *_V1_RSA)
MAX_PUBKEYS = 16
"""Raw public keys of one peer: each costs a verification where the peer does not send its own."""

_IKEV2_KINDS = (AuthKind.EAP, AuthKind.NULL)

_NEEDS_V1 = ("life_bytes", "dhcp", "dhcp_server")
"""Options of a connection that are built for IKEv1 only: IKEv2 would go without, and nobody would be told."""
_TUNES_V1 = ("aggressive", "aggressive_psk", "pull", "dpd_timeout")
"""Options that mean something to IKEv1 alone, so that a connection which may speak it may have them."""
_TUNES_V2: Mapping[str, tuple[Any, ...]] = {
    "childless": (Childless.ALLOW, Childless.NEVER),
    "ocsp": (Ocsp.REPLY, Ocsp.NEVER),
    "window": (1,),
    **dict.fromkeys(
        (
            "follow_redirects",
            "redirect_to",
            "message_id_sync",
            "qcd",
            "resumption",
            "cert_uris",
            "ppk_id",
            "ppk_required",
        ),
        (),
    ),
}
"""Options that mean something to IKEv2 alone, and what they may say all the same: what IKEv1 does anyway. `mobike` is
left out, for neither word of it asks for more than "where it can be done".
"""
MAX_VIPS = 4
"""Inner addresses of a client and family: gateways give no more (`exchange.configuration.MAX_ADDRESSES`)."""
_CHILD_NEEDS_V1 = ("bundle",)


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one connection, with where each was written."""

    local: tuple[Local, ...]
    remote: tuple[Remote, ...]
    places: Mapping[str, Place]

    @property
    def all(self) -> tuple[Local | Remote, ...]:
        return (*self.local, *self.remote)

    @property
    def first(self) -> tuple[Local | Remote, ...]:
        return self.local[0], self.remote[0]

    def place(self, name: str, otherwise: Place) -> Place:
        return self.places.get(name, otherwise)


def options(checked: Checked, errors: Errors) -> None:
    """Options of a connection against its version, and against each other."""
    version = checked.values["version"]
    if version is None:
        return
    if version != 1:
        for key in _NEEDS_V1:
            if checked.values[key]:
                _add(checked, key, "is built for IKEv1 only; set version = 1, or leave it out", errors)
    if version == 2:
        for key in _TUNES_V1:
            if checked.says(key) and checked.values[key] not in (None, _harmless(key)):
                _add(checked, key, "is for IKEv1, and version = 2 is IKEv2 alone; leave it out", errors)
    else:
        _liveness(checked, errors)
    if version == 1:
        proposals(checked, "proposals", errors)
    if checked.values["ppk_required"] and version == 0:
        _add(checked, "ppk_required", "set version = 2, or IKEv1, which knows no such key, would do", errors)
    _tcp(checked, errors)
    if version == 1:
        for key, harmless in _TUNES_V2.items():
            if checked.says(key) and checked.values[key] and checked.values[key] not in harmless:
                _add(checked, key, "is for IKEv2, and version = 1 is IKEv1 alone; leave it out", errors)
    _families(checked, errors)
    _domains(checked, errors)
    _dhcp(checked, errors)


def _harmless(key: str) -> Any:
    return {"pull": True, "dpd_timeout": 0}.get(key, False)


def _liveness(checked: Checked, errors: Errors) -> None:
    delay, timeout = checked.values["dpd_delay"] or 0, checked.values["dpd_timeout"] or 0
    if timeout and not delay:
        _add(checked, "dpd_timeout", "nobody asks whether the peer lives; set dpd_delay as well", errors)
    elif timeout and timeout <= delay:
        _add(checked, "dpd_timeout", f"the peer is first asked after {delay}s; set more than dpd_delay", errors)


def _tcp(checked: Checked, errors: Errors) -> None:
    if checked.values["tcp"] in (None, Tcp.NO):
        if checked.says("remote_tcp_port"):
            _add(checked, "remote_tcp_port", "nothing goes there without tcp = yes or fallback", errors)
        return
    if checked.values["version"] != 2:
        _add(checked, "tcp", "IKEv1 does not go inside TCP (RFC 9329); set version = 2", errors)
    if checked.values["remote_tcp_port"] == 0:
        _add(checked, "remote_tcp_port", "0 is no port that can be called", errors)


def _families(checked: Checked, errors: Errors) -> None:
    lengths = [len(address) for address in checked.values["vips"] or ()]
    most = max(map(lengths.count, lengths), default=0)
    if most > 1 and checked.values["version"] != 2:
        why = "IKEv1 asks for at most one IPv4 and one IPv6 address; leave out the others, or set version = 2"
        _add(checked, "vips", why, errors)
    elif most > MAX_VIPS:
        _add(checked, "vips", f"at most {MAX_VIPS} addresses of one family can be asked for", errors)


def _domains(checked: Checked, errors: Errors) -> None:
    named = checked.values["dns_domains"] or ()
    for word in (ANY_DOMAIN, NO_DOMAIN):
        if word in named and len(named) > 1:
            _add(checked, "dns_domains", f"{word} stands alone; leave out it or the other words", errors)
            return
    if checked.values["dhcp"] and named != (ANY_DOMAIN,):
        why = "is for what a gateway tells itself, and DHCP takes name servers of others; leave out dhcp or dns_domains"
        _add(checked, "dns_domains", why, errors)


def _dhcp(checked: Checked, errors: Errors) -> None:
    values = checked.values
    if values["dhcp"] and values["dhcp_server"]:
        why = "is for the client, dhcp_server for the gateway; keep the one that this host is"
        _add(checked, "dhcp", why, errors)
    elif values["dhcp"] and values["vips"]:
        _add(checked, "dhcp", "the inner address comes by DHCP or by mode config; leave out dhcp or vips", errors)
    children = checked.section.sections.get("children")
    for key in ("dhcp", "dhcp_server"):
        if values[key] and (children is None or not children.sections):
            _add(checked, key, "DHCP goes by the proposals of the first child; write a child", errors)
    if not values["dhcp_server"]:
        for key in ("dhcp_giaddr", "dhcp_interface"):
            if values[key]:
                _add(checked, key, "belongs to the gateway; set dhcp_server as well", errors)


def rounds(checked: Checked, found: Rounds, errors: Errors) -> None:
    """Which methods of proof a version has, and which of them go together."""
    version, label, section = checked.values["version"], checked.label, checked.section
    for side in found.all:
        for why in _round_mistakes(side):
            errors.add(f"{label}.{side.name}.{why}", found.place(side.name, section.place))
    psk = any(side.auth.kind is AuthKind.PSK for side in found.first)
    if checked.values["aggressive"] and version != 2 and psk and not checked.values["aggressive_psk"]:
        _add(checked, "aggressive", _AGGRESSIVE_PSK, errors)
    _null(checked, found, errors)
    _pubkeys(checked, found, errors)
    for side, why in _eap_rounds(found) if version != 1 else ():
        errors.add(f"{label}.{side.name}.auth: {why}", found.place(side.name, section.place))
    foreign, other = (_IKEV2_KINDS, 2) if version == 1 else (_IKEV1_KINDS, 1)
    for side in found.all:
        if side.auth.kind in foreign:
            why = f"auth: {side.auth.kind.value} is for IKEv{other}; set version = {other}"
            errors.add(f"{label}.{side.name}.{why}", found.place(side.name, section.place))
    if version != 1:
        return
    for name, why in _v1_rounds(found):
        errors.add(f"{label}.{name}: {why}", found.place(name, section.place))
    for side, why in _v1_signatures(found):
        errors.add(f"{label}.{side.name}.auth: {why}", found.place(side.name, section.place))


def _pubkeys(checked: Checked, found: Rounds, errors: Errors) -> None:
    """Raw public keys name nobody: who has one is whoever `id` lets it be (RFC 7670 §4)."""
    for side in found.all:
        why = ""
        if side.pubkeys and checked.values["version"] == 1:
            why = "raw public keys are for IKEv2; set version = 2"
        elif side.pubkeys and side.auth.kind is not AuthKind.PUBKEY:
            why = f"no public key is looked at with auth = {side.auth.kind.value}; set auth = pubkey or leave it out"
        elif len(side.pubkeys) > MAX_PUBKEYS:
            why = f"at most {MAX_PUBKEYS} are tried; write a connection for each of the peers"
        elif isinstance(side, Remote) and len(side.pubkeys) > 1 and side.id.identity is None:
            why = (
                f"each of these peers could give the name of another, for id = {side.id} lets them; write a connection "
                "with an exact id for each"
            )
        if why:
            errors.add(f"{checked.label}.{side.name}.pubkeys: {why}", found.place(side.name, checked.section.place))


def _null(checked: Checked, found: Rounds, errors: Errors) -> None:
    """An end that proves nothing (RFC 7619) is nobody in particular, and cannot be told from others like it."""
    for side in found.all:
        if side.auth.kind is not AuthKind.NULL:
            continue
        place = found.place(side.name, checked.section.place)
        if str(side.id) not in ("None", "%any"):
            errors.add(f"{checked.label}.{side.name}.id: auth = null proves no identity; leave the id out", place)
        if isinstance(side, Remote) and checked.values["unique"] in (Unique.KEEP, Unique.REPLACE):
            why = "peers with auth = null cannot be told apart; set it to no or never"
            _add(checked, "unique", why, errors)


_AGGRESSIVE_PSK = (
    "with a pre-shared key whoever asks, or answers in the peer's place, gets a hash of that key and can look for it "
    "offline, unseen; use certificates or Main Mode, or set aggressive_psk = yes if the key is long and random"
)


def _round_mistakes(side: Local | Remote) -> Iterator[str]:
    xauth, eap = side.auth.kind is AuthKind.XAUTH, side.auth.kind is AuthKind.EAP
    if side.eap_id is not None and not eap:
        yield "eap_id: belongs to a round with auth = eap"
    if isinstance(side, Remote):
        return
    if side.aaa_id is not None and not eap:
        yield "aaa_id: belongs to a round with auth = eap"
    if eap and side.id is None and side.eap_id is None:
        yield "eap_id: say who logs in; set eap_id, or id if it is the same"
    if xauth and side.auth.backend is not XauthBackend.LOCAL:
        yield "auth: who judges a password is the gateway's matter; write auth = xauth"
    if xauth and not side.xauth_id:
        yield "xauth_id: say which user logs in; set xauth_id"
    if side.xauth_id and not xauth:
        yield "xauth_id: belongs to a round with auth = xauth"


_PROVES_BOTH = frozenset((EapType.TLS, EapType.TTLS, EapType.PEAP))
"""Methods that show the server too, and let nobody look for the password (RFC 5998 §4)."""


def _eap_rounds(found: Rounds) -> Iterator[tuple[Local | Remote, str]]:
    """EAP is IKEv2's, and goes with a certificate of the end that asks, unless it proves that one too (RFC 7296 §2.16,
    RFC 5998).
    """
    sides: tuple[tuple[Sequence[Local | Remote], Sequence[Local | Remote]], ...] = (
        (found.local, found.remote),
        (found.remote, found.local),
    )
    for ours, theirs in sides:
        for side in ours:
            if side.auth.kind is not AuthKind.EAP:
                continue
            first = theirs[0].auth.kind  # what is proven later may come too late for a password
            if first is AuthKind.PUBKEY:
                continue
            if first is AuthKind.EAP and not _PROVES_BOTH.intersection(side.auth.eap):
                yield side, "EAP on both sides takes a method that proves both: eap-tls, eap-ttls or eap-peap"
            elif first is not AuthKind.EAP:
                what = "remote" if isinstance(side, Local) else "local"
                yield (
                    side,
                    f"whoever answers could have the password, for {what}.auth = {theirs[0].auth.kind.value} proves no "
                    f"server; give the gateway a certificate (auth = pubkey in {what})",
                )


def _v1_rounds(found: Rounds) -> Iterator[tuple[str, str]]:
    """(round, mistake)."""
    local, remote = found.local[0], found.remote[0]
    both: tuple[tuple[Local | Remote, ...], ...] = (found.local, found.remote)
    given, asked = ([side for side in sides if side.auth.kind is AuthKind.XAUTH] for sides in both)
    for sides in both:
        for side in sides[1:]:
            if side.auth.kind is not AuthKind.XAUTH:
                yield side.name, "a second round of IKEv1 is XAUTH; write auth = xauth, or keep one round"
            elif sides[0].auth.kind is AuthKind.XAUTH:
                yield side.name, "one round with auth = xauth is enough"
            if isinstance(side, Remote) and str(side.id) != "%any":
                yield side.name, "not built yet: an id of users; leave it out, those with a password may log in"
    if given and asked:
        yield asked[0].name, "one side logs in at the other; keep auth = xauth in the local or in the remote sections"
        return
    hybrid = next((sides[0] for sides in both if sides[0].auth.kind is AuthKind.XAUTH), None)
    if hybrid is None:
        if local.auth.kind is not remote.auth.kind:
            yield (
                remote.name,
                f"IKEv1 proves both sides in the same way, not by {local.auth.kind.value} here and "
                f"{remote.auth.kind.value} there; set the same auth, or version = 2",
            )
        return
    other = remote if hybrid is local else local
    if other.auth.kind is not AuthKind.PUBKEY:
        yield other.name, "beside xauth alone (hybrid authentication) this side needs auth = pubkey"
    if hybrid.auth.backend is XauthBackend.NOAUTH:
        yield hybrid.name, "xauth-noauth alone would let anybody in; add a round before it, or let a backend judge"


def _v1_signatures(found: Rounds) -> Iterator[tuple[Local | Remote, str]]:
    """One method for both sides, with RSA or with ECDSA keys; XAUTH has numbers for RSA alone (RFC 2409 §5.1,
    RFC 4754, draft-beaulieu-ike-xauth-02 §7.2).
    """
    known = {"rsa"} if any(side.auth.kind is AuthKind.XAUTH for side in found.all) else {"rsa", "ecdsa"}
    agreed = known
    for side in found.first:
        if side.auth.kind is not AuthKind.PUBKEY:
            continue
        keys = _signing_keys(side.auth)
        if not keys:
            yield side, "IKEv1 has no such signature; it signs with RSA (PKCS#1 v1.5) or ECDSA keys"
        elif not keys & known:
            yield side, "IKEv1 has no XAUTH with ECDSA keys; allow rsa"
        elif not keys & agreed:
            yield side, "IKEv1 has one sort of signature for both sides; allow the same keys on both"
        else:
            agreed = keys & agreed


def _signing_keys(auth: Auth) -> set[str]:
    """Which of the keys that IKEv1 signs with the constraints allow."""
    rules = [rule.key for rule in auth.ike if not rule.pss]
    return {key for key in ("rsa", "ecdsa") if not auth.ike or key in rules or "" in rules}


def child_options(checked: Checked, version: int | None, errors: Errors) -> None:
    """Options of a child against the version of its connection, and against each other."""
    if version is None:
        return
    values = checked.values
    if values["tfc_padding"]:
        why = _padding(version, values)
        if why:
            _add(checked, "tfc_padding", why, errors)
    if version == 1:
        proposals(checked, "esp_proposals", errors)
        proposals(checked, "ah_proposals", errors)
    else:
        for key in _CHILD_NEEDS_V1:
            if values[key]:
                _add(
                    checked, key, "is built for IKEv1 only; set version = 1 in the connection, or leave it out", errors
                )
        return
    if values["bundle"] and not (values["esp_proposals"] and values["ah_proposals"]):
        _add(checked, "bundle", "is AH around ESP; set both ah_proposals and esp_proposals", errors)
    for key in ("local_ts", "remote_ts"):
        for why in _v1_selectors(values[key]):
            _add(checked, key, why, errors)
    if len(values["local_ts"]) * len(values["remote_ts"]) > MAX_PAIRS:
        _add(checked, "local_ts", f"IKEv1 takes a Quick Mode for each pair of networks, {MAX_PAIRS} at most", errors)


def _padding(version: int, values: Mapping[str, Any]) -> str:
    if version == 1:
        return "IKEv1 cannot agree on padding (RFC 4303 §2.7); set version = 2, or leave it out"
    if values["mode"] is not Mode.TUNNEL:
        return "the kernel pads in tunnel mode only; leave it out, or set mode = tunnel"
    if values["ipcomp"]:
        return "with IPComp the tunnel is not ESP's, and the kernel does not pad; keep one of the two"
    if values["ah_proposals"] and not values["esp_proposals"]:
        return "AH has no padding; set esp_proposals, or leave it out"
    return ""


def _v1_selectors(specs: tuple[SelectorSpec, ...]) -> Iterator[str]:
    """A Quick Mode names one port or all (RFC 2407 §4.6.2)."""
    for spec in specs:
        low, high = spec.start_port, spec.end_port
        if low != high and (low, high) != (0, 0xFFFF):
            yield f"{spec}: IKEv1 names one port or all; write a child for each port"


def proposals(checked: Checked, key: str, errors: Errors) -> None:
    """Whether IKEv1 has numbers for at least one of the proposals; it has none for AEAD in phase 1, ML-KEM and more."""
    found = checked.values[key]
    if not found or any(map(_v1_says, found)):
        return
    phase1 = found[0].protocol is Protocol.IKE
    advice = "such as aes256-sha256-modp2048" if phase1 else "without additional key exchanges and ChaCha20"
    _add(checked, key, f"IKEv1 has no numbers for these algorithms; set others, {advice}, or version = 2", errors)


def _v1_says(proposal: Proposal) -> bool:
    kinds: dict[TransformType, bool] = {}
    for transform in proposal.transforms:
        if transform.type in table.ADDITIONAL:
            return False
        row = table.BY_TRANSFORM.get(transform)
        said = row is None or bool(_v1_number(row, proposal.protocol))
        kinds[transform.type] = kinds.get(transform.type, False) or said
    return all(kinds.values())


def _v1_number(row: table.Row, protocol: Protocol) -> int:
    if isinstance(row, table.Encryption):
        return row.v1_ike if protocol is Protocol.IKE else row.v1_esp
    if isinstance(row, table.Integrity):
        return row.v1_ah if protocol is Protocol.AH else row.v1_auth
    return row.v1_hash if isinstance(row, table.PrfRow) else row.v1_group


def _add(checked: Checked, key: str, why: str, errors: Errors) -> None:
    errors.add(f"{checked.label}.{key}: {why}", checked.place(key))
