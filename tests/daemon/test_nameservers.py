"""Name servers of peers: the file, and the program that merges them with everybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ikectl.daemon.nameservers import MAX_SERVERS, NameServers
from ikectl.errors import BackendError
from ikectl.sa.asks import InstallDns, RemoveDns

ONE, OTHER, SIX = bytes([10, 0, 0, 53]), bytes([10, 9, 0, 53]), bytes(15) + b"\x35"


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "run" / "resolv.conf"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """What the program was called with, and given to read."""
    return tmp_path / "calls"


@pytest.fixture
def program(tmp_path: Path, calls: Path) -> str:
    script = tmp_path / "resolvconf"
    script.write_text(f'#!/bin/sh\n{{ echo "$@"; cat; }} >> {calls}\n')
    script.chmod(0o755)
    return str(script)


async def test_servers_come_and_go(told: Path, program: str, calls: Path) -> None:
    names = NameServers(told, program)
    await names.install(InstallDns("home #1", (ONE, SIX, ONE), ("corp.example", "lab.example")))
    text = (
        "# Name servers of IPsec peers, written by ikectld.\n"
        "search corp.example lab.example\nnameserver 10.0.0.53\nnameserver ::35\n"
    )
    assert told.read_text() == text
    assert told.stat().st_mode & 0o777 == 0o644
    assert calls.read_text() == f"-a lo.ikectl\n{text}"
    await names.remove(RemoveDns("home #1"))
    assert not told.exists()
    assert calls.read_text() == f"-a lo.ikectl\n{text}-d lo.ikectl\n"
    assert list(told.parent.iterdir()) == []


async def test_the_latest_peer_is_asked_first_and_nothing_happens_twice(told: Path, program: str, calls: Path) -> None:
    names = NameServers(told, program)
    await names.install(InstallDns("a", (ONE,)))
    await names.install(InstallDns("b", (OTHER,)))
    assert [line for line in told.read_text().splitlines() if line.startswith("name")] == [
        "nameserver 10.9.0.53",
        "nameserver 10.0.0.53",
    ]
    before = calls.read_text()
    await names.install(InstallDns("b", (OTHER,)))
    await names.remove(RemoveDns("nobody"))
    assert calls.read_text() == before
    await names.install(InstallDns("b", (SIX,)))
    assert "nameserver ::35\nnameserver 10.0.0.53\n" in told.read_text()
    await names.stop()
    assert not told.exists()


async def test_a_peer_writes_no_lines_of_its_own(told: Path, program: str) -> None:
    names = NameServers(told, program)
    bad = ("evil\nnameserver 6.6.6.6", "a b", "-x.example", "", "." * 9, "a" * 64, "x." * 200 + "y", "ok.example.")
    await names.install(InstallDns("a", (ONE,), bad))
    assert told.read_text().splitlines()[1:] == ["search ok.example.", "nameserver 10.0.0.53"]


async def test_domains_without_servers_are_no_use(told: Path, program: str) -> None:
    await NameServers(told, program).install(InstallDns("a", (), ("corp.example",)))
    assert not told.exists()


async def test_servers_of_one_peer_are_bounded(told: Path, program: str) -> None:
    many = tuple(bytes([10, 0, 0, number]) for number in range(1, 40))
    await NameServers(told, program).install(InstallDns("a", many))
    assert told.read_text().count("nameserver") == MAX_SERVERS


async def test_what_a_killed_daemon_left_is_taken_back(told: Path, program: str, calls: Path) -> None:
    await NameServers(told, program).install(InstallDns("a", (ONE,)))
    await NameServers(told, program).start()
    assert not told.exists()
    assert calls.read_text().endswith("-d lo.ikectl\n")


async def test_a_program_that_fails_or_is_not_there_leaves_the_file(told: Path, tmp_path: Path) -> None:
    for program in ("/bin/false", str(tmp_path / "nosuch")):
        await NameServers(told, program).install(InstallDns("a", (ONE,)))
        assert "10.0.0.53" in told.read_text()


async def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, program: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="cannot write"):
        await NameServers(tmp_path / "file" / "resolv.conf", program).install(InstallDns("a", (ONE,)))
