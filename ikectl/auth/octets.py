"""The octets an AUTH payload covers (RFC 7296 §2.15)."""

from __future__ import annotations

from ikectl.crypto.prf import Prf


def signed_octets(real_message: bytes, nonce: bytes, prf: Prf, sk_p: bytes, id_body: bytes) -> bytes:
    """InitiatorSignedOctets or ResponderSignedOctets: RealMessage | Nonce | prf(SK_p, IDbody).

    `real_message` is the signer's whole IKE_SA_INIT message as sent, from the
    IKE header on, without the non-ESP marker; `nonce` the *other* side's nonce
    data; `sk_p` and `id_body` the signer's SK_pi or SK_pr and the body of its
    ID payload without the generic header.
    """
    return b"".join((real_message, nonce, prf.compute(sk_p, id_body)))
