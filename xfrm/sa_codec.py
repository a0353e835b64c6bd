"""SAs, their names and their counters: records to octets and back."""

from socket import htonl, htons
from struct import Struct
from typing import Any, Final

from . import messages as msg
from . import structs
from .codec import (
    MODES,
    NO_SELECTOR,
    PROTOS,
    family_of,
    pack_lifetime,
    pack_mark,
    pack_offload,
    pack_security,
    pack_selector,
    pack_usage,
    read_address,
    read_lifetime,
    read_mark,
    read_offload,
    read_optional_address,
    read_security,
    read_selector,
    read_stats,
    read_usage,
)
from .errors import Malformed
from .messages import Attributes
from .model import (
    NO_REPLAY,
    Address,
    Aead,
    AeState,
    Auth,
    Comp,
    Crypt,
    Encap,
    Iptfs,
    Mark,
    Replay,
    Sa,
    SaId,
    SaInfo,
    Usage,
)
from .uapi import LEGACY_WINDOW_MAX, REPLAY_WINDOW_MAX, AeFlag, Attr, SaFlag

_NO_USAGE: Final = bytes(structs.LIFETIME_CUR.size)
_NO_STATS: Final = bytes(structs.STATS.size)
_ESN: Final = int(SaFlag.ESN)
_ALL_BITS: Final = 0xFFFFFFFF

# -- the algorithms, in the order the kernel tries them --------------------------


def _read_algorithms(attributes: Attributes) -> tuple[Aead | None, Crypt | None, Auth | None, Comp | None]:
    """The kernel reports integrity twice, truncated and, for old readers, not: the first one counts."""
    aead = crypt = auth = comp = None
    if payload := attributes.get(Attr.ALG_AEAD):
        name, key, (icv_bits,) = msg.ALG_AEAD.read(payload)
        aead = Aead(name, key, icv_bits)
    if payload := attributes.get(Attr.ALG_CRYPT):
        name, key, _ = msg.ALG_CRYPT.read(payload)
        crypt = Crypt(name, key)
    if payload := attributes.get(Attr.ALG_AUTH_TRUNC):
        name, key, (trunc_bits,) = msg.ALG_AUTH_TRUNC.read(payload)
        auth = Auth(name, key, trunc_bits)
    elif payload := attributes.get(Attr.ALG_AUTH):
        name, key, _ = msg.ALG_AUTH.read(payload)
        auth = Auth(name, key)
    if payload := attributes.get(Attr.ALG_COMP):
        name, key, _ = msg.ALG_COMP.read(payload)
        comp = Comp(name, key)
    return aead, crypt, auth, comp


def pack_encap(encap: Encap) -> bytes:
    original = b"" if encap.original is None else encap.original.packed
    return msg.ENCAP.pack(encap.type, htons(encap.src_port), htons(encap.dst_port), original)


def read_encap(attributes: Attributes, family: int) -> Encap | None:
    fields = attributes.fields(msg.ENCAP)
    if fields is None:
        return None
    kind, src_port, dst_port, original = fields
    return Encap(htons(src_port), htons(dst_port), kind, read_optional_address(original, family))


# -- replay state ----------------------------------------------------------------


def _pack_replay(replay: Replay, esn: bool) -> bytes:
    """The attribute, or nothing when the SA's own window says it all.

    Raises:
        ValueError: a window or counter larger than the kernel can keep.
    """
    window = replay.window
    if not esn and window <= LEGACY_WINDOW_MAX:
        if replay.seq or replay.oseq or replay.bitmap:
            return msg.REPLAY_VAL.pack(replay.oseq, replay.seq, replay.bitmap)
        return b""
    if window > REPLAY_WINDOW_MAX:
        raise ValueError(f"a replay window of {window}, the kernel's largest is {REPLAY_WINDOW_MAX}")
    words = (window + 31) // 32
    if replay.bitmap >> 32 * words:
        raise ValueError("a replay bitmap wider than its window")
    head = structs.REPLAY_STATE_ESN.pack(
        words,
        replay.oseq & _ALL_BITS,
        replay.seq & _ALL_BITS,
        replay.oseq >> 32,
        replay.seq >> 32,
        window,
    )
    if not replay.bitmap:  # the kernel takes a head alone as one with zeros
        return msg.attribute(Attr.REPLAY_ESN_VAL, head)
    bitmap = (replay.bitmap >> 32 * word & _ALL_BITS for word in range(words))
    return msg.attribute(Attr.REPLAY_ESN_VAL, head + Struct(f"={words}I").pack(*bitmap))


def _read_replay(attributes: Attributes, window: int) -> Replay | None:
    payload = attributes.get(Attr.REPLAY_ESN_VAL)
    if payload is not None:
        head = structs.REPLAY_STATE_ESN.size
        if len(payload) < head:
            raise Malformed("a replay state shorter than its header")
        words, oseq, seq, oseq_hi, seq_hi, window = structs.REPLAY_STATE_ESN.unpack_from(payload, 0)
        if len(payload) == head:
            words = 0
        if head + 4 * words > len(payload):
            raise Malformed(f"a replay bitmap of {words} words in an attribute of {len(payload)} octets")
        bitmap = 0
        for place, word in enumerate(Struct(f"={words}I").unpack_from(payload, head)):
            bitmap |= word << 32 * place
        return Replay(window, seq_hi << 32 | seq, oseq_hi << 32 | oseq, bitmap)
    fields = attributes.fields(msg.REPLAY_VAL)
    if fields is not None:
        oseq, seq, bitmap = fields
        return Replay(window, seq, oseq, bitmap)
    return None


# -- IPTFS -----------------------------------------------------------------------


def _pack_iptfs(iptfs: Iptfs) -> bytes:
    parts = []
    if iptfs.drop_time_us is not None:
        parts.append(msg.IPTFS_DROP_TIME.pack(iptfs.drop_time_us))
    if iptfs.reorder_window is not None:
        parts.append(msg.IPTFS_REORDER_WINDOW.pack(iptfs.reorder_window))
    if iptfs.dont_fragment:
        parts.append(msg.IPTFS_DONT_FRAG.pack())
    if iptfs.init_delay_us is not None:
        parts.append(msg.IPTFS_INIT_DELAY.pack(iptfs.init_delay_us))
    if iptfs.max_queue_octets is not None:
        parts.append(msg.IPTFS_MAX_QSIZE.pack(iptfs.max_queue_octets))
    if iptfs.packet_octets is not None:
        parts.append(msg.IPTFS_PKT_SIZE.pack(iptfs.packet_octets))
    return b"".join(parts)


def _read_iptfs(attributes: Attributes) -> Iptfs | None:
    found = Iptfs(
        _optional(attributes, msg.IPTFS_DROP_TIME),
        _optional(attributes, msg.IPTFS_REORDER_WINDOW),
        attributes.get(Attr.IPTFS_DONT_FRAG) is not None,
        _optional(attributes, msg.IPTFS_INIT_DELAY),
        _optional(attributes, msg.IPTFS_MAX_QSIZE),
        _optional(attributes, msg.IPTFS_PKT_SIZE),
    )
    return None if found == _NO_IPTFS else found


_NO_IPTFS: Final = Iptfs()


def _optional(attributes: Attributes, attr: msg.Fixed) -> int | None:
    fields = attributes.fields(attr)
    return None if fields is None else int(fields[0])


# -- the SA itself ---------------------------------------------------------------


def pack_sa_info(sa: Sa, lifetime: bytes) -> bytes:
    """struct xfrm_usersa_info.

    Raises:
        ValueError: source and destination are of different families.
    """
    family = family_of(sa.dst)
    if family != family_of(sa.src):
        raise ValueError(f"an SA between {sa.src} and {sa.dst} mixes families")
    window = sa.replay.window
    return structs.USERSA_INFO.pack(
        NO_SELECTOR if sa.selector is None else pack_selector(sa.selector),
        structs.ID.pack(sa.dst.packed, htonl(sa.spi), sa.proto),
        sa.src.packed,
        lifetime,
        _NO_USAGE,
        _NO_STATS,
        sa.seq,
        sa.reqid,
        family,
        sa.mode,
        0 if sa.flags & _ESN or window > LEGACY_WINDOW_MAX else window,
        sa.flags,
    )


def pack_sa(sa: Sa) -> bytes:
    """The body of NEWSA and UPDSA."""
    parts = [pack_sa_info(sa, pack_lifetime(sa.lifetime))]
    if (aead := sa.aead) is not None:
        parts.append(msg.ALG_AEAD.pack(aead.name, aead.key, aead.icv_bits))
    if (auth := sa.auth) is not None:
        if auth.trunc_bits is None:
            parts.append(msg.ALG_AUTH.pack(auth.name, auth.key))
        else:
            parts.append(msg.ALG_AUTH_TRUNC.pack(auth.name, auth.key, auth.trunc_bits))
    if (crypt := sa.crypt) is not None:
        parts.append(msg.ALG_CRYPT.pack(crypt.name, crypt.key))
    if sa.comp is not None:
        parts.append(msg.ALG_COMP.pack(sa.comp.name, sa.comp.key))
    if sa.encap is not None:
        parts.append(pack_encap(sa.encap))
    if sa.offload is not None:
        parts.append(pack_offload(sa.offload))
    if sa.extra_flags:
        parts.append(msg.SA_EXTRA_FLAGS.pack(sa.extra_flags))
    if sa.mark is not None:
        parts.append(pack_mark(sa.mark))
    if sa.if_id:
        parts.append(msg.IF_ID.pack(sa.if_id))
    if sa.tfc_pad:
        parts.append(msg.TFCPAD.pack(sa.tfc_pad))
    if sa.replay is not NO_REPLAY or sa.flags & _ESN:
        parts.append(_pack_replay(sa.replay, sa.flags & _ESN != 0))
    if sa.output_mark is not None:
        parts.append(_pack_output_mark(sa.output_mark))
    if sa.direction is not None:
        parts.append(msg.SA_DIR.pack(sa.direction))
    # One comparison spares the common SA nine more.
    if _rarities(sa) != _NO_RARITIES:
        parts.append(_pack_rarities(sa))
    return b"".join(parts)


def _rarities(sa: Sa) -> tuple[Any, ...]:
    return (
        sa.coaddr, sa.security, sa.cpu, sa.iptfs, sa.nat_keepalive_for, sa.mapping_max_age_for,
        sa.replay_threshold, sa.timer_threshold, sa.usage,
    )  # fmt: skip


_NO_RARITIES: Final = (None, None, None, None, 0, 0, None, None, None)


def _pack_rarities(sa: Sa) -> bytes:
    parts = []
    if sa.security is not None:
        parts.append(pack_security(sa.security))
    if sa.coaddr is not None:
        parts.append(msg.COADDR.pack(sa.coaddr.packed))
    if sa.usage is not None:
        parts.append(msg.LTIME_VAL.pack(*pack_usage(sa.usage)))
    if sa.replay_threshold is not None:
        parts.append(msg.REPLAY_THRESH.pack(sa.replay_threshold))
    if sa.timer_threshold is not None:
        parts.append(msg.ETIMER_THRESH.pack(sa.timer_threshold))
    if sa.mapping_max_age_for:
        parts.append(msg.MTIMER_THRESH.pack(sa.mapping_max_age_for))
    if sa.nat_keepalive_for:
        parts.append(msg.NAT_KEEPALIVE_INTERVAL.pack(sa.nat_keepalive_for))
    if sa.cpu is not None:
        parts.append(msg.SA_PCPU.pack(sa.cpu))
    if sa.iptfs is not None:
        parts.append(_pack_iptfs(sa.iptfs))
    return b"".join(parts)


def _pack_output_mark(mark: Mark) -> bytes:
    """XFRMA_SET_MARK; the kernel takes all bits when the mask is absent."""
    value = msg.SET_MARK.pack(mark.value)
    return value if mark.mask == _ALL_BITS else value + msg.SET_MARK_MASK.pack(mark.mask)


def read_sa(octets: bytes, attributes: Attributes) -> SaInfo:
    """From struct xfrm_usersa_info and the attributes beside it."""
    (
        selector, identity, src, lifetime, usage, stats, seq, reqid, family, mode, window, flags,
    ) = structs.USERSA_INFO.unpack(octets)  # fmt: skip
    dst, spi, proto = structs.ID.unpack(identity)
    aead, crypt, auth, comp = _read_algorithms(attributes)
    preloaded = attributes.fields(msg.LTIME_VAL)
    value = attributes.fields(msg.SET_MARK)
    coaddr = attributes.fields(msg.COADDR)
    sa = Sa(
        src=read_address(src, family),
        dst=read_address(dst, family),
        spi=htonl(spi),
        proto=PROTOS.get(proto, proto),
        mode=MODES.get(mode, mode),
        reqid=reqid,
        aead=aead,
        crypt=crypt,
        auth=auth,
        comp=comp,
        encap=read_encap(attributes, family),
        replay=_read_replay(attributes, window) or (Replay(window) if window else NO_REPLAY),
        flags=flags,
        extra_flags=attributes.number(msg.SA_EXTRA_FLAGS),
        selector=read_selector(selector),
        lifetime=read_lifetime(lifetime),
        mark=read_mark(attributes),
        output_mark=None if value is None else Mark(value[0], attributes.number(msg.SET_MARK_MASK, _ALL_BITS)),
        if_id=attributes.number(msg.IF_ID),
        direction=_optional(attributes, msg.SA_DIR),
        tfc_pad=attributes.number(msg.TFCPAD),
        offload=read_offload(attributes),
        cpu=_optional(attributes, msg.SA_PCPU),
        iptfs=_read_iptfs(attributes),
        coaddr=None if coaddr is None else read_address(coaddr[0], family),
        security=read_security(attributes),
        nat_keepalive_for=attributes.number(msg.NAT_KEEPALIVE_INTERVAL),
        mapping_max_age_for=attributes.number(msg.MTIMER_THRESH),
        replay_threshold=_optional(attributes, msg.REPLAY_THRESH),
        timer_threshold=_optional(attributes, msg.ETIMER_THRESH),
        seq=seq,
        usage=None if preloaded is None else Usage(*preloaded),
    )
    return SaInfo(sa, read_usage(usage), read_stats(stats), attributes.number(msg.LASTUSED))


# -- names of SAs ----------------------------------------------------------------


def pack_sa_id(identity: SaId) -> bytes:
    """struct xfrm_usersa_id alone."""
    return structs.USERSA_ID.pack(identity.dst.packed, htonl(identity.spi), family_of(identity.dst), identity.proto)


def pack_sa_name(identity: SaId) -> bytes:
    """The body of DELSA and GETSA."""
    body = pack_sa_id(identity)
    if identity.src is not None:
        body += msg.SRCADDR.pack(identity.src.packed)
    return body if identity.mark is None else body + pack_mark(identity.mark)


def read_sa_id(octets: bytes, attributes: Attributes) -> SaId:
    """The name at the beginning of DELSA, NEWAE and MAPPING."""
    dst, spi, family, proto = structs.USERSA_ID.unpack(octets)
    src = attributes.fields(msg.SRCADDR)
    return SaId(
        read_address(dst, family),
        htonl(spi),
        PROTOS.get(proto, proto),
        read_mark(attributes),
        None if src is None else read_address(src[0], family),
    )


# -- async events ----------------------------------------------------------------


def pack_ae(state: AeState) -> bytes:
    """The body of NEWAE: only the parts that are to change."""
    parts = [_pack_ae_id(state.id, state.src, state.flags, state.reqid)]
    if state.replay is not None:
        parts.append(_pack_replay(state.replay, state.esn) or msg.REPLAY_VAL.pack(0, 0, 0))
    if state.usage is not None:
        parts.append(msg.LTIME_VAL.pack(*pack_usage(state.usage)))
    if state.replay_threshold is not None:
        parts.append(msg.REPLAY_THRESH.pack(state.replay_threshold))
    if state.timer_threshold is not None:
        parts.append(msg.ETIMER_THRESH.pack(state.timer_threshold))
    if state.id.mark is not None:
        parts.append(pack_mark(state.id.mark))
    return b"".join(parts)


def pack_ae_question(identity: SaId, thresholds: bool) -> bytes:
    """The body of GETAE: counters always, thresholds when wanted."""
    wanted = AeFlag.RTHR | AeFlag.ETHR if thresholds else 0
    body = _pack_ae_id(identity, identity.src, wanted, 0)
    return body if identity.mark is None else body + pack_mark(identity.mark)


def _pack_ae_id(identity: SaId, src: Address | None, flags: int, reqid: int) -> bytes:
    return structs.AEVENT_ID.pack(pack_sa_id(identity), b"" if src is None else src.packed, flags, reqid)


def read_ae(message: msg.Message) -> AeState:
    """NEWAE, as reply and as event."""
    identity, src, flags, reqid = message.head()
    attributes = message.attributes()
    usage = attributes.fields(msg.LTIME_VAL)
    name = read_sa_id(identity, attributes)
    return AeState(
        name,
        read_optional_address(src, family_of(name.dst)),
        reqid,
        flags,
        _read_replay(attributes, 0),
        None if usage is None else Usage(*usage),
        _optional(attributes, msg.REPLAY_THRESH),
        _optional(attributes, msg.ETIMER_THRESH),
        attributes.get(Attr.REPLAY_ESN_VAL) is not None,
    )
