"""The forms an option's value may take: how each is read, and what it is called.

A kind reads octets into a value of the model, or raises ValueError with a
text that tells the operator what to write. Kinds of secrets say nothing of
the value.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from ikectl.config.auth import read_auth
from ikectl.config.credentials import read_public_key
from ikectl.config.model import (
    ANY_DOMAIN,
    NO_DOMAIN,
    TFC_MTU,
    Action,
    AddressSpec,
    Childless,
    CopyDscp,
    Fragmentation,
    Fresh,
    HwOffload,
    Mark,
    Mode,
    Ocsp,
    Revocation,
    SendCert,
    Tcp,
    Unique,
)
from ikectl.config.tree import suggestion
from ikectl.crypto.mschapv2 import HASH_OCTETS
from ikectl.crypto.proposal import default_esp, default_ike, parse_proposal
from ikectl.iana.v2 import Protocol
from ikectl.values.domain import is_domain
from ikectl.values.duration import parse_bytes, parse_number, parse_time
from ikectl.values.identity import Identity, IdentityPattern, RdnMatching
from ikectl.values.secret import Secret
from ikectl.values.selector import SelectorSpec
from ikectl.wire.v2.dns import EncryptedDns, TrustAnchor
from ikectl.wire.v2.sa import Proposal

MAX_REPLAY_WINDOW = 4096
"""Packets; the kernel's limit (XFRMA_REPLAY_ESN_MAX, in bits)."""
MAX_WINDOW = 16
"""Exchanges under way at once: each keeps a reply, and as many datagrams may wait while one is handled
(`engine.driver.INBOX_LIMIT`)."""
MAX_SECRET = 4096
MAX_URI = 1024
MAX_NAME = 255
"""Octets of the name of a connection, a pool or a user."""
_ANCHOR_WORDS = 5
_INTERFACE_OCTETS = 15  # IFNAMSIZ less the terminating zero


Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Kind:
    """A form of values. Octets of a `raw` kind are never split at commas."""

    name: str
    form: str
    read: Callable[[bytes], Any]
    raw: bool = False


class NotBuilt(ValueError):
    """The value is one of swanctl's, but this version cannot do it."""


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ValueError("not valid UTF-8") from None


def _of_text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda octets: read(_text(octets).strip())


def _choice(
    words: Mapping[str, Any], later: tuple[str, ...] = (), silent: Iterable[str] = ("yes", "route")
) -> Callable[[bytes], Any]:
    """`silent` words are taken, but not named as what there is."""
    known = [word for word in words if word not in silent]

    def read(octets: bytes) -> Any:
        text = _text(octets).strip().lower()
        if text in words:
            return words[text]
        if text in later:
            raise NotBuilt(f"{text!r} is not built yet; this version knows {_listed(known)}")
        raise ValueError(f"{text[:40]!r} is not one of {_listed(known)}{suggestion(text, [*words, *later])}")

    return read


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


_BOOLS = {"yes": True, "true": True, "enabled": True, "1": True}
_BOOLS |= {"no": False, "false": False, "disabled": False, "0": False}


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError(f"{text[:40]!r} is neither yes nor no") from None


def _word(text: str) -> str:
    """Lower case; every way of saying yes or no is that word."""
    text = text.lower()
    return {True: "yes", False: "no"}[_BOOLS[text]] if text in _BOOLS else text


def _version(text: str) -> int:
    number = parse_number(text)
    if number not in (0, 1, 2):
        raise ValueError(f"{number} is not one of 0, 1 and 2")
    return number


def _mark(text: str) -> Mark:
    value, slash, mask = text.partition("/")
    bits = parse_number(mask) if slash else 0xFFFFFFFF
    if not value.startswith("%"):
        return Mark(parse_number(value), bits)
    if value not in (Fresh.CHILD, Fresh.DIRECTION):
        raise ValueError(f"{value[:40]!r} is neither %unique nor %unique-dir")
    if not bits or (bits // (bits & -bits) + 1).bit_count() != 1:
        raise ValueError(f"the mask {bits:#x} of {value} must be bits side by side, as 0xffff0000 are")
    return Mark(0, bits, Fresh(value))


def _set_mark(text: str) -> Mark | None:
    """None stands for `%same`."""
    if text.startswith("%unique"):
        raise ValueError("write %same, and %unique in mark_in or mark_out")
    return None if text == "%same" else _mark(text)


def _if_id(text: str) -> int:
    if text in ("%unique", "%unique-dir"):
        raise NotBuilt(f"{text} is not built yet; write a number")
    return parse_number(text)


def gateway(text: str) -> str:
    """An address or a name, as REDIRECT may carry it (RFC 5685 §8.1). Raises ValueError."""
    try:
        spec = AddressSpec.parse(text)
    except ValueError:
        spec = AddressSpec("")
    if spec.concrete is None and not (spec.hostname is not None and is_domain(spec.hostname)):
        raise ValueError(f"{text[:80]!r} is neither an address nor a name")
    return spec.text


def _packed(text: str) -> bytes:
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not an address") from None


def _packed_v4(text: str) -> bytes:
    packed = _packed(text)
    if len(packed) != 4:
        raise ValueError(f"{text[:80]!r} is not an IPv4 address; DHCP over IPsec knows no other")
    return packed


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not a network") from None


def _network_v4(text: str) -> Network:
    network = _network(text)
    if network.version != 4:
        raise ValueError(f"{text[:80]!r} is not an IPv4 network; this attribute knows no other")
    return network


def _pool_range(text: str) -> tuple[bytes, bytes]:
    """(first, last) packed address to hand out.

    Host bits of a CIDR name the first one. A network's first and last address
    are left out where that leaves any: hosts do not answer to them.
    """
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        if dash:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
            if low.version != high.version or low.packed > high.packed:
                raise ValueError
            return low.packed, high.packed
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is neither a network nor a range of addresses") from None
    start, end = int(interface.network[0]), int(interface.network[-1])
    low_number = int(interface.ip)
    if end - start > 1:
        low_number, end = max(low_number, start + 1), end - 1
    octets = len(interface.packed)
    return min(low_number, end).to_bytes(octets, "big"), end.to_bytes(octets, "big")


def _name(text: str) -> str:
    if not 0 < len(text.encode()) <= MAX_NAME or not text.isprintable():
        raise ValueError(f"{text[:40]!r}: a name is 1 to {MAX_NAME} printable characters")
    return text


def _user(text: str) -> str:
    if len(text.encode()) > MAX_NAME:
        raise ValueError(f"a user name longer than {MAX_NAME} octets")
    return text


def _uri(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        scheme, colon, rest = text.partition("://")
        if not colon or not rest or any(c.isspace() or not c.isprintable() for c in text) or len(text) > MAX_URI:
            raise ValueError(f"{text[:80]!r} is no URI; write {_listed([f'{word}://...' for word in schemes])}")
        if scheme.lower() == "ldap":
            raise NotBuilt("ldap is not spoken here; have the CA publish its CRL by HTTP, or put it into x509crl/")
        if scheme.lower() not in schemes:
            raise ValueError(f"{scheme[:20]} is not one of {_listed(list(schemes))}")
        return text

    return read


def _uri_base(text: str) -> str:
    """The beginning of URIs: up to a slash behind the host, so that it cannot go on to another host."""
    found = _uri(("http", "https"))(text)
    if not found.endswith("/") or found.count("/") < 3 or "@" in found or ".." in found:
        raise ValueError(f"{text[:80]!r}: the beginning of a URI ends with a slash, as http://certs.example.org/ does")
    return found


def _oid(text: str) -> str:
    arcs = text.split(".")
    if len(arcs) < 2 or not all(arc.isascii() and arc.isdecimal() for arc in arcs) or int(arcs[0]) > 2:
        raise ValueError(f"{text[:80]!r} is no object identifier, such as 1.3.6.1.4.1.99999.1.2")
    return ".".join(str(int(arc)) for arc in arcs)


def _attribute_value(octets: bytes) -> bytes:
    """An address as its octets, `0x` and `0s` as what they say, anything else as it stands."""
    text = octets.strip()
    try:
        return ipaddress.ip_address(text.decode()).packed
    except ValueError:  # UnicodeDecodeError is one too
        return _decoded(text)


def _domain(text: str) -> str:
    """With a final dot or without one; the root is none, for all names would be meant."""
    if not is_domain(text):
        raise ValueError(f"{text[:80]!r} is no domain")
    return text.removesuffix(".")


def _dns_domain(text: str) -> str:
    return text if text in (ANY_DOMAIN, NO_DOMAIN) else _domain(text)


def _resolver(text: str) -> EncryptedDns:
    """`address#name`, as resolvers have it, with a port if need be: `10.0.0.53:8853#dns.example.org`."""
    address, mark, name = text.partition("#")
    if not mark:
        raise ValueError(
            f'{text[:80]!r} names no server; write "address#name", in quotes, with the name its certificate has'
        )
    port = 0
    if address.startswith("["):
        address, _, rest = address[1:].partition("]")
        port = parse_number(rest.removeprefix(":"), 16) if rest else 0
    elif address.count(":") == 1:
        address, _, rest = address.partition(":")
        port = parse_number(rest, 16)
    return EncryptedDns(1, (_packed(address),), _domain(name), ("dot",), port)


def _trust_anchor(text: str) -> tuple[tuple[str, TrustAnchor]]:
    """The domain, and what its DS record has: key tag, algorithm, digest type, digest in hex."""
    words = text.split()
    if len(words) != _ANCHOR_WORDS:
        raise ValueError("write domain, key tag, algorithm, digest type and digest, as a DS record has them")
    name, tag, algorithm, kind, digest = words
    try:
        octets = bytes.fromhex(digest)
    except ValueError:
        raise ValueError("the digest is not hexadecimal") from None
    anchor = TrustAnchor(parse_number(tag, 16), parse_number(algorithm, 8), parse_number(kind, 8), octets)
    return ((_domain(name), anchor),)


def _tfc(text: str) -> int:
    return TFC_MTU if text.lower() == "mtu" else parse_number(text, 16)


def _replay(text: str) -> int:
    window = parse_number(text)
    if window > MAX_REPLAY_WINDOW:
        raise ValueError(f"{window} packets are more than the kernel's {MAX_REPLAY_WINDOW}")
    return window


def _window(text: str) -> int:
    window = parse_number(text)
    if not 1 <= window <= MAX_WINDOW:
        raise ValueError(f"{window} exchanges at once; say 1 to {MAX_WINDOW}")
    return window


def _interface(text: str) -> str:
    if len(text.encode()) > _INTERFACE_OCTETS or "/" in text or any(c.isspace() for c in text):
        raise ValueError(f"{text[:40]!r} is no name of a network interface")
    return text


@lru_cache(1024)
def _parsed(text: str, protocol: Protocol) -> Proposal:
    """Thousands of connections say the same: they share one object."""
    return parse_proposal(text, protocol)


def _proposals(protocol: Protocol, defaults: Callable[[], tuple[Proposal, ...]] | None) -> Callable[[bytes], Any]:
    def read(text: str) -> tuple[Proposal, ...]:
        if text == "default":
            if defaults is None:
                raise ValueError("there is no default; name the algorithms")
            return defaults()
        return (_parsed(text, protocol),)

    return _of_text(read)


def _decoded(octets: bytes) -> bytes:
    """Text, `0x` hex or `0s` Base64."""
    try:
        if octets[:2].lower() == b"0x":
            return bytes.fromhex(octets[2:].decode("ascii").replace(":", ""))
        if octets[:2] == b"0s":
            return base64.b64decode(b"".join(octets[2:].split()), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("the digits after 0x or 0s are not valid") from None
    return octets


def _secret(octets: bytes) -> Secret:
    return raw_secret(_decoded(octets))


def raw_secret(octets: bytes) -> Secret:
    """Raises ValueError for nothing, and for more than any key needs."""
    if not octets:
        raise ValueError("the secret is empty")
    if len(octets) > MAX_SECRET:
        raise ValueError(f"the secret is longer than {MAX_SECRET} octets")
    return Secret(octets)


def _nt_hash(octets: bytes) -> Secret:
    decoded = _decoded(octets)
    if len(decoded) != HASH_OCTETS or not octets.strip().lower().startswith((b"0x", b"0s")):
        raise ValueError(f"an NT hash is {HASH_OCTETS} octets, written as 0x and hex or 0s and Base64")
    return Secret(decoded)


_ACTION = {"none": Action.NONE, "clear": Action.NONE, "start": Action.START, "restart": Action.START}
_ACTION |= {"trap": Action.TRAP, "route": Action.TRAP}
_START = _ACTION | {"trap|start": Action.TRAP_START, "start|trap": Action.TRAP_START}

_HW_OFFLOAD = {**{word.value: word for word in HwOffload}, "yes": HwOffload.CRYPTO}

_FRAGMENTATION = {word: Fragmentation.YES if value else Fragmentation.NO for word, value in _BOOLS.items()}
_FRAGMENTATION |= {word.value: word for word in Fragmentation}
_TCP = {word: Tcp.YES if value else Tcp.NO for word, value in _BOOLS.items()} | {Tcp.FALLBACK.value: Tcp.FALLBACK}
_OTHER_BOOLS = tuple(word for word in _BOOLS if word not in ("yes", "no"))

# fmt: off
BOOL          = Kind("bool", "yes or no", _of_text(_bool))
TIME          = Kind("time", "seconds, or a number with s, m, h or d", _of_text(parse_time))
VOLUME        = Kind("bytes", "octets, or a number with k, m or g", _of_text(parse_bytes))
U32           = Kind("number", "a number up to 4294967295", _of_text(parse_number))
U64           = Kind("number", "a number up to 2^64-1", _of_text(lambda text: parse_number(text, 64)))
PORT          = Kind("port", "a number up to 65535", _of_text(lambda text: parse_number(text, 16)))
TEXT          = Kind("text", "text", _of_text(str))
WORD          = Kind("word", "a word", _of_text(_word))
VERSION       = Kind("version", "0, 1 or 2", _of_text(_version))
IDENTITY      = Kind("identity", "an identity", _of_text(Identity.parse))
PATTERN       = Kind("identity", "an identity or a pattern of identities", _of_text(IdentityPattern.parse))
SELECTOR      = Kind("selector", "network[protocol/port] or dynamic", _of_text(SelectorSpec.parse))
ADDRESS       = Kind("address", "an address, network, range, name or %any", _of_text(AddressSpec.parse))
AUTH          = Kind("auth", "psk, pubkey, constraints, eap or xauth", _of_text(read_auth))
IKE_PROPOSALS = Kind("proposal", "algorithms joined by -, or default", _proposals(Protocol.IKE, default_ike))
ESP_PROPOSALS = Kind("proposal", "algorithms joined by -, or default", _proposals(Protocol.ESP, default_esp))
AH_PROPOSALS  = Kind("proposal", "algorithms joined by -", _proposals(Protocol.AH, None))
MARK          = Kind("mark", "value[/mask], %unique or %unique-dir", _of_text(_mark))
SET_MARK      = Kind("mark", "value[/mask] or %same", _of_text(_set_mark))
IF_ID         = Kind("number", "a number up to 4294967295", _of_text(_if_id))
TFC           = Kind("padding", "a number up to 65535, or mtu", _of_text(_tfc))
REPLAY        = Kind("number", "a number up to 4096", _of_text(_replay))
WINDOW        = Kind("number", "a number from 1 to 16", _of_text(_window))
INTERFACE     = Kind("interface", "the name of a network interface", _of_text(_interface))
CERT          = Kind("certificate", "a file in PEM or DER", bytes, raw=True)
PUBKEY        = Kind("public key", "a file in PEM or DER", read_public_key, raw=True)
SECRET        = Kind("secret", "text, 0x hex or 0s Base64", _secret)
NT_HASH       = Kind("secret", "0x hex or 0s Base64 of 16 octets", _nt_hash)
PASSPHRASE    = Kind("secret", "text", raw_secret)
NAME          = Kind("name", "a name", _of_text(_name))
USER          = Kind("text", "a user name", _of_text(_user))
DOMAIN_NAME   = Kind("domain", "a domain", _of_text(_domain))
DNS_DOMAIN    = Kind("domain", f"a domain, {ANY_DOMAIN} or {NO_DOMAIN}", _of_text(_dns_domain))
RESOLVER      = Kind("resolver", "address#name", _of_text(lambda text: (_resolver(text),)))
TRUST_ANCHOR  = Kind("anchor", "a domain and its DS record", _of_text(_trust_anchor))
GATEWAY       = Kind("gateway", "an address or a name", _of_text(gateway))
HOST_ADDRESS  = Kind("address", "an address", _of_text(_packed))
IPV4_ADDRESS  = Kind("address", "an IPv4 address", _of_text(_packed_v4))
NETWORK       = Kind("network", "a network", _of_text(_network))
IPV4_NETWORK  = Kind("network", "an IPv4 network", _of_text(_network_v4))
POOL_RANGE    = Kind("range", "a network or a range of addresses", _of_text(_pool_range))
ATTRIBUTE     = Kind("octets", "an address, 0x hex, 0s Base64 or text", _attribute_value)
FRAGMENTATION = Kind("word", "a word", _choice(_FRAGMENTATION, silent=_OTHER_BOOLS))
TCP           = Kind("word", "a word", _choice(_TCP, silent=_OTHER_BOOLS))
CHILDLESS     = Kind("word", "a word", _choice({word.value: word for word in Childless}))
UNIQUE        = Kind("word", "a word", _choice({word.value: word for word in Unique}))
HW_OFFLOAD    = Kind("word", "a word", _choice(_HW_OFFLOAD))
COPY_DSCP     = Kind("word", "a word", _choice({word.value: word for word in CopyDscp}))
REVOCATION    = Kind("word", "a word", _choice({word.value: word for word in Revocation}))
CRL_URI       = Kind("uri", "http://, https:// or file:///", _of_text(_uri(("http", "https", "file"))))
HTTP_URI      = Kind("uri", "http:// or https://", _of_text(_uri(("http", "https"))))
URI_BASE      = Kind("uri", "http:// or https://, ending with a slash", _of_text(_uri_base))
OID           = Kind("oid", "numbers joined by dots", _of_text(_oid))
OCSP          = Kind("word", "a word", _choice({word.value: word for word in Ocsp}))
SEND_CERT     = Kind("word", "a word", _choice({word.value: word for word in SendCert}))
RDN_MATCHING  = Kind("word", "a word", _choice({word.value: word for word in RdnMatching}))
MODE          = Kind("word", "a word", _choice({word.value: word for word in Mode},
                                               ("transport_proxy", "beet", "iptfs")))
START_ACTION  = Kind("word", "a word", _choice(_START))
CLOSE_ACTION  = Kind("word", "a word", _choice(_ACTION))
DPD_ACTION    = Kind("word", "a word", _choice(_ACTION))
# fmt: on
