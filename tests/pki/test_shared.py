"""Which pre-shared key belongs to which two ends."""

from __future__ import annotations

import pytest

from ikectl.errors import CredentialError
from ikectl.pki.shared import SharedSecrets
from ikectl.values.identity import Identity, IdentityPattern

ME, SUN, VENUS = map(Identity.parse, ("moon.example.org", "sun.example.org", "venus.example.org"))
HERE, THERE = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


def secrets(**owners: str) -> SharedSecrets:
    """Secrets whose octets are their names."""
    made = SharedSecrets()
    for name, texts in owners.items():
        made.add(name, [IdentityPattern.parse(text) for text in texts.split()], name.encode())
    return made


def find(held: SharedSecrets, remote: Identity = SUN, local: Identity = ME) -> bytes:
    return bytes(held.find(local, remote, HERE, THERE))


def refused(held: SharedSecrets, remote: Identity = SUN, local: Identity = ME) -> bool:
    with pytest.raises(CredentialError, match="no shared secret of"):
        find(held, remote, local)
    return True


def test_the_secret_of_the_peer_is_found_without_regard_to_case() -> None:
    held = secrets(a="venus.example.org", b="SUN.example.org")

    assert find(held) == b"b"
    assert find(held, VENUS) == b"a"


def test_a_secret_without_owners_is_anybodys_but_loses_to_every_other() -> None:
    assert find(secrets(any="", b="sun.example.org")) == b"b"
    assert find(secrets(any="", b="*.example.org")) == b"b"
    assert find(secrets(any="", b="moon.example.org")) == b"any"  # fits the peer, if only as anybody
    assert find(secrets(any="", b="moon.example.org"), VENUS) == b"any"


def test_both_ends_beat_one() -> None:
    held = secrets(peer="sun.example.org", both="moon.example.org sun.example.org", us="moon.example.org")

    assert find(held) == b"both"
    assert find(held, local=VENUS) == b"peer"
    assert find(held, VENUS) == b"us"


def test_an_exact_owner_beats_a_pattern() -> None:
    held = secrets(wild="*.example.org moon.example.org", exact="sun.example.org")

    assert find(held) == b"exact"
    assert find(held, VENUS) == b"wild"


def test_a_secret_of_other_peers_is_not_tried_with_a_stranger() -> None:
    held = secrets(shared="moon.example.org sun.example.org")

    assert find(held) == b"shared"
    assert refused(held, VENUS)


def test_a_secret_of_ours_alone_serves_every_peer() -> None:
    assert find(secrets(us="moon.example.org"), VENUS) == b"us"


def test_distinguished_names_and_addresses_own_secrets_too() -> None:
    held = SharedSecrets()
    held.add("dn", [Identity.parse("C=CH, O=ikectl, CN=sun")], b"dn")
    held.add("address", [Identity.parse("192.0.2.2")], b"address")

    assert find(held, Identity.parse("C=CH, O=Ikectl, CN=SUN")) == b"dn"
    assert find(held, Identity.parse("192.0.2.2")) == b"address"


def test_an_address_stands_in_only_for_an_identity_not_known_yet() -> None:
    held = secrets(address="192.0.2.2", other="sun.example.org moon.example.org")

    assert find(held, Identity.parse("%any")) == b"address"
    assert find(held, SUN) == b"other"
    assert refused(held, VENUS)


def test_whom_nobody_is_expected_from_may_be_any_owner() -> None:
    somebody = Identity.parse("%any")

    assert find(secrets(a="sun.example.org"), somebody) == b"a"
    assert find(secrets(a="sun.example.org", b="venus.example.org moon.example.org"), somebody) == b"b"


def test_networks_own_secrets() -> None:
    held = secrets(net="192.0.2.0/24")

    assert find(held, Identity.parse("192.0.2.77")) == b"net"
    assert refused(held, Identity.parse("198.51.100.1"))


def test_the_first_loaded_wins_a_tie() -> None:
    assert find(secrets(a="sun.example.org", b="sun.example.org")) == b"a"


def test_loading_a_name_again_replaces_it() -> None:
    held = secrets(a="sun.example.org")
    held.add("a", [VENUS], b"new")

    assert held.names == ("a",)
    assert find(held, VENUS) == b"new"
    assert refused(held)


def test_removal_and_clearing() -> None:
    held = secrets(a="sun.example.org", b="*.example.org", c="")

    assert held.remove("a") and not held.remove("a")
    assert find(held) == b"b"
    held.clear()
    assert held.names == ()
    assert refused(held)


def test_nameless_secrets_are_not_kept_twice() -> None:
    held = SharedSecrets()
    for _ in range(3):
        held.add("", [SUN], b"x")

    assert held.names == ()
    assert find(held) == b"x"


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(CredentialError, match="empty"):
        SharedSecrets().add("a", [], b"")


def test_a_secret_does_not_print() -> None:
    assert repr(secrets(a="").find(ME, SUN, HERE, THERE)) == "<1 secret octets>"


def test_one_of_many_is_found() -> None:
    held = SharedSecrets()
    for number in range(2000):
        held.add(f"p{number}", [ME, Identity.parse(f"p{number}.example.org")], b"%d" % number)

    assert find(held, Identity.parse("p1234.example.org")) == b"1234"
    assert refused(held, SUN)
