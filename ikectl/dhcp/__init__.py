"""DHCP over IPsec (RFC 3456): messages, the relay agent's part and the client's. No clock, no sockets."""
