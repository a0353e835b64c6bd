"""NETLINK_XFRM for Python: the kernel's IPsec databases, typed.

    import asyncio
    from ipaddress import ip_address
    from xfrm import Aead, Direction, Policy, Sa, Selector, Template, Xfrm

    async def main() -> None:
        here, there = ip_address("192.0.2.1"), ip_address("198.51.100.2")
        async with Xfrm() as xfrm:
            await xfrm.add_sa(Sa(here, there, spi=0x1234, reqid=1, aead=Aead("rfc4106(gcm(aes))", key, 128)))
            await xfrm.add_policy(Policy(
                Selector.between("10.1.0.0/16", "10.2.0.0/16"), Direction.OUT,
                (Template(here, there, reqid=1),), priority=1000,
            ))
            async for info in xfrm.dump_sas():
                print(info.sa, info.usage)

    asyncio.run(main())

Records (``model``) go in and come out; a ``Request`` is a message as an object, for
``Xfrm.batch`` and the synchronous ``Channel``; ``events`` is what a listener hears; an
``XfrmError`` says by its class what a refusal means.  ``xfrm.links`` has xfrm
interfaces; it imports pyroute2 and is therefore not imported here.
"""

from .channel import Channel
from .client import EventStream, Xfrm
from .database_requests import GetDefault, GetSadInfo, GetSpdInfo, SetDefault, SetHashThresholds
from .errors import (
    Denied,
    Exhausted,
    Exists,
    Gone,
    Interrupted,
    Invalid,
    Malformed,
    NoAnswer,
    Overrun,
    Unsupported,
    XfrmError,
)
from .model import (
    NO_LIMITS,
    NO_REPLAY,
    Address,
    AddressFilter,
    Aead,
    AeState,
    Auth,
    Comp,
    Crypt,
    Defaults,
    Encap,
    HashThreshold,
    Iptfs,
    KmAddress,
    Lifetime,
    Mark,
    Migration,
    Offload,
    Policy,
    PolicyIndex,
    PolicyInfo,
    PolicyKey,
    Replay,
    Sa,
    SadInfo,
    SaId,
    SaInfo,
    SecurityContext,
    Selector,
    SpdInfo,
    Stats,
    Template,
    Usage,
)
from .policy_requests import (
    AcquireSa,
    DelPolicy,
    DumpPolicy,
    ExpirePolicy,
    FlushPolicy,
    GetPolicy,
    Migrate,
    NewPolicy,
    UpdPolicy,
)
from .request import Request
from .sa_requests import AllocSpi, DelSa, DumpSa, ExpireSa, FlushSa, GetAe, GetSa, NewAe, NewSa, UpdSa
from .sockets import bypass_policies
from .uapi import (
    UNLIMITED,
    Action,
    AeFlag,
    DefaultAction,
    Direction,
    EncapType,
    Group,
    Mode,
    OffloadFlag,
    PolicyFlag,
    PolicyType,
    Proto,
    SaDirection,
    SaExtraFlag,
    SaFlag,
    Share,
)

__all__ = [
    # doing
    "Channel", "EventStream", "Xfrm", "bypass_policies",
    # records
    "Address", "AddressFilter", "Aead", "AeState", "Auth", "Comp", "Crypt", "Defaults", "Encap",
    "HashThreshold", "Iptfs", "KmAddress", "Lifetime", "Mark", "Migration", "NO_LIMITS", "NO_REPLAY",
    "Offload", "Policy", "PolicyIndex", "PolicyInfo", "PolicyKey", "Replay", "Sa", "SaId", "SaInfo",
    "SadInfo", "SecurityContext", "Selector", "SpdInfo", "Stats", "Template", "Usage",
    # requests
    "AcquireSa", "AllocSpi", "DelPolicy", "DelSa", "DumpPolicy", "DumpSa", "ExpirePolicy", "ExpireSa",
    "FlushPolicy", "FlushSa", "GetAe", "GetDefault", "GetPolicy", "GetSa", "GetSadInfo", "GetSpdInfo",
    "Migrate", "NewAe", "NewPolicy", "NewSa", "Request", "SetDefault", "SetHashThresholds", "UpdPolicy",
    "UpdSa",
    # numbers
    "Action", "AeFlag", "DefaultAction", "Direction", "EncapType", "Group", "Mode", "OffloadFlag",
    "PolicyFlag", "PolicyType", "Proto", "SaDirection", "SaExtraFlag", "SaFlag", "Share", "UNLIMITED",
    # errors
    "Denied", "Exhausted", "Exists", "Gone", "Interrupted", "Invalid", "Malformed", "NoAnswer", "Overrun",
    "Unsupported", "XfrmError",
]  # fmt: skip
