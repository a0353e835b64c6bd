"""What the kernel's databases hold, as typed records.

Records are values: compare them, hash them, vary them with ``dataclasses.replace``.
A type checker holds them frozen; at run time they are plain slotted dataclasses,
because the guard would cost more than packing them does.

Units: octets, packets, bits where a name says ``_bits``; durations end in ``_for``
and are whole seconds, instants end in ``_at`` and are whole seconds of wall time
since 1970.  SPIs, ports and indices are numbers in host order.  Keys show their
length alone in ``repr``.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias, TypeVar, dataclass_transform

from .uapi import UNLIMITED, Action, DefaultAction, EncapType, Mode, PolicyType, Proto, Share

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """A slotted, hashable dataclass, frozen for the type checker."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


# -- shared parts --------------------------------------------------------------


@record
class Selector:
    """Which packets: struct xfrm_selector.

    Zero means any, for ``proto``, ``ifindex``, ``uid`` and for ports whose mask is zero.
    With ICMP the source port is the type and the destination port the code; with
    Mobile IPv6 headers and GRE keys the two ports carry those numbers likewise.
    """

    src: Address
    src_prefix: int
    dst: Address
    dst_prefix: int
    proto: int = 0
    src_port: int = 0
    src_port_mask: int = 0
    dst_port: int = 0
    dst_port_mask: int = 0
    ifindex: int = 0
    uid: int = 0

    @classmethod
    def between(
        cls, src: Network | str, dst: Network | str, proto: int = 0, src_port: int | None = None,
        dst_port: int | None = None,
    ) -> "Selector":  # fmt: skip
        """A selector from two networks ("10.0.0.0/8" will do) and, if given, exact ports.

        Raises:
            ValueError: not a network, host bits set, or the families differ.
        """
        a, b = ip_network(src), ip_network(dst)
        if a.version != b.version:
            raise ValueError(f"a selector between {a} and {b} mixes families")
        return cls(
            a.network_address, a.prefixlen, b.network_address, b.prefixlen, proto,
            src_port or 0, 0 if src_port is None else 0xFFFF,
            dst_port or 0, 0 if dst_port is None else 0xFFFF,
        )  # fmt: skip


@record
class Lifetime:
    """Limits of an SA or policy: struct xfrm_lifetime_cfg.

    Octet and packet limits are UNLIMITED when absent; the durations, counted from
    creation (``add``) and from first use (``use``), are 0 when absent.  A soft limit
    raises an event, a hard one removes the SA or policy and raises an event.
    """

    soft_octets: int = UNLIMITED
    hard_octets: int = UNLIMITED
    soft_packets: int = UNLIMITED
    hard_packets: int = UNLIMITED
    soft_add_for: int = 0
    hard_add_for: int = 0
    soft_use_for: int = 0
    hard_use_for: int = 0


NO_LIMITS = Lifetime()


@record
class Usage:
    """What an SA or policy has carried so far; ``used_at`` is 0 before first use."""

    octets: int = 0
    packets: int = 0
    added_at: int = 0
    used_at: int = 0


@record
class Mark:
    """A packet mark and which of its bits count."""

    value: int
    mask: int = 0xFFFFFFFF


@record
class SecurityContext:
    """An LSM's label (XFRMA_SEC_CTX); ``context`` as the LSM writes it, terminator included."""

    context: bytes
    algorithm: int = 1  # XFRM_SC_ALG_SELINUX
    doi: int = 1  # XFRM_SC_DOI_LSM


@record
class Offload:
    """Hand the work to a network card (XFRMA_OFFLOAD_DEV): its ifindex and OffloadFlag bits.

    Without PACKET the card does the cipher alone (crypto offload), with it everything.
    """

    ifindex: int
    flags: int = 0


# -- SAs -----------------------------------------------------------------------


@record
class Aead:
    """Combined-mode cipher (XFRMA_ALG_AEAD): kernel name, key with its salt, ICV length."""

    name: str
    key: bytes
    icv_bits: int

    def __repr__(self) -> str:
        return f"Aead({self.name!r}, <{len(self.key)} octets>, icv_bits={self.icv_bits})"


@record
class Crypt:
    """Cipher (XFRMA_ALG_CRYPT): kernel name such as 'cbc(aes)' and key."""

    name: str
    key: bytes

    def __repr__(self) -> str:
        return f"Crypt({self.name!r}, <{len(self.key)} octets>)"


@record
class Auth:
    """Integrity (XFRMA_ALG_AUTH_TRUNC): kernel name such as 'hmac(sha256)', key, ICV length.

    Without ``trunc_bits`` the kernel's default length holds (XFRMA_ALG_AUTH), which for
    hmac(sha256) is 96 bits and not RFC 4868's 128.
    """

    name: str
    key: bytes
    trunc_bits: int | None = None

    def __repr__(self) -> str:
        return f"Auth({self.name!r}, <{len(self.key)} octets>, trunc_bits={self.trunc_bits})"


@record
class Comp:
    """Compression (XFRMA_ALG_COMP): kernel name such as 'deflate'; no algorithm has a key so far."""

    name: str
    key: bytes = b""

    def __repr__(self) -> str:
        return f"Comp({self.name!r}, <{len(self.key)} octets>)"


@record
class Encap:
    """Carry ESP in UDP or TCP (XFRMA_ENCAP); ``original`` is the peer's address before NAT, if wanted."""

    src_port: int
    dst_port: int
    type: int = EncapType.ESPINUDP
    original: Address | None = None


@record
class Replay:
    """Replay protection: window in packets and where both counters stand.

    ``seq`` is the highest number received, ``oseq`` the last one sent; with SaFlag.ESN
    both have 64 bits.  Bit 0 of ``bitmap`` is the first one of the kernel's bitmap.
    Windows above 32, and ESN, travel as XFRMA_REPLAY_ESN_VAL, others in the SA itself
    and, when the counters are not zero, XFRMA_REPLAY_VAL.
    """

    window: int = 0
    seq: int = 0
    oseq: int = 0
    bitmap: int = 0


NO_REPLAY = Replay()


@record
class Iptfs:
    """Traffic flow security (RFC 9347, Linux 6.14); None leaves the kernel's default.

    ``drop_time_us``, ``reorder_window`` (packets) are for the incoming SA, the others for
    the outgoing one: no fragments, initial delay, queue limit in octets, size of the
    outer packet in octets (0 follows the path MTU).
    """

    drop_time_us: int | None = None
    reorder_window: int | None = None
    dont_fragment: bool = False
    init_delay_us: int | None = None
    max_queue_octets: int | None = None
    packet_octets: int | None = None


@record
class SaId:
    """Names one SA: destination, SPI and protocol, and the mark if it has one.

    ``src`` is for SAs found by addresses (Mobile IPv6), where the SPI is 0.
    """

    dst: Address
    spi: int
    proto: int = Proto.ESP
    mark: Mark | None = None
    src: Address | None = None


@record
class Sa:
    """One security association, as we want it or as the kernel has it.

    Thirty fields are one thing because the kernel's SA has them; all but the first
    three have defaults.  ``selector`` None matches any packet in the SA's own family.
    ``cpu`` binds the SA to a CPU (Linux 6.13), ``direction`` to a SaDirection (6.10);
    ``nat_keepalive_for`` is the period of the kernel's own NAT keepalives (6.11); a
    kernel older than an attribute ignores it without a word.  ``mapping_max_age_for``
    limits how often a MAPPING event may come, ``replay_threshold`` (packets) and
    ``timer_threshold`` when async events come; the kernel takes the latter in its ticks
    and gives it back in tenths of a second.  ``seq`` joins an SA to the ACQUIRE that
    asked for it.
    ``usage`` preloads the counters, as failover wants it.
    """

    src: Address
    dst: Address
    spi: int
    proto: int = Proto.ESP
    mode: int = Mode.TUNNEL
    reqid: int = 0
    aead: Aead | None = None
    crypt: Crypt | None = None
    auth: Auth | None = None
    comp: Comp | None = None
    encap: Encap | None = None
    replay: Replay = NO_REPLAY
    flags: int = 0
    extra_flags: int = 0
    selector: Selector | None = None
    lifetime: Lifetime = NO_LIMITS
    mark: Mark | None = None
    output_mark: Mark | None = None
    if_id: int = 0
    direction: int | None = None
    tfc_pad: int = 0
    offload: Offload | None = None
    cpu: int | None = None
    iptfs: Iptfs | None = None
    coaddr: Address | None = None
    security: SecurityContext | None = None
    nat_keepalive_for: int = 0
    mapping_max_age_for: int = 0
    replay_threshold: int | None = None
    timer_threshold: int | None = None
    seq: int = 0
    usage: Usage | None = None

    @property
    def id(self) -> SaId:
        """What deletes or finds this SA."""
        return SaId(self.dst, self.spi, self.proto, self.mark)


@record
class Stats:
    """Why an SA dropped packets: struct xfrm_stats."""

    replay_window: int = 0
    replay: int = 0
    integrity_failed: int = 0


@record
class SaInfo:
    """An SA as the kernel reports it; ``last_used_at`` is 0 when unknown or never."""

    sa: Sa
    usage: Usage
    stats: Stats
    last_used_at: int = 0


@record
class AddressFilter:
    """Which SAs a dump shows, by prefixes of their own addresses (XFRMA_ADDRESS_FILTER)."""

    src: Address
    src_prefix: int
    dst: Address
    dst_prefix: int


@record
class AeState:
    """Counters of one SA, for failover and accounting: what NEWAE carries.

    As a reply or event all parts the kernel sends are there and ``flags`` (AeFlag) tells
    the cause.  As an update, None leaves a part as it is.  ``timer_threshold`` is in tenths
    of a second when read and in the kernel's ticks when written.
    """

    id: SaId
    src: Address | None = None
    reqid: int = 0
    flags: int = 0
    replay: Replay | None = None
    usage: Usage | None = None
    replay_threshold: int | None = None
    timer_threshold: int | None = None
    esn: bool = False


# -- policies ------------------------------------------------------------------

ALL_ALGORITHMS = 0xFFFFFFFF


@record
class Template:
    """One transformation a policy demands: struct xfrm_user_tmpl.

    Unspecified addresses, SPI 0 and reqid 0 match any.  The three masks are remnants
    of PF_KEY; the kernel looks at them only when it is told that not all are allowed.
    """

    src: Address
    dst: Address
    proto: int = Proto.ESP
    mode: int = Mode.TUNNEL
    reqid: int = 0
    spi: int = 0
    optional: bool = False
    share: int = Share.ANY
    auth_algorithms: int = ALL_ALGORITHMS
    crypt_algorithms: int = ALL_ALGORITHMS
    comp_algorithms: int = ALL_ALGORITHMS


@record
class PolicyKey:
    """Names one policy by what it matches; mark, if_id and label must be equal too."""

    selector: Selector
    direction: int
    mark: Mark | None = None
    if_id: int = 0
    type: int = PolicyType.MAIN
    security: SecurityContext | None = None


@record
class PolicyIndex:
    """Names one policy by its index, which costs the same among ten or a million.

    The low three bits of an index are the direction; mark and if_id must be the policy's.
    """

    index: int
    mark: Mark | None = None
    if_id: int = 0
    type: int = PolicyType.MAIN

    @property
    def direction(self) -> int:
        """The direction the index carries."""
        return self.index & 7


@record
class Policy:
    """One policy, as we want it or as the kernel has it.

    A smaller ``priority`` wins.  ``index`` 0 lets the kernel choose; one of our own must
    carry the direction in its low three bits, and the kernel takes another one when it is
    in use already.  Without templates the packet passes untouched.
    """

    selector: Selector
    direction: int
    templates: tuple[Template, ...] = ()
    priority: int = 0
    index: int = 0
    action: int = Action.ALLOW
    lifetime: Lifetime = NO_LIMITS
    flags: int = 0
    share: int = Share.ANY
    type: int = PolicyType.MAIN
    mark: Mark | None = None
    if_id: int = 0
    security: SecurityContext | None = None
    offload: Offload | None = None

    @property
    def key(self) -> PolicyKey:
        """What finds this policy by its selector."""
        return PolicyKey(self.selector, self.direction, self.mark, self.if_id, self.type, self.security)


@record
class PolicyInfo:
    """A policy as the kernel reports it."""

    policy: Policy
    usage: Usage


# -- moving, counting, tuning --------------------------------------------------


@record
class Migration:
    """One SA that MIGRATE moves; reqid 0 means any reqid."""

    old_src: Address
    old_dst: Address
    new_src: Address
    new_dst: Address
    proto: int = Proto.ESP
    mode: int = Mode.TUNNEL
    reqid: int = 0


@record
class KmAddress:
    """Addresses the key managers shall use after a migration (XFRMA_KMADDRESS)."""

    local: Address
    remote: Address


@record
class SadInfo:
    """Size of the SA database: SAs, hash buckets now, hash buckets at most."""

    count: int
    buckets: int
    buckets_max: int


@record
class HashThreshold:
    """Policies whose prefixes are at least this long are found by hash, others by walking a list."""

    local_bits: int
    remote_bits: int


@record
class SpdInfo:
    """Size of the policy database, by direction, for ordinary and for socket policies."""

    count_in: int
    count_out: int
    count_fwd: int
    sockets_in: int
    sockets_out: int
    sockets_fwd: int
    buckets: int
    buckets_max: int
    threshold4: HashThreshold
    threshold6: HashThreshold


@record
class Defaults:
    """What becomes of packets that no policy matches, by direction (Linux 5.14)."""

    inbound: int = DefaultAction.UNSPEC
    fwd: int = DefaultAction.UNSPEC
    out: int = DefaultAction.UNSPEC
