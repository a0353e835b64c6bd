"""The program against a daemon in memory: what it prints and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ikectl.cli.app import main
from ikectl.vici.client import Client
from tests.vici.serving import Served, serving
from tests.vici.test_commands import OFFICE


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]

BRANCH = {
    "version": "2",
    "remote_addrs": ["203.0.113.7"],
    "local": {"auth": "psk", "id": "gw-a.example.org"},
    "remote": {"auth": "psk", "id": "branch.example.org"},
    "children": {"lan": {"remote_ts": ["10.7.0.0/16"]}, "net": {"remote_ts": ["10.8.0.0/16"]}},
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(str(tmp_path / "ikectl.vici")) as daemon:
        with Client(daemon.path) as client:
            client.request("load-conn", {"office": OFFICE})
            client.request("load-conn", {"branch": BRANCH})
        yield daemon


@pytest.fixture
def run(served: Served, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program with these words, in this process."""

    def run(*words: str, socket: str = served.path) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--socket", socket, *words])
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run
