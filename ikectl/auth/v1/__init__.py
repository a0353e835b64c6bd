"""How both ends prove themselves in phase 1 of IKEv1 (RFC 2409 §5.1 to §5.4)."""
