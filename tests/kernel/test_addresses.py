"""Inner addresses in a real kernel: there for whoever needs them, and gone with the last."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from ikectl.errors import BackendError
from ikectl.kernel.addresses import InnerAddresses
from ikectl.kernel.interfaces import SourceRoutes
from ikectl.sa.asks import InstallAddress, RemoveAddress
from tests.kernel.children import child, path, selectors
from tests.kernel.xfrm_pair import RIGHT6, RIGHT_ADDRESS, Pair, ip_batch, pair

__all__ = ["pair"]

INNER, INNER6 = ip_address("10.7.0.5").packed, ip_address("fd07::5").packed
REMOTE, REMOTE6 = RIGHT_ADDRESS.packed, RIGHT6.packed


@pytest.fixture
async def addresses(pair: Pair) -> AsyncIterator[InnerAddresses]:
    one = InnerAddresses()
    await one.start()
    yield one
    await one.stop()


def shown(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def there(address: str) -> bool:
    return f" {address}/" in shown("address", "show", "dev", "wire")


async def test_an_address_on_the_way_to_the_peer(addresses: InnerAddresses) -> None:
    before = shown("route", "show", "table", "all")
    await addresses.install(InstallAddress(INNER, REMOTE))
    (line,) = (line for line in shown("-o", "-4", "address", "show", "dev", "wire").splitlines() if " 10.7.0.5" in line)
    assert "10.7.0.5/32" in line
    assert "wire:ike" in line
    # Nothing but the local table knows of it.
    new = set(shown("route", "show", "table", "all").splitlines()) - set(before.splitlines())
    assert {line for line in new if "fe80" not in line} == {  # the link's own address may be ready only now
        "local 10.7.0.5 dev wire table local proto kernel scope host src 10.7.0.5 "
    }
    await addresses.remove(RemoveAddress(INNER))
    assert not there("10.7.0.5")
    assert "10.7.0.5" not in shown("route", "show", "table", "all")


async def test_an_address_of_the_next_version_is_never_preferred(addresses: InnerAddresses) -> None:
    await addresses.install(InstallAddress(INNER6, REMOTE6))
    (line,) = (line for line in shown("-o", "-6", "address", "show", "dev", "wire").splitlines() if "fd07::5" in line)
    assert "fd07::5/128" in line
    assert "deprecated" in line
    assert "nodad" in line
    await addresses.remove(RemoveAddress(INNER6))
    assert not there("fd07::5")


async def test_a_network_of_its_own_brings_no_route(addresses: InnerAddresses) -> None:
    await addresses.install(InstallAddress(INNER, REMOTE, prefix=24))
    assert there("10.7.0.5")
    assert "10.7.0.0/24" not in shown("route", "show")


async def test_it_stays_while_anybody_needs_it(addresses: InnerAddresses) -> None:
    for _ in range(2):
        await addresses.install(InstallAddress(INNER, REMOTE))
    await addresses.remove(RemoveAddress(INNER))
    assert there("10.7.0.5")
    await addresses.remove(RemoveAddress(INNER))
    await addresses.remove(RemoveAddress(INNER))
    assert not there("10.7.0.5")


async def test_another_interface(addresses: InnerAddresses) -> None:
    await addresses.install(InstallAddress(INNER, REMOTE, interface="lo"))
    assert "10.7.0.5/32" in shown("address", "show", "dev", "lo")
    with pytest.raises(BackendError, match="no interface 'nosuch'"):
        await addresses.install(InstallAddress(INNER6, REMOTE, interface="nosuch"))


async def test_an_address_the_host_has_already_stays(addresses: InnerAddresses) -> None:
    subprocess.run(["ip", "address", "add", "10.7.0.5/32", "dev", "wire"], check=True)
    await addresses.install(InstallAddress(INNER, REMOTE))
    await addresses.remove(RemoveAddress(INNER))
    assert there("10.7.0.5")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("224.0.0.5", "none that a host can have"),
        ("127.0.0.2", "none that a host can have"),
        ("0.0.0.0", "none that a host can have"),
        ("fe80::1", "none that a host can have"),
        ("192.0.2.2", "the peer's own outer one"),
    ],
)
async def test_what_a_peer_must_not_give(addresses: InnerAddresses, address: str, why: str) -> None:
    with pytest.raises(BackendError, match=why):
        await addresses.install(InstallAddress(ip_address(address).packed, REMOTE))


async def test_no_way_to_the_peer(addresses: InnerAddresses) -> None:
    with pytest.raises(BackendError, match="no way to the peer"):
        await addresses.install(InstallAddress(INNER, ip_address("203.0.113.1").packed))


async def test_an_interface_that_is_gone_takes_its_addresses_along(addresses: InnerAddresses) -> None:
    subprocess.run(["ip", "link", "add", "name", "passing", "type", "dummy"], check=True)
    await addresses.install(InstallAddress(INNER, REMOTE, interface="passing"))
    subprocess.run(["ip", "link", "delete", "passing"], check=True)
    await addresses.remove(RemoveAddress(INNER))


async def test_it_comes_back_where_the_way_to_the_peer_is(addresses: InnerAddresses) -> None:
    """Taken away with its interface, or the way now leads over another one: the address goes there, once."""
    await addresses.install(InstallAddress(INNER, REMOTE))
    subprocess.run(["ip", "address", "del", "10.7.0.5/32", "dev", "wire"], check=True)
    await addresses.restore()
    assert there("10.7.0.5")
    ip_batch("link add name other type dummy\nlink set other up\nroute add 192.0.2.2/32 dev other")
    await addresses.restore()
    assert not there("10.7.0.5") and "10.7.0.5/32" in shown("address", "show", "dev", "other")
    subprocess.run(["ip", "link", "delete", "other"], check=True)
    await addresses.restore()
    assert there("10.7.0.5")
    await addresses.remove(RemoveAddress(INNER))
    assert not there("10.7.0.5")


async def test_what_a_killed_daemon_left_is_removed_and_nothing_else(pair: Pair) -> None:
    killed = InnerAddresses()
    await killed.start()
    for address in (INNER, INNER6):
        await killed.install(InstallAddress(address, REMOTE))
    before = shown("address", "show", "dev", "wire")
    assert there("10.7.0.5") and there("fd07::5")
    after = InnerAddresses()
    await after.start()
    left = shown("address", "show", "dev", "wire")
    assert not there("10.7.0.5") and not there("fd07::5")
    assert left.count("inet") == before.count("inet") - 2
    await after.stop()
    await killed.stop()  # as its process's end would close its socket


@pytest.mark.parametrize(
    ("address", "network", "host", "ends"),
    [
        ("10.7.0.5", "10.2.0.0/16", "10.2.3.4", ("192.0.2.1", "192.0.2.2")),
        ("fd07::5", "fd02::/64", "fd02::4", ("2001:db8::1", "2001:db8::2")),
    ],
    ids=["four", "six"],
)
async def test_routes_of_the_tunnel_speak_from_it(
    addresses: InnerAddresses, address: str, network: str, host: str, ends: tuple[str, str]
) -> None:
    local, remote = ends
    version = "-6" if ":" in address else "-4"
    routes = SourceRoutes()
    await routes.start()
    await addresses.install(InstallAddress(ip_address(address).packed, ip_address(remote).packed))
    routes.want(child(path(local, remote), local=selectors(address), remote=selectors(network)))
    try:
        async with asyncio.timeout(30):
            while network not in await asyncio.to_thread(shown, version, "route", "show", "table", "220"):
                pass
        assert f"src {address} " in shown("route", "get", host)
        assert f"src {local} " in shown("route", "get", remote)
    finally:
        await routes.stop()
    assert "220" not in shown("rule")
    assert there(address)


async def test_routes_that_went_with_the_link_come_back(addresses: InnerAddresses) -> None:
    """The kernel takes routes away with a link that goes down, and brings none of them back: the daemon does."""
    await addresses.install(InstallAddress(INNER, REMOTE))
    routes = SourceRoutes()
    await routes.start()

    async def shows(there: bool) -> None:
        async with asyncio.timeout(30):
            while ("10.2.0.0/16" in await asyncio.to_thread(shown, "route", "show", "table", "220")) is not there:
                pass

    try:
        routes.want(child(path(), local=selectors("10.7.0.5"), remote=selectors("10.2.0.0/16", "10.3.0.0/16")))
        await shows(True)
        ip_batch("link set wire down\nlink set wire up")
        await shows(False)
        routes.restore()
        await shows(True)
        before = shown("route", "show", "table", "220")
        assert "10.3.0.0/16" in before
        routes.restore()  # nothing is missing, so nothing is set twice
        routes.want(child(path(), local=selectors("10.7.0.5"), remote=selectors("10.4.0.0/16")))
        async with asyncio.timeout(30):
            while "10.4.0.0/16" not in (now := await asyncio.to_thread(shown, "route", "show", "table", "220")):
                pass
        assert {line for line in now.splitlines() if "10.4." not in line} == set(before.splitlines())
    finally:
        await routes.stop()
    assert "220" not in shown("rule")
