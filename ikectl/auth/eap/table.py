"""The methods of EAP by their type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ikectl.auth.eap.base import PeerMethod, ServerMethod
from ikectl.auth.eap.gtc import GtcPeer, GtcServer
from ikectl.auth.eap.md5 import Md5Peer, Md5Server
from ikectl.auth.eap.mschapv2 import MschapPeer, MschapServer
from ikectl.auth.eap.peap import PeapPeer, PeapServer
from ikectl.auth.eap.tls import TlsPeer, TlsServer
from ikectl.auth.eap.ttls import TtlsPeer, TtlsServer
from ikectl.iana.eap import EapType

PEERS: Mapping[EapType, type[PeerMethod]] = MappingProxyType(
    {method.type: method for method in (TlsPeer, TtlsPeer, PeapPeer, MschapPeer, Md5Peer, GtcPeer)}
)
SERVERS: Mapping[EapType, type[ServerMethod]] = MappingProxyType(
    {method.type: method for method in (TlsServer, TtlsServer, PeapServer, MschapServer, Md5Server, GtcServer)}
)
