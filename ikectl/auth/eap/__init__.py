"""EAP, client and server, without IO (RFC 3748): `peer.EapPeer`, `server.EapServer`, and a class for each method."""
