"""What drives the exchanges: windows, retransmission, routing, connections. Sans-IO like all below it."""
