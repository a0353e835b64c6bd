"""ikectl: an IKE control plane for Linux."""
