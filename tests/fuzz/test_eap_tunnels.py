"""Inside the tunnels of EAP-TTLS and EAP-PEAP: whatever the other end says there, a verdict and never a crash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ikectl.auth.eap.avps import EAP_MESSAGE, KNOWN, Avp, write_avps
from ikectl.auth.eap.base import Proven
from ikectl.auth.eap.peap import PeapPeer, PeapServer
from ikectl.auth.eap.table import PEERS, SERVERS
from ikectl.auth.eap.ttls import TtlsPeer, TtlsServer
from ikectl.config.model import Auth, AuthKind, Inner, Local, Remote
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapCode, EapType
from ikectl.values.secret import Secret
from ikectl.wire.eap import EapMessage
from tests.auth.eap.talk import CAROL, Talk, talk

PACKETS = st.builds(
    lambda code, number, kind, data: EapMessage(EapCode(code), number, EapType(kind), data).write(),
    st.sampled_from([1, 2]),
    st.integers(0, 255),
    st.sampled_from([1, 3, 4, 6, 26, 33]),
    st.binary(max_size=60),
)
AVPS = st.lists(
    st.builds(Avp, st.sampled_from(sorted(KNOWN)), st.binary(max_size=60)) | PACKETS.map(lambda p: Avp(EAP_MESSAGE, p)),
    max_size=4,
).map(write_avps)
PEAP_PLAIN = PACKETS | PACKETS.map(lambda packet: packet[4:]) | st.binary(max_size=40)
SAID = st.lists(st.none() | AVPS | PEAP_PLAIN, min_size=1, max_size=5)
"""None: what the right end would say."""
INNER = st.sampled_from(list(Inner))


def junk_peers(said: list[bytes | None]) -> dict[EapType, type]:
    left = list(said)

    class JunkTtls(TtlsPeer):
        async def inside(self, plain: Secret, identifier: int) -> bytes:
            right = await super().inside(plain, identifier)
            return (left.pop(0) if left else None) or right

    class JunkPeap(PeapPeer):
        async def inside(self, plain: Secret, identifier: int) -> bytes:
            right = await super().inside(plain, identifier)
            return (left.pop(0) if left else None) or right

    return {**PEERS, EapType.TTLS: JunkTtls, EapType.PEAP: JunkPeap}


def junk_servers(said: list[bytes | None]) -> dict[EapType, type]:
    left = list(said)

    class JunkTtls(TtlsServer):
        async def inside(self, plain: Secret, identifier: int) -> bytes | Proven:
            right = await super().inside(plain, identifier)
            return (left.pop(0) if left else None) or right

    class JunkPeap(PeapServer):
        async def inside(self, plain: Secret, identifier: int) -> bytes | Proven:
            right = await super().inside(plain, identifier)
            return (left.pop(0) if left else None) or right

    return {**SERVERS, EapType.TTLS: JunkTtls, EapType.PEAP: JunkPeap}


def made_for(method: EapType, inner: Inner) -> Talk:
    auth = Auth(AuthKind.EAP, eap=(method,), inner=inner if method is EapType.TTLS else Inner.ANY)
    return talk(local=Local(auth=auth, eap_id=CAROL), remote=Remote(auth=auth))


@given(st.sampled_from([EapType.TTLS, EapType.PEAP]), INNER, SAID)
def test_a_server_and_junk_inside(method: EapType, inner: Inner, said: list[bytes | None]) -> None:
    made = made_for(method, inner)
    made.client.context.methods = junk_peers(said)
    try:
        made.run()
    except AuthenticationFailed:
        return
    assert made.server.verdict is True and made.client.msk == made.server.msk


@given(st.sampled_from([EapType.TTLS, EapType.PEAP]), INNER, SAID)
def test_a_client_and_junk_inside(method: EapType, inner: Inner, said: list[bytes | None]) -> None:
    made = made_for(method, inner)
    made.server._dialogue.context.methods = junk_servers(said)
    try:
        made.run()
    except AuthenticationFailed:
        return
    assert made.client.succeeded and made.server.verdict is True
