"""Shells in a real event loop, with real datagrams between them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ikectl.engine.commands import Initiate, Terminate
from ikectl.sa.events import ChildUp, Event, IkeDown, IkeUp, Retransmitted
from tests.daemon.loopback import PORT, Running

MOON, SUN = "127.0.1.1", "127.0.1.2"


@pytest.fixture
async def both() -> AsyncIterator[tuple[Running, Running]]:
    moon, sun = Running(MOON), Running(SUN)
    moon.load(SUN)
    sun.load(MOON)
    yield moon, sun
    moon.stop()
    sun.stop()


async def test_a_tunnel_and_its_end(both: tuple[Running, Running]) -> None:
    moon, sun = both
    await moon.up()
    await sun.until(lambda: any(isinstance(event, ChildUp) for event in sun.events))
    assert sum(step.startswith("add sa") for step in moon.kernel.steps) == 2
    assert sum(step.startswith("add policy") for step in sun.kernel.steps) == 3
    moon.shell.command(Terminate(2))
    assert (await moon.done(2)).error is None
    await sun.until(lambda: any(isinstance(event, IkeDown) for event in sun.events))
    assert sum(step.startswith("delete") for step in sun.kernel.steps) == 5


async def test_a_peer_that_does_not_answer_is_called_again_on_time(both: tuple[Running, Running]) -> None:
    moon, sun = both
    sun.shell.stop()
    moon.shell.command(Initiate(1, "site", "net"))
    assert moon.shell.engine.deadline() is not None
    await moon.until(lambda: sum("again" in event.text() for event in moon.events) >= 2)
    sun.shell.start()
    assert (await moon.done(1)).error is None


async def test_an_observer_that_fails_harms_nobody(both: tuple[Running, Running]) -> None:
    moon, _ = both
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("a defect")

    moon.shell.observe(broken)
    moon.shell.observe(seen.append)
    await moon.up()
    assert any(isinstance(event, IkeUp) for event in seen)


async def test_an_observer_may_command(both: tuple[Running, Running]) -> None:
    moon, _ = both

    def hasty(event: Event) -> None:
        if isinstance(event, ChildUp):
            moon.shell.command(Terminate(2))

    moon.shell.observe(hasty)
    moon.shell.command(Initiate(1, "site", "net"))
    assert (await moon.done(2)).error is None


async def test_names_are_looked_up_when_they_are_called() -> None:
    moon, sun = Running(MOON), Running(SUN)
    moon.load(SUN, remote="ikectl-test.invalid")
    moon.shell.command(Initiate(1, "site", "net"))
    done = await moon.done(1)
    assert done.error is not None and "cannot look up ikectl-test.invalid" in done.error
    moon.stop()
    sun.stop()


async def test_a_datagram_that_cannot_be_sent_is_sent_again_later() -> None:
    moon = Running(MOON)
    moon.load(SUN, local_port=PORT + 1)  # no socket has it
    moon.shell.command(Initiate(1, "site", "net"))
    await moon.until(lambda: any(isinstance(event, Retransmitted) for event in moon.events))
    moon.stop()
