"""Which class authenticates phase 1 by which method."""

from __future__ import annotations

from ikectl.auth.methods_v1 import Phase1Kind, meaning
from ikectl.auth.v1.base import Authentication
from ikectl.auth.v1.encryption import Encryption, Revised
from ikectl.auth.v1.psk import Psk
from ikectl.auth.v1.signature import Signature
from ikectl.iana.v1 import AuthMethod


def authentication(method: AuthMethod, initiator: bool) -> Authentication:
    """A fresh object for one handshake, of whose ends we are the initiator or the responder.

    Raises NoProposalChosen for a method that is not spoken here.
    """
    means = meaning(method, initiator)
    if means.phase1 is Phase1Kind.PSK:
        return Psk()
    if means.phase1 is Phase1Kind.ENCRYPTION:
        return Encryption(method, initiator)
    if means.phase1 is Phase1Kind.REVISED:
        return Revised(method, initiator)
    return Signature(method, means)
