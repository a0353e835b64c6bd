"""Mode config message by message, from a peer that does it by hand (draft-dukes-ike-mode-cfg-02 §3)."""

from __future__ import annotations

from struct import Struct

import pytest

from ikectl.iana.v1 import ConfigAttribute, ExchangeType, PayloadType, TransactionType
from ikectl.sa import asks
from ikectl.sa.events import Banner, NoInnerAddress, Note
from ikectl.wire.v1.attributes import Attribute
from ikectl.wire.v1.keying import Hash
from ikectl.wire.v1.transaction import Attributes
from tests.scenarios.v1.stage import notifies, sa_of, wait
from tests.scenarios.v1.test_mode_config import DNS, NETS, both_know, comes_up, held, packed, selectors, site
from tests.sim.forge_v1 import Impostor
from tests.sim.host import Host
from tests.sim.site import Site
from tests.sim.wiretap_v1 import TRANSACTION, Seen, Wiretap

A, T = ConfigAttribute, TransactionType
HEAD = Struct("!BxH")
ASK = Attribute(A.INTERNAL_IP4_ADDRESS, b"")


def tunnel(**options: object) -> tuple[Site, Wiretap]:
    made = site(**options)  # type: ignore[arg-type]
    wire = Wiretap(made.world)
    comes_up(made)
    return made, wire


def client(made: Site, wire: Wiretap) -> Impostor:
    """Speaks for moon to sun, which has pools."""
    return Impostor(wire, made.moon)


def server(made: Site, wire: Wiretap) -> Impostor:
    return Impostor(wire, made.sun)


def request(*attributes: Attribute, identifier: int = 9) -> list[Attributes]:
    return [Attributes(T.REQUEST, identifier, attributes)]


def push(*attributes: Attribute, identifier: int = 9) -> list[Attributes]:
    return [Attributes(T.SET, identifier, attributes)]


def answer(seen: list[Seen]) -> Attributes:
    """The one answer of a transaction, and nothing else was said."""
    (one,) = seen
    assert one.message.exchange is ExchangeType.TRANSACTION
    assert isinstance(one.message.payloads[0], Hash)
    return one.message.one(Attributes)


def notes(host: Host) -> str:
    return "\n".join(note.why for note in host.saw(Note))


# -- a server --------------------------------------------------------------------------------


@pytest.mark.conformance("v1-35")
def test_a_reply_has_the_message_id_the_identifier_and_a_proof_of_its_own() -> None:
    """§3.1.1: HASH = prf(SKEYID_a, M-ID | ATTR); the IV goes on from the request's last block."""
    made, wire = tunnel()
    voice = client(made, wire)
    number = voice.new_id()

    (seen,) = voice.say(request(ASK, identifier=0xBEEF), TRANSACTION, number)

    proof, said = seen.message.payloads
    assert isinstance(proof, Hash)
    assert isinstance(said, Attributes)
    assert (seen.message.message_id, said.type, said.identifier) == (number, T.REPLY, 0xBEEF)
    assert voice.suite is not None
    assert voice.keys is not None
    covered = number.to_bytes(4, "big") + seen.message.after_first
    assert proof.data == voice.suite.prf.compute(voice.keys.skeyid_a, covered)


@pytest.mark.conformance("v1-35")
def test_a_request_on_another_message_id_finds_the_same_address() -> None:
    made, wire = tunnel()
    voice = client(made, wire)

    for wish in (b"", bytes(4), packed("10.3.0.9")[0]):
        said = answer(voice.say(request(Attribute(A.INTERNAL_IP4_ADDRESS, wish)), TRANSACTION))
        assert said.attributes == (Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.1")[0]),)

    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


def test_several_addresses_as_far_as_there_are_any() -> None:
    made, wire = tunnel()
    voice = client(made, wire)

    said = answer(voice.say(request(*[ASK] * 100), TRANSACTION))

    assert [each.value for each in said.attributes] == list(packed("10.3.0.1", "10.3.0.2", "10.3.0.3", "10.3.0.4"))
    assert "more than 4" in notes(made.sun)
    made.sun.terminate(made.world.now, "site")
    wait(made, 10.0)
    assert held(made.sun) == []


@pytest.mark.conformance("v1-35")
def test_a_request_for_nothing_we_have_is_answered() -> None:
    """A Reply MUST always be sent, even if it is an empty one (§2)."""
    made, wire = tunnel()
    voice = client(made, wire)
    for wish in ((), (Attribute(A.INTERNAL_IP4_NBNS, b""),), (Attribute(12345, b"x"),)):
        said = answer(voice.say(request(*wish), TRANSACTION))
        assert (said.type, said.attributes) == (T.REPLY, ())


def test_what_the_server_supports_and_is() -> None:
    made, wire = tunnel()
    asked = Attribute(A.SUPPORTED_ATTRIBUTES, b""), Attribute(A.APPLICATION_VERSION, b"")
    said = answer(client(made, wire).say(request(*asked), TRANSACTION))
    (version,), (supported,) = said.values(A.APPLICATION_VERSION), said.values(A.SUPPORTED_ATTRIBUTES)
    assert version == b"ikectl"
    assert supported[:6] == bytes((0, 1, 0, 2, 0, 3))


@pytest.mark.conformance("v1-35")
def test_the_same_message_again_has_the_same_answer() -> None:
    made, wire = tunnel()
    voice, number = client(made, wire), 0x5EED0001
    octets = voice.seal(voice.hashed(request(ASK), number), TRANSACTION, number)
    voice.spoke(number, octets)

    first, again = voice.deliver(octets), voice.deliver(octets)

    assert [one.octets for one in first] == [one.octets for one in again] != []


@pytest.mark.conformance("v1-35")
def test_what_is_not_proven_is_not_answered() -> None:
    made, wire = tunnel()
    voice = client(made, wire)
    forged = [Hash(bytes(32)), *request(ASK)]

    assert voice.say(forged, TRANSACTION, prove=False) == []
    assert voice.say(request(ASK), TRANSACTION, prove=False) == []
    assert voice.deliver(voice.clear(request(ASK), TRANSACTION, message_id=0x5EED0002)) == []
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


@pytest.mark.parametrize("kind", [T.REPLY, T.ACK, 5, 128])
def test_messages_that_answer_nothing_or_are_unknown_are_discarded(kind: int) -> None:
    """Unknown types SHOULD be silently discarded (§3.3)."""
    made, wire = tunnel()
    body = HEAD.pack(kind, 9)
    chain = int(PayloadType.ATTRIBUTES), bytes((0, 0)) + (4 + len(body)).to_bytes(2, "big") + body
    assert client(made, wire).say(chain, TRANSACTION) == []


def test_an_attribute_that_ends_outside_its_payload_spoils_it() -> None:
    """The entire payload MUST be discarded (§3.2)."""
    made, wire = tunnel()
    body = HEAD.pack(T.REQUEST, 9) + bytes((0, 1, 0, 9, 1, 2))
    chain = int(PayloadType.ATTRIBUTES), bytes((0, 0)) + (4 + len(body)).to_bytes(2, "big") + body
    assert client(made, wire).say(chain, TRANSACTION) == []
    assert held(made.sun) == [("10.3.0.1", "moon.example.org")]


def test_two_payloads_are_not_one_transaction() -> None:
    """§3.1.1; the SA stays."""
    made, wire = tunnel()
    seen = client(made, wire).say(request(ASK) * 2, TRANSACTION)
    assert notifies(seen)
    assert not [one for one in seen if one.message.exchange is TRANSACTION]
    assert both_know(made, "10.3.0.1")


def test_a_server_does_not_let_itself_be_configured() -> None:
    made, wire = tunnel()
    said = answer(client(made, wire).say(push(Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.9.9.9")[0])), TRANSACTION))
    assert (said.type, said.attributes) == (T.ACK, ())
    assert not made.sun.kernel.addresses
    assert "none is wanted" in notes(made.sun)


def test_a_peer_that_asks_for_more_than_there_are_gets_what_it_has() -> None:
    made, wire = tunnel()
    for number in range(13):
        made.sun.pools.lease(asks.Lease(("road",), f"host {number}", 4))

    said = answer(client(made, wire).say(request(ASK, ASK, ASK), TRANSACTION))

    assert said.attributes == (Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.1")[0]),)
    assert len(made.sun.saw(NoInnerAddress)) == 1


# -- a client ----------------------------------------------------------------------------------


def test_a_client_takes_a_new_configuration_at_any_time() -> None:
    """§2: who has a SET acknowledges what it accepted, without values."""
    made, wire = tunnel()
    given = (
        Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.1")[0]),
        Attribute(A.INTERNAL_IP4_DNS, DNS),
        Attribute(A.UNITY_BANNER, b"maintenance at noon"),
        Attribute(A.INTERNAL_IP4_NBNS, DNS),
        Attribute(A.UNITY_SPLIT_INCLUDE, NETS[:9]),
        Attribute(31000, b"unknown"),
    )

    said = answer(server(made, wire).say(push(*given, identifier=77), TRANSACTION))

    assert (said.type, said.identifier) == (T.ACK, 77)
    assert [(each.type, each.value) for each in said.attributes] == [
        (A.INTERNAL_IP4_ADDRESS, b""),
        (A.INTERNAL_IP4_DNS, b""),
        (A.UNITY_BANNER, b""),
    ]
    assert made.moon.saw(Banner)[0].message == "maintenance at noon"
    assert "ignored UNITY_SPLIT_INCLUDE: 9 octets are no networks" in notes(made.moon)
    assert both_know(made, "10.3.0.1")


def test_another_address_moves_the_children() -> None:
    made, wire = tunnel()
    sa_of(made.sun).peer_vips = packed("10.3.0.7")

    voice = server(made, wire)
    voice.say(push(Attribute(A.INTERNAL_IP4_ADDRESS, packed("10.3.0.7")[0])), TRANSACTION)
    wait(made, 10.0)

    assert sa_of(made.moon).own_vips == packed("10.3.0.7")
    assert made.moon.kernel.addresses == {packed("10.3.0.7")[0]: 1}
    assert selectors(made.moon) == [("10.3.0.7/32", "10.2.0.0/16")]


def test_a_client_takes_no_more_addresses_than_it_wants() -> None:
    made, wire = tunnel()
    many = [Attribute(A.INTERNAL_IP4_ADDRESS, address) for address in packed("10.3.0.1", "10.3.0.2")]
    six = Attribute(A.INTERNAL_IP6_ADDRESS, packed("2001:db8::1")[0])

    said = answer(server(made, wire).say(push(*many, six), TRANSACTION))

    assert [each.type for each in said.attributes] == [A.INTERNAL_IP4_ADDRESS]
    assert both_know(made, "10.3.0.1")
    assert "ignored the inner address 2001:db8::1" in notes(made.moon)


def test_a_client_has_no_addresses_to_give() -> None:
    made, wire = tunnel()
    said = answer(server(made, wire).say(request(ASK), TRANSACTION))
    assert (said.type, said.attributes) == (T.REPLY, ())
