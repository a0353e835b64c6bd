"""What a peer's silence, or its bare AUTHENTICATION_FAILED, most likely means: words for the operator of this end."""

from __future__ import annotations

from ikectl.config.model import AuthKind, Connection, Fragmentation
from ikectl.iana.v2 import ExchangeType, NotifyType
from ikectl.sa.ike_sa import IkeSa

WHOLE_OCTETS = 1232
"""Of an IKE message: what passes nearly everywhere without being cut by IP (1280 less the headers)."""

_OURS = {
    AuthKind.PSK: "the pre-shared keys of both ends may differ",
    AuthKind.PUBKEY: "our certificate may be of a CA unknown there, expired, revoked, or not for this id",
    AuthKind.EAP: "its EAP server may not know our user or password",
}
"""What else than the identity a peer may not like, by how we prove ourselves."""


def unanswered(sa: IkeSa, exchange: ExchangeType, octets: int) -> str:
    """No word to a request of ours, whose datagrams have so many octets in all."""
    told, remote = f"the peer does not answer {exchange}", sa.path.remote
    if sa.path.tcp:
        return f"{told}: the connection to TCP port {remote.port} of {remote.host} came about, and nothing came back"
    if exchange in (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME):
        return (
            f"{told}: nothing came back from {remote}; check the address, that the peer runs, and UDP {remote.port} "
            f"both ways; some peers keep silent where they have no connection for our address {sa.path.local.host}"
        )
    if exchange not in (ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH):
        return f"{told}: {remote} is down, cannot be reached, or has forgotten the IKE SA"
    reasons = [_other_port(sa), _too_long(sa, octets), "it takes its time, or refuses without a word: its log says"]
    return f"{told}: {remote.host} answered IKE_SA_INIT, so the way was open; {'; '.join(filter(None, reasons))}"


def _other_port(sa: IkeSa) -> str:
    port = sa.path.remote.port
    if port == sa.env.settings.ike_port:
        return ""
    nat = "there is a NAT, and " if sa.nat.found else ""
    return f"{nat}this message is the first to UDP {port}, which must pass both ways"


def _too_long(sa: IkeSa, octets: int) -> str:
    if octets <= WHOLE_OCTETS:
        return ""
    if NotifyType.IKEV2_FRAGMENTATION_SUPPORTED in sa.extensions:
        return f"it has {octets} octets in fragments of IKE"
    ours = sa.connection is None or sa.connection.fragmentation is not Fragmentation.NO
    who = "the peer takes none" if ours else "fragmentation = no here"
    return f"it has {octets} octets, and firewalls may drop what IP cuts; IKE could cut it, but {who}"


def unaccepted(sa: IkeSa, connection: Connection, ours: int = 0) -> str:
    """The peer says AUTHENTICATION_FAILED to what we proved last, our round `ours`; it tells nobody why (§2.21.2)."""
    local = connection.local[min(ours, len(connection.local) - 1)]
    expected = connection.remote[0].id.identity
    asked = f", or has nobody called {expected} for it" if sa.initiator and expected is not None else ""
    proof = _OURS.get(local.auth.kind, "")
    return (
        f"the peer answered AUTHENTICATION_FAILED: it does not accept our identity {sa.local_id or local.id}{asked}, "
        f"or our proof{f' ({proof})' if proof else ''}; compare both ends' id, secret or certificates, and read the "
        "peer's log"
    )


__all__ = ["unaccepted", "unanswered"]
