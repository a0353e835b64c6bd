"""Address pools: what is handed out to whom, as plain values. No clock, no IO, nothing of IKE."""
