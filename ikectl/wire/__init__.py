"""Octets to payload objects and back, for both IKE versions; no crypto, no state, no policy."""
