"""Algorithms: the table of transforms, proposals, key exchange, key derivation, signatures.

`transforms.py` is the table everything else hangs from; both versions of IKE
negotiate its rows, IKEv1 by the numbers in their `v1` columns. What differs
between the versions is in files of its own: `proposal.py`, `suite.py`,
`kdf_v2.py` and `signature.py` are IKEv2's, those whose names end in `_v1` are
IKEv1's.
"""
