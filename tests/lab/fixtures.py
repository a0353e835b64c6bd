"""What a lab test asks for.

`lab`         lays topologies: `world = lab.lay(SITE_TO_SITE)`; gone after the test
`module_lab`  the same for all tests of a file, which then share daemons
`netns`       this process in a network namespace of its own
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.lab.guest import LAB
from tests.lab.namespaces import entered
from tests.lab.topology import Topology
from tests.lab.world import World


class Lab:
    """Lays worlds, and takes them down in the end."""

    standing: list[World] = []
    """Every world that stands in this process, whoever laid it: a failing test collects from all of them."""

    _laid = 0

    def __init__(self) -> None:
        self._worlds: list[World] = []

    def lay(self, topology: Topology) -> World:
        """Lay a topology; about half a second."""
        Lab._laid += 1
        world = World(topology, prefix=f"w{Lab._laid}-")
        self._worlds.append(world)
        Lab.standing.append(world)
        return world

    def close(self) -> None:
        for world in reversed(self._worlds):
            Lab.standing.remove(world)
            world.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture
def netns() -> Iterator[None]:
    """A fresh, empty network namespace around this test, loopback up.

    Sockets opened during the test belong to it, and so do programs the test
    starts: xfrm states, policies, links and addresses of one test are not seen
    by the next. It goes away with its last socket.
    """
    with entered(None):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test leaves .lab/artefacts/TEST/ behind, and says so."""
    report = yield
    if report.failed and Lab.standing and "IKECTL_GUEST" in os.environ:
        directory = LAB / "artefacts" / re.sub(r"[^\w.=-]+", "_", item.nodeid)
        shutil.rmtree(directory, ignore_errors=True)
        tails = [world.collect(directory / world.namespace("")) for world in Lab.standing]
        report.sections.append(("lab", "\n".join([f"logs, pcaps and kernel state: {directory}", *tails])))
    return report
