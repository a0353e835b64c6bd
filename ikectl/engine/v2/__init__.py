"""One IKEv2 SA at work."""
