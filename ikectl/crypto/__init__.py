"""Algorithms: the table of transforms, proposals, key exchange, key derivation, signatures.

`transforms.py` is the table everything else hangs from. `kdf_v2.py` holds the
key schedule of IKEv2; that of IKEv1 (SKEYID, the chain of IVs, quick mode's
KEYMAT) belongs beside it as `kdf_v1.py` and uses the same rows, which know
their IKEv1 numbers already.
"""
