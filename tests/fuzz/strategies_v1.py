"""Hypothesis strategies of every IKEv1 payload and of whole messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ikectl.iana.v1 import (
    VENDOR_IDS,
    CertEncoding,
    ExchangeType,
    IdType,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransactionType,
)
from ikectl.wire.v1 import (
    CERT,
    CERTREQ,
    ID,
    KE,
    SA,
    Attribute,
    Attributes,
    Delete,
    Fragment,
    Hash,
    Message,
    NatD,
    NatDDraft,
    NatOa,
    NatOaDraft,
    Nonce,
    Notify,
    Payload,
    Proposal,
    Signature,
    Transform,
    Unknown,
    VendorId,
)
from ikectl.wire.v1.identity import DATA_OCTETS
from ikectl.wire.v1.sa import SPI_OCTETS
from tests.fuzz.strategies import exactly, octet, octets, of, spi8, u16

u32 = st.integers(0, 0xFFFFFFFF)
attributes = st.lists(
    st.builds(Attribute, st.integers(0, 0x7FFF), st.one_of(u16, st.binary(max_size=20))), max_size=8
).map(tuple)
transforms = st.builds(Transform, octet, octet, attributes)


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    protocol = draw(of(ProtocolId))
    sizes = SPI_OCTETS.get(protocol)
    spi = draw(st.sampled_from(sizes).flatmap(exactly) if sizes else st.binary(max_size=255))
    return Proposal(draw(octet), protocol, spi, tuple(draw(st.lists(transforms, max_size=8))))


foreign = st.one_of(
    st.builds(lambda doi, rest: SA((), doi, 0, rest), u32.filter(lambda doi: doi != 1), octets),
    st.builds(lambda situation, rest: SA((), 1, situation, rest), u32.filter(lambda value: value != 1), octets),
)


@st.composite
def identities(draw: st.DrawFn) -> ID:
    kind = draw(of(IdType))
    size = DATA_OCTETS.get(kind)
    return ID(kind, draw(octet), draw(u16), draw(octets if size is None else exactly(size)))


@st.composite
def deletes(draw: st.DrawFn) -> Delete:
    protocol = draw(of(ProtocolId))
    size = draw(st.sampled_from(Delete.SPI_OCTETS.get(protocol, (1, 3, 16))))
    return Delete(protocol, tuple(draw(st.lists(exactly(size), min_size=1, max_size=8))), draw(u32))


def original_addresses(cls: type[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from((4, 16)).flatmap(exactly).map(cls.of)


ASSIGNED = {1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 21, 130, 131, 132}

PAYLOADS: dict[type[Payload], st.SearchStrategy[Any]] = {
    SA: st.one_of(st.lists(proposals(), min_size=1, max_size=5).map(lambda found: SA(tuple(found))), foreign),
    KE: st.builds(KE, octets),
    ID: identities(),
    CERT: st.builds(CERT, of(CertEncoding), octets),
    CERTREQ: st.builds(CERTREQ, of(CertEncoding), octets),
    Hash: st.builds(Hash, octets),
    Signature: st.builds(Signature, octets),
    Nonce: st.builds(Nonce, octets),
    Notify: st.builds(Notify, of(NotifyType, 0xFFFF), octets, of(ProtocolId), st.binary(max_size=255), u32),
    Delete: deletes(),
    VendorId: st.builds(VendorId, st.one_of(octets, st.sampled_from(list(VENDOR_IDS)))),
    Attributes: st.builds(Attributes, of(TransactionType), u16, attributes),
    NatD: st.builds(NatD, octets),
    NatDDraft: st.builds(NatDDraft, octets),
    NatOa: original_addresses(NatOa),
    NatOaDraft: original_addresses(NatOaDraft),
    Fragment: st.builds(Fragment, u16, st.integers(1, 255), st.booleans(), st.binary(min_size=1, max_size=80)),
    Unknown: st.builds(
        Unknown,
        st.integers(1, 255).filter(lambda number: number not in ASSIGNED).map(PayloadType),
        octets,
    ),
}

chains: st.SearchStrategy[list[Payload]] = st.lists(st.one_of(*PAYLOADS.values()), max_size=10)


def messages(encrypted: bool = False) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        spi8,
        spi8,
        of(ExchangeType),
        u32,
        chains,
        st.just(encrypted),
        st.booleans(),
        st.booleans(),
    )
