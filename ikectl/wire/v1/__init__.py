"""IKEv1 on the wire (RFC 2408, 2407, 2409). Importing anything of it registers all its payloads."""

from ikectl.wire.v1.attributes import Attribute, number, read_attributes, write_attributes
from ikectl.wire.v1.fragment import Fragment, split
from ikectl.wire.v1.identity import CERT, CERTREQ, ID
from ikectl.wire.v1.keying import KE, Hash, Nonce, Signature, VendorId
from ikectl.wire.v1.message import Message, frame
from ikectl.wire.v1.nat import NatD, NatDDraft, NatOa, NatOaDraft
from ikectl.wire.v1.notify import Delete, Notify
from ikectl.wire.v1.payload import Payload, Unknown
from ikectl.wire.v1.sa import SA, Proposal, Transform
from ikectl.wire.v1.transaction import Attributes

__all__ = [
    "Message",
    "frame",
    "Payload",
    "Unknown",
    "SA",
    "Proposal",
    "Transform",
    "Attribute",
    "number",
    "read_attributes",
    "write_attributes",
    "KE",
    "Nonce",
    "Hash",
    "Signature",
    "VendorId",
    "ID",
    "CERT",
    "CERTREQ",
    "NatD",
    "NatDDraft",
    "NatOa",
    "NatOaDraft",
    "Notify",
    "Delete",
    "Attributes",
    "Fragment",
    "split",
]
