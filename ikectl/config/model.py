"""The configuration as the engine uses it: frozen values in swanctl's words.

Attribute names are option names, so `schema.py` documents each of them.
Times are seconds, volumes octets; 0 switches a limit off. Defaults that
depend on other options are filled in by `build.py`, so nothing here is
"unset" except where the type says None.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Self

from ikectl.iana.eap import EapType
from ikectl.iana.v2 import HashAlgorithm, Protocol
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from ikectl.values.selector import SelectorSpec, TrafficSelector
from ikectl.wire.v2.sa import Proposal

MAX_PAIRS = 64
"""Pairs of selectors of an IKEv1 child: each is a Quick Mode and an SA pair of its own."""

NO_ADDRESS_MATCH = 0
ANY_DOMAIN, NO_DOMAIN = "%any", "%none"
ANY_ADDRESS_MATCH = 1
EXACT_ADDRESS_MATCH = 200
"""How close an AddressSpec is to an address; between them, 2 + the bits of the network prefix."""


class AuthKind(StrEnum):
    """How one side proves its identity."""

    PSK = "psk"
    PUBKEY = "pubkey"
    RSA_ENCRYPTION = "rsa-encryption"
    """Nonce and identity encrypted with the peer's RSA key (RFC 2409 §5.2)."""
    RSA_ENCRYPTION_REVISED = "rsa-encryption-revised"
    """The same with one public-key operation a side (RFC 2409 §5.3)."""
    EAP = "eap"
    """IKEv2: a method of EAP (RFC 7296 §2.16)."""
    NULL = "null"
    """IKEv2: no proof at all, of nobody in particular (RFC 7619)."""
    XAUTH = "xauth"
    """A user name and a password after phase 1 (draft-beaulieu-ike-xauth-02). As the first round of a side it
    means hybrid authentication: that side proves nothing in phase 1 (draft-ietf-ipsec-isakmp-hybrid-auth-05)."""

    @property
    def needs_certificates(self) -> bool:
        """Whether a key that a certificate vouches for is involved."""
        return self in (AuthKind.PUBKEY, AuthKind.RSA_ENCRYPTION, AuthKind.RSA_ENCRYPTION_REVISED)


class XauthBackend(StrEnum):
    """Who judges the password of an XAUTH round."""

    LOCAL = "generic"
    """The passwords in `secrets`; of our own rounds: where the password comes from."""
    CHAP = "chap"
    """The same passwords, which the user's end hides by a challenge (RADIUS-CHAP)."""
    PAM = "pam"
    RADIUS = "radius"
    NOAUTH = "noauth"
    """Nobody: any user name and password will do, for clients that insist on XAUTH."""


class Inner(StrEnum):
    """What proves a user inside the tunnel of EAP-TTLS (RFC 5281 §11)."""

    ANY = ""
    """A method of EAP for a password; of the peer, whatever it comes with."""
    PAP = "pap"
    """The password itself."""
    MSCHAPV2 = "mschapv2"
    """MS-CHAPv2 without EAP around it."""


class Fragmentation(StrEnum):
    """Fragments of ours; those of the peer are always taken, unless it is NO."""

    NO = "no"
    ACCEPT = "accept"
    """Announced, never sent."""
    YES = "yes"
    """Sent once the peer has announced that it takes them."""
    FORCE = "force"
    """With IKEv1 sent from the first message on; else as YES, for IKE_SA_INIT may not be cut (RFC 7383 §2.1)."""


class SecretKind(StrEnum):
    """What a shared secret is for."""

    IKE = "ike"
    USER = "eap"
    """The password of a user, for EAP and XAUTH."""
    NTLM = "ntlm"
    """The NT hash of a user's password, for EAP-MSCHAPv2."""
    PPK = "ppk"
    """A post-quantum pre-shared key (RFC 8784)."""


class Unique(StrEnum):
    """What happens to older IKE SAs with the same peer identity."""

    NEVER = "never"
    NO = "no"
    KEEP = "keep"
    REPLACE = "replace"


class Tcp(StrEnum):
    """Whether a peer is called by TCP (RFC 9329)."""

    NO = "no"
    YES = "yes"
    FALLBACK = "fallback"
    """In datagrams first."""


class Childless(StrEnum):
    """IKE SAs without a child in IKE_AUTH (RFC 6023)."""

    ALLOW = "allow"
    """As responder; we begin them only where no child is wanted."""
    PREFER = "prefer"
    """Likewise, and begun where the peer takes them: the first child comes behind."""
    FORCE = "force"
    """No others, in either role."""
    NEVER = "never"
    """Not as responder."""


class SendCert(StrEnum):
    """When CERT payloads are sent."""

    ALWAYS = "always"
    NEVER = "never"
    IFASKED = "ifasked"


class Ocsp(StrEnum):
    """OCSP inside IKE (RFC 4806): whether a peer that asks gets a response about us, and whether we ask."""

    NEVER = "never"
    REPLY = "reply"
    REQUEST = "request"
    BOTH = "both"

    @property
    def replies(self) -> bool:
        return self in (Ocsp.REPLY, Ocsp.BOTH)

    @property
    def requests(self) -> bool:
        return self in (Ocsp.REQUEST, Ocsp.BOTH)


class Mode(StrEnum):
    """Encapsulation of a child."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"
    PASS = "pass"
    """No SA: these packets go as they are (RFC 4301 §4.4.1, BYPASS)."""
    DROP = "drop"
    """No SA: these packets go nowhere (DISCARD)."""


class Action(StrEnum):
    """What to do at load, at a dead peer, at a close by the peer."""

    NONE = "none"
    START = "start"
    """Bring the child up."""
    TRAP = "trap"
    """Let the next packet bring it up."""
    TRAP_START = "trap|start"

    @property
    def starts(self) -> bool:
        return self in (Action.START, Action.TRAP_START)

    @property
    def traps(self) -> bool:
        return self in (Action.TRAP, Action.TRAP_START)


class HwOffload(StrEnum):
    """IPsec offload to the network card."""

    NO = "no"
    CRYPTO = "crypto"
    PACKET = "packet"
    AUTO = "auto"


class CopyDscp(StrEnum):
    """Which way the DSCP field is copied between outer and inner header."""

    OUT = "out"
    IN = "in"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """IKE addresses that fit: any, one, a network, a range, or those of a host name.

    `low` and `high` are packed and included; both are empty for `%any` and
    for a host name.
    """

    text: str
    low: bytes = b""
    high: bytes = b""
    hostname: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `%any`, an address, `10.0.0.0/8`, `10.0.0.1-10.0.0.9` or a DNS name. Raises ValueError."""
        text = text.strip()
        if text == "%any":
            return cls(text)
        for word, network in (
            ("%any4", "0.0.0.0/0"),
            ("0.0.0.0", "0.0.0.0/0"),
            ("%any6", "::/0"),
            ("::", "::/0"),
        ):
            if text == word:
                return cls._of_network(text, ipaddress.ip_network(network))
        try:
            address = ipaddress.ip_address(text)
            return cls(text, address.packed, address.packed)
        except ValueError:
            pass
        try:
            if "/" in text:
                return cls._of_network(text, ipaddress.ip_network(text, strict=False))
            first, dash, last = text.partition("-")
            if dash and first.strip() and (first.strip()[-1].isdigit() or ":" in first):
                low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
                if low.version == high.version and low.packed <= high.packed:
                    return cls(text, low.packed, high.packed)
        except ValueError:
            pass
        if not _is_hostname(text):
            raise ValueError(f"{text[:80]!r} is not an address, a network, a range of addresses, a host name or %any")
        return cls(text, hostname=text)

    @classmethod
    def _of_network(cls, text: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Self:
        return cls(text, network[0].packed, network[-1].packed)

    @property
    def is_any(self) -> bool:
        """`%any` itself; `%any4` and `%any6` are networks."""
        return not self.low and self.hostname is None

    @property
    def concrete(self) -> bytes | None:
        """The single address it stands for, packed; None when there is none or a name must be looked up."""
        return self.low if self.low and self.low == self.high else None

    def match(self, address: bytes, resolved: Mapping[str, Sequence[bytes]] | None = None) -> int:
        """How well a packed address fits; 0 not at all.

        `resolved` gives the addresses of host names; a name it does not hold
        fits nothing.
        """
        low = self.low
        if low == self.high:
            if low:
                return EXACT_ADDRESS_MATCH if low == address else NO_ADDRESS_MATCH
            if self.hostname is None:
                return ANY_ADDRESS_MATCH
            known = (resolved or {}).get(self.hostname, ())
            return EXACT_ADDRESS_MATCH if address in known else NO_ADDRESS_MATCH
        if len(address) != len(low) or not low <= address <= self.high:
            return NO_ADDRESS_MATCH
        spread = int.from_bytes(self.low, "big") ^ int.from_bytes(self.high, "big")
        return 2 + 8 * len(address) - spread.bit_length()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class KeyConstraint:
    """One acceptable sort of key and signature; empty members do not restrict.

    `key` is a word of `crypto.signature.KEY_TYPES`, or "" for any. `pss` demands RSA-PSS.
    """

    key: str = ""
    min_bits: int = 0
    pss: bool = False
    hashes: tuple[HashAlgorithm, ...] = ()


@dataclass(frozen=True, slots=True)
class Auth:
    """An authentication method with its constraints.

    `ike` restricts the signature in AUTH, `chain` the keys and signatures of
    the certificates; each lists alternatives and empty means anything goes.
    `backend` and its `profile` (a PAM service, a RADIUS section) count for
    XAUTH only, `eap` for EAP: the methods to offer or to accept, best first,
    with `inner` for EAP-TTLS.
    """

    kind: AuthKind = AuthKind.PUBKEY
    ike: tuple[KeyConstraint, ...] = ()
    chain: tuple[KeyConstraint, ...] = ()
    backend: XauthBackend = XauthBackend.LOCAL
    profile: str = ""
    eap: tuple[EapType, ...] = ()
    inner: Inner = Inner.ANY


@dataclass(frozen=True, slots=True)
class Local:
    """How we authenticate. `id` None stands for our address; `certs` are DER.

    `xauth_id` is the user name to give, never empty in an XAUTH round.
    `eap_id` is who we are to an EAP server (None: `id`), `aaa_id` whom that
    server's certificate must name (None: the gateway itself).
    """

    name: str = "local"
    auth: Auth = Auth()
    id: Identity | None = None
    certs: tuple[bytes, ...] = field(default=(), repr=False)
    xauth_id: str = ""
    pubkeys: tuple[bytes, ...] = field(default=(), repr=False)
    eap_id: Identity | None = None
    aaa_id: IdentityPattern | None = None


class Revocation(StrEnum):
    """How strictly revocation is checked; `pki.revocation.Strictness` says what each means."""

    STRICT = "strict"
    IFURI = "ifuri"
    RELAXED = "relaxed"


@dataclass(frozen=True, slots=True)
class Remote:
    """What the peer must prove. `certs` and `cacerts` are DER; empty ones do not restrict.

    `eap_id` is who the peer may be to our EAP server: without one it is not
    asked, and has to be whom its IKE identity names.
    """

    name: str = "remote"
    auth: Auth = Auth()
    id: IdentityPattern = field(default_factory=lambda: IdentityPattern.parse("%any"))
    certs: tuple[bytes, ...] = field(default=(), repr=False)
    cacerts: tuple[bytes, ...] = field(default=(), repr=False)
    eap_id: IdentityPattern | None = None
    revocation: Revocation = Revocation.RELAXED
    ca_id: Identity | None = None
    cert_policy: tuple[str, ...] = ()
    pubkeys: tuple[bytes, ...] = field(default=(), repr=False)
    """SubjectPublicKeyInfo, DER, as `Local.pubkeys`; without any a certificate is wanted."""


class Fresh(StrEnum):
    """Whether a mark is chosen anew for each child."""

    NO = ""
    CHILD = "%unique"
    """One for both directions."""
    DIRECTION = "%unique-dir"
    """One for each direction."""


class Mark(NamedTuple):
    """A packet mark and the bits of it that count; mask 0 is no mark. One that is `fresh` has no value yet."""

    value: int = 0
    mask: int = 0
    fresh: Fresh = Fresh.NO


NO_MARK = Mark()


def _networks(specs: tuple[SelectorSpec, ...]) -> tuple[TrafficSelector, ...]:
    """The selectors, if none of them is `dynamic`."""
    networks = tuple([spec.network for spec in specs if spec.network is not None])
    return networks if len(networks) == len(specs) else ()


TFC_MTU = 0xFFFFFFFF
"""`tfc_padding = mtu`: the kernel pads to the MTU at most, whatever it is told."""


@dataclass(frozen=True, slots=True)
class Child:
    """A CHILD_SA to be. One of `esp_proposals` and `ah_proposals` may be empty, not both."""

    name: str
    esp_proposals: tuple[Proposal, ...]
    ah_proposals: tuple[Proposal, ...] = ()
    local_ts: tuple[SelectorSpec, ...] = (SelectorSpec(None),)
    remote_ts: tuple[SelectorSpec, ...] = (SelectorSpec(None),)
    mode: Mode = Mode.TUNNEL
    sha256_96: bool = False
    rekey_time: int = 3600
    life_time: int = 3960
    rand_time: int = 360
    rekey_bytes: int = 0
    life_bytes: int = 0
    rand_bytes: int = 0
    rekey_packets: int = 0
    life_packets: int = 0
    rand_packets: int = 0
    start_action: Action = Action.NONE
    dpd_action: Action = Action.NONE
    close_action: Action = Action.NONE
    policies: bool = True
    policies_fwd_out: bool = False
    reqid: int = 0
    priority: int = 0
    interface: str = ""
    mark_in: Mark = NO_MARK
    mark_out: Mark = NO_MARK
    mark_in_sa: bool = False
    set_mark_in: Mark = NO_MARK
    set_mark_out: Mark = NO_MARK
    if_id_in: int = 0
    if_id_out: int = 0
    replay_window: int = 32
    hw_offload: HwOffload = HwOffload.NO
    copy_df: bool = True
    copy_ecn: bool = True
    copy_dscp: CopyDscp = CopyDscp.OUT
    icmp: bool = False
    ipcomp: bool = False
    inactivity: int = 0
    """Seconds without a packet after which it is closed; 0: never."""
    tfc_padding: int = 0
    """Octets to which ESP packets are padded at least; TFC_MTU: as far as the path goes; 0: not at all."""
    bundle: bool = False
    """IKEv1: AH and ESP together (RFC 2409 §5.5), rather than one of them; both lists of proposals are there."""
    proposals: tuple[Proposal, ...] = field(init=False, repr=False, compare=False)
    """Every proposal in order of preference, ESP before AH."""
    is_shunt: bool = field(init=False, repr=False, compare=False)
    """There is nothing to negotiate: its policies let packets pass, or drop them."""
    unique_marks: bool = field(init=False, repr=False, compare=False)
    """Every child of it has a mark of its own, or several."""
    fixed_local: tuple[TrafficSelector, ...] = field(init=False, repr=False, compare=False)
    """The traffic of our side, where nothing of it is `dynamic`; else empty."""
    fixed_remote: tuple[TrafficSelector, ...] = field(init=False, repr=False, compare=False)
    """That of the peer's side, likewise."""

    def __post_init__(self) -> None:
        # What every handshake asks is answered once.
        object.__setattr__(self, "proposals", self.esp_proposals + self.ah_proposals)
        object.__setattr__(self, "is_shunt", self.mode in (Mode.PASS, Mode.DROP))
        object.__setattr__(self, "unique_marks", bool(self.mark_in.fresh or self.mark_out.fresh))
        object.__setattr__(self, "fixed_local", _networks(self.local_ts))
        object.__setattr__(self, "fixed_remote", _networks(self.remote_ts))

    @property
    def protocol(self) -> Protocol:
        """What is offered: ESP unless only AH proposals are configured."""
        return Protocol.ESP if self.esp_proposals else Protocol.AH


@dataclass(frozen=True, slots=True)
class Dhcp:
    """DHCP over IPsec (RFC 3456). Addresses are packed IPv4; empty members are not set.

    `client`: we get our inner address this way. Otherwise we relay: to
    `server`, as the relay agent `giaddr` (else our inner address), by way of
    `interface` (else as routes say).
    """

    client: bool = False
    server: bytes = b""
    giaddr: bytes = b""
    interface: str = ""


DHCP_CLIENT = SelectorSpec.parse("0.0.0.0/0[udp/bootpc]")
DHCP_SERVER = SelectorSpec.parse("0.0.0.0/0[udp/bootps]")
"""The ends of a DHCP SA (RFC 3456 §4.1: any to any, by port)."""

DHCP_LIFE = 300
"""Seconds a DHCP SA lives at most: of the order of minutes (RFC 3456 §4.1). Nobody rekeys it."""

DHCP_MARK = Mark(0, 0x7FFF0000, Fresh.CHILD)
"""Each DHCP SA has a mark of its own, in bits that leave an operator's small marks alone."""


def _fixed(local: Sequence[AddressSpec], remote: Sequence[AddressSpec]) -> tuple[bytes, bytes] | None:
    """The only two addresses that these lists stand for, if they do and are of one family."""
    if len(local) != 1 or len(remote) != 1:
        return None
    ours, theirs = local[0].concrete, remote[0].concrete
    return (ours, theirs) if ours and theirs and len(ours) == len(theirs) else None


EXTRAS = (
    "takes_fragments",
    "mobike",
    "vips",
    "qcd",
    "resumption",
    "follow_redirects",
    "redirect_to",
    "message_id_sync",
    "reauth_time",
)
"""What a connection may have set, and without which there is less to say and to hear in a handshake."""


@lru_cache(1 << len(EXTRAS))
def _shared(extras: frozenset[str]) -> frozenset[str]:
    """One set for all connections that set the same."""
    return extras


@dataclass(frozen=True, slots=True)
class Connection:
    """An IKE configuration and its children.

    `vips` are packed; the unspecified address asks for any. `local` and
    `remote` have a round of authentication each or several (RFC 4739); in
    IKEv1 a second one is XAUTH.
    """

    name: str
    proposals: tuple[Proposal, ...]
    version: int = 0
    local_addrs: tuple[AddressSpec, ...] = (AddressSpec("%any"),)
    remote_addrs: tuple[AddressSpec, ...] = (AddressSpec("%any"),)
    local_port: int = 500
    remote_port: int = 500
    vips: tuple[bytes, ...] = ()
    dns_domains: tuple[str, ...] = (ANY_DOMAIN,)
    """For which names we ask the name servers of a gateway: as it says, for none, or in these domains alone."""
    aggressive: bool = False
    aggressive_psk: bool = False
    pull: bool = True
    encap: bool = False
    mobike: bool = True
    tcp: Tcp = Tcp.NO
    remote_tcp_port: int = 4500
    dpd_delay: int = 0
    dpd_timeout: int = 0
    fragmentation: Fragmentation = Fragmentation.YES
    window: int = 1
    message_id_sync: bool = False
    qcd: bool = False
    resumption: bool = False
    follow_redirects: bool = False
    redirect_to: str | None = None
    send_certreq: bool = True
    send_cert: SendCert = SendCert.IFASKED
    ocsp: Ocsp = Ocsp.REPLY
    cert_uris: tuple[str, ...] = ()
    ppk_id: Identity | None = None
    ppk_required: bool = False
    ppk_intermediate: bool = True
    keyingtries: int = 1
    unique: Unique = Unique.NO
    childless: Childless = Childless.ALLOW
    reauth_time: int = 0
    rekey_time: int = 14400
    over_time: int = 1440
    rand_time: int = 1440
    life_bytes: int = 0
    pools: tuple[str, ...] = ()
    dhcp: Dhcp | None = None
    if_id_in: int = 0
    if_id_out: int = 0
    local: tuple[Local, ...] = (Local(),)
    remote: tuple[Remote, ...] = (Remote(),)
    children: tuple[Child, ...] = ()
    wants_certificates: bool = field(init=False, repr=False, compare=False)
    """A peer is to prove itself by a certificate or a raw key, and is told which ones serve."""
    narrows_methods: bool = field(init=False, repr=False, compare=False)
    """Only some signatures are taken (`auth = ike:...`)."""
    by_key_pair: bool = field(init=False, repr=False, compare=False)
    """A side proves itself by a certificate or a raw key."""
    has_rounds: bool = field(init=False, repr=False, compare=False)
    """A side has several rounds of authentication (RFC 4739)."""
    negotiable: tuple[Child, ...] = field(init=False, repr=False, compare=False)
    """The children that an SA can be made for: all but shunts."""
    extras: frozenset[str] = field(init=False, repr=False, compare=False)
    """Those of EXTRAS that are set."""
    fixed_ends: tuple[bytes, bytes] | None = field(init=False, repr=False, compare=False)
    """The packed addresses, ours and the peer's, where there is exactly one of each."""

    def __post_init__(self) -> None:
        # What every handshake asks is answered once.
        by_key = any(remote.auth.kind is AuthKind.PUBKEY for remote in self.remote)
        object.__setattr__(self, "wants_certificates", self.send_certreq and by_key)
        by_key = by_key or any(local.auth.kind is AuthKind.PUBKEY for local in self.local)
        object.__setattr__(self, "by_key_pair", by_key)
        object.__setattr__(self, "narrows_methods", any(remote.auth.ike for remote in self.remote))
        object.__setattr__(self, "has_rounds", len(self.local) > 1 or len(self.remote) > 1)
        object.__setattr__(self, "negotiable", tuple([child for child in self.children if not child.is_shunt]))
        object.__setattr__(self, "extras", _shared(frozenset([option for option in EXTRAS if getattr(self, option)])))
        object.__setattr__(self, "fixed_ends", _fixed(self.local_addrs, self.remote_addrs))

    @property
    def xauth_client(self) -> Local | None:
        """The round in which we give a user name and a password."""
        return next((local for local in self.local if local.auth.kind is AuthKind.XAUTH), None)

    @property
    def xauth_server(self) -> Remote | None:
        """The round in which the peer must give a user name and a password."""
        return next((remote for remote in self.remote if remote.auth.kind is AuthKind.XAUTH), None)

    @property
    def hybrid(self) -> bool:
        """Whether one side proves itself by XAUTH alone."""
        return AuthKind.XAUTH in (self.local[0].auth.kind, self.remote[0].auth.kind)

    @property
    def isakmp_time(self) -> int:
        """Seconds after which an ISAKMP SA is replaced, before `rand_time` is subtracted; 0 is never.

        IKEv1 has no rekeying of phase 1 but a new phase 1, so both options mean it.
        """
        return min(filter(None, (self.reauth_time, self.rekey_time)), default=0)

    @property
    def takes_fragments(self) -> bool:
        return self.fragmentation is not Fragmentation.NO

    def speaks(self, version: int) -> bool:
        """Whether it may be used with IKEv1 or IKEv2.

        One that takes both is of no use to IKEv1 where its two sides prove
        themselves in different ways (RFC 2409 §5: one method for both), or in
        a way that only IKEv2 has.
        """
        if self.version == 0 and version == 1:
            kind = self.local[0].auth.kind
            same = self.remote[0].auth.kind is kind and len(self.local) == len(self.remote) == 1
            same = same and not (self.local[0].pubkeys or self.remote[0].pubkeys)
            return same and kind in (AuthKind.PSK, AuthKind.PUBKEY)
        return self.version in (0, version)

    def child(self, name: str) -> Child | None:
        """The child of that name; the DHCP SA has one, too."""
        for child in self.children:
            if child.name == name:
                return child
        return self.dhcp_child if self.dhcp is not None and name == self.dhcp_name else None

    @property
    def dhcp_name(self) -> str:
        """What the DHCP SA's child is called."""
        return f"{self.name}-dhcp"

    @property
    def dhcp_child(self) -> Child | None:
        """The DHCP SA (RFC 3456 §4.1) as a child: the first child's proposals, any addresses, the ports of DHCP.

        None where DHCP is not configured. Its unique mark is what tells the
        DHCP SAs of several peers apart: their selectors are the same.
        """
        if self.dhcp is None or not self.negotiable:
            return None
        first = self.negotiable[0]
        ours, theirs = (DHCP_CLIENT, DHCP_SERVER) if self.dhcp.client else (DHCP_SERVER, DHCP_CLIENT)
        return Child(
            self.dhcp_name,
            first.esp_proposals,
            first.ah_proposals,
            (ours,),
            (theirs,),
            sha256_96=first.sha256_96,
            rekey_time=0,
            life_time=DHCP_LIFE,
            rand_time=0,
            mark_in=DHCP_MARK,
            mark_out=DHCP_MARK,
            set_mark_in=DHCP_MARK,
            bundle=first.bundle,
        )

    def same_ike(self, other: Connection) -> bool:
        """Whether all but the children is equal, so that a reload touches children only."""
        return replace(self, children=()) == replace(other, children=())


@dataclass(frozen=True, slots=True)
class Authority:
    """A certification authority by name. `cacert` is DER."""

    name: str
    cacert: bytes = field(repr=False)
    crl_uris: tuple[str, ...] = ()
    ocsp_uris: tuple[str, ...] = ()
    cert_uri_base: str = ""


class PoolAttribute(NamedTuple):
    """A configuration attribute as it goes out: numbers of two octets are int, everything else octets."""

    type: int
    value: int | bytes


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses to hand out, `low` to `high` packed and included, and what is told along with one."""

    name: str
    low: bytes
    high: bytes
    attributes: tuple[PoolAttribute, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A pre-shared key and whom it belongs to (no owners: anybody's), or a user's password."""

    name: str
    owners: tuple[IdentityPattern, ...]
    data: Secret
    kind: SecretKind = SecretKind.IKE


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate (DER) to be known; `ca` makes it a trust anchor, `ocsp` an OCSP responder we trust."""

    data: bytes = field(repr=False)
    ca: bool = False
    ocsp: bool = False


@dataclass(frozen=True, slots=True)
class Crl:
    """A certificate revocation list (DER), and where it is from: a file's path, for the operator."""

    data: bytes = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A raw public key (SubjectPublicKeyInfo, DER) to be listed; `remote.pubkeys` alone says whose it is."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key, unencrypted PKCS#8 DER; `kind` is a word of `crypto.signature.KEY_TYPES`."""

    kind: str
    data: Secret


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that one configuration says, in the order it says it."""

    connections: tuple[Connection, ...] = ()
    secrets: tuple[SharedSecret, ...] = ()
    authorities: tuple[Authority, ...] = ()
    certs: tuple[Certificate, ...] = ()
    keys: tuple[PrivateKey, ...] = ()
    pools: tuple[Pool, ...] = ()
    crls: tuple[Crl, ...] = ()


def _is_hostname(text: str) -> bool:
    labels = text.rstrip(".").split(".")
    return (
        0 < len(text) <= 253
        and text.isascii()
        and all(0 < len(label) <= 63 and not label.startswith("-") for label in labels)
        and all(c.isalnum() or c in "-_" for label in labels for c in label)
        and not labels[-1].isdigit()
    )
