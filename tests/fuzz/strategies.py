"""Hypothesis strategies of every IKEv2 payload and of whole messages."""

from __future__ import annotations

from typing import Any, TypeVar

from hypothesis import strategies as st

from ikectl.iana.registry import Registry
from ikectl.iana.v2 import (
    AuthMethod,
    CertEncoding,
    CfgAttribute,
    CfgType,
    ExchangeType,
    IdType,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    Protocol,
    TransformType,
)
from ikectl.values.selector import TrafficSelector
from ikectl.wire.payload import Payload, Unknown
from ikectl.wire.v2 import (
    AUTH,
    CERT,
    CERTREQ,
    CP,
    EAP,
    KE,
    SA,
    SK,
    SKF,
    Attribute,
    Delete,
    IDi,
    IDr,
    Message,
    Nonce,
    Notify,
    Proposal,
    PuzzleSolution,
    Transform,
    TSi,
    TSr,
    VendorId,
)
from ikectl.wire.v2.identity import ADDRESS_OCTETS, HASH_LISTS
from ikectl.wire.v2.sa import SPI_OCTETS

R = TypeVar("R", bound=Registry)

octet = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
octets = st.binary(max_size=80)
spi8 = st.binary(min_size=8, max_size=8)


def of(registry: type[R], most: int = 0xFF) -> st.SearchStrategy[R]:
    """An assigned number or any other up to `most`."""
    assigned = st.sampled_from([member for member in registry if member <= most])
    return st.one_of(assigned, st.integers(0, most).map(registry))


def exactly(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


@st.composite
def attributes(draw: st.DrawFn) -> bytes:
    """Transform attributes that are not one Key Length."""
    parts = []
    for kind in draw(st.lists(st.integers(0, 0x7FFF).filter(lambda kind: kind != 14), min_size=1, max_size=3)):
        if draw(st.booleans()):
            parts.append((0x8000 | kind).to_bytes(2, "big") + draw(exactly(2)))
        else:
            value = draw(st.binary(max_size=9))
            parts.append(kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value)
    return b"".join(parts)


transforms = st.one_of(
    st.builds(Transform, of(TransformType), u16, u16, st.just(b"")),
    st.builds(Transform, of(TransformType), u16, st.just(0), attributes()),
)


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    protocol = draw(of(Protocol))
    sizes = SPI_OCTETS.get(protocol)
    spi = draw(st.sampled_from(sizes).flatmap(exactly) if sizes else st.binary(max_size=255))
    return Proposal(draw(octet), protocol, spi, tuple(draw(st.lists(transforms, max_size=12))))


@st.composite
def identities(draw: st.DrawFn, cls: type[Any]) -> Payload:
    kind = draw(of(IdType))
    size = ADDRESS_OCTETS.get(kind)
    payload: Payload = cls(kind, draw(octets if size is None else exactly(size)))
    return payload


@st.composite
def certificate_requests(draw: st.DrawFn) -> CERTREQ:
    encoding = draw(of(CertEncoding))
    if encoding in HASH_LISTS:
        return CERTREQ(encoding, tuple(draw(st.lists(exactly(20), max_size=5))))
    rest = draw(octets)
    return CERTREQ(encoding, (rest,) if rest else ())


@st.composite
def deletes(draw: st.DrawFn) -> Delete:
    protocol = draw(of(Protocol))
    size = Delete.SPI_OCTETS.get(protocol)
    if size is None:
        size = draw(st.integers(1, 16))
    return Delete(protocol, tuple(draw(st.lists(exactly(size), max_size=8))) if size else ())


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    v6 = draw(st.booleans())
    address = st.integers(0, 2**128 - 1 if v6 else 2**32 - 1)
    start, end = sorted((draw(address), draw(address)))
    ports = draw(st.one_of(st.just((65535, 0)), st.tuples(u16, u16).map(lambda pair: (min(pair), max(pair)))))
    return TrafficSelector(draw(octet), *ports, start, end, v6)


@st.composite
def unknown_selectors(draw: st.DrawFn) -> bytes:
    kind = draw(octet.filter(lambda kind: kind not in (7, 8)))
    rest = draw(st.binary(max_size=40))
    return bytes((kind, draw(octet))) + (4 + len(rest)).to_bytes(2, "big") + rest


@st.composite
def selector_payloads(draw: st.DrawFn, cls: type[Any]) -> Payload:
    known = tuple(draw(st.lists(selectors(), max_size=6)))
    payload: Payload = cls(known, tuple(draw(st.lists(unknown_selectors(), max_size=2))))
    return payload


@st.composite
def fragments(draw: st.DrawFn) -> SKF:
    number, total = sorted((draw(st.integers(1, 0xFFFF)), draw(st.integers(1, 0xFFFF))))
    return SKF(draw(of(PayloadType)), number, total, draw(octets))


ASSIGNED = {33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 53, 54}
unknown = st.builds(
    Unknown,
    st.integers(1, 255).filter(lambda number: number not in ASSIGNED).map(PayloadType),
    st.booleans(),
    octets,
)

PAYLOADS: dict[type[Payload], st.SearchStrategy[Any]] = {
    SA: st.lists(proposals(), min_size=1, max_size=5).map(lambda found: SA(tuple(found))),
    KE: st.builds(KE, of(KeyExchangeMethod, 0xFFFF), octets),
    IDi: identities(IDi),
    IDr: identities(IDr),
    CERT: st.builds(CERT, of(CertEncoding), octets),
    CERTREQ: certificate_requests(),
    AUTH: st.builds(AUTH, of(AuthMethod), octets),
    Nonce: st.builds(Nonce, st.binary(min_size=16, max_size=256)),
    Notify: st.builds(Notify, of(NotifyType, 0xFFFF), octets, of(Protocol), st.binary(max_size=255)),
    Delete: deletes(),
    VendorId: st.builds(VendorId, octets),
    PuzzleSolution: st.integers(1, 64).flatmap(
        lambda each: st.builds(PuzzleSolution, st.tuples(*[st.binary(min_size=each, max_size=each)] * 4))
    ),
    TSi: selector_payloads(TSi),
    TSr: selector_payloads(TSr),
    CP: st.builds(
        CP,
        of(CfgType),
        st.lists(st.builds(Attribute, of(CfgAttribute, 0x7FFF), octets), max_size=8).map(tuple),
    ),
    EAP: st.builds(EAP, octet, octet, octets),
    Unknown: unknown,
}
ENCLOSING: dict[type[Payload], st.SearchStrategy[Any]] = {
    SK: st.builds(SK, of(PayloadType), octets),
    SKF: fragments(),
}

payload_lists: st.SearchStrategy[list[Payload]] = st.lists(st.one_of(*PAYLOADS.values()), max_size=10)
chains: st.SearchStrategy[list[Payload]] = st.tuples(
    payload_lists,
    st.one_of(st.just([]), st.one_of(*ENCLOSING.values()).map(lambda last: [last])),
).map(lambda halves: [*halves[0], *halves[1]])


def messages(inside: st.SearchStrategy[list[Payload]] = chains) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        spi8,
        spi8,
        of(ExchangeType),
        st.integers(0, 0xFFFFFFFF),
        st.booleans(),
        st.booleans(),
        inside,
        st.integers(0x20, 0x2F),
    )
