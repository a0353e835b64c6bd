"""EAP: whatever the other end says, a verdict or AuthenticationFailed, and never a crash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ikectl.auth.eap.table import PEERS, SERVERS
from ikectl.errors import AuthenticationFailed
from ikectl.iana.eap import EapCode, EapType
from ikectl.wire.eap import EapMessage
from tests.auth.answers import drive
from tests.auth.eap.talk import Talk, talk
from tests.fuzz.test_wire import CHANGES, changed

METHODS = st.sampled_from(sorted(PEERS))
TYPES = METHODS | st.sampled_from([EapType.IDENTITY, EapType.NOTIFICATION, EapType.NAK, EapType.EXPANDED])
DATA = st.binary(max_size=80) | st.builds(
    lambda opcode, number, rest: bytes((opcode, number)) + (4 + len(rest)).to_bytes(2, "big") + rest,
    st.integers(0, 8),
    st.integers(0, 255),
    st.binary(max_size=80),
)


def test_both_halves_know_the_same_methods() -> None:
    assert PEERS.keys() == SERVERS.keys()


@given(METHODS, st.lists(st.tuples(TYPES, DATA) | st.binary(max_size=60), max_size=8))
def test_a_client_and_junk(method: EapType, requests: list[tuple[EapType, bytes] | bytes]) -> None:
    made = talk(*PEERS)
    drive(made.client.take(begun(method)), made.of_client)
    for number, request in enumerate(requests):
        octets = request if isinstance(request, bytes) else EapMessage(EapCode.REQUEST, number, *request).write()
        try:
            drive(made.client.take(octets), made.of_client)
        except AuthenticationFailed:
            return
        assert not made.client.succeeded or made.client.msk is None


def begun(method: EapType) -> bytes:
    """The first request of a server that offers one method."""
    made = talk(method)
    return drive(made.server.begin(), made.of_server)


@given(METHODS, st.booleans(), st.lists(st.tuples(TYPES, DATA), max_size=8))
def test_a_server_and_junk(method: EapType, asks: bool, responses: list[tuple[EapType, bytes]]) -> None:
    made = talk(method, eap_id="%any" if asks else "")
    request = drive(made.server.begin(), made.of_server)
    for kind, data in responses:
        request = drive(made.server.take(EapMessage(EapCode.RESPONSE, request[1], kind, data).write()), made.of_server)
        assert made.server.verdict is not True
        if made.server.verdict is False:
            assert made.server.why and EapMessage.read(request).code is EapCode.FAILURE
            return


@given(METHODS, st.integers(0, 5), CHANGES)
def test_a_conversation_with_one_packet_changed(method: EapType, at: int, changes: list[tuple[str, int, int]]) -> None:
    made = talk(method, eap_id="%any")
    request = drive(made.server.begin(), made.of_server)
    try:
        for step in range(20):
            request = _spoilt(request, changes, step * 2 == at)
            response = drive(made.client.take(request), made.of_client)
            if made.server.verdict is not None:
                break
            request = drive(made.server.take(_spoilt(response, changes, step * 2 + 1 == at)), made.of_server)
    except AuthenticationFailed:
        return
    assert _agree(made)


def _spoilt(octets: bytes, changes: list[tuple[str, int, int]], now: bool) -> bytes:
    return changed(octets, changes) if now else octets


def _agree(made: Talk) -> bool:
    return not (made.client.succeeded and made.server.verdict) or made.client.msk == made.server.msk
