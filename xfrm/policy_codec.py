"""Policies, templates and the names of policies: records to octets and back."""

from ipaddress import IPv4Address
from socket import htonl
from typing import Final

from . import messages as msg
from . import structs
from .codec import (
    MODES,
    PROTOS,
    family_of,
    need_selector,
    pack_lifetime,
    pack_mark,
    pack_offload,
    pack_policy_type,
    pack_security,
    pack_selector,
    read_address,
    read_lifetime,
    read_mark,
    read_offload,
    read_policy_type,
    read_security,
    read_usage,
)
from .errors import Malformed
from .messages import Attributes, Message
from .model import Policy, PolicyIndex, PolicyInfo, PolicyKey, Selector, Template
from .uapi import TEMPLATES_MAX, Attr, Direction

# With an index the kernel reads nothing of the selector; this is what ip puts there.
_UNREAD_SELECTOR: Final = pack_selector(Selector(IPv4Address(0), 0, IPv4Address(0), 0))
_NO_USAGE: Final = bytes(structs.LIFETIME_CUR.size)
DIRECTIONS: Final[dict[int, int]] = {int(member): member for member in Direction}

# -- templates -----------------------------------------------------------------


def _pack_template(template: Template) -> bytes:
    dst = template.dst
    return structs.TMPL.pack(
        structs.ID.pack(dst.packed, htonl(template.spi), template.proto),
        family_of(dst),
        template.src.packed,
        template.reqid,
        template.mode,
        template.share,
        template.optional,
        template.auth_algorithms,
        template.crypt_algorithms,
        template.comp_algorithms,
    )


def pack_templates(templates: tuple[Template, ...]) -> bytes:
    """XFRMA_TMPL: all of them in one attribute, the innermost first.

    Raises:
        ValueError: more than the kernel takes.
    """
    if len(templates) > TEMPLATES_MAX:
        raise ValueError(f"{len(templates)} templates, the kernel takes {TEMPLATES_MAX}")
    if len(templates) == 1:  # as nearly always
        return msg.attribute(Attr.TMPL, _pack_template(templates[0]))
    return msg.attribute(Attr.TMPL, b"".join([_pack_template(template) for template in templates]))


def read_templates(attributes: Attributes) -> tuple[Template, ...]:
    payload = attributes.get(Attr.TMPL)
    if payload is None:
        return ()
    size = structs.TMPL.size
    if len(payload) % size:
        raise Malformed(f"{len(payload)} octets of templates, which have {size} each")
    found = []
    for at in range(0, len(payload), size):
        identity, family, src, reqid, mode, share, optional, auth, crypt, comp = structs.TMPL.unpack_from(payload, at)
        dst, spi, proto = structs.ID.unpack(identity)
        found.append(
            Template(
                read_address(src, family), read_address(dst, family), PROTOS.get(proto, proto),
                MODES.get(mode, mode), reqid, htonl(spi), optional != 0, share, auth, crypt, comp,
            )
        )  # fmt: skip
    return tuple(found)


# -- the policy itself ---------------------------------------------------------


def pack_policy_info(policy: Policy) -> bytes:
    """struct xfrm_userpolicy_info."""
    return structs.USERPOLICY_INFO.pack(
        pack_selector(policy.selector),
        pack_lifetime(policy.lifetime),
        _NO_USAGE,
        policy.priority,
        policy.index,
        policy.direction,
        policy.action,
        policy.flags,
        policy.share,
    )


def pack_policy(policy: Policy) -> bytes:
    """The body of NEWPOLICY and UPDPOLICY."""
    parts = [pack_policy_info(policy)]
    if policy.type:
        parts.append(pack_policy_type(policy.type))
    if policy.templates:
        parts.append(pack_templates(policy.templates))
    if policy.mark is not None:
        parts.append(pack_mark(policy.mark))
    if policy.security is not None:
        parts.append(pack_security(policy.security))
    if policy.if_id:
        parts.append(msg.IF_ID.pack(policy.if_id))
    if policy.offload is not None:
        parts.append(pack_offload(policy.offload))
    return b"".join(parts)


def read_policy(octets: bytes, attributes: Attributes) -> PolicyInfo:
    """From struct xfrm_userpolicy_info and the attributes beside it."""
    (
        selector, lifetime, usage, priority, index, direction, action, flags, share,
    ) = structs.USERPOLICY_INFO.unpack(octets)  # fmt: skip
    policy = Policy(
        selector=need_selector(selector),
        direction=DIRECTIONS.get(direction, direction),
        templates=read_templates(attributes),
        priority=priority,
        index=index,
        action=action,
        lifetime=read_lifetime(lifetime),
        flags=flags,
        share=share,
        type=read_policy_type(attributes),
        mark=read_mark(attributes),
        if_id=attributes.number(msg.IF_ID),
        security=read_security(attributes),
        offload=read_offload(attributes),
    )
    return PolicyInfo(policy, read_usage(usage))


# -- names of policies ---------------------------------------------------------


def pack_policy_name(name: PolicyKey | PolicyIndex) -> bytes:
    """The body of DELPOLICY and GETPOLICY: by selector, or by index alone."""
    if isinstance(name, PolicyIndex):
        parts = [structs.USERPOLICY_ID.pack(_UNREAD_SELECTOR, name.index, name.direction)]
    else:
        parts = [structs.USERPOLICY_ID.pack(pack_selector(name.selector), 0, name.direction)]
        if name.security is not None:
            parts.append(pack_security(name.security))
    if name.type:
        parts.append(pack_policy_type(name.type))
    if name.mark is not None:
        parts.append(pack_mark(name.mark))
    if name.if_id:
        parts.append(msg.IF_ID.pack(name.if_id))
    return b"".join(parts)


def read_policy_key(message: Message) -> PolicyKey:
    """The name at the beginning of DELPOLICY and MIGRATE."""
    selector, _index, direction = message.head()
    attributes = message.attributes()
    return PolicyKey(
        need_selector(selector),
        DIRECTIONS.get(direction, direction),
        read_mark(attributes),
        attributes.number(msg.IF_ID),
        read_policy_type(attributes),
        read_security(attributes),
    )
