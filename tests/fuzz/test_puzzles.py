"""Whatever strangers answer to IKE_SA_INIT, and show to a gateway under load: little work, few messages, no fault."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ikectl.exchange.v2.demands import MOST_PUZZLES
from ikectl.iana.v2 import ExchangeType, NotifyType, PrfId
from ikectl.sa.asks import Found, SearchPuzzle
from ikectl.sa.env import Settings
from ikectl.sa.events import Fault
from ikectl.wire.payload import Payload
from ikectl.wire.v2.notify import Notify
from ikectl.wire.v2.puzzle import PuzzleSolution
from tests.sim.forge import Stranger
from tests.sim.site import MOON, SUN, Site
from tests.sim.wiretap import Wiretap, which

cookies = st.builds(Notify, st.just(NotifyType.COOKIE), st.binary(max_size=3) | st.binary(min_size=60, max_size=66))
demands = st.tuples(st.sampled_from([*PrfId, 0, 65535]), st.integers(0, 255)).map(
    lambda pair: int(pair[0]).to_bytes(2, "big") + bytes((pair[1],))
)
asked = st.builds(Notify, st.just(NotifyType.PUZZLE), demands | st.binary(max_size=5))
others = st.builds(Notify, st.sampled_from([NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.INVALID_KE_PAYLOAD]), st.binary())
solutions = st.integers(1, 64).flatmap(
    lambda each: st.builds(PuzzleSolution, st.tuples(*[st.binary(min_size=each, max_size=each)] * 4))
)


@settings(max_examples=60, deadline=None)
@given(answers=st.lists(st.lists(cookies | asked | others, max_size=4), max_size=12), found=st.booleans())
def test_answers_of_strangers(answers: list[list[Payload]], found: bool) -> None:
    worked_on: set[bytes] = set()

    def search(ask: SearchPuzzle) -> Found:
        worked_on.add(ask.data)
        keys = tuple(bytes((number,)) for number in range(ask.wanted)) if found else ()
        return Found(keys, 30.0)

    site = Site(moon_host={"answers": {SearchPuzzle: search}})
    wire = Wiretap(site.world)
    wire.hold(which(by=site.sun))
    site.moon.initiate("site", "net", 0.0)
    site.world.run(0.1)
    forger = Stranger(wire, site.moon, SUN)
    spi = wire.seen[0].message.spi_i
    for payloads in answers:
        forger.ask(payloads, spi_i=spi, response=True, initiator=False)
    assert len(worked_on) <= MOST_PUZZLES
    assert len(wire.all(which(ExchangeType.IKE_SA_INIT, by=site.moon))) <= 6
    assert not site.moon.saw(Fault)
    site.world.run(site.world.now + 600)
    assert not site.moon.machines and not site.moon.engine.waiting and not site.moon.saw(Fault)


@settings(max_examples=60, deadline=None)
@given(shown=st.lists(st.lists(cookies | solutions, max_size=3), min_size=1, max_size=6), bits=st.integers(8, 30))
def test_what_strangers_show_to_a_gateway(shown: list[list[Payload]], bits: int) -> None:
    """Made-up cookies and keys get nobody in."""
    under_load = Settings(puzzle_threshold=0, puzzle_difficulty=bits, puzzle_most=bits, puzzle_legacy=0.0)
    site = Site(sun_host={"settings": under_load})
    stranger = Stranger(Wiretap(site.world), site.sun, MOON)
    payloads = stranger.initial()
    (first,) = stranger.ask(payloads)
    cookie = first.message.payloads[0]
    for extra in shown:
        stranger.ask([*extra, *payloads])
        stranger.ask([cookie, *extra, *payloads])
    assert site.sun.engine.half_open == 0 and not site.sun.machines and not site.sun.saw(Fault)
