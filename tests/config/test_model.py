import ipaddress

import pytest

from ikectl.config.model import ANY_ADDRESS_MATCH, EXACT_ADDRESS_MATCH, AddressSpec, Child, Connection
from ikectl.iana.v2 import Protocol
from ikectl.values.selector import SelectorSpec
from ikectl.wire.v2.sa import Proposal

ESP = Proposal(1, Protocol.ESP, b"", ())
AH = Proposal(1, Protocol.AH, b"", ())


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("spec", "address", "closeness"),
    [
        ("%any", "192.0.2.1", ANY_ADDRESS_MATCH),
        ("%any", "2001:db8::1", ANY_ADDRESS_MATCH),
        ("%any4", "192.0.2.1", 2),
        ("%any4", "2001:db8::1", 0),
        ("%any6", "2001:db8::1", 2),
        ("192.0.2.1", "192.0.2.1", EXACT_ADDRESS_MATCH),
        ("192.0.2.1", "192.0.2.2", 0),
        ("192.0.2.0/24", "192.0.2.1", 26),
        ("192.0.2.7/24", "192.0.2.1", 26),
        ("192.0.2.0/24", "192.0.3.1", 0),
        ("192.0.2.1-192.0.2.6", "192.0.2.6", 31),
        ("192.0.2.1-192.0.2.6", "192.0.2.7", 0),
        ("2001:db8::/32", "2001:db8::1", 34),
        ("2001:db8::/32", "192.0.2.1", 0),
    ],
)
def test_the_narrower_address_is_the_closer(spec: str, address: str, closeness: int) -> None:
    assert AddressSpec.parse(spec).match(packed(address)) == closeness


def test_a_host_name_fits_what_it_resolves_to() -> None:
    spec = AddressSpec.parse("moon.example.org")
    assert spec.hostname == "moon.example.org"
    assert spec.concrete is None
    assert spec.match(packed("192.0.2.1")) == 0
    resolved = {"moon.example.org": (packed("192.0.2.1"), packed("2001:db8::1"))}
    assert spec.match(packed("192.0.2.1"), resolved) == EXACT_ADDRESS_MATCH
    assert spec.match(packed("192.0.2.2"), resolved) == 0


def test_only_a_single_address_is_concrete() -> None:
    assert AddressSpec.parse("192.0.2.1").concrete == packed("192.0.2.1")
    for text in ("%any", "%any6", "192.0.2.0/24", "192.0.2.1-192.0.2.2", "moon"):
        assert AddressSpec.parse(text).concrete is None


def test_a_name_with_a_dash_is_a_name() -> None:
    for text in ("gw-1.example.org", "gw1-east", "a-1"):
        assert AddressSpec.parse(text).hostname == text


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2.256", "192.0.2.0/33", "192.0.2.9-192.0.2.1", "a b", "-x", "x..y", "x" * 300, "%any5"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        AddressSpec.parse(text)


def test_children_do_not_count_when_ike_parts_are_compared() -> None:
    one = Connection("a", (), children=(Child("x", (ESP,)),))
    other = Connection("a", (), children=(Child("y", (ESP,)),))
    assert one.same_ike(other)
    assert one != other
    assert not one.same_ike(Connection("a", (), rekey_time=5))
    assert one.child("x") is one.children[0]
    assert one.child("y") is None


def test_a_child_without_esp_is_an_ah_child() -> None:
    assert Child("x", (ESP,)).protocol == Protocol.ESP
    assert Child("x", (), (AH,)).protocol == Protocol.AH
    assert Child("x", (ESP,), (AH,)).proposals == (ESP, AH)
    assert Child("x", (ESP,)).local_ts == (SelectorSpec.parse("dynamic"),)
