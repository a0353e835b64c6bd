"""Our facts as records of `xfrm`. Pure, apart from the chance that spreads lifetimes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import xfrm
from ikectl.config.model import CopyDscp, Fresh, HwOffload, Mark, Mode
from ikectl.errors import BackendError
from ikectl.iana.v2 import Protocol
from ikectl.kernel.algorithms import kernel_suite
from ikectl.kernel.bundle import Part, parts
from ikectl.kernel.policies import Act, Change, Flow, Template
from ikectl.sa.child_sa import ChildSa
from ikectl.values.path import Path

LIFE_MARGIN = 60
"""Seconds after its hard lifetime that the kernel ends an SA by itself, should nobody be left to do it."""

MAPPING_EVERY = 5
"""Seconds between two reports that a peer's NAT has a new port for it; without, every packet would bring one."""

PROTOS: Final = {Protocol.ESP: xfrm.Proto.ESP, Protocol.AH: xfrm.Proto.AH, Protocol.IPCOMP: xfrm.Proto.COMP}
COMPRESSION: Final = "deflate"
"""What the kernel calls IPCOMP_DEFLATE (RFC 2394), the only one it has."""
MODES: Final = {Mode.TUNNEL: xfrm.Mode.TUNNEL, Mode.TRANSPORT: xfrm.Mode.TRANSPORT}


@lru_cache(4096)
def address(packed: bytes) -> xfrm.Address:
    """Of 4 or 16 octets. The same few come again and again: our own and the networks."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def inbound_sas(child: ChildSa, random: Callable[[int], bytes], interface: int | None = None) -> tuple[xfrm.Sa, ...]:
    """The SAs that `child` receives on, its own first; `interface` is that of our address, for offload.

    Raises BackendError.
    """
    return _own_first(child, lambda part: _inbound(child, part, random, interface))


def outbound_sas(child: ChildSa, random: Callable[[int], bytes], interface: int | None = None) -> tuple[xfrm.Sa, ...]:
    """The SAs that `child` sends on, likewise. Raises BackendError."""
    return _own_first(child, lambda part: _outbound(child, part, random, interface))


def _own_first(child: ChildSa, make: Callable[[Part], xfrm.Sa]) -> tuple[xfrm.Sa, ...]:
    found = parts(child)
    if len(found) == 1:
        return (make(found[0]),)
    return tuple(make(part) for part in sorted(found, key=lambda part: not part.main))


def _inbound(child: ChildSa, part: Part, random: Callable[[int], bytes], interface: int | None) -> xfrm.Sa:
    path, config, marks = child.path, child.config, child.marks
    esn = part.suite is not None and part.suite.esn
    encap = _encap(child, part, path.remote.port, path.local.port)
    if esn and not config.replay_window:
        raise BackendError("extended sequence numbers need replay protection: set replay_window, or leave out esn")
    return xfrm.Sa(
        src=address(path.remote.address),
        dst=address(path.local.address),
        spi=part.spi_in,
        encap=encap,
        mapping_max_age_for=MAPPING_EVERY if encap and not path.tcp else 0,
        replay=xfrm.Replay(window=config.replay_window) if part.suite is not None else xfrm.NO_REPLAY,
        flags=_flags(child, part) | (xfrm.SaFlag.DECAP_DSCP if config.copy_dscp in (CopyDscp.IN, CopyDscp.YES) else 0),
        mark=_mark(marks.into) if config.mark_in_sa else None,
        output_mark=_mark(marks.set_into),
        if_id=child.if_id_in,
        offload=_offload(child, part, interface, xfrm.OffloadFlag.INBOUND),
        **_common(child, part, not child.initiator, random),
    )


def _outbound(child: ChildSa, part: Part, random: Callable[[int], bytes], interface: int | None) -> xfrm.Sa:
    path, config, marks = child.path, child.config, child.marks
    copy = config.copy_dscp in (CopyDscp.OUT, CopyDscp.YES)
    return xfrm.Sa(
        src=address(path.local.address),
        dst=address(path.remote.address),
        spi=part.spi_out,
        encap=_encap(child, part, path.local.port, path.remote.port),
        # Nothing is received here; kernels before 6.10 want a window with ESN all the same.
        replay=xfrm.Replay(window=1) if part.suite is not None and part.suite.esn else xfrm.NO_REPLAY,
        flags=_flags(child, part),
        extra_flags=0 if copy else xfrm.SaExtraFlag.DONT_ENCAP_DSCP,
        # The kernel pads in tunnel mode only, where the inner header tells the true length (RFC 4303 §2.7).
        tfc_pad=child.tfc_padding if part.protocol is Protocol.ESP and part.mode is Mode.TUNNEL else 0,
        mark=_mark(marks.out),
        output_mark=_mark(marks.set_out),
        if_id=child.if_id_out,
        offload=_offload(child, part, interface, 0),
        **_common(child, part, child.initiator, random),
    )


def _common(child: ChildSa, part: Part, initiators: bool, random: Callable[[int], bytes]) -> dict[str, Any]:
    """What both directions share; `initiators`: protected with the initiator's keys."""
    facts: dict[str, Any] = {
        "proto": PROTOS[part.protocol],
        "mode": MODES[part.mode],
        "reqid": child.reqid,
        "lifetime": _lifetime(child, part, random),
    }
    if part.suite is None:
        facts["comp"] = xfrm.Comp(COMPRESSION)
        return facts
    keys = part.keys
    assert keys is not None
    encr, integ = (keys.encr_i, keys.integ_i) if initiators else (keys.encr_r, keys.integ_r)
    suite = kernel_suite(part.suite, child.config.sha256_96)
    facts["aead"] = xfrm.Aead(suite.aead.name, encr, suite.aead.icv_bits) if suite.aead else None
    facts["crypt"] = xfrm.Crypt(suite.cipher.name, encr) if suite.cipher else None
    facts["auth"] = xfrm.Auth(suite.mac.name, integ, suite.mac.icv_bits) if suite.mac else None
    return facts


def _encap(child: ChildSa, part: Part, source_port: int, destination_port: int) -> xfrm.Encap | None:
    """What carries ESP. In transport mode the kernel is told the peer's own address, for what it makes of checksums."""
    if not child.encap or part.protocol is not Protocol.ESP:
        return None
    original = address(child.peer_original) if child.peer_original and child.mode is Mode.TRANSPORT else None
    return xfrm.Encap(source_port, destination_port, carrier(child.path), original)


def carrier(path: Path) -> int:
    """What carries the ESP of children on that path, where something does."""
    return xfrm.EncapType.ESPINTCP if path.tcp else xfrm.EncapType.ESPINUDP


def _flags(child: ChildSa, part: Part) -> int:
    config = child.config
    flags = 0
    if part.mode is Mode.TUNNEL:
        flags |= xfrm.SaFlag.AF_UNSPEC  # either family may travel inside, whatever the outer one is
    if part.protocol is Protocol.AH and not child.path.local.is_v6:
        flags |= xfrm.SaFlag.ALIGN4  # RFC 4302 §3.3.3.2.1; without it the kernel pads as for IPv6
    if part.suite is not None and part.suite.esn:
        flags |= xfrm.SaFlag.ESN
    if not config.copy_ecn:
        flags |= xfrm.SaFlag.NOECN
    if not config.copy_df:
        flags |= xfrm.SaFlag.NOPMTUDISC
    if config.icmp:
        flags |= xfrm.SaFlag.ICMP
    return flags


def _lifetime(child: ChildSa, part: Part, random: Callable[[int], bytes]) -> xfrm.Lifetime:
    """Limits on volume are the kernel's to watch, those on time the engine's.

    The kernel gets the hard time only, and later, so that nothing lives for ever when the engine does not.
    """
    config = child.config
    if not part.main:
        return xfrm.Lifetime(hard_add_for=config.life_time + LIFE_MARGIN if config.life_time else 0)
    soft, spread, hard = config.rekey_bytes, config.rand_bytes, config.life_bytes
    if child.life_bytes and (not hard or child.life_bytes < hard):
        # The peer ends it earlier: be done a little before that.
        hard, soft, spread = child.life_bytes, child.life_bytes - child.life_bytes // 10, child.life_bytes // 20
    if not (soft or config.rekey_packets or hard or config.life_packets or config.life_time):
        return xfrm.NO_LIMITS
    return xfrm.Lifetime(
        soft_octets=_soft(soft, spread, random),
        hard_octets=hard or xfrm.UNLIMITED,
        soft_packets=_soft(config.rekey_packets, config.rand_packets, random),
        hard_packets=config.life_packets or xfrm.UNLIMITED,
        hard_add_for=config.life_time + LIFE_MARGIN if config.life_time else 0,
    )


def _soft(limit: int, spread: int, random: Callable[[int], bytes]) -> int:
    """The limit less a random part of the spread, so that both ends do not rekey at once; 0 is no limit."""
    if not limit:
        return xfrm.UNLIMITED
    return max(1, limit - int.from_bytes(random(8), "big") % (spread + 1))


def _mark(mark: Mark) -> xfrm.Mark | None:
    if mark.fresh is not Fresh.NO:
        raise BackendError(f"no number was given to the mark {mark.fresh.value} of this child")
    return xfrm.Mark(mark.value, mark.mask) if mark.mask else None


def _offload(child: ChildSa, part: Part, interface: int | None, flags: int) -> xfrm.Offload | None:
    """A card that cannot do the cipher leaves it to the kernel, but one that cannot take packets is an error."""
    if child.config.hw_offload is HwOffload.NO or not part.main:
        return None
    if interface is None:
        raise BackendError(f"hw_offload: no interface has the address {child.path.local.host}")
    if child.config.hw_offload is HwOffload.PACKET:
        flags |= xfrm.OffloadFlag.PACKET
    return xfrm.Offload(interface, flags)


# -- policies ------------------------------------------------------------------


def policy_request(change: Change) -> xfrm.Request[None]:
    """What makes the kernel follow a change of the table."""
    slot, rule = change.slot, change.rule
    mark = _mark(slot.mark)
    if change.act is Act.DELETE:
        return xfrm.DelPolicy(xfrm.PolicyIndex(change.index, mark, slot.if_id))
    policy = xfrm.Policy(
        _selector(slot.flow),
        int(slot.direction),
        tuple(map(_template, rule.templates)),
        priority=rule.priority,
        index=change.index,
        action=xfrm.Action.BLOCK if rule.block else xfrm.Action.ALLOW,
        flags=xfrm.PolicyFlag.ICMP if rule.icmp else 0,
        mark=mark,
        if_id=slot.if_id,
        offload=xfrm.Offload(rule.offload, xfrm.OffloadFlag.PACKET) if rule.offload else None,
    )
    return xfrm.NewPolicy(policy) if change.act is Act.ADD else xfrm.UpdPolicy(policy)


def _template(wanted: Template) -> xfrm.Template:
    source, destination = wanted.source, wanted.destination
    if wanted.mode is Mode.TRANSPORT:  # the packet's own addresses are the SA's
        source, destination = bytes(len(source)), bytes(len(destination))
    return xfrm.Template(
        address(source),
        address(destination),
        PROTOS[wanted.protocol],
        MODES[wanted.mode],
        wanted.reqid,
        optional=wanted.optional,
    )


def _selector(flow: Flow) -> xfrm.Selector:
    return xfrm.Selector(
        address(flow.source),
        flow.source_bits,
        address(flow.destination),
        flow.destination_bits,
        flow.protocol,
        flow.source_port,
        flow.source_port_mask,
        flow.destination_port,
        flow.destination_port_mask,
        flow.interface,
    )


# -- refusals ------------------------------------------------------------------


def explain(error: xfrm.XfrmError) -> str:
    """A refusal of the kernel with what to do about it. Holds no key: requests describe themselves without."""
    if isinstance(error, xfrm.Unsupported):
        if error.protocol in ("esp", "ah"):
            return no_protocol(error.protocol)
        if error.protocol == "comp" or COMPRESSION in error.algorithms:
            return "this kernel has no IPComp: load ipcomp, ipcomp6 and deflate, or set ipcomp = no"
        if error.algorithms:
            lacking = " or ".join(error.algorithms)
            return f"this kernel has no {lacking}: load its module, or offer another algorithm in esp_proposals"
    if isinstance(error, xfrm.Denied):
        return f"{error.strerror}; ikectld needs CAP_NET_ADMIN in its network namespace"
    if isinstance(error, xfrm.Exists):
        return (
            f"{error.strerror}; another program or administrator put it there: "
            "`ip xfrm policy` and `ip xfrm state` show it, and ikectld does not touch it"
        )
    return str(error.strerror)


def no_protocol(name: str) -> str:
    """What to do about a kernel without ESP or AH."""
    return f"this kernel has no {name.upper()}: load {name}4 and {name}6, or build CONFIG_INET_{name.upper()}"


NO_ESP_IN_TCP: Final = (
    "this kernel cannot carry ESP inside TCP (RFC 9329; CONFIG_INET_ESPINTCP): only the IKE SA goes there, without "
    "children; use UDP (tcp = no), or a kernel that has it"
)
