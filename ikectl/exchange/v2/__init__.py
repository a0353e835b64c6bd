"""The exchanges of IKEv2 (RFC 7296), each file one exchange with both halves."""
