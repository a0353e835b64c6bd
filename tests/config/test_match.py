import ipaddress
import sys
from dataclasses import replace

import pytest

from ikectl.config.match import AddressTable, Round, _listed, for_addresses, for_identities, presumed_peers
from ikectl.config.model import AddressSpec, Auth, AuthKind, Connection, Local, Remote
from ikectl.pki.shared import SharedSecrets
from ikectl.values import identity
from ikectl.values.identity import Identity, IdentityPattern


def conn(
    name: str, local: str = "%any", remote: str = "%any", own: str | None = None, peer: str = "%any", psk: bool = False
) -> Connection:
    auth = Auth(AuthKind.PSK if psk else AuthKind.PUBKEY)
    return Connection(
        name,
        (),
        local_addrs=tuple(map(AddressSpec.parse, local.split(","))),
        remote_addrs=tuple(map(AddressSpec.parse, remote.split(","))),
        local=(Local(auth=auth, id=Identity.parse(own) if own else None),),
        remote=(Remote(auth=auth, id=IdentityPattern.parse(peer)),),
    )


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def names(connections: list[Connection]) -> list[str]:
    return [connection.name for connection in connections]


def test_the_closest_addresses_come_first() -> None:
    connections = [
        conn("any"),
        conn("net", remote="192.0.2.0/24"),
        conn("host", remote="192.0.2.1"),
        conn("other-host", remote="192.0.2.2"),
        conn("two", remote="198.51.100.1, 192.0.2.1"),
        conn("own", local="203.0.113.1", remote="192.0.2.1"),
        conn("not-own", local="203.0.113.2", remote="192.0.2.1"),
    ]
    found = for_addresses(connections, packed("203.0.113.1"), packed("192.0.2.1"))
    assert names(found) == ["own", "host", "two", "net", "any"]


def test_host_names_fit_when_they_are_resolved() -> None:
    table = AddressTable([conn("any"), conn("named", remote="gw.example.org")])
    local, remote = packed("203.0.113.1"), packed("192.0.2.1")
    assert names(table.candidates(local, remote)) == ["any"]
    assert names(table.candidates(local, remote, {"gw.example.org": [remote]})) == ["named", "any"]


def test_only_those_that_speak_the_version_are_candidates() -> None:
    connections = [replace(conn("both"), version=0), replace(conn("old"), version=1), replace(conn("new"), version=2)]
    connections += [replace(conn("far", remote="192.0.2.1"), version=1)]
    local, remote = packed("203.0.113.1"), packed("192.0.2.1")
    assert names(for_addresses(connections, local, remote)) == ["both", "new"]
    assert names(for_addresses(connections, local, remote, version=1)) == ["far", "both", "old"]


@pytest.mark.conformance("v1-17")
def test_a_key_is_found_by_who_the_peer_must_be_or_by_its_address() -> None:
    secrets = SharedSecrets()
    for owner in ("sun.example.org", "192.0.2.7", "192.0.2.0/24", "198.51.100.1-198.51.100.9", "%any"):
        secrets.add(owner, [IdentityPattern.parse(owner)], owner.encode())
    me = Identity.parse("moon.example.org")

    def key(peer: str, address: str) -> bytes:
        expected = presumed_peers(conn("c", peer=peer), packed(address))[0]
        return bytes(secrets.find(me, expected, packed("203.0.113.1"), packed(address)))

    assert key("sun.example.org", "192.0.2.7") == b"sun.example.org"
    assert key("%any", "192.0.2.7") == b"192.0.2.7"
    assert key("*.example.org", "192.0.2.8") == b"192.0.2.0/24"
    assert key("%any", "198.51.100.9") == b"198.51.100.1-198.51.100.9"
    assert key("%any", "203.0.113.99") == b"%any"


def test_a_table_of_many_sites_looks_at_few() -> None:
    sites = [conn(f"s{n}", remote=str(ipaddress.IPv4Address(0x0A000000 + n))) for n in range(300)]
    table = AddressTable([*sites, conn("any")])
    assert names(table.candidates(packed("203.0.113.1"), packed("10.0.0.7"))) == ["s7", "any"]
    assert len(table._others) == 1


def test_the_closest_identity_wins_over_the_order() -> None:
    candidates = [conn("any"), conn("domain", peer="*@example.org"), conn("carol", peer="carol@example.org")]
    assert for_identities(candidates, Identity.parse("carol@example.org")).connection is candidates[2]
    assert for_identities(candidates, Identity.parse("dave@example.org")).connection is candidates[1]
    assert for_identities(candidates, Identity.parse("moon")).connection is candidates[0]


def test_equals_stay_in_order() -> None:
    candidates = [conn("a"), conn("b")]
    assert for_identities(candidates, Identity.parse("moon")).connection is candidates[0]


def test_the_identity_the_peer_asks_for_must_be_ours() -> None:
    candidates = [conn("none"), conn("sun", own="sun"), conn("mars", own="mars")]
    moon = Identity.parse("moon")
    assert for_identities(candidates, moon, Identity.parse("mars")).connection is candidates[2]
    assert for_identities(candidates, moon, Identity.parse("MARS")).connection is candidates[2]
    assert for_identities(candidates, moon, Identity.parse("venus")).connection is candidates[0]
    chosen = for_identities(candidates[1:], moon, Identity.parse("venus"))
    assert chosen.connection is None
    assert chosen.why == (
        "'moon' asks for the identity 'venus'; connections for it have sun, mars: let the peer's remote.id be our "
        "local.id"
    )


def test_the_method_of_proof_counts() -> None:
    candidates = [conn("psk", peer="moon", psk=True), conn("cert", peer="%any")]
    moon = Identity.parse("moon")
    assert for_identities(candidates, moon, now=Round(AuthKind.PUBKEY)).connection is candidates[1]
    assert for_identities(candidates, moon, now=Round(AuthKind.PSK)).connection is candidates[0]
    chosen = for_identities(candidates[:1], moon, now=Round(AuthKind.PUBKEY))
    assert chosen.why == (
        "'moon' proves itself by pubkey, but psk wants another proof (psk): let local.auth there and remote.auth here "
        "be the same"
    )


def test_the_reason_says_who_was_expected() -> None:
    assert for_identities([], Identity.parse("moon")).why == "no connection fits the addresses"
    chosen = for_identities([conn("a", peer=f"p{n}") for n in range(9)], Identity.parse("moon"))
    assert chosen.why == (
        "no connection expects the identity 'moon'; those for these addresses expect p0, p1, p2, p3, p4, ...; "
        "set remote.id here, or local.id at the peer"
    )


def why(candidates: list[Connection], peer: str, ours: str | None = None, now: Round | None = None) -> str:
    return for_identities(candidates, Identity.parse(peer), Identity.parse(ours) if ours else None, now).why


def test_the_reason_names_each_that_did_not_fit() -> None:
    """Those that came closest first, the others in short."""
    candidates = [
        conn("far", peer="venus"),
        conn("near", peer="moon", own="mars"),
        conn("cert", peer="moon", own="sun"),
    ]
    told = why(candidates, "moon", "sun", Round(AuthKind.PSK))
    assert told.startswith("'moon' proves itself by psk, but cert wants another proof (pubkey)")
    assert told.endswith("others do not fit either: far: expects venus, near: is mars")


def test_what_may_be_mistyped_is_pointed_at() -> None:
    candidates = [conn("a", peer="venus.example.org"), conn("b", peer="moon.example.org")]
    assert "nearest is moon.example.org: is one of them mistyped?" in why(candidates, "mon.example.org")
    assert "nearest" not in why(candidates, "something.else")


def test_a_long_name_is_compared_by_its_end() -> None:
    unit = "C=CH, O=Example Networks, OU=A unit whose name is as long as that of a whole department"
    candidates = [conn("a", peer=f"{unit}, CN=venus.example.org"), conn("b", peer=f"{unit}, CN=moon.example.org")]
    assert "nearest is C=CH" in why(candidates, f"{unit}, CN=mon.example.org")
    assert "CN=moon.example.org: is one" in why(candidates, f"{unit}, CN=mon.example.org")


def _calls(candidates: list[Connection], peer: str) -> int:
    """Functions that are called, of Python and of C: what the reason costs on any machine."""
    made = 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        why(candidates, peer)
    finally:
        sys.setprofile(None)
    return made


def test_the_reason_costs_little_however_much_is_configured() -> None:
    """A stranger that proved nothing asks for it: it must not hold up the others."""
    many = [conn(f"c{n}", peer=f"gateway-{n:04}.branch.example.com") for n in range(64)]
    assert _calls(many, "gateway-abcd.branch.example.con") < 10_000


def test_the_same_name_of_another_kind_is_pointed_at() -> None:
    told = why([conn("a", peer="keyid:moon")], "fqdn:moon")
    assert "the peer sends moon as FQDN, and remote.id means it as KEY_ID" in told


def test_the_reason_is_bounded_whatever_is_configured_and_sent() -> None:
    candidates = [conn(f"c{n}", peer=f"p{n}.example.org", own=f"o{n % 7}") for n in range(3000)]
    assert len(why(candidates, "x" * 2000)) < 2600
    candidates += [conn(f"d{n}", peer="moon", own=f"o{n}") for n in range(3000)]
    assert len(why(candidates, "moon", "y")) < 600


def test_a_replaced_connection_is_not_the_same_ike() -> None:
    one = conn("a")
    assert one.same_ike(replace(one, children=()))
    assert not one.same_ike(replace(one, encap=True))


def test_the_name_of_a_peer_is_read_once_for_many_connections() -> None:
    """A stranger's DN of many attributes must not cost its reading times the connections."""
    candidates = [conn(f"c{n}", peer=f"C=CH, O=site {n}, CN=*") for n in range(20)]
    stranger = Identity.parse("C=CH, " + ", ".join(f"OU=unit {n}" for n in range(30)) + ", CN=stranger")
    before = identity._rdns.cache_info().misses
    assert for_identities(candidates, stranger).connection is None
    assert identity._rdns.cache_info().misses == before + 1


def test_no_more_is_listed_than_a_line_takes() -> None:
    words = map(str, range(2000))
    assert _listed(words) == "0, 1, 2, 3, 4, ..." and next(words) == "6"
