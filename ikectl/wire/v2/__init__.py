"""IKEv2 on the wire (RFC 7296 §3). Importing anything of it registers all its payloads."""

from ikectl.wire.v2.cp import CP, Attribute
from ikectl.wire.v2.eap import EAP
from ikectl.wire.v2.identity import AUTH, CERT, CERTREQ, IDi, IDr
from ikectl.wire.v2.keying import KE, Nonce, VendorId
from ikectl.wire.v2.message import Message
from ikectl.wire.v2.notify import Delete, Notify
from ikectl.wire.v2.puzzle import PuzzleSolution
from ikectl.wire.v2.sa import SA, Proposal, Transform
from ikectl.wire.v2.sealed import SK, SKF, SkCipher, open_sealed, seal
from ikectl.wire.v2.ts import TSi, TSr

__all__ = [
    "Message",
    "SA",
    "Proposal",
    "Transform",
    "KE",
    "Nonce",
    "VendorId",
    "IDi",
    "IDr",
    "CERT",
    "CERTREQ",
    "AUTH",
    "Notify",
    "Delete",
    "PuzzleSolution",
    "TSi",
    "TSr",
    "CP",
    "Attribute",
    "EAP",
    "SK",
    "SKF",
    "SkCipher",
    "seal",
    "open_sealed",
]
