"""Name servers of peers by systemd-resolved: what it is told, and what happens where it will not be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ikectl.daemon import resolved
from ikectl.daemon.nameservers import NameServers
from ikectl.daemon.resolved import Resolved, commands
from ikectl.errors import BackendError
from ikectl.kernel.dnslinks import DnsLinks
from ikectl.sa.asks import InstallDns, RemoveDns
from ikectl.wire.v2.dns import EncryptedDns

INNER, ONE, SIX = bytes([10, 3, 0, 1]), bytes([10, 0, 0, 53]), bytes(15) + b"\x35"
PLAIN = InstallDns("home[1]", (ONE, SIX), ("corp.example",), ("lab.example.", "bad\nname"), sources=(INNER,))
SECURE = EncryptedDns(1, (ONE, ONE), "dns.example", ("dot",))


class Links(DnsLinks):
    """Interfaces that are only noted."""

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.full = full
        self.there: dict[str, tuple[bytes, ...]] = {}

    async def start(self) -> None:
        self.there.clear()

    async def stop(self) -> None:
        self.there.clear()

    async def add(self, sources: tuple[bytes, ...]) -> str:
        if self.full:
            raise BackendError("no more")
        name = f"ikedns{len(self.there)}"
        self.there[name] = sources
        return name

    async def remove(self, name: str) -> None:
        self.there.pop(name, None)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def program(tmp_path: Path, calls: Path) -> str:
    script = tmp_path / "resolvectl"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(resolved, "PAUSE", 0.0)
    yield


def test_domains_are_routed() -> None:
    """RFC 8598: names of these domains go to these servers, and no others."""
    assert commands("ikedns0", PLAIN) == [
        ["dns", "ikedns0", "10.0.0.53", "::35"],
        ["domain", "ikedns0", "corp.example", "~lab.example"],
        ["default-route", "ikedns0", "no"],
        ["dnsovertls", "ikedns0", "no"],
    ]


def test_without_domains_all_names_go_there() -> None:
    assert commands("ikedns0", InstallDns("a", (ONE,), sources=(INNER,)))[1:3] == [
        ["domain", "ikedns0", "~."],
        ["default-route", "ikedns0", "yes"],
    ]


def test_domains_that_are_none_are_not_all_domains() -> None:
    """A gateway of split DNS gets no other names, whatever it writes in place of domains."""
    assert commands("ikedns0", InstallDns("a", (ONE,), routes=("a b", "-x"), sources=(INNER,)))[1:3] == [
        ["domain", "ikedns0", ""],
        ["default-route", "ikedns0", "no"],
    ]


def test_encrypted_servers_are_asked_in_place_of_others() -> None:
    other = EncryptedDns(2, (SIX,), "dns6.example", ("dot",), 8853)
    found = commands("ikedns0", InstallDns("a", (ONE,), secure=(SECURE, other), sources=(INNER,)))
    assert found[0] == ["dns", "ikedns0", "10.0.0.53#dns.example", "[::35]:8853#dns6.example"]
    assert found[3] == ["dnsovertls", "ikedns0", "yes"]


async def test_a_link_for_each_owner(tmp_path: Path, program: str, calls: Path) -> None:
    links = Links()
    names = NameServers(tmp_path / "resolv.conf", "/bin/false", Resolved(links, program, tmp_path))
    await names.install(PLAIN)
    await names.install(PLAIN)
    assert links.there == {"ikedns0": (INNER,)}
    assert len(calls.read_text().splitlines()) == 4, "told once"
    assert "nameserver 10.0.0.53" in (tmp_path / "resolv.conf").read_text(), "for whoever reads the file"
    await names.remove(RemoveDns("home[1]"))
    assert not links.there
    assert not (tmp_path / "resolv.conf").exists()


async def test_what_resolved_has_does_not_go_to_resolvconf(tmp_path: Path, program: str, calls: Path) -> None:
    names = NameServers(tmp_path / "resolv.conf", program, Resolved(Links(), program, tmp_path))
    await names.install(PLAIN)
    await names.stop()
    assert not any("lo.ikectl" in line for line in calls.read_text().splitlines())


@pytest.mark.parametrize("lacking", ["service", "program", "link", "address"])
async def test_without_resolved_others_are_told(tmp_path: Path, program: str, lacking: str, hasty: None) -> None:
    own = Resolved(
        Links(full=lacking == "link"),
        "/bin/false" if lacking == "program" else program,
        tmp_path / "nowhere" if lacking == "service" else tmp_path,
    )
    names = NameServers(tmp_path / "resolv.conf", "/bin/true", own)
    await names.install(InstallDns("a", (ONE,), (), ("lab.example",), sources=() if lacking == "address" else (INNER,)))
    assert (tmp_path / "resolv.conf").read_text().splitlines()[1:] == ["search lab.example", "nameserver 10.0.0.53"]


async def test_a_link_that_resolved_does_not_take_goes(tmp_path: Path, hasty: None) -> None:
    links = Links()
    assert not await Resolved(links, "/bin/false", tmp_path).install(PLAIN)
    assert not links.there


async def test_what_is_for_some_names_alone_is_told_to_nobody_else(tmp_path: Path, program: str, calls: Path) -> None:
    """The configuration says so (`dns_domains`): neither the file nor resolvconf can tell names apart."""
    links, ask = Links(), InstallDns("a", (ONE,), routes=("lab.example",), sources=(INNER,), narrow=True)
    told, other = tmp_path / "told" / "resolv.conf", tmp_path / "resolvconf"
    names = NameServers(told, str(other), Resolved(links, program, tmp_path))
    await names.install(ask)
    assert links.there and "~lab.example" in calls.read_text() and not told.exists()
    links.full = True
    with pytest.raises(BackendError, match="dns_domains"):
        await names.install(replace(ask, servers=(SIX,)))
    assert not links.there and not told.exists()
    await names.install(InstallDns("a", (ONE,), sources=(INNER,)))
    assert told.exists()


async def test_encrypted_servers_alone_need_resolved(tmp_path: Path) -> None:
    names = NameServers(tmp_path / "resolv.conf", "/bin/true")
    with pytest.raises(BackendError, match="takes systemd-resolved"):
        await names.install(InstallDns("a", (), secure=(SECURE,), sources=(INNER,)))
    assert not (tmp_path / "resolv.conf").exists()
