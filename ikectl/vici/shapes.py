"""Records of the engine as message trees, with the keys strongSwan's tools print.

Keys that do not apply are left out, as those tools expect. `child-sas` comes
last in an IKE SA and is always there when SAs are listed: swanctl prints the
header of an SA when it meets that section.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from ikectl.config.model import Auth, AuthKind, Authority, Child, Connection, Local, Remote
from ikectl.crypto import transforms
from ikectl.engine.view import ChildSaView, IkeSaView, SuiteView
from ikectl.pki.certificate import Certificate
from ikectl.pools.pool import Pool
from ikectl.sa.asks import Usage
from ikectl.sa.sentries import Sentry
from ikectl.vici.message import Branch
from ikectl.vici.ports import CertificateView, LogLine, Stats, Version

Shape = dict[str, Branch]


def succeeded(**more: int) -> Shape:
    return {"success": "yes", **{key: str(value) for key, value in more.items()}}


def failed(why: str, **more: int) -> Shape:
    return {"success": "no", **{key: str(value) for key, value in more.items()}, "errmsg": why}


def version(facts: Version) -> Shape:
    return {
        "daemon": facts.daemon,
        "version": facts.version,
        "sysname": facts.sysname,
        "release": facts.release,
        "machine": facts.machine,
    }


def stats(facts: Stats, running_for: str) -> Shape:
    """There is one worker, the event loop; it is this command that keeps it busy."""
    none = {"critical": "0", "high": "0", "medium": "0", "low": "0"}
    return {
        "uptime": {"running": running_for, "since": facts.since},
        "workers": {"total": "1", "idle": "0", "active": {**none, "medium": "1"}},
        "queues": none,
        "scheduled": "0",
        "ikesas": {"total": str(facts.ike_sas), "half-open": str(facts.half_open)},
        "plugins": [],
    }


def control_log(line: LogLine) -> Shape:
    """Groups in capitals, as strongSwan writes them and swanctl prints them: `[IKE]`."""
    sa: Shape = {"ikesa-name": line.name, "ikesa-uniqueid": str(line.uniqueid)} if line.uniqueid else {}
    return {"group": line.group.upper(), "level": str(line.level), **sa, "msg": line.text}


def log(line: LogLine) -> Shape:
    """As `control_log`; its lines name a thread as well, of which there is but one."""
    return {"thread": "1", **control_log(line)}


# ----------------------------------------------------------------- IKE SAs


def ike_sa(sa: IkeSaView, children: Iterable[ChildSaView] | None) -> Shape:
    """`{connection name: keys}`; with `children` given, `child-sas` is there even if there are none."""
    keys = ike_keys(sa)
    if children is not None:
        keys["child-sas"] = {f"{child.name}-{child.uniqueid}": child_sa(child) for child in children}
    return {sa.name: keys}


STATES = {"AUTHENTICATING": "CONNECTING"}
"""States of ours that tools do not know. While a user logs in, the SA is not there yet."""


def ike_keys(sa: IkeSaView) -> Shape:
    keys: Shape = {
        "uniqueid": str(sa.uniqueid),
        "version": str(sa.version),
        "state": STATES.get(sa.state, sa.state),
        "local-host": sa.path.local.host,
        "local-port": str(sa.path.local.port),
        "local-id": str(sa.local_id) if sa.local_id else "%any",
        "remote-host": sa.path.remote.host,
        "remote-port": str(sa.path.remote.port),
        "remote-id": str(sa.remote_id) if sa.remote_id else "%any",
    }
    if sa.path.tcp:
        keys["transport"] = "tcp"
    if sa.user:
        keys["remote-xauth-id" if sa.version == 1 else "remote-eap-id"] = sa.user
    if sa.method:
        keys["auth-method"] = sa.method
    if sa.initiator:
        keys["initiator"] = "yes"
    keys["initiator-spi"] = sa.spi_i.hex()
    keys["responder-spi"] = sa.spi_r.hex()
    nat = sa.nat
    keys |= _yes({"nat-local": nat.local, "nat-remote": nat.remote, "nat-fake": nat.fake})
    keys |= _yes({"nat-any": nat.local or nat.remote or nat.fake})
    if sa.natt:
        keys["nat-t"] = sa.natt
    keys |= _interfaces(sa.if_id_in, sa.if_id_out)
    if sa.suite is not None:
        keys |= _suite(sa.suite)
    keys |= _yes({"ppk": sa.ppk})
    keys |= _seconds({"established": sa.established_for, "rekey-time": sa.rekey_in, "reauth-time": sa.reauth_in})
    vips = {"local-vips": sa.own_vips, "remote-vips": sa.peer_vips}
    keys |= {key: [str(ipaddress.ip_address(address)) for address in found] for key, found in vips.items() if found}
    tasks = {
        "tasks-queued": sa.tasks.queued,
        "tasks-active": sa.tasks.active,
        "tasks-passive": sa.tasks.passive,
    }
    return keys | {key: list(names) for key, names in tasks.items() if names}


def child_sa(child: ChildSaView) -> Shape:
    keys: Shape = {
        "name": child.name,
        "uniqueid": str(child.uniqueid),
        "reqid": str(child.reqid),
        "state": child.state,
        "mode": child.mode,
        "protocol": child.protocol,
    }
    keys |= _yes({"encap": child.encap})
    if child.tcp:
        keys["transport"] = "tcp"
    keys["spi-in"] = f"{child.spi_in:08x}"
    keys["spi-out"] = f"{child.spi_out:08x}"
    if child.cpi is not None:
        keys["cpi-in"], keys["cpi-out"] = f"{child.cpi[0]:04x}", f"{child.cpi[1]:04x}"
    for way, mark in (("in", child.marks.inbound), ("out", child.marks.outbound)):
        if mark is not None:
            keys[f"mark-{way}"] = f"{mark[0]:08x}"
            keys[f"mark-mask-{way}"] = f"{mark[1]:08x}"
    keys |= _interfaces(child.if_id_in, child.if_id_out)
    keys |= _suite(child.suite)
    if child.esn:
        keys["esn"] = "1"
    keys |= _usage(child.usage or Usage())
    keys |= _seconds({"rekey-time": child.rekey_in, "life-time": child.expires_in})
    keys |= _seconds({"install-time": child.installed_for})
    keys["local-ts"] = [str(selector) for selector in child.ts_local]
    keys["remote-ts"] = [str(selector) for selector in child.ts_remote]
    return keys


def _usage(usage: Usage) -> Shape:
    return {
        "bytes-in": str(usage.bytes_in),
        "packets-in": str(usage.packets_in),
        **_seconds({"use-in": usage.idle_in_for}),
        "bytes-out": str(usage.bytes_out),
        "packets-out": str(usage.packets_out),
        **_seconds({"use-out": usage.idle_out_for}),
    }


def _suite(suite: SuiteView) -> Shape:
    words = {
        "encr-alg": suite.encryption,
        "encr-keysize": str(suite.encryption_bits or ""),
        "integ-alg": suite.integrity,
        "integ-keysize": str(suite.integrity_bits or ""),
        "prf-alg": suite.prf,
        "dh-group": suite.ke,
        **{f"ake{number}": name for number, name in enumerate(suite.additional, 1)},
    }
    return {key: word for key, word in words.items() if word}


def _interfaces(if_id_in: int, if_id_out: int) -> Shape:
    ids = {"if-id-in": if_id_in, "if-id-out": if_id_out}
    return {key: f"{number:08x}" for key, number in ids.items() if number}


def _yes(flags: Mapping[str, bool]) -> Shape:
    return {key: "yes" for key, flag in flags.items() if flag}


def _seconds(times: Mapping[str, float | None]) -> Shape:
    return {key: str(max(0, int(seconds))) for key, seconds in times.items() if seconds is not None}


def policy(sentry: Sentry) -> Shape:
    """A trap or a shunt; only the former has a reqid."""
    keys: Shape = {"child": sentry.name, "ike": sentry.connection}
    if sentry.reqid:
        keys["reqid"] = str(sentry.reqid)
    keys["mode"] = sentry.mode.name
    keys["local-ts"] = [str(selector) for selector in sentry.ts_local]
    keys["remote-ts"] = [str(selector) for selector in sentry.ts_remote]
    return {f"{sentry.connection}/{sentry.name}": keys}


# -------------------------------------------------------------- algorithms

PROVIDER = "cryptography"  # the library behind almost every row; tools print it in brackets


def algorithms() -> Shape:
    """What can be negotiated, in the sections and by the names strongSwan has for it."""
    ciphers = [(row.name, row.aead is not None or row.combined) for row in transforms.ENCRYPTION]
    return {
        "encryption": _provided(name for name, aead in ciphers if not aead),
        "integrity": _provided(row.name for row in transforms.INTEGRITY),
        "aead": _provided(name for name, aead in ciphers if aead),
        "prf": _provided(row.name for row in transforms.PRF),
        "ke": _provided(row.name for row in transforms.KE),
    }


def _provided(names: Iterable[str]) -> Shape:
    return dict.fromkeys(names, PROVIDER)


# ------------------------------------------------------------- connections

VERSIONS = {0: "IKEv1/2", 1: "IKEv1", 2: "IKEv2"}
CLASSES = {
    AuthKind.PSK: "pre-shared key",
    AuthKind.PUBKEY: "public key",
    AuthKind.RSA_ENCRYPTION: "public key",
    AuthKind.RSA_ENCRYPTION_REVISED: "public key",
    AuthKind.EAP: "EAP",
    AuthKind.XAUTH: "XAuth",
}


def connection(conn: Connection) -> Shape:
    keys: Shape = {
        "local_addrs": [str(address) for address in conn.local_addrs],
        "remote_addrs": [str(address) for address in conn.remote_addrs],
        "local_port": str(conn.local_port),
        "remote_port": str(conn.remote_port),
        "version": VERSIONS[conn.version],
        "reauth_time": str(conn.reauth_time),
        "rekey_time": str(conn.rekey_time),
        "unique": f"UNIQUE_{conn.unique.name}",
    }
    keys |= _yes({"aggressive": conn.aggressive})
    if conn.vips or conn.pools:
        keys["pull"] = "yes" if conn.pull else "no"
        addresses = {"vips": [str(ipaddress.ip_address(vip)) for vip in conn.vips], "pools": list(conn.pools)}
        keys |= {key: found for key, found in addresses.items() if found}
    if conn.dpd_delay:
        keys["dpd_delay"] = str(conn.dpd_delay)
    if conn.dpd_timeout:
        keys["dpd_timeout"] = str(conn.dpd_timeout)
    if conn.ppk_id is not None:
        keys["ppk_id"] = str(conn.ppk_id)
    keys |= _yes({"ppk_required": conn.ppk_required})
    for number, local in enumerate(conn.local, 1):
        keys[f"local-{number}"] = _local(local)
    for number, remote in enumerate(conn.remote, 1):
        keys[f"remote-{number}"] = _remote(remote)
    keys["children"] = {child.name: _child(child) for child in conn.children}
    return keys


def _local(local: Local) -> Shape:
    keys = _class(local.auth)
    if local.id is not None:
        keys["id"] = str(local.id)
    if local.xauth_id:
        keys["xauth_id"] = local.xauth_id
    if local.eap_id is not None:
        keys["eap_id"] = str(local.eap_id)
    if local.aaa_id is not None:
        keys["aaa_id"] = str(local.aaa_id)
    return {**keys, "groups": [], "certs": _subjects(local.certs), "cacerts": []}


def _remote(remote: Remote) -> Shape:
    eap = {} if remote.eap_id is None else {"eap_id": str(remote.eap_id)}
    return {
        **_class(remote.auth),
        "revocation": remote.revocation.value,
        **({"ca_id": str(remote.ca_id)} if remote.ca_id is not None else {}),
        **({"cert_policy": list(remote.cert_policy)} if remote.cert_policy else {}),
        "id": str(remote.id),
        **eap,
        "groups": [],
        "certs": _subjects(remote.certs),
        "cacerts": _subjects(remote.cacerts),
    }


def _class(auth: Auth) -> Shape:
    """`xauth` is the backend, and `method` the one of IKEv1's that strongSwan has no class for."""
    keys: Shape = {"class": CLASSES[auth.kind]}
    if auth.kind is AuthKind.XAUTH:
        keys["xauth"] = f"{auth.backend}:{auth.profile}" if auth.profile else auth.backend.value
    elif auth.kind is AuthKind.EAP:
        keys["eap-type"] = auth.eap[0].name if len(auth.eap) == 1 else "DYNAMIC"
        if auth.inner:
            keys["eap-inner"] = auth.inner.value
    elif auth.kind in (AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED):
        keys["method"] = auth.kind.value
    return keys


def _child(child: Child) -> Shape:
    keys: Shape = {
        "mode": child.mode.name,
        "rekey_time": str(child.rekey_time),
        "rekey_bytes": str(child.rekey_bytes),
        "rekey_packets": str(child.rekey_packets),
        "dpd_action": child.dpd_action.value,
        "close_action": child.close_action.value,
        "local-ts": [str(selector) for selector in child.local_ts],
        "remote-ts": [str(selector) for selector in child.remote_ts],
    }
    if child.interface:
        keys["interface"] = child.interface
    if child.priority:
        keys["priority"] = str(child.priority)
    return keys


# ------------------------------------------------------------- credentials


def _subjects(certificates: Iterable[bytes]) -> list[str]:
    return [str(Certificate.read(der).subject) for der in certificates]


def certificate(seen: CertificateView) -> Shape:
    keys: Shape = {"type": "X509", "flag": "CA" if seen.ca else "NONE"}
    return {**keys, **_yes({"has_privkey": seen.has_private_key}), "data": seen.der}


def der(kind: str, octets: bytes, flag: str = "NONE") -> Shape:
    """What is listed by its octets alone: CRLs, OCSP responses, OCSP signers."""
    return {"type": kind, "flag": flag, "data": octets}


def authority(seen: Authority) -> Shape:
    return {
        "cacert": str(Certificate.read(seen.cacert).subject),
        "crl_uris": list(seen.crl_uris),
        "ocsp_uris": list(seen.ocsp_uris),
        **({"cert_uri_base": seen.cert_uri_base} if seen.cert_uri_base else {}),
    }


# ------------------------------------------------------------------- pools

MAX_LEASES_OCTETS = 400 * 1024
"""Of all leases in one answer: a message has at most 512 KiB. What is left out is counted in `unlisted`."""
_LEASE_OCTETS = 100  # of one lease in a message, but for the identity


def pools(found: Iterable[Pool], leases: bool) -> Shape:
    keys: Shape = {}
    room = MAX_LEASES_OCTETS
    for pool in found:
        about: Shape = {
            "base": str(ipaddress.ip_address(pool.low)),
            "size": str(pool.size),
            "online": str(pool.online),
            "offline": str(pool.offline),
        }
        if leases:
            about["leases"], room, unlisted = _leases(pool, room)
            if unlisted:
                about["unlisted"] = str(unlisted)
        keys[pool.name] = about
    return keys


def _leases(pool: Pool, room: int) -> tuple[Shape, int, int]:
    """(the leases by number, the octets that are left, how many were left out)."""
    listed: Shape = {}
    for lease in pool.leases():
        address, identity, online = lease.address, lease.holder, lease.online
        room -= _LEASE_OCTETS + len(identity.encode())
        if room < 0:
            return listed, 0, pool.online + pool.offline - len(listed)
        listed[str(len(listed))] = {
            "address": str(ipaddress.ip_address(address)),
            "identity": identity,
            "status": "online" if online else "offline",
        }
    return listed, room, 0
