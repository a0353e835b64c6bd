"""IKEv1 on the wire (RFC 2408, 2407, 2409): the place is kept, nothing is built yet.

What will live here, beside the header and the chain walk shared with IKEv2:

| file           | what                                                              |
|----------------|-------------------------------------------------------------------|
| attributes.py  | TV/TLV data attributes (RFC 2408 §3.3)                            |
| sa.py          | SA, proposal, transform with DOI and situation (RFC 2407 §4.6.1)  |
| keying.py      | KE, nonce, hash, signature, vendor id                             |
| identity.py    | ID with protocol and port, CERT, CERT_REQ                         |
| notify.py      | notification, delete, DPD                                         |
| transaction.py | attribute payload of mode config and XAUTH                        |
| message.py     | Message, the encrypted body, fragments                            |
"""
