"""The machine drives exchanges, and nothing but asks may come out of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from ikectl.errors import BackendError
from ikectl.exchange.v2.base import Case, Done, Exchange, Next
from ikectl.iana.v2 import ExchangeType
from ikectl.sa.asks import Resolve
from ikectl.sa.association import IkeState
from ikectl.sa.events import Fault
from ikectl.sa.ike_sa import IkeSa
from ikectl.wire.payload import Payload
from ikectl.wire.v2.message import Message
from tests.sim.site import Site


@dataclass
class Strange(Exchange):
    """Awaits what it must not."""

    type: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    token: int = 0

    async def request(self, sa: IkeSa) -> list[Payload]:
        await asyncio.sleep(0)
        return []

    async def on_answer(self, sa: IkeSa, reply: Message) -> Next:
        return Done()

    cases = (Case(on_answer),)


@dataclass
class Broken(Strange):
    """Has a defect."""

    async def request(self, sa: IkeSa) -> list[Payload]:
        secret = "do not print me"
        raise KeyError(secret)


@dataclass
class Asking(Strange):
    """Asks what may fail."""

    async def request(self, sa: IkeSa) -> list[Payload]:
        await Resolve("nowhere.example.org")
        return []


def test_an_exchange_that_awaits_anything_else_fails_loudly() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    machine.begin(Strange(), site.world.now)
    site.moon.drain()
    assert [event.trace.split()[0] for event in site.moon.saw(Fault)] == ["TypeError"]
    assert machine.sa.state is IkeState.CLOSED


def test_a_defect_closes_that_sa_and_no_other_and_prints_no_values() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    machine.begin(Broken(), site.world.now)
    site.moon.drain()
    (fault,) = site.moon.saw(Fault)
    assert "KeyError" in fault.text() and "do not print me" not in fault.text()
    assert machine.sa.state is IkeState.CLOSED and not site.moon.kernel.inbound
    assert site.moon.initiate("site", "net", site.world.now)
    site.moon.fault = None
    site.world.run(site.world.now + 5)
    assert site.moon.children, "the engine goes on"


def test_what_fails_outside_fails_the_exchange_and_not_the_sa() -> None:
    site = Site()
    site.up()
    (machine,) = site.moon.machines
    machine.begin(Asking(), site.world.now)
    site.world.run(site.world.now + 1)
    assert machine.sa.state is IkeState.ESTABLISHED and not machine.active
    assert not site.moon.saw(Fault)


def test_an_ask_that_nobody_answers_fails_after_a_minute() -> None:
    site = Site(moon_host={"late": 1.0})
    site.moon.answers[Resolve] = lambda ask: BackendError("unused")
    token = site.moon.initiate("site", "net", 0.0)
    site.moon.drain()  # the first question is lost
    site.world.run_until(lambda: token in site.moon.done, within=120.0)
    assert site.moon.done[token].error is not None and "minute" in site.moon.done[token].error
    assert not site.moon.machines
