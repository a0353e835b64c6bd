"""One ISAKMP SA at work (IKEv1)."""
