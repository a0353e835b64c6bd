"""The control protocol over real engines: two of them in a simulated world, driven by a client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import TypeVar

import pytest

from ikectl.daemon.control import MAX_FILE, EngineControl
from ikectl.daemon.vici_socket import ViciSocket
from ikectl.pki.store import Store
from ikectl.sa.asks import QueryUse, Usage
from ikectl.sa.child_sa import ChildSa
from ikectl.vici.client import Client, CommandFailed
from ikectl.vici.message import Tree, section
from tests.sim.site import Site
from tests.vici.credentials import made

T = TypeVar("T")


class Moon:
    """The gateway moon of a simulated site, with a control socket. Its peer answers in no time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.site = Site()
        self.reloads = 0
        moon = self.site.moon
        self.store = Store()
        self.control = EngineControl(
            moon.engine, self.store, lambda: self.site.world.now, self._soon, self._query, self._reload
        )
        self.socket = ViciSocket(self.control, path)
        self._told = 0

    async def _query(self, child: ChildSa) -> Usage:
        return self.site.moon.kernel.query(QueryUse(child))

    async def _reload(self) -> None:
        self.reloads += 1

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        world, moon = self.site.world, self.site.moon
        world.run(world.now + 1.0)
        for event in moon.events[self._told :]:
            self.socket.publish(event)
        self._told = len(moon.events)

    async def use(self, act: Callable[[Client], T]) -> T:
        """Let a client act while the daemon serves."""

        def run() -> T:
            with Client(self.path) as client:
                return act(client)

        await self.socket.start()
        try:
            return await asyncio.to_thread(run)
        finally:
            await self.socket.stop()


@pytest.fixture
def moon(tmp_path: FilePath) -> Moon:
    return Moon(str(tmp_path / "socket"))


def sas(client: Client) -> list[Tree]:
    return [section(event["site"]) for event in client.stream("list-sas", "list-sa")]


async def test_a_tunnel_comes_up_is_listed_rekeyed_and_closed(moon: Moon) -> None:
    def act(client: Client) -> None:
        story = [line["msg"] for line in client.stream("initiate", "control-log", {"child": "net"})]
        assert any(b"IKE SA established" in line for line in story)
        (sa,) = sas(client)
        assert sa["state"] == b"ESTABLISHED"
        assert sa["encr-alg"] == b"AES_GCM_16"
        assert (sa["local-id"], sa["remote-id"]) == (b"moon.example.org", b"sun.example.org")
        (child,) = section(sa["child-sas"]).values()
        assert section(child)["state"] == b"INSTALLED"
        assert section(child)["local-ts"] == [b"10.1.0.0/16"]

        assert client.request("rekey", {"ike": "site"})["matches"] == b"1"
        uniqueid = sa["uniqueid"]
        assert uniqueid not in [each["uniqueid"] for each in sas(client) if each["state"] == b"ESTABLISHED"]

        terminated = client.stream("terminate", "control-log", {"ike": "site"})
        assert list(terminated)
        assert int(terminated.response["terminated"]) >= 1  # type: ignore[arg-type]
        assert sas(client) == []

    await moon.use(act)
    assert not moon.site.moon.children


async def test_connections_are_the_engines(moon: Moon) -> None:
    def act(client: Client) -> None:
        assert client.request("get-conns") == {"conns": [b"site"]}
        client.request("load-conn", {"other": {"version": "2", "remote_addrs": ["192.0.2.9"]}})
        assert client.request("get-conns") == {"conns": [b"site", b"other"]}
        client.request("unload-conn", {"name": "other"})
        with pytest.raises(CommandFailed, match="there is no connection 'other'"):
            client.request("unload-conn", {"name": "other"})
        with pytest.raises(CommandFailed, match="no matching SAs"):
            client.request("terminate", {"ike": "site"})

    await moon.use(act)


async def test_facts_of_the_daemon(moon: Moon) -> None:
    def act(client: Client) -> None:
        assert client.request("version")["daemon"] == b"ikectld"
        assert client.request("stats")["ikesas"] == {"total": b"0", "half-open": b"0"}
        client.request("reload-settings")

    await moon.use(act)
    assert moon.reloads == 1


async def test_credentials_are_the_stores(moon: Moon) -> None:
    def act(client: Client) -> None:
        key_id = client.request("load-key", {"type": "any", "data": made().key})["id"]
        client.request("load-cert", {"type": "X509", "flag": "NONE", "data": made().certificate})
        client.request("load-authority", {"root": {"cacert": made().ca}})
        client.request("load-authority", {"root": {"cacert": made().ca}})
        client.request("load-shared", {"id": "one", "type": "IKE", "data": "sesame", "owners": ["sun.example.org"]})
        assert client.request("get-keys") == {"keys": [key_id]}
        assert client.request("get-shared") == {"keys": [b"one"]}
        assert client.request("get-authorities") == {"authorities": [b"root"]}
        certs = list(client.stream("list-certs", "list-cert"))
        assert [(cert["flag"], cert.get("has_privkey")) for cert in certs] == [(b"NONE", b"yes"), (b"CA", None)]
        client.request("flush-certs")
        client.request("clear-creds")
        assert client.request("get-keys") == {"keys": []}
        assert client.request("get-shared") == {"keys": []}
        assert [cert["flag"] for cert in client.stream("list-certs", "list-cert")] == [b"CA"]
        client.request("unload-authority", {"name": "root"})
        assert list(client.stream("list-certs", "list-cert")) == []
        for command, message in (("unload-key", {"id": "00"}), ("unload-shared", {"id": "one"})):
            with pytest.raises(CommandFailed, match="there is no"):
                client.request(command, message)

    await moon.use(act)


async def test_an_authority_that_is_no_ca_leaves_the_old_one(moon: Moon) -> None:
    def act(client: Client) -> None:
        client.request("load-authority", {"root": {"cacert": made().ca}})
        with pytest.raises(CommandFailed, match="not a CA"):
            client.request("load-authority", {"root": {"cacert": made().certificate}})
        assert len(list(client.stream("list-certs", "list-cert"))) == 1

    await moon.use(act)


def test_files_that_requests_name(moon: Moon, tmp_path: FilePath) -> None:
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(MAX_FILE + 1))
    assert moon.control.read_file(str(tmp_path / "small")) == b"x"
    with pytest.raises(OSError, match="longer than"):
        moon.control.read_file(str(tmp_path / "large"))
    with pytest.raises(FileNotFoundError):
        moon.control.read_file(str(tmp_path / "none"))
