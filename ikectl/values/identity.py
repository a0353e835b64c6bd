"""Identity and IdentityPattern: who a peer says it is, and whom we expect.

The kinds are those of RFC 7296 §3.5; the text forms and the guessing of a
kind from text are swanctl's.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Self

from ikectl.iana.v2 import IdType, id_type
from ikectl.values.dn import Rdn, format_name, parse_name, read_name, write_name
from ikectl.values.expression import Expression, compiled

NO_MATCH = 0
MATCH_ANY = 1
MATCH_WILDCARDS = 2
MATCH_ONE_WILDCARD = 19
MATCH_EXACT = 20
"""How close a pattern is to an identity: larger is closer, 0 is no match."""

MAX_TEXT = 2048
_MAX_REGEX_SUBJECT = 512  # longer identities never meet an operator's regular expression

_ANY_WORDS = frozenset(("", "%any", "%any6", "0.0.0.0", "*", "::", "0::0"))
_PREFIXES = {
    "ipv4": IdType.IPV4_ADDR,
    "ipv6": IdType.IPV6_ADDR,
    "rfc822": IdType.RFC822_ADDR,
    "email": IdType.RFC822_ADDR,
    "userfqdn": IdType.RFC822_ADDR,
    "fqdn": IdType.FQDN,
    "dns": IdType.FQDN,
    "asn1dn": IdType.DER_ASN1_DN,
    "asn1gn": IdType.DER_ASN1_GN,
    "keyid": IdType.KEY_ID,
}
_PREFIXED = re.compile(r"(?:([a-z0-9]+)|\{(\d{1,3})\}):(.*)\Z", re.DOTALL | re.IGNORECASE)
_ANY = IdType.ANY
_TEXT_KINDS = (IdType.FQDN, IdType.RFC822_ADDR)
_REGEX_KINDS = (IdType.FQDN, IdType.RFC822_ADDR, IdType.DER_ASN1_DN)


@dataclass(slots=True, unsafe_hash=True)
class Identity:
    """An identity as RFC 7296 §3.5 carries it: the kind and its octets.

    Treated as a value, never changed: it is hashed. Not frozen, because one
    is made for every ID payload. Octets from the wire are not checked.
    """

    kind: IdType
    data: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From text, the kind guessed as swanctl does or forced by a prefix. Raises ValueError."""
        if len(text) > MAX_TEXT:
            raise ValueError(f"an identity longer than {MAX_TEXT} characters")
        forced = _forced(text)
        return cls(*(forced or _guessed(text)))

    @classmethod
    def of_address(cls, packed: bytes) -> Self:
        """From an address of 4 or 16 octets."""
        return cls(IdType.IPV4_ADDR if len(packed) == 4 else IdType.IPV6_ADDR, packed)

    @classmethod
    def of_dn(cls, der_name: bytes) -> Self:
        """From the DER of an X.501 Name."""
        return cls(IdType.DER_ASN1_DN, der_name)

    @property
    def is_any(self) -> bool:
        """Whether this is `%any`, which stands for everybody and is never sent."""
        return self.kind == _ANY

    @property
    def rdns(self) -> tuple[Rdn, ...] | None:
        """The relative names of a DN; None for another kind or malformed DER."""
        return _rdns(self.data) if self.kind == IdType.DER_ASN1_DN else None

    def same(self, other: Identity) -> bool:
        """Whether both name one party: host names, mail addresses and DNs compare without case."""
        return self == other or ExactIdentity(self).match(other) > 0

    @property
    def canonical(self) -> Identity:
        """The one that stands for all that are `same`: what is counted by identity is counted by that one."""
        data = self.folded[1:]
        return self if data == self.data else Identity(self.kind, data)

    @property
    def folded(self) -> bytes:
        """Octets that are equal for all that are `same` and for nobody else: what tables are kept by."""
        return _folded(self.kind, self.data)

    def __str__(self) -> str:
        """The form swanctl prints; unprintable octets are escaped, so a peer cannot forge a log line."""
        kind, data = self.kind, self.data
        if kind == IdType.ANY:
            return "%any"
        if (kind == IdType.IPV4_ADDR and len(data) == 4) or (kind == IdType.IPV6_ADDR and len(data) == 16):
            return str(ipaddress.ip_address(data))
        if kind in _TEXT_KINDS:
            return _printable(data)
        if kind == IdType.DER_ASN1_DN and (rdns := self.rdns):
            return format_name(rdns)
        if kind == IdType.KEY_ID and data and _plain(data):
            return data.decode("ascii")
        if kind == IdType.KEY_ID:
            return data.hex(":")
        if kind == IdType.NULL:
            return "NULL"
        return f"{{{int(kind)}}}:#{data.hex()}"


class RdnMatching(StrEnum):
    """How strictly the relative names of a DN are compared."""

    STRICT = "strict"
    """As many, in the same order."""
    REORDERED = "reordered"
    """As many, in any order."""
    RELAXED = "relaxed"
    """In any order, and those that the pattern does not name may be anything."""


class IdentityPattern(ABC):
    """Whom a configuration expects. Patterns are values: equal text of equal meaning is equal."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> IdentityPattern:
        """From swanctl's text: an identity, `%any`, wildcards, a network, or `kind:^regex$`.

        Raises ValueError.
        """
        if len(text) > MAX_TEXT:
            raise ValueError(f"an identity longer than {MAX_TEXT} characters")
        prefixed = _PREFIXED.match(text)
        if prefixed and prefixed[1] and prefixed[3].startswith("^") and prefixed[3].endswith("$"):
            kind = _PREFIXES.get(prefixed[1].lower())
            if kind in _REGEX_KINDS:
                return RegexIdentity.of(kind, prefixed[3])
        network = _network(text)
        if network:
            return network
        identity = Identity.parse(text)
        if identity.is_any:
            return AnyIdentity()
        if identity.kind in _TEXT_KINDS and identity.data.startswith(b"*"):
            return SuffixIdentity(identity.kind, identity.data[1:])
        rdns = identity.rdns
        if rdns and any(attribute.text == "*" for rdn in rdns for attribute in rdn):
            return WildcardDn(identity.data)
        return ExactIdentity(identity)

    @property
    def identity(self) -> Identity | None:
        """The one identity that fits, if there is only one."""
        return None

    @abstractmethod
    def match(self, identity: Identity) -> int:
        """How well it fits: 0 not at all, MATCH_EXACT best."""

    def comparing(self, matching: RdnMatching) -> IdentityPattern:
        """The same pattern, if it is a DN comparing relative names like that."""
        return self


@dataclass(frozen=True, slots=True)
class AnyIdentity(IdentityPattern):
    """`%any`."""

    def match(self, identity: Identity) -> int:
        return MATCH_ANY

    def __str__(self) -> str:
        return "%any"


@dataclass(frozen=True, slots=True)
class ExactIdentity(IdentityPattern):
    """One identity. Host names, mail addresses and DN strings compare without case."""

    expected: Identity

    @property
    def identity(self) -> Identity:
        return self.expected

    def match(self, identity: Identity) -> int:
        expected = self.expected
        if expected == identity:
            return MATCH_EXACT
        if expected.kind != identity.kind:
            return NO_MATCH
        if expected.kind in _TEXT_KINDS and expected.data.lower() == identity.data.lower():
            return MATCH_EXACT
        if expected.kind == IdType.DER_ASN1_DN:
            return _match_dn(expected.rdns, identity.rdns, wildcards=False)
        return NO_MATCH

    def comparing(self, matching: RdnMatching) -> IdentityPattern:
        if matching is RdnMatching.STRICT or not self.expected.rdns:
            return self
        return LooseDn(self.expected.data, matching)

    def __str__(self) -> str:
        return str(self.expected)


@dataclass(frozen=True, slots=True)
class SuffixIdentity(IdentityPattern):
    """`*.example.org` or `*@example.org`: what follows the star must end the identity."""

    kind: IdType
    suffix: bytes

    def match(self, identity: Identity) -> int:
        fits = identity.kind == self.kind and identity.data.lower().endswith(self.suffix.lower())
        return MATCH_ONE_WILDCARD if fits else NO_MATCH

    def __str__(self) -> str:
        return _printable(b"*" + self.suffix)


@dataclass(frozen=True, slots=True)
class WildcardDn(IdentityPattern):
    """A DN some of whose values are `*`; each star makes the match one step less close."""

    der: bytes

    def match(self, identity: Identity) -> int:
        actual = identity.rdns
        return NO_MATCH if actual is None else _match_dn(_rdns(self.der), actual, wildcards=True)

    def comparing(self, matching: RdnMatching) -> IdentityPattern:
        return self if matching is RdnMatching.STRICT else LooseDn(self.der, matching)

    def __str__(self) -> str:
        return format_name(read_name(self.der))


@dataclass(frozen=True, slots=True)
class LooseDn(IdentityPattern):
    """A DN, with or without `*` as values, whose relative names may come in any order.

    A relative name with several attributes is one name: these are compared in their order.
    """

    der: bytes
    matching: RdnMatching

    def match(self, identity: Identity) -> int:
        expected, actual = _rdns(self.der), identity.rdns
        if expected is None or actual is None or len(expected) > len(actual):
            return NO_MATCH
        if self.matching is RdnMatching.REORDERED and len(expected) != len(actual):
            return NO_MATCH
        left, closeness = list(actual), MATCH_EXACT
        # What names a value first: a star may stand for any of its type that is left.
        for mine in sorted(expected, key=_stars):
            fit = next((place for place, theirs in enumerate(left) if _match_rdn(mine, theirs, wildcards=True)), None)
            if fit is None:
                return NO_MATCH
            closeness -= _stars(mine)
            del left[fit]
        return max(closeness - len(left), MATCH_WILDCARDS)

    def __str__(self) -> str:
        return format_name(read_name(self.der))


def _stars(rdn: Rdn) -> int:
    return sum(attribute.text == "*" for attribute in rdn)


@dataclass(frozen=True, slots=True)
class RegexIdentity(IdentityPattern):
    """An anchored regular expression over the text of identities of one kind, without case."""

    kind: IdType
    expression: Expression

    @classmethod
    def of(cls, kind: IdType, expression: str) -> Self:
        """Raises ValueError when the expression is not valid."""
        return cls(kind, compiled(expression))

    def match(self, identity: Identity) -> int:
        if identity.kind != self.kind or len(identity.data) > _MAX_REGEX_SUBJECT:
            return NO_MATCH
        return MATCH_WILDCARDS if self.expression.matches(str(identity)) else NO_MATCH

    def __str__(self) -> str:
        word = {IdType.FQDN: "fqdn", IdType.RFC822_ADDR: "email"}.get(self.kind, "asn1dn")
        return f"{word}:{self.expression.text}"


@dataclass(frozen=True, slots=True)
class NetworkIdentity(IdentityPattern):
    """Address identities inside a network or range; `start` and `end` are packed and included."""

    text: str
    start: bytes
    end: bytes

    def match(self, identity: Identity) -> int:
        if identity.kind not in (IdType.IPV4_ADDR, IdType.IPV6_ADDR):
            return NO_MATCH
        if len(identity.data) != len(self.start) or not self.start <= identity.data <= self.end:
            return NO_MATCH
        return MATCH_ONE_WILDCARD

    def __str__(self) -> str:
        return self.text


@lru_cache(32)
def _rdns(der: bytes) -> tuple[Rdn, ...] | None:
    """Remembered for a while: one identity of a peer is compared with those of thousands of connections."""
    try:
        return read_name(der)
    except ValueError:
        return None


@lru_cache(32)
def _folded(kind: IdType, data: bytes) -> bytes:
    """Remembered for a while: it is asked for several times while an SA is made."""
    if kind in _TEXT_KINDS:
        data = data.lower()
    elif kind == IdType.DER_ASN1_DN:
        data = _canonical_dn(data)
    return b"%c%b" % (kind, data)


def _canonical_dn(der: bytes) -> bytes:
    rdns = _rdns(der)
    return der if rdns is None else write_name(tuple(tuple(one.canonical for one in rdn) for rdn in rdns))


def _match_dn(expected: tuple[Rdn, ...] | None, actual: tuple[Rdn, ...] | None, *, wildcards: bool) -> int:
    """Relative names must be as many, in the same order, of the same types."""
    if expected is None or actual is None or len(expected) != len(actual):
        return NO_MATCH
    closeness = MATCH_EXACT
    for mine, theirs in zip(expected, actual, strict=True):
        if not _match_rdn(mine, theirs, wildcards=wildcards):
            return NO_MATCH
        if wildcards:
            closeness -= _stars(mine)
    return max(closeness, MATCH_WILDCARDS)


def _match_rdn(mine: Rdn, theirs: Rdn, *, wildcards: bool) -> bool:
    return len(mine) == len(theirs) and all(
        (wildcards and a.oid == b.oid and a.text == "*") or a.same(b) for a, b in zip(mine, theirs, strict=True)
    )


def _forced(text: str) -> tuple[IdType, bytes] | None:
    prefixed = _PREFIXED.match(text)
    if not prefixed:
        return None
    word, number, rest = prefixed.groups()
    if number is not None:
        if not 0 < int(number) <= 255:
            raise ValueError(f"identity type {number} is not between 1 and 255")
        kind = id_type(int(number))
    elif word.lower() in _PREFIXES:
        kind = _PREFIXES[word.lower()]
    else:
        return None
    if rest.startswith("#"):
        try:
            return kind, _sized(kind, bytes.fromhex(rest[1:].replace(":", "")))
        except ValueError:
            raise ValueError(f"{text[:40]!r}: what follows # must be hex digits") from None
    if kind == IdType.IPV4_ADDR:
        return kind, ipaddress.IPv4Address(rest).packed
    if kind == IdType.IPV6_ADDR:
        return kind, ipaddress.IPv6Address(rest).packed
    if kind == IdType.DER_ASN1_DN:
        return kind, parse_name(rest)
    if kind == IdType.DER_ASN1_GN:
        raise ValueError("a general name is written as asn1gn:# and the hex of its DER")
    return kind, _sized(kind, _octets(rest))


def _guessed(text: str) -> tuple[IdType, bytes]:
    if text in _ANY_WORDS:
        return IdType.ANY, b""
    if "=" in text:
        try:
            return IdType.DER_ASN1_DN, parse_name(text)
        except ValueError:
            return IdType.KEY_ID, _octets(text)
    if "@" not in text:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return (IdType.KEY_ID if ":" in text else IdType.FQDN), _octets(text)
        return (IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR), address.packed
    if text.startswith("@#"):
        try:
            return IdType.KEY_ID, bytes.fromhex(text[2:].replace(":", ""))
        except ValueError:
            raise ValueError(f"{text[:40]!r}: what follows @# must be hex digits") from None
    if text.startswith("@@"):
        return IdType.RFC822_ADDR, _octets(text[2:])
    if text.startswith("@"):
        return IdType.FQDN, _octets(text[1:])
    return IdType.RFC822_ADDR, _octets(text)


def _octets(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("an identity must be valid UTF-8") from None


def _sized(kind: IdType, data: bytes) -> bytes:
    wanted = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}.get(kind)
    if wanted and len(data) != wanted:
        raise ValueError(f"an address of {len(data)} octets where {wanted} are needed")
    if not data:
        raise ValueError("an empty identity")
    return data


def _network(text: str) -> NetworkIdentity | None:
    """A network or a range of addresses, or None when the text is neither."""
    try:
        if "/" in text and not text.startswith("/"):
            network = ipaddress.ip_network(text, strict=False)
            return NetworkIdentity(text, network[0].packed, network[-1].packed)
        if "-" in text:
            first, _, last = text.partition("-")
            low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
            if low.version == high.version and low.packed <= high.packed:
                return NetworkIdentity(text, low.packed, high.packed)
    except ValueError:
        pass
    return None


def _plain(data: bytes) -> bool:
    return all(0x20 <= octet < 0x7F for octet in data)


def _printable(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
