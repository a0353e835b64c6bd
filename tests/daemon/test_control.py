"""The daemon as its control protocol sees it: credentials by owner, connections by file and by client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ikectl.config.credentials import read_certificates, read_key
from ikectl.config.load import load_file
from ikectl.config.model import Authority, Certificate, Pool, PoolAttribute, PrivateKey, SharedSecret
from ikectl.daemon.files import FILES
from ikectl.engine.commands import Selection
from ikectl.errors import ConfigErrors, CredentialError, NoAddress
from ikectl.sa.asks import DescribePools, Lease, Release
from ikectl.values.identity import Identity, IdentityPattern
from ikectl.values.secret import Secret
from ikectl.vici.ports import Control
from ikectl.vici.ports import Credentials as CredentialsPort
from tests.daemon.loopback import Running
from tests.vici.credentials import made

MOON, SUN = "127.0.2.1", "127.0.2.2"

CONF = """
connections {{
    {name} {{
        version = 2
        remote_addrs = 127.0.2.2
        local {{ auth = psk }}
        remote {{ auth = psk }}
        children {{ net {{ remote_ts = 10.2.0.0/16 }} }}
    }}
}}
secrets {{
    ike-{name} {{ secret = "of {name}" }}
}}
"""


@pytest.fixture
async def moon(tmp_path: Path) -> AsyncIterator[Running]:
    daemon = Running(MOON, str(tmp_path / "swanctl.conf"))
    yield daemon
    daemon.stop()


def names(daemon: Running) -> list[str]:
    return [connection.name for connection in daemon.control.connections()]


async def write(daemon: Running, tmp_path: Path, *conf: str) -> None:
    (tmp_path / "swanctl.conf").write_text("".join(conf))
    await daemon.control.reload_settings()


def test_it_is_what_the_protocol_wants(moon: Running) -> None:
    control: Control = moon.control
    credentials: CredentialsPort = moon.control.credentials
    assert control.credentials is credentials


async def test_the_file_gives_and_takes(moon: Running, tmp_path: Path) -> None:
    await write(moon, tmp_path, CONF.format(name="one"), CONF.format(name="two"))
    assert names(moon) == ["one", "two"]
    assert list(moon.control.credentials.secrets()) == ["ike-one", "ike-two"]
    await write(moon, tmp_path, CONF.format(name="two"), CONF.format(name="three"))
    assert names(moon) == ["two", "three"]
    assert list(moon.control.credentials.secrets()) == ["ike-two", "ike-three"]


POOL = "pools {{ {name} {{ addrs = 10.9.{net}.0/24\ndns = 10.0.0.1 }} }}\n"


async def test_the_file_gives_and_takes_pools(moon: Running, tmp_path: Path) -> None:
    pools = moon.control.pools
    await write(moon, tmp_path, POOL.format(name="road", net=1))
    leased = pools.lease(Lease(("road",), "carol", 4))
    assert (leased.pool, leased.address) == ("road", bytes((10, 9, 1, 1)))
    described = pools.describe(DescribePools(("road",)))
    assert described == ((4,), (PoolAttribute(3, bytes((10, 0, 0, 1))),))
    await pools.load(Pool("client", bytes((10, 8, 0, 1)), bytes((10, 8, 0, 9))))
    await write(moon, tmp_path, POOL.format(name="other", net=2))
    assert [pool.name for pool in pools.all()] == ["road", "client", "other"], "road is in use"
    pools.release(Release("road", "carol", leased.address))
    await write(moon, tmp_path, POOL.format(name="other", net=2))
    assert [pool.name for pool in pools.all()] == ["client", "other"]
    with pytest.raises(NoAddress, match="there is no pool 'road'"):
        pools.lease(Lease(("road",), "carol", 4))


async def test_attributes_of_several_pools_are_told_once(moon: Running, tmp_path: Path) -> None:
    two = POOL.format(name="one", net=1) + POOL.format(name="two", net=2).replace("dns", "nbns = 10.0.0.2\ndns")
    await write(moon, tmp_path, two)
    provision = moon.control.pools.describe(DescribePools(("one", "two")))
    assert [attribute.type for attribute in provision.attributes] == [3, 4]


async def test_passwords_come_and_go_with_the_file(moon: Running, tmp_path: Path) -> None:
    await write(moon, tmp_path, "secrets { xauth-1 { id = carol\nsecret = squeamish } }")
    assert moon.store.password("carol") == b"squeamish"
    assert list(moon.control.credentials.secrets()) == ["xauth-1"]
    await write(moon, tmp_path, "")
    assert moon.store.password("carol") is None


async def test_mistakes_change_nothing(moon: Running, tmp_path: Path) -> None:
    await write(moon, tmp_path, CONF.format(name="one"))
    with pytest.raises(ConfigErrors, match="remote_adrs"):
        await write(moon, tmp_path, CONF.format(name="two").replace("remote_addrs", "remote_adrs"))
    assert names(moon) == ["one"]
    assert list(moon.control.credentials.secrets()) == ["ike-one"]


async def test_a_backend_of_logins_that_is_not_there_is_refused(moon: Running, tmp_path: Path) -> None:
    await write(moon, tmp_path, CONF.format(name="one"))
    radius = CONF.format(name="two").replace("version = 2", "version = 1")
    radius = radius.replace("remote { auth = psk }", "remote { auth = psk }\n remote-2 { auth = xauth-radius }")
    with pytest.raises(ConfigErrors, match=r"connections\.two\.remote-2\.auth: .*RADIUS"):
        await write(moon, tmp_path, radius)
    assert names(moon) == ["one"]
    assert list(moon.control.credentials.secrets()) == ["ike-one"]


async def test_what_clients_loaded_stays_when_the_file_is_read(moon: Running, tmp_path: Path) -> None:
    await write(moon, tmp_path, CONF.format(name="one"))
    theirs = moon.connection(SUN, False)
    await moon.control.load_connection(theirs)
    secret = SharedSecret("mine", (IdentityPattern.parse("sun"),), Secret(b"of a client"))
    await moon.control.credentials.load_secret(secret)
    await write(moon, tmp_path, CONF.format(name="two"))
    assert names(moon) == ["site", "two"]
    assert list(moon.control.credentials.secrets()) == ["mine", "ike-two"]


async def test_clients_unload_what_is_there(moon: Running) -> None:
    await moon.control.load_connection(moon.connection(SUN, False))
    assert await moon.control.unload_connection("site")
    assert not await moon.control.unload_connection("site")


async def test_a_secret_of_the_same_name_is_replaced(moon: Running) -> None:
    credentials, sun = moon.control.credentials, Identity.parse("sun")
    for text in (b"first", b"second"):
        await credentials.load_secret(SharedSecret("s", (IdentityPattern.parse("sun"),), Secret(text)))
    assert moon.store.shared_secret(Identity.parse("moon"), sun, b"", b"") == b"second"
    assert await credentials.unload_secret("s")
    assert not await credentials.unload_secret("s")
    with pytest.raises(CredentialError):
        moon.store.shared_secret(Identity.parse("moon"), sun, b"", b"")


async def test_certificates_keys_and_authorities(moon: Running) -> None:
    credentials = moon.control.credentials
    (ca,), (certificate,) = read_certificates(made().ca), read_certificates(made().certificate)
    await credentials.load_authority(Authority("root", ca))
    await credentials.load_certificate(Certificate(certificate))
    key = read_key(made().key, None)
    assert isinstance(key, PrivateKey)
    assert await credentials.load_key(key) == made().key_id
    shown = {(view.der, view.ca, view.has_private_key) for view in credentials.certificates()}
    assert shown == {(ca, True, False), (certificate, False, True)}
    assert credentials.authorities()["root"].cacert == ca

    await credentials.clear()
    assert [view.der for view in credentials.certificates()] == [ca]
    assert not list(credentials.keys())
    assert await credentials.unload_authority("root")
    assert not await credentials.unload_authority("root")
    assert not list(credentials.certificates())
    with pytest.raises(CredentialError, match="not a CA"):
        await credentials.load_authority(Authority("wrong", certificate))


async def test_the_file_keeps_its_credentials_when_clients_clear(moon: Running, tmp_path: Path) -> None:
    (tmp_path / "x509ca").mkdir()
    (tmp_path / "x509ca" / "ca.pem").write_bytes(made().ca)
    await write(moon, tmp_path, CONF.format(name="one"))
    await moon.control.credentials.clear()
    assert len(list(moon.control.credentials.certificates())) == 1
    assert list(moon.control.credentials.secrets()) == ["ike-one"]
    assert len(load_file(str(tmp_path / "swanctl.conf"), FILES).certs) == 1


async def test_sas_as_they_are_seen(moon: Running) -> None:
    sun = Running(SUN)
    moon.load(SUN)
    sun.load(MOON)
    await moon.up()
    (sa,) = [view async for view in moon.control.ike_sas(Selection())]
    assert (sa.name, sa.state, sa.initiator) == ("site", "ESTABLISHED", True)
    (child,) = sa.children
    assert (child.name, child.state, child.usage is not None) == ("net", "INSTALLED", True)
    assert [view async for view in moon.control.ike_sas(Selection(ike="other"))] == []
    assert [view async for view in moon.control.ike_sas(Selection(ike_id=99))] == []
    stats, version = moon.control.stats(), moon.control.version()
    assert (stats.ike_sas, stats.half_open, version.daemon) == (1, 0, "ikectld")
    (machine,) = moon.shell.engine.machines()
    assert moon.control.view(machine.sa).uniqueid == sa.uniqueid
    assert moon.control.view_child(next(iter(machine.sa.children.values()))).spi_in == child.spi_in
    sun.stop()
