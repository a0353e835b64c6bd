"""A section of `pools`: the addresses, and the configuration attributes told along with one.

The numbers are those of IKEv2's registry (RFC 7296 §3.15.1), which up to 15
are those of draft-dukes-ike-mode-cfg-02 §3.4, too; of Windows 7 (23456,
23457); and of Cisco's Unity from 28672 on. Which of them a version of IKE
knows is the matter of its half of the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ikectl.config.kinds import NAME, Network
from ikectl.config.model import Pool, PoolAttribute
from ikectl.config.read import Checked, check
from ikectl.config.schema import POOL
from ikectl.config.tree import Errors, Section
from ikectl.iana.v1 import ConfigAttribute as A
from ikectl.iana.v2 import CfgAttribute as B

MAX_ATTRIBUTE_NUMBER = 0x7FFF
"""Of the 16 bits the first one says in which form the value comes (RFC 2408 §3.3)."""
MAX_ATTRIBUTE_OCTETS = 8192
"""Of all attributes together: they travel in one message, which peers take in a few fragments at most."""

Write = Callable[["Row", tuple[Any, ...]], Iterable[PoolAttribute]]


@dataclass(frozen=True, slots=True)
class Row:
    """An option, the attribute for IPv4 or for everything, the one for IPv6 (0: none), and its form."""

    key: str
    number: int
    number_v6: int
    write: Write


def _addresses(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    for packed in values:
        yield PoolAttribute(row.number if len(packed) == 4 else row.number_v6, packed)


def _subnets(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    """Address and mask, of IPv6 address and the length of the prefix (RFC 7296 §3.15.1)."""
    for network in values:
        if network.version == 4:
            yield PoolAttribute(row.number, _with_mask(network))
        else:
            yield PoolAttribute(row.number_v6, network[0].packed + bytes((network.prefixlen,)))


def _unity_networks(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    """All in one attribute: address, mask, and six octets for protocol and ports, which nobody uses."""
    yield PoolAttribute(row.number, b"".join(_with_mask(network) + bytes(6) for network in values))


def _with_mask(network: Network) -> bytes:
    return network[0].packed + network.netmask.packed


def _names(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    yield PoolAttribute(row.number, ",".join(values).encode())


def _text(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    yield PoolAttribute(row.number, values[0].encode())


def _flag(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    yield PoolAttribute(row.number, int(values[0]))


def _seconds(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    """Four octets, whatever the number."""
    yield PoolAttribute(row.number, min(values[0], 0xFFFFFFFF).to_bytes(4, "big"))


def _resolvers(row: Row, values: tuple[Any, ...]) -> Iterable[PoolAttribute]:
    """The first that is written is the best (RFC 9464 §3.1)."""
    for priority, one in enumerate(values, 1):
        number = row.number if len(one.addresses[0]) == 4 else row.number_v6
        yield PoolAttribute(number, one._replace(priority=priority).write())


# fmt: off
ROWS = (
    #   option            number                     IPv6                form
    Row("netmask",        A.INTERNAL_IP4_NETMASK,    A.INTERNAL_IP6_NETMASK, _addresses),
    Row("dns",            A.INTERNAL_IP4_DNS,        A.INTERNAL_IP6_DNS,     _addresses),
    Row("nbns",           A.INTERNAL_IP4_NBNS,       A.INTERNAL_IP6_NBNS,    _addresses),
    Row("address_expiry", A.INTERNAL_ADDRESS_EXPIRY, 0,                      _seconds),
    Row("dhcp",           A.INTERNAL_IP4_DHCP,       A.INTERNAL_IP6_DHCP,    _addresses),
    Row("subnet",         A.INTERNAL_IP4_SUBNET,     A.INTERNAL_IP6_SUBNET,  _subnets),
    Row("p_cscf",         B.P_CSCF_IP4_ADDRESS,      B.P_CSCF_IP6_ADDRESS,   _addresses),
    Row("liveness",       B.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, 0,            _seconds),
    Row("encrypted_dns",  B.ENCDNS_IP4,              B.ENCDNS_IP6,           _resolvers),
    Row("server",         A.INTERNAL_IP4_SERVER,     A.INTERNAL_IP6_SERVER,  _addresses),
    Row("banner",         A.UNITY_BANNER,            0,                      _text),
    Row("save_password",  A.UNITY_SAVE_PASSWD,       0,                      _flag),
    Row("default_domain", A.UNITY_DEF_DOMAIN,        0,                      _text),
    Row("split_dns",      A.UNITY_SPLIT_DNS,         0,                      _names),
    Row("split_include",  A.UNITY_SPLIT_INCLUDE,     0,                      _unity_networks),
    Row("split_exclude",  A.UNITY_LOCAL_LAN,         0,                      _unity_networks),
    Row("pfs",            A.UNITY_PFS,               0,                      _flag),
    Row("backup_servers", A.UNITY_BACKUP_SERVERS,    0,                      _names),
)
# fmt: on


def build_pool(section: Section, errors: Errors) -> Pool | None:
    """None when there was a mistake, which is in `errors`."""
    label = f"pools.{section.name}" if section.place.path else section.name
    before = len(errors.found)
    try:
        NAME.read(section.name.encode(errors="replace"))
    except ValueError as error:
        errors.add(str(error), section.place)
    checked = check(section, POOL, label, errors)
    addrs = checked.values["addrs"]
    if addrs is None and checked.good:
        errors.add(f"{label}: set addrs: a network or a range of addresses", section.place)
    if len(errors.found) != before:
        return None
    low, high = addrs
    attributes = (*_known(checked), *_domains(checked, errors), *_numbered(checked, errors))
    if sum(4 if isinstance(value, int) else 4 + len(value) for _, value in attributes) > MAX_ATTRIBUTE_OCTETS:
        errors.add(f"{label}: the attributes are more than {MAX_ATTRIBUTE_OCTETS} octets together", section.place)
    return Pool(section.name, low, high, attributes) if len(errors.found) == before else None


def _known(checked: Checked) -> Iterable[PoolAttribute]:
    for row in ROWS:
        value = checked.values[row.key]
        if value is not None and value != ():
            yield from row.write(row, value if isinstance(value, tuple) else (value,))


def _domains(checked: Checked, errors: Errors) -> Iterable[PoolAttribute]:
    """IKEv2's form of split DNS: one attribute for a domain, behind it its trust anchors (RFC 8598 §3.1)."""
    anchors = checked.values["dnssec_ta"]
    for name in checked.values["split_dns"]:
        yield PoolAttribute(B.INTERNAL_DNS_DOMAIN, name.encode())
        yield from (PoolAttribute(B.INTERNAL_DNSSEC_TA, anchor.write()) for domain, anchor in anchors if domain == name)
    for domain, _ in anchors:
        if domain not in checked.values["split_dns"]:
            errors.add(
                f"{checked.label}.dnssec_ta: {domain} is not in split_dns; add it there", checked.place("dnssec_ta")
            )


def _numbered(checked: Checked, errors: Errors) -> Iterable[PoolAttribute]:
    for key, values in checked.extra.items():
        number = int(key)
        if not 0 < number <= MAX_ATTRIBUTE_NUMBER:
            errors.add(
                f"{checked.label}.{key}: attributes have numbers up to {MAX_ATTRIBUTE_NUMBER}", checked.place(key)
            )
            continue
        for value in values:
            yield PoolAttribute(number, value)
